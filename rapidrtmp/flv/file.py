"""FLV as a file or an endless HTTP body: header and tags (FLV 10.1, E.2 to E.4.1)."""

import struct

CONTENT_TYPE = "video/x-flv"

_HEADER_SIZE = 9
_HAS_AUDIO = 4
_HAS_VIDEO = 1


def header(has_audio: bool, has_video: bool) -> bytes:
    """Return the file header and the back pointer of the tag that is not there."""
    flags = (_HAS_AUDIO if has_audio else 0) | (_HAS_VIDEO if has_video else 0)
    return struct.pack(">3sBBII", b"FLV", 1, flags, _HEADER_SIZE, 0)


def tag(
    type_id: int, timestamp: int, parts: tuple[bytes | memoryview, ...]
) -> tuple[bytes | memoryview, ...]:
    """Return one tag in pieces, its back pointer included.

    Args:
        type_id: 8 audio, 9 video, 18 data.
        timestamp: ms, modulo 2^32.
        parts: the tag body in pieces.

    Raises:
        OverflowError: the body is longer than 16777215 bytes.
    """
    size = sum(map(len, parts))
    time = timestamp.to_bytes(4, "big")
    # the upper 8 bits of the timestamp stand behind the lower 24; the stream id is 0
    head = bytes((type_id,)) + size.to_bytes(3, "big") + time[1:] + time[:1] + bytes(3)
    return (head, *parts, (len(head) + size).to_bytes(4, "big"))
