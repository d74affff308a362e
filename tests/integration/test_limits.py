"""Every limit: who exceeds it is told so and counted, and a live stream does not notice."""

import socket

from tests.integration import media
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import Child, wait_for
from tests.integration.raw_publisher import RawPublisher, Refused
from tests.integration.server import Answer, Server
from tests.integration.test_refusals import DENIED, REJECTED
from tests.integration.viewer import Viewer

OTHER = "127.0.0.2"
"""Another address than the canary's and its viewer's."""
ADMIN = "admin-key-of-32-characters-or-so"
ERRORS = "rapidrtmp_rtmp_errors_by_reason_total"
REFUSED = "rapidrtmp_connections_refused_total"


class LimitsTestCase(IntegrationTestCase):
    server: Server
    viewer: Viewer
    canary: Child

    def serve_canary(self, **settings: str) -> Server:
        """Start a server with these limits, with a live stream and a viewer."""
        self.server = self.serve(STREAM_GRACE="60s", **settings)
        token = self.server.mint(KEY)
        self.canary = self.publish(self.server, "plain", token, live=True, loop=True)
        self.viewer = self.watch(self.server)
        self.viewer.wait_segments(1)
        return self.server

    def assert_unharmed(self) -> None:
        """The canary and its viewer lost nothing."""
        self.assert_goes_on(self.viewer)
        self.assertTrue(self.canary.running())
        self.assertEqual(self.viewer.discontinuities, 0)
        self.assert_clean(self.viewer)
        self.canary.kill()
        self.server.stop()

    def assert_barred(self, address: str) -> None:
        """A connection from there is closed before anything is said."""
        with self.assertRaises(OSError):
            self.raw(self.server, address).handshake()

    def denied(self, name: str, address: str) -> Refused:
        """Try to publish from an address, and give the refusal."""
        publisher = self.raw(self.server, address)
        with self.assertRaises(Refused) as caught:
            publisher.publish(name)
        self.assertTrue(publisher.closed_by_server())
        publisher.close()
        refused: Refused = caught.exception
        return refused

    def ask(self, address: str) -> Answer:
        """Make a request to /health on a connection of its own, which stays open."""
        connection = socket.create_connection(
            ("127.0.0.1", self.server.http_port), 30.0, (address, 0)
        )
        self.addCleanup(connection.close)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return Answer(int(first.split()[1]), headers, body)


class RTMPLimitsTests(LimitsTestCase):
    def test_rtmp(self) -> None:
        """Every limit of RTMP, each from an address of its own."""
        self.serve_canary(
            MAX_CONCURRENT_STREAMS="2",
            MAX_INGEST_BITRATE="4000000",
            MAX_REFUSALS_PER_IP="10",
            RTMP_MAX_CONNECTIONS_PER_IP="3",
            RTMP_MAX_MESSAGE_SIZE="128KiB",
        )
        self.check_streams("127.0.0.2")
        self.check_connections("127.0.0.3")
        self.check_message_size("127.0.0.4")
        self.check_bitrate("127.0.0.5")
        self.check_refusals("127.0.0.6")
        self.assertEqual(self.server.metric(REFUSED, 'protocol="rtmp"'), 2)
        self.assert_unharmed()

    def check_streams(self, address: str) -> None:
        """MAX_CONCURRENT_STREAMS."""
        server = self.server
        second = self.raw(server, address)
        second.publish(f"second?token={server.mint('second')}")
        refused = self.denied(f"third?token={server.mint('third')}", address)
        self.assertEqual(refused.code, REJECTED)
        self.assertEqual(refused.description, "the limit of 2 concurrent streams is reached")
        told = 'action="publish",reason="stream_limit"'
        self.assertEqual(server.metric("rapidrtmp_access_refusals_total", told), 1)
        second.close()
        wait_for(lambda: server.stream("second").get("state") == "idle", "room for another one")

    def check_connections(self, address: str) -> None:
        """RTMP_MAX_CONNECTIONS_PER_IP: one too many is closed; other addresses are served."""
        waiting = [self.raw(self.server, address) for _ in range(3)]
        for each in waiting:
            each.handshake()
        self.assert_barred(address)
        self.raw(self.server, OTHER).handshake()
        self.assertEqual(self.server.metric(ERRORS, 'reason="too_many_connections"'), 1)
        words = f"{address}: closed, too_many_connections: more than 3 connections"
        self.assertIn(words, self.server.log)

    def check_message_size(self, address: str) -> None:
        """RTMP_MAX_MESSAGE_SIZE: a larger frame ends its publisher."""
        server = self.server
        publisher = self.raw(server, address)
        publisher.publish(f"large?token={server.mint('large')}")
        largest = b"\x17\x01" + bytes((128 << 10) - 2)
        publisher.send(9, 4, publisher.stream_id, 0, largest)
        server.wait_live(KEY)
        self.assertNotIn("large: closed", server.log)
        publisher.send(9, 4, publisher.stream_id, 40, largest + b"x")
        self.assertTrue(publisher.closed_by_server())
        self.assertEqual(server.metric(ERRORS, 'reason="message_too_large"'), 1)
        self.assertIn("large: closed, message_too_large: ", server.log)

    def check_bitrate(self, address: str) -> None:
        """MAX_INGEST_BITRATE: who stays above it is sent away, and not let in again at once."""
        server = self.server
        name = f"flood?token={server.mint('flood')}"
        publisher = self.raw(server, address)
        publisher.publish(name)
        refused = self.flood(publisher)
        self.assertEqual(refused.code, REJECTED)
        self.assertRegex(refused.description, r"[0-9.]+ Mbit/s are above the limit of 4")
        self.assertTrue(publisher.closed_by_server())
        again = self.denied(name, address)
        self.assertEqual(again.code, REJECTED)
        self.assertRegex(again.description, "Mbit/s are above the limit of 4, try again in")
        self.assertEqual(server.metric(ERRORS, 'reason="bitrate"'), 1)

    def flood(self, publisher: RawPublisher) -> Refused:
        """Send 10 Mbit/s until that is refused, or less where the machine is slow."""
        tags = list(media.flv_tags(media.as_flv(media.sample("plain"))))
        publisher.socket.settimeout(0.4)
        for number in range(100):
            publisher.send_tags(tags, shift=6000 * number)
            try:
                while True:
                    publisher.receive()
            except TimeoutError:
                continue
            except Refused as refused:
                publisher.socket.settimeout(30.0)
                return refused
        raise AssertionError("40 s of 10 Mbit/s were taken")

    def check_refusals(self, address: str) -> None:
        """MAX_REFUSALS_PER_IP: who guesses tokens is barred; others are not."""
        server = self.server
        for number in range(10):
            self.assertEqual(self.denied(f"{KEY}?token={number:064}", address).code, DENIED)
        self.assert_barred(address)
        self.assertEqual(self.denied(f"{KEY}?token=x", OTHER).code, DENIED)
        told = 'action="publish",reason="wrong_token"'
        self.assertEqual(server.metric("rapidrtmp_access_refusals_total", told), 11)
        self.assertEqual(server.metric(ERRORS, 'reason="too_many_refusals"'), 1)
        self.assertRegex(server.log, "too_many_refusals: refused too often, barred for [0-9]+ s")
        publisher = self.raw(server, OTHER)
        publisher.publish(f"other?token={server.mint('other')}")
        publisher.close()


