"""Files that are sent while they are being made, over HTTP/1.1 and HTTP/2."""

from collections.abc import Mapping, Sequence

from h2.errors import ErrorCodes
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.interfaces import IMMUTABLE, NO_QUERY, Growth, Representation
from rapidrtmp.web.representation import SLICE, WRITE_STALL
from tests.web.fakes import Connection, FakeOutput
from tests.web.http2_client import Client
from tests.web.live_fakes import LiveManager, LiveSite, LiveStream

PATH = "/live/k/a/video1/7.m4s"
START = b"first part" * 100
MORE = [b"second part" * 100, b"third part" * 50, b"the last"]


class Output(FakeOutput):
    """Has files, whatever the query."""

    def representation(
        self, path: tuple[str, ...], query: Mapping[str, Sequence[str]] = NO_QUERY
    ) -> Representation | Deferred[Representation]:
        """Return what is kept under the path."""
        found = self.files["/".join(path)]
        assert isinstance(found, Representation)
        return found


class GrowingCase(SynchronousTestCase):
    body = START

    def setUp(self) -> None:
        """Serve one file that grows."""
        self.clock = Clock()
        self.growth = Growth()
        file = Representation(self.body, "video/mp4", IMMUTABLE, "t", self.growth)
        stream = LiveStream("k", self.clock, {})
        stream.http_outputs = [Output({"a/video1/7.m4s": file})]
        self.site = LiveSite(LiveManager(stream), self.clock)

    def grow(self, *pieces: bytes, complete: bool = False, broken: bool = False) -> None:
        """Go on with the file, and tell the readers."""
        self.growth.pieces.extend(pieces)
        self.growth.is_complete = complete
        self.growth.is_broken = broken
        for reader in list(self.growth.readers):
            reader()

    def tearDown(self) -> None:
        """Nothing is left behind."""
        self.assertEqual((self.growth.readers, self.site.sending), ({}, set()))


class HTTP1Tests(GrowingCase):
    def ask(self, *headers: tuple[str, str], method: str = "GET") -> Connection:
        """Ask for the file."""
        connection = Connection(self.site)
        connection.request(method, PATH, headers)
        return connection

    def test_chunks(self) -> None:
        """Each part is sent when it is there, as a chunk; the last one ends the answer."""
        connection = self.ask()
        connection.transport.drain()
        self.assertTrue(connection.unread.endswith(START + b"\r\n"))
        for piece in MORE[:-1]:
            self.clock.advance(0.2)
            before = len(connection.unread)
            self.grow(piece)
            connection.transport.drain()
            self.assertEqual(connection.unread[before:], b"%x\r\n%b\r\n" % (len(piece), piece))
        self.grow(MORE[-1], complete=True)
        connection.transport.drain()
        response = connection.response()
        self.assertEqual((response.code, response.body), (200, START + b"".join(MORE)))
        headers = {name: response.headers.get(name) for name in (
            "content-type", "cache-control", "etag", "transfer-encoding", "content-length",
            "accept-ranges", "access-control-allow-origin",
        )}  # fmt: skip
        self.assertEqual(
            list(headers.values()), ["video/mp4", IMMUTABLE, '"t"', "chunked", None, None, "*"]
        )
        self.assertFalse(connection.transport.disconnecting)

    def test_late(self) -> None:
        """Who comes later gets at once all that is there."""
        self.grow(*MORE[:2])
        connection = self.ask()
        self.grow(MORE[2], complete=True)
        connection.transport.drain()
        self.assertEqual(connection.response().body, START + b"".join(MORE))

    def test_too_late(self) -> None:
        """Who was found the file before its end, and is answered after it, gets all."""
        self.grow(*MORE, complete=True)
        connection = self.ask()
        connection.transport.drain()
        self.assertEqual(connection.response().body, START + b"".join(MORE))

    def test_broken(self) -> None:
        """What is given up does not look as if it were whole."""
        connection = self.ask()
        self.grow(MORE[0], broken=True)
        connection.transport.drain()
        self.assertTrue(connection.transport.disconnecting)
        self.assertFalse(connection.unread.endswith(b"0\r\n\r\n"))
        self.assertIn(MORE[0], connection.unread)
        connection.lose()

    def test_head(self) -> None:
        """HEAD describes it, without a length, and reads nothing."""
        connection = self.ask(method="HEAD")
        response = connection.response("HEAD")
        self.assertEqual((response.code, response.headers["etag"]), (200, '"t"'))
        self.assertNotIn("content-length", response.headers)

    def test_range(self) -> None:
        """A range of what has no length yet is not refused: all is sent."""
        connection = self.ask(("Range", "bytes=5-9"))
        self.grow(*MORE, complete=True)
        connection.transport.drain()
        response = connection.response()
        self.assertEqual((response.code, response.body), (200, START + b"".join(MORE)))

    def test_known(self) -> None:
        """Who has it already is told so."""
        response = self.ask(("If-None-Match", '"t"')).response()
        self.assertEqual((response.code, response.body), (304, b""))

    def test_leaves(self) -> None:
        """A reader that leaves is forgotten, and so are its timers."""
        connection = self.ask()
        self.assertEqual(len(self.growth.readers), 1)
        connection.lose()
        self.assertEqual(self.growth.readers, {})
        self.grow(*MORE, complete=True)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_silent_encoder(self) -> None:
        """A reader is not cut off because nothing comes for it."""
        connection = self.ask()
        connection.transport.drain()
        for _ in range(5):
            self.clock.advance(WRITE_STALL)
        self.assertFalse(connection.transport.disconnecting)
        self.grow(*MORE, complete=True)
        connection.transport.drain()
        self.assertEqual(connection.response().body, START + b"".join(MORE))

    def test_reader_that_stalls(self) -> None:
        """One that takes nothing costs a slice, however much comes, and is cut off."""
        connection = self.ask()
        for _ in range(20):
            self.grow(bytes(SLICE))
        self.assertLess(connection.transport.largest, 256 * 1024)
        [sending] = self.site.sending
        self.assertGreater(sending.left, 17 * SLICE)
        self.clock.advance(WRITE_STALL)
        self.assertTrue(connection.transport.disconnecting)
        connection.lose()

    def test_slow_reader(self) -> None:
        """One that is behind gets all in the end, in order."""
        connection = self.ask()
        pieces = [bytes([number]) * SLICE for number in range(9)]
        for piece in pieces:
            self.grow(piece)
        self.grow(complete=True)
        while connection.transport.unsent:
            connection.transport.drain()
        self.assertEqual(connection.response().body, START + b"".join(pieces))


