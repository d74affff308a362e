"""Tests of rapidrtmp.outputs.hls: what is served."""

from dataclasses import replace
from unittest import mock
from urllib.parse import urljoin

from twisted.internet.defer import CancelledError, Deferred, fail
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
from rapidrtmp.outputs.files import MEDIA_TYPE, without_i_frames
from tests.hls.checker import parse_media_playlist, parse_multivariant_playlist
from tests.isobmff.checker import parse_init
from tests.isobmff.fakes import AUDIO, VIDEO, FakeAudioConfig, FakeVideoConfig
from tests.media.samples import video
from tests.outputs.case import INDEX, WHOLE, HLSCase
from tests.stream.fakes import Encoder


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
        served = without_i_frames(self.find(*INDEX))  # their playlists are not stored
        self.assertEqual(self.storage.body("key/index.m3u8"), served.body)
        for path in (self.stream.life, "video1.m3u8"), (self.stream.life, "audio2.m3u8"):
            self.assertEqual(
                self.storage.body("key/" + "/".join(path)), self.find(*path, query=WHOLE).body
            )

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

    def test_images(self) -> None:
        """The image rendition is named to viewers, and to nobody in storage, where it is not."""
        self.hls_maker.settings = replace(self.settings, image_width=320)
        encoder = self.encoder()
        encoder.run(4.1)
        [image] = self.index().images
        self.assertEqual(image.uri, f"{self.stream.life}/image1.m3u8")
        self.assertEqual(image.resolution, (320, 180))
        stored = parse_multivariant_playlist(self.storage.body("key/index.m3u8"))
        self.assertEqual(stored.images, [])
        wished = parse_multivariant_playlist(self.find(*INDEX, query=WHOLE).body)
        self.assertEqual(wished.images, [image])

    def test_no_images(self) -> None:
        """Sound alone has none."""
        self.hls_maker.settings = replace(self.settings, image_width=320)
        Encoder(self.clock, self.publish(), (AUDIO,)).run(6)
        self.assertEqual(self.index().images, [])

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
                    file = self.find(*self.media_path(uri))
                    self.assertEqual(
                        (file.content_type, file.cache_control), (MEDIA_TYPE, IMMUTABLE)
                    )
                    tags.add((uri, file.etag))
        self.assertEqual(len({tag for _, tag in tags}), len(tags))
        alias = self.find("init.mp4")
        self.assertEqual(alias.cache_control, NO_CACHE)
        self.assertEqual(parse_init(alias.body).handler_type, b"vide")
        self.assertTrue(alias.etag)
        self.assertNotIn(self.stream.life, alias.etag, "strangers do not learn the life")

    def test_not_stored_yet(self) -> None:
        """A segment that left the window before it was stored is served all the same."""
        self.storage.is_slow = True
        encoder = self.encoder()
        encoder.run(5)
        first = parse_media_playlist(self.find(self.stream.life, "video1.m3u8").body).segments[0]
        path = self.media_path(first.uri)
        body = self.find(*path).body
        encoder.run(20)
        self.assertNotIn(path, self.hls._files.shown)
        self.assertEqual(self.find(*path).body, body)
        self.storage.finish()

    def test_storage_that_does_not_answer(self) -> None:
        """What left the window while the store fails is worth asking for again; no crash."""
        self.encoder().run(5)
        old = (self.stream.life, "video1", "1.m4s")
        for error, answer in ((OSError("no route"), NotReady), (RuntimeError("bug"), RuntimeError)):
            with mock.patch.object(self.storage, "get", return_value=fail(error)):
                self.failureResultOf(self.hold(*old), answer)

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

    def test_any_session(self) -> None:
        """A media playlist leads to the same media from wherever it is asked for."""
        self.encoder().run(5)
        life = self.stream.life
        text = self.find(life, "video1.m3u8").body
        [first, _] = parse_media_playlist(text).segments
        for directory in (life, f"{life}.0123456789abcdef", f"{life}.0123456789abcdef.1.s"):
            url = urljoin(f"https://example.com/live/key/{directory}/video1.m3u8", first.uri)
            self.assertEqual(
                url, f"https://example.com/live/key/{life}/video1/{first.sequence}.m4s"
            )
            url = urljoin(f"https://example.com/live/key/{directory}/video1.m3u8", first.map_uri)
            self.find(*url.split("/")[5:])

    def test_counters(self) -> None:
        """Segments are counted over all streams, gaps are not."""
        encoder = self.encoder()
        encoder.run(4.1)
        self.encoder("other", tracks=[VIDEO]).run(4.1)
        counters = self.hls_maker.counters
        self.assertEqual(counters.segments_created, 2 + 2 + 2)
        self.assertEqual(counters.segment_durations.count, 6)
        self.assertApproximates(counters.segment_durations.sum, 12, 0.1)
        # audio is cut at its own frames, a little later than at 2 s
        self.assertEqual(counters.segment_durations.counts, [0, 4, 2, 0, 0, 0, 0])
        self.assertEqual(counters.segment_sizes.counts, [6] + [0] * 10)
        self.assertEqual(counters.segments_listed_at_origin, 0)
        encoder.run(12, kinds=["video"])
        self.assertTrue(any(segment.is_gap for segment in self.playlist("audio2").segments))
        listed = sum(
            name.endswith(".m4s") and "/" + self.stream.life in name for name in self.storage.puts
        )
        self.assertEqual(counters.segments_created, listed + 2)

    def test_lag(self) -> None:
        """How far playlists are behind is known from the dates that they give."""
        encoder = self.encoder(offset_ms=0)
        self.assertIsNone(self.hls.segment_lag)
        encoder.run(2.1)
        self.assertApproximates(self.hls.segment_lag, 0, 0.05)
        self.clock.advance(0.5)
        encoder.run(2)
        self.assertApproximates(self.hls.segment_lag, 0.5, 0.05)

    def test_other_settings(self) -> None:
        """Settings that are replaced are followed by the streams that are live."""
        encoder = self.encoder()
        encoder.run(5)
        self.play(encoder, 20)
        for most in (8, 4):
            self.hls_maker.settings = replace(self.settings, max_segments=most)
            self.play(encoder, 2 * most)
            for playlist in self.watch():
                self.assertEqual(len(playlist.segments), most)

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
        *files, playlist = map(self.successResultOf, held)
        self.assertEqual(files, [self.find(*path) for path in paths[:2]])
        [first] = parse_media_playlist(playlist.body).segments
        self.assertEqual(first, self.playlist("video1").segments[0])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_too_late(self) -> None:
        """Nobody waits longer than the time that is set."""
        held = self.hold(*INDEX)
        self.clock.advance(7.9)
        self.assertNoResult(held)
        self.clock.advance(0.1)
        self.failureResultOf(held, NotReady)
        self.live.run(3)
        self.assertEqual(self.hls.held, 0)

    def test_viewer_leaves(self) -> None:
        """Nothing is kept for a viewer who left."""
        held = self.hold(*INDEX)
        held.cancel()
        self.failureResultOf(held, CancelledError)
        self.assertEqual(self.hls.held, 0)
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
