"""Tests of rapidrtmp.auth.tokens."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp.auth.stored_secret import StoredSecret
from rapidrtmp.auth.tokens import (
    MAX_COMPARED,
    PURGE_INTERVAL,
    TOKEN_SECRET_PATH,
    TOKENS_PATH,
    Token,
    TokenStore,
    TooManyTokens,
    token_secret,
)
from rapidrtmp.interfaces import (
    NO_CACHE,
    AccessDenied,
    AccessRequest,
    Grant,
    IAuthenticator,
    IStorage,
    Refusal,
)
from rapidrtmp.state import StateError
from rapidrtmp.storage.memory import MemoryStorage
from tests.test_state import SlowStorage

HOUR = 3600
DAY = 24 * HOUR
NOW = 1_800_000_000.0
WRONG = "wrong or expired publish token"
NONE = "no publish token was given"


def request(key: str, credentials: Mapping[str, str]) -> AccessRequest:
    """A request to publish."""
    return AccessRequest("publish", key, "live", "192.0.2.1", "s1", credentials)


class TokenCase(SynchronousTestCase):
    """A token store that is empty, at a time that stands still."""

    def setUp(self) -> None:
        """Open a store."""
        self.clock = Clock()
        self.clock.advance(NOW)
        self.storage: IStorage = MemoryStorage(self.clock)
        self.store = self.opened()

    def opened(self, max_tokens: int = 100) -> TokenStore:
        """A store as after a restart."""
        store = TokenStore(self.storage, self.clock, HOUR, DAY, 60.0, max_tokens)
        self.assertIsNone(self.successResultOf(store.load()))
        return store

    def issued(self, key: str = "show", expires_in: int | None = None) -> Token:
        """A new token."""
        token: Token = self.successResultOf(self.store.issue(key, expires_in))
        return token

    def granted(self, token: Token, key: str = "show") -> str:
        """The identity of the holder of a token that must be good."""
        grant = self.successResultOf(self.store.authorize(request(key, {"token": token.value})))
        assert isinstance(grant, Grant)
        return grant.identity

    def assert_denied(
        self, credentials: Mapping[str, str], key: str = "show", description: str = WRONG
    ) -> None:
        """Check that a request is refused, in which words."""
        failure = self.failureResultOf(
            self.store.authorize(request(key, credentials)), AccessDenied
        )
        self.assertEqual(failure.value.refusal, Refusal.DENIED)
        self.assertEqual(failure.value.description, description)

    def stored(self) -> str:
        """The file's text."""
        return str(self.successResultOf(self.storage.get(TOKENS_PATH)), "ascii")


