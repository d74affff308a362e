"""Enhanced RTMP messages to samples: FourCCs, several tracks, ModEx, colour."""

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.amf import amf0
from rapidrtmp.amf.values import Value
from rapidrtmp.codecs.registry import REGISTRY
from rapidrtmp.flv import enhanced
from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.flv.enhanced import AV01, AVC1, HVC1, ExTag, Part, fourcc
from rapidrtmp.flv.losses import MAX_TRACKS
from rapidrtmp.flv.tag import AudioTag, VideoTag, build_audio, build_video
from rapidrtmp.media.codec import AudioConfig, VideoConfig
from rapidrtmp.media.track import Sample
from tests.codecs.builders import ASC, SPS, VUI, avcc, pps, prefixed
from tests.codecs.sound_builders import (
    MP3Frame,
    ac3_frame,
    flac_frame,
    opus_head,
    streaminfo,
)
from tests.codecs.video_builders import AV1Sequence, VP9Frame, av1c, obu, vp8_key_frame, vpcc

AUDIO, VIDEO, DATA = 8, 9, 18
START, FRAMES, END, FRAMES_X, METADATA, CHANNELS = 0, 1, 2, 3, 4, 4
KEY, INTER = 1, 2

VP08 = fourcc("vp08")
VP09 = fourcc("vp09")
MP4A = fourcc("mp4a")
OPUS = fourcc("Opus")
FLAC = fourcc("fLaC")
AC_3 = fourcc("ac-3")
MP3 = fourcc(".mp3")

AVC = avcc([SPS().nal_unit()], [pps()])
AVC_1080 = avcc([SPS(width_mbs=120, height_map_units=68).nal_unit()], [pps()])
IDR_UNIT = prefixed(b"\x65\x88\x84\x21")
INTER_UNIT = prefixed(b"\x41\x9a\x24")
ASC_48 = ASC(rate=48000).octets()

HDR: dict[str, Value] = {
    "colorConfig": {
        "colorPrimaries": 9.0,
        "transferCharacteristics": 16.0,
        "matrixCoefficients": 9.0,
    }
}


def config(record: bytes = AVC, codec: int = AVC1, track_id: int = 0) -> bytes:
    """Return a SequenceStart."""
    return enhanced.video_header(START, codec, KEY, 0, track_id) + record


def key(track_id: int = 0, time: int = 0, codec: int = AVC1, body: bytes = IDR_UNIT) -> bytes:
    """Return a key frame."""
    return enhanced.video_header(FRAMES, codec, KEY, time, track_id) + body


def inter(track_id: int = 0, codec: int = AVC1, body: bytes = INTER_UNIT) -> bytes:
    """Return an inter frame without a composition time."""
    return enhanced.video_header(FRAMES_X, codec, INTER, 0, track_id) + body


def sound(body: bytes, codec: int, packet_type: int = FRAMES, track_id: int = 0) -> bytes:
    """Return an audio message."""
    return enhanced.audio_header(packet_type, codec, track_id) + body


def color(value: Value, frame_type: int = 0, track_id: int = 0, codec: int = AVC1) -> bytes:
    """Return a metadata packet."""
    head = enhanced.video_header(METADATA, codec, frame_type, 0, track_id)
    return head + amf0.encode("colorInfo", value)


LEGACY_CONFIG = build_video(VideoTag(KEY, 7, 0, 0, AVC))
LEGACY_KEY = build_video(VideoTag(KEY, 7, 1, 0, IDR_UNIT))
LEGACY_SOUND = build_audio(AudioTag(10, 1, b"\x21\x00"))


class Case(SynchronousTestCase):
    """One demuxer, and some ways to feed it."""

    def setUp(self) -> None:
        self.demuxer = Demuxer(REGISTRY)

    def video(self, message: bytes, timestamp: int = 0) -> list[Sample]:
        """Send a video message."""
        return self.demuxer.receive(VIDEO, timestamp, message)

    def audio(self, message: bytes, timestamp: int = 0) -> list[Sample]:
        """Send an audio message."""
        return self.demuxer.receive(AUDIO, timestamp, message)

    def track_ids(self) -> list[int]:
        """Return the ids of the tracks in their order."""
        return [track.track_id for track in self.demuxer.tracks]

    def video_config(self, index: int = 0) -> VideoConfig:
        """Return the configuration of a track."""
        return VideoConfig(self.demuxer.tracks[index].config)

    def audio_config(self, index: int = 0) -> AudioConfig:
        """Return the configuration of a track."""
        return AudioConfig(self.demuxer.tracks[index].config)


