"""The metrics of listeners."""

from dataclasses import dataclass, field, replace

from tests.observability.fakes import MetricsCase


@dataclass
class FakeListeners:
    """Listeners that counted."""

    tls_handshakes: dict[tuple[str, str], int] = field(
        default_factory=lambda: {("rtmps", "ok"): 5, ("https", "timeout"): 2}
    )
    certificate_expiry: float | None = 1_800_000_000.0
    proxy_refused: dict[str, int] = field(default_factory=lambda: {"no_header": 3})


class ListenerMetricsTests(MetricsCase):
    def test_none(self) -> None:
        """What does not exist has no series."""
        for listeners in (None, lambda: FakeListeners({}, None, {})):
            self.sources = replace(self.sources, listeners=listeners)
            self.registry = self.make_registry()
            self.assertIsNone(self.value("rapidrtmp_tls_certificate_expiry_timestamp_seconds"))
            self.assertEqual(self.series(protocol="rtmps"), set())
            self.assertEqual(self.series(reason="no_header"), set())

    def test_counted(self) -> None:
        """Handshakes, the certificate and PROXY refusals, as they are at the scrape."""
        listeners = FakeListeners()
        self.sources = replace(self.sources, listeners=lambda: listeners)
        self.registry = self.make_registry()
        for name, labels, value in (
            ("rapidrtmp_tls_handshakes_total", {"protocol": "rtmps", "outcome": "ok"}, 5),
            ("rapidrtmp_tls_handshakes_total", {"protocol": "https", "outcome": "timeout"}, 2),
            ("rapidrtmp_tls_certificate_expiry_timestamp_seconds", {}, 1_800_000_000.0),
            ("rapidrtmp_proxy_protocol_refusals_total", {"reason": "no_header"}, 3),
        ):
            self.assertEqual(self.value(name, **labels), value)
        listeners.certificate_expiry = 1_900_000_000.0
        name = "rapidrtmp_tls_certificate_expiry_timestamp_seconds"
        self.assertEqual(self.value(name), 1_900_000_000.0)
