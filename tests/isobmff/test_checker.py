"""Tests of the judge: it must notice every kind of damage."""

import struct
from collections.abc import Callable
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.isobmff.fragment import media_segment
from rapidrtmp.isobmff.movie import init_segment
from rapidrtmp.media.track import Sample, Track
from tests.isobmff.checker import CheckError, check_track, parse_init
from tests.isobmff.fakes import (
    AUDIO,
    SEI,
    VIDEO,
    FakeVideoConfig,
    audio_samples,
    nal_unit,
    picture,
    video_samples,
)

FRAMES = [(3000, 6000, True), (3010, 0, False), (2990, -3000, False), (3000, 0, False)]


def stream() -> list[bytes]:
    """Return three segments of one stream."""
    segments = []
    start = 0
    for sequence in range(3):
        samples, end = video_samples(FRAMES, start)
        segments.append(media_segment(VIDEO, sequence, samples, end))
        start = end
    return segments


def add(segment: bytes, type_: bytes, at: int, number: int) -> bytes:
    """Add to the 32-bit field `at` bytes behind a box's type."""
    place = segment.index(type_) + 4 + at
    (value,) = struct.unpack_from(">I", segment, place)
    return segment[:place] + struct.pack(">I", value + number) + segment[place + 4 :]


def frames(*samples: Sample, end: int) -> bytes:
    """Return a segment in the place of the middle one."""
    return media_segment(VIDEO, 1, samples, end)


def one(is_sync: bool, payload: bytes) -> Sample:
    """Return a sample that may lie about itself."""
    return Sample(VIDEO, 0, 0, is_sync, is_sync, payload)


def middle(*, wrong: int, is_sync: bool = False, payload: bytes = b"") -> bytes:
    """Return the middle segment with one sample that lies about itself."""
    samples, end = video_samples(FRAMES, 12000)
    samples[wrong].is_sync = is_sync
    if payload:
        samples[wrong].payload = payload
    return frames(*samples, end=end)


def same_start(_: bytes) -> bytes:
    """Return the middle segment with two samples at one time."""
    samples, end = video_samples([(3000, 0, True), (0, 0, False), (9000, 0, False)], 12000)
    return frames(*samples, end=end)


# trun of FRAMES: flags 0xB05, so the table starts at 16 with duration, size, offset
MUTANTS: tuple[tuple[str, Callable[[bytes], bytes], str], ...] = (
    ("tfdt jumps back", lambda s: add(s, b"tfdt", 8, -6000), "tfdt is 6000"),
    ("tfdt gap", lambda s: add(s, b"tfdt", 8, 45000), "tfdt is 57000"),
    ("tfdt is 0", lambda s: add(s, b"tfdt", 8, -12000), "tfdt is 0"),
    ("trun offset +8", lambda s: add(s, b"trun", 8, 8), "data_offset"),
    ("trun offset -8", lambda s: add(s, b"trun", 8, -8), "data_offset"),
    ("trun count +5", lambda s: add(s, b"trun", 4, 5), "shorter than its count"),
    ("trun count -1", lambda s: add(s, b"trun", 4, -1), "longer than its sample count"),
    ("trun count 0", lambda s: add(s, b"trun", 4, -4), "no samples"),
    ("mdat cut", lambda s: s[:-5], "runs over the end"),
    ("mdat cut, size right", lambda s: add(s[:-5], b"mdat", -8, -5), "runs over the end of mdat"),
    ("mdat grown", lambda s: add(s + b"\0", b"mdat", -8, 1), "belong to no sample"),
    ("stray bytes", lambda s: s + b"\0\0", "stray bytes"),
    ("box of size 0", lambda s: s + bytes(8), "has size 0"),
    ("sample duration 0", lambda s: add(s, b"trun", 16, -3000), "duration 0"),
    ("durations x2", lambda s: add(s, b"trun", 16, 3000), "tfdt is 24000"),
    ("two samples at one time", same_start, "duration 0"),
    ("wrong track id", lambda s: add(s, b"tfhd", 4, 1), "track 2 is not 1"),
    ("all samples sync", lambda _: middle(wrong=1, is_sync=True), "is_sync is True"),
    ("first sample non-sync", lambda _: middle(wrong=0), "is_sync is False"),
    ("sync, yet depends", lambda s: add(s, b"trun", 12, -0x01000000), "sample_depends_on"),
    ("mfhd constant", lambda s: add(s, b"mfhd", 4, -1), "mfhd was 0 before"),
    ("mfhd back", lambda s: add(s, b"mfhd", 4, 7), "mfhd was 8 before"),
    ("sizes swapped", lambda s: add(add(s, b"trun", 20, 1), b"trun", 32, -1), "NAL unit"),
    (
        "bad NAL length",
        lambda _: middle(wrong=2, payload=b"\0\0\1\0" + picture(is_sync=False)[4:]),
        "NAL unit of 256 bytes",
    ),
    ("no slice", lambda _: middle(wrong=2, payload=nal_unit(SEI)), "no slice"),
    ("base not moof", lambda s: add(s, b"tfhd", 0, -0x020000), "default-base-is-moof"),
    ("tfhd flag without field", lambda s: add(s, b"tfhd", 0, 0x10), "shorter than its count"),
    ("tfhd description 0", lambda s: add(s, b"tfhd", 0, 0x02), "wrong sample description"),
    ("tfdt version 0", lambda s: add(s, b"tfdt", 0, -(1 << 24)), "not version 1"),
    ("trun version 0", lambda s: add(s, b"trun", 0, -(1 << 24)), ""),
    ("trun version 2", lambda s: add(s, b"trun", 0, 1 << 24), "trun: version 2"),
    ("trun unknown flag", lambda s: add(s, b"trun", 0, 0x1000), "trun: flags"),
    ("trun double flags", lambda s: add(s, b"trun", 0, 0x400), "for the first sample and for all"),
    ("no moof", lambda s: s[s.index(b"mdat") - 4 :], "pairs of moof and mdat"),
    ("no mdat", lambda s: s[: s.index(b"mdat") - 4], "pairs of moof and mdat"),
    ("box between", lambda s: s.replace(b"tfdt", b"free"), "traf holds"),
    ("traf renamed", lambda s: s.replace(b"mfhd", b"free"), "moof holds"),
)


