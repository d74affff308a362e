"""Sends a Representation: conditional and range requests, gzip, slow readers (RFC 9110)."""

# Twisted's request methods carry no annotations yet.
# mypy: allow-untyped-calls

import gzip
import re
from functools import lru_cache

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.web import http
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from rapidrtmp.interfaces import Representation
from rapidrtmp.web.request import Request
from rapidrtmp.web.responses import error_body

SLICE = 128 * 1024
"""Bytes handed to a connection at a time. With what the transport may still hold (64 KiB
at most when it asks for more) a viewer never costs over 256 KiB, however large the file."""

WRITE_STALL = 30.0
"""Seconds in which a viewer must have taken a slice: 35 kbit/s, less than any audio."""

MIN_GZIP = 256
"""Bytes under which gzip gains nothing."""

GZIP_CACHE = 512
"""Compressed texts remembered: three playlists of each of 170 streams. A playlist is
compressed once per version, whatever the number of its viewers."""

MAX_GZIP = 1024 * 1024
"""Bytes above which a text is sent as it is, which bounds the cache."""

COMPRESSIBLE = re.compile(
    r"text/|image/svg|application/(vnd\.apple\.mpegurl|dash\+xml|json|javascript)"
)

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_CODING = re.compile(r"\s*([^\s;,]+)\s*(?:;\s*q\s*=\s*([0-9.]{1,5}))?[^,]*", re.IGNORECASE)


def respond(request: Request, representation: Representation, clock: IReactorTime) -> bytes | int:
    """Answer a GET or HEAD with a representation, or with what is asked of it.

    Args:
        request: the request; other headers (CORS) are already set.
        representation: what its address stands for now.
        clock: times slow readers out.

    Returns:
        The body, or NOT_DONE_YET when it is sent piecemeal.
    """
    body, etag = representation.body, representation.etag
    headers = request.responseHeaders
    headers.setRawHeaders(b"Cache-Control", [representation.cache_control.encode("ascii")])
    is_text = COMPRESSIBLE.match(representation.content_type) is not None
    if is_text:
        headers.setRawHeaders(b"Vary", [b"Accept-Encoding"])
        if MIN_GZIP <= len(body) <= MAX_GZIP and accepts_gzip(_header(request, b"Accept-Encoding")):
            body = compressed(body)
            etag = etag and f"{etag}-gzip"  # other bytes, so another strong tag
            headers.setRawHeaders(b"Content-Encoding", [b"gzip"])
    else:
        headers.setRawHeaders(b"Accept-Ranges", [b"bytes"])
    if etag:
        request.etag = b'"%b"' % etag.encode("ascii")
        if matches(_header(request, b"If-None-Match"), etag):
            headers.removeHeader(b"Content-Encoding")
            request.setResponseCode(http.NOT_MODIFIED)
            return b""
    start, end = 0, len(body)
    wanted = None if is_text else _wanted_range(request, etag)
    if wanted:
        span = byte_range(wanted, end)
        if span is None:
            request.etag = None
            extra = {b"Content-Range": b"bytes */%d" % end}
            code = http.REQUESTED_RANGE_NOT_SATISFIABLE
            return error_body(request, code, f"the file has {end} bytes", extra)
        headers.setRawHeaders(b"Content-Range", [b"bytes %d-%d/%d" % (span[0], span[1] - 1, end)])
        request.setResponseCode(http.PARTIAL_CONTENT)
        start, end = span
    headers.setRawHeaders(b"Content-Type", [representation.content_type.encode("ascii")])
    headers.setRawHeaders(b"Content-Length", [b"%d" % (end - start)])
    if request.method == b"HEAD":
        return b""
    if end - start <= SLICE:
        return body[start:end]
    SliceProducer(request, body, start, end, clock).resumeProducing()
    return NOT_DONE_YET


def _header(request: Request, name: bytes) -> str:
    values = request.requestHeaders.getRawHeaders(name)
    return b",".join(values).decode("latin-1") if values else ""


def _wanted_range(request: Request, etag: str) -> "re.Match[str] | None":
    """Return the one range that is asked for; None for none, several or nonsense."""
    value = _header(request, b"Range")
    if not value:
        return None
    condition = _header(request, b"If-Range")
    if condition and condition != f'"{etag}"':
        return None
    found = _RANGE.fullmatch(value.replace(" ", ""))
    if found is None or found.group(1) == found.group(2) == "":
        return None
    if found.group(1) and found.group(2) and int(found.group(1)) > int(found.group(2)):
        return None
    return found


def byte_range(wanted: "re.Match[str]", size: int) -> tuple[int, int] | None:
    """Resolve a range (RFC 9110 section 14.1.2) against a body.

    Args:
        wanted: first and last position, one of which may be empty.
        size: of the body, in bytes.

    Returns:
        [start, end), or None when it cannot be satisfied.
    """
    first, last = wanted.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
    return (start, end) if start < end else None


def matches(if_none_match: str, etag: str) -> bool:
    """Compare weakly an If-None-Match header with an entity tag (RFC 9110 section 13.1.2)."""
    if not if_none_match:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or f'"{etag}"' in tags


@lru_cache(maxsize=256)
def accepts_gzip(accept_encoding: str) -> bool:
    """Tell whether an Accept-Encoding header allows gzip (RFC 9110 section 12.5.3)."""
    quality = {}
    for item in accept_encoding.split(","):
        coding = _CODING.fullmatch(item)
        if coding:
            quality[coding.group(1).lower()] = (coding.group(2) or "1").strip("0.") != ""
    return quality.get("gzip", quality.get("x-gzip", quality.get("*", False)))


@lru_cache(maxsize=GZIP_CACHE)
def compressed(body: bytes) -> bytes:
    """Compress a text; the same bytes give the same bytes."""
    return gzip.compress(body, compresslevel=6, mtime=0)


@implementer(IPushProducer)
class SliceProducer:
    """Sends part of a shared body as fast as its reader takes it, and no faster."""

    def __init__(
        self, request: Request, body: bytes, start: int, end: int, clock: IReactorTime
    ) -> None:
        self._request = request
        self._body = body
        self._position = start
        self._end = end
        self._paused = False
        self._stall: IDelayedCall = clock.callLater(WRITE_STALL, self._stalled)
        request.notifyFinish().addErrback(lambda _: self.stopProducing())
        request.registerProducer(self, True)

    def pauseProducing(self) -> None:
        """Wait: the connection's buffer is full."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Send until the buffer is full or all is sent."""
        self._paused = False
        self._stall.reset(WRITE_STALL)
        while self._position < self._end and not self._paused:
            start = self._position
            self._position = min(start + SLICE, self._end)
            self._request.write(self._body[start : self._position])
        if self._position >= self._end:
            self._stall.cancel()
            self._request.unregisterProducer()
            self._request.finish()

    def stopProducing(self) -> None:
        """Give up: the reader has gone."""
        self._position = self._end
        if self._stall.active():
            self._stall.cancel()

    def _stalled(self) -> None:
        self._request.channel.forceAbortClient()
