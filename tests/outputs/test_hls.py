"""Tests of rapidrtmp.outputs.hls: what is served."""

from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from rapidrtmp.interfaces import (
    IMMUTABLE,
    NO_CACHE,
    IHTTPOutput,
    IOutputMaker,
    NotFound,
    NotReady,
)
from rapidrtmp.media.track import VIDEO_TRACK_ID, Track
from rapidrtmp.outputs.hls import MEDIA_TYPE
from tests.isobmff.checker import parse_init
from tests.isobmff.fakes import AUDIO, VIDEO, FakeAudioConfig, FakeVideoConfig
from tests.media.samples import video
from tests.outputs.case import INDEX, HLSCase


class LiveTests(HLSCase):
    def test_interfaces(self) -> None:
        """Output and maker provide what they say."""
        self.publish()
        verifyObject(IHTTPOutput, self.hls)
        verifyObject(IOutputMaker, self.makers()[0])

    def test_normal(self) -> None:
        """Playlists slide over segments that hold all samples; storage has the same."""
        encoder = self.encoder()
        encoder.run(5)
        self.play(encoder, 30)
        video_playlist, audio_playlist = self.watch()
        self.assertEqual(len(video_playlist.segments), 6)
        self.assertEqual(video_playlist.target_duration, 2)
        self.assertFalse(video_playlist.independent_segments)
        self.assertTrue(audio_playlist.independent_segments)
        self.assertEqual(self.samples("video1"), 300)
        for path in (*INDEX,), (self.stream.life, "video1.m3u8"), (self.stream.life, "audio2.m3u8"):
            self.assertEqual(self.storage.body("key/" + "/".join(path)), self.find(*path).body)

    def test_multivariant(self) -> None:
        """The multivariant playlist describes what really flows, and seldom changes."""
        encoder = self.encoder()
        encoder.run(4.1)
        index = self.index()
        [variant], [audio] = index.variants, index.audio
        self.assertEqual(variant.codecs, ("avc1.64001f", "mp4a.40.2"))
        self.assertEqual(variant.resolution, (1280, 720))
        self.assertApproximates(variant.frame_rate, 25.0, 0.01)
        self.assertEqual(variant.uri, f"{self.stream.life}/video1.m3u8")
        self.assertEqual((audio.uri, audio.channels), (f"{self.stream.life}/audio2.m3u8", 2))
        self.assertGreaterEqual(variant.bandwidth, variant.average_bandwidth)
        self.play(encoder, 20)
        self.assertEqual(self.storage.puts.count("key/index.m3u8"), 1)

    def test_stated_frame_rate(self) -> None:
        """The codec's frame rate is told where the measured one is near."""
        for stated, told in ((25.1, 25.1), (50.0, 25.0)):
            self.setUp()
            track = Track(VIDEO_TRACK_ID, FakeVideoConfig(frame_rate=stated))
            self.encoder(tracks=[track]).run(5)
            self.assertApproximates(self.index().variants[0].frame_rate, told, 0.01)

    def test_single_tracks(self) -> None:
        """A multivariant playlist promises no track that is not there."""
        self.encoder(tracks=[VIDEO]).run(5)
        self.assertEqual((self.index().audio, len(self.index().variants)), ([], 1))
        self.setUp()
        self.encoder(tracks=[AUDIO]).run(5)
        [variant] = self.index().variants
        self.assertEqual((self.index().audio, variant.codecs), ([], ("mp4a.40.2",)))

    def test_media(self) -> None:
        """Media are immutable, and have a tag each; the alias of the first is neither."""
        self.encoder().run(7)
        tags = set()
        for name in ("video1", "audio2"):
            for segment in self.playlist(name).segments:
                for uri in {segment.uri, segment.map_uri}:
                    file = self.find(self.stream.life, *uri.split("/"))
                    self.assertEqual(
                        (file.content_type, file.cache_control), (MEDIA_TYPE, IMMUTABLE)
                    )
                    tags.add((uri, file.etag))
        self.assertEqual(len({tag for _, tag in tags}), len(tags))
        alias = self.find("init.mp4")
        self.assertEqual(alias.cache_control, NO_CACHE)
        self.assertEqual(parse_init(alias.body).handler_type, b"vide")

    def test_paths(self) -> None:
        """What is not listed and not in storage does not exist."""
        encoder = self.encoder()
        encoder.run(5)
        life = self.stream.life
        for path in (
            (),
            ("",),
            (life,),
            (life, ""),
            ("other.m3u8",),
            (life, "index.m3u8"),
            (life, "video1"),
            (life, "video1", ".."),
            (life, "..", "index.m3u8"),
            ("..", "key", "index.m3u8"),
            (life, "video1", "1.m4s", ""),
            (life, "audio1.m3u8"),
        ):
            self.assertRaises(NotFound, self.hls.representation, path)
        for path in (
            (life, "video1", "1.m4s"),
            (life, "video1", "init-00000000.mp4"),
            ("0" * 16, "video1.m3u8"),
        ):
            self.failureResultOf(self.hold(*path), NotFound)

    def test_peak(self) -> None:
        """A first segment of a moment decides no bandwidth, later short ones neither."""
        encoder = self.encoder(tracks=[VIDEO])
        encoder.publication.write(video(0, key=True))
        encoder.publication.close("left")
        self.clock.advance(1)
        rough = self.index().variants[0]
        encoder = self.encoder(tracks=[VIDEO])
        encoder.run(5)
        steady = self.index().variants[0]
        self.assertNotEqual(rough.frame_rate, steady.frame_rate)
        self.assertApproximates(steady.frame_rate, 25, 0.01)
        encoder.publication.close("left")
        encoder = self.encoder(tracks=[VIDEO])
        encoder.publication.write(video(0, key=True))
        encoder.publication.close("left")
        self.assertEqual(self.index().variants[0], steady)


