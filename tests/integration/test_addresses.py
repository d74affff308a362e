"""Addresses of settings on real sockets."""

from twisted.internet import reactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import clientFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from rapidrtmp.config import SettingError
from rapidrtmp.listener import Listener


class AddressTests(TestCase):
    """The listener on the system's own network stack."""

    def listen(self, address: str) -> int:
        """Start a listener that ends with the test, and give its port."""
        listener = Listener(reactor, "HTTP_ADDR", address, Factory.forProtocol(Protocol))
        listener.startService()
        self.addCleanup(listener.stopService)
        host = listener.ports[0].getHost()
        assert isinstance(host, IPv4Address | IPv6Address)
        return host.port

    async def connect(self, host: str, port: int) -> None:
        """Connect and close again."""
        client = clientFromString(reactor, f"tcp:{host}:{port}:timeout=5")
        protocol = await client.connect(Factory.forProtocol(Protocol))
        protocol.transport.abortConnection()

    async def test_every_address(self) -> None:
        """`:0` is one port, reached by IPv4 and by IPv6."""
        port = self.listen(":0")
        await self.connect("127.0.0.1", port)
        await self.connect(r"\:\:1", port)

    async def test_one_address(self) -> None:
        """Loopback addresses of both families can be had alone."""
        await self.connect("127.0.0.1", self.listen("127.0.0.1:0"))
        await self.connect(r"\:\:1", self.listen("[::1]:0"))
        await self.connect("127.0.0.1", self.listen("localhost:0"))
        await self.connect("127.0.0.1", self.listen("tcp:0:interface=127.0.0.1"))

    def test_busy(self) -> None:
        """A port in use is an error that names the setting and the address."""
        address = f"127.0.0.1:{self.listen('127.0.0.1:0')}"
        error = self.assertRaises(SettingError, self.listen, address)
        self.assertEqual(
            str(error), f"HTTP_ADDR={address}: cannot listen there: Address already in use"
        )
