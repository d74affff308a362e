"""HTTP connections, with limits of their own (RFC 9112).

What makes requests of bytes, and sends the bytes of answers.
"""

# Twisted's protocol methods carry no annotations yet.
# mypy: allow-untyped-calls

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IDelayedCall,
    IHandshakeListener,
    IProtocol,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.http_headers import Headers
from zope.interface import implementer

from rapidrtmp.protocol.direct_writer import DirectWriter
from rapidrtmp.web.fields import Fields, header_lines
from rapidrtmp.web.forwarded import Network
from rapidrtmp.web.http2 import HTTP2Connection
from rapidrtmp.web.request_head import Head, read_head

if TYPE_CHECKING:
    from rapidrtmp.web.http_site import HTTPSite
    from rapidrtmp.web.request import Request

SMALL = 8192
"""Bytes that are joined with the header before them sooner than sent from where they are."""

REFUSAL_LINGER = 2.0
"""Seconds in which the rest of a refused request is read and thrown away, so that its
sender, still busy sending, sees the answer and not a connection reset."""

CROWD_RETRY_AFTER = 10
"""Seconds after which somebody may try again who came when there were too many connections."""


CLOSE_TIMEOUT = 30
"""Seconds in which a client must have taken the last of its answer and, with TLS, have agreed
to the end. Then the connection is aborted."""


