"""Media messages to samples: faults.md A73 to A99 as far as they end here."""

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.amf import amf0
from rapidrtmp.codecs.registry import REGISTRY
from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.flv.losses import MAX_NAMES
from rapidrtmp.flv.tag import AudioTag, VideoTag, build_audio, build_video
from rapidrtmp.media.codec import AudioConfig, VideoConfig
from rapidrtmp.media.track import Sample
from tests.codecs.builders import ASC, SPS, avcc, pps, prefixed

AUDIO, VIDEO, DATA = 8, 9, 18

SPS_720 = SPS().nal_unit()
SPS_1080 = SPS(width_mbs=120, height_map_units=68, crop=(0, 0, 0, 4)).nal_unit()
AVC = avcc([SPS_720], [pps()])
AVC_1080 = avcc([SPS_1080], [pps()])
AAC_44 = ASC(rate=44100).octets()
AAC_48 = ASC(rate=48000).octets()

IDR = b"\x65\x88\x84\x21"
INTER = b"\x41\x9a\x24"
RECOVERY = b"\x06\x06\x01\xc4\x80"


def config(record: bytes = AVC, codec_id: int = 7) -> bytes:
    """Return a video configuration message."""
    return build_video(VideoTag(1, codec_id, 0, 0, record))


def frame(*nal_units: bytes, key: bool = False, time: int = 0, codec_id: int = 7) -> bytes:
    """Return a video frame message."""
    return build_video(VideoTag(1 if key else 2, codec_id, 1, time, prefixed(*nal_units)))


def sound(body: bytes = b"\x21\x00", packet_type: int = 1) -> bytes:
    """Return an AAC message."""
    return build_audio(AudioTag(10, packet_type, body))


KEY = frame(IDR, key=True)
P = frame(INTER)
END = build_video(VideoTag(1, 7, 2, 0, b""))


class Case(SynchronousTestCase):
    """One demuxer, and some ways to feed it."""

    def setUp(self) -> None:
        self.demuxer = Demuxer(REGISTRY)

    def video(self, message: bytes, timestamp: int = 0) -> Sample | None:
        """Send a video message."""
        return self.only(self.demuxer.receive(VIDEO, timestamp, message))

    def audio(self, message: bytes, timestamp: int = 0) -> Sample | None:
        """Send an audio message."""
        return self.only(self.demuxer.receive(AUDIO, timestamp, message))

    def only(self, samples: list[Sample]) -> Sample | None:
        """Return the sample, if there is one; two there may not be."""
        self.assertLessEqual(len(samples), 1)
        return samples[0] if samples else None

    def sample(self, sample: Sample | None) -> Sample:
        """Return the sample that there has to be."""
        assert sample is not None
        return sample

    def start(self, timestamp: int = 0) -> None:
        """Send both configurations and a key frame."""
        self.video(config(), timestamp)
        self.audio(sound(AAC_48, 0), timestamp)
        self.sample(self.video(KEY, timestamp))

    def size(self) -> tuple[int, int]:
        """Return the picture size of the video track."""
        found: VideoConfig = VideoConfig(self.demuxer.tracks[0].config)
        return found.width, found.height

    def rate(self) -> int:
        """Return the rate of the audio track."""
        found: AudioConfig = AudioConfig(self.demuxer.tracks[-1].config)
        return found.sample_rate


