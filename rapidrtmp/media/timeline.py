"""Time: from wrapping milliseconds to one continuous timeline of a stream's life.

`Unwrapper` and `AudioClock` turn an encoder's timestamps into 64-bit decoding
times; `Timeline` places the samples of successive publications, and of an encoder
that jumps in time, one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rapidrtmp.media.track import Sample

WRAP: Final = 1 << 32
HALF: Final = 1 << 31
NEGATIVE: Final = WRAP - 60_000
"""A first timestamp above this is a small negative one (OBS 30.2.1 and later start audio so)."""


class Unwrapper:
    """Makes 64-bit milliseconds of the 32-bit timestamps of one publication.

    One object serves all tracks: each value is read as the one nearest to the value
    before it, so the tracks agree in whatever order they cross 2^32.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: int | None = None

    def nearest(self, timestamp: int) -> int:
        """Return the 64-bit time in ms of a timestamp that says nothing of those to come."""
        last = self._last
        if last is None:
            return timestamp
        return last + (timestamp - last + HALF) % WRAP - HALF

    def unwrap(self, timestamp: int) -> int:
        """Return the 64-bit time in ms of a 32-bit timestamp in ms."""
        last = self._last
        if last is None:
            last = timestamp - WRAP if timestamp >= NEGATIVE else timestamp
        else:
            last += (timestamp - last + HALF) % WRAP - HALF
        self._last = last
        return last


