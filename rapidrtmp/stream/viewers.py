"""Counts the viewers of a stream: those of HLS, where nobody says goodbye, and all others."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from rapidrtmp.interfaces import AccessDenied, NotReady
from rapidrtmp.rate_limit import network

Fallback = tuple[str, str]
"""Somebody without a session: what counts as one address, by `network`, and the User-Agent."""

Viewer = str | Fallback
"""A session, which proves that it may watch, or somebody without one."""

MAX_AGENTS = 10
"""User-Agents of one address that count apart: who makes them up must not take all places. More
browsers and players than are found behind most addresses."""

RETRY_AFTER = 10
"""Seconds after which somebody over the limit may try again."""

LEAVE_KEPT = 600.0
"""Seconds for which it is remembered that somebody without a session may watch who does not:
whose player is paused."""

REFUSAL_KEPT = 5.0
"""Seconds for which a refused viewer is not asked about again: players retry at once."""

REMEMBERED = 1000
"""Refused viewers that are remembered, as many that have just come, and besides as many as the
limit those with leave. The oldest are forgotten first; of a forgotten one it is asked anew."""


class Viewers:
    """Those who asked for a media playlist not long ago, and who may; and who is connected.

    There is never more of them than `limit`, and what is remembered of others is bounded, too.
    """

    def __init__(self, clock: IReactorTime, limit: int) -> None:
        """Make a count.

        Args:
            clock: tells the time.
            limit: how many are admitted at once.
        """
        self._clock = clock
        self.limit = limit
        """How many are admitted at once. When it shrinks, those who watch may go on."""
        self.expiry = 6.0
        """Seconds after its last request that a viewer counts as gone: three target durations."""
        self.total = 0
        """Viewers ever admitted."""
        self._connected: set[str] = set()
        self._last_at = 0.0
        # Each in the order of its times, oldest first.
        self._seen: OrderedDict[Viewer, float] = OrderedDict()
        self._leave: OrderedDict[Fallback, float] = OrderedDict()
        self._refused: OrderedDict[Fallback, tuple[float, AccessDenied]] = OrderedDict()
        self._newcomers: OrderedDict[Fallback, float] = OrderedDict()
        self._undecided: dict[Fallback, list[Deferred[None]]] = {}
        # Of each address, those of its User-Agents that are seen or undecided.
        self._agents: dict[str, set[str]] = {}

    def __len__(self) -> int:
        self._expire()
        return len(self._seen) + len(self._connected)

    @property
    def last_at(self) -> float:
        """Unix time at which somebody watched last: now, if somebody does."""
        return self._clock.seconds() if len(self) else self._last_at

    def fallback(self, address: str, agent: str) -> Fallback:
        """Name a viewer without a session.

        Args:
            address: where it is. IPv6 ones count by their /64 network.
            agent: its User-Agent. Of one address, all but `MAX_AGENTS` count as ''.
        """
        self._expire()
        place = network(address)
        agents = self._agents.get(place, ())
        is_told_apart = agent in agents or len(agents) < MAX_AGENTS
        return place, agent if is_told_apart else ""

    def has_room(self, viewer: Viewer | None = None) -> bool:
        """Tell whether the limit lets somebody in, who has not been `seen`.

        Those who are being decided on have their place.

        Args:
            viewer: who; None for somebody new.
        """
        return viewer in self._undecided or len(self) + len(self._undecided) < self.limit

    def seen(self, viewer: Viewer) -> bool:
        """Note a request of a viewer; tell whether it is one that was admitted."""
        now = self._clock.seconds()
        last = self._seen.get(viewer)
        if last is None or not 0 <= now - last <= self.expiry:
            return False
        self._seen[viewer] = now
        self._seen.move_to_end(viewer)
        return True

    def returns(self, viewer: Fallback) -> bool:
        """Note that somebody without a session asked where sessions are opened.

        Returns:
            Whether it has done so within `expiry`, so that the session is not made use of.
        """
        now = self._clock.seconds()
        last = self._newcomers.get(viewer)
        self._newcomers[viewer] = now
        self._newcomers.move_to_end(viewer)
        if len(self._newcomers) > REMEMBERED:
            self._newcomers.popitem(last=False)
        return viewer in self._seen or (last is not None and 0 <= now - last <= self.expiry)

    def decide(
        self, viewer: Fallback, authorize: Callable[[], "Deferred[Any]"]
    ) -> "Deferred[None]":
        """Find out whether somebody without a session may watch, without asking twice.

        Args:
            viewer: who.
            authorize: asks; called at most once, also for several requests at the same time.

        Returns:
            Fires when it may, or fails as what `authorize` returned did.
        """
        self._expire()
        now = self._clock.seconds()
        since = self._leave.get(viewer)
        has_leave = since is not None and 0 <= now - since <= LEAVE_KEPT
        if has_leave or viewer in self._seen:
            return succeed(None)
        if viewer in self._refused:
            refused_at, denied = self._refused[viewer]
            if 0 <= now - refused_at <= REFUSAL_KEPT:
                # a fresh one: the same, raised again and again, would hold on to every request
                return fail(AccessDenied(denied.refusal, denied.description, denied.reason))
        decision: Deferred[None] = Deferred()
        if viewer in self._undecided:
            self._undecided[viewer].append(decision)
        else:
            self._undecided[viewer] = [decision]
            self._tell_apart(viewer)
            asked = maybeDeferred(authorize)
            asked.addCallbacks(self._allowed, self._failed, (viewer,), {}, (viewer,))
        return decision

    def admit(self, viewer: Viewer) -> bool:
        """Count a viewer that may watch; tell whether it is a new one.

        Raises:
            NotReady: there is no room.
        """
        if self.seen(viewer):
            return False
        if len(self) >= self.limit:
            raise NotReady("viewer limit reached", RETRY_AFTER)
        self._seen[viewer] = self._clock.seconds()
        self._seen.move_to_end(viewer)
        if isinstance(viewer, tuple):
            self._leave.pop(viewer, None)
            self._tell_apart(viewer)
        self.total += 1
        return True

    def enter(self, session: str) -> None:
        """Count a viewer that is connected for as long as it watches.

        Raises:
            NotReady: there is no room.
        """
        if not self.has_room():
            raise NotReady("viewer limit reached", RETRY_AFTER)
        self._connected.add(session)
        self.total += 1

    def leave(self, session: str) -> None:
        """Count a viewer no more that is not connected any more."""
        if session in self._connected:
            self._connected.discard(session)
            self._last_at = self._clock.seconds()

    def _allowed(self, _: object, viewer: Fallback) -> None:
        self._give_leave(viewer, self._clock.seconds())
        for decision in self._decided(viewer):
            decision.callback(None)

    def _failed(self, failure: Failure, viewer: Fallback) -> None:
        if isinstance(failure.value, AccessDenied):
            self._refused[viewer] = self._clock.seconds(), failure.value
            self._refused.move_to_end(viewer)
            if len(self._refused) > REMEMBERED:
                self._refused.popitem(last=False)
        for decision in self._decided(viewer):
            decision.errback(failure)

    def _decided(self, viewer: Fallback) -> "list[Deferred[None]]":
        decisions = self._undecided.pop(viewer)
        self._forget_apart(viewer)
        return decisions

    def _expire(self) -> None:
        """Forget the viewers who are gone. Each costs this once."""
        now = self._clock.seconds()
        while self._seen:
            viewer, last = next(iter(self._seen.items()))
            # a time to come: the clock was put back, and the viewer will say so if it is there
            if 0 <= now - last <= self.expiry:
                return
            del self._seen[viewer]
            self._last_at = max(self._last_at, last + self.expiry)
            if isinstance(viewer, tuple):
                self._forget_apart(viewer)
                self._give_leave(viewer, now)

    def _tell_apart(self, viewer: Fallback) -> None:
        place, agent = viewer
        self._agents.setdefault(place, set()).add(agent)

    def _forget_apart(self, viewer: Fallback) -> None:
        """Count a User-Agent no more, if its viewer is neither seen nor undecided."""
        place, agent = viewer
        agents = self._agents.get(place)
        if agents is not None and viewer not in self._seen and viewer not in self._undecided:
            agents.discard(agent)
            if not agents:
                del self._agents[place]

    def _give_leave(self, viewer: Fallback, now: float) -> None:
        self._leave[viewer] = now
        self._leave.move_to_end(viewer)
        if len(self._leave) > self.limit + REMEMBERED:
            self._leave.popitem(last=False)
