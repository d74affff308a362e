"""Viewers' sessions, and the limit."""

import gzip
import re

from twisted.internet.defer import Deferred

from rapidrtmp.interfaces import Representation
from rapidrtmp.stream.viewers import MAX_AGENTS
from rapidrtmp.web.live import MAX_AGENT
from rapidrtmp.web.representation import compressed
from rapidrtmp.web.session import read_session
from tests.web.live_fakes import LIFE, LiveManager, LiveStream
from tests.web.session_case import (
    AGENT,
    INDEX,
    MADE_UP,
    PLAYLIST,
    SIGNATURE,
    SessionTestCase,
)


class SessionTests(SessionTestCase):
    def test_personal(self) -> None:
        """Each request of the multivariant playlist opens another session, for nobody to keep."""
        first, second = self.open(), self.open()
        for paths in (first, second):
            sessions = {re.sub(r"/(audio2|video1)\.m3u8$", "", path) for path in paths}
            self.assertEqual(len(sessions), 1)
            self.assertRegex(sessions.pop(), rf"^/live/k/{LIFE}\.[0-9a-f]{{32}}$")
        self.assertEqual(set(first) & set(second), set())
        response = self.ask(INDEX, ("Accept-Encoding", "gzip"), ("If-None-Match", "*"))
        self.assertEqual((response.code, response.body[:8]), (200, b"#EXTM3U\n"))
        self.assertEqual(response.headers["cache-control"], "private, no-cache")
        for name in ("etag", "content-encoding", "vary", "accept-ranges"):
            self.assertNotIn(name, response.headers)

    def test_shared(self) -> None:
        """Media playlists have the same bytes and tag for all, and are compressed for all."""
        misses = compressed.count
        answers = [
            self.ask(path, ("Accept-Encoding", "gzip"))
            for path in (self.session(), self.session(), f"/live/k/{LIFE}/video1.m3u8")
        ]
        for answer in answers:
            self.assertEqual(gzip.decompress(answer.body), PLAYLIST.body)
            self.assertEqual(answer.headers, answers[0].headers)
        self.assertEqual(compressed.count, misses + 1)

    def test_counted(self) -> None:
        """Who fetches media playlists counts once, and until three target durations later."""
        self.viewers.expiry = 9.0
        one, other = self.open(), self.session()
        self.assertEqual(len(self.viewers), 0)
        for path in [*one, *one, other]:
            self.assertEqual(self.code(path), 200)
        self.assertEqual((len(self.viewers), self.viewers.total), (2, 2))
        self.clock.advance(8)
        self.assertEqual(self.code(other), 200)
        self.clock.advance(2)
        self.assertEqual(len(self.viewers), 1)
        self.clock.advance(8)
        self.assertEqual((len(self.viewers), self.viewers.total), (0, 2))

    def test_not_counted(self) -> None:
        """Media, the multivariant playlist, HEAD and what is not there make no viewer."""
        path = self.session()
        self.assertEqual(self.code(path, method="HEAD"), 200)
        self.assertEqual(self.code(INDEX, method="HEAD"), 200)
        self.assertEqual(self.code(f"/live/k/{LIFE}/video1/1.m4s"), 200)
        self.assertEqual(self.code("/live/k/init.mp4"), 200)
        self.assertEqual(self.code(path.replace("video1", "video9")), 404)
        self.assertEqual((len(self.viewers), self.manager.joined), (0, []))

    def test_known(self) -> None:
        """Of one who is a viewer, HEAD and 304 count as being there."""
        path = self.session()
        self.ask(path)
        for method, headers, code in (
            ("HEAD", (), 200),
            ("GET", (("If-None-Match", '"p1"'),), 304),
            ("HEAD", (), 200),
        ):
            self.clock.advance(5)
            self.assertEqual(self.code(path, *headers, method=method), code)
        self.clock.advance(5)
        self.assertEqual((len(self.viewers), self.viewers.total), (1, 1))

    def test_head(self) -> None:
        """HEAD of the multivariant playlist is like GET, and asks nobody."""
        got, head = self.ask(INDEX), self.ask(INDEX, method="HEAD")
        self.assertEqual(head.body, b"")
        for each in (got, head):
            del each.headers["date"]
        self.assertEqual(head.headers, got.headers)
        self.assertEqual(len(self.manager.requests), 1)

    def test_fallback(self) -> None:
        """Without a session, address and User-Agent make the viewer, cut where it is long."""
        path = f"/live/k/{LIFE}/video1.m3u8"
        for agent in ("VLC/3", "VLC/3", "ffmpeg", "x" * 9000, "x" * MAX_AGENT, ""):
            self.assertEqual(self.code(path, ("User-Agent", agent)), 200)
        self.assertEqual(len(self.viewers), 4)
        names = [request.session_id for request in self.manager.joined]
        self.assertEqual(len(set(names)), 4)
        for name in names:
            self.assertRegex(name, "^[0-9a-f]{16}$")
        self.assertEqual(len(self.manager.joined[2].client), MAX_AGENT)

    def test_malformed(self) -> None:
        """An address that is nearly one with a session is not there."""
        for part in (
            f"{LIFE}.",
            f"{LIFE}.0123",
            f"{LIFE}.{LIFE}",
            f"{LIFE}.{MADE_UP[1:]}A",
            f"{LIFE}.{MADE_UP}0",
            f"{LIFE}.{MADE_UP}.",
            f"{LIFE}.{MADE_UP}.5",
            f"{LIFE}.{MADE_UP}.5.",
            f"{LIFE}.{MADE_UP}.5.{SIGNATURE[1:]}",
            f"{LIFE}.{MADE_UP}.x.{SIGNATURE}",
            f"{LIFE}.{MADE_UP}.5.{SIGNATURE}.6",
            f".{MADE_UP}",
            "..",
            f"{LIFE}.{MADE_UP}%0a",
        ):
            self.assertEqual(self.code(f"/live/k/{part}/video1.m3u8"), 404, part)
        self.assertEqual(len(self.viewers), 0)
        # of another life: there is no such playlist
        self.assertEqual(self.code(f"/live/k/{'f' * 16}.{MADE_UP}/video1.m3u8"), 404)

    def test_media_below_the_life(self) -> None:
        """Media has one address, whoever watches."""
        path = self.session().replace(".m3u8", "/1.m4s")
        self.assertEqual(self.code(path), 404)

    def test_read_session(self) -> None:
        """An address may hold what a signed URL has."""
        found = read_session(f"{LIFE}.{'0' * 16}{'1' * 16}.5.{SIGNATURE}")
        credentials = {"expires": "5", "signature": SIGNATURE}
        self.assertEqual(found, (LIFE, "0" * 16, "1" * 16, credentials))
        found = read_session(f"{LIFE}.{'0' * 16}{'1' * 16}")
        self.assertEqual(found, (LIFE, "0" * 16, "1" * 16, {}))

    def test_made_up(self) -> None:
        """A session that was opened nowhere, or elsewhere, is none: the address is what counts."""
        path = self.session()
        own = path.split(".")[1][:32]
        life = "f" * 16
        self.stream.output.files[f"{life}/video1.m3u8"] = PLAYLIST
        for part in (
            f"{LIFE}.{MADE_UP}",
            f"{LIFE}.{own[:16]}{'0' * 16}",
            f"{LIFE}.{'0' * 16}{own[16:]}",
            f"{life}.{own}",
        ):
            self.assertEqual(self.code(f"/live/k/{part}/video1.m3u8", AGENT), 200)
        self.assertEqual(self.code(f"/live/k/{LIFE}/video1.m3u8", AGENT), 200)
        self.assertEqual((len(self.viewers), len(self.manager.joined)), (1, 1))
        self.assertEqual(self.code(path, AGENT), 200)
        self.assertEqual(len(self.viewers), 2)

    def test_made_up_elsewhere(self) -> None:
        """A session of one stream is none at another."""
        other = LiveStream("other", self.clock, {f"{LIFE}/video1.m3u8": PLAYLIST})
        self.manager = LiveManager(self.stream, other)
        self.start()
        self.assertEqual(self.code(self.session().replace("/k/", "/other/")), 200)
        (joined,) = self.manager.joined
        name = self.manager.requests[0].session_id
        self.assertNotEqual(joined.session_id, name)


