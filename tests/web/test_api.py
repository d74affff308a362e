"""The management API over the wire: the contract's JSON and codes."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import capturedLogs, formatEvent

from rapidrtmp.auth.playback import PlaybackSigner
from rapidrtmp.auth.tokens import TooManyTokens
from rapidrtmp.rate_limit import RateLimit
from rapidrtmp.stream.lifecycle import StreamState
from tests.web.api_case import ADMIN, JSON, KEYS, NOW, PUBLISH, READ, APITestCase, bearer
from tests.web.fakes import FakeManager, FakeStatistics, FakeStream, FakeTokens, Response, track


class PingTests(APITestCase):
    def test_ping(self) -> None:
        """Anybody anywhere may ping."""
        for path in ("/api/ping", "/api/ping/"):
            response = self.ask("GET", path, peer="192.0.2.1", host="live.example")
            self.assertEqual(response.json(), {"message": "pong", "time": 1_790_000_000})
            self.assertEqual(response.headers["access-control-allow-origin"], "*")
            self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertEqual(self.ask("HEAD", "/api/ping").body, b"")
        self.assertEqual(self.ask("OPTIONS", "/api/ping").code, 204)

    def test_wrong_method(self) -> None:
        """Another method is 405 with Allow, also to any origin."""
        response = self.ask("POST", "/api/ping")
        self.assertEqual((response.code, response.headers["allow"]), (405, "GET, HEAD, OPTIONS"))
        self.assertEqual(response.headers["access-control-allow-origin"], "*")

    def test_odd_host(self) -> None:
        """A Host header that cannot be one is 400, not 500."""
        for host in ("a" * 70, "b" * 300, "a..b", "\xff", "[::1", "x y", "x:port"):
            response = self.ask("GET", "/api/ping", host=host)
            self.assertIn(response.code, (200, 400), host)
            response.json()


class PublishTests(APITestCase):
    def setUp(self) -> None:
        self.fakes = FakeTokens()
        super().setUp()
        self.tokens = self.fakes
        self.make()

    def publish(self, body: bytes, *headers: tuple[str, str]) -> Response:
        return self.ask("POST", "/api/v1/publish", *(headers or (JSON,)), body=body)

    def test_token(self) -> None:
        """A token comes with all that an encoder needs; no cache keeps it."""
        response = self.publish(b'{"streamKey": "my-key", "expiresIn": 600, "more": [1]}')
        self.assertEqual(response.code, 200)
        token = "ab" * 32
        self.assertEqual(
            list(response.json().items()),
            [
                ("publishUrl", f"rtmp://live.example:1935/live/my-key?token={token}"),
                ("streamKey", "my-key"),
                ("token", token),
                ("expiresAt", "2027-01-15T08:00:00Z"),
                (
                    "obs",
                    {
                        "server": "rtmp://live.example:1935/live",
                        "streamKey": f"my-key?token={token}",
                    },
                ),
                ("playlistPath", "/live/my-key/index.m3u8"),
                ("playerPath", "/player/my-key"),
            ],
        )
        self.assertEqual(self.fakes.issued, [("my-key", 600)])
        self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertNotIn("access-control-allow-origin", response.headers)

    def test_expires_in(self) -> None:
        """Zero, less and nothing mean the default; absurdly much does no harm (B23)."""
        cases: list[tuple[str, int | None]] = [
            ("", None),
            (', "expiresIn": null', None),
            (', "expiresIn": 0', None),
            (', "expiresIn": -5', None),
            (', "expiresIn": 60', 60),
            (', "expiresIn": 1000000000', 1_000_000_000),
            (', "expiresIn": 1' + "0" * 400, 2**31 - 1),
        ]
        for field, expected in cases:
            response = self.publish(b'{"streamKey": "k"%b}' % field.encode())
            self.assertEqual(response.code, 200, field)
            self.assertEqual(self.fakes.issued.pop(), ("k", expected))

    def test_content_types(self) -> None:
        """JSON in any of its spellings, or nothing said; else 415 with what to do (B21)."""
        body = b'{"streamKey": "k"}'
        for value in ("application/json", "Application/JSON ; charset=utf-16", "application/json;"):
            self.assertEqual(self.publish(body, ("Content-Type", value)).code, 200, value)
        self.assertEqual(self.publish(body, ("X-Other", "1")).code, 200)
        for value in (
            "application/x-www-form-urlencoded",
            "text/plain",
            "multipart/form-data",
            "x",
            "\xff\xfe",
        ):
            response = self.publish(body, ("Content-Type", value))
            self.assertEqual(response.code, 415)
            self.assertIn("Content-Type: application/json", response.json()["error"])
        self.assertEqual(len(self.fakes.issued), 4)

    def test_bad_bodies(self) -> None:
        """Whatever is not what it should be is 400, naming what (B22, B23)."""
        cases: dict[bytes, str] = {
            b"": "body",
            b"{": "not valid JSON",
            b"[]": "must be a JSON object",
            b"null": "must be a JSON object",
            b'"x"': "must be a JSON object",
            b'{"streamKey": "k", "expiresIn": NaN}': "NaN",
            b'{"streamKey": "k", "x": -Infinity}': "Infinity",
            b'{"streamKey": "k", "streamKey": "l"}': "twice",
            b'{"x": {"a": 1, "a": 2}, "streamKey": "k"}': "twice",
            b'{"x": ' + b"[" * 60_000: "nested too deeply",
            b'{"x": ' + b'{"a":' * 10_000: "nested too deeply",
            b'{"streamKey": "k", "x": 1' + b"0" * 60_000 + b"}": "too large",
            b'{"streamKey": "\xff"}': "not UTF-8",
            '{"streamKey": "k"}'.encode("utf-16"): "not UTF-8",
            b"{}": "streamKey is required",
            b'{"streamKey": ""}': "streamKey is required",
            b'{"streamKey": null}': "streamKey is required",
            b'{"streamKey": 7}': "streamKey must be a string",
            b'{"streamKey": ["k"]}': "streamKey must be a string",
            b'{"streamKey": "\\ud800"}': "streamKey must be 1 to 128",
            b'{"streamKey": "k\\n"}': "streamKey must be 1 to 128",
            b'{"streamKey": "../../etc/x"}': "streamKey must be 1 to 128",
            b'{"streamKey": "a b"}': "streamKey must be 1 to 128",
            b'{"streamKey": ".."}': "streamKey must be 1 to 128",
            b'{"streamKey": "index.m3u8"}': "streamKey must be 1 to 128",
            b'{"streamKey": "' + b"k" * 129 + b'"}': "streamKey must be 1 to 128",
            b'{"streamKey": "k", "expiresIn": "60"}': "expiresIn",
            b'{"streamKey": "k", "expiresIn": 1.5}': "expiresIn",
            b'{"streamKey": "k", "expiresIn": 60.0}': "expiresIn",
            b'{"streamKey": "k", "expiresIn": 1e308}': "expiresIn",
            b'{"streamKey": "k", "expiresIn": 1e999}': "expiresIn",
            b'{"streamKey": "k", "expiresIn": true}': "expiresIn",
            b'{"streamKey": "k", "expiresIn": {}}': "expiresIn",
        }
        for body, words in cases.items():
            response = self.publish(body)
            self.assertEqual(response.code, 400, body[:60])
            answer = response.json()
            self.assertIn(words, answer["error"], body[:60])
            named = [name for name in ("streamKey", "expiresIn") if words.startswith(name)]
            self.assertEqual([answer["field"]] if "field" in answer else [], named, body[:60])
        self.assertEqual(self.fakes.issued, [])

    def test_byte_order_mark(self) -> None:
        """A byte order mark, as some Windows tools write it, is ignored."""
        self.assertEqual(self.publish(b'\xef\xbb\xbf{"streamKey": "k"}').code, 200)

    @given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
    @settings(max_examples=100, deadline=None)
    def test_any_body(self, body: bytes) -> None:
        """Arbitrary bodies are never more than a bad request."""
        self.assertIn(self.publish(body).code, (200, 400))

    @given(
        st.dictionaries(
            st.sampled_from(["streamKey", "expiresIn", "x"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                max_leaves=5,
            ),
        )
    )
    @settings(max_examples=100, deadline=None)
    def test_any_object(self, value: dict[str, Any]) -> None:
        """Any JSON object is a token or a bad request."""
        self.assertIn(self.publish(json.dumps(value).encode()).code, (200, 400))

    def test_cannot_issue(self) -> None:
        """A full store is 503, a broken one 500 in the contract's words, logged once."""
        self.fakes.failure = TooManyTokens("there are 10 publish tokens already")
        response = self.publish(b'{"streamKey": "k"}')
        self.assertEqual(response.code, 503)
        self.assertEqual(response.json(), {"error": "there are 10 publish tokens already"})
        self.fakes.failure = OSError("disk full")
        with capturedLogs() as events:
            response = self.publish(b'{"streamKey": "k"}')
        self.assertEqual(response.code, 500)
        self.assertEqual(response.json(), {"error": "failed to generate token"})
        self.assertEqual(
            [formatEvent(event) for event in events],
            ["no publish token could be stored: disk full"],
        )

    def test_fault_of_ours(self) -> None:
        """What nobody expected is 500 without a detail, and in the log with its traceback."""
        self.fakes.failure = ZeroDivisionError("secret")
        response = self.publish(b'{"streamKey": "k"}')
        self.assertEqual(response.code, 500)
        self.assertEqual(response.json(), {"error": "internal server error"})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_too_many(self) -> None:
        """An address that asks too often is told when to come again; others are not held up."""
        self.token_requests = RateLimit(self.clock, 2, 60.0)
        self.make()
        body = b'{"streamKey": "k"}'
        for code in (200, 200, 429):
            response = self.publish(body)
            self.assertEqual(response.code, code)
            self.clock.advance(10)
        self.assertEqual(response.headers["retry-after"], "41")
        self.assertIn("too many token requests", response.json()["error"])
        other = self.ask("POST", "/api/v1/publish", JSON, body=body, peer="::1")
        self.assertEqual(other.code, 200)
        self.clock.advance(31)
        self.assertEqual(self.publish(body).code, 200)

    def test_signed_playback(self) -> None:
        """Where viewing is protected, the publisher is told addresses that work."""
        self.signer = PlaybackSigner([b"secret of sixteen"], self.clock)
        self.make()
        told = self.publish(b'{"streamKey": "k"}').json()
        query = self.signer.query("k", NOW + 3600)
        self.assertEqual(told["playlistPath"], f"/live/k/index.m3u8?{query}")
        self.assertEqual(told["playerPath"], f"/player/k?{query}")
        self.assertEqual(told["playbackExpiresAt"], "2026-09-21T15:13:20Z")


