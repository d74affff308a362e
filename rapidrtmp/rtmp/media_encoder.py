"""Media as it goes to many receivers: each message is cut into chunks once, for all of them."""

from typing import Final

from rapidrtmp.rtmp.chunk import ChunkEncoder
from rapidrtmp.rtmp.message import AUDIO, VIDEO

CHUNK_SIZE: Final = 65_536
"""Bytes: what both our sides send with. FFmpeg adopts it as its own instead of 128."""
FIRST_MESSAGE_STREAM: Final = 1
"""The id that a connection's first createStream is answered with; hardly anybody has another."""

_AUDIO_CHUNK_STREAM = 4
_VIDEO_CHUNK_STREAM = 6
_DATA_CHUNK_STREAM = 7


class MediaEncoder:
    """Cuts audio, video and data messages into chunks that any receiver understands.

    Every message begins with a type 0 header on a chunk stream that has nothing but media:
    its bytes depend on nothing that was sent before. All receivers with this message stream
    id, to whom a Set Chunk Size has told `CHUNK_SIZE`, can share them.

    Args:
        message_stream_id: what the receivers' createStream was answered with.
    """

    def __init__(self, message_stream_id: int = FIRST_MESSAGE_STREAM) -> None:
        self._message_stream_id = message_stream_id
        self._encoder = ChunkEncoder(CHUNK_SIZE)

    def encode(self, type_id: int, timestamp: int, parts: tuple[bytes | memoryview, ...]) -> bytes:
        """Return the chunks of one message.

        Args:
            type_id: 8 audio, 9 video, 18 data.
            timestamp: ms, taken modulo 2^32.
            parts: the payload in pieces, of at most 16777215 bytes together.

        Raises:
            OverflowError: the payload is longer.
        """
        if type_id == VIDEO:
            chunk_stream_id = _VIDEO_CHUNK_STREAM
        elif type_id == AUDIO:
            chunk_stream_id = _AUDIO_CHUNK_STREAM
        else:
            chunk_stream_id = _DATA_CHUNK_STREAM
        return self._encoder.encode(
            chunk_stream_id, type_id, self._message_stream_id, timestamp, *parts
        )
