"""Timed metadata in the forms of HLS: ID3, SCTE 35, what a publisher says."""

import json
import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.hls.date_range import MAX_ATTRIBUTES, date_range_line
from rapidrtmp.hls.id3 import ID3Error, check_tag, text_tag
from rapidrtmp.hls.scte35 import MAX_SECTION, Splice, SpliceError, crc_32, parse_section
from rapidrtmp.hls.timed import ID3_SCHEME, hls_form
from rapidrtmp.media.timed import DateRange, EventMessage, ScriptMessage, TimedMetadata
from tests.hls.date_range_checker import parse_date_range
from tests.hls.splices import (
    SPLICE_INSERT_OUT,
    TIME_SIGNAL_END,
    TIME_SIGNAL_START,
    section,
    segmentation,
    splice_insert,
    time_signal,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def frames(tag: bytes) -> list[tuple[bytes, bytes]]:
    """Read the frames of an ID3v2.4 tag."""
    assert tag[:6] == b"ID3\4\0\0"
    found = []
    position = 10
    while position < len(tag):
        a, b, c, d = tag[position + 4 : position + 8]
        size = a << 21 | b << 14 | c << 7 | d
        start = position + 10
        found.append((tag[position : position + 4], tag[start : start + size]))
        position = start + size
    return found


class ID3Tests(SynchronousTestCase):
    def test_written(self) -> None:
        """The frames are those of the specification, byte for byte."""
        self.assertEqual(
            text_tag("a", "é").hex(" "),
            "49 44 33 04 00 00 00 00 00 0f 54 58 58 58 00 00 00 05 00 00 03 61 00 c3 a9",
        )
        self.assertEqual(frames(text_tag("a\0b", "t\0u")), [(b"TXXX", b"\3a\0t")])

    @given(st.text(max_size=50), st.text(max_size=400))
    def test_read_again(self, description: str, text: str) -> None:
        """Whatever the text is, it is one frame of one good tag."""
        tag = text_tag(description, text)
        check_tag(tag)
        check_tag(tag + text_tag("x", text))
        self.assertEqual(len(frames(tag)), 1)

    def test_broken(self) -> None:
        """What is no whole tag with a frame is refused in words."""
        good = text_tag("a", "b")
        for octets in (
            b"",
            b"ID3",
            good[:-1],
            good + b"x",
            b"ID4" + good[3:],
            good[:3] + b"\2" + good[4:],
            good[:6] + b"\x80" + good[7:],
            b"ID3\4\0\0\0\0\0\0",
            good[:10] + b"txxx" + good[14:],
        ):
            self.assertRaises(ID3Error, check_tag, octets)


class SpliceTests(SynchronousTestCase):
    def test_known(self) -> None:
        """Sections of SCTE 35 section 14 are understood."""
        self.assertEqual(
            parse_section(SPLICE_INSERT_OUT), Splice(5, 0x4800008F, True, 60.293566666666664)
        )
        start, end = parse_section(TIME_SIGNAL_START), parse_section(TIME_SIGNAL_END)
        self.assertEqual((start.command, start.event_id, start.is_out), (6, 0x4800008E, True))
        self.assertAlmostEqual(start.duration or 0.0, 307.0, places=1)
        self.assertEqual((end.event_id, end.is_out, end.duration), (0x4800008E, False, None))

    def test_made(self) -> None:
        """All that a splice_insert or a segmentation can say."""
        for octets, expected in (
            (splice_insert(7, out=True), Splice(5, 7, True)),
            (splice_insert(7, out=True, seconds=30), Splice(5, 7, True, 30.0)),
            (splice_insert(7, out=False, immediate=True), Splice(5, 7, False)),
            (splice_insert(7, out=False, components=2), Splice(5, 7, False)),
            (time_signal(), Splice(6)),
            (time_signal(segmentation(9, 0x34, seconds=15)), Splice(6, 9, True, 15.0)),
            (time_signal(segmentation(9, 0x37)), Splice(6, 9, False)),
            (time_signal(segmentation(9, 0x10)), Splice(6, 9, None)),
            (time_signal(b"\x00\x08CUEI\0\0\0\x01", segmentation(9, 0x30)), Splice(6, 9, True)),
        ):
            self.assertEqual(parse_section(octets), expected, octets.hex())

    def test_broken(self) -> None:
        """Each part that is wrong is named; nothing else is ever raised."""
        good = splice_insert(7, out=True)
        broken = [
            (b"", "FC"),
            (b"\xfb" + good[1:], "FC"),
            (good + b"\0", "section_length"),
            (good[:-1], "section_length"),
            (good[:20] + bytes((good[20] ^ 1,)) + good[21:], "CRC"),
            (b"\xfc" * (MAX_SECTION + 1), "at most"),
            (section(5, b"", version=1), "protocol_version"),
            (section(5, b"", encrypted=True), "encrypted"),
            (section(0, b""), "splice_command_type"),
            (section(5, b"\0\0\0"), "cut short"),
            (section(5, struct.pack(">IB", 7, 0xFF)), "cancels"),
            (section(6, b"\x7f", length=9), "splice_command_length"),
            (section(6, b"\x7f", b"\x02\x20CUEI"), "overruns"),
        ]
        for octets, words in broken:
            error = self.assertRaises(SpliceError, parse_section, octets)
            self.assertIn(words, str(error))

    @given(st.binary(max_size=60), st.integers(0, 8), st.binary(max_size=30))
    def test_arbitrary(self, body: bytes, command: int, descriptors: bytes) -> None:
        """Sections with any content raise the typed error alone, and so do any octets."""
        for octets in (body, section(command, body, descriptors)):
            try:
                parse_section(octets)
            except SpliceError:
                pass

    def test_crc(self) -> None:
        """The check value of CRC-32/MPEG-2."""
        self.assertEqual(crc_32(b"123456789"), 0x0376E6E7)


def form(script: ScriptMessage) -> tuple[EventMessage, DateRange]:
    """Return what becomes of a data message."""
    message, date_range = hls_form(TimedMetadata(90_000, 1_800_000_000.5, 0.0, script))
    assert isinstance(message, EventMessage) and isinstance(date_range, DateRange)
    return message, date_range


class ScriptTests(SynchronousTestCase):
    def test_text(self) -> None:
        """onTextData: all of it in the ID3 tag, its plain values in the date range."""
        values = {"text": 'Say "hi"\n', "language": "en", "trackid": 1.0, "live": True}
        message, date_range = form(ScriptMessage("onTextData", [values], b""))
        self.assertEqual((message.scheme, message.duration), (ID3_SCHEME, None))
        [(kind, body)] = frames(message.data)
        self.assertEqual((kind, body[:12]), (b"TXXX", b"\3onTextData\0"))
        self.assertEqual(json.loads(body[12:]), values)
        self.assertEqual(
            date_range_line(date_range),
            '#EXT-X-DATERANGE:ID="rtmp.onTextData.1800000000500",CLASS="rtmp.onTextData",'
            'START-DATE="2027-01-15T08:00:00.500Z",DURATION=0.000,X-TEXT="Say hi",'
            'X-LANGUAGE="en",X-TRACKID=1,X-LIVE="true"',
        )

    def test_cue_point(self) -> None:
        """onCuePoint: parameters get the object's name in front; a duration is believed."""
        values = {"name": "ad", "duration": 30.0, "parameters": {"key 1": "v", "deep": {"a": 2.5}}}
        message, date_range = form(ScriptMessage("onCuePoint", [values], b""))
        self.assertEqual((message.duration, date_range.duration), (30.0, 30.0))
        self.assertEqual(
            date_range.attributes,
            {
                "X-NAME": "ad",
                "X-DURATION": 30.0,
                "X-PARAMETERS-KEY-1": "v",
                "X-PARAMETERS-DEEP-A": 2.5,
            },
        )

    def test_several(self) -> None:
        """Values without names are counted."""
        message, date_range = form(ScriptMessage("own", ["a", 1.0, None, [1.0]], b""))
        self.assertEqual(date_range.attributes, {"X-VALUE-1": "a", "X-VALUE-2": 1.0})
        self.assertTrue(message.data.endswith(b'["a",1.0,null,[1.0]]'))

    @given(st.text(min_size=1, max_size=64), st.lists(JSON, max_size=4))
    def test_arbitrary(self, name: str, values: list[object]) -> None:
        """Whatever a publisher says, the line is one good tag with what may be in it."""
        message, date_range = form(ScriptMessage(name, values, b""))
        check_tag(message.data)
        line = date_range_line(date_range)
        self.assertTrue(line.isprintable())
        listed = parse_date_range(line.removeprefix("#EXT-X-DATERANGE:"))
        own = [attribute for attribute in listed.attributes if attribute.startswith("X-")]
        self.assertLessEqual(len(own), MAX_ATTRIBUTES)
        self.assertLess(len(line), 8000)
