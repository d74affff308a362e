"""The statistics of the benchmarks."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.compare import verdict
from benchmarks.figures import (
    bootstrap,
    histogram_percentile,
    line,
    percentile,
    read_buckets,
    slope,
)

METRICS = """\
# TYPE lag histogram
lag_bucket{le="0.01"} 10.0
lag_bucket{le="0.1"} 30.0
lag_bucket{le="+Inf"} 40.0
lag_bucket_other{le="0.01"} 99.0
lag_count 40.0
"""


class FigureTests(SynchronousTestCase):
    def test_percentile(self) -> None:
        """The nearest rank, from one value to many."""
        cases = [
            ([7.0], 0.5, 7.0),
            ([2.0, 1.0], 0.5, 1.0),
            ([3.0, 1.0, 2.0], 0.5, 2.0),
            ([float(each) for each in range(1, 101)], 0.99, 99.0),
            ([float(each) for each in range(1, 101)], 1.0, 100.0),
            ([float(each) for each in range(1, 101)], 0.0, 1.0),
        ]
        for values, share, expected in cases:
            self.assertEqual(percentile(values, share), expected, (values[:3], share))
        with self.assertRaises(ValueError):
            percentile([], 0.5)

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.integers(0, 99), min_size=1, max_size=50), st.floats(0, 1))
    def test_share(self, values: list[int], share: float) -> None:
        """At least the share of all values are at most the percentile."""
        found = percentile(values, share)
        self.assertIn(found, values)
        self.assertGreaterEqual(sum(value <= found for value in values), share * len(values) - 1e-6)

    def test_slope(self) -> None:
        """Linear growth has exponent 1, quadratic 2; a fixed cost makes it less."""
        self.assertAlmostEqual(slope([(1, 3), (10, 30), (100, 300)]), 1.0)
        self.assertAlmostEqual(slope([(1, 3), (10, 300)]), 2.0)
        self.assertLess(slope([(1, 10 + 3), (10, 10 + 30)]), 1.0)

    def test_line(self) -> None:
        """What is there without any, and what each adds."""
        idle, each = line([(0, 2), (10, 7), (20, 12)])
        self.assertAlmostEqual(idle, 2.0)
        self.assertAlmostEqual(each, 0.5)

    def test_histogram(self) -> None:
        """A window's percentile is between the bounds of its bucket."""
        after = read_buckets(METRICS, "lag")
        self.assertEqual(after, {0.01: 10.0, 0.1: 30.0, float("inf"): 40.0})
        self.assertAlmostEqual(histogram_percentile({}, after, 0.25), 0.01)
        self.assertAlmostEqual(histogram_percentile({}, after, 0.5), 0.055)
        self.assertEqual(histogram_percentile({}, after, 0.99), 0.1)
        before = {0.01: 9.0, 0.1: 29.0, float("inf"): 39.0}
        self.assertAlmostEqual(histogram_percentile(before, after, 0.99), 0.0099)
        self.assertEqual(histogram_percentile(after, after, 0.99), 0.0)

    def test_bootstrap(self) -> None:
        """The interval holds the median, is narrow for what agrees and wide for what does not."""
        low, high = bootstrap([[1.0, 1.01, 1.02], [1.0, 1.01, 1.02]])
        self.assertTrue(1.0 <= low <= 1.01 <= high <= 1.02)
        low, high = bootstrap([[1.0, 1.01], [1.3, 1.31], [0.8, 0.81]])
        self.assertGreater(high - low, 0.3)
        self.assertEqual(bootstrap([[1.0, 2.0, 3.0]]), bootstrap([[1.0, 2.0, 3.0]]))


class VerdictTests(SynchronousTestCase):
    def test_dearer(self) -> None:
        """What is surely dearer than the threshold is told from noise and from what is cheaper."""
        dearer = [[(100.0, 120.0 + each) for each in range(8)] for _ in range(5)]
        noise = [[(100.0, 80.0), (100.0, 125.0), (100.0, 99.0)] for _ in range(5)]
        cheaper = [[(100.0, 70.0)] * 8] * 5
        self.assertEqual(
            [verdict("x", each).is_worse(1.05) for each in (dearer, noise, cheaper)],
            [True, False, False],
        )
        self.assertAlmostEqual(verdict("x", cheaper).ratio, 0.7)
        # by how much is allowed
        self.assertFalse(verdict("x", dearer).is_worse(1.3))