class AudioClock:
    """Counts audio time in samples from an anchor, so that rounding to ms does not build up.

    The encoder's timestamps only steer it: a lasting deviation above `TOLERANCE` is slewed
    off by at most `SLEW` a frame; a deviation above `JUMP` is a gap or a jump and is taken
    as it is.
    """

    TOLERANCE: Final = 0.012
    """Seconds of mean deviation that are left alone: under a frame, inaudible."""
    SLEW: Final = 0.015
    """Seconds that one frame's duration is changed by at most."""
    JUMP: Final = 0.1
    """Seconds of deviation from which a timestamp is not jitter any more."""
    FRAMES: Final = 32
    """Frames over which the deviation is averaged: encoders jitter by a frame or so."""
    FRAME: Final = 0.02
    """Seconds that a frame is taken to last where nothing tells."""

    __slots__ = ("_deviation", "_frame", "_jump", "_next", "_slew", "_timescale", "_tolerance")

    def __init__(self, timescale: int, samples_per_frame: int) -> None:
        """Make a clock.

        Args:
            timescale: ticks/s, the sample rate.
            samples_per_frame: ticks in each frame; 0 where frames differ.
        """
        self._timescale = timescale
        self._tolerance = int(self.TOLERANCE * timescale)
        self._jump = int(self.JUMP * timescale)
        self._next: int | None = None
        self._deviation = 0.0
        self._set_frame(samples_per_frame or int(self.FRAME * timescale))

    def _set_frame(self, samples: int) -> None:
        self._frame = samples
        # at most half of it: times always grow
        self._slew = min(int(self.SLEW * self._timescale), samples // 2)

    def place(self, ms: int, samples: int = 0) -> int:
        """Return the decoding time in ticks of the next frame.

        Args:
            ms: the frame's timestamp, 64 bit.
            samples: ticks in this frame; 0 for as many as in the one before.
        """
        stamped = (ms * self._timescale + 500) // 1000
        dts = self._next
        if dts is None:
            dts = stamped
        else:
            deviation = stamped - dts
            if -self._jump <= deviation <= self._jump:
                self._deviation += (deviation - self._deviation) / self.FRAMES
                if not -self._tolerance <= self._deviation <= self._tolerance:
                    slew = max(-self._slew, min(self._slew, int(self._deviation)))
                    dts += slew
                    self._deviation -= slew
            else:
                dts = stamped
                self._deviation = 0.0
        if samples and samples != self._frame:
            self._set_frame(samples)
        self._next = dts + self._frame
        return dts


@dataclass(slots=True)
class _Position:
    """Where one track, which has a sample, is on the timeline, in its own ticks."""

    timescale: int
    longest_step: int
    duration: int
    """Of a sample: the newest step that was no gap."""
    skew_ms: int = 0
    """What the track is shifted by, besides the shift that all tracks have in common."""
    offset: int = 0
    last: int | None = None

    @property
    def end_ms(self) -> int:
        """The end of the last sample in ms, rounded up."""
        return -(-((self.last or 0) + self.duration) * 1000 // self.timescale)


class Timeline:
    """One monotonic timeline for a stream's whole life.

    A continuity (one publication, as a rule) is shifted as a whole so that it starts where
    the one before it ended; inside it, decoding times are kept as they were sent.
    """

    STEP_MS: Final = 5000
    """A step forward up to this is a gap that stays; a longer one is a jump."""
    BACK_MS: Final = 1000
    """A step back up to this is an encoder's slip and is held; a longer one is a jump."""

    def __init__(self) -> None:
        self._positions: dict[int, _Position] = {}
        self._start_ms = 0
        self._shift_ms = 0
        self.jumps = 0
        """Times that an encoder's clock jumped."""
        self.held = 0
        """Samples whose time did not grow: each was moved to one tick after the one before."""

    def begin(self, first: Sequence[Sample]) -> int:
        """Start a continuity.

        Args:
            first: its first samples, at least one; the earliest presentation or decoding
                time among them becomes the end of what was there before (0 at first).

        Returns:
            The time in ms at which it starts.
        """
        self._start_ms = self.end_ms
        self._shift_ms = self._start_ms - min(
            (sample.dts + min(0, sample.composition_offset)) * 1000 // sample.track.timescale
            for sample in first
        )
        self._positions.clear()
        return self._start_ms

    @property
    def end_ms(self) -> int:
        """Where the timeline has come to, in ms: the end of its latest sample."""
        return max([self._start_ms, *(position.end_ms for position in self._positions.values())])

    def ends_ms(self) -> dict[int, int]:
        """Return where each track of the continuity has come to, in ms, by track id."""
        return {track_id: position.end_ms for track_id, position in self._positions.items()}

    def place_metadata(self, ms: int) -> int:
        """Return the time in ms on the timeline of what a publisher says besides the media.

        Where its time has nothing to do with the media's, it is taken to happen now.

        Args:
            ms: the publisher's, unwrapped.
        """
        now = self.end_ms
        place = ms + self._shift_ms
        return max(place, self._start_ms) if abs(place - now) <= self.STEP_MS else now

    def place(self, sample: Sample) -> bool:
        """Give a sample its time on the timeline, in place.

        Returns:
            Whether the encoder's clock jumped before this sample: the timeline goes on, but
            the stream has a discontinuity here.
        """
        position = self._positions.get(sample.track.track_id)
        if position is None or position.timescale != sample.track.timescale:
            position = self._enter(sample, position)
        dts = sample.dts + position.offset
        last = position.last
        jumped = False
        if last is not None:
            step = dts - last
            if not 0 < step <= position.longest_step:
                step, jumped = self._join(position, sample)
                dts = last + step
            if step <= position.timescale:
                position.duration = step
        position.last = sample.dts = dts
        return jumped

    def _enter(self, sample: Sample, before: _Position | None) -> _Position:
        """Make the position of a track's first sample, or of a changed timescale."""
        timescale = sample.track.timescale
        position = _Position(
            timescale, self.STEP_MS * timescale // 1000, sample.track.nominal_duration
        )
        if before is None:
            place = sample.dts * 1000 // timescale + self._shift_ms
            present = self.end_ms
            if abs(place - present) > self.STEP_MS:
                # Its clock is not the other tracks': it starts when it arrives.
                position.skew_ms = present - place
            elif place < self._start_ms:
                # A late track from before the common origin: it starts with the continuity.
                position.skew_ms = self._start_ms - place
        else:
            assert before.last is not None
            position.skew_ms = before.skew_ms
            position.last = before.last * timescale // before.timescale
            position.duration = before.duration * timescale // before.timescale
        position.offset = self._offset(position)
        self._positions[sample.track.track_id] = position
        return position

    def _offset(self, position: _Position) -> int:
        return (self._shift_ms + position.skew_ms) * position.timescale // 1000

    def _join(self, position: _Position, sample: Sample) -> tuple[int, bool]:
        """Find the step to a sample that does not follow its predecessor."""
        last = position.last
        assert last is not None
        timescale = position.timescale
        longest_back = self.BACK_MS * timescale // 1000
        jumped = False
        if not -longest_back <= sample.dts + position.offset - last <= position.longest_step:
            # Another track may have met the same jump before: stay in step with it.
            position.offset = self._offset(position)
            dts = sample.dts + position.offset
            if not (
                -longest_back <= dts - last <= position.longest_step
                or (dts > last and self._comes_back(dts, position))
            ):
                self.jumps += 1
                jumped = True
                self._shift_ms = self.end_ms - sample.dts * 1000 // timescale - position.skew_ms
                position.offset = self._offset(position)
        step = sample.dts + position.offset - last
        if step <= 0:
            self.held += 1
            step = 1
        return step, jumped

    def _comes_back(self, dts: int, position: _Position) -> bool:
        """Tell whether a track was only silent while others went on, and joins them again."""
        place = dts * 1000 // position.timescale
        return any(
            abs(place - other.end_ms) <= self.STEP_MS
            for other in self._positions.values()
            if other is not position
        )
