"""Every setting in one table: environment, options, `--help`, checks and the reference page.

The fields of `Settings` are the table. A setting is called the same everywhere:
``HTTP_ADDR`` in the environment, ``--http-addr`` on the command line,
``settings.http_addr`` in the code.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from rapidrtmp.config_values import (
    ADDRESS,
    BOOLEAN,
    DIRECTORY,
    RTMP_URL,
    TEXT,
    Kind,
    choice,
    duration,
    integer,
    show_duration,
    size,
)

T = TypeVar("T")

SECOND, MINUTE, HOUR, DAY = 1.0, 60.0, 3600.0, 86400.0
KIB, MIB = 1 << 10, 1 << 20


class SettingError(ValueError):
    """A setting cannot be used. Its text is one line that says which, what and why."""

    def __init__(self, name: str, value: str, problem: str) -> None:
        """Make the line.

        Args:
            name: the setting as the environment calls it.
            value: what it was set to.
            problem: a clause that follows the value: 'must be ...', 'cannot be listened on'.
        """
        # Whatever was in the environment, the message stays one line.
        shown = value if value.isprintable() and len(value) <= 200 else ascii(value[:200])
        super().__init__(f"{name}={shown}: {problem}")
        self.name = name


class Row(NamedTuple):
    """One row of the table."""

    name: str
    """As the environment calls it."""
    group: str
    kind: Kind
    default: str
    """As text, for people."""
    help: str
    reload: bool
    """Whether a reload may change it; otherwise it needs a restart."""

    @property
    def attribute(self) -> str:
        """The name of the field of `Settings`."""
        return self.name.lower()

    @property
    def option(self) -> str:
        """The command-line option without its leading dashes."""
        return self.name.lower().replace("_", "-")


def _row(
    group: str, kind: Kind, default: T, help: str, *, reload: bool = False, shown: str = ""
) -> T:
    """Declare a setting.

    Args:
        group: heading under which it stands in the reference.
        kind: how its text is read.
        default: its value when nobody sets it.
        help: what it does, one or two sentences.
        reload: whether a reload may change it.
        shown: the default in words, where `kind.show` would not tell.
    """
    text = shown or kind.show(default)
    metadata = {"group": group, "kind": kind, "default": text, "help": help, "reload": reload}
    return field(default=default, metadata=metadata)


_BESIDE_STORAGE = Path("<beside STORAGE_DIR>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings in force. Durations are seconds, sizes are bytes."""

    http_addr: str = _row(
        "Listeners", ADDRESS, ":8080", "Where HTTP is served: player, playlists, API, health."
    )
    rtmp_addr: str = _row("Listeners", ADDRESS, ":1935", "Where publishers connect by RTMP.")
    rtmp_ingest_addr: str = _row(
        "Listeners",
        RTMP_URL,
        "rtmp://localhost:1935",
        "The RTMP address as encoders see it: the beginning of each publishUrl of the API.",
    )

    hls_segment_duration: float = _row(
        "HLS",
        duration(0.5, 30),
        2.0,
        "Least duration of a segment; it ends at the first keyframe after that.",
        reload=True,
    )
    hls_max_segments: int = _row(
        "HLS",
        integer(3, 1000),
        10,
        "Segments listed in a playlist. Below 6, players that start three segments from the "
        "end have little to fall back on.",
        reload=True,
    )
    endlist_on_shutdown: bool = _row(
        "HLS",
        BOOLEAN,
        False,
        "End the playlists of all streams when the server stops. By default they are left open, "
        "so that viewers go on after a restart.",
        reload=True,
    )

    max_concurrent_streams: int = _row(
        "Streams",
        integer(1, 1_000_000),
        100,
        "Streams that may exist at once; a publisher above that is refused.",
        reload=True,
    )
    max_viewers_per_stream: int = _row(
        "Streams",
        integer(1, 1_000_000),
        1000,
        "Viewers that one stream may have; one more gets 503 with Retry-After.",
        reload=True,
    )
    stream_grace: float = _row(
        "Streams",
        duration(0, DAY),
        60.0,
        "How long a stream outlives its publisher, so that the encoder can come back, before "
        "its playlists are ended.",
        reload=True,
    )
    stop_cooldown: float = _row(
        "Streams",
        duration(0, DAY),
        30.0,
        "How long a stream key is refused after the API stopped it; without that an encoder "
        "that reconnects by itself would undo the stop.",
        reload=True,
    )
    public_stream_list: bool = _row(
        "Streams", BOOLEAN, True, "Let the player page list the live streams.", reload=True
    )

    auth_required: bool = _row(
        "Access",
        BOOLEAN,
        True,
        "Publishers need a token of the API. When false, anybody who reaches RTMP_ADDR may "
        "publish.",
        reload=True,
    )
    default_token_expiration: float = _row(
        "Access",
        duration(SECOND, 365 * DAY),
        HOUR,
        "How long a token is valid when the request does not say (expiresIn).",
        reload=True,
    )
    max_token_expiration: float = _row(
        "Access",
        duration(SECOND, 365 * DAY),
        DAY,
        "How long a token can be valid at most; a longer request is shortened to that.",
        reload=True,
    )

    storage_type: str = _row(
        "Storage",
        choice("local", "memory", "gcs"),
        "local",
        "Where segments and playlists are kept: files below STORAGE_DIR, this process's memory, "
        "or a Google Cloud Storage bucket (not available in this version: the server does not "
        "start with it).",
    )
    storage_dir: Path = _row(  # noqa: RUF009  a Path does not change
        "Storage",
        DIRECTORY,
        Path("data/streams"),
        "Directory of the files when STORAGE_TYPE is local. Made when it is missing.",
        shown="./data/streams",
    )
    state_dir: Path = _row(  # noqa: RUF009  a Path does not change
        "Storage",
        DIRECTORY,
        _BESIDE_STORAGE,
        "Directory of what has to survive a restart: token hashes and stream positions. May not "
        "lie inside STORAGE_DIR.",
        shown="`state` beside STORAGE_DIR",
    )
    gcs_project_id: str = _row(
        "Storage", TEXT, "", "Google Cloud project, for STORAGE_TYPE gcs.", shown="none"
    )
    gcs_bucket_name: str = _row(
        "Storage", TEXT, "", "Name of the bucket, for STORAGE_TYPE gcs.", shown="none"
    )
    gcs_base_dir: str = _row(
        "Storage", TEXT, "streams", "First part of each object's name, for STORAGE_TYPE gcs."
    )

    ingest_max_ahead: float = _row(
        "RTMP limits",
        duration(0.5, HOUR, zero="no pacing"),
        10.0,
        "How far the media of a publisher may run ahead of the clock before reading from it "
        "pauses. A file sent faster than real time is slowed down to it.",
        reload=True,
    )
    rtmp_max_connections: int = _row(
        "RTMP limits", integer(1, 1_000_000), 10_000, "RTMP connections at once.", reload=True
    )
    rtmp_max_connections_per_ip: int = _row(
        "RTMP limits",
        integer(1, 1_000_000),
        100,
        "RTMP connections at once from one IP address that do not publish yet.",
        reload=True,
    )
    rtmp_max_message_size: int = _row(
        "RTMP limits",
        size(128 * KIB, 256 * MIB),
        10 * MIB,
        "Largest RTMP message, which is the largest video frame.",
        reload=True,
    )
    rtmp_min_chunk_size: int = _row(
        "RTMP limits",
        integer(1, 65536),
        128,
        "Smallest chunk size that a publisher may set. Tiny chunks cost much CPU.",
        reload=True,
    )
    rtmp_handshake_timeout: float = _row(
        "RTMP limits",
        duration(0.1, HOUR),
        10.0,
        "Time for the RTMP handshake, from the TCP connection on.",
        reload=True,
    )
    rtmp_publish_timeout: float = _row(
        "RTMP limits",
        duration(0.1, HOUR),
        10.0,
        "Time from the end of the handshake to the publish command.",
        reload=True,
    )
    rtmp_first_media_timeout: float = _row(
        "RTMP limits",
        duration(0.1, HOUR),
        20.0,
        "Time from the accepted publish command to the first audio or video.",
        reload=True,
    )
    rtmp_idle_timeout: float = _row(
        "RTMP limits",
        duration(0.1, HOUR),
        10.0,
        "Silence after which a publisher is taken for dead and disconnected.",
        reload=True,
    )
    amf_max_depth: int = _row(
        "RTMP limits",
        integer(4, 100),
        16,
        "Nesting of objects and arrays in an RTMP command.",
        reload=True,
    )
    amf_max_values: int = _row(
        "RTMP limits", integer(100, 100_000), 1000, "Values in one RTMP command.", reload=True
    )

    def __post_init__(self) -> None:
        """Derive what depends on other settings."""
        if self.state_dir is _BESIDE_STORAGE:
            object.__setattr__(self, "state_dir", self.storage_dir.parent / "state")