class PlaybackTests(APITestCase):
    def playback(self, body: bytes) -> Response:
        return self.ask("POST", "/api/v1/playback", JSON, body=body)

    def test_plain(self) -> None:
        """Where everybody may view, the addresses are the plain ones."""
        self.assertEqual(
            self.playback(b'{"streamKey": "k", "expiresIn": 5}').json(),
            {"streamKey": "k", "playlistPath": "/live/k/index.m3u8", "playerPath": "/player/k"},
        )

    def test_signed(self) -> None:
        """Signed addresses are good for as long as was asked for, within bounds."""
        self.signer = PlaybackSigner([b"secret of sixteen"], self.clock)
        self.make()
        for asked, life in [
            (b"", 3600),
            (b', "expiresIn": null', 3600),
            (b', "expiresIn": 0', 3600),
            (b', "expiresIn": -1', 3600),
            (b', "expiresIn": 60', 60),
            (b', "expiresIn": 99999999999', 366 * 86400),
        ]:
            told = self.playback(b'{"streamKey": "k"%b}' % asked).json()
            query = told["playlistPath"].removeprefix("/live/k/index.m3u8?")
            self.assertEqual(told["playerPath"], f"/player/k?{query}")
            expires, signature = (part.partition("=")[2] for part in query.split("&"))
            self.assertEqual(int(expires), NOW + life, asked)
            self.assertTrue(self.signer.verify("k", expires, signature))
            self.assertFalse(self.signer.verify("l", expires, signature))

    def test_refused(self) -> None:
        """A field that is not known is refused here, by its name (B24)."""
        for body, field in [
            (b'{"streamKey": "k", "expires": 5}', "expires"),
            (b'{"expiresIn": 5}', "streamKey"),
            (b'{"streamKey": "k", "expiresIn": "5"}', "expiresIn"),
        ]:
            response = self.playback(body)
            self.assertEqual((response.code, response.json()["field"]), (400, field))
        response = self.ask("POST", "/api/v1/playback", ("Content-Type", "text/x"), body=b"{}")
        self.assertEqual(response.code, 415)


