"""The server's own right, which nobody else has."""

from dataclasses import asdict

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.auth.internal import InternalAuthenticator, InternalRequest
from rapidrtmp.interfaces import AccessDenied, AccessRequest
from tests.stream.fakes import FakeAuthenticator

REQUEST = InternalRequest(
    "publish", "key", "app", "192.0.2.1", "s", {"token": "bad"}, identity="relay:1"
)


class InternalTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Stand before somebody who refuses."""
        self.others = FakeAuthenticator()
        self.authenticator = InternalAuthenticator(self.others)

    def test_own(self) -> None:
        """The server's own request is granted with its identity."""
        grant = self.successResultOf(self.authenticator.authorize(REQUEST))
        self.assertEqual(grant.identity, "relay:1")

    def test_others(self) -> None:
        """The same words of somebody else are decided on by the other."""
        fields = asdict(REQUEST)
        fields["credentials"] = {**fields["credentials"], "identity": fields.pop("identity")}
        denied = self.authenticator.authorize(AccessRequest(**fields))
        self.failureResultOf(denied, AccessDenied)

    def test_in_use(self) -> None:
        """Who is in use is told on."""
        self.authenticator.in_use("key", "relay:1", None)
        self.assertEqual(self.others.calls, [("key", "relay:1", None)])
