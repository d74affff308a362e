"""Sends a Representation: conditional and range requests, gzip, slow readers (RFC 9110).

One that grows is sent as it grows: in chunks (RFC 9112 section 7.1), or frames of HTTP/2.
"""

# Twisted's request methods carry no annotations yet.
# mypy: allow-untyped-calls

import gzip
import re
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Protocol, cast

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.web import http
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from rapidrtmp.interfaces import Growth, Representation
from rapidrtmp.web.channel import SMALL
from rapidrtmp.web.fields import Fields
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

GZIP_CACHE_BYTES = 32 * 1024 * 1024
"""The same in bytes, before and after; the two newest texts are remembered in any case."""

MAX_GZIP = 8 * 1024 * 1024
"""Bytes above which a text is sent as it is."""

FAST_GZIP = 64 * 1024
"""Bytes from which on speed counts: a playlist of 4 h (785 KB) takes 2 ms at level 1 and 8 ms at
level 6, for 78 or 71 KB."""

DESCRIBED = 1024
"""Answers whose header fields are remembered, 1 KB each: those of the files of 100 streams."""

Bytes = bytes | memoryview

PLAIN, VARIED, COMPRESSED, RANGED = "", "varied", "compressed", "ranged"
_VARY = (b"Vary", b"Accept-Encoding")
_KINDS = {
    PLAIN: (),
    VARIED: (_VARY,),
    COMPRESSED: (_VARY, (b"Content-Encoding", b"gzip")),
    RANGED: ((b"Accept-Ranges", b"bytes"),),
}
"""What is said of texts that may be compressed, are compressed, and of what is sent in parts."""

COMPRESSIBLE = re.compile(
    r"text/|image/svg|application/(vnd\.apple\.mpegurl|dash\+xml|json|javascript)"
)

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_CODING = re.compile(r"\s*([^\s;,]+)\s*(?:;\s*q\s*=\s*([0-9.]{1,5}))?[^,]*", re.IGNORECASE)


def respond(
    request: Request,
    representation: Representation,
    clock: IReactorTime,
    *,
    is_shared: bool = True,
) -> bytes | int:
    """Answer a GET or HEAD with a representation, or with what is asked of it.

    Args:
        request: the request; other headers (CORS) are already set.
        representation: what its address stands for now.
        clock: times slow readers out.
        is_shared: whether others get the same bytes, so that they are compressed for all.

    Returns:
        The body, or NOT_DONE_YET when it is sent piecemeal.
    """
    pieces: Sequence[Bytes] = representation.pieces
    size, etag = representation.size, representation.etag
    if is_text(representation.content_type):
        kind = VARIED if is_shared else PLAIN
    else:
        kind = RANGED if representation.growth is None else PLAIN
    is_compressible = kind is VARIED and MIN_GZIP <= size <= MAX_GZIP
    if is_compressible and accepts_gzip(_header(request, b"Accept-Encoding")):
        kind = COMPRESSED
        pieces = (compressed(b"".join(pieces)),)
        size = len(pieces[0])
        etag = etag and f"{etag}-gzip"  # other bytes, so another strong tag
    caching, content_type = representation.cache_control, representation.content_type
    if etag and matches(_header(request, b"If-None-Match"), etag):
        request.setResponseCode(http.NOT_MODIFIED)
        request.fields = _described(VARIED if kind is COMPRESSED else kind, caching, etag)
        return b""
    if representation.growth is not None:
        # Nobody knows its length. A range is not refused, but all is sent (RFC 9110 14.2).
        request.fields = _described(kind, caching, etag, content_type)
        request.setHeader(b"X-Accel-Buffering", b"no")  # nginx would hold it back
        if request.method == b"HEAD":
            return b""
        GrowingProducer(request, pieces, representation.growth, clock).start()
        return NOT_DONE_YET
    # a range is defined for GET alone (RFC 9110 14.2)
    is_ranged = kind is RANGED and request.method == b"GET"
    wanted = _wanted_range(request, etag) if is_ranged else None
    if wanted:
        span = byte_range(wanted, size)
        if span is None:
            extra = {b"Accept-Ranges": b"bytes", b"Content-Range": b"bytes */%d" % size}
            code = http.REQUESTED_RANGE_NOT_SATISFIABLE
            return error_body(request, code, f"the file has {size} bytes", extra)
        start, end = span
        request.setHeader(b"Content-Range", b"bytes %d-%d/%d" % (start, end - 1, size))
        request.setResponseCode(http.PARTIAL_CONTENT)
        pieces = cut(pieces, start, end)
        size = end - start
    request.fields = _described(kind, caching, etag, content_type, size)
    if request.method == b"HEAD":
        return b""
    if size > SMALL:
        sent = request.offer(pieces)
        if sent:
            pieces = cut(pieces, sent, size)
            size -= sent
    if size <= SLICE:
        return b"".join(pieces)  # no copy if it is one
    SliceProducer(request, pieces, clock).start()
    return NOT_DONE_YET


@lru_cache(DESCRIBED)
def _described(
    kind: str, caching: str, etag: str, content_type: str = "", size: int | None = None
) -> Fields:
    """Make the header fields of an answer; content type and size where it has them."""
    fields = [(b"Cache-Control", caching.encode("ascii")), *_KINDS[kind]]
    if content_type:
        fields.append((b"Content-Type", content_type.encode("ascii")))
    if size is not None:
        fields.append((b"Content-Length", b"%d" % size))
    if etag:
        fields.append((b"ETag", b'"%b"' % etag.encode("ascii")))
    return Fields(*fields)


