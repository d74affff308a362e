"""Collects a stream's samples into Media Segments and their parts, one rendition a track."""

from collections.abc import Sequence

from rapidrtmp.hls.segment import Part, Segment
from rapidrtmp.hls.track_segmenter import TrackSegmenter
from rapidrtmp.isobmff.event import MAX_DURATION, UNKNOWN_DURATION, event_message
from rapidrtmp.media.segmentation import CLOCK, Boundary
from rapidrtmp.media.timed import EventMessage
from rapidrtmp.media.track import Sample, Track

Done = tuple[Track, Part | Segment]
"""What is complete. The last part of a segment comes with the segment alone."""


class Segmenter:
    """The segmenters of the tracks of one continuity. The first track leads."""

    def __init__(self, tracks: Sequence[Track]) -> None:
        """Start with the tracks in order, the leading one first.

        Those that CMAF has no place for are left out.
        """
        self._leading = tracks[0]
        self.tracks = {
            track.track_id: TrackSegmenter(track, leads=track is tracks[0])
            for track in tracks
            if track.config.has_sample_entry
        }
        self._followers = [
            segmenter for segmenter in self.tracks.values() if segmenter.track is not self._leading
        ]
        self._shift: int | None = None

    def segment_started(self, boundary: Boundary) -> list[Done]:
        """Learn a boundary; return what it completes."""
        return [
            (segmenter.track, done)
            for segmenter in self.tracks.values()
            for done in segmenter.segment_started(boundary)
        ]

    def write(self, sample: Sample) -> Sequence[Done]:
        """Take a sample; return what it completes, as a rule nothing. The hot path."""
        track = sample.track
        segmenter = self.tracks.get(track.track_id)
        if segmenter is None:
            return ()
        done = segmenter.write(sample)
        if track is not self._leading:
            return [(track, one) for one in done] if done else ()
        if self._shift is None:
            self._shift = sample.composition_offset
        all_done: Sequence[Done] = [(track, one) for one in done] if done else ()
        time = (sample.dts + self._shift) * CLOCK // track.timescale
        for follower in self._followers:
            settled = follower.settle(time)
            if settled:
                all_done = [*all_done, *((follower.track, one) for one in settled)]
        return all_done

    def add_message(self, message: EventMessage, time: int, number: int) -> None:
        """Put a message for the players into the leading track, or the first one that is here.

        Args:
            message: the message.
            time: at which it happens, in ticks of CLOCK.
            number: names it.
        """
        carrier = next(iter(self.tracks.values()), None)
        if carrier is None:
            return
        timescale = carrier.track.timescale
        duration = UNKNOWN_DURATION
        if message.duration is not None:
            duration = min(int(message.duration * timescale), MAX_DURATION)
        box = event_message(
            message.scheme,
            message.value,
            timescale=timescale,
            presentation_time=time * timescale // CLOCK,
            duration=duration,
            number=number & 0xFFFFFFFF,
            data=message.data,
        )
        carrier.add_message(box)

    def flush(self) -> list[Done]:
        """End the continuity; return the last parts and segments."""
        return [
            (segmenter.track, done)
            for segmenter in self.tracks.values()
            for done in segmenter.flush()
        ]
