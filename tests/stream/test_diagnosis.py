"""What is found wrong with encoders, said in plain words."""

import re
from collections.abc import Callable
from pathlib import Path

from twisted.logger import LogLevel, capturedLogs

from rapidrtmp.media.track import AUDIO_TRACK_ID, Track
from rapidrtmp.stream.diagnosis import CALM, Diagnosis
from rapidrtmp.stream.diagnosis_rules import KEYFRAME_INTERVAL, RULES
from rapidrtmp.stream.publication import Publication
from tests.isobmff.fakes import AUDIO, VIDEO, VP8, FakeAudioConfig
from tests.media.samples import audio, video
from tests.stream.fakes import Encoder, StreamCase


class DiagnosisCase(StreamCase):
    """A stream and what is found wrong with it."""

    def found(self) -> dict[str, Diagnosis]:
        """What is found now, by its id."""
        return {each.id: each for each in self.stream.diagnoses.current}

    def problem(self, name: str) -> str:
        """The words of the one diagnosis that there is."""
        found = self.found()
        self.assertEqual(list(found), [name], [each.problem for each in found.values()])
        return found[name].problem

    def run_for(self, encoder: Encoder, seconds: int, **how: object) -> None:
        """Let an encoder send, and the manager look once a second."""
        for _ in range(seconds):
            encoder.run(1, **how)  # type: ignore[arg-type]  # a test names what it wants
            self.manager.tick()

    def feed(
        self,
        publication: Publication,
        seconds: int,
        frames: Callable[[int], list[float]],
        *,
        skew: Callable[[int], float] = lambda _: 0.0,
        key: Callable[[int], bool] = lambda second: second % 2 == 0,
    ) -> None:
        """Send seconds of video whose frames one says, and audio that runs ahead by a skew.

        Args:
            publication: to whom.
            seconds: how many, from 0 on.
            frames: the places of a second's frames in it.
            skew: seconds by which that second's audio is ahead.
            key: whether a second begins with a key frame.
        """
        publication.set_tracks((VIDEO, AUDIO))
        rate = AUDIO.timescale
        sent = 0
        for second in range(seconds):
            for number, place in enumerate(frames(second)):
                is_key = key(second) and not number
                publication.write(video(1000 * (second + place), key=is_key))
            while sent * 1024 / rate < second + 1 + skew(second):
                publication.write(audio(1000 * sent * 1024 / rate))
                sent += 1
            self.clock.advance(1)
            self.manager.tick()


def even(rate: int) -> Callable[[int], list[float]]:
    """Frames at a constant rate."""
    return lambda _: [number / rate for number in range(rate)]


