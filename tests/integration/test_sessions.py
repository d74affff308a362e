"""Viewers of the real server: counted, limited, and let in by signed URLs."""

import json
import re
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urljoin, urlsplit

from twisted.internet.task import Clock

from rapidrtmp.auth.playback import PlaybackSigner
from tests.hls.checker import parse_media_playlist, parse_multivariant_playlist
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import Child, tool, wait_for
from tests.integration.server import Server

SECRET = "correct-horse-battery-staple"
INDEX = f"/live/{KEY}/index.m3u8"
PROTECTED = {"PLAYBACK_AUTH": "true", "PLAYBACK_SECRET": SECRET}


def signed(seconds: float, key: str = KEY, secret: str = SECRET) -> str:
    """Give the path of a signed multivariant playlist."""
    signer = PlaybackSigner([secret.encode()], Clock())
    return f"/live/{key}/index.m3u8?{signer.query(key, int(time.time() + seconds))}"


class SessionTestCase(IntegrationTestCase):
    def media_playlists(self, server: Server, path: str = INDEX) -> list[str]:
        """Open a session; give the paths of its media playlists."""
        answer = server.get(path)
        self.assertEqual(answer.status, 200, answer.text)
        multivariant = parse_multivariant_playlist(answer.body)
        uris = [variant.uri for variant in multivariant.variants]
        uris += [audio.uri for audio in multivariant.audio]
        return [urljoin(urlsplit(path).path, uri) for uri in uris]

    def play(self, url: str) -> Child:
        """Play three seconds of a stream with ffmpeg, without decoding."""
        child = Child(
            [
                *(tool("ffmpeg"), "-hide_banner", "-loglevel", "info", "-nostdin", "-i", url),
                *("-t", "3", "-c", "copy", "-f", "null", "-"),
            ],
            self.temporary() / "player.log",
        )
        self.addCleanup(child.kill)
        return child


class CountTests(SessionTestCase):
    def test_two_viewers(self) -> None:
        """Two sessions of one program count as two, and are gone three target durations later."""
        server = self.serve(STREAM_GRACE="60s")
        publisher = self.publish(server, "plain", server.mint(KEY), live=True, loop=True)
        server.wait_playlist(KEY)
        self.assertEqual(server.stream(KEY)["viewers"], 0)
        viewers = [self.media_playlists(server) for _ in range(2)]
        bodies = {server.get(paths[0]).body for paths in viewers}
        target = parse_media_playlist(bodies.pop()).target_duration
        for paths in viewers:
            for path in paths:
                self.assertEqual(server.get(path).status, 200)
        last = time.monotonic()
        self.assertEqual(server.stream(KEY)["viewers"], 2)
        wait_for(lambda: server.stream(KEY)["viewers"] == 0, "both are gone", 4 * target + 5)
        self.assertGreater(time.monotonic() - last, 3 * target - 0.5)
        publisher.kill()
        server.stop()

    def test_ffmpeg(self) -> None:
        """A real player is one viewer, however many playlists it follows."""
        server = self.serve(STREAM_GRACE="60s")
        publisher = self.publish(server, "rate_48000", server.mint(KEY), live=True, loop=True)
        server.wait_playlist(KEY)
        player = self.play(server.url(INDEX))
        counts = set()
        while player.running():
            counts.add(server.stream(KEY)["viewers"])
            time.sleep(0.1)
        player.succeed()
        self.assertIn(1, counts)
        self.assertLessEqual(max(counts), 1)
        publisher.kill()
        server.stop()

    def test_limit(self) -> None:
        """With room for one the second is told to come back, and the first goes on."""
        server = self.serve(STREAM_GRACE="60s", MAX_VIEWERS_PER_STREAM="1")
        publisher = self.publish(server, "plain", server.mint(KEY), live=True, loop=True)
        server.wait_playlist(KEY)
        second = self.media_playlists(server)[0]
        viewer = self.watch(server)
        viewer.wait_segments(2)
        for path in (second, INDEX):
            answer = server.get(path)
            self.assertEqual(answer.status, 503)
            self.assertGreater(int(answer.headers["retry-after"]), 0)
            self.assertEqual(answer.json, {"error": "viewer limit reached"})
            self.assertEqual(answer.headers["access-control-allow-origin"], "*")
        self.assert_goes_on(viewer, 3)
        self.assertEqual(server.get(second).status, 503)
        self.assert_clean(viewer)
        wait_for(lambda: server.get(second).status == 200, "its place is given on", 10)
        publisher.kill()
        server.stop()


