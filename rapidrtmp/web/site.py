"""The tree of everything that is answered over HTTP."""

# Twisted's methods carry no annotations yet.
# mypy: allow-untyped-calls

from collections.abc import Callable, Collection, Mapping, Sequence

from prometheus_client import CollectorRegistry
from twisted.internet.interfaces import IReactorTime
from twisted.web import http
from twisted.web.resource import Resource

from rapidrtmp.auth.playback import PlaybackAuthenticator
from rapidrtmp.auth.session_ids import SessionSigner
from rapidrtmp.stream.manager import StreamManager
from rapidrtmp.web.api import API, APIResource
from rapidrtmp.web.flv import FLVPlays
from rapidrtmp.web.forwarded import Network
from rapidrtmp.web.health import Check, HealthResource, ReadyResource
from rapidrtmp.web.http_site import HTTPSite
from rapidrtmp.web.live import LiveResource
from rapidrtmp.web.metrics import Guard, MetricsResource
from rapidrtmp.web.player import (
    FeedResource,
    PageResource,
    StaticResource,
    load_static,
    take_pages,
)
from rapidrtmp.web.request import Request
from rapidrtmp.web.responses import allow_any_origin, error_body

SINGLE = frozenset((b"health", b"ready", b"metrics", b"streams.json"))
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


def make_site(
    *,
    manager: StreamManager,
    api: API,
    ready_checks: Mapping[str, Check],
    degradable: Collection[str],
    make_registry: Callable[[HTTPSite], CollectorRegistry],
    metrics_guard: Guard | None,
    reactor: IReactorTime,
    ingest_address: str,
    sessions: SessionSigner,
    playback: PlaybackAuthenticator | None = None,
    public_stream_list: bool = True,
    public_thumbnails: bool = False,
    media_origins: Sequence[str] = (),
    sees_diagnosis: Callable[[Request], bool],
    trusted: Sequence[Network] = (),
    max_connections: int = 10_000,
    max_connections_per_ip: int = 1000,
) -> HTTPSite:
    """Make the HTTP side of the server.

    Args:
        manager: has the streams.
        api: the management API.
        ready_checks: what ``/ready`` looks at: name to a function that returns 'ok' or what
            is wrong, or a Deferred of it.
        degradable: checks that are reported but do not make the server unready.
        make_registry: makes what ``/metrics`` shows, out of the site that is made here, too.
        metrics_guard: refuses who may not read the metrics; None when anybody may.
        reactor: gives unix time and timeouts.
        ingest_address: the RTMP URL that encoders are told (RTMP_INGEST_ADDR).
        sessions: signs the sessions of viewers.
        playback: knows the signed URLs; None when nobody needs one (PLAYBACK_AUTH).
        public_stream_list: whether anybody may list the live streams (PUBLIC_STREAM_LIST).
        public_thumbnails: whether there are thumbnails that anybody may see.
        media_origins: where playlists name media beside this server, as 'https://cdn.example.com'.
        sees_diagnosis: whether whoever asks for that list is told what is wrong with the
            encoders.
        trusted: networks of proxies whose X-Forwarded-For is believed (TRUSTED_PROXIES).
        max_connections: as `HTTPSite` takes it.
        max_connections_per_ip: as `HTTPSite` takes it.
    """
    static = load_static()
    pages = take_pages(static)
    tree: dict[bytes, Resource] = {
        b"": PageResource(pages["status.html"], reactor),
        b"player": PageResource(pages["player.html"], reactor, media_origins),
        b"static": StaticResource(static, reactor),
        b"live": LiveResource(
            manager, reactor, sessions, playback, FLVPlays(manager, playback).render
        ),
        b"api": APIResource(api),
        b"health": HealthResource(reactor),
        b"ready": ReadyResource(ready_checks, reactor, degradable),
    }
    if public_stream_list:
        tree[b"streams.json"] = FeedResource(
            manager, reactor, ingest_address, sees_diagnosis, has_thumbnails=public_thumbnails
        )
    site = HTTPSite(
        Root(tree),
        reactor,
        trusted=trusted,
        max_connections=max_connections,
        max_connections_per_ip=max_connections_per_ip,
    )
    tree[b"metrics"] = MetricsResource(make_registry(site), metrics_guard)
    return site
