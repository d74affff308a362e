"""The metrics of relays."""

from dataclasses import replace

from rapidrtmp.codecs.registry import REGISTRY
from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.relay.relays import Relays
from tests.observability.fakes import MetricsCase
from tests.relay.fakes import FarNet


class RelayMetricsTests(MetricsCase):
    def test_none(self) -> None:
        """Without relays' counters there are no series."""
        self.assertIsNone(self.value("rapidrtmp_relay_frames_dropped_total"))

    def test_counted(self) -> None:
        """States, failures, bytes: those of removed relays stay counted."""
        net = FarNet()
        relays = Relays(self.manager, self.state, self.clock, net, lambda: Demuxer(REGISTRY))
        self.sources = replace(self.sources, relays=relays)
        self.registry = self.make_registry()
        self.successResultOf(relays.load())
        relays.start()
        relay = relays.add("key", "push", "rtmp://far.example/app/their-key")
        idle = {"direction": "push", "state": "idle"}
        self.assertEqual(self.value("rapidrtmp_relays", **idle), 1)
        self.assertEqual(self.value("rapidrtmp_relays", direction="pull", state="live"), 0)
        encoder = self.encoder()
        encoder.run(3.0)
        net.run()
        encoder.run(1.0)
        net.server.lose()
        sent = self.value("rapidrtmp_relay_bytes_total", direction="push")
        assert sent is not None
        self.assertGreater(sent, 0)
        relays.remove(relay)
        self.assertEqual(self.value("rapidrtmp_relays", **idle), 0)
        self.assertEqual(self.value("rapidrtmp_relay_bytes_total", direction="push"), sent)
        self.assertEqual(self.value("rapidrtmp_relay_retries_total", direction="push"), 1)
        self.assertEqual(self.value("rapidrtmp_relay_frames_dropped_total"), 0)
