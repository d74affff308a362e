"""Splitting and joining of NAL units."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.codecs.nal_unit import (
    MAX_NAL_UNITS,
    joined,
    split,
    split_annex_b,
    split_any,
    unescaped,
)
from tests.codecs.builders import escaped, prefixed

NAL_UNITS = st.lists(st.binary(min_size=1, max_size=20), max_size=9)
SPLITS: list[tuple[str, bytes, int, list[bytes], bool]] = [
    ("nothing", b"", 4, [], True),
    ("two", prefixed(b"a", b"bc"), 4, [b"a", b"bc"], True),
    ("empty ones", prefixed(b"", b"a", b""), 4, [b"a"], True),
    ("lengths of a byte", b"\1a\2bc", 1, [b"a", b"bc"], True),
    ("lengths of two bytes", b"\0\1a\0\2bc", 2, [b"a", b"bc"], True),
    ("overrun by 1", prefixed(b"ab") + b"\0\0\0\2c", 4, [b"ab"], False),
    ("length cut", prefixed(b"ab") + b"\0\0\0", 4, [b"ab"], False),
    ("too many", prefixed(b"ab") * (MAX_NAL_UNITS + 1), 4, [b"ab"] * MAX_NAL_UNITS, False),
]


class NALUnitTests(SynchronousTestCase):
    def test_split(self) -> None:
        """Length-prefixed NAL units come apart; what is empty or damaged is left out."""
        for name, body, size, nal_units, is_whole in SPLITS:
            self.assertEqual(split(memoryview(body), size), (nal_units, is_whole), name)
            self.assertEqual(split_any(memoryview(body), size), (nal_units, is_whole), name)

    def test_start_codes(self) -> None:
        """Start codes of three and four bytes are taken where the lengths do not fit."""
        body = memoryview(b"\0\0\0\1ab\0\0\1cd\0\0\0\1\0\0\1ef\0")
        self.assertEqual(split_any(body, 4), ([b"ab", b"cd", b"ef"], True))
        self.assertFalse(split_annex_b(b"\0\0\1a" * (MAX_NAL_UNITS + 1))[1])
        self.assertEqual(split_any(b"\0\0\0\1a", 4), ([b"a"], True))

    @settings(max_examples=100, deadline=None)
    @given(NAL_UNITS)
    def test_round_trip(self, nal_units: list[bytes]) -> None:
        """What is joined comes apart again."""
        self.assertEqual(split(joined(nal_units), 4), (nal_units, True))

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.sampled_from([0, 0, 0, 1, 3, 4]), max_size=30).map(bytes))
    def test_escapes(self, rbsp: bytes) -> None:
        """Emulation prevention bytes are taken out, and no others."""
        self.assertEqual(unescaped(escaped(rbsp)), rbsp)
