"""Who may watch: asked about once, or by signed URLs."""

import re
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from rapidrtmp.interfaces import AccessDenied, AccessRequest, NotReady, Refusal
from rapidrtmp.storage.memory import MemoryStorage
from rapidrtmp.stream.lifecycle import StreamState
from rapidrtmp.stream.viewers import LEAVE_KEPT
from tests.web.live_fakes import LIFE
from tests.web.session_case import (
    AGENT,
    INDEX,
    MADE_UP,
    NOW,
    PLAYLIST,
    SIGNATURE,
    SessionTestCase,
)

DENIED = AccessDenied(Refusal.DENIED, "members only")


class AccessTests(SessionTestCase):
    def test_asked(self) -> None:
        """A viewer is asked about once, with all that is known of it, and joins once."""
        response = self.ask(f"{INDEX}?user=ann&jwt=a.b&jwt=c&%ff=%ff", AGENT)
        request = self.manager.requests[0]
        self.assertEqual(
            request,
            AccessRequest(
                "play",
                "k",
                "live",
                "192.0.2.7",
                request.session_id,
                {"user": "ann", "jwt": "a.b", "\ufffd": "\ufffd"},
                "VLC/3",
            ),
        )
        (part,) = re.findall(r"(?m)^([^#\s].*)/video1.m3u8$", response.body.decode())
        # who is told the name of a session does not have the session
        self.assertRegex(part, rf"^{LIFE}\.{request.session_id}[0-9a-f]{{16}}$")
        self.assertEqual(self.manager.joined, [])
        for name in ("video1", "audio2", "video1"):
            self.ask(f"/live/k/{part}/{name}.m3u8", AGENT)
        self.assertEqual(len(self.manager.requests), 1)
        self.assertEqual([each.session_id for each in self.manager.joined], [request.session_id])

    def test_restart(self) -> None:
        """Who was let in goes on after a restart, whatever would be decided on its address."""
        self.manager.decide = lambda request: (
            succeed(None) if "jwt" in request.credentials else fail(DENIED)
        )
        path = self.open(f"{INDEX}?jwt=a.b")[1]
        self.assertEqual(self.code(path), 200)
        name = self.manager.joined[0].session_id
        self.start()
        self.assertEqual(self.code(path), 200)
        self.assertEqual([each.session_id for each in self.manager.joined], [name, name])
        self.assertEqual(len(self.manager.requests), 1)
        self.assertEqual(len(self.viewers), 1)

    def test_pause(self) -> None:
        """The same after any pause, also of one who has not watched yet."""
        for path in self.open(INDEX):
            self.manager.decide = lambda request: fail(DENIED)
            self.clock.advance(LEAVE_KEPT + 1)
            self.assertEqual(self.code(path), 200)
        self.assertEqual(len(self.manager.joined), 2)

    def test_state_lost(self) -> None:
        """Without the state a session is none, which is asked about like one."""
        path = self.session()
        self.state = MemoryStorage(self.clock)
        self.start()
        self.assertEqual(self.code(path), 200)
        self.assertEqual(len(self.manager.requests), 2)
        self.start()
        self.manager.decide = lambda request: fail(DENIED)
        self.assertEqual(self.code(path), 403)

    def test_head_proves_nothing(self) -> None:
        """HEAD, which is not asked about, gives nobody a session."""
        response = self.ask(INDEX, method="HEAD")
        self.assertEqual(response.body, b"")
        self.assertNotIn(LIFE, str(response.headers))

    def test_unknown(self) -> None:
        """Who has no session is asked about, all its requests together."""
        decision: Deferred[None] = Deferred()
        self.manager.decide = lambda request: decision
        path = f"/live/k/{LIFE}.{MADE_UP}"
        waiting = [self.connect(f"{path}/{name}.m3u8") for name in ("video1", "audio2")]
        self.assertEqual(waiting[0].unread, b"")
        self.assertEqual(len(self.manager.requests), 1)
        decision.callback(None)
        self.assertEqual([each.response().code for each in waiting], [200, 200])
        self.assertEqual((len(self.viewers), len(self.manager.joined)), (1, 1))

    def test_refused(self) -> None:
        """Who is refused is told why, learns no life, and is not asked about all the time."""
        cases = [
            (Refusal.DENIED, 403, None),
            (Refusal.BAD_NAME, 404, None),
            (Refusal.BUSY, 503, "10"),
            (Refusal.REJECTED, 503, "10"),
        ]
        for number, (refusal, code, retry_after) in enumerate(cases):
            denied = AccessDenied(refusal, "members only")
            self.manager.decide = lambda request, denied=denied: fail(denied)  # type: ignore[misc]
            agent = ("User-Agent", str(number))
            for path in (INDEX, f"/live/k/{LIFE}.{MADE_UP}/video1.m3u8"):
                response = self.ask(path, agent)
                self.assertEqual((response.code, response.json()["error"]), (code, "members only"))
                self.assertEqual(response.headers.get("retry-after"), retry_after)
                self.assertNotIn(LIFE.encode(), response.body)
            asked = len(self.manager.requests)
            self.assertEqual(self.code(f"/live/k/{LIFE}/audio2.m3u8", agent), code)
            self.assertEqual(len(self.manager.requests), asked)
        self.assertEqual((len(self.viewers), self.manager.joined), (0, []))

    def test_ended(self) -> None:
        """An ended stream can be watched to its end, by who may."""
        self.stream.state = StreamState.STOPPED
        self.assertEqual(self.code(self.session()), 200)
        self.manager.decide = lambda request: fail(AccessDenied(Refusal.DENIED, "no"))
        self.assertEqual(self.code(INDEX), 403)

    def test_crash(self) -> None:
        """A fault of who is asked is answered with 500, once for each request."""
        self.manager.decide = lambda request: fail(ZeroDivisionError("secret"))
        for path in (INDEX, f"/live/k/{LIFE}.{MADE_UP}/video1.m3u8"):
            self.assertEqual(self.code(path), 500)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_leaves(self) -> None:
        """Who leaves while it is asked about is no viewer, and nothing is logged."""
        decisions: list[Deferred[Any]] = []

        def decide(request: AccessRequest) -> "Deferred[Any]":
            decisions.append(Deferred())
            return decisions[-1]

        self.manager.decide = decide
        for path in (INDEX, f"/live/k/{LIFE}.{MADE_UP}/video1.m3u8"):
            connection = self.connect(path)
            connection.lose()
            self.assertEqual(connection.transport.value(), b"")
        decisions[1].callback(None)
        self.assertEqual((len(self.viewers), self.manager.joined), (0, []))

    def test_not_ready(self) -> None:
        """Nobody is asked about who has nothing to see yet."""
        self.stream.output.files["index.m3u8"] = NotReady("no segment yet", 3)
        self.assertEqual(self.ask(INDEX).headers["retry-after"], "3")
        self.assertEqual(self.manager.requests, [])


