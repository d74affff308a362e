"""The metrics of listeners: TLS, and what load balancers say."""

from rapidrtmp.observability.row import Row, labelled, single
from rapidrtmp.observability.snapshot import Snapshot
from rapidrtmp.observability.sources import ListenerCounters


def _listeners(snapshot: Snapshot) -> ListenerCounters | None:
    listeners = snapshot.sources.listeners
    return None if listeners is None else listeners()


LISTENERS = (
    Row(
        "rapidrtmp_tls_handshakes_total",
        "counter",
        lambda s: found.tls_handshakes.items() if (found := _listeners(s)) else (),
        "TLS handshakes that are over: `ok`, or why they failed; clients that left meanwhile "
        "do not count",
        ("protocol", "outcome"),
    ),
    Row(
        "rapidrtmp_tls_certificate_expiry_timestamp_seconds",
        "gauge",
        single(lambda s: found.certificate_expiry if (found := _listeners(s)) else None),
        "Unix time at which the certificate in use stops to be valid; absent without one",
    ),
    Row(
        "rapidrtmp_proxy_protocol_refusals_total",
        "counter",
        labelled(lambda s: found.proxy_refused if (found := _listeners(s)) else None),
        "Connections of load balancers (PROXY_PROTOCOL) that were closed for want of a header",
        ("reason",),
    ),
)
