"""The first half of the table of settings: what is served, to whom, and where it is kept."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from rapidrtmp.config.kinds import (
    ADDRESS,
    APP,
    BASE_URL,
    BOOLEAN,
    DIRECTORY,
    FILE,
    NAME,
    NETWORKS,
    RTMP_URL,
    TEXT,
    duration,
    integer,
    size,
)
from rapidrtmp.config.row import DAY, GIB, HOUR, MIB, MINUTE, SECOND, row, secret_file
from rapidrtmp.config.secret_kinds import API_KEYS, SECRET, APIKey

_BESIDE_STORAGE = Path("<beside STORAGE_DIR>")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSettings:
    """Listeners, HLS, streams, access and storage."""

    http_addr: str = row(
        "Listeners", ADDRESS, ":8080", "Where HTTP is served: player, playlists, API, health."
    )
    rtmp_addr: str = row("Listeners", ADDRESS, ":1935", "Where publishers connect by RTMP.")
    rtmp_ingest_addr: str = row(
        "Listeners",
        RTMP_URL,
        "rtmp://localhost:1935",
        "The RTMP address as encoders see it: the beginning of each publishUrl of the API.",
    )
    https_addr: str = row(
        "Listeners", ADDRESS, "", "Where HTTPS is served, HTTP/2 included. Needs TLS_CERT."
    )
    rtmps_addr: str = row(
        "Listeners", ADDRESS, "", "Where publishers connect by RTMPS. Needs TLS_CERT."
    )
    rtmp_tls_sniff: bool = row(
        "Listeners",
        BOOLEAN,
        False,
        "RTMP_ADDR takes RTMPS, too, and tells it by the first byte. Needs TLS_CERT.",
    )
    proxy_protocol: tuple[IPv4Network | IPv6Network, ...] = row(
        "Listeners",
        NETWORKS,
        (),
        "Load balancers whose connections, on every listener, must begin with a PROXY header "
        "(version 1 or 2), which tells the client's address.",
    )
    tls_cert: str = row(
        "TLS",
        FILE,
        "",
        "PEM file of the certificate, with those of the authorities behind it (fullchain.pem). "
        "Read again at each reload.",
        reload=True,
    )
    tls_key: str = row(
        "TLS",
        FILE,
        "",
        "PEM file of the private key of TLS_CERT, not encrypted. Read again at each reload.",
        reload=True,
    )

    hls_enabled: bool = row(
        "HLS",
        BOOLEAN,
        True,
        "Package streams for HLS, DASH and MPEG-TS, and make thumbnails. A server that only takes "
        "and relays RTMP saves most of its work with `false`: `/live/<key>/` then answers 404 and "
        "says so; RTMP and FLV are played as ever.",
    )
    hls_segment_duration: float = row(
        "HLS",
        duration(0.5, 30),
        2.0,
        "Least duration of a segment; it ends at the first keyframe after that.",
        reload=True,
    )
    hls_max_segments: int = row(
        "HLS",
        integer(3, 1000),
        10,
        "Segments listed in a playlist. Below 6, players that start three segments from the "
        "end have little to fall back on.",
        reload=True,
    )
    hls_low_latency: bool = row(
        "HLS",
        BOOLEAN,
        True,
        "Publish segments in parts while they grow (Low-Latency HLS). Players that do not know it "
        "play the same playlists with the usual delay. For streams that start after a reload.",
        reload=True,
    )
    hls_part_duration: float = row(
        "HLS",
        duration(0.1, 2),
        0.2,
        "Least duration of a part, rounded up to whole frames. Below 0.2 s requests cost more "
        "than the delay is worth.",
        reload=True,
    )
    dvr_window: float = row(
        "HLS",
        duration(10, DAY, zero="off"),
        0.0,
        "How much of the past viewers of `index.m3u8?dvr=1` can go back to. It is kept in storage, "
        "so it takes room there: 0.45 GB an hour for each Mbit/s.",
        reload=True,
    )
    thumbnails: bool = row(
        "HLS",
        BOOLEAN,
        True,
        "Make pictures of key frames when somebody asks for them: `/live/<key>/thumb.jpg`, and an "
        "image rendition for seek bars. Needs PyAV (`rapidrtmp[media]`).",
    )
    thumbnail_width: int = row(
        "HLS",
        integer(64, 1920),
        320,
        "Width of those pictures in pixels; video that is not so wide keeps its size.",
    )
    endlist_on_shutdown: bool = row(
        "HLS",
        BOOLEAN,
        False,
        "End the playlists of all streams when the server stops. By default they are left open, "
        "so that viewers go on after a restart.",
        reload=True,
    )

    max_concurrent_streams: int = row(
        "Streams",
        integer(1, 1_000_000),
        100,
        "Streams that may exist at once; a publisher above that is refused.",
        reload=True,
    )
    max_viewers_per_stream: int = row(
        "Streams",
        integer(1, 1_000_000),
        1000,
        "Viewers that one stream may have; one more gets 503 with Retry-After.",
        reload=True,
    )
    memory_budget: int = row(
        "Streams",
        size(16 * MIB, 1024 * GIB, zero="automatic"),
        0,
        "What the media of all streams may take in memory. Above 90 % of it playlists lose their "
        "oldest segments; where no shorter ones make room, further streams are refused. Automatic "
        "is half of what the container or the machine has beyond 96 MiB; 512 MiB where no limit is "
        "found.",
        reload=True,
    )
    max_ingest_bitrate: int = row(
        "Streams",
        integer(100_000, 10**12, zero="no limit"),
        0,
        "Bits a second that one publisher may send; one that stays above it is disconnected.",
        reload=True,
    )
    stream_grace: float = row(
        "Streams",
        duration(0, DAY),
        60.0,
        "How long a stream outlives its publisher, so that the encoder can come back, before "
        "its playlists are ended.",
        reload=True,
    )
    stop_cooldown: float = row(
        "Streams",
        duration(0, DAY),
        30.0,
        "How long a stream key is refused after the API stopped it; without that an encoder "
        "that reconnects by itself would undo the stop.",
        reload=True,
    )
    public_stream_list: bool = row(
        "Streams", BOOLEAN, True, "Let the player page list the live streams."
    )
    public_diagnosis: bool = row(
        "Streams",
        BOOLEAN,
        False,
        "Let the player page tell everybody what is wrong with the encoder. When false, it tells "
        "only browsers on the server's own machine, and nobody when there are API_KEYS. Without "
        "PUBLIC_STREAM_LIST it tells nobody.",
    )

    auth_required: bool = row(
        "Access",
        BOOLEAN,
        True,
        "Publishers need a token of the API. When false, anybody who reaches RTMP_ADDR may "
        "publish.",
    )
    authmod_app: str = row(
        "Access",
        APP,
        "authmod",
        "The first part of the path of RTMP URLs whose publishers are asked for user and password "
        "(Adobe's authmod): the password is a token, any user will do. When none, nobody signs in "
        "so, and tokens issued from then on cannot be made again out of STATE_DIR.",
        reload=True,
    )
    default_token_expiration: float = row(
        "Access",
        duration(SECOND, 365 * DAY),
        HOUR,
        "How long a token is valid when the request does not say (expiresIn).",
        reload=True,
    )
    max_token_expiration: float = row(
        "Access",
        duration(SECOND, 365 * DAY),
        DAY,
        "How long a token can be valid at most; a longer request is shortened to that.",
        reload=True,
    )
    api_keys: tuple[APIKey, ...] = row(
        "Access",
        API_KEYS,
        (),
        "Keys of the management API, sent as `Authorization: Bearer KEY`. Without any, the API "
        "answers this machine alone.",
        reload=True,
    )
    api_keys_file: str = secret_file("Access", "API_KEYS", reload=True)
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = row(
        "Access",
        NETWORKS,
        (),
        "Reverse proxies whose X-Forwarded-For header tells the client's address.",
    )
    playback_auth: bool = row(
        "Access",
        BOOLEAN,
        False,
        "Viewers need a signed URL of the API, which expires. Needs PLAYBACK_SECRET.",
    )
    playback_secret: str = row(
        "Access",
        SECRET,
        "",
        "What playback URLs are signed with. Another one makes all URLs given out invalid.",
        reload=True,
    )
    playback_secret_file: str = secret_file("Access", "PLAYBACK_SECRET", reload=True)
    playback_url_expiration: float = row(
        "Access",
        duration(MINUTE, 365 * DAY),
        6 * HOUR,
        "How long a playback URL is valid when the request for it does not say.",
        reload=True,
    )
    metrics_auth: bool = row(
        "Access",
        BOOLEAN,
        False,
        "`/metrics` asks for an API key with the scope `read`, as the API does.",
    )
    max_refusals_per_ip: int = row(
        "Access",
        integer(1, 1_000_000, zero="no limit"),
        10,
        "Refused publishes from one IP address in a minute; after that it has to wait.",
        reload=True,
    )
    max_token_requests_per_ip: int = row(
        "Access",
        integer(1, 1_000_000, zero="no limit"),
        60,
        "Requests for tokens from one IP address in a minute; more get 429.",
        reload=True,
    )

    storage_type: str = row(
        "Storage",
        NAME,
        "local",
        "Where segments and playlists are kept: `local` (files below STORAGE_DIR), `memory` (this "
        "process), `gcs` (a Google Cloud Storage bucket), or a backend that another package adds.",
    )
    storage_dir: Path = row(  # noqa: RUF009  a Path does not change
        "Storage",
        DIRECTORY,
        Path("data/streams"),
        "Directory of the files when STORAGE_TYPE is local. Made when it is missing.",
        shown="./data/streams",
    )
    state_dir: Path = row(  # noqa: RUF009  a Path does not change
        "Storage",
        DIRECTORY,
        _BESIDE_STORAGE,
        "Directory of what has to survive a restart: hashes of tokens, secrets of the server and "
        "stream positions. May not lie inside STORAGE_DIR.",
        shown="`state` beside STORAGE_DIR",
    )
    gcs_project_id: str = row(
        "Storage", TEXT, "", "Google Cloud project, for STORAGE_TYPE gcs.", shown="none"
    )
    gcs_bucket_name: str = row(
        "Storage", TEXT, "", "Name of the bucket, for STORAGE_TYPE gcs.", shown="none"
    )
    gcs_base_dir: str = row(
        "Storage", TEXT, "streams", "First part of each object's name, for STORAGE_TYPE gcs."
    )
    gcs_signed_urls: bool = row(
        "Storage",
        BOOLEAN,
        False,
        "Let playlists name segments in the bucket itself, by signed URLs (V4) that expire. For "
        "STORAGE_TYPE gcs; not together with CDN_BASE_URL.",
    )
    cdn_base_url: str = row(
        "Storage",
        BASE_URL,
        "",
        "Let playlists name segments below this URL: a CDN in front of the bucket or directory.",
    )
    storage_max_waiting: int = row(
        "Storage",
        size(MIB, 1024 * GIB),
        256 * MIB,
        "What all streams together may keep in memory for a store that is slow or fails, half of "
        "MEMORY_BUDGET at most; above it the oldest segments are given up.",
        reload=True,
    )
    min_free_disk: int = row(
        "Storage",
        size(MIB, 1024 * GIB, zero="not looked at"),
        256 * MIB,
        "Free space below which `/ready` names the disk.",
        reload=True,
    )

    def __post_init__(self) -> None:
        """Derive what depends on other settings."""
        if self.state_dir is _BESIDE_STORAGE:
            object.__setattr__(self, "state_dir", self.storage_dir.parent / "state")
