"""What a soak's figures must be."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.soak.gauges import MIB, Moment, slope, tenths, typical

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
