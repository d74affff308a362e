"""The metrics of the server as a whole: storage, connections, requests, the process."""

import platform

import twisted
from rapidrtmp import __version__
from rapidrtmp.observability.disk import Usage
from rapidrtmp.observability.row import Reading, Row, labelled, single
from rapidrtmp.observability.snapshot import Snapshot

CROWDS = "too_many"
"""How the reasons start for which RTMP connections are refused at once."""

BUILD = (__version__, platform.python_version(), twisted.__version__)


def _refusals(snapshot: Snapshot) -> list[Reading]:
    return [
        ((action, reason.replace(" ", "_")), count)
        for (action, reason), count in snapshot.totals.refusals.items()
    ]


def _refused_connections(snapshot: Snapshot) -> dict[str, float]:
    errors = snapshot.sources.rtmp.errors
    rtmp = sum(count for reason, count in errors.items() if reason.startswith(CROWDS))
    return {"rtmp": rtmp, "http": snapshot.sources.site.counters.refused_connections}


def _outage(snapshot: Snapshot) -> float:
    since = snapshot.sources.uploads.failing_since
    return 0.0 if since is None else max(0.0, snapshot.now - since)


def _usage(snapshot: Snapshot) -> Usage | None:
    disk = snapshot.sources.disk
    return None if disk is None else disk.usage


STORAGE = (
    Row(
        "rapidrtmp_bytes_stored",
        "gauge",
        single(lambda s: s.sources.storage.bytes_stored),
        "Bytes of all files in the storage",
    ),
    Row(
        "rapidrtmp_segments_stored",
        "gauge",
        single(lambda s: s.sources.storage.segments_stored),
        "Media segments in the storage",
    ),
    Row(
        "rapidrtmp_storage_operation_duration_seconds",
        "histogram",
        labelled(lambda s: s.sources.storage.durations),
        "Time that the storage took",
        ("operation",),
    ),
    Row(
        "rapidrtmp_storage_errors_total",
        "counter",
        labelled(lambda s: s.sources.storage.errors),
        "Calls of the storage that failed",
        ("operation",),
    ),
    Row(
        "rapidrtmp_upload_queue_bytes",
        "gauge",
        single(lambda s: s.sources.uploads.bytes_waiting),
        "Bytes that wait to be stored",
    ),
    Row(
        "rapidrtmp_upload_queue_files",
        "gauge",
        single(lambda s: s.sources.uploads.files_waiting),
        "Files that wait to be stored",
    ),
    Row(
        "rapidrtmp_upload_queue_age_seconds",
        "gauge",
        single(lambda s: s.sources.uploads.oldest_age(s.now)),
        "Time for which the oldest file has been waiting to be stored; 0 when none waits",
    ),
    Row(
        "rapidrtmp_upload_files_total",
        "counter",
        single(lambda s: s.sources.uploads.files_stored),
        "Files that were stored",
    ),
    Row(
        "rapidrtmp_upload_lag_seconds",
        "histogram",
        single(lambda s: s.sources.uploads.lag),
        "Time from a file's making to the end of its storing",
    ),
    Row(
        "rapidrtmp_upload_failures_total",
        "counter",
        single(lambda s: s.sources.uploads.failures),
        "Tries to store a file that failed; they are repeated",
    ),
    Row(
        "rapidrtmp_upload_files_lost_total",
        "counter",
        single(lambda s: s.sources.uploads.files_lost),
        "Files that were never stored because the storage failed for too long",
    ),
    Row(
        "rapidrtmp_storage_outage_seconds",
        "gauge",
        single(_outage),
        "Time for which nothing could be stored; 0 when all is well",
    ),
    Row(
        "rapidrtmp_disk_free_bytes",
        "gauge",
        single(lambda s: usage.free if (usage := _usage(s)) else None),
        "Room on the disk of the storage; absent when it cannot be read",
    ),
    Row(
        "rapidrtmp_disk_size_bytes",
        "gauge",
        single(lambda s: usage.total if (usage := _usage(s)) else None),
        "Size of the disk of the storage",
    ),
)

RTMP = (
    Row(
        "rapidrtmp_rtmp_connections_total",
        "counter",
        single(lambda s: s.sources.rtmp.connections_total),
        "RTMP connections accepted",
    ),
    Row(
        "rapidrtmp_rtmp_disconnects_total",
        "counter",
        single(lambda s: s.sources.rtmp.disconnects_total),
        "RTMP connections that are over",
    ),
    Row(
        "rapidrtmp_rtmp_errors_total",
        "counter",
        single(lambda s: sum(s.sources.rtmp.errors.values())),
        "RTMP connections that broke a rule or a limit",
    ),
    Row(
        "rapidrtmp_rtmp_errors_by_reason_total",
        "counter",
        labelled(lambda s: s.sources.rtmp.errors),
        "RTMP connections that broke a rule or a limit, by reason",
        ("reason",),
    ),
    Row(
        "rapidrtmp_rtmp_bytes_received_total",
        "counter",
        single(lambda s: s.sources.rtmp.bytes_received),
        "Bytes that arrived over RTMP",
    ),
)

