"""WebSocket clients that send damaged frames: answered, closed, never a fault of ours."""

import random

from wsproto import ConnectionType, WSConnection
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Request, TextMessage

from tests.faults.test_fuzz import damaged
from tests.web.fakes import Connection
from tests.web.test_flv import FLVCase

FRAMES: tuple[Event, ...] = (
    Ping(b"hello"),
    TextMessage("text", message_finished=False),
    TextMessage("more"),
    BytesMessage(b"x" * 300),
    CloseConnection(1000, "bye"),
)


class WebSocketTests(FLVCase):
    def test_damaged(self) -> None:
        """Whatever follows the upgrade, the others play on and nothing is left behind."""
        source = random.Random(6455)
        encoder = self.encoder()
        encoder.run(1.0)
        other = self.get()
        client = WSConnection(ConnectionType.CLIENT)
        upgrade = client.send(Request(host="localhost", target="/live/key.flv?token=good"))
        probe = Connection(self.site)
        probe.send(upgrade)
        client.receive_data(probe.transport.value())
        sound = b"".join(client.send(frame) for frame in FRAMES)
        for octets in damaged(sound, source):
            connection = Connection(self.site)
            connection.send(upgrade)
            connection.send(octets)
            encoder.run(0.04)
            connection.protocol.connectionLost()
        self.assertEqual(self.fanouts.players_by_protocol["flv"], 2)
        before = len(other.transport.value())
        encoder.run(1.0)
        self.assertGreater(len(other.transport.value()), before)
        self.assertEqual(self.flushLoggedErrors(), [])
