"""Requests that are read at one look: they are answered as those that are read line by line."""

from collections.abc import Sequence
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.auth.session_ids import SessionSigner
from rapidrtmp.interfaces import IMMUTABLE, NO_CACHE, NotReady, Representation
from rapidrtmp.storage.memory import MemoryStorage
from rapidrtmp.web import channel, fields
from rapidrtmp.web.http_site import IDLE_TIMEOUT
from rapidrtmp.web.request_head import MAX_FIELDS, MAX_HEAD, read_head
from tests.web.fakes import Connection
from tests.web.live_fakes import LIFE, LiveManager, LiveSite, LiveStream

HLS = "application/vnd.apple.mpegurl"
FILES: dict[str, object] = {
    "init.mp4": Representation(b"init", "video/mp4", NO_CACHE, "i1"),
    f"{LIFE}/video1.m3u8": Representation(b"#EXTM3U\n" * 40, HLS, NO_CACHE, "p1"),
    f"{LIFE}/video1/1.m4s": Representation(bytes(range(256)) * 4, "video/mp4", IMMUTABLE, "s1"),
    f"{LIFE}/video1/2.m4s": Representation(bytes(300_000), "video/mp4", IMMUTABLE, "s2"),
    f"{LIFE}/soon.m3u8": NotReady("not yet", 3),
}
PLAYLIST = b"/live/k/%b/video1.m3u8" % LIFE.encode()
SEGMENT = b"/live/k/%b/video1/1.m4s" % LIFE.encode()
HOST = b"Host: live.example\r\n"
BROWSER = (
    HOST + b"Connection: keep-alive\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
    b"Accept: */*\r\nReferer: http://live.example/player/k\r\nsec-fetch-mode: cors\r\n"
    b"Accept-Encoding: gzip, deflate, br\r\nCookie: a=b; c=d\r\n"
)


def get(target: bytes, lines: bytes = HOST, method: bytes = b"GET") -> bytes:
    """Make a request."""
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, lines)


USUAL = [
    get(PLAYLIST),
    get(PLAYLIST, BROWSER),
    get(PLAYLIST, BROWSER, b"HEAD"),
    get(PLAYLIST + b"?_HLS_msn=1&_HLS_part=2&_HLS_skip=YES", BROWSER),
    get(PLAYLIST + b"?a=%zz&&=&b", BROWSER),
    get(PLAYLIST, HOST + b'If-None-Match: "p1", W/"p0"\r\n'),
    get(PLAYLIST, HOST + b"accept-ENCODING:gzip \t\r\nIf-None-Match:\t*\r\n"),
    get(SEGMENT, BROWSER),
    get(SEGMENT, HOST + b"Range: bytes=5-9\r\n"),
    get(SEGMENT, HOST + b"Range: bytes=5000-\r\nRange: bytes=1-2\r\n"),
    get(SEGMENT, HOST + b'Range: bytes=-5\r\nIf-Range: "s1"\r\n', b"HEAD"),
    get(b"/live/k/%b/video1/2.m4s" % LIFE.encode(), BROWSER),
    get(b"/live/k/%b/soon.m3u8" % LIFE.encode()),
    get(b"/live/k/%b.0123456789abcdef0123456789abcdef/video1.m3u8" % LIFE.encode()),
    get(b"/live/k/%b.malformed/video1.m3u8" % LIFE.encode()),
    get(b"/live/k/init.mp4"),
    get(b"/live/k/%69nit.mp4#x"),
    get(b"/live/%00/index.m3u8"),
    get(b"/live/%c0%ae/../x"),
    get(b"/live/k/"),
    get(b"/live//"),
    get(b"/live/other/x.m3u8"),
    get(PLAYLIST, HOST + b"X-Forwarded-For: 203.0.113.9\r\nX-Odd: \xe4\xff\t.\r\n"),
    get(PLAYLIST, HOST + HOST),
    get(PLAYLIST, b"Accept: */*\r\n"),
    get(PLAYLIST, HOST + b"Empty:\r\n"),
]
"""Whole requests that are read at one look, also those that are refused later."""