class FrameTests(Case):
    def test_video(self) -> None:
        """Both kinds of frames, with their composition times and as views of the message."""
        self.video(config())
        message = bytearray(key(time=-40))
        [sample] = self.demuxer.receive(VIDEO, 80, memoryview(message))
        self.assertIs(sample.track, self.demuxer.tracks[0])
        self.assertEqual((sample.dts, sample.composition_offset), (7200, -3600))
        self.assertTrue(sample.is_sync and sample.is_random_access)
        self.assertEqual(sample.payload, IDR_UNIT)
        message[-1] ^= 0xFF
        self.assertNotEqual(sample.payload, IDR_UNIT)
        [sample] = self.video(inter(), 120)
        self.assertEqual((sample.dts, sample.composition_offset), (10800, 0))
        self.assertEqual((sample.is_sync, sample.payload), (False, INTER_UNIT))
        self.assertEqual((self.track_ids(), self.demuxer.dropped), ([1], {}))

    def test_composition_times(self) -> None:
        """Offsets over 5 s are garbage and become 0 (A95)."""
        self.video(config())
        for time, found in ((5000, 5000), (-5000, -5000), (-5001, 0), (8388607, 0), (-8388608, 0)):
            for track_id in (0, 1):
                self.video(config(track_id=track_id))
                [sample] = self.video(key(track_id, time))
                self.assertEqual(sample.composition_offset, found * 90)
        self.assertEqual(self.demuxer.dropped, {"composition_time": 6})

    def test_case(self) -> None:
        """A FourCC of another case is that codec ("Avc1" exists)."""
        odd = fourcc("Avc1")
        self.video(config(codec=odd))
        [sample] = self.video(enhanced.video_header(FRAMES, odd, KEY) + b"\0\0\x28" + IDR_UNIT)
        self.assertEqual(sample.composition_offset, 3600)
        self.assertEqual(len(self.video(inter())), 1)
        self.audio(sound(opus_head(), fourcc("OPUS"), START))
        self.assertEqual(len(self.audio(sound(b"\xfc\0", fourcc("opus")))), 1)
        self.assertEqual((self.track_ids(), self.demuxer.dropped), ([1, 2], {}))

    def test_legacy_and_fourcc(self) -> None:
        """The same record by number and by FourCC is the same track."""
        self.video(LEGACY_CONFIG)
        self.video(LEGACY_KEY)
        tracks = self.demuxer.tracks
        self.video(config())
        self.assertEqual(len(self.video(inter())), 1)
        self.assertIs(self.demuxer.tracks, tracks)
        self.assertEqual(self.video(LEGACY_KEY), [])
        self.assertEqual(self.demuxer.dropped, {"no_config": 1})

    def test_vp8(self) -> None:
        """VP8 has a record, or none: then a key frame is the configuration, and a sample."""
        key_frame, frame = vp8_key_frame(640, 360), b"\x11\2\0rest"
        for track_id in (0, 3):
            for start in ([config(vpcc(), VP08, track_id)], []):
                self.setUp()
                for message in start:
                    self.video(message)
                self.assertEqual(self.video(inter(track_id, VP08, frame)), [])
                [first] = self.video(key(track_id, codec=VP08, body=key_frame), 40)
                [second] = self.video(inter(track_id, VP08, frame), 80)
                self.assertEqual((first.is_sync, first.payload), (True, key_frame))
                self.assertEqual((second.is_sync, second.payload), (False, frame))
                self.assertEqual((first.dts, second.composition_offset), (3600, 0))
                self.assertEqual(self.track_ids(), [1 + 2 * track_id])
                self.assertEqual(
                    (self.video_config().codec, self.video_config().width), ("vp8", 640)
                )
                lost = "no_config" if start else "no_keyframe"
                self.assertEqual(self.demuxer.dropped, {lost: 1})

    def test_vp8_damaged(self) -> None:
        """What only claims to be a key frame makes no track, and takes none away."""
        self.video(config())
        self.video(key())
        tracks = self.demuxer.tracks
        for track_id in (0, 5):
            self.assertEqual(self.video(key(track_id, codec=VP08, body=b"no key frame")), [])
            self.assertEqual(self.video(key(track_id, codec=VP08, body=b"")), [])
        self.assertIs(self.demuxer.tracks, tracks)
        self.assertEqual(len(self.video(inter())), 1)
        self.assertEqual(self.demuxer.dropped, {"config": 4, "no_keyframe": 4})

    def test_before_config(self) -> None:
        """Nothing comes out before a configuration and a key frame (A82)."""
        self.assertEqual(self.video(key()), [])
        self.assertEqual(self.video(key(3)), [])
        self.assertEqual(self.audio(sound(b"\x21", MP4A)), [])
        self.video(config())
        self.assertEqual(self.video(inter()), [])
        self.assertEqual(self.demuxer.dropped, {"no_config": 3, "no_keyframe": 1})
        self.assertEqual(len(self.video(key())), 1)

    def test_no_frames(self) -> None:
        """End of sequence and commands are no frames and have no time."""
        self.video(config(), 0x70000000)
        self.video(key(), 0x70000000)
        for message in (
            enhanced.video_header(END, AVC1, KEY),
            b"\xd0\x00",
            b"\xd1\x61\x76\x63\x31\x01",
            b"\xd6\x00",
        ):
            self.assertEqual(self.video(message, 0), [])
        self.audio(sound(b"", MP4A, END), 0)
        [sample] = self.video(inter(), 0x70000010)
        self.assertEqual((sample.dts, self.demuxer.dropped), (0x70000010 * 90, {}))

    def test_damaged(self) -> None:
        """Header faults are counted by their kind, and the next message is good (A73, A75, A76)."""
        self.video(config())
        self.video(key())
        faults = [
            (VIDEO, "90", "short"),
            (VIDEO, "91 617663", "short"),
            (VIDEO, "91 61766331 0000", "short"),
            (VIDEO, "97 05 00", "short"),
            (VIDEO, "96 11 61766331 00 0000ff aa", "short"),
            (VIDEO, "96 01 61766331 00 0000", "short"),
            (VIDEO, "96 06 61766331 00", "packet_type"),
            (VIDEO, "96 31 61766331 00", "packet_type"),
            (VIDEO, "97" + "00ff17" * 9, "packet_type"),
            (VIDEO, "98 61766331", "packet_type"),
            (VIDEO, "95 61766331", "packet_type"),
            (VIDEO, "91 00000007 00000000", "packet_type"),
            (VIDEO, "93 61766331", "no_picture"),
            (AUDIO, "90", "short"),
            (AUDIO, "95 00 6d703461", "short"),
            (AUDIO, "93 6d703461 00", "packet_type"),
            (AUDIO, "91 0000000a 21", "packet_type"),
        ]
        counts: dict[str, int] = {}
        for type_id, octets, reason in faults:
            self.assertEqual(self.demuxer.receive(type_id, 0, bytes.fromhex(octets)), [])
            counts[reason] = counts.get(reason, 0) + 1
            self.assertEqual(self.demuxer.dropped, counts, octets)
        self.assertEqual(len(self.video(inter())), 1)

    def test_offsets(self) -> None:
        """An offset in ns moves the presentation of its message alone, to the nearest tick."""
        self.video(config())
        self.audio(sound(ASC_48, MP4A, START))
        for nanoseconds, ticks in ((0, 0), (5_555, 0), (5_556, 1), (500_000, 45), (999_999, 90)):
            tag = ExTag(FRAMES, [Part(0, AVC1, b"\0\0\x0a" + IDR_UNIT)], KEY, nanoseconds)
            [sample] = self.video(enhanced.build_video(tag), 100)
            self.assertEqual((sample.dts, sample.composition_offset), (9000, 900 + ticks))
        tag = ExTag(FRAMES, [Part(0, MP4A, b"\x21")], 0, 700_000)
        [sample] = self.audio(enhanced.build_audio(tag), 100)
        self.assertEqual((sample.dts, sample.composition_offset), (101 * 48, 0))