TABLE = tuple(Row(name=setting.name.upper(), **setting.metadata) for setting in fields(Settings))
"""Every setting, in the order of the reference page."""


def load(environ: Mapping[str, str], options: Mapping[str, str | None] | None = None) -> Settings:
    """Read and check all settings.

    Args:
        environ: the environment. An empty value counts as not set.
        options: what the command line said, by option name without dashes; it wins over the
            environment. None and '' count as not set.

    Raises:
        SettingError: a value cannot be read or makes no sense.
    """
    given = options or {}
    values: dict[str, Any] = {}
    for row in TABLE:
        text = given.get(row.option) or environ.get(row.name, "")
        if text:
            try:
                values[row.attribute] = row.kind.parse(text)
            except ValueError as error:
                raise SettingError(row.name, text, f"must be {row.kind.allowed}") from error
    settings = Settings(**values)
    check(settings)
    return settings


def check(settings: Settings) -> None:
    """Refuse values that make no sense together.

    Raises:
        SettingError: naming the first such setting.
    """
    if settings.storage_type == "gcs":
        raise SettingError(
            "STORAGE_TYPE", "gcs", "not available in this version; must be local or memory"
        )
    longest = show_duration(settings.max_token_expiration)
    if settings.default_token_expiration > settings.max_token_expiration:
        shown = show_duration(settings.default_token_expiration)
        raise SettingError(
            "DEFAULT_TOKEN_EXPIRATION", shown, f"must not exceed MAX_TOKEN_EXPIRATION={longest}"
        )
    if settings.http_addr == settings.rtmp_addr and not settings.http_addr.endswith(":0"):
        raise SettingError(
            "RTMP_ADDR", settings.rtmp_addr, "must be another address than HTTP_ADDR"
        )
    if settings.state_dir.resolve().is_relative_to(settings.storage_dir.resolve()):
        raise SettingError(
            "STATE_DIR",
            str(settings.state_dir),
            f"must not lie inside STORAGE_DIR={settings.storage_dir}",
        )


def warnings(settings: Settings) -> list[str]:
    """Say, one line each, what is allowed but worth a thought."""
    lines = []
    if not settings.auth_required:
        lines.append("AUTH_REQUIRED=false: ANYBODY who can reach RTMP_ADDR may publish any stream")
    ingest = urlsplit(settings.rtmp_ingest_addr)
    port = settings.rtmp_addr.rpartition(":")[2]
    told = ("0", str(ingest.port or 1935))
    if ingest.hostname == "localhost" and port.isdigit() and port not in told:
        lines.append(
            f"RTMP_INGEST_ADDR={settings.rtmp_ingest_addr}: encoders are told another port than "
            f"RTMP_ADDR={settings.rtmp_addr}"
        )
    if settings.hls_max_segments < 6:
        lines.append(
            f"HLS_MAX_SEGMENTS={settings.hls_max_segments}: fewer than 6 segments leave players "
            "little to fall back on"
        )
    return lines
