"""An RTMP server with real streams, an encoder, and players that read what they are sent."""

from typing import Any, cast

from rapidrtmp.amf import amf0
from rapidrtmp.amf.values import Value
from rapidrtmp.interfaces import IOutputMaker
from rapidrtmp.protocol.connection import RTMPServerProtocol
from rapidrtmp.protocol.fanout import FanoutMaker, PlaySettings
from rapidrtmp.protocol.server import RTMPServerFactory
from rapidrtmp.rtmp.capabilities import MULTITRACK, RECONNECT, Capabilities
from tests.protocol.fakes import FakeDemuxer, FakeTransport
from tests.rtmp.wire import ANSWER_SIZE, HANDSHAKE, Message, call, codes, read
from tests.stream.fakes import StreamCase

FULL = 64 * 1024
"""Bytes above which a TCP transport pauses its producer."""


class PlayerTransport(FakeTransport):
    """A transport that is read, or not."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = True
        self.unsent = 0

    def write(self, data: bytes) -> None:
        """Take bytes."""
        super().write(data)
        if not self.is_read:
            self.unsent += len(data)
            if self.unsent > FULL and self.producer is not None:
                self.producer.pauseProducing()

    def stop_reading(self) -> None:
        """Read nothing from now on; what is in the network's buffers fills the transport."""
        self.is_read = False
        self.unsent = FULL

    def read_on(self) -> None:
        """Read all from now on."""
        self.is_read = True
        self.unsent = 0
        if self.producer is not None:
            self.producer.resumeProducing()


class Client:
    """A player."""

    def __init__(self, factory: RTMPServerFactory, **properties: Value) -> None:
        self.transport = PlayerTransport()
        self.protocol: RTMPServerProtocol = factory.buildProtocol(None)
        self.protocol.makeConnection(cast(Any, self.transport))
        self.protocol.dataReceived(HANDSHAKE)
        self.send("connect", {"app": "live", **properties})
        self.send("createStream", None)
        self._read = 0

    def send(self, name: str, *arguments: Value, msid: int = 0) -> None:
        """Call."""
        self.protocol.dataReceived(call(name, 4.0, *arguments, msid=msid))

    def play(self, name: str = "key?token=good", msid: int = 1) -> None:
        """Ask to play."""
        self.send("play", None, name, -2000.0, msid=msid)

    def lose(self) -> None:
        """Disconnect."""
        self.protocol.connectionLost()

    @property
    def messages(self) -> list[Message]:
        """All that came."""
        return read(self.transport.value()[ANSWER_SIZE:])

    @property
    def codes(self) -> list[str]:
        """The status codes that came, without connect's."""
        return [str(code) for _, _, code in codes(self.messages)][1:]

    @property
    def description(self) -> str:
        """What the newest status said."""
        values = [amf0.decode(m.payload) for m in self.messages if m.type_id == 20]
        return str(cast(Any, values[-1][-1])["description"])

    @property
    def media(self) -> list[Message]:
        """Audio and video that came."""
        return [m for m in self.messages if m.type_id in (8, 9)]

    @property
    def frames(self) -> list[tuple[int, int]]:
        """Type id and time of the frames that came."""
        return [(m.type_id, m.timestamp) for m in self.media if m.payload[1]]

    @property
    def headers(self) -> list[tuple[int, int]]:
        """Type id and time of the sequence headers that came."""
        return [(m.type_id, m.timestamp) for m in self.media if not m.payload[1]]

    @property
    def keys(self) -> list[int]:
        """Times of the key frames that came."""
        return [m.timestamp for m in self.media if m.payload[:2] == b"\x17\1"]


class PlayCase(StreamCase):
    """Streams that are played."""

    def setUp(self) -> None:
        """Make the server."""
        self.fanouts = FanoutMaker(PlaySettings(queue_seconds=10.0))
        super().setUp()
        self.events: list[str] = []
        self.manager.events.subscribe(lambda event: self.events.append(event.name))
        self.factory = self.make_factory()

    def makers(self) -> list[IOutputMaker]:
        """Make fan-outs, too."""
        return [self.maker, self.fanouts]

    def make_factory(self) -> RTMPServerFactory:
        """Make the listener."""
        return RTMPServerFactory(
            self.manager,
            cast(Any, self.clock),
            cast(Any, FakeDemuxer),
            capabilities=Capabilities(frozenset(("hvc1",)), caps_ex=RECONNECT | MULTITRACK),
        )

    def client(self, **properties: Value) -> Client:
        """Connect a player."""
        client = Client(self.factory, **properties)
        self.addCleanup(client.lose)
        return client

    def player(self, **properties: Value) -> Client:
        """Connect a player and play."""
        client = self.client(**properties)
        client.play()
        self.assertEqual(client.codes, ["NetStream.Play.Reset", "NetStream.Play.Start"])
        return client
