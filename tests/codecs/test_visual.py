"""The visual sample entry and what it says of colour."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.codecs.visual import (
    MAX_DIMENSION,
    check_size,
    combined_color,
    is_plain,
    stated_rate,
    visual_sample_entry,
)
from rapidrtmp.isobmff.box import box
from rapidrtmp.media.codec import ColorInfo, ConfigError
from tests.isobmff.checker import Box, parse_boxes

CONFIGURATION = box(b"tstC", b"abc")
MASTERING = (8500, 39850, 6550, 2300, 35400, 14600, 15635, 16450, 10_000_000, 1)
HDR = ColorInfo(9, 16, 9, max_cll=1000, max_fall=400, mastering=MASTERING)

COMBINED: list[tuple[str, ColorInfo | None, ColorInfo, ColorInfo]] = [
    ("nothing", None, ColorInfo(), ColorInfo()),
    ("told alone", None, HDR, HDR),
    ("stated alone", ColorInfo(1, 1, 1, True), ColorInfo(), ColorInfo(1, 1, 1, True)),
    ("both, the same", ColorInfo(9, 16, 9), HDR, HDR),
    (
        "both, stated wins",
        ColorInfo(9, 18, 9),
        HDR,
        ColorInfo(9, 18, 9, False, 1000, 400, MASTERING),
    ),
    ("stated as unspecified", ColorInfo(), HDR, HDR),
    ("stated in part", ColorInfo(2, 1, 2), ColorInfo(9, 16, 9), ColorInfo(9, 1, 9)),
    ("range is stated", ColorInfo(), ColorInfo(full_range=True), ColorInfo()),
]

RATES: list[tuple[int, int, float | None]] = [
    (1, 25, 25.0),
    (1001, 30000, 30000 / 1001),
    (0, 25, None),
    (1, 0, None),
    (1, 1000, 1000.0),
    (1, 1001, None),
]


def boxes_of(entry: bytes) -> dict[bytes, Box]:
    """Return the boxes inside of a sample entry."""
    return {child.type: child for child in parse_boxes(entry)[0].children(78)}


class VisualTests(SynchronousTestCase):
    def test_fixed_fields(self) -> None:
        """The entry has the fields of 14496-12 and, with nothing to say, one box."""
        octets = visual_sample_entry(b"tst1", 1280, 720, CONFIGURATION, ColorInfo())
        (entry,) = parse_boxes(octets)
        self.assertEqual(entry.type, b"tst1")
        self.assertEqual(entry.unpack("6xH16xHHIIIH"), (1, 1280, 720, 0x480000, 0x480000, 0, 1))
        self.assertEqual(entry.unpack("Hh", 74), (24, -1))
        self.assertEqual([child.type for child in entry.children(78)], [b"tstC"])
        self.assertEqual(entry.children(78)[0].payload, b"abc")

    def test_color(self) -> None:
        """Colour, mastering and light level get their boxes, in the order and units of the spec."""
        boxes = boxes_of(visual_sample_entry(b"tst1", 64, 48, CONFIGURATION, HDR, (4, 3)))
        self.assertEqual(list(boxes), [b"tstC", b"colr", b"mdcv", b"clli", b"pasp"])
        self.assertEqual(boxes[b"colr"].payload, b"nclx" + struct.pack(">HHHB", 9, 16, 9, 0))
        self.assertEqual(boxes[b"mdcv"].payload, struct.pack(">8H2I", *MASTERING))
        self.assertEqual(boxes[b"clli"].payload, struct.pack(">HH", 1000, 400))
        self.assertEqual(boxes[b"pasp"].payload, struct.pack(">II", 4, 3))

    def test_only_what_is_known(self) -> None:
        """A range alone is said; mastering with numbers missing is not."""
        for color, types in [
            (ColorInfo(full_range=True), [b"tstC", b"colr"]),
            (ColorInfo(matrix=1), [b"tstC", b"colr"]),
            (ColorInfo(max_fall=1), [b"tstC", b"clli"]),
            (ColorInfo(mastering=MASTERING[:9]), [b"tstC"]),
            (ColorInfo(mastering=MASTERING), [b"tstC", b"mdcv"]),
        ]:
            boxes = boxes_of(visual_sample_entry(b"tst1", 64, 48, CONFIGURATION, color))
            self.assertEqual(list(boxes), types, color)
        octets = visual_sample_entry(b"tst1", 64, 48, CONFIGURATION, ColorInfo(full_range=True))
        self.assertEqual(boxes_of(octets)[b"colr"].payload[4:], b"\0\2\0\2\0\2\x80")

    @settings(max_examples=50, deadline=None)
    @given(
        st.builds(
            ColorInfo,
            st.integers(),
            st.integers(),
            st.integers(),
            st.booleans(),
            st.integers(),
            st.integers(),
            st.lists(st.integers(), max_size=11).map(tuple),
        )
    )
    def test_absurd_numbers(self, color: ColorInfo) -> None:
        """Whatever a publisher tells, the entry is well-formed."""
        boxes_of(visual_sample_entry(b"tst1", 64, 48, CONFIGURATION, color))

    def test_combined(self) -> None:
        """What the bitstream says wins; the publisher fills the gaps."""
        for name, stated, told, expected in COMBINED:
            self.assertEqual(combined_color(stated, told), expected, name)

    def test_plain(self) -> None:
        """BT.709, or nothing, in limited range need not be spelled out."""
        for color, expected in [
            (ColorInfo(), True),
            (ColorInfo(1, 1, 1), True),
            (ColorInfo(1, 1, 1, True), False),
            (ColorInfo(full_range=True), False),
            (ColorInfo(9, 16, 9), False),
            (ColorInfo(1, 2, 1), False),
        ]:
            self.assertEqual(is_plain(color), expected, color)

    def test_sizes(self) -> None:
        """A picture has at least one pixel and at most the limit in each direction."""
        for width, height in [(1, 1), (MAX_DIMENSION, MAX_DIMENSION)]:
            check_size(width, height)
        for width, height in [(0, 1), (1, 0), (-8, 8), (MAX_DIMENSION + 1, 1), (1, 2**31)]:
            self.assertRaises(ConfigError, check_size, width, height)

    def test_rates(self) -> None:
        """A rate that makes no sense is none."""
        for ticks, timescale, expected in RATES:
            self.assertEqual(stated_rate(ticks, timescale), expected)
