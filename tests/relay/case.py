"""A stream manager with relays to servers in memory."""

from collections.abc import Mapping
from typing import Any

from rapidrtmp.codecs.registry import REGISTRY
from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.protocol.redial import Redial
from rapidrtmp.relay.relays import Relay, Relays
from tests.relay.fakes import FarNet
from tests.stream.fakes import StreamCase

URL = "rtmp://far.example/app/their-key?auth=secret"


class RelayCase(StreamCase):
    """Relays that run."""

    def setUp(self) -> None:
        """Start them."""
        super().setUp()
        self.net = FarNet()
        self.told: list[tuple[str, Mapping[str, Any]]] = []
        self.relays = self.make_relays()
        self.successResultOf(self.relays.load())
        self.relays.start()

    def make_relays(self) -> Relays:
        """Make relays on the same state."""
        return Relays(
            self.manager,
            self.state,
            self.clock,
            self.net,
            lambda: Demuxer(REGISTRY),
            lambda key, details: self.told.append((key, details)),
        )

    def push(self, url: str = URL, key: str = "key") -> Relay:
        """Add a push."""
        return self.relays.add(key, "push", url)

    def states(self) -> list[str]:
        """The states that were told."""
        return [details["state"] for _, details in self.told]


def state(redial: Redial | Relay) -> str:
    """The state in one word."""
    return (redial.redial if isinstance(redial, Relay) else redial).state.value
