"""Tests of rapidrtmp.protocol.sniff: who speaks TLS on the plain port."""

# Twisted's test transports carry no annotations.
# mypy: allow-untyped-calls

from typing import Any

from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.protocol.sniff import SniffingFactory
from rapidrtmp.protocol.tls_handshake import HANDSHAKE_TIMEOUT, TLSHandshakes
from tests.protocol.test_tls_handshake import Echo, Echoes

CREATOR: Any = object()


class Transport(StringTransport):
    """Notes that TLS is begun, and takes bytes for it."""

    def __init__(self) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", "192.0.2.7", 50000))
        self.tls: list[object] = []
        self.encrypted: list[bytes] = []
        self.protocol: Any = Protocol()

    def startTLS(self, creator: object) -> None:  # noqa: N802  (Twisted's name)
        """Note it."""
        self.tls.append(creator)
        self.protocol.dataReceived = self.encrypted.append


class SniffTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Connect."""
        self.clock = Clock()
        self.handshakes = TLSHandshakes("RTMPS", self.clock)
        self.echoes = Echoes()
        factory = SniffingFactory(self.echoes, CREATOR, self.handshakes, self.clock)
        self.transport = Transport()
        self.protocol: Any = factory.buildProtocol(self.transport.getPeer())
        self.protocol.makeConnection(self.transport)

    @property
    def echo(self) -> Echo:
        """The protocol behind it."""
        return self.echoes.made[0]

    def test_silent(self) -> None:
        """The protocol is connected before the first byte: its limits hold for the silent."""
        self.assertEqual(self.echo.happened, ["made"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_plain(self) -> None:
        """What does not begin as TLS is passed on, and never looked at again."""
        for data in (b"\x03", b"\x16\x03"):
            self.protocol.dataReceived(data)
        self.assertEqual(self.transport.value(), b"\x03\x16\x03")
        self.assertEqual(self.transport.tls, [])
        self.assertFalse(ISSLTransport.providedBy(self.protocol))

    def test_tls(self) -> None:
        """What begins as TLS becomes TLS, with the same bytes; then its content is passed on."""
        self.protocol.dataReceived(b"\x16")
        self.assertEqual(self.transport.tls, [CREATOR])
        self.assertEqual(self.transport.encrypted, [b"\x16"])
        self.assertTrue(ISSLTransport.providedBy(self.protocol))
        self.protocol.handshakeCompleted()
        self.assertEqual(self.echo.happened, ["made", "secure"])
        self.protocol.dataReceived(b"\x16 hello")
        self.assertEqual(self.transport.value(), b"\x16 hello")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stalled(self) -> None:
        """A handshake that does not end is ended."""
        self.protocol.dataReceived(b"\x16\x03\x01")
        self.clock.advance(HANDSHAKE_TIMEOUT)
        self.assertTrue(self.transport.disconnected)
        self.assertEqual(sum(self.handshakes.outcomes.values()), 1)

    def test_failed(self) -> None:
        """A handshake that fails is counted; a plain connection that ends is not."""
        self.protocol.dataReceived(b"\x16\x03\x01")
        self.protocol.connectionLost(Failure(SSL.Error([("", "", "bad")])))
        self.assertEqual(sum(self.handshakes.outcomes.values()), 1)
        self.setUp()
        self.protocol.dataReceived(b"\x03")
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(sum(self.handshakes.outcomes.values()), 0)
