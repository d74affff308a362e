"""The few shapes every HTTP answer has: JSON, JSON errors, open CORS (WHATWG Fetch section 3.2)."""

# Twisted's request methods carry no annotations yet.
# mypy: allow-untyped-calls

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from twisted.web import http

from rapidrtmp.web.fields import Fields

if TYPE_CHECKING:
    from rapidrtmp.web.request import Request

JSON = b"application/json; charset=utf-8"

EXPOSED_HEADERS = b"Content-Length, Content-Range, Date, Age, ETag, Retry-After"
"""What a script of another origin may read: players time their clock by Date and Age."""

ANY_ORIGIN = Fields(
    (b"Access-Control-Allow-Origin", b"*"), (b"Access-Control-Expose-Headers", EXPOSED_HEADERS)
)

PREFLIGHT_HEADERS = b"*, Range, If-None-Match, If-Modified-Since, Cache-Control, Pragma"
"""Named beside the '*' for older Safari, which takes it literally."""

PREFLIGHT_MAX_AGE = b"86400"
"""Seconds a browser may remember a preflight. Browsers cap it themselves."""

READ_METHODS = b"GET, HEAD, OPTIONS"

TOO_MANY_REQUESTS = 429
"""RFC 6585 section 4. Twisted does not know it."""

_REASONS = {TOO_MANY_REQUESTS: b"Too Many Requests"}


def json_body(
    request: "Request", value: object, code: int = http.OK, *, cache_control: bytes = b"no-store"
) -> bytes:
    """Describe a JSON answer in the headers and return its body.

    Args:
        request: the request that is answered.
        value: what to send; never holds NaN or infinities.
        code: the status code.
        cache_control: the Cache-Control header.
    """
    body = json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")
    request.setResponseCode(code, _REASONS.get(code))
    request.setHeader(b"Content-Type", JSON)
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.setHeader(b"Cache-Control", cache_control)
    return body


def error_body(
    request: "Request",
    code: int,
    description: str,
    extra: Mapping[bytes, bytes] | None = None,
    *,
    field: str = "",
) -> bytes:
    """Describe an error in the headers and return its body ``{"error": description}``.

    Args:
        request: the request that is answered.
        code: the status code.
        description: plain words for whoever sent the request.
        extra: further headers, such as Allow or Retry-After.
        field: name of the field or parameter at fault, which the body then has, too.
    """
    for name, value in (extra or {}).items():
        request.setHeader(name, value)
    fault = {"field": field} if field else {}
    return json_body(request, {"error": description, **fault}, code)


def not_allowed(request: "Request", allowed: bytes) -> bytes:
    """Answer a method that the resource does not have (RFC 9110 section 15.5.6)."""
    words = f"this address answers {allowed.decode('ascii')} only"
    return error_body(request, http.NOT_ALLOWED, words, {b"Allow": allowed})


def allow_any_origin(request: "Request") -> None:
    """Let scripts of any origin read the answer. No credentials are ever involved."""
    request.is_open = True


def open_read(request: "Request") -> bytes | None:
    """Open a read-only resource to any origin.

    Returns:
        None for GET and HEAD, which the caller answers; otherwise the whole answer:
        204 to OPTIONS, 405 to anything else.
    """
    allow_any_origin(request)
    if request.method in (b"GET", b"HEAD"):
        return None
    if request.method != b"OPTIONS":
        return not_allowed(request, READ_METHODS)
    request.setResponseCode(http.NO_CONTENT)
    request.setHeader(b"Allow", READ_METHODS)
    request.setHeader(b"Access-Control-Allow-Methods", READ_METHODS)
    request.setHeader(b"Access-Control-Allow-Headers", PREFLIGHT_HEADERS)
    request.setHeader(b"Access-Control-Max-Age", PREFLIGHT_MAX_AGE)
    return b""
