"""Requests that wait for a part: blocking playlist reload, and hinted parts themselves."""

from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from rapidrtmp.hls.low_latency import Position
from rapidrtmp.interfaces import NotReady

AT_ONCE = 100
"""Requests that are answered before others get their turn on the reactor."""


@dataclass(slots=True, eq=False)
class _Group:
    """All that wait for the same part. The first one's patience is everybody's."""

    timer: IDelayedCall
    requests: dict[Deferred[None], None] = field(default_factory=dict)


class BlockedRequests:
    """The requests that wait for parts of one rendition, by the part."""

    def __init__(self, clock: IReactorTime) -> None:
        """Make one without requests; the clock times their patience."""
        self._clock = clock
        self._groups: dict[Position, _Group] = {}

    def __len__(self) -> int:
        """How many wait."""
        return sum(len(group.requests) for group in self._groups.values())

    def wait(self, position: Position, seconds: float) -> Deferred[None]:
        """Wait until a part is complete.

        Args:
            position: of the part.
            seconds: to wait at most, if it is the first that waits for it.

        Returns:
            Fires then. Fails with NotReady when time is over.
        """
        group = self._groups.get(position)
        if group is None:
            timer = self._clock.callLater(seconds, self._expire, position)
            group = self._groups[position] = _Group(timer)
        requests = group.requests
        waiting: Deferred[None] = Deferred(lambda cancelled: requests.pop(cancelled, None))
        requests[waiting] = None
        return waiting

    def release(self, upcoming: Position) -> None:
        """Let go on who waits for a part before the upcoming one."""
        for position in [position for position in self._groups if position < upcoming]:
            self._settle(position, lambda waiting: waiting.callback(None))

    def release_all(self) -> None:
        """Let everybody go on."""
        for position in list(self._groups):
            self._settle(position, lambda waiting: waiting.callback(None))

    def close(self, reason: str) -> None:
        """Refuse everybody."""
        for position in list(self._groups):
            self._settle(position, lambda waiting: waiting.errback(NotReady(reason)))

    def _expire(self, position: Position) -> None:
        words = "nothing new has come from the encoder"
        self._settle(position, lambda waiting: waiting.errback(NotReady(words)))

    def _settle(self, position: Position, answer: Callable[[Deferred[None]], None]) -> None:
        group = self._groups.pop(position)
        if group.timer.active():
            group.timer.cancel()
        self._answer(group.requests, answer)

    def _answer(
        self, requests: dict[Deferred[None], None], answer: Callable[[Deferred[None]], None]
    ) -> None:
        for _ in range(min(AT_ONCE, len(requests))):
            waiting = next(iter(requests))
            del requests[waiting]
            answer(waiting)
        if requests:
            self._clock.callLater(0, self._answer, requests, answer)