class SegmentMutantTests(SynchronousTestCase):
    def test_sound_stream(self) -> None:
        """The stream that is damaged below is sound."""
        samples = check_track(init_segment(VIDEO), stream())
        self.assertEqual(len(samples), 12)
        self.assertEqual([sample.is_sync for sample in samples], [True, False, False, False] * 3)
        self.assertEqual([sample.dts for sample in samples[4:8]], [12000, 15000, 18010, 21000])
        self.assertEqual(samples[6].pts, 15010)

    def test_mutants(self) -> None:
        """Every damage to the middle segment is noticed and named."""
        init = init_segment(VIDEO)
        for name, mutate, message in MUTANTS:
            segments = stream()
            segments[1] = mutate(segments[1])
            if name == "trun version 0":
                # the offset -3000 becomes one of 13 hours: only the samples can tell
                self.assertNotEqual(check_track(init, segments), check_track(init, stream()))
                continue
            with self.assertRaises(CheckError, msg=name) as caught:
                check_track(init, segments)
            self.assertIn(message, str(caught.exception), name)

    def test_order(self) -> None:
        """A segment lost, doubled or out of its place is noticed."""
        first, second, third = stream()
        for segments in ([first, third], [first, second, second], [second, first]):
            self.assertRaises(CheckError, check_track, init_segment(VIDEO), segments)

    def test_audio_is_sync(self) -> None:
        """Audio that claims to be no sync sample is noticed."""
        samples, end = audio_samples(3)
        samples[1].is_sync = False
        segment = media_segment(AUDIO, 1, samples, end)
        error = self.assertRaises(CheckError, check_track, init_segment(AUDIO), [segment])
        self.assertIn("audio that is no sync sample", str(error))

    def test_sync_of_codecs(self) -> None:
        """A sync flag that the picture itself does not bear out is noticed, in each codec."""
        # hvcC has its length size in another place than avcC: a record that serves as both
        hevc = init_segment(Track(1, FakeVideoConfig(record=bytes([1] * 4 + [3] + [1] * 16 + [3]))))
        hevc = hevc.replace(b"avc1", b"hvc1").replace(b"avcC", b"hvcC")
        plain = init_segment(VIDEO)
        cases = (
            (hevc, b"\0\0\0\5\x26\1idr", b"\0\0\0\3\2\1p"),
            (plain.replace(b"avc1", b"av01"), b"\x0a\1s\x32\2\x10k", b"\x32\2\x30p"),
            (plain.replace(b"avc1", b"vp09"), b"\x82k", b"\x86p"),
            (plain.replace(b"avc1", b"vp09"), b"\xb0k", b"\xb2p"),
        )
        for init, start, other in cases:
            for is_sync, payload in ((True, start), (False, other)):
                [sample] = check_track(init, [frames(one(is_sync, payload), end=3000)])
                self.assertEqual(sample.is_sync, is_sync)
            for is_sync, payload in ((True, other), (False, start)):
                segment = frames(one(is_sync, payload), end=3000)
                error = self.assertRaises(CheckError, check_track, init, [segment])
                self.assertIn(f"is_sync is {is_sync}", str(error))

    def test_av1_samples(self) -> None:
        """AV1 that breaks off, or starts without its sequence header, is noticed."""
        init = init_segment(VIDEO).replace(b"avc1", b"av01")
        for payload, message in (
            (b"\x32\2\x10k", "without sequence header"),
            (b"\x32\3\x10k", "runs over the end"),
            (b"\x32\x80", "without its size"),
            (b"\x0a\1s", "no frame"),
            (b"\x0b\1s", "reserved bits"),
        ):
            segment = frames(one(True, payload), end=3000)
            error = self.assertRaises(CheckError, check_track, init, [segment])
            self.assertIn(message, str(error))

    def test_empty_sample(self) -> None:
        """A sample without a byte is noticed."""
        samples, end = audio_samples(3)
        samples[1].payload = b""
        segment = media_segment(AUDIO, 1, samples, end)
        error = self.assertRaises(CheckError, check_track, init_segment(AUDIO), [segment])
        self.assertIn("empty", str(error))


