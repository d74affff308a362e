"""What stands around a connection in its tests: transport, manager, publication, demuxer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from zope.interface import directlyProvides, providedBy

from rapidrtmp.interfaces import AccessRequest
from rapidrtmp.media.timed import ScriptMessage
from rapidrtmp.media.track import Sample, Track
from rapidrtmp.protocol.connection import RTMPServerProtocol
from rapidrtmp.protocol.dump import Dumps
from rapidrtmp.protocol.server import RTMPServerFactory, ServerSettings
from rapidrtmp.rtmp.limits import Limits
from rapidrtmp.stream.publication import Eviction
from rapidrtmp.stream.statistics import Totals


class FakeTransport(StringTransport):
    """A transport with the options of TCP."""

    def __init__(self, tcp: bool = True, host: str = "192.0.2.1") -> None:
        super().__init__()
        self.host = host
        self.half_closed = False
        self.options: dict[str, bool] = {}
        if tcp:
            directlyProvides(self, providedBy(self), ITCPTransport)

    def getPeer(self) -> Any:
        peer = super().getPeer()
        return type(peer)("TCP", self.host, 50000)

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802 (Twisted's name)
        self.options["no_delay"] = enabled

    def setTcpKeepAlive(self, enabled: bool) -> None:  # noqa: N802 (Twisted's name)
        self.options["keep_alive"] = enabled

    def loseWriteConnection(self) -> None:  # noqa: N802 (Twisted's name)
        self.half_closed = True


class FakeConfig:
    """Of a track of milliseconds."""

    kind = "video"
    codec = "fake"
    timescale = 1000


def fake_track() -> Track:
    """Make a track, another one each time."""
    return Track(1, cast(Any, FakeConfig()))


class FakeDemuxer:
    """Makes a sample of each audio and video message; its body says what else happens."""

    def __init__(self) -> None:
        self.tracks: tuple[Track, ...] = ()
        self.metadata: dict[str, Any] = {}
        self.script: tuple[int, ScriptMessage] | None = None
        self.unsupported: set[str] = set()
        self.dropped: dict[str, int] = {}

    def receive(self, type_id: int, timestamp: int, payload: bytes) -> list[Sample]:
        if type_id not in (8, 9):
            self.script = None
            if payload.startswith(b"script"):
                self.script = (timestamp, ScriptMessage("onTextData", ["x"], payload))
            else:
                self.metadata = {"size": len(payload)}
            return []
        if payload == b"config":
            self.tracks = (*self.tracks, fake_track())
            return []
        if payload == b"change":
            self.tracks = (*self.tracks[:-1], fake_track())
            return []
        if payload == b"inter":
            self.dropped["no_keyframe"] = self.dropped.get("no_keyframe", 0) + 1
            return []
        if payload == b"hevc":
            self.unsupported.add("HEVC (hvc1)")
            self.dropped["unsupported_codec"] = self.dropped.get("unsupported_codec", 0) + 1
            return []
        if payload == b"crash":
            raise RuntimeError("the demuxer is broken")
        return [Sample(fake_track(), timestamp, 0, True, True, payload)]


class FakePublication:
    """Writes down what happens to it."""

    def __init__(self, request: AccessRequest) -> None:
        self.request = request
        self.evicted: Deferred[Eviction] = Deferred()
        self.calls: list[tuple[str, Any]] = []
        self.abuse = ""

    def write(self, sample: Sample) -> None:
        self.calls.append(("write", (sample.dts, sample.payload)))

    def set_tracks(self, tracks: Sequence[Track]) -> None:
        self.calls.append(("tracks", len(tracks)))

    def set_metadata(self, metadata: Mapping[str, Any]) -> None:
        self.calls.append(("metadata", dict(metadata)))

    def write_script(self, ms: int, script: ScriptMessage) -> None:
        self.calls.append(("script", (ms, script.body)))

    def count_dropped(self, reason: str, frames: int) -> None:
        if frames:
            self.calls.append(("dropped", (reason, frames)))

    def note_unsupported(self, names: Iterable[str]) -> None:
        if names:
            self.calls.append(("unsupported", sorted(names)))

    def close(self, reason: str) -> None:
        self.calls.append(("close", reason))

    def closes(self) -> list[str]:
        return [argument for name, argument in self.calls if name == "close"]


class FakeManager:
    """Grants everything at once; or what `answer` says: an exception, or None for later."""

    draining = False

    def __init__(self) -> None:
        self.totals = Totals()
        self.answer: Exception | bool | None = True
        self.requests: list[AccessRequest] = []
        self.pending: list[Deferred[FakePublication]] = []
        self.publications: list[FakePublication] = []

    def publish(self, request: AccessRequest) -> Deferred[FakePublication]:
        self.requests.append(request)
        if isinstance(self.answer, Exception):
            return fail(self.answer)
        if self.answer:
            return succeed(self.grant(request))
        decision: Deferred[FakePublication] = Deferred()
        self.pending.append(decision)
        return decision

    def grant(self, request: AccessRequest) -> FakePublication:
        publication = FakePublication(request)
        self.publications.append(publication)
        return publication


class Server:
    """A factory with fakes around it."""

    def __init__(
        self,
        settings: ServerSettings | None = None,
        limits: Limits | None = None,
        dumps: Dumps | None = None,
    ) -> None:
        self.clock = Clock()
        self.manager = FakeManager()
        self.factory = RTMPServerFactory(
            cast(Any, self.manager),
            cast(Any, self.clock),
            cast(Any, FakeDemuxer),
            limits,
            settings,
            dumps,
        )

    def connect(
        self, tcp: bool = True, host: str = "192.0.2.1"
    ) -> tuple[RTMPServerProtocol, FakeTransport]:
        """Make a connection."""
        transport = FakeTransport(tcp, host)
        protocol = self.factory.buildProtocol(None)
        protocol.makeConnection(cast(Any, transport))
        return protocol, transport