class ServerTests(APITestCase):
    def test_server(self) -> None:
        """The server tells what it is, what is going on and where the limits are."""
        self.stored_tokens()
        self.manager = FakeManager(FakeStream("a", viewers=3), FakeStream("b", viewers=4))
        self.make()
        self.ask("POST", "/api/v1/publish", JSON, body=b'{"streamKey": "k"}')
        self.clock.advance(90)
        told = self.ask("GET", "/api/v1/server").json()
        self.assertEqual(told["uptime"], 90)
        self.assertEqual(told["startedAt"], "2026-09-21T14:13:20Z")
        self.assertEqual(
            told["listeners"],
            {
                "rtmp": ["0.0.0.0:1935"],
                "rtmps": [],
                "http": ["[::]:8080"],
                "https": ["[::]:8443"],
            },
        )
        self.assertEqual(told["storage"], "local")
        self.assertEqual(told["limits"]["MAX_CONCURRENT_STREAMS"], 100)
        self.assertEqual(told["limits"]["MAX_TOKEN_EXPIRATION"], 86400)
        self.assertEqual(told["counts"], {"streams": 2, "publishers": 0, "viewers": 7, "tokens": 1})
        self.assertIs(told["draining"], False)


class StreamsTests(APITestCase):
    def setUp(self) -> None:
        super().setUp()
        self.rich = FakeStream(
            "b",
            started_at=1_789_999_990.7,
            viewers=2,
            tracks=(track("video", "h264"), track("audio", "aac")),
            metadata={
                "encoder": "x",
                "width": 1920.0,
                "rate": float("nan"),
                "o": {"l": [1.5, b""]},
            },
            statistics=FakeStatistics(5_000_000, 29.97002997, 2.0, 10, 9, 8, 7, 1_789_999_999.0),
        )
        self.bare = FakeStream("a", StreamState.CONNECTING)
        self.manager = self.fakes = FakeManager(self.rich, self.bare, FakeStream("0live"))
        self.make()

    def test_one(self) -> None:
        """A stream is described in the contract's order, then by our own fields."""
        response = self.ask("GET", "/api/v1/streams/b")
        self.assertEqual(
            list(response.json().items()),
            [
                ("streamKey", "b"),
                ("active", True),
                ("state", "live"),
                ("viewers", 2),
                ("startedAt", "2026-09-21T14:13:10Z"),
                ("duration", 9),
                ("videoCodec", "h264"),
                ("audioCodec", "aac"),
                ("resolution", "1920x1080"),
                ("bitrate", 5_000_000),
                (
                    "metadata",
                    {"encoder": "x", "width": 1920, "rate": None, "o": {"l": [1.5, None]}},
                ),
                ("frameRate", 29.97),
                ("keyframeInterval", 2.0),
                ("bytesReceived", 10),
                ("framesReceived", 9),
                ("keyframesReceived", 8),
                ("framesDropped", 7),
                ("playlistPath", "/live/b/index.m3u8"),
                ("playerPath", "/player/b"),
            ],
        )
        self.assertNotIn("access-control-allow-origin", response.headers)

    def test_bare(self) -> None:
        """What is empty or zero is left out, except what the contract always has."""
        names = list(self.ask("GET", "/api/v1/streams/a").json())[:5]
        self.assertEqual(names, ["streamKey", "active", "state", "viewers", "bytesReceived"])

    def test_list(self) -> None:
        """The list has the live streams, sorted."""
        for path in ("/api/v1/streams", "/api/v1/streams/"):
            value = self.ask("GET", path).json()
            self.assertEqual(list(value), ["streams", "total"])
            self.assertEqual([s["streamKey"] for s in value["streams"]], ["0live", "b"])
            self.assertEqual(value["total"], 2)
        self.manager = FakeManager()
        self.make()
        self.assertEqual(self.ask("GET", "/api/v1/streams").json(), {"streams": [], "total": 0})

    def test_unknown(self) -> None:
        """A stream that never was is 404."""
        response = self.ask("GET", "/api/v1/streams/unknown")
        self.assertEqual((response.code, response.json()), (404, {"error": "stream not found"}))

    def test_stop(self) -> None:
        """A stream is stopped, also twice; an unknown one is 404 (B36)."""
        for _ in range(2):
            response = self.ask("POST", "/api/v1/streams/b/stop")
            self.assertEqual(response.code, 200)
            self.assertEqual(response.json(), {"message": "stream stopped", "streamKey": "b"})
        self.assertEqual(self.fakes.stopped, ["b", "b"])
        self.assertEqual(self.ask("GET", "/api/v1/streams/b").json()["state"], "stopped")
        response = self.ask("POST", "/api/v1/streams/x%3Cscript%3E/stop")
        self.assertEqual(response.code, 404)
        self.assertEqual(response.json(), {"error": "stream x<script> not found"})

    def test_no_route(self) -> None:
        """Unknown addresses are JSON 404, never a redirect (B29)."""
        for path in (
            "/api",
            "/api/",
            "/api/v2",
            "/api/v1",
            "/api/v1/",
            "/api/v1/nothing",
            "/api/v1/streams/b/start",
            "/api/v1/streams/../streams",
            "/api/v1/streams/a%2Fb",
            "/api//v1/streams",
            "/api/v1//streams",
            "/api/ping/x",
            "//evil.example/%2f..",
        ):
            response = self.ask("GET", path)
            self.assertEqual(response.code, 404, path)
            self.assertEqual(response.json(), {"error": "there is nothing at this address"})
            self.assertNotIn("location", response.headers)

    def test_methods(self) -> None:
        """A wrong method is 405 and says which are right."""
        for method, path, allowed in [
            ("GET", "/api/v1/publish", "POST"),
            ("OPTIONS", "/api/v1/publish", "POST"),
            ("DELETE", "/api/v1/streams", "GET, HEAD"),
            ("BREW", "/api/v1/streams/b", "GET, HEAD"),
            ("GET", "/api/v1/streams/b/stop", "POST"),
        ]:
            response = self.ask(method, path)
            self.assertEqual((response.code, response.headers["allow"]), (405, allowed), path)
            self.assertNotIn("access-control-allow-origin", response.headers)

    def test_head(self) -> None:
        """HEAD has the headers of GET and no body."""
        got, head = (self.ask(method, "/api/v1/streams/b") for method in ("GET", "HEAD"))
        self.assertEqual((head.code, head.headers, head.body), (200, got.headers, b""))

    def test_crash(self) -> None:
        """A fault of ours is logged once and tells nothing."""
        self.rich.viewers = None  # type: ignore[assignment]
        self.rich.statistics.bitrate = "secret"  # type: ignore[assignment]
        response = self.ask("GET", "/api/v1/streams/b")
        self.assertEqual(response.code, 500)
        self.assertEqual(response.json(), {"error": "internal server error"})
        self.assertNotIn("access-control-allow-origin", response.headers)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)


