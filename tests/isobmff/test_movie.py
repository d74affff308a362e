"""Tests of rapidrtmp.isobmff.movie."""

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp.isobmff.movie import init_segment
from rapidrtmp.media.codec import AudioConfig, VideoConfig
from rapidrtmp.media.track import Track
from tests.isobmff.checker import parse_boxes, parse_init
from tests.isobmff.fakes import AUDIO, VIDEO, FakeAudioConfig, FakeVideoConfig


class InitSegmentTests(SynchronousTestCase):
    def test_fakes(self) -> None:
        """The configurations of these tests are what codecs promise."""
        verifyObject(VideoConfig, FakeVideoConfig())
        verifyObject(AudioConfig, FakeAudioConfig())

    def test_video(self) -> None:
        """A video track says its size, entry and timescale."""
        movie = parse_init(init_segment(VIDEO))
        self.assertEqual((movie.track_id, movie.timescale), (1, 90000))
        self.assertEqual((movie.handler_type, movie.sample_entry), (b"vide", b"avc1"))
        self.assertEqual((movie.width, movie.height), (1280, 720))
        self.assertEqual(movie.nal_length_size, 4)
        self.assertEqual(movie.language, "und")

    def test_audio(self) -> None:
        """An audio track has a volume and no size."""
        movie = parse_init(init_segment(replace(AUDIO, language="deu")))
        self.assertEqual((movie.track_id, movie.timescale), (2, 48000))
        self.assertEqual((movie.handler_type, movie.sample_entry), (b"soun", b"mp4a"))
        self.assertEqual((movie.width, movie.height), (0, 0))
        self.assertEqual(movie.language, "deu")

    def test_sample_entry_is_the_codecs(self) -> None:
        """The sample entry is passed on as it is."""
        for track in (VIDEO, AUDIO):
            self.assertIn(track.config.sample_entry(), init_segment(track))

    def test_language(self) -> None:
        """Only an ISO 639-2/T code fits; all else is 'und'."""
        for language, told in (
            ("eng", "eng"),
            ("ENG", "eng"),
            ("zzz", "zzz"),
            ("en", "und"),
            ("en-GB", "und"),
            ("e1g", "und"),
            ("äöü", "und"),
            ("", "und"),
        ):
            movie = parse_init(init_segment(Track(2, FakeAudioConfig(), language=language)))
            self.assertEqual(movie.language, told, language)

    def test_deterministic(self) -> None:
        """Equal tracks give equal bytes, another configuration other ones."""
        again = init_segment(Track(1, FakeVideoConfig()))
        self.assertEqual(init_segment(VIDEO), again)
        self.assertNotEqual(init_segment(Track(1, FakeVideoConfig(width=640))), again)

    def test_brands(self) -> None:
        """No CMAF brand is claimed, and iso6 is the major one."""
        ftyp = parse_boxes(init_segment(VIDEO))[0]
        self.assertEqual(ftyp.payload, b"iso6\0\0\0\0iso6mp41")
