"""Publishers' connections: bytes between the transport, an RTMP session and a stream.

`RTMPServerProtocol` owns one connection. It feeds the session, lets the stream manager
decide, hands media on, and ends a connection that breaks a rule or falls silent.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IPushProducer,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

from rapidrtmp.address import plain_address
from rapidrtmp.interfaces import AccessDenied, AccessRequest, Refusal
from rapidrtmp.protocol.ingest import Ingest, Unusable
from rapidrtmp.protocol.log_budget import LogBudget
from rapidrtmp.protocol.pacing import Pacing
from rapidrtmp.rtmp import status
from rapidrtmp.rtmp.errors import ProtocolError
from rapidrtmp.rtmp.events import ConnectRequested, Event, PublishRequested, Refused
from rapidrtmp.rtmp.netconnection import State
from rapidrtmp.rtmp.session import ServerSession
from rapidrtmp.rtmp.url import redact
from rapidrtmp.stream.publication import Eviction, Publication

if TYPE_CHECKING:
    from rapidrtmp.protocol.server import RTMPServerFactory

CODES = {
    Refusal.DENIED: status.PUBLISH_DENIED,
    Refusal.BAD_NAME: status.PUBLISH_BAD_NAME,
    Refusal.BUSY: status.PUBLISH_BAD_NAME,
    Refusal.REJECTED: status.PUBLISH_REJECTED,
}
"""What each refusal is called in RTMP: the codes that OBS and GStreamer react to."""


class _ITransport(ITCPTransport, IConsumer, IPushProducer):
    """What Twisted's stream transports can do. Others lack the options of TCP."""


@implementer(IPushProducer)
class _OutputLimit:
    """Ends a connection whose client does not read.

    All that a publisher is sent fits the transport's buffer (64 KiB) many times over: when
    the transport asks for a pause, nobody reads at the other end.
    """

    def __init__(self, exceeded: Callable[[], None]) -> None:
        self._exceeded = exceeded

    def pauseProducing(self) -> None:
        self._exceeded()

    def resumeProducing(self) -> None:
        """Nothing waits to be produced."""

    def stopProducing(self) -> None:
        """The transport is gone; the protocol learns it by connectionLost."""


