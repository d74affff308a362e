"""What both ends of a connection do alike: from bytes to messages and back (RTMP 1.0, 5)."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import islice
from typing import Final

from rapidrtmp.rtmp import command, control, message
from rapidrtmp.rtmp.chunk import ChunkDecoder, ChunkEncoder
from rapidrtmp.rtmp.command import Command
from rapidrtmp.rtmp.errors import ProtocolError
from rapidrtmp.rtmp.handshake import ClientHandshake, ServerHandshake
from rapidrtmp.rtmp.limits import Limits
from rapidrtmp.rtmp.media_encoder import CHUNK_SIZE
from rapidrtmp.rtmp.window import AcknowledgementWindow

CONTROL_CHUNK_STREAM: Final = 2
CONNECTION_CHUNK_STREAM: Final = 3
STREAM_CHUNK_STREAM: Final = 5

MEDIA = (message.AUDIO, message.VIDEO)
_DATA = (message.DATA_AMF0, message.DATA_AMF3)
_COMMANDS = (message.COMMAND_AMF0, message.COMMAND_AMF3)
_WITHOUT_MEANING = (message.ACKNOWLEDGEMENT, message.USER_CONTROL, message.SET_PEER_BANDWIDTH)


class Endpoint(ABC):
    """One end of an RTMP connection, without I/O and clock.

    Args:
        limits: of this connection.
        handshake: a fresh one of this end's kind.
    """

    def __init__(self, limits: Limits, handshake: ServerHandshake | ClientHandshake) -> None:
        self.on_media: Callable[[int, int, bytes], None] | None = None
        """Takes each message of media: type id (8 audio, 9 video, 15 and 18 data), timestamp
        (u32 ms), body. Set it before media is agreed on."""
        self.bytes_received = 0
        self.dropped: dict[str, int] = {}
        """Messages that were left out, by reason: empty (audio and video without a body),
        early_media, other_stream, metadata_too_large, aggregate, amf, unknown_type."""
        self._limits = limits
        self._handshake: ServerHandshake | ClientHandshake | None = handshake
        self._decoder = ChunkDecoder(limits, self._receive_message)
        self._encoder = ChunkEncoder()
        self._window = AcknowledgementWindow()
        self._output: list[bytes] = handshake.output.copy()
        handshake.output.clear()
        self._ping: bytes | None = None
        self._now = 0.0
        self._second = 0.0  # when the counting of messages began
        self._messages = 0  # in it, but agreed media

    @property
    def has_output(self) -> bool:
        """Whether `data_to_send` would return anything."""
        return bool(self._output)

    def data_to_send(self) -> list[bytes]:
        """Return what is to be sent since the last call."""
        output, self._output = self._output, []
        return output

    def _count_bytes(self, data: bytes) -> None:
        self.bytes_received += len(data)
        sequence = self._window.receive(len(data))
        if sequence is not None and self._handshake is None:
            self._send(message.ACKNOWLEDGEMENT, 0, control.u32(sequence))

    def _feed(self, data: bytes, now: float) -> None:
        """Take bytes through the handshake and the chunk stream.

        Raises:
            ProtocolError: the peer broke the protocol or a limit.
        """
        self._now = now
        if self._handshake is not None:
            data = self._shake_hands(self._handshake, data)
        self._decoder.receive(data)

    def _shake_hands(self, handshake: ServerHandshake | ClientHandshake, data: bytes) -> bytes:
        """Feed the handshake and return what follows it."""
        done = handshake.receive(data)
        self._output += handshake.output
        handshake.output.clear()
        if not done:
            return b""
        self._handshake = None
        self._handshake_done()
        return handshake.remainder

    def _answer_ping(self, ping: bytes) -> None:
        """Answer a read's newest ping, it alone: pings must not fill the output."""
        self._send(message.USER_CONTROL, 0, control.ping_response(ping))
        self._ping = None

    # What the two ends do each in their own way.

    @abstractmethod
    def _handshake_done(self) -> None:
        """Begin to talk, if this end begins."""

    @abstractmethod
    def _receive_message(
        self, type_id: int, message_stream_id: int, timestamp: int, payload: bytes
    ) -> None:
        """Take a message; the decoder calls it. The hot path."""

    @abstractmethod
    def _receive_data_message(self, type_id: int, timestamp: int, payload: bytes) -> None:
        """Take a data message."""

    @abstractmethod
    def _receive_command(self, type_id: int, message_stream_id: int, payload: bytes) -> None:
        """Take a command message."""

    # Messages.

    def _receive_other(
        self, type_id: int, message_stream_id: int, timestamp: int, payload: bytes
    ) -> None:
        """Take a message that is neither audio nor video."""
        if type_id == message.USER_CONTROL and (ping := control.read_ping_request(payload)):
            self._ping = ping
            return
        self._count_message()
        if type_id in _COMMANDS:
            self._receive_command(type_id, message_stream_id, payload)
        elif type_id in _DATA:
            self._receive_data_message(type_id, timestamp, payload)
        elif type_id == message.AGGREGATE:
            self._receive_aggregate(message_stream_id, timestamp, payload)
        else:
            self._receive_control(type_id, payload)

    def _receive_aggregate(self, message_stream_id: int, timestamp: int, payload: bytes) -> None:
        messages = message.split_aggregate(timestamp, payload)
        try:
            for type_id, time, body in islice(messages, self._limits.aggregated_messages):
                if type_id in MEDIA or type_id == message.DATA_AMF0:
                    self._receive_message(type_id, message_stream_id, time, body)
                else:
                    self._drop("unknown_type")
            if next(messages, None) is not None:
                self._drop("aggregate")
        except message.MalformedMessage:
            self._drop("aggregate")

    def _receive_control(self, type_id: int, payload: bytes) -> None:
        if type_id == message.SET_CHUNK_SIZE:
            size = control.read_chunk_size(payload, self._limits.min_chunk_size)
            self._decoder.chunk_size = size
        elif type_id == message.ABORT:
            self._decoder.abort(control.read_u32(payload, "Abort"))
        elif type_id == message.WINDOW_ACKNOWLEDGEMENT_SIZE:
            self._window.resize(control.read_u32(payload, "Window Acknowledgement Size"))
        elif type_id not in _WITHOUT_MEANING:
            self._drop("unknown_type")

    def _decode_command(self, type_id: int, payload: bytes) -> Command:
        """Return the command in a message; raise AMFError."""
        if type_id == message.COMMAND_AMF3:
            payload = payload[1:]  # a format selector; AMF0 follows (Adobe, AMF3 in RTMP)
        return command.decode(payload, self._limits.amf)

    def _count_message(self) -> None:
        if not 0.0 <= self._now - self._second < 1.0:
            self._second = self._now
            self._messages = 0
        self._messages += 1
        if self._messages > self._limits.messages_per_second:
            raise ProtocolError(
                "flood", f"more than {self._limits.messages_per_second} messages in a second"
            )

    def _drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def _allow_large_messages(self, allowed: bool) -> None:
        """Give the peer the limits of somebody whose media is wanted, or take them away."""
        decoder, limits = self._decoder, self._limits
        if allowed:
            decoder.max_message_size = limits.message
            decoder.max_partial_bytes = limits.partial_bytes
        else:
            decoder.max_message_size = limits.message_before_publish
            decoder.max_partial_bytes = limits.partial_bytes_before_publish

    def _send(self, type_id: int, message_stream_id: int, body: bytes) -> None:
        if message_stream_id:
            chunk_stream_id = STREAM_CHUNK_STREAM
        elif type_id == message.COMMAND_AMF0:
            chunk_stream_id = CONNECTION_CHUNK_STREAM
        else:
            chunk_stream_id = CONTROL_CHUNK_STREAM
        self._output.append(
            self._encoder.encode(chunk_stream_id, type_id, message_stream_id, 0, body)
        )
        if type_id == message.SET_CHUNK_SIZE:
            self._encoder.chunk_size = CHUNK_SIZE
