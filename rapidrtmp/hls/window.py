"""The window of segments that a live media playlist lists, and what is measured of it."""

from collections import deque
from typing import cast

from rapidrtmp.hls.segment import Rendition, Segment
from rapidrtmp.hls.segmenter import TrackSegmenter
from rapidrtmp.media.codec import VideoConfig

SHORT = 0.5
"""Seconds under which a segment is not measured."""


class RenditionWindow:
    """The segments of one rendition that its playlist lists."""

    def __init__(self, segmenter: TrackSegmenter) -> None:
        """Make an empty window of the rendition that a segmenter cuts."""
        self.segmenter = segmenter
        self.segments: deque[Segment] = deque()
        self.playlist_uri = f"{segmenter.name}.m3u8"
        """Of the media playlist, relative to the life."""
        self._forget_rates()

    def _forget_rates(self) -> None:
        self._peak = 0.0
        self._bits = 0
        self._seconds = 0.0
        self._is_rough = False
        self._frame_rate: float | None = None

    def continue_with(self, segmenter: TrackSegmenter) -> None:
        """Go on with another continuity, perhaps of another configuration."""
        if segmenter.track.config != self.segmenter.track.config:
            self._forget_rates()
        self.segmenter = segmenter

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
        segments.append(segment)
        while len(segments) > keep:
            leaving.append(segments.popleft())
        if not segment.is_gap:
            self._measure(segment)
        return leaving

    def _measure(self, segment: Segment) -> None:
        # A short segment, cut by an interruption, says little: it counts until there is another.
        is_short = segment.seconds < SHORT
        if is_short and self._peak:
            return
        if self._is_rough:
            self._forget_rates()
        self._is_rough = is_short
        bits = len(segment.body) * 8
        self._bits += bits
        self._seconds += segment.seconds
        self._peak = max(self._peak, bits / segment.seconds)
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
        )


def _in_steps(rate: float) -> int:
    """Round up, so that the playlist does not change with every segment."""
    return -int(-rate // 10_000) * 10_000
