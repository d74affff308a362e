"""One request of an HTTP/2 connection and its answer (RFC 9113 section 5)."""

# Twisted's request methods carry no annotations yet.
# mypy: allow-untyped-calls

import json
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from h2.errors import ErrorCodes
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers

from rapidrtmp.web.fields import Fields

if TYPE_CHECKING:
    from rapidrtmp.web.forwarded import Network
    from rapidrtmp.web.http2 import HTTP2Connection
    from rapidrtmp.web.http_site import HTTPSite
    from rapidrtmp.web.request import Request

CONNECTION_HEADERS = frozenset({b"connection", b"keep-alive", b"transfer-encoding"})
"""Headers that HTTP/2 does not have (RFC 9113 section 8.2.2)."""


class Stream:
    """One request and its answer: what the request takes for its channel."""

    transport = None
    """Requests ask for it; only a connection has one."""

    def __init__(self, connection: "HTTP2Connection", number: int) -> None:
        """Make a stream.

        Args:
            connection: carries it.
            number: the stream identifier.
        """
        channel = connection.channel
        self.number = number
        self.factory: HTTPSite = channel.factory
        self.site = self.factory
        self.address: str = channel.address
        self.trusted: tuple[Network, ...] = channel.trusted
        self.is_counted: bool = channel.is_counted
        self.waiting = 0
        """Bytes of the answer that are not sent."""
        self.body = 0
        """Bytes of the request's body that came, while it is not whole."""
        self.is_complete = False
        """Whether the whole request is there."""
        self.is_ended = False
        """Whether the whole answer is there."""
        self.is_ready = False
        """Whether it is its turn soon."""
        self._connection = connection
        self._pieces: deque[memoryview] = deque()
        self._producer: Any = None
        self._is_producing = False
        self._method = b""
        self._path = b"*"
        make_request: Any = channel.requestFactory
        self.request: Request = make_request(self, queued=False)

    # The connection's side.

    def begin(self, fields: Iterable[tuple[bytes, bytes]], *, has_body: bool) -> None:
        """Take the request's header, whose form h2 has checked.

        Args:
            fields: names in lower case, and values.
            has_body: whether a body follows.
        """
        headers = self.request.requestHeaders
        authority = None
        for name, value in fields:
            if not name.startswith(b":"):
                headers.addRawHeader(name, value)
            elif name == b":method":
                self._method = value
            elif name == b":path":
                self._path = value
            elif name == b":authority":
                authority = value
        if authority is not None:
            headers.setRawHeaders(b"Host", [authority])  # h2 has refused any other one
        lengths = headers.getRawHeaders(b"Content-Length")
        self.request.gotLength(int(lengths[0]) if lengths else None if has_body else 0)
        if headers.hasHeader(b"Expect") and has_body and not self.is_ended:
            self._connection.send_headers(self, [(b":status", b"100")])

    def complete(self) -> None:
        """Have the request answered: it is all there."""
        self.is_complete = True
        if self.is_ended:
            self._connection.answered()  # it was refused before
        else:
            self.request.requestReceived(self._method, self._path, b"HTTP/2")

    def lost(self, reason: Failure) -> None:
        """Tell the request that its client is gone."""
        self._pieces.clear()
        self.waiting = 0
        if not self.is_ended:
            self._end()
            self.request.connectionLost(reason)

    def can_send(self, window: int) -> bool:
        """Tell whether there is something to send that fits the window."""
        return window > 0 if self.waiting else self.is_ended

    def take(self, size: int) -> bytes:
        """Give the next bytes of the answer, `size` at most."""
        taken = []
        while self._pieces and size:
            piece = self._pieces.popleft()
            if len(piece) > size:
                self._pieces.appendleft(piece[size:])
                piece = piece[:size]
            taken.append(piece)
            size -= len(piece)
        data = b"".join(taken)
        self.waiting -= len(data)
        if not self.waiting and self._producer is not None and not self._is_producing:
            self._connection.gate(self)
        return data

    def resume(self) -> None:
        """Have the producer go on."""
        if self._producer is not None:
            self._is_producing = True
            self._producer.resumeProducing()

    def refuse(
        self, code: int, description: str, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        """Answer what will never become a whole request.

        Args:
            code: the status code.
            description: plain words for whoever sent it.
            headers: further ones.
        """
        if self.is_counted:
            self.factory.counters.count_broken(code)
        body = json.dumps({"error": description}).encode("ascii")
        fields = [
            (b":status", b"%d" % code),
            (b"content-type", b"application/json; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
            (b"access-control-allow-origin", b"*"),
            *((name.lower(), value) for name, value in headers),
        ]
        self._connection.send_headers(self, fields)
        self.is_ended = True
        self.write(body)

    # The request's side, by the names of HTTPChannel.

    def writeHeaders(  # noqa: N802
        self,
        version: bytes,
        code: bytes,
        reason: bytes,
        headers: Headers,
        prepared: Sequence[Fields] = (),
    ) -> None:
        """Send the answer's header."""
        fields = [(b":status", code)]
        for each in prepared:
            fields += each.pairs
        for name, values in headers.getAllRawHeaders():
            lower = name.lower()
            if lower not in CONNECTION_HEADERS:
                fields += [(lower, value) for value in values]
        self._connection.send_headers(self, fields)

    def write(self, data: bytes) -> None:
        """Send some of the answer, or keep it until the client takes it."""
        if not data:
            return
        self._pieces.append(memoryview(data))
        self.waiting += len(data)
        self._connection.add(self, len(data))
        if self.waiting and self._producer is not None and self._is_producing:
            self._is_producing = False
            self._producer.pauseProducing()

    def offer(self, pieces: Sequence[bytes | memoryview]) -> int:
        """Send nothing at once, as others have their turn, too."""
        return 0

    def writeSequence(self, pieces: Iterable[bytes]) -> None:  # noqa: N802
        """Send some of the answer."""
        self.write(b"".join(pieces))

    def requestDone(self, request: "Request") -> None:  # noqa: N802
        """End the answer: all of it was written."""
        self._end()
        self._connection.add(self, 0)

    def _end(self) -> None:
        self.is_ended = True
        self._producer = None
        if self.is_complete:
            self._connection.answered()

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: N802
        """Ask a push producer for the answer, as fast as the client takes it."""
        self._producer = producer
        self._is_producing = True
        if self._connection.is_full(self):
            self._is_producing = False
            producer.pauseProducing()
            self._connection.gate(self)

    def unregisterProducer(self) -> None:  # noqa: N802
        """Learn that the producer has given all."""
        self._producer = None

    def loseConnection(self) -> None:  # noqa: N802
        """Break the answer off."""
        self._connection.reset(self, ErrorCodes.INTERNAL_ERROR)

    def forceAbortClient(self) -> None:  # noqa: N802
        """Break the answer off: the client does not take it."""
        self._connection.reset(self, ErrorCodes.CANCEL)

    def close_soon(self) -> None:
        """Let the connection be: what is refused is this request alone."""

    def getPeer(self) -> Any:
        """Give the address of the client."""
        return self._connection.channel.getPeer()

    def getHost(self) -> Any:
        """Give the address that the client connected to."""
        return self._connection.channel.getHost()

    def isSecure(self) -> bool:  # noqa: N802
        """Tell whether TLS carries it."""
        return bool(self._connection.channel.isSecure())