class MultitrackTests(Case):
    def test_obs(self) -> None:
        """Track 0 in legacy form, the others as OneTrack: ids 1, 3, 5 and 2, 4."""
        self.video(config(AVC_1080, track_id=2))
        self.audio(sound(ASC_48, MP4A, START, 1))
        self.video(config(track_id=1))
        self.video(LEGACY_CONFIG)
        self.audio(build_audio(AudioTag(10, 0, ASC_48)))
        self.assertEqual(self.track_ids(), [1, 3, 5, 2, 4])
        self.assertEqual(
            [track.kind for track in self.demuxer.tracks], ["video"] * 3 + ["audio"] * 2
        )
        samples = self.video(LEGACY_KEY) + self.video(key(2)) + self.video(key(1))
        samples += self.audio(LEGACY_SOUND) + self.audio(sound(b"\x22", MP4A, track_id=1))
        self.assertEqual([sample.track.track_id for sample in samples], [1, 5, 3, 2, 4])
        self.assertTrue(all(sample.track in self.demuxer.tracks for sample in samples))
        self.assertEqual(self.demuxer.dropped, {})

    def test_many(self) -> None:
        """One message holds all tracks, each with its own composition time."""
        records = [Part(number, AVC1, AVC) for number in (4, 0, 2)]
        self.video(enhanced.build_video(ExTag(START, records, KEY, 0, enhanced.MANY_TRACKS)))
        self.assertEqual(self.track_ids(), [1, 5, 9])
        frames = [
            Part(2, AVC1, b"\0\0\x01" + IDR_UNIT),
            Part(4, AVC1, b"\xff\xff\xff" + IDR_UNIT),
            Part(7, AVC1, b"\0\0\0" + IDR_UNIT),
            Part(0, AVC1, b"\0"),
        ]
        samples = self.video(enhanced.build_video(ExTag(FRAMES, frames, KEY, 0, 1)), 40)
        found = [(one.track.track_id, one.dts, one.composition_offset) for one in samples]
        self.assertEqual(found, [(5, 3600, 90), (9, 3600, -90)])
        self.assertEqual(self.demuxer.dropped, {"no_config": 1, "short": 1})

    def test_many_codecs(self) -> None:
        """One message holds tracks of several codecs; one that is unknown costs no other."""
        records = [
            Part(0, MP4A, ASC_48),
            Part(1, OPUS, opus_head()),
            Part(2, fourcc("abcd"), b""),
            Part(3, FLAC, streaminfo(rate=44100)),
        ]
        self.audio(enhanced.build_audio(ExTag(START, records, 0, 0, 2)))
        codecs = [(track.track_id, track.codec) for track in self.demuxer.tracks]
        self.assertEqual(codecs, [(2, "aac"), (4, "opus"), (8, "flac")])
        frames = [
            Part(3, FLAC, flac_frame(12, rate_code=9)),
            Part(4, AC_3, ac3_frame()),
            Part(1, OPUS, b"\xfc\0"),
        ]
        samples = self.audio(enhanced.build_audio(ExTag(FRAMES, frames, 0, 0, 2)), 1000)
        found = [(one.track.track_id, one.dts) for one in samples]
        self.assertEqual(found, [(8, 44100), (10, 48000), (4, 48000)])
        self.assertEqual(self.demuxer.unsupported, {"unknown codec (abcd)"})

    def test_too_many(self) -> None:
        """Eight tracks of a kind, the first that come; track 0 has its place (A76)."""
        for track_id in range(255, 0, -1):
            self.video(config(track_id=track_id))
            self.audio(sound(ac3_frame(), AC_3, track_id=track_id))
        self.video(config())
        self.audio(sound(ac3_frame(), AC_3))
        kept = [0, *range(257 - MAX_TRACKS, 256)]
        self.assertEqual(self.track_ids(), [1 + 2 * n for n in kept] + [2 + 2 * n for n in kept])
        self.assertEqual(
            self.demuxer.unsupported,
            {"a video track beyond the first 8", "an audio track beyond the first 8"},
        )
        self.assertEqual(self.demuxer.dropped, {"unsupported_codec": 2 * (256 - MAX_TRACKS)})
        self.assertEqual(len(self.video(key(255))), 1)

    def test_broken_takes_no_place(self) -> None:
        """A track that never had a good configuration does not count."""
        for track_id in range(1, 100):
            self.video(config(b"", track_id=track_id))
            self.audio(sound(b"\x12", MP4A, START, track_id))
            self.audio(sound(b"\x0b", AC_3, track_id=track_id))
        self.assertEqual(self.demuxer.dropped, {"config": 198, "audio_frame": 99})
        for track_id in range(1, 8):
            self.video(config(track_id=track_id))
        self.assertEqual(self.track_ids(), [3, 5, 7, 9, 11, 13, 15])

    def test_hints(self) -> None:
        """Metadata names languages and labels; it makes no track, and changes none."""
        self.video(config(track_id=2))
        tracks = self.demuxer.tracks
        hints: dict[str, Value] = {"1": {"language": "de", "label": "Kommentar"}}
        metadata: dict[str, Value] = {
            "width": 1280.0,
            "audioTrackIdInfoMap": hints,
            "videoTrackIdInfoMap": {"2": {"label": "other side"}},
        }
        self.demuxer.receive(DATA, 0, amf0.encode("@setDataFrame", "onMetaData", metadata))
        self.assertEqual(self.demuxer.metadata, {"width": 1280.0})
        self.assertIs(self.demuxer.tracks, tracks)
        self.audio(sound(ASC_48, MP4A, START))
        self.audio(sound(ASC_48, MP4A, START, 1))
        self.video(config(AVC_1080, track_id=2))
        self.video(key(2))
        named = [(track.language, track.label) for track in self.demuxer.tracks]
        self.assertEqual(named, [("und", "other side"), ("und", ""), ("de", "Kommentar")])


