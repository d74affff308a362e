"""What a soak measures of the server: memory, threads, descriptors, lag, from second to second."""

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from statistics import median
from typing import TypeAlias

from tests.integration import machine
from tests.integration.process import Child
from tests.integration.server import Server
from tests.soak.stalls import Span

MIB = 1 << 20
Lags: TypeAlias = dict[float, float]
"""Bounds of the reactor's lag in seconds, and how many measurements were within each."""
STRETCH = 1.0
"""Seconds between two looks at the reactor's lag, which is measured four times a second."""
_LAG = re.compile(r'^rapidrtmp_reactor_lag_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Moment:
    """One look."""

    at: float
    """Seconds since the beginning."""
    memory: int
    """Resident bytes."""
    threads: int
    descriptors: int
    cpu: float
    """Seconds of CPU time since the start."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A few seconds of the server's."""

    begun: float
    """Monotonic time."""
    ended: float
    counts: Lags
    """Measurements of the reactor's lag within each bound."""
    ran: float
    """Seconds that the server's main thread ran."""
    waited: float
    """Seconds that it waited for a CPU."""

    @property
    def factor(self) -> float:
        """How many times as long as alone everything took.

        A thread that waits for a CPU as long as it runs is twice as late with everything.
        """
        return 1 + self.waited / max(self.ran, 0.001)


def lags(server: Server) -> Lags:
    """Give how many measurements of the reactor's lag were within each bound."""
    text = server.get("/metrics").text
    return {float(bound): float(count) for bound, count in _LAG.findall(text)}


def within(stretches: Sequence[Stretch], share: float = 0.99) -> float:
    """Give the bound that so many of the measurements were within, in seconds; 0 without any."""
    counts = Counter[float]()
    for stretch in stretches:
        counts.update(stretch.counts)
    total = counts[inf]
    return min((bound for bound, count in counts.items() if count >= share * total), default=0.0)


def late(stretches: Sequence[Stretch], bound: float, *, waiting: bool) -> float:
    """Give the share of the measurements that were surely later than some bound.

    Args:
        stretches: those that are judged, in order.
        bound: seconds.
        waiting: whether the reactor may be as late in addition as it waited for a CPU, in the
            second of the measurement and in the one before.
    """
    total = later = before = 0.0
    for stretch in stretches:
        allowed = bound + (before + stretch.waited if waiting else 0.0)
        counts = stretch.counts
        total += counts[inf]
        later += counts[inf] - counts[min(each for each in counts if each >= allowed)]
        before = stretch.waited
    return later / max(total, 1.0)


class Lag:
    """How late the reactor was, from now on, in stretches of a few seconds."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stretches: list[Stretch] = []
        self._excused: list[Span] = []
        self._stop = threading.Event()
        self._look()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @contextmanager
    def excused(self) -> Iterator[None]:
        """Leave out what happens meanwhile."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self._excused.append((begun, time.monotonic()))

    def read(self) -> tuple[list[Stretch], list[Span]]:
        """Look no more; give all stretches, and the times that do not count."""
        self._stop.set()
        self._thread.join(60.0)
        self._add()
        return self._stretches, self._excused

    def _run(self) -> None:
        while not self._stop.wait(STRETCH):
            self._add()

    def _look(self) -> None:
        self._at = time.monotonic()
        self._lags = lags(self._server)
        self._scheduled = machine.scheduled(self._server.child)

    def _add(self) -> None:
        at, before, (ran, waited) = self._at, self._lags, self._scheduled
        self._look()
        ran_now, waited_now = self._scheduled
        counts = {bound: count - before[bound] for bound, count in self._lags.items()}
        self._stretches.append(
            Stretch(at, time.monotonic(), counts, ran_now - ran, waited_now - waited)
        )


def look(child: Child, begun: float = 0.0) -> Moment:
    """Take one look at a process, which counts from a monotonic time."""
    return Moment(
        time.monotonic() - begun,
        child.resident_bytes(),
        machine.threads(child),
        machine.descriptors(child),
        machine.cpu_seconds(child),
    )


class Gauges:
    """Looks each second, in a thread of its own."""

    def __init__(self, server: Server) -> None:
        self._child = server.child
        self.moments: list[Moment] = []
        self._stop = threading.Event()
        self._is_excused = False
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @contextmanager
    def excused(self) -> Iterator[None]:
        """Do not look meanwhile."""
        self._is_excused = True
        try:
            yield
        finally:
            self._is_excused = False

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stop.wait(1.0):
            if not self._is_excused:
                self.moments.append(look(self._child, self._begun))


def tenths(moments: Sequence[Moment]) -> tuple[Sequence[Moment], Sequence[Moment]]:
    """Give the first and the last tenth, of three looks at least."""
    size = max(3, len(moments) // 10)
    return moments[:size], moments[-size:]


def slope(moments: Sequence[Moment]) -> float:
    """Give by how many bytes an hour memory grows, by the line of least squares."""
    middle = sum(each.at for each in moments) / len(moments)
    mean = sum(each.memory for each in moments) / len(moments)
    above = sum((each.at - middle) * (each.memory - mean) for each in moments)
    below = sum((each.at - middle) ** 2 for each in moments)
    return 3600 * above / below


def typical(moments: Sequence[Moment], what: str) -> float:
    """Give the median of something."""
    return float(median(getattr(each, what) for each in moments))
