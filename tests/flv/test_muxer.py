"""Samples to FLV messages and back, by our demuxer and by FFmpeg."""

import dataclasses
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from rapidrtmp.codecs.aac import AACConfig
from rapidrtmp.codecs.h264 import H264Config
from rapidrtmp.codecs.mp3 import MP3Config
from rapidrtmp.codecs.opus import OpusConfig
from rapidrtmp.codecs.registry import REGISTRY
from rapidrtmp.codecs.vp8 import PictureSize, VP8Config
from rapidrtmp.flv import file
from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.flv.metadata import fourcc
from rapidrtmp.flv.muxer import Message, Muxer
from rapidrtmp.isobmff.box import box
from rapidrtmp.media.codec import AccessUnit, ColorInfo, VideoConfig
from rapidrtmp.media.track import Sample, Track
from tests.codecs.builders import ASC, SPS, avcc, pps, prefixed
from tests.codecs.video_builders import vp8_key_frame, vpcc
from tests.flv.real_files import decode, messages, record

AVC = avcc([SPS().nal_unit()], [pps()])
ASC_48 = ASC(rate=48000).octets()
VIDEO = Track(1, H264Config.parse(AVC))
AUDIO = Track(2, AACConfig.parse(ASC_48))
IDR = prefixed(b"\x65\x88\x84\x21")
INTER = prefixed(b"\x41\x9a\x24")

REAL = [
    ("libx264", "aac"),
    ("libx265", "libopus"),
    ("libsvtav1", "flac"),
    ("libvpx-vp9", "ac3"),
    ("libx264", "eac3"),
    ("libmp3lame",),
    ("libx264", "libx265", "libx264", "aac", "libopus", "aac"),
]
"""Every codec, and several tracks of a kind."""


@implementer(VideoConfig)
@dataclasses.dataclass(frozen=True)
class FakeConfig:
    """A configuration with any sample entry."""

    codec: str
    entry: bytes
    kind: str = "video"
    record: bytes = b"received"
    timescale: int = 90000
    width: int = 16
    height: int = 16
    frame_rate: float | None = 25.0
    is_complete: bool = True
    has_sample_entry: bool = True
    color: ColorInfo = ColorInfo()  # noqa: RUF009  # frozen

    def rfc6381(self) -> str:
        """Not asked for."""
        raise NotImplementedError

    def sample_entry(self) -> bytes:
        """Return the entry."""
        return self.entry

    def with_color(self, color: ColorInfo) -> "FakeConfig":
        """Return the configuration with another colour."""
        return dataclasses.replace(self, color=color)

    def captions(self, payload: bytes | memoryview) -> bytes:
        """Not asked for."""
        raise NotImplementedError

    def access_unit(self, body: bytes | memoryview, key_flag: bool) -> AccessUnit:
        """Not asked for."""
        raise NotImplementedError


def picture(ms: int, offset_ms: int = 0, key: bool = False, track: Track = VIDEO) -> Sample:
    """Return a video sample."""
    return Sample(track, ms * 90, offset_ms * 90, key, key, IDR if key else INTER)


def octets(message: Message) -> bytes:
    """Return a message's body in one piece."""
    return b"".join(message.parts)


def receive(received: Sequence[Message], demuxer: Demuxer | None = None) -> list[Sample]:
    """Return what our demuxer makes of messages."""
    demuxer = demuxer or Demuxer(REGISTRY)
    samples = []
    for message in received:
        samples += demuxer.receive(message.type_id, message.timestamp, octets(message))
    return samples


def fields(samples: Sequence[Sample]) -> list[tuple[int, int, int, bool, bool, bytes]]:
    """Return what makes samples equal."""
    return [
        (
            sample.track.track_id,
            sample.dts,
            sample.composition_offset,
            sample.is_sync,
            sample.is_random_access,
            bytes(sample.payload),
        )
        for sample in samples
    ]


