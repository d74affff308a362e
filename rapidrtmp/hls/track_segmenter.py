"""Collects the samples of one track into Media Segments and their parts."""

import hashlib
from collections import deque

from rapidrtmp.hls.segment import Part, Segment
from rapidrtmp.isobmff.fragment import chunk, media_segment
from rapidrtmp.isobmff.movie import init_segment
from rapidrtmp.media.captions import CaptionServices
from rapidrtmp.media.segmentation import CLOCK, LONGEST_LAST, PART_SLACK, Boundary
from rapidrtmp.media.track import Sample, Track

HOLE = 0.09
"""Seconds without a sample that a segment may take along past its cut: its EXTINF is then that of
its samples. Longer holes end it at the cut, so that EXT-X-TARGETDURATION holds."""
NEAR = 0.06
"""Seconds from a cut within which another video track is cut at its key frame. Twice that is in
`Segmentation.MARGIN`."""
MAX_PARTS = 1024
"""Sequence numbers of fragments that each segment has, which is more than a segment of any
length has parts: the same segment is numbered alike wherever it is made."""
MAX_MESSAGES = 256 * 1024
"""Bytes of event messages that wait for a sample."""
LATE = 3 * CLOCK
"""How long a track may lag behind a cut before its segment is closed without waiting."""


