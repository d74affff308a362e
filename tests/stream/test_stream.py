"""Tests of rapidrtmp.stream.stream and rapidrtmp.stream.publication."""

from itertools import pairwise

from rapidrtmp.interfaces import Refusal
from rapidrtmp.media.segmentation import CLOCK
from rapidrtmp.media.track import AUDIO_TRACK_ID, VIDEO_TRACK_ID, Track
from rapidrtmp.stream.lifecycle import StreamState
from rapidrtmp.stream.publication import Eviction
from rapidrtmp.stream.stream import JUMPS, LEADING_SILENCE
from tests.isobmff.fakes import AUDIO, VIDEO, FakeAudioConfig, FakeVideoConfig
from tests.media.samples import audio, milliseconds, video
from tests.stream.fakes import NOW, FakeOutput, StreamCase

LARGER = Track(VIDEO_TRACK_ID, FakeVideoConfig(1920, 1080))
MONO = Track(AUDIO_TRACK_ID, FakeAudioConfig(channels=1))


class Case(StreamCase):
    def check_numbers(self) -> None:
        """The boundaries are numbered and dated in order."""
        for before, after in pairwise(self.output.boundaries):
            self.assertEqual(after.sequence, before.sequence + 1)
            self.assertEqual(after.discontinuity, before.discontinuity + after.is_discontinuity)
            self.assertGreater(after.time, before.time)
        for track_id in (VIDEO_TRACK_ID, AUDIO_TRACK_ID):
            times = [milliseconds(s) for s in self.output.samples if s.track.track_id == track_id]
            for earlier, later in pairwise(times):
                self.assertLess(earlier, later)


class StartTests(Case):
    def test_states(self) -> None:
        """A stream is connecting, live and idle; it is told who sees it."""
        encoder = self.encoder()
        self.assertIs(self.stream.state, StreamState.CONNECTING)
        self.assertIsNone(self.stream.started_at)
        encoder.run(5)
        self.assertIs(self.stream.state, StreamState.LIVE)
        self.assertApproximates(self.stream.started_at, NOW, 0.1)
        self.assertEqual(self.stream.tracks, (VIDEO, AUDIO))
        encoder.publication.close("left")
        self.assertIs(self.stream.state, StreamState.IDLE)
        self.assertEqual(self.stream.idle_since, self.clock.seconds())
        self.assertEqual(self.output.words, [["video", "audio"], "discontinuity"])
        self.check_numbers()

    def test_every_sample_arrives(self) -> None:
        """Nothing that was held while the tracks were unknown is lost."""
        encoder = self.encoder()
        encoder.run(4)
        kinds = [sample.track.kind for sample in self.output.samples]
        self.assertEqual(kinds.count("video"), 100)
        self.assertEqual(kinds.count("audio"), encoder.audio_frames)
        self.assertEqual(self.stream.statistics.frames_dropped, 0)

    def test_single_track(self) -> None:
        """A second track is waited for two seconds, by media or by the wall clock."""
        for tracks in ([VIDEO], [AUDIO]):
            for ahead in (True, False):
                with self.subTest(tracks=tracks, ahead=ahead):
                    self.setUp()
                    encoder = self.encoder(tracks=tracks)
                    if ahead:
                        encoder.run(0.04)
                        late = video(2500) if tracks == [VIDEO] else audio(2500)
                        encoder.publication.write(late)
                    else:
                        encoder.run(0.04)
                        self.tick(1)
                        self.assertIs(self.stream.state, StreamState.CONNECTING)
                        self.tick(1)
                    self.assertIs(self.stream.state, StreamState.LIVE)
                    self.assertEqual(self.stream.tracks, tuple(tracks))

    def test_no_keyframe(self) -> None:
        """Video without a key frame is waited for ten seconds; it joins later."""
        encoder = self.encoder()
        for second in range(12):
            self.assertIs(
                self.stream.state, StreamState.CONNECTING if second <= 9 else StreamState.LIVE
            )
            for frame in range(10):
                encoder.publication.write(video(second * 1000 + frame * 100))
                encoder.publication.write(audio(second * 1000 + frame * 100))
            self.clock.advance(1)
        self.assertEqual(self.stream.tracks, (AUDIO,))
        self.assertGreaterEqual(self.stream.statistics.frames_dropped, 110)
        encoder.publication.write(video(12_000, key=True))
        self.assertEqual(self.stream.tracks, (VIDEO, AUDIO))
        self.assertEqual(self.output.words, [["audio"], "discontinuity", ["video", "audio"]])
        self.check_numbers()

    def test_only_useless_video(self) -> None:
        """Without anything to show the stream does not start, and holds nothing."""
        encoder = self.encoder(tracks=[VIDEO])
        for second in range(30):
            encoder.publication.write(video(second * 1000))
            self.clock.advance(1)
        self.assertIs(self.stream.state, StreamState.CONNECTING)
        encoder.publication.close("left")
        self.assertEqual(self.clock.getDelayedCalls()[0].getTime(), self.clock.seconds() + 60)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.assertEqual(self.stream.statistics.frames_dropped, 30)
        self.assertEqual(self.output.words, [])

    def test_closed_while_probing(self) -> None:
        """What was held is shown even if the publisher leaves at once."""
        encoder = self.encoder(tracks=[VIDEO])
        encoder.run(0.2)
        encoder.publication.close("left")
        self.assertEqual(len(self.output.samples), 5)
        self.assertEqual(self.output.words, [["video"], "discontinuity"])

    def test_wall_clock(self) -> None:
        """The first boundary is dated when the first media came."""
        publication = self.publish()
        self.clock.advance(3)
        publication.write(video(70_000, key=True, offset_ms=80))
        publication.write(audio(70_000))
        [boundary] = self.output.boundaries
        # the audio is heard at once, the video 80 ms later
        self.assertApproximates(boundary.wall, NOW + 3, 0.001)

    def test_attach(self) -> None:
        """An output that comes late learns the tracks, and may leave."""
        encoder = self.encoder()
        output = FakeOutput()
        self.stream.attach(output)
        encoder.run(1)
        late = FakeOutput()
        attachment = self.stream.attach(late)
        self.assertEqual(late.words, [["video", "audio"]])
        encoder.run(1)
        self.assertTrue(late.samples)
        attachment.cancel()
        count = len(late.samples)
        encoder.run(1)
        self.assertEqual(len(late.samples), count)
        self.assertEqual(output.words, [["video", "audio"]])

    def test_metadata(self) -> None:
        """Metadata are the publisher's; the next one starts without."""
        publication = self.publish()
        publication.set_metadata({"encoder": "x"})
        publication.count_dropped("short", 3)
        self.assertEqual(self.stream.metadata, {"encoder": "x"})
        self.assertEqual(self.stream.statistics.frames_dropped, 3)
        publication.close("left")
        publication.set_metadata({"encoder": "y"})
        publication.set_tracks([VIDEO])
        publication.count_dropped("short", 3)
        publication.write(video(0, key=True))
        publication.close("again")
        self.assertEqual(self.stream.metadata, {"encoder": "x"})
        self.assertEqual(self.stream.statistics.frames_dropped, 3)
        self.publish()
        self.assertEqual(self.stream.metadata, {})