class Doorman(ThreadingHTTPServer):
    """A hook server that lets in whoever has `?jwt=good`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), DoormanRequest)
        self.asked: list[dict[str, str]] = []
        """The queries of those whom it was asked about."""
        Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}/"


class DoormanRequest(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Judge a viewer by its query."""
        assert isinstance(self.server, Doorman)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        query = json.loads(body)["query"]
        self.server.asked.append(query)
        self.send_response(204 if query.get("jwt") == "good" else 403)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep silent."""


class RestartTests(SessionTestCase):
    def doorman(self) -> Doorman:
        """Start a hook server."""
        doorman = Doorman()
        self.addCleanup(doorman.server_close)
        self.addCleanup(doorman.shutdown)
        return doorman

    def test_on_play(self) -> None:
        """A restart asks about no viewer that was let in, and lets in nobody who was not."""
        doorman = self.doorman()
        settings = {
            "STREAM_GRACE": "60s",
            "WEBHOOK_ON_PLAY": doorman.url,
            "WEBHOOK_SECRET": "a-secret-of-this-test",
        }
        server = self.serve(**settings)
        token = server.mint(KEY)
        publisher = self.publish(server, "plain", token, live=True, loop=True)
        with_jwt = f"{INDEX}?jwt=good"
        wait_for(lambda: server.get(with_jwt).status == 200, "the playlist", 15)
        self.assertEqual(server.get(INDEX).status, 403)
        watching, paused = (self.media_playlists(server, with_jwt)[0] for _ in range(2))
        self.assertEqual(server.get(watching).status, 200)
        publisher.kill()
        server.stop()
        asked = len(doorman.asked)

        server = Server(self, settings, directory=server.directory, ports=server.ports)
        publisher = self.publish(server, "plain", token, live=True, loop=True)
        wait_for(lambda: server.get(watching).status == 200, "it goes on", 15)
        self.assertEqual(server.get(paused).status, 200)
        self.assertEqual(len(doorman.asked), asked)
        self.assertEqual(server.stream(KEY)["viewers"], 2)
        life, session = watching.split("/")[3].split(".")
        made_up = watching.replace(session, session[:16] + session[:16])
        without = watching.replace(f".{session}", "")
        self.assertIn(life, without)
        for path in (made_up, without, INDEX):
            self.assertEqual(server.get(path).status, 403, path)
        self.assertEqual(doorman.asked[asked:], [{}, {}], "one about the address, one anew")
        publisher.kill()
        server.stop()


class ProtectedTests(SessionTestCase):
    def test_signed(self) -> None:
        """A player follows a signed URL to the segments; nobody gets there without."""
        server = self.serve(STREAM_GRACE="60s", **PROTECTED)
        publisher = self.publish(server, "rate_48000", server.mint(KEY), live=True, loop=True)
        wait_for(lambda: server.get(signed(60)).status == 200, "the signed playlist", 15)
        log = self.play(server.url(signed(60))).succeed(30)
        self.assertIn("Video: h264", log)
        self.assertIn("Audio: aac", log)
        self.assertNotIn("HTTP error 403", log)

        playlist = self.media_playlists(server, signed(60))[0]
        segments = parse_media_playlist(server.get(playlist).body).segments
        segment = urljoin(playlist, segments[-1].uri)
        self.assertEqual(server.get(segment).status, 200)
        self.assertNotIn(re.findall("signature=(.*)", signed(60))[0], segment)
        plain = re.sub(r"\.[0-9a-f.]+/", "/", playlist)
        for path in (
            INDEX,
            f"/live/{KEY}/init.mp4",
            plain,
            re.sub(r"\.[0-9]+\.[0-9a-f]{64}/", "/", playlist),
            signed(-1),
            signed(60, key="other").replace("other", KEY),
            signed(60, secret="another secret of the tests"),
            f"{plain}?{signed(60).partition('?')[2]}",
        ):
            for method in ("GET", "HEAD"):
                self.assertEqual(server.get(path, method).status, 403, path)
        stored = [path.name for path in server.storage.rglob("*.m3u8")]
        self.assertEqual(sorted(stored), ["audio2.m3u8", "video1.m3u8"])
        absent, present = (server.get(f"/live/{key}/index.m3u8") for key in ("absent", KEY))
        self.assertEqual((absent.status, absent.body), (present.status, present.body))
        publisher.kill()
        server.stop()
        self.assertNotIn(SECRET, server.log)

    def test_expires(self) -> None:
        """At the expiry a viewer gets no more playlists, and still the segments it knows."""
        server = self.serve(STREAM_GRACE="60s", **PROTECTED)
        publisher = self.publish(server, "plain", server.mint(KEY), live=True, loop=True)
        wait_for(lambda: server.get(signed(60)).status == 200, "the signed playlist", 15)
        playlist = self.media_playlists(server, signed(4))[0]
        answer = server.get(playlist)
        self.assertEqual(answer.status, 200)
        segment = urljoin(playlist, parse_media_playlist(answer.body).segments[-1].uri)
        wait_for(lambda: server.get(playlist).status == 403, "the end of the signature", 10)
        self.assertEqual(server.get(playlist).json, {"error": "wrong or expired playback URL"})
        self.assertEqual(server.get(segment).status, 200)
        publisher.kill()
        server.stop()

    def test_documentation(self) -> None:
        """The worked example does what it says."""
        page = Path(__file__).parents[2] / "docs" / "topics" / "viewers.md"
        (script,) = re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
        self.assertIn(SECRET, script)
        server = self.serve(STREAM_GRACE="60s", **PROTECTED)
        self.publish(server, "plain", server.mint("show"), key="show").succeed()
        script = script.replace("localhost:8080", f"127.0.0.1:{server.http_port}")
        child = Child(["/bin/sh", "-e", "-c", script], self.temporary() / "example.log")
        self.addCleanup(child.kill)
        output = child.succeed(20)
        self.assertIn("#EXT-X-STREAM-INF", output)
        player = output.splitlines()[-1]
        self.assertEqual(server.get(urlsplit(player).path).status, 200)
        query = urlsplit(player).query
        self.assertEqual(server.get(f"/live/show/index.m3u8?{query}").status, 200)
        answer = server.get("/live/show/index.m3u8")
        self.assertEqual(answer.status, 403)
        self.assertEqual(answer.json, {"error": "this stream needs a signed URL"})
        server.stop()
