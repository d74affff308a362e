"""Enhanced RTMP headers: faults.md A75 and A76, and the forms that encoders send."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.flv import enhanced
from rapidrtmp.flv.enhanced import AV01, AVC1, HVC1, ExTag, PacketTypeError, Part, fourcc
from rapidrtmp.flv.tag import TagError

OPUS = fourcc("Opus")
AC_3 = fourcc("ac-3")
VP09 = fourcc("vp09")

VIDEO: list[tuple[str, str, ExTag]] = [
    ("sequence start", "90 68766331 01", ExTag(0, [Part(0, HVC1, b"\x01")], 1)),
    ("frame", "a1 68766331 000028 aa", ExTag(1, [Part(0, HVC1, b"\0\0\x28\xaa")], 2)),
    ("frame X", "93 61766331 bb", ExTag(3, [Part(0, AVC1, b"\xbb")], 1)),
    ("end", "92 61763031", ExTag(2, [Part(0, AV01, b"")], 1)),
    ("metadata of OBS", "84 68766331 02", ExTag(4, [Part(0, HVC1, b"\x02")], 0)),
    ("metadata of FFmpeg", "d4 68766331 02", ExTag(4, [Part(0, HVC1, b"\x02")], 5)),
    ("OneTrack", "96 00 61763031 01 cc", ExTag(0, [Part(1, AV01, b"\xcc")], 1, 0, 0)),
    ("OneTrack, empty", "a6 03 76703039 ff", ExTag(3, [Part(255, VP09, b"")], 2, 0, 0)),
    (
        "ManyTracks",
        "96 13 61766331 05 000002 aabb 00 000000 01 000001 cc",
        ExTag(3, [Part(5, AVC1, b"\xaa\xbb"), Part(0, AVC1, b""), Part(1, AVC1, b"\xcc")], 1, 0, 1),
    ),
    (
        "ManyTracksManyCodecs",
        "a6 21 61766331 00 000001 aa 68766331 01 000002 bbcc",
        ExTag(1, [Part(0, AVC1, b"\xaa"), Part(1, HVC1, b"\xbb\xcc")], 2, 0, 2),
    ),
    (
        "offset in ns",
        "97 02 0f423f 01 61766331 000000",
        ExTag(1, [Part(0, AVC1, b"\0\0\0")], 1, 999_999),
    ),
    (
        "offset in ns of tracks",
        "97 02 000001 06 03 61766331 02 dd",
        ExTag(3, [Part(2, AVC1, b"\xdd")], 1, 1, 0),
    ),
]

AUDIO: list[tuple[str, str, ExTag]] = [
    ("sequence start", "90 4f707573", ExTag(0, [Part(0, OPUS, b"")])),
    ("frame", "91 61632d33 0b77", ExTag(1, [Part(0, AC_3, b"\x0b\x77")])),
    ("channels", "94 61632d33 01 06 0000003f", ExTag(4, [Part(0, AC_3, b"\x01\x06\0\0\0\x3f")])),
    ("OneTrack", "95 01 4f707573 07 aa", ExTag(1, [Part(7, OPUS, b"\xaa")], 0, 0, 0)),
    (
        "ManyTracksManyCodecs",
        "95 21 4f707573 01 000000 61632d33 02 000001 bb",
        ExTag(1, [Part(1, OPUS, b""), Part(2, AC_3, b"\xbb")], 0, 0, 2),
    ),
    ("offset in ns", "97 02 07a120 01 4f707573", ExTag(1, [Part(0, OPUS, b"")], 0, 500_000)),
]

ONLY_READ: list[tuple[str, str, ExTag]] = [
    ("no track", "96 10 61766331", ExTag(0, [], 1, 0, 1)),
    ("command", "d0 00", ExTag(0, [], 5)),
    ("command alone", "d1", ExTag(1, [], 5)),
    ("command with Multitrack", "d6 01", ExTag(1, [], 5, 0, 0)),
    (
        "metadata of a track, of FFmpeg",
        "d6 04 68766331 01 02",
        ExTag(4, [Part(1, HVC1, b"\x02")], 5, 0, 0),
    ),
    ("unknown packet type", "9f 61766331 aa", ExTag(15, [Part(0, AVC1, b"\xaa")], 1)),
    ("unknown ModEx", "97 00 ff 13 61766331", ExTag(3, [Part(0, AVC1, b"")], 1)),
    ("offset of 1 ms", "97 02 0f4240 03 61766331", ExTag(3, [Part(0, AVC1, b"")], 1)),
    ("offset of 2 bytes", "97 01 0001 03 61766331", ExTag(3, [Part(0, AVC1, b"")], 1)),
    ("offset of 4 bytes", "97 03 00000a00 03 61766331", ExTag(3, [Part(0, AVC1, b"")], 1, 10)),
    (
        "long ModEx",
        "97 ff 00ff" + "00" * 256 + "13 61766331 aa",
        ExTag(3, [Part(0, AVC1, b"\xaa")], 1),
    ),
    (
        "chain of 8",
        "97" + "00ff17" * 6 + "02 000005 07" + "00ff13 61766331",
        ExTag(3, [Part(0, AVC1, b"")], 1, 5),
    ),
]

SHORT_VIDEO = [
    ("header alone", "90"),
    ("FourCC cut short", "91 687663"),
    ("ModEx alone", "97"),
    ("ModEx without data", "97 02"),
    ("ModEx overruns", "97 05 000000 01"),
    ("ModEx without next type", "97 00 ff"),
    ("ModEx without size", "97 ff 00"),
    ("long ModEx overruns", "97 ff ffff 00 03 61766331"),
    ("nothing behind ModEx", "97 00 ff 03"),
    ("Multitrack alone", "96"),
    ("Multitrack without FourCC", "96 11 6176"),
    ("OneTrack without track", "96 01 61763031"),
    ("without size", "96 11 61763031 00 0000"),
    ("part overruns by one", "96 11 61763031 00 000001 aa 01 000002 bb"),
    ("largest size", "96 11 61763031 00 ffffff aa"),
    ("without second FourCC", "96 21 61763031 00 000001 aa 6176"),
]

WRONG_VIDEO = [
    ("nested", "96 06 61763031 00 00"),
    ("ModEx nested", "96 07 61763031 00 00"),
    *((f"type {kind}", f"96 {kind:x}1 61763031 00 00") for kind in range(3, 16)),
    ("chain of 9", "97" + "00ff17" * 8 + "00ff13 61766331"),
    ("chain of 1000", "97" + "00ff17" * 1000 + "00ff13 61766331"),
    ("a track twice", "96 11 61763031 00 000001 aa 01 000000 00 000001 bb"),
]

WRONG_AUDIO = [("nested", "95 05 4f707573 00 00"), ("type 3", "95 31 4f707573 00 00")]


class HeaderTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """Each form is read and written alike."""
        for name, octets, value in VIDEO:
            wire = bytes.fromhex(octets)
            self.assertEqual(enhanced.parse_video(memoryview(wire)), value, name)
            self.assertEqual(enhanced.build_video(value), wire, name)
        for name, octets, value in AUDIO:
            wire = bytes.fromhex(octets)
            self.assertEqual(enhanced.parse_audio(memoryview(wire)), value, name)
            self.assertEqual(enhanced.build_audio(value), wire, name)

    def test_tolerated(self) -> None:
        """Forms that may come but are not written: commands, unknown types and modifiers."""
        for name, octets, value in ONLY_READ:
            wire = memoryview(bytes.fromhex(octets))
            self.assertEqual(enhanced.parse_video(wire), value, name)

    def test_short(self) -> None:
        """What ends too early, or says that it goes on behind the end, is the typed error."""
        for name, octets in SHORT_VIDEO:
            wire = memoryview(bytes.fromhex(octets))
            error = self.assertRaises(TagError, enhanced.parse_video, wire)
            self.assertEqual(error.reason, "short", name)

    def test_wrong(self) -> None:
        """Nested and endless headers are another typed error."""
        for name, octets in WRONG_VIDEO:
            wire = memoryview(bytes.fromhex(octets))
            error = self.assertRaises(PacketTypeError, enhanced.parse_video, wire)
            self.assertEqual(error.reason, "packet_type", name)
        for _, octets in WRONG_AUDIO:
            wire = memoryview(bytes.fromhex(octets))
            self.assertRaises(PacketTypeError, enhanced.parse_audio, wire)

    def test_truncated(self) -> None:
        """A message cut at any byte is read in part, or the typed error."""
        for _, octets, _ in (*VIDEO, *ONLY_READ):
            wire = memoryview(bytes.fromhex(octets))
            for size in range(1, len(wire)):
                try:
                    tag = enhanced.parse_video(wire[:size])
                except TagError:
                    continue
                self.assertLessEqual(sum(len(part.body) for part in tag.parts), size)

    def test_view(self) -> None:
        """Bodies are not copied."""
        wire = bytearray.fromhex("96 11 61763031 00 000001 aa 01 000001 bb")
        parts = enhanced.parse_video(memoryview(wire)).parts
        wire[10] = wire[-1] = 0xEE
        self.assertEqual([bytes(part.body) for part in parts], [b"\xee", b"\xee"])

    def test_headers(self) -> None:
        """A header with the frame behind it is the whole message."""
        for codec, time, body in ((HVC1, -40, b"\xff\xff\xd8x"), (AV01, 0, b"x")):
            for track_id, kind in ((0, None), (3, 0)):
                head = enhanced.video_header(1, codec, 2, time, track_id)
                tag = ExTag(1, [Part(track_id, codec, body)], 2, 0, kind)
                self.assertEqual(head + b"x", enhanced.build_video(tag))
        self.assertEqual(enhanced.video_header(3, HVC1, 1), bytes.fromhex("93 68766331"))
        self.assertEqual(enhanced.video_header(0, HVC1, 1), bytes.fromhex("90 68766331"))
        self.assertEqual(enhanced.audio_header(1, OPUS), bytes.fromhex("91 4f707573"))
        self.assertEqual(enhanced.audio_header(0, OPUS, 9), bytes.fromhex("95 00 4f707573 09"))

    def test_out_of_range(self) -> None:
        """What does not fit is refused, not cut."""
        self.assertRaises(OverflowError, enhanced.video_header, 1, HVC1, 1, 1 << 23)
        self.assertRaises(OverflowError, enhanced.audio_header, 1, OPUS, 256)
        self.assertRaises(OverflowError, enhanced.audio_header, 1, 1 << 32)
        two = [Part(0, AVC1, b""), Part(1, AVC1, b"")]
        for kind in (None, enhanced.ONE_TRACK):
            self.assertRaises(ValueError, enhanced.build_video, ExTag(1, two, 1, 0, kind))
            self.assertRaises(ValueError, enhanced.build_audio, ExTag(1, [], 1, 0, kind))

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def test_round_trip(self, data: st.DataObject) -> None:
        """Whatever is written is read back."""
        kind = data.draw(st.sampled_from([None, 0, 1, 2]))
        codec = data.draw(st.integers(0, 2**32 - 1))
        numbers = st.lists(st.integers(0, 255), min_size=1, max_size=5 if kind else 1, unique=True)
        parts = [
            Part(
                number,
                data.draw(st.integers(0, 2**32 - 1)) if kind == 2 else codec,
                data.draw(st.binary(max_size=20)),
            )
            for number in (data.draw(numbers) if kind is not None else [0])
        ]
        nanoseconds = data.draw(st.integers(0, enhanced.MAX_OFFSET))
        packet_type = data.draw(st.integers(0, 4))
        frame_type = data.draw(st.integers(0, 7).filter(lambda value: value != 5))
        tag = ExTag(packet_type, parts, frame_type, nanoseconds, kind)
        self.assertEqual(enhanced.parse_video(memoryview(enhanced.build_video(tag))), tag)
        tag = tag._replace(frame_type=0)
        self.assertEqual(enhanced.parse_audio(memoryview(enhanced.build_audio(tag))), tag)

    @settings(max_examples=200, deadline=None)
    @given(st.sampled_from([0x90, 0x96, 0x97, 0x95, 0xD6, 0xD4]), st.binary(max_size=60))
    def test_arbitrary(self, first: int, rest: bytes) -> None:
        """Arbitrary bytes raise the typed error alone, and no part is outside of them."""
        wire = bytes((first,)) + rest
        for parse in (enhanced.parse_video, enhanced.parse_audio):
            try:
                tag = parse(memoryview(wire))
            except TagError:
                continue
            self.assertLess(sum(len(part.body) for part in tag.parts), len(wire))
            self.assertTrue(all(bytes(part.body) in wire for part in tag.parts))
            self.assertLessEqual(tag.nanoseconds, enhanced.MAX_OFFSET)


DESCRIPTOR = bytes.fromhex("80 04 81 0d 0c 7f")


class ConfigTests(SynchronousTestCase):
    def test_av1_record(self) -> None:
        """The AV1 descriptor becomes av1C, without what av1C does not have."""
        registration = b"\x05\x04AV01"
        for wire in (DESCRIPTOR, registration + DESCRIPTOR, DESCRIPTOR + b"\0"):
            self.assertEqual(enhanced.av1_record(wire), bytes.fromhex("81 0d 0c 1f"))
        for wire in (b"", b"\x80", registration, DESCRIPTOR[:-1], b"\x80\x03\x81\x0d\x0c"):
            self.assertRaises(TagError, enhanced.av1_record, wire)
        self.assertRaises(TagError, enhanced.av1_record, b"\0\0" * 16 + DESCRIPTOR)

    def test_channel_count(self) -> None:
        """All three orders have a count; a cut one is the typed error."""
        for octets, count in (("00 02", 2), ("01 06 0000003f", 6), ("02 03 000102", 3)):
            wire = bytes.fromhex(octets)
            self.assertEqual(enhanced.channel_count(wire), count)
            self.assertEqual(enhanced.channel_count(wire + b"x"), count)
            for size in range(len(wire)):
                self.assertRaises(TagError, enhanced.channel_count, wire[:size])

    def test_folded(self) -> None:
        """Codes that differ in case alone are found."""
        known = enhanced.known_codes([7, AVC1], [OPUS])
        self.assertEqual(known[enhanced.folded(fourcc("Avc1"))], AVC1)
        self.assertEqual(known[enhanced.folded(fourcc("opus"))], OPUS)
        self.assertNotIn(enhanced.folded(fourcc("avc2")), known)
