"""Doors without a lock: publishing with ``AUTH_REQUIRED=false``, and playing as a rule."""

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from rapidrtmp.auth.tokens import TokenStore
from rapidrtmp.interfaces import AccessRequest, Grant, IAuthenticator


@implementer(IAuthenticator)
class OpenAuthenticator:
    """Lets everybody publish every key.

    A valid token is still proof of being the same publisher, who may take over from himself;
    an invalid one is as good as none.
    """

    def __init__(self, tokens: TokenStore) -> None:
        """Open the door.

        Args:
            tokens: the tokens that were issued.
        """
        self._tokens = tokens

    def authorize(self, request: AccessRequest) -> Deferred[Grant]:
        """Always fire with a Grant. Its identity is '' without a valid token."""
        return succeed(Grant(self._tokens.identify(request) or ""))

    def in_use(self, key: str, identity: str, until: float | None) -> None:
        """See `IAuthenticator.in_use`."""
        self._tokens.in_use(key, identity, until)


@implementer(IAuthenticator)
class AnyViewer:
    """Lets everybody play every stream."""

    def authorize(self, request: AccessRequest) -> Deferred[Grant]:
        """Always fire with a Grant without identity."""
        return succeed(Grant(""))

    def in_use(self, key: str, identity: str, until: float | None) -> None:
        """Nothing is in use: see `IAuthenticator.in_use`."""
