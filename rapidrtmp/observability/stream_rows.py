"""The metrics of streams: what comes in, who watches, and what is made of it."""

from rapidrtmp.observability.row import (
    Reading,
    Row,
    each_live,
    each_segmenting,
    each_stream,
    labelled,
    single,
)
from rapidrtmp.observability.snapshot import SegmentingOutput, Snapshot
from rapidrtmp.stream.lifecycle import StreamState
from rapidrtmp.stream.stream import Stream

KEY = ("stream_key",)

SIZE_BUCKETS = 10
"""Buckets of frame sizes: up to 1 KiB, 2 KiB, ... 512 KiB."""


def _frames(snapshot: Snapshot) -> list[Reading]:
    readings: list[Reading] = []
    for stream in snapshot.streams:
        readings.append(((stream.key, "video"), stream.statistics.video_frames))
        readings.append(((stream.key, "audio"), stream.statistics.audio_frames))
    return readings


def _dropped(snapshot: Snapshot) -> list[Reading]:
    return [
        ((stream.key, reason), frames)
        for stream in snapshot.streams
        for reason, frames in stream.statistics.dropped.items()
    ]


def _diagnoses(snapshot: Snapshot) -> list[Reading]:
    return [
        ((stream.key, found.id), 1.0)
        for stream in snapshot.streams
        if stream.publication is not None
        for found in stream.diagnoses.current
    ]


def _frame_sizes(snapshot: Snapshot) -> list[Reading]:
    totals = snapshot.totals
    return [
        (("video",), totals.video_sizes.folded(SIZE_BUCKETS)),
        (("audio",), totals.audio_sizes.folded(SIZE_BUCKETS)),
    ]


def _segment_age(snapshot: Snapshot, stream: Stream, output: SegmentingOutput) -> float:
    return max(0.0, snapshot.now - max(output.last_segment_at or 0.0, stream.live_since))


STREAMS = (
    Row(
        "rapidrtmp_active_streams",
        "gauge",
        single(lambda s: s.states[StreamState.LIVE.value]),
        "Streams that are live",
    ),
    Row(
        "rapidrtmp_total_streams",
        "unknown",
        single(lambda s: s.totals.streams_created),
        "Streams that ever were, counted once for each life (the name is historical: a counter)",
    ),
    Row(
        "rapidrtmp_streams_started_total",
        "counter",
        single(lambda s: s.totals.streams_created),
        "Streams that started; one that waits for its publisher is still the same stream",
    ),
    Row(
        "rapidrtmp_streams_stopped_total",
        "counter",
        single(lambda s: s.totals.streams_ended),
        "Streams that are over",
    ),
    Row(
        "rapidrtmp_stream_duration_seconds",
        "histogram",
        single(lambda s: s.totals.durations),
        "Time from the first media to the end of streams that are over",
    ),
    Row(
        "rapidrtmp_streams",
        "gauge",
        labelled(lambda s: s.states),
        "Streams that are not over, by state: idle ones wait for their publisher",
        ("state",),
    ),
    Row(
        "rapidrtmp_streams_limit",
        "gauge",
        single(lambda s: s.sources.manager.settings.max_streams),
        "Publishers that are let in at once (MAX_CONCURRENT_STREAMS)",
    ),
    Row(
        "rapidrtmp_publications_total",
        "counter",
        single(lambda s: s.totals.publishers),
        "Publishers that were let in, every reconnection counted",
    ),
    Row(
        "rapidrtmp_output_failures_total",
        "counter",
        single(lambda s: s.totals.output_failures),
        "Outputs of streams that failed and were taken off: see the log",
    ),
)

