"""What a soak's figures must be."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.soak.gauges import MIB, Moment, Stretch, late, slope, tenths, typical, within
from tests.soak.stalls import Span

LONG = 300.0
"""Seconds of load from which on memory has settled, and everything has to be judged."""
GROWTH = 24 * MIB
"""That the last tenth may be above the first one."""
LONG_GROWTH = 8 * MIB
"""The same in a long run."""
SETTLED = 4 * MIB
"""That the line through the second half of a long run may rise from its begin to its end."""
THREADS = 4
"""That the last tenth may have more."""
DESCRIPTORS = 60
"""The same. Two actors hold twenty half-shaken connections each, or none; others one or two."""
NOT_JUDGED = "not judged"
"""What the value of a figure begins with that was measured under too much other load."""
BUSY = 2.0
"""Times as long as alone that things may take in a stretch whose lag is judged."""
ENOUGH = 0.2
"""Part of the stretches that must be fit to be judged by themselves."""
SHARED = 10.0
"""Times as long as alone that things may take where all stretches are judged."""
LATER = "later than"
MOST_LATE = 1.0
"""Percent of the measurements that may be later than the bound."""
ROUGH = "judged without what the server waited for the CPU: that is longer than it ran"
"""Of a figure that a machine with less to do would tell more of."""


def undisturbed(stretches: Sequence[Stretch], disturbed: Sequence[Span]) -> list[Stretch]:
    """Choose those in which the server had its CPU, and nothing else held it up.

    What the server itself does slowly is in them: it runs then, and does not wait.

    Args:
        stretches: all.
        disturbed: when the machine stood still, and what else does not count.
    """
    return [
        stretch
        for stretch in stretches
        if stretch.factor <= BUSY
        and not any(since < stretch.ended and until > stretch.begun for since, until in disturbed)
    ]


def judged_lag(
    stretches: Sequence[Stretch], excused: Sequence[Span], stalls: Sequence[Span], bound: float
) -> dict[str, float | str]:
    """Tell how late the reactor was, in 99 of 100 measurements, and how many were too late.

    Where there are too few stretches to judge by themselves, all are judged, and the reactor may
    be as late in addition as it waited for a CPU.

    Args:
        stretches: all.
        excused: when the server was held up on purpose: of no interest.
        stalls: when the machine stood still.
        bound: seconds.
    """
    meant = [
        stretch
        for stretch in stretches
        if not any(since < stretch.ended and until > stretch.begun for since, until in excused)
    ]
    judged = undisturbed(meant, stalls)
    ran, waited = (sum(getattr(each, what) for each in meant) for what in ("ran", "waited"))
    factor = 1 + waited / max(ran, 0.001)
    is_rough = len(judged) < max(1.0, ENOUGH * len(meant))
    chosen = meant if is_rough else judged
    told: dict[str, float | str] = {
        "reactor lag p99 (s)": within(chosen),
        f"{LATER} {bound} s": f"{late(chosen, bound, waiting=is_rough):.1%}",
        "undisturbed": f"{len(judged)} of {len(meant)} seconds",
        "times as long as alone": round(factor, 1),
    }
    if is_rough:
        told["reactor lag"] = ROUGH if meant and factor <= SHARED else f"{NOT_JUDGED}: no CPU"
    return told


def too_late(told: Mapping[str, float | str]) -> list[str]:
    """Tell which of the figures of `judged_lag` say that the reactor was too late."""
    return [
        f"{name}: {value}"
        for name, value in told.items()
        if name.startswith(LATER) and float(str(value).rstrip("%")) > MOST_LATE
    ]


def second_half(moments: Sequence[Moment]) -> Sequence[Moment]:
    """Give the looks of the second half, two at least."""
    return moments[min(len(moments) // 2, len(moments) - 2) :]


def growths(moments: Sequence[Moment], seconds: float) -> list[str]:
    """Tell what grew, of memory, threads and descriptors.

    Args:
        moments: all looks.
        seconds: of load.
    """
    first, last = tenths(moments)
    bounds = {
        "memory": GROWTH if seconds < LONG else LONG_GROWTH,
        "threads": THREADS,
        "descriptors": DESCRIPTORS,
    }
    found = []
    for what, bound in bounds.items():
        before, after = typical(first, what), typical(last, what)
        if after > before + bound:
            found.append(f"{what}: from {before:.0f} to {after:.0f}, more than {bound} above")
    half = second_half(moments)
    rise = slope(half) * (half[-1].at - half[0].at) / 3600
    if seconds >= LONG and rise > SETTLED:
        found.append(f"memory: rises by {rise:.0f} in the second half, more than {SETTLED}")
    return found


def unjudged(report: Mapping[str, Any], seconds: float) -> list[str]:
    """Tell which figures of a long run were not judged; of a short one, none has to be."""
    return list(_unjudged(report)) if seconds >= LONG else []


def _unjudged(report: Mapping[str, Any]) -> Iterator[str]:
    for name, value in report.items():
        if isinstance(value, Mapping):
            yield from (f"{name}: {line}" for line in _unjudged(value))
        elif isinstance(value, str) and value.startswith(NOT_JUDGED):
            yield f"{name}: {value}"
