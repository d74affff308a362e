"""A server's counters, with a real stream manager among them."""

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from twisted.internet.task import Clock

from rapidrtmp.histogram import Histogram
from rapidrtmp.observability.metrics import make_registry
from rapidrtmp.observability.sources import Sources
from rapidrtmp.observability.watchdog import ReactorLag
from rapidrtmp.outputs.counters import HLSCounters
from rapidrtmp.protocol.fanout import FanoutMaker
from rapidrtmp.stream.manager import StreamManager
from rapidrtmp.web.counters import HTTPCounters
from tests.stream.fakes import NOW, FakeMaker, FakeOutput, StreamCase


class SegmentingOutput(FakeOutput):
    """What is read of an HLS output."""

    def __init__(self) -> None:
        super().__init__()
        self.held = 0
        self.last_segment_at: float | None = None
        self.segment_lag: float | None = None
        self.dvr_seconds = 0.0
        self.dvr_bytes = 0


class SegmentingMaker(FakeMaker):
    """Makes such outputs."""

    def make(self, stream: object) -> FakeOutput:
        """Make one."""
        self.outputs.append(SegmentingOutput())
        return self.outputs[-1]


@dataclass
class FakeRTMP:
    """An RTMP listener."""

    connections: set[object] = field(default_factory=set)
    connections_total: int = 0
    disconnects_total: int = 0
    bytes_received: int = 0
    errors: dict[str, int] = field(default_factory=dict)


@dataclass
class FakeUploads:
    """What waits for a store."""

    bytes_waiting: int = 0
    files_waiting: int = 0
    waiting_since: float | None = None
    files_stored: int = 0
    lag: Histogram = field(default_factory=lambda: Histogram([1]))
    failures: int = 0
    failing_since: float | None = None
    files_lost: int = 0

    def oldest_age(self, now: float) -> float:
        """Return seconds."""
        return 0.0 if self.waiting_since is None else now - self.waiting_since


@dataclass
class FakeStorage:
    """A store that counts."""

    bytes_stored: int = 0
    segments_stored: int = 0
    durations: dict[str, Histogram] = field(
        default_factory=lambda: {"put": Histogram([0.1, 1]), "get": Histogram([0.1, 1])}
    )
    errors: dict[str, int] = field(default_factory=lambda: {"put": 0, "get": 0})


@dataclass
class FakeSending:
    """A response under way."""

    left: int


@dataclass
class FakeSite:
    """An HTTP listener."""

    counters: HTTPCounters = field(default_factory=HTTPCounters)
    connections: int = 0
    sending: list[FakeSending] = field(default_factory=list)


@dataclass
class FakeTokens:
    """Publish tokens."""

    count: int = 0


@dataclass
class FakeHooks:
    """Hooks that were called."""

    calls: dict[tuple[str, str], int] = field(default_factory=dict)
    waiting: int = 0
    dropped: int = 0


@dataclass
class FakeFeed:
    """A feed of events."""

    clients: int = 0


def sources_of(manager: StreamManager, clock: Clock) -> Sources:
    """Make the counters of a server that has done nothing yet."""
    return Sources(
        manager=manager,
        rtmp=FakeRTMP(),
        players=FanoutMaker(),
        segments=HLSCounters(),
        uploads=FakeUploads(),
        storage=FakeStorage(),
        site=FakeSite(),
        tokens=FakeTokens(),
        lag=ReactorLag(clock, clock.seconds),
        started=NOW,
    )


class MetricsCase(StreamCase):
    """A stream manager, and a registry that looks at it."""

    def setUp(self) -> None:
        """Make both."""
        super().setUp()
        self.maker = SegmentingMaker()
        self.manager = self.make_manager()
        self.sources = sources_of(self.manager, self.clock)
        self.registry = self.make_registry()

    def make_registry(self) -> CollectorRegistry:
        """Make the registry of the sources."""
        return make_registry(self.sources, self.clock.seconds)

    def value(self, name: str, **labels: str) -> float | None:
        """Return what a scrape shows of a series; None when it does not exist."""
        return self.registry.get_sample_value(name, labels)

    def series(self, **labels: str) -> set[str]:
        """Return the names of all series with these labels among theirs."""
        return {
            sample.name
            for metric in self.registry.collect()
            for sample in metric.samples
            if labels.items() <= sample.labels.items()
        }