class WireTests(SynchronousTestCase):
    def test_legacy_headers(self) -> None:
        """H.264 and AAC of the first tracks are announced as FLV always had them."""
        metadata, video, audio = Muxer((VIDEO, AUDIO)).headers(0x1_0000_0005)
        self.assertEqual((metadata.type_id, metadata.timestamp), (18, 5))
        self.assertTrue(octets(metadata).startswith(b"\x02\x00\x0aonMetaData\x08"))
        self.assertEqual((video.type_id, video.timestamp), (9, 5))
        # behind what was received may stand what the profile wants
        self.assertTrue(octets(video).startswith(b"\x17\x00\x00\x00\x00" + AVC))
        self.assertEqual(audio, Message(8, 5, (b"\xaf\x00" + ASC_48,)))

    def test_legacy_frames(self) -> None:
        """The composition time is signed; the payload is not copied."""
        muxer = Muxer((VIDEO, AUDIO))
        sample = picture(1000, 80, key=True)
        message = muxer.message(sample)
        self.assertEqual(message, Message(9, 1000, (b"\x17\x01\x00\x00\x50", IDR)))
        self.assertIs(message.parts[1], sample.payload)
        self.assertEqual(muxer.message(picture(5, -1)).parts[0], b"\x27\x01\xff\xff\xff")
        self.assertEqual(muxer.message(picture(5)).parts[0], b"\x27\x01\x00\x00\x00")
        sound = Sample(AUDIO, 48 * 21 + 1024, 0, True, True, b"x")
        self.assertEqual(muxer.message(sound), Message(8, 42, (b"\xaf\x01", b"x")))

    def test_timestamps(self) -> None:
        """Times are rounded to ms, and taken modulo 2^32."""
        muxer = Muxer((VIDEO, AUDIO))
        for ms in (0, (1 << 24) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 40) + 7):
            self.assertEqual(muxer.message(picture(ms)).timestamp, ms % (1 << 32))
        for ticks, ms in ((44, 0), (45, 1), (89, 1), (90, 1), (134, 1), (135, 2)):
            sample = Sample(VIDEO, ticks, 0, True, True, IDR)
            self.assertEqual(muxer.message(sample).timestamp, ms)
        # a presentation time that is no whole ms is rounded itself, not its distance
        sample = Sample(VIDEO, 40, 50, True, True, IDR)
        self.assertEqual(muxer.message(sample).parts[0], b"\x17\x01\x00\x00\x01")

    def test_extended(self) -> None:
        """All other codecs, and all other tracks, take the forms of Enhanced RTMP."""
        for encoder, number, start, key, inter in (
            ("libx265", 0, b"\x90hvc1\x01", b"\x91hvc1\x00\x00\x28", b"\xa3hvc1"),
            ("libsvtav1", 0, b"\x90av01\x81", b"\x91av01", b"\xa1av01"),
            ("libvpx-vp9", 0, b"\x90vp09\x01\0\0\0", b"\x91vp09", b"\xa1vp09"),
            (
                "libx264",
                1,
                b"\x96\x00avc1\x01\x01",
                b"\x96\x01avc1\x01\x00\x00\x28",
                b"\xa6\x03avc1\x01",
            ),
            ("libvpx-vp9", 7, b"\x96\x00vp09\x07", b"\x96\x01vp09\x07", b"\xa6\x01vp09\x07"),
        ):
            with self.subTest(encoder=encoder, number=number):
                track = Track(1 + 2 * number, tracks(encoder)[0].config)
                muxer = Muxer((track,))
                self.assertEqual(muxer.message(picture(0, 40, True, track)).parts, (key, IDR))
                self.assertEqual(muxer.message(picture(0, 0, False, track)).parts, (inter, INTER))
                self.assertTrue(octets(muxer.headers(0)[1]).startswith(start))
        for encoder, number, head in (
            ("libopus", 0, b"\x91Opus"),
            ("flac", 0, b"\x91fLaC"),
            ("ac3", 0, b"\x91ac-3"),
            ("eac3", 0, b"\x91ec-3"),
            ("aac", 1, b"\x95\x01mp4a\x01"),
            ("libmp3lame", 2, b"\x95\x01.mp3\x02"),
        ):
            with self.subTest(encoder=encoder, number=number):
                track = Track(2 + 2 * number, tracks(encoder)[0].config)
                sample = Sample(track, 0, 0, True, True, b"x")
                self.assertEqual(Muxer((track,)).message(sample).parts, (head, b"x"))

    def test_records(self) -> None:
        """Only audio whose frames do not say it all has a sequence start."""
        for encoder, head in (
            ("libopus", b"\x90OpusOpusHead\x01\x02"),
            ("flac", b"\x90fLaCfLaC\x80\x00\x00\x22"),
            ("ac3", b""),
            ("eac3", b""),
            ("libmp3lame", b""),
        ):
            with self.subTest(encoder=encoder):
                headers = [octets(message) for message in Muxer(tracks(encoder)).headers(0)[1:]]
                self.assertEqual(len(headers), 1 if head else 0)
                self.assertTrue(not head or headers[0].startswith(head), headers)

    def test_mp3(self) -> None:
        """MP3 of the first track is the legacy form with its rate, 8 kHz with its own number."""
        real = tracks("libmp3lame")[0].config
        assert isinstance(real, MP3Config)
        for rate, channels, head in (
            (44100, 2, 0x2F),
            (48000, 2, 0x2F),
            (22050, 1, 0x2A),
            (11025, 2, 0x27),
            (8000, 1, 0xEE),
        ):
            track = Track(2, dataclasses.replace(real, sample_rate=rate, channels=channels))
            sample = Sample(track, 0, 0, True, True, b"x")
            self.assertEqual(Muxer((track,)).message(sample).parts[0], bytes((head,)))

    def test_short_lengths(self) -> None:
        """The record tells the form of samples: 4 length bytes, whatever was received."""
        track = Track(1, H264Config.parse(avcc([SPS().nal_unit()], [pps()], 2)))
        self.assertTrue(octets(Muxer((track,)).headers(0)[1])[5:].startswith(AVC))

    def test_opus_without_header(self) -> None:
        """An Opus header that the publisher left out is written for receivers that need one."""
        track = Track(2, OpusConfig.parse(b""))
        body = octets(Muxer((track,)).headers(0)[1])
        self.assertEqual(body, b"\x90OpusOpusHead\x01\x02\x00\x00\x80\xbb\x00\x00\x00\x00\x00")
        demuxer = Demuxer(REGISTRY)
        receive(Muxer((track,)).headers(0), demuxer)
        self.assertEqual(demuxer.tracks[0].config.sample_entry(), track.config.sample_entry())

    def test_color(self) -> None:
        """HDR is told besides, as publishers tell it; what is usual is not."""
        [track] = tracks("libx265")
        self.assertEqual(len(Muxer((track,)).headers(0)), 2)
        color = ColorInfo(9, 16, 9, False, 1000, 400, (1, 2, 3, 4, 5, 6, 7, 8, 10_000_000, 50))
        config = VideoConfig(track.config).with_color(color)
        headers = Muxer((Track(1, config),)).headers(0)
        self.assertTrue(octets(headers[2]).startswith(b"\xd4hvc1\x02\x00\x09colorInfo\x03"))
        demuxer = Demuxer(REGISTRY)
        receive(headers, demuxer)
        self.assertEqual(VideoConfig(demuxer.tracks[0].config).color, config.color)
        self.assertEqual(demuxer.dropped, {})

    def test_record_of_samples(self) -> None:
        """The record is the sample entry's, wherever in it."""
        entry = bytes(86) + box(b"pasp", bytes(8)) + box(b"hvcC", b"of the entry")
        muxer = Muxer((Track(1, VideoConfig(FakeConfig("h265", entry))),))
        self.assertEqual(octets(muxer.headers(0)[1]), b"\x90hvc1of the entry")

    def test_vp8(self) -> None:
        """VP8 has no sample entry: its record goes out as it came, or as one that says nothing."""
        key = vp8_key_frame(160, 90)
        sent = VP8Config(vpcc(header=b""), PictureSize(160, 90))
        for config in (sent, VP8Config.from_frame(key)):
            muxer = Muxer((track := Track(1, VideoConfig(config)),))
            self.assertEqual(octets(muxer.headers(0)[1]), b"\x90vp08" + config.record)
            frame = Sample(track, 90 * 40, 0, True, True, key)
            self.assertEqual(octets(muxer.message(frame)), b"\x91vp08" + key)
            [received] = receive([*muxer.headers(0), muxer.message(frame)])
            self.assertEqual(received.track.config, config)
            self.assertEqual(received.payload, key)

    def test_other_track(self) -> None:
        """A sample of a track that was not announced is an error of the caller."""
        self.assertRaises(KeyError, Muxer((AUDIO,)).message, picture(0))

    def test_fourcc(self) -> None:
        """What a receiver must be able to take, besides what all of them can."""
        self.assertIsNone(fourcc(VIDEO))
        self.assertIsNone(fourcc(AUDIO))
        self.assertIsNone(fourcc(tracks("libmp3lame")[0]))
        self.assertEqual(fourcc(Track(3, VIDEO.config)), "avc1")
        self.assertEqual(fourcc(tracks("libx265")[0]), "hvc1")
        self.assertEqual(fourcc(tracks("eac3")[0]), "ec-3")