class ChangeTests(Case):
    def test_repeated(self) -> None:
        """The same configurations again change nothing (A97)."""
        for _ in range(3):
            self.video(config())
            self.video(config(track_id=1))
            self.audio(sound(opus_head(), OPUS, START))
            self.audio(sound(b"fLaC\x80\0\0\x22" + streaminfo(), FLAC, START, 1))
            self.audio(sound(MP3Frame().octets(), MP3, track_id=2))
            tracks = self.demuxer.tracks
        self.assertIs(self.demuxer.tracks, tracks)
        self.assertEqual(self.track_ids(), [1, 3, 2, 4, 6])

    def test_one_track(self) -> None:
        """A change of one track takes effect with its next key frame and touches no other."""
        for track_id in (0, 1):
            self.video(config(track_id=track_id))
            self.video(key(track_id))
        first, second = self.demuxer.tracks
        self.video(config(AVC_1080, track_id=1))
        [sample] = self.video(inter(1))
        self.assertIs(sample.track, second)
        [sample] = self.video(key())
        self.assertIs(sample.track, first)
        [sample] = self.video(key(1))
        self.assertIs(self.demuxer.tracks[0], first)
        self.assertIs(self.demuxer.tracks[1], sample.track)
        self.assertEqual(self.video_config(1).width, 1920)

    def test_video_codec(self) -> None:
        """With another codec nothing comes out until its key frame (A96)."""
        header = obu(1, AV1Sequence().octets())
        frame, key_frame = (obu(6, head + bytes(20)) for head in (b"\x30", b"\x10"))
        vp9_frame, vp9_key = VP9Frame(is_inter=True).octets(), VP9Frame().octets()
        lost = {"no_config": 1, "no_keyframe": 1}
        cases: list[tuple[int, bytes, bytes, bytes, dict[str, int]]] = [
            (AV01, av1c(header), frame, key_frame, lost),
            (AV01, av1c(), frame, header + key_frame, {"no_config": 2}),
            (VP09, vpcc(), vp9_frame, vp9_key, {"no_config": 2}),
        ]
        for codec, record, frame, key_frame, dropped in cases:
            self.setUp()
            self.video(config())
            self.video(key())
            self.video(config(record, codec))
            self.assertEqual(self.video(inter(codec=codec, body=frame)), [])
            self.assertEqual(self.video(inter()), [])
            [sample] = self.video(inter(codec=codec, body=key_frame))
            self.assertIs(sample.track, self.demuxer.tracks[0])
            self.assertNotEqual(sample.track.codec, "h264")
            [sample] = self.video(inter(codec=codec, body=frame))
            self.assertEqual(self.track_ids(), [1])
            self.assertEqual(self.demuxer.dropped, dropped)

    def test_vp9_change(self) -> None:
        """Another record of VP9, which never says all, counts from the next key frame on."""
        wide = VP9Frame(width=1920, height=1080).octets()
        self.video(config(vpcc(), VP09))
        self.video(key(codec=VP09, body=VP9Frame().octets()))
        [before] = self.demuxer.tracks
        self.video(config(vpcc(level=40, color=(9, 16, 9)), VP09))
        [sample] = self.video(inter(codec=VP09, body=VP9Frame(is_inter=True).octets()))
        self.assertIs(sample.track, before)
        [sample] = self.video(key(codec=VP09, body=wide))
        self.assertIs(sample.track, self.demuxer.tracks[0])
        self.assertEqual(sample.track.config.rfc6381(), "vp09.00.40.08.01.09.16.09.00")
        self.assertEqual(self.video_config().width, 1920)
        self.assertEqual(self.demuxer.dropped, {})

    def test_broken(self) -> None:
        """A broken record is counted, and the earlier one stays (A77, A79)."""
        self.video(config())
        self.video(key())
        tracks = self.demuxer.tracks
        for record, codec in ((b"", AVC1), (AVC[:-1], AVC1), (b"", HVC1), (b"\x81", AV01)):
            self.video(config(record, codec))
            self.assertEqual(len(self.video(key())), 1)
        self.assertIs(self.demuxer.tracks, tracks)
        self.assertEqual(self.demuxer.dropped, {"config": 4})

    def test_mpeg2ts(self) -> None:
        """AV1 may be configured by the descriptor of MPEG-2 TS; other codecs may not."""
        head = enhanced.video_header(enhanced.MPEG2TS_SEQUENCE_START, AV01, KEY)
        self.video(head + b"\x05\x04AV01\x80\x04\x81\x08\x0c\x00")
        self.assertEqual(self.demuxer.tracks, ())
        key_frame = obu(1, AV1Sequence().octets()) + obu(6, b"\x10" + bytes(20))
        self.assertEqual(len(self.video(key(codec=AV01, body=key_frame))), 1)
        self.assertEqual([track.codec for track in self.demuxer.tracks], ["av1"])
        self.video(head + b"\x05")
        self.video(enhanced.video_header(enhanced.MPEG2TS_SEQUENCE_START, AVC1, KEY) + AVC)
        self.assertEqual(self.demuxer.dropped, {"config": 1, "packet_type": 1})


