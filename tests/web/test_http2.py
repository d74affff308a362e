"""Requests over HTTP/2 (RFC 9113), judged by h2's client."""

import struct
from collections.abc import Callable
from typing import Any

from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from rapidrtmp.interfaces import IMMUTABLE, Representation
from rapidrtmp.web.channel import CLOSE_TIMEOUT, REFUSAL_LINGER
from rapidrtmp.web.counters import HTTPCounters
from rapidrtmp.web.http2 import (
    ALLOWANCE,
    ALLOWANCE_RATE,
    MAX_BODIES,
    MAX_FRAME,
    MAX_SILENT,
    MAX_WAITING,
    WIDE_WINDOW,
)
from rapidrtmp.web.http2_protocol import HEADER_TABLE, MAX_SETTINGS, MAX_STREAMS
from rapidrtmp.web.http_site import IDLE_TIMEOUT, HTTPSite
from rapidrtmp.web.representation import SLICE, WRITE_STALL, respond
from rapidrtmp.web.request import MAX_BODY, Request
from tests.web.fakes import Connection, FakeManager, FakeTokens, site_for
from tests.web.http2_client import Client

SEGMENT = Representation(bytes(range(251)) * 2400, "video/mp4", IMMUTABLE, "s1")
"""600 KB."""


class Page(Resource):
    """Answers with what it is told to do."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self.answer: Callable[[Request], bytes | int] = lambda _: b"12345"

    def render(self, request: Request) -> bytes | int:
        """Answer as told."""
        self.requests.append(request)
        request.route = "/page"
        return self.answer(request)


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.page = Page()
        self.site = self.make_site()

    def make_site(self, **limits: Any) -> HTTPSite:
        counters = HTTPCounters(self.clock.seconds)
        return HTTPSite(self.page, self.clock, counters=counters, **limits)

    def serve_segment(self) -> None:
        self.page.answer = lambda request: respond(request, SEGMENT, self.clock)


class RequestTests(Case):
    def test_get(self) -> None:
        """An answer has what HTTP/1.1 would say, without what HTTP/2 has not."""
        self.page.answer = lambda request: respond(
            request, Representation(b"abc", "video/mp4", IMMUTABLE, "x"), self.clock
        )
        response = Client(self.site).get("/page?a=b")
        self.assertEqual((response.code, response.body), (200, b"abc"))
        self.assertEqual(response.headers["content-length"], "3")
        self.assertEqual(response.headers["etag"], '"x"')
        self.assertNotIn("connection", response.headers)
        [request] = self.page.requests
        self.assertEqual(request.args, {b"a": [b"b"]})
        self.assertEqual(request.getHeader("host"), "localhost")
        self.assertEqual(request.clientproto, b"HTTP/2")
        self.assertEqual((request.address, request.local_address), ("127.0.0.1", "127.0.0.1"))

    def test_host(self) -> None:
        """A Host header beside :authority, as intermediaries send it, is the same name once."""
        client = Client(self.site)
        self.assertEqual(client.get("/page", [("host", "localhost")]).code, 200)
        self.assertEqual(self.page.requests[0].requestHeaders.getRawHeaders("Host"), ["localhost"])

    def test_head_and_conditions(self) -> None:
        """HEAD, 304 and 206 are as with HTTP/1.1."""
        self.serve_segment()
        client = Client(self.site)
        head = client.response(client.request("HEAD", "/page"))
        self.assertEqual((head.code, head.body), (200, b""))
        self.assertEqual(head.headers["content-length"], str(len(SEGMENT.body)))
        same = client.get("/page", [("if-none-match", '"s1"')])
        self.assertEqual((same.code, same.body), (304, b""))
        part = client.get("/page", [("range", "bytes=10-19")])
        self.assertEqual((part.code, part.body), (206, SEGMENT.body[10:20]))

    def test_whole_site(self) -> None:
        """The real tree: errors are JSON, bodies are read, limits are the same."""
        tokens = FakeTokens()
        client = Client(site_for(FakeManager(), self.clock, tokens))
        self.assertEqual(client.get("/health").code, 200)
        lost = client.get("/nothing/here")
        self.assertEqual((lost.code, "error" in lost.json()), (404, True))
        kind = [("content-type", "application/json")]
        body = b'{"streamKey":"k"}'
        made = client.response(client.request("POST", "/api/v1/publish", kind, body))
        self.assertEqual((made.code, tokens.issued), (200, [("k", None)]))
        self.assertEqual(client.response(client.request("DELETE", "/health")).code, 405)
        self.assertEqual(client.response(client.request("OPTIONS", "/health")).code, 204)

    def test_crash(self) -> None:
        """An unexpected exception is 500 on its stream alone."""

        def crash(request: Request) -> bytes:
            raise RuntimeError("boom")

        self.page.answer = crash
        client = Client(self.site)
        self.assertEqual(client.get("/page").code, 500)
        self.page.answer = lambda _: b"fine"
        self.assertEqual(client.get("/page").body, b"fine")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_crash_midway(self) -> None:
        """An exception after the first bytes resets the stream."""

        def crash(request: Request) -> bytes:
            request.write(b"12")
            raise RuntimeError("boom")

        self.page.answer = crash
        client = Client(self.site)
        stream = client.request("GET", "/page")
        self.assertEqual(client.answers[stream].reset, ErrorCodes.INTERNAL_ERROR)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.page.answer = lambda _: b"fine"
        self.assertEqual(client.get("/page").body, b"fine")

    def test_counted(self) -> None:
        """Requests are counted and timed as others; a reset counts as the client's leaving."""
        client = Client(self.site)
        client.get("/page")
        self.page.answer = lambda _: NOT_DONE_YET
        stream = client.request("GET", "/page")
        self.clock.advance(3)
        client.h2.reset_stream(stream)
        client.exchange()
        counters = self.site.counters
        self.assertEqual(
            counters.requests, {("GET", "/page", "2xx"): 1, ("GET", "/page", "4xx"): 1}
        )
        self.assertEqual(counters.durations["GET", "/page"].sum, 3)
        self.assertTrue(self.page.requests[1].is_gone)
        self.assertEqual(counters.bytes_sent, 5)

    def test_held(self) -> None:
        """A held answer does not keep others waiting, and comes when it is there."""
        client = Client(self.site)
        self.page.answer = lambda _: NOT_DONE_YET
        held = client.request("GET", "/page")
        self.page.answer = lambda _: b"other"
        self.assertEqual(client.get("/page").body, b"other")
        self.clock.advance(IDLE_TIMEOUT + 1)  # no idle connection
        self.page.requests[0].end(b"late")
        self.assertEqual(client.response(held).body, b"late")
        self.assertFalse(client.is_closed)

    def test_client_leaves(self) -> None:
        """A client that disconnects leaves no request and no timer."""
        self.serve_segment()
        client = Client(self.site, acknowledges=False)
        client.request("GET", "/page")
        self.page.answer = lambda _: NOT_DONE_YET
        client.request("GET", "/page")
        client.lose()
        self.assertTrue(all(request.is_gone for request in self.page.requests))
        self.assertEqual(self.site.sending, set())
        self.assertEqual((self.site.connections, self.clock.getDelayedCalls()), (0, []))

    def test_goaway(self) -> None:
        """A client that says goodbye is closed at once."""
        client = Client(self.site)
        self.page.answer = lambda _: NOT_DONE_YET
        client.request("GET", "/page")
        client.h2.close_connection()
        client.exchange()
        self.assertTrue(client.is_closed)
        self.assertTrue(self.page.requests[0].is_gone)

    def test_http1(self) -> None:
        """Without HTTP/2 in the handshake, HTTP/1.1 is spoken."""
        connection = Connection(self.site)
        connection.transport.negotiatedProtocol = b"http/1.1"  # type: ignore[attr-defined]
        connection.protocol.handshakeCompleted()
        connection.request("GET", "/page")
        self.assertEqual(connection.response().code, 200)


