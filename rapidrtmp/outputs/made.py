"""Files that are made when somebody asks for them, once for all who do."""

# Twisted's Cooperator carries no annotations yet.
# mypy: allow-untyped-calls

from collections.abc import Callable, Coroutine, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredLock, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Cooperator
from twisted.python.failure import Failure

MAX_BYTES = 64 * 1024 * 1024
"""Of all that is kept: a hundred segments of 2.5 Mbit/s."""
IDLE = 60.0
"""Seconds that a file is kept which nobody asks for."""
SLICE = 0.005
"""Seconds after which the reactor has its turn."""
_SOON = 0.001
"""Seconds by which a timer may be early."""

Making = Callable[[], Coroutine[Deferred[Any], Any, Iterable[bytes]]]


@dataclass(slots=True)
class _Kept:
    body: bytes
    used: float
    """Unix time at which it was asked for last."""


class MadeFiles:
    """Makes files one at a time, in slices of some milliseconds between which everything else
    goes on, and keeps those that were asked for last, up to a bound.
    """

    def __init__(self, clock: IReactorTime, max_bytes: int = MAX_BYTES) -> None:
        """Make one without files."""
        self._clock = clock
        self._max_bytes = max_bytes
        self._kept: dict[Hashable, _Kept] = {}  # what was asked for last stands last
        self._waiting: dict[Hashable, list[Deferred[bytes]]] = {}
        self._lock = DeferredLock()
        self._cooperator = Cooperator(self._slice, lambda call: clock.callLater(0, call))
        self._timer: IDelayedCall | None = None
        self.size = 0
        """Bytes that are kept."""

    def get(self, name: Hashable, make: Making) -> Deferred[bytes]:
        """Return a file.

        Args:
            name: what it is known by.
            make: fetches what is needed, which may take its time, and gives the file in pieces,
                each of which takes no longer to make than the reactor may wait.

        Returns:
            Fires with the file; fails as `make` does.
        """
        kept = self._kept.pop(name, None)
        if kept is not None:
            kept.used = self._clock.seconds()
            self._kept[name] = kept
            return succeed(kept.body)
        result: Deferred[bytes] = Deferred()
        if name in self._waiting:
            self._waiting[name].append(result)
        else:
            self._waiting[name] = [result]
            making = Deferred.fromCoroutine(self._make(name, make))
            making.addCallbacks(self._answer, self._refuse, (name,), {}, (name,), {})
        return result

    def _slice(self) -> Callable[[], bool]:
        """Begin a slice; return what tells whether it is over."""
        end = self._clock.seconds() + SLICE
        return lambda: self._clock.seconds() >= end

    async def _make(self, name: Hashable, make: Making) -> bytes:
        pieces = await make()
        await self._lock.acquire()
        try:
            if all(result.called for result in self._waiting[name]):
                raise CancelledError("nobody waits any more")
            made: list[bytes] = []
            await self._cooperator.coiterate(_steps(pieces, made))
            return b"".join(made)
        finally:
            self._lock.release()

    def _answer(self, body: bytes, name: Hashable) -> None:
        self._keep(name, body)
        for result in self._waiting.pop(name):
            result.callback(body)

    def _refuse(self, failure: Failure, name: Hashable) -> None:
        for result in self._waiting.pop(name):
            result.errback(failure)

    def _keep(self, name: Hashable, body: bytes) -> None:
        self._kept[name] = _Kept(body, self._clock.seconds())
        self.size += len(body)
        while self.size > self._max_bytes:
            self._forget_oldest()
        self._set_timer()

    def _forget_oldest(self) -> None:
        oldest = next(iter(self._kept))
        self.size -= len(self._kept.pop(oldest).body)

    def _set_timer(self) -> None:
        if self._timer is None and self._kept:
            oldest = next(iter(self._kept.values()))
            pause = max(0.0, oldest.used + IDLE - self._clock.seconds())
            self._timer = self._clock.callLater(pause, self._forget_idle)

    def _forget_idle(self) -> None:
        self._timer = None
        due = self._clock.seconds() - IDLE + _SOON
        while self._kept and next(iter(self._kept.values())).used <= due:
            self._forget_oldest()
        self._set_timer()


def _steps(pieces: Iterable[bytes], out: list[bytes]) -> Iterator[None]:
    """Collect the pieces, one a step."""
    for piece in pieces:
        out.append(piece)
        yield
