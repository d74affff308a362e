"""The server's side of an RTMP connection, from bytes to events and back (RTMP 1.0, 5)."""

import os
from collections.abc import Callable
from itertools import islice

from rapidrtmp.amf.errors import AMFError
from rapidrtmp.rtmp import command, control, message
from rapidrtmp.rtmp.chunk import ChunkDecoder, ChunkEncoder
from rapidrtmp.rtmp.errors import ProtocolError
from rapidrtmp.rtmp.events import ConnectRequested, Event, PublishRequested
from rapidrtmp.rtmp.handshake import ServerHandshake
from rapidrtmp.rtmp.limits import Limits
from rapidrtmp.rtmp.netconnection import CHUNK_SIZE, NetConnection, State
from rapidrtmp.rtmp.window import AcknowledgementWindow

CONTROL_CHUNK_STREAM = 2
CONNECTION_CHUNK_STREAM = 3
STREAM_CHUNK_STREAM = 5

_MEDIA = (message.AUDIO, message.VIDEO)
_DATA = (message.DATA_AMF0, message.DATA_AMF3)
_COMMANDS = (message.COMMAND_AMF0, message.COMMAND_AMF3)
_WITHOUT_MEANING = (message.ACKNOWLEDGEMENT, message.USER_CONTROL, message.SET_PEER_BANDWIDTH)


