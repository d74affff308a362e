"""Playlists and media of streams."""

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.interfaces import (
    NO_CACHE,
    InvalidRequest,
    NotFound,
    NotPackaged,
    NotReady,
    Representation,
)
from rapidrtmp.web.live_address import route
from tests.web.fakes import Connection, FakeOutput, Response
from tests.web.live_fakes import LiveManager, LiveSite, LiveStream

PLAYLIST = Representation(b"#EXTM3U\n", "application/vnd.apple.mpegurl", NO_CACHE, "p1")
PREFLIGHT = "GET, HEAD, OPTIONS"


class LiveTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        files: dict[str, object] = {
            "index.m3u8": PLAYLIST,
            "soon.m3u8": NotReady("no segment yet", 3),
        }
        self.stream = LiveStream("k", self.clock, files)
        self.output = self.stream.output
        self.manager = LiveManager(self.stream)
        self.site = LiveSite(self.manager, self.clock)

    def ask(self, path: str, *headers: tuple[str, str], method: str = "GET") -> Response:
        connection = Connection(self.site, peer="192.0.2.7", host="198.51.100.1")
        connection.request(method, path, headers, host="live.example")
        response = connection.response(method)
        self.assertEqual(response.headers["access-control-allow-origin"], "*")
        return response

    def test_found(self) -> None:
        """A file of a stream is what its output says it is."""
        response = self.ask("/live/k/index.m3u8")
        self.assertEqual((response.code, response.body), (200, PLAYLIST.body))
        self.assertEqual(self.output.asked, [("index.m3u8",)])

    def test_query_is_handed_on(self) -> None:
        """An output learns every value of the query; what it cannot answer is 400 in its words."""
        self.ask("/live/k/index.m3u8?_HLS_msn=7&_HLS_msn=8&ll=%C3%A9&x=")
        self.assertEqual(
            self.output.queries[-1], {"_HLS_msn": ["7", "8"], "ll": ["\xc3\xa9"], "x": [""]}
        )
        waiting: Deferred[Representation] = Deferred()
        invalid = InvalidRequest("_HLS_msn is not one whole number")
        self.output.files |= {"life/now.m3u8": invalid, "life/later.m3u8": waiting}
        connection = Connection(self.site, peer="192.0.2.7", host="198.51.100.1")
        connection.request("GET", "/live/k/life/later.m3u8", host="live.example")
        waiting.errback(invalid)
        for response in (self.ask("/live/k/life/now.m3u8"), connection.response("GET")):
            self.assertEqual((response.code, response.json()), (400, {"error": str(invalid)}))

    def test_second_output(self) -> None:
        """A file that the first output does not have is looked for in the next."""
        self.stream.http_outputs.insert(0, FakeOutput())
        self.assertEqual(self.ask("/live/k/index.m3u8").code, 200)

    def test_not_found(self) -> None:
        """What is not there is 404 in the contract's words, and no cache keeps that (B2, B3)."""
        cases = {
            "/live/unknown/index.m3u8": "stream not found or not live",
            "/live/k/other.m3u8": "playlist not available",
            "/live/k/init.mp4": "init segment not available",
            "/live/k/life/v/init-12.mp4": "init segment not available",
            "/live/k/segment_1.m4s": "segment not found",
            "/live/k/segment_-1.m4s": "segment not found",
            "/live/k/segment_1e30.m4s": "segment not found",
            "/live/k/segment_1.m4s.bak": "segment not found",
            "/live/k/": "segment not found",
            "/live/k": "segment not found",
            "/live/": "stream not found or not live",
            "/live": "stream not found or not live",
        }
        for path, words in cases.items():
            response = self.ask(path)
            self.assertEqual((response.code, response.json()), (404, {"error": words}), path)
            self.assertEqual(response.headers["cache-control"], "no-store")

    def test_not_packaged(self) -> None:
        """What cannot come is 404 with the reason, whatever other outputs there are."""
        self.stream.http_outputs.insert(0, FakeOutput({"index.m3u8": NotPackaged("it is VP8")}))
        response = self.ask("/live/k/index.m3u8")
        self.assertEqual((response.code, response.json()), (404, {"error": "it is VP8"}))

    def test_never_there(self) -> None:
        """What can never be there is 404 in words that say why, now or after a wait."""
        for failure in (NotPackaged("no place for av1"), fail(NotPackaged("no place for av1"))):
            self.output.files["ts/index.m3u8"] = failure
            response = self.ask("/live/k/ts/index.m3u8")
            self.assertEqual((response.code, response.json()), (404, {"error": "no place for av1"}))

    def test_evil_paths(self) -> None:
        """No path leads out of the stream's index (B1)."""
        for path in [
            "/live/../..%2f..%2fetc/passwd",
            "/live/%00/index.m3u8",
            "/live//index.m3u8",
            "/live/k%2findex.m3u8",
            "/live/k\\index.m3u8",
            "/live/%c0%ae%c0%ae/index.m3u8",
            "/live/k/%c0%ae/index.m3u8",
            "/live/k/%zz",
            "/live/k/segment_../x",
            "/live/k/../k/index.m3u8",
            "/live/k/" + "a/" * 4000,
            "/live/" + "k" * 129 + "/index.m3u8",
            "/live/k%0d%0aX-Evil:%201/index.m3u8",
            "/live/<script>/index.m3u8",
        ]:
            response = self.ask(path)
            self.assertEqual(response.code, 404, path)
            self.assertNotIn("x-evil", response.headers)
            self.assertNotIn(b"script", response.body)
        # a key that is none never even reaches the registry
        self.assertEqual(set(self.manager.asked), {"k"})

    def test_not_ready(self) -> None:
        """What is coming soon is 503 with the time to ask again."""
        for method in ("GET", "HEAD"):
            response = self.ask("/live/k/soon.m3u8", method=method)
            self.assertEqual((response.code, response.headers["retry-after"]), (503, "3"))
            self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertEqual(self.ask("/live/k/soon.m3u8").json(), {"error": "no segment yet"})

    def test_methods(self) -> None:
        """Only reading is possible; what is allowed is said (B5)."""
        for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"):
            response = self.ask("/live/k/index.m3u8", method=method)
            self.assertEqual((response.code, response.headers["allow"]), (405, PREFLIGHT), method)
            self.assertIn("error", response.json())

    def test_preflight(self) -> None:
        """A preflight is granted, without regard to what it asks for, to any origin (B5, B27)."""
        for origin in ("https://evil.example", "null"):
            response = self.ask(
                "/live/k/index.m3u8",
                ("Origin", origin),
                ("Access-Control-Request-Method", "DELETE"),
                ("Access-Control-Request-Headers", "x-odd, authorization"),
                method="OPTIONS",
            )
            self.assertEqual((response.code, response.body), (204, b""))
            self.assertEqual(response.headers["access-control-allow-methods"], PREFLIGHT)
            self.assertTrue(response.headers["access-control-allow-headers"].startswith("*, Range"))
            self.assertEqual(response.headers["access-control-max-age"], "86400")
            self.assertNotIn("access-control-allow-credentials", response.headers)

    def test_upgrade(self) -> None:
        """An upgrade to something else is ignored (B38)."""
        for protocol in ("h2c", "websocket"):
            response = self.ask(
                "/live/k/index.m3u8", ("Connection", "Upgrade"), ("Upgrade", protocol)
            )
            self.assertEqual(response.code, 200)

    def test_query(self) -> None:
        """A query of any length and shape changes nothing (B34, B39)."""
        long = "&".join(f"p{i}=%zz" for i in range(1000))
        for query in ("callback=alert", long, "%zz", "&&&==", "_HLS_unknown=1"):
            response = self.ask(f"/live/k/index.m3u8?{query}")
            self.assertEqual((response.code, response.body), (200, PLAYLIST.body))

    def test_crash(self) -> None:
        """A fault of ours is logged once and tells nothing; the connection lives on."""
        self.output.files["index.m3u8"] = ZeroDivisionError("secret")
        connection = Connection(self.site)
        for path, code in [("/live/k/index.m3u8", 500), ("/live/k/soon.m3u8", 503)]:
            connection.request("GET", path)
            response = connection.response()
            self.assertEqual(response.code, code)
            self.assertEqual(response.headers["access-control-allow-origin"], "*")
            self.assertNotIn(b"secret", response.body)
            if code == 500:
                self.assertEqual(response.json(), {"error": "internal server error"})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class HeldTests(SynchronousTestCase):
    """Files that are waited for."""

    def setUp(self) -> None:
        self.cancelled = 0
        self.held: Deferred[Representation] = Deferred(self._cancel)
        self.clock = Clock()
        stream = LiveStream("k", self.clock, {"index.m3u8": self.held})
        self.site = LiveSite(LiveManager(stream), self.clock)
        self.connection = Connection(self.site)

    def _cancel(self, _: "Deferred[Representation]") -> None:
        self.cancelled += 1

    def test_answered(self) -> None:
        """Nothing is sent before the file is there; then all is."""
        for method, body in [("GET", PLAYLIST.body), ("HEAD", b"")]:
            self.setUp()
            self.connection.request(method, "/live/k/index.m3u8")
            self.assertEqual(self.connection.unread, b"")
            self.held.callback(PLAYLIST)
            response = self.connection.response(method)
            self.assertEqual((response.code, response.body), (200, body))
            self.assertEqual(response.headers["content-length"], str(len(PLAYLIST.body)))

    def test_large(self) -> None:
        """A large file that was waited for is sent in slices."""
        body = bytes(700_000)
        self.connection.request("GET", "/live/k/index.m3u8")
        self.held.callback(Representation(body, "video/mp4"))
        while self.connection.transport.unsent:
            self.connection.transport.drain()
        self.assertEqual(self.connection.response().body, body)

    def test_refused(self) -> None:
        """A wait that fails is answered like a file that is not there."""
        for reason, code in [
            (NotFound("x"), 404),
            (NotPackaged("it is VP8"), 404),
            (NotReady("draining", 7), 503),
        ]:
            self.setUp()
            self.connection.request("GET", "/live/k/index.m3u8")
            self.held.errback(Failure(reason))
            response = self.connection.response()
            self.assertEqual(response.code, code)
            if code == 503:
                self.assertEqual(response.headers["retry-after"], "7")

    def test_crash(self) -> None:
        """A fault of ours while waiting is logged once and answered with 500."""
        self.connection.request("GET", "/live/k/index.m3u8")
        self.held.errback(Failure(ZeroDivisionError("secret")))
        self.assertEqual(self.connection.response().json(), {"error": "internal server error"})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_crash_while_answering(self) -> None:
        """The same when what came cannot be sent."""
        self.connection.request("GET", "/live/k/index.m3u8")
        self.held.callback(Representation(b"x", "text/\N{SNOWMAN}"))
        self.assertEqual(self.connection.response().code, 500)
        self.assertEqual(len(self.flushLoggedErrors(UnicodeEncodeError)), 1)

    def test_client_leaves(self) -> None:
        """A viewer that leaves cancels its wait; a late answer goes nowhere (B15)."""
        self.connection.request("GET", "/live/k/index.m3u8")
        self.connection.lose()
        self.assertEqual(self.cancelled, 1)
        self.assertEqual(self.connection.transport.value(), b"")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_crash_when_gone(self) -> None:
        """A fault while a wait is cancelled is logged, and answered to nobody."""
        self.held.addErrback(lambda _: 1 / 0)
        self.connection.request("GET", "/live/k/index.m3u8")
        self.connection.lose()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.connection.transport.value(), b"")

    def test_cancelled_by_us(self) -> None:
        """A wait that is cancelled under a viewer that is still there is a fault of ours."""
        self.connection.request("GET", "/live/k/index.m3u8")
        self.held.cancel()
        self.assertEqual(self.connection.response().code, 500)
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)

    def test_pipelined(self) -> None:
        """Requests behind a held one wait their turn (B18)."""
        self.connection.request("GET", "/live/k/index.m3u8")
        for _ in range(100):
            self.connection.request("GET", "/live/k/other.m3u8")
        self.assertEqual(self.connection.unread, b"")
        self.held.callback(PLAYLIST)
        self.assertEqual(self.connection.response().code, 200)
        self.assertEqual([self.connection.response().code for _ in range(100)], [404] * 100)


class RouteTests(SynchronousTestCase):
    def test_route(self) -> None:
        """Metrics tell kinds of addresses apart, not addresses."""
        cases = {
            "k/index.m3u8": "/live/:streamKey/index.m3u8",
            "k/init.mp4": "/live/:streamKey/init.mp4",
            "k/ts/index.m3u8": "/live/:streamKey/ts/index.m3u8",
            "k/l.s/ts.m3u8": "/live/:streamKey/:life/:playlist",
            "k/l/ts/5.ts": "/live/:streamKey/:life/:track/:segment",
            "k/l.s/video1.m3u8": "/live/:streamKey/:life/:playlist",
            "k/l/video1/5.m4s": "/live/:streamKey/:life/:track/:segment",
            "k/x": "unknown",
            "k": "unknown",
            "a/b/c/d/e": "unknown",
        }
        for path, label in cases.items():
            self.assertEqual(route(path.encode("ascii").split(b"/")), label)
