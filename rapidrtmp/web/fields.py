"""Header fields of answers that are made once and sent often (RFC 9110 section 5)."""

# Twisted's functions carry no annotations yet.
# mypy: allow-untyped-calls

from functools import lru_cache
from time import time

from twisted.web.http import datetimeToString
from twisted.web.http_headers import Headers


class Fields:
    """Header fields, as the versions of HTTP want them."""

    __slots__ = ("has_length", "lines", "pairs")

    def __init__(self, *pairs: tuple[bytes, bytes]) -> None:
        """Make them of names and values."""
        headers = Headers()  # takes line ends away
        for name, value in pairs:
            headers.addRawHeader(name, value)
        self.lines = header_lines(headers)
        """Of HTTP/1.1."""
        self.pairs = tuple(
            (name.lower(), value) for name, values in headers.getAllRawHeaders() for value in values
        )
        """Of HTTP/2: names in lower case, and values."""
        self.has_length = headers.hasHeader(b"Content-Length")


def header_lines(headers: Headers) -> bytes:
    """Return header fields as HTTP/1.1 sends them."""
    fields = headers.getAllRawHeaders()
    return b"".join([b"%b: %b\r\n" % (name, value) for name, values in fields for value in values])


def common_fields() -> Fields:
    """Return what every answer that is sent now has: the date, and that it is what it says.

    No browser shall take for a page or a script what somebody sent to the server.
    """
    return _common_fields(int(time()))


@lru_cache(1)
def _common_fields(seconds: int) -> Fields:
    date = datetimeToString(seconds)
    return Fields((b"Date", date), (b"X-Content-Type-Options", b"nosniff"))
