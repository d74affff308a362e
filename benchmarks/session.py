"""A session of measurements: servers in alternation, one measurement at a time on the machine."""

import fcntl
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.generator import Generator
from benchmarks.process import BenchmarkError, cpu_seconds, machine_busy, ticks
from benchmarks.process import user_share as share
from benchmarks.servers import Found, Server

LOCK = Path(tempfile.gettempdir(), "bench.lock")
"""Locked while something is measured, by this and other harnesses."""


@dataclass(slots=True)
class Window:
    """What happened in one measured span of time."""

    seconds: float
    cpu: float
    """CPU-seconds of the server."""
    user_share: float
    others: float
    """Processors that were busy with neither server nor load: 0 on an idle machine."""
    report: dict[str, Any]
    """The load's own."""


@dataclass(slots=True)
class Result:
    """One point, of one server."""

    work: str
    n: int
    server: str
    unit: str
    values: list[float] = field(default_factory=list)
    """In the order in which they were measured."""
    others: list[float] = field(default_factory=list)
    """Of each value: see `Window`."""
    details: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    """Why there is no value."""

    @property
    def value(self) -> float | None:
        """The median."""
        return median(self.values) if self.values else None


Values = tuple[list[float], list[float], dict[str, Any]]
"""What one start of a server gives: values, what others did meanwhile, details."""


@dataclass(slots=True)
class Session:
    """What is measured, how, and the results so far.

    Args:
        found: the servers.
        seconds: of a window.
        warm: seconds between the start of the load and the first window.
        windows: for each start of a server.
        rounds: how often each server is started for a point, in alternation.
    """

    found: Found
    seconds: float = 4.0
    warm: float = 4.0
    windows: int = 2
    rounds: int = 2
    results: list[Result] = field(default_factory=list)
    growth: dict[str, Any] = field(default_factory=dict)
    """What `benchmarks.growth` found."""
    began: float = field(default_factory=time.time)

    def measure(
        self,
        work: str,
        n: int,
        unit: str,
        mode: str,
        one: Callable[[Server], Values],
        only: Callable[[Server], bool] = lambda server: True,
    ) -> None:
        """Measure a point of all servers, in alternation.

        Args:
            work: its name.
            n: how many of whatever is counted.
            unit: of the values.
            mode: what the servers have to do; those that cannot are left out.
            one: measures one server, started already.
            only: which servers take part.
        """
        results = {}
        for server in self.found.servers:
            if mode in server.modes and only(server):
                results[server.name] = Result(work, n, server.name, unit)
        self.results += results.values()
        for number in range(self.rounds):
            with alone():
                for server in self.found.servers:
                    result = results.get(server.name)
                    if result is not None and not result.error:
                        turn = f" ({number + 1}/{self.rounds})" if self.rounds > 1 else ""
                        self._measure(result, server(mode), one, turn)

    def _measure(
        self, result: Result, server: Server, one: Callable[[Server], Values], turn: str
    ) -> None:
        """Start a server, measure it, end it."""
        what = f"{result.work}{f' {result.n}' if result.n else ''} {server.name}{turn}"
        try:
            with server:
                values, others, details = one(server)
        except BenchmarkError as error:
            result.error = str(error)
            progress(f"{what}: {error}")
            return
        result.values += values
        result.others += others
        result.details = {**result.details, **details}
        shown = " ".join(f"{value:.4g}" for value in values)
        around = max(others, default=0.0)
        busy = f", others used {around:.1f} processors" if around > 0.2 else ""
        progress(f"{what}: {shown} {result.unit}{busy}")

    def windows_of(self, server: Server, load: Generator) -> Iterator[Window]:
        """Measure the windows of one start."""
        for _ in range(self.windows):
            yield window(server, load, self.seconds)

    def describe(self) -> dict[str, Any]:
        """Return all that is known, as JSON."""
        return {
            "machine": machine(),
            "began": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self.began)),
            "minutes": round((time.time() - self.began) / 60, 1),
            "windows": {
                "seconds": self.seconds,
                "warm": self.warm,
                "of each start": self.windows,
                "starts": self.rounds,
            },
            "servers": {
                server.name: {
                    "version": server.version(),
                    "settings": server.settings(),
                }
                for server in self.found.servers
            },
            "missing": self.found.missing,
            "growth": self.growth,
            "results": [asdict(result) for result in self.results],
        }


def window(server: Server, load: Generator, seconds: float) -> Window:
    """Measure a span of time."""
    pids = server.pids()
    load.begin()
    at, cpu, busy, before = time.monotonic(), cpu_seconds(pids), machine_busy(), ticks(pids)
    time.sleep(seconds)
    took = time.monotonic() - at
    cpu, busy, after = cpu_seconds(pids) - cpu, machine_busy() - busy, ticks(pids)
    load.end()
    report = load.report()
    others = max(0.0, (busy - cpu - report["cpu"]) / took)
    return Window(took, cpu, share(before, after), others, report)


@contextmanager
def alone() -> Iterator[None]:
    """Be the only one who measures on this machine."""
    with LOCK.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waits for another measurement ({LOCK})")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def progress(words: str) -> None:
    """Tell how far it is."""
    print(time.strftime("%H:%M:%S"), words, file=sys.stderr, flush=True)


def machine() -> Mapping[str, Any]:
    """Describe the machine, and what it is busy with."""
    model = ""
    for row in Path("/proc/cpuinfo").read_text().splitlines():
        if row.startswith("model name"):
            model = row.partition(":")[2].strip()
            break
    return {
        "processors": os.cpu_count(),
        "model": model or platform.machine(),
        "kernel": platform.release().partition("-")[0],
        "load average": [round(each, 2) for each in os.getloadavg()],
    }
