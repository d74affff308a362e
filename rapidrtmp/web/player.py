"""The pages for viewers, their static files, and the public list of live streams they show."""

# Twisted's request methods carry no annotations yet.
# mypy: allow-untyped-calls

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web import http
from twisted.web.resource import Resource

from rapidrtmp.interfaces import NO_CACHE, Representation
from rapidrtmp.stream.lifecycle import StreamState
from rapidrtmp.stream.manager import StreamManager
from rapidrtmp.web.description import is_live, summarize
from rapidrtmp.web.representation import respond
from rapidrtmp.web.request import Request
from rapidrtmp.web.responses import error_body, open_read
from rapidrtmp.web.statistics import describe_diagnosis

PAGE_HEADERS = {
    b"Referrer-Policy": b"no-referrer",
    b"Permissions-Policy": (
        b"camera=(), microphone=(), display-capture=(), geolocation=(), payment=(), usb=()"
    ),
}
"""Beside the content security policy."""

CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""The kinds of files under static/; others (licences) are not served."""

BASE = b"@BASE@"
"""Stands in the page for the way from its address to the server's root. Relative, so that the
server can live below any path of a proxy."""

FEED_AGE = 1.0
"""Seconds for which the list of live streams is made once, whatever the number of viewers."""


def content_policy(media_origins: Sequence[str], framed_by: str) -> bytes:
    """Give the page's content security policy (CSP Level 3).

    Scripts and styles come from this server alone and never stand in the page, so that a name
    that somebody gave a stream can do nothing. hls.js makes blob: URLs.

    Args:
        media_origins: where media come from beside this server, as ``https://cdn.example.com``.
        framed_by: source expression of the pages that may show this one in a frame.
    """
    media = " ".join(("'self'", *media_origins))
    return (
        f"default-src 'self'; connect-src {media}; media-src {media} blob:; "
        "worker-src 'self' blob:; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        f"form-action 'none'; frame-ancestors {framed_by}"
    ).encode("ascii")


def load_static() -> dict[str, Representation]:
    """Read the static files into memory: path below ``static/`` to its contents."""
    return dict(read_files(files("rapidrtmp.web") / "static", ""))


def read_files(folder: Traversable, prefix: str) -> "list[tuple[str, Representation]]":
    """Read the files of a folder and those below: path, after a prefix, and contents."""
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += read_files(entry, f"{prefix}{entry.name}/")
            continue
        content_type = CONTENT_TYPES.get(entry.name[entry.name.rfind(".") :])
        if content_type is not None:
            found.append((prefix + entry.name, static_file(entry.read_bytes(), content_type)))
    return found


def static_file(body: bytes, content_type: str) -> Representation:
    """Describe a file that changes with the server's version only."""
    return Representation(body, content_type, NO_CACHE, hashlib.sha256(body).hexdigest()[:16])


def take_pages(static: dict[str, Representation]) -> dict[str, bytes]:
    """Take the pages out of the static files, which are served by addresses of their own.

    Returns:
        The contents by the name of the file, with those of another where ``@name.html@`` stands.
    """
    html = {name: static.pop(name).body for name in list(static) if name.endswith(".html")}
    pages = {}
    for name, page in html.items():
        pages[name] = _PART.sub(lambda found: html[found[1].decode("ascii")].rstrip(b"\n"), page)
    return pages


_PART = re.compile(rb"@([a-z]+\.html)@")


class StaticResource(Resource):
    """``/static/...``: looked up in an index, never in the file system."""

    isLeaf = True

    def __init__(self, index: dict[str, Representation], clock: IReactorTime) -> None:
        super().__init__()
        self._index = index
        self._clock = clock

    def render(self, request: Request) -> bytes | int:
        """Answer with a file."""
        request.route = "/static/*"
        answer = open_read(request)
        if answer is not None:
            return answer
        found = self._index.get(b"/".join(request.postpath).decode("latin-1"))
        if found is None:
            return error_body(request, http.NOT_FOUND, "there is nothing at this address")
        return respond(request, found, self._clock)


class PageResource(Resource):
    """``/`` or ``/player/<key>``: a page, whose script reads the key from its address.

    Other sites may show a stream's page in a frame: nothing that harms anybody can be clicked.
    """

    isLeaf = True

    def __init__(self, page: bytes, clock: IReactorTime, media_origins: Sequence[str] = ()) -> None:
        """Make it.

        Args:
            page: with `BASE` in it.
            clock: times slow readers out.
            media_origins: as `content_policy` takes them.
        """
        super().__init__()
        html = CONTENT_TYPES[".html"]
        self._at_root = static_file(page.replace(BASE, b""), html)
        self._below = static_file(page.replace(BASE, b"../"), html)
        self._clock = clock
        self._policies = [content_policy(media_origins, framed_by) for framed_by in ("'self'", "*")]

    def render(self, request: Request) -> bytes | int:
        """Answer with the page; a key in the address is not repeated in it."""
        is_below = request.path.startswith(b"/player/")
        request.route = "/player/:streamKey" if is_below else "/"
        answer = open_read(request)
        if answer is not None:
            return answer
        if len(request.postpath) > is_below:
            return error_body(request, http.NOT_FOUND, "there is nothing at this address")
        request.setHeader(b"Content-Security-Policy", self._policies[is_below])
        for name, value in PAGE_HEADERS.items():
            request.setHeader(name, value)
        return respond(request, self._below if is_below else self._at_root, self._clock)


class FeedResource(Resource):
    """``/streams.json``: what is live now, for anybody to read.

    Whoever may know it also reads there what is wrong with the encoders.
    """

    isLeaf = True

    def __init__(
        self,
        manager: StreamManager,
        clock: IReactorTime,
        ingest_address: str,
        sees_diagnosis: Callable[[Request], bool],
        *,
        has_thumbnails: bool = False,
    ) -> None:
        """Make it.

        Args:
            manager: has the streams.
            clock: gives unix time.
            ingest_address: the RTMP URL that encoders are told.
            sees_diagnosis: whether whoever asks is told what is wrong with the encoders.
            has_thumbnails: whether whoever asks may see thumbnails of the streams.
        """
        super().__init__()
        self._manager = manager
        self._clock = clock
        self._server = ingest_address.rstrip("/") + "/live"
        self._sees_diagnosis = sees_diagnosis
        self._has_thumbnails = has_thumbnails
        self._feeds: dict[bool, Representation] = {}  # with and without diagnosis
        self._made_at = float("-inf")

    def render(self, request: Request) -> bytes | int:
        """Answer with the list."""
        request.route = "/streams.json"
        answer = open_read(request)
        if answer is not None:
            return answer
        now = self._clock.seconds()
        if not 0 <= now - self._made_at < FEED_AGE:
            self._made_at = now
            self._feeds.clear()
        full = self._sees_diagnosis(request)
        if full not in self._feeds:
            self._feeds[full] = self._make(full)
        return respond(request, self._feeds[full], self._clock)

    def _make(self, full: bool) -> Representation:
        streams = sorted(self._manager.streams(), key=lambda stream: stream.key)
        live = [summarize(stream) for stream in streams if is_live(stream)]
        value: dict[str, Any] = {
            "streams": live,
            "server": self._server,
            "thumbnails": self._has_thumbnails,
        }
        if full:
            value["diagnosis"] = {
                stream.key: describe_diagnosis(stream)
                for stream in streams
                if stream.state in (StreamState.CONNECTING, StreamState.LIVE)
            }
        body = json.dumps(value, separators=(",", ":")).encode("ascii")
        return static_file(body, "application/json; charset=utf-8")
