"""Tests of rapidrtmp.media.segmentation."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.media.segmentation import CLOCK, PART_SLACK, Boundary, Segmentation, part_target
from rapidrtmp.media.track import Sample
from tests.isobmff.fakes import VIDEO
from tests.media.samples import audio, video


def gops(*seconds: float, rate: int = 25) -> list[Sample]:
    """Make GOPs of these lengths at `rate` frames/s."""
    samples: list[Sample] = []
    for length in seconds:
        for frame in range(round(length * rate)):
            samples.append(video(round(len(samples) * 1000 / rate), key=frame == 0))
    return samples


AAC = 1024 / 48_000


class PartTargetTests(SynchronousTestCase):
    def test_table(self) -> None:
        """Whole frames at or just above the setting, with room for the sound's."""
        cases: list[tuple[float, float, list[float], float]] = [
            (0.2, 1 / 30, [AAC], 0.232),
            (0.2, 1001 / 30_000, [AAC], 0.232),
            (0.2, 1 / 25, [AAC], 0.232),
            (0.2, 1 / 60, [AAC], 0.232),
            (0.2, 1 / 24, [AAC], 0.241),
            (0.2, 1 / 24, [], 0.241),
            (0.2, AAC, [], 0.247),
            (0.2, 0.1, [AAC], 0.232),
            (0.5, 1 / 30, [AAC], 0.577),
            (1.0, 1 / 30, [AAC], 1.152),
            (0.2, 1 / 30, [0.128], 0.232),  # AAC of 8 kHz
            (0.2, 1 / 9, [AAC], 0.0),
            (0.2, 0.0, [AAC], 0.0),
            (0.0, 1 / 30, [AAC], 0.0),
            (0.2, 1 / 30, [10.0], 0.0),
        ]
        for setting, frame, others, target in cases:
            with self.subTest(f"{setting} {frame} {others}"):
                self.assertEqual(part_target(setting, frame, others), target)

    @given(st.floats(0.1, 2.0), st.floats(0.004, 0.1))
    def test_any(self, setting: float, frame: float) -> None:
        """The usual part, and that with a ms more, is within 85 and 100 % of the target."""
        target = part_target(setting, frame, [])
        usual = target / PART_SLACK // frame * frame
        self.assertGreaterEqual(usual, 0.94 * setting)
        self.assertGreaterEqual(usual, 0.85 * target)
        self.assertLess(usual + 0.001, target)

    def test_decided(self) -> None:
        """It is measured in the first segment, and never changes."""
        segmentation = Segmentation(2.0, 0, part_duration=0.2)
        segmentation.other_frames = [AAC]
        boundaries = [
            boundary
            for number in range(400)
            for boundary in segmentation.advance(
                video(number * (40 if number < 200 else 80), key=number % 50 == 0)
            )
        ]
        self.assertEqual(boundaries[0].part_target, 0.0)
        self.assertEqual({boundary.part_target for boundary in boundaries[1:]}, {0.232})

    def test_few_frames(self) -> None:
        """A first segment of a few frames tells nothing: usual ones are assumed."""
        segmentation = Segmentation(2.0, 0, part_duration=0.2)
        for ms in (0, 900):
            segmentation.advance(video(ms, key=ms == 0))
        segmentation.interrupt(1000)
        self.assertEqual(segmentation.part_target, 0.232)


class Case(SynchronousTestCase):
    def cut(self, segmentation: Segmentation, samples: Iterable[Sample]) -> list[Boundary]:
        """Advance by samples."""
        return [boundary for sample in samples for boundary in segmentation.advance(sample)]

    def times(self, boundaries: Sequence[Boundary]) -> list[float]:
        """Return the boundaries' times in seconds; their numbers must be consecutive."""
        for before, after in pairwise(boundaries):
            self.assertEqual(after.sequence, before.sequence + 1)
            self.assertEqual(
                after.discontinuity, before.discontinuity + after.is_discontinuity, (before, after)
            )
            self.assertAlmostEqual(
                after.wall - before.wall, (after.time - before.time) / CLOCK, places=5
            )
        return [round(boundary.time / CLOCK, 3) for boundary in boundaries]

    def durations(self, boundaries: Sequence[Boundary]) -> list[float]:
        """Return the distances of boundaries in seconds."""
        return [round(after - before, 3) for before, after in pairwise(self.times(boundaries))]


