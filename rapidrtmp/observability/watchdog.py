"""Watches that the reactor turns: how late it is, and who keeps it when it is stuck."""

import os
import sys
import traceback
from collections import deque
from collections.abc import Callable
from threading import Event, Thread, get_ident
from time import monotonic

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from rapidrtmp.histogram import Histogram

TICK = 0.25
"""Seconds between two measurements of the reactor's lag."""

LAGS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
"""Seconds."""

RECENT = 240
"""Measurements that `recent` looks back: a minute, longer than the usual scrape interval."""

LIVES = 3
"""Timeouts after which a process that may do so ends."""

EX_SOFTWARE = 70
"""Exit status of a process whose watchdog ended it (sysexits.h)."""


class ReactorLag:
    """Measures how late the reactor does what it should."""

    def __init__(self, clock: IReactorTime, monotonic: Callable[[], float] = monotonic) -> None:
        """Make one that has measured nothing.

        Args:
            clock: the reactor.
            monotonic: seconds by a clock that is never set.
        """
        self.histogram = Histogram(LAGS)
        """Seconds of lag, four times a second."""
        self._ticked_at = monotonic()
        self._monotonic = monotonic
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._loop = LoopingCall(self._tick)
        self._loop.clock = clock

    @property
    def recent(self) -> float:
        """The longest lag of the last minute, in seconds."""
        return max(self._recent, default=0.0)

    def start(self) -> None:
        """Measure from now on."""
        self._ticked_at = self._monotonic()
        self._loop.start(TICK, now=False)

    def stop(self) -> None:
        """Measure no more."""
        if self._loop.running:
            self._loop.stop()

    def _tick(self) -> None:
        now = self._monotonic()
        lag = max(0.0, now - self._ticked_at - TICK)
        self._ticked_at = now
        self.histogram.observe(lag)
        self._recent.append(lag)


class Watchdog:
    """A thread that notices when the reactor is stuck, and tells in whose code.

    It writes the log from threads of their own: the reactor may well be stuck in writing a log
    that nobody reads, which must not keep the watchdog from ending the process.
    """

    _log = Logger()

    def __init__(
        self,
        call: Callable[[Callable[[], None]], object],
        timeout: float,
        *,
        may_exit: bool = False,
        monotonic: Callable[[], float] = monotonic,
        leave: Callable[[int], object] = os._exit,
        aside: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        """Make a watchdog that sleeps.

        Args:
            call: has the reactor call something, from any thread (callFromThread): not a
                timer, which a step of the wall clock would hold up.
            timeout: seconds without a turn after which it is stuck (WATCHDOG_TIMEOUT).
            may_exit: whether to end the process after `LIVES` timeouts (WATCHDOG_EXIT), so
                that whoever started it starts it again.
            monotonic: seconds by a clock that is never set.
            leave: ends the process at once.
            aside: runs something without waiting for it.
        """
        self._call = call
        self._turned_at = monotonic()
        self._is_called = False
        self._timeout = timeout
        self._may_exit = may_exit
        self._monotonic = monotonic
        self._leave = leave
        self._aside = aside or _in_thread
        self._period = timeout / 4
        self._watched = 0
        self._stopped = Event()
        self._looked_at = monotonic()
        self._alive_at = self._looked_at
        self._stuck_since: float | None = None

    def start(self) -> None:
        """Watch the thread that calls this."""
        self._watched = get_ident()
        self._looked_at = self._alive_at = self._monotonic()
        Thread(target=self._run, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no more. Does not wait."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._period):
            self.look()

    def _beat(self) -> None:
        """Called by the reactor."""
        self._turned_at = self._monotonic()
        self._is_called = False

    def look(self) -> None:
        """Look once. The thread does it four times in each timeout."""
        if not self._is_called:
            self._is_called = True
            self._call(self._beat)
        now = self._monotonic()
        if now - self._looked_at > 2 * self._period:
            # This thread did not run either: the whole process was stopped, or starved.
            self._alive_at = now
        self._looked_at = now
        turned = self._turned_at
        if turned > self._alive_at:
            self._alive_at = turned
        silent = now - self._alive_at
        if silent < self._timeout:
            if self._stuck_since is not None and turned > self._stuck_since:
                seconds = self._alive_at - self._stuck_since
                self._stuck_since = None
                self._aside(lambda: self._tell_recovered(seconds))
        elif self._stuck_since is None:
            self._stuck_since = self._alive_at
            stack = self._stack()
            self._aside(lambda: self._tell_stuck(silent, stack))
        elif self._may_exit and silent >= LIVES * self._timeout:
            self._leave(EX_SOFTWARE)

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._watched)  # noqa: SLF001  (there is no other way)
        return "".join(traceback.format_stack(frame)) if frame is not None else "it is gone\n"

    def _tell_stuck(self, seconds: float, stack: str) -> None:
        words = "the reactor has been stuck for {seconds:.1f} s in:\n{stack}"
        self._log.critical(words, seconds=seconds, stack=stack.rstrip())

    def _tell_recovered(self, seconds: float) -> None:
        self._log.warn("the reactor turns again after {seconds:.1f} s", seconds=seconds)


def _in_thread(run: Callable[[], None]) -> None:
    Thread(target=run, name="watchdog-log", daemon=True).start()