class FlowTests(Case):
    def test_segment(self) -> None:
        """600 KB come whole through the default windows, a slice at a time."""
        self.serve_segment()
        client = Client(self.site)
        response = client.get("/page")
        self.assertEqual(response.body, SEGMENT.body)
        self.assertLess(client.transport.largest, SLICE + 64 * 1024)
        self.assertEqual(self.site.sending, set())

    def test_in_turn(self) -> None:
        """Two answers share the connection; a small one does not wait for a large one."""
        self.serve_segment()
        client = Client(self.site, window=1 << 20)
        client.h2.increment_flow_control_window(1 << 24)
        client.exchange()
        one, two = (client.send_headers("GET", "/page") for _ in range(2))
        client.exchange()
        self.assertEqual(client.response(one).body, client.response(two).body)
        last = len(client.order) - 1 - client.order[::-1].index(one)
        self.assertIn(two, client.order[:last], "the second began before the first ended")

    def test_small_beside_slow(self) -> None:
        """What is small goes on while large answers wait for their reader."""
        self.serve_segment()
        client = Client(self.site, acknowledges=False, window=1000)
        for _ in range(20):
            client.request("GET", "/page")
        self.page.answer = lambda _: b"playlist"
        self.assertEqual(client.get("/page").body, b"playlist")

    def test_large_beside_slow(self) -> None:
        """So does what is large, where the client has a window for it."""
        self.serve_segment()
        client = Client(self.site, window=1 << 20)
        client.h2.increment_flow_control_window(1 << 24)
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        client.exchange()
        for _ in range(20):
            client.unread.add(client.request("GET", "/page"))
        wide, narrow = (client.send_headers("GET", "/page") for _ in range(2))
        client.exchange()
        client.h2.increment_flow_control_window(WIDE_WINDOW, wide)
        client.h2.increment_flow_control_window(WIDE_WINDOW - 1, narrow)
        self.assertEqual(client.response(wide).body, SEGMENT.body)
        self.assertEqual(client.answers[narrow].body, b"", "it waits for its turn")
        for slow in client.unread:
            client.h2.reset_stream(slow)
        self.assertEqual(client.response(narrow).body, SEGMENT.body)

    def test_large_frames(self) -> None:
        """A client that would take frames of 16 MiB gets the usual ones: others have their turn."""
        self.page.answer = lambda _: SEGMENT.body
        client = Client(self.site, window=1 << 20)
        client.h2.increment_flow_control_window(1 << 24)
        client.h2.update_settings({SettingCodes.MAX_FRAME_SIZE: 2**24 - 1})
        client.exchange()
        self.assertEqual(client.get("/page").body, SEGMENT.body)
        self.assertGreaterEqual(client.frames, len(SEGMENT.body) // MAX_FRAME)

    def test_bounded(self) -> None:
        """A client that takes nothing costs little, however much it asks for; it is cut off."""
        self.serve_segment()
        client = Client(self.site, window=0)
        for _ in range(MAX_STREAMS):
            client.request("GET", "/page")
        handed = sum(len(SEGMENT.body) - each.left for each in self.site.sending)
        self.assertLessEqual(handed, MAX_WAITING + SLICE)
        self.assertGreater(handed, 0)
        self.clock.advance(WRITE_STALL + 1)
        client.exchange()
        self.assertEqual(self.site.sending, set())
        resets = [answer.reset for answer in client.answers.values()]
        self.assertEqual(resets, [ErrorCodes.CANCEL] * MAX_STREAMS)
        self.clock.pump([IDLE_TIMEOUT - 1, 2, CLOSE_TIMEOUT])
        self.assertTrue(client.is_closed)

    def test_window_shut(self) -> None:
        """A client with window 0 gets its header, and costs no turn of the reactor (B33)."""
        client = Client(self.site, window=0, acknowledges=False)
        stream = client.request("GET", "/page")
        self.assertEqual(dict(client.answers[stream].headers)[":status"], "200")
        self.assertFalse(client.answers[stream].is_whole)
        due = [call for call in self.clock.getDelayedCalls() if call.getTime() < IDLE_TIMEOUT]
        self.assertEqual(due, [])
        client.h2.increment_flow_control_window(3, stream)
        client.exchange()
        self.assertEqual(client.answers[stream].body, b"123")
        client.h2.increment_flow_control_window(3, stream)
        self.assertEqual(client.response(stream).body, b"12345")

    def test_window_shut_times_out(self) -> None:
        """One that never opens it is idle, whatever else it sends."""
        client = Client(self.site, window=0)
        client.request("GET", "/page")
        for _ in range(int(IDLE_TIMEOUT) - 1):
            self.clock.advance(1)
            client.h2.ping(b"12345678")
            client.exchange()
        self.assertFalse(client.is_closed)
        self.clock.advance(2)
        client.exchange()
        self.assertTrue(client.is_closed)
        self.assertEqual(client.goaway, ErrorCodes.NO_ERROR)

    def test_window_shrinks(self) -> None:
        """A window that becomes negative is waited for; an end without data needs none."""
        client = Client(self.site, window=10, acknowledges=False)
        self.page.answer = lambda _: b"x" * 30
        stream = client.request("GET", "/page")
        self.assertEqual(len(client.answers[stream].body), 10)
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        client.exchange()

        def begin(request: Request) -> int:
            request.write(b"")
            return NOT_DONE_YET

        self.page.answer = begin
        empty = client.request("GET", "/page")
        self.page.requests[1].finish()
        self.assertEqual(client.response(empty).body, b"")
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 100})
        self.assertEqual(len(client.response(stream).body), 30)

    def test_transport_full(self) -> None:
        """While the transport is full nothing is read or sent; then all goes on."""
        self.serve_segment()
        client = Client(self.site, window=1 << 20)
        client.h2.increment_flow_control_window(1 << 24)
        client.exchange()
        stream = client.send_headers("GET", "/page")
        client.send_raw(client.h2.data_to_send())
        self.assertEqual(client.transport.producerState, "paused")
        self.assertLess(client.transport.unsent, 64 * 1024 + 2 * 16384)
        self.assertEqual(client.response(stream).body, SEGMENT.body)
        self.assertEqual(client.transport.producerState, "producing")


