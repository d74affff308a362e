"""Keeps a connection to a target: dials, tries again after a while, follows where it is sent."""

from collections.abc import Callable
from enum import Enum
from random import random
from typing import Any
from typing import Protocol as Interface

from twisted.application.internet import backoffPolicy
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from rapidrtmp.protocol.client import ConnectionEnd, RTMPClientProtocol, describe_loss
from rapidrtmp.rtmp.capabilities import Capabilities
from rapidrtmp.rtmp.client import ClientSession
from rapidrtmp.rtmp.target import BadTarget, Target

FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0
"""Seconds before the second, and at most before any other attempt; up to one more by chance, so
that many servers do not come back to one target in step."""
STEADY = 30.0
"""Seconds live after which the next failure counts as the first."""
MAX_REDIRECTS = 3
"""Redirections followed in a row."""


class RelayState(Enum):
    """What a relay is doing."""

    IDLE = "idle"
    """There is nothing to relay."""
    CONNECTING = "connecting"
    LIVE = "live"
    WAITING = "waiting"
    """It tries again at `retry_at`."""
    FAILED = "failed"
    """It cannot work as things are: tried again only when the stream changes."""


FOLLOWS = {
    RelayState.IDLE: {RelayState.CONNECTING, RelayState.WAITING},
    RelayState.CONNECTING: set(RelayState),
    RelayState.LIVE: set(RelayState) - {RelayState.LIVE},
    RelayState.WAITING: {RelayState.CONNECTING, RelayState.IDLE},
    RelayState.FAILED: {RelayState.CONNECTING, RelayState.IDLE},
}
"""The states that may follow each."""


class RedialOwner(Interface):
    """Whom a `Redial` connects."""

    def make_session(self, target: Target) -> ClientSession:
        """Make the session of a connection to a target."""

    def refuse(self, capabilities: Capabilities) -> str:
        """Say why a server that can do this is of no use; '' when it is."""

    def started(self, connection: RTMPClientProtocol) -> None:
        """Learn of a connection on which media may flow."""

    def writable(self) -> None:
        """Learn that more can be sent."""

    def stopped(self) -> None:
        """Learn that a connection, or the attempt at one, is no more."""


