"""What an HTTP site counts, whom it limits, and who its clients are."""

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from rapidrtmp.web.channel import CROWD_RETRY_AFTER, REFUSAL_LINGER
from rapidrtmp.web.counters import HTTPCounters
from rapidrtmp.web.http_site import MAX_REFUSED, HTTPSite
from rapidrtmp.web.request import MAX_BODY, Request
from tests.web.fakes import Connection, FakeManager, site_for

PROXY = "192.0.2.10"


class Page(Resource):
    """Answers with what it is told to do, and remembers the requests."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self.addresses: list[str] = []
        self.answer: Callable[[Request], bytes | int] = lambda _: b"12345"

    def render(self, request: Request) -> bytes | int:
        """Answer as told."""
        self.requests.append(request)
        self.addresses.append(request.address)
        if request.path == b"/page":
            request.route = "/page"
        return self.answer(request)


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.page = Page()
        self.site = self.make_site()

    def make_site(self, **settings: Any) -> HTTPSite:
        counters = HTTPCounters(self.clock.seconds)
        return HTTPSite(self.page, self.clock, counters=counters, **settings)


class CounterTests(Case):
    def test_requests(self) -> None:
        """Requests are counted by method, route and kind of status, and timed by route."""
        connection = Connection(self.site)
        for method in ("GET", "GET", "HEAD", "POST", "BREW"):
            connection.request(method, "/page")
            self.assertEqual(connection.response(method).code, 200)
        connection.request("GET", "/else")

        def fail(request: Request) -> bytes:
            request.setResponseCode(503)
            return b""

        self.page.answer = fail
        connection.request("GET", "/page")
        counters = self.site.counters
        self.assertEqual(
            counters.requests,
            {
                ("GET", "/page", "2xx"): 2,
                ("HEAD", "/page", "2xx"): 1,
                ("POST", "/page", "2xx"): 1,
                ("OTHER", "/page", "2xx"): 1,
                ("GET", "unknown", "2xx"): 1,
                ("GET", "/page", "5xx"): 1,
            },
        )
        self.assertEqual(counters.durations["GET", "/page"].count, 3)
        self.assertEqual(counters.bytes_sent, 25)  # none of the HEAD
        self.assertEqual(counters.connections_total, 1)

    def test_duration(self) -> None:
        """A request lasts until the end of its answer, and is counted once."""
        self.page.answer = lambda _: NOT_DONE_YET
        connection = Connection(self.site)
        connection.request("GET", "/page")
        self.clock.advance(3)
        self.assertEqual(self.site.counters.requests, {})
        self.page.requests[0].end(b"late")
        connection.lose()
        self.assertEqual(self.site.counters.requests, {("GET", "/page", "2xx"): 1})
        self.assertEqual(self.site.counters.durations["GET", "/page"].sum, 3)

    def test_client_leaves(self) -> None:
        """A client that does not wait for the answer counts as its own fault."""
        self.page.answer = lambda _: NOT_DONE_YET
        connection = Connection(self.site)
        connection.request("GET", "/page")
        self.clock.advance(2)
        connection.lose()
        self.assertEqual(self.site.counters.requests, {("GET", "/page", "4xx"): 1})
        self.assertEqual(self.site.counters.durations["GET", "/page"].sum, 2)

    def test_client_leaves_midway(self) -> None:
        """A client that takes part of an answer counts by the answer, and by its part."""

        def begin(request: Request) -> int:
            request.write(b"123")
            return NOT_DONE_YET

        self.page.answer = begin
        connection = Connection(self.site)
        connection.request("GET", "/page")
        connection.lose()
        self.assertEqual(self.site.counters.requests, {("GET", "/page", "2xx"): 1})
        self.assertEqual(self.site.counters.bytes_sent, 3)

    def test_broken(self) -> None:
        """What never becomes a request is counted without a name of its own."""
        for data in (
            b"nonsense\r\n",
            b"GET /page HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1),
        ):
            Connection(self.site).send(data)
        self.assertEqual(self.site.counters.requests, {("OTHER", "unknown", "4xx"): 2})

    def test_half_a_request(self) -> None:
        """A client that leaves before its request is whole is none."""
        connection = Connection(self.site)
        connection.send(b"GET /page HTTP/1.1\r\nHost")
        connection.lose()
        self.assertEqual(self.site.counters.requests, {})

    def test_crash(self) -> None:
        """An unexpected error is counted as one."""

        def crash(_: Request) -> bytes:
            raise ZeroDivisionError

        self.page.answer = crash
        Connection(self.site).request("GET", "/page")
        self.assertEqual(self.site.counters.requests, {("GET", "/page", "5xx"): 1})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_routes(self) -> None:
        """The pages around the API are counted by what they are, not by their address."""
        tree = site_for(FakeManager(), self.clock, checks={"a": lambda: "ok"}).resource
        site = HTTPSite(tree, self.clock)
        for path in (
            "/",
            "/player/k1",
            "/player/k2",
            "/static/player.js",
            "/static/absent",
            "/streams.json",
            "/health",
            "/ready",
            "/absent",
        ):
            Connection(site).request("GET", path)
        self.assertEqual(
            site.counters.requests,
            {
                ("GET", "/", "2xx"): 1,
                ("GET", "/player/:streamKey", "2xx"): 2,
                ("GET", "/static/*", "2xx"): 1,
                ("GET", "/static/*", "4xx"): 1,
                ("GET", "/streams.json", "2xx"): 1,
                ("GET", "/health", "2xx"): 1,
                ("GET", "/ready", "2xx"): 1,
                ("GET", "unknown", "4xx"): 1,
            },
        )


class LimitTests(Case):
    def assert_refused(self, connection: Connection, words: str) -> None:
        self.assertEqual(connection.unread, b"")  # not before it is asked
        connection.request("GET", "/page")
        response = connection.response()
        self.assertEqual(response.code, 503)
        self.assertEqual(response.headers["retry-after"], str(CROWD_RETRY_AFTER))
        self.assertEqual(response.headers["connection"], "close")
        self.assertIn(words, response.json()["error"])
        connection.request("GET", "/page")
        self.assertEqual(connection.unread, b"")
        self.assertFalse(connection.transport.disconnecting)
        self.clock.advance(REFUSAL_LINGER)
        self.assertTrue(connection.transport.disconnecting)
        connection.lose()

    def test_total(self) -> None:
        """Connections over the limit are told so; a place that becomes free is given again."""
        self.site = self.make_site(max_connections=2)
        first, _ = (Connection(self.site, f"192.0.2.{n}") for n in (1, 2))
        self.assert_refused(Connection(self.site, "192.0.2.3"), "the server has too many")
        self.assertEqual(self.site.connections, 2)
        first.lose()
        welcome = Connection(self.site, "192.0.2.3")
        welcome.request("GET", "/page")
        self.assertEqual(welcome.response().code, 200)
        self.assertEqual(self.site.counters.refused_connections, 1)
        self.assertEqual(self.site.counters.connections_total, 4)

    def test_per_address(self) -> None:
        """One address cannot take all places: an IPv4 one, or the /64 of an IPv6 one."""
        self.site = self.make_site(max_connections_per_ip=1)
        for first, second, other in (
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
            ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"),
        ):
            connections = [Connection(self.site, address) for address in (first, other)]
            self.assert_refused(Connection(self.site, second), "your address has too many")
            connections[0].lose()
            connections.append(Connection(self.site, second))
            for connection in connections[1:]:
                connection.request("GET", "/page")
                self.assertEqual(connection.response().code, 200)
                connection.lose()
        self.assertEqual((self.site.connections, self.site._places), (0, {}))

    def test_proxy(self) -> None:
        """The limit of an address does not hold for a trusted proxy, the other one does."""
        self.site = self.make_site(
            max_connections=3, max_connections_per_ip=1, trusted=[ip_network(PROXY)]
        )
        for _ in range(3):
            connection = Connection(self.site, PROXY)
            connection.request("GET", "/page")
            self.assertEqual(connection.response().code, 200)
        self.assert_refused(Connection(self.site, PROXY), "the server has too many")

    def test_far_above(self) -> None:
        """When very many come at once, the rest is closed without a word."""
        self.site = self.make_site(max_connections=1)
        kept = [Connection(self.site) for _ in range(1 + MAX_REFUSED)]
        self.assertIsNone(self.site.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1)))
        kept[1].lose()
        self.assertIsNotNone(self.site.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1)))
        self.assertEqual(self.site.connections, 1)

    def test_silent(self) -> None:
        """A refused connection that says nothing is closed as soon as the others."""
        self.site = self.make_site(max_connections=1)
        Connection(self.site)
        refused = Connection(self.site)
        self.clock.advance(REFUSAL_LINGER)
        self.assertEqual(refused.unread, b"")
        self.assertTrue(refused.transport.disconnecting)

    def test_no_limit(self) -> None:
        """0 is no limit, and limits can be changed while the server runs."""
        self.site = self.make_site(max_connections=0, max_connections_per_ip=0)
        connections = [Connection(self.site) for _ in range(20)]
        self.site.max_connections = 20
        self.assert_refused(Connection(self.site), "the server has too many")
        for connection in connections:
            connection.request("GET", "/page")
            self.assertEqual(connection.response().code, 200)


class AddressTests(Case):
    def ask(self, peer: str, *headers: tuple[str, str]) -> str:
        Connection(self.site, peer).request("GET", "/page", headers)
        return self.page.addresses[-1]

    def test_untrusted(self) -> None:
        """Nobody but a trusted proxy says who a client is (B28)."""
        spoofed = ("X-Forwarded-For", "203.0.113.5")
        self.assertEqual(self.ask("192.0.2.1", spoofed), "192.0.2.1")
        self.site = self.make_site(trusted=[ip_network(PROXY)])
        self.assertEqual(self.ask("192.0.2.1", spoofed, ("Forwarded", "for=::1")), "192.0.2.1")

    def test_trusted(self) -> None:
        """A trusted proxy does, for each request of its connection anew."""
        self.site = self.make_site(trusted=[ip_network(PROXY), ip_network("2001:db8::/32")])
        for peer in (PROXY, f"::ffff:{PROXY}", "2001:db8::1"):
            connection = Connection(self.site, peer)
            for client in ("203.0.113.5", "203.0.113.6"):
                connection.request("GET", "/page", [("X-Forwarded-For", client)])
                self.assertEqual(self.page.addresses[-1], client)
            connection.request("GET", "/page")
            self.assertEqual(self.page.addresses[-1], peer.removeprefix("::ffff:"))

    def test_after_the_end(self) -> None:
        """The address is still known when the client has left."""
        self.page.answer = lambda _: NOT_DONE_YET
        connection = Connection(self.site, "::ffff:192.0.2.7")
        connection.request("GET", "/page")
        connection.lose()
        self.assertEqual(self.page.requests[0].address, "192.0.2.7")

    def test_no_address(self) -> None:
        """A connection without an address is counted, too."""
        self.assertIsNotNone(self.site.buildProtocol(None))
        self.assertIsNotNone(self.site.buildProtocol(IPv6Address("TCP", "::1", 1)))
        self.assertEqual(self.site.connections, 2)
