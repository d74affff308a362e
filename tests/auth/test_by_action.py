"""Tests of rapidrtmp.auth.by_action and of the door that is open to every viewer."""

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from rapidrtmp.auth.by_action import ByAction
from rapidrtmp.auth.open import AnyViewer
from rapidrtmp.interfaces import AccessRequest, Grant, IAuthenticator


@implementer(IAuthenticator)
class Named:
    """Grants by its own name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.used: list[tuple[str, str, float | None]] = []

    def authorize(self, request: AccessRequest) -> Deferred[Grant]:
        return succeed(Grant(self.name))

    def in_use(self, key: str, identity: str, until: float | None) -> None:
        self.used.append((key, identity, until))


class ByActionTests(SynchronousTestCase):
    def test_each_its_own(self) -> None:
        """Publishers and players are judged by their own; rights in use are publishers'."""
        publish, play = Named("publisher"), Named("player")
        both = ByAction(publish, play)
        self.assertTrue(verifyObject(IAuthenticator, both))
        for action, name in (("publish", "publisher"), ("play", "player")):
            request = AccessRequest(action, "k", "live", "192.0.2.1", "s")
            self.assertEqual(self.successResultOf(both.authorize(request)).identity, name)
        both.in_use("k", "i", 3.0)
        self.assertEqual((publish.used, play.used), ([("k", "i", 3.0)], []))

    def test_any_viewer(self) -> None:
        """The open door is open."""
        door = AnyViewer()
        self.assertTrue(verifyObject(IAuthenticator, door))
        request = AccessRequest("play", "k", "live", "192.0.2.1", "s")
        self.assertEqual(self.successResultOf(door.authorize(request)).identity, "")
        door.in_use("k", "", None)