class LimitTests(Case):
    def test_body_announced(self) -> None:
        """A body that is announced too large is refused at the header."""
        client = Client(self.site)
        headers = [("content-length", str(MAX_BODY + 1)), ("expect", "100-continue")]
        stream = client.send_headers("POST", "/page", headers, end=False)
        client.exchange()
        self.assertEqual(client.response(stream).code, 413)
        self.assertEqual(client.answers[stream].informational, [])
        self.assertEqual(client.answers[stream].reset, ErrorCodes.NO_ERROR)
        self.assertEqual(self.page.requests, [])
        self.assertEqual(client.get("/page").code, 200)

    def test_body_grows(self) -> None:
        """A body without a length is refused when it passes the limit."""
        client = Client(self.site)
        stream = client.send_headers("POST", "/page", end=False)
        for _ in range(5):
            client.exchange()
            if not client.answers[stream].is_whole:
                client.h2.send_data(stream, bytes(16384))
        self.assertEqual(client.response(stream).code, 413)
        self.assertEqual(client.get("/page").code, 200)

    def test_body(self) -> None:
        """A body of the largest size is taken, and asked for where the client wants that."""
        client = Client(self.site)
        headers = [("content-length", str(MAX_BODY)), ("expect", "100-continue")]
        stream = client.send_headers("POST", "/page", headers, end=False)
        client.exchange()
        self.assertEqual(client.answers[stream].informational, ["100"])
        for _ in range(4):
            client.h2.send_data(stream, bytes(16384))
            client.exchange()
        client.h2.end_stream(stream)
        self.assertEqual(client.response(stream).code, 200)

    def test_bodies(self) -> None:
        """All bodies under way are bounded together."""
        client = Client(self.site)
        streams = [client.send_headers("POST", "/page", end=False) for _ in range(6)]
        for _ in range(3):
            for stream in streams:
                if not client.is_closed:
                    client.h2.send_data(stream, bytes(16000))
                    client.exchange()
        self.assertGreater(3 * 6 * 16000, MAX_BODIES)
        self.assertEqual(client.goaway, ErrorCodes.ENHANCE_YOUR_CALM)

    def test_bodies_taken_back(self) -> None:
        """What came of requests that were reset at once is taken off the windows all the same."""
        client = Client(self.site)
        for _ in range(8):
            stream = client.send_headers("POST", "/page", end=False)
            client.h2.send_data(stream, bytes(16000))
            client.h2.reset_stream(stream)
            client.exchange()
        self.assertGreater(client.h2.outbound_flow_control_window, MAX_BODY / 2)
        client.request("POST", "/page", body=bytes(100))

    def test_body_never_ends(self) -> None:
        """A request that does not arrive is idle."""
        client = Client(self.site)
        client.send_headers("POST", "/page", end=False)
        client.exchange()
        self.clock.advance(IDLE_TIMEOUT + 1)
        client.exchange()
        self.assertTrue(client.is_closed)
        self.clock.advance(CLOSE_TIMEOUT)
        self.assertTrue(client.transport.disconnected)

    def test_idle(self) -> None:
        """A connection without requests is closed, with a goodbye and without a line."""
        client = Client(self.site)
        client.get("/page")
        with capturedLogs() as logs:
            self.clock.advance(IDLE_TIMEOUT - 1)
            self.assertFalse(client.is_closed)
            self.clock.advance(2)
        client.exchange()
        self.assertTrue(client.is_closed)
        self.assertEqual((client.goaway, logs), (ErrorCodes.NO_ERROR, []))

    def test_crowd(self) -> None:
        """A connection that is one too many is told so, and closed."""
        self.site = self.make_site(max_connections=1)
        Client(self.site)
        client = Client(self.site)
        response = client.get("/page")
        self.assertEqual((response.code, response.headers["retry-after"]), (503, "10"))
        self.assertEqual(self.page.requests, [])
        self.clock.advance(REFUSAL_LINGER)
        self.assertTrue(client.is_closed)

    def test_many_in_turn(self) -> None:
        """A long life of requests costs no memory: no more than some are remembered."""
        client = Client(self.site)
        for _ in range(1500):
            client.get("/page")
        connection = client.protocol._http2
        self.assertEqual(connection._streams, {})
        self.assertLessEqual(len(connection._h2._closed_streams), 1000)
        self.assertFalse(client.is_closed)


