"""Fetches for the standards judge: HTTP and files, bounded in bytes and time."""

# Twisted's HTTP client carries no annotations yet.
# mypy: allow-untyped-calls

import zlib
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import url2pathname

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from rapidrtmp import __version__
from rapidrtmp.judge.http_rules import MAX_REDIRECTS, Answer

MAX_IDLE_CONNECTIONS = 8
CONNECT_TIMEOUT = 10.0
"""Seconds."""

NOWHERE = "none:"
"""Stands for an URL that cannot be."""

_REDIRECTS = (301, 302, 303, 307, 308)


class FetchError(Exception):
    """There is no answer. The message says why, in one line."""


class Client:
    """Fetches http, https and file URLs. Keeps no cookies, asks no proxy."""

    def __init__(self, reactor: Any, agent: IAgent | None = None) -> None:
        """Make a client.

        Args:
            reactor: connects, and tells the time.
            agent: sends the requests; one of its own when None.
        """
        self._reactor = reactor
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = MAX_IDLE_CONNECTIONS
        self._agent = agent or Agent(reactor, connectTimeout=CONNECT_TIMEOUT, pool=self._pool)

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self._pool.closeCachedConnections()

    async def get(
        self,
        url: str,
        *,
        limit: int,
        timeout: float,
        byte_range: tuple[int, int] | None = None,
        compressed: bool = False,
    ) -> Answer:
        """Fetch something.

        Args:
            url: absolute.
            limit: bytes of the body, decoded, that are taken.
            timeout: seconds for all of it.
            byte_range: first byte and length of the part that is wanted.
            compressed: accept gzip.

        Raises:
            FetchError: no answer, or none of HTTP.
        """
        if url.startswith("file:"):
            return self._read_file(url, limit, byte_range)
        if not url.startswith(("http:", "https:")):
            raise FetchError("neither http nor https")
        headers = Headers({"User-Agent": [f"RapidRTMP-check/{__version__}"], "Accept": ["*/*"]})
        headers.addRawHeader("Accept-Encoding", "gzip" if compressed else "identity")
        if byte_range is not None:
            start, length = byte_range
            headers.addRawHeader("Range", f"bytes={start}-{start + length - 1}")
        asking = Deferred.fromCoroutine(self._exchange(url, headers, limit))
        asking.addTimeout(timeout, self._reactor)
        try:
            return await asking
        except FetchError:
            raise
        except Exception as error:  # whatever Twisted, TLS or the resolver raise
            raise FetchError(_words(error)) from error

    async def _exchange(self, url: str, headers: Headers, limit: int) -> Answer:
        asked_at = self._reactor.seconds()
        redirects = 0
        while True:
            response = await self._agent.request(b"GET", _ascii(url), headers, None)
            if response.code not in _REDIRECTS or redirects == MAX_REDIRECTS:
                break
            target = response.headers.getRawHeaders("location", [""])[0]
            await _read(response, 4096)
            redirects += 1
            url = urljoin(url, target)
            if urlsplit(url).scheme not in ("http", "https"):
                raise FetchError("redirected to what is no HTTP")
        body = await _read(response, limit)
        octets = bytes(body.received)
        fields = {
            name.decode("latin-1").lower(): b", ".join(values).decode("latin-1")
            for name, values in response.headers.getAllRawHeaders()
        }
        if response.length != body.UNKNOWN:
            # the client takes this header away, as framing
            fields.setdefault("content-length", str(response.length))
        is_too_large, is_compressed = body.is_too_large, False
        if fields.get("content-encoding", "").strip().lower() == "gzip" and not is_too_large:
            is_compressed = True
            octets, is_too_large = _decompressed(octets, limit)
        return Answer(
            url=url,
            status=response.code,
            headers=fields,
            body=octets,
            asked_at=asked_at,
            done_at=self._reactor.seconds(),
            is_compressed=is_compressed,
            is_whole=body.is_whole,
            is_too_large=is_too_large,
            redirects=redirects,
        )

    def _read_file(self, url: str, limit: int, byte_range: tuple[int, int] | None) -> Answer:
        now = self._reactor.seconds()
        start, length = byte_range or (0, limit + 1)
        try:
            with Path(url2pathname(urlsplit(url).path)).open("rb") as file:
                file.seek(start)
                body = file.read(min(length, limit + 1))
            status = 200
        except (OSError, ValueError):
            status, body = 404, b""
        is_too_large = len(body) > limit
        return Answer(
            url, status, {}, body[:limit], now, now, is_too_large=is_too_large, is_file=True
        )


def resolve(base: str, uri: str) -> str:
    """Return the absolute URL of what a playlist names; `NOWHERE` where it names none.

    Who serves a playlist does not say which files of this machine are read.
    """
    try:
        url = urljoin(base, uri)
        scheme = urlsplit(url).scheme
    except ValueError:
        return NOWHERE
    if scheme == "file" and not base.startswith("file:"):
        return NOWHERE
    return url


class _Body(Protocol):
    """Takes a body up to a limit; what is longer is cut, and the connection with it."""

    UNKNOWN = "twisted.web.iweb.UNKNOWN_LENGTH"

    def __init__(self, limit: int) -> None:
        self.done: Deferred[None] = Deferred(self._stop)
        self.received = bytearray()
        self.is_whole = True
        self.is_too_large = False
        self._limit = limit

    def dataReceived(self, data: bytes) -> None:
        if self.done.called:
            return
        self.received += data[: self._limit - len(self.received) + 1]
        if len(self.received) > self._limit:
            del self.received[self._limit :]
            self.is_too_large = True
            self.done.callback(None)
            self._stop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        self.is_whole = bool(reason.check(ResponseDone, PotentialDataLoss))
        self.done.callback(None)

    def _stop(self, _: object = None) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


async def _read(response: IResponse, limit: int) -> _Body:
    body = _Body(limit)
    response.deliverBody(body)
    await body.done
    return body


def _decompressed(octets: bytes, limit: int) -> tuple[bytes, bool]:
    """Undo gzip; give at most `limit` bytes and whether there would be more."""
    inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        plain = inflater.decompress(octets, limit + 1)
    except zlib.error as error:
        raise FetchError("the body is no gzip, as announced") from error
    return plain[:limit], len(plain) > limit


def _ascii(url: str) -> bytes:
    try:
        return url.encode("ascii")
    except UnicodeEncodeError as error:
        raise FetchError("the URL is not ASCII") from error


def _words(error: Exception) -> str:
    causes = [failure.value for failure in getattr(error, "reasons", ())] or [error]
    return str(causes[0])[:200] or type(causes[0]).__name__
