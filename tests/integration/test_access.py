"""Who may call the API and the metrics, and whose word counts about where a client is."""

from collections.abc import Mapping
from urllib.parse import urljoin

from tests.hls.checker import parse_multivariant_playlist
from tests.integration import media
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import wait_for
from tests.integration.raw_publisher import RawPublisher
from tests.integration.server import Server
from tests.integration.test_api import ADMIN, PUBLISH, READ, Feed

KEYS = f"{ADMIN} {READ}:read {PUBLISH}:publish"
FIRST, SECOND = "198.51.100.1", "198.51.100.2"


def bearer(key: str, address: str = "") -> Mapping[str, str]:
    """Give the headers of a request with a key, by way of a proxy."""
    return {"Authorization": f"Bearer {key}", **forwarded(address)}


def forwarded(address: str) -> Mapping[str, str]:
    """Give the header of a proxy that tells a client's address."""
    return {"X-Forwarded-For": address} if address else {}


class KeyTests(IntegrationTestCase):
    def test_scopes(self) -> None:
        """What each scope opens, over HTTP; on loopback, too, nothing is open without a key."""
        server = self.serve(API_KEYS=KEYS, METRICS_AUTH="true", STREAM_GRACE="60s")
        server.secrets += [ADMIN, READ, PUBLISH]
        body = {"streamKey": KEY}
        for method, path, value, expected in (
            ("POST", "/api/v1/publish", body, {PUBLISH: 200, READ: 403, ADMIN: 200}),
            ("POST", "/api/v1/playback", body, {PUBLISH: 200, READ: 403, ADMIN: 200}),
            ("GET", "/api/v1/tokens", None, {PUBLISH: 200, READ: 200, ADMIN: 200}),
            ("DELETE", f"/api/v1/tokens?streamKey={KEY}", None, {READ: 403, PUBLISH: 200}),
            ("GET", "/api/v1/streams", None, {PUBLISH: 403, READ: 200, ADMIN: 200}),
            ("GET", f"/api/v1/streams/{KEY}", None, {PUBLISH: 403, READ: 404, ADMIN: 404}),
            ("POST", f"/api/v1/streams/{KEY}/stop", None, {PUBLISH: 403, READ: 403, ADMIN: 404}),
            ("GET", "/api/v1/server", None, {PUBLISH: 403, READ: 200, ADMIN: 200}),
            ("HEAD", "/api/v1/events", None, {PUBLISH: 403, READ: 200, ADMIN: 200}),
            ("GET", "/metrics", None, {PUBLISH: 403, READ: 200, ADMIN: 200}),
        ):
            for key, status in {"": 401, **expected}.items():
                headers = bearer(key) if key else {}
                if method == "POST":
                    answer = server.post(path, value, headers=headers)
                else:
                    answer = server.get(path, method, headers=headers)
                self.assertEqual(answer.status, status, f"{method} {path} {key}")
                if status in (401, 403):
                    self.assertTrue(answer.headers["www-authenticate"].startswith("Bearer "))
                if status == 200 and answer.body and path == "/api/v1/publish":
                    server.secrets.append(answer.json["token"])
        for path in ("/health", "/ready", "/api/ping", "/", "/player/x", "/api/docs"):
            self.assertEqual(server.get(path).status, 200, path)
        server.stop()

    def test_metrics_without_keys(self) -> None:
        """METRICS_AUTH without a key opens the metrics to this machine alone."""
        server = self.serve(METRICS_AUTH="true")
        self.assertEqual(server.get("/metrics").status, 200)
        for headers in (forwarded(FIRST), {"Host": "metrics.example"}):
            answer = server.get("/metrics", headers=headers)
            self.assertEqual(answer.status, 403)
            self.assertNotIn("rapidrtmp_", answer.text)
        server.stop()