class ServerSession:
    """Speaks RTMP with one client, without I/O, clock or knowledge of streams.

    After each call, send what `data_to_send` returns, and close the connection when `state`
    is CLOSED: from then on, input is ignored.

    At a request event the session waits: it keeps what the client sends, unread, until the
    owner calls `accept` or `reject`. Events after it come from `accept`.

    Args:
        limits: of this connection.
        random: returns so many random bytes.
    """

    def __init__(
        self, limits: Limits | None = None, random: Callable[[int], bytes] = os.urandom
    ) -> None:
        self.on_media: Callable[[int, int, bytes], None] | None = None
        """Takes each message of an accepted publisher: type id (8 audio, 9 video, 15 and 18
        data), timestamp (u32 ms), body. Set it before `accept`."""
        self.bytes_received = 0
        self.dropped: dict[str, int] = {}
        """Messages that were left out, by reason: empty (audio and video without a body),
        early_media, other_stream, metadata_too_large, aggregate, amf, unknown_type."""
        self._limits = limits or Limits()
        self._handshake: ServerHandshake | None = ServerHandshake(random)
        self._decoder = ChunkDecoder(self._limits, self._receive_message)
        self._encoder = ChunkEncoder()
        self._window = AcknowledgementWindow()
        self._connection = NetConnection(self._limits.message_streams, self._send)
        self._output: list[bytes] = []
        self._ping: bytes | None = None
        self._now = 0.0
        self._second = 0.0  # when the counting of messages began
        self._messages = 0  # in it, but an accepted publisher's media
        self._early_media = 0  # bytes

    @property
    def state(self) -> State:
        """Where the session is."""
        state = self._connection.state
        if self._handshake is not None and state is State.UNCONNECTED:
            return State.HANDSHAKE
        return state

    @property
    def waiting(self) -> bool:
        """Whether a request waits for `accept` or `reject`."""
        return self._connection.request is not None

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take bytes of the client.

        Args:
            data: what arrived.
            now: seconds on any clock.

        Returns:
            What happened. A request is always the last event.

        Raises:
            ProtocolError: the client broke the protocol or a limit; `state` is CLOSED.
        """
        if self._connection.state is State.CLOSED:
            return []
        self.bytes_received += len(data)
        sequence = self._window.receive(len(data))
        if sequence is not None and self._handshake is None:
            self._send(message.ACKNOWLEDGEMENT, 0, control.u32(sequence))
        return self._advance(data, now)

    def data_to_send(self) -> list[bytes]:
        """Return what is to be sent since the last call."""
        output, self._output = self._output, []
        return output

    def accept(self, request: ConnectRequested | PublishRequested, now: float) -> list[Event]:
        """Grant the request that waits, then go on with what the client has sent meanwhile.

        Returns:
            What happened further, as `receive_data`; nothing when the session is closed.

        Raises:
            ProtocolError: as `receive_data`.
            ValueError: it is not the request that waits.
        """
        if self._connection.state is State.CLOSED:
            return []
        self._connection.accept(request)
        if self._connection.published_stream:
            self._decoder.max_message_size = self._limits.message
            self._decoder.max_partial_bytes = self._limits.partial_bytes
            self._early_media = 0
        self._decoder.paused = False
        return self._advance(b"", now)

    def reject(
        self, request: ConnectRequested | PublishRequested, code: str, description: str
    ) -> None:
        """Refuse the request that waits; the session is over.

        Args:
            request: the one that waits.
            code: one of `status`, of level error.
            description: why, in plain words for the person at the encoder.

        Raises:
            ValueError: it is not the request that waits.
        """
        if self._connection.state is not State.CLOSED:
            self._connection.reject(request, code, description)

    def finish(self, code: str, description: str) -> None:
        """End the session from this side; the client is told why."""
        self._connection.finish(code, description)
        self._decoder.paused = True

    def _advance(self, data: bytes, now: float) -> list[Event]:
        self._now = now
        try:
            if self._handshake is not None:
                data = self._shake_hands(self._handshake, data)
            self._decoder.receive(data)
            if self.waiting and self._decoder.kept > self._limits.waiting_bytes:
                raise ProtocolError(
                    "flood",
                    f"more than {self._limits.waiting_bytes} bytes behind an unanswered request",
                )
        except ProtocolError:
            self._connection.state = State.CLOSED
            raise
        if self._ping is not None:
            # one answer a read, to the newest request: pings must not fill the output
            self._send(message.USER_CONTROL, 0, control.ping_response(self._ping))
            self._ping = None
        events, self._connection.events = self._connection.events, []
        return events

    def _shake_hands(self, handshake: ServerHandshake, data: bytes) -> bytes:
        """Feed the handshake and return what follows it."""
        done = handshake.receive(data)
        self._output += handshake.output
        handshake.output.clear()
        if not done:
            return b""
        self._handshake = None
        return handshake.remainder

    # Messages.

    def _receive_message(
        self, type_id: int, message_stream_id: int, timestamp: int, payload: bytes
    ) -> None:
        if type_id in _MEDIA:
            published = self._connection.published_stream
            # devices send media on ids that they never opened, as there is just one
            if not (published and payload and self.on_media) or (
                message_stream_id != published
                and message_stream_id in self._connection.message_streams
            ):
                self._count_message()
                self._drop_media(payload)
                return
            self.on_media(type_id, timestamp, payload)
            return
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

    def _drop_media(self, payload: bytes) -> None:
        if self._connection.state is State.UNCONNECTED:
            raise ProtocolError("protocol", "audio, video or data before connect")
        if not payload:
            self._drop("empty")
        elif self._connection.published_stream:
            self._drop("other_stream")
        else:
            self._drop("early_media")
            self._early_media += len(payload)
            if self._early_media > self._limits.media_before_publish:
                raise ProtocolError(
                    "early_media",
                    f"more than {self._limits.media_before_publish} bytes of media "
                    "while nothing is published",
                )

    def _receive_data_message(self, type_id: int, timestamp: int, payload: bytes) -> None:
        if not self._connection.published_stream or self.on_media is None:
            self._drop_media(payload)
        elif len(payload) > self._limits.metadata:
            self._drop("metadata_too_large")
        else:
            self.on_media(type_id, timestamp, payload)

    def _receive_aggregate(self, message_stream_id: int, timestamp: int, payload: bytes) -> None:
        messages = message.split_aggregate(timestamp, payload)
        try:
            for type_id, time, body in islice(messages, self._limits.aggregated_messages):
                if type_id in _MEDIA or type_id == message.DATA_AMF0:
                    self._receive_message(type_id, message_stream_id, time, body)
                else:
                    self._drop("unknown_type")
            if next(messages, None) is not None:
                self._drop("aggregate")
        except message.MalformedMessage:
            self._drop("aggregate")

    def _receive_command(self, type_id: int, message_stream_id: int, payload: bytes) -> None:
        if type_id == message.COMMAND_AMF3:
            payload = payload[1:]  # a format selector; AMF0 follows (Adobe, AMF3 in RTMP)
        try:
            call = command.decode(payload, self._limits.amf)
        except AMFError as error:
            if self._connection.published_stream:
                self._drop("amf")
                return
            raise ProtocolError("amf", f"unreadable command: {error}") from error
        self._connection.receive(call, message_stream_id)
        if not self._connection.published_stream:
            self._decoder.max_message_size = self._limits.message_before_publish
            self._decoder.max_partial_bytes = self._limits.partial_bytes_before_publish
        self._decoder.paused = self.waiting or self._connection.state is State.CLOSED

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

    def _send(self, type_id: int, message_stream_id: int, body: bytes) -> None:
        if type_id != message.COMMAND_AMF0:
            chunk_stream_id = CONTROL_CHUNK_STREAM
        elif message_stream_id:
            chunk_stream_id = STREAM_CHUNK_STREAM
        else:
            chunk_stream_id = CONNECTION_CHUNK_STREAM
        self._output.append(
            self._encoder.encode(chunk_stream_id, type_id, message_stream_id, 0, body)
        )
        if type_id == message.SET_CHUNK_SIZE:
            self._encoder.chunk_size = CHUNK_SIZE
