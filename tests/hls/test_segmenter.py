"""Tests of rapidrtmp.hls.segmenter and rapidrtmp.hls.track_segmenter."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.hls.segment import Part, Segment
from rapidrtmp.hls.segmenter import Segmenter
from rapidrtmp.hls.track_segmenter import LATE
from rapidrtmp.media.segmentation import CLOCK, Segmentation
from rapidrtmp.media.track import AUDIO_TRACK_ID, VIDEO_TRACK_ID, Sample, Track
from tests.isobmff.checker import ParsedSample, check_track
from tests.isobmff.fakes import (
    AUDIO,
    VIDEO,
    VP8,
    FakeAudioConfig,
    FakeVideoConfig,
    audio_samples,
    picture,
    video_samples,
)

SECOND = Track(3, FakeVideoConfig(640, 360))
OPEN_GOP = (240, 480, 240, 0, 120)
"""Composition offsets of I P B B B ... in frames of 1/25 s times 120: deep reordering."""


def pictures(seconds: float, gop: float = 2.0, start: float = 0.0, rate: int = 25) -> list[Sample]:
    """Make video with B-frames whose first frame of each GOP is a sync sample."""
    length = round(gop * rate)
    frames = [
        (CLOCK // rate, OPEN_GOP[number % 5] * 30, number % length == 0)
        for number in range(round(seconds * rate))
    ]
    return video_samples(frames, round(start * CLOCK))[0]


def frames(seconds: float, start: float = 0.0) -> list[Sample]:
    """Make audio."""
    return audio_samples(round(seconds * 48000 / 1024), round(start * 48000))[0]


def interleave(*tracks: Sequence[Sample]) -> list[Sample]:
    """Order samples by decoding time."""
    samples = [sample for track in tracks for sample in track]
    return sorted(samples, key=lambda sample: sample.dts / sample.track.timescale)


PART_TARGET = 0.232


def described(segment: Segment) -> str:
    """Leave out what parts change of a segment, for comparison as a text."""
    is_i_frame = int(segment.i_frame_size > 0)
    return repr(replace(segment, pieces=(), parts=(), is_parted=False, i_frame_size=is_i_frame))


class Run:
    """Plays a continuity as a stream does, and collects the segments by track."""

    def __init__(
        self, samples: Iterable[Sample], tracks: Sequence[Track], segmentation: Segmentation
    ) -> None:
        self.segments: dict[int, list[Segment]] = {track.track_id: [] for track in tracks}
        self.parts: dict[int, list[Part]] = {track.track_id: [] for track in tracks}
        self.segmenter = Segmenter(tracks)
        self.segmentation = segmentation
        segmentation.anchor(0, 1000.0)
        self.write(samples)

    def write(self, samples: Iterable[Sample]) -> None:
        """Take samples in this order."""
        leading = next(iter(self.segmenter.tracks))
        for sample in samples:
            if sample.track.track_id == leading:
                for boundary in self.segmentation.advance(sample):
                    self._take(self.segmenter.segment_started(boundary))
            elif not self.segmentation.is_open:
                self.segmentation.precede(sample)
            self._take(self.segmenter.write(sample))

    def flush(self, end: float = 0.0) -> None:
        """End the continuity; the tracks have come to a time in seconds."""
        for boundary in self.segmentation.interrupt(round(end * 1000)):
            self._take(self.segmenter.segment_started(boundary))
        self._take(self.segmenter.flush())

    def _take(self, completed: Iterable[tuple[Track, Part | Segment]]) -> None:
        for track, done in completed:
            if isinstance(done, Segment):
                self.segments[track.track_id].append(done)
            else:
                self.parts[track.track_id].append(done)


class Case(SynchronousTestCase):
    def run_samples(
        self, samples: Iterable[Sample], *tracks: Track, end: float = 0.0, target: int | None = None
    ) -> Run:
        """Play a whole continuity of tracks, the first leading, and judge the segments."""
        samples = list(samples)
        run = Run(samples, tracks or (VIDEO, AUDIO), Segmentation(2.0, 100, 0, target))
        run.flush(end)
        numbers = [[segment.sequence for segment in track] for track in run.segments.values()]
        for track_numbers in numbers:
            self.assertEqual(track_numbers, list(range(100, run.segmentation.sequence)))
        for track_id, segments in run.segments.items():
            self.check(
                run, track_id, segments, [s for s in samples if s.track.track_id == track_id]
            )
        segmentation = Segmentation(2.0, 100, 0, target, part_target=PART_TARGET)
        parted = Run(samples, tracks or (VIDEO, AUDIO), segmentation)
        parted.flush(end)
        self.check_parts(run, parted, samples)
        return run

    def check_parts(self, run: Run, parted: Run, samples: Sequence[Sample]) -> None:
        """With parts the segments are the same, and are made of them."""
        target = parted.segmentation.part_target
        assert target is not None
        for track_id, segments in parted.segments.items():
            self.assertEqual(
                [described(segment) for segment in segments],
                [described(segment) for segment in run.segments[track_id]],
            )
            own = [sample for sample in samples if sample.track.track_id == track_id]
            self.check(parted, track_id, segments, own)
            early = {(part.sequence, part.index): part for part in parted.parts[track_id]}
            for segment in segments:
                parts = segment.parts
                if not parts:  # a gap, or its first sample already lasts too long
                    self.assertFalse(segment.is_parted)
                    continue
                for part, piece in zip(parts, segment.pieces, strict=True):
                    self.assertIs(part.body, piece)
                self.assertFalse(segment.is_gap)
                self.assertEqual([part.index for part in parts], list(range(len(parts))))
                self.assertEqual(sum(part.duration for part in parts), segment.duration)
                longest = max(part.seconds for part in parts)
                self.assertEqual(segment.is_parted, longest < target + 1e-9)
                for part in parts:
                    # The last one, or one that is too long, comes with its segment.
                    told = early.pop((part.sequence, part.index), None)
                    if told is not None:
                        self.assertIs(told, part)
                        self.assertLess(told.seconds, target + 1e-9)
            self.assertEqual(early, {})

    def check(
        self, run: Run, track_id: int, segments: Sequence[Segment], samples: Sequence[Sample]
    ) -> None:
        """Judge one track: all samples are there once, and the playlist's times are right."""
        parsed = self.parse(run, track_id, segments)
        self.assertEqual(
            [(sample.dts, sample.pts, sample.is_sync, sample.payload) for sample in parsed],
            [(s.dts, s.dts + s.composition_offset, s.is_sync, s.payload) for s in samples],
        )
        self.assertEqual(sum(segment.samples for segment in segments), len(samples))
        target = run.segmentation.target_duration
        assert target is not None
        for segment in segments:
            self.assertGreater(segment.duration, 0)
            self.assertLess(segment.seconds, target + 0.5, segment)
        for before, after in pairwise(segments):
            self.assertEqual(before.start + before.duration, after.start)
            self.assertApproximates(before.wall + before.seconds, after.wall, 0.001)

    def parse(self, run: Run, track_id: int, segments: Sequence[Segment]) -> list[ParsedSample]:
        """Judge the bytes of a track's segments; return the samples in them."""
        init = run.segmenter.tracks[track_id].init
        return check_track(
            init, [b"".join(segment.pieces) for segment in segments if segment.pieces]
        )

    def seconds(self, run: Run, track_id: int) -> list[float]:
        """Return the durations of a track's segments."""
        return [round(segment.seconds, 2) for segment in run.segments[track_id]]

    def gaps(self, run: Run, track_id: int) -> list[int]:
        """Return which of a track's segments are gaps."""
        return [number for number, s in enumerate(run.segments[track_id]) if s.is_gap]