UNUSUAL = [
    get(PLAYLIST, b""),
    get(PLAYLIST, HOST + b"Content-Length: 0\r\n"),
    get(PLAYLIST, HOST + b"Content-Length: 5\r\n") + b"hello",
    get(PLAYLIST, HOST + b"Content-Length: 1\r\ncontent-length: 2\r\n") + b"xx",
    get(PLAYLIST, HOST + b"Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n",
    get(PLAYLIST, HOST + b"transfer-encoding: chunked\r\nContent-Length: 3\r\n") + b"0\r\n\r\n",
    get(PLAYLIST, HOST + b"Transfer-Encoding: identity\r\n"),
    get(PLAYLIST, HOST + b"Transfer-Encoding : chunked\r\n"),
    get(PLAYLIST, HOST + b"Connection: close\r\n"),
    get(PLAYLIST, HOST + b"Connection: keep-alive, Upgrade\r\nUpgrade: h2c\r\n"),
    get(PLAYLIST, HOST + b"Upgrade: websocket\r\n"),
    get(PLAYLIST, HOST + b"Expect: 100-continue\r\n"),
    get(PLAYLIST, HOST + b"Authorization: Bearer secret\r\n"),
    get(PLAYLIST, HOST + b"X-Folded: a\r\n b\r\n"),
    get(PLAYLIST, HOST + b" Leading: a\r\n"),
    get(PLAYLIST, HOST + b"no colon\r\n"),
    get(PLAYLIST, HOST + b": no name\r\n"),
    get(PLAYLIST, HOST + b"X(y): a\r\n"),
    get(PLAYLIST, HOST + b"X: a\nContent-Length: 7\r\n"),
    get(PLAYLIST, HOST + b"X: a\rb\r\n"),
    get(PLAYLIST, HOST + b"X: a\0b\r\n"),
    get(PLAYLIST, HOST + b"X: a\x0bb\r\n"),
    get(PLAYLIST).replace(b"\r\n", b"\n"),
    get(b"http://live.example" + PLAYLIST),
    get(b"/live/k/\xff"),
    get(b"/live/k/a b"),
    get(b"/live/"),
    get(b"/live"),
    get(b"/livestream/x"),
    get(b"/live/k/" + b"a" * MAX_HEAD),
    get(PLAYLIST, HOST + b"X: %b\r\n" % (b"a" * MAX_HEAD)),
    get(PLAYLIST, HOST + b"X: y\r\n" * MAX_FIELDS),
    get(PLAYLIST, HOST, b"OPTIONS"),
    get(PLAYLIST, HOST, b"POST"),
    get(PLAYLIST, HOST, b"get"),
    get(PLAYLIST).replace(b"HTTP/1.1", b"HTTP/1.0"),
    get(PLAYLIST).replace(b"HTTP/1.1", b"HTTP/2.0"),
    get(PLAYLIST).replace(b"GET ", b"GET  "),
    b"\r\n" + get(PLAYLIST),
    get(PLAYLIST) + b"\r\n",
    get(PLAYLIST) + get(SEGMENT),
    get(PLAYLIST)[:-2],
    get(PLAYLIST)[:-1],
    b"",
]
"""What is left to the whole parser."""

NAMES = st.sampled_from(
    b"Host host Range If-None-Match If-Range Accept-Encoding User-Agent Connection "
    b"Content-Length Transfer-Encoding Expect Upgrade X".split(b" ")
)
VALUES = st.one_of(
    st.sampled_from([b"live.example", b"bytes=0-3", b'"s1"', b"gzip", b"close", b"chunked", b"0"]),
    st.binary(max_size=6),
)
TARGETS = st.one_of(
    st.sampled_from([PLAYLIST, SEGMENT, b"/live/k/init.mp4", b"/live/time", b"/live/k", b"/"]),
    st.binary(max_size=8).map(lambda tail: b"/live/k/" + tail),
)


class LaneCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_790_000_000)
        self.patch(fields, "time", self.clock.seconds)  # the same Date in all answers

    def answer(self, pieces: Sequence[bytes], *, by_lines: bool = False) -> tuple[bytes, bool, Any]:
        """Send pieces; give the answers, whether the connection closes, and what was counted."""
        signer = SessionSigner(MemoryStorage(self.clock))
        manager = LiveManager(LiveStream("k", self.clock, FILES))
        site = LiveSite(manager, self.clock, None, signer)
        site.counters.monotonic = self.clock.seconds
        connection = Connection(site)
        whole = cast(Any, read_head)
        self.patch(channel, "read_head", (lambda data: None) if by_lines else whole)
        for piece in pieces:
            if not connection.transport.disconnecting:
                connection.send(piece)
        while connection.transport.unsent:
            connection.transport.drain()
        counters = site.counters
        found = (counters.requests, counters.bytes_sent, manager.joined)
        is_closing = connection.transport.disconnecting
        connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return connection.transport.value(), is_closing, found

    def assert_same(self, *requests: bytes) -> bytes:
        """All ways in which requests may come are answered alike."""
        data = b"".join(requests)
        expected = self.answer([data], by_lines=True)
        self.assertEqual(self.answer(requests), expected, data)
        self.assertEqual(self.answer([data]), expected, data)
        self.assertEqual(self.answer([data[i : i + 1] for i in range(len(data))]), expected, data)
        return expected[0]