@implementer(IHandshakeListener)
class Channel(http.HTTPChannel):
    """One HTTP connection; one of HTTP/2 when TLS found that the client prefers it.

    The idle timeout (`timeOut`, s) is also the time a request may take to arrive: bytes
    that trickle in do not put it off.
    """

    factory: "HTTPSite"
    address = ""
    """IP address of the peer."""
    trusted: tuple[Network, ...] = ()
    """The networks of trusted proxies when the peer is one of them, otherwise none."""
    place = ""
    """What the peer is counted as; empty when it may have any number of connections."""
    crowd = ""
    """Why this connection is one too many; empty when it is not."""
    abortTimeout = CLOSE_TIMEOUT  # noqa: N815  (Twisted's name)
    is_counted = False
    """Whether the factory wants to hear of the end."""
    _closing: IDelayedCall | None = None
    _is_refused = False
    _header = b""
    """Of an answer that has begun, as long as nothing of its body was written."""
    _deadline = 0.0  # by the reactor's clock
    _timer: IDelayedCall | None = None
    _peer: IAddress | None = None
    _host: IAddress | None = None
    _http2: HTTP2Connection | None = None
    _upgraded: IProtocol | None = None
    CROWD_HEADERS = ((b"Retry-After", b"%d" % CROWD_RETRY_AFTER),)

    def connectionMade(self) -> None:
        """Start the timeout: a short one for a connection that is one too many."""
        super().connectionMade()
        self._writer = DirectWriter(cast(IConsumer, self.transport))
        if self.crowd:
            self.close_soon()

    def handshakeCompleted(self) -> None:  # noqa: N802  (Twisted's name)
        """Speak HTTP/2 if that is what TLS agreed on (ALPN)."""
        transport: Any = self.transport
        if transport.negotiatedProtocol == b"h2":
            transport.unregisterProducer()
            self._http2 = HTTP2Connection(self, transport)
            transport.registerProducer(self._http2, True)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes. Only the first ones of a request restart the timeout."""
        if self._http2 is not None:
            self._http2.receive(data)
            return
        if self._upgraded is not None:
            self._upgraded.dataReceived(data)
            return
        if self.crowd:
            self._refuse_crowd()
            return
        if not (self.requests or self._buffer):
            self.resetTimeout()
            head = read_head(data)
            is_ready = self.persistent and not self.paused and self._abortingCall is None
            if head is not None and is_ready:
                self._take(head)
                return
        # not HTTPChannel's own, which restarts the timeout at every byte
        LineReceiver.dataReceived(self, data)

    def _take(self, head: Head) -> None:
        """Have a request answered that came whole, as HTTPChannel does line by line."""
        request = cast("Request", self.requestFactory(self, 0))
        request.requestHeaders = head.headers
        request.gotLength(0)
        self.requests.append(request)
        self._command, self._path, self._version = head.method, head.target, b"HTTP/1.1"
        self.allContentReceived()

    def requestDone(self, request: http.Request) -> None:  # noqa: N802  (Twisted's name)
        """Go on to the next request, or wait until the client has taken enough of the answers."""
        if self._waitingForTransport:
            self.paused = True
            self._networkProducer.pauseProducing()
        super().requestDone(request)

    def resumeProducing(self) -> None:
        """Go on: the client has taken what there was."""
        super().resumeProducing()
        if self.paused and self._waitingForTransport:  # what was left has filled it again
            self._networkProducer.pauseProducing()
        elif self.paused:
            self.paused = False
            LineReceiver.dataReceived(self, b"")

    # What answers are sent by.

    def writeHeaders(  # noqa: N802  (Twisted's name)
        self,
        version: bytes,
        code: bytes,
        reason: bytes,
        headers: Headers,
        prepared: Sequence[Fields] = (),
    ) -> None:
        """Begin an answer. Its header goes out with what is written next."""
        lines = [b"%b %b %b\r\n" % (version, code, reason)]
        lines += [fields.lines for fields in prepared]
        lines += (header_lines(headers), b"\r\n")
        self._header = b"".join(lines)

    def write(self, data: bytes) -> None:
        """Send bytes, at once if the socket takes them."""
        header, self._header = self._header, b""
        if len(data) <= SMALL:
            data = header + data
        elif header:
            self._writer.write_all((header, data))
            return
        if data:
            self._writer.write(data)

    def writeSequence(self, pieces: Sequence[bytes]) -> None:  # noqa: N802  (Twisted's name)
        """Send bytes, at once if the socket takes them."""
        if self._header:
            pieces = (self._header, *pieces)
            self._header = b""
        self._writer.write_all(pieces)

    def offer(self, pieces: Sequence[bytes | memoryview]) -> int:
        """Send at once what the socket takes of something large, without a copy of it.

        Args:
            pieces: follow each other.

        Returns:
            How many bytes went. The others are still the caller's.
        """
        header, self._header = self._header, b""
        if not header:
            return self._writer.send(*pieces)
        sent = self._writer.send(header, *pieces) - len(header)
        if sent < 0:
            self._writer.write(header[sent:])
        return max(0, sent)

    def getPeer(self) -> IAddress:
        """Give the address of the client."""
        if self._peer is None:
            self._peer = super().getPeer()
        return self._peer

    def getHost(self) -> IAddress:
        """Give the address that the client connected to."""
        if self._host is None:
            self._host = super().getHost()
        return self._host

    def upgrade(self, request: "Request", protocol: IProtocol) -> None:
        """Give the connection to another protocol, whose bytes come and go as they are.

        Args:
            request: what asked for it. It is over, but its producer is told to pause still.
            protocol: takes what the client sends, and learns the end.
        """
        self._upgraded = protocol
        self.setTimeout(None)
        if request.started is not None:
            self.factory.count(request, http.SWITCHING)
        assert self.transport is not None
        protocol.makeConnection(self.transport)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: N802  (Twisted's name)
        """Refuse a request line or header line over MAX_LENGTH bytes."""
        self.refuse(431, "the request's header is too large")
        self.loseConnection()

    def _respondToBadRequestAndDisconnect(self) -> None:  # noqa: N802  (Twisted's name)
        self.refuse(http.BAD_REQUEST, "the HTTP request is malformed")
        self.loseConnection()

    def _refuse_crowd(self) -> None:
        """Answer what comes first, not before: some clients take an earlier answer for none."""
        if not self._is_refused:
            self._is_refused = True
            self.refuse(http.SERVICE_UNAVAILABLE, self.crowd, self.CROWD_HEADERS)

    def refuse(
        self, code: int, description: str, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        """Answer what will never become a whole request. The caller closes.

        Args:
            code: the status code.
            description: plain words for whoever sent it.
            headers: further ones.
        """
        if self.is_counted:
            self.factory.counters.count_broken(code)
        body = json.dumps({"error": description}).encode("ascii")
        assert self.transport is not None
        reason = http.RESPONSES.get(code, b"Error")
        extra = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(
            b"HTTP/1.1 %d %b\r\nContent-Type: application/json; charset=utf-8\r\n"
            b"Content-Length: %d\r\nAccess-Control-Allow-Origin: *\r\n%b"
            b"X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n%b"
            % (code, reason, len(body), extra, body)
        )

    def close_soon(self) -> None:
        """Close when whoever is still sending has had time to read the answer."""
        self.setTimeout(None)
        self._closing = self.callLater(REFUSAL_LINGER, self.loseConnection)

    # The idle timeout, which is put off with every request: the timer itself goes on and looks.

    def setTimeout(self, period: float | None) -> float | None:  # noqa: N802  (Twisted's name)
        """Change the timeout (s), which begins anew. None for none."""
        former: float | None = self.timeOut
        self.timeOut = period  # type: ignore[assignment]  # a float is as good
        self.resetTimeout()
        return former

    def resetTimeout(self) -> None:  # noqa: N802  (Twisted's name)
        """Begin the timeout anew, if there is one."""
        if self.timeOut is None:
            return
        self._deadline = self.factory.reactor.seconds() + self.timeOut
        if self._timer is None:
            self._timer = self.callLater(self.timeOut, self._look)
        elif self._timer.getTime() > self._deadline:
            self._timer.reset(self.timeOut)

    def _look(self) -> None:
        self._timer = None
        if self.timeOut is None:
            return
        left = self._deadline - self.factory.reactor.seconds()
        if left > 0:
            self._timer = self.callLater(left, self._look)
        else:
            self.timeoutConnection()

    def timeoutConnection(self) -> None:  # noqa: N802  (Twisted's name)
        """Close an idle or slow connection.

        As HTTPChannel does, but without a line in the log: every viewer who leaves would
        cause one.
        """
        if self._http2 is not None:
            self._http2.close()
        self.loseConnection()

    def loseConnection(self) -> None:  # noqa: N802  (Twisted's name)
        """Close when all is sent; abort when that takes too long."""
        self.setTimeout(None)
        if self._abortingCall is None:
            self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)
        super().loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the connection."""
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        if self._http2 is not None:
            self._http2.lost(reason)
        if self._upgraded is not None:
            self._upgraded.connectionLost(reason)
        super().connectionLost(reason)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.is_counted:
            self.is_counted = False
            self.factory.disconnected(self)
