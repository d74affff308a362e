"""The client's end of RTMP for tests: writes chunks in every form, reads the answers."""

from collections.abc import Sequence
from typing import NamedTuple

from rapidrtmp.amf import amf0
from rapidrtmp.amf.values import Value
from rapidrtmp.rtmp.chunk import ChunkDecoder
from rapidrtmp.rtmp.handshake import HANDSHAKE_SIZE
from rapidrtmp.rtmp.limits import Limits
from rapidrtmp.rtmp.message import SET_CHUNK_SIZE

C0_C1 = b"\x03" + bytes(8) + b"r" * (HANDSHAKE_SIZE - 8)
C2 = bytes(HANDSHAKE_SIZE)
HANDSHAKE = C0_C1 + C2
ANSWER_SIZE = 1 + 2 * HANDSHAKE_SIZE


class Message(NamedTuple):
    """A message as it arrived."""

    type_id: int
    message_stream_id: int
    timestamp: int
    payload: bytes


def basic(header_type: int, chunk_stream_id: int, form: int = 0) -> bytes:
    """Write a basic header; `form` forces 2 or 3 bytes."""
    if not form:
        form = 1 if chunk_stream_id < 64 else 2 if chunk_stream_id < 320 else 3
    if form == 1:
        return bytes([header_type << 6 | chunk_stream_id])
    if form == 2:
        return bytes([header_type << 6, chunk_stream_id - 64])
    number = chunk_stream_id - 64
    return bytes([header_type << 6 | 1, number & 255, number >> 8])


def chunks(
    payload: bytes = b"",
    *,
    fmt: int = 0,
    csid: int = 4,
    time: int = 0,
    type_id: int = 9,
    msid: int = 1,
    size: int = 128,
    repeat: bool = True,
    form: int = 0,
    length: int | None = None,
) -> list[bytes]:
    """Write one message as a list of chunks.

    Args:
        payload: its body.
        fmt: type of the first chunk's header.
        csid: chunk stream id.
        time: the timestamp, or the delta, of the header.
        type_id: of the message.
        msid: message stream id.
        size: chunk size.
        repeat: whether type 3 chunks repeat an extended timestamp.
        form: bytes of the basic header, 0 for the least.
        length: the length that the header tells, when not the true one.
    """
    extended = time.to_bytes(4, "big") if time >= 0xFFFFFF else b""
    header = basic(fmt, csid, form)
    if fmt < 3:
        header += min(time, 0xFFFFFF).to_bytes(3, "big")
    if fmt < 2:
        total = len(payload) if length is None else length
        header += total.to_bytes(3, "big") + bytes([type_id])
    if fmt == 0:
        header += msid.to_bytes(4, "little")
    if fmt < 3 or repeat:
        header += extended
    further = basic(3, csid, form) + (extended if repeat else b"")
    written = [header + payload[:size]]
    for start in range(size, len(payload), size):
        written.append(further + payload[start : start + size])
    return written


def control(type_id: int, value: int, csid: int = 2, msid: int = 0) -> bytes:
    """Write a control message with a 32-bit number."""
    payload = value.to_bytes(4, "big")
    return b"".join(chunks(payload, csid=csid, type_id=type_id, msid=msid))


def call(
    name: str, tx: float, *arguments: Value, msid: int = 0, csid: int = 3, size: int = 128
) -> bytes:
    """Write a command message."""
    payload = amf0.encode(name, tx, *arguments)
    return b"".join(chunks(payload, csid=csid, type_id=20, msid=msid, size=size))


def read(data: bytes, chunk_size: int = 128) -> list[Message]:
    """Read what a server sent behind its handshake."""
    messages: list[Message] = []

    def deliver(type_id: int, message_stream_id: int, timestamp: int, payload: bytes) -> None:
        messages.append(Message(type_id, message_stream_id, timestamp, payload))
        if type_id == SET_CHUNK_SIZE:
            decoder.chunk_size = int.from_bytes(payload, "big")

    decoder = ChunkDecoder(Limits(), deliver)
    decoder.chunk_size = chunk_size
    decoder.receive(data)
    return messages


def calls(messages: Sequence[Message]) -> list[tuple[int, list[Value]]]:
    """Return message stream id and values of the command messages."""
    return [(m.message_stream_id, amf0.decode(m.payload)) for m in messages if m.type_id == 20]


def codes(messages: Sequence[Message]) -> list[tuple[int, str, Value]]:
    """Return message stream id, command name and status code of those that carry one."""
    found = []
    for message_stream_id, values in calls(messages):
        information = values[-1]
        if isinstance(information, dict) and "code" in information:
            assert isinstance(values[0], str)
            found.append((message_stream_id, values[0], information["code"]))
    return found