class IssueTests(TokenCase):
    def test_value(self) -> None:
        """A token is 256 random bits in 64 lower-case hexadecimal digits."""
        values = {self.issued().value for _ in range(20)}
        self.assertEqual(len(values), 20)
        for value in values:
            self.assertRegex(value, r"\A[0-9a-f]{64}\Z")

    def test_life(self) -> None:
        """No or no sensible life means the default, a long one is cut."""
        for expires_in, life in [
            (None, HOUR),
            (0, HOUR),
            (-1, HOUR),
            (1, 1),
            (HOUR * 2, HOUR * 2),
            (DAY, DAY),
            (DAY + 1, DAY),
            (10**30, DAY),
        ]:
            with self.subTest(expires_in=expires_in):
                token = self.issued("show", expires_in)
                self.assertEqual(token.key, "show")
                self.assertEqual(token.expires_at, NOW + life)

    def test_value_is_nowhere_else(self) -> None:
        """The value is neither in the file nor in what is printed of the token."""
        token = self.issued()
        self.assertNotIn(token.value, self.stored())
        self.assertIn(hashlib.sha256(token.value.encode()).hexdigest(), self.stored())
        self.assertNotIn(token.value, repr(token))

    def test_stored_first(self) -> None:
        """A token is handed out only when it is stored; a storm makes few writes."""
        self.storage = slow = SlowStorage()
        self.store = self.opened()
        issues = [self.store.issue("show") for _ in range(50)]
        for issue in issues:
            self.assertNoResult(issue)
        slow.finish()
        slow.finish()
        self.assertEqual(slow.writes, [])
        for issue in issues:
            self.granted(self.successResultOf(issue))

    def test_not_stored(self) -> None:
        """A token that could not be stored is not handed out and is soon forgotten."""
        self.storage = slow = SlowStorage()
        self.store = self.opened(max_tokens=1)
        issue = self.store.issue("show")
        slow.finish(OSError("disk full"))
        self.failureResultOf(issue, OSError)
        again = self.store.issue("show")
        state = slow.finish()
        self.granted(self.successResultOf(again))
        self.assertEqual(len(state["show"]), 1)  # type: ignore[arg-type] # JSON

    def test_too_many(self) -> None:
        """Past the limit no token is issued, until some have expired."""
        self.store = self.opened(max_tokens=3)
        kept = self.issued("a", HOUR * 2)
        self.issued("a", 10)
        self.issued("b", 10)
        failure = self.failureResultOf(self.store.issue("c"), TooManyTokens)
        self.assertEqual(failure.getErrorMessage(), "there are 3 publish tokens already")
        self.clock.advance(10)
        self.issued("c")
        self.issued("c")
        self.failureResultOf(self.store.issue("c"), TooManyTokens)
        self.granted(kept, "a")

    def test_purge(self) -> None:
        """Expired tokens leave the file."""
        self.issued("old", 5)
        self.clock.advance(PURGE_INTERVAL)
        self.issued("new")
        self.assertEqual(list(json.loads(self.stored())["state"]), ["new"])


class AuthorizeTests(TokenCase):
    def test_interface(self) -> None:
        """It provides IAuthenticator."""
        self.assertTrue(verifyObject(IAuthenticator, self.store))

    def test_good(self) -> None:
        """A token is good any number of times, and its identity is its hash."""
        token, other = self.issued(), self.issued()
        identity = hashlib.sha256(token.value.encode()).hexdigest()
        self.assertEqual([self.granted(token) for _ in range(3)], [identity] * 3)
        self.assertNotEqual(self.granted(other), identity)

    def test_where(self) -> None:
        """The token may be given as a password, and as a token wins."""
        value = self.issued().value
        for credentials in (
            {"token": value},
            {"user": "me", "password": value},
            {"user": "me", "pass": value},
            {"token": value, "pass": "bad"},
            {"token": "", "pass": value},
        ):
            with self.subTest(credentials=list(credentials)):
                self.successResultOf(self.store.authorize(request("show", credentials)))
        self.assert_denied({"token": "bad", "pass": value})
        self.assert_denied({"user": value}, description=NONE)

    def test_none(self) -> None:
        """Without a token the words say so."""
        for credentials in ({}, {"token": ""}, {"key": "x"}):
            self.assert_denied(credentials, description=NONE)

    def test_wrong(self) -> None:
        """Unknown, mistyped, another key's: refused in the same words; the good one stays good."""
        token = self.issued()
        stored = hashlib.sha256(token.value.encode()).hexdigest()
        for value in (
            "0" * 64,
            token.value[:-1],
            token.value.upper(),
            stored,
            "\udc80",
            "x" * 10**6,
        ):
            self.assert_denied({"token": value})
        self.assert_denied({"token": token.value}, key="other")
        self.issued("other")
        self.assert_denied({"token": token.value}, key="other")
        self.granted(token)

    def test_expired(self) -> None:
        """A token is good before its expiry, and not at it."""
        token = self.issued("show", 100)
        self.clock.advance(99)
        self.granted(token)
        self.clock.advance(1)
        self.assert_denied({"token": token.value})

    def test_any_credentials(self) -> None:
        """Whatever the credentials: a refusal, never another error."""
        self.issued()

        @settings(max_examples=100, deadline=None)
        @given(
            st.text(),
            st.dictionaries(st.sampled_from(["token", "pass", "user", "x"]), st.text()),
        )
        def check(key: str, credentials: dict[str, str]) -> None:
            self.failureResultOf(self.store.authorize(request(key, credentials)), AccessDenied)

        check()


