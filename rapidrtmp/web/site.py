"""The tree of everything that is answered over HTTP."""

# Twisted's methods carry no annotations yet.
# mypy: allow-untyped-calls

from collections.abc import Mapping

from twisted.internet.interfaces import IReactorTime
from twisted.web import http, server
from twisted.web.resource import Resource

from rapidrtmp.auth.tokens import TokenStore
from rapidrtmp.stream.manager import StreamManager
from rapidrtmp.web.api import API, APIResource
from rapidrtmp.web.health import Check, HealthResource, ReadyResource
from rapidrtmp.web.live import LiveResource
from rapidrtmp.web.player import FeedResource, PlayerResource, StaticResource, load_static
from rapidrtmp.web.request import Channel, Request
from rapidrtmp.web.responses import allow_any_origin, error_body

IDLE_TIMEOUT = 60.0
"""Seconds that a connection may be idle, or take to send one request."""


SINGLE = frozenset((b"health", b"ready", b"streams.json"))
"""Addresses with nothing below them."""


class NothingHere(Resource):
    """Answers every unknown address."""

    isLeaf = True

    def render(self, request: Request) -> bytes:
        """Answer 404."""
        allow_any_origin(request)
        return error_body(request, http.NOT_FOUND, "there is nothing at this address")


class Root(Resource):
    """Chooses by the first part of the address."""

    def __init__(self, tree: Mapping[bytes, Resource]) -> None:
        super().__init__()
        self._tree = tree
        self._nothing = NothingHere()

    def getChildWithDefault(  # noqa: N802  (Twisted's name)
        self, name: bytes, request: Request
    ) -> Resource:
        """Return what answers the request."""
        if name in SINGLE and any(request.postpath):
            return self._nothing
        return self._tree.get(name, self._nothing)


class Site(server.Site):
    """HTTP over our own connections and requests."""

    # HTTPFactory's annotation knows its own protocol alone
    protocol = Channel  # type: ignore[assignment]
    requestFactory = Request
    noisy = False

    def log(self, request: http.Request) -> None:
        """Write no access log: addresses may hold secrets, and lines cost more than answers."""


def make_site(
    *,
    manager: StreamManager,
    tokens: TokenStore,
    ready_checks: Mapping[str, Check],
    reactor: IReactorTime,
    ingest_address: str,
    public_stream_list: bool = True,
) -> Site:
    """Make the HTTP side of the server.

    Args:
        manager: has the streams.
        tokens: issues publish tokens.
        ready_checks: what ``/ready`` looks at: name to a function that returns 'ok' or what
            is wrong, or a Deferred of it.
        reactor: gives unix time and timeouts.
        ingest_address: the RTMP URL that encoders are told (RTMP_INGEST_ADDR).
        public_stream_list: whether anybody may list the live streams (PUBLIC_STREAM_LIST).
    """
    static = load_static()
    page = PlayerResource(static.pop("player.html").body, reactor)
    children: dict[bytes, Resource] = {
        b"": page,
        b"player": page,
        b"static": StaticResource(static, reactor),
        b"live": LiveResource(manager, reactor),
        b"api": APIResource(API(manager, tokens, reactor, ingest_address)),
        b"health": HealthResource(reactor),
        b"ready": ReadyResource(ready_checks, reactor),
    }
    if public_stream_list:
        children[b"streams.json"] = FeedResource(manager, reactor, ingest_address)
    return Site(
        Root(children), reactor=reactor, timeout=IDLE_TIMEOUT, parsePOSTFormSubmission=False
    )
