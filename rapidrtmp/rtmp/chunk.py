"""The chunk stream: messages cut into chunks and put together again (RTMP 1.0, 5.3)."""

from collections.abc import Callable
from typing import Final

from rapidrtmp.rtmp.errors import ProtocolError
from rapidrtmp.rtmp.limits import Limits
from rapidrtmp.rtmp.message import AUDIO, VIDEO

DEFAULT_CHUNK_SIZE: Final = 128
"""Bytes of payload in a chunk, in each direction, until a Set Chunk Size (5.4.1)."""
MAX_CHUNK_SIZE: Final = 0xFFFFFF
"""No message is longer, so a larger chunk size means the same (5.4.1)."""
EXTENDED: Final = 0xFFFFFF
"""A timestamp field of this value says that the extended timestamp follows (5.3.1.3)."""
MAX_HEADER: Final = 3 + 11 + 4
"""Bytes of the longest chunk header."""

_U32: Final = 0xFFFFFFFF
_HEADER_SIZES: Final = (11, 7, 3)
_NO_MARKER: Final = -1
_NEAR: Final = 1000  # ms, see ChunkDecoder
_SMALL_CHUNK: Final = 1024  # bytes, see ChunkDecoder._read_run
_PIECE_OVERHEAD: Final = 56  # bytes of memory for a piece of a message, besides its own

Deliver = Callable[[int, int, int, bytes], None]
"""Takes a whole message: type id, message stream id, timestamp (u32 ms), payload."""


class _ChunkStream:
    """What is remembered of one chunk stream: its last header and its unfinished message."""

    __slots__ = (
        "delta",
        "extended",
        "length",
        "marker",
        "message_stream_id",
        "missing",
        "pieces",
        "timestamp",
        "type_id",
    )

    def __init__(self) -> None:
        self.timestamp = 0
        self.delta = 0  # what a type 3 chunk that starts a message adds
        self.extended = b""  # the extended timestamp of the last header, empty for none
        self.length = 0
        self.type_id = 0
        self.message_stream_id = 0
        self.missing = 0  # bytes of the unfinished message that have yet to come
        self.pieces: list[bytes | bytearray] = []
        self.marker = _NO_MARKER  # the whole header of a further chunk, when it is one byte


