"""What a soak measures of the server: memory, threads, descriptors, lag, from second to second."""

import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias

from tests.integration import machine
from tests.integration.process import Child
from tests.integration.server import Server

MIB = 1 << 20
Lags: TypeAlias = dict[float, float]
"""Bounds of the reactor's lag in seconds, and how many measurements were within each."""
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


def lags(server: Server) -> Lags:
    """Give how many measurements of the reactor's lag were within each bound."""
    text = server.get("/metrics").text
    return {float(bound): float(count) for bound, count in _LAG.findall(text)}


def p99(before: Lags, after: Lags, *excused: tuple[Lags, Lags]) -> float:
    """Give the bound that 99 of 100 measurements were within, in seconds.

    Args:
        before: the first look.
        after: the last one.
        excused: first and last looks of times that do not count.
    """
    counts = {
        bound: count - before[bound] - sum(last[bound] - first[bound] for first, last in excused)
        for bound, count in after.items()
    }
    total = counts[float("inf")]
    return min(bound for bound, count in counts.items() if count >= 0.99 * total)


class Lag:
    """How late the reactor was, from now on."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._before = lags(server)
        self._scheduled = machine.scheduled(server.child)
        self._excused: list[tuple[Lags, Lags]] = []

    def excuse(self, before: Lags, after: Lags) -> None:
        """Leave out a time between two looks."""
        self._excused.append((before, after))

    def read(self) -> tuple[float, float]:
        """Give p99 in seconds, and how many times as long as alone everything took.

        That is what others took of the CPU: a thread that waits for one as long as it runs is
        twice as late with everything.
        """
        found = p99(self._before, lags(self._server), *self._excused)
        ran, waited = (
            now - then
            for now, then in zip(
                machine.scheduled(self._server.child), self._scheduled, strict=True
            )
        )
        return found, 1 + waited / max(ran, 0.001)


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
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stop.wait(1.0):
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