class TrackSegmenter:
    """Cuts one track where the stream is cut.

    The leading track is cut exactly at the sample that a boundary announces; another one at
    its sample nearest to the boundary's time, which may have come already or come later.
    Video is cut at a key frame if there is one near.

    A part is complete when the next sample would make it too long. Of a track that does not
    lead it must also be sure that no boundary will come inside it.
    """

    def __init__(self, track: Track, *, leads: bool) -> None:
        self.track = track
        self.name = f"{track.kind}{track.track_id}"
        """Names the rendition in URLs."""
        self.init = init_segment(track)
        """The Media Initialization Section."""
        self.init_uri = f"{self.name}/init-{hashlib.sha256(self.init).hexdigest()[:8]}.mp4"
        """Relative to the media playlist, as all URIs."""
        self._leads = leads
        # Ticks from which a step over a cut is a hole, and not the cut's distance to a sample.
        self._hole = max(track.nominal_duration, int(HOLE * track.timescale))
        # Ticks before a boundary from which on a sample may be on either side of it.
        self._margin = track.nominal_duration // 2
        if track.kind == "video":
            self._margin = int(NEAR * track.timescale)
        self._samples: list[Sample] = []
        self._open: Boundary | None = None
        # Boundaries to come, each with the index of its first sample where that is known.
        self._pending: deque[tuple[Boundary, int | None]] = deque()
        # Decoding time at which the open segment starts; None before the first is complete.
        self._start: int | None = None
        # Presentation time minus decoding time of the continuity's first sample, in ticks.
        self._shift = 0
        # Of the open segment: the longest part in ticks, 0 for none (any more), and those that
        # are complete.
        self._longest = 0
        self._usual = 0  # ticks that a part has as long as frames last what is expected of them
        self._parts: list[Part] = []
        self._count = 0  # of their samples
        # Decoding time at which the open part starts; None before its first sample.
        self._part_start: int | None = None
        # Presentation time up to which no boundary will come, in ticks of CLOCK.
        self._settled = 0
        # Event messages for the next fragment, and their bytes.
        self._messages: list[bytes] = []
        self._messages_size = 0
        # Bytes of the open segment up to the end of its first sample, if that is a sync sample.
        self._i_frame_size = 0
        self.captions = CaptionServices()
        """What was seen in the video."""
        self.waits = False
        """Whether a part waits for the leading track."""

    def segment_started(self, boundary: Boundary) -> list[Part | Segment]:
        """Learn a boundary; return what it completes."""
        if self._open is None:
            self._opened(boundary)
            return []
        self._pending.append((boundary, len(self._samples) if self._leads else None))
        if self._leads:
            return []
        self._settled = boundary.time
        done = self._close_passed()
        while self._pending and boundary.time - self._pending[0][0].time > LATE:
            done += self._close(len(self._samples))
        return done

    def write(self, sample: Sample) -> list[Part | Segment]:
        """Take a sample; return what it completes, as a rule nothing. The hot path."""
        samples = self._samples
        samples.append(sample)
        if self._pending:
            return self._close_passed()
        if self._longest:
            dts = sample.dts
            # as long as it is expected to be
            end = 2 * dts - samples[-2].dts if len(samples) > 1 else dts
            if self._part_start is None:
                self._part_start = dts if self._start is None else self._start
            if end - self._part_start > self._usual:
                return self._close_parts()
        return []

    def add_message(self, message: bytes) -> None:
        """Put an event message before the next fragment; where too much waits, leave it out."""
        if self._messages_size + len(message) <= MAX_MESSAGES:
            self._messages.append(message)
            self._messages_size += len(message)

    def settle(self, time: int) -> list[Part | Segment]:
        """Learn how far the leading track has come; return the parts that waited for that.

        Args:
            time: presentation time up to which no boundary will come, in ticks of CLOCK.
        """
        self._settled = time
        return self._close_parts() if self.waits else []

    def flush(self) -> list[Part | Segment]:
        """Close everything: the continuity is over. Keeps the tracks' numbers in lock step."""
        done: list[Part | Segment] = []
        while self._open is not None:
            done += self._close(len(self._samples))
        return done

    # Segments.

    def _close_passed(self) -> list[Part | Segment]:
        """Close the segments whose end has come."""
        done: list[Part | Segment] = []
        while self._pending:
            boundary, index = self._pending[0]
            if index is None:
                index = self._first_after(boundary)
            if index is None or index >= len(self._samples):
                break
            done += self._close(index)
        return done + self._close_parts()

    def _first_after(self, boundary: Boundary) -> int | None:
        """The index of the sample that starts a boundary's segment; None while it may come."""
        samples = self._samples
        self._note_shift()
        due = self._decoding_time(boundary)
        near = int(NEAR * self.track.timescale)
        if not samples or samples[-1].dts < due - near:
            return None
        if self.track.kind == "video":
            for index, sample in enumerate(samples):
                if sample.dts > due + near:
                    break
                if sample.is_random_access and sample.dts >= due - near:
                    return index
            else:
                return None
        # The first one nearer to the boundary's time than the one before it.
        limit = due - self.track.nominal_duration // 2
        if samples[-1].dts < limit:
            return None
        return next(index for index, sample in enumerate(samples) if sample.dts >= limit)

    def _decoding_time(self, boundary: Boundary) -> int:
        """The place of a boundary in this track, in ticks."""
        return boundary.time * self.track.timescale // CLOCK - self._shift

    def _close(self, count: int) -> list[Part | Segment]:
        """Make the open segment of the first `count` samples and open the next boundary's.

        It lasts up to the next segment's first sample, or to the end of its own last one,
        or, where neither is near the boundary, up to the boundary itself.
        """
        boundary = self._open
        assert boundary is not None
        done: list[Part | Segment] = []
        if self._pending and not boundary.part_target:
            # The first segment of a life, in which the target was measured, has parts as well.
            self._set_part_target(self._pending[0][0].part_target)
        # What waited for the leading track may be more than one part.
        while (index := self._full(count)) is not None:
            done.append(self._complete_part(index))
            count -= index
        following = self._pending.popleft()[0] if self._pending else None
        self._taken(count)
        start = self._start
        self._note_shift()
        samples, self._samples = self._samples[:count], self._samples[count:]
        if start is None:
            start = samples[0].dts if samples else self._decoding_time(boundary)
        after = self._samples[0].dts if self._samples else None

        end = self._end(samples, start) if after is None or not samples else after
        stop = end
        if following is not None:
            due = self._decoding_time(following)
            # where the track fell silent at the cut, its last sample's end tells as well
            if not samples or abs((end if after is None else after) - due) > self._hole:
                stop = due
        if self._parts and not samples:
            assert self._part_start is not None
            stop = self._part_start
        stop = max(stop, start + 1)
        if samples and (self._longest or self._parts):
            part = self._part(samples, stop, end)
            self._parts.append(part)
            if part.duration > self._longest:
                self._longest = 0
        done.append(self._segment(boundary, start, stop - start, end, samples))
        self._open = None
        self._start = self._part_start = None
        self._parts = []
        if following is not None:
            self._opened(following)
            self._start = self._part_start = stop
        return done

    def _taken(self, count: int) -> None:
        """Count the samples of boundaries to come from later on."""
        if self._pending:
            self._pending = deque(
                (later, None if index is None else index - count) for later, index in self._pending
            )

    def _opened(self, boundary: Boundary) -> None:
        """Begin a segment."""
        self._open = boundary
        self._set_part_target(boundary.part_target)
        self._count = 0
        self._i_frame_size = 0
        if self._samples:
            self._part_start = self._samples[0].dts

    def _set_part_target(self, seconds: float) -> None:
        self._longest = int(seconds * self.track.timescale)
        self._usual = int(seconds / PART_SLACK * self.track.timescale)

    def _note_shift(self) -> None:
        if self._start is None and self._samples:
            self._shift = self._samples[0].composition_offset

    def _end(self, samples: list[Sample], start: int) -> int:
        """The end of the last sample, if any, when nothing follows it."""
        track = self.track
        if not samples:
            return start + track.nominal_duration
        duration = track.nominal_duration
        if track.kind == "video" and len(samples) >= 2:
            duration = samples[-1].dts - samples[-2].dts
        return samples[-1].dts + min(duration, int(LONGEST_LAST * track.timescale))

    def _segment(
        self, boundary: Boundary, start: int, duration: int, end: int, samples: list[Sample]
    ) -> Segment:
        """Make a segment.

        Args:
            boundary: where it starts.
            start: in ticks.
            duration: in the playlist, in ticks.
            end: of the last sample, in ticks.
            samples: those that are in no part yet; none and no parts make a gap.
        """
        track = self.track
        parts = self._parts
        pieces = tuple(part.body for part in parts)
        is_independent = bool(samples) and samples[0].is_sync
        time = (samples[0].dts if samples else start) + self._shift
        if parts:
            is_independent = parts[0].is_independent
            time = parts[0].earliest_presentation_time
        elif samples:
            pieces = (self._fragment(_number(boundary, 0), samples, end, is_first=True),)
        return Segment(
            sequence=boundary.sequence,
            uri=f"{self.name}/{boundary.sequence}.m4s",
            map_uri=self.init_uri,
            start=start,
            duration=duration,
            timescale=track.timescale,
            wall=self._wall(boundary, start),
            discontinuity=boundary.discontinuity,
            is_discontinuity=boundary.is_discontinuity,
            is_independent=is_independent,
            pieces=pieces,
            samples=self._count + len(samples),
            parts=parts,
            is_parted=bool(parts and self._longest),
            earliest_presentation_time=time,
            end_presentation_time=start + duration + self._shift,
            i_frame_size=self._i_frame_size,
        )

    def _wall(self, boundary: Boundary, start: int) -> float:
        """Return the unix time at which the open segment, which starts at a tick, starts."""
        return boundary.wall + (start + self._shift) / self.track.timescale - boundary.time / CLOCK

    # Parts.

    def _close_parts(self) -> list[Part | Segment]:
        """Complete the parts that are as long as they may be."""
        done: list[Part | Segment] = []
        self.waits = False
        while (index := self._full(len(self._samples))) is not None:
            if not self._leads and self._samples[index - 1].dts >= self._limit():
                self.waits = True
                break
            done.append(self._complete_part(index))
        return done

    def _full(self, count: int) -> int | None:
        """Find the sample before which the open part is as long as it may be.

        Where one sample lasts longer than a part may, the rest of the segment gets no parts.

        Args:
            count: how many samples may be looked at.
        """
        samples = self._samples
        if not self._longest or not samples:
            return None
        start = samples[0].dts if self._part_start is None else self._part_start
        for index in range(1, min(count + 1, len(samples))):
            dts = samples[index].dts
            if dts > start + self._longest:  # the one before lasts longer than was expected of it
                if index > 1:
                    return index - 1
                if index < count:
                    self._longest = 0
                return None
            if index < count and 2 * dts - samples[index - 1].dts > start + self._usual:
                return index
        return None

    def _limit(self) -> int:
        """Return the decoding time from which on samples may be the next segment's, in ticks."""
        self._note_shift()
        time = self._pending[0][0].time if self._pending else self._settled
        return time * self.track.timescale // CLOCK - self._shift - self._margin

    def _complete_part(self, count: int) -> Part:
        """Make a part of the first `count` samples, which others follow."""
        self._note_shift()
        self._taken(count)
        samples, self._samples = self._samples[:count], self._samples[count:]
        after = self._samples[0].dts
        if self._start is None:
            self._start = samples[0].dts
        part = self._part(samples, after, after)
        self._parts.append(part)
        self._count += count
        self._part_start = after
        return part

    def _part(self, samples: list[Sample], stop: int, end: int) -> Part:
        """Make a part.

        Args:
            samples: at least one.
            stop: where the next one starts, in ticks.
            end: of the last sample, in ticks.
        """
        boundary = self._open
        assert boundary is not None
        index = len(self._parts)
        first = samples[0].dts
        start = self._part_start if self._part_start is not None else first
        number = _number(boundary, index)
        return Part(
            sequence=boundary.sequence,
            index=index,
            uri=part_uri(self.name, boundary.sequence, index),
            map_uri=self.init_uri,
            duration=stop - start,
            timescale=self.track.timescale,
            wall=self._wall(boundary, first if self._start is None else self._start),
            is_discontinuity=boundary.is_discontinuity,
            is_independent=samples[0].is_sync,
            body=self._fragment(number, samples, end, is_first=not index),
            earliest_presentation_time=(
                self._parts[0].earliest_presentation_time if index else first + self._shift
            ),
        )

    def _fragment(self, number: int, samples: list[Sample], end: int, *, is_first: bool) -> bytes:
        """Write samples, and the event messages that wait.

        Args:
            number: of the fragment.
            samples: at least one.
            end: of the last one, in ticks.
            is_first: whether it begins the segment.
        """
        messages, self._messages = self._messages, []
        self._messages_size = 0
        make = media_segment if is_first else chunk
        body = make(self.track, number, samples, end, messages)
        if is_first and samples[0].is_sync and self.track.kind == "video":
            self._i_frame_size = len(body) - sum(len(sample.payload) for sample in samples[1:])
        self.captions.look(samples)
        return body


def part_uri(name: str, sequence: int, index: int) -> str:
    """Name a part of a rendition, relative to the stream's life."""
    return f"{name}/{sequence}.{index}.m4s"


def _number(boundary: Boundary, index: int) -> int:
    """Number a fragment: rising, and the same wherever it is made."""
    return (boundary.sequence * MAX_PARTS + index) & 0xFFFFFFFF
