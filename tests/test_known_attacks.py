"""What other servers of this kind fell to, tried at a whole server.

Each test names the advisory or report, and the software that it was about.
"""

import json
import re
import subprocess
import sys
from configparser import ConfigParser
from importlib.metadata import version
from pathlib import Path
from unittest import mock

from h2.errors import ErrorCodes
from hyperframe.frame import PingFrame, SettingsFrame
from twisted.logger import capturedLogs

from rapidrtmp.amf import amf0
from rapidrtmp.web.request import MAX_BODY
from tests.faults.case import AAC, INTER_FRAME, SOUND, Peer, audio, video
from tests.rtmp.wire import C0_C1, HANDSHAKE, basic, call, chunks, control
from tests.web.fakes import Connection, Response
from tests.web.http2_client import Client
from tests.whole import STRANGER, WholeCase

BAD_NAME = "NetStream.Publish.BadName"
ROOT = Path(__file__).parent.parent
TRAVERSALS = (
    *("/live/../../etc/passwd", "/live/..%2f..%2fetc/passwd", "/live/%2e%2e/%2e%2e/etc/passwd"),
    *(
        "/live/key/..%2f..%2f..%2fetc%2fpasswd",
        "/live/key/..\\..\\etc\\passwd",
        "/live//etc/passwd",
    ),
    *(
        "/live/%c0%ae%c0%ae/etc/passwd",
        "/live/key%00.m3u8",
        "/live/key/%00",
        "/static/../web/api.py",
    ),
    *("/static/..%2f..%2fsetup.cfg", "/static//etc/passwd", "/player/../../etc/passwd"),
    *("/api/v1/streams/..%2f..%2fetc", "/live/key/life/video1/../../../../state/tokens.json"),
    *(
        "/live/../state/tokens.json",
        "/../state/tokens.json",
        "/..%2fstate/tokens.json",
        "//etc/passwd",
    ),
)