class SampleTests(Case):
    def test_video(self) -> None:
        """Times are the publisher's, in 1/90000 s; the payload is a view of the message."""
        self.video(config())
        body = bytearray(frame(IDR, key=True, time=80))
        [sample] = self.demuxer.receive(VIDEO, 1234, memoryview(body))
        self.assertIs(sample.track, self.demuxer.tracks[0])
        self.assertEqual(sample.track.track_id, 1)
        self.assertEqual((sample.dts, sample.composition_offset), (1234 * 90, 80 * 90))
        self.assertTrue(sample.is_sync and sample.is_random_access)
        self.assertEqual(sample.payload, prefixed(IDR))
        body[-1] ^= 0xFF
        self.assertNotEqual(sample.payload, prefixed(IDR))
        sample = self.sample(self.video(P, 1267))
        self.assertEqual((sample.dts, sample.is_sync), (1267 * 90, False))
        self.assertFalse(sample.is_random_access)
        self.assertEqual(self.demuxer.dropped, {})

    def test_audio(self) -> None:
        """Audio is counted in samples from the first timestamp on."""
        self.audio(sound(AAC_44, 0))
        stamps = [100, 123, 146, 170, 193, 216]
        samples = [self.sample(self.audio(sound(), ms)) for ms in stamps]
        self.assertEqual([s.dts for s in samples], [4410 + 1024 * i for i in range(6)])
        self.assertEqual(samples[0].track.track_id, 2)
        self.assertTrue(all(s.is_sync and s.is_random_access for s in samples))
        self.assertEqual((samples[0].composition_offset, samples[0].payload), (0, b"\x21\x00"))

    def test_short_lengths(self) -> None:
        """Where the configuration says 2 length bytes, samples have 4 all the same."""
        self.video(config(avcc([SPS_720], [pps()], 2)))
        message = build_video(VideoTag(1, 7, 1, 0, prefixed(IDR, size=2)))
        self.assertEqual(self.sample(self.video(message)).payload, prefixed(IDR))

    def test_composition_times(self) -> None:
        """Offsets are signed; those over 5 s are garbage and become 0 (A95)."""
        self.start()
        for time, expected in [(-40, -40), (5000, 5000), (-5000, -5000), (5001, 0), (8388607, 0)]:
            sample = self.sample(self.video(frame(INTER, time=time), 40))
            self.assertEqual(sample.composition_offset, expected * 90)
        self.assertEqual(self.demuxer.dropped, {"composition_time": 2})

    def test_key_flag_lies(self) -> None:
        """IDR decides what is a sync sample, not the flag (A86)."""
        self.start()
        sample = self.sample(self.video(frame(INTER, key=True)))
        self.assertEqual((sample.is_sync, sample.is_random_access), (False, False))
        sample = self.sample(self.video(frame(IDR)))
        self.assertEqual((sample.is_sync, sample.is_random_access), (True, True))
        sample = self.sample(self.video(frame(RECOVERY, INTER, key=True)))
        self.assertEqual((sample.is_sync, sample.is_random_access), (False, True))


class TimeTests(Case):
    def test_wraps(self) -> None:
        """Times go on over 2^24, 2^31 and 2^32, whichever track crosses first (A92)."""
        for edge in (1 << 24, 1 << 31, 1 << 32):
            for audio_first in (False, True):
                self.setUp()
                self.start(edge - 100_000)
                dts = []
                for ms in range(edge - 2000, edge + 2000, 20):
                    for is_audio in (audio_first, not audio_first):
                        late = ms + (13 if is_audio == audio_first else 0)
                        if is_audio:
                            sample = self.sample(self.audio(sound(), late & 0xFFFFFFFF))
                            self.assertLess(abs(sample.dts - late * 48), 6000)
                        else:
                            sample = self.sample(self.video(P, late & 0xFFFFFFFF))
                            dts.append(sample.dts - late * 90)
                self.assertEqual(set(dts), {0})

    def test_audio_before_zero(self) -> None:
        """Audio may start a little before 0 (OBS 30.2.1), and video joins at 0."""
        self.video(config())
        self.audio(sound(AAC_48, 0))
        self.assertEqual(self.sample(self.audio(sound(), 0xFFFFFFE0)).dts, -32 * 48)
        self.assertEqual(self.sample(self.video(KEY, 0)).dts, 0)
        self.assertEqual(self.sample(self.audio(sound(), 0xFFFFFFF5)).dts, -32 * 48 + 1024)

    def test_second_track_after_wrap(self) -> None:
        """A track that starts behind the wrap is placed beside the other one."""
        self.video(config())
        self.video(KEY, 0xFFFF0000)
        self.video(P, 0x1000)
        self.audio(sound(AAC_48, 0))
        self.assertEqual(self.sample(self.audio(sound(), 0x1000)).dts, (0x1000 + (1 << 32)) * 48)

    def test_end_of_sequence(self) -> None:
        """The end of sequence with timestamp 0 changes nothing (A94)."""
        self.start(0x70000000)
        self.sample(self.video(P, 0xE0000000))
        self.assertIsNone(self.video(END, 0))
        self.assertEqual(self.sample(self.video(P, 0x10000000)).dts, 0x110000000 * 90)
        self.assertEqual(self.demuxer.dropped, {})

    def test_configurations_have_no_time(self) -> None:
        """The timestamp of a configuration, or of a dropped frame, does not count."""
        self.video(config(), 0xF0000000)
        self.video(P, 0xE0000000)
        self.audio(sound(AAC_48, 0), 0x80000000)
        self.assertEqual(self.sample(self.video(KEY, 40)).dts, 3600)


