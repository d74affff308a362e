"""ID3 tags (ID3v2.4.0), the form in which HLS players take timed metadata."""

from collections.abc import Iterator

_TEXT = b"TXXX"
_UTF_8 = b"\3"
_HEADER = 10
_VERSIONS = (3, 4)
_FOOTER = 0x10


class ID3Error(ValueError):
    """Octets are no ID3 tag."""


def text_tag(description: str, text: str) -> bytes:
    """Return a tag with one user-defined text frame (TXXX).

    Args:
        description: what the text is; a NUL ends it.
        text: the value.
    """
    body = _UTF_8 + _until_nul(description) + b"\0" + _until_nul(text)
    frame = _TEXT + _syncsafe(len(body)) + b"\0\0" + body
    return b"ID3\4\0\0" + _syncsafe(len(frame)) + frame


def _until_nul(text: str) -> bytes:
    return text.partition("\0")[0].encode("utf-8", "replace")


def _syncsafe(number: int) -> bytes:
    """Return four bytes of 7 bits (ID3v2.4.0 section 6.2)."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def check_tag(octets: bytes) -> None:
    """See that octets are whole ID3v2.3 or 2.4 tags with a frame in each.

    Raises:
        ID3Error: they are not.
    """
    if not octets:
        raise ID3Error("there is no ID3 tag")
    for tag in _tags(octets):
        frame = tag[_HEADER : _HEADER + 4]
        if len(frame) < 4 or not (frame.isalnum() and frame.isupper()):
            raise ID3Error("the ID3 tag has no frame")


def _tags(octets: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(octets):
        head = octets[position : position + _HEADER]
        if len(head) < _HEADER or head[:3] != b"ID3":
            raise ID3Error("an ID3v2 tag begins with 'ID3' and has a header of 10 bytes")
        if head[3] not in _VERSIONS:
            raise ID3Error(f"ID3v2.{head[3]} is not known; 2.3 and 2.4 are")
        if max(head[6:10]) > 0x7F:
            raise ID3Error("the size of the ID3 tag is broken")
        size = 0
        for byte in head[6:10]:
            size = size << 7 | byte
        end = position + _HEADER + size + (_HEADER if head[5] & _FOOTER else 0)
        if end > len(octets):
            raise ID3Error("the ID3 tag is cut short")
        yield octets[position:end]
        position = end
