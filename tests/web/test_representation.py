"""Conditional and range requests, gzip and slow readers, over the wire."""

import gzip

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.interfaces import IMMUTABLE, NO_CACHE, Representation
from rapidrtmp.web.representation import (
    GZIP_CACHE_BYTES,
    SLICE,
    WRITE_STALL,
    Compressed,
    accepts_gzip,
    compressed,
    matches,
)
from tests.web.fakes import Connection, Response
from tests.web.live_fakes import LiveManager, LiveSite, LiveStream

PLAYLIST = Representation(
    b"#EXTM3U\n" + b"#EXTINF:2.000,\n1.m4s\n" * 40,
    "application/vnd.apple.mpegurl",
    NO_CACHE,
    "p1",
)
SEGMENT = Representation(bytes(range(256)) * 4, "video/mp4", IMMUTABLE, "s1")
LARGE = Representation(bytes(range(251)) * 12_000, "video/mp4", IMMUTABLE, "s2")
TINY = Representation(b"#EXTM3U\n", "application/vnd.apple.mpegurl", NO_CACHE, "t1")
UNTAGGED = Representation(b"abc", "video/mp4")
FILES: dict[str, object] = {
    "list.m3u8": PLAYLIST,
    "tiny.m3u8": TINY,
    "a/1.m4s": SEGMENT,
    "a/2.m4s": LARGE,
    "a/3.m4s": UNTAGGED,
}


class RepresentationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.site = LiveSite(LiveManager(LiveStream("k", self.clock, FILES)), self.clock)

    def ask(self, path: str, *headers: tuple[str, str], method: str = "GET") -> Response:
        connection = Connection(self.site)
        connection.request(method, f"/live/k/{path}", headers)
        while connection.transport.unsent:
            connection.transport.drain()
        response = connection.response(method)
        self.assertEqual(connection.unread, b"")
        return response

    def test_whole(self) -> None:
        """A plain GET gives the bytes and says what they are."""
        response = self.ask("a/1.m4s")
        self.assertEqual((response.code, response.body), (200, SEGMENT.body))
        date = response.headers.pop("date")
        self.assertTrue(date.endswith("GMT"))
        self.assertEqual(
            response.headers,
            {
                "content-type": "video/mp4",
                "content-length": "1024",
                "cache-control": IMMUTABLE,
                "etag": '"s1"',
                "accept-ranges": "bytes",
                "x-content-type-options": "nosniff",
                "access-control-allow-origin": "*",
                "access-control-expose-headers": (
                    "Content-Length, Content-Range, Date, Age, ETag, Retry-After"
                ),
            },
        )

    def test_head(self) -> None:
        """HEAD has the headers of GET and no body, large or compressed; a range is for GET (B4)."""
        for path in FILES:
            for headers in [(), (("Accept-Encoding", "gzip"),), (("Range", "bytes=0-0"),)]:
                got = self.ask(path, *(header for header in headers if header[0] != "Range"))
                head = self.ask(path, *headers, method="HEAD")
                self.assertEqual(head.body, b"")
                for each in (head, got):
                    # the second may have changed between the two
                    self.assertRegex(each.headers.pop("date"), " GMT$")
                self.assertEqual((head.code, head.headers), (got.code, got.headers))

    def test_ranges(self) -> None:
        """Single byte ranges are honoured; several and nonsense get the whole (B6)."""
        body = SEGMENT.body
        cases = [
            ("bytes=0-1", 206, body[:2], "bytes 0-1/1024"),
            ("bytes=1000-", 206, body[1000:], "bytes 1000-1023/1024"),
            ("bytes=-5", 206, body[-5:], "bytes 1019-1023/1024"),
            ("bytes=-5000", 206, body, "bytes 0-1023/1024"),
            ("bytes=1023-999999", 206, body[-1:], "bytes 1023-1023/1024"),
            ("bytes = 3 - 4", 206, body[3:5], "bytes 3-4/1024"),
            ("bytes=1024-", 416, None, "bytes */1024"),
            ("bytes=-0", 416, None, "bytes */1024"),
            ("bytes=0-1,5-6", 200, body, None),
            ("bytes=abc", 200, body, None),
            ("bytes=5-4", 200, body, None),
            ("bytes=-", 200, body, None),
            ("lines=1-2", 200, body, None),
            ("bytes=" + "9" * 5000 + "-", 200, body, None),
        ]
        for value, code, expected, content_range in cases:
            response = self.ask("a/1.m4s", ("Range", value))
            self.assertEqual(response.code, code, value)
            self.assertEqual(response.headers.get("content-range"), content_range)
            if expected is None:
                self.assertEqual(response.json(), {"error": "the file has 1024 bytes"})
                self.assertNotIn("etag", response.headers)
            else:
                self.assertEqual(response.body, expected, value)

    def test_range_of_playlist(self) -> None:
        """A playlist is never cut: it changes between two requests (B6)."""
        response = self.ask("list.m3u8", ("Range", "bytes=0-1"))
        self.assertEqual((response.code, response.body), (200, PLAYLIST.body))
        self.assertNotIn("accept-ranges", response.headers)

    def test_if_range(self) -> None:
        """A range of something that has changed since is not sent."""
        for etag, code in [('"s1"', 206), ('"other"', 200), ('W/"s1"', 200)]:
            response = self.ask("a/1.m4s", ("Range", "bytes=0-1"), ("If-Range", etag))
            self.assertEqual(response.code, code)

    def test_if_none_match(self) -> None:
        """304 comes without a body, and only when the bytes are the same (B7)."""
        cases = [
            ("a/1.m4s", '"s1"', 304),
            ("a/1.m4s", 'W/"s1"', 304),
            ("a/1.m4s", '"x", "s1"', 304),
            ("a/1.m4s", "*", 304),
            ("a/1.m4s", '"s2"', 200),
            ("a/1.m4s", "s1", 200),
            ("a/3.m4s", '""', 200),
            ("list.m3u8", '"p1"', 304),
            ("list.m3u8", '"p1-gzip"', 200),
        ]
        for path, value, code in cases:
            for method in ("GET", "HEAD"):
                response = self.ask(path, ("If-None-Match", value), method=method)
                self.assertEqual(response.code, code, (path, value))
                if code == 304:
                    self.assertEqual(response.body, b"")
                    self.assertNotIn("content-type", response.headers)
                    self.assertNotIn("transfer-encoding", response.headers)
                    self.assertIn("etag", response.headers)
                    self.assertIn("access-control-allow-origin", response.headers)

    def test_if_modified_since(self) -> None:
        """Without Last-Modified a date proves nothing: the answer is whole (B7)."""
        response = self.ask("a/1.m4s", ("If-Modified-Since", "Sun, 22 Nov 2099 00:00:00 GMT"))
        self.assertEqual(response.code, 200)

    def test_gzip(self) -> None:
        """Playlists are compressed for who takes it, under an entity tag of their own (B8)."""
        response = self.ask("list.m3u8", ("Accept-Encoding", "gzip, deflate, br"))
        self.assertEqual(gzip.decompress(response.body), PLAYLIST.body)
        self.assertEqual(response.headers["content-encoding"], "gzip")
        self.assertEqual(response.headers["content-length"], str(len(response.body)))
        self.assertEqual(response.headers["vary"], "Accept-Encoding")
        self.assertEqual(response.headers["etag"], '"p1-gzip"')
        again = self.ask("list.m3u8", ("Accept-Encoding", "gzip"), ("If-None-Match", '"p1-gzip"'))
        self.assertEqual(again.code, 304)
        self.assertNotIn("content-encoding", again.headers)

    def test_many_long_texts(self) -> None:
        """What is remembered of long playlists is bounded; the newest are there."""
        cache = Compressed()
        texts = [b"#EXTINF:2.000,\n%d.m4s\n" % number * 200_000 for number in range(12)]
        for text in texts:
            self.assertEqual(gzip.decompress(cache(text)), text)
        self.assertLessEqual(cache.bytes, GZIP_CACHE_BYTES)
        self.assertGreater(cache.bytes, GZIP_CACHE_BYTES / 2)
        self.assertIs(cache(texts[-1]), cache(texts[-1]))

    def test_not_compressed(self) -> None:
        """Media and tiny texts are sent as they are, but a text still varies (B8)."""
        for path in ("a/1.m4s", "tiny.m3u8"):
            response = self.ask(path, ("Accept-Encoding", "gzip"))
            self.assertEqual(response.body, FILES[path].body)  # type: ignore[attr-defined]
            self.assertNotIn("content-encoding", response.headers)
        self.assertEqual(self.ask("tiny.m3u8").headers["vary"], "Accept-Encoding")
        self.assertEqual(self.ask("list.m3u8").body, PLAYLIST.body)

    def test_compressed_once(self) -> None:
        """However many viewers, a version of a playlist is compressed once."""
        before = compressed.count
        fresh = Representation(PLAYLIST.body + b"#fresh\n", PLAYLIST.content_type, NO_CACHE, "p2")
        FILES["fresh.m3u8"] = fresh
        self.addCleanup(FILES.pop, "fresh.m3u8")
        for _ in range(5):
            self.ask("fresh.m3u8", ("Accept-Encoding", "gzip"))
        self.assertEqual(compressed.count, before + 1)


