"""The right of the server itself: what it publishes on its own behalf needs no token."""

from dataclasses import dataclass, field

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from rapidrtmp.interfaces import AccessRequest, Grant, IAuthenticator


@dataclass(frozen=True, slots=True)
class InternalRequest(AccessRequest):
    """A request of the server's own code. None comes from the network: those have no identity."""

    identity: str = field(default="", repr=False)
    """Of the right: equal for the same holder."""


@implementer(IAuthenticator)
class InternalAuthenticator:
    """Grants what the server itself asks for, and asks another about everything else."""

    def __init__(self, others: IAuthenticator) -> None:
        self._others = others

    def authorize(self, request: AccessRequest) -> Deferred[Grant]:
        """Grant an `InternalRequest`; let the other decide on any other."""
        if isinstance(request, InternalRequest):
            return succeed(Grant(request.identity))
        granted: Deferred[Grant] = self._others.authorize(request)
        return granted

    def in_use(self, key: str, identity: str, until: float | None) -> None:
        """Tell the other: an identity that it does not know is nothing to it."""
        self._others.in_use(key, identity, until)
