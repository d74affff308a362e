"""Audio and video tag bodies."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.flv import tag
from rapidrtmp.flv.tag import AudioTag, VideoTag

VIDEO: list[tuple[str, str, VideoTag]] = [
    ("AVC configuration", "1700000000 0164", VideoTag(1, 7, 0, 0, b"\x01\x64")),
    ("AVC key frame", "1701000028 aabb", VideoTag(1, 7, 1, 40, b"\xaa\xbb")),
    ("AVC inter frame", "2701ffffd8 aa", VideoTag(2, 7, 1, -40, b"\xaa")),
    ("latest", "27017fffff", VideoTag(2, 7, 1, 8388607, b"")),
    ("earliest", "2701800000", VideoTag(2, 7, 1, -8388608, b"")),
    ("end of sequence", "1702000000", VideoTag(1, 7, 2, 0, b"")),
    ("HEVC, unofficial", "1c00000000 01", VideoTag(1, 12, 0, 0, b"\x01")),
    ("Sorenson", "22 0000", VideoTag(2, 2, 1, 0, b"\0\0")),
    ("command", "5200", VideoTag(5, 2, 1, 0, b"\0")),
    ("VP6, header alone", "14", VideoTag(1, 4, 1, 0, b"")),
]

AUDIO: list[tuple[str, str, AudioTag]] = [
    ("AAC configuration", "af00 1210", AudioTag(10, 0, b"\x12\x10")),
    ("AAC frame", "af01 21", AudioTag(10, 1, b"\x21")),
    ("AAC, other bits", "a201", AudioTag(10, 1, b"", 2)),
    ("MP3", "2f fffb", AudioTag(2, 1, b"\xff\xfb")),
    ("Speex, header alone", "b2", AudioTag(11, 1, b"", 2)),
]

SHORT_VIDEO = ["", "17", "1701", "17010000", "1c000000"]
SHORT_AUDIO = ["", "af"]


class TagTests(SynchronousTestCase):
    def test_video(self) -> None:
        """Each form is read and written alike."""
        for name, octets, value in VIDEO:
            wire = bytes.fromhex(octets)
            self.assertEqual(tag.parse_video(memoryview(wire)), value, name)
            self.assertEqual(tag.build_video(value), wire, name)

    def test_audio(self) -> None:
        """Each form is read and written alike."""
        for name, octets, value in AUDIO:
            wire = bytes.fromhex(octets)
            self.assertEqual(tag.parse_audio(memoryview(wire)), value, name)
            self.assertEqual(tag.build_audio(value), wire, name)

    def test_short(self) -> None:
        """A body that ends inside its header is the typed error."""
        for octets in SHORT_VIDEO:
            wire = memoryview(bytes.fromhex(octets))
            self.assertRaises(tag.TagError, tag.parse_video, wire)
        for octets in SHORT_AUDIO:
            wire = memoryview(bytes.fromhex(octets))
            self.assertRaises(tag.TagError, tag.parse_audio, wire)

    def test_view(self) -> None:
        """What stands behind the header is not copied."""
        wire = bytearray.fromhex("17010000000000")
        body = tag.parse_video(memoryview(wire)).body
        audio = tag.parse_audio(memoryview(wire)[5:]).body
        wire[5:] = b"xy"
        self.assertEqual(bytes(body), b"xy")
        self.assertEqual(bytes(audio), b"y")

    def test_out_of_range(self) -> None:
        """A field that does not fit is refused, not cut."""
        for time in (1 << 23, -(1 << 23) - 1):
            self.assertRaises(OverflowError, tag.build_video, VideoTag(1, 7, 1, time, b""))
        self.assertRaises(ValueError, tag.build_video, VideoTag(16, 7, 1, 0, b""))
        self.assertRaises(ValueError, tag.build_audio, AudioTag(16, 1, b""))

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=12))
    def test_arbitrary(self, octets: bytes) -> None:
        """Whatever can be read is written back as it was."""
        try:
            self.assertEqual(tag.build_video(tag.parse_video(memoryview(octets))), octets)
        except tag.TagError:
            self.assertLess(len(octets), 5)
        try:
            self.assertEqual(tag.build_audio(tag.parse_audio(memoryview(octets))), octets)
        except tag.TagError:
            self.assertLess(len(octets), 2)
