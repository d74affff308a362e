"""Other servers in memory, which relays connect to."""

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from rapidrtmp.protocol.client import RTMPClientProtocol
from rapidrtmp.rtmp.capabilities import Capabilities
from rapidrtmp.rtmp.events import ConnectRequested, Event, PlayRequested, PublishRequested
from rapidrtmp.rtmp.media_encoder import MediaEncoder
from rapidrtmp.rtmp.session import ServerSession
from rapidrtmp.rtmp.target import Target


class FarTransport(StringTransport):
    """A client's transport; what is written is carried by `FarServer.run`."""

    aborted = False

    def abortConnection(self) -> None:  # noqa: N802 (Twisted's name)
        """Note it; as with TCP, the loss is told."""
        self.aborted = True
        self.disconnecting = True


class FarServer:
    """One connection of a client to a server of our own kind.

    Args:
        protocol: the client's.
        capabilities: what the server announces.
        answers: whether it accepts, refuses ('refuse'), or is silent ('').
    """

    def __init__(
        self, protocol: RTMPClientProtocol, capabilities: Capabilities, answers: str
    ) -> None:
        self.protocol = protocol
        self.answers = answers
        self.transport = FarTransport()
        self.session = ServerSession(random=bytes, capabilities=capabilities)
        self.received: list[tuple[int, int, bytes]] = []
        self.session.on_media = lambda *message: self.received.append(message)
        self.events: list[Event] = []
        self.is_lost = False
        protocol.makeConnection(cast(Any, self.transport))

    def run(self) -> None:
        """Carry bytes back and forth until nobody has more to say."""
        while not self.is_lost:
            up = self.transport.value()
            self.transport.clear()
            if up and self.answers:
                self._handle(self.session.receive_data(up, 0.0))
            down = b"".join(self.session.data_to_send())
            if down:
                self.protocol.dataReceived(down)
            if self.transport.disconnecting and not self.transport.value():
                self.lose()
            if not up and not down:
                return

    def say(self, what: Callable[[ServerSession], object]) -> None:
        """Let the server's session do something, and carry it over."""
        what(self.session)
        self.run()

    def lose(self, reason: Exception | None = None) -> None:
        """End the connection."""
        if not self.is_lost:
            self.is_lost = True
            self.protocol.connectionLost(Failure(reason or ConnectionDone()))

    def send(self, type_id: int, timestamp: int, payload: bytes) -> None:
        """Send media to a client that plays."""
        self.protocol.dataReceived(MediaEncoder().encode(type_id, timestamp, (payload,)))
        self.run()

    def media(self, type_id: int) -> list[tuple[int, bytes]]:
        """Time and body of what a client published."""
        return [(time, body) for kind, time, body in self.received if kind == type_id]

    def _handle(self, events: list[Event]) -> None:
        while events:
            self.events += events
            last = events[-1]
            if isinstance(last, PublishRequested | PlayRequested) and self.answers == "refuse":
                self.session.reject(last, "NetStream.Publish.Denied", "wrong key")
                return
            if not isinstance(last, ConnectRequested | PublishRequested | PlayRequested):
                return
            events = self.session.accept(last, 0.0)


@implementer(IStreamClientEndpoint)
class FarEndpoint:
    """What connects to a target, when a test wants it to."""

    def __init__(self, net: "FarNet", target: Target) -> None:
        self.net = net
        self.target = target

    def connect(self, factory: IProtocolFactory) -> "Deferred[Any]":
        """Wait for the test, unless connections are made at once."""
        connected: Deferred[Any] = Deferred()
        self.net.dialled.append((self.target, factory, connected))
        if self.net.at_once:
            self.net.answer()
        return connected


class FarNet:
    """All other servers."""

    def __init__(self) -> None:
        self.at_once = True
        self.capabilities = Capabilities()
        self.answers = "accept"
        self.dialled: list[tuple[Target, IProtocolFactory, Deferred[Any]]] = []
        self.servers: list[FarServer] = []

    def __call__(self, target: Target) -> IStreamClientEndpoint:
        """Make what connects to a target."""
        return cast(IStreamClientEndpoint, FarEndpoint(self, target))

    @property
    def server(self) -> FarServer:
        """The newest connection."""
        return self.servers[-1]

    @property
    def targets(self) -> list[Target]:
        """Where was dialled to."""
        return [target for target, _, _ in self.dialled]

    def answer(self) -> None:
        """Let the newest attempt succeed."""
        _, factory, connected = self.dialled[-1]
        protocol = factory.buildProtocol(cast(Any, None))
        assert isinstance(protocol, RTMPClientProtocol)
        self.servers.append(FarServer(protocol, self.capabilities, self.answers))
        connected.callback(protocol)

    def fail(self, error: Exception) -> None:
        """Let the newest attempt fail."""
        self.dialled[-1][2].errback(error)

    def run(self) -> None:
        """Carry what is under way on all connections."""
        for server in list(self.servers):
            server.run()
