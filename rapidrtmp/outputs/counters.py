"""What all HLS outputs of the process did, counted for metrics."""

from rapidrtmp.histogram import Histogram
from rapidrtmp.hls.segment import Segment

DURATIONS = (1, 2, 3, 4, 5, 10)
"""Seconds."""
SIZES = tuple(10240 * 2**k for k in range(10))
"""Bytes."""


class HLSCounters:
    """Plain counters; those of streams that are over included. Gaps count for nothing."""

    def __init__(self) -> None:
        self.segments_created = 0
        self.segment_durations = Histogram(DURATIONS)
        self.segment_sizes = Histogram(SIZES)
        self.segments_listed_at_origin = 0
        """Segments whose URL elsewhere was not there in time."""
        self.transport_segments_created = 0
        """MPEG-TS segments, made when they were asked for."""

    def add(self, segment: Segment) -> None:
        """Count a complete segment."""
        self.segments_created += 1
        self.segment_durations.observe(segment.seconds)
        self.segment_sizes.observe(segment.size)
