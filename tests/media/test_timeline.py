"""Tests of rapidrtmp.media.timeline."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.media.timeline import WRAP, AudioClock, Timeline, Unwrapper
from rapidrtmp.media.track import AUDIO_TRACK_ID, Sample, Track
from tests.isobmff.fakes import AUDIO, VIDEO, FakeAudioConfig
from tests.media.samples import audio, milliseconds, video

AUDIO_44100 = Track(AUDIO_TRACK_ID, FakeAudioConfig(sample_rate=44100, timescale=44100))
HOUR = 3_600_000


class UnwrapperTests(SynchronousTestCase):
    def unwrap(self, timestamps: Iterable[int]) -> list[int]:
        """Unwrap timestamps of any size, as a wire of 32 bits carries them."""
        unwrapper = Unwrapper()
        return [unwrapper.unwrap(timestamp % WRAP) for timestamp in timestamps]

    def test_wraps(self) -> None:
        """Nothing happens at 2^24 and 2^31, and at 2^32 time goes on."""
        for limit in (1 << 24, 1 << 31, WRAP, 3 * WRAP):
            times = list(range(limit - 70_000, limit + 70_000, 20))
            base = times[0] - times[0] % WRAP
            self.assertEqual(self.unwrap(times), [time - base for time in times])

    def test_tracks_cross_in_any_order(self) -> None:
        """Audio and video wrap one before the other, each goes back and forth over 2^32."""
        for skew in (-40, 40):
            times = [WRAP - 70_000]
            for time in range(WRAP - 200, WRAP + 200, 20):
                times += [time, time + skew]
            self.assertEqual(self.unwrap(times), times)

    def test_small_negative_start(self) -> None:
        """Audio in front of video that starts at 0 has small negative times, whoever is first."""
        self.assertEqual(self.unwrap([-32, 0, -11, 10]), [-32, 0, -11, 10])
        self.assertEqual(self.unwrap([0, -32, 40, -11]), [0, -32, 40, -11])

    def test_large_start(self) -> None:
        """A first timestamp in the upper half is not negative unless it is by under a minute."""
        self.assertEqual(self.unwrap([1 << 31]), [1 << 31])
        self.assertEqual(self.unwrap([WRAP - 60_001]), [WRAP - 60_001])
        self.assertEqual(self.unwrap([WRAP - 60_000]), [-60_000])

    @given(
        st.integers(0, WRAP - 60_001),
        st.lists(st.integers(0, (1 << 31) - 1), max_size=50),
    )
    @settings(max_examples=100, deadline=None)
    def test_recovered(self, time: int, steps: Sequence[int]) -> None:
        """Any series with steps below 2^31 is recovered from its 32 bit image."""
        times = [time]
        for step in steps:
            times.append(times[-1] + step)
        self.assertEqual(self.unwrap(times), times)


class AudioClockTests(SynchronousTestCase):
    def place(self, stamps: Iterable[int], rate: int = 48000, frame: int = 1024) -> list[int]:
        """Place frames; their times must grow."""
        clock = AudioClock(rate, frame)
        times = [clock.place(stamp) for stamp in stamps]
        for before, after in pairwise(times):
            self.assertLess(before, after)
        return times

    def stamps(self, count: int, rate: int = 48000, start: int = 0) -> list[int]:
        """Stamp frames of 1024 samples in ms as an encoder does."""
        return [start + frame * 1024 * 1000 // rate for frame in range(count)]

    def test_rounding_does_not_build_up(self) -> None:
        """21, 21, 22 ms are 1024 samples each, from the anchor on."""
        times = self.place(self.stamps(10_000, start=500))
        self.assertEqual(times, [24_000 + 1024 * frame for frame in range(10_000)])

    def test_six_hours(self) -> None:
        """44.1 kHz does not drift from its stamps in six hours."""
        stamps = self.stamps(6 * 3600 * 44100 // 1024, 44100)
        times = self.place(stamps, 44100)
        worst = max(
            abs(time * 1000 / 44100 - stamp) for time, stamp in zip(times, stamps, strict=True)
        )
        self.assertLessEqual(worst, 1.1)
        self.assertEqual({after - before for before, after in pairwise(times)}, {1024})

    def test_lost_frame(self) -> None:
        """One lost frame is slewed off, in steps of 15 ms at most, up to the tolerance."""
        stamps = self.stamps(1000)
        del stamps[100]
        times = self.place(stamps)
        deviation = stamps[-1] * 48 - times[-1]
        self.assertLessEqual(abs(deviation), 48 * 13)
        steps = [after - before for before, after in pairwise(times)]
        self.assertLessEqual(max(steps), 1024 + 48 * 15)

    def test_gap(self) -> None:
        """A gap of a second is taken as it is, exactly."""
        stamps = self.stamps(100) + self.stamps(100, start=100 * 1024 // 48 + 1000)
        times = self.place(stamps)
        self.assertEqual(times[100], stamps[100] * 48)
        self.assertEqual(times[-1] - times[100], 99 * 1024)

    def test_drift(self) -> None:
        """A clock that is 1 % off is followed, for ten minutes, without a jump."""
        for factor in (0.99, 1.01):
            stamps = [round(stamp * factor) for stamp in self.stamps(HOUR // 6 // 21)]
            times = self.place(stamps)
            worst = max(abs(time / 48 - stamp) for time, stamp in zip(times, stamps, strict=True))
            self.assertLess(worst, 30)
            for before, after in pairwise(times):
                self.assertLessEqual(abs(after - before - 1024), 48 * 15)

    @given(st.lists(st.integers(-20, 20), min_size=100, max_size=400))
    @settings(max_examples=50, deadline=None)
    def test_jitter(self, jitter: Sequence[int]) -> None:
        """Any jitter keeps times growing, and near the stamps."""
        stamps = [
            stamp + late for stamp, late in zip(self.stamps(len(jitter)), jitter, strict=True)
        ]
        times = self.place(stamps)
        for time, stamp in zip(times, stamps, strict=True):
            self.assertLessEqual(abs(time - stamp * 48), 48 * 60)

    def test_alternating_jitter(self) -> None:
        """Regular jitter changes no duration, once the anchor's own jitter is made good."""
        stamps = [
            stamp + (20 if frame % 2 else -20) for frame, stamp in enumerate(self.stamps(2000))
        ]
        times = self.place(stamps)
        steps = [after - before for before, after in pairwise(times)]
        self.assertLessEqual(sum(step != 1024 for step in steps), 2)
        self.assertEqual(set(steps[100:]), {1024})

    def test_frames_differ(self) -> None:
        """Frames of different lengths follow each other without a gap, whatever the stamps."""
        frames = [120, 5760, 960, 960, 2880, 480] * 500
        clock = AudioClock(48000, 0)
        due = 24_000
        for samples in frames:
            self.assertEqual(clock.place(due // 48, samples), due)
            due += samples

    def test_frame_sizes_of_a_constant_clock(self) -> None:
        """Telling the size of frames that are all the same changes nothing."""
        stamps = self.stamps(2000)
        del stamps[700:702]
        clock = AudioClock(48000, 1024)
        self.assertEqual([clock.place(stamp, 1024) for stamp in stamps], self.place(stamps))

    def test_unknown_frame(self) -> None:
        """A frame that tells nothing lasts as long as the one before it, the first 20 ms."""
        clock = AudioClock(48000, 0)
        times = [clock.place(0), clock.place(20), clock.place(40, 2880), clock.place(100)]
        self.assertEqual(times, [0, 960, 1920, 4800])
        self.assertEqual(clock.place(160), 7680)

    @given(
        st.lists(
            st.tuples(st.sampled_from([1, 16, 120, 480, 960, 4608, 5760]), st.integers(-20, 20)),
            max_size=300,
        )
    )
    @settings(max_examples=50, deadline=None)
    def test_frames_differ_and_jitter(self, frames: Sequence[tuple[int, int]]) -> None:
        """Times grow by at least half of each frame, and stay near the stamps."""
        clock = AudioClock(48000, 0)
        due, least = 0, None
        for samples, late in frames:
            time = clock.place(due // 48 + late, samples)
            if least is not None:
                self.assertGreaterEqual(time, least)
            self.assertLessEqual(abs(time - due), 48 * 60)
            least = time + samples - samples // 2
            due += samples

    def test_back(self) -> None:
        """A jump back is taken as it is: the timeline decides."""
        clock = AudioClock(48000, 1024)
        self.assertEqual(clock.place(10_000), 480_000)
        self.assertEqual(clock.place(2_000), 96_000)
        self.assertEqual(clock.place(2_021), 97_024)


class TimelineTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a timeline."""
        self.timeline = Timeline()

    def begin(self, *samples: Sample) -> float:
        """Start a continuity with samples, and place them."""
        start = self.timeline.begin(samples)
        for sample in samples:
            self.assertFalse(self.timeline.place(sample))
        return start

    def place(self, sample: Sample) -> float:
        """Place a sample that does not jump; return its time in ms."""
        self.assertFalse(self.timeline.place(sample))
        return milliseconds(sample)

    def jump(self, sample: Sample) -> float:
        """Place a sample that jumps; return its time in ms."""
        self.assertTrue(self.timeline.place(sample))
        return milliseconds(sample)

    def play(self, start: float, end: float, skew: float = 0) -> None:
        """Place audio and video from `start` to `end`, both at `start` first."""
        for number in range(round((end - start) / 20)):
            self.place(video(start + 20 * number))
            self.place(audio(start + 20 * number + skew))

    def test_origin(self) -> None:
        """The earliest sample is put at 0 and the offset between the tracks stays."""
        first, second = video(70_040, offset_ms=80), audio(70_000)
        self.assertEqual(self.begin(first, second), 0)
        self.assertEqual(first.dts, 40 * 90)
        self.assertEqual(second.dts, 0)

    def test_negative_start(self) -> None:
        """Neither a decoding nor a presentation time gets negative."""
        first, second = video(0, offset_ms=-40), audio(-21)
        self.begin(first, second)
        self.assertEqual(first.dts + first.composition_offset, 0)
        self.assertApproximates(milliseconds(second), 19, 0.1)

    def test_continues_where_the_former_ended(self) -> None:
        """A reconnect starts at the end of the longest track, and keeps the offset."""
        self.begin(video(0), audio(5))
        self.play(40, 1000, skew=7)
        self.assertEqual(self.timeline.end_ms, 1007)
        first, second = video(500_030), audio(500_000)
        self.assertEqual(self.begin(first, second), 1007)
        self.assertApproximates(milliseconds(second), 1007, 0.1)
        self.assertApproximates(milliseconds(first), 1037, 0.1)

    def test_one_sample(self) -> None:
        """A continuity of one sample has a length, too."""
        self.begin(video(0))
        second = video(0)
        self.begin(second)
        self.assertGreater(second.dts, 0)

    def test_gap_stays(self) -> None:
        """A step of 3 s is a gap."""
        self.begin(video(0), audio(0))
        self.assertEqual(self.place(video(3000)), 3000)
        self.assertEqual(self.place(audio(3000)), 3000)
        self.assertEqual((self.timeline.jumps, self.timeline.held), (0, 0))

    def test_jumps_are_joined(self) -> None:
        """Longer steps either way are one jump for both tracks, whichever comes first."""
        for distance in (10_000, HOUR, (1 << 31) - 5000, -10_000, -2000):
            for video_first in (True, False):
                with self.subTest(distance=distance, video_first=video_first):
                    self.timeline = Timeline()
                    start = 5 * HOUR
                    self.begin(video(start), audio(start + 10))
                    self.play(start + 20, start + 1000, skew=10)
                    end = self.timeline.end_ms
                    now = start + 1000 + distance
                    if video_first:
                        first = self.jump(video(now))
                        second = self.place(audio(now + 10))
                        self.assertApproximates(second - first, 10, 0.1)
                    else:
                        second = self.jump(audio(now + 10))
                        # the video is 10 ms before, which is still after its last frame
                        first = self.place(video(now))
                        self.assertApproximates(second - first, 10, 0.1)
                    joined = first if video_first else second
                    self.assertApproximates(joined, end, 0.1)
                    self.play(now + 20, now + 1000, skew=10)
                    self.assertEqual(self.timeline.jumps, 1)
                    self.assertEqual(self.timeline.held, 0)

    def test_stragglers(self) -> None:
        """A track may go on in the old time for a while when the other jumped."""
        self.begin(video(0), audio(0))
        self.place(video(40))
        end = self.jump(video(60_000))
        self.assertEqual(self.place(audio(21)), 21)
        self.assertApproximates(self.place(audio(60_000)), end, 0.1)
        self.assertEqual(self.timeline.jumps, 1)

    def test_silent_track_comes_back(self) -> None:
        """A track that was silent for long while the other went on is still in step with it."""
        for silent, other in ((audio, video), (video, audio)):
            with self.subTest(silent=silent.__name__):
                self.timeline = Timeline()
                self.begin(video(0), audio(0))
                for time in range(20, 30_000, 20):
                    self.place(other(time))
                self.assertEqual(self.place(silent(30_000)), 30_000)
                self.assertEqual(self.place(other(30_000)), 30_000)
                self.assertEqual(self.timeline.jumps, 0)

    def test_slips_are_held(self) -> None:
        """A step back up to a second moves a sample to one tick after the one before."""
        self.begin(video(0))
        for number, back in enumerate((0, 1, 40, 999), 1):
            sample = video(1000 * number)
            self.place(sample)
            slipped = video(1000 * number - back)
            self.place(slipped)
            self.assertEqual(slipped.dts, sample.dts + 1)
            self.assertEqual(self.timeline.held, number)
        self.assertEqual(self.timeline.jumps, 0)

    def test_clocks_apart(self) -> None:
        """A track whose clock is an hour away starts when it arrives, and stays in step."""
        for distance in (HOUR, -HOUR):
            with self.subTest(distance=distance):
                self.timeline = Timeline()
                self.begin(video(2 * HOUR), audio(2 * HOUR + distance))
                self.assertLess(self.timeline.end_ms, 100)
                apart = self.place(audio(2 * HOUR + distance + 40)) - self.place(
                    video(2 * HOUR + 40)
                )
                self.assertLess(abs(apart), 100)
                end = self.jump(video(9 * HOUR))
                again = self.place(audio(9 * HOUR + distance)) - end
                self.assertApproximates(again, apart, 0.1)
                self.assertEqual(self.timeline.jumps, 1)

    def test_late_track_from_before_the_origin(self) -> None:
        """A late track starts in its continuity, never before it: times would go back."""
        self.begin(video(0))
        self.play(20, 1000)
        start = self.begin(video(5000))
        self.assertEqual(self.place(audio(4000)), start)

    def test_late_track(self) -> None:
        """A late track on the same clock keeps its time."""
        self.begin(video(0))
        for time in range(20, 30_000, 20):
            self.place(video(time))
        self.assertEqual(self.place(audio(29_990)), 29_990)

    def test_timescale_change(self) -> None:
        """A track goes on where it was, in other units."""
        self.begin(video(0), audio(0))
        self.play(20, 1000)
        sample = audio(1000, track=AUDIO_44100)
        self.place(sample)
        self.assertEqual(sample.dts, 44_100)
        sample = audio(990, track=AUDIO_44100)
        self.place(sample)
        self.assertEqual(sample.dts, 44_101)

    @given(
        st.lists(
            st.tuples(
                st.sampled_from((VIDEO, AUDIO, AUDIO_44100)),
                st.one_of(
                    st.integers(-200, 200),
                    st.sampled_from((-5001, -1000, 4999, 5001, HOUR, -HOUR, 1 << 31)),
                ),
                st.integers(-100, 100),
                st.booleans(),
            ),
            min_size=1,
            max_size=60,
        )
    )
    @example([(VIDEO, 0, 0, False), (VIDEO, 0, 0, True), (VIDEO, 0, 0, True)])
    @settings(max_examples=200, deadline=None)
    def test_monotone(self, steps: Sequence[tuple[Track, int, int, bool]]) -> None:
        """Whatever comes, each track's times grow and are never negative."""
        timeline = Timeline()
        last: dict[int, Sample] = {}
        time = 0
        for number, (track, step, offset, reconnect) in enumerate(steps):
            time += step
            dts = time * track.timescale // 1000
            sample = Sample(track, dts, offset * track.timescale // 1000, True, True, b"")
            if reconnect or not number:
                timeline.begin([sample])
            timeline.place(sample)
            before = last.get(track.track_id)
            if before is None:
                self.assertGreaterEqual(sample.dts, 0)
            elif before.track is track:
                self.assertGreater(sample.dts, before.dts)
            else:
                # a tick may be lost by rounding
                self.assertGreater(milliseconds(sample), milliseconds(before) - 0.03)
            last[track.track_id] = sample
