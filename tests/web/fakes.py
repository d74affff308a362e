"""A viewer's connection in memory, and stand-ins for the streams behind the site."""

# Twisted's test transports carry no annotations.
# mypy: allow-untyped-calls

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPResponse
from io import BytesIO
from typing import Any, cast

from prometheus_client import CollectorRegistry
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from rapidrtmp.auth.api_keys import APIKeys
from rapidrtmp.auth.session_ids import SessionSigner
from rapidrtmp.auth.tokens import Token, TokenStore
from rapidrtmp.config import Settings
from rapidrtmp.interfaces import NO_QUERY, IHTTPOutput, NotFound, Representation
from rapidrtmp.media.track import Sample, Track
from rapidrtmp.rate_limit import RateLimit
from rapidrtmp.storage.memory import MemoryStorage
from rapidrtmp.stream.diagnosis import Diagnoses
from rapidrtmp.stream.events import Events
from rapidrtmp.stream.lifecycle import StreamState
from rapidrtmp.stream.manager import StreamManager
from rapidrtmp.web.access import Access
from rapidrtmp.web.api import API
from rapidrtmp.web.events import EventFeed
from rapidrtmp.web.health import DEGRADABLE
from rapidrtmp.web.http_site import HTTPSite
from rapidrtmp.web.server_status import ServerStatus
from rapidrtmp.web.site import make_site

HIGH_WATER = 64 * 1024
"""Bytes above which a TCP transport pauses its producer (abstract.FileDescriptor)."""

CONNECTION_DONE = Failure(ConnectionDone())


class Transport(StringTransport):
    """Pauses its producer as a TCP transport does; the test drains it."""

    def __init__(self, host: str, peer: str) -> None:
        family = IPv6Address if ":" in host else IPv4Address
        super().__init__(family("TCP", host, 8080), family("TCP", peer, 50000))
        self.unsent = 0
        self.largest = 0

    def write(self, data: bytes) -> None:
        """Buffer bytes."""
        super().write(data)
        self.unsent += len(data)
        self.largest = max(self.largest, self.unsent)
        if self.unsent > HIGH_WATER and self.producer is not None:
            self.producer.pauseProducing()

    def writeSequence(self, data: Sequence[bytes]) -> None:  # noqa: N802  (Twisted's name)
        """Buffer bytes."""
        self.write(b"".join(data))

    def drain(self) -> None:
        """Act as if the peer had taken all that is buffered."""
        self.unsent = 0
        if self.producer is not None:
            self.producer.resumeProducing()


@dataclass
class Response:
    """What came back."""

    code: int
    headers: dict[str, str]
    """Lower-case name to value."""
    body: bytes

    def json(self) -> Any:
        """Return the body's value; it must be declared as JSON."""
        assert self.headers["content-type"] == "application/json; charset=utf-8", self.headers
        return json.loads(self.body)