class SegmenterTests(Case):
    def test_cut(self) -> None:
        """Video is cut at its key frames, audio at the frames nearest to where they show."""
        run = self.run_samples(interleave(pictures(8), frames(8)))
        self.assertEqual(self.seconds(run, VIDEO_TRACK_ID), [2, 2, 2, 2])
        video, audio = run.segments[VIDEO_TRACK_ID], run.segments[AUDIO_TRACK_ID]
        for shown, heard in zip(video[1:], audio[1:], strict=True):
            pts = shown.start / 90_000 + OPEN_GOP[0] * 30 / 90_000
            self.assertApproximates(heard.start / 48_000, pts, 0.0107)
            self.assertApproximates(heard.wall - shown.wall, heard.start / 48_000 - pts, 0.001)
        self.assertTrue(all(segment.is_independent for segment in video + audio))
        self.assertEqual(video[0].uri, "video1/100.m4s")
        self.assertEqual(audio[1].uri, "audio2/101.m4s")
        self.assertRegex(video[0].map_uri, r"^video1/init-[0-9a-f]{8}\.mp4$")

    def test_part_ends_at_the_cut(self) -> None:
        """A part that was complete before the cut was known is the last of its segment."""
        video = video_samples([(450, 0, number % 460 == 0) for number in range(1200)])[0]
        samples = sorted(
            [*video, *frames(6)],
            key=lambda sample: (
                sample.dts / sample.track.timescale - 0.05 * (sample.track.kind == "audio")
            ),
        )
        run = self.run_samples(samples, target=2)
        self.assertEqual(self.seconds(run, AUDIO_TRACK_ID)[:2], [2.30, 2.30])

    def test_first_segment(self) -> None:
        """The segment in which PART-TARGET is measured has parts like all others."""
        samples = interleave(pictures(5), frames(5))
        run = self.run_samples(samples)
        parted = Run(samples, (VIDEO, AUDIO), Segmentation(2.0, 100, part_duration=0.2))
        parted.flush()
        self.check_parts(run, parted, samples)
        for (first, second, *_), count in zip(parted.segments.values(), (10, 11), strict=True):
            self.assertTrue(first.is_parted)
            self.assertEqual((len(first.parts), len(second.parts)), (count, count))

    def test_nothing_is_kept(self) -> None:
        """At the end of a continuity parts live in their segments alone."""
        run = Run(pictures(5), (VIDEO,), Segmentation(2.0, 0, 0, 2, part_target=PART_TARGET))
        [segmenter] = run.segmenter.tracks.values()
        self.assertTrue(run.parts[VIDEO_TRACK_ID])
        self.assertTrue(segmenter._parts)
        run.flush()
        self.assertEqual((segmenter._parts, segmenter._samples), ([], []))

    def test_deterministic(self) -> None:
        """The same samples make the same bytes, however they arrive."""
        video, audio = pictures(8), frames(8)
        bodies = []
        for samples in (interleave(video, audio), interleave(video[:1], audio) + video[1:]):
            run = Run([], (VIDEO, AUDIO), Segmentation(2.0, 0))
            run.write(samples)
            run.flush(8.0)
            first = [b"".join(s.pieces) for track in run.segments.values() for s in track[:2]]
            bodies.append([first[0], first[2]])
        self.assertEqual(*bodies)

    def test_audio_early_and_late(self) -> None:
        """Audio may arrive a second before or after the video of the same time."""
        video, audio = pictures(9), frames(9)
        for late in (-1.0, 1.0):
            samples = sorted(
                video + audio,
                key=lambda s: s.dts / s.track.timescale + late * (s.track is AUDIO),
            )
            run = self.run_samples(samples)
            self.assertEqual(self.gaps(run, AUDIO_TRACK_ID), [])

    def test_audio_starts_earlier(self) -> None:
        """Audio from before the first key frame is in the first segment, of any length."""
        for early in (0.1, 1.0, 8.0):
            samples = interleave(pictures(6, start=early), frames(6 + early))
            run = self.run_samples(samples, end=6 + early)
            self.assertEqual(self.gaps(run, AUDIO_TRACK_ID), [])
            self.assertApproximates(run.segments[VIDEO_TRACK_ID][0].seconds, 2, 0.01)

    def test_audio_starts_much_earlier(self) -> None:
        """With a target duration that stands, early audio is cut, and video has gaps."""
        samples = interleave(pictures(6, start=8.0), frames(14))
        run = self.run_samples(samples, target=2, end=14)
        self.assertEqual(self.gaps(run, VIDEO_TRACK_ID), [0, 1, 2])

    def test_audio_starts_later(self) -> None:
        """Segments before the first audio are gaps."""
        run = self.run_samples(interleave(pictures(10), frames(5, start=5.0)))
        self.assertEqual(self.gaps(run, AUDIO_TRACK_ID), [0, 1])

    def test_audio_stalls(self) -> None:
        """A track that is silent for long has gaps, without holding the others up."""
        samples = interleave(pictures(20), frames(3), frames(7, start=13.0))
        run = Run([], (VIDEO, AUDIO), Segmentation(2.0, 0))
        behind = 0
        for sample in samples:
            run.write([sample])
            behind = max(
                behind, len(run.segments[VIDEO_TRACK_ID]) - len(run.segments[AUDIO_TRACK_ID])
            )
        run.flush(20.0)
        self.assertLessEqual(behind, LATE // (2 * CLOCK) + 1)
        segments = run.segments[AUDIO_TRACK_ID]
        self.assertEqual(self.gaps(run, AUDIO_TRACK_ID), [2, 3, 4, 5])
        self.assertEqual([s.sequence for s in segments], list(range(10)))
        for before, after in pairwise(segments):
            self.assertEqual(before.start + before.duration, after.start)
        self.assertLess(max(s.seconds for s in segments), 2.5)
        # what came before the silence and after it is each without a hole
        halves = ([s for s in segments if s.sequence < 5], [s for s in segments if s.sequence > 5])
        parsed = [self.parse(run, AUDIO_TRACK_ID, half) for half in halves]
        self.assertEqual(
            [sample.dts for half in parsed for sample in half],
            [sample.dts for sample in samples if sample.track is AUDIO],
        )

    def test_audio_hole(self) -> None:
        """A hole over a cut neither moves the cut nor makes a segment too long."""
        for start, end in ((1.5, 3.4), (1.9, 2.6), (0.5, 1.5), (3.0, 5.9)):
            samples = interleave(pictures(8), frames(start), frames(8 - end, start=end))
            run = self.run_samples(samples)
            self.assertEqual(self.gaps(run, AUDIO_TRACK_ID), [])

    def test_short_audio_hole(self) -> None:
        """A hole of 70 ms over a cut: every EXTINF is the sum of its own samples' durations."""
        samples = interleave(pictures(8), frames(2.05), frames(6, start=2.14))
        run = self.run_samples(samples)
        for segment in run.segments[AUDIO_TRACK_ID]:
            parsed = self.parse(run, AUDIO_TRACK_ID, [segment])
            self.assertEqual(segment.duration, sum(sample.duration for sample in parsed))

    def test_audio_ends_at_a_cut(self) -> None:
        """Sound that ends just before or behind the last cut: every EXTINF is its samples' sum."""
        for count in range(189, 195):  # 191.25 frames lead to the cut, 80 ms of reordering with it
            run = self.run_samples(interleave(pictures(4.04), frames(6)[:count]))
            for segment in run.segments[AUDIO_TRACK_ID]:
                if not segment.is_gap:
                    parsed = self.parse(run, AUDIO_TRACK_ID, [segment])
                    self.assertEqual(segment.duration, sum(sample.duration for sample in parsed))

    def test_video_stalls(self) -> None:
        """Audio goes on in segments that are not too long while the video is silent."""
        video = pictures(3.4) + pictures(6, start=8.0)
        run = self.run_samples(interleave(video, frames(14)), end=14)
        self.assertEqual(self.gaps(run, AUDIO_TRACK_ID), [])
        self.assertEqual(self.gaps(run, VIDEO_TRACK_ID), [2])
        run = self.run_samples(interleave(pictures(3.4), frames(14)), end=14)
        self.assertEqual(self.gaps(run, AUDIO_TRACK_ID), [])

    def test_soft_cuts(self) -> None:
        """Segments of an endless GOP are not independent; nothing is lost at the cuts."""
        run = self.run_samples(interleave(pictures(30, gop=60), frames(30)), target=2)
        video = run.segments[VIDEO_TRACK_ID]
        self.assertGreater(len(video), 12)
        self.assertEqual([s.is_independent for s in video], [True] + [False] * (len(video) - 1))

    def test_single_tracks(self) -> None:
        """Video and audio do without each other."""
        run = self.run_samples(pictures(6), VIDEO)
        self.assertEqual(self.seconds(run, VIDEO_TRACK_ID), [2, 2, 2])
        run = self.run_samples(frames(6), AUDIO)
        self.assertEqual(len(run.segments[AUDIO_TRACK_ID]), 3)

    def test_odd_timescale(self) -> None:
        """44.1 kHz audio leads without losing a tick."""
        track = Track(AUDIO_TRACK_ID, FakeAudioConfig(sample_rate=44100, timescale=44100))
        samples = [Sample(track, 7 + 1024 * n, 0, True, True, b"a%d" % n) for n in range(500)]
        self.run_samples(samples, track)

    def test_flush_keeps_lock_step(self) -> None:
        """Whatever is missing at the end, the tracks have the same numbers."""
        video, audio = pictures(4.04), frames(4.0)
        for count in (1, 2, 3, 50, 93, len(audio)):
            self.run_samples(interleave(video, audio[:count]))

    def test_one_sample(self) -> None:
        """A single frame is a segment."""
        run = self.run_samples(pictures(0.04))
        [video], [audio] = run.segments.values()
        self.assertEqual(video.samples, 1)
        self.assertTrue(audio.is_gap)
        self.assertFalse(audio.is_independent)

    def test_last_duration(self) -> None:
        """The last frame lasts as long as the one before it, up to a quarter of a second."""
        for rate, expected in ((25, 0.04), (2, 0.25)):
            run = self.run_samples(pictures(1, rate=rate), VIDEO)
            [segment] = run.segments[VIDEO_TRACK_ID]
            self.assertApproximates(segment.seconds, 1 - 1 / rate + expected, 0.001)

    def test_nothing(self) -> None:
        """A continuity without a sample has no segments."""
        run = Run([], (VIDEO, AUDIO), Segmentation(2.0, 0))
        run.flush()
        self.assertEqual(run.segments, {VIDEO_TRACK_ID: [], AUDIO_TRACK_ID: []})

    def other_video(
        self, rate: int, gop: float, late: float = 0.0, offset: int = 0
    ) -> tuple[Run, list[float]]:
        """Play two video tracks of 60 and `rate` frames/s, whose times are in whole ms.

        Args:
            rate: frames/s of the second.
            gop: seconds between its key frames.
            late: seconds that it starts after the first.
            offset: ticks that it decodes its frames before they are shown.

        Returns:
            The run, and the times in s from which the second track's segments are shown.
        """
        samples = []
        for track, fps, seconds, shift, delay in (
            (VIDEO, 60, 2.0, 0.0, 0),
            (SECOND, rate, gop, late, offset),
        ):
            for number in range(round(9 * fps)):
                dts = 9000 + round((number / fps + shift) * 1000) * 90 - delay
                is_key = number % round(gop * fps if track is SECOND else seconds * fps) == 0
                payload = picture(is_sync=is_key, body=b"%d" % number)
                samples.append(Sample(track, dts, delay, is_key, is_key, payload))
        samples.sort(key=lambda sample: (sample.dts, sample.track.track_id))
        run = self.run_samples(samples, VIDEO, SECOND, end=9.1)
        starts = [s.start + offset - 9000 for s in run.segments[SECOND.track_id]]
        return run, [start / 90_000 for start in starts]

    def test_two_videos(self) -> None:
        """Key frames at the same time are cuts of both, at any frame rate and reordering."""
        for rate in (25, 30, 50, 60, 120):
            for offset in (0, 7200):
                run, starts = self.other_video(rate, 2.0, offset=offset)
                self.assertEqual(starts, [0, 2, 4, 6, 8])
                for segments in run.segments.values():
                    self.assertTrue(all(segment.is_independent for segment in segments))

    def test_near_key_frames(self) -> None:
        """Key frames that miss the cut a little are taken; a frame of none is not."""
        for late in (0.017, 0.05):
            run, starts = self.other_video(60, 2.0, late)
            self.assertEqual([round(start - late, 3) for start in starts], [0, 2, 4, 6, 8])
            self.assertTrue(all(s.is_independent for s in run.segments[SECOND.track_id]))

    def test_far_key_frames(self) -> None:
        """Key frames elsewhere: the cut is soft, at the nearest frame."""
        run, starts = self.other_video(50, 3.0)
        self.assertEqual(starts, [0, 2, 4, 6, 8])
        self.assertEqual(
            [s.is_independent for s in run.segments[SECOND.track_id]],
            [True, False, False, True, False],
        )

    def test_next_continuity(self) -> None:
        """The same segmenter goes on after a jump of the clock, with a discontinuity."""
        run = Run(interleave(pictures(3), frames(3)), (VIDEO, AUDIO), Segmentation(2.0, 0))
        run.flush(3.0)
        run.write(interleave(pictures(3, start=30.0), frames(3, start=30.0)))
        run.flush(33.0)
        for segments in run.segments.values():
            self.assertEqual([s.is_discontinuity for s in segments], [False, False, True, False])
            self.assertEqual([s.discontinuity for s in segments], [0, 0, 1, 1])
            for before, after in (segments[:2], segments[2:]):
                self.assertEqual(before.start + before.duration, after.start)

    @given(
        st.lists(st.integers(1, 15_000), min_size=1, max_size=80),
        st.lists(st.sampled_from((1024, 1024, 1024, 1025, 30_000, 100_000)), max_size=120),
        st.integers(0, 200_000),
        st.sets(st.integers(0, 80)),
        st.floats(-0.5, 0.5),
    )
    @settings(max_examples=150, deadline=None)
    def test_any(
        self, steps: list[int], audio_steps: list[int], start: int, keys: set[int], late: float
    ) -> None:
        """No sample is lost or doubled, and playlists have neither holes nor long segments."""
        video, _ = video_samples(
            [(step, 0, number in keys or not number) for number, step in enumerate(steps)]
        )
        audio = []
        time = start
        for number, step in enumerate(audio_steps):
            audio.append(Sample(AUDIO, time, 0, True, True, b"a%d" % number))
            time += step
        samples = sorted(
            video + audio, key=lambda s: s.dts / s.track.timescale + late * (s.track is AUDIO)
        )
        end = max(s.dts / s.track.timescale for s in samples) + 0.02
        run = Run(samples, (VIDEO, AUDIO), Segmentation(2.0, 100))
        run.flush(end)
        target = run.segmentation.target_duration
        assert target is not None
        for track_id, given_samples in ((VIDEO_TRACK_ID, video), (AUDIO_TRACK_ID, audio)):
            segments = run.segments[track_id]
            self.assertEqual(
                [segment.sequence for segment in segments],
                list(range(100, run.segmentation.sequence)),
            )
            for before, after in pairwise(segments):
                self.assertEqual(before.start + before.duration, after.start)
            for segment in segments:
                self.assertLess(segment.seconds, target + 0.5)
            payloads = []
            for segment in segments:
                if segment.pieces:
                    payloads += [s.payload for s in self.parse(run, track_id, [segment])]
            self.assertEqual(payloads, [sample.payload for sample in given_samples])


class LeftOutTests(SynchronousTestCase):
    def test_left_out(self) -> None:
        """A track that CMAF has no place for changes nothing for the others."""
        sound = frames(6.0)
        pictures_of_vp8 = [
            Sample(VP8, number * 3600, 0, True, True, b"vp8") for number in range(150)
        ]
        alone = Run(sound, (AUDIO,), Segmentation(2.0, 100))
        beside = Run(interleave(sound, pictures_of_vp8), (AUDIO, VP8), Segmentation(2.0, 100))
        for run in (alone, beside):
            run.flush(6.0)
        self.assertEqual(list(beside.segmenter.tracks), [AUDIO_TRACK_ID])
        bodies = [
            [b"".join(each.pieces) for each in run.segments[AUDIO_TRACK_ID]]
            for run in (alone, beside)
        ]
        self.assertEqual(*bodies)
        self.assertEqual(len(alone.segments[AUDIO_TRACK_ID]), 3)

    def test_nothing_left(self) -> None:
        """Nothing comes of such a track alone."""
        segmenter = Segmenter((VP8,))
        segmentation = Segmentation(2.0, 100)
        for number in range(150):
            sample = Sample(VP8, number * 3600, 0, True, True, b"vp8")
            for boundary in segmentation.advance(sample):
                self.assertEqual(segmenter.segment_started(boundary), [])
            self.assertEqual(list(segmenter.write(sample)), [])
        self.assertEqual(segmenter.flush(), [])
