"""The PROXY protocol, versions 1 and 2: who is behind a TCP load balancer (HAProxy's text)."""

# Twisted's wrappers carry no annotations yet.
# mypy: allow-untyped-calls

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHandshakeListener,
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer, providedBy

from rapidrtmp.address import plain_address
from rapidrtmp.protocol.log_budget import LogBudget

HEADER_TIMEOUT = 5.0
"""Seconds for the header: a load balancer sends it first and at once."""

MAX_V1 = 107
"""Bytes of the longest header of version 1 (section 2.1)."""

MAX_V2 = 2048
"""Bytes of a header of version 2. Addresses take 52, the rest is for what some load balancers
add: names, certificates' subjects."""

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
"""Begins version 2 (section 2.2)."""

_V2_HEAD = struct.Struct("!12sBBH")
_LOCAL, _PROXY = 0x20, 0x21  # version and command
_TCP4, _TCP6 = 0x11, 0x21  # family and protocol
_V1 = re.compile(
    rb"PROXY TCP(?P<family>[46]) (?P<source>[0-9a-fA-F:.]{2,45}) (?P<target>[0-9a-fA-F:.]{2,45})"
    rb" (?P<source_port>[0-9]{1,5}) (?P<target_port>[0-9]{1,5})"
)

Address = IPv4Address | IPv6Address


NO_HEADER = "no_header"
MALFORMED = "malformed"
TOO_LONG = "too_long"
TIMEOUT = "timeout"
REASONS = (NO_HEADER, MALFORMED, TOO_LONG, TIMEOUT)
"""Why connections are refused."""


class MalformedHeader(ValueError):
    """What a connection began with is no PROXY header."""

    def __init__(self, description: str, reason: str = MALFORMED) -> None:
        super().__init__(description)
        self.reason = reason
        """One of `REASONS`."""


@dataclass(frozen=True, slots=True)
class Header:
    """A whole header."""

    size: int
    """Bytes."""
    source: Address | None = None
    """The client; None when the proxy speaks for itself or does not know."""
    target: Address | None = None
    """What the client connected to."""


def read_header(data: bytes) -> Header | None:
    """Read the header that a connection begins with.

    Args:
        data: all that came, the header and perhaps more.

    Returns:
        The header, or None when it is not all there yet.

    Raises:
        MalformedHeader: it is none.
    """
    if data[:12] == SIGNATURE[: len(data)]:
        return _read_v2(data)
    if data[:6] == b"PROXY "[: len(data)]:
        return _read_v1(data)
    raise MalformedHeader("it does not begin with a PROXY header", NO_HEADER)


def _read_v1(data: bytes) -> Header | None:
    line, end, _ = data[:MAX_V1].partition(b"\r\n")
    if not end:
        if len(data) >= MAX_V1:
            raise MalformedHeader("the PROXY line is too long", TOO_LONG)
        return None
    size = len(line) + 2
    if line.startswith(b"PROXY UNKNOWN"):
        return Header(size)
    found = _V1.fullmatch(line)
    if found is None:
        raise MalformedHeader("the PROXY line is malformed")
    texts = {name: value.decode("ascii") for name, value in found.groupdict().items()}
    try:
        return Header(
            size,
            _address(texts["family"], texts["source"], int(texts["source_port"])),
            _address(texts["family"], texts["target"], int(texts["target_port"])),
        )
    except ValueError as error:
        raise MalformedHeader(f"the PROXY line is malformed: {error}") from error


def _address(family: str, host: str, port: int) -> Address:
    parsed = ip_address(host)
    if str(parsed.version) != family or port > 65535:
        raise ValueError("address and family do not fit, or there is no such port")
    # None of those that a dual-stack socket names, so that they are told as others are.
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return (IPv4Address if parsed.version == 4 else IPv6Address)("TCP", str(parsed), port)


def _read_v2(data: bytes) -> Header | None:
    if len(data) < _V2_HEAD.size:
        return None
    _, command, kind, length = _V2_HEAD.unpack_from(data)
    size = _V2_HEAD.size + length
    if command not in (_LOCAL, _PROXY):
        raise MalformedHeader("the PROXY header has an unknown version or command")
    if size > MAX_V2:
        raise MalformedHeader(f"the PROXY header has {size} bytes", TOO_LONG)
    if len(data) < size:
        return None
    if command == _LOCAL or kind not in (_TCP4, _TCP6):
        return Header(size)
    octets = 4 if kind == _TCP4 else 16
    if length < 2 * octets + 4:
        raise MalformedHeader("the PROXY header is too short for its addresses")
    body = data[_V2_HEAD.size :]
    ports = struct.unpack_from("!2H", body, 2 * octets)
    hosts = (ip_address(body[:octets]), ip_address(body[octets : 2 * octets]))
    source, target = (
        _address(str(host.version), str(host), port)
        for host, port in zip(hosts, ports, strict=True)
    )
    return Header(size, source, target)