class HTTPLimitsTests(LimitsTestCase):
    def test_http(self) -> None:
        """Every limit of HTTP."""
        self.serve_canary(
            HTTP_MAX_CONNECTIONS_PER_IP="4",
            MAX_TOKEN_REQUESTS_PER_IP="3",
            MAX_VIEWERS_PER_STREAM="1",
        )
        self.check_connections()
        self.check_viewers()
        self.check_token_requests()
        self.assert_unharmed()

    def check_connections(self) -> None:
        """HTTP_MAX_CONNECTIONS_PER_IP: one too many is told so; others are served."""
        self.assertEqual([self.ask(OTHER).status for _ in range(4)], [200] * 4)
        answer = self.ask(OTHER)
        self.assertEqual(answer.status, 503)
        self.assertEqual(
            answer.json, {"error": "your address has too many connections, close some"}
        )
        self.assertGreater(int(answer.headers["retry-after"]), 0)
        self.assertEqual(self.ask("127.0.0.3").status, 200)
        self.assertEqual(self.server.metric(REFUSED, 'protocol="http"'), 1)

    def check_viewers(self) -> None:
        """MAX_VIEWERS_PER_STREAM: one more gets 503, which is counted."""
        answer = self.server.get(self.viewer.path)
        self.assertEqual((answer.status, answer.json), (503, {"error": "viewer limit reached"}))
        self.assertGreater(int(answer.headers["retry-after"]), 0)
        refused = 'method="GET",path="/live/:streamKey/index.m3u8",status="5xx"'
        self.assertEqual(self.server.metric("rapidrtmp_http_requests_total", refused), 1)
        self.assertEqual(self.server.metric("rapidrtmp_viewers_per_stream_limit"), 1)

    def check_token_requests(self) -> None:
        """MAX_TOKEN_REQUESTS_PER_IP: 429 with Retry-After; what issues no token goes on."""
        server = self.server
        for _ in range(2):
            server.mint("other")
        answer = server.post("/api/v1/publish", {"streamKey": "other"})
        self.assertEqual(answer.status, 429)
        self.assertEqual(answer.json, {"error": "too many token requests from your address"})
        self.assertTrue(0 < int(answer.headers["retry-after"]) <= 60)
        refused = 'method="POST",path="/api/v1/publish",status="4xx"'
        self.assertEqual(server.metric("rapidrtmp_http_requests_total", refused), 1)
        self.assertEqual(server.get("/api/v1/streams").status, 200)

    def test_wrong_keys(self) -> None:
        """After ten wrong API keys 429; a right one is never locked out."""
        server = self.serve(API_KEYS=ADMIN)
        server.secrets.append(ADMIN)
        wrong = [
            server.get("/api/v1/server", headers={"Authorization": f"Bearer wrong-{number}"})
            for number in range(11)
        ]
        self.assertEqual([answer.status for answer in wrong], [401] * 10 + [429])
        self.assertTrue(0 < int(wrong[-1].headers["retry-after"]) <= 60)
        right = server.get("/api/v1/server", headers={"Authorization": f"Bearer {ADMIN}"})
        self.assertEqual(right.status, 200)
        for reason, count in (("wrong_key", 10), ("rate", 1)):
            refused = f'action="api",reason="{reason}"'
            self.assertEqual(server.metric("rapidrtmp_access_refusals_total", refused), count)
        server.stop()
