"""When the machine itself stood still, told by a process that does nothing but look at the clock.

The child process, ``python -m tests.soak.stalls``, sleeps again and again until standard input
ends, and prints between which monotonic times it should have woken up and did not. No work of the
server's delays it: there is another processor, and who has slept goes before who has run.
"""

import select
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import TypeAlias

from tests.integration.case import IntegrationTestCase
from tests.integration.process import Child, python_environment, wait_for

PERIOD = 0.02
"""Seconds of sleep."""
LATE = 0.1
"""Seconds from which on waking up late is told."""
READY = "ready"

Span: TypeAlias = tuple[float, float]
"""From one monotonic time to another."""


class Stalls:
    """What a child process sees of the machine's stalls, from now on."""

    def __init__(self, case: IntegrationTestCase) -> None:
        """Start it; it ends with the test."""
        self._child = Child(
            [sys.executable, "-m", "tests.soak.stalls"],
            case.temporary() / "stalls.log",
            environment=python_environment(),
            stdin=subprocess.PIPE,
        )
        case.addCleanup(self._child.kill)
        wait_for(lambda: READY in self._child.output(), "it looks at the clock")

    @property
    def spans(self) -> list[Span]:
        """All stalls."""
        if not self._child.running():
            raise AssertionError(f"nobody looks at the clock: {self._child.output()[-500:]}")
        lines = self._child.output().splitlines(keepends=True)[1:]
        ends = [line.split() for line in lines if line.endswith("\n")]
        return [(float(since), float(until)) for since, until in ends]


def total(spans: Sequence[Span]) -> float:
    """Add up how long they are."""
    return sum(until - since for since, until in spans)


def main() -> None:
    """Look until standard input ends."""
    print(READY, flush=True)
    due = time.monotonic() + PERIOD
    while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
        now = time.monotonic()
        if now - due > LATE:
            print(due, now, flush=True)
        due = now + PERIOD


if __name__ == "__main__":
    main()
