"""What a process and all its descendants cost: CPU time and memory, as the kernel counts them."""

import os
import re
import socket
import time
from collections.abc import Sequence
from pathlib import Path

PROC = Path("/proc")
TICK = os.sysconf("SC_CLK_TCK")
_SCHEDULED = 2
"""CPUCLOCK_SCHED of Linux: the scheduler's run time, in ns, of a whole process."""
_CPU = re.compile(r"^cpu +(.*)$", re.MULTILINE)
_PSS = re.compile(r"^Pss: +(\d+)", re.MULTILINE)


class BenchmarkError(Exception):
    """A measurement cannot be made. Says why, in words for whoever ran it."""


def read_stat(text: str) -> tuple[int, int, int, int, int]:
    """Read ``/proc/PID/stat`` (proc(5)).

    Returns:
        Parent's id; user and system ticks; user and system ticks of children that were waited for.
    """
    # the name, in brackets, may hold anything
    fields = text[text.rindex(")") + 2 :].split()
    return int(fields[1]), int(fields[11]), int(fields[12]), int(fields[13]), int(fields[14])


def stat(pid: int) -> tuple[int, int, int, int, int]:
    """Read a process's `read_stat`; zeros when it is gone."""
    try:
        return read_stat((PROC / str(pid) / "stat").read_text(errors="replace"))
    except (OSError, ValueError):
        return (0, 0, 0, 0, 0)


def tree(root: int) -> list[int]:
    """Return a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            pid = int(entry.name)
            children.setdefault(stat(pid)[0], []).append(pid)
    found = [root]
    for pid in found:
        found += children.get(pid, ())
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return the user and system time of live processes, of all their threads.

    And of their children that ended and were waited for, which the kernel counts in ticks only.
    """
    total = 0.0
    for pid in pids:
        _, user, system, children_user, children_system = stat(pid)
        try:
            total += time.clock_gettime(~pid << 3 | _SCHEDULED)
        except OSError:  # gone, or not allowed: ticks are what is left
            total += (user + system) / TICK
        total += (children_user + children_system) / TICK
    return total


def user_share(before: tuple[int, int], after: tuple[int, int]) -> float:
    """Return which part of the time was user time, by two `ticks`."""
    user, system = after[0] - before[0], after[1] - before[1]
    return user / max(1, user + system)


def ticks(pids: Sequence[int]) -> tuple[int, int]:
    """Return user and system ticks of some processes."""
    stats = [stat(pid) for pid in pids]
    return sum(each[1] for each in stats), sum(each[2] for each in stats)


def memory(pids: Sequence[int]) -> int:
    """Return the proportional set size in bytes: shared pages count for a share each."""
    total = 0
    for pid in pids:
        try:
            found = _PSS.search((PROC / str(pid) / "smaps_rollup").read_text())
        except OSError:
            continue
        total += 1024 * int(found[1]) if found else 0
    return total


def read_machine_busy(text: str) -> float:
    """Read from ``/proc/stat`` for how many seconds the processors were busy, or stolen."""
    found = _CPU.search(text)
    if found is None:
        return 0.0
    user, nice, system, _, _, irq, softirq, steal, *_ = map(int, found[1].split())
    return (user + nice + system + irq + softirq + steal) / TICK


def machine_busy() -> float:
    """Return for how many seconds the machine's processors were busy since it started."""
    return read_machine_busy((PROC / "stat").read_text())


def free_ports(count: int) -> list[int]:
    """Return TCP ports of the loopback interface that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
