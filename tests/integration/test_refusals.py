"""Who may not publish is told so in the words that encoders understand."""

import os
import random
import socket
import struct
import time
from pathlib import Path

from tests.integration import publishers
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import wait_for
from tests.integration.server import Server

DENIED = "NetStream.Publish.Denied"
BAD_NAME = "NetStream.Publish.BadName"
REJECTED = "NetStream.Publish.Rejected"


class RefusalTests(IntegrationTestCase):
    def test_tokens(self) -> None:
        """No token, a wrong one, another key's: Denied, in the same words."""
        server = self.serve()
        other = server.mint("other")
        wrong = "0" * 64
        answers = [
            self.refusal(server, name)
            for name in (KEY, f"{KEY}?token=", f"{KEY}?token={wrong}", f"{KEY}?token={other}")
        ]
        self.assertEqual([answer.code for answer in answers], [DENIED] * 4)
        self.assertEqual(answers[2].description, answers[3].description)
        for answer in answers:
            self.assertNotIn(wrong, answer.description)
            self.assertNotIn(other, answer.description)
        server.secrets.append(wrong)
        self.assertEqual(server.get("/api/v1/streams").json, {"streams": [], "total": 0})
        server.stop()

    def test_token_places(self) -> None:
        """The token may stand in the key or in the app; the key's wins."""
        server = self.serve()
        token = server.mint(KEY)
        for name, app in ((f"{KEY}?token={token}", "live"), (KEY, f"live?token={token}")):
            publisher = self.raw(server)
            publisher.publish(name, app)
            publisher.close()
        refused = self.refusal(server, f"{KEY}?token=bad", f"live?token={token}")
        self.assertEqual(refused.code, DENIED)
        server.stop()

    def test_bad_names(self) -> None:
        """A key that is not one is BadName, whatever token comes with it."""
        server = self.serve()
        token = server.mint(KEY)
        names = ("../etc/x", "a/../b", "..%2f", "a b", "x" * 129, ".", "..", ".hidden", "é", "C:x")
        for name in names:
            with self.subTest(name):
                self.assertEqual(self.refusal(server, f"{name}?token={token}").code, BAD_NAME)
        self.assertEqual(self.refusal(server, KEY, "../live").code, BAD_NAME)
        server.stop()
        outside = [p.name for p in server.directory.iterdir() if not p.name.startswith("server-")]
        self.assertLessEqual(set(outside), {"streams", "state"})

    def test_ffmpeg_says_why(self) -> None:
        """The reason is what ffmpeg prints, and it ends with an error."""
        server = self.serve()
        publisher = self.publish(server, "plain", "f" * 64)
        server.secrets.append("f" * 64)
        self.assertNotEqual(publisher.wait(), 0)
        self.assertIn("Server error: ", publisher.output())
        self.assertIn("token", publisher.output().partition("Server error: ")[2].splitlines()[0])
        server.stop()

    def test_rtmp2sink_says_why(self) -> None:
        """rtmp2sink maps Denied to its own 'not authorized'."""
        server = self.serve()
        copy = self.temporary() / "sent.flv"
        publisher = publishers.rtmp2sink(self, server.rtmp_url(KEY, "bad"), copy)
        self.assertNotEqual(publisher.wait(), 0)
        self.assertIn(DENIED, publisher.output())
        server.stop()

    def test_rtmpsink_stops_at_once(self) -> None:
        """Librtmp knows Denied and closes; unknown codes would leave it waiting for 30 s."""
        server = self.serve()
        copy = self.temporary() / "sent.flv"
        begun = time.monotonic()
        publisher = publishers.rtmpsink(self, server.rtmp_url(KEY, "bad"), copy)
        self.assertNotEqual(publisher.wait(20), 0)
        self.assertLess(time.monotonic() - begun, 25)
        self.assertIn(DENIED, publisher.output())
        server.stop()

    def test_second_publisher_without_right(self) -> None:
        """It is refused, and the first one and its viewers do not notice."""
        server = self.serve()
        first = self.publish(server, "plain", server.mint(KEY), live=True, loop=True)
        viewer = self.watch(server)
        viewer.wait_segments(1)
        refused = self.refusal(server, f"{KEY}?token={server.mint('other')}")
        self.assertEqual(refused.code, DENIED)
        self.assertEqual(self.refusal(server, KEY).code, DENIED)
        self.assert_goes_on(viewer)
        self.assertTrue(first.running())
        self.assertEqual(viewer.discontinuities, 0)
        self.assert_clean(viewer)
        first.kill()
        server.stop()

    def test_other_token_of_the_same_key(self) -> None:
        """Another token has the right too, but may not push a living publisher out."""
        server = self.serve()
        first = self.publish(server, "plain", server.mint(KEY), live=True, loop=True)
        server.wait_live(KEY)
        refused = self.refusal(server, f"{KEY}?token={server.mint(KEY)}")
        self.assertEqual(refused.code, BAD_NAME)
        self.assertTrue(first.running())
        first.kill()
        server.stop()

    def test_limit(self) -> None:
        """One stream too many is Rejected, with the reason in plain words."""
        server = self.serve(MAX_CONCURRENT_STREAMS="1")
        first = self.publish(server, "plain", server.mint(KEY), live=True, loop=True)
        server.wait_live(KEY)
        refused = self.refusal(server, f"second?token={server.mint('second')}")
        self.assertEqual(refused.code, REJECTED)
        self.assertIn("limit", refused.description)
        first.kill()
        server.stop()

    def test_open_server(self) -> None:
        """AUTH_REQUIRED=false lets anybody publish, and the log says so loudly."""
        server = self.serve(AUTH_REQUIRED="false")
        publisher = self.raw(server)
        publisher.publish(KEY)
        self.assertIn("AUTH_REQUIRED=false", server.log)
        server.stop()


