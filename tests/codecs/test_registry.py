"""The table of codecs that are built in."""

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.codecs.registry import REGISTRY
from tests.codecs.builders import ASC, SPS, avcc, pps


class RegistryTests(SynchronousTestCase):
    def test_parsers(self) -> None:
        """FLV's numbers lead to the right configurations."""
        video = REGISTRY.video[7](avcc([SPS().nal_unit()], [pps()]))
        audio = REGISTRY.audio[10](ASC().octets())
        self.assertEqual((video.codec, audio.codec), ("h264", "aac"))

    def test_names(self) -> None:
        """Everything that can be parsed, and what encoders are known to send, has a name."""
        self.assertLessEqual(set(REGISTRY.video), set(REGISTRY.video_names))
        self.assertLessEqual(set(REGISTRY.audio), set(REGISTRY.audio_names))
        self.assertEqual(REGISTRY.video_names[0x68766331], "HEVC")
        self.assertEqual(REGISTRY.audio_names[2], "MP3")