class RoundTripTests(SynchronousTestCase):
    @given(
        st.integers(0, 1 << 40),
        st.lists(st.tuples(st.integers(1, 4000), st.integers(-5000, 5000), st.booleans())),
        st.booleans(),
    )
    @settings(max_examples=50, deadline=None)
    def test_times(self, start: int, steps: list[tuple[int, int, bool]], second: bool) -> None:
        """Times come back as they were, up to the start modulo 2^32."""
        track = Track(3, VIDEO.config) if second else VIDEO
        ms = start
        samples = [picture(ms, 0, True, track)]
        for step, offset, key in steps:
            ms += step
            samples.append(picture(ms, offset, key, track))
        muxer = Muxer((track,))
        received = receive([*muxer.headers(start), *(muxer.message(s) for s in samples)])
        self.assertEqual(len(received), len(samples))
        shift = (received[0].dts - samples[0].dts) // 90
        self.assertEqual(shift % (1 << 32), 0)
        for sample in received:
            sample.dts -= shift * 90
        self.assertEqual(fields(received), fields(samples))

    def test_real(self) -> None:
        """What FFmpeg publishes goes through unchanged: the samples, and for FFmpeg the frames.

        Audio is counted in samples here, so that its times may be a ms off.
        """
        for encoders in REAL:
            with self.subTest(encoders=encoders):
                published = record(*encoders)
                demuxer = Demuxer(REGISTRY)
                samples = [
                    sample
                    for message in messages(published)
                    for sample in demuxer.receive(*message)
                ]
                self.assertEqual(len(demuxer.tracks), len(encoders))
                muxer = Muxer(demuxer.tracks, demuxer.metadata)
                sent = [*muxer.headers(0), *map(muxer.message, samples)]
                again = Demuxer(REGISTRY)
                self.assertEqual(fields(receive(sent, again)), fields(samples))
                self.assertEqual(again.dropped, {})
                self.assertEqual(
                    [(t.track_id, t.config.sample_entry()) for t in again.tracks],
                    [(t.track_id, t.config.sample_entry()) for t in demuxer.tracks],
                )
                kinds = {track.kind for track in demuxer.tracks}
                flv = [file.header("audio" in kinds, "video" in kinds)]
                for message in sent:
                    flv += [bytes(piece) for piece in file.tag(*message)]
                self.same(decode(b"".join(flv)), decode(published))

    def same(
        self,
        ours: list[tuple[str, list[tuple[float, str]]]],
        theirs: list[tuple[str, list[tuple[float, str]]]],
    ) -> None:
        """The same codecs, and the same frames at the same time."""
        self.assertEqual([codec for codec, _ in ours], [codec for codec, _ in theirs])
        for (_, frames), (_, expected) in zip(ours, theirs, strict=True):
            self.assertGreater(len(frames), 10)
            self.assertEqual([digest for _, digest in frames], [digest for _, digest in expected])
            for (moment, _), (other, _) in zip(frames, expected, strict=True):
                self.assertLess(abs(moment - other), 0.0016)


def tracks(*encoders: str) -> tuple[Track, ...]:
    """Return the tracks of a real file."""
    demuxer = Demuxer(REGISTRY)
    for message in messages(record(*encoders)):
        demuxer.receive(*message)
    assert len(demuxer.tracks) == len(encoders), demuxer.unsupported
    return demuxer.tracks