PLAYERS = (
    Row(
        "rapidrtmp_players",
        "gauge",
        labelled(lambda s: s.sources.players.players_by_protocol),
        "Players that are connected by RTMP or FLV (HTTP and WebSocket); they are viewers, too",
        ("protocol",),
    ),
    Row(
        "rapidrtmp_players_started_total",
        "counter",
        labelled(lambda s: s.sources.players.started),
        "Players that ever started by RTMP or FLV",
        ("protocol",),
    ),
    Row(
        "rapidrtmp_players_cut_total",
        "counter",
        labelled(lambda s: s.sources.players.cut),
        "Players that were disconnected because they did not read",
        ("protocol",),
    ),
    Row(
        "rapidrtmp_player_frames_dropped_total",
        "counter",
        labelled(lambda s: s.sources.players.frames_dropped),
        "Frames that players were not sent because they read too slowly",
        ("protocol",),
    ),
    Row(
        "rapidrtmp_player_queue_bytes",
        "gauge",
        labelled(lambda s: s.sources.players.queued_bytes),
        "Media that waits for players to read",
        ("protocol",),
    ),
)

CONNECTIONS = (
    Row(
        "rapidrtmp_connections",
        "gauge",
        labelled(
            lambda s: {
                "rtmp": len(s.sources.rtmp.connections),
                "http": s.sources.site.connections,
            }
        ),
        "Open connections",
        ("protocol",),
    ),
    Row(
        "rapidrtmp_connections_refused_total",
        "counter",
        labelled(_refused_connections),
        "Connections that were refused because there were too many, or of a barred address",
        ("protocol",),
    ),
    Row(
        "rapidrtmp_access_refusals_total",
        "counter",
        _refusals,
        "Requests to publish or to play that were refused",
        ("action", "reason"),
    ),
    Row(
        "rapidrtmp_publish_tokens",
        "gauge",
        single(lambda s: s.sources.tokens.count),
        "Publish tokens that are kept; those that expired count for a minute more",
    ),
)

HTTP = (
    Row(
        "rapidrtmp_http_requests_total",
        "counter",
        lambda s: s.sources.site.counters.requests.items(),
        "HTTP requests; `path` is the route's pattern, 4xx includes clients that left unanswered",
        ("method", "path", "status"),
    ),
    Row(
        "rapidrtmp_http_request_duration_seconds",
        "histogram",
        lambda s: s.sources.site.counters.durations.items(),
        "Time from a whole request to the end of its answer, holding it included",
        ("method", "path"),
    ),
    Row(
        "rapidrtmp_http_connections_total",
        "counter",
        single(lambda s: s.sources.site.counters.connections_total),
        "HTTP connections accepted",
    ),
    Row(
        "rapidrtmp_http_bytes_sent_total",
        "counter",
        single(lambda s: s.sources.site.counters.bytes_sent),
        "Bytes of HTTP bodies sent, counted when a response is over",
    ),
)

HOOKS = (
    Row(
        "rapidrtmp_hook_calls_total",
        "counter",
        lambda s: s.sources.hooks.calls.items() if s.sources.hooks else (),
        "Calls of hooks",
        ("hook", "outcome"),
    ),
    Row(
        "rapidrtmp_hook_calls_waiting",
        "gauge",
        single(lambda s: s.sources.hooks.waiting if s.sources.hooks else None),
        "Calls of hooks that wait to be made or answered",
    ),
    Row(
        "rapidrtmp_hook_calls_dropped_total",
        "counter",
        single(lambda s: s.sources.hooks.dropped if s.sources.hooks else None),
        "Calls of hooks that were given up",
    ),
    Row(
        "rapidrtmp_event_feed_clients",
        "gauge",
        single(lambda s: s.sources.feed.clients if s.sources.feed else None),
        "Clients that listen to the feed of events",
    ),
)

PROCESS = (
    Row(
        "rapidrtmp_build_info",
        "gauge",
        lambda _: [(BUILD, 1)],
        "Always 1; its labels tell the versions",
        ("version", "python", "twisted"),
    ),
    Row(
        "rapidrtmp_uptime_seconds",
        "gauge",
        single(lambda s: max(0.0, s.now - s.sources.started)),
        "Time since the start",
    ),
    Row(
        "rapidrtmp_memory_budget_bytes",
        "gauge",
        single(lambda s: s.sources.memory.size if s.sources.memory else None),
        "What the media of all streams may take in memory (MEMORY_BUDGET)",
    ),
    Row(
        "rapidrtmp_media_memory_bytes",
        "gauge",
        labelled(lambda s: s.sources.memory.used_by_kind() if s.sources.memory else {}),
        "What media takes in memory, each byte counted once",
        ("kind",),
    ),
    Row(
        "rapidrtmp_trimmed_streams",
        "gauge",
        single(lambda s: s.sources.memory.trimmed_streams if s.sources.memory else None),
        "Live streams whose playlists are shorter than usual for want of memory",
    ),
    Row(
        "rapidrtmp_segments_trimmed_total",
        "counter",
        single(lambda s: s.sources.memory.trimmed if s.sources.memory else None),
        "Segments that left playlists early for want of memory; all renditions' count as one",
    ),
    Row(
        "rapidrtmp_draining",
        "gauge",
        single(lambda s: float(s.sources.manager.draining)),
        "Whether the server is going down and lets no publisher in",
    ),
    Row(
        "rapidrtmp_reactor_lag_seconds",
        "histogram",
        single(lambda s: s.sources.lag.histogram),
        "How late the event loop was, measured four times a second",
    ),
    Row(
        "rapidrtmp_reactor_lag_recent_seconds",
        "gauge",
        single(lambda s: s.sources.lag.recent),
        "The longest lag of the event loop in the last minute",
    ),
)
