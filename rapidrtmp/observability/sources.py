"""Where metrics are read from: objects that count for themselves and know no metrics."""

# What each counter means is said where it is counted.
# ruff: noqa: D102

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from rapidrtmp.histogram import Histogram
from rapidrtmp.observability.disk import DiskSpace
from rapidrtmp.observability.watchdog import ReactorLag
from rapidrtmp.stream.manager import StreamManager
from rapidrtmp.stream.memory import MemoryBudget


class RTMPCounters(Protocol):
    """What the RTMP listener counts (`protocol.server.RTMPServerFactory`)."""

    @property
    def connections(self) -> Collection[object]: ...

    @property
    def connections_total(self) -> int: ...

    @property
    def disconnects_total(self) -> int: ...

    @property
    def bytes_received(self) -> int: ...

    @property
    def errors(self) -> Mapping[str, int]: ...


class PlayCounters(Protocol):
    """The players of RTMP and FLV, by protocol (`protocol.fanout.FanoutMaker`)."""

    @property
    def players_by_protocol(self) -> Mapping[str, int]: ...

    @property
    def started(self) -> Mapping[str, int]: ...

    @property
    def cut(self) -> Mapping[str, int]: ...

    @property
    def frames_dropped(self) -> Mapping[str, int]: ...

    @property
    def queued_bytes(self) -> Mapping[str, int]: ...


class SegmentCounters(Protocol):
    """What all HLS outputs count together (`outputs.hls.HLSMaker.counters`)."""

    @property
    def segments_created(self) -> int: ...

    @property
    def segment_durations(self) -> Histogram: ...

    @property
    def segment_sizes(self) -> Histogram: ...

    @property
    def segments_listed_at_origin(self) -> int: ...

    @property
    def transport_segments_created(self) -> int: ...


class Uploads(Protocol):
    """What waits for the store (`outputs.uploads.Uploads`)."""

    @property
    def bytes_waiting(self) -> int: ...

    @property
    def files_waiting(self) -> int: ...

    def oldest_age(self, now: float) -> float: ...

    @property
    def files_stored(self) -> int: ...

    @property
    def lag(self) -> Histogram: ...

    @property
    def failures(self) -> int: ...

    @property
    def failing_since(self) -> float | None: ...

    @property
    def files_lost(self) -> int: ...


class StorageCounters(Protocol):
    """What the storage counts (`storage.counted.CountedStorage`)."""

    @property
    def bytes_stored(self) -> int: ...

    @property
    def segments_stored(self) -> int: ...

    @property
    def durations(self) -> Mapping[str, Histogram]: ...

    @property
    def errors(self) -> Mapping[str, int]: ...


class HTTPCounters(Protocol):
    """What the HTTP side counts (`web.counters.HTTPCounters`)."""

    @property
    def requests(self) -> Mapping[tuple[str, str, str], int]: ...

    @property
    def durations(self) -> Mapping[tuple[str, str], Histogram]: ...

    @property
    def bytes_sent(self) -> int: ...

    @property
    def connections_total(self) -> int: ...

    @property
    def refused_connections(self) -> int: ...


class Sending(Protocol):
    """A response under way (`web.representation.SliceProducer`)."""

    @property
    def left(self) -> int: ...


class HTTPSite(Protocol):
    """The HTTP listener (`web.http_site.HTTPSite`)."""

    @property
    def counters(self) -> HTTPCounters: ...

    @property
    def connections(self) -> int: ...

    @property
    def sending(self) -> Collection[Sending]: ...


class Hooks(Protocol):
    """What hooks were called (`hooks.hooks.Hooks`)."""

    @property
    def calls(self) -> Mapping[tuple[str, str], int]: ...

    @property
    def waiting(self) -> int: ...

    @property
    def dropped(self) -> int: ...


class Tokens(Protocol):
    """The publish tokens (`auth.tokens.TokenStore`)."""

    @property
    def count(self) -> int: ...


class EventFeed(Protocol):
    """The feed of stream events (`web.events.EventFeed`)."""

    @property
    def clients(self) -> int: ...


class RelayCounters(Protocol):
    """What all relays did (`relay.relays.Relays`)."""

    @property
    def states(self) -> Mapping[tuple[str, str], int]: ...

    @property
    def retries(self) -> Mapping[str, int]: ...

    @property
    def bytes_relayed(self) -> Mapping[str, int]: ...

    @property
    def samples_dropped(self) -> int: ...


class ListenerCounters(Protocol):
    """What all listeners count together (`listeners.Listeners`)."""

    @property
    def tls_handshakes(self) -> Mapping[tuple[str, str], int]: ...

    @property
    def certificate_expiry(self) -> float | None: ...

    @property
    def proxy_refused(self) -> Mapping[str, int]: ...


class ThumbnailCounters(Protocol):
    """What became of thumbnails (`outputs.thumbnail_worker.ThumbnailCounters`)."""

    @property
    def made(self) -> int: ...

    @property
    def failures(self) -> Mapping[str, int]: ...

    @property
    def seconds(self) -> Histogram: ...


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that is read at a scrape. What is None does not exist here."""

    manager: StreamManager
    rtmp: RTMPCounters
    players: PlayCounters
    segments: SegmentCounters
    uploads: Uploads
    storage: StorageCounters
    site: HTTPSite
    tokens: Tokens
    lag: ReactorLag
    started: float
    """Unix time at which the process started."""
    hooks: Hooks | None = None
    feed: EventFeed | None = None
    disk: DiskSpace | None = None
    memory: MemoryBudget | None = None
    relays: RelayCounters | None = None
    listeners: Callable[[], ListenerCounters] | None = None
    """Gives them: they are made after the site, which shows the metrics."""
    thumbnails: ThumbnailCounters | None = None
