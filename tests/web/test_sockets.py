"""Answers over sockets, which take as much as they can at once."""

import socket
from typing import Any, cast

from twisted.internet.address import UNIXAddress
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.interfaces import IMMUTABLE, NO_CACHE, Growth, Representation
from rapidrtmp.web.representation import SLICE, WRITE_STALL
from tests.protocol.test_direct_writer import FakeReactor
from tests.web.live_fakes import LiveManager, LiveSite, LiveStream

SMALL = Representation(b"#EXTM3U\n", "application/vnd.apple.mpegurl", NO_CACHE, "p1")
PART = Representation(bytes(range(200)) * 300, "video/mp4", IMMUTABLE, "s1")
LARGE = Representation(bytes(range(251)) * 40_000, "video/mp4", IMMUTABLE, "s2")
SPLIT: Any = [LARGE.body[:7], b"", LARGE.body[7:5_000_000], LARGE.body[5_000_000:]]
FILES: dict[str, object] = {
    "small.m3u8": SMALL,
    "part.m4s": PART,
    "large.m4s": LARGE,
    "split.m4s": Representation(SPLIT, "video/mp4", IMMUTABLE, "s2"),
}


class Local(Connection):
    """A connection that is not TCP, but near enough."""

    def getPeer(self) -> UNIXAddress:
        return UNIXAddress(None)

    getHost = getPeer

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802 (Twisted's name)
        pass


class SocketTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Connect two sockets, one of them to the site."""
        ours, self.theirs = socket.socketpair()
        self.addCleanup(self.theirs.close)
        self.addCleanup(ours.close)
        self.theirs.setblocking(False)
        ours.setblocking(False)
        self.clock = Clock()
        self.site = LiveSite(LiveManager(LiveStream("k", self.clock, FILES)), self.clock)
        self.reactor = FakeReactor()
        self.protocol: Any = self.site.buildProtocol(None)
        self.transport = Local(ours, self.protocol, cast(Any, self.reactor))
        self.transport.connected = 1
        self.transport.startReading()
        self.protocol.makeConnection(self.transport)
        self.largest = 0

    def ask(self, name: str, *lines: str, method: str = "GET") -> None:
        header = "".join(f"{line}\r\n" for line in ("Host: x", *lines))
        data = f"{method} /live/k/{name} HTTP/1.1\r\n{header}\r\n"
        self.protocol.dataReceived(data.encode())

    def read(self) -> bytes:
        """Take all that comes, and let the transport go on."""
        found = b""
        while True:
            waiting = self.transport._tempDataLen + len(self.transport.dataBuffer)
            self.largest = max(self.largest, waiting)
            try:
                found += self.theirs.recv(1 << 20)
            except BlockingIOError:
                if not self.reactor.writers:
                    return found
                self.transport.doWrite()

    def body(self) -> bytes:
        header, _, body = self.read().partition(b"\r\n\r\n")
        self.assertIn(b"Content-Length: %d" % len(body), header)
        return body

    def test_at_once(self) -> None:
        """Header and body leave without a turn of the reactor, and nobody waits for them."""
        for name, file in (("small.m3u8", SMALL), ("part.m4s", PART)):
            self.ask(name)
            self.assertEqual(self.reactor.writers, set())
            self.assertEqual(self.site.sending, set())
            self.assertEqual(self.body(), file.body)
        self.ask("part.m4s", method="HEAD")
        self.assertTrue(self.read().endswith(b"\r\n\r\n"))
        self.assertEqual(self.site.counters.bytes_sent, len(SMALL.body) + len(PART.body))

    def test_large(self) -> None:
        """A large file goes as its reader takes it, of one piece or of several; no byte is lost."""
        for name in ("large.m4s", "split.m4s"):
            self.ask(name)
            [sending] = self.site.sending
            self.assertLess(sending.left, len(LARGE.body) - SLICE)
            self.assertTrue(self.body() == LARGE.body)
            self.assertEqual(self.site.sending, set())
        self.assertLessEqual(self.largest, SLICE)
        self.assertEqual(self.site.counters.bytes_sent, 2 * len(LARGE.body))

    def test_range(self) -> None:
        """A range of a file in pieces is that of the whole."""
        for name in ("large.m4s", "split.m4s"):
            for start, last in ((0, 6), (3, 40), (6, 6), (7, 7), (4_999_990, 5_000_009)):
                self.ask(name, f"Range: bytes={start}-{last}")
                self.assertEqual(self.body(), LARGE.body[start : last + 1])
            self.ask(name, "Range: bytes=5-9000000")
            self.assertTrue(self.body() == LARGE.body[5:9_000_001])

    def test_next_request(self) -> None:
        """Answers to pipelined requests follow each other, behind one that waits as well."""
        self.ask("large.m4s")
        self.ask("small.m3u8")
        self.ask("part.m4s")
        found = self.read()
        self.assertEqual(found.count(b"HTTP/1.1 200 OK\r\n"), 3)
        self.assertTrue(found.endswith(PART.body))
        self.assertIn(LARGE.body[-20:] + b"HTTP/1.1", found)

    def test_reads_nothing(self) -> None:
        """A client that asks and asks, but reads nothing, costs no more than a slow one."""
        for at_once in (False, True):
            self.setUp()
            requests = [b"GET /live/k/part.m4s HTTP/1.1\r\nHost: x\r\n\r\n"] * 200
            count = 0
            for request in [b"".join(requests)] if at_once else requests:
                if self.transport not in self.reactor.readers:
                    break
                self.protocol.dataReceived(request)
                count += request.count(b"GET")
            self.assertNotIn(self.transport, self.reactor.readers)
            self.assertLess(self.transport._tempDataLen, 256 * 1024)
            found = self.read()
            self.assertEqual(found.count(b"HTTP/1.1 200 OK\r\n"), count)
            self.assertTrue(found.endswith(PART.body))
            self.assertIn(self.transport, self.reactor.readers)
            self.ask("small.m3u8")
            self.assertEqual(self.body(), SMALL.body)

    def test_stall(self) -> None:
        """A reader that stops costs a slice, and is cut."""
        self.ask("large.m4s")
        self.assertLessEqual(self.transport._tempDataLen, SLICE)
        aborted: list[bool] = []
        self.patch(self.transport, "abortConnection", lambda: aborted.append(True))
        self.clock.advance(WRITE_STALL - 1)
        self.assertEqual(aborted, [])
        self.clock.advance(1)
        self.assertEqual(aborted, [True])

    def test_growing(self) -> None:
        """What grows is sent in chunks, each at once."""
        growth = Growth()
        FILES["grows.m4s"] = Representation(b"begin", "video/mp4", IMMUTABLE, "g", growth)
        self.addCleanup(FILES.pop, "grows.m4s")
        self.ask("grows.m4s")
        self.assertTrue(self.read().endswith(b"\r\n\r\n5\r\nbegin\r\n"))
        growth.pieces += [b"", b"end"]
        growth.is_complete = True
        for reader in list(growth.readers):
            reader()
        self.assertEqual(self.reactor.writers, set())
        self.assertEqual(self.read(), b"3\r\nend\r\n0\r\n\r\n")