@lru_cache(64)
def is_text(content_type: str) -> bool:
    """Tell whether a content type is worth compressing."""
    return COMPRESSIBLE.match(content_type) is not None


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


def cut(pieces: Iterable[Bytes], start: int, end: int) -> list[Bytes]:
    """Return bytes [start, end) of pieces that follow each other, without a copy of them."""
    found: list[Bytes] = []
    for piece in pieces:
        if start < len(piece) and end > 0:
            found.append(memoryview(piece)[max(0, start) : end])
        start -= len(piece)
        end -= len(piece)
    return found


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


class Compressed:
    """Compresses texts, and remembers the newest."""

    def __init__(self) -> None:
        """Remember none."""
        self._texts: OrderedDict[bytes, bytes] = OrderedDict()
        self.bytes = 0
        """Of the texts, before and after."""
        self.count = 0
        """Texts that were compressed since the start."""

    def __call__(self, body: bytes) -> bytes:
        """Compress a text; the same bytes give the same bytes."""
        text = self._texts.get(body)
        if text is not None:
            self._texts.move_to_end(body)
            return text
        text = gzip.compress(body, compresslevel=6 if len(body) < FAST_GZIP else 1, mtime=0)
        self._texts[body] = text
        self.count += 1
        self.bytes += len(body) + len(text)
        while len(self._texts) > GZIP_CACHE or (
            self.bytes > GZIP_CACHE_BYTES and len(self._texts) > 2
        ):
            self.bytes -= sum(map(len, self._texts.popitem(last=False)))
        return text


compressed = Compressed()


class _Site(Protocol):
    """What is asked of a request's site."""

    sending: "set[SliceProducer]"
    """Bodies that are on their way, for who wants to know how much waits for slow readers."""


@implementer(IPushProducer)
class SliceProducer:
    """Sends a shared body as fast as its reader takes it, and no faster."""

    def __init__(self, request: Request, pieces: Iterable[Bytes], clock: IReactorTime) -> None:
        self._request = request
        self._pieces = deque(memoryview(piece) for piece in pieces if piece)
        self._clock = clock
        self._paused = False
        self._stall: IDelayedCall = clock.callLater(WRITE_STALL, self._stalled)
        self._sending = cast(_Site, request.site).sending
        self._sending.add(self)
        request.notifyFinish().addErrback(lambda _: self.stopProducing())
        request.registerProducer(self, True)

    @property
    def left(self) -> int:
        """Bytes that were not yet handed to the connection."""
        return sum(map(len, self._pieces))

    def start(self) -> None:
        """Send, unless the connection asked for a pause already."""
        if not self._paused:
            self.resumeProducing()

    def pauseProducing(self) -> None:
        """Wait: the connection's buffer is full."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Send until the buffer is full or all is sent."""
        self._paused = False
        self._stall.reset(WRITE_STALL)
        while self._pieces and not self._paused:
            if not self._drop(self._request.offer(self._pieces)):
                # Nothing goes at once: the connection keeps a slice, and says when it has sent it.
                piece = self._pieces[0][:SLICE]
                self._drop(len(piece))
                self._request.write(bytes(piece))
        if not self._pieces:
            self._drained()

    def _drop(self, size: int) -> int:
        """Let go of bytes that were handed to the connection; return how many."""
        left = size
        while left:
            piece = self._pieces.popleft()
            if len(piece) > left:
                self._pieces.appendleft(piece[left:])
            left -= min(left, len(piece))
        return size

    def _drained(self) -> None:
        """All is handed to the connection."""
        self._let_go()
        self._request.unregisterProducer()
        self._request.finish()

    def _let_go(self) -> None:
        self._sending.discard(self)
        if self._stall.active():
            self._stall.cancel()

    def stopProducing(self) -> None:
        """Give up: the reader has gone."""
        self._pieces.clear()
        self._let_go()

    def _stalled(self) -> None:
        self._request.channel.forceAbortClient()


class GrowingProducer(SliceProducer):
    """Sends a body and what comes after it, piece by piece. A reader costs no more by that."""

    def __init__(
        self, request: Request, pieces: Iterable[Bytes], growth: Growth, clock: IReactorTime
    ) -> None:
        self._growth = growth
        self._taken = 0  # of its pieces
        super().__init__(request, pieces, clock)
        growth.readers[self._grown] = None

    @property
    def left(self) -> int:
        """Bytes that were not yet handed to the connection."""
        return super().left + sum(map(len, self._growth.pieces[self._taken :]))

    def resumeProducing(self) -> None:
        """Send until the buffer is full or all is sent that is there."""
        grown = self._growth.pieces[self._taken :]
        self._taken += len(grown)
        self._pieces.extend(memoryview(piece) for piece in grown if piece)
        super().resumeProducing()

    def _grown(self) -> None:
        if not self._paused:
            self.resumeProducing()

    def _drained(self) -> None:
        if self._growth.is_complete:
            super()._drained()
        elif self._growth.is_broken:
            # What is missing must not look like the end.
            self._let_go()
            self._request.unregisterProducer()
            self._request.channel.loseConnection()

    def _let_go(self) -> None:
        super()._let_go()
        self._growth.readers.pop(self._grown, None)

    def _stalled(self) -> None:
        if self._paused or self._pieces:
            super()._stalled()
        else:  # the encoder is slow, not the reader
            self._stall = self._clock.callLater(WRITE_STALL, self._stalled)
