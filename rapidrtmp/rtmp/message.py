"""Message types, and messages that hold further messages (RTMP 1.0, 5.4, 6.1 and 7.1)."""

from collections.abc import Iterator
from typing import Final

SET_CHUNK_SIZE: Final = 1
ABORT: Final = 2
ACKNOWLEDGEMENT: Final = 3
USER_CONTROL: Final = 4
WINDOW_ACKNOWLEDGEMENT_SIZE: Final = 5
SET_PEER_BANDWIDTH: Final = 6
AUDIO: Final = 8
VIDEO: Final = 9
DATA_AMF3: Final = 15
COMMAND_AMF3: Final = 17
DATA_AMF0: Final = 18
COMMAND_AMF0: Final = 20
AGGREGATE: Final = 22

_TAG_HEADER_SIZE = 11
_BACK_POINTER_SIZE = 4


class MalformedMessage(ValueError):
    """The body of a message is not what its type demands; the message can be dropped."""


def split_aggregate(timestamp: int, payload: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield the messages in an aggregate (7.1.6): type id, timestamp (u32 ms), payload.

    They are FLV tags: their times are relative to the first of them, which has the
    aggregate's own. The message stream ids and back pointers in them have no meaning.

    Raises:
        MalformedMessage: the rest of the aggregate is not a whole tag.
    """
    position = 0
    first: int | None = None
    while position < len(payload):
        body = position + _TAG_HEADER_SIZE
        header = payload[position:body]
        end = body + int.from_bytes(header[1:4], "big")
        if len(header) < _TAG_HEADER_SIZE or end > len(payload):
            raise MalformedMessage("aggregate message with a tag that runs past its end")
        time = int.from_bytes(header[4:7], "big") | header[7] << 24
        if first is None:
            first = time
        yield header[0] & 0x1F, timestamp + time - first & 0xFFFFFFFF, payload[body:end]
        position = end + _BACK_POINTER_SIZE