class ProofTests(TokenCase):
    """Tokens that are proven to be known, without being sent."""

    def setUp(self) -> None:
        """Open a store that can make its tokens again."""
        super().setUp()
        self.store.secret = self.secret()

    def secret(self) -> StoredSecret:
        """The server's, as after a restart."""
        secret = token_secret(self.storage)
        self.successResultOf(secret.load())
        return secret

    def identity(
        self, value: str, key: str = "show", credentials: Mapping[str, str] | None = None
    ) -> str | None:
        """Prove to know a token; give the identity that it makes."""
        asked = replace(request(key, credentials or {}), proves=lambda known: known == value)
        return self.store.identify(asked)

    def test_proven(self) -> None:
        """A proven token is as one that is sent: the same identity, its key and its life."""
        token, other = self.issued("show", 100), self.issued()
        self.assertRegex(token.value, r"\A[0-9a-f]{64}\Z")
        self.assertNotEqual(token.value, other.value)
        self.assertEqual(self.identity(token.value), self.granted(token))
        self.assertIsNone(self.identity(token.value, "other"))
        self.assertIsNone(self.identity("0" * 64))
        self.clock.advance(100)
        self.assertIsNone(self.identity(token.value))
        self.assertEqual(self.identity(other.value), self.granted(other))
        self.successResultOf(self.store.revoke(self.store.tokens()))
        self.assertIsNone(self.identity(other.value))

    def test_in_use(self) -> None:
        """A token in use can be proven past its expiry."""
        token = self.issued("show", 100)
        self.store.in_use("show", self.granted(token), None)
        self.clock.advance(200)
        self.assertIsNotNone(self.identity(token.value))

    def test_sent_token_wins(self) -> None:
        """Who sends a token and proves another has what was sent."""
        token, other = self.issued(), self.issued()
        sent = {"token": other.value}
        self.assertEqual(self.identity(token.value, credentials=sent), self.granted(other))
        self.assertIsNone(self.identity(token.value, credentials={"token": "bad"}))

    def test_denied(self) -> None:
        """Who proves nothing of use is told that it is the password."""
        self.issued()
        asked = replace(request("show", {}), proves=lambda known: False)
        error = self.failureResultOf(self.store.authorize(asked), AccessDenied).value
        self.assertEqual((error.refusal, error.reason), (Refusal.DENIED, "wrong_token"))
        self.assertIn("the password is no publish token", error.description)

    def test_every_token_is_compared(self) -> None:
        """The comparison goes on after a hit, up to a number of tokens of the key."""
        self.store = self.opened(max_tokens=MAX_COMPARED + 10)
        self.store.secret = self.secret()
        tokens = [self.issued() for _ in range(MAX_COMPARED + 1)]
        self.issued("other")
        for answer in (False, True):
            compared: list[str] = []

            def proves(known: str, answer: bool = answer, seen: list[str] = compared) -> bool:
                seen.append(known)
                return answer

            identity = self.store.identify(replace(request("show", {}), proves=proves))
            self.assertIs(identity is not None, answer)
            self.assertEqual(compared, [token.value for token in tokens[1:]])

    def test_file_alone_is_worthless(self) -> None:
        """The file of tokens holds no token, nor the secret that makes them."""
        token = self.issued()
        secret = self.successResultOf(self.storage.get(TOKEN_SECRET_PATH)).decode()
        digits = json.loads(secret)["state"]["secret"]
        self.assertNotIn(token.value, self.stored() + secret)
        self.assertNotIn(digits, self.stored())
        stolen, self.storage = self.stored(), MemoryStorage(self.clock)
        body = (stolen.encode(),)
        self.successResultOf(self.storage.put(TOKENS_PATH, body, "", NO_CACHE))
        self.store = self.opened()
        self.store.secret = self.secret()
        self.granted(token)
        self.assertIsNone(self.identity(token.value), "another secret makes other tokens")

    def test_restart(self) -> None:
        """A token can be proven after a restart."""
        token = self.issued()
        self.store = self.opened()
        self.store.secret = self.secret()
        self.assertEqual(self.identity(token.value), self.granted(token))

    def test_switched_off(self) -> None:
        """Tokens issued without a secret are random and leave nothing to make them of."""
        derived = self.issued()
        self.store.secret = None
        token = self.issued("random")
        self.assertIsNone(self.identity(derived.value))
        self.store.secret = self.secret()
        self.assertIsNone(self.identity(token.value, "random"))
        self.assertIsNotNone(self.identity(derived.value))
        [record] = json.loads(self.stored())["state"]["random"]
        self.assertNotIn("seed", record)

    def test_other_versions(self) -> None:
        """Tokens of a version that kept no seed are good where they are sent.

        So are those that such a version has stored anew: it reads this file and leaves out what
        it does not know.
        """
        token = self.issued()
        text = self.stored()
        seed = json.loads(text)["state"]["show"][0]["seed"]
        self.assertRegex(seed, r"\A[0-9a-f]{32}\Z")
        for seeds in ({}, {"seed": 7}, {"seed": seed[1:]}, {"seed": f"{seed}0"}):
            with self.subTest(seeds=seeds):
                document = json.loads(text)
                self.assertEqual(document["schema"], 1)
                [record] = document["state"]["show"]
                del record["seed"]
                record.update(seeds)
                body = (json.dumps(document).encode(),)
                self.successResultOf(self.storage.put(TOKENS_PATH, body, "", NO_CACHE))
                self.store = self.opened()
                self.store.secret = self.secret()
                self.granted(token)
                self.assertIsNone(self.identity(token.value))


