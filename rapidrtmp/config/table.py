"""The table of settings: the fields of `Settings`, which are the rows of `TABLE`."""

from dataclasses import dataclass, fields

from rapidrtmp.config.kinds import (
    BOOLEAN,
    FILE,
    HTTP_URL,
    LOG_LEVELS,
    Kind,
    choice,
    duration,
    integer,
    size,
)
from rapidrtmp.config.relaying import RelayingSettings
from rapidrtmp.config.row import GIB, HOUR, KIB, MIB, MINUTE, SECOND, Row, row, secret_file
from rapidrtmp.config.secret_kinds import SECRET
from rapidrtmp.observability.levels import LogLevels


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(RelayingSettings):
    """The settings in force. Durations are seconds, sizes are bytes."""

    ingest_max_ahead: float = row(
        "RTMP limits",
        duration(0.5, HOUR, zero="no pacing"),
        10.0,
        "How far the media of a publisher may run ahead of the clock before reading from it "
        "pauses. A file sent faster than real time is slowed down to it.",
        reload=True,
    )
    rtmp_max_connections: int = row(
        "RTMP limits", integer(1, 1_000_000), 10_000, "RTMP connections at once.", reload=True
    )
    rtmp_max_connections_per_ip: int = row(
        "RTMP limits",
        integer(1, 1_000_000),
        100,
        "RTMP connections at once from one IP address that do not publish yet.",
        reload=True,
    )
    rtmp_max_message_size: int = row(
        "RTMP limits",
        size(128 * KIB, 256 * MIB),
        10 * MIB,
        "Largest RTMP message, which is the largest video frame.",
        reload=True,
    )
    rtmp_min_chunk_size: int = row(
        "RTMP limits",
        integer(1, 65536),
        128,
        "Smallest chunk size that a publisher may set. Tiny chunks cost much CPU.",
        reload=True,
    )
    rtmp_handshake_timeout: float = row(
        "RTMP limits",
        duration(0.1, HOUR),
        10.0,
        "Time for the RTMP handshake, from the TCP connection on.",
        reload=True,
    )
    rtmp_publish_timeout: float = row(
        "RTMP limits",
        duration(0.1, HOUR),
        10.0,
        "Time from the end of the handshake to the publish command.",
        reload=True,
    )
    rtmp_first_media_timeout: float = row(
        "RTMP limits",
        duration(0.1, HOUR),
        20.0,
        "Time from the accepted publish command to the first audio or video.",
        reload=True,
    )
    rtmp_idle_timeout: float = row(
        "RTMP limits",
        duration(0.1, HOUR),
        10.0,
        "Silence after which a publisher is taken for dead and disconnected.",
        reload=True,
    )
    amf_max_depth: int = row(
        "RTMP limits",
        integer(4, 100),
        16,
        "Nesting of objects and arrays in an RTMP command.",
        reload=True,
    )
    amf_max_values: int = row(
        "RTMP limits", integer(100, 100_000), 1000, "Values in one RTMP command.", reload=True
    )

    play_queue_bytes: int = row(
        "RTMP limits",
        size(128 * KIB, GIB),
        8 * MIB,
        "Media that may go by an RTMP or FLV player that does not read before it is disconnected. "
        "Half as much may wait for it; then frames are dropped up to the next keyframe.",
        reload=True,
    )
    play_queue_seconds: float = row(
        "RTMP limits",
        duration(SECOND, HOUR),
        10.0,
        "The same as PLAY_QUEUE_BYTES, in time of media. Whichever comes first holds.",
        reload=True,
    )
    play_latency: float = row(
        "RTMP limits",
        duration(0, SECOND),
        0.006,
        "Time for which media is collected before it goes to the RTMP and FLV players of a stream, "
        "so that one write takes all of it. With fewer than 20 players nothing is collected.",
        reload=True,
    )
    gop_cache_bytes: int = row(
        "RTMP limits",
        size(0, GIB),
        8 * MIB,
        "Largest group of pictures that is kept of each stream, so that RTMP and FLV players start "
        "at once; 0 = none is kept, and they start at the next keyframe.",
        reload=True,
    )

    http_max_connections: int = row(
        "HTTP limits", integer(1, 1_000_000), 10_000, "HTTP connections at once.", reload=True
    )
    http_max_connections_per_ip: int = row(
        "HTTP limits",
        integer(1, 1_000_000),
        1000,
        "HTTP connections at once from one IP address; TRUSTED_PROXIES are exempt.",
        reload=True,
    )

    webhook_on_publish: str = row(
        "Webhooks",
        HTTP_URL,
        "",
        "Called before a publisher is accepted; it may refuse.",
    )
    webhook_on_unpublish: str = row(
        "Webhooks",
        HTTP_URL,
        "",
        "Called when a stream has lost its publisher.",
    )
    webhook_on_play: str = row(
        "Webhooks",
        HTTP_URL,
        "",
        "Called before a viewer is accepted; it may refuse.",
    )
    webhook_on_segment: str = row(
        "Webhooks",
        HTTP_URL,
        "",
        "Called for each segment that viewers can fetch.",
    )
    webhook_secret: str = row(
        "Webhooks", SECRET, "", "What calls of webhooks are signed with (HMAC-SHA256)."
    )
    webhook_secret_file: str = secret_file("Webhooks", "WEBHOOK_SECRET")
    webhook_timeout: float = row(
        "Webhooks", duration(0.1, MINUTE), 5.0, "Time that one call of a webhook may take."
    )

    log_format: str = row(
        "Logs",
        choice("text", "json"),
        "text",
        "How lines of the log look: for people, or one JSON object a line.",
    )
    log_level: LogLevels = row(  # noqa: RUF009  frozen
        "Logs",
        LOG_LEVELS,
        LogLevels(),
        "The least level that is logged, for all and for single namespaces.",
        reload=True,
    )

    rtmp_dump_dir: str = row(
        "Operation",
        Kind("directory", "the path of a directory", FILE.parse),
        "",
        "Record what each RTMP client sends into this directory, publish tokens included, for a "
        "bug report. Of 50 connections, 32 MiB each; off when not set.",
    )
    config_file: str = row(
        "Operation",
        FILE,
        "",
        "File of `NAME=value` lines with settings; the environment and options win over it. May "
        "not stand in itself.",
    )
    drain_timeout: float = row(
        "Operation",
        duration(0, HOUR),
        30.0,
        "How long viewers are still served after SIGTERM, so that they can fetch what was "
        "finished at the stop.",
        reload=True,
    )
    watchdog_timeout: float = row(
        "Operation",
        duration(SECOND, HOUR, zero="off"),
        10.0,
        "Time after which a server that does nothing any more logs where it is stuck.",
    )
    watchdog_exit: bool = row(
        "Operation",
        BOOLEAN,
        False,
        "End the process, with exit status 70, when it stays stuck for three WATCHDOG_TIMEOUTs, "
        "so that whoever started it starts it again.",
    )


TABLE = tuple(Row(name=setting.name.upper(), **setting.metadata) for setting in fields(Settings))
"""Every setting, in the order of the reference page."""
