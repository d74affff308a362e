"""Tests of rapidrtmp.histogram."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.histogram import Histogram, PowerHistogram


class HistogramTests(SynchronousTestCase):
    def test_bounds_are_inclusive(self) -> None:
        """A value on a bound is in that bound's bucket."""
        histogram = Histogram([1, 2.5])
        for value in (0.5, 1, 1.5, 2.5, 3):
            histogram.observe(value)
        self.assertEqual(histogram.counts, [2, 2, 1])
        self.assertEqual((histogram.count, histogram.sum), (5, 8.5))
        self.assertEqual(histogram.cumulative(), [("1.0", 2), ("2.5", 4), ("+Inf", 5)])

    def test_merge(self) -> None:
        """Two of them add up."""
        one, other = Histogram([1]), Histogram([1])
        one.observe(0)
        other.observe(2)
        other.observe(3)
        one.merge(other)
        self.assertEqual((one.counts, one.sum), ([1, 2], 5))


class PowerHistogramTests(SynchronousTestCase):
    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.integers(1, 1 << 40)))
    def test_same_as_a_histogram(self, sizes: list[int]) -> None:
        """It counts as a Histogram with bounds that double."""
        quick = PowerHistogram(10)
        plain = Histogram([1024.0 * 2**k for k in range(10)])
        for size in sizes:
            quick.observe(size)
            plain.observe(size)
        folded = quick.folded(10)
        self.assertEqual(folded.cumulative(), plain.cumulative())
        self.assertEqual(folded.sum, sum(sizes))

    def test_merge(self) -> None:
        """Two of them add up."""
        one, other = PowerHistogram(10), PowerHistogram(10)
        one.observe(1)
        other.observe(5000)
        one.merge(other)
        self.assertEqual(one.folded(2).cumulative(), [("1024.0", 1), ("2048.0", 1), ("+Inf", 2)])
        self.assertEqual(one.sum, 5001)