def serialized(*frames: Frame) -> bytes:
    """Give the bytes of frames."""
    return b"".join(frame.serialize() for frame in frames)


class AttackTests(Case):
    """B33: floods end their own connection, with one goodbye and no line in the log."""

    def flood(self, make: Callable[[Client], bytes], count: int = 3 * ALLOWANCE) -> Client:
        victim = Client(self.site)
        client = Client(self.site)
        with capturedLogs() as logs:
            for _ in range(count):
                if client.is_closed:
                    break
                client.send_raw(make(client))
        self.assertTrue(client.is_closed)
        self.assertEqual(logs, [])
        client.exchange()
        self.assertEqual(client.goaway, ErrorCodes.ENHANCE_YOUR_CALM)
        self.clock.advance(CLOSE_TIMEOUT - 1)
        self.page.answer = lambda _: b"served"
        self.assertEqual(victim.get("/page").code, 200)
        return client

    def test_rapid_reset(self) -> None:
        """Requests that are taken back at once (CVE-2023-44487)."""

        def make(client: Client) -> bytes:
            stream = client.send_headers("GET", "/page")
            client.h2.reset_stream(stream)
            return client.h2.data_to_send()

        self.flood(make)
        self.assertLess(len(self.page.requests), 10)

    def test_rapid_reset_apart(self) -> None:
        """The same, each in a packet of its own, against answers that are held."""
        self.page.answer = lambda _: NOT_DONE_YET

        def make(client: Client) -> bytes:
            stream = client.send_headers("GET", "/page")
            client.send_raw(client.h2.data_to_send())
            client.h2.reset_stream(stream)
            return client.h2.data_to_send()

        self.flood(make)
        self.assertLessEqual(len(self.page.requests), ALLOWANCE + 10)

    def test_frames(self) -> None:
        """Settings, pings, priorities, windows and empty data (CVE-2019-9512 to 9518)."""
        frames = {
            "settings": SettingsFrame(0),
            "ping": PingFrame(0, opaque_data=b"12345678"),
            "answer to no ping": PingFrame(0, opaque_data=b"12345678", flags=["ACK"]),
            "priority": PriorityFrame(1, depends_on=0, stream_weight=1),
            "window": WindowUpdateFrame(0, window_increment=1),
            "unknown": None,
        }
        for name, frame in frames.items():
            with self.subTest(name):
                data = b"\0\0\0\xee\0\0\0\0\0" if frame is None else frame.serialize()
                self.flood(lambda _, data=data: data * 10)  # type: ignore[misc]

    def test_empty_data(self) -> None:
        """Data frames without data."""
        begun: list[int] = []

        def make(client: Client) -> bytes:
            if not begun:
                begun.append(client.send_headers("POST", "/page", end=False))
            return client.h2.data_to_send() + DataFrame(begun[0]).serialize()

        self.flood(make)

    def test_unknown_settings(self) -> None:
        """Settings that nobody knows are not remembered without end."""
        client = Client(self.site)
        for first in range(0x4000, 0x4000 + MAX_SETTINGS, 16):
            self.assertFalse(client.is_closed)
            body = b"".join(struct.pack(">HL", first + number, 1) for number in range(16))
            client.send_raw(struct.pack(">xHBBL", len(body), 4, 0, 0) + body)
        self.assertTrue(client.is_closed)
        client.exchange()
        self.assertEqual(client.goaway, ErrorCodes.ENHANCE_YOUR_CALM)

    def test_header_table(self) -> None:
        """A client that would keep a table of 4 GiB does not make us search one."""
        client = Client(self.site)
        client.h2.update_settings({SettingCodes.HEADER_TABLE_SIZE: 2**32 - 1})
        self.page.answer = lambda request: request.setHeader(b"x", request.path) or b""
        for number in range(200):
            response = client.get(f"/page{number}")
            self.assertEqual(response.headers["x"], f"/page{number}")
        encoder = client.protocol._http2._h2.encoder
        self.assertLess(len(encoder.header_table.dynamic_entries), HEADER_TABLE // 32)
        for size in range(ALLOWANCE // 4):
            client.send_raw(SettingsFrame(0, settings={1: size % 2 * 100}).serialize())
        self.assertLessEqual(len(encoder.table_size_changes), 2)
        self.assertEqual(client.get("/page").headers["x"], "/page")

    def test_dribble(self) -> None:
        """A window that is opened byte by byte (CVE-2019-9511)."""
        self.serve_segment()
        begun: list[int] = []

        def make(client: Client) -> bytes:
            if not begun:
                client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
                begun.append(client.request("GET", "/page"))
            client.h2.increment_flow_control_window(1, begun[0])
            return client.h2.data_to_send()

        client = self.flood(make)
        self.assertGreater(len(client.answers[begun[0]].body), ALLOWANCE / 2)

    def test_narrow_window(self) -> None:
        """A client with little memory, which opens its windows by 4 KiB, is no flood."""
        self.serve_segment()
        client = Client(self.site, window=4096)
        for _ in range(6):
            self.clock.advance(2.0)
            self.assertEqual(client.get("/page").body, SEGMENT.body)

    def test_slow_flood(self) -> None:
        """So many frames a second are fine for ever."""
        client = Client(self.site)
        for _ in range(2 * ALLOWANCE):
            client.send_raw(PingFrame(0, opaque_data=b"12345678").serialize())
            self.clock.advance(1 / ALLOWANCE_RATE)
            client.exchange()
            if not client.protocol._http2._working:
                client.get("/page")
        self.assertFalse(client.is_closed)

    def test_too_many_streams(self) -> None:
        """One request more at once than is allowed ends the connection."""
        self.page.answer = lambda _: NOT_DONE_YET
        client = Client(self.site)
        encoder = Encoder()
        fields = [(":method", "GET"), (":scheme", "https"), (":authority", "x"), (":path", "/")]
        data = b""
        for number in range(MAX_STREAMS + 1):
            frame = HeadersFrame(2 * number + 1, data=encoder.encode(fields))
            frame.flags |= {"END_HEADERS", "END_STREAM"}
            data += frame.serialize()
        client.send_raw(data)
        self.assertTrue(client.is_closed)
        self.assertLessEqual(len(self.page.requests), MAX_STREAMS)
        self.assertTrue(all(request.is_gone for request in self.page.requests))

    def test_header_bomb(self) -> None:
        """A header that grows to megabytes when it is decompressed (CVE-2016-6581)."""
        encoder = Encoder()
        block = encoder.encode([(":method", "GET"), ("x", "y" * 4000)])
        block += b"\xbe" * 4000  # the indexed field again and again
        frame = HeadersFrame(1, data=block)
        frame.flags |= {"END_HEADERS", "END_STREAM"}
        client = Client(self.site)
        client.send_raw(frame.serialize())
        self.assertTrue(client.is_closed)
        self.assertEqual(self.page.requests, [])

    def test_continuations(self) -> None:
        """A header in pieces that never ends (CVE-2024-27316)."""
        client = Client(self.site)
        for piece, count in ((b"", 100), (bytes(16384), MAX_SILENT // 16384 + 1)):
            client = Client(self.site)
            client.send_raw(HeadersFrame(1, data=b"\x82").serialize())
            for _ in range(count):
                client.send_raw(ContinuationFrame(1, data=piece).serialize())
            self.assertTrue(client.is_closed)

    def test_not_http2(self) -> None:
        """Who agreed on HTTP/2 and speaks something else is closed."""
        for data in (b"GET / HTTP/1.1\r\n" * 10, b"\0" * 100):
            client = Client(self.site)
            client.send_raw(data)
            client.send_raw(bytes(MAX_SILENT))
            self.assertTrue(client.is_closed)
        self.assertEqual(self.site.counters.requests, {("OTHER", "unknown", "4xx"): 2})

    def test_overlong_frame(self) -> None:
        """A frame of 16 MiB is not waited for."""
        client = Client(self.site)
        client.send_raw(b"\xff\xff\xff\0\0\0\0\0\1")
        for _ in range(MAX_SILENT // 4000 + 1):
            client.send_raw(bytes(4000))
        self.assertTrue(client.is_closed)

    @given(st.data())
    @settings(max_examples=60, deadline=None)
    def test_anything(self, data: st.DataObject) -> None:
        """Any frames in any order are answered or closed: no exception, nothing left behind."""
        self.setUp()
        self.page.answer = lambda request: (
            respond(request, SEGMENT, self.clock) if b"s" in request.path else b"abc"
        )
        client = Client(self.site, acknowledges=False)
        numbers = st.sampled_from([0, 1, 3, 5, 7])
        encoder = Encoder()
        encoder.header_table_size = 0
        for _ in range(data.draw(st.integers(1, 12))):
            number = data.draw(numbers)
            kind = data.draw(st.integers(0, 8))
            frame: Frame
            if kind <= 2:
                path = data.draw(st.sampled_from(["/", "/s", "*", "s", "/%00"]))
                method = data.draw(st.sampled_from(["GET", "POST", "HEAD", "CONNECT", "X"]))
                fields = [(":method", method), (":scheme", "https"), (":authority", "x")]
                fields += [(":path", path), ("content-length", data.draw(st.sampled_from("039")))]
                frame = HeadersFrame(number or 1, data=encoder.encode(fields))
                frame.flags.add("END_HEADERS")
                if data.draw(st.booleans()):
                    frame.flags.add("END_STREAM")
            elif kind == 3:
                frame = DataFrame(number or 1, data=data.draw(st.binary(max_size=9)))
                if data.draw(st.booleans()):
                    frame.flags.add("END_STREAM")
            elif kind == 4:
                frame = RstStreamFrame(number or 1, error_code=8)
            elif kind == 5:
                frame = WindowUpdateFrame(
                    number, window_increment=data.draw(st.sampled_from([1, 70000, 2**31 - 1]))
                )
            elif kind == 6:
                frame = SettingsFrame(
                    0, settings={4: data.draw(st.sampled_from([0, 5, 100000, 2**31 - 1]))}
                )
            elif kind == 7:
                frame = PriorityFrame(number or 1, depends_on=0, stream_weight=3)
            else:
                frame = GoAwayFrame(0)
            client.send_raw(frame.serialize())
            if data.draw(st.booleans()):
                client.transport.drain()
        client.transport.drain()
        client.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.site.sending, set())
        connection = client.protocol._http2
        self.assertEqual(connection._streams, {})