class GarbageTests(IntegrationTestCase):
    CONNECTIONS = 200

    def test_garbage(self) -> None:
        """Two hundred connections of junk do not disturb a live stream."""
        server = self.serve()
        canary = self.publish(server, "plain", server.mint(KEY), live=True, loop=True)
        viewer = self.watch(server)
        viewer.wait_segments(1)
        memory = server.child.resident_bytes()
        source = random.Random(1)
        for number in range(self.CONNECTIONS):
            self.misbehave(server.rtmp_port, number, source)
        self.assert_goes_on(viewer, 3)
        self.assertTrue(canary.running())
        self.assertEqual(viewer.discontinuities, 0)
        self.assert_clean(viewer)
        self.assertLess(server.child.resident_bytes() - memory, 32 << 20)
        wait_for(lambda: self.established(server) <= 2, "only the canary's connection is left", 15)
        canary.kill()
        server.stop()

    def misbehave(self, port: int, number: int, source: random.Random) -> None:
        """Make one bad connection, of a kind that its number chooses."""
        junk = source.randbytes(source.choice((1, 100, 1537, 4000, 20000)))
        greeting = b"\x03" + bytes(8) + source.randbytes(1528)
        chunk = source.choice(
            (
                b"\x02\0\0\0\0\0\4\1\0\0\0\0\0\0\0\0",  # chunk size 0
                b"\x02\0\0\0\0\0\4\1\0\0\0\0\xff\xff\xff\xff",  # a negative one
                b"\x03\0\0\0\xff\xff\xff\x14\0\0\0\0",  # a message of 16 MB
                b"\xc3",  # type 3 on a chunk stream never seen
                b"\x03\0\0\0\0\0\6\x14\0\0\0\0\x02\xff\xffabc",  # AMF string over the end
                struct.pack(">B3x3sB4x", 3, b"\0\x10\0", 20) + b"\x03" * 4096,
            )
        )
        sent = (
            junk,
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(200),
            greeting + bytes(1536) + junk,
            greeting + bytes(1536) + chunk,
            greeting[:1000],
        )[number % 6]
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            try:
                connection.sendall(sent)
                if number % 3 == 0:
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            except OSError:
                pass  # hung up on, as it deserves

    def established(self, server: Server) -> int:
        """Count the sockets that the server holds on its RTMP port."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        local = f"0100007F:{server.rtmp_port:04X}"
        return sum(row[1] == local and row[3] in ("01", "08") for row in rows)