class RuleTests(DiagnosisCase):
    def test_healthy(self) -> None:
        """Nothing is found wrong with a good encoder, its start and end included."""
        encoder = self.encoder()
        encoder.publication.set_metadata(
            {"width": 1280.0, "height": 720.0, "framerate": 25.0, "videodatarate": 2500.0}
        )
        self.run_for(encoder, 70)
        self.assertEqual(self.found(), {})
        encoder.publication.close("left")
        self.assertEqual(self.found(), {})

    def test_keyframe_interval(self) -> None:
        """Key frames far apart: how far, and where to set it, with the frame rate's own -g."""
        self.run_for(self.encoder(gop=9.8), 25)
        self.assertEqual(self.problem("keyframe_interval"), "key frames are 9.8 s apart")
        fix = self.found()["keyframe_interval"].fix
        self.assertIn("Keyframe Interval to 2 s in OBS → Settings → Output", fix)
        self.assertIn("-g 50 (2 s at 25 frames/s)", fix)

    def test_keyframe_interval_under_way(self) -> None:
        """It is not waited for the second key frame to say that it is late."""
        encoder = self.encoder(gop=60)
        self.run_for(encoder, 11)
        self.assertEqual(self.found(), {})
        self.run_for(encoder, 5)
        self.assertRegex(self.problem("keyframe_interval"), "^key frames are over 1[456] s apart$")

    def test_keyframe_interval_allowed(self) -> None:
        """Four seconds are what some services ask for."""
        self.assertGreater(KEYFRAME_INTERVAL, 4)
        self.run_for(self.encoder(gop=4), 20)
        self.assertEqual(self.found(), {})

    def test_no_keyframe(self) -> None:
        """One key frame and never again."""
        self.run_for(self.encoder(gop=1000), 65)
        self.assertEqual(self.problem("no_keyframe"), "no key frame has come for 30 s")

    def test_no_first_keyframe(self) -> None:
        """Video that never shows a key frame is told from no video."""
        publication = self.publish()
        for _ in range(12):
            publication.count_dropped("no_keyframe", 25)
            self.tick(1)
        self.assertIn("no key frame that a decoder", self.problem("no_keyframe"))

    def test_frames_dropped(self) -> None:
        """Dropped frames are told by reason, a single one is not."""
        for reason, words, fix in (
            ("nal_unit", "50 damaged video frames", "x264"),
            ("no_config", "50 frames before a codec configuration", "global_header"),
            ("config_change", "50 frames of a new configuration", "while the stream is stopped"),
        ):
            encoder = self.encoder(reason)
            stream = self.manager.get(reason)
            assert stream is not None
            self.run_for(encoder, 12)
            encoder.publication.count_dropped(reason, 1)
            self.run_for(encoder, 1)
            self.assertEqual(stream.diagnoses.current, [])
            encoder.publication.count_dropped(reason, 49)
            self.run_for(encoder, 1)
            (found,) = stream.diagnoses.current
            self.assertEqual(found.id, "frames_dropped")
            self.assertIn(words, found.problem)
            self.assertIn(fix, found.fix)
            encoder.publication.close("left")

    def test_unsupported_codec(self) -> None:
        """A codec that nobody can use is named, and nothing else is blamed."""
        publication = self.publish()
        for _ in range(12):
            publication.count_dropped("unsupported_codec", 25)
            publication.note_unsupported({"Speex (11)", "VVC (vvc1)"})
            self.tick(1)
        self.assertIn("Speex (11), VVC (vvc1)", self.problem("unsupported_codec"))
        self.assertIn("-c:v libx264 -c:a aac", self.found()["unsupported_codec"].fix)

    def test_not_in_hls(self) -> None:
        """Tracks that are played but not packaged are told, with what is left."""
        for tracks, words in (
            ((VP8, AUDIO), "the other tracks are there"),
            ((VP8,), "so there is nothing to see by it"),
        ):
            encoder = self.encoder(tracks=tracks)
            self.run_for(encoder, 8)
            problem = self.problem("not_in_hls")
            self.assertEqual(problem, f"left out of HLS, where VP8 has no place (CMAF): {words}")
            encoder.publication.close("left")

    def test_one_unsupported_codec(self) -> None:
        """With the one track that is left, the other is not said to be missing."""
        encoder = self.encoder(tracks=(VIDEO,))
        for _ in range(20):
            encoder.publication.count_dropped("unsupported_codec", 43)
            encoder.publication.note_unsupported({"Speex (11)"})
            self.run_for(encoder, 1)
        self.problem("unsupported_codec")

    def test_short_publication(self) -> None:
        """A publisher that leaves before the first look leaves its diagnosis."""
        publication = self.publish()
        publication.note_unsupported({"Speex (11)"})
        publication.close("left")
        self.problem("unsupported_codec")
        # What it was about is over with the next publisher.
        self.publish()
        self.assertEqual(self.found(), {})

    def test_timestamp_jumps(self) -> None:
        """Jumps of the clock are counted."""
        encoder = self.encoder()
        self.run_for(encoder, 12)
        for _ in range(2):
            encoder.origin += 100
            self.run_for(encoder, 4)
        self.assertIn("has jumped 2 times in the last 30 s", self.problem("timestamp_jumps"))

    def test_timestamps_stand(self) -> None:
        """Frames that all claim the same time."""
        publication = self.publish()
        self.feed(publication, 12, lambda _: [0.0] * 25)
        self.assertIn("are not later than the one before", self.found()["timestamps_stand"].problem)

    def test_drift(self) -> None:
        """Sound that runs away from the picture, slowly; a constant distance is no drift."""
        publication = self.publish()
        self.feed(publication, 60, even(25), skew=lambda second: second / 100)
        self.assertEqual(
            self.problem("audio_video_drift"), "sound and picture have drifted 0.4 s apart"
        )
        constant = self.publish("other")
        self.feed(constant, 40, even(25), skew=lambda _: 0.8)
        stream = self.manager.get("other")
        assert stream is not None
        self.assertEqual(stream.diagnoses.current, [])

    def test_skew(self) -> None:
        """Sound and picture that never belonged together."""
        publication = self.publish()
        self.feed(publication, 30, even(25), skew=lambda _: 2.0)
        words = "sound comes 2.0 s ahead of the picture"
        self.assertEqual(self.problem("audio_video_drift"), words)
        publication = self.publish("other")
        self.feed(publication, 30, even(25), skew=lambda _: -2.0)
        stream = self.manager.get("other")
        assert stream is not None
        (found,) = stream.diagnoses.current
        self.assertEqual(found.problem, "sound comes 2.0 s behind the picture")

    def test_bitrate(self) -> None:
        """Far more than what was stated, whatever the speed at which it comes."""
        encoder = self.encoder()
        encoder.publication.set_metadata({"videodatarate": 1000.0, "audiodatarate": 128.0})
        for _ in range(14):
            self.run_for(encoder, 1)
            self.stream.statistics.bytes_received += 700_000
        self.assertRegex(
            self.problem("bitrate"), r"^5\.\d Mbit/s are sent, 1\.1 Mbit/s are stated$"
        )
        self.assertIn("-maxrate 1000k -bufsize 2000k", self.found()["bitrate"].fix)

    def test_frame_rate_low(self) -> None:
        """Fewer frames than are stated."""
        encoder = self.encoder()
        encoder.publication.set_metadata({"framerate": 60.0})
        self.run_for(encoder, 15)
        self.assertIn("25.0 frames/s come, 60 are stated", self.problem("frame_rate_low"))

    def test_frame_rate_unstable(self) -> None:
        """A rate that swings; that of the places in time counts, not when the network brings it."""
        publication = self.publish()
        self.feed(publication, 15, lambda second: even((10, 30)[second % 2])(second))
        self.assertIn(
            "the frame rate swings between 10 and 30 frames/s", self.problem("frame_rate_unstable")
        )

    def test_bursts(self) -> None:
        """A network that brings frames in bursts does not make the frame rate unstable."""
        encoder = self.encoder()
        self.run_for(encoder, 4)
        for second in range(20):
            advance = self.clock.advance
            self.clock.advance = lambda _: None  # type: ignore[method-assign, assignment]
            encoder.run(0.6 if second % 2 else 1.4)
            self.clock.advance = advance  # type: ignore[method-assign]
            self.clock.advance(1)
            self.manager.tick()
        self.assertEqual(self.found(), {})

    def test_no_audio(self) -> None:
        """Sound that never came."""
        self.run_for(self.encoder(tracks=(VIDEO,)), 15)
        self.assertEqual(self.problem("no_audio"), "no sound arrives")

    def test_audio_stopped(self) -> None:
        """Sound that stopped."""
        encoder = self.encoder()
        self.run_for(encoder, 5)
        self.run_for(encoder, 12, kinds=("video",))
        self.problem("no_audio")

    def test_no_video(self) -> None:
        """A picture that stopped, the stream having gone on without it."""
        encoder = self.encoder()
        self.run_for(encoder, 5)
        self.run_for(encoder, 12, kinds=("audio",))
        self.assertEqual(self.problem("no_video"), "no picture arrives")

    def test_no_media(self) -> None:
        """Nothing at all, from the start or from now on; when it comes, all is well again."""
        encoder = self.encoder()
        self.tick(6)
        self.assertEqual(self.problem("no_media"), "nothing has arrived for 6 s")
        self.run_for(encoder, int(CALM) + 2)
        self.assertEqual(self.found(), {})

    def test_slow_publisher(self) -> None:
        """Media that comes slower than time passes, not what is only late for once."""
        encoder = self.encoder()
        self.run_for(encoder, 30)
        self.clock.advance(1)
        self.run_for(encoder, 30)
        self.assertEqual(self.found(), {})
        for _ in range(30):
            self.run_for(encoder, 1)
            self.clock.advance(0.5)
        self.assertRegex(
            self.problem("slow_publisher"), "^slower than real time: .* s of media, so viewers"
        )

    def test_metadata(self) -> None:
        """A picture size that is not that of the picture."""
        encoder = self.encoder()
        encoder.publication.set_metadata({"width": 1920.0, "height": 1080.0})
        self.run_for(encoder, 3)
        self.assertEqual(
            self.problem("metadata"), "metadata say 1920x1080, the picture is 1280x720"
        )

    def test_any_metadata(self) -> None:
        """Metadata of other types than they should have are no harm."""
        encoder = self.encoder()
        encoder.publication.set_metadata(
            {"width": "1920", "height": True, "framerate": "x", "videodatarate": ""}
        )
        self.run_for(encoder, 15)
        self.assertEqual(self.found(), {})


