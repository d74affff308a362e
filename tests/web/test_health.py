"""Liveness and readiness."""

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.web.health import CHECK_TIMEOUT, Check
from tests.web.fakes import Connection, FakeManager, Response, site_for


class HealthTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_790_000_000.9)

    def connect(self, **checks: Check) -> Connection:
        return Connection(
            site_for(FakeManager(), self.clock, checks=checks), peer="192.0.2.1", host="192.0.2.2"
        )

    def ask(self, path: str, method: str = "GET", **checks: Check) -> Response:
        connection = self.connect(**checks)
        connection.request(method, path, host="live.example")
        response = connection.response(method)
        self.assertEqual(response.headers["access-control-allow-origin"], "*")
        return response

    def test_health(self) -> None:
        """A process that answers is healthy."""
        response = self.ask("/health")
        self.assertEqual(response.code, 200)
        self.assertEqual(response.json(), {"status": "healthy", "time": 1_790_000_000})
        self.assertEqual(response.headers["cache-control"], "no-store")

    def test_methods(self) -> None:
        """Both can be read by any origin, and only read."""
        for path in ("/health", "/ready"):
            self.assertEqual(self.ask(path, "HEAD").body, b"")
            self.assertEqual(self.ask(path, "OPTIONS").code, 204)
            response = self.ask(path, "POST")
            self.assertEqual(
                (response.code, response.headers["allow"]), (405, "GET, HEAD, OPTIONS")
            )

    def test_ready(self) -> None:
        """All checks well is 200, whether they answer at once or later."""
        later: Deferred[str] = Deferred()
        connection = self.connect(streamManager=lambda: "ok", segmenter=lambda: later)
        connection.request("GET", "/ready")
        self.assertEqual(connection.unread, b"")
        later.callback("ok")
        response = connection.response()
        self.assertEqual(response.code, 200)
        self.assertEqual(
            response.body,
            b'{"checks":{"segmenter":"ok","streamManager":"ok"},"ready":true,"time":1790000000}',
        )
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)  # of the idle connection

    def test_not_ready(self) -> None:
        """One check that is not well is 503, and all are named."""
        response = self.ask("/ready", rtmp=lambda: "not listening", segmenter=lambda: "ok")
        self.assertEqual(response.code, 503)
        self.assertEqual(
            response.json(),
            {
                "checks": {"rtmp": "not listening", "segmenter": "ok"},
                "ready": False,
                "time": 1_790_000_000,
            },
        )

    def test_storage_degrades(self) -> None:
        """A storage outage and a full disk are named but take no traffic away."""
        response = self.ask(
            "/ready",
            storage=lambda: succeed("disk full"),
            disk=lambda: "1 MiB is free",
            rtmp=lambda: "ok",
        )
        self.assertEqual(response.code, 200)
        self.assertEqual(
            response.json()["checks"],
            {"disk": "1 MiB is free", "rtmp": "ok", "storage": "disk full"},
        )
        self.assertIs(response.json()["ready"], True)

    def test_timeout(self) -> None:
        """Checks that do not answer are given up together."""
        connection = self.connect(rtmp=Deferred, segmenter=Deferred)
        connection.request("GET", "/ready")
        self.clock.advance(CHECK_TIMEOUT - 0.1)
        self.assertEqual(connection.unread, b"")
        self.clock.advance(0.1)
        response = connection.response()
        self.assertEqual(response.code, 503)
        self.assertEqual(
            response.json()["checks"],
            dict.fromkeys(("rtmp", "segmenter"), "no answer within 2 s"),
        )

    def test_crash(self) -> None:
        """A check that fails tells nothing of it outside, and all of it in the log."""

        def crash() -> str:
            raise ZeroDivisionError("secret")

        response = self.ask(
            "/ready", rtmp=crash, segmenter=lambda: fail(ZeroDivisionError("secret"))
        )
        self.assertEqual(response.code, 503)
        self.assertEqual(
            response.json()["checks"], {"rtmp": "check failed", "segmenter": "check failed"}
        )
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_client_leaves(self) -> None:
        """A probe that gave up is not answered."""
        later: Deferred[str] = Deferred()
        connection = self.connect(rtmp=lambda: later)
        connection.request("GET", "/ready")
        connection.lose()
        later.callback("ok")
        self.assertEqual(connection.transport.value(), b"")
        self.assertEqual(self.clock.getDelayedCalls(), [])
