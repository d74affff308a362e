"""``/metrics`` over HTTP."""

import gzip
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.web.http_site import HTTPSite
from rapidrtmp.web.metrics import MetricsResource
from rapidrtmp.web.request import Request
from tests.web.fakes import Connection, Response

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,*/*;q=0.1"
)
"""As Prometheus 3 asks."""


class MetricsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.registry = CollectorRegistry()
        Counter("wonders", "Things that happened.", registry=self.registry).inc(3)
        self.refusal: tuple[int, str, Mapping[bytes, bytes]] | None = None
        self.guarded: list[Request] = []
        resource = MetricsResource(self.registry, self.guard)
        self.site = HTTPSite(resource, Clock())

    def guard(self, request: Request) -> tuple[int, str, Mapping[bytes, bytes]] | None:
        self.guarded.append(request)
        return self.refusal

    def ask(self, method: str = "GET", **headers: str) -> Response:
        connection = Connection(self.site)
        lines = [(name.replace("_", "-"), value) for name, value in headers.items()]
        connection.request(method, "/metrics", lines)
        response = connection.response(method)
        self.assertEqual(connection.unread, b"")
        return response

    def test_text(self) -> None:
        """Plain askers get the Prometheus text format."""
        response = self.ask()
        self.assertEqual(response.code, 200)
        self.assertEqual(
            response.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8"
        )
        self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertNotIn("access-control-allow-origin", response.headers)
        (family, *_) = parse(response.body.decode())
        self.assertEqual((family.name, family.samples[0].value), ("wonders", 3))

    def test_openmetrics(self) -> None:
        """Prometheus gets what it asks for, compressed."""
        response = self.ask(Accept=PROMETHEUS, Accept_Encoding="gzip")
        self.assertEqual(response.headers["content-encoding"], "gzip")
        self.assertRegex(
            response.headers["content-type"], "^application/openmetrics-text; version=1.0.0"
        )
        text = gzip.decompress(response.body).decode()
        (family, *_) = parse_openmetrics(text)
        self.assertEqual((family.name, family.samples[0].value), ("wonders", 3))

    def test_odd_accept(self) -> None:
        """A header full of nonsense is answered, without its words."""
        for accept in (
            "application/openmetrics-text; version=x.y",
            "application/openmetrics-text; version=; escaping=evil",
            "text/plain; version=9.9.9; escaping=",
            ";;;,,,===",
        ):
            response = self.ask(Accept=accept)
            self.assertEqual(response.code, 200, accept)
            self.assertNotIn("evil", response.headers["content-type"])

    def test_methods(self) -> None:
        """HEAD has no body; what writes is refused."""
        response = self.ask("HEAD")
        self.assertEqual((response.code, response.body), (200, b""))
        for method in ("POST", "DELETE", "OPTIONS"):
            response = self.ask(method)
            self.assertEqual((response.code, response.headers["allow"]), (405, "GET, HEAD"))

    def test_guard(self) -> None:
        """Who is refused learns nothing but why."""
        self.refusal = 401, "an API key is needed", {b"WWW-Authenticate": b"Bearer"}
        for method in ("GET", "HEAD"):
            response = self.ask(method)
            self.assertEqual(response.code, 401)
            self.assertEqual(response.headers["www-authenticate"], "Bearer")
            self.assertNotIn(b"wonders", response.body)
        self.assertEqual(len(self.guarded), 2)

    def test_route(self) -> None:
        """A scrape is counted itself."""
        self.ask()
        self.assertEqual(self.site.counters.requests, {("GET", "/metrics", "2xx"): 1})

    def test_failure(self) -> None:
        """A counter that cannot be read is an error of the server, told as one."""

        class Broken:
            def collect(self) -> list[object]:
                raise ZeroDivisionError("secret")

        self.registry.register(Broken())  # type: ignore[arg-type]  # it is broken
        response = self.ask()
        self.assertEqual(
            (response.code, response.json()), (500, {"error": "internal server error"})
        )
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
