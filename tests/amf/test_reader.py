"""Tests of `rapidrtmp.amf.reader`."""

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.amf.reader import DEFAULT_LIMITS, MAX_DEPTH, Limits, Reader


class LimitsTests(SynchronousTestCase):
    def test_defaults(self) -> None:
        """The defaults are those of the fault catalogue."""
        self.assertEqual(DEFAULT_LIMITS, Limits(depth=16, values=1000, string=65536))

    def test_depth_is_bounded(self) -> None:
        """No setting can make the recursion deep enough to fail."""
        self.assertEqual(Limits(depth=MAX_DEPTH).depth, MAX_DEPTH)
        for depth in (0, -1, MAX_DEPTH + 1):
            with self.assertRaisesRegex(ValueError, f"depth limit is {depth}, allowed are 1 to"):
                Limits(depth=depth)

    def test_others_are_positive(self) -> None:
        """A limit of zero would refuse every message."""
        for field in ("values", "string", "repeated"):
            with self.assertRaisesRegex(ValueError, "at least 1"):
                Limits(**{field: 0})


class ReaderTests(SynchronousTestCase):
    def test_reads(self) -> None:
        """The cursor moves by what is read, not by what is looked at."""
        reader = Reader(memoryview(b"\x00\x01\x02ab"), DEFAULT_LIMITS, offset=1)
        self.assertEqual(reader.peek(2), b"\x01\x02")
        self.assertEqual(reader.integer(2), 0x0102)
        self.assertEqual(reader.remaining, 2)
        self.assertEqual(reader.peek(9), b"ab")
        self.assertEqual(reader.text(2), "ab")
        self.assertEqual(reader.offset, 5)