class ColorTests(Case):
    def ranges(self) -> list[str]:
        """Return VIDEO-RANGE of the video tracks."""
        return [VideoConfig(track.config).color.video_range for track in self.demuxer.tracks]

    def test_before_frames(self) -> None:
        """Colour counts from the first frame on, told before or after the configuration."""
        for frame_type in (0, 1, 5):
            for messages in (
                [config(), color(HDR, frame_type)],
                [color(HDR, frame_type), config()],
            ):
                self.setUp()
                for message in messages:
                    self.video(message)
                self.assertEqual(self.ranges(), ["PQ"])
                tracks = self.demuxer.tracks
                [sample] = self.video(key())
                self.assertIs(sample.track, tracks[0])
                self.assertEqual(self.demuxer.dropped, {})

    def test_change(self) -> None:
        """Another colour is another configuration, with the next key frame; the same is none."""
        self.video(config())
        self.video(key())
        before = self.demuxer.tracks
        self.video(color(HDR))
        [sample] = self.video(inter())
        self.assertIs(sample.track, before[0])
        self.video(key())
        self.assertEqual(self.ranges(), ["PQ"])
        tracks = self.demuxer.tracks
        for message in (color(HDR), config(), key(), color({"other": 1.0}), color(HDR), key()):
            self.video(message)
        self.assertIs(self.demuxer.tracks, tracks)
        self.video(color({}))
        self.video(key())
        self.assertEqual(self.ranges(), ["SDR"])

    def test_new_parameters(self) -> None:
        """Colour that was told stays with another size, in a record or in the frames."""
        self.video(config())
        self.video(color(HDR))
        self.video(key())
        self.video(config(AVC_1080))
        self.video(key())
        self.assertEqual((self.ranges(), self.video_config().width), (["PQ"], 1920))
        in_band = prefixed(SPS().nal_unit(), pps()) + IDR_UNIT
        [sample] = self.video(key(body=in_band))
        self.assertEqual((self.ranges(), self.video_config().width), (["PQ"], 1280))
        self.assertIs(sample.track, self.demuxer.tracks[0])

    def test_other_codec(self) -> None:
        """What was told of another codec's stream does not count for the next."""
        self.video(config())
        self.video(color(HDR))
        self.video(key())
        self.video(config(av1c(obu(1, AV1Sequence().octets())), AV01))
        self.assertEqual(self.ranges(), ["SDR"])

    def test_bitstream_wins(self) -> None:
        """Where the bitstream says it all, what is told makes no new configuration."""
        self.video(
            config(avcc([SPS(vui=VUI(colour=(1, 1, 1), full_range=False)).nal_unit()], [pps()]))
        )
        self.video(key())
        tracks = self.demuxer.tracks
        self.video(color(HDR))
        self.video(key())
        self.assertIs(self.demuxer.tracks, tracks)

    def test_tracks(self) -> None:
        """Each track has its own; that of a track that is not there is forgotten."""
        self.video(config())
        self.video(config(track_id=1))
        self.video(color(HDR, 5, 1))
        self.video(color(HDR, 5, 2))
        self.video(config(track_id=2))
        self.assertEqual(self.ranges(), ["SDR", "PQ", "SDR"])
        self.assertEqual(self.demuxer.dropped, {})

    def test_nameless(self) -> None:
        """FFmpeg does not name the track: it can only be one of that codec."""
        self.video(LEGACY_CONFIG)
        for track_id in (1, 2):
            self.video(config(av1c(obu(1, AV1Sequence().octets())), AV01, track_id))
        self.video(color(HDR, 5, codec=AV01))
        self.assertEqual(self.ranges(), ["SDR", "PQ", "PQ"])
        self.video(color(HDR, 5, codec=HVC1))
        self.assertEqual(self.ranges(), ["SDR", "PQ", "PQ"])
        self.video(color(HDR, 5))
        self.assertEqual(self.ranges(), ["PQ", "PQ", "PQ"])
        self.assertEqual(self.demuxer.dropped, {})

    def test_malformed(self) -> None:
        """What cannot be read is counted and changes nothing (A106)."""
        self.video(config())
        head = enhanced.video_header(METADATA, AVC1, 0)
        for body in (b"\xff", amf0.encode("colorInfo", 1.0), bytes(100_000)):
            self.video(head + body)
        self.assertEqual((self.ranges(), self.demuxer.dropped), (["SDR"], {"data": 3}))