class ProtectedTests(SessionTestCase):
    """PLAYBACK_AUTH."""

    protected = True

    def signed(self, seconds: int = 60, key: str = "k") -> str:
        """Give the path of a signed multivariant playlist."""
        query = self.signer.query(key, int(self.clock.seconds()) + seconds)
        return f"/live/{key}/index.m3u8?{query}"

    def test_follows(self) -> None:
        """A signed URL leads a player that can do nothing but follow to the segments."""
        for path in self.open(self.signed()):
            self.assertRegex(path, rf"/live/k/{LIFE}\.[0-9a-f]{{32}}\.{NOW + 60}\.[0-9a-f]{{64}}/")
            response = self.ask(path)
            self.assertEqual((response.code, response.body), (200, PLAYLIST.body))
        self.assertEqual(self.code(f"/live/k/{LIFE}/video1/1.m4s"), 200)
        self.assertEqual(self.code(self.signed().replace("index.m3u8", "init.mp4")), 200)
        self.assertEqual(len(self.viewers), 1)
        self.assertEqual(len(self.manager.requests), 1)
        self.assertEqual(self.manager.requests[0].credentials["expires"], str(NOW + 60))

    def test_transport(self) -> None:
        """So does the signed URL of the transport stream's playlist."""
        (path,) = self.open(self.signed().replace("index.m3u8", "ts/index.m3u8"))
        self.assertRegex(path, rf"/live/k/{LIFE}\.[0-9a-f]{{32}}\.{NOW + 60}\.[0-9a-f]{{64}}/ts")
        self.assertEqual(self.code(path), 200)
        self.assertEqual(self.code(f"/live/k/{LIFE}/ts/1.ts"), 200)
        self.assertEqual((len(self.viewers), len(self.manager.requests)), (1, 1))

    def test_more_parameters(self) -> None:
        """What else is in the query is for those who are asked, and stays out of addresses."""
        path = self.signed() + "&user=ann&signature=x"
        self.assertNotIn("ann", "".join(self.open(path)))
        self.assertEqual(self.manager.requests[0].credentials["user"], "ann")

    def test_refused(self) -> None:
        """Without a good signature there is nothing, whether there is a stream or not."""
        good = self.signed()
        needed, wrong = "this stream needs a signed URL", "wrong or expired playback URL"
        query = good.partition("?")[2]
        bad = f"{MADE_UP}.{NOW + 60}.{SIGNATURE}"
        own = self.signer.sign("k", NOW + 60)
        cases = [
            ("index.m3u8", needed),
            ("index.m3u8?user=ann", needed),
            (f"index.m3u8?expires={NOW + 60}&signature={SIGNATURE}", wrong),
            (f"index.m3u8?expires={NOW + 61}&signature={own}", wrong),
            ("init.mp4", needed),
            ("ts/index.m3u8", needed),
            (f"ts/index.m3u8?expires={NOW + 60}&signature={SIGNATURE}", wrong),
            (f"{LIFE}/ts.m3u8", needed),
            ("other.mpd", needed),
            ("", needed),
            (f"{LIFE}/video1.m3u8", needed),
            (f"{LIFE}/video1.m3u8?{query}", needed),
            (f"{LIFE}.{MADE_UP}/video1.m3u8", needed),
            (f"{LIFE}.{MADE_UP}/video1.m3u8?{query}", needed),
            (f"{LIFE}.{bad}/video1.m3u8", wrong),
        ]
        for rest, words in cases:
            for method in ("GET", "HEAD"):
                answers = []
                for key in ("k", "absent"):
                    response = self.ask(f"/live/{key}/{rest}", method=method)
                    del response.headers["date"]
                    answers.append((response.code, response.headers, response.body))
                self.assertEqual(answers[0], answers[1], rest)
                self.assertEqual(answers[0][0], 403, rest)
            self.assertEqual(self.ask(f"/live/k/{rest}").json(), {"error": words}, rest)
        self.assertEqual((self.manager.requests, len(self.viewers)), ([], 0))
        refusals = self.manager.totals.refusals
        self.assertEqual({action for action, _ in refusals}, {"play"})
        self.assertEqual({reason for _, reason in refusals}, {"no_signature", "wrong_signature"})
        self.assertGreater(sum(refusals.values()), 2 * len(cases))

    def test_other_key(self) -> None:
        """A signature opens its own stream only."""
        query = self.signed(key="other").partition("?")[2]
        self.assertEqual(self.code(f"{INDEX}?{query}"), 403)

    def test_absent_with_signature(self) -> None:
        """Who may see a stream is told that it is not there."""
        self.assertEqual(self.code(self.signed(key="absent")), 404)

    def test_media_tells_nothing(self) -> None:
        """Guessing at media tells nobody whether there is a stream."""
        for rest in ("video1/1.m4s", "video1/init-00000000.mp4", "x/y"):
            answers = []
            for key in ("k", "absent"):
                response = self.ask(f"/live/{key}/{'f' * 16}/{rest}")
                answers.append((response.code, response.body))
            self.assertEqual(answers[0], answers[1])
            self.assertEqual(answers[0][0], 404)
        self.assertEqual(self.stream.output.asked, [])

    def test_expires(self) -> None:
        """At the expiry playlists end, listed media does not."""
        paths = self.open(self.signed())
        self.clock.advance(59)
        self.assertEqual(self.code(paths[1]), 200)
        self.clock.advance(1)
        for path in paths:
            response = self.ask(path)
            self.assertEqual(response.code, 403)
            self.assertEqual(response.json(), {"error": "wrong or expired playback URL"})
        self.assertEqual(self.code(f"/live/k/{LIFE}/video1/1.m4s"), 200)

    def test_unprotected(self) -> None:
        """Addresses of before PLAYBACK_AUTH was switched off go on."""
        path = self.open(self.signed())[1]
        self.start(protected=False)
        self.assertEqual(self.code(path), 200)

    def test_restart(self) -> None:
        """After a restart a session goes on, to its expiry and no longer."""
        path = self.open(self.signed())[1]
        self.start()
        self.assertEqual(self.code(path), 200)
        self.assertEqual(len(self.manager.requests), 1)
        self.clock.advance(60)
        self.start()
        self.assertEqual(self.code(path), 403)

    def test_made_up(self) -> None:
        """A made-up session with a good signature is none: it is let in, and counted, as such."""
        own = self.signer.sign("k", NOW + 60)
        for session in (MADE_UP, MADE_UP[::-1].replace("5", "6")):
            path = f"/live/k/{LIFE}.{session}.{NOW + 60}.{own}/video1.m3u8"
            self.assertEqual(self.code(path), 200)
        self.assertEqual((len(self.viewers), len(self.manager.requests)), (1, 1))
        self.assertEqual(self.manager.requests[0].credentials["expires"], str(NOW + 60))
