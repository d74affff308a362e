"""Who a client is that comes through proxies: X-Forwarded-For."""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from twisted.web.http_headers import Headers

Network = IPv4Network | IPv6Network

_NODE = re.compile(
    r"\[([0-9a-fA-F:.]{2,45})\](?::[0-9]{1,5})?"
    r"|([0-9.]{7,15})(?::[0-9]{1,5})?"
    r"|([0-9a-fA-F:.]{2,45})"
)
"""An address in brackets, an IPv4 address with or without port, a bare IPv6 address."""

CACHE = 4096
"""Addresses that are remembered: the same viewers and proxies come again and again, and to
understand an address takes longer than to answer a request."""


@lru_cache(CACHE)
def is_trusted(address: str, networks: tuple[Network, ...]) -> bool:
    """Tell whether an IP address is in one of the networks; what is no address is in none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def client_address(peer: str, headers: Headers, trusted: tuple[Network, ...]) -> str:
    """Return the address of the client behind a trusted proxy.

    The proxies' own words are read from the right, past those that are trusted, so what a
    client itself sent never counts. Other headers (Forwarded) do not count: a proxy that
    writes one of them may pass on another one as the client sent it.

    Args:
        peer: address of the proxy, which is returned when there is nothing to be read, and
            when what is there is malformed.
        headers: of the request.
        trusted: networks of the proxies.
    """
    values = headers.getRawHeaders(b"X-Forwarded-For")
    if not values:
        return peer
    nodes = [_node(item.strip()) for item in b",".join(values).decode("latin-1").split(",")]
    return _first_untrusted(nodes, trusted) or peer


def _first_untrusted(nodes: Sequence[str | None], trusted: tuple[Network, ...]) -> str | None:
    """Return the rightmost address that is no trusted proxy's, or the leftmost of all."""
    node = None
    for node in reversed(nodes):
        if node is None or not is_trusted(node, trusted):
            break
    return node


def _node(text: str) -> str | None:
    """Return the address in a node with or without port; None when there is none."""
    found = _NODE.fullmatch(text)
    return None if found is None else _address(found.group(1) or found.group(2) or found.group(3))


@lru_cache(CACHE)
def _address(text: str) -> str | None:
    """Return an address as it is usually written, None when it is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