class SoundTests(Case):
    def test_codecs_with_records(self) -> None:
        """Frames of different length are counted as they are, from the first timestamp on."""
        self.audio(sound(opus_head(), OPUS, START))
        self.assertEqual(self.audio_config().channels, 2)
        frames = [
            (b"\xfc\0", 960),
            (b"\xf8\0", 960),
            (b"\xe0\0", 120),
            (b"\xfd\0", 1920),
            (b"\xfc", 960),
        ]
        ms, expected = 0.0, 0
        for body, ticks in frames:
            [sample] = self.audio(sound(body, OPUS), round(ms))
            self.assertEqual((sample.dts, sample.payload), (expected, body))
            expected += ticks
            ms += ticks / 48
        self.assertEqual(self.audio(sound(b"\xff\x3f", OPUS)), [])
        self.assertEqual(self.demuxer.dropped, {"audio_frame": 1})

    def test_opus_without_record(self) -> None:
        """The record of Opus may be empty, or not come at all."""
        for start in ([sound(b"", OPUS, START)], []):
            self.setUp()
            for message in start:
                self.audio(message)
            [sample] = self.audio(sound(b"\xfc\0", OPUS), 20)
            self.assertEqual((sample.dts, sample.track.codec), (960, "opus"))
            tracks = self.demuxer.tracks
            self.audio(sound(b"", OPUS, START))
            self.assertIs(self.demuxer.tracks, tracks)
            self.assertEqual(self.demuxer.dropped, {})
            # the comment header may come as well
            self.audio(sound(b"OpusTags\0\0\0\0\0\0\0\0", OPUS, START))
            self.assertEqual(len(self.audio(sound(b"\xfc\0", OPUS), 40)), 1)
            self.assertIs(self.demuxer.tracks, tracks)

    def test_codecs_without_records(self) -> None:
        """The first frame is the configuration; it is a sample, too (A105)."""
        mp3 = MP3Frame().octets()
        cases: list[tuple[bytes, str, int, int]] = [
            (build_audio(AudioTag(2, 1, mp3)), "mp3", 44100, 1152),
            (build_audio(AudioTag(14, 1, mp3)), "mp3", 44100, 1152),
            (sound(mp3, MP3), "mp3", 44100, 1152),
            (sound(ac3_frame(), AC_3), "ac3", 48000, 1536),
        ]
        for message, codec, rate, ticks in cases:
            self.setUp()
            self.audio(sound(b"", MP3, START))
            self.audio(sound(b"", AC_3, START))
            samples = self.audio(message, 1000) + self.audio(message, 1000 + ticks * 1000 // rate)
            self.assertEqual([sample.dts for sample in samples], [rate, rate + ticks])
            self.assertEqual([track.codec for track in self.demuxer.tracks], [codec])
            self.assertEqual(self.audio_config().sample_rate, rate)
            self.assertEqual(self.demuxer.dropped, {})

    def test_other_parameters(self) -> None:
        """A frame with other parameters is a new configuration; garbage is none (A96)."""
        self.audio(sound(MP3Frame().octets(), MP3))
        tracks = self.demuxer.tracks
        self.assertEqual(self.audio(sound(b"\0\1\2\3", MP3)), [])
        self.assertEqual(self.audio(sound(MP3Frame().octets()[:-1], MP3)), [])
        self.assertIs(self.demuxer.tracks, tracks)
        self.assertEqual(self.demuxer.dropped, {"audio_frame": 2})
        [sample] = self.audio(sound(MP3Frame(rate=1, size=384).octets(), MP3), 1000)
        self.assertEqual((self.audio_config().sample_rate, sample.dts), (48000, 48000))
        self.assertIs(sample.track, self.demuxer.tracks[0])
        self.audio(sound(ASC_48, MP4A, START))
        [sample] = self.audio(sound(b"\x21", MP4A))
        self.assertEqual((self.track_ids(), sample.track.codec), ([2], "aac"))

    def test_empty(self) -> None:
        """Frames of no bytes are nothing: FFmpeg ends FLAC with one (A73)."""
        self.audio(sound(ASC_48, MP4A, START))
        for message in (sound(b"", MP4A), sound(b"", AC_3), sound(b"", MP4A, track_id=0)):
            self.assertEqual(self.audio(message), [])
        self.assertEqual(self.demuxer.dropped, {})

    def test_channels(self) -> None:
        """MultichannelConfig is compared with the codec's own, which wins."""
        stereo, six = b"\1\2\0\0\0\3", b"\1\6\0\0\0\x3f"
        self.audio(sound(six, MP4A, CHANNELS))
        self.audio(sound(ASC_48, MP4A, START))
        self.audio(sound(stereo, MP4A, CHANNELS))
        self.assertEqual(self.demuxer.dropped, {})
        self.audio(sound(six, MP4A, CHANNELS))
        self.audio(sound(six[:-1], MP4A, CHANNELS))
        self.audio(sound(six, MP4A, CHANNELS, 5))
        self.assertEqual(self.demuxer.dropped, {"channels": 1, "short": 1})
        self.assertEqual((self.audio_config().channels, self.track_ids()), (2, [2]))


PARTS = st.builds(
    Part,
    st.integers(0, 9) | st.integers(0, 255),
    st.sampled_from(
        [AVC1, HVC1, AV01, VP08, VP09, OPUS, FLAC, AC_3, MP3, MP4A, fourcc("Avc1"), 7, 10]
    ),
    st.sampled_from(
        [
            *(AVC, AVC_1080, b"\0\0\0" + IDR_UNIT, INTER_UNIT, vpcc(), VP9Frame().octets()),
            vp8_key_frame(640, 360),
            *(ASC_48, opus_head(), b"\xfc\0", streaminfo(), flac_frame(12), ac3_frame()),
            *(MP3Frame().octets(), amf0.encode("colorInfo", HDR), amf0.encode("colorInfo", {})),
        ]
    )
    | st.binary(max_size=30),
)
TAGS = st.builds(
    lambda packet_type, parts, frame_type, nanoseconds, kind: ExTag(
        packet_type, parts if kind else parts[:1], frame_type, nanoseconds, kind
    ),
    st.integers(0, 5),
    st.lists(PARTS, min_size=1, max_size=4),
    st.integers(0, 7),
    st.sampled_from([0, 0, 1, 999_999]),
    st.sampled_from([None, 0, 1, 2]),
)
MESSAGES = st.one_of(
    st.tuples(st.just(VIDEO), TAGS.map(enhanced.build_video)),
    st.tuples(st.just(AUDIO), TAGS.map(enhanced.build_audio)),
    st.tuples(st.just(VIDEO), st.sampled_from([LEGACY_CONFIG, LEGACY_KEY])),
    st.tuples(
        st.sampled_from([VIDEO, AUDIO]),
        st.builds(
            bytes.__add__,
            st.sampled_from([b"\x90", b"\x91", b"\x93", b"\x95", b"\x96", b"\x97", b"\xd4"]),
            st.binary(max_size=40),
        ),
    ),
)


class ArbitraryTests(SynchronousTestCase):
    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.tuples(MESSAGES, st.integers(0, 2**32 - 1), st.booleans()), max_size=30))
    def test_arbitrary(self, messages: Iterable[tuple[tuple[int, bytes], int, bool]]) -> None:
        """Whatever is sent, samples are well-formed and belong to a track that was told."""
        demuxer = Demuxer(REGISTRY)
        for (type_id, message), timestamp, is_cut in messages:
            before = demuxer.tracks
            if is_cut:
                message = message[: -1 - len(message) // 3]
            samples = demuxer.receive(type_id, timestamp, message)
            for sample in samples:
                self.assertIn(sample.track, demuxer.tracks)
                self.assertTrue(len(sample.payload))
                self.assertGreaterEqual(sample.is_random_access, sample.is_sync)
            if demuxer.tracks is not before:
                self.assertNotEqual(demuxer.tracks, before)
        kinds = [track.kind for track in demuxer.tracks]
        self.assertEqual(kinds, sorted(kinds, reverse=True))
        for kind in ("video", "audio"):
            numbers = [track.track_id for track in demuxer.tracks if track.kind == kind]
            self.assertEqual(numbers, sorted(set(numbers)))
            self.assertLessEqual(len(numbers), MAX_TRACKS)
        self.assertLessEqual(len(demuxer.unsupported), 16)
