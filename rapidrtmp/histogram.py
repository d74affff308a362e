"""Counts values in buckets: a plain object that metrics are read from."""

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """How many values were at most each of a few bounds, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Make an empty one.

        Args:
            bounds: upper, inclusive bounds of the buckets, rising.
        """
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        """Values in each bucket; the last one is above all bounds."""
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self.counts)

    def merge(self, other: "Histogram") -> None:
        """Add what another one with the same bounds counted."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum

    def cumulative(self) -> list[tuple[str, int]]:
        """Return the buckets as Prometheus wants them: bound as text, values up to it."""
        total = 0
        buckets = []
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            total += count
            buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), total))
        return buckets


class PowerHistogram:
    """Counts sizes in buckets that double, for the hot path: no search, no call but one.

    ``counts[((size - 1) >> shift).bit_length()] += 1`` and ``sum += size`` are all it takes.
    """

    __slots__ = ("counts", "shift", "sum")

    SLOTS = 48
    """Buckets: enough for any size, so that no index is ever out of range."""

    def __init__(self, shift: int) -> None:
        """Make an empty one whose first bucket holds sizes up to ``1 << shift`` bytes."""
        self.shift = shift
        self.counts = [0] * self.SLOTS
        self.sum = 0

    def observe(self, size: int) -> None:
        """Count a size in bytes, at least 1."""
        self.counts[((size - 1) >> self.shift).bit_length()] += 1
        self.sum += size

    def merge(self, other: "PowerHistogram") -> None:
        """Add what another one of the same shift counted."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum

    def folded(self, buckets: int) -> Histogram:
        """Return a Histogram whose bounds are ``1 << shift`` and its doubles."""
        histogram = Histogram([float(1 << (self.shift + k)) for k in range(buckets)])
        histogram.counts = [*self.counts[:buckets], sum(self.counts[buckets:])]
        histogram.sum = float(self.sum)
        return histogram
