"""HTTP requests, with limits and without HTML errors (RFC 9110)."""

# Twisted's request and protocol methods carry no annotations yet.
# mypy: allow-untyped-calls

from collections.abc import Sequence
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource, getChildForRequest

from rapidrtmp.address import plain_address
from rapidrtmp.web.channel import Channel
from rapidrtmp.web.counters import GONE, UNKNOWN
from rapidrtmp.web.fields import Fields, common_fields
from rapidrtmp.web.forwarded import client_address
from rapidrtmp.web.http2_stream import Stream
from rapidrtmp.web.responses import ANY_ORIGIN, error_body

MAX_BODY = 64 * 1024
"""Bytes of a request body. The largest real one, a publish request, has about 200."""


class Request(server.Request):
    """One HTTP request: its body stays small and in memory, its errors are JSON."""

    defaultContentType = None  # noqa: N815  (Twisted's name)
    # Twisted's annotation knows HTTP/1.1 alone
    channel: Channel | Stream  # type: ignore[assignment]
    content: BytesIO
    postpath: list[bytes]
    route = UNKNOWN
    """Pattern of the address, as resources set it: what the metrics tell requests apart by."""
    query = b""
    """What follows the question mark in the address."""
    started: float | None = None
    """When the whole request was there, by the clock of the counters; None when that does not
    matter or the request is counted already."""
    is_open = False
    """Whether scripts of any origin may read the answer (`responses.allow_any_origin`)."""
    fields: Fields | None = None
    """Header fields of the answer that were prepared. Others are in `responseHeaders`."""
    awaited: Deferred[Any] | None = None
    """What the answer waits for: cancelled when the client leaves. `notifyFinish` would make a
    Deferred more for each viewer that waits for a part."""
    _client: str | None = None
    _has_body = True
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
        if self._refused:
            return
        channel = self.channel
        if channel.is_counted:
            self.started = channel.factory.counters.monotonic()
        if channel.trusted:
            self._client = client_address(channel.address, self.requestHeaders, channel.trusted)
        self.content.seek(0)
        self.method, self.uri, self.clientproto = command, path, version
        self.path, _, self.query = path.partition(b"?")
        self.process()

    @property
    def args(self) -> dict[bytes, list[bytes]]:  # type: ignore[override]  # nobody sets it
        """The parameters of the query, and the values of each, when somebody asks."""
        found: dict[bytes, list[bytes]] = http.parse_qs(self.query, keep_blank_values=True)
        return found

    def connectionLost(self, reason: Failure) -> None:
        """The client has gone before the end of the answer."""
        if self.started is not None:
            self.channel.factory.count(self, self.code if self.startedWriting else GONE)
        super().connectionLost(reason)
        if self.awaited is not None:
            self.awaited.cancel()

    def process(self) -> None:
        """Look the resource up and have it answer."""
        self.site = self.channel.factory
        self.prepath: list[bytes] = []
        if self.path == b"*":
            self.path = b"/*"  # nothing is there either, but it is said our way
        self.postpath = self.path[1:].split(b"/")
        if b"%" in self.path:
            self.postpath = [unquote_to_bytes(part) for part in self.postpath]
        try:
            self.render(getChildForRequest(self.site.resource, self))
        except BaseException:
            self.processingFailed(Failure())

    @property
    def address(self) -> str:
        """IP address of the client, behind trusted proxies its own; '' where it has none."""
        if self._client is None:
            self._client = plain_address(getattr(self.getClientAddress(), "host", ""))
        return self._client

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
        body: bytes | int
        hosts = self.requestHeaders.getRawHeaders(b"Host") or ()
        if len(hosts) > 1 or (not hosts and self.clientproto == b"HTTP/1.1"):
            body = error_body(self, http.BAD_REQUEST, "one Host header is needed")
        else:
            body = resrc.render(self)
        if isinstance(body, bytes):
            self.end(body)

    def write(self, data: bytes) -> None:
        """Send some of the body; the first time, the header before it."""
        if self.finished:
            raise RuntimeError("write after the end of the answer")
        if self.is_gone:
            return
        if not self.startedWriting:
            self._begin()
        if not self._has_body:
            data = b""
        self.sentLength += len(data)
        if self.chunked and data:
            self.channel.writeSequence(http.toChunk(data))
        else:
            self.channel.write(data)

    def offer(self, pieces: Sequence[bytes | memoryview]) -> int:
        """Send some of the body at once, as `Channel.offer` does; nothing of one in chunks."""
        if self.is_gone:
            return 0
        if not self.startedWriting:
            self._begin()
        if self.chunked:
            return 0
        sent = self.channel.offer(pieces)
        self.sentLength += sent
        return sent

    def _begin(self) -> None:
        self.startedWriting = 1
        self._has_body = self.method != b"HEAD" and self.code not in http.NO_BODY_CODES
        prepared = [common_fields()]
        if self.is_open:
            prepared.append(ANY_ORIGIN)
        if self.fields is not None:
            prepared.append(self.fields)
        headers = self.responseHeaders
        if (
            self._has_body
            and self.clientproto == b"HTTP/1.1"
            and not (self.fields is not None and self.fields.has_length)
            and not headers.hasHeader(b"Content-Length")
        ):
            headers.setRawHeaders(b"Transfer-Encoding", [b"chunked"])
            self.chunked = 1
        code = b"%d" % self.code
        self.channel.writeHeaders(self.clientproto, code, self.code_message, headers, prepared)

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
        self.responseHeaders = Headers()  # what was meant for another answer
        self.fields = None
        self.end(error_body(self, http.INTERNAL_SERVER_ERROR, "internal server error"))
        return reason
