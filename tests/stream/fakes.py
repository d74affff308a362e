"""A stream manager in memory, encoders that publish to it, and an output that remembers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from rapidrtmp.interfaces import (
    AccessDenied,
    AccessRequest,
    Grant,
    IAuthenticator,
    IOutput,
    IOutputMaker,
    Refusal,
)
from rapidrtmp.media.segmentation import Boundary
from rapidrtmp.media.timed import TimedMetadata
from rapidrtmp.media.track import Sample, Track
from rapidrtmp.storage.memory import MemoryStorage
from rapidrtmp.stream.manager import StreamManager, StreamSettings
from rapidrtmp.stream.publication import Publication
from rapidrtmp.stream.records import RecordStore
from rapidrtmp.stream.stream import Stream
from tests.isobmff.fakes import AUDIO, VIDEO
from tests.media.samples import audio, video

NOW = 1_800_000_000.0
"""Unix time at which tests start."""
FPS = 25


@implementer(IAuthenticator)
class FakeAuthenticator:
    """Lets everybody in whose token starts with 'good', or waits."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, float | None]] = []
        """What `in_use` was told."""
        self.held: Deferred[None] | None = None
        """What `authorize` waits for."""

    def authorize(self, request: AccessRequest) -> Deferred[Grant]:
        """Grant the token's own name, or nothing at all without one."""
        token = request.credentials.get("token", "")
        if token and not token.startswith("good"):
            return fail(AccessDenied(Refusal.DENIED, "wrong token"))
        if self.held is not None:
            return self.held.addCallback(lambda _: Grant(token))
        return succeed(Grant(token))

    def in_use(self, key: str, identity: str, until: float | None) -> None:
        """Remember."""
        self.calls.append((key, identity, until))


@implementer(IOutput)
class FakeOutput:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.events: list[object] = []
        """Words, tracks, boundaries; samples are left out."""
        self.samples: list[Sample] = []
        self.metadata: list[TimedMetadata] = []
        self.closed: Deferred[None] = succeed(None)

    def tracks_changed(self, tracks: Sequence[Track]) -> None:
        """Remember."""
        self.events.append(tuple(tracks))

    def segment_started(self, boundary: Boundary) -> None:
        """Remember."""
        self.events.append(boundary)

    def sample_received(self, sample: Sample) -> None:
        """Remember."""
        self.samples.append(sample)

    def metadata_received(self, metadata: TimedMetadata) -> None:
        """Remember."""
        self.metadata.append(metadata)

    def discontinuity(self) -> None:
        """Remember."""
        self.events.append("discontinuity")

    def ended(self) -> None:
        """Remember."""
        self.events.append("ended")

    def close(self) -> Deferred[None]:
        """Remember."""
        self.events.append("closed")
        return self.closed

    @property
    def boundaries(self) -> list[Boundary]:
        """The boundaries alone."""
        return [event for event in self.events if isinstance(event, Boundary)]

    @property
    def words(self) -> list[object]:
        """All but the boundaries, tracks as lists of their kinds."""
        return [
            [track.kind for track in event] if isinstance(event, tuple) else event
            for event in self.events
            if not isinstance(event, Boundary)
        ]


@implementer(IOutputMaker)
class FakeMaker:
    """Makes outputs that remember."""

    def __init__(self) -> None:
        self.outputs: list[FakeOutput] = []

    def make(self, stream: object) -> FakeOutput:
        """Make one."""
        assert isinstance(stream, Stream)
        self.outputs.append(FakeOutput())
        return self.outputs[-1]


def request(
    key: str = "key", token: str = "good", session: str = "s1", action: str = "publish"
) -> AccessRequest:
    """Ask to publish."""
    return AccessRequest(action, key, "live", "192.0.2.1", session, {"token": token}, "test/1")


@dataclass
class Encoder:
    """Publishes audio and video in real time, or ahead of it."""

    clock: Clock
    publication: Publication
    tracks: Sequence[Track] = (VIDEO, AUDIO)
    gop: float = 2.0
    offset_ms: int = 80
    time: float = 0.0
    """Its own clock in seconds."""
    frames: int = 0
    audio_frames: int = 0
    origin: float = field(init=False)

    def __post_init__(self) -> None:
        self.origin = self.time
        self.publication.set_tracks(tuple(self.tracks))

    def run(self, seconds: float, *, kinds: Sequence[str] = ("video", "audio")) -> None:
        """Send for some seconds; tracks of other kinds are mute meanwhile."""
        video_track = next((t for t in self.tracks if t.kind == "video"), None)
        audio_track = next((t for t in self.tracks if t.kind == "audio"), None)
        for _ in range(round(seconds * FPS)):
            now = self.origin + self.frames / FPS
            if video_track is not None and "video" in kinds:
                key = self.frames % round(self.gop * FPS) == 0
                sample = video(now * 1000, key=key, offset_ms=self.offset_ms, track=video_track)
                self.publication.write(sample)
            self.frames += 1
            end = self.origin + self.frames / FPS
            while audio_track is not None:
                at = self.origin + self.audio_frames * 1024 / audio_track.timescale
                if at >= end:
                    break
                self.audio_frames += 1
                if "audio" in kinds:
                    self.publication.write(audio(at * 1000, track=audio_track))
            self.clock.advance(1 / FPS)
        self.time = self.origin + self.frames / FPS


class StreamCase(SynchronousTestCase):
    """A stream manager with an output that remembers."""

    def setUp(self) -> None:
        """Make the manager."""
        self.clock = Clock()
        self.clock.advance(NOW)
        self.authenticator = FakeAuthenticator()
        self.maker = FakeMaker()
        self.state = MemoryStorage(self.clock)
        self.records = RecordStore(self.state)
        self.manager = self.make_manager()

    def make_manager(self, **settings: object) -> StreamManager:
        """Make a manager on the same state."""
        return StreamManager(
            self.clock,
            self.authenticator,
            self.makers(),
            StreamSettings(**settings),  # type: ignore[arg-type]  # a test names what it wants
            self.records,
        )

    def makers(self) -> Sequence[IOutputMaker]:
        """Make the outputs' makers."""
        return [self.maker]

    def publish(self, key: str = "key", token: str = "good") -> Publication:
        """Publish, which must be granted."""
        return self.successResultOf(self.manager.publish(request(key, token)))

    def refused(self, key: str = "key", token: str = "good") -> AccessDenied:
        """Publish, which must be refused."""
        failure = self.failureResultOf(self.manager.publish(request(key, token)), AccessDenied)
        error = failure.value
        assert isinstance(error, AccessDenied)
        return error

    def encoder(self, key: str = "key", token: str = "good", **settings: object) -> Encoder:
        """Start an encoder."""
        publication = self.publish(key, token)
        return Encoder(self.clock, publication, **settings)  # type: ignore[arg-type]  # likewise

    @property
    def stream(self) -> Stream:
        """The stream of the usual key."""
        stream = self.manager.get("key")
        assert stream is not None
        return stream

    @property
    def output(self) -> FakeOutput:
        """The newest output."""
        return self.maker.outputs[-1]

    def tick(self, seconds: int) -> None:
        """Let time pass as the service does."""
        for _ in range(seconds):
            self.clock.advance(1)
            self.manager.tick()
