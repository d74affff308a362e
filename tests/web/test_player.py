"""The pages for viewers, their files and their list of streams."""

import gzip
import re
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.auth.api_keys import APIKeys
from rapidrtmp.config.secret_kinds import APIKey
from rapidrtmp.stream.diagnosis import Diagnosis
from rapidrtmp.stream.lifecycle import StreamState
from rapidrtmp.web.live import FULL, NOT_LIVE
from rapidrtmp.web.player import (
    FEED_AGE,
    content_policy,
    load_static,
    read_files,
    static_file,
    take_pages,
)
from tests.web.fakes import Connection, FakeManager, FakeStream, Response, site_for, track

NOW = 1_790_000_000.0


class PlayerTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.stream = FakeStream("b", started_at=1_789_999_990.0, tracks=(track("video", "h264"),))
        self.manager = FakeManager(
            self.stream, FakeStream("a"), FakeStream("idle", StreamState.IDLE)
        )
        self.site = site_for(self.manager, self.clock)

    def ask(self, path: str, *headers: tuple[str, str], method: str = "GET") -> Response:
        connection = Connection(self.site, peer="192.0.2.1")
        connection.request(method, path, headers, host="live.example")
        while connection.transport.unsent:
            connection.transport.drain()
        return connection.response(method)


class PageTests(PlayerTestCase):
    def test_page(self) -> None:
        """The player's page is the same for every key, but for the way to its files."""
        pages = {path: self.ask(path) for path in ("/", "/player", "/player/", "/player/k")}
        for path, page in pages.items():
            self.assertEqual(page.code, 200, path)
            self.assertEqual(page.headers["content-type"], "text/html; charset=utf-8")
            base = b"../" if path.startswith("/player/") else b""
            script = b"player" if path.startswith("/player") else b"status"
            self.assertIn(b'src="%bstatic/%b.js"' % (base, script), page.body)
            self.assertNotIn(b"@", page.body, "something was not put in")

    def test_policy(self) -> None:
        """The pages may run their own scripts only, and need nothing but them (B40)."""
        for path, base in (("/", b""), ("/player/k", b"../")):
            page = self.ask(path)
            policy = page.headers["content-security-policy"]
            self.assertIn("default-src 'self'", policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual(page.headers["x-content-type-options"], "nosniff")
            self.assertEqual(page.headers["referrer-policy"], "no-referrer")
            self.assertIn("camera=(), microphone=()", page.headers["permissions-policy"])
            self.assertNotRegex(page.body, rb"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=")
            for address in re.findall(rb'(?:src|href)="([^"]*)"', page.body):
                self.assertRegex(address, rb"^%b(\./$|static/|api/)" % re.escape(base))

    def test_frames(self) -> None:
        """Other sites may embed a stream's page, and no other."""
        for path, framed_by in (("/player/k", "*"), ("/", "'self'"), ("/player", "'self'")):
            policy = self.ask(path).headers["content-security-policy"]
            self.assertTrue(policy.endswith(f"; frame-ancestors {framed_by}"), path)

    def test_media_elsewhere(self) -> None:
        """Where playlists lead to a CDN, the page may fetch there, and nothing but media."""
        policy = content_policy(["https://cdn.example.com"], "*").decode().split("; ")
        elsewhere = [directive.split()[0] for directive in policy if "cdn.example.com" in directive]
        self.assertEqual(elsewhere, ["connect-src", "media-src"])

    def test_key_is_not_repeated(self) -> None:
        """Whatever is asked for as a key does not come back in the page (B40)."""
        page = self.ask("/player/%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E?key=<img>")
        self.assertEqual(page.code, 200)
        self.assertEqual(page.body, self.ask("/player/k").body)

    def test_deeper(self) -> None:
        """Below a key, and beside the root, there is nothing."""
        for path in (
            "/player/k/x",
            "/player/k/",
            "//",
            "/index.html",
            "/favicon.ico",
            "/health/x",
            "/ready/x",
            "/streams.json/x",
        ):
            response = self.ask(path)
            self.assertEqual(response.code, 404, path)
            self.assertEqual(response.headers["x-content-type-options"], "nosniff")
            self.assertEqual(response.json(), {"error": "there is nothing at this address"})
            self.assertEqual(response.headers["access-control-allow-origin"], "*")

    def test_conditional(self) -> None:
        """The page is sent again only when the server has another one."""
        etag = self.ask("/").headers["etag"]
        self.assertEqual(self.ask("/", ("If-None-Match", etag)).code, 304)
        self.assertNotEqual(self.ask("/player/k").headers["etag"], etag)

    def test_methods(self) -> None:
        """Pages and files can be read, nothing else."""
        for path in ("/", "/player/k", "/static/player.js", "/streams.json"):
            self.assertEqual(self.ask(path, method="POST").code, 405)
            self.assertEqual(self.ask(path, method="OPTIONS").code, 204)


class StaticTests(PlayerTestCase):
    def test_files(self) -> None:
        """Every file that the page names is there, with its type, compressed when wanted."""
        page = self.ask("/").body + self.ask("/player").body
        files = load_static()
        self.assertEqual({"player.html", "status.html"} - set(take_pages(files)), set())
        named = {name.decode() for name in re.findall(rb'"static/([^"]*)"', page)}
        # the libraries are put there when the package is built
        self.assertLessEqual(named - {"vendor/hls.min.js"}, set(files))
        for path, file in files.items():
            if path.endswith(".js") and not path.startswith("vendor/"):
                imported = set(re.findall(rb'(?:from |import )"\./([^"]*)"', file.body))
                named |= {name.decode() for name in imported}
        self.assertLessEqual(named - {"vendor/hls.min.js"}, set(files))
        unused = {path for path in files if not path.startswith("vendor/")} - named
        self.assertEqual(unused, {"docs.css", "rapid-player.css"})
        for path in files:
            response = self.ask(f"/static/{path}", ("Accept-Encoding", "gzip"))
            self.assertEqual(response.code, 200, path)
            self.assertEqual(gzip.decompress(response.body), files[path].body)
            self.assertEqual(response.headers["x-content-type-options"], "nosniff")
            self.assertEqual(response.headers["cache-control"], "no-cache")
        self.assertEqual(
            self.ask("/static/pages.css").headers["content-type"], "text/css; charset=utf-8"
        )

    def test_element(self) -> None:
        """Pages of any site may run the player: its script and all that this imports."""
        for name in ("rapid-player.js", "playback.js", "rapid-player.css"):
            response = self.ask(f"/static/{name}", ("Origin", "https://example.com"))
            self.assertEqual(response.headers["access-control-allow-origin"], "*", name)
        imported = re.findall(rb'from "\./([^"]*)"', load_static()["rapid-player.js"].body)
        # what the pages are about, an element must not ask of a page that is not ours
        self.assertEqual({*imported}, {b"playback.js", b"playlist.js", b"words.js"})

    def test_parts(self) -> None:
        """A page is put together of files, which are not served themselves."""
        files = {
            name: static_file(text, "text/html; charset=utf-8")
            for name, text in (("a.html", b"<p>@b.html@ @BASE@</p>"), ("b.html", b"<i>\\1</i>\n"))
        }
        files["c.css"] = static_file(b"@b.html@", "text/css; charset=utf-8")
        pages = take_pages(files)
        self.assertEqual(pages["a.html"], b"<p><i>\\1</i> @BASE@</p>")
        self.assertEqual(list(files), ["c.css"])

    def test_words(self) -> None:
        """The player knows the words that the server says where there is no stream."""
        script = load_static()["playback.js"].body.decode()
        self.assertIn(f'"{NOT_LIVE}", "playlist not available"', script)
        self.assertIn(f'"{FULL}"', script)

    def test_kinds(self) -> None:
        """Files that are no part of the page, such as licences, are not served."""
        folder = Path(self.mktemp())
        (folder / "vendor").mkdir(parents=True)
        (folder / "vendor" / "LICENSE").write_text("x")
        (folder / "vendor" / "x.js").write_text("y")
        self.assertEqual([name for name, _ in read_files(folder, "")], ["vendor/x.js"])

    def test_nothing_else(self) -> None:
        """Only files of the index are served, whatever the path says (B1)."""
        for path in (
            "/static",
            "/static/",
            "/static/vendor",
            "/static/vendor/",
            "/static/player.html",
            "/static/bar.html",
            "/static/vendor/LICENSE",
            "/static/../player.py",
            "/static/..%2fplayer.py",
            "/static/%2e%2e/player.py",
            "/static//player.js",
            "/static/%ff",
        ):
            self.assertEqual(self.ask(path).code, 404, path)


class FeedTests(PlayerTestCase):
    def test_feed(self) -> None:
        """Anybody may see what is live: little, sorted, from any origin."""
        self.stream.statistics.bitrate = 2_500_000
        response = self.ask("/streams.json")
        self.assertEqual(response.headers["access-control-allow-origin"], "*")
        self.assertEqual(response.headers["cache-control"], "no-cache")
        self.assertEqual(
            response.json(),
            {
                "streams": [
                    {"streamKey": "a", "viewers": 0},
                    {
                        "streamKey": "b",
                        "startedAt": "2026-09-21T14:13:10Z",
                        "videoCodec": "h264",
                        "resolution": "1920x1080",
                        "bitrate": 2_500_000,
                        "viewers": 0,
                    },
                ],
                "server": "rtmp://live.example:1935/live",
                "thumbnails": False,
            },
        )

    def test_age(self) -> None:
        """The list is made once a second at most, and again when the clock was set back."""

        def viewers() -> int:
            return int(self.ask("/streams.json").json()["streams"][1]["viewers"])

        self.assertEqual(viewers(), 0)
        self.stream.viewers = 5
        self.assertEqual(viewers(), 0)
        self.clock.advance(FEED_AGE)
        self.assertEqual(viewers(), 5)
        self.stream.viewers = 6
        self.clock.rightNow -= 3600
        self.assertEqual(viewers(), 6)

    def test_hidden(self) -> None:
        """A setting hides the list, and what is wrong with its streams."""
        for public in (False, True):
            self.site = site_for(
                self.manager, self.clock, public_stream_list=False, public_diagnosis=public
            )
            self.assertEqual(self.ask("/streams.json").code, 404)


class DiagnosisTests(PlayerTestCase):
    """Who is told what is wrong with the encoders, and what."""

    LOCAL = "127.0.0.1"

    def setUp(self) -> None:
        super().setUp()
        name = 'codec "><img onerror=x>'
        found = Diagnosis("unsupported_codec", NOW - 5, NOW, name, "choose H.264")
        self.stream.diagnoses._current[found.id] = found
        starting = FakeStream("c", StreamState.CONNECTING)
        self.manager._streams["c"] = starting
        self.told = {
            "a": [],
            "b": [
                {
                    "id": "unsupported_codec",
                    "since": "2026-09-21T14:13:15Z",
                    "problem": name,
                    "fix": "choose H.264",
                }
            ],
            "c": [],
        }

    def diagnosis(self, peer: str, *headers: tuple[str, str], host: str = "localhost") -> object:
        """Ask for the list; give what it tells."""
        connection = Connection(self.site, peer=peer)
        connection.request("GET", "/streams.json", headers, host=host)
        told = connection.response().json()
        self.assertEqual([each["streamKey"] for each in told["streams"]], ["a", "b"])
        return told.get("diagnosis")

    def test_local(self) -> None:
        """Browsers on the server's own machine are told, and nobody in between, in any order."""
        other = "192.0.2.1"
        for _ in range(2):
            self.assertEqual(self.diagnosis(self.LOCAL), self.told)
            self.assertIsNone(self.diagnosis(other))
            self.clock.advance(FEED_AGE / 2)

    def test_not_local(self) -> None:
        """Proxies, pages of others, and names that were bent to this machine are told nothing."""
        for headers, host in (
            ([("X-Forwarded-For", "192.0.2.1")], "localhost"),
            ([("Via", "1.1 proxy")], "localhost"),
            ([("Origin", "http://evil.example")], "localhost"),
            ([], "evil.example"),
        ):
            self.assertIsNone(self.diagnosis(self.LOCAL, *headers, host=host), (headers, host))
        self.assertIsNotNone(self.diagnosis(self.LOCAL, ("Origin", "http://localhost")))

    def test_keys(self) -> None:
        """With API keys nobody is told: the page has none. Keys are not tried out here."""
        keys = APIKeys([APIKey("k" * 32, frozenset({"read"}))])
        self.site = site_for(self.manager, self.clock, keys=keys)
        self.assertIsNone(self.diagnosis(self.LOCAL))
        self.assertIsNone(self.diagnosis(self.LOCAL, ("Authorization", "Bearer " + "k" * 32)))

    def test_public(self) -> None:
        """A setting tells everybody."""
        self.site = site_for(self.manager, self.clock, public_diagnosis=True)
        self.assertEqual(self.diagnosis("192.0.2.1", host="live.example"), self.told)
