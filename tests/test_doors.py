"""Every door of the server: which keys it takes, who may come in, and what it says to browsers."""

import base64
import json
import re
from pathlib import Path
from unittest import mock
from urllib.parse import quote

from rapidrtmp import config
from rapidrtmp.config import SettingError
from rapidrtmp.house import _media_origins
from rapidrtmp.media.key import is_stream_key
from rapidrtmp.storage.path import split_path
from tests.rtmp.wire import call
from tests.web.fakes import Connection, Response
from tests.whole import STRANGER, WholeCase

BAD_KEYS = {
    "dots": ".",
    "parent": "..",
    "traversal": "../../etc/passwd",
    "traversal inside": "a/../b",
    "traversal, encoded": "..%2f..%2fetc",
    "traversal, twice encoded": "..%252f..%252fetc",
    "dots, encoded": "%2e%2e",
    "backslashes": "..\\..\\etc",
    "drive": "C:x",
    "hidden": ".hidden",
    "file": "index.m3u8",
    "two parts": "a/b/c",
    "space": "a b",
    "NUL": "a\0b",
    "line feed": "a\nb",
    "CR LF": "a\r\nX-Evil: 1",
    "tab": "a\tb",
    "DEL": "a\x7fb",
    "129 characters": "k" * 129,
    "10 KB": "k" * 10_000,
    "accent": "caf\xe9",
    "fullwidth letters": "\uff4b\uff45\uff59",
    "fullwidth dots": "\uff0e\uff0e",
    "combining": "e\u0301",
    "right-to-left override": "a\u202eb",
    "zero width": "a\u200bb",
    "emoji": "\U0001f3a5",
    "non-ASCII digit": "\u0661",
    "surrogate": "a\ud800b",
    "markup": "<script>alert(1)</script>",
    "quote": 'a"b',
    "shell": "$(id)",
    "wildcard": "*",
    "comma": "a,b",
    "percent": "%",
    "query": "a?b",
    "fragment": "a#b",
    "URL": "http://evil.example",
    "plus": "a+b",
    "tilde": "~root",
}
"""What no stream key is, by what it tries."""

SECURE_DEFAULTS = {
    "AUTH_REQUIRED": "true",
    "API_KEYS": "",
    "TRUSTED_PROXIES": "",
    "PROXY_PROTOCOL": "",
    "PUBLIC_DIAGNOSIS": "false",
    "RTMP_DUMP_DIR": "",
    "RELAY_PULL_ON_DEMAND": "",
    "MAX_REFUSALS_PER_IP": "10",
    "RTMP_MIN_CHUNK_SIZE": "128",
}


def encoded(key: str) -> str:
    """Write a key into an address."""
    return quote(key.encode("utf-8", "surrogatepass"), safe="")


