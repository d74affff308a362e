"""Requests as nearly all are, read at one look (RFC 9112 sections 3 and 5)."""

# Twisted's header methods carry no annotations yet.
# mypy: allow-untyped-calls

import re
from functools import lru_cache
from typing import NamedTuple

from twisted.web.http_headers import Headers

MAX_HEAD = 4096
"""Bytes of a whole request that are looked at. Browsers' have about 800."""

MAX_FIELDS = 40
"""Fields in a header that is looked at."""

REMEMBERED = 1024
"""Headers that are remembered, some 16 KB each at most: a player sends the same one with each
request."""

_LINE = re.compile(rb"(GET|HEAD) (/live/[!-~]+) HTTP/1\.1\r\n")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_KEPT = re.compile(rb"keep-alive", re.IGNORECASE)

_SPECIAL = frozenset(
    (b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"authorization")
)
"""Fields that change how a request is read or answered, or are not for remembering."""


class Head(NamedTuple):
    """A request for something to watch, without a body, on a connection that goes on."""

    method: bytes
    target: bytes
    headers: Headers
    """Shared by all requests that have them, so not to be changed."""


def read_head(data: bytes) -> Head | None:
    """Read what is exactly one request as players send it.

    Args:
        data: as it came.

    Returns:
        The request; None where it is less or more than one, or has something unusual, so that
        the whole parser is needed.
    """
    line = _LINE.match(data) if len(data) <= MAX_HEAD else None
    if line is None:
        return None
    headers = _read_fields(data[line.end() :])
    return None if headers is None else Head(line[1], line[2], headers)


@lru_cache(REMEMBERED)
def _read_fields(block: bytes) -> Headers | None:
    """Read header fields and the empty line behind them."""
    if not block.endswith(b"\r\n\r\n"):
        return None
    lines = block[:-4].split(b"\r\n")
    if len(lines) > MAX_FIELDS:
        return None
    headers = Headers()
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None or field[1].lower() in _SPECIAL:
            return None
        if field[1].lower() == b"connection" and _KEPT.fullmatch(field[2]) is None:
            return None
        headers.addRawHeader(field[1], field[2].rstrip(b" \t"))
    return headers
