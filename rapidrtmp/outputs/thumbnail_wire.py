"""What the server and its thumbnail process write to each other: messages behind their length."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

MAX_ANSWER = 1 << 23
"""Bytes of an answer: more than `max_bytes` of any size that settings allow."""
MAX_SAMPLE = 1 << 25
"""Bytes of a key frame of which a thumbnail is made."""

MADE, UNDECODABLE = 0, 1
"""How it went: the answer holds a JPEG, or the reason in words."""

_LENGTH = struct.Struct(">I")
_REQUEST = struct.Struct(">IHH8sI")
_ANSWER = struct.Struct(">IB")


def max_bytes(size: tuple[int, int]) -> int:
    """Return the bytes that the JPEG of a picture of this size may have."""
    width, height = size
    return 2048 + width * height * 3 // 10


class Request(NamedTuple):
    """Make a JPEG of a key frame."""

    number: int
    """Stands in the answer, too."""
    width: int
    height: int
    """Pixels of the JPEG."""
    codec: str
    """As `CodecConfig.codec` names it."""
    config: bytes
    """The decoder configuration record: the content of avcC, hvcC, av1C."""
    sample: bytes | memoryview
    """The key frame in ISO BMFF sample form."""

    def write(self) -> Sequence[bytes | memoryview]:
        """Return the message in pieces."""
        head = _REQUEST.pack(
            self.number, self.width, self.height, self.codec.encode("ascii"), len(self.config)
        )
        length = len(head) + len(self.config) + len(self.sample)
        return _LENGTH.pack(length) + head, self.config, self.sample

    @classmethod
    def read(cls, message: bytes) -> "Request":
        """Read what stands behind the length."""
        number, width, height, codec, size = _REQUEST.unpack_from(message)
        end = _REQUEST.size + size
        config, sample = message[_REQUEST.size : end], message[end:]
        return cls(number, width, height, codec.rstrip(b"\0").decode("ascii"), config, sample)


class Answer(NamedTuple):
    """What became of a request."""

    number: int
    outcome: int
    body: bytes

    def write(self) -> bytes:
        """Return the message."""
        head = _ANSWER.pack(self.number, self.outcome)
        return _LENGTH.pack(len(head) + len(self.body)) + head + self.body


def message_length(prefix: bytes) -> int:
    """Read the length that stands before a message: that of what follows it."""
    return int(_LENGTH.unpack(prefix)[0])


class AnswerReader:
    """Puts answers together out of what comes through a pipe."""

    def __init__(self) -> None:
        self._buffer = b""

    def receive(self, data: bytes) -> list[Answer]:
        """Take bytes; return the answers that are complete.

        Raises:
            ValueError: this is no answer.
        """
        self._buffer += data
        answers = []
        while len(self._buffer) >= _LENGTH.size:
            length = message_length(self._buffer[: _LENGTH.size])
            if not _ANSWER.size <= length <= MAX_ANSWER:
                raise ValueError(f"an answer of {length} bytes")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            number, outcome = _ANSWER.unpack_from(self._buffer, _LENGTH.size)
            if outcome not in (MADE, UNDECODABLE):
                raise ValueError(f"an answer of kind {outcome}")
            body = self._buffer[_LENGTH.size + _ANSWER.size : end]
            self._buffer = self._buffer[end:]
            answers.append(Answer(number, outcome, body))
        return answers