class KeyTests(WholeCase):
    """The alphabet of keys is one, at every door; nothing is cleaned into another key."""

    def setUp(self) -> None:
        """Watch what gets behind the doors."""
        super().setUp()
        for name in ("publish", "subscribe"):
            inside = mock.patch.object(
                self.house.manager, name, side_effect=AssertionError("a bad key came in")
            )
            inside.start()
            self.addCleanup(inside.stop)
        self.addCleanup(self.assert_nothing)

    def assert_nothing(self) -> None:
        """No stream and no file came of it."""
        self.assertEqual(self.house.manager.streams(), [])
        self.assertEqual(self.house.relays.relays(), [])
        self.assertEqual(self.house.tokens.tokens(), [])
        self.assertEqual(self.successResultOf(self.house.storage.list()), [])

    def assert_refused(self, answer: Response, key: str) -> None:
        """It is an error in JSON, which is short and can be nothing else to a browser."""
        self.assertIn(answer.code, (400, 404, 405), key)
        self.assertIn("error", answer.json())
        self.assertLess(len(answer.body), 200 + 7 * len(key))
        self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
        self.assertNotIn("x-evil", answer.headers)

    def test_alphabet(self) -> None:
        """None of them is a key, as the one rule has it."""
        for name, key in BAD_KEYS.items():
            self.assertFalse(is_stream_key(key), name)
        self.assertFalse(is_stream_key(""))
        self.assertFalse(is_stream_key("key\n"))

    def test_rtmp(self) -> None:
        """RTMP publish and play, the key in the name, in the app, and in neither."""
        hosts = iter(range(1, 1 << 16))
        for name, key in BAD_KEYS.items():
            # no UTF-8; a key with a query; paths of several parts, whose last one is the key
            if name in ("surrogate", "query", "two parts"):
                continue
            for app, stream in (("live", key), (f"live/{key}", "key"), (f"live/{key}", "")):
                number = next(hosts)
                for command in ("publish", "play"):
                    peer = self.connect(app[:60_000], f"10.{number >> 8}.{number & 255}.1")
                    peer.send(call(command, 3.0, None, stream, msid=1))
                    self.assertTrue(peer.is_closed, (name, command, app[:20]))
                    refused = {
                        "publish": "NetStream.Publish.BadName",
                        "play": "NetStream.Play.StreamNotFound",
                    }
                    self.assertLessEqual(set(peer.codes), {refused[command]}, (name, command))

    def test_playback(self) -> None:
        """HLS, DASH, FLV, WebSocket, thumbnails: by every form of an address."""
        token = base64.b64encode(bytes(16)).decode()
        upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"),
                   ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", token)]  # fmt: skip
        for name, key in BAD_KEYS.items():
            forms = {encoded(key), *([quote(key, safe="/%")] if name != "surrogate" else ())}
            for form in forms:
                for file in ("/index.m3u8", "/ts/index.m3u8", "/manifest.mpd", "/thumb.jpg", ".flv",
                             "/init.mp4", f"/{'0' * 16}/video1/1.m4s"):  # fmt: skip
                    self.assert_refused(self.ask(f"/live/{form}{file}"), key)
                connection = Connection(self.house.site)
                connection.request("GET", f"/live/{form}.flv", upgrade)
                self.assert_refused(connection.response(), key)

    def test_files(self) -> None:
        """What stands behind the key is looked up as well, never joined to a path."""
        for key in BAD_KEYS.values():
            for form in (f"/live/key/{encoded(key)}", f"/live/key/{encoded(key)}/video1/1.m4s",
                         f"/live/key/{'0' * 16}/{encoded(key)}/1.m4s",
                         f"/static/{encoded(key)}"):  # fmt: skip
                self.assert_refused(self.ask(form), key)

    def test_api(self) -> None:
        """The API, in bodies, addresses and queries."""
        for name, key in BAD_KEYS.items():
            body = json.dumps({"streamKey": key}).encode()
            relay = {"streamKey": key, "direction": "push", "url": "rtmp://h.example/live/k"}
            for path, fields in (
                ("publish", body),
                ("playback", body),
                ("relays", json.dumps(relay).encode()),
            ):
                self.assert_refused(self.post(f"/api/v1/{path}", fields), key)
            form = encoded(key)
            for method, path in (
                ("GET", f"streams/{form}"),
                ("GET", f"streams/{form}/statistics"),
                ("POST", f"streams/{form}/stop"),
                ("POST", f"streams/{form}/timed-metadata"),
                ("GET", f"tokens?streamKey={form}"),
                ("DELETE", f"tokens?streamKey={form}"),
                ("GET", f"tokens/{form}"),
                ("GET", f"events?streamKey={form}"),
                ("GET", f"relays?streamKey={form}"),
            ):
                if (name, path) == ("query", "tokens/x"):
                    continue
                answer = self.ask(
                    f"/api/v1/{path}", method, body=b"{}" if method == "POST" else b""
                )
                self.assert_refused(answer, key)

    def test_settings(self) -> None:
        """The settings that hold stream keys."""
        for name, key in BAD_KEYS.items():
            if name == "surrogate":  # no environment can hold it
                continue
            for setting in ("RELAY_PUSH", "RELAY_PULL", "RELAY_PULL_ON_DEMAND"):
                with self.assertRaises(SettingError, msg=name) as caught:
                    config.load({setting: f"{key}=rtmp://h.example/live/k"})
                self.assertNotIn("h.example", str(caught.exception))

    def test_storage(self) -> None:
        """Storage takes no path with such a part, whoever may ask for it, but files with dots."""
        takes = {"hidden", "file", "two parts", "129 characters"}
        for name, key in BAD_KEYS.items():
            if name not in takes:
                self.assertRaises(ValueError, split_path, f"{key}/life/video1/1.m4s")
        for name in ("get", "put", "delete", "exists"):
            arguments = ([b""], "video/mp4", "no-cache") if name == "put" else ()
            done = getattr(self.house.state, name)("../outside", *arguments)
            self.failureResultOf(done, ValueError)


class AccessTests(WholeCase):
    """What a server lets in as it comes."""

    def test_defaults(self) -> None:
        """Nothing that opens a door is on by itself."""
        shown = {row.name: row.default for row in config.TABLE}
        for name, value in SECURE_DEFAULTS.items():
            self.assertEqual(shown[name].replace("none", ""), value, name)

    def test_management(self) -> None:
        """Of all addresses of the API, a stranger reads those that tell nothing, and no other."""
        document = json.loads(self.ask("/api/openapi.json").body)
        open_to_all = set()
        for path, methods in document["paths"].items():
            for method in methods:
                address = re.sub(r"{\w+}", "key", path)
                if not address.startswith("/api/"):
                    continue
                answer = self.ask(address, method.upper(), peer=STRANGER, body=b"{}")
                if answer.code != 403:
                    open_to_all.add((method, address))
        self.assertEqual(
            open_to_all,
            {("get", f"/api/{name}") for name in ("ping", "docs", "openapi.json")},
        )

    def test_publishing(self) -> None:
        """Nobody publishes without a token, from the server's own machine either."""
        for host in ("127.0.0.1", "::1", "192.0.2.1"):
            for name in ("key", "key?token=", f"key?token={'0' * 64}", "key?token=%00"):
                peer = self.publish(name, host=host)
                self.assertEqual(peer.codes, ["NetStream.Publish.Denied"])

    def test_rebinding(self) -> None:
        """A name of a stranger's that leads here, and pages of strangers, manage nothing."""
        for host in ("evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example"):
            self.assertEqual(self.ask("/api/v1/streams", host=host).code, 403)
        for header in (
            ("Origin", "http://evil.example"),
            ("Origin", "null"),
            ("Origin", "http://localhost:3000"),
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Site", "same-site"),
        ):
            answer = self.post("/api/v1/publish", b'{"streamKey":"key"}', header)
            self.assertEqual(answer.code, 403, header)
            self.assertNotIn("access-control-allow-origin", answer.headers)
        preflight = (
            ("Origin", "http://evil.example"),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "content-type"),
        )
        answer = self.ask("/api/v1/publish", "OPTIONS", *preflight)
        self.assertGreaterEqual(answer.code, 400)
        self.assertFalse(any(name.startswith("access-control") for name in answer.headers))

    def test_form(self) -> None:
        """What a page can send without asking first is no JSON, and is refused for that too."""
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            body = b'{"streamKey":"key"}'
            answer = self.ask("/api/v1/publish", "POST", ("Content-Type", kind), body=body)
            self.assertEqual(answer.code, 415, kind)