class RTMPServerProtocol(Protocol):
    """One client's connection.

    Reading pauses while a request is being decided, and while media runs too far ahead of
    the clock; never for a viewer.
    """

    TICK = 1.0
    """Seconds between two looks at whether a publisher still sends."""
    _log = Logger()
    transport: _ITransport

    def __init__(self, factory: "RTMPServerFactory", connection_id: str) -> None:
        self.connection_id = connection_id
        """Names the connection in logs."""
        self.session = ServerSession(factory.limits)
        self._factory = factory
        self._clock = factory.clock
        self._settings = factory.settings
        self._peer = ""
        self._key = ""
        self._log_budget = factory.log_budget
        self._events: deque[Event] = deque()
        self._is_processing = False
        self._is_ungranted = False
        self._is_over = False
        self._timer: IDelayedCall | None = None
        self._pause: IDelayedCall | None = None
        self._ingest: Ingest | None = None

    # The transport's side.

    def connectionMade(self) -> None:
        """Count the connection in, or close it at once when there are too many."""
        self._peer = plain_address(getattr(self.transport.getPeer(), "host", "local"))
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        self.transport.registerProducer(_OutputLimit(self._output_exceeded), True)
        refusal = self._factory.connected(self, self._peer)
        if refusal:
            self._log_budget = self._factory.overflow_log_budget
            self._fail("too_many_connections", refusal)
            return
        self._set_ungranted(True)
        self._start_timer(self._settings.handshake_timeout, self._handshake_late)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes of the client."""
        self._factory.bytes_received += len(data)
        if not self._is_over:
            self._feed(self.session.receive_data, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let go of everything."""
        self._is_over = True
        self._end("the connection was lost")
        self._stop_timer()
        self._set_ungranted(False)
        self._factory.disconnected(self)
        if self.session.dropped:
            self._say(LogLevel.info, f"dropped messages {self.session.dropped}")

    def finish(self, code: str, description: str) -> None:
        """Tell the client that it is over, then close.

        Args:
            code: one of `status`, of level error.
            description: why, in plain words.
        """
        if not self._is_over:
            self.session.finish(code, description)
            self._end(description)
            self._flush()

    # The session's side.

    def _feed(self, step: Callable[..., list[Event]], argument: object) -> None:
        """Make the session go on by one step and do what follows from it."""
        was_handshake = self.session.state is State.HANDSHAKE
        try:
            events = step(argument, self._clock.seconds())
            if was_handshake and self.session.state is not State.HANDSHAKE:
                self._start_timer(self._settings.publish_timeout, self._publish_late)
            self._process(events)
        except (ProtocolError, Unusable) as error:
            if self._ingest is not None:
                self._ingest.publication.is_abusive = True
            if isinstance(error, Unusable):
                self._send_away(error)
            else:
                self._fail(error.reason, str(error))
        except Exception:
            self._crash()
        else:
            self._flush()
            self._pace()

    def _process(self, events: list[Event]) -> None:
        """Act on events. An answer that comes at once adds its own to those under way."""
        self._events.extend(events)
        if self._is_processing:
            return
        self._is_processing = True
        try:
            while self._events and not self._is_over:
                event = self._events.popleft()
                if isinstance(event, ConnectRequested):
                    self._events.extend(self.session.accept(event, self._clock.seconds()))
                elif isinstance(event, PublishRequested):
                    self._publish(event)
                elif isinstance(event, Refused):
                    self._say(LogLevel.info, f"refused, {event.code}: {event.description}")
                else:
                    self._end("unpublished")
                    self._set_ungranted(True)
                    self._start_timer(self._settings.publish_timeout, self._publish_late)
        finally:
            self._is_processing = False

    def _flush(self) -> None:
        if not self._is_over:
            self.transport.writeSequence(self.session.data_to_send())
        if self.session.state is State.CLOSED and not self._is_over:
            self._close()

    # Publishing.

    def _publish(self, request: PublishRequested) -> None:
        self._key = request.key
        self._stop_timer()
        self.transport.pauseProducing()
        access = AccessRequest(
            action="publish",
            key=request.key,
            app=request.app,
            peer=self._peer,
            session_id=self.connection_id,
            credentials=request.parameters,
            client=redact(request.client),
        )
        decision = self._factory.manager.publish(access)
        decision.addCallbacks(
            self._granted, self._refused, callbackArgs=(request,), errbackArgs=(request,)
        )
        decision.addErrback(self._crash)

    def _granted(self, publication: Publication, request: PublishRequested) -> None:
        if self._is_over:
            publication.close("the client left before it was let in")
            return
        self._log_budget = LogBudget()
        settings = self._settings
        self._ingest = Ingest(
            publication,
            self._factory.demuxer_factory(),
            Pacing(settings.max_ahead),
            settings.first_media_timeout,
            settings.idle_timeout,
        )
        self.session.on_media = self._ingest.receive
        publication.evicted.addCallback(self._evicted, publication)
        self._set_ungranted(False)
        self._start_timer(self.TICK, self._tick)
        self.transport.resumeProducing()
        self._feed(self.session.accept, request)

    def _refused(self, failure: Failure, request: PublishRequested) -> None:
        denied = failure.value
        if not isinstance(denied, AccessDenied):
            self._crash(failure)
        elif not self._is_over:
            self._refuse(request, denied)
            self._flush()

    def _refuse(self, request: PublishRequested, denied: AccessDenied) -> None:
        code = CODES[denied.refusal]
        self._say(LogLevel.info, f"refused, {code}: {denied.description}")
        self.session.reject(request, code, denied.description)

    def _evicted(self, eviction: Eviction, publication: Publication) -> None:
        if self._ingest is not None and self._ingest.publication is publication:
            self.finish(CODES[eviction.refusal], eviction.description)

    def _tick(self) -> None:
        self._start_timer(self.TICK, self._tick)
        if self._ingest is not None and self._pause is None:
            try:
                self._ingest.tick(self.TICK)
            except Unusable as unusable:
                self._send_away(unusable)

    def _pace(self) -> None:
        """Stop reading for as long as media is too far ahead of the clock."""
        if self._ingest is not None and self._pause is None:
            wait = self._ingest.seconds_ahead(self._clock.seconds())
            if wait:
                self.transport.pauseProducing()
                self._pause = self._clock.callLater(wait, self._resume)

    def _resume(self) -> None:
        self._pause = None
        self.transport.resumeProducing()

    # Ends.

    def _handshake_late(self) -> None:
        self._fail("handshake_timeout", "the handshake took too long")

    def _publish_late(self) -> None:
        self._fail("publish_timeout", "nothing was published")

    def _output_exceeded(self) -> None:
        self._fail("output_full", "the client does not read what it is sent")

    def _fail(self, reason: str, text: str) -> None:
        """End a connection that broke a rule, at once."""
        if not self._is_over:
            self._count(reason, text)
            self._end(f"{reason}: {text}")
            self._abort()

    def _send_away(self, unusable: Unusable) -> None:
        """End a publish that is of no use; the publisher is told why."""
        self._count(unusable.reason, str(unusable))
        self.finish(status.PUBLISH_REJECTED, str(unusable))

    def _crash(self, failure: Failure | None = None) -> None:
        """End the connection whose handling raised what nobody expected."""
        self._log.failure("RTMP {connection}: failed", failure, connection=self._name)
        self._factory.count_error("internal")
        if not self._is_over:
            self._end("internal error")
            self._abort()

    def _count(self, reason: str, text: str) -> None:
        self._factory.count_error(reason)
        self._say(LogLevel.warn, f"closed, {reason}: {text}")

    @property
    def _name(self) -> str:
        return " ".join(filter(None, (self.connection_id, self._peer, self._key)))

    def _say(self, level: LogLevel, text: str) -> None:
        """Log a line. All who never published have so many together, a publisher of its own."""
        left = self._log_budget.spend(self._clock.seconds())
        if not left:
            return
        if left == 1:
            text += f" (and no more such lines for up to {LogBudget.PERIOD:g} s)"
        self._log.emit(level, "RTMP {connection}: {text}", connection=self._name, text=text)

    def _end(self, reason: str) -> None:
        """Close the publication, if there is one. Once only."""
        ingest, self._ingest = self._ingest, None
        self.session.on_media = None
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
            if not self._is_over:
                self.transport.resumeProducing()
        if ingest is not None:
            ingest.close(reason)

    def _close(self) -> None:
        """Close once the client has read the last word, or has had its time to.

        Closing a socket that has unread bytes resets it, and the client may lose the last
        word: so only our direction is closed, and what still arrives is read and ignored.
        """
        self._is_over = True
        self.transport.unregisterProducer()
        self.transport.resumeProducing()
        if ITCPTransport.providedBy(self.transport) and not ISSLTransport.providedBy(
            self.transport
        ):
            self.transport.loseWriteConnection()
        else:
            self.transport.loseConnection()
        self._start_timer(self._settings.close_timeout, self._abort)

    def _abort(self) -> None:
        self._stop_timer()
        if not self._is_over:
            self._is_over = True
            self.transport.unregisterProducer()
        self.transport.abortConnection()

    def _set_ungranted(self, ungranted: bool) -> None:
        if ungranted is not self._is_ungranted:
            self._is_ungranted = ungranted
            self._factory.count_ungranted(self._peer, 1 if ungranted else -1)

    def _start_timer(self, seconds: float, call: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self._clock.callLater(seconds, call)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
