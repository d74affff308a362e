"""A connection to another server: bytes between the transport and an RTMP client's session."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol as Interface

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IPushProducer,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from rapidrtmp.rtmp.capabilities import Capabilities
from rapidrtmp.rtmp.client import MAX_TEXT, ClientSession, ClientState
from rapidrtmp.rtmp.client_events import (
    ClientEvent,
    Connected,
    Ended,
    PlayStarted,
    PublishStarted,
    ReconnectRequested,
    Rejected,
)
from rapidrtmp.rtmp.errors import ProtocolError
from rapidrtmp.rtmp.text import printable

START_TIMEOUT = 10.0
"""Seconds from the connection, TLS included, to the server's leave to publish or play."""
CLOSE_TIMEOUT = 2.0
"""Seconds that a server has to take our last words."""


@dataclass(frozen=True, slots=True)
class ConnectionEnd:
    """Why a connection is over that we would have kept."""

    reason: str
    """Plain words, without the stream key."""
    redirect: str = field(default="", repr=False)
    """Where the server says to connect to instead; empty for none."""


class ClientOwner(Interface):
    """Whom a connection tells what happens. Each call may end the connection."""

    def connected(self, capabilities: Capabilities) -> None:
        """Learn what the server can do; publishing or playing is not agreed on yet."""

    def started(self) -> None:
        """Learn that the server gave leave to publish, or to play."""

    def writable(self) -> None:
        """Learn that what was sent has gone: more can be sent."""

    def reconnect_requested(self, tc_url: str) -> None:
        """Learn that the server wants a new connection, to this URL; '' for the same."""

    def connection_ended(self, end: ConnectionEnd) -> None:
        """Learn that the connection is over, not by our own `finish`. Once, the last call."""


class _ITransport(ITCPTransport, IConsumer, IPushProducer):
    """What Twisted's stream transports can do."""


@implementer(IPushProducer)
class RTMPClientProtocol(Protocol):
    """One connection to another server, to publish one stream or to play one.

    Args:
        session: a fresh one.
        owner: told what happens.
        clock: tells the time and calls later.
    """

    transport: _ITransport

    def __init__(self, session: ClientSession, owner: ClientOwner, clock: IReactorTime) -> None:
        self.session = session
        self.is_writable = False
        """Whether media goes straight to the network. What is sent all the same is kept in
        memory."""
        self.closed: Deferred[None] = Deferred()
        """Fires when the connection is closed."""
        self._owner: ClientOwner | None = owner
        self._clock = clock
        self._timer: IDelayedCall | None = None

    # The transport's side.

    def connectionMade(self) -> None:
        """Begin the dialogue."""
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        self.is_writable = True
        self.transport.registerProducer(self, True)
        self._start_timer(START_TIMEOUT, self._start_late)
        self._flush()

    def dataReceived(self, data: bytes) -> None:
        """Take bytes of the server."""
        if self._owner is None:
            return
        try:
            events = self.session.receive_data(data, self._clock.seconds())
        except ProtocolError as error:
            self._end(ConnectionEnd(f"the server broke the protocol: {error}"))
            return
        for event in events:
            self._happened(event)
        if self._owner is not None:
            self._flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the owner, unless it knows."""
        self.is_writable = False
        self._stop_timer()
        self._tell_end(ConnectionEnd(describe_loss(reason)))
        self.closed.callback(None)

    def pauseProducing(self) -> None:
        """Learn that the server reads more slowly than is sent."""
        self.is_writable = False

    def resumeProducing(self) -> None:
        """Learn that what was kept has gone."""
        if self._owner is not None:
            self.is_writable = True
            self._owner.writable()

    def stopProducing(self) -> None:
        """The transport is gone; `connectionLost` follows."""

    # The owner's side.

    def send(self, type_id: int, timestamp: int, parts: tuple[bytes | memoryview, ...]) -> None:
        """Send one message of media. The hot path.

        Args:
            type_id: 8 audio, 9 video, 18 data.
            timestamp: ms, taken modulo 2^32.
            parts: the message's body in pieces.

        Raises:
            OverflowError: it is of over 16777215 bytes.
        """
        self.session.send_media(type_id, timestamp, parts)
        self.transport.writeSequence(self.session.data_to_send())

    def pause(self) -> None:
        """Stop reading."""
        self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        self.transport.resumeProducing()

    def finish(self) -> None:
        """End the connection in order; the owner hears nothing more."""
        if self._owner is not None:
            self._owner = None
            self.session.on_media = None
            self.session.finish()
            self._close()

    # Inside.

    def _happened(self, event: ClientEvent) -> None:
        owner = self._owner
        if owner is None:
            return
        if isinstance(event, Connected):
            owner.connected(event.capabilities)
        elif isinstance(event, PublishStarted | PlayStarted):
            self._stop_timer()
            owner.started()
        elif isinstance(event, ReconnectRequested):
            owner.reconnect_requested(event.tc_url)
        elif isinstance(event, Rejected):
            self._end(ConnectionEnd(_words("refused", event), event.redirect))
        else:
            self._end(ConnectionEnd(_words("ended by the server", event)))

    def _start_late(self) -> None:
        self._timer = None
        state = self.session.state
        waits = "its handshake" if state is ClientState.HANDSHAKE else "its answer"
        self._tell_end(ConnectionEnd(f"the server took over {START_TIMEOUT:g} s for {waits}"))
        self.transport.abortConnection()

    def _flush(self) -> None:
        self.transport.writeSequence(self.session.data_to_send())

    def _end(self, end: ConnectionEnd) -> None:
        self._tell_end(end)
        self._close()

    def _tell_end(self, end: ConnectionEnd) -> None:
        owner, self._owner = self._owner, None
        self.session.on_media = None
        if owner is not None:
            owner.connection_ended(end)

    def _close(self) -> None:
        self.is_writable = False
        self._flush()
        self.transport.resumeProducing()
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self._start_timer(CLOSE_TIMEOUT, self.transport.abortConnection)

    def _start_timer(self, seconds: float, call: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self._clock.callLater(seconds, call)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


def describe_loss(reason: Failure) -> str:
    """Say in one line why there is no connection (any more).

    Args:
        reason: what an endpoint or `connectionLost` tells.
    """
    if isinstance(reason.value, ConnectionDone):
        return "the server closed the connection"
    words = reason.getErrorMessage() or type(reason.value).__name__
    if type(reason.value).__module__.startswith(("OpenSSL", "service_identity")):
        words = f"TLS: {words}"
    return printable(words, MAX_TEXT)


def _words(what: str, event: Rejected | Ended) -> str:
    return f"{what}, {event.code}: {event.description}".rstrip(": ")