class InUseTests(TokenCase):
    def test_outlives_expiry(self) -> None:
        """A token in use is good past its expiry, then until the time that is told."""
        token = self.issued("show", 100)
        identity = self.granted(token)
        self.store.in_use("show", identity, None)
        self.clock.advance(DAY)
        self.assertEqual(self.granted(token), identity)
        self.store.in_use("show", identity, NOW + DAY + 60)
        self.clock.advance(59)
        self.granted(token)
        self.clock.advance(1)
        self.assert_denied({"token": token.value})

    def test_never_shortens(self) -> None:
        """A use that ends before the expiry takes nothing away."""
        token = self.issued("show", 100)
        identity = self.granted(token)
        self.store.in_use("show", identity, None)
        self.store.in_use("show", identity, NOW + 1)
        self.clock.advance(99)
        self.granted(token)

    def test_not_purged(self) -> None:
        """A token in use is not forgotten when it has expired."""
        token = self.issued("show", 5)
        self.store.in_use("show", self.granted(token), None)
        self.clock.advance(PURGE_INTERVAL)
        self.issued("other")
        self.granted(token)

    def test_alone(self) -> None:
        """Another token of the same key, or a strange identity, gains nothing."""
        used, other = self.issued("show", 5), self.issued("show", 5)
        self.store.in_use("show", self.granted(used), None)
        self.store.in_use("show", "", None)
        self.store.in_use("elsewhere", self.granted(other), None)
        self.clock.advance(5)
        self.granted(used)
        self.assert_denied({"token": other.value})

    def test_not_stored(self) -> None:
        """When the use cannot be stored a warning is logged, without a secret, and all goes on."""
        token = self.issued()
        self.successResultOf(self.storage.close())
        with capturedLogs() as events:
            self.store.in_use("show", self.granted(token), None)
        [event] = events
        self.assertIn("closed", event["reason"])
        self.assertNotIn(token.value, str(event))
        self.granted(token)


