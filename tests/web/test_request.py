"""Limits of connections and requests."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.web.channel import REFUSAL_LINGER
from rapidrtmp.web.http_site import IDLE_TIMEOUT
from rapidrtmp.web.request import MAX_BODY
from tests.web.fakes import Connection, FakeManager, FakeTokens, site_for

PUBLISH = b"POST /api/v1/publish HTTP/1.1\r\nHost: localhost\r\n"


class LimitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.tokens = FakeTokens()
        self.site = site_for(FakeManager(), self.clock, self.tokens)
        self.connection = Connection(self.site)

    def assert_refused(self, code: int) -> None:
        response = self.connection.response()
        self.assertEqual(response.code, code)
        self.assertEqual(response.headers["connection"], "close")
        self.assertEqual(response.headers["access-control-allow-origin"], "*")
        self.assertIn("error", response.json())
        self.assertEqual(self.connection.unread, b"")

    def test_length_too_large(self) -> None:
        """A body that is announced too large is refused at the header, on any method (B20)."""
        for method in ("POST", "GET"):
            self.setUp()
            self.connection.send(
                b"%b /api/ping HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                b"Content-Length: 10000000000\r\n\r\n" % method.encode()
            )
            self.assert_refused(413)

    def test_chunked_too_large(self) -> None:
        """A body without a length is refused when it passes the limit; the rest is not kept."""
        self.connection.send(PUBLISH + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"8000\r\n" + bytes(0x8000) + b"\r\n"
        self.connection.send(chunk * 2)
        self.assertEqual(self.connection.unread, b"")
        self.connection.send(chunk * 3)
        self.assert_refused(413)
        request = self.connection.protocol.requests[0]
        self.assertLessEqual(len(request.content.getvalue()), MAX_BODY)

    def test_refused_body_ends(self) -> None:
        """A refused body that comes to its end anyway is not taken for a request."""
        for end in (b"0\r\n\r\n", b"0\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"):
            self.setUp()
            self.connection.send(PUBLISH + b"Transfer-Encoding: chunked\r\n\r\n")
            self.connection.send(b"18000\r\n" + bytes(0x18000) + b"\r\n" + end)
            self.assert_refused(413)

    def test_linger(self) -> None:
        """A refused sender has time to read the answer, then is closed."""
        self.connection.send(PUBLISH + b"Content-Length: 1000000\r\n\r\n")
        self.assert_refused(413)
        self.clock.advance(REFUSAL_LINGER - 0.1)
        self.connection.send(bytes(1000))
        self.assertFalse(self.connection.transport.disconnecting)
        self.clock.advance(0.2)
        self.assertTrue(self.connection.transport.disconnecting)

    def test_refused_leaves(self) -> None:
        """A refused sender that closes itself leaves no timer behind."""
        self.connection.send(PUBLISH + b"Content-Length: 1000000\r\n\r\n")
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_largest_body(self) -> None:
        """The limit itself is allowed, and the body stays in memory."""
        body = json.dumps({"streamKey": "k", "x": ""}).encode()
        body = body[:-2] + b"x" * (MAX_BODY - len(body)) + body[-2:]
        self.connection.request("POST", "/api/v1/publish", body=body)
        self.assertEqual(self.connection.response().code, 200)

    def test_headers(self) -> None:
        """Endless or broken headers end in an error, as JSON (B19)."""
        cases = [
            (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n", 431),
            (b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000, 431),
            (b"GET / HTTP/1.1\r\n" + (b"X-Long: " + b"a" * 1000 + b"\r\n") * 20, 400),
            (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 501 + b"\r\n", 400),
            (b"GET / HTTP/1.1\r\nno colon here\r\n\r\n", 400),
            (b"GET /\r\n", 400),
            (b"\x16\x03\x01\x02\x00\r\n", 400),
            (PUBLISH + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
            (PUBLISH + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            (PUBLISH + b"Content-Length: -1\r\n\r\n", 400),
            (PUBLISH + b"Content-Length: +1\r\n\r\n", 400),
            (PUBLISH + b"Transfer-Encoding: gzip\r\n\r\n", 400),
            (PUBLISH + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", 400),
            (PUBLISH + b"Transfer-Encoding: chunked\r\n\r\n" + b"F" * 2000 + b"\r\n", 400),
        ]
        for data, code in cases:
            self.setUp()
            self.connection.send(data)
            self.assertTrue(self.connection.unread, data[:60])
            self.assert_refused(code)
            self.assertTrue(self.connection.transport.disconnecting, data[:60])

    def test_host(self) -> None:
        """Exactly one Host header is needed, as RFC 9112 section 3.2 says (B19)."""
        for lines, code in [
            (b"GET /health HTTP/1.1\r\n", 400),
            (b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n", 400),
            (b"GET /health HTTP/1.0\r\n", 200),
        ]:
            self.setUp()
            self.connection.send(lines + b"\r\n")
            self.assertEqual(self.connection.response().code, code)

    def test_odd_targets(self) -> None:
        """Other forms of request target and method are answered, without a word of HTML (B29)."""
        for line in (
            b"GET * HTTP/1.1",
            b"OPTIONS * HTTP/1.1",
            b"GET http://evil.example/ HTTP/1.1",
            b"CONNECT evil.example:443 HTTP/1.1",
            b"GET //evil.example/%2e%2e HTTP/1.1",
            b"\xff\xfe /api/ping HTTP/1.1",
            b"GET /api/\xff HTTP/1.1",
        ):
            self.setUp()
            self.connection.send(line + b"\r\nHost: <script>\r\n\r\n")
            answer = self.connection.transport.value()
            self.assertRegex(answer[:13], rb"HTTP/1\.1 [24]\d\d ", line)
            for word in (b"<html", b"<script", b"Twisted", b"\r\nServer", b"\r\nLocation"):
                self.assertNotIn(word, answer, line)

    @given(st.lists(st.binary(max_size=200), max_size=6))
    @settings(max_examples=60, deadline=None)
    def test_any_bytes(self, pieces: list[bytes]) -> None:
        """Arbitrary bytes never give a 500 or an error in the log."""
        connection = Connection(self.site)
        for piece in pieces:
            if not connection.transport.disconnecting:
                connection.send(piece)
        self.assertNotIn(b" 500 ", connection.transport.value()[:20])


class TimeoutTests(SynchronousTestCase):
    """How long a connection may do nothing."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.connection = Connection(site_for(FakeManager(), self.clock))

    def test_idle(self) -> None:
        """A connection is kept between requests, and closed when idle for long (B32)."""
        for _ in range(3):
            self.connection.request("GET", "/health")
            self.assertEqual(self.connection.response().code, 200)
            self.clock.advance(IDLE_TIMEOUT - 1)
            self.assertFalse(self.connection.transport.disconnecting)
        with capturedLogs() as events:  # one for every viewer who leaves would be noise
            self.clock.advance(1)
        self.assertEqual(events, [])
        self.assertTrue(self.connection.transport.disconnecting)
        self.clock.advance(60)
        self.assertTrue(self.connection.transport.disconnected)

    def test_slow_headers(self) -> None:
        """Bytes that trickle in do not keep a connection alive (B19)."""
        self.clock.advance(IDLE_TIMEOUT - 1)
        for second in range(int(IDLE_TIMEOUT)):
            self.assertFalse(self.connection.transport.disconnecting, second)
            self.connection.send(b"GET /health HTTP/1.1\r\nX: "[second : second + 1] or b"y")
            self.clock.advance(1)
        self.assertTrue(self.connection.transport.disconnecting)

    def test_slow_body(self) -> None:
        """Neither do those of a body."""
        self.connection.send(PUBLISH + b"Content-Length: 1000\r\n\r\n")
        for _ in range(int(IDLE_TIMEOUT)):
            self.connection.send(b"x")
            self.clock.advance(1)
        self.assertTrue(self.connection.transport.disconnecting)
