"""Tests of metadata that is written."""

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.amf import amf0
from rapidrtmp.amf.values import ECMAArray
from rapidrtmp.codecs.aac import AACConfig
from rapidrtmp.codecs.h264 import H264Config
from rapidrtmp.codecs.opus import OpusConfig
from rapidrtmp.flv import metadata, script
from rapidrtmp.media.codec import ColorInfo
from rapidrtmp.media.track import Track
from tests.codecs.builders import ASC, SPS, avcc, pps

VIDEO = Track(1, H264Config.parse(avcc([SPS().nal_unit()], [pps()])))
AUDIO = Track(2, AACConfig.parse(ASC(rate=44100).octets()))


class MetadataTests(SynchronousTestCase):
    def members(
        self, tracks: list[Track], hints: dict[str, float | bool | str] | None = None
    ) -> dict[str, object]:
        """Return the members of an onMetaData."""
        name, members = amf0.decode(metadata.build_metadata(tracks, hints or {}))
        self.assertEqual(name, "onMetaData")
        assert isinstance(members, ECMAArray)
        return {**members}

    def test_both(self) -> None:
        """The fields that receivers choose their decoders by."""
        video = H264Config.parse(VIDEO.config.record)
        expected = {
            "width": float(video.width),
            "height": float(video.height),
            "videocodecid": 7.0,
            "audiosamplerate": 44100.0,
            "audiosamplesize": 16.0,
            "audiochannels": 2.0,
            "stereo": True,
            "audiocodecid": 10.0,
        }
        found = self.members([VIDEO, AUDIO])
        found.pop("framerate", None)
        self.assertEqual(found, expected)

    def test_only_what_exists(self) -> None:
        """A track that is not there is not mentioned, whatever the publisher said."""
        hints: dict[str, float | bool | str] = {
            "videocodecid": 7.0,
            "videodatarate": 2500.0,
            "audiodatarate": 160.0,
            "framerate": 30.0,
            "encoder": "x",
            "secret": "y",
        }
        self.assertEqual(
            set(self.members([VIDEO], hints)) & {*hints}, {*hints} - {"audiodatarate", "secret"}
        )
        self.assertEqual(set(self.members([AUDIO], hints)) & {*hints}, {"audiodatarate", "encoder"})

    def test_enhanced(self) -> None:
        """A FourCC is a number; further tracks are described by their number."""
        more = Track(4, AUDIO.config, "de", "Kommentar")
        found = self.members([Track(2, OpusConfig.parse(b"")), more, Track(3, VIDEO.config)])
        self.assertEqual(found["audiocodecid"], float(int.from_bytes(b"Opus", "big")))
        self.assertNotIn("videocodecid", found)
        audio, video = found["audioTrackIdInfoMap"], found["videoTrackIdInfoMap"]
        assert isinstance(audio, dict)
        assert isinstance(video, dict)
        self.assertEqual((set(audio), set(video)), ({"1"}, {"1"}))
        self.assertEqual(audio["1"]["audiocodecid"], float(int.from_bytes(b"mp4a", "big")))
        self.assertEqual((audio["1"]["language"], audio["1"]["label"]), ("de", "Kommentar"))
        self.assertNotIn("language", video["1"])

    def test_read_again(self) -> None:
        """Our own reader finds what was written."""
        more = Track(4, AUDIO.config, "de", "Kommentar")
        read = script.parse_data(18, metadata.build_metadata([VIDEO, AUDIO, more], {}))
        assert isinstance(read, script.Metadata)
        self.assertEqual(read.values["audiocodecid"], 10.0)
        self.assertEqual(read.audio_tracks, {1: script.TrackHints("de", "Kommentar")})

    def test_color(self) -> None:
        """Colour comes back as it was, with and without light and mastering."""
        for color in (
            ColorInfo(9, 18, 9),
            ColorInfo(9, 16, 9, False, 1000, 400),
            ColorInfo(
                9,
                16,
                9,
                mastering=(13250, 34500, 7500, 3000, 34000, 16000, 15635, 16450, 10_000_000, 50),
            ),
        ):
            with self.subTest(color=color):
                self.assertEqual(script.parse_color(metadata.build_color(color)), color)
