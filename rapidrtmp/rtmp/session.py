"""The server's side of an RTMP connection, from bytes to events and back (RTMP 1.0, 5)."""

import os
from collections.abc import Callable

from rapidrtmp.amf.errors import AMFError
from rapidrtmp.rtmp import control, message
from rapidrtmp.rtmp.capabilities import PLAIN, Capabilities
from rapidrtmp.rtmp.endpoint import MEDIA, Endpoint
from rapidrtmp.rtmp.errors import ProtocolError
from rapidrtmp.rtmp.events import Event, Request
from rapidrtmp.rtmp.handshake import ServerHandshake
from rapidrtmp.rtmp.limits import Limits
from rapidrtmp.rtmp.netconnection import NetConnection, State


class ServerSession(Endpoint):
    """Speaks RTMP with one client, without I/O, clock or knowledge of streams.

    After each call, send what `data_to_send` returns, and close the connection when `state`
    is CLOSED: from then on, input is ignored.

    At a request event the session waits: it keeps what the client sends, unread, until the
    owner calls `accept` or `reject`. Events after it come from `accept`.

    An accepted publisher's media goes to `on_media`. What an accepted player is sent, its
    owner makes once for all players by a `MediaEncoder` and sends behind `data_to_send`.

    Args:
        limits: of this connection.
        random: returns so many random bytes.
        capabilities: what the server can do of Enhanced RTMP, to be told to clients.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        random: Callable[[int], bytes] = os.urandom,
        capabilities: Capabilities = PLAIN,
    ) -> None:
        super().__init__(limits or Limits(), ServerHandshake(random))
        self.buffer_length = 0
        """ms that the player says it buffers; 0 until it does."""
        self._connection = NetConnection(self._limits, capabilities, self._send)
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
        self._count_bytes(data)
        return self._advance(data, now)

    def accept(self, request: Request, now: float) -> list[Event]:
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
            self._allow_large_messages(True)
            self._early_media = 0
        self._decoder.paused = False
        return self._advance(b"", now)

    def reject(self, request: Request, code: str, description: str) -> None:
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

    def end_play(self, code: str, description: str) -> None:
        """Tell the player that its stream has ended; it may ask for another one.

        Without effect when nothing is played.

        Args:
            code: why, as a rule `status.PLAY_UNPUBLISH_NOTIFY`; of level status.
            description: the same in plain words.
        """
        self._connection.end_play(code, description)

    def request_reconnect(self, tc_url: str | None, description: str) -> bool:
        """Ask the client to connect anew, and go on serving it until it leaves.

        Args:
            tc_url: where to; None for the same place.
            description: why, in plain words.

        Returns:
            Whether the client was asked: only those are that announced to understand it.
        """
        return self._connection.request_reconnect(tc_url, description)

    def _advance(self, data: bytes, now: float) -> list[Event]:
        connection = self._connection
        try:
            self._feed(data, now)
            if connection.request is not None and self._decoder.kept > self._limits.waiting_bytes:
                raise ProtocolError(
                    "flood",
                    f"more than {self._limits.waiting_bytes} bytes behind an unanswered request",
                )
        except ProtocolError:
            connection.state = State.CLOSED
            raise
        if self._ping is not None:
            self._answer_ping(self._ping)
        if not connection.events:
            return []
        events, connection.events = connection.events, []
        return events

    def _handshake_done(self) -> None:
        """The client begins."""

    # Messages.

    def _receive_message(
        self, type_id: int, message_stream_id: int, timestamp: int, payload: bytes
    ) -> None:
        if type_id not in MEDIA:
            self._receive_other(type_id, message_stream_id, timestamp, payload)
            return
        connection = self._connection
        published = connection.published_stream
        # devices send media on ids that they never opened, as there is just one
        if not (published and payload and self.on_media) or (
            message_stream_id != published and message_stream_id in connection.message_streams
        ):
            self._count_message()
            self._drop_media(payload)
            return
        self.on_media(type_id, timestamp, payload)

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

    def _receive_command(self, type_id: int, message_stream_id: int, payload: bytes) -> None:
        try:
            call = self._decode_command(type_id, payload)
        except AMFError as error:
            if self._connection.published_stream:
                self._drop("amf")
                return
            raise ProtocolError("amf", f"unreadable command: {error}") from error
        self._connection.receive(call, message_stream_id)
        if not self._connection.published_stream:
            self._allow_large_messages(False)
        self._decoder.paused = self.waiting or self._connection.state is State.CLOSED

    def _receive_control(self, type_id: int, payload: bytes) -> None:
        if type_id == message.USER_CONTROL:
            length = control.read_buffer_length(payload)
            if length is not None:
                self.buffer_length = length
        super()._receive_control(type_id, payload)
