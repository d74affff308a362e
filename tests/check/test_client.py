"""Tests for `rapidrtmp.check.client`."""

import gzip
from pathlib import Path

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from rapidrtmp.check.client import Client, FetchError, _Body
from rapidrtmp.judge.http_rules import Answer

BODY = bytes(range(256)) * 40


class Site(Resource):
    """Answers by the first part of the path."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.ranges: list[bytes | None] = []

    def render_GET(self, request: Request) -> bytes | int:
        """Answer."""
        self.ranges.append(request.getHeader(b"range"))
        name = request.path.strip(b"/")
        if name == b"silent":
            return NOT_DONE_YET
        if name.startswith(b"gzip"):
            request.setHeader(b"Content-Encoding", b"gzip")
            return BODY if name == b"gzip-none" else gzip.compress(BODY)
        if name.startswith(b"to-"):
            request.setResponseCode(302)
            request.setHeader(b"Location", {b"to-a": b"/a", b"to-x": b"ftp://a/"}.get(name, name))
            return b""
        return BODY


class ClientTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a client of the site."""
        self.clock = Clock()
        self.site = Site()
        self.agent = RequestTraversalAgent(self.site)
        self.client = Client(self.clock, self.agent)

    def asking(
        self,
        url: str,
        limit: int = 1 << 20,
        byte_range: tuple[int, int] | None = None,
    ) -> "Deferred[Answer]":
        """Ask."""
        return Deferred.fromCoroutine(
            self.client.get(url, limit=limit, timeout=5.0, byte_range=byte_range, compressed=True)
        )

    def get(
        self, name: str, limit: int = 1 << 20, byte_range: tuple[int, int] | None = None
    ) -> Answer:
        """Ask the site, and give the answer."""
        return self.successResultOf(self.asking(f"http://a.test/{name}", limit, byte_range))

    def test_whole(self) -> None:
        """Body, status and headers; a range is asked for."""
        answer = self.get("a", byte_range=(10, 20))
        self.assertEqual((answer.status, answer.body, answer.is_whole), (200, BODY, True))
        self.assertEqual(answer.headers["content-length"], str(len(BODY)))
        self.assertEqual(self.site.ranges, [b"bytes=10-29"])

    def test_limit(self) -> None:
        """No more than the limit is taken, of what is compressed as well."""
        for name in ("a", "gzip"):
            self.assertEqual(self.get(name, len(BODY)).is_too_large, False)
            answer = self.get(name, len(BODY) - 1)
            self.assertTrue(answer.is_too_large)
            self.assertLess(len(answer.body), len(BODY))

    def test_gzip(self) -> None:
        """What is compressed is decoded; what is not, though it says so, is no answer."""
        answer = self.get("gzip")
        self.assertEqual((answer.body, answer.is_compressed), (BODY, True))
        self.failureResultOf(self.asking("http://a.test/gzip-none"), FetchError)

    def test_redirects(self) -> None:
        """Redirects are followed, a few times, to HTTP alone."""
        answer = self.get("to-a")
        self.assertEqual((answer.redirects, answer.url), (1, "http://a.test/a"))
        self.assertEqual(self.get("to-to").status, 302)
        self.failureResultOf(self.asking("http://a.test/to-x"), FetchError)

    def test_silence(self) -> None:
        """A server that does not answer is given up."""
        asked = self.asking("http://a.test/silent")
        self.assertNoResult(asked)
        self.clock.advance(5)
        self.failureResultOf(asked, FetchError)

    def test_cut(self) -> None:
        """A body that ends before its end is told as cut; one that ends late is left."""
        body = _Body(10)
        body.dataReceived(b"abc")
        body.connectionLost(Failure(ConnectionLost()))
        self.successResultOf(body.done)
        self.assertEqual((bytes(body.received), body.is_whole), (b"abc", False))
        body = _Body(2)
        body.dataReceived(b"abc")
        body.dataReceived(b"abc")
        body.connectionLost(Failure(ResponseDone()))
        self.assertEqual((bytes(body.received), body.is_too_large), (b"ab", True))

    def test_bad_url(self) -> None:
        """What is no URL is an error like others."""
        for url in ("http://a.test/\u00e9", "http://a b/", "http://[a/"):
            try:
                asked = self.asking(url)
            except ValueError:
                self.fail(url)
            self.failureResultOf(asked, FetchError)

    def test_file(self) -> None:
        """Files are read, within the limit; one that is not there is a 404."""
        path = Path(self.mktemp()).absolute()
        path.write_bytes(BODY)
        answer = self.successResultOf(self.asking(path.as_uri()))
        self.assertEqual((answer.body, answer.is_file), (BODY, True))
        answer = self.successResultOf(self.asking(path.as_uri(), byte_range=(5, 3)))
        self.assertEqual(answer.body, BODY[5:8])
        self.assertTrue(self.successResultOf(self.asking(path.as_uri(), 10)).is_too_large)
        self.assertEqual(self.successResultOf(self.asking(f"{path.as_uri()}x")).status, 404)
