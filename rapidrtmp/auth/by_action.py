"""One authenticator for publishers and one for players, behind one door."""

from twisted.internet.defer import Deferred
from zope.interface import implementer

from rapidrtmp.interfaces import AccessRequest, Grant, IAuthenticator


@implementer(IAuthenticator)
class ByAction:
    """Asks the authenticator of a request's action."""

    def __init__(self, publish: IAuthenticator, play: IAuthenticator) -> None:
        """Make one.

        Args:
            publish: decides who may publish.
            play: decides who may play.
        """
        self._publish = publish
        self._play = play

    def authorize(self, request: AccessRequest) -> Deferred[Grant]:
        """See `IAuthenticator.authorize`."""
        authenticator = self._publish if request.action == "publish" else self._play
        return authenticator.authorize(request)

    def in_use(self, key: str, identity: str, until: float | None) -> None:
        """See `IAuthenticator.in_use`: rights that are in use are publishers'."""
        self._publish.in_use(key, identity, until)
