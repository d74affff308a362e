"""A TLS client in memory: the standard library's, so that ours is judged by another."""

# Twisted's test transports carry no annotations.
# mypy: allow-untyped-calls

import ssl
from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport


class _Transport(StringTransport):
    """One of TCP."""

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802  (Twisted's name)
        """See ITCPTransport."""

    def setTcpKeepAlive(self, enabled: bool) -> None:  # noqa: N802  (Twisted's name)
        """See ITCPTransport."""


class TLSClient:
    """A client's connection to a factory."""

    def __init__(
        self,
        factory: Any,
        clock: Clock,
        *,
        protocols: Sequence[str] = (),
        name: str = "localhost",
        maximum: ssl.TLSVersion | None = None,
        ciphers: str = "",
        verify: bool = False,
    ) -> None:
        """Connect; `handshake` begins.

        Args:
            factory: the server's.
            clock: the server's.
            protocols: of ALPN.
            name: of the server, as the client calls it.
            maximum: the highest version that the client speaks.
            ciphers: that it knows, of TLS 1.2, as OpenSSL writes them.
            verify: whether it looks at the certificate, and trusts none.
        """
        self.transport = _Transport(peerAddress=IPv4Address("TCP", "192.0.2.7", 50000))
        self.protocol: Any = factory.buildProtocol(self.transport.getPeer())
        self._clock = clock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
        if protocols:
            context.set_alpn_protocols(list(protocols))
        if maximum is not None:
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = maximum
            context.set_ciphers("ALL:@SECLEVEL=0")
        if ciphers:
            context.set_ciphers(ciphers)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self.protocol.makeConnection(self.transport)

    def carry(self) -> None:
        """Carry bytes to and fro until none are left."""
        while True:
            sent = self._outgoing.read()
            if sent:
                self.protocol.dataReceived(sent)
            self._clock.advance(0)
            data = self.transport.value()
            self.transport.clear()
            if data:
                self._incoming.write(data)
            if not (sent or data):
                return

    def handshake(self) -> None:
        """Get through the handshake.

        Raises:
            ssl.SSLError: the server does not want it.
        """
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                before = self._incoming.pending
                self.carry()
                if self._incoming.pending == before:
                    raise
            else:
                self.carry()
                return

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.tls.write(data)
        self.carry()

    def read(self) -> bytes:
        """Give what came; nothing when nothing did."""
        self.carry()
        try:
            return self.tls.read(1 << 20)
        except ssl.SSLWantReadError:
            return b""

    @property
    def certificate(self) -> bytes:
        """The server's, DER."""
        found = self.tls.getpeercert(binary_form=True)
        assert found is not None
        return found