INIT_MUTANTS: tuple[tuple[str, Callable[[bytes], bytes], str], ...] = (
    ("cut", lambda i: i[:-1], "runs over the end"),
    ("no moov", lambda i: i[: i.index(b"moov") - 4], "not ftyp and moov"),
    ("two tracks' ids", lambda i: add(i, b"trex", 4, 1), "trex: wrong track"),
    ("CMAF brand", lambda i: i.replace(b"mp41", b"cmfc"), "CMAF brand"),
    ("old brand", lambda i: i.replace(b"iso6", b"isom"), "iso5 or later"),
    ("creation time", lambda i: add(i, b"mvhd", 4, 1), "creation time"),
    ("track disabled", lambda i: add(i, b"tkhd", 0, -1), "not enabled"),
    ("track 0", lambda i: add(i, b"tkhd", 12, -1), "track_ID is 0"),
    ("size", lambda i: add(i, b"tkhd", 76, 16 << 16), "differ in size"),
    ("timescale 0", lambda i: add(i, b"mdhd", 12, -90000), "timescale 0"),
    ("duration", lambda i: add(i, b"mdhd", 16, 1), "or a duration"),
    ("samples in moov", lambda i: add(i, b"stsz", 8, 1), "b'stsz' is not empty"),
    ("no sample entry", lambda i: add(i, b"stsd", 4, -1), "stsd has not one entry"),
    ("media elsewhere", lambda i: add(i, b"url ", 0, -1), "in the same file"),
    ("no avcC", lambda i: i.replace(b"avcC", b"free"), "avc1 without avcC"),
    ("no mvex", lambda i: i.replace(b"mvex", b"free"), "0 b'mvex' boxes"),
    ("two mvhd", lambda i: i.replace(b"mvex", b"mvhd"), "2 b'mvhd' boxes"),
    ("handler", lambda i: i.replace(b"vide", b"text"), "handler type"),
    ("sound as video", lambda i: i.replace(b"vide", b"soun"), "0 b'smhd' boxes"),
)


class InitMutantTests(SynchronousTestCase):
    def test_mutants(self) -> None:
        """Every damage to an initialization section is noticed and named."""
        init = init_segment(replace(VIDEO))
        parse_init(init)
        for name, mutate, message in INIT_MUTANTS:
            with self.assertRaises(CheckError, msg=name) as caught:
                parse_init(mutate(init))
            self.assertIn(message, str(caught.exception), name)
