"""Tests of rapidrtmp.outputs.hls over all that can happen to a stream."""

from collections.abc import Sequence

from rapidrtmp.interfaces import (
    NotFound,
    NotPackaged,
    NotReady,
)
from rapidrtmp.media.track import Track
from rapidrtmp.outputs.retention import AFTER_END
from rapidrtmp.stream.records import RecordStore
from tests.hls.checker import (
    parse_media_playlist,
)
from tests.isobmff.checker import parse_init
from tests.isobmff.fakes import AUDIO, VIDEO, VP8
from tests.media.samples import video
from tests.outputs.case import INDEX, LARGER, MONO, MOST_FILES, HLSCase
from tests.stream.fakes import Encoder


class ChangeTests(HLSCase):
    """Playlists over all that can happen, as a viewer sees them who reloads every second."""

    def start(self, tracks: Sequence[Track] = (VIDEO, AUDIO)) -> Encoder:
        """Start an encoder; there is something to watch when it returns."""
        encoder = self.encoder(tracks=tracks)
        encoder.run(3)
        return encoder

    def test_reconnect(self) -> None:
        """A publisher that comes back, and one that takes over, are discontinuities."""
        encoder = self.start()
        self.play(encoder, 6)
        encoder.publication.close("cut")
        for _ in range(8):
            self.tick(1)
            self.watch()
        publication = self.publish()
        self.tick(2)
        encoder = Encoder(self.clock, publication)
        self.play(encoder, 7)
        encoder = Encoder(self.clock, self.publish())
        self.play(encoder, 7)
        playlist, _ = self.watch()
        self.assertEqual(sum(segment.is_discontinuity for segment in playlist.segments), 1)
        self.assertEqual(playlist.segments[-1].discontinuity, 2)
        self.assertEqual(self.samples("video1"), 150)
        self.assertFalse(playlist.ended)

    def test_flapping(self) -> None:
        """A publisher that comes and goes leaves nothing behind."""
        for _ in range(100):
            encoder = self.encoder()
            encoder.run(2.4)
            self.watch()
            encoder.publication.close("cut")
            self.tick(1)
        files = len(self.hls._files.shown)
        self.assertLessEqual(files, MOST_FILES)
        self.assertLess(len(self.storage.paths), 80)
        self.assertLess(len(self.hls._files._retired), 60)

    def test_configuration(self) -> None:
        """Another configuration is another MAP; one that comes back is the same again."""
        encoder = self.start()
        maps = []
        for tracks in ((LARGER, MONO), (VIDEO, AUDIO), (LARGER, AUDIO), (VIDEO, MONO)) * 2:
            encoder.tracks = tracks
            encoder.publication.set_tracks(tracks)
            encoder.frames = -(-encoder.frames // 50) * 50
            encoder.audio_frames = encoder.frames * 48000 // 25 // 1024
            self.play(encoder, 15)
            maps.append([playlist.segments[-1].map_uri for playlist in self.watch()])
            video_uri, audio_uri = maps[-1]
            for uri in (video_uri, audio_uri):
                self.assertIn("/".join(("key", *self.media_path(uri))), self.storage.paths)
            width = parse_init(self.find("init.mp4").body).width
            self.assertEqual(width, 1920 if tracks[0] is LARGER else 1280)
            self.assertEqual(self.index().variants[0].resolution[0], width)  # type: ignore[index]  # a video variant has one
        self.assertEqual(maps[:4], maps[4:])
        # one that does not come back is removed when nothing names it any more
        self.play(encoder, 40)
        name = maps[0][0]
        self.assertNotEqual(name, maps[-1][0])
        self.assertNotIn(self.media_path(name), self.hls._files.shown)
        self.assertNotIn("/".join(("key", *self.media_path(name))), self.storage.paths)

    def test_other_frame_rate(self) -> None:
        """Rates are measured anew for another configuration."""
        self.start(tracks=[VIDEO])
        rate = self.index().variants[0].frame_rate
        encoder = self.encoder(tracks=[LARGER])
        for frame in range(100):
            encoder.publication.write(video(frame * 20, key=frame % 50 == 0, track=LARGER))
        encoder.publication.close("left")
        self.assertApproximates(rate, 25, 0.01)
        self.assertApproximates(self.index().variants[0].frame_rate, 50, 0.5)

    def test_audio_stalls(self) -> None:
        """Audio that is silent has gaps, in step with the video; then it goes on."""
        encoder = self.start()
        self.play(encoder, 4)
        for _ in range(12):
            encoder.run(1, kinds=["video"])
            self.watch()
        _, audio = self.watch()
        self.assertTrue(any(segment.is_gap for segment in audio.segments))
        self.play(encoder, 20)
        _, audio = self.watch()
        self.assertFalse(any(segment.is_gap for segment in audio.segments))
        self.assertEqual(audio.segments[-1].discontinuity, 0)

    def test_video_stalls(self) -> None:
        """Video that is silent for a moment has gaps; audio goes on."""
        encoder = self.start()
        for _ in range(4):
            encoder.run(4, kinds=["audio"])
            self.watch()
            self.play(encoder, 6)
        video_playlist, audio = self.watch()
        self.assertTrue(any(segment.is_gap for segment in video_playlist.segments))
        self.assertEqual(video_playlist.segments[-1].discontinuity, 0)
        self.assertFalse(any(segment.is_gap for segment in audio.segments))

    def test_video_goes_and_comes(self) -> None:
        """Video that is away for long leaves the list, and comes back to its playlist."""
        encoder = self.start()
        for _ in range(5):
            self.play(encoder, 6)
            for _ in range(14):
                encoder.run(1, kinds=["audio"])
                self.manager.tick()
                self.watch()
            self.assertIsNone(self.index().variants[0].resolution)
            encoder.run(5)
            self.assertIsNotNone(self.index().variants[0].resolution)
        self.play(encoder, 10)
        self.assertLessEqual(len(self.hls._files.shown), MOST_FILES)
        self.successResultOf(self.manager.stop("key"))
        for playlist in self.watch():
            self.assertTrue(playlist.ended)

    def test_end_while_a_track_is_away(self) -> None:
        """All playlists end, also that of a track that went before."""
        encoder = self.start()
        self.play(encoder, 3)
        for _ in range(10):
            encoder.run(1, kinds=["audio"])
            self.manager.tick()
        self.successResultOf(self.manager.stop("key"))
        for playlist in self.watch():
            self.assertTrue(playlist.ended)

    def test_end_before_a_late_track_has_a_segment(self) -> None:
        """A playlist that nobody saw is not ended."""
        encoder = self.start(tracks=[VIDEO])
        encoder.publication.close("left")
        publication = self.publish()
        publication.set_tracks((VIDEO, AUDIO))
        self.hls.tracks_changed((VIDEO, AUDIO))
        self.successResultOf(self.manager.stop("key"))
        self.assertTrue(self.playlist("video1").ended)
        self.failureResultOf(self.hold(self.stream.life, "audio2.m3u8"), NotFound)

    def test_late_track(self) -> None:
        """A track that comes late is another rendition, from its own first segment on."""
        encoder = self.start(tracks=[VIDEO])
        self.play(encoder, 6, "video1")
        encoder.tracks = (VIDEO, AUDIO)
        encoder.publication.set_tracks(encoder.tracks)
        encoder.audio_frames = encoder.frames * 48000 // 25 // 1024
        encoder.run(3)
        self.play(encoder, 8)
        self.assertEqual(len(self.index().audio), 1)

    def test_clock_jump(self) -> None:
        """A jump of the encoder's clock either way is one discontinuity."""
        encoder = self.start()
        for jump in (100.0, -50.0, 3600.0):
            self.play(encoder, 5)
            encoder.origin += jump
        self.play(encoder, 5)
        playlist, _ = self.watch()
        self.assertEqual(playlist.segments[-1].discontinuity, 3)

    def test_long_gops(self) -> None:
        """The target duration covers a GOP of OBS, and later longer ones are cut."""
        encoder = self.encoder(gop=10.0)
        encoder.run(11)
        self.play(encoder, 20)
        self.assertEqual(self.playlist("video1").target_duration, 10)
        encoder.gop = 60.0
        self.play(encoder, 70)

    def restart(self) -> None:
        """Kill the process and start another on the same files."""
        for call in self.clock.getDelayedCalls():
            call.cancel()
        self.clock.advance(3)
        self.records = RecordStore(self.state)
        self.manager = self.make_manager()
        self.successResultOf(self.manager.restore())

    def test_restart(self) -> None:
        """After a kill the playlists are held and then go on; what was seen stays."""
        encoder = self.start()
        self.play(encoder, 10)
        old = self.playlist("video1").segments[-1]
        self.restart()
        waiting = [self.hold(*INDEX), self.hold(self.stream.life, "video1.m3u8")]
        self.find(*self.media_path(old.uri))
        self.clock.advance(8)
        for held in waiting:
            self.failureResultOf(held, NotReady)
        encoder = self.encoder()
        encoder.run(0.5)
        held = self.hold(self.stream.life, "video1.m3u8")
        encoder.run(2.5)
        self.successResultOf(held)
        self.play(encoder, 10)
        self.find(*self.media_path(old.uri))
        self.assertGreater(self.playlist("video1").segments[0].sequence, old.sequence)

    def test_restart_without_files(self) -> None:
        """A playlist that nobody stored is awaited; a segment is lost."""
        encoder = self.start()
        life = self.stream.life
        encoder.run(1)
        self.storage._files.clear()
        self.restart()
        held = self.hold(life, "video1.m3u8")
        self.failureResultOf(self.hold(life, "video1", "1.m4s"), NotFound)
        self.clock.advance(8)
        self.failureResultOf(held, NotReady)
        self.clock.advance(60)
        self.failureResultOf(self.hold(life, "video1.m3u8"), NotFound)

    def test_restart_and_no_return(self) -> None:
        """The start-up ends the stored playlists of a stream whose grace is over."""
        encoder = self.start()
        self.play(encoder, 4)
        life = self.stream.life
        self.restart()
        self.assertFalse(parse_media_playlist(self.storage.body(f"key/{life}/video1.m3u8")).ended)
        self.clock.advance(60)
        for name in ("video1", "audio2"):
            body = self.storage.body(f"key/{life}/{name}.m3u8")
            self.assertTrue(parse_media_playlist(body).ended)
            self.assertTrue(self.playlist(name).ended)
        self.clock.advance(AFTER_END)
        self.assertEqual(self.storage.paths, [])


class LeftOutTests(HLSCase):
    """Tracks that CMAF has no place for."""

    def refused(self, *path: str) -> str:  # type: ignore[override]  # of viewers
        """Ask for a file that cannot come; return the reason."""
        return str(self.assertRaises(NotPackaged, self.hls.representation, path))

    def test_sound_goes_on(self) -> None:
        """Beside VP8, sound is a stream of its own with segments of the usual length."""
        encoder = self.encoder(tracks=(VP8, AUDIO), gop=60.0)
        encoder.run(3)
        self.play(encoder, 9, "audio2")
        self.assertEqual([track.track_id for track in self.stream.tracks], [2, 1])
        [variant] = self.index().variants
        self.assertEqual(variant.codecs, ("mp4a.40.2",))
        playlist = self.playlist("audio2")
        self.assertLessEqual(playlist.target_duration, 2)
        self.assertFalse(any(segment.is_discontinuity for segment in playlist.segments))
        self.assertRaises(NotFound, self.find, self.stream.life, "video1.m3u8")
        # sound that pauses leaves the pictures of other players alone
        tracks = self.stream.tracks
        for _ in range(10):
            encoder.run(1, kinds=("video",))
            self.manager.tick()
        self.assertIs(self.stream.tracks, tracks)
        self.play(encoder, 5, "audio2")
        self.assertFalse(self.playlist("audio2").segments[-1].is_discontinuity)

    def test_pictures_alone(self) -> None:
        """Of VP8 alone nothing can be seen: who asks, or waits already, is told why."""
        encoder = self.encoder(tracks=(VP8,))
        waiting = self.hold(*INDEX)
        encoder.run(3)
        self.failureResultOf(waiting, NotPackaged)
        words = "not to be seen by HLS, which cannot carry VP8: play it by RTMP or FLV"
        for path in (INDEX, ("init.mp4",), (self.stream.life, "video1.m3u8")):
            self.assertEqual(self.refused(*path), words)
        self.assertEqual(self.hls.held, 0)
        encoder.publication.close("left")
        self.tick(100)
        self.assertRaises(NotFound, self.find, *INDEX)

    def test_comes_and_goes(self) -> None:
        """A viewer of H.264 that becomes VP8 has its playlists; H.264 again goes on in them."""
        encoder = self.encoder()
        encoder.run(3)
        self.play(encoder, 5)
        encoder.publication.close("cut")
        encoder = self.encoder(tracks=(VP8,))
        encoder.run(4)
        self.refused(*INDEX)
        self.watch()
        encoder.publication.close("cut")
        waiting = self.hold(*INDEX)
        encoder = self.encoder()
        encoder.run(3)
        self.successResultOf(waiting)
        self.play(encoder, 4)
        self.assertTrue(any(s.is_discontinuity for s in self.playlist("video1").segments))

    def test_beside_others(self) -> None:
        """Of a ladder, what has a place leads and is listed, whatever its number."""
        second = Track(3, VIDEO.config)
        publication = self.publish()
        publication.set_tracks((VP8, second))
        for number in range(300):
            publication.write(video(40 * number, key=number % 250 == 0, track=VP8))
            publication.write(video(40 * number, key=number % 50 == 0, track=second))
            self.clock.advance(0.04)
        [variant] = self.index().variants
        self.assertEqual(variant.codecs, (VIDEO.config.rfc6381(),))
        segments = self.playlist("video3").segments
        self.assertEqual([segment.duration for segment in segments], [2.0] * len(segments))
        self.assertEqual(
            self.find("init.mp4").body, self.find(*self.media_path(segments[0].map_uri)).body
        )

    def test_late_sound(self) -> None:
        """Sound that joins VP8 later is seen from then on."""
        encoder = self.encoder(tracks=(VP8, AUDIO))
        encoder.run(4, kinds=("video",))
        self.refused(*INDEX)
        encoder.run(4)
        self.assertEqual(len(self.index().variants), 1)
