"""Tests of rapidrtmp.proxy_protocol: who is behind a load balancer (A12)."""

# Twisted's test transports carry no annotations.
# mypy: allow-untyped-calls

import struct
from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.proxy_protocol import (
    HEADER_TIMEOUT,
    MAX_V1,
    MAX_V2,
    SIGNATURE,
    MalformedHeader,
    ProxyProtocolFactory,
    ProxyRefusals,
    read_header,
)
from tests.protocol.test_tls_handshake import Echo, Echoes

PROXY = "10.0.0.5"


def v2(
    source: str = "203.0.113.9",
    target: str = "198.51.100.1",
    *,
    command: int = 0x21,
    kind: int | None = None,
    more: bytes = b"",
) -> bytes:
    """Make a header of version 2."""
    hosts = ip_address(source), ip_address(target)
    body = hosts[0].packed + hosts[1].packed + struct.pack("!2H", 5000, 1935) + more
    family = kind if kind is not None else (0x11 if hosts[0].version == 4 else 0x21)
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


HEADERS = {
    b"PROXY TCP4 203.0.113.9 198.51.100.1 5000 1935\r\n": ("203.0.113.9", "198.51.100.1"),
    b"PROXY TCP6 2001:db8::1 2001:db8::2 5000 1935\r\n": ("2001:db8::1", "2001:db8::2"),
    b"PROXY TCP6 ::ffff:203.0.113.9 ::1 5000 1935\r\n": ("203.0.113.9", "::1"),
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN ffff::1 ffff::2 5000 1935\r\n": None,
    v2(): ("203.0.113.9", "198.51.100.1"),
    v2("2001:db8::1", "2001:db8::2"): ("2001:db8::1", "2001:db8::2"),
    v2(more=b"\x03\x00\x04abcd"): ("203.0.113.9", "198.51.100.1"),
    v2(command=0x20): None,
    v2(kind=0x00): None,
    v2(kind=0x31): None,
    SIGNATURE + b"\x20\x00\x00\x00": None,
}
"""Headers, and the addresses that they tell."""

MALFORMED = (
    b"GET / HTTP/1.1\r\n",
    b"\x03" + bytes(20),
    b"PROXY TCP4 203.0.113.9 198.51.100.1 5000\r\n",
    b"PROXY TCP4 203.0.113.9 198.51.100.1 5000 99999\r\n",
    b"PROXY TCP4 203.0.113.9 198.51.100.1 5000 -1\r\n",
    b"PROXY TCP4 2001:db8::1 2001:db8::2 5000 1935\r\n",
    b"PROXY TCP6 203.0.113.9 198.51.100.1 5000 1935\r\n",
    b"PROXY TCP4 999.0.113.9 198.51.100.1 5000 1935\r\n",
    b"PROXY TCP4 \xb2.0.113.9 198.51.100.1 5000 1935\r\n",
    b"PROXY UDP4 203.0.113.9 198.51.100.1 5000 1935\r\n",
    b"PROXY TCP4 " + b"1" * 189,
    SIGNATURE + b"\x11\x11\x00\x0c" + bytes(12),
    SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12),
    SIGNATURE + b"\x21\x11\x00\x0b" + bytes(11),
    SIGNATURE + b"\x21\x21\x00\x0c" + bytes(12),
    SIGNATURE + b"\x21\x11\xff\xff",
)


class HeaderTests(SynchronousTestCase):
    def test_read(self) -> None:
        """Both versions give the addresses; what follows is no part of it."""
        for data, told in HEADERS.items():
            header = read_header(data + b"PROXY and more")
            assert header is not None
            self.assertEqual(header.size, len(data))
            if told is None:
                self.assertIsNone(header.source)
            else:
                assert header.source is not None and header.target is not None
                self.assertEqual((header.source.host, header.target.host), told)
                self.assertEqual((header.source.port, header.target.port), (5000, 1935))

    def test_pieces(self) -> None:
        """A header that is not whole is waited for, from its first byte."""
        for data in HEADERS:
            for size in range(len(data)):
                self.assertIsNone(read_header(data[:size]), (data, size))

    def test_malformed(self) -> None:
        """Anything else is refused."""
        for data in MALFORMED:
            with self.assertRaises(MalformedHeader, msg=data):
                read_header(data)

    @given(st.one_of(st.binary(), st.binary().map(lambda end: SIGNATURE + end)))
    @example(b"PROXY TCP4 1 1 1 1\r\n")
    @settings(max_examples=200, deadline=None)
    def test_anything(self, data: bytes) -> None:
        """Any bytes are a header, the beginning of one, or refused."""
        try:
            header = read_header(data)
        except MalformedHeader:
            return
        if header is None:
            self.assertLess(len(data), max(MAX_V1, MAX_V2))


class ConnectionTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a server behind load balancers of two networks."""
        self.clock = Clock()
        self.echoes = Echoes()
        networks = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
        self.refusals = ProxyRefusals(self.clock)
        self.factory = ProxyProtocolFactory(self.echoes, networks, self.refusals, self.clock)

    def connect(self, peer: str = PROXY) -> tuple[Any, StringTransport]:
        """Connect; give protocol and transport."""
        family = IPv6Address if ":" in peer else IPv4Address
        transport = StringTransport(IPv4Address("TCP", "10.1.1.1", 1935), family("TCP", peer, 4))
        protocol = self.factory.buildProtocol(transport.getPeer())
        protocol.makeConnection(transport)
        return protocol, transport

    @property
    def echo(self) -> Any:
        """The protocol that was made last."""
        return self.echoes.made[-1]

    def test_trusted(self) -> None:
        """The client's address is known before its connection is made, and bytes go on."""
        for peer in (PROXY, "fd00::1", "::ffff:10.9.9.9"):
            protocol, transport = self.connect(peer)
            self.assertEqual(len(self.echoes.made), 0)
            for piece in (b"PROXY TCP4 203.0.113.9 198.51", b".100.1 5000 1935\r\nhel"):
                protocol.dataReceived(piece)
            self.assertEqual(self.echo.transport.getPeer().host, "203.0.113.9")
            self.assertEqual(self.echo.transport.getHost().host, "198.51.100.1")
            protocol.dataReceived(b"lo")
            self.assertEqual(transport.value(), b"hello")
            self.assertEqual(self.clock.getDelayedCalls(), [])
            protocol.connectionLost(Failure(ConnectionDone()))
            self.assertEqual(self.echo.happened, ["made", "lost"])
            self.echoes.made.clear()

    def test_own(self) -> None:
        """A load balancer that speaks for itself is known by its own address."""
        protocol, _ = self.connect()
        protocol.dataReceived(v2(command=0x20))
        self.assertEqual(self.echo.transport.getPeer().host, PROXY)
        self.assertEqual(self.echo.transport.getHost().host, "10.1.1.1")

    def test_others(self) -> None:
        """All others are plain clients: a header of theirs is nothing but bytes."""
        for peer in ("192.0.2.1", "2001:db8::1"):
            protocol, transport = self.connect(peer)
            self.assertIsInstance(protocol, Echo)
            header = b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n"
            protocol.dataReceived(header)
            self.assertEqual(transport.value(), header)
            self.assertEqual(protocol.transport.getPeer().host, peer)
        self.assertIsInstance(self.factory.buildProtocol(UNIXAddress("/run/x")), Echo)

    def test_absent(self) -> None:
        """Without a header a load balancer's connection is ended, told and counted."""
        for data in MALFORMED:
            protocol, transport = self.connect()
            with capturedLogs() as logs:
                protocol.dataReceived(data)
                protocol.dataReceived(v2())
            self.assertTrue(transport.disconnected)
            self.assertEqual(len(logs), 1)
            protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.echoes.made, [])
        self.assertEqual(
            self.refusals.reasons, {"no_header": 2, "malformed": 12, "too_long": 2, "timeout": 0}
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late(self) -> None:
        """A header has its time, however it trickles in."""
        protocol, transport = self.connect()
        for byte in b"PROXY":
            protocol.dataReceived(bytes((byte,)))
            self.clock.advance(HEADER_TIMEOUT / 6)
        self.assertFalse(transport.disconnecting)
        with capturedLogs() as logs:
            self.clock.advance(HEADER_TIMEOUT / 6)
        self.assertTrue(transport.disconnected)
        self.assertEqual(len(logs), 1)
        self.assertEqual(self.refusals.reasons["timeout"], 1)

    def test_leaves(self) -> None:
        """A connection that ends before its header leaves nothing."""
        protocol, _ = self.connect()
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.factory.protocols, {})

    def test_full(self) -> None:
        """Where the protocol's factory wants no connection, it is closed."""
        self.echoes.is_full = True
        protocol, transport = self.connect()
        protocol.dataReceived(v2() + b"hello")
        self.assertTrue(transport.disconnecting)
