"""The management API and the health checks, on the real server with a real stream."""

import time
from datetime import datetime

from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import wait_for
from tests.integration.test_refusals import REJECTED


class APITests(IntegrationTestCase):
    def test_stream_description(self) -> None:
        """A live stream is told with the contract's fields and with true values."""
        server = self.serve()
        publisher = self.publish(server, "rate_48000", server.mint(KEY), live=True, loop=True)
        viewer = self.watch(server)
        viewer.wait_segments(2)
        wait_for(lambda: server.stream(KEY).get("bitrate"), "a bit rate")
        told = server.stream(KEY)
        self.assertEqual(told["streamKey"], KEY)
        self.assertIs(told["active"], True)
        self.assertEqual(told["state"], "live")
        self.assertEqual(told["viewers"], 1)
        self.assertEqual(told["videoCodec"], "h264")
        self.assertEqual(told["audioCodec"], "aac")
        self.assertEqual(told["resolution"], "320x180")
        self.assertTrue(100_000 < told["bitrate"] < 3_000_000, told["bitrate"])
        started = datetime.fromisoformat(told["startedAt"]).timestamp()
        self.assertLess(abs(time.time() - started), 60)
        listing = server.get("/api/v1/streams").json
        self.assertEqual(listing["total"], 1)
        self.assertEqual(listing["streams"][0]["streamKey"], KEY)
        publisher.kill()
        server.stop()

    def test_tokens(self) -> None:
        """The answer to POST /api/v1/publish is the contract's."""
        server = self.serve(RTMP_INGEST_ADDR="rtmp://media.example:1935")
        answer = server.post("/api/v1/publish", {"streamKey": KEY, "expiresIn": 10**9})
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["content-type"], "application/json; charset=utf-8")
        told = answer.json
        server.secrets.append(told["token"])
        self.assertRegex(told["token"], "^[0-9a-f]{64}$")
        self.assertEqual(
            told["publishUrl"], f"rtmp://media.example:1935/live/{KEY}?token={told['token']}"
        )
        expires = datetime.fromisoformat(told["expiresAt"]).timestamp()
        self.assertLess(abs(expires - time.time() - 86400), 60)
        bad: list[object] = [
            {},
            {"streamKey": ""},
            {"streamKey": "../x"},
            {"streamKey": 1},
            [],
            None,
        ]
        for wrong in bad:
            answer = server.post("/api/v1/publish", wrong)
            self.assertIn(answer.status, (400, 415), wrong)
            self.assertEqual(list(answer.json), ["error"])
        server.stop()

    def test_stored_tokens(self) -> None:
        """The token itself is nowhere on disk."""
        server = self.serve()
        token = server.mint(KEY)
        self.publish(server, "plain", token).succeed()
        server.stop()
        for path in server.directory.rglob("*"):
            if path.is_file():
                self.assertNotIn(token.encode(), path.read_bytes(), path)

    def test_stop(self) -> None:
        """Stop hangs up on the encoder, ends the playlists at once and bars the key a while."""
        server = self.serve(STREAM_GRACE="60s")
        token = server.mint(KEY)
        publisher = self.publish(server, "plain", token, live=True, loop=True)
        viewer = self.watch(server)
        viewer.wait_segments(2)
        answer = server.post(f"/api/v1/streams/{KEY}/stop")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.json, {"message": "stream stopped", "streamKey": KEY})
        viewer.wait_ended(3)
        self.assertNotEqual(publisher.wait(10), 0)
        refused = self.refusal(server, f"{KEY}?token={token}")
        self.assertEqual(refused.code, REJECTED)
        self.assertEqual(server.post(f"/api/v1/streams/{KEY}/stop").status, 200)
        self.assertEqual(server.stream(KEY)["state"], "stopped")
        missing = server.post("/api/v1/streams/unknown/stop")
        self.assertEqual(missing.status, 404)
        self.assertEqual(missing.json, {"error": "stream unknown not found"})
        self.assert_clean(viewer)
        server.stop()

    def test_stop_while_idle(self) -> None:
        """Stop also ends a stream that only waits for its publisher."""
        server = self.serve(STREAM_GRACE="60s", STOP_COOLDOWN="1s")
        token = server.mint(KEY)
        viewer = self.watch(server)
        self.publish(server, "plain", token).succeed()
        wait_for(lambda: server.stream(KEY).get("state") == "idle", "the stream is idle")
        viewer.wait_segments(5)
        self.assertEqual(server.post(f"/api/v1/streams/{KEY}/stop").status, 200)
        viewer.wait_ended(3)
        self.assert_clean(viewer)
        # and after the cool-down the key is free for a new life
        second = self.watch(server)
        second.stop()

        def accepted() -> bool:
            publisher = self.publish(server, "plain", token)
            return publisher.wait() == 0

        wait_for(accepted, "the key is free again", 10)
        fresh = self.watch(server)
        fresh.wait_segments(3)
        self.assertNotEqual(fresh.leading.path, viewer.leading.path)
        self.assertGreater(fresh.leading.last.media_sequence, 0)
        self.assert_clean(fresh)
        server.stop()

    def test_health(self) -> None:
        """The health checks and the ping have the contract's fields."""
        server = self.serve()
        self.assertEqual(server.get("/health").json["status"], "healthy")
        ready = server.get("/ready").json
        self.assertIs(ready["ready"], True)
        self.assertEqual(set(ready["checks"].values()), {"ok"})
        ping = server.get("/api/ping")
        self.assertEqual(ping.json["message"], "pong")
        self.assertLess(abs(ping.json["time"] - time.time()), 5)
        self.assertEqual(ping.headers["access-control-allow-origin"], "*")
        self.assertEqual(server.get("/nowhere").status, 404)
        self.assertEqual(list(server.get("/nowhere").json), ["error"])
        server.stop()

    def test_access(self) -> None:
        """Requests that a proxy or a hostile page passed on are refused."""
        server = self.serve()
        for headers in (
            {"X-Forwarded-For": "127.0.0.1"},
            {"Forwarded": "for=127.0.0.1"},
            {"Host": "evil.example"},
            {"Origin": "http://evil.example"},
        ):
            answer = server.get("/api/v1/streams", headers=headers)
            self.assertEqual(answer.status, 403, headers)
            self.assertEqual(list(answer.json), ["error"])
            self.assertNotIn("access-control-allow-origin", answer.headers)
        self.assertEqual(server.get("/api/v1/streams", "DELETE").status, 405)
        server.stop()
