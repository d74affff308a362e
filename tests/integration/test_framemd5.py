"""The judge of losslessness, judged."""

from dataclasses import replace
from fractions import Fraction

from twisted.trial.unittest import SynchronousTestCase

from tests.integration import framemd5, media
from tests.integration.framemd5 import Packet

OUTPUT = """\
#format: frame checksums
#tb 0: 1/90000
#media_type 0: video
#codec_id 0: h264
#tb 1: 1/48000
#media_type 1: audio
0,       0,    7200,     3600,     100, aaaa
[hls @ 0x1] Opening 'x' for reading
1,       0,       0,     1024,      10, bbbb, S=1, 8
"""


class FrameMD5Tests(SynchronousTestCase):
    def setUp(self) -> None:
        """Read the packets of a sample."""
        self.source = framemd5.read_file(media.as_flv(media.sample("video_only")))
        step = Fraction(1, 25)
        offset = Fraction(10)
        self.served = {
            "video": [
                replace(packet, dts=packet.dts + offset, pts=packet.pts + offset, duration=step)
                for packet in self.source["video"]
            ]
        }

    def test_parse(self) -> None:
        """Each packet belongs to its track and its times are seconds."""
        self.assertEqual(
            framemd5.parse(OUTPUT),
            {
                "video": [Packet(Fraction(0), Fraction(2, 25), Fraction(1, 25), 100, "aaaa")],
                "audio": [Packet(Fraction(0), Fraction(0), Fraction(8, 375), 10, "bbbb")],
            },
        )

    def test_same(self) -> None:
        """Only a common offset apart: the same."""
        self.assertEqual(len(self.source["video"]), 150)
        self.assertEqual(framemd5.differences(self.source, self.served), [])

    def test_different(self) -> None:
        """Whatever differs is told."""
        packets = self.served["video"]
        middle = packets[75]
        changes = {
            "missing": packets[:75] + packets[76:],
            "cut": packets[:-1],
            "doubled": [*packets[:75], middle, *packets[75:]],
            "payload": [*packets[:75], replace(middle, digest="0"), *packets[76:]],
            "dts": [*packets[:75], replace(middle, dts=middle.dts + Fraction(1, 90000))],
            "pts": [*packets[:75], replace(middle, pts=middle.pts - Fraction(1, 90000))],
            "duration": [*packets[:75], replace(middle, duration=Fraction(0)), *packets[76:]],
            "nothing": [],
        }
        for name, changed in changes.items():
            if name in ("dts", "pts"):
                changed = changed + packets[76:]
            with self.subTest(name):
                self.assertNotEqual(framemd5.differences(self.source, {"video": changed}), [])
        self.assertNotEqual(framemd5.differences(self.source, {**self.served, "audio": []}), [])