class HoldTests(HLSCase):
    def setUp(self) -> None:
        """Start an encoder."""
        super().setUp()
        self.live = self.encoder()
        self.live.run(1)

    def test_released(self) -> None:
        """The first requests wait for the first segments of all tracks."""
        paths = [INDEX, ("init.mp4",), (self.stream.life, "video1.m3u8")]
        held = [self.hold(*path) for path in paths]
        self.live.run(0.9)
        for waiting in held:
            self.assertNoResult(waiting)
        self.live.run(1)
        for waiting, path in zip(held, paths, strict=True):
            self.assertEqual(self.successResultOf(waiting), self.find(*path))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_too_late(self) -> None:
        """Nobody waits longer than the time that is set."""
        held = self.hold(*INDEX)
        self.clock.advance(7.9)
        self.assertNoResult(held)
        self.clock.advance(0.1)
        self.failureResultOf(held, NotReady)
        self.live.run(3)
        self.assertEqual(self.hls._waiting, set())

    def test_viewer_leaves(self) -> None:
        """Nothing is kept for a viewer who left."""
        held = self.hold(*INDEX)
        held.cancel()
        self.failureResultOf(held, CancelledError)
        self.assertEqual(self.hls._waiting, set())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.live.run(2)

    def test_cap(self) -> None:
        """Requests that wait are limited."""
        held = [self.hold(*INDEX) for _ in range(self.settings.max_held)]
        self.assertRaises(NotReady, self.hls.representation, INDEX)
        held[0].cancel()
        self.failureResultOf(held[0], CancelledError)
        held[0] = self.hold(*INDEX)
        self.live.run(2)
        for waiting in held:
            self.successResultOf(waiting)

    def test_end(self) -> None:
        """An end without a segment, or one with it, answers those who wait."""
        publication = self.publish("other")
        stream = self.manager.get("other")
        assert stream is not None
        held = stream.http_outputs[0].representation(INDEX)
        assert isinstance(held, Deferred)
        publication.close("left")
        self.assertNoResult(held)
        self.successResultOf(self.manager.stop("other"))
        self.failureResultOf(held, NotFound)
        self.assertRaises(NotFound, stream.http_outputs[0].representation, INDEX)
        held = self.hold(*INDEX)
        self.live.publication.close("left")
        self.successResultOf(held)

    def test_late_track(self) -> None:
        """The playlist of a track that just came is waited for; the others are there."""
        self.live.publication.close("left")
        encoder = self.encoder(tracks=[VIDEO])
        encoder.run(5)
        encoder.publication.close("left")
        encoder = self.encoder(tracks=[VIDEO, Track(3, FakeAudioConfig())])
        encoder.run(1)
        self.find(*INDEX)
        held = self.hold(self.stream.life, "audio3.m3u8")
        encoder.run(0.5)
        self.assertNoResult(held)
        encoder.run(1)
        self.successResultOf(held)
