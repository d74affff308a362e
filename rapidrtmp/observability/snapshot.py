"""What the streams are at the moment of a scrape, and what all of them ever did."""

from typing import Protocol, cast

from rapidrtmp.observability.sources import Sources
from rapidrtmp.stream.lifecycle import StreamState
from rapidrtmp.stream.statistics import Totals
from rapidrtmp.stream.stream import Stream


class SegmentingOutput(Protocol):
    """An output that makes segments (`outputs.hls.HLSOutput`)."""

    held: int
    last_segment_at: float | None
    segment_lag: float | None
    dvr_seconds: float
    dvr_bytes: int


class Snapshot:
    """Taken once for all metrics of a scrape."""

    def __init__(self, sources: Sources, now: float) -> None:
        """Look at everything.

        Args:
            sources: where to look.
            now: unix time.
        """
        manager = sources.manager
        self.sources = sources
        self.now = now
        self.streams = manager.streams()
        """Those that are not over: as many as MAX_CONCURRENT_STREAMS, and those in their grace."""
        self.totals = _sum(manager.totals, self.streams)
        """Of all streams that ever were."""
        self.states = {state.value: 0 for state in StreamState if state is not StreamState.STOPPED}
        for stream in self.streams:
            self.states[stream.state.value] += 1
        self.segmenting = [
            (stream, cast(SegmentingOutput, output))
            for stream in self.streams
            for output in stream.outputs
            if hasattr(output, "segment_lag")
        ]
        """The outputs that make segments, each with its stream."""


def _sum(over: Totals, streams: list[Stream]) -> Totals:
    """Add what live streams counted to what those did that are over."""
    totals = Totals()
    totals.streams_created = over.streams_created
    totals.streams_ended = over.streams_ended
    totals.durations = over.durations
    totals.refusals = over.refusals
    totals.bytes_received = over.bytes_received
    totals.keyframes_received = over.keyframes_received
    totals.publishers = over.publishers
    totals.output_failures = over.output_failures
    totals.viewers = over.viewers
    totals.video_sizes.merge(over.video_sizes)
    totals.audio_sizes.merge(over.audio_sizes)
    for stream in streams:
        statistics = stream.statistics
        totals.bytes_received += statistics.bytes_received
        totals.keyframes_received += statistics.keyframes_received
        totals.publishers += statistics.publishers
        totals.output_failures += statistics.output_failures
        totals.viewers += stream.viewer_count.total
        totals.video_sizes.merge(statistics.video_sizes)
        totals.audio_sizes.merge(statistics.audio_sizes)
    return totals
