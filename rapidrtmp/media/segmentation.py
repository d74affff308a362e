"""Where a stream is cut into segments: a pure function of its samples and the settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from rapidrtmp.media.track import Sample

CLOCK: Final = 90_000
"""Ticks/s of `Boundary.time`."""
LONGEST_LAST: Final = 0.25
"""Seconds that a sample lasts at most where nothing follows: nobody knows how long."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """Where the stream is cut: an event of the stream, the same for every output."""

    sequence: int
    """Media Sequence Number of the segment that starts here."""
    time: int
    """Presentation time at which it starts, in ticks of 1/90000 s on the stream's timeline."""
    wall: float
    """The same moment by the wall clock (unix time): PROGRAM-DATE-TIME."""
    discontinuity: int
    """Number of discontinuities in the stream's life before this segment's first sample."""
    is_discontinuity: bool
    """This segment does not continue the one before it."""
    part_target: float = 0.0
    """Seconds that a Partial Segment of this segment lasts at most; 0 for none."""


FEW_FRAMES = 5
"""Frames that tell too little of a frame rate when there are fewer."""
LONGEST_FRAME = 0.1
"""Seconds between frames above which a stream has no Partial Segments: low latency is not
to be had of it."""
PART_MARGIN = 0.001
"""Seconds by which parts of the same number of frames differ: encoders count in ms."""
PART_SLACK = 1.15
"""PART-TARGET by the usual duration of a part: room for a frame that lasts longer than was
expected of it. A usual part must have 85 % of the target (RFC 8216bis 4.4.3.7)."""


def part_target(setting: float, frame: float, others: Sequence[float]) -> float:
    """Return PART-TARGET for parts of as many whole frames as make the setting or just above.

    Args:
        setting: seconds that a part is to last; 0 for no parts.
        frame: seconds from frame to frame of the leading track.
        others: the same of the other tracks whose frames are of equal length.

    Returns:
        Seconds, whole ms; 0 when the stream cannot be cut so.
    """
    longest = max(others, default=0.0)
    if not setting or not 0 < frame <= LONGEST_FRAME or longest > setting:
        return 0.0
    # a little less than a whole frame is the measuring
    usual = max(1, ceil(setting / frame - 0.05)) * frame + PART_MARGIN
    return ceil(usual * PART_SLACK * 1000) / 1000