class DiagnosesTests(DiagnosisCase):
    def test_since(self) -> None:
        """A problem keeps the time at which it was found first, and has its newest words."""
        encoder = self.encoder(gop=60)
        self.run_for(encoder, 15)
        first = self.found()["keyframe_interval"]
        since, words = first.since, first.problem
        self.run_for(encoder, 6)
        again = self.found()["keyframe_interval"]
        self.assertEqual(again.since, since)
        self.assertNotEqual(again.problem, words)

    def test_calm(self) -> None:
        """What is mended goes away after a while."""
        encoder = self.encoder(gop=8)
        self.run_for(encoder, 17)
        self.problem("keyframe_interval")
        encoder.gop = 1
        self.run_for(encoder, 3)
        self.problem("keyframe_interval")
        self.run_for(encoder, int(CALM) + 1)
        self.assertEqual(self.found(), {})

    def test_logged_once(self) -> None:
        """A kind is one line in the log of a stream, with what to do, however often it comes."""
        with capturedLogs() as captured:
            for _ in range(2):
                encoder = self.encoder(gop=8)
                self.run_for(encoder, 20)
                encoder.publication.close("left")
        lines = [event for event in captured if "diagnosis" in event]
        self.assertEqual([line["diagnosis"] for line in lines], ["keyframe_interval"])
        self.assertEqual(lines[0]["log_level"], LogLevel.warn)
        self.assertIn("OBS → Settings", str(lines[0]["fix"]))

    def test_order(self) -> None:
        """The gravest comes first."""
        encoder = self.encoder(gop=9, tracks=(VIDEO,))
        self.run_for(encoder, 20)
        self.assertEqual(list(self.found()), ["no_audio", "keyframe_interval"])

    def test_kept(self) -> None:
        """They can still be read when the publisher is gone and the stream is over."""
        encoder = self.encoder(gop=9)
        self.run_for(encoder, 20)
        encoder.publication.close("left")
        self.problem("keyframe_interval")
        self.successResultOf(self.manager.stop("key"))
        self.problem("keyframe_interval")

    def test_clock_step(self) -> None:
        """A step of the server's clock is not the encoder's fault."""
        encoder = self.encoder()
        self.run_for(encoder, 25)
        self.clock.advance(3600)
        self.run_for(encoder, 25)
        self.clock.rightNow -= 1800
        self.run_for(encoder, 25)
        self.assertEqual(self.found(), {})

    def test_new_track(self) -> None:
        """A new configuration in mid-stream brings no diagnosis of its own."""
        encoder = self.encoder()
        self.run_for(encoder, 15)
        mono = Track(AUDIO_TRACK_ID, FakeAudioConfig(channels=1))
        encoder.tracks = (VIDEO, mono)
        encoder.publication.set_tracks(encoder.tracks)
        self.run_for(encoder, 25)
        self.assertEqual(self.found(), {})

    def test_several_video_tracks(self) -> None:
        """A ladder of the encoder's is not taken for a frame rate of its sum."""
        encoder = self.encoder()
        ladder = Track(3, VIDEO.config)
        encoder.publication.set_tracks((VIDEO, AUDIO, ladder))
        encoder.publication.set_metadata({"framerate": 60.0})
        for second in range(15):
            encoder.publication.write(video(1000 * second, key=True, track=ladder))
            self.run_for(encoder, 1)
        self.assertEqual(self.found(), {})

    def test_documented(self) -> None:
        """Each kind has its line in the documentation, in the order of the table."""
        page = (Path(__file__).parents[2] / "docs" / "howto" / "diagnosis.md").read_text()
        self.assertEqual(re.findall(r"(?m)^\| `([a-z_]+)` \|", page), list(RULES))
