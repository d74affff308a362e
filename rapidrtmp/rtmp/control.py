"""Bodies of protocol control and user control messages (RTMP 1.0, 5.4 and 6.2)."""

from typing import Final

from rapidrtmp.rtmp.chunk import MAX_CHUNK_SIZE
from rapidrtmp.rtmp.errors import ProtocolError

STREAM_BEGIN: Final = 0
STREAM_EOF: Final = 1
SET_BUFFER_LENGTH: Final = 3
PING_REQUEST: Final = 6
PING_RESPONSE: Final = 7

LIMIT_DYNAMIC: Final = 2
"""Set Peer Bandwidth: keep a hard limit hard, otherwise ignore this one."""


def u32(value: int) -> bytes:
    """Return the body of Set Chunk Size, Acknowledgement or Window Acknowledgement Size."""
    return value.to_bytes(4, "big")


def peer_bandwidth(window: int, limit_type: int) -> bytes:
    """Return the body of Set Peer Bandwidth; `window` in bytes."""
    return u32(window) + bytes((limit_type,))


def stream_begin(message_stream_id: int) -> bytes:
    """Return the body of the user control message StreamBegin."""
    return STREAM_BEGIN.to_bytes(2, "big") + u32(message_stream_id)


def stream_eof(message_stream_id: int) -> bytes:
    """Return the body of the user control message StreamEOF."""
    return STREAM_EOF.to_bytes(2, "big") + u32(message_stream_id)


def ping_response(time: bytes) -> bytes:
    """Return the body of the user control message PingResponse to a request's `time`."""
    return PING_RESPONSE.to_bytes(2, "big") + time


def read_ping_request(payload: bytes) -> bytes | None:
    """Return the four bytes to send back; None for every other user control message.

    Flash and set-top boxes send events of their own, some of them cut short: none of them
    means anything to a server of live streams.
    """
    if payload[:2] == PING_REQUEST.to_bytes(2, "big") and len(payload) >= 6:
        return payload[2:6]
    return None


def read_buffer_length(payload: bytes) -> int | None:
    """Return the ms that a player buffers; None for every other user control message."""
    if payload[:2] == SET_BUFFER_LENGTH.to_bytes(2, "big") and len(payload) >= 10:
        return int.from_bytes(payload[6:10], "big")
    return None


def read_u32(payload: bytes, name: str) -> int:
    """Return the number that a control message starts with.

    Raises:
        ProtocolError: ``protocol``, the body is shorter.
    """
    if len(payload) < 4:
        raise ProtocolError("protocol", f"{name} message of {len(payload)} bytes, 4 are needed")
    return int.from_bytes(payload[:4], "big")


def read_chunk_size(payload: bytes, minimum: int) -> int:
    """Return the chunk size in bytes that a Set Chunk Size message asks for (5.4.1).

    Raises:
        ProtocolError: ``chunk_size``, it is below `minimum` or has its top bit set.
    """
    size = int.from_bytes(payload[:4], "big")
    if len(payload) < 4 or not minimum <= size <= 0x7FFFFFFF:
        raise ProtocolError(
            "chunk_size",
            f"Set Chunk Size to {size} by {len(payload)} bytes, "
            f"allowed are {minimum} to {0x7FFFFFFF}",
        )
    return min(size, MAX_CHUNK_SIZE)
