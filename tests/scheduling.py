"""Keeps encoders that run in a test's own process from starving the rest of the machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def ordinary_scheduling() -> Iterator[None]:
    """Take back that threads of this process became real-time ones.

    SVT-AV1 makes the thread that opens it one where it may, for good: threads and processes that
    begin later would be as well, and two that wait for something by spinning would stop two cores.
    """
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for task in Path("/proc/self/task").iterdir():
            with suppress(ProcessLookupError):  # a thread that has just ended
                os.sched_setscheduler(int(task.name), policy, priority)