class CutTests(Case):
    """Where a stream is cut."""

    def check(
        self, setting: float, samples: Sequence[Sample], target: int, *durations: float
    ) -> None:
        """Compare the segments' durations and the target duration."""
        segmentation = Segmentation(setting, 7)
        boundaries = self.cut(segmentation, samples)
        self.assertEqual(self.durations(boundaries), list(durations))
        self.assertEqual(segmentation.target_duration, target)
        self.assertEqual(boundaries[0].sequence, 7)
        for duration in durations:
            self.assertLessEqual(int(duration + 0.5), target)

    def test_gop_of_the_setting(self) -> None:
        """One GOP, one segment."""
        self.check(2.0, gops(2, 2, 2, 2), 2, 2, 2, 2)

    def test_short_gops(self) -> None:
        """GOPs are joined up to the setting."""
        self.check(2.0, gops(*[1] * 8), 2, 2, 2, 2)
        self.check(2.0, gops(*[0.8] * 9), 3, 2.4, 2.4)

    def test_every_frame_is_key(self) -> None:
        """The setting alone decides."""
        self.check(2.0, gops(*[0.04] * 200), 2, 2, 2, 2)

    def test_long_gops(self) -> None:
        """OBS leaves 10 s to the encoder: the target duration covers it."""
        self.check(2.0, gops(10, 10, 10), 10, 10, 10)
        self.check(2.0, gops(8.32, 8.32, 8.32), 8, 8.32, 8.32)

    def test_gop_near_half_a_second(self) -> None:
        """The other tracks' segments may be a frame longer and must not round up."""
        self.check(2.0, gops(2.44, 2.44, 2.44), 3, 2.44, 2.44)

    def test_very_long_gop(self) -> None:
        """A GOP of a minute is cut softly."""
        self.check(2.0, gops(60), 12, 12, 12.36, 12.36, 12.36)

    def test_gop_grows(self) -> None:
        """The target duration stands: what is longer later is cut softly, then at its key."""
        self.check(2.0, gops(2, 5, 2, 1), 2, 2, 2.36, 2.36, 0.28, 2)

    def test_long_setting(self) -> None:
        """A setting above the longest first segment is kept."""
        self.check(20.0, gops(*[1] * 61), 20, 20, 20, 20)

    def test_short_setting(self) -> None:
        """A target duration is never 0."""
        self.check(0.5, gops(*[0.52] * 3), 1, 0.52, 0.52)
        self.check(0.3, gops(*[0.32] * 3), 1, 0.32, 0.32)

    def test_millisecond_rounding(self) -> None:
        """Timestamps in ms that make a GOP 1.999 s long do not make a segment of two."""
        samples = [
            video(time, key=number % 60 == 0)
            for number, time in enumerate(int(frame * 1000 / 30.03) + 1 for frame in range(240))
        ]
        samples[0].dts = 90  # 1 ms, not 0
        segmentation = Segmentation(2.0, 0)
        boundaries = self.cut(segmentation, samples)
        self.assertEqual(len(boundaries), 4)
        self.assertLess(min(self.durations(boundaries)), 2.0)

    def test_audio_only(self) -> None:
        """Audio is cut by time."""
        samples = [audio(frame * 1024 / 48) for frame in range(400)]
        segmentation = Segmentation(2.0, 0)
        durations = self.durations(self.cut(segmentation, samples))
        self.assertEqual(len(durations), 4)
        for duration in durations:
            self.assertApproximates(duration, 2.0, 0.0107)
        self.assertEqual(segmentation.target_duration, 2)

    def test_recovery_point(self) -> None:
        """A random access point that is no sync sample starts a segment, too."""
        samples = gops(2, 2)
        for sample in samples:
            sample.is_sync = False
        self.assertEqual(self.times(self.cut(Segmentation(2.0, 0), samples)), [0, 2])

    def test_bytes(self) -> None:
        """However slow its clock is, a segment is bounded in bytes and in samples."""
        for key in (True, False):
            for size in (1 << 20, 500):
                segmentation = Segmentation(2.0, 0)
                payload = bytes(size)
                cut = next(
                    number
                    for number in range(1_000_000)
                    if segmentation.advance(Sample(VIDEO, number, 0, key, key, payload)) and number
                )
                self.assertEqual(cut, Segmentation.LARGEST // (size + Segmentation.SAMPLE_SIZE))

    def test_restored_target(self) -> None:
        """A target duration of a former process stands."""
        segmentation = Segmentation(2.0, 500, 3, 4)
        segmentation.interrupt()
        boundaries = self.cut(segmentation, gops(10, 10))
        self.assertEqual(segmentation.target_duration, 4)
        self.assertLess(max(self.durations(boundaries)), 4.5)
        self.assertEqual(
            (boundaries[0].sequence, boundaries[0].discontinuity, boundaries[0].is_discontinuity),
            (500, 4, True),
        )


class ContinuityTests(Case):
    """Gaps, interruptions and the tracks besides the leading one."""

    def setUp(self) -> None:
        """Make a segmentation."""
        self.segmentation = Segmentation(2.0, 0)

    def test_wall(self) -> None:
        """Boundaries tell the wall clock's time from the anchor on."""
        self.segmentation.anchor(0, 1000.0)
        boundaries = self.cut(self.segmentation, gops(2, 2))
        self.assertEqual([boundary.wall for boundary in boundaries], [1000.0, 1002.0])

    def test_presentation_time(self) -> None:
        """A boundary is where the frame is shown, but the first where something may be."""
        samples = [video(40 + 40 * n, key=n % 50 == 0, offset_ms=80) for n in range(51)]
        boundaries = self.cut(self.segmentation, samples)
        self.assertEqual(self.times(boundaries), [0.04, 2.12])

    def test_offsets_do_not_shake_soft_cuts(self) -> None:
        """Soft cuts at B-frames lie as far apart as their decoding times."""
        samples = gops(12)
        for number, sample in enumerate(samples):
            sample.composition_offset = (80 + 40 * (number % 3)) * 90
        segmentation = Segmentation(2.0, 0, 0, 2)
        durations = self.durations(self.cut(segmentation, samples))
        self.assertEqual(set(durations[1:]), {2.36})

    def test_gap(self) -> None:
        """A gap longer than the target is cut into segments that are not: time goes on."""
        samples = [*gops(2, 2), video(8500, key=True), video(8540)]
        boundaries = self.cut(self.segmentation, samples)
        self.assertEqual(self.times(boundaries), [0, 2, 4.37, 6.74])
        self.assertFalse(any(boundary.is_discontinuity for boundary in boundaries))
        self.assertEqual(self.segmentation.target_duration, 2)

    def test_soft_after_gap(self) -> None:
        """After a gap without a key frame, the next key frame is cut at."""
        samples = [*gops(2, 2), video(7000), video(7040), video(7080, key=True)]
        self.assertEqual(self.times(self.cut(self.segmentation, samples)), [0, 2, 4.37, 6.74, 7.08])

    def test_gap_in_the_first_segment(self) -> None:
        """The first segment decides the target duration also when a gap ends it."""
        samples = [*gops(9), video(13500)]
        boundaries = self.cut(self.segmentation, samples)
        self.assertEqual(self.segmentation.target_duration, 9)
        self.assertEqual(self.times(boundaries), [0, 9.37])

    def test_silent_leader(self) -> None:
        """Tracks that went on without the leading one are cut at the longest duration."""
        self.assertEqual(self.segmentation.interrupt(60_000), ())
        self.cut(self.segmentation, gops(2, 1))
        boundaries = self.segmentation.interrupt(9_000)
        self.assertEqual(self.times(boundaries), [4.37, 6.74])
        self.assertEqual([boundary.sequence for boundary in boundaries], [2, 3])
        self.cut(self.segmentation, gops(2, 1))
        self.assertEqual(self.segmentation.interrupt(4300), [])

    def test_silent_leader_in_the_first_segment(self) -> None:
        """The first segment's duration is that of the longest track."""
        self.cut(self.segmentation, gops(1))
        self.assertEqual(self.segmentation.interrupt(8_000), [])
        self.assertEqual(self.segmentation.target_duration, 8)

    def test_earlier_track(self) -> None:
        """The first segment starts with the track that starts first."""
        self.segmentation.precede(audio(1000))
        self.segmentation.precede(audio(1020))
        boundaries = self.cut(
            self.segmentation, [video(1500, key=True), video(2990), video(3000, key=True)]
        )
        self.assertEqual(self.times(boundaries), [1, 3])

    def test_much_earlier_track(self) -> None:
        """No segment is too long when another track starts long before the leading one."""
        segmentation = Segmentation(2.0, 0, 0, 2)
        segmentation.precede(audio(0))
        boundaries = self.cut(segmentation, [video(5000, key=True)])
        self.assertEqual(self.times(boundaries), [0, 2.37, 4.74])
        self.segmentation.precede(audio(0))
        boundaries = self.cut(self.segmentation, [video(8000, key=True), video(10_000, key=True)])
        self.assertEqual(self.times(boundaries), [0, 10])
        self.assertEqual(self.segmentation.target_duration, 10)

    def test_later_track(self) -> None:
        """A track that starts later does not move the first boundary."""
        self.segmentation.precede(audio(1600))
        self.assertEqual(self.times(self.segmentation.advance(video(1500, key=True))), [1.5])

    def test_interrupt(self) -> None:
        """What comes after an interruption is one discontinuity, whatever happens between."""
        self.cut(self.segmentation, gops(2, 1))
        self.segmentation.interrupt()
        self.segmentation.interrupt()
        self.assertEqual(self.segmentation.discontinuity, 1)
        [boundary] = self.segmentation.advance(video(3000))
        self.assertEqual((boundary.sequence, boundary.discontinuity), (2, 1))
        self.assertTrue(boundary.is_discontinuity)
        [boundary] = self.segmentation.advance(video(3040, key=True))
        self.assertFalse(boundary.is_discontinuity)

    def test_interrupt_before_the_first_cut(self) -> None:
        """The target duration is decided by what there is, the last frame included."""
        for seconds, target in ((1.0, 2), (5.0, 5), (5.3, 6), (11.0, 11)):
            segmentation = Segmentation(2.0, 0)
            self.cut(segmentation, gops(seconds))
            segmentation.interrupt()
            self.assertEqual(segmentation.target_duration, target)

    def test_other_leader(self) -> None:
        """After an interruption another track, in other units, may lead."""
        self.cut(self.segmentation, gops(2))
        self.segmentation.interrupt()
        samples = [audio(2000 + frame * 1024 / 48) for frame in range(200)]
        durations = self.durations(self.cut(self.segmentation, samples))
        self.assertEqual(len(durations), 2)
        for duration in durations:
            self.assertApproximates(duration, 2.0, 0.0107)


class InvariantTests(Case):
    """What holds for any stream."""

    def play(
        self, segmentation: Segmentation, steps: Sequence[tuple[int, bool, str]]
    ) -> tuple[list[Boundary], dict[int, int]]:
        """Advance by frames, with an event before each.

        Returns:
            The boundaries, and where segments ended that were interrupted, by their number.
        """
        boundaries: list[Boundary] = []
        ends: dict[int, int] = {}
        decided = segmentation.target_duration
        dts = last = 0
        for step, key, event in steps:
            dts += step
            if event == "interrupt" and segmentation.is_open:
                boundaries += segmentation.interrupt(last // 90)
                ends[boundaries[-1].sequence] = last
            if event == "others go on" and segmentation.is_open:
                boundaries += segmentation.interrupt(dts // 90)
                ends[boundaries[-1].sequence] = dts
            if event == "earlier" and not segmentation.is_open:
                segmentation.precede(Sample(VIDEO, max(last, dts - 3 * CLOCK), 0, True, True, b""))
            boundaries += segmentation.advance(Sample(VIDEO, dts, 0, key, key, b""))
            last = dts
            if decided is None:
                decided = segmentation.target_duration
            self.assertEqual(segmentation.target_duration, decided)
        return boundaries, ends

    @given(
        st.sampled_from((0.5, 1.0, 2.0, 2.3, 6.0, 15.0)),
        st.sampled_from((None, 6, 15)),
        st.lists(
            st.tuples(
                st.one_of(st.integers(1, 3000), st.sampled_from((90, 3000, 90_000, 450_000))),
                st.booleans(),
                st.sampled_from(("", "", "", "", "interrupt", "others go on", "earlier")),
            ),
            min_size=1,
            max_size=150,
        ),
    )
    @settings(max_examples=150, deadline=None)
    def test_invariants(
        self, setting: float, target: int | None, steps: Sequence[tuple[int, bool, str]]
    ) -> None:
        """Numbers rise by one, no segment is too long, and all is the same the next time."""
        if target is not None and target < setting:
            target = None
        segmentation = Segmentation(setting, 0, 0, target)
        boundaries, ends = self.play(segmentation, steps)
        self.times(boundaries)
        for before, after in pairwise(boundaries):
            end = ends.get(before.sequence, after.time)
            assert segmentation.target_duration is not None
            self.assertLess((end - before.time) / CLOCK, segmentation.target_duration + 0.5)
        self.assertEqual(self.play(Segmentation(setting, 0, 0, target), steps), (boundaries, ends))
