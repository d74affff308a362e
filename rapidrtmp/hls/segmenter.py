"""Collects a stream's samples into Media Segments, one rendition a track."""

import hashlib
from collections import deque
from collections.abc import Sequence

from rapidrtmp.hls.segment import Segment
from rapidrtmp.isobmff.fragment import media_segment
from rapidrtmp.isobmff.movie import init_segment
from rapidrtmp.media.segmentation import CLOCK, Boundary
from rapidrtmp.media.track import Sample, Track

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
        self._samples: list[Sample] = []
        self._open: Boundary | None = None
        # Boundaries to come, each with the index of its first sample where that is known.
        self._pending: deque[tuple[Boundary, int | None]] = deque()

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
            segments.append(self._close(len(self._samples), None))
        return segments

    def write(self, sample: Sample) -> list[Segment]:
        """Take a sample; return the segments that it completes, as a rule none."""
        self._samples.append(sample)
        return self._close_passed() if self._pending else []

    def flush(self) -> list[Segment]:
        """Close everything: the continuity is over. Keeps the tracks' numbers in lock step."""
        segments = []
        while self._pending:
            # The last samples are spread over what is open, so that no number stays empty.
            count = max(0, len(self._samples) - len(self._pending))
            end = self._samples[count].dts if count < len(self._samples) else None
            segments.append(self._close(count, end))
        if self._open is not None:
            segments.append(self._close(len(self._samples), None))
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
            segments.append(self._close(index, self._samples[index].dts))
        return segments

    def _first_after(self, boundary: Boundary) -> int | None:
        """The index of the first sample nearer to a boundary's time than the one before it."""
        scale = self.track.timescale
        limit = boundary.time * scale // CLOCK
        samples = self._samples
        if not samples or samples[-1].dts < limit - self._nominal() // 2:
            return None
        limit -= self._nominal() // 2
        return next(index for index, sample in enumerate(samples) if sample.dts >= limit)

    def _nominal(self) -> int:
        """The duration that is taken for a sample without a successor, in ticks."""
        samples = self._samples
        if len(samples) >= 2:
            return samples[-1].dts - samples[-2].dts
        return getattr(self.track.config, "samples_per_frame", self.track.timescale // 30)

    def _close(self, count: int, end: int | None) -> Segment:
        """Make the open segment of the first `count` samples and open the next boundary's.

        Args:
            count: how many of the collected samples belong to it.
            end: decoding time of the sample that follows; None where none does.
        """
        boundary = self._open
        assert boundary is not None
        following = self._pending.popleft()[0] if self._pending else None
        self._open = following
        self._pending = deque(
            (later, None if index is None else index - count) for later, index in self._pending
        )
        samples, self._samples = self._samples[:count], self._samples[count:]
        track = self.track
        if not samples:
            start = boundary.time * track.timescale // CLOCK
            end = start if following is None else following.time * track.timescale // CLOCK
            return self._segment(boundary, start, max(end - start, self._nominal()), b"", [])
        last = samples[-1].dts
        if end is None or (following is not None and following.is_discontinuity):
            step = last - samples[-2].dts if len(samples) >= 2 else self._nominal()
            end = last + step
        body = media_segment(track, boundary.sequence, samples, end)
        return self._segment(boundary, samples[0].dts, end - samples[0].dts, body, samples)

    def _segment(
        self, boundary: Boundary, start: int, duration: int, body: bytes, samples: list[Sample]
    ) -> Segment:
        shown = start + samples[0].composition_offset if samples else start
        return Segment(
            sequence=boundary.sequence,
            uri=f"{self.name}/{boundary.sequence}.m4s",
            map_uri=self.init_uri,
            start=start,
            duration=duration,
            timescale=self.track.timescale,
            wall=boundary.wall + shown / self.track.timescale - boundary.time / CLOCK,
            discontinuity=boundary.discontinuity,
            is_discontinuity=boundary.is_discontinuity,
            is_independent=bool(samples) and samples[0].is_sync,
            body=body,
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
