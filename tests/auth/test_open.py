"""Tests of rapidrtmp.auth.open."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp.auth.open import OpenAuthenticator
from rapidrtmp.auth.tokens import TokenStore
from rapidrtmp.interfaces import Grant, IAuthenticator
from rapidrtmp.storage.memory import MemoryStorage
from tests.auth.test_tokens import request


class OpenAuthenticatorTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Open the door."""
        self.clock = Clock()
        self.tokens = TokenStore(MemoryStorage(self.clock), self.clock, 3600, 86400, 60.0)
        self.successResultOf(self.tokens.load())
        self.authenticator = OpenAuthenticator(self.tokens)

    def identity(self, key: str, **credentials: str) -> str:
        """Whom a request comes from."""
        grant = self.successResultOf(self.authenticator.authorize(request(key, credentials)))
        assert isinstance(grant, Grant)
        return grant.identity

    def test_interface(self) -> None:
        """It provides IAuthenticator."""
        self.assertTrue(verifyObject(IAuthenticator, self.authenticator))

    def test_everybody(self) -> None:
        """Without a token, or with a bad one, everybody is the same nobody."""
        token = self.successResultOf(self.tokens.issue("show"))
        self.assertEqual(self.identity("show"), "")
        self.assertEqual(self.identity("show", token="bad"), "")
        self.assertEqual(self.identity("other", token=token.value), "")

    def test_token(self) -> None:
        """A valid token proves who it is, and outlives its expiry while in use."""
        token = self.successResultOf(self.tokens.issue("show", 5))
        identity = self.identity("show", token=token.value)
        self.assertEqual(len(identity), 64)
        self.authenticator.in_use("show", identity, None)
        self.clock.advance(10)
        self.assertEqual(self.identity("show", token=token.value), identity)
        self.authenticator.in_use("show", identity, 15.0)
        self.clock.advance(5)
        self.assertEqual(self.identity("show", token=token.value), "")
