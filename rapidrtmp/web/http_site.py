"""The listener's side of HTTP: makes connections, limits their number, counts requests."""

# Twisted's methods carry no annotations yet.
# mypy: allow-untyped-calls

from collections.abc import Sequence
from typing import Any, cast

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.web import http, server
from twisted.web.resource import IResource

from rapidrtmp.address import plain_address
from rapidrtmp.rate_limit import network
from rapidrtmp.web.channel import Channel
from rapidrtmp.web.counters import HTTPCounters
from rapidrtmp.web.forwarded import Network, is_trusted
from rapidrtmp.web.representation import SliceProducer
from rapidrtmp.web.request import Request

IDLE_TIMEOUT = 60.0
"""Seconds that a connection may be idle, or take to send one request."""

MAX_REFUSED = 100
"""Connections over the limits that are told so; further ones are closed without a word."""


class HTTPSite(server.Site):
    """HTTP over our own connections and requests.

    Its limits may be changed at any time; they hold for new connections.
    """

    # HTTPFactory's annotation knows its own protocol alone
    protocol = Channel  # type: ignore[assignment]
    requestFactory = Request
    noisy = False

    def __init__(
        self,
        resource: IResource,
        reactor: IReactorTime,
        *,
        counters: HTTPCounters | None = None,
        trusted: Sequence[Network] = (),
        max_connections: int = 10_000,
        max_connections_per_ip: int = 1000,
    ) -> None:
        """Make a site.

        Args:
            resource: the root of the tree.
            reactor: gives timeouts.
            counters: count what happens.
            trusted: networks of proxies whose X-Forwarded-For is believed.
            max_connections: open at once; 0 is no limit.
            max_connections_per_ip: of one address (IPv6: of one /64), unless it is a trusted
                proxy's; 0 is no limit.
        """
        super().__init__(
            resource, reactor=reactor, timeout=IDLE_TIMEOUT, parsePOSTFormSubmission=False
        )
        self.counters = counters or HTTPCounters()
        self.trusted = tuple(trusted)
        self.max_connections = max_connections
        self.max_connections_per_ip = max_connections_per_ip
        self.connections = 0
        """Open ones that are within the limits."""
        self.sending: set[SliceProducer] = set()
        """Large responses under way."""
        self._refused = 0
        self._places: dict[str, int] = {}

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make a connection, or none at all when far too many are open."""
        counters = self.counters
        counters.connections_total += 1
        address = plain_address(getattr(addr, "host", ""))
        is_proxy = bool(self.trusted) and is_trusted(address, self.trusted)
        place = "" if is_proxy else network(address)
        crowd = self._crowd(place)
        if crowd:
            counters.refused_connections += 1
            if self._refused >= MAX_REFUSED:
                return None
            self._refused += 1
        else:
            self.connections += 1
            if place:
                self._places[place] = self._places.get(place, 0) + 1
        channel = cast(Channel, super().buildProtocol(addr))
        channel.address = address
        channel.crowd = crowd
        channel.place = place
        channel.is_counted = True
        if is_proxy:
            channel.trusted = self.trusted
        return channel

    def _crowd(self, place: str) -> str:
        """Tell why one more connection would be too many, or return an empty text."""
        if 0 < self.max_connections <= self.connections:
            return "the server has too many connections, try again soon"
        if place and 0 < self.max_connections_per_ip <= self._places.get(place, 0):
            return "your address has too many connections, close some"
        return ""

    def disconnected(self, channel: Channel) -> None:
        """Count a connection out."""
        if channel.crowd:
            self._refused -= 1
            return
        self.connections -= 1
        place = channel.place
        if place:
            self._places[place] -= 1
            if not self._places[place]:
                del self._places[place]

    def count(self, request: Request, code: int) -> None:
        """Count a request that is over, by the status code that stands for its end."""
        assert request.started is not None
        counters = self.counters
        seconds = counters.monotonic() - request.started
        request.started = None
        counters.count(request.method, request.route, code, seconds, request.sentLength)

    def log(self, request: http.Request) -> None:
        """Count an answered request. No access log is written.

        Addresses may hold secrets, and lines cost more than answers.
        """
        if isinstance(request, Request) and request.started is not None:
            self.count(request, request.code)
