"""What the log says of a server's life, in both formats, and the secrets that are nowhere."""

import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.integration import media
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import Child, python_environment, wait_for
from tests.integration.raw_publisher import RawPublisher, Refused
from tests.integration.server import SETTINGS, Server
from tests.integration.test_api import Feed
from tests.integration.test_sessions import signed

PLAYBACK_SECRET = "the-secret-that-signs-playback"
WEBHOOK_SECRET = "the-secret-that-signs-webhooks"
ADMIN = "the-admin-key-of-32-characters-or-so"
WRONG_KEY = "some-wrong-key-that-was-sent-to-us"
WRONG_TOKEN = "feedface" * 8
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TEXT_LINE = re.compile(TIME.pattern + r" (debug|info |warn |error|critical) [a-z_.]+: \S.*")


class HookSink:
    """A hook server that keeps every request that it is sent: headers and body."""

    def __init__(self, case: IntegrationTestCase) -> None:
        self.requests: list[str] = []
        sink = self

        class Sink(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                sink.requests.append(f"{self.path}\n{self.headers}\n{body}")
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        case.addCleanup(server.server_close)
        case.addCleanup(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_port}/hook"


class LogTests(IntegrationTestCase):
    def live(self, server: Server) -> tuple[str, RawPublisher]:
        """Publish a moment; give the session's id and the publisher."""
        feed = Feed(server, "?events=publish")
        self.addCleanup(feed.close)
        publisher = self.raw(server)
        publisher.publish(f"{KEY}?token={server.mint(KEY)}")
        tags = media.flv_tags(media.as_flv(media.sample("plain")))
        publisher.send_tags(tag for tag in tags if tag.timestamp < 2500)
        server.wait_playlist(KEY)
        told = feed.next()
        assert told is not None
        return told["sessionId"], publisher

    def run_life(self, server: Server) -> str:
        """Let a stream live, be refused to somebody, and end; give its session's id."""
        session, publisher = self.live(server)
        self.refusal(server, f"{KEY}?token={WRONG_TOKEN}")
        publisher.close()
        wait_for(lambda: "gone" in server.log, "the publisher is gone")
        server.post(f"/api/v1/streams/{KEY}/stop")
        server.stop()
        return session

    def test_json(self) -> None:
        """Every line is one JSON object; each step of a life has one, with all that names it."""
        for form in Server.FORMS:
            with self.subTest(form):
                server = Server(self, {"LOG_FORMAT": "json", "STREAM_GRACE": "60s"}, form=form)
                session = self.run_life(server)
                lines: list[dict[str, Any]] = [json.loads(line) for line in server.log.splitlines()]
                for line in lines:
                    self.assertLessEqual({"time", "level", "namespace", "message"}, set(line))
                    self.assertRegex(line["time"], f"^{TIME.pattern}$")
                for word, names in (
                    ("publish token issued", ("key", "caller")),
                    (": publisher 127.0.0.1 (", ("key", "peer", "session", "client")),
                    (": live with ", ("key", "peer", "session", "tracks")),
                    ("publisher 127.0.0.1 gone", ("key", "peer", "session", "reason", "frames")),
                    (": refused, ", ("key", "peer", "session", "text")),
                    (": ended (", ("key", "reason")),
                ):
                    told = [line for line in lines if word in line["message"]]
                    self.assertEqual(len(told), 1, word)
                    self.assertLessEqual(set(names), set(told[0]))
                    self.assertEqual(told[0]["key"], KEY)
                    if "session" in names and "refused" not in word:
                        self.assertEqual(told[0]["session"], session)
                        self.assertEqual(told[0]["peer"], "127.0.0.1")

    def test_text(self) -> None:
        """For people: time, level, module, message; a step of a life is one line."""
        server = self.serve(STREAM_GRACE="60s")
        session = self.run_life(server)
        lines = server.log.splitlines()
        for line in lines:
            self.assertRegex(line, f"^{TEXT_LINE.pattern}$")
        for step in (
            f"stream {KEY}: publisher 127.0.0.1 () in session {session}",
            rf"stream {KEY}: live with avc1.[0-9a-f]*, mp4a.40.2 in session {session}",
            rf"stream {KEY}: publisher 127.0.0.1 gone \(.*\) in session {session};",
            rf"RTMP rtmp-2 127.0.0.1 {KEY}: refused, NetStream.Publish.Denied: ",
            rf"stream {KEY}: ended \(stopped by the operator\)",
        ):
            pattern = step.replace("()", r"\(\)")
            self.assertEqual(len([line for line in lines if re.search(pattern, line)]), 1, step)

    def test_levels(self) -> None:
        """LOG_LEVEL holds for all, and for single namespaces."""
        levels = "warn,rapidrtmp.listener=info,rapidrtmp.stream=debug,rapidrtmp.stream.stream=error"
        # with few connections no machine has too few descriptors, which would be a warning
        few = {"RTMP_MAX_CONNECTIONS": "100", "HTTP_MAX_CONNECTIONS": "100"}
        server = self.serve(LOG_LEVEL=levels, STREAM_GRACE="60s", **few)
        viewer = self.watch(server)
        self.live(server)
        viewer.wait_segments(1)
        self.assert_clean(viewer)
        server.stop()
        modules = {line.split()[2].rstrip(":") for line in server.log.splitlines()}
        self.assertEqual(modules, {"listener", "stream.manager"})
        self.assertIn(f"debug stream.manager: stream {KEY}: viewer 127.0.0.1 in sess", server.log)

    def test_secrets(self) -> None:
        """No token, key, secret or signature is told to anybody whom it was not given to."""
        sink = HookSink(self)
        names = ("PUBLISH", "UNPUBLISH", "PLAY", "SEGMENT")
        settings = {
            **{f"WEBHOOK_ON_{name}": sink.url for name in names},
            "WEBHOOK_SECRET": WEBHOOK_SECRET,
            "PLAYBACK_AUTH": "true",
            "PLAYBACK_SECRET": PLAYBACK_SECRET,
            "API_KEYS": ADMIN,
            "LOG_LEVEL": "debug",
            "STREAM_GRACE": "60s",
        }
        server = self.serve(**settings)
        bearer = {"Authorization": f"Bearer {ADMIN}"}
        feed = Feed(server, "?events=publish,live,unpublish,end,play,segment,refuse", **bearer)
        self.addCleanup(feed.close)
        issued = server.post("/api/v1/publish", {"streamKey": KEY}, headers=bearer).json
        token = issued["token"]
        signatures = re.findall("[0-9a-f]{64}", issued["playlistPath"] + signed(60))
        self.assertEqual(len(signatures), 2)
        secrets = [token, WRONG_TOKEN, ADMIN, WRONG_KEY, PLAYBACK_SECRET, WEBHOOK_SECRET]
        secrets += signatures
        self.misuse(server, token)
        publisher = self.raw(server)
        publisher.publish(KEY, f"live?token={token}&pass={token}")
        publisher.send_tags(media.flv_tags(media.as_flv(media.sample("plain"))))
        playlist = wait_for(lambda: self.opened(server, issued["playlistPath"]), "the playlist")
        self.assertEqual(server.get(playlist).status, 200)
        self.assertEqual(server.get(signed(60)).status, 403)
        self.assertEqual(server.get(playlist, headers={"Authorization": WRONG_KEY}).status, 200)
        told = [
            server.get(path, headers=bearer).text
            for path in (
                "/api/v1/server",
                "/api/v1/tokens",
                "/api/v1/streams",
                f"/api/v1/streams/{KEY}",
                f"/api/v1/streams/{KEY}/statistics",
                "/metrics",
                "/ready",
            )
        ]
        self.assertIn(KEY, told[2])
        server.post(f"/api/v1/streams/{KEY}/stop", headers=bearer)
        events: list[dict[str, Any]] = []
        while not events or events[-1]["event"] != "end":
            event = feed.next()
            assert event is not None
            events.append(event)
        self.assertLessEqual({"publish", "play", "segment", "refuse"}, {e["event"] for e in events})
        server.stop()
        called = {re.findall('"event":"([a-z]+)"', request)[0] for request in sink.requests}
        self.assertEqual(called, {"publish", "unpublish", "play", "segment"})
        config = self.config(settings)
        self.assertIn(sink.url, config)
        places = {
            "log": server.log,
            "API": "\n".join(told),
            "events": json.dumps(events),
            "web hooks": "\n".join(sink.requests),
            "config": config,
        }
        for place, text in places.items():
            for secret in secrets:
                self.assertNotIn(secret, text, place)
        for path in server.directory.rglob("*"):
            if path.is_file() and not path.name.startswith("server-"):
                content = path.read_bytes()
                for secret in secrets:
                    self.assertNotIn(secret.encode(), content, path)

    def misuse(self, server: Server, token: str) -> None:
        """Send secrets and wrong ones wherever a client can put them."""
        for name, app in (
            (f"other?token={token}", f"live?token={WRONG_TOKEN}"),
            (f"{WRONG_TOKEN}/{KEY}?password={WRONG_TOKEN}", f"{token}?token={WRONG_TOKEN}"),
            (f"{KEY}?token={WRONG_TOKEN}", f"live/{token}"),
            (f"{KEY} token={token}", "live"),
        ):
            publisher = self.raw(server)
            with self.assertRaises(Refused) as caught:
                publisher.publish(name, app)
            for secret in (token, WRONG_TOKEN):
                self.assertNotIn(secret, caught.exception.description)
        for headers in (
            {"Authorization": f"Bearer {WRONG_KEY}"},
            {"Authorization": f"Basic {WRONG_KEY}"},
            {"X-API-Key": ADMIN},
        ):
            answer = server.get(f"/api/v1/streams?api_key={ADMIN}&token={token}", headers=headers)
            self.assertEqual(answer.status, 401)
            self.assertNotIn(ADMIN, answer.text)
            self.assertNotIn(WRONG_KEY, answer.text)

    def opened(self, server: Server, path: str) -> str:
        """Open a session; give the path of its first media playlist, when it is there."""
        answer = server.get(path)
        if answer.status != 200:
            return ""
        uri = next(line for line in answer.text.splitlines() if line and line[0] != "#")
        return f"/live/{KEY}/{uri}"

    def config(self, settings: dict[str, str]) -> str:
        """Give what `rapidrtmp config` says of these settings."""
        child = Child(
            [sys.executable, "-m", "rapidrtmp.cli", "config"],
            self.temporary() / "config.log",
            environment=python_environment(**{**SETTINGS, **settings}),
        )
        self.addCleanup(child.kill)
        return child.succeed()
