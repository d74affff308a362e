"""A server in memory: real streams, publishers and players, with a clock that stands still."""

# Twisted's test transports carry no annotations.
# mypy: allow-untyped-calls

from collections.abc import Callable, Iterable
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from zope.interface import implementer

from benchmarks.replay import CHUNK_SIZE, Loop, encode
from rapidrtmp.codecs.registry import REGISTRY
from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.interfaces import AccessRequest, Grant, IAuthenticator, IOutputMaker
from rapidrtmp.outputs.hls_maker import HLSMaker, HLSSettings
from rapidrtmp.outputs.uploads import Uploads
from rapidrtmp.protocol.fanout import FanoutMaker
from rapidrtmp.protocol.server import RTMPServerFactory, ServerSettings
from rapidrtmp.rtmp.client import ClientSession, ClientState
from rapidrtmp.rtmp.target import Target
from rapidrtmp.storage.memory import MemoryStorage
from rapidrtmp.stream.events import Events
from rapidrtmp.stream.manager import StreamManager, StreamSettings
from rapidrtmp.stream.records import RecordStore

LOOK = 15
START = 1_800_000_000.0
"""Unix time."""


@implementer(ITCPTransport)
class Transport(StringTransport):
    """Takes all that is written, and keeps nothing of it once told so."""

    is_forgetful = False

    def write(self, data: bytes) -> None:
        """Take bytes."""
        if not self.is_forgetful:
            super().write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:  # noqa: N802  (Twisted's name)
        """Take bytes."""
        self.write(b"".join(data))

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802  (Twisted's name)
        """Have no delay anyway."""

    def setTcpKeepAlive(self, enabled: bool) -> None:  # noqa: N802  (Twisted's name)
        """Live."""

    def getTcpNoDelay(self) -> bool:  # noqa: N802  (Twisted's name)
        """Have no delay."""
        return True

    def getTcpKeepAlive(self) -> bool:  # noqa: N802  (Twisted's name)
        """Live."""
        return True

    def loseWriteConnection(self) -> None:  # noqa: N802  (Twisted's name)
        """Go on."""


@implementer(IAuthenticator)
class Everybody:
    """Lets everybody in."""

    def authorize(self, request: AccessRequest) -> "Deferred[Grant]":
        """Grant."""
        return succeed(Grant(""))

    def in_use(self, key: str, identity: str, until: float | None) -> None:
        """Forget it."""


class World:
    """A server with one stream.

    Args:
        packages: whether it makes HLS.
        part_duration: seconds; 0 for no parts.
    """

    def __init__(self, *, packages: bool = False, part_duration: float = 0.2) -> None:
        self.clock = Clock()
        self.clock.rightNow = START
        storage = MemoryStorage(self.clock)
        events = Events(self.clock)
        uploads = Uploads(storage, self.clock, 64 << 20)
        makers: list[IOutputMaker] = [FanoutMaker(None, self.clock)]
        if packages:
            makers.append(HLSMaker(storage, self.clock, HLSSettings(), uploads, events))
        self.manager = StreamManager(
            self.clock,
            Everybody(),
            makers,
            StreamSettings(part_duration=part_duration, max_viewers=10_000),
            RecordStore(storage),
            events,
        )
        settings = ServerSettings(max_ahead=0.0, max_ungranted=10_000)
        self.factory = RTMPServerFactory(
            self.manager, cast(Any, self.clock), lambda: Demuxer(REGISTRY), None, settings
        )
        self.transports: list[Transport] = []

    def connect(self, publishes: bool) -> Any:
        """Connect a client and go on until it publishes or plays; return the server's side."""
        protocol: Any = self.factory.buildProtocol(None)
        transport = Transport()
        self.transports.append(transport)
        protocol.makeConnection(transport)
        session = ClientSession(Target("rtmp", "127.0.0.1", 1935, "live", "s0"), publishes)
        session.on_media = lambda *message: None
        last = ClientState.PUBLISHING if publishes else ClientState.PLAYING
        for _ in range(20):
            data = b"".join(session.data_to_send())
            if data:
                protocol.dataReceived(data)
            told = transport.value()
            transport.clear()
            session.receive_data(told, 0.0)
            if session.state is last:
                break
        else:
            raise RuntimeError(f"the client got no further than {session.state.value}")
        protocol.dataReceived(b"".join(session.data_to_send()))
        transport.is_forgetful = True
        if publishes:
            size = CHUNK_SIZE.to_bytes(4, "big")
            protocol.dataReceived(encode(bytes.fromhex("020000000000040100000000"), size))
        return protocol

    def publisher(self, loop: Loop, look: Callable[[], None] = lambda: None) -> Callable[[], int]:
        """Publish; the clock goes on as media does.

        Args:
            loop: the recording.
            look: called after LOOK messages, which last about as long as a part.

        Returns:
            Sends the next turn of the recording, and tells how many messages that were.
        """
        protocol = self.connect(publishes=True)
        protocol.dataReceived(loop.start)
        messages = loop.messages
        reads = [message.chunks for message in messages]
        dues = [message.due for message in messages]
        steps = [
            after - before for before, after in zip(dues, [*dues[1:], loop.seconds], strict=True)
        ]

        def turn() -> int:
            advance, receive = self.clock.advance, protocol.dataReceived
            for number, (read, step) in enumerate(zip(reads, steps, strict=True)):
                receive(read)
                advance(step)
                if not number % LOOK:
                    look()
            return len(reads)

        return turn