class LimitTests(SessionTestCase):
    def test_limit(self) -> None:
        """Newcomers over the limit are told when to come back; who watches goes on."""
        self.viewers.limit = 1
        first, second = self.open(), self.session()
        self.assertEqual(self.code(first[0]), 200)
        plain = f"/live/k/{LIFE}/video1.m3u8"
        for path in (second, INDEX, plain):
            for method in ("GET", "HEAD"):
                response = self.ask(path, method=method)
                self.assertEqual((response.code, response.headers["retry-after"]), (503, "10"))
            self.assertEqual(self.ask(path).json(), {"error": "viewer limit reached"})
        for path in first:
            self.assertEqual(self.code(path), 200)
        self.assertEqual(self.code(f"/live/k/{LIFE}/video1/1.m4s"), 200)
        self.clock.advance(7)
        self.assertEqual(self.code(second), 200)
        self.assertEqual(self.code(first[0]), 503)

    def test_flood(self) -> None:
        """One address takes few places, whatever sessions and User-Agents it makes up."""
        for number in range(100):
            for part in (LIFE, f"{LIFE}.{number:032x}"):
                agent = ("User-Agent", f"agent {number}")
                self.assertEqual(self.code(f"/live/k/{part}/video1.m3u8", agent), 200)
        self.assertEqual(len(self.viewers), MAX_AGENTS + 1)
        self.assertEqual(self.manager.joined[-1].client, "")

    def test_flood_while_waiting(self) -> None:
        """The same for requests that are held until the stream starts."""
        held: list[Deferred[Representation]] = []
        waiting = []
        for number in range(100):
            held.append(Deferred())
            self.stream.output.files[f"{LIFE}/video1.m3u8"] = held[-1]
            agent = ("User-Agent", f"agent {number}")
            waiting.append(self.connect(f"/live/k/{LIFE}/video1.m3u8", agent))
        for each in held:
            each.callback(PLAYLIST)
        self.assertEqual({each.response().code for each in waiting}, {200})
        self.assertEqual(len(self.viewers), MAX_AGENTS + 1)

    def test_limit_while_waiting(self) -> None:
        """Who waited for a playlist while the last place was taken is told so."""
        self.viewers.limit = 1
        first, second = self.session(), self.session()
        held: Deferred[Representation] = Deferred()
        self.stream.output.files[f"{LIFE}/video1.m3u8"] = held
        waiting = self.connect(second)
        self.stream.output.files[f"{LIFE}/video1.m3u8"] = PLAYLIST
        self.assertEqual(self.code(first), 200)
        held.callback(PLAYLIST)
        self.assertEqual(waiting.response().code, 503)

    def test_held(self) -> None:
        """Video and audio of one viewer, held until the stream starts, take one place."""
        self.viewers.limit = 1
        paths = self.open()
        held = []
        for path in paths:
            held.append(Deferred[Representation]())
            name = f"{LIFE}/{path.rpartition('/')[2]}"
            self.stream.output.files[name] = held[-1]
        waiting = [self.connect(path) for path in paths]
        for each in held:
            each.callback(PLAYLIST)
        self.assertEqual([each.response().code for each in waiting], [200, 200])
        self.assertEqual((len(self.viewers), len(self.manager.joined)), (1, 1))
