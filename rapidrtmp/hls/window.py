"""The window of segments that a live media playlist lists, and what is measured of it."""

from collections import deque
from collections.abc import Sequence
from typing import cast

from rapidrtmp.hls.low_latency import Position
from rapidrtmp.hls.playlist import SegmentTexts
from rapidrtmp.hls.segment import Part, Rendition, Segment
from rapidrtmp.hls.track_segmenter import TrackSegmenter
from rapidrtmp.media.codec import VideoConfig
from rapidrtmp.media.track import Track

SHORT = 0.5
"""Seconds under which a segment is not measured."""


class RenditionWindow:
    """The segments of one rendition that its playlists list."""

    def __init__(self, segmenter: TrackSegmenter, base: str) -> None:
        """Make an empty window.

        Args:
            segmenter: cuts the rendition.
            base: as of `SegmentTexts`.
        """
        self.segmenter = segmenter
        self.texts = SegmentTexts(base)
        """What is said of the segments."""
        self.segments: deque[Segment] = deque()
        self.parts: list[Part] = []
        """Of the segment that follows them, as far as they are complete."""
        self.size = 0
        """Bytes of the segments and parts."""
        self.playlist_uri = f"{segmenter.name}.m3u8"
        """Of the media playlist, relative to the life."""
        self.tracks: dict[str, Track] = {segmenter.init_uri: segmenter.track}
        """What the segments are made of, by their `map_uri`."""
        self.i_frame_uri = f"{segmenter.name}-iframes.m3u8"
        """Of the I-frame playlist, where there is one, relative to the life."""
        self._listed = -1  # Media Sequence Number
        self._forget_rates()

    def _forget_rates(self) -> None:
        self._peak = 0.0
        self._i_frame_peak = 0.0
        self._i_frame_bits = 0
        self._bits = 0
        self._seconds = 0.0
        self._is_rough = False
        self._frame_rate: float | None = None

    def continue_with(self, segmenter: TrackSegmenter) -> None:
        """Go on with another continuity, perhaps of another configuration."""
        if segmenter.track.config != self.segmenter.track.config:
            self._forget_rates()
        # What was seen once may come again.
        segmenter.captions = self.segmenter.captions
        self.segmenter = segmenter
        self.tracks[segmenter.init_uri] = segmenter.track

    @property
    def next_part(self) -> Position:
        """The part that will be complete next, as far as can be told."""
        if self.parts:
            return self.parts[-1].sequence, self.parts[-1].index + 1
        return (self.segments[-1].sequence + 1 if self.segments else 0), 0

    @property
    def last_part(self) -> Position:
        """The newest complete part; a segment without parts, and -1, where that is newer."""
        if self.parts:
            return self.parts[-1].sequence, self.parts[-1].index
        newest = self.segments[-1]
        return newest.sequence, len(newest.parts) - 1 if newest.is_parted else -1

    def segment(self, sequence: int) -> Segment | None:
        """Find a complete segment."""
        back = self.segments[-1].sequence - sequence if self.segments else -1
        return self.segments[-1 - back] if 0 <= back < len(self.segments) else None

    def part(self, position: Position) -> Part | None:
        """Find a complete part."""
        sequence, index = position
        parts: Sequence[Part] = ()
        if self.parts and sequence == self.parts[0].sequence:
            parts = self.parts
        elif (segment := self.segment(sequence)) is not None:
            parts = segment.parts
        return parts[index] if index < len(parts) else None

    @property
    def listed(self) -> Sequence[Segment]:
        """The segments whose address for viewers is decided."""
        if not self.segments or self._listed >= self.segments[-1].sequence:
            return self.segments
        return [segment for segment in self.segments if segment.sequence <= self._listed]

    @property
    def seconds(self) -> float:
        """How long all segments last."""
        return sum(segment.seconds for segment in self.segments)

    @property
    def listed_seconds(self) -> float:
        """How long the listed ones last."""
        return sum(segment.seconds for segment in self.listed)

    def mark_listed(self, segment: Segment) -> None:
        """Decide the address for viewers of a segment that was added: its `url`."""
        self._listed = segment.sequence
        if segment.url and self.segments:
            back = self.segments[-1].sequence - segment.sequence
            if back < len(self.segments):
                self.segments[-1 - back] = segment

    def add(self, part: Part) -> bool:
        """Add a part of the segment that is not complete yet.

        Returns:
            Whether it can be listed: not where the track was away and its numbers have a hole.
        """
        if self.segments and self.segments[-1].sequence + 1 == part.sequence:
            self.parts.append(part)
            self.size += len(part.body)
            return True
        return False

    def append(self, segment: Segment, keep: int) -> list[Segment]:
        """Add a segment.

        Args:
            segment: the newest one.
            keep: how many the playlist lists.

        Returns:
            Those that leave the window.
        """
        leaving: list[Segment] = []
        segments = self.segments
        if segments and segments[-1].sequence + 1 != segment.sequence:
            # The track was away: a playlist's numbers have no holes.
            leaving.extend(segments)
            segments.clear()
        self.size += segment.size - sum(len(part.body) for part in self.parts)
        self.parts = []
        segments.append(segment)
        while len(segments) > keep:
            leaving.append(segments.popleft())
        self._left(leaving)
        if not segment.is_gap:
            self._measure(segment)
        return leaving

    def shorten(self, keep: int, seconds: float) -> list[Segment]:
        """Let go of the oldest segments.

        Args:
            keep: how many to keep at least.
            seconds: for which those that are listed last at least (RFC 8216 section 6.2.2).

        Returns:
            Those that leave the window.
        """
        left = self.listed_seconds
        leaving: list[Segment] = []
        while len(self.segments) > keep and left - self.segments[0].seconds >= seconds:
            leaving.append(self.segments.popleft())
            left -= leaving[-1].seconds
        self._left(leaving)
        return leaving

    def clear(self) -> None:
        """Let go of everything."""
        self.segments.clear()
        self.parts = []
        self.size = 0

    def _left(self, leaving: Sequence[Segment]) -> None:
        """Forget what is known of segments that left a window which is not empty."""
        if not leaving:
            return
        self.size -= sum(segment.size for segment in leaving)
        self.texts.forget(self.segments[0].sequence)
        if len(self.tracks) > 1:
            used = {self.segmenter.init_uri, *(segment.map_uri for segment in self.segments)}
            self.tracks = {uri: track for uri, track in self.tracks.items() if uri in used}

    def _measure(self, segment: Segment) -> None:
        # A short segment, cut by an interruption, says little: it counts until there is another.
        is_short = segment.seconds < SHORT
        if is_short and self._peak:
            return
        if self._is_rough:
            self._forget_rates()
        self._is_rough = is_short
        bits = segment.size * 8
        self._bits += bits
        self._seconds += segment.seconds
        self._peak = max(self._peak, bits / segment.seconds)
        i_frame_bits = segment.i_frame_size * 8
        self._i_frame_bits += i_frame_bits
        self._i_frame_peak = max(self._i_frame_peak, i_frame_bits / segment.seconds)
        if self.segmenter.track.kind == "video" and self._frame_rate is None:
            measured = segment.samples / segment.seconds
            stated = cast(VideoConfig, self.segmenter.track.config).frame_rate
            # Timestamps in ms make 29.97 frames/s of 30000/1001: the codec knows better.
            is_near = stated is not None and abs(stated - measured) < 0.02 * measured
            self._frame_rate = stated if is_near else measured

    def rendition(self, life: str) -> Rendition:
        """Describe the rendition for the multivariant playlist of a life."""
        track = self.segmenter.track
        return Rendition(
            track,
            f"{life}/{self.playlist_uri}",
            _in_steps(self._peak),
            _in_steps(self._bits / self._seconds) if self._seconds else 0,
            self._frame_rate,
            f"{life}/{self.i_frame_uri}",
            _in_steps(self._i_frame_peak),
            _in_steps(self._i_frame_bits / self._seconds) if self._seconds else 0,
        )


def _in_steps(rate: float) -> int:
    """Round up, so that the playlist does not change with every segment."""
    return -int(-rate // 10_000) * 10_000
