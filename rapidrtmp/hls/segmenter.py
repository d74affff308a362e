"""Collects a stream's samples into Media Segments, one rendition a track."""

import hashlib
from collections import deque
from collections.abc import Sequence

from rapidrtmp.hls.segment import Segment
from rapidrtmp.isobmff.fragment import media_segment
from rapidrtmp.isobmff.movie import init_segment
from rapidrtmp.media.segmentation import CLOCK, LONGEST_LAST, Boundary
from rapidrtmp.media.track import Sample, Track

HOLE = 0.09
"""Seconds without a sample that a segment may take along past its cut: its EXTINF is then that of
its samples. Longer holes end it at the cut, so that EXT-X-TARGETDURATION holds."""
LATE = 3 * CLOCK
"""How long a track may lag behind a cut before its segment is closed without waiting."""


class TrackSegmenter:
    """Cuts one track where the stream is cut.

    The leading track is cut exactly at the sample that a boundary announces; another one at
    its sample nearest to the boundary's time, which may have come already or come later.
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
        self._samples: list[Sample] = []
        self._open: Boundary | None = None
        # Boundaries to come, each with the index of its first sample where that is known.
        self._pending: deque[tuple[Boundary, int | None]] = deque()
        # Decoding time at which the open segment starts; None before the first is complete.
        self._start: int | None = None
        # Presentation time minus decoding time of the continuity's first sample, in ticks.
        self._shift = 0

    def segment_started(self, boundary: Boundary) -> list[Segment]:
        """Learn a boundary; return the segments that it completes."""
        if self._open is None:
            self._open = boundary
            return []
        self._pending.append((boundary, len(self._samples) if self._leads else None))
        if self._leads:
            return []
        segments = self._close_passed()
        while self._pending and boundary.time - self._pending[0][0].time > LATE:
            segments.append(self._close(len(self._samples)))
        return segments

    def write(self, sample: Sample) -> list[Segment]:
        """Take a sample; return the segments that it completes, as a rule none."""
        self._samples.append(sample)
        return self._close_passed() if self._pending else []

    def flush(self) -> list[Segment]:
        """Close everything: the continuity is over. Keeps the tracks' numbers in lock step."""
        segments = []
        while self._open is not None:
            segments.append(self._close(len(self._samples)))
        return segments

    def _close_passed(self) -> list[Segment]:
        """Close the segments whose end has come."""
        segments: list[Segment] = []
        while self._pending:
            boundary, index = self._pending[0]
            if index is None:
                index = self._first_after(boundary)
            if index is None or index >= len(self._samples):
                break
            segments.append(self._close(index))
        return segments

    def _first_after(self, boundary: Boundary) -> int | None:
        """The index of the first sample nearer to a boundary's time than the one before it."""
        limit = self._decoding_time(boundary) - self.track.nominal_duration // 2
        samples = self._samples
        if not samples or samples[-1].dts < limit:
            return None
        return next(index for index, sample in enumerate(samples) if sample.dts >= limit)

    def _decoding_time(self, boundary: Boundary) -> int:
        """The place of a boundary in this track, in ticks."""
        return boundary.time * self.track.timescale // CLOCK - self._shift

    def _close(self, count: int) -> Segment:
        """Make the open segment of the first `count` samples and open the next boundary's.

        It lasts up to the next segment's first sample or, where there is none near the
        boundary, up to the boundary itself.
        """
        boundary = self._open
        assert boundary is not None
        following = self._pending.popleft()[0] if self._pending else None
        self._open = following
        self._pending = deque(
            (later, None if index is None else index - count) for later, index in self._pending
        )
        start = self._start
        if start is None and self._samples:
            self._shift = self._samples[0].composition_offset
        samples, self._samples = self._samples[:count], self._samples[count:]
        if start is None:
            start = samples[0].dts if samples else self._decoding_time(boundary)
        after = self._samples[0].dts if self._samples else None

        end = self._end(samples, start) if after is None or not samples else after
        stop = end
        if following is not None:
            due = self._decoding_time(following)
            if not samples or after is None or abs(after - due) > self._hole:
                stop = due
        stop = max(stop, start + 1)
        self._start = None if following is None else stop
        return self._segment(boundary, start, stop - start, end, samples)

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
            samples: none make a gap.
        """
        track = self.track
        shown = (start + self._shift) / track.timescale
        return Segment(
            sequence=boundary.sequence,
            uri=f"{self.name}/{boundary.sequence}.m4s",
            map_uri=self.init_uri,
            start=start,
            duration=duration,
            timescale=track.timescale,
            wall=boundary.wall + shown - boundary.time / CLOCK,
            discontinuity=boundary.discontinuity,
            is_discontinuity=boundary.is_discontinuity,
            is_independent=bool(samples) and samples[0].is_sync,
            body=media_segment(track, boundary.sequence, samples, end) if samples else b"",
            samples=len(samples),
        )


class Segmenter:
    """The segmenters of all tracks of one continuity. The first track leads."""

    def __init__(self, tracks: Sequence[Track]) -> None:
        """Start with the tracks in order, the leading one first."""
        self.tracks = {
            track.track_id: TrackSegmenter(track, leads=track is tracks[0]) for track in tracks
        }

    def segment_started(self, boundary: Boundary) -> list[tuple[Track, Segment]]:
        """Learn a boundary; return the segments that it completes."""
        return [
            (segmenter.track, segment)
            for segmenter in self.tracks.values()
            for segment in segmenter.segment_started(boundary)
        ]

    def write(self, sample: Sample) -> list[Segment]:
        """Take a sample; return its track's segments that it completes, as a rule none."""
        return self.tracks[sample.track.track_id].write(sample)

    def flush(self) -> list[tuple[Track, Segment]]:
        """End the continuity; return the last segments."""
        return [
            (segmenter.track, segment)
            for segmenter in self.tracks.values()
            for segment in segmenter.flush()
        ]