class ConfigTests(Case):
    def test_tracks(self) -> None:
        """A track exists from its configuration on; video stands first."""
        self.assertEqual(self.demuxer.tracks, ())
        self.audio(sound(AAC_48, 0))
        self.assertEqual([t.kind for t in self.demuxer.tracks], ["audio"])
        self.video(config())
        self.assertEqual([t.kind for t in self.demuxer.tracks], ["video", "audio"])
        self.assertEqual([t.timescale for t in self.demuxer.tracks], [90000, 48000])

    def test_repeated(self) -> None:
        """The same configuration again changes nothing (A97)."""
        self.start()
        tracks = self.demuxer.tracks
        for _ in range(10):
            self.video(config())
            self.audio(sound(AAC_48, 0))
            self.video(KEY)
        self.assertIs(self.demuxer.tracks, tracks)

    def test_audio_change(self) -> None:
        """Another sample rate is another track at once (A96)."""
        self.start()
        self.sample(self.audio(sound(), 1000))
        self.audio(sound(AAC_44, 0), 1021)
        self.assertEqual(self.rate(), 44100)
        sample = self.sample(self.audio(sound(), 1021))
        self.assertEqual((sample.track.timescale, sample.dts), (44100, 45026))

    def test_video_change(self) -> None:
        """Another size takes effect with the next key frame (A96, A99)."""
        self.start()
        before = self.demuxer.tracks
        self.video(config(AVC_1080))
        sample = self.sample(self.video(P, 40))
        self.assertIs(sample.track, before[0])
        self.assertIs(self.demuxer.tracks, before)
        sample = self.sample(self.video(KEY, 80))
        self.assertEqual(self.size(), (1920, 1080))
        self.assertIs(sample.track, self.demuxer.tracks[0])
        self.assertIs(self.demuxer.tracks[1], before[1])

    def test_change_and_back(self) -> None:
        """A change that is taken back before a key frame is none."""
        self.start()
        before = self.demuxer.tracks
        self.video(config(AVC_1080))
        self.video(config(AVC))
        self.video(KEY)
        self.assertIs(self.demuxer.tracks, before)

    def test_in_band(self) -> None:
        """Parameter sets in a key frame are adopted (A99); the old record sent again is not new."""
        self.start()
        self.sample(self.video(frame(SPS_1080, pps(), IDR, key=True), 40))
        self.assertEqual(self.size(), (1920, 1080))
        tracks = self.demuxer.tracks
        self.video(config())
        self.sample(self.video(frame(SPS_1080, pps(), IDR, key=True), 80))
        self.sample(self.video(P, 120))
        self.assertIs(self.demuxer.tracks, tracks)

    def test_in_band_alone(self) -> None:
        """A record without parameter sets is no track before they come."""
        self.video(config(avcc([], [])))
        self.assertEqual(self.demuxer.tracks, ())
        self.assertIsNone(self.video(KEY))
        self.assertEqual(self.demuxer.dropped, {"no_config": 1})
        sample = self.sample(self.video(frame(SPS_720, pps(), IDR, key=True), 40))
        self.assertIs(sample.track, self.demuxer.tracks[0])
        self.assertEqual(self.size(), (1280, 720))

    def test_broken(self) -> None:
        """A broken record is counted, and an earlier one stays (A77, A79)."""
        for record in (b"", AVC[:-1], avcc([], [])[:5]):
            self.video(config(record))
        for record in (b"", b"\x12"):
            self.audio(sound(record, 0))
        self.assertEqual((self.demuxer.tracks, self.demuxer.dropped), ((), {"config": 5}))
        self.start()
        tracks = self.demuxer.tracks
        for record in (b"", AVC_1080[:-1], avcc([SPS_1080], [], head=b"abc"), avcc([], [])):
            self.video(config(record))
            self.sample(self.video(KEY))
        self.audio(sound(b"\x12", 0))
        self.sample(self.audio(sound()))
        self.assertIs(self.demuxer.tracks, tracks)
        self.assertEqual(self.demuxer.dropped, {"config": 10})

    def test_metadata(self) -> None:
        """Metadata is kept; what cannot be read is counted; neither makes a track."""
        self.demuxer.receive(DATA, 0, amf0.encode("onMetaData", {"width": 1280.0, "height": -1.0}))
        self.demuxer.receive(DATA, 0, b"\x00\x01\x02\x03")
        self.demuxer.receive(DATA, 0, amf0.encode("onTextData", {}))
        self.assertEqual(self.demuxer.metadata, {"width": 1280.0})
        self.demuxer.receive(15, 0, b"\0" + amf0.encode("onMetaData", {"stereo": True}))
        self.assertEqual(self.demuxer.metadata, {"stereo": True})
        self.assertEqual((self.demuxer.tracks, self.demuxer.dropped), ((), {"data": 1}))


