"""HTTP/1.1 connections and requests, with limits and without HTML errors (RFC 9112)."""

# Twisted's request and protocol methods carry no annotations yet.
# mypy: allow-untyped-calls

import json
from io import BytesIO

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource

from rapidrtmp.address import plain_address
from rapidrtmp.web.responses import allow_any_origin, error_body

MAX_BODY = 64 * 1024
"""Bytes of a request body. The largest real one, a publish request, has about 200."""

REFUSAL_LINGER = 2.0
"""Seconds in which the rest of a refused request is read and thrown away, so that its
sender, still busy sending, sees the answer and not a connection reset."""


class Channel(http.HTTPChannel):
    """One HTTP connection.

    The idle timeout (`timeOut`, s) is also the time a request may take to arrive: bytes
    that trickle in do not put it off.
    """

    _closing: IDelayedCall | None = None

    def dataReceived(self, data: bytes) -> None:
        """Take bytes. Only the first ones of a request restart the timeout."""
        if not (self.requests or self._buffer):
            self.resetTimeout()
        # not HTTPChannel's own, which restarts the timeout at every byte
        LineReceiver.dataReceived(self, data)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: N802  (Twisted's name)
        """Refuse a request line or header line over MAX_LENGTH bytes."""
        self.refuse(431, "the request's header is too large")
        self.loseConnection()

    def _respondToBadRequestAndDisconnect(self) -> None:  # noqa: N802  (Twisted's name)
        self.refuse(http.BAD_REQUEST, "the HTTP request is malformed")
        self.loseConnection()

    def refuse(self, code: int, description: str) -> None:
        """Answer what will never become a whole request. The caller closes."""
        body = json.dumps({"error": description}).encode("ascii")
        assert self.transport is not None
        reason = http.RESPONSES.get(code, b"Error")
        self.transport.write(
            b"HTTP/1.1 %d %b\r\nContent-Type: application/json; charset=utf-8\r\n"
            b"Content-Length: %d\r\nAccess-Control-Allow-Origin: *\r\n"
            b"Connection: close\r\n\r\n%b" % (code, reason, len(body), body)
        )

    def close_soon(self) -> None:
        """Close when whoever is still sending has had time to read the answer."""
        self.setTimeout(None)
        self._closing = self.callLater(REFUSAL_LINGER, self.loseConnection)

    def timeoutConnection(self) -> None:  # noqa: N802  (Twisted's name)
        """Close an idle or slow connection; abort it when that takes too long.

        As HTTPChannel does, but without a line in the log: every viewer who leaves would
        cause one.
        """
        if self.abortTimeout is not None:
            self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)
        self.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the connection."""
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        super().connectionLost(reason)


class Request(server.Request):
    """One HTTP request: its body stays small and in memory, its errors are JSON."""

    defaultContentType = None  # noqa: N815  (Twisted's name)
    channel: Channel
    content: BytesIO
    postpath: list[bytes]
    _log = Logger()
    _refused = False

    def gotLength(self, length: int | None) -> None:
        """Learn the body's length in bytes (None: chunked) and refuse one over MAX_BODY."""
        # Twisted would spool a large or chunked body to a file without limit
        self.content = BytesIO()
        if length is not None and length > MAX_BODY:
            self._refuse_body()

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802  (Twisted's name)
        """Take a piece of the body."""
        if self._refused:
            return
        if self.content.tell() + len(data) > MAX_BODY:
            self._refuse_body()
        else:
            self.content.write(data)

    def _refuse_body(self) -> None:
        self._refused = True
        self.requestHeaders.removeHeader(b"Expect")  # no "100 Continue" after the refusal
        self.channel.refuse(
            http.REQUEST_ENTITY_TOO_LARGE,
            f"the request's body is too large, {MAX_BODY} bytes are allowed",
        )
        self.channel.close_soon()

    def requestReceived(  # noqa: N802  (Twisted's name)
        self, command: bytes, path: bytes, version: bytes
    ) -> None:
        """Answer, now that the whole request is there."""
        if not self._refused:
            super().requestReceived(command, path, version)

    def process(self) -> None:
        """Look the resource up and have it answer."""
        if self.path == b"*":
            self.path = b"/*"  # nothing is there either, but it is said our way
        super().process()

    @property
    def address(self) -> str:
        """IP address of the client, '' where it has none."""
        return plain_address(getattr(self.getClientAddress(), "host", ""))

    @property
    def local_address(self) -> str:
        """IP address that the client connected to, '' where there is none."""
        return plain_address(getattr(self.getHost(), "host", ""))

    @property
    def is_gone(self) -> bool:
        """Whether the client has disconnected: nothing can be answered any more."""
        return bool(self._disconnected)

    def render(self, resrc: IResource) -> None:
        """Have the resource answer. One that returns bytes is done, else it will call `end`."""
        self.responseHeaders.removeHeader(b"Server")
        body: bytes | int
        hosts = self.requestHeaders.getRawHeaders(b"Host") or ()
        if len(hosts) > 1 or (not hosts and self.clientproto == b"HTTP/1.1"):
            body = error_body(self, http.BAD_REQUEST, "one Host header is needed")
        else:
            body = resrc.render(self)
        if isinstance(body, bytes):
            self.end(body)

    def end(self, body: bytes) -> None:
        """Send the whole body, unless the method is HEAD, and finish."""
        self.write(body)
        self.finish()

    def processingFailed(self, reason: Failure) -> Failure:  # noqa: N802  (Twisted's name)
        """Log an unexpected exception and answer 500 without telling any detail."""
        self._log.failure(
            "Unexpected error answering {method} {path}",
            failure=reason,
            method=self.method,
            path=self.path,
        )
        if self.is_gone:
            return reason
        if self.startedWriting:
            self.loseConnection()
            return reason
        is_open = self.responseHeaders.hasHeader(b"Access-Control-Allow-Origin")
        self.responseHeaders = Headers()  # what was meant for another answer
        self.etag = None
        if is_open:
            allow_any_origin(self)
        self.end(error_body(self, http.INTERNAL_SERVER_ERROR, "internal server error"))
        return reason