class Segmentation:
    """Cuts the leading track (video, where there is any) and numbers the segments.

    A segment starts at a random access point once the one before is as long as the setting.
    Where random access points are further apart than the target duration allows, it is cut
    softly, at any sample or, where samples are too far apart, between them: long segments
    would break the promise of EXT-X-TARGETDURATION (RFC 8216 4.3.3.1), which stands for the
    whole life of the stream.
    """

    LONGEST_FIRST: Final = 12.0
    """Seconds that the first segment may last: it decides the target duration.

    OBS leaves its keyframe interval to the encoder by default: 8.3 to 10 s.
    """
    LARGEST: Final = 64 * 1024 * 1024
    """Bytes of the leading track in one segment: bounds memory whatever the encoder does."""
    SAMPLE_SIZE: Final = 256
    """Bytes that a sample counts for besides its payload, or tiny ones would have no bound."""
    MARGIN: Final = 0.13
    """Seconds by which the other tracks' segments may be longer: they are cut at the nearest
    frame, and an AAC frame lasts 128 ms at most."""

    def __init__(
        self,
        segment_duration: float,
        sequence: int,
        discontinuity: int = 0,
        target_duration: int | None = None,
        *,
        part_duration: float = 0.0,
        part_target: float | None = None,
    ) -> None:
        """Start, or go on with, a life.

        Args:
            segment_duration: seconds that a segment lasts at least.
            sequence: the first Media Sequence Number.
            discontinuity: discontinuities so far.
            target_duration: EXT-X-TARGETDURATION in seconds, when it was decided before.
            part_duration: seconds that a Partial Segment is to last at least; 0 for none.
            part_target: PART-TARGET in seconds, when it was decided before.
        """
        self._setting = segment_duration
        self._part_setting = part_duration
        self.sequence = sequence
        """Media Sequence Number of the next segment."""
        self.discontinuity = discontinuity
        """Discontinuities so far, a pending one included."""
        self.target_duration = target_duration
        """EXT-X-TARGETDURATION in seconds; None until the first segment is complete."""
        self.part_target = part_target
        """PART-TARGET in seconds, 0 for no parts; None until the first segment, which is only then
        cut into parts, is complete."""
        self.other_frames: Sequence[float] = ()
        """Seconds that a frame of each other track lasts, where all last as long. The owner
        sets it."""
        self.is_open = False
        """Whether the leading track has a sample in this continuity."""
        self._is_discontinuity = False
        self._is_soft = False
        self._anchor_time = 0
        self._anchor_wall = 0.0
        self._origin: int | None = None
        # Decoding times and durations in ticks of the leading track.
        self._timescale = 1
        self._shift = 0
        self._start = self._last = 0
        self._shortest = self._longest = 0
        self._bytes = 0
        self._first = 0
        self._frames = 0
        self._nominal = 0.0

    def anchor(self, ms: int, wall: float) -> None:
        """Tie the timeline to the wall clock, at the start of each continuity.

        Args:
            ms: time on the stream's timeline.
            wall: unix time of the same moment.
        """
        self._anchor_time = ms * CLOCK // 1000
        self._anchor_wall = wall

    def wall(self, time: int) -> float:
        """Return the unix time of a presentation time, in ticks of `CLOCK`."""
        return self._anchor_wall + (time - self._anchor_time) / CLOCK

    def time(self, wall: float) -> int:
        """Return the presentation time of a unix time: the inverse of `wall`, from 0 on."""
        return max(0, self._anchor_time + round((wall - self._anchor_wall) * CLOCK))

    def precede(self, sample: Sample) -> None:
        """Take a sample of another track while `is_open` is False.

        The first segment is as long as the track that starts first.
        """
        if self._origin is None:
            time = sample.dts + sample.composition_offset
            self._origin = time * CLOCK // sample.track.timescale

    def advance(self, sample: Sample) -> Sequence[Boundary]:
        """Take the next sample of the leading track; return the boundaries before it, if any.

        As a rule none or one, and the sample is the first of its segment. After a gap that
        no segment may span there can be more: the sample lies behind the last of them.
        """
        if not self.is_open:
            return self._begin(sample)
        dts = sample.dts
        elapsed = dts - self._start
        if elapsed > self._longest:
            boundaries = self._cut_until(dts)
            self._last = dts
            self._bytes = len(sample.payload) + self.SAMPLE_SIZE
            self._is_soft = not sample.is_random_access
            return boundaries
        step = dts - self._last
        self._last = dts
        self._frames += 1
        self._bytes += len(sample.payload) + self.SAMPLE_SIZE
        if self._bytes <= self.LARGEST:
            if not sample.is_random_access:
                if elapsed + step <= self._longest:
                    return ()
            # Half a sample of tolerance: timestamps in ms make 2 s of frames 1.999 s.
            elif elapsed + (step >> 1) < self._shortest and not self._is_soft:
                return ()
        self._is_soft = not sample.is_random_access
        self._bytes = len(sample.payload) + self.SAMPLE_SIZE
        self._decide_target(elapsed)
        return (self._cut(dts),)

    def interrupt(self, ms: int = 0) -> Sequence[Boundary]:
        """End the open segment; what comes next does not continue it.

        Args:
            ms: where the tracks have come to on the stream's timeline.

        Returns:
            The boundaries that are due before: the other tracks may have gone on for long
            without the leading one.
        """
        boundaries: Sequence[Boundary] = ()
        if self.is_open:
            end = ms * self._timescale // 1000 - self._shift
            boundaries = self._cut_until(end)
            end = max(end, self._last + int(LONGEST_LAST * self._timescale))
            self._decide_target(end - self._start)
            self.is_open = False
        self._origin = None
        if not self._is_discontinuity:
            self._is_discontinuity = True
            self.discontinuity += 1
        return boundaries

    def _begin(self, sample: Sample) -> Sequence[Boundary]:
        """Open a continuity. The units of the leading track may have changed."""
        dts = sample.dts
        self._timescale = timescale = sample.track.timescale
        self._nominal = sample.track.nominal_duration / timescale
        self._first = dts
        self._frames = 1
        self._shift = sample.composition_offset
        self._shortest = int(self._setting * timescale)
        self._set_longest()
        # Other tracks have no reordering delay: theirs may be the first to be presented.
        start = dts - max(0, self._shift)
        if self._origin is not None:
            start = min(start, self._origin * timescale // CLOCK - self._shift)
        self.is_open = True
        self._origin = None
        self._last = start
        boundaries = [self._cut(start), *self._cut_until(dts)]
        self._last = dts
        self._bytes = len(sample.payload) + self.SAMPLE_SIZE
        self._is_soft = not sample.is_random_access
        return boundaries

    def _set_longest(self) -> None:
        # EXTINF is compared with the target duration after rounding to the nearest second.
        if self.target_duration is None:
            seconds = max(self.LONGEST_FIRST, self._setting)
        else:
            seconds = self.target_duration + 0.5 - self.MARGIN
        self._longest = int(seconds * self._timescale)

    def _decide_target(self, elapsed: int) -> None:
        """Fix the target duration when the first segment is complete."""
        if self.target_duration is None:
            longest = max(self._setting, elapsed / self._timescale)
            self.target_duration = int(longest + 0.5 + self.MARGIN) or 1
            self._set_longest()
        if self.part_target is None:
            frame = self._nominal
            if self._frames >= FEW_FRAMES:
                frame = (self._last - self._first) / (self._frames - 1) / self._timescale
            self.part_target = part_target(self._part_setting, frame, self.other_frames)

    def _cut_until(self, dts: int) -> list[Boundary]:
        """Cut where the leading track has no sample, so that no segment is too long."""
        boundaries = []
        if dts - self._start > self._longest:
            self._decide_target(self._last - self._start)
        while dts - self._start > self._longest:
            boundaries.append(self._cut(self._start + self._longest))
        return boundaries

    def _cut(self, start: int) -> Boundary:
        self._start = start
        time = (start + self._shift) * CLOCK // self._timescale
        boundary = Boundary(
            self.sequence,
            time,
            self.wall(time),
            self.discontinuity,
            self._is_discontinuity,
            self.part_target or 0.0,
        )
        self.sequence += 1
        self._is_discontinuity = False
        return boundary