@implementer(IHandshakeListener)
class ProxiedConnection(ProtocolWrapper):
    """A connection of a load balancer. What it carries begins when it is known for whom."""

    factory: "ProxyProtocolFactory"
    transport: Any

    def __init__(self, factory: "ProxyProtocolFactory") -> None:
        super().__init__(factory, Protocol())
        self._buffer: bytes | None = b""  # None once the header is read
        self._header = Header(0)
        self._deadline: IDelayedCall | None = None

    def makeConnection(self, transport: Any) -> None:  # noqa: N802  (Twisted's name)
        """Wait for the header."""
        directlyProvides(self, providedBy(transport))
        Protocol.makeConnection(self, transport)
        self.factory.registerProtocol(self)
        late = partial(self._refuse, TIMEOUT, f"no PROXY header in {HEADER_TIMEOUT:g} s")
        self._deadline = self.factory.clock.callLater(HEADER_TIMEOUT, late)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes: first the header, then what it is about."""
        if self._buffer is None:
            self.wrappedProtocol.dataReceived(data)
            return
        self._buffer += data
        try:
            header = read_header(self._buffer)
        except MalformedHeader as error:
            self._refuse(error.reason, str(error))
            return
        if header is not None:
            rest, self._buffer = self._buffer[header.size :], None
            self._begin(header, rest)

    def _begin(self, header: Header, rest: bytes) -> None:
        self._end_deadline()
        self._header = header
        wrapped = self.factory.wrappedFactory.buildProtocol(self.getPeer())
        if wrapped is None:
            self.loseConnection()
            return
        self.wrappedProtocol = wrapped
        wrapped.makeConnection(self)
        if rest:
            wrapped.dataReceived(rest)

    def _refuse(self, reason: str, words: str) -> None:
        self.factory.refusals.add(plain_address(self.transport.getPeer().host), reason, words)
        self._end_deadline()
        self._buffer = None
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the connection."""
        self._end_deadline()
        super().connectionLost(reason)

    def handshakeCompleted(self) -> None:  # noqa: N802  (Twisted's name)
        """Pass on that TLS, which began behind the header, is through."""
        if IHandshakeListener.providedBy(self.wrappedProtocol):
            self.wrappedProtocol.handshakeCompleted()

    def getPeer(self) -> Any:
        """Give the address of the client."""
        return self._header.source or self.transport.getPeer()

    def getHost(self) -> Any:
        """Give the address that the client connected to."""
        return self._header.target or self.transport.getHost()

    def _end_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None


class ProxyRefusals:
    """Tells and counts the connections, of all listeners, that began with no header."""

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        """Begin at none.

        Args:
            clock: bounds lines by time.
        """
        self.reasons = dict.fromkeys(REASONS, 0)
        self._clock = clock
        self._log_budget = LogBudget()

    def add(self, peer: str, reason: str, words: str) -> None:
        """Count one.

        Args:
            peer: IP address of the load balancer.
            reason: one of `REASONS`.
            words: what is wrong.
        """
        self.reasons[reason] += 1
        if self._log_budget.spend(self._clock.seconds()):
            self._log.warn(
                "PROXY_PROTOCOL: closed a connection of {peer}: {words}", peer=peer, words=words
            )


class ProxyProtocolFactory(WrappingFactory[ProxiedConnection]):
    """Asks for a header from connections of some networks. All others are plain clients."""

    noisy = False

    def __init__(
        self,
        wrapped: IProtocolFactory,
        networks: Sequence[IPv4Network | IPv6Network],
        refusals: ProxyRefusals,
        clock: IReactorTime,
    ) -> None:
        """Make a factory.

        Args:
            wrapped: makes the protocols behind the header.
            networks: of the load balancers.
            refusals: counts connections that began with no header.
            clock: times headers.
        """
        super().__init__(wrapped)
        self.clock = clock
        self.refusals = refusals
        self._networks = tuple(networks)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make a connection of a load balancer, or a plain one."""
        if self._is_proxy(plain_address(getattr(addr, "host", ""))):
            return ProxiedConnection(self)
        return self.wrappedFactory.buildProtocol(addr)

    def _is_proxy(self, host: str) -> bool:
        try:
            parsed = ip_address(host)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)