class RTMPTests(WholeCase):
    """Attacks on what reads RTMP and AMF. A live stream beside them goes on."""

    def setUp(self) -> None:
        """Start a live stream."""
        super().setUp()
        self.canary = self.live("canary")
        self.addCleanup(self.assert_unharmed)

    def assert_unharmed(self) -> None:
        """It has not noticed."""
        self.assertFalse(self.canary.is_closed)
        self.run_media(self.canary, 4)
        self.assertGreater(len(self.samples(key="canary")), 50)

    def assert_cut(self, peer: Peer) -> None:
        """The connection is ended, and nothing was kept for it."""
        self.assertTrue(peer.is_closed)
        self.assertNotIn("internal", self.house.rtmp_factory.errors)
        peer.lose()

    def test_cve_2016_10191(self) -> None:
        """FFmpeg: a message whose length grew while it arrived was written over its buffer."""
        first = chunks(bytes(300), length=300)
        peer = self.connect()
        peer.send(first[0] + b"".join(chunks(bytes(4000), length=4000)))
        self.assert_cut(peer)

    def test_cve_2016_10192(self) -> None:
        """FFserver: a negative chunk size, of HTTP and here of RTMP too, became a huge read."""
        connection = Connection(self.house.site)
        head = b"POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.send(head + b"-1\r\n" + bytes(100))
        self.assertEqual(connection.response().code, 400)
        for size in (0, 0x80000000, 0xFFFFFFFF):
            peer = self.connect()
            peer.send(control(1, size))
            self.assert_cut(peer)

    def test_cve_2012_4750(self) -> None:
        """EzServer: a string longer than its chunk of 128 bytes was copied over the stack."""
        peer = self.connect()
        payload = amf0.encode("publish", 3.0, None) + b"\2\x10\0" + b"A" * 200
        peer.send(b"".join(chunks(payload, csid=3, type_id=20)))
        self.assert_cut(peer)

    def test_cve_2017_11665(self) -> None:
        """FFmpeg: a value that ends within its own name or length was read on behind its end.

        Whole values are taken, also of encoders that leave out the end of an object.
        """
        whole = amf0.encode("connect", 1.0, {"app": "live", "tcUrl": "rtmp://host/live"})
        taken = []
        for end in range(len(whole) - 1):
            peer = Peer(self.house.rtmp_factory)
            peer.send(HANDSHAKE + b"".join(chunks(whole[:end], csid=3, type_id=20, msid=0)))
            if b"NetConnection.Connect.Success" in peer.transport.value():
                taken.append(end)
            peer.lose()
        values = [len(amf0.encode("connect")), len(amf0.encode("connect", 1.0))]
        objects = [
            values[1] + len(b"\3"),
            whole.index(b"live") + 4,
            *range(len(whole) - 3, len(whole)),
        ]
        self.assertEqual(set(taken) - {*values, *objects}, set())
        self.assertNotIn("internal", self.house.rtmp_factory.errors)

    def test_cve_2015_8270_8271_8272(self) -> None:
        """librtmp: AMF3 without a string, with a class to fill in, with a reference to nothing."""
        for name, tail in (
            ("8270, no string", b"\x11\x0a\x0b\x01\x06"),
            ("8271, a class and its properties", b"\x11\x0a\x23\x0bEvil.\x03a\x06\x03b"),
            ("8272, no object", b"\x11\x0a\x02"),
        ):
            for start in (("connect", 1.0), ("createStream", 2.0)):
                with self.subTest(name):
                    peer = Peer(self.house.rtmp_factory)
                    body = amf0.encode(*start) + tail
                    peer.send(HANDSHAKE + b"".join(chunks(body, csid=3, type_id=20, msid=0)))
                    self.assert_cut(peer)

    def test_cve_2005_3901(self) -> None:
        """Flash Communication Server: malformed RTMP stopped the service."""
        for junk in (b"\xff" * 5000, bytes(5000), bytes(range(256)) * 20, b"\x03\xff" * 2000):
            peer = Peer(self.house.rtmp_factory)
            peer.send(HANDSHAKE + junk)
            peer.lose()
        self.assertNotIn("internal", self.house.rtmp_factory.errors)

    def test_cve_2022_21716(self) -> None:
        """Twisted's SSH: a first line without an end was kept without a bound."""
        peer = Peer(self.house.rtmp_factory)
        peer.send(C0_C1 + b"SSH-2.0-" + b"A" * 1_000_000)
        self.assert_cut(peer)
        connection = Connection(self.house.site)
        connection.send(b"A" * 100_000)
        self.assertEqual(connection.response().code, 431)
        self.assertTrue(connection.transport.disconnecting)

    def test_nginx_rtmp_1042(self) -> None:
        """nginx-rtmp: Set Chunk Size of 2 GiB was allocated at once."""
        peer = self.connect()
        peer.send(control(1, 0x7FFFFFFF))
        self.assertFalse(peer.is_closed)
        peer.send(basic(0, 6) + b"\0\0\0\xff\xff\xff\x09" + (1).to_bytes(4, "little"))
        self.assert_cut(peer)  # by the length in the header, before anything of it is kept

    def test_nginx_http_flv_170(self) -> None:
        """nginx-http-flv: a name over 256 bytes overran the buffer of a redirect."""
        for length in (129, 256, 257, 1000, 60_000):
            peer = self.publish("k" * length, host=f"192.0.2.{length % 250 + 2}")
            self.assertTrue(peer.is_closed)
            self.assertEqual(peer.codes[:1], [BAD_NAME] if length < 1000 else peer.codes[:1])
        self.assertEqual(self.ask("/live/" + "k" * 5000 + ".flv").code, 404)

    def test_media_server_235(self) -> None:
        """Ireader's media-server: a publisher that went away was used by its players after."""
        peer = self.live()
        player = self.connect()
        player.send(call("play", 3.0, None, "key", msid=1))
        self.run_media(peer, 3)
        peer.lose()
        with capturedLogs() as logs:
            player.send(call("deleteStream", 4.0, None, 1.0))
            player.lose()
            peer.protocol.dataReceived(video(INTER_FRAME, 4000))
            self.reactor.pump([1.0] * 70)
        failures = [event for event in logs if "log_failure" in event]
        self.assertEqual(failures, [])
        self.canary = self.live("canary")

    def test_nms_689(self) -> None:
        """Node-Media-Server: ../ in the app wrote files anywhere, before anybody was asked."""
        for app in ("../../etc", "live/../..", "..", "a/..%2f..", "live\\..\\.."):
            peer = self.publish("key?token=none", app, host="192.0.2.77")
            self.assertTrue(peer.is_closed)
            self.assertEqual(peer.codes, [BAD_NAME])
        self.assertIsNone(self.house.manager.get("key"))

    def test_mediamtx_1819_1459(self) -> None:
        """MediaMTX: one unexpected packet, or a stream of sound alone, ended the whole process."""
        peer = self.live()
        with mock.patch(
            "rapidrtmp.flv.demuxer.Demuxer.receive", side_effect=RuntimeError("unexpected")
        ):
            peer.send(video(INTER_FRAME, 40))
        self.assertTrue(peer.is_closed)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        sound = self.publish(f"sound?token={self.mint('sound')}")
        sound.send(audio(AAC, 0) + audio(SOUND, 0))
        self.run_media(sound, 9, kinds=("audio",))
        self.assertFalse(sound.is_closed)

    def test_cve_2023_34105(self) -> None:
        """SRS: app and stream names went through a shell."""
        for name in ("key;id", "$(id)", "`id`", "key|id", "key&&id", "key\nid", "-i", "key id"):
            for app, stream in (("live", name), (name, "key")):
                peer = self.publish(f"{stream}?token=none", app, host="192.0.2.78")
                expected = BAD_NAME if name != "-i" else "NetStream.Publish.Denied"
                self.assertEqual(peer.codes[-1:], [expected], name)
        sources = "\n".join(path.read_text() for path in (ROOT / "rapidrtmp").rglob("*.py"))
        self.assertIsNone(re.search(r"shell=True|os\.system|os\.popen|/bin/sh", sources))

    def test_cve_2026_55868_55869(self) -> None:
        """SRS: a native library read SRT before anybody was asked. Nothing but TCP is here."""
        self.assertEqual(len(self.reactor.tcpServers), 2)
        self.assertEqual(self.reactor.sslServers, [])
        self.assertEqual(set(self.house.listeners.by_protocol), {"rtmp", "rtmps", "http", "https"})