class LargeStartTests(GrowingCase):
    body = bytes(3 * SLICE + 5)

    def test_large_start(self) -> None:
        """What is there already is sent in slices, before what comes meanwhile."""
        connection = Connection(self.site)
        connection.request("GET", PATH)
        self.grow(*MORE, complete=True)
        while connection.transport.unsent:
            connection.transport.drain()
        self.assertEqual(connection.response().body, self.body + b"".join(MORE))


class HTTP2Tests(GrowingCase):
    def test_frames(self) -> None:
        """Each part is sent when it is there; the last one ends the stream."""
        client = Client(self.site)
        stream = client.request("GET", PATH)
        answer = client.answers[stream]
        self.assertEqual(answer.body, START)
        expected = START
        for piece in MORE[:-1]:
            self.grow(piece)
            client.exchange()
            expected += piece
            self.assertEqual((answer.body, answer.is_whole), (expected, False))
        self.grow(MORE[-1], complete=True)
        client.exchange()
        self.assertEqual((answer.body, answer.is_whole), (expected + MORE[-1], True))
        self.assertNotIn("transfer-encoding", dict(answer.headers))

    def test_broken(self) -> None:
        """What is given up is reset; the connection goes on."""
        client = Client(self.site)
        stream = client.request("GET", PATH)
        self.grow(broken=True)
        client.exchange()
        self.assertEqual(client.answers[stream].reset, ErrorCodes.INTERNAL_ERROR)
        self.assertFalse(client.is_closed)

    def test_small_window(self) -> None:
        """A reader whose window is shut gets the rest when it opens it."""
        client = Client(self.site, window=100, acknowledges=False)
        stream = client.request("GET", PATH)
        for piece in MORE:
            self.grow(piece)
        self.grow(complete=True)
        client.exchange()
        answer = client.answers[stream]
        self.assertEqual(answer.body, START[:100])
        while not answer.is_whole:
            client.h2.increment_flow_control_window(100, stream)
            client.exchange()
        self.assertEqual(answer.body, START + b"".join(MORE))

    def test_leaves(self) -> None:
        """A reader that resets its stream is forgotten."""
        client = Client(self.site)
        stream = client.request("GET", PATH)
        client.h2.reset_stream(stream, ErrorCodes.CANCEL)
        client.exchange()
        self.assertEqual(self.growth.readers, {})
        self.grow(*MORE, complete=True)
