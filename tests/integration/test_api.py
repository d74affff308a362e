"""The management API and the health checks, on the real server with a real stream."""

import http.client
import json
import os
import re
import time
from datetime import datetime
from typing import Any

from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import ROOT, Child, tool, wait_for
from tests.integration.server import Server
from tests.integration.test_refusals import DENIED, REJECTED

ADMIN, READ, PUBLISH = (f"{scope}-key-of-32-characters-or-so" for scope in ("admin", "read", "pub"))


class Feed:
    """A reader of the event feed."""

    def __init__(self, server: Server, query: str = "", **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=60)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request("GET", f"/api/v1/events{query}", headers=given)
        self._response = self._connection.getresponse()
        self.status = self._response.status
        self.last_id = ""

    def next(self) -> dict[str, Any] | None:
        """Wait for the next event; None at the end of the feed."""
        fields: dict[str, str] = {}
        for line in self._response:
            name, _, value = line.decode().rstrip().partition(": ")
            if name:
                fields[name] = value
            elif "data" in fields:
                self.last_id = fields.get("id", self.last_id)
                told: dict[str, Any] = json.loads(fields["data"])
                assert told.get("event", "missed") == fields["event"]
                return told
            else:
                fields = {}
        return None

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


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
            self.assertEqual(set(answer.json) - {"field"}, {"error"})
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

    def test_revoke(self) -> None:
        """Whoever publishes with a revoked token is sent away, and does not get in again."""
        server = self.serve()
        token, other = server.mint(KEY), server.mint(KEY)
        publisher = self.publish(server, "plain", token, live=True, loop=True)
        server.wait_live(KEY)
        listing = server.get(f"/api/v1/tokens?streamKey={KEY}").json
        self.assertEqual(listing["total"], 2)
        self.assertNotIn(token, str(listing))
        [used] = [told for told in listing["tokens"] if told["publishing"]]
        answer = server.get(f"/api/v1/tokens/{used['id']}", "DELETE")
        self.assertEqual((answer.status, answer.json["id"]), (200, used["id"]))
        self.assertNotEqual(publisher.wait(10), 0)
        self.assertEqual(self.refusal(server, f"{KEY}?token={token}").code, DENIED)
        self.publish(server, "plain", other).succeed()
        self.assertEqual(server.get(f"/api/v1/tokens?streamKey={KEY}", "DELETE").json["revoked"], 1)
        self.assertEqual(self.refusal(server, f"{KEY}?token={other}").code, DENIED)
        server.stop()

    def test_keys(self) -> None:
        """With keys, each opens what its scopes say, and nothing is open without."""
        keys = f"{ADMIN} {READ}:read {PUBLISH}:publish"
        server = self.serve(API_KEYS=keys, METRICS_AUTH="true")
        server.secrets += [ADMIN, READ, PUBLISH]
        paths = ("/api/v1/streams", "/api/v1/server", "/metrics", "/api/v1/tokens")
        for key, expected in [
            (None, [401, 401, 401, 401]),
            ("wrong", [401, 401, 401, 401]),
            (READ, [200, 200, 200, 200]),
            (PUBLISH, [403, 403, 403, 200]),
            (ADMIN, [200, 200, 200, 200]),
        ]:
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            codes = [server.get(path, headers=headers).status for path in paths]
            self.assertEqual(codes, expected, key)
        self.assertEqual(server.get(f"/api/v1/streams?api_key={ADMIN}").status, 401)
        wrong = {"Authorization": "Bearer wrong"}
        codes = [server.get("/api/v1/streams", headers=wrong).status for _ in range(8)]
        self.assertEqual(codes, [401] * 6 + [429] * 2)
        for path in ("/api/ping", "/api/docs", "/api/openapi.json", "/health", "/ready"):
            self.assertEqual(server.get(path).status, 200)
        server.stop()

    def test_events(self) -> None:
        """The feed tells a stream's whole life, resumes, and ends with the server."""
        server = self.serve()
        token = server.mint(KEY)
        feed = Feed(server)
        self.addCleanup(feed.close)
        segments = Feed(server, f"?events=segment&streamKey={KEY}")
        self.addCleanup(segments.close)
        self.publish(server, "plain", token).succeed()
        told = [feed.next() for _ in range(4)]
        names = [event["event"] for event in told if event is not None]
        self.assertEqual(names, ["publish", "live", "unpublish", "end"])
        assert told[0] is not None and told[2] is not None
        self.assertEqual((told[0]["streamKey"], told[0]["peer"]), (KEY, "127.0.0.1"))
        self.assertEqual(told[0]["sessionId"], told[2]["sessionId"])
        segment = segments.next()
        assert segment is not None
        self.assertEqual(segment["event"], "segment")
        self.assertNotIn(token, str(told))
        epoch = feed.last_id.partition("-")[0]
        again = Feed(server, Last_Event_ID=f"{epoch}-1")
        self.addCleanup(again.close)
        self.assertEqual([again.next() for _ in range(3)], told[1:])
        server.stop()
        self.assertIsNone(feed.next())
        self.assertIsNone(again.next())

    def test_statistics(self) -> None:
        """The statistics of a live stream are true; the server counts it."""
        server = self.serve()
        publisher = self.publish(server, "rate_48000", server.mint(KEY), live=True, loop=True)
        server.wait_live(KEY)
        wait_for(lambda: server.stream(KEY).get("bitrate"), "a bit rate")
        told = server.get(f"/api/v1/streams/{KEY}/statistics").json
        self.assertEqual(told["publisher"]["address"], "127.0.0.1")
        video, audio = told["tracks"]
        self.assertEqual((video["width"], video["height"]), (320, 180))
        self.assertEqual(audio["sampleRate"], 48000)
        self.assertGreater(told["received"]["videoFrames"], 0)
        self.assertGreater(told["received"]["audioFrames"], 0)
        counts = server.get("/api/v1/server").json["counts"]
        self.assertEqual((counts["streams"], counts["publishers"], counts["tokens"]), (1, 1, 1))
        publisher.kill()
        server.stop()

    def test_reference(self) -> None:
        """Every line of the reference page works as it is."""
        text = (ROOT / "docs" / "reference" / "api.md").read_text()
        blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        self.assertGreater(len(blocks), 5)
        server = self.serve()
        # curl itself takes an HTTP error for a success
        curl = self.temporary() / "curl"
        curl.write_text(f'#!/bin/sh\nexec {tool("curl")} --fail-with-body "$@"\n')
        curl.chmod(0o755)
        path = f"{curl.parent}:{os.environ['PATH']}"
        self.publish(server, "plain", server.mint(KEY), live=True, loop=True)
        server.wait_live(KEY)
        for block in blocks:
            script = block.replace("http://localhost:8080", server.url("")).replace("show", KEY)
            child = Child(
                ["bash", "-euo", "pipefail", "-c", script],
                self.temporary() / "log",
                environment=os.environ | {"PATH": path},
            )
            self.addCleanup(child.kill)
            child.succeed()
        server.stop()