class AccessTests(APITestCase):
    """Who gets through to the routes; the rules themselves are in test_access."""

    def test_refused(self) -> None:
        """Everybody else gets 403 with what to do, on each route and method."""
        for method, path in [
            ("GET", "/api/v1/streams"),
            ("POST", "/api/v1/publish"),
            ("OPTIONS", "/api/v1/publish"),
            ("GET", "/api/v1/nothing"),
        ]:
            response = self.ask(method, path, JSON, peer="192.0.2.1", host="localhost")
            self.assertEqual(response.code, 403)
            self.assertIn("own machine", response.json()["error"])
            self.assertNotIn("access-control-allow-origin", response.headers)

    def test_forms(self) -> None:
        """A page of another origin, a rebound name and a proxy are refused over the wire."""
        for headers, host in [
            ([("Origin", "https://evil.example")], "localhost:8080"),
            ([], "evil.example:8080"),
            ([("X-Forwarded-For", "127.0.0.1")], "localhost:8080"),
        ]:
            response = self.ask("GET", "/api/v1/streams", *headers, host=host)
            self.assertEqual(response.code, 403)


class KeyTests(APITestCase):
    """What changes with API keys; the rules themselves are in test_access."""

    def setUp(self) -> None:
        super().setUp()
        self.manager = FakeManager(FakeStream("b"))
        self.keys.replace(KEYS)
        self.make()

    def test_from_anywhere(self) -> None:
        """A key opens the API to any machine, by any name, through any proxy."""
        for peer, host in [("192.0.2.1", "live.example"), ("127.0.0.1", "localhost")]:
            headers = [bearer(READ), ("X-Forwarded-For", "192.0.2.9"), ("Origin", "null")]
            response = self.ask("GET", "/api/v1/streams", *headers, peer=peer, host=host)
            self.assertEqual(response.code, 200)
            self.assertNotIn("access-control-allow-origin", response.headers)

    def test_without(self) -> None:
        """Without one nobody gets in or learns what there is; the rest stays open."""
        for method, path in [
            ("GET", "/api/v1/streams"),
            ("GET", "/api/v1/nothing"),
            ("DELETE", "/api/v1/streams"),
            ("GET", "/api//v1"),
            ("GET", "/api"),
        ]:
            response = self.ask(method, path)
            self.assertEqual(response.code, 401, path)
            self.assertEqual(response.headers["www-authenticate"], 'Bearer realm="RapidRTMP"')
        for path in ("/api/ping", "/api/docs", "/api/openapi.json"):
            self.assertEqual(self.ask("GET", path, peer="192.0.2.1").code, 200)

    def test_unknown_route(self) -> None:
        """With any key the answers to what is not there are the usual ones."""
        self.assertEqual(self.ask("GET", "/api/v1/nothing", bearer(READ)).code, 404)
        self.assertEqual(self.ask("DELETE", "/api/v1/streams", bearer(READ)).code, 405)

    def test_log(self) -> None:
        """Who stops a stream or gets a token is logged, without key and token."""
        with capturedLogs() as events:
            self.ask("POST", "/api/v1/streams/b/stop", bearer(ADMIN))
            self.ask("POST", "/api/v1/publish", bearer(PUBLISH), body=b'{"streamKey": "b"}')
        lines = [formatEvent(event) for event in events]
        self.assertRegex(lines[0], r"\Astream b: stopped by 127.0.0.1 with key [0-9a-f]{8}\Z")
        self.assertRegex(lines[1], r"\Astream b: publish token issued by 127.0.0.1 with key ")
        for line in lines:
            self.assertNotIn("-key-of-", line)
            self.assertNotIn("ab" * 8, line)
