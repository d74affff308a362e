"""The table of codecs that are built in."""

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.codecs.ac3 import AC3Config, EAC3Config
from rapidrtmp.codecs.av1 import AV1Config
from rapidrtmp.codecs.h265 import H265Config
from rapidrtmp.codecs.mp3 import MP3Config
from rapidrtmp.codecs.registry import REGISTRY
from rapidrtmp.codecs.vp8 import VP8Config
from rapidrtmp.codecs.vp9 import VP9Config
from rapidrtmp.media.codec import ConfigError
from tests.codecs.builders import ASC, SPS, avcc, pps
from tests.codecs.sound_builders import MP3Frame, ac3_frame, eac3_frame, opus_head, streaminfo


def fourcc(name: bytes) -> int:
    """Return a FourCC as a big-endian number."""
    return int.from_bytes(name, "big")


class RegistryTests(SynchronousTestCase):
    def test_records(self) -> None:
        """FLV's numbers and FourCCs lead to the right configurations."""
        avc = avcc([SPS().nal_unit()], [pps()])
        for key in (7, fourcc(b"avc1")):
            self.assertEqual(REGISTRY.video[key](avc).codec, "h264")
        self.assertEqual(REGISTRY.video[12], H265Config.parse)
        self.assertEqual(REGISTRY.video[fourcc(b"hvc1")], H265Config.parse)
        self.assertEqual(REGISTRY.video[fourcc(b"av01")], AV1Config.parse)
        self.assertEqual(REGISTRY.video[fourcc(b"vp08")], VP8Config.parse)
        self.assertEqual(REGISTRY.video[fourcc(b"vp09")], VP9Config.parse)
        for key in (10, fourcc(b"mp4a")):
            self.assertEqual(REGISTRY.audio[key](ASC().octets()).codec, "aac")
        self.assertEqual(REGISTRY.audio[fourcc(b"Opus")](opus_head()).codec, "opus")
        self.assertEqual(REGISTRY.audio[fourcc(b"fLaC")](streaminfo()).codec, "flac")

    def test_frames(self) -> None:
        """Codecs without a record, and Opus and VP8 when they have none, are configured by a frame.

        What of video is, has a parser of records, too.
        """
        self.assertEqual(REGISTRY.video_frames, {fourcc(b"vp08"): VP8Config.from_frame})
        self.assertLessEqual(set(REGISTRY.video_frames), set(REGISTRY.video))
        for key in (2, 14, fourcc(b".mp3")):
            self.assertIsInstance(REGISTRY.audio_frames[key](MP3Frame().octets()), MP3Config)
        ac3, eac3 = REGISTRY.audio_frames[fourcc(b"ac-3")], REGISTRY.audio_frames[fourcc(b"ec-3")]
        self.assertIsInstance(ac3(ac3_frame()), AC3Config)
        self.assertIsInstance(eac3(eac3_frame()), EAC3Config)
        self.assertEqual(REGISTRY.audio_frames[fourcc(b"Opus")](b"\xfc").channels, 2)

    def test_disagreement(self) -> None:
        """A frame that has no samples for a codec configured by frames may make another one."""
        for parse, frame, other in (
            (MP3Config.from_frame, MP3Frame().octets(), MP3Frame(rate=1).octets()),
            (AC3Config.from_frame, ac3_frame(), ac3_frame(acmod=1)),
            (EAC3Config.from_frame, eac3_frame(), eac3_frame(acmod=1)),
        ):
            config = parse(frame)
            self.assertEqual(config.frame_samples(other), 0)
            self.assertNotEqual(parse(other), config)
            self.assertGreater(parse(other).frame_samples(other), 0)
            self.assertEqual(config.frame_samples(b"junk"), 0)
            self.assertRaises(ConfigError, parse, b"junk")

    def test_names(self) -> None:
        """Everything that can be parsed, and what encoders are known to send, has a name."""
        self.assertLessEqual(set(REGISTRY.video), set(REGISTRY.video_names))
        audio = set(REGISTRY.audio) | set(REGISTRY.audio_frames)
        self.assertLessEqual(audio, set(REGISTRY.audio_names))
        self.assertEqual(REGISTRY.video_names[0x68766331], "HEVC")
        self.assertEqual(REGISTRY.audio_names[2], "MP3")