class RestartTests(TokenCase):
    def test_survive(self) -> None:
        """Tokens are good after a restart, until the same expiry."""
        token = self.issued("show", 100)
        identity = self.granted(token)
        self.store = self.opened()
        self.assertEqual(self.granted(token), identity)
        self.clock.advance(100)
        self.assert_denied({"token": token.value})

    def test_expired_meanwhile(self) -> None:
        """Tokens that expired while the server was down are gone, and count no more."""
        token = self.issued("show", 100)
        self.clock.advance(100)
        self.store = self.opened(max_tokens=1)
        self.assert_denied({"token": token.value})
        self.issued()

    def test_in_use_when_killed(self) -> None:
        """A token that was publishing when the process died is good for the grace."""
        token = self.issued("show", 100)
        self.store.in_use("show", self.granted(token), None)
        self.clock.advance(DAY)
        self.store = self.opened()
        self.clock.advance(59)
        self.granted(token)
        self.clock.advance(1)
        self.assert_denied({"token": token.value})

    def test_in_grace_when_stopped(self) -> None:
        """A grace that had begun goes on, and is not begun anew."""
        token = self.issued("show", 100)
        identity = self.granted(token)
        self.clock.advance(200)
        self.store.in_use("show", identity, NOW + 230)
        self.clock.advance(20)
        self.store = self.opened()
        self.granted(token)
        self.clock.advance(10)
        self.assert_denied({"token": token.value})

    def test_close(self) -> None:
        """close() fires when the last change is stored."""
        token = self.issued("show", 100)
        saved = self.stored()
        self.storage = slow = SlowStorage()
        put = MemoryStorage.put(slow, TOKENS_PATH, (saved.encode(),), "", NO_CACHE)
        self.successResultOf(put)
        self.store = self.opened()
        self.store.in_use("show", self.granted(token), None)
        self.store.in_use("show", self.granted(token), NOW + 500)
        closed: Deferred[None] = self.store.close()
        slow.finish()
        self.assertNoResult(closed)
        self.assertIn(str(NOW + 500), str(slow.finish()))
        self.successResultOf(closed)

    def test_broken_file(self) -> None:
        """A file that holds anything but tokens is a clear error, and is kept."""
        good = {"hash": "0" * 64, "expires_at": 1.5, "publishing": False, "in_use_until": 0}
        broken: list[object] = [
            None,
            {},
            [None],
            [{}],
            [{**good, "hash": "0" * 63}],
            [{**good, "hash": 0}],
            [{**good, "expires_at": "1"}],
            [{**good, "publishing": 1}],
            [{**good, "in_use_until": None}],
            [{**good, "expires_at": float("nan")}],
            [{**good, "expires_at": float("inf")}],
            [{**good, "in_use_until": 10**400}],
            [{**good, "in_use_until": -1}],
            [good, 7],
        ]
        for stored in broken:
            with self.subTest(stored=stored):
                body = json.dumps({"schema": 1, "state": {"show": stored}}).encode()
                self.successResultOf(self.storage.put(TOKENS_PATH, (body,), "", NO_CACHE))
                store = TokenStore(self.storage, self.clock, HOUR, DAY, 60.0)
                failure = self.failureResultOf(store.load(), StateError)
                self.assertIn(TOKENS_PATH, failure.getErrorMessage())
                self.assertEqual(self.stored().encode(), body)

    def test_endless_time(self) -> None:
        """A number that JSON reads as infinity is no time either."""
        token = b'{"hash":"%b","expires_at":1e999,"publishing":false,"in_use_until":0}'
        body = b'{"schema":1,"state":{"show":[' + token % (b"0" * 64) + b"]}}"
        self.successResultOf(self.storage.put(TOKENS_PATH, (body,), "", NO_CACHE))
        store = TokenStore(self.storage, self.clock, HOUR, DAY, 60.0)
        self.failureResultOf(store.load(), StateError)

    def test_newer_file(self) -> None:
        """A file of a newer version is a clear error."""
        body = b'{"schema":2,"state":{}}'
        self.successResultOf(self.storage.put(TOKENS_PATH, (body,), "", NO_CACHE))
        store = TokenStore(self.storage, self.clock, HOUR, DAY, 60.0)
        failure = self.failureResultOf(store.load(), StateError)
        self.assertIn("newer version", failure.getErrorMessage())


