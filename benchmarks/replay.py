"""A recording as the chunks of a publisher, to be repeated for ever: pure, made once at the start.

Each message has a type 1 header, which tells the time since the one before: so a turn of the loop
has the same bytes as the last one, and any number of publishers share them.
"""

from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.sample import Tag

CHUNK_SIZE = 4096
"""Bytes: what OBS sends with."""
MARK = b"\xd5\xa7\x9b\xe3"
"""What precedes a sequence number in a marked message."""
MARK_SIZE = len(MARK) + 5
"""A marked message's last bytes: MARK, and 35 bits in octets that have their highest bit set, so
that no start code can come of them."""
SHORTEST_MARKED = MARK_SIZE + 8
"""Bytes of a message with room for a mark behind its headers: an encoder's last sound has none."""
_CHUNK_STREAMS = {8: 4, 9: 6, 18: 4}
_NAME = b"\x02\x00\x0d@setDataFrame"


class Message(NamedTuple):
    """One message of the loop."""

    due: float
    """Seconds after the loop's start."""
    chunks: bytes
    head: bytes
    """The header of the first chunk."""
    body: bytes


class Loop(NamedTuple):
    """A recording."""

    start: bytes
    """What each publisher sends first: metadata and sequence headers, all at time 0."""
    messages: Sequence[Message]
    """What is repeated."""
    seconds: float
    """How long a turn lasts."""


def encode(head: bytes, body: bytes, chunk_size: int = CHUNK_SIZE) -> bytes:
    """Cut a message into chunks (RTMP 1.0, 5.3.1).

    Args:
        head: of its first chunk.
        body: the payload.
        chunk_size: bytes.
    """
    further = bytes((0xC0 | head[0] & 0x3F,))
    pieces = [head, body[:chunk_size]]
    for position in range(chunk_size, len(body), chunk_size):
        pieces += (further, body[position : position + chunk_size])
    return b"".join(pieces)


def make_loop(tags: Sequence[Tag], chunk_size: int = CHUNK_SIZE, stream_id: int = 1) -> Loop:
    """Make the chunks of a recording.

    Args:
        tags: with sequence headers, in order.
        chunk_size: bytes, which the publishers must have announced.
        stream_id: the message stream's.

    Raises:
        ValueError: there is no video in it.
    """
    first = [tag for tag in tags if tag.is_config or tag.type_id == 18]
    media = [tag for tag in tags if not tag.is_config and tag.type_id in (8, 9)]
    pictures = [tag.timestamp for tag in media if tag.type_id == 9]
    if len(pictures) < 2:
        raise ValueError("no video in it")
    # as long as its video, the last frame included, in whole ms
    length = pictures[-1] - pictures[0]
    turn = length + round(length / (len(pictures) - 1))
    origin = pictures[0]
    # sound that lasts longer than the pictures is cut off
    media = [tag for tag in media if 0 <= tag.timestamp - origin < turn]
    start = []
    for tag in first:
        body = _NAME + tag.body if tag.type_id == 18 else tag.body
        head = bytes((_CHUNK_STREAMS[tag.type_id],)) + bytes(3) + len(body).to_bytes(3, "big")
        head += bytes((tag.type_id,)) + stream_id.to_bytes(4, "little")
        start.append(encode(head, body, chunk_size))
    # the first message of each kind follows the last one of the turn before
    last = {tag.type_id: tag.timestamp - origin - turn for tag in media}
    messages = []
    for tag in media:
        time = tag.timestamp - origin
        delta = time - last[tag.type_id]
        last[tag.type_id] = time
        head = bytes((0x40 | _CHUNK_STREAMS[tag.type_id],)) + delta.to_bytes(3, "big")
        head += len(tag.body).to_bytes(3, "big") + bytes((tag.type_id,))
        messages.append(Message(time / 1000, encode(head, tag.body, chunk_size), head, tag.body))
    return Loop(b"".join(start), messages, turn / 1000)


def mark(body: bytes, number: int) -> bytes:
    """Put a sequence number in place of a message's last bytes; its length stays.

    The end of a slice is spoilt so, which no server looks at.

    Args:
        body: of SHORTEST_MARKED bytes at least.
        number: below 2^35.
    """
    digits = bytes(0x80 | number >> shift & 0x7F for shift in (28, 21, 14, 7, 0))
    return body[:-MARK_SIZE] + MARK + digits


def marks(octets: bytes) -> list[int]:
    """Find the sequence numbers of all marked messages in some bytes, in order."""
    found = []
    position = octets.find(MARK)
    while position >= 0:
        digits = octets[position + len(MARK) : position + MARK_SIZE]
        if len(digits) == MARK_SIZE - len(MARK) and all(digit & 0x80 for digit in digits):
            number = 0
            for digit in digits:
                number = number << 7 | digit & 0x7F
            found.append(number)
        position = octets.find(MARK, position + 1)
    return found
