"""Unix time that is never set: what the reactor goes by, whatever happens to the machine's clock.

A reactor takes its timers, and we the length of everything, from the machine's clock. Put back by
an hour, no deadline would come for an hour; put forward, all would come at once.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

STEP = 1.0
"""Seconds. NTP lets a clock run faster or slower up to half a second, and sets it beyond."""


running: Callable[[], float] = partial(time.clock_gettime, _CLOCK)
"""Tells the seconds since some moment; where the system can, a suspended machine's, too. Not a
function of Python's: every sample asks."""


class SteadyClock:
    """Begins with the time of the machine's clock, and goes on by itself."""

    _log = Logger()

    def __init__(
        self,
        wall: Callable[[], float],
        running: Callable[[], float] = running,
    ) -> None:
        """Take the time.

        Args:
            wall: the machine's unix time, which may be set.
            running: seconds by a clock that is never set.
        """
        self.wall = wall
        self._running = running
        self._offset = wall() - running()
        self._told = 0.0

    def seconds(self) -> float:
        """Tell the unix time as if the machine's clock had not been set."""
        return self._offset + self._running()

    def look(self) -> None:
        """Log when the machine's clock has been set since the last look."""
        step = self.wall() - self.seconds()
        if abs(step - self._told) >= STEP:
            self._told = step
            self._log.warn(
                "the machine's clock was set: it is {step:+.0f} s from the time that this process "
                "goes by until it starts again",
                step=step,
            )


class _Wall:
    def __init__(self, seconds: Callable[[], float]) -> None:
        self.seconds = seconds


def install(reactor: Any) -> SteadyClock:
    """Let a reactor go by a steady clock from now on."""
    steady = SteadyClock(time.time)
    reactor.seconds = steady.seconds
    reactor.wall = _Wall(steady.wall)
    return steady


def wall_clock(reactor: Any) -> IReactorTime:
    """Give the machine's own clock, for what others have written with theirs.

    That is the reactor itself where no steady clock was installed.
    """
    wall: IReactorTime = getattr(reactor, "wall", reactor)
    return wall
