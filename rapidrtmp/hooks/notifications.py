"""Tells one hook what happened: off the caller's path, in order, more than once if need be."""

from itertools import count
from random import Random

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater

from rapidrtmp.hooks.caller import Calls, HookCaller, HookFailed
from rapidrtmp.interfaces import AccessDenied
from rapidrtmp.stream.events import StreamEvent


class Notifications:
    """The events that wait for a hook.

    Events of one stream go out one after the other, in order; those of several streams at the
    same time, so that a slow answer for one does not keep the others waiting.
    """

    MAX_WAITING = 1000
    """Some 16 minutes of a stream with segments of 1 s; past it the oldest event is dropped."""
    IN_FLIGHT = 8
    """Calls at a time: enough for a thousand events/s when an answer takes 8 ms."""
    PAUSES = (1.0, 4.0, 16.0, 60.0)
    """Seconds between tries, at most; a hook may ask for more, up to the last one. They outlast
    the restart of a server."""

    def __init__(
        self, caller: HookCaller, clock: IReactorTime, calls: Calls, random: Random
    ) -> None:
        """Make an empty queue.

        Args:
            caller: the hook.
            clock: for the pauses between tries.
            calls: where outcomes are counted, one for each event.
            random: spreads the tries of many servers.
        """
        self._caller = caller
        self._clock = clock
        self._calls = calls
        self._random = random
        self._numbers = count()
        # In order. Events are taken from the middle, too: a dict does that in no time.
        self._waiting: dict[int, tuple[str, StreamEvent]] = {}
        self._busy: set[str] = set()
        """Keys of the streams whose events are in flight."""
        self._workers: set[Deferred[None]] = set()
        self._start_soon: IDelayedCall | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """Events that were not delivered yet."""
        return len(self._waiting) + len(self._busy)

    def put(self, name: str, event: StreamEvent) -> None:
        """Deliver an event soon.

        Args:
            name: the method of the hook.
            event: its argument.
        """
        if self._closed:
            self._calls[name, "dropped"] += 1
            return
        if len(self._waiting) >= self.MAX_WAITING:
            self._drop(next(iter(self._waiting)))
        self._waiting[next(self._numbers)] = name, event
        if self._start_soon is None:
            # Not now: the stream that tells it must not meet what a hook does.
            self._start_soon = self._clock.callLater(0, self._start)

    def close(self, patience: float) -> Deferred[None]:
        """Deliver what waits, but take no more.

        Args:
            patience: seconds after which the rest is dropped.
        """
        self._closed = True
        if self._start_soon is not None:
            self._start_soon.cancel()
            self._start()
        rest = self._clock.callLater(patience, self._give_up)

        def closed(_: object) -> None:
            if rest.active():
                rest.cancel()

        return DeferredList(list(self._workers)).addCallback(closed)

    def _start(self) -> None:
        self._start_soon = None
        while len(self._workers) < self.IN_FLIGHT and (taken := self._take()) is not None:
            worker = Deferred.fromCoroutine(self._work(taken))
            if not worker.called:
                self._workers.add(worker)
                worker.addBoth(self._ended, worker)

    def _ended(self, _: None, worker: Deferred[None]) -> None:
        self._workers.discard(worker)

    async def _work(self, taken: tuple[str, StreamEvent] | None) -> None:
        """Deliver an event, and then others as long as there are any to take."""
        while taken is not None:
            name, event = taken
            self._calls[name, await self._deliver(name, event)] += 1
            self._busy.discard(event.key)
            taken = self._take()

    def _take(self) -> tuple[str, StreamEvent] | None:
        """Take the first event of a stream that has none in flight."""
        for number, (_, event) in self._waiting.items():
            if event.key not in self._busy:
                self._busy.add(event.key)
                return self._waiting.pop(number)
        return None

    async def _deliver(self, name: str, event: StreamEvent) -> str:
        """Return the outcome."""
        for pause in (*self.PAUSES, None):
            try:
                await self._caller.call(name, event)
                return "ok"
            except AccessDenied:
                return "refused"
            except HookFailed as error:
                if error.retry_after is None or pause is None:
                    return error.outcome
                asked = min(error.retry_after, self.PAUSES[-1])
            try:
                jittered = pause * self._random.uniform(0.5, 1.0)
                await deferLater(self._clock, max(asked, jittered))
            except CancelledError:
                break
        return "dropped"

    def _drop(self, number: int) -> None:
        name, _ = self._waiting.pop(number)
        self._calls[name, "dropped"] += 1

    def _give_up(self) -> None:
        for number in list(self._waiting):
            self._drop(number)
        for worker in list(self._workers):
            worker.cancel()