class DropTests(Case):
    def test_short(self) -> None:
        """Messages that end in their header are counted, empty sound is nothing (A73)."""
        self.start()
        for message in (b"", b"\x17", b"\x17\x01", b"\x27\x01\x00\x00"):
            self.assertIsNone(self.video(message))
        for message in (b"", b"\xaf", b"\xaf\x01"):
            self.assertIsNone(self.audio(message))
        self.assertEqual(self.demuxer.dropped, {"short": 4})

    def test_before_config(self) -> None:
        """Nothing comes out before a configuration and a key frame (A82)."""
        self.assertIsNone(self.video(KEY))
        self.assertIsNone(self.audio(sound()))
        self.video(config())
        self.assertIsNone(self.video(P))
        self.assertIsNone(self.video(P))
        self.assertEqual(self.demuxer.dropped, {"no_config": 2, "no_keyframe": 2})
        self.assertIsNotNone(self.video(frame(RECOVERY, INTER, key=True)))
        self.assertIsNotNone(self.video(P))

    def test_damaged(self) -> None:
        """Of a damaged frame the sound part is kept; without a picture it is dropped (A80)."""
        self.start()
        sample = self.sample(self.video(KEY + b"\0\0\0\x09x"))
        self.assertEqual(sample.payload, prefixed(IDR))
        for body in (b"", prefixed(b"", b""), prefixed(b"\x09\xf0")):
            self.assertIsNone(self.video(build_video(VideoTag(2, 7, 1, 0, body))))
        self.assertIsNone(self.video(KEY[:-1]))
        self.assertEqual(self.demuxer.dropped, {"nal_unit": 2, "no_picture": 3})

    def test_annex_b(self) -> None:
        """Start codes in place of lengths are converted (A81)."""
        self.video(config())
        body = b"\0\0\0\1\x09\xf0\0\0\0\1" + IDR
        sample = self.sample(self.video(build_video(VideoTag(1, 7, 1, 0, body))))
        self.assertEqual(sample.payload, prefixed(b"\x09\xf0", IDR))
        self.assertEqual(self.demuxer.dropped, {})

    def test_commands(self) -> None:
        """Command frames mean nothing, unknown packet types are counted."""
        self.start()
        self.assertIsNone(self.video(build_video(VideoTag(5, 7, 0, 0, b""))))
        self.assertEqual(self.demuxer.dropped, {})
        self.assertIsNone(self.video(build_video(VideoTag(1, 7, 3, 0, b"x"))))
        self.assertIsNone(self.audio(sound(b"x", 2)))
        self.assertEqual(self.demuxer.dropped, {"packet_type": 2})

    def test_unsupported(self) -> None:
        """Codecs that cannot be taken are named, once, and the tracks stay (A74)."""
        self.start()
        tracks = self.demuxer.tracks
        messages: list[tuple[int, bytes, str]] = [
            (VIDEO, b"\x22\0\0", "Sorenson H.263 (2)"),
            (VIDEO, b"\x14", "On2 VP6 (4)"),
            (VIDEO, config(b"\1", codec_id=13), "AV1, unofficial id (13)"),
            (VIDEO, frame(INTER, codec_id=13), "AV1, unofficial id (13)"),
            (VIDEO, b"\x2f\0\0", "unknown codec (15)"),
            (VIDEO, b"\x90vvc1\1", "VVC (vvc1)"),
            (VIDEO, b"\x90XXXX\1", "unknown codec (XXXX)"),
            (VIDEO, b"\x90\x1b[2J\1", "unknown codec (0x1b5b324a)"),
            (VIDEO, b"\x90\xff\xfe\xfd\xfc\1", "unknown codec (0xfffefdfc)"),
            (VIDEO, b"\x96\1XYZ1\3", "unknown codec (XYZ1)"),
            (VIDEO, b"\x97\0\xff\1XYZ2", "unknown codec (XYZ2)"),
            (AUDIO, b"\x7f\xff\xfb", "G.711 A-law (7)"),
            (AUDIO, b"\xb2\0", "Speex (11)"),
            (AUDIO, b"\xff\0", "device-specific sound (15)"),
            (AUDIO, b"\x90ABCD", "unknown codec (ABCD)"),
            (AUDIO, b"\x95\1ABCE\0\0", "unknown codec (ABCE)"),
        ]
        for type_id, message, name in messages:
            self.assertEqual(self.demuxer.receive(type_id, 0, message), [])
            self.assertIn(name, self.demuxer.unsupported)
        self.assertEqual(self.demuxer.unsupported, {name for _, _, name in messages})
        self.assertEqual(self.demuxer.dropped, {"unsupported_codec": len(messages)})
        self.assertIs(self.demuxer.tracks, tracks)

    def test_names_are_bounded(self) -> None:
        """Garbage FourCCs do not fill memory."""
        for number in range(16, 1016):
            self.video(b"\x90" + number.to_bytes(4, "big"))
        self.assertEqual(len(self.demuxer.unsupported), MAX_NAMES)
        self.assertEqual(self.demuxer.dropped, {"unsupported_codec": 1000})

    def test_other_messages(self) -> None:
        """Message types that are no media are ignored."""
        self.assertEqual(self.demuxer.receive(20, 0, KEY), [])
        self.assertEqual(self.demuxer.dropped, {})


