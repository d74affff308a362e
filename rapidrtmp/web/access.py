"""Who may use the management API, the metrics and the event feed.

With API keys: whoever bears one, from anywhere (RFC 6750). Without: this machine alone. A
browser on this machine could be made to do it for a hostile page, so the page's origin is
checked then (CSRF) and so is the name by which the server was called (DNS rebinding). With
keys that is not needed: no browser adds one by itself.
"""

# Twisted's request methods carry no annotations yet.
# mypy: allow-untyped-calls

from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from twisted.web import http

from rapidrtmp.address import plain_address
from rapidrtmp.auth.api_keys import ADMIN, APIKeys, fingerprint
from rapidrtmp.rate_limit import RateLimit
from rapidrtmp.web.request import Request
from rapidrtmp.web.responses import TOO_MANY_REQUESTS

MAX_WRONG_KEYS = 10
"""Wrong keys from one address in `WRONG_KEYS_PERIOD`; then 429 instead of 401."""
WRONG_KEYS_PERIOD = 60.0

FORWARDED = (b"forwarded", b"via", b"x-real-ip")
"""Headers by which a proxy gives itself away; so does every X-Forwarded-*."""

OWN_SITE = ("same-origin", "none")
"""Values of Sec-Fetch-Site: asked for by a page of ours, or by the user."""

IN_ADDRESS = (b"key", b"apikey", b"apiKey", b"api_key", b"api-key", b"access_token")
"""Query parameters in which people put keys. Addresses end up in logs and histories."""

ACTION = "api"
"""What refusals are counted as."""

BEARER = 'Bearer realm="RapidRTMP"'


class Refused(NamedTuple):
    """What a request is answered with instead of its result."""

    code: int
    description: str
    headers: Mapping[bytes, bytes]


class Access:
    """Guards what is not for everybody."""

    def __init__(
        self,
        keys: APIKeys,
        wrong_keys: RateLimit,
        count: Callable[[str, str], None] = lambda action, reason: None,
    ) -> None:
        """Make a guard.

        Args:
            keys: those that are in force; without any, loopback clients may do everything.
            wrong_keys: counts wrong keys.
            count: counts refusals: 'api' and a word for the reason.
        """
        self._keys = keys
        self._wrong_keys = wrong_keys
        self._count = count

    def guard(self, request: Request, *scopes: str) -> Refused | None:
        """Tell why a request is refused; None when it is allowed.

        Args:
            request: any.
            scopes: one of them is needed; without any, every key will do.
        """
        if not self._keys:
            why = _not_local(request)
            if why is None:
                return None
            self._count(ACTION, "not_local")
            return Refused(http.FORBIDDEN, why, {})
        bearer = bearer_of(request)
        if bearer is None:
            self._count(ACTION, "no_key")
            return _no_key(request)
        found = self._keys.find(bearer)
        if found is None:
            return self._wrong_key(request)
        if scopes and ADMIN not in found and found.isdisjoint(scopes):
            self._count(ACTION, "scope")
            words = f"this API key does not have the scope {' or '.join(scopes)}"
            challenge = f'{BEARER}, error="insufficient_scope", scope="{" ".join(scopes)}"'
            return Refused(http.FORBIDDEN, words, _challenge(challenge))
        return None

    def is_open(self, request: Request) -> bool:
        """Tell whether whoever asks needs no key: this machine, while there are none."""
        return not self._keys and _not_local(request) is None

    def caller(self, request: Request) -> str:
        """Name who is calling, for the log: address and, with a key, its fingerprint."""
        bearer = bearer_of(request) if self._keys else None
        key = f" with key {fingerprint(bearer)}" if bearer else ""
        return f"{request.address or 'somebody'}{key}"

    def _wrong_key(self, request: Request) -> Refused:
        # A right key is never locked out by somebody else's wrong ones (a shared address, a
        # proxy): a key is too long to be found by trying, at any rate.
        wait = self._wrong_keys.blocked_for(request.address)
        self._wrong_keys.count(request.address)
        self._count(ACTION, "rate" if wait else "wrong_key")
        if wait:
            headers = {b"Retry-After": b"%d" % (int(wait) + 1)}
            return Refused(TOO_MANY_REQUESTS, "too many wrong API keys, wait", headers)
        challenge = f'{BEARER}, error="invalid_token"'
        return Refused(http.UNAUTHORIZED, "wrong API key", _challenge(challenge))


def bearer_of(request: Request) -> str | None:
    """Return the key that a request bears; None for none, or for more than one."""
    values = request.requestHeaders.getRawHeaders(b"Authorization") or ()
    if len(values) != 1:
        return None
    scheme, _, key = values[0].decode("latin-1").strip().partition(" ")
    return (key.strip() or None) if scheme.lower() == "bearer" else None


def _no_key(request: Request) -> Refused:
    words = "an API key is needed: send the header Authorization: Bearer <key>"
    if any(name in (request.args or ()) for name in IN_ADDRESS):
        words = (
            "API keys are not taken from the address, which ends up in logs: "
            "send the header Authorization: Bearer <key>"
        )
    return Refused(http.UNAUTHORIZED, words, _challenge(BEARER))


def _challenge(text: str) -> Mapping[bytes, bytes]:
    return {b"WWW-Authenticate": text.encode("ascii")}


def _not_local(request: Request) -> str | None:
    return refusal(
        request.address,
        request.local_address,
        list(request.requestHeaders.getAllRawHeaders()),
        # nginx adds no header unless it is told to; before 1.29.7 it asks by HTTP/1.0
        is_proxied=bool(request.channel.trusted) or request.clientproto == b"HTTP/1.0",
    )


def refusal(
    client: str,
    local: str,
    headers: Sequence[tuple[bytes, Sequence[bytes]]],
    *,
    is_proxied: bool = False,
) -> str | None:
    """Tell why a request is refused while there is no API key.

    Args:
        client: IP address of the client, '' when it has none.
        local: IP address that the client connected to, '' when there is none.
        headers: all headers of the request: name and values.
        is_proxied: the connection is known to be, or looks like, a proxy's.

    Returns:
        Plain words with what to do about it, or None when it is allowed.
    """
    values = {name.lower(): list(value) for name, value in headers}
    if not _is_loopback(client):
        return (
            "the management API answers the server's own machine only; call it there, as "
            f"http://localhost, not from {client or 'elsewhere'}, or configure API_KEYS"
        )
    if is_proxied or any(name in FORWARDED or name.startswith(b"x-forwarded") for name in values):
        return (
            "the management API does not answer requests that came through a proxy; "
            "call the server directly from its own machine, or configure API_KEYS"
        )
    host = _only(values.get(b"host", []))
    own = plain_address(local)
    if host is None or _host_name(host) not in ("localhost", "127.0.0.1", "::1", own):
        return (
            "the management API must be called as localhost, 127.0.0.1 or [::1]; "
            "the Host header names something else"
        )
    if b"origin" in values and not _is_same(_only(values[b"origin"]), host):
        return "the management API does not answer pages of another origin"
    # Browsers send it also where they leave Origin out, as for a picture or a frame.
    if b"sec-fetch-site" in values and _only(values[b"sec-fetch-site"]) not in OWN_SITE:
        return (
            "the management API does not answer pages of another origin, nor links from them; "
            "type the address into the browser"
        )
    return None


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(plain_address(address).partition("%")[0]).is_loopback
    except ValueError:
        return False


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
