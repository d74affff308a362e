"""Tests of rapidrtmp.protocol.access_manager, and of encoders that sign in by user and password."""

import re
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.auth.stored_secret import StoredSecret
from rapidrtmp.auth.tokens import TokenStore
from rapidrtmp.interfaces import AccessRequest
from rapidrtmp.protocol.access_manager import AccessManager, ConnectRefused, PasswordAsked
from rapidrtmp.protocol.connection import RTMPServerProtocol
from rapidrtmp.protocol.server import ServerSettings
from rapidrtmp.rtmp import authmod
from rapidrtmp.rtmp.authmod import LIFETIME, SignIn
from rapidrtmp.rtmp.events import ConnectRequested
from rapidrtmp.storage.memory import MemoryStorage
from tests.protocol.fakes import FakeManager, FakePublication, FakeTransport, Server
from tests.rtmp.wire import ANSWER_SIZE, HANDSHAKE, call, calls, codes, read

START = "NetStream.Publish.Start"
DENIED = "NetStream.Publish.Denied"
REJECTED = "NetConnection.Connect.Rejected"


class TokenManager(FakeManager):
    """Grants what a store of tokens does."""

    def __init__(self, tokens: TokenStore) -> None:
        super().__init__()
        self.tokens = tokens

    def publish(self, request: AccessRequest) -> Deferred[FakePublication]:
        self.requests.append(request)
        return self.tokens.authorize(request).addCallback(lambda _: self.grant(request))


class AccessManagerTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make one."""
        self.clock = Clock()
        self.manager = AccessManager(cast(Any, self.clock), "authmod")

    def admit(self, app: str, tc_url: str = "", sign_in: SignIn | None = None) -> SignIn | None:
        """Ask it about a client."""
        return self.manager.admit(ConnectRequested(app, tc_url, "", 1.0, sign_in=sign_in))

    def test_who_is_asked(self) -> None:
        """Asked is who connects to the application without a token in the URL; nobody else."""
        for app, tc_url in (
            ("authmod", ""),
            ("authmod/key", ""),
            ("/authmod/", "rtmp://host/authmod"),
            ("authmod?token=&a=b", ""),
            ("authmod?user=u", ""),
            ("", "rtmp://host/authmod/key"),
        ):
            with self.subTest(app=app, tc_url=tc_url):
                error = self.assertRaises(PasswordAsked, self.admit, app, tc_url)
                self.assertEqual(error.description, authmod.NEED_AUTH)
        for app, tc_url in (
            ("live", "rtmp://host/live"),
            ("live/authmod", ""),
            ("live", "rtmp://host/authmod"),
            ("authmod2", ""),
            ("", ""),
            ("authmod?token=t", ""),
            ("authmod?user=u&pass=t", ""),
            ("authmod", "rtmp://host/authmod?password=t"),
        ):
            with self.subTest(app=app, tc_url=tc_url):
                self.assertIsNone(self.admit(app, tc_url))

    def test_who_asks(self) -> None:
        """Who wants to sign in by itself is challenged on any application."""
        for app in ("live", "authmod", "live?token=t", ""):
            error = self.assertRaises(PasswordAsked, self.admit, app, "", SignIn("adobe", "me"))
            self.assertIn("?reason=needauth&user=me&salt=", error.description)

    def test_answer(self) -> None:
        """An answer passes with the challenge that it belongs to, whatever it proves, once."""
        error = self.assertRaises(PasswordAsked, self.admit, "live", "", SignIn("adobe", "me"))
        opaque = error.description.rpartition("=")[2]
        sign_in = SignIn("adobe", "me", "c", "r", opaque)
        self.assertIs(self.admit("live", "", sign_in), sign_in)
        error = self.assertRaises(ConnectRefused, self.admit, "live", "", sign_in)
        self.assertEqual(error.description, authmod.AUTH_FAILED)
        self.assertTrue(error.is_guess)
        self.assertNotIn(opaque, str(error))

    def test_refused(self) -> None:
        """Other methods and users that nobody has are refused in words that end the attempts."""
        for sign_in, words in (
            (SignIn("llnw", "me"), "this way of signing in"),
            (SignIn("", "me"), "this way of signing in"),
            (SignIn("adobe"), "?reason=nosuchuser"),
            (SignIn("adobe", "u" * 1000), "?reason=nosuchuser"),
            (SignIn("adobe", "a\nb", "c", "r", "o"), "?reason=nosuchuser"),
        ):
            with self.subTest(sign_in=sign_in):
                error = self.assertRaises(ConnectRefused, self.admit, "live", "", sign_in)
                self.assertNotIsInstance(error, PasswordAsked)
                self.assertIn(words, error.description)
                self.assertFalse(error.is_guess)
                self.assertNotIn("\n", str(error))

    def test_off(self) -> None:
        """Without an application nobody is asked, and who wants to sign in is told what to do."""
        self.manager.app = ""
        self.assertIsNone(self.admit("authmod"))
        error = self.assertRaises(ConnectRefused, self.admit, "live", "", SignIn("adobe", "me"))
        self.assertIn("?token=", error.description)
        # clients go on when they read this word
        self.assertNotIn("authmod", error.description)


class SignInTests(SynchronousTestCase):
    """An encoder with a user and a password, and a server with tokens."""

    def setUp(self) -> None:
        """Start a server."""
        self.server = Server(ServerSettings(max_refusals=3))
        self.clock = self.server.clock
        storage = MemoryStorage(self.clock)
        self.tokens = TokenStore(storage, cast(Any, self.clock), 3600.0, 86400.0, 60.0)
        self.tokens.secret = StoredSecret(storage, "secret.json", "")
        self.manager = TokenManager(self.tokens)
        self.server.factory.manager = cast(Any, self.manager)
        self.server.factory.access_manager = AccessManager(cast(Any, self.clock), "authmod")

    def token(self, key: str = "key") -> str:
        """Issue a token."""
        value: str = self.successResultOf(self.tokens.issue(key)).value
        return value

    def connect(self, app: str) -> tuple[RTMPServerProtocol, FakeTransport]:
        """Connect once and try to publish right away, as clients that do not wait."""
        protocol, transport = self.server.connect()
        protocol.dataReceived(
            HANDSHAKE
            + call("connect", 1.0, {"app": app, "tcUrl": f"rtmp://host/{app}"})
            + call("createStream", 2.0, None)
            + call("publish", 3.0, None, "key", "live", msid=1)
        )
        return protocol, transport

    def told(self, app: str) -> tuple[object, str]:
        """Connect once; return the last code that came and its description."""
        _, transport = self.connect(app)
        messages = read(transport.value()[ANSWER_SIZE:])
        information = calls(messages)[-1][1][-1]
        assert isinstance(information, dict)
        code = codes(messages)[-1][2]
        if code != START:
            self.assertTrue(transport.half_closed)
        return code, str(information["description"])

    def challenge(self, app: str = "authmod") -> str:
        """Go up to the challenge; return its opaque."""
        self.assertEqual(self.told(app), (REJECTED, authmod.NEED_AUTH))
        code, description = self.told(f"{app}?authmod=adobe&user=me")
        self.assertEqual(code, REJECTED)
        found = re.search(r"\?reason=needauth&user=me&.*&opaque=([0-9a-f]+)$", description)
        assert found is not None, description
        return found[1]

    def answer(self, opaque: str, password: str) -> str:
        """Make the app of the third connection."""
        response = authmod.response("me", opaque, "cafe0123", password)
        return (
            f"authmod?authmod=adobe&user=me&challenge=cafe0123&response={response}&opaque={opaque}"
        )

    def sign_in(self, password: str) -> tuple[object, str]:
        """Do all that an encoder does."""
        return self.told(self.answer(self.challenge(), password))

    def test_published(self) -> None:
        """The token is the password; the request is as with a token in the URL."""
        token = self.token()
        with capturedLogs() as events:
            self.assertEqual(self.sign_in(token)[0], START)
        [request] = self.manager.requests
        self.assertEqual((request.key, request.app), ("key", "authmod"))
        self.assertEqual(request.credentials, {"user": "me"})
        self.assertNotIn(token, str([formatEvent(event) for event in events]))
        proven = self.tokens.identify(request)
        sent = AccessRequest("publish", "key", "live", "", "", {"token": token})
        self.assertEqual(proven, self.tokens.identify(sent))

    def test_cut_password(self) -> None:
        """FFmpeg keeps 49 characters of a password."""
        self.assertEqual(self.sign_in(self.token()[:49])[0], START)
        self.assertEqual(self.sign_in(self.token()[:48])[0], DENIED)

    def test_denied(self) -> None:
        """A wrong password, another key's token and an expired one: denied in the same words."""
        other, expired = self.token("other"), self.token()
        self.server.factory.refusals.limit = 0
        self.clock.advance(3601)
        valid = self.token()
        answers = [self.sign_in(word) for word in ("wrong", other, expired, valid.upper())]
        self.assertEqual([code for code, _ in answers], [DENIED] * 4)
        self.assertEqual(len({words for _, words in answers}), 1)
        self.assertEqual(self.sign_in(valid)[0], START)
        self.successResultOf(self.tokens.revoke(self.tokens.tokens("key")))
        self.assertEqual(self.sign_in(valid)[0], DENIED)

    def test_sent_token_wins(self) -> None:
        """A token in the URL counts before the password."""
        app = self.answer(self.challenge(), self.token())
        self.assertEqual(self.told(f"{app}&token=wrong")[0], DENIED)
        app = self.answer(self.challenge(), "wrong")
        self.assertEqual(self.told(f"{app}&token={self.token()}")[0], START)

    def test_bad_opaque(self) -> None:
        """A challenge that is not the server's, too old or used already is as a wrong password."""
        token = self.token()
        self.server.factory.refusals.limit = 0
        used = self.answer(self.challenge(), token)
        self.assertEqual(self.told(used)[0], START)
        self.assertEqual(self.told(used), (REJECTED, authmod.AUTH_FAILED))
        opaque = self.challenge()
        self.assertEqual(
            self.told(self.answer(opaque[:-1] + "x", token)), (REJECTED, authmod.AUTH_FAILED)
        )
        self.clock.advance(LIFETIME + 1)
        self.assertEqual(self.told(self.answer(opaque, token)), (REJECTED, authmod.AUTH_FAILED))
        self.assertEqual(len(self.manager.publications), 1)

    def test_guessing(self) -> None:
        """Wrong passwords and wrong challenges count as wrong tokens do, and end (A62)."""
        opaque = self.challenge()
        self.assertEqual(self.told(self.answer("0" * 48, "x"))[1], authmod.AUTH_FAILED)
        self.assertEqual(self.told(self.answer(opaque, "x"))[0], DENIED)
        self.assertEqual(self.told(self.answer(opaque, "y"))[1], authmod.AUTH_FAILED)
        _, transport = self.server.connect()
        self.assertTrue(transport.disconnected)
        self.assertEqual(self.server.factory.errors, {"too_many_refusals": 1})

    def test_asking_is_no_guess(self) -> None:
        """An address may begin as often as it likes."""
        for _ in range(10):
            self.challenge()
        self.assertEqual(self.sign_in(self.token())[0], START)

    def test_log(self) -> None:
        """A refusal is one line; being asked is none."""
        with capturedLogs() as events:
            opaque = self.challenge()
            self.told(self.answer("0" * 48, "secret"))
            self.told("live?authmod=llnw&user=me")
        lines = [formatEvent(event) for event in events]
        self.assertEqual(len(lines), 2, lines)
        self.assertEqual(self.manager.totals.refusals, {("publish", "authmod"): 2})
        self.assertIn(f"refused, {REJECTED}: the answer to a challenge", lines[0])
        self.assertIn(f"refused, {REJECTED}: this way of signing in", lines[1])
        self.assertNotIn(opaque, str(lines))

    def test_open_server(self) -> None:
        """Where no token is needed nobody is asked, and who wants to sign in is let in at once."""
        self.server.factory.access_manager = None
        self.server.factory.manager = cast(Any, FakeManager())
        for app in ("authmod", "live?authmod=adobe&user=me", "live?authmod=llnw&user=me"):
            self.assertEqual(self.told(app)[0], START)