class RevokeTests(TokenCase):
    """What can be told of tokens, and how they are taken back."""

    def test_tokens(self) -> None:
        """Valid tokens are told, without their values; expired ones are not."""
        token = self.issued("show", 10)
        self.issued("other", 20)
        [told] = self.store.tokens("show")
        self.assertEqual((told.key, told.created_at, told.expires_at), ("show", NOW, NOW + 10))
        self.assertFalse(told.is_publishing)
        self.assertTrue(self.granted(token).startswith(told.id))
        self.assertEqual(len(told.id), 16)
        self.assertNotIn(told.identity, repr(told))
        self.assertEqual(len(self.store.tokens()), 2)
        self.assertEqual(self.store.find(told.id), told)
        self.clock.advance(11)
        self.assertEqual(self.store.tokens("show"), [])
        self.assertIsNone(self.store.find(told.id))
        self.assertEqual(len(self.store.tokens()), 1)

    def test_in_use(self) -> None:
        """Who publishes with a token is told, also past its expiry."""
        token = self.issued("show", 10)
        self.store.in_use("show", self.granted(token), None)
        self.clock.advance(11)
        [told] = self.store.tokens()
        self.assertTrue(told.is_publishing)

    def test_revoke(self) -> None:
        """A revoked token is worthless at once and after a restart; others are not."""
        token, other = self.issued("show"), self.issued("show")
        self.store.in_use("show", self.granted(token), None)
        told = [one for one in self.store.tokens() if one.is_publishing]
        self.assertIsNone(self.successResultOf(self.store.revoke(told)))
        self.assert_denied({"token": token.value})
        self.granted(other)
        self.assertEqual(self.store.count, 1)
        self.store = self.opened()
        self.assert_denied({"token": token.value})
        self.granted(other)

    def test_revoke_all(self) -> None:
        """The last token of a key leaves nothing behind; what is gone is no error."""
        for _ in range(3):
            self.issued("show")
        told = self.store.tokens("show")
        for _ in range(2):
            self.successResultOf(self.store.revoke(told))
            self.assertEqual(json.loads(self.stored())["state"], {})
            self.assertEqual(self.store.count, 0)

    def test_makes_room(self) -> None:
        """A revoked token makes room for another."""
        self.store = self.opened(max_tokens=1)
        self.issued("a")
        self.failureResultOf(self.store.issue("a"), TooManyTokens)
        self.successResultOf(self.store.revoke(self.store.tokens()))
        self.issued("b")

    def test_used_after(self) -> None:
        """A publisher that leaves after its token was revoked does not bring it back."""
        identity = self.granted(self.issued())
        self.successResultOf(self.store.revoke(self.store.tokens()))
        self.store.in_use("show", identity, NOW + 60)
        self.assertEqual(self.store.tokens(), [])

    def test_restart(self) -> None:
        """When a token was issued is known after a restart; of older files it is not."""
        self.issued("show")
        [told] = self.opened().tokens()
        self.assertEqual(told.created_at, NOW)
        for created_at in ("", '"created_at":"x",', '"created_at":-1,', '"created_at":1e300,'):
            text = self.stored().replace(f'"created_at":{NOW},', created_at)
            self.assertNotEqual(text, self.stored())
            storage, self.storage = self.storage, MemoryStorage(self.clock)
            body = (text.encode(),)
            self.successResultOf(self.storage.put(TOKENS_PATH, body, "", NO_CACHE))
            [told] = self.opened().tokens()
            self.assertIsNone(told.created_at)
            self.storage = storage

    def test_expirations_changed(self) -> None:
        """A reload changes the life of tokens that are issued from then on."""
        before = self.issued()
        self.store.default_expiration, self.store.max_expiration = 5.0, 50.0
        self.assertEqual(self.issued().expires_at, NOW + 5)
        self.assertEqual(self.issued("show", 100).expires_at, NOW + 50)
        self.assertEqual(before.expires_at, NOW + HOUR)
