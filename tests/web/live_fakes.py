"""A site with nothing but streams on it, whose viewers are really counted."""

# Twisted's resources carry no annotations.
# mypy: allow-untyped-calls

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.web.resource import Resource

from rapidrtmp.auth.playback import PlaybackAuthenticator
from rapidrtmp.auth.session_ids import SessionSigner
from rapidrtmp.interfaces import AccessRequest, NotFound
from rapidrtmp.storage.memory import MemoryStorage
from rapidrtmp.stream.lifecycle import StreamState
from rapidrtmp.stream.manager import StreamManager
from rapidrtmp.stream.statistics import Totals
from rapidrtmp.stream.viewers import Viewers
from rapidrtmp.web.http_site import HTTPSite
from rapidrtmp.web.live import LiveResource
from tests.web.fakes import FakeManager, FakeOutput, FakeStream

LIFE = "0123456789abcdef"


class LiveStream(FakeStream):
    """A stream that counts its viewers."""

    def __init__(self, key: str, clock: Clock, files: dict[str, object]) -> None:
        self.output = FakeOutput(files)
        super().__init__(key, http_outputs=[self.output])
        self.life = LIFE
        self.viewer_count = Viewers(clock, 1000)


class LiveManager(FakeManager):
    """Lets everybody in, unless told otherwise, and notes whom."""

    def __init__(self, *streams: LiveStream) -> None:
        super().__init__(*streams)
        self.totals = Totals()
        self.requests: list[AccessRequest] = []
        """Who wanted to play."""
        self.joined: list[AccessRequest] = []
        """Who became a viewer."""
        self.decide: Callable[[AccessRequest], Deferred[Any]] = lambda request: succeed(None)

    def subscribe(self, request: AccessRequest, *, begin: bool = True) -> Deferred[Any]:
        """Authorize, then look for the stream, as the real one does."""
        self.requests.append(request)
        return self.decide(request).addCallback(lambda _: self._find(request.key))

    def _find(self, key: str) -> "FakeStream | Deferred[Any]":
        stream = self.get(key)
        if stream is None or stream.state is StreamState.STOPPED:
            return fail(NotFound(key))
        return stream

    def can_begin(self, key: str) -> bool:
        """No stream is offered."""
        return False

    def viewer_joined(self, request: AccessRequest) -> None:
        """Note the viewer."""
        self.joined.append(request)


class LiveSite(HTTPSite):
    """The part of the site below ``/live``."""

    def __init__(
        self,
        manager: LiveManager,
        clock: Clock,
        playback: PlaybackAuthenticator | None = None,
        sessions: SessionSigner | None = None,
    ) -> None:
        sessions = sessions or SessionSigner(MemoryStorage(clock))
        live = LiveResource(cast(StreamManager, manager), clock, sessions, playback)
        root = Resource()
        root.putChild(b"live", live)
        super().__init__(root, clock)
