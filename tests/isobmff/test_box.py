"""Tests of rapidrtmp.isobmff.box."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.isobmff.box import box, full_box
from tests.isobmff.checker import parse_boxes

TYPES = st.binary(min_size=4, max_size=4)


class BoxTests(SynchronousTestCase):
    def test_bytes(self) -> None:
        """Known boxes have exactly these bytes."""
        for made, wire in (
            (box(b"mdat"), "00000008 6d646174"),
            (box(b"mdat", b"\1", b"", b"\2\3"), "0000000b 6d646174 010203"),
            (full_box(b"url ", 0, 1), "0000000c 75726c20 00000001"),
            (full_box(b"tfdt", 1, 0x20, b"\7"), "0000000d 74666474 01000020 07"),
        ):
            self.assertEqual(made, bytes.fromhex(wire))

    @given(TYPES, st.lists(st.binary(max_size=40), max_size=4))
    @settings(max_examples=50, deadline=None)
    def test_box_is_read_back(self, type_: bytes, parts: list[bytes]) -> None:
        """Whatever the parts, a parser finds one box with their join."""
        (found,) = parse_boxes(box(type_, *parts))
        self.assertEqual((found.type, found.payload), (type_, b"".join(parts)))

    @given(TYPES, st.integers(0, 255), st.integers(0, 0xFFFFFF), st.binary(max_size=40))
    @settings(max_examples=50, deadline=None)
    def test_full_box_is_read_back(
        self, type_: bytes, version: int, flags: int, part: bytes
    ) -> None:
        """Version and flags keep to their own bits."""
        (found,) = parse_boxes(full_box(type_, version, flags, part))
        self.assertEqual(found.version_and_flags(), (version, flags))
        self.assertEqual(found.payload[4:], part)

    def test_boxes_nest(self) -> None:
        """A box is a part of another."""
        (outer,) = parse_boxes(box(b"moof", full_box(b"mfhd", 0, 0, b"\0\0\0\7"), box(b"traf")))
        self.assertEqual(outer.one(b"mfhd").unpack("I", 4), (7,))
        self.assertEqual([child.type for child in outer.children()], [b"mfhd", b"traf"])
