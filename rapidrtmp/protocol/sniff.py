"""TLS and plain RTMP on one port, told apart by the first byte."""

# Twisted's wrappers carry no annotations yet.
# mypy: allow-untyped-calls

from typing import Any

from twisted.internet.interfaces import (
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorTime,
    ISSLTransport,
)
from twisted.protocols.policies import ProtocolWrapper
from zope.interface import alsoProvides

from rapidrtmp.protocol.tls_handshake import HandshakeWatch, HandshakeWatchFactory, TLSHandshakes

TLS_HANDSHAKE = 0x16
"""First byte of a TLS connection: the content type of the record that holds the ClientHello
(RFC 8446 section 5.1). RTMP begins with its version, 3."""


class Sniffer(HandshakeWatch):
    """Begins TLS when the client does. Until then it is a plain connection like any other."""

    factory: "SniffingFactory"
    _is_told = False

    def makeConnection(self, transport: Any) -> None:  # noqa: N802  (Twisted's name)
        """Connect the protocol, whose own timers and limits hold from now on."""
        ProtocolWrapper.makeConnection(self, transport)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes, and look at the first one."""
        if self._is_told:
            self.wrappedProtocol.dataReceived(data)
            return
        self._is_told = True
        if data[0] != TLS_HANDSHAKE:
            self.wrappedProtocol.dataReceived(data)
            return
        self.begin_handshake()
        transport: Any = self.transport
        transport.startTLS(self.factory.creator)
        # The protocol sees TLS by this; it was told of a plain transport.
        alsoProvides(self, ISSLTransport)
        # TLS stands before us from now on.
        transport.protocol.dataReceived(data)


class SniffingFactory(HandshakeWatchFactory):
    """Makes connections that may turn out to be TLS."""

    protocol = Sniffer

    def __init__(
        self,
        wrapped: IProtocolFactory,
        creator: IOpenSSLServerConnectionCreator,
        handshakes: TLSHandshakes,
        clock: IReactorTime,
    ) -> None:
        """Make a factory.

        Args:
            wrapped: makes the protocols that are spoken, over TLS or not.
            creator: begins the TLS of a connection.
            handshakes: counts them.
            clock: times them.
        """
        super().__init__(wrapped, handshakes, clock)
        self.creator = creator