INGEST = (
    Row(
        "rapidrtmp_frames_received_total",
        "counter",
        _frames,
        "Frames received from publishers",
        ("stream_key", "type"),
    ),
    Row(
        "rapidrtmp_frames_dropped_total",
        "counter",
        _dropped,
        "Frames from publishers that could not be used",
        ("stream_key", "reason"),
    ),
    Row(
        "rapidrtmp_frame_size_bytes",
        "histogram",
        _frame_sizes,
        "Size of frames",
        ("type",),
    ),
    Row(
        "rapidrtmp_keyframes_total",
        "counter",
        single(lambda s: s.totals.keyframes_received),
        "Key frames received",
    ),
    Row(
        "rapidrtmp_media_bytes_received_total",
        "counter",
        single(lambda s: s.totals.bytes_received),
        "Bytes of all frames received",
    ),
    Row(
        "rapidrtmp_stream_live",
        "gauge",
        each_stream(lambda stream: float(stream.state is StreamState.LIVE)),
        "Whether the stream is live",
        KEY,
    ),
    Row(
        "rapidrtmp_stream_bytes_received_total",
        "counter",
        each_stream(lambda stream: stream.statistics.bytes_received),
        "Bytes of the stream's frames",
        KEY,
    ),
    Row(
        "rapidrtmp_stream_bitrate_bits_per_second",
        "gauge",
        each_live(lambda stream: stream.statistics.bitrate),
        "Bit rate that the publisher sends, over the last 10 s",
        KEY,
    ),
    Row(
        "rapidrtmp_stream_frame_rate",
        "gauge",
        each_live(lambda stream: stream.statistics.frame_rate),
        "Video frames a second, over the last 10 s",
        KEY,
    ),
    Row(
        "rapidrtmp_stream_keyframe_interval_seconds",
        "gauge",
        each_live(lambda stream: stream.statistics.keyframe_interval),
        "Time between the two newest key frames",
        KEY,
    ),
    Row(
        "rapidrtmp_stream_timestamp_jumps_total",
        "counter",
        each_stream(lambda stream: stream.statistics.jumps),
        "Jumps of the publisher's timestamps; each is a discontinuity to viewers",
        KEY,
    ),
    Row(
        "rapidrtmp_stream_publications_total",
        "counter",
        each_stream(lambda stream: stream.statistics.publishers),
        "Publishers of the stream, every reconnection counted",
        KEY,
    ),
    Row(
        "rapidrtmp_stream_diagnosis",
        "gauge",
        _diagnoses,
        "1 for each problem found with what the publisher sends; the API tells it in words",
        ("stream_key", "diagnosis"),
    ),
)

VIEWERS = (
    Row(
        "rapidrtmp_active_viewers",
        "gauge",
        single(lambda s: sum(stream.viewers for stream in s.streams)),
        "Viewers of all streams",
    ),
    Row(
        "rapidrtmp_total_viewers",
        "unknown",
        single(lambda s: s.totals.viewers),
        "Viewers that were ever let in (the name is historical: a counter)",
    ),
    Row(
        "rapidrtmp_viewer_sessions_total",
        "counter",
        single(lambda s: s.totals.viewers),
        "Viewer sessions that started",
    ),
    Row(
        "rapidrtmp_stream_viewers",
        "gauge",
        each_stream(lambda stream: stream.viewers),
        "Viewers of the stream",
        KEY,
    ),
    Row(
        "rapidrtmp_viewers_per_stream_limit",
        "gauge",
        single(lambda s: s.sources.manager.settings.max_viewers),
        "Viewers of one stream that are let in at once (MAX_VIEWERS_PER_STREAM)",
    ),
    Row(
        "rapidrtmp_subscriber_queue_bytes",
        "gauge",
        labelled(lambda s: {"http": sum(sending.left for sending in s.sources.site.sending)}),
        "Bytes that wait for viewers to take them",
        ("protocol",),
    ),
)

HLS = (
    Row(
        "rapidrtmp_segments_created_total",
        "counter",
        single(lambda s: s.sources.segments.segments_created),
        "Media segments made, of all tracks",
    ),
    Row(
        "rapidrtmp_segment_duration_seconds",
        "histogram",
        single(lambda s: s.sources.segments.segment_durations),
        "Duration of media segments",
    ),
    Row(
        "rapidrtmp_segment_size_bytes",
        "histogram",
        single(lambda s: s.sources.segments.segment_sizes),
        "Size of media segments",
    ),
    Row(
        "rapidrtmp_segments_listed_at_origin_total",
        "counter",
        single(lambda s: s.sources.segments.segments_listed_at_origin),
        "Segments that playlists name at this server because the CDN did not have them in time",
    ),
    Row(
        "rapidrtmp_ts_segments_created_total",
        "counter",
        single(lambda s: s.sources.segments.transport_segments_created),
        "MPEG-TS segments made of the others, each when it was asked for",
    ),
    Row(
        "rapidrtmp_stream_segment_age_seconds",
        "gauge",
        each_segmenting(_segment_age),
        "Time since the newest segment of a live stream was listed",
        KEY,
    ),
    Row(
        "rapidrtmp_stream_segment_lag_seconds",
        "gauge",
        each_segmenting(lambda _, __, output: output.segment_lag),
        "Time from the end of the newest segment's media to its listing",
        KEY,
    ),
    Row(
        "rapidrtmp_stream_dvr_seconds",
        "gauge",
        each_segmenting(lambda _, __, output: output.dvr_seconds),
        "How far back viewers of a live stream can go (DVR_WINDOW)",
        KEY,
    ),
    Row(
        "rapidrtmp_stream_dvr_bytes",
        "gauge",
        each_segmenting(lambda _, __, output: output.dvr_bytes),
        "What storage keeps of a live stream for that",
        KEY,
    ),
    Row(
        "rapidrtmp_playlist_requests_held",
        "gauge",
        single(lambda s: sum(output.held for _, output in s.segmenting)),
        "Playlist requests that wait for their segment",
    ),
)