class Connection:
    """A client's connection to the site."""

    def __init__(self, site: HTTPSite, peer: str = "127.0.0.1", host: str = "127.0.0.1") -> None:
        self.transport = Transport(host, peer)
        self.protocol: Any = site.buildProtocol(self.transport.getPeer())
        self.protocol.makeConnection(self.transport)
        self._read = 0

    def send(self, data: bytes) -> None:
        """Send raw bytes."""
        self.protocol.dataReceived(data)

    def request(
        self,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        host: str | None = "localhost:8080",
    ) -> None:
        """Send a whole request."""
        lines = [f"{method} {path} HTTP/1.1"]
        if host is not None:
            lines.append(f"Host: {host}")
        lines += [f"{name}: {value}" for name, value in headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def response(self, method: str = "GET") -> Response:
        """Parse the next response, by the standard library and not by what wrote it."""
        stream = BytesIO(self.transport.value()[self._read :])

        class Socket:
            def makefile(self, mode: str) -> "KeptOpen":
                return KeptOpen(stream)

        parser = HTTPResponse(cast(Any, Socket()), method=method)
        parser.begin()
        names = [name.lower() for name, _ in parser.getheaders()]
        assert len(names) == len(set(names)), f"a header twice: {names}"
        body: bytes = parser.read()
        self._read += stream.tell()
        headers = {name.lower(): value for name, value in parser.getheaders()}
        return Response(parser.status, headers, body)

    @property
    def unread(self) -> bytes:
        """What came after the responses that were parsed."""
        unread: bytes = self.transport.value()[self._read :]
        return unread

    def lose(self) -> None:
        """Disconnect from the client's side."""
        if self.transport.producer is not None:
            self.transport.producer.stopProducing()
        self.protocol.connectionLost(CONNECTION_DONE)


class KeptOpen:
    """A file that HTTPResponse cannot close, so that the next response can be read from it."""

    def __init__(self, stream: BytesIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None:
        """Stay open."""


@dataclass
class FakeConfig:
    """A codec configuration with what the web looks at."""

    kind: str
    codec: str
    timescale: int = 90000
    width: int = 1920
    height: int = 1080


def track(kind: str, codec: str) -> Track:
    """Make a track."""
    return Track(1 if kind == "video" else 2, cast(Any, FakeConfig(kind, codec)))


@dataclass
class FakeStatistics:
    """Counters of a stream."""

    bitrate: int = 0
    frame_rate: float | None = None
    keyframe_interval: float | None = None
    bytes_received: int = 0
    frames_received: int = 0
    keyframes_received: int = 0
    frames_dropped: int = 0
    last_frame_at: float | None = None


@implementer(IHTTPOutput)
class FakeOutput:
    """Has files, and reasons not to have them."""

    def __init__(self, files: dict[str, object] | None = None) -> None:
        self.files = files or {}
        self.asked: list[tuple[str, ...]] = []
        self.queries: list[Mapping[str, Sequence[str]]] = []

    def representation(
        self, path: tuple[str, ...], query: Mapping[str, Sequence[str]] = NO_QUERY
    ) -> Representation | Deferred[Representation]:
        """Return, or raise, what is kept under the path."""
        self.asked.append(path)
        self.queries.append(query)
        found = self.files.get("/".join(path))
        if found is None:
            raise NotFound("/".join(path))
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, Representation | Deferred)
        return found

    def tracks_changed(self, tracks: Sequence[Track]) -> None:
        """See IOutput."""

    def segment_started(self, boundary: object) -> None:
        """See IOutput."""

    def sample_received(self, sample: Sample) -> None:
        """See IOutput."""

    def metadata_received(self, metadata: object) -> None:
        """See IOutput."""

    def discontinuity(self) -> None:
        """See IOutput."""

    def ended(self) -> None:
        """See IOutput."""

    def close(self) -> Deferred[None]:
        """See IOutput."""
        return succeed(None)


@dataclass
class FakeStream:
    """A stream as the web sees it."""

    key: str
    state: StreamState = StreamState.LIVE
    started_at: float | None = None
    viewers: int = 0
    publication: Any = None
    tracks: tuple[Track, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    statistics: FakeStatistics = field(default_factory=FakeStatistics)
    http_outputs: list[FakeOutput] = field(default_factory=list)
    diagnoses: Diagnoses = field(default_factory=Diagnoses)


class FakeManager:
    """Streams by key."""

    def __init__(self, *streams: FakeStream) -> None:
        self._streams = {stream.key: stream for stream in streams}
        self.stopped: list[str] = []
        self.draining = False
        self.asked: list[str] = []

    def get(self, key: str) -> FakeStream | None:
        """Return a stream."""
        self.asked.append(key)
        return self._streams.get(key)

    def can_begin(self, key: str) -> bool:
        """No stream is offered."""
        return False

    def streams(self) -> list[FakeStream]:
        """Return all."""
        return list(self._streams.values())

    def stop(self, key: str) -> Deferred[None]:
        """Note the stop."""
        self._streams[key].state = StreamState.STOPPED
        self.stopped.append(key)
        return succeed(None)


class FakeTokens:
    """Issues the same token each time."""

    def __init__(self) -> None:
        self.issued: list[tuple[str, int | None]] = []
        self.failure: Exception | None = None

    def issue(self, key: str, expires_in: int | None = None) -> Deferred[Token]:
        """Note what was asked for."""
        if self.failure is not None:
            raise self.failure
        self.issued.append((key, expires_in))
        return succeed(Token("ab" * 32, key, 1_800_000_000.5))


def site_for(
    manager: FakeManager,
    clock: Clock,
    tokens: FakeTokens | None = None,
    checks: dict[str, Callable[[], "str | Deferred[str]"]] | None = None,
    *,
    public_stream_list: bool = True,
    public_diagnosis: bool = False,
    keys: APIKeys | None = None,
) -> HTTPSite:
    """Make a site over fakes."""
    access = Access(keys or APIKeys(), RateLimit(clock, 10, 60.0))
    api = API(
        cast(StreamManager, manager),
        cast(TokenStore, tokens or FakeTokens()),
        clock,
        "rtmp://live.example:1935/",
        access=access,
        feed=EventFeed(Events(clock), clock),
        status=ServerStatus(settings=Settings, started_at=clock.seconds(), listeners=dict),
        token_requests=RateLimit(clock, 0, 60.0),
        signer=None,
        playback_expiration=3600.0,
    )
    return make_site(
        manager=cast(StreamManager, manager),
        api=api,
        ready_checks=checks or {},
        degradable=DEGRADABLE,
        make_registry=lambda _: CollectorRegistry(),
        metrics_guard=None,
        reactor=clock,
        ingest_address="rtmp://live.example:1935/",
        sessions=SessionSigner(MemoryStorage(clock)),
        public_stream_list=public_stream_list,
        sees_diagnosis=(lambda _: True) if public_diagnosis else access.is_open,
    )
