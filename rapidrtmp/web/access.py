"""Who may use the management API while no API key is configured: this machine alone.

A browser on this machine could be made to do it for a hostile page, so the page's
origin is checked (CSRF) and so is the name by which the server was called (DNS rebinding).
"""

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

FORWARDED = (b"forwarded", b"via", b"x-real-ip")
"""Headers by which a proxy gives itself away; so does every X-Forwarded-*."""


def refusal(
    client: str, local: str, headers: Sequence[tuple[bytes, Sequence[bytes]]]
) -> str | None:
    """Tell why a request to the management API is refused.

    Args:
        client: IP address of the client, '' when it has none.
        local: IP address that the client connected to, '' when there is none.
        headers: all headers of the request: name and values.

    Returns:
        Plain words with what to do about it, or None when it is allowed.
    """
    values = {name.lower(): list(value) for name, value in headers}
    if not _is_loopback(client):
        return (
            "the management API answers the server's own machine only; "
            f"call it there, as http://localhost, not from {client or 'elsewhere'}"
        )
    if any(name in FORWARDED or name.startswith(b"x-forwarded") for name in values):
        return (
            "the management API does not answer requests that came through a proxy; "
            "call the server directly from its own machine"
        )
    host = _only(values.get(b"host", []))
    if host is None or _host_name(host) not in ("localhost", "127.0.0.1", "::1", _plain(local)):
        return (
            "the management API must be called as localhost, 127.0.0.1 or [::1]; "
            "the Host header names something else"
        )
    if b"origin" in values and not _is_same(_only(values[b"origin"]), host):
        return "the management API does not answer pages of another origin"
    return None


def _plain(address: str) -> str:
    """Return the IPv4 address that an IPv4-mapped IPv6 address stands for."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)


def _is_loopback(address: str) -> bool:
    plain = _plain(address)
    return plain != "" and ip_address(plain).is_loopback


def _only(values: Sequence[bytes]) -> str | None:
    return values[0].decode("latin-1").lower() if len(values) == 1 else None


def _host_name(host: str) -> str | None:
    """Return the name or address in a Host header, without port and brackets."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises when it is not a number
    except ValueError:
        return None
    return parts.hostname if parts.netloc == host and "@" not in host else None


def _is_same(origin: str | None, host: str) -> bool:
    scheme, _, authority = (origin or "").partition("://")
    return scheme in ("http", "https") and authority == host