MESSAGES = st.one_of(
    st.tuples(st.integers(8, 9) | st.sampled_from([15, 18, 0]), st.binary(max_size=40)),
    st.tuples(st.just(VIDEO), st.sampled_from([config(), config(AVC_1080), KEY, P, END])),
    st.tuples(st.just(AUDIO), st.sampled_from([sound(AAC_44, 0), sound(AAC_48, 0), sound()])),
    st.tuples(
        st.just(VIDEO),
        st.builds(
            lambda head, body: head + body,
            st.sampled_from(
                [b"\x17\0\0\0\0", b"\x17\1\0\0\0", b"\x27\1\xff\0\0", b"\x17\0\0\0\0\1"]
            ),
            st.binary(max_size=60),
        ),
    ),
    st.tuples(st.just(AUDIO), st.builds(bytes.__add__, st.just(b"\xaf\0"), st.binary(max_size=20))),
)


class ArbitraryTests(Case):
    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.tuples(MESSAGES, st.integers(0, 2**32 - 1)), max_size=30))
    def test_arbitrary(self, messages: Iterable[tuple[tuple[int, bytes], int]]) -> None:
        """Whatever is sent, samples are well-formed and belong to a track that was told."""
        demuxer = Demuxer(REGISTRY)
        for (type_id, message), timestamp in messages:
            tracks = demuxer.tracks
            for sample in demuxer.receive(type_id, timestamp, message):
                self.assertIn(sample.track, demuxer.tracks)
                self.assertTrue(len(sample.payload))
                self.assertGreaterEqual(sample.is_random_access, sample.is_sync)
            if demuxer.tracks is not tracks:
                self.assertNotEqual(demuxer.tracks, tracks)
        self.assertLessEqual(len(demuxer.tracks), 2)