class NegotiationTests(SynchronousTestCase):
    def test_accept_encoding(self) -> None:
        """Accept-Encoding is read as RFC 9110 says, and garbage means no."""
        cases = {
            "": False,
            "gzip": True,
            "GZip": True,
            "x-gzip": True,
            "br, gzip;q=0.5": True,
            "gzip;q=0": False,
            "gzip; q=0.000, *": False,
            "*": True,
            "*;q=0": False,
            "br": False,
            "identity;q=0": False,
            ",,;;=": False,
            "notgzip": False,
        }
        for header, expected in cases.items():
            self.assertIs(accepts_gzip(header), expected, header)

    def test_matches(self) -> None:
        """Entity tags are compared weakly, and none never matches."""
        self.assertFalse(matches("", ""))
        self.assertTrue(matches('W/"a" , "b"', "b"))


class SlowReaderTests(SynchronousTestCase):
    """Large files leave in slices, as fast as their reader takes them (B30, B31)."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.site = LiveSite(LiveManager(LiveStream("k", self.clock, FILES)), self.clock)
        self.connection = Connection(self.site)
        self.transport = self.connection.transport

    def test_bounded(self) -> None:
        """A viewer that is slow costs a slice, not a file, and gets all of it in the end."""
        self.connection.request("GET", "/live/k/a/2.m4s")
        rounds = 0
        while self.transport.unsent:
            self.transport.drain()
            self.clock.advance(WRITE_STALL - 1)
            rounds += 1
        self.assertEqual(self.connection.response().body, LARGE.body)
        self.assertEqual(rounds, -(-len(LARGE.body) // SLICE))
        self.assertLess(self.transport.largest, 256 * 1024)
        self.assertFalse(self.transport.disconnecting)

    def test_sending(self) -> None:
        """The site knows what is under way and how much of it is left, until its end."""
        self.connection.request("GET", "/live/k/a/1.m4s")
        self.assertEqual(self.site.sending, set())
        self.connection.request("GET", "/live/k/a/2.m4s")
        other = Connection(self.site)
        other.request("GET", "/live/k/a/2.m4s", [("Range", "bytes=0-400000")])
        self.transport.drain()
        left = sorted(producer.left for producer in self.site.sending)
        self.assertEqual(left, [400_001 - SLICE, len(LARGE.body) - 2 * SLICE])
        other.lose()
        self.assertEqual(len(self.site.sending), 1)
        while self.transport.unsent:
            self.transport.drain()
        self.assertEqual(self.site.sending, set())

    def test_range(self) -> None:
        """A large range is sliced too."""
        self.connection.request("GET", "/live/k/a/2.m4s", [("Range", "bytes=7-400006")])
        while self.transport.unsent:
            self.transport.drain()
        self.assertEqual(self.connection.response().body, LARGE.body[7:400007])

    def test_stall(self) -> None:
        """A reader that takes nothing is cut, and leaves no timer behind."""
        self.connection.request("GET", "/live/k/a/2.m4s")
        self.clock.advance(WRITE_STALL - 0.1)
        self.assertFalse(self.transport.disconnected)
        self.clock.advance(0.2)
        self.assertTrue(self.transport.disconnected)
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_leaves(self) -> None:
        """A reader that leaves in the middle stops the sending without a word in the log."""
        self.connection.request("GET", "/live/k/a/2.m4s")
        self.transport.drain()
        sent = len(self.transport.value())
        self.connection.lose()
        self.assertEqual(len(self.transport.value()), sent)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_crash(self) -> None:
        """A fault in the middle of an answer closes the connection: it cannot be told any more."""
        write = self.transport.write

        def fail(data: bytes) -> None:
            if len(data) == SLICE:
                raise ZeroDivisionError
            write(data)

        self.patch(self.transport, "write", fail)
        self.connection.request("GET", "/live/k/a/2.m4s")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.transport.value().count(b"HTTP/1.1"), 1)
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_next_request(self) -> None:
        """After a large file the connection serves the next request, pipelined or not."""
        for _ in range(2):
            self.connection.request("GET", "/live/k/a/2.m4s")
        while self.transport.unsent:
            self.transport.drain()
        self.assertEqual(self.connection.response().body, LARGE.body)
        self.assertEqual(self.connection.response().body, LARGE.body)
        self.connection.request("GET", "/live/k/a/1.m4s")
        self.assertEqual(self.connection.response().body, SEGMENT.body)