class ChunkDecoder:
    """Puts messages together from the bytes of one direction of a connection.

    Payload is copied out of each read piece by piece and joined once: a slice of the read
    would keep all of it alive, and a peer could make that 64 KiB for each byte it sends.

    Where real encoders differ from the specification:

    - A type 3 chunk repeats the extended timestamp of its header, old librtmp leaves it out:
      four bytes that equal it are the timestamp, others are payload.
    - A type 3 chunk that starts a message after a type 0 header adds that header's timestamp
      (5.3.1.2.4), for old librtmp it repeats it. When the type 0 header of an audio or video
      message is within a second of the connection's media before it, adding would double a
      clock that is already running, and it is read as old librtmp means it.

    Not usable any more after it raised.

    Args:
        limits: of the connection.
        deliver: called with each message as soon as it is whole. It may set `paused`,
            `chunk_size`, `max_message_size` and `max_partial_bytes`, effective from the next
            chunk.
    """

    def __init__(self, limits: Limits, deliver: Deliver) -> None:
        self.chunk_size = DEFAULT_CHUNK_SIZE
        """Most bytes of payload in a chunk. Nothing is allocated by it."""
        self.max_message_size = limits.message_before_publish
        """Longest message that is accepted, in bytes."""
        self.max_partial_bytes = limits.partial_bytes_before_publish
        """Bytes of memory that all unfinished messages may take."""
        self.paused = False
        """Set it to stop behind the message that is being delivered; the bytes are kept."""
        self._deliver = deliver
        self._max_chunk_streams = limits.chunk_streams
        self._streams: dict[int, _ChunkStream] = {}
        self._current = _ChunkStream()
        self._left = 0  # bytes of the current chunk that have yet to come
        self._partial = 0  # memory of all unfinished messages
        self._media_time = 0  # timestamp of the last type 0 or later audio or video message
        self._tail = b""  # a header cut short, or what came behind a pause

    @property
    def kept(self) -> int:
        """Bytes received but not looked at: a header cut short, or all that follows a pause."""
        return len(self._tail)

    def receive(self, data: bytes) -> None:
        """Take the next bytes of the connection and deliver the messages that they complete.

        Raises:
            ProtocolError: ``protocol``, ``message_too_large``, ``partial_bytes`` or
                ``too_many_chunk_streams``.
        """
        if self._tail:
            data = self._tail + data
            self._tail = b""
        if self.paused:
            self._tail = data
            return
        position = 0
        end = len(data)
        stream = self._current
        left = self._left
        while position < end:
            if not left:
                if stream.missing and data[position] == stream.marker:
                    size = self.chunk_size
                    if size < _SMALL_CHUNK and 2 * size < min(stream.missing, end - position):
                        position = self._read_run(stream, data, position)
                        continue
                    position += 1
                else:
                    behind = self._read_header(data, position)
                    if not behind:
                        break
                    position = behind
                    stream = self._current
                left = stream.missing
                if left > self.chunk_size:
                    left = self.chunk_size
            take = end - position
            if take > left:
                take = left
            piece = data[position : position + take]
            position += take
            left -= take
            stream.missing -= take
            if stream.missing:
                self._keep(stream, piece)
                continue
            pieces = stream.pieces
            if pieces:
                self._partial -= stream.length - take + len(pieces) * _PIECE_OVERHEAD
                pieces.append(piece)
                piece = b"".join(pieces)
                pieces.clear()
            self._deliver(stream.type_id, stream.message_stream_id, stream.timestamp, piece)
            if self.paused:
                break
        if position < end:
            self._tail = data[position:]
        self._current = stream
        self._left = left

    def _read_run(self, stream: _ChunkStream, data: bytes, start: int) -> int:
        """Take further chunks of an unfinished message that follow each other, all at once.

        The message's last chunk is left alone, as is one that the read cuts short.

        Returns:
            The position behind them.
        """
        size = self.chunk_size
        stride = 1 + size
        count = min((len(data) - start) // stride, (stream.missing - 1) // size)
        headers = data[start : start + count * stride : stride]
        count -= len(headers.lstrip(headers[:1]))
        end = start + count * stride
        run = bytearray(data[start:end])
        del run[::stride]
        stream.missing -= len(run)
        self._keep(stream, run)
        return end

    def _keep(self, stream: _ChunkStream, piece: bytes | bytearray) -> None:
        stream.pieces.append(piece)
        self._partial += len(piece) + _PIECE_OVERHEAD
        if self._partial > self.max_partial_bytes:
            raise ProtocolError(
                "partial_bytes",
                f"unfinished messages take more than {self.max_partial_bytes} bytes",
            )

    def abort(self, chunk_stream_id: int) -> None:
        """Drop the unfinished message of a chunk stream, if there is one (5.4.2).

        Its last header stays in force.
        """
        stream = self._streams.get(chunk_stream_id)
        if stream is not None and stream.missing:
            received = stream.length - stream.missing
            self._partial -= received + len(stream.pieces) * _PIECE_OVERHEAD
            stream.missing = 0
            stream.pieces.clear()

    def _read_header(self, data: bytes, start: int) -> int:
        """Read the chunk header at `start`, make its chunk stream the current one.

        Returns:
            The position behind the header; 0 when it is cut short, and nothing is changed.
        """
        first = data[start]
        position = start + 1
        chunk_stream_id = first & 0x3F
        if chunk_stream_id < 2:
            size = chunk_stream_id + 1
            number = data[position : position + size]
            if len(number) < size:
                return 0
            chunk_stream_id = 64 + int.from_bytes(number, "little")
            position += size
        stream = self._streams.get(chunk_stream_id)
        header_type = first >> 6
        if header_type == 3:
            if stream is None:
                raise _unseen(header_type, chunk_stream_id)
            return self._read_type_3(stream, data, position)
        size = _HEADER_SIZES[header_type]
        behind = position + size
        if behind > len(data):
            return 0
        # timestamp, length and type id, as far as this type of header has them
        fields = int.from_bytes(data[position : position + 7], "big")
        field = fields >> 32 if header_type < 2 else int.from_bytes(data[position:behind], "big")
        extended = b""
        if field == EXTENDED:
            extended = data[behind : behind + 4]
            if len(extended) < 4:
                return 0
            field = int.from_bytes(extended, "big")
            behind += 4
        if stream is None:
            if header_type == 2:
                raise _unseen(header_type, chunk_stream_id)
            stream = self._open(chunk_stream_id)
        elif stream.missing:
            raise ProtocolError(
                "protocol",
                f"type {header_type} chunk inside an unfinished message "
                f"of chunk stream {chunk_stream_id}",
            )
        if header_type < 2:
            stream.length = fields >> 8 & 0xFFFFFF
            stream.type_id = fields & 0xFF
        if header_type == 0:
            stream.message_stream_id = int.from_bytes(data[position + 7 : position + 11], "little")
            stream.timestamp = field
            is_media = stream.type_id in (AUDIO, VIDEO)
            running = is_media and field > _NEAR and abs(field - self._media_time) <= _NEAR
            stream.delta = 0 if running else field
        else:
            stream.delta = field
            stream.timestamp = (stream.timestamp + field) & _U32
        stream.extended = extended
        stream.marker = _NO_MARKER if extended or chunk_stream_id > 63 else 0xC0 | chunk_stream_id
        self._begin(stream)
        return behind

    def _read_type_3(self, stream: _ChunkStream, data: bytes, position: int) -> int:
        if stream.extended:
            seen = data[position : position + 4]
            if seen == stream.extended:
                position += 4
            elif stream.extended.startswith(seen):
                return 0  # too few bytes to tell it from payload
        if stream.missing:
            self._current = stream
        else:
            stream.timestamp = (stream.timestamp + stream.delta) & _U32
            self._begin(stream)
        return position

    def _begin(self, stream: _ChunkStream) -> None:
        if stream.length > self.max_message_size:
            raise ProtocolError(
                "message_too_large",
                f"message of {stream.length} bytes, allowed are {self.max_message_size}",
            )
        if stream.type_id in (AUDIO, VIDEO):
            self._media_time = stream.timestamp
        stream.missing = stream.length
        self._current = stream

    def _open(self, chunk_stream_id: int) -> _ChunkStream:
        if len(self._streams) >= self._max_chunk_streams:
            raise ProtocolError(
                "too_many_chunk_streams",
                f"more than {self._max_chunk_streams} chunk streams",
            )
        stream = self._streams[chunk_stream_id] = _ChunkStream()
        return stream


def _unseen(header_type: int, chunk_stream_id: int) -> ProtocolError:
    return ProtocolError(
        "protocol",
        f"type {header_type} chunk on chunk stream {chunk_stream_id}, which has no message yet",
    )


class ChunkEncoder:
    """Cuts messages into chunks, each message with a type 0 header.

    Absolute timestamps make a message's bytes independent of those before it: all receivers
    with the same chunk size can share them.
    """

    def __init__(self, chunk_size: int = DEFAULT_CHUNK_SIZE) -> None:
        self.chunk_size = chunk_size
        """Most bytes of payload in a chunk: what the last Set Chunk Size told the peer."""

    def encode(
        self,
        chunk_stream_id: int,
        type_id: int,
        message_stream_id: int,
        timestamp: int,
        *parts: bytes | memoryview,
    ) -> bytes:
        """Return the chunks of one message.

        Args:
            chunk_stream_id: 2 to 65599.
            type_id: of the message.
            message_stream_id: 0 for the connection itself.
            timestamp: ms, taken modulo 2^32.
            parts: the payload in pieces, of at most 16777215 bytes together.

        Raises:
            OverflowError: the payload is longer.
        """
        timestamp &= _U32
        extended = timestamp.to_bytes(4, "big") if timestamp >= EXTENDED else b""
        length = sum(map(len, parts))
        if length > 0xFFFFFF:
            raise OverflowError(f"message of {length} bytes")
        header = (
            basic_header(0, chunk_stream_id)
            + (min(timestamp, EXTENDED) << 32 | length << 8 | type_id).to_bytes(7, "big")
            + message_stream_id.to_bytes(4, "little")
            + extended
        )
        if length <= self.chunk_size:
            return b"".join((header, *parts))
        chunks: list[bytes | memoryview] = [header]
        further = basic_header(3, chunk_stream_id) + extended
        room = self.chunk_size  # in the chunk that was begun last
        for part in parts:
            end = len(part)
            position = min(room, end)
            chunks.append(part[:position])
            room -= position
            while position < end:
                room = min(self.chunk_size, end - position)
                chunks += (further, part[position : position + room])
                position += room
                room = self.chunk_size - room
        return b"".join(chunks)


def basic_header(header_type: int, chunk_stream_id: int) -> bytes:
    """Return the basic header (5.3.1.1) in its shortest form.

    Args:
        header_type: 0 to 3, the format of the message header that follows.
        chunk_stream_id: 2 to 65599.
    """
    if chunk_stream_id < 64:
        return bytes((header_type << 6 | chunk_stream_id,))
    if chunk_stream_id < 320:
        return bytes((header_type << 6, chunk_stream_id - 64))
    return bytes((header_type << 6 | 1,)) + (chunk_stream_id - 64).to_bytes(2, "little")