class ReadHeadTests(LaneCase):
    def test_usual(self) -> None:
        """What players send is read at one look, and answered as ever."""
        for data in USUAL:
            self.assertIsNotNone(read_head(data), data)
            self.assertEqual(self.assert_same(data)[:9], b"HTTP/1.1 ")

    def test_unusual(self) -> None:
        """Whatever could be read in two ways, or has a body, is left to the whole parser."""
        for data in UNUSUAL:
            self.assertIsNone(read_head(data), data)
            self.assert_same(data)

    def test_pipelined(self) -> None:
        """Several requests are answered in order, however they are cut."""
        for first in (USUAL[1], USUAL[11], UNUSUAL[1], UNUSUAL[8], b"\r\n", b"GET "):
            self.assert_same(first, USUAL[0], b"\r\n", USUAL[8])

    def test_fields(self) -> None:
        """Names are told apart without regard to case, and all values of one are kept."""
        head = read_head(get(b"/live/k/x?y", b"hOST: a\r\nX-Y:  b c\t\r\nx-y:\r\n"))
        assert head is not None
        self.assertEqual((head.method, head.target), (b"GET", b"/live/k/x?y"))
        self.assertEqual(
            list(head.headers.getAllRawHeaders()), [(b"Host", [b"a"]), (b"X-Y", [b"b c", b""])]
        )

    @given(
        st.sampled_from([b"GET", b"HEAD", b"POST"]),
        TARGETS,
        st.lists(st.tuples(NAMES, VALUES), max_size=4),
        st.sampled_from([b"\r\n", b"\n"]),
    )
    @settings(max_examples=150, deadline=None)
    def test_any(
        self, method: bytes, target: bytes, lines: list[tuple[bytes, bytes]], line_end: bytes
    ) -> None:
        """No request is answered in another way because it came in one piece."""
        header = b"".join(b"%b: %b%b" % (name, value, line_end) for name, value in lines)
        data = get(target, HOST + header, method)
        self.assertEqual(self.answer([data]), self.answer([data], by_lines=True), data)


class TimeoutTests(LaneCase):
    def test_idle(self) -> None:
        """The idle timeout begins anew with each request, by whichever way it is read."""
        site = LiveSite(LiveManager(LiveStream("k", self.clock, FILES)), self.clock)
        connection = Connection(site)
        for data in (USUAL[0], UNUSUAL[0], USUAL[1]):
            connection.send(data)
            self.clock.advance(IDLE_TIMEOUT - 1)
            self.assertFalse(connection.transport.disconnecting)
            self.assertLessEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(1)
        self.assertTrue(connection.transport.disconnecting)