class ProxyTests(IntegrationTestCase):
    def live(self, server: Server, headers: Mapping[str, str]) -> RawPublisher:
        """Publish a moment, with a token that is asked for with these headers."""
        answer = server.post("/api/v1/publish", {"streamKey": KEY}, headers=headers)
        server.secrets.append(answer.json["token"])
        publisher = self.raw(server)
        publisher.publish(f"{KEY}?token={answer.json['token']}")
        tags = media.flv_tags(media.as_flv(media.sample("plain")))
        publisher.send_tags(tag for tag in tags if tag.timestamp < 2500)
        server.wait_playlist(KEY)
        return publisher

    def plain_playlist(self, server: Server) -> str:
        """Give the path of a media playlist without a session: viewers count by address."""
        path = f"/live/{KEY}/index.m3u8"
        multivariant = parse_multivariant_playlist(server.get(path).body)
        life = multivariant.variants[0].uri.partition(".")[0]
        return urljoin(path, f"{life}/{multivariant.variants[0].uri.rpartition('/')[2]}")

    def test_trusted(self) -> None:
        """A trusted proxy's word counts: viewers and limits go by the client's own address."""
        server = self.serve(
            TRUSTED_PROXIES="127.0.0.1", API_KEYS=KEYS, MAX_TOKEN_REQUESTS_PER_IP="2"
        )
        server.secrets += [ADMIN, READ, PUBLISH]
        self.live(server, bearer(ADMIN, "198.51.100.9"))
        feed = Feed(server, "?events=play", Authorization=f"Bearer {READ}")
        self.addCleanup(feed.close)
        playlist = self.plain_playlist(server)
        for client in (FIRST, SECOND, f"{FIRST}, {SECOND}", f"203.0.113.7, {FIRST}"):
            self.assertEqual(server.get(playlist, headers=forwarded(client)).status, 200)
        self.assertEqual(self.viewers(server), 2)
        played = [feed.next() for _ in range(2)]
        self.assertEqual([event and event["peer"] for event in played], [FIRST, SECOND])
        statuses = [
            server.post("/api/v1/publish", {}, headers=bearer(ADMIN, client)).status
            for client in (FIRST, FIRST, FIRST, SECOND, f"203.0.113.7, {FIRST}")
        ]
        self.assertEqual(statuses, [400, 400, 429, 400, 429])
        wrong = [
            server.get("/api/v1/server", headers=bearer("wrong", FIRST)).status for _ in range(11)
        ]
        self.assertEqual(wrong, [401] * 10 + [429])
        other = server.get("/api/v1/server", headers=bearer("wrong", SECOND))
        self.assertEqual(other.status, 401)
        server.stop()

    def viewers(self, server: Server) -> int:
        """How many viewers the API tells."""
        told: int = server.get(f"/api/v1/streams/{KEY}", headers=bearer(READ)).json["viewers"]
        return told

    def test_trusted_without_keys(self) -> None:
        """Without a key nobody who comes through the proxy is let in, whatever headers say."""
        server = self.serve(TRUSTED_PROXIES="127.0.0.1")
        for headers in (
            {},
            forwarded(FIRST),
            forwarded("127.0.0.1"),
            forwarded("::1"),
            {"Forwarded": "for=127.0.0.1"},
            {"X-Real-IP": "127.0.0.1"},
            {"X-Forwarded-For": ""},
        ):
            self.assertEqual(server.get("/api/v1/streams", headers=headers).status, 403, headers)
        server.stop()

    def test_untrusted(self) -> None:
        """Anybody else's word counts for nothing."""
        server = self.serve(API_KEYS=KEYS, MAX_TOKEN_REQUESTS_PER_IP="2")
        server.secrets += [ADMIN, READ, PUBLISH]
        self.live(server, bearer(ADMIN))
        playlist = self.plain_playlist(server)
        for client in (FIRST, SECOND):
            self.assertEqual(server.get(playlist, headers=forwarded(client)).status, 200)
        wait_for(lambda: self.viewers(server) == 1, "one viewer")
        statuses = [
            server.post("/api/v1/publish", {}, headers=bearer(ADMIN, client)).status
            for client in (FIRST, SECOND)
        ]
        self.assertEqual(statuses, [400, 429])
        server.stop()
