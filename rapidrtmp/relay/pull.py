"""Plays a stream of another server, which becomes a publication of ours."""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from rapidrtmp.auth.internal import InternalRequest
from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.interfaces import AccessDenied
from rapidrtmp.protocol.client import RTMPClientProtocol
from rapidrtmp.protocol.ingest import Ingest, Unusable
from rapidrtmp.protocol.pacing import Pacing
from rapidrtmp.protocol.redial import Redial
from rapidrtmp.rtmp.capabilities import Capabilities
from rapidrtmp.rtmp.client import ClientSession
from rapidrtmp.rtmp.endpoint import MEDIA
from rapidrtmp.rtmp.target import Target
from rapidrtmp.stream.manager import StreamManager
from rapidrtmp.stream.publication import Eviction, Publication

FIRST_MEDIA_TIMEOUT = 20.0
IDLE_TIMEOUT = 10.0
"""Seconds without media, at first and later on, after which the connection is made anew: those
that publishers have by default."""
MAX_AHEAD = 10.0
"""Seconds that media may run ahead of the clock before reading pauses: a source that plays a file
as fast as it can is slowed down to it."""
_TICK = 1.0


class RTMPPull:
    """One stream of another server.

    Args:
        key: stream key under which it is published here.
        identity: of the right with which it is: equal at each return of this pull.
        redial: connects to the target; this pull becomes its owner.
        manager: takes the publication.
        demuxer: makes the demuxer of a connection.
        capabilities: what the target is told of us.
        clock: tells the time and calls later.
    """

    _log = Logger()

    def __init__(
        self,
        key: str,
        identity: str,
        redial: Redial,
        manager: StreamManager,
        demuxer: Callable[[], Demuxer],
        capabilities: Capabilities,
        clock: IReactorTime,
    ) -> None:
        self.redial = redial
        redial.owner = self
        self.bytes = 0
        """Of media that came."""
        self._key = key
        self._identity = identity
        self._manager = manager
        self._make_demuxer = demuxer
        self._demuxer = demuxer()
        self._capabilities = capabilities
        self._clock = clock
        self._ingest: Ingest | None = None
        self._connection: RTMPClientProtocol | None = None
        self._pause: IDelayedCall | None = None
        self._silence = 0.0
        self._tick = LoopingCall(self._look)
        self._tick.clock = clock

    # The connection's owner.

    def make_session(self, target: Target) -> ClientSession:
        """Make a session that plays."""
        session = ClientSession(target, publishes=False, capabilities=self._capabilities)
        session.on_media = self._receive
        self._demuxer = self._make_demuxer()
        return session

    def refuse(self, capabilities: Capabilities) -> str:
        """Whatever a server can do, we play what it has."""
        return ""

    def started(self, connection: RTMPClientProtocol) -> None:
        """Wait for media: without any, our stream's own grace shall come to its end."""
        self._connection = connection
        if not self._tick.running:
            self._silence = 0.0
            self._tick.start(_TICK, now=False)

    def writable(self) -> None:
        """There is nothing to write."""

    def stopped(self) -> None:
        """End the publication; the stream waits for our return as for any publisher's."""
        ingest, self._ingest = self._ingest, None
        self._connection = None
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self._tick.running:
            self._tick.stop()
        if ingest is not None:
            ingest.close("the relay lost its source")

    # Inside.

    def _receive(self, type_id: int, timestamp: int, payload: bytes) -> None:
        """Hand one message on. The hot path."""
        self.bytes += len(payload)
        ingest = self._ingest
        if ingest is None:
            if type_id not in MEDIA:
                self._demuxer.receive(type_id, timestamp, payload)
                return
            ingest = self._publish()
        if ingest is not None:
            try:
                ingest.receive(type_id, timestamp, payload)
            except Unusable as unusable:
                self.redial.retry(str(unusable))
            else:
                self._pace(ingest)

    def _pace(self, ingest: Ingest) -> None:
        """Stop reading for as long as media is too far ahead of the clock."""
        connection = self._connection
        if connection is not None and self._pause is None:
            wait = ingest.seconds_ahead(self._clock.seconds())
            if wait:
                connection.pause()
                self._pause = self._clock.callLater(wait, self._resume, connection)

    def _resume(self, connection: RTMPClientProtocol) -> None:
        self._pause = None
        connection.resume()
        if self._ingest is not None:
            # one read may have brought more than was looked at
            self._pace(self._ingest)

    def _publish(self) -> Ingest | None:
        """Ask for the right, which is decided at once."""
        target = self.redial.target
        request = InternalRequest(
            action="publish",
            key=self._key,
            app="relay",
            peer=target.host,
            session_id=f"pull-{self._key}",
            client=f"pull from {target.tc_url}",
            identity=self._identity,
        )
        self._manager.publish(request).addCallbacks(self._granted, self._denied).addErrback(
            self._crashed
        )
        return self._ingest

    def _granted(self, publication: Publication) -> None:
        self._ingest = Ingest(
            publication, self._demuxer, Pacing(MAX_AHEAD), FIRST_MEDIA_TIMEOUT, IDLE_TIMEOUT
        )
        publication.set_metadata(self._demuxer.metadata)
        publication.evicted.addCallback(self._evicted, publication)

    def _denied(self, failure: Failure) -> None:
        if not isinstance(failure.value, AccessDenied):
            failure.raiseException()
        self.redial.retry(f"not accepted here: {failure.getErrorMessage()}")

    def _crashed(self, failure: Failure) -> None:
        self._log.failure("relay of {key}: failed", failure, key=self._key)
        self.redial.retry("internal error")

    def _evicted(self, eviction: Eviction, publication: Publication) -> None:
        if self._ingest is not None and self._ingest.publication is publication:
            self.redial.retry(f"not accepted here: {eviction.description}")

    def _look(self) -> None:
        if self._pause is not None:
            return
        if self._ingest is not None:
            try:
                self._ingest.tick(_TICK)
            except Unusable as unusable:
                self.redial.retry(str(unusable))
            return
        self._silence += _TICK
        if self._silence >= FIRST_MEDIA_TIMEOUT:
            self.redial.retry(f"no media in {FIRST_MEDIA_TIMEOUT:.0f} s")