class Redial:
    """One connection at a time to one target, again and again.

    Args:
        target: where to.
        endpoint: makes what connects to a target.
        clock: tells the time and calls later.
        changed: called after each change of `state`.
        chance: from 0 to below 1.
    """

    owner: RedialOwner

    def __init__(
        self,
        target: Target,
        endpoint: Callable[[Target], IStreamClientEndpoint],
        clock: IReactorTime,
        changed: Callable[[], None] = lambda: None,
        chance: Callable[[], float] = random,
    ) -> None:
        self.target = target
        self.changed = changed
        self.state = RelayState.IDLE
        self.since = clock.seconds()
        """Unix time of the last change of state."""
        self.retries = 0
        """Connections that failed, or were lost."""
        self.error = ""
        """Why the last one did; empty while it is live."""
        self.retry_at: float | None = None
        """Unix time of the next attempt; None when none is due."""
        self._endpoint = endpoint
        self._clock = clock
        self._delay = backoffPolicy(FIRST_DELAY, LONGEST_DELAY, 2.0, chance)
        self._dialled = target
        self._failures = 0
        self._rests_until = 0.0
        self._redirects = 0
        self._attempt: Deferred[Any] | None = None
        self._connection: RTMPClientProtocol | None = None
        self._is_started = False
        self._timer: IDelayedCall | None = None

    # The owner's side.

    def start(self) -> None:
        """Connect, unless that is under way. After a `rest`, not before its time."""
        if self.state not in (RelayState.IDLE, RelayState.FAILED):
            return
        # The clock may have been put back meanwhile.
        wait = min(self._rests_until - self._clock.seconds(), LONGEST_DELAY + 1.0)
        if wait > 0:
            self._wait(wait)
        else:
            self._redirects = 0
            self._dial(self.target)

    def stop(self) -> Deferred[None]:
        """Close the connection and try no more.

        Returns:
            Fires when the connection is closed.
        """
        connection = self._connection
        self._let_go()
        self.error = ""
        self._failures = 0
        self._rests_until = 0.0
        if self.state is not RelayState.IDLE:
            self._enter(RelayState.IDLE)
        if connection is None:
            return succeed(None)
        done: Deferred[None] = Deferred()
        connection.closed.addBoth(lambda _: done.callback(None))
        return done

    def rest(self) -> None:
        """Close the connection until the next `start`, which is no way round the pauses."""
        is_well = self.state is RelayState.LIVE
        failures, until, error = self._failures, self.retry_at or 0.0, self.error
        self.stop()
        if not is_well:
            self._failures, self._rests_until, self.error = failures, until, error

    def fail(self, reason: str) -> None:
        """Close the connection: as things are, it is of no use.

        Args:
            reason: plain words.
        """
        self._let_go()
        self.error = reason
        self._failures = 0
        self._enter(RelayState.FAILED)

    def retry(self, reason: str) -> None:
        """Close the connection, and connect again after a while.

        Args:
            reason: plain words.
        """
        self._let_go()
        self._failed(ConnectionEnd(reason))

    # The connection's side.

    def connected(self, capabilities: Capabilities) -> None:
        """Let the owner look at what the server can do."""
        refused = self.owner.refuse(capabilities)
        if refused:
            self.fail(refused)

    def started(self) -> None:
        """Media may flow."""
        assert self._connection is not None
        self.error = ""
        self._is_started = True
        self._enter(RelayState.LIVE)
        self.owner.started(self._connection)

    def writable(self) -> None:
        """Tell the owner that more can be sent."""
        if self._is_started:
            self.owner.writable()

    def reconnect_requested(self, tc_url: str) -> None:
        """Move to where the server wants us, at once."""
        if self._is_steady():
            self._redirects = 0
        target = moved(self._dialled, tc_url)
        if target is not None and self._redirects < MAX_REDIRECTS:
            self._redirects += 1
            self._let_go()
            self._dial(target)

    def connection_ended(self, end: ConnectionEnd) -> None:
        """Try again, or where the server says."""
        self._let_go()
        target = moved(self._dialled, end.redirect) if end.redirect else None
        if target is not None and self._redirects < MAX_REDIRECTS:
            self._redirects += 1
            self._dial(target)
        else:
            self._failed(end)

    # Inside.

    def _dial(self, target: Target) -> None:
        self._timer = self.retry_at = None
        self._dialled = target
        self._enter(RelayState.CONNECTING)
        factory = Factory.forProtocol(
            lambda: RTMPClientProtocol(self.owner.make_session(target), self, self._clock)
        )
        factory.noisy = False
        # What an endpoint raises is a failure like any other: it must not meet the stream.
        self._attempt = maybeDeferred(lambda: self._endpoint(target).connect(factory))
        self._attempt.addCallbacks(self._reached, self._missed)

    def _reached(self, connection: RTMPClientProtocol) -> None:
        self._attempt = None
        self._connection = connection

    def _missed(self, failure: Failure) -> None:
        if not isinstance(failure.value, CancelledError):
            self._attempt = None
            self.owner.stopped()
            self._failed(ConnectionEnd(describe_loss(failure)))

    def _failed(self, end: ConnectionEnd) -> None:
        if self._is_steady():
            self._failures = 0
        delay = self._delay(self._failures)
        self._failures += 1
        self._redirects = 0
        self.retries += 1
        self.error = end.reason
        self._wait(delay)

    def _wait(self, delay: float) -> None:
        self.retry_at = self._clock.seconds() + delay
        self._timer = self._clock.callLater(delay, self._dial, self.target)
        self._enter(RelayState.WAITING)

    def _is_steady(self) -> bool:
        return self.state is RelayState.LIVE and self._clock.seconds() - self.since >= STEADY

    def _let_go(self) -> None:
        """Give up what is under way; no call of it comes any more."""
        attempt, self._attempt = self._attempt, None
        connection, self._connection = self._connection, None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self.retry_at = None
        if attempt is not None:
            attempt.cancel()
        if connection is not None:
            connection.finish()
        self._is_started = False
        if attempt is not None or connection is not None:
            self.owner.stopped()

    def _enter(self, state: RelayState) -> None:
        assert state in FOLLOWS[self.state], (self.state, state)
        self.state = state
        self.since = self._clock.seconds()
        self.changed()


def moved(target: Target, tc_url: str) -> Target | None:
    """Give the target that a server sends us to; None where we do not go.

    From rtmps nobody leads us to rtmp: the stream key would go over the net in the clear.

    Args:
        target: where we were to connect.
        tc_url: of the application; '' for the same, else absolute, or without a scheme, or
            without a scheme and a host (Enhanced RTMP v2, Reconnect Request).
    """
    if not tc_url:
        return target
    if tc_url.startswith("//"):
        tc_url = f"{target.scheme}:{tc_url}"
    elif tc_url.startswith("/"):
        own = target.tc_url
        tc_url = own[: own.index("/", len(target.scheme) + 3)] + tc_url
    try:
        found = Target.parse(f"{tc_url.partition('?')[0].rstrip('/')}/{target.name}")
    except BadTarget:
        return None
    return found if target.scheme != "rtmps" or found.scheme == "rtmps" else None