class ChangeTests(Case):
    def test_late_audio(self) -> None:
        """A track that comes late is one discontinuity."""
        encoder = self.encoder(tracks=[VIDEO])
        encoder.run(5)
        encoder.publication.set_tracks((VIDEO, AUDIO))
        encoder.tracks = (VIDEO, AUDIO)
        encoder.audio_frames = round(5 * 48000 / 1024)
        encoder.run(5)
        self.assertEqual(self.output.words, [["video"], "discontinuity", ["video", "audio"]])
        self.check_numbers()
        first = next(s for s in self.output.samples if s.track is AUDIO)
        self.assertApproximates(milliseconds(first), 5000, 25)

    def test_configuration_changes(self) -> None:
        """A new configuration is one discontinuity, also when both tracks change."""
        encoder = self.encoder()
        encoder.run(4)
        encoder.tracks = (LARGER, MONO)
        encoder.publication.set_tracks((LARGER, MONO))
        encoder.run(4)
        self.assertEqual(self.stream.tracks, (LARGER, MONO))
        self.assertEqual(
            self.output.words, [["video", "audio"], "discontinuity", ["video", "audio"]]
        )
        self.assertEqual(self.stream.statistics.frames_dropped, 0)
        self.check_numbers()

    def test_configuration_needs_a_keyframe(self) -> None:
        """Frames of another configuration are dropped up to a key frame, and counted."""
        encoder = self.encoder(tracks=[VIDEO])
        encoder.run(3)
        for number in range(5):
            encoder.publication.write(video(3000 + number * 40, track=LARGER))
        self.assertEqual(self.stream.tracks, (VIDEO,))
        self.assertEqual(self.stream.statistics.frames_dropped, 5)
        encoder.publication.write(video(3200, key=True, track=LARGER))
        self.assertEqual(self.stream.tracks, (LARGER,))

    def test_configuration_changes_while_probing(self) -> None:
        """The stream starts with the newest configuration; the rest is counted."""
        publication = self.publish()
        publication.set_tracks((AUDIO,))
        publication.write(audio(0))
        publication.write(audio(21))
        publication.write(audio(42, track=MONO))
        publication.write(video(0, key=True))
        self.assertEqual(self.stream.tracks, (VIDEO, MONO))
        self.assertEqual(self.stream.statistics.frames_dropped, 2)

    def test_announced_track_that_never_comes(self) -> None:
        """A third track is not waited for without end."""
        publication = self.publish()
        publication.set_tracks((VIDEO, AUDIO, Track(3, FakeAudioConfig())))
        publication.write(video(0, key=True))
        publication.write(audio(0))
        self.assertIs(self.stream.state, StreamState.CONNECTING)
        self.clock.advance(2)
        self.assertIs(self.stream.state, StreamState.LIVE)

    def test_reconnect(self) -> None:
        """A publisher that comes back goes on with the numbers, after one discontinuity."""
        encoder = self.encoder()
        encoder.run(5)
        encoder.publication.close("cut")
        life = self.stream.life
        self.tick(8)
        publication = self.publish()
        # the ticks between the grant and the first media change nothing
        self.tick(3)
        publication.set_tracks((VIDEO, AUDIO))
        for number in range(100):
            publication.write(video(number * 40, key=number % 50 == 0))
            publication.write(audio(number * 40))
        self.assertEqual(self.stream.life, life)
        self.assertEqual(
            self.output.words, [["video", "audio"], "discontinuity", ["video", "audio"]]
        )
        self.check_numbers()
        flags = [boundary.is_discontinuity for boundary in self.output.boundaries]
        self.assertEqual(flags, [False, False, False, True, False])
        after = self.output.boundaries[3]
        self.assertApproximates(after.wall, NOW + 16, 0.1)
        self.assertApproximates(after.time / CLOCK, 5, 0.1)

    def test_clock_jump(self) -> None:
        """A jump of the encoder's clock is one discontinuity, dated anew."""
        encoder = self.encoder()
        encoder.run(5)
        self.clock.advance(20)
        encoder.origin += 20
        encoder.run(5)
        self.assertEqual(self.output.words, [["video", "audio"], "discontinuity"])
        self.check_numbers()
        [jump] = [b for b in self.output.boundaries if b.is_discontinuity]
        self.assertApproximates(jump.wall, NOW + 25, 0.2)
        self.assertApproximates(jump.time / CLOCK, 5, 0.2)

    def test_clock_that_jumps_all_the_time(self) -> None:
        """Twenty jumps in a minute end the publication; its address has to wait a while."""
        encoder = self.encoder()
        encoder.run(1)
        for _ in range(JUMPS + 2):
            encoder.origin += 20
            encoder.run(1)
        self.assertFalse(encoder.publication.is_open)
        eviction = self.successResultOf(encoder.publication.evicted)
        self.assertIn("clock jumps", eviction.description)
        self.assertEqual(self.output.words.count("discontinuity"), JUMPS)
        self.assertIs(self.stream.state, StreamState.IDLE)
        self.assertIs(self.refused().refusal, Refusal.REJECTED)

    def test_clock_that_jumps_now_and_then(self) -> None:
        """Jumps that are far apart are endured."""
        encoder = self.encoder()
        for _ in range(25):
            encoder.run(4)
            encoder.origin += 20
        self.assertTrue(encoder.publication.is_open)

    def test_leading_track_falls_silent(self) -> None:
        """Audio goes on without the video, and with it again from its next key frame."""
        encoder = self.encoder()
        encoder.run(5)
        for _ in range(9):
            encoder.run(1, kinds=["audio"])
            self.manager.tick()
        self.assertEqual(self.stream.tracks, (AUDIO,))
        encoder.run(5)
        self.assertEqual(self.stream.tracks, (VIDEO, AUDIO))
        self.assertEqual(
            self.output.words,
            [["video", "audio"], "discontinuity", ["audio"], "discontinuity", ["video", "audio"]],
        )
        self.check_numbers()
        target = self.stream.segmentation.target_duration
        assert target is not None
        for before, after in pairwise(self.output.boundaries):
            self.assertLess((after.time - before.time) / CLOCK, target + 0.5)
        # the tracks are still in step
        newest = {sample.track.kind: milliseconds(sample) for sample in self.output.samples}
        self.assertApproximates(newest["video"], newest["audio"], 50)

    def test_all_fall_silent(self) -> None:
        """When nothing comes at all, no track is to blame."""
        encoder = self.encoder()
        encoder.run(5)
        self.tick(int(LEADING_SILENCE) + 3)
        self.assertEqual(self.stream.tracks, (VIDEO, AUDIO))

    def test_video_drops(self) -> None:
        """An encoder that drops video for three seconds causes no discontinuity."""
        encoder = self.encoder()
        encoder.run(5)
        encoder.run(3, kinds=["audio"])
        encoder.run(5)
        self.assertEqual(self.output.words, [["video", "audio"]])
        self.check_numbers()

    def test_end(self) -> None:
        """The end is told once, the publisher with its reason."""
        encoder = self.encoder()
        encoder.run(3)
        eviction = Eviction(Refusal.REJECTED, "enough")
        self.stream.end(eviction)
        self.stream.end(eviction)
        self.assertEqual(self.successResultOf(encoder.publication.evicted), eviction)
        self.assertFalse(encoder.publication.is_open)
        encoder.publication.evict(eviction)
        self.assertEqual(self.output.words, [["video", "audio"], "discontinuity", "ended"])
        self.assertIs(self.stream.state, StreamState.STOPPED)
        self.assertEqual(self.stream.stopped_at, self.clock.seconds())
        self.successResultOf(self.stream.close())
