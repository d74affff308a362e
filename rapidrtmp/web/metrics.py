"""``/metrics``: everything that is counted, for Prometheus."""

# Twisted's request methods carry no annotations yet.
# mypy: allow-untyped-calls

import gzip
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from twisted.web.resource import Resource

from rapidrtmp.web.representation import accepts_gzip
from rapidrtmp.web.request import Request
from rapidrtmp.web.responses import error_body, not_allowed

Guard = Callable[[Request], "tuple[int, str, Mapping[bytes, bytes]] | None"]
"""Returns None when a request is allowed, else status code, plain words and headers."""

OPENMETRICS = "application/openmetrics-text"

GZIP_LEVEL = 1
"""Repeated names compress well; a higher level costs more time than it saves bytes."""


class MetricsResource(Resource):
    """Answers with the text of all metrics, in the Prometheus or the OpenMetrics format.

    The counters belong to the reactor's thread, so they are read in it.
    """

    isLeaf = True

    def __init__(self, registry: CollectorRegistry, guard: Guard | None = None) -> None:
        """Make the resource.

        Args:
            registry: collects what there is.
            guard: refuses who may not read it; None when anybody may (METRICS_AUTH).
        """
        super().__init__()
        self._registry = registry
        self._guard = guard

    def render(self, request: Request) -> bytes:
        """Answer a scrape."""
        request.route = "/metrics"
        if request.method not in (b"GET", b"HEAD"):
            return not_allowed(request, b"GET, HEAD")
        refusal = self._guard(request) if self._guard is not None else None
        if refusal is not None:
            code, words, extra = refusal
            return error_body(request, code, words, extra)
        # only what is asked for, never how: what the header says besides may be anything
        is_open = OPENMETRICS in (request.getHeader(b"Accept") or b"").decode("latin-1")
        encode, content_type = choose_encoder(f"{OPENMETRICS}; version=1.0.0" if is_open else "")
        body = encode(self._registry)
        if accepts_gzip((request.getHeader(b"Accept-Encoding") or b"").decode("latin-1")):
            body = gzip.compress(body, GZIP_LEVEL)
            request.setHeader(b"Content-Encoding", b"gzip")
        request.setHeader(b"Vary", b"Accept, Accept-Encoding")
        request.setHeader(b"Content-Type", content_type.encode("ascii"))
        request.setHeader(b"Content-Length", b"%d" % len(body))
        request.setHeader(b"Cache-Control", b"no-store")
        return body