class BrowserRuleTests(WholeCase):
    """The headers by which browsers keep sites apart."""

    def test_cors(self) -> None:
        """Any site may read what anybody may; never with credentials, never by repeating Origin."""
        origin = ("Origin", "http://evil.example")
        for path in ("/live/key/index.m3u8", "/live/key.flv", "/live/time", "/api/ping", "/health",
                     "/ready", "/streams.json", "/static/player.js", "/", "/nothing"):  # fmt: skip
            answer = self.ask(path, "GET", origin)
            self.assertEqual(answer.headers["access-control-allow-origin"], "*", path)
            self.assertNotIn("access-control-allow-credentials", answer.headers)
        for path in ("/api/v1/streams", "/api/v1/server", "/api/v1/nothing", "/metrics"):
            answer = self.ask(path, "GET", origin)
            self.assertNotIn("access-control-allow-origin", answer.headers, path)

    def test_nosniff(self) -> None:
        """No answer is taken for another kind of thing than it says."""
        self.run_media(self.live(), 7)
        segment = self.path(self.playlist().segments[0].uri.partition("/")[2].partition("/")[2])
        for path in ("/", "/player/key", "/api/docs", "/api/openapi.json", "/streams.json",
                     "/metrics", "/health", "/ready", "/live/key/index.m3u8", "/live/time",
                     self.path("video1.m3u8"), segment, "/live/key/manifest.mpd", "/nothing",
                     "/static/player.js", "/api/v1/streams"):  # fmt: skip
            answer = self.ask(path)
            self.assertEqual(answer.headers["x-content-type-options"], "nosniff", path)
        connection = Connection(self.house.site)
        connection.send(b"broken\r\n\r\n")
        self.assertEqual(connection.response().headers["x-content-type-options"], "nosniff")

    def test_pages(self) -> None:
        """No page takes script or style from itself, from elsewhere, or runs what is told of."""
        pages = {"/": "'self'", "/player/key": "*", "/api/docs": "'none'"}
        for path, framed_by in pages.items():
            headers = self.ask(path).headers
            policy = headers["content-security-policy"]
            for word in ("unsafe", "data: ;", "http:", "https:", "script-src *"):
                self.assertNotIn(word, policy)
            self.assertIn("base-uri 'none'", policy)
            self.assertIn("form-action 'none'", policy)
            self.assertTrue(policy.endswith(f"frame-ancestors {framed_by}"), path)
            self.assertEqual(headers["referrer-policy"], "no-referrer")
            self.assertNotIn("server", headers)

    def test_media_elsewhere(self) -> None:
        """Where media are at a CDN or in a bucket, the page may fetch there."""
        for setting, origin in (
            ({"CDN_BASE_URL": "https://cdn.example.com/live"}, "https://cdn.example.com"),
            ({"CDN_BASE_URL": "http://cdn.example.com:81"}, "http://cdn.example.com:81"),
            ({"CDN_BASE_URL": "https://bücher.example/x"}, "https://xn--bcher-kva.example"),
        ):
            self.assertEqual(_media_origins(config.load(setting)), [origin])
        gcs = {"STORAGE_TYPE": "gcs", "GCS_PROJECT_ID": "p", "GCS_BUCKET_NAME": "bucket"}
        settings = config.load({**gcs, "GCS_SIGNED_URLS": "true"})
        self.assertEqual(_media_origins(settings), ["https://storage.googleapis.com"])
        self.assertEqual(_media_origins(config.load({})), [])
        self.start(cdn_base_url="https://cdn.example.com/live")
        policy = self.ask("/player/key").headers["content-security-policy"]
        self.assertIn("connect-src 'self' https://cdn.example.com;", policy)


class StateTests(WholeCase):
    def test_modes(self) -> None:
        """The state is for the server's user alone, whatever the umask."""
        self.live()
        root = Path(self.house.settings.state_dir)
        for path in (root, *root.rglob("*")):
            self.assertEqual(path.stat().st_mode & 0o777, 0o700 if path.is_dir() else 0o600, path)
