"""Tests of rapidrtmp.storage.path."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.storage.path import check_range, is_part, split_path
from tests.storage.contract import BAD_PATHS, GOOD_PATHS


class PathTests(SynchronousTestCase):
    def test_good(self) -> None:
        """Allowed paths are split at their slashes, nothing else."""
        for path in GOOD_PATHS:
            self.assertEqual(split_path(path), tuple(path.split("/")))

    def test_bad(self) -> None:
        """Anything else is a ValueError, whose message can be printed and is bounded."""
        for path in [*BAD_PATHS, "x/" * 100_000]:
            with self.subTest(path=path[:50]):
                error = self.assertRaises(ValueError, split_path, path)
                self.assertLess(len(str(error).encode()), 20_000)

    def test_part(self) -> None:
        """A part has no slash."""
        self.assertTrue(is_part("a.b-c_D9"))
        for name in ("a/b", "", ".", "..", "a\n", "~0123456789abcdef.tmp"):
            self.assertFalse(is_part(name), name)

    @settings(max_examples=200, deadline=None)
    @given(st.text())
    def test_arbitrary_text(self, path: str) -> None:
        """Any text is split without loss or refused with ValueError."""
        try:
            parts = split_path(path)
        except ValueError:
            return
        self.assertEqual("/".join(parts), path)
        self.assertTrue(path.isascii())
        self.assertTrue({".", "..", ""}.isdisjoint(parts))


class RangeTests(SynchronousTestCase):
    def test_range(self) -> None:
        """Bounds are not negative and in order."""
        for start, end in [(0, None), (0, 0), (5, 5), (5, 6)]:
            check_range(start, end)
        for start, end in [(-1, None), (0, -1), (6, 5)]:
            self.assertRaises(ValueError, check_range, start, end)