class HTTPTests(WholeCase):
    """Attacks on what answers HTTP."""

    def raw(self, data: bytes) -> list[Response]:
        """Send bytes; read as many answers as came."""
        connection = Connection(self.house.site)
        connection.send(data)
        answers = []
        while connection.unread:
            answers.append(connection.response())
        return answers

    def test_traversal(self) -> None:
        """Wowza CVE-2018-19365, CVE-2017-16922, MediaMTX 5602: paths left their directory."""
        self.run_media(self.live(), 3)
        tokens = (self.house.settings.state_dir / "tokens.json").read_bytes()
        for path in TRAVERSALS:
            for answer in self.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()):
                self.assertIn(answer.code, (400, 404), path)
                self.assertNotIn(b"root:", answer.body)
                self.assertNotIn(tokens[20:80], answer.body)
        self.assertEqual(self.ask("/live/key/index.m3u8").code, 200)

    def test_no_redirects(self) -> None:
        """MediaMTX 5708, 2766, CVE-2022-39348, CVE-2024-41810: redirects to anywhere, markup."""
        for path in (
            *("//evil.example", "//evil.example/..", "/live//evil.example/", "/player//x/"),
            *("/live/<script>alert(1)</script>/", "/api/docs/", "/live/key", "/%0d%0aX: y"),
        ):
            for host in ("localhost:8080", "<script>alert(1)</script>", "evil.example"):
                answer = self.ask(path, host=host)
                self.assertNotIn(answer.code // 100, (3,), path)
                self.assertNotIn("location", answer.headers)
                if "html" in answer.headers["content-type"]:
                    self.assertNotIn(b"alert(1)", answer.body)
                else:
                    self.assertEqual(answer.headers["x-content-type-options"], "nosniff", path)

    def test_cve_2024_29882(self) -> None:
        """SRS: ?callback= became a script of the attacker's choice."""
        for path in ("/api/v1/streams", "/api/ping", "/streams.json", "/health"):
            for query in ("?callback=alert", "?jsonp=alert", "?format=js"):
                answer = self.ask(path + query)
                self.assertNotIn(b"alert", answer.body)
                self.assertIn("application/json", answer.headers["content-type"])

    def test_cve_2024_52053(self) -> None:
        """Wowza: a name that nobody had allowed was shown as markup to whoever manages."""
        markup = "<img src=x onerror=alert(1)>"
        self.assertEqual(self.publish(f"{markup}?token=none").codes, [BAD_NAME])
        peer = self.live()
        data = amf0.encode("@setDataFrame", "onMetaData", {"encoder": markup, markup: markup})
        peer.send(b"".join(chunks(data, type_id=18)))
        self.run_media(peer, 3)
        for path in ("/streams.json", "/api/v1/streams/key", f"/live/{markup}".replace(" ", "%20")):
            answer = self.ask(path)
            self.assertIn("application/json", answer.headers["content-type"])
            self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
        for path in ("/", "/player/key"):
            answer = self.ask(path)
            self.assertNotIn(b"onerror", answer.body)
            self.assertNotIn("unsafe-inline", answer.headers["content-security-policy"])

    def test_cve_2024_52052_2018_7049_2019_7654(self) -> None:
        """Wowza: code by a property; script in an address; a hostile page that managed it."""
        body = b'{"streamKey":"key","properties":{"cmd":"id"},"__class__":"os.system"}'
        self.assertEqual(
            set(self.post("/api/v1/publish", body).json()) & {"properties", "cmd"}, set()
        )
        answer = self.ask("/player/key?x=<script>alert(1)</script>")
        self.assertNotIn(b"alert", answer.body)
        for header in (("Origin", "http://evil.example"), ("Origin", "null"),
                       ("Sec-Fetch-Site", "cross-site")):  # fmt: skip
            answer = self.post("/api/v1/publish", b'{"streamKey":"key"}', header)
            self.assertEqual(answer.code, 403, header)

    def test_cve_2022_41741_41742_41743(self) -> None:
        """nginx: MP4 files of strangers were parsed. None is taken here."""
        mp4 = b"\0\0\0\x18ftypisom\0\0\0\0isommp42"
        for method in ("POST", "PUT", "PATCH"):
            answer = self.ask("/live/key/x.mp4", method, body=mp4)
            self.assertEqual(answer.code, 405)

    def test_cve_2026_42945(self) -> None:
        """nginx: crafted requests. Nothing is left to a proxy: the server refuses them itself."""
        for data in (b"GET / HTTP/9.9\r\n\r\n", b"\0" * 100 + b"\r\n\r\n", b"GET\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
                     b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"):  # fmt: skip
            answers = self.raw(data)
            self.assertEqual([answer.code for answer in answers], [400], data[:60])

    def test_cve_2024_41671_2023_46137(self) -> None:
        """Twisted: answers to requests in a row came in another order, or to somebody else."""
        self.run_media(self.live(), 3)
        request = "GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        paths = ["/api/ping", "/live/none/index.m3u8", "/health", "/api/v1/streams/key", "/nothing"]
        answers = self.raw("".join(map(request.format, paths * 5)).encode())
        self.assertEqual([answer.code for answer in answers], [200, 404, 200, 200, 404] * 5)
        self.assertTrue(all(b"pong" in answer.body for answer in answers[::5]))

    def test_cve_2022_24801(self) -> None:
        """Twisted: what proxies read as one request, or as two, was read otherwise."""
        inner = b"GET /api/v1/streams HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for name, head, body in (
            ("two lengths", b"Content-Length: 0\r\nContent-Length: %d\r\n" % len(inner), inner),
            ("signed length", b"Content-Length: +%d\r\n" % len(inner), inner),
            ("both", b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + inner),
            ("vertical tab", b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n" + inner),
            ("signed chunk", b"Transfer-Encoding: chunked\r\n", b"+1\r\nA\r\n0\r\n\r\n" + inner),
            ("hexadecimal", b"Transfer-Encoding: chunked\r\n", b"0x1\r\nA\r\n0\r\n\r\n" + inner),
            ("unknown", b"Transfer-Encoding: identity, chunked\r\n", b"0\r\n\r\n" + inner),
        ):
            answers = self.raw(
                b"POST /api/ping HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n" + body
            )
            self.assertEqual(len(answers), 1, name)
            self.assertGreaterEqual(answers[0].code, 400, name)

    def test_http2_floods(self) -> None:
        """CVE-2023-44487, CVE-2019-9512, -9514, -9515: resets, pings, settings without an end."""

        def reset(client: Client) -> bytes:
            client.h2.reset_stream(client.send_headers("GET", "/health"))
            return client.h2.data_to_send()

        ping = PingFrame(0, opaque_data=b"12345678").serialize()
        for make in (reset, lambda _: ping, lambda _: SettingsFrame(0).serialize()):
            client = Client(self.house.site)
            for _ in range(5000):
                if client.is_closed:
                    break
                client.send_raw(make(client))
            self.assertTrue(client.is_closed)
            client.exchange()
            self.assertEqual(client.goaway, ErrorCodes.ENHANCE_YOUR_CALM)

    def test_open_management(self) -> None:
        """SRS and the predecessor: whoever reached the API could do everything."""
        document = json.loads(self.ask("/api/openapi.json").body)
        checked = 0
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if not operation.get("security") or path == "/metrics":
                    continue
                checked += 1
                address = re.sub(r"{\w+}", "key", path)
                answer = self.ask(address, method.upper(), peer=STRANGER, body=b"{}")
                self.assertEqual(answer.code, 403, address)
        self.assertGreater(checked, 12)

    def test_bodies(self) -> None:
        """A body without an end goes neither to memory nor to a file."""
        connection = Connection(self.house.site)
        connection.send(b"POST /api/v1/publish HTTP/1.1\r\nHost: localhost\r\n"
                        b"Transfer-Encoding: chunked\r\n\r\n")  # fmt: skip
        for _ in range(MAX_BODY // 8000 + 2):
            connection.send(b"1f40\r\n" + bytes(8000) + b"\r\n")
        self.assertEqual(connection.response().code, 413)


class DependencyTests(WholeCase):
    def test_cve_2026_42304(self) -> None:
        """Twisted's own name server and client: neither is loaded, and the version is mended."""
        parser = ConfigParser()
        parser.read(ROOT / "setup.cfg")
        self.assertIn("twisted[tls] >= 26.4", parser["options"]["install_requires"])
        self.assertGreaterEqual(tuple(map(int, version("twisted").split(".")[:2])), (26, 4))
        code = "import rapidrtmp.tap, rapidrtmp.service, sys; print('twisted.names' in sys.modules)"
        ran = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
        )
        self.assertEqual(ran.stdout, "False\n")
