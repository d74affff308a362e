"""What the commands of a client mean: NetConnection and NetStream (RTMP 1.0, 7.2)."""

from collections.abc import Callable
from enum import Enum

from rapidrtmp.amf.values import UNDEFINED, Value
from rapidrtmp.rtmp import command, control, message, status
from rapidrtmp.rtmp.command import Command
from rapidrtmp.rtmp.errors import ProtocolError
from rapidrtmp.rtmp.events import ConnectRequested, Event, PublishRequested, Refused, Unpublished
from rapidrtmp.rtmp.url import BadName, StreamName, resolve

WINDOW_SIZE = 2_500_000
"""Bytes: our Window Acknowledgement Size and Set Peer Bandwidth."""
CHUNK_SIZE = 65_536
"""Bytes: what we send with. FFmpeg adopts it as its own instead of 128."""
MAX_CLIENT_LENGTH = 128
"""Characters that are kept of what a client calls itself."""

Send = Callable[[int, int, bytes], None]
"""Sends a message: type id, message stream id, body."""

_SERVER: dict[str, Value] = {"fmsVer": "FMS/3,0,1,123", "capabilities": 31.0}
_ANSWERS = (command.RESULT, command.ERROR, command.ON_STATUS)


class State(Enum):
    """Where a session is. What the client may send depends on it."""

    HANDSHAKE = "handshake"
    UNCONNECTED = "unconnected"
    """The handshake is done; the connect command must come."""
    CONNECTED = "connected"
    PUBLISHING = "publishing"
    CLOSED = "closed"
    """Send what is left and close the connection. Further input is ignored."""


class NetConnection:
    """The state of one client behind the handshake: what it asked for and was granted.

    `receive` must not be called while `request` is set or the state is CLOSED.

    Args:
        max_message_streams: message streams that may be open at a time.
        send: takes the answers.
    """

    def __init__(self, max_message_streams: int, send: Send) -> None:
        self.state = State.UNCONNECTED
        self.request: ConnectRequested | PublishRequested | None = None
        """What waits for `accept` or `reject`."""
        self.events: list[Event] = []
        """What happened; the owner takes them away."""
        self.message_streams: set[int] = set()
        """Ids of those that are open."""
        self.published_stream = 0
        """Id of the message stream that publishes; 0 for none."""
        self._max_message_streams = max_message_streams
        self._send = send
        self._last_message_stream = 0
        self._app = ""
        self._tc_url = ""
        self._client = ""
        self._published_key = ""
        self._fc_published = False
        self._commands = {
            "createStream": self._create_stream,
            "releaseStream": self._release_stream,
            "FCPublish": self._fc_publish,
            "publish": self._publish,
            "FCUnpublish": self._fc_unpublish,
            "deleteStream": self._delete_stream,
            "closeStream": self._close_stream,
            "getStreamLength": self._get_stream_length,
            "play": self._play,
            "play2": self._play,
        }

    # The owner's decisions.

    def accept(self, request: ConnectRequested | PublishRequested) -> None:
        """Grant the request that waits.

        Raises:
            ValueError: it is not the one that waits.
        """
        self._take(request)
        if isinstance(request, ConnectRequested):
            self._accept_connect(request)
        else:
            self._accept_publish(request)

    def reject(
        self, request: ConnectRequested | PublishRequested, code: str, description: str
    ) -> None:
        """Refuse the request that waits; this closes the connection.

        Raises:
            ValueError: it is not the one that waits.
        """
        self._take(request)
        if isinstance(request, ConnectRequested):
            self._refuse_connect(request.transaction_id, code, description)
        else:
            self._send_error(request.message_stream_id, code, description)
            self.state = State.CLOSED

    def finish(self, code: str, description: str) -> None:
        """Close from this side; the client is told why, if it publishes or asks to."""
        request = self.request
        if self.state is State.PUBLISHING:
            self._send_error(self.published_stream, code, description)
        elif isinstance(request, PublishRequested):
            self._send_error(request.message_stream_id, code, description)
        self.request = None
        self.state = State.CLOSED

    def _take(self, request: ConnectRequested | PublishRequested) -> None:
        if request is not self.request:
            raise ValueError("not the request that waits")
        self.request = None

    # Commands.

    def receive(self, call: Command, message_stream_id: int) -> None:
        """Do what a command asks for and answer it.

        Raises:
            ProtocolError: ``protocol``, it came before connect.
        """
        if call.name == "connect":
            self._connect(call)
        elif self.state is State.UNCONNECTED:
            raise ProtocolError("protocol", "a command before connect")
        elif method := self._commands.get(call.name):
            method(call, message_stream_id)
        elif call.name not in _ANSWERS:
            # some clients ask for more than they need, and wait
            self._send_result(call, None)

    def _connect(self, call: Command) -> None:
        if self.state is not State.UNCONNECTED:
            self._deny_connect(call, "this connection is connected already")
            return
        properties = call.argument(0)
        if not isinstance(properties, dict):
            properties = {}
        app = properties.get("app", "")
        if not isinstance(app, str):
            self._deny_connect(call, "app must be a string")
            return
        self._app = app
        self._tc_url = _text(properties.get("tcUrl", properties.get("tcurl")))
        self._client = _printable(_text(properties.get("flashVer")))
        self.request = ConnectRequested(self._app, self._tc_url, self._client, call.transaction_id)
        self.events.append(self.request)

    def _accept_connect(self, request: ConnectRequested) -> None:
        self.state = State.CONNECTED
        self._send(message.WINDOW_ACKNOWLEDGEMENT_SIZE, 0, control.u32(WINDOW_SIZE))
        limit = control.peer_bandwidth(WINDOW_SIZE, control.LIMIT_DYNAMIC)
        self._send(message.SET_PEER_BANDWIDTH, 0, limit)
        self._send(message.USER_CONTROL, 0, control.stream_begin(0))
        self._send(message.SET_CHUNK_SIZE, 0, control.u32(CHUNK_SIZE))
        # objectEncoding 0: clients that offer AMF3 fall back to AMF0
        success = status.on_status(
            status.STATUS, status.CONNECT_SUCCESS, "Connection succeeded.", objectEncoding=0.0
        )
        body = command.encode(command.RESULT, request.transaction_id, _SERVER, success)
        self._send(message.COMMAND_AMF0, 0, body)

    def _deny_connect(self, call: Command, description: str) -> None:
        self._refuse_connect(call.transaction_id, status.CONNECT_REJECTED, description)
        self.events.append(Refused(status.CONNECT_REJECTED, description))

    def _refuse_connect(self, transaction_id: float, code: str, description: str) -> None:
        refusal = status.on_status(status.ERROR, code, description)
        body = command.encode(command.ERROR, transaction_id, None, refusal)
        self._send(message.COMMAND_AMF0, 0, body)
        self.state = State.CLOSED

    def _create_stream(self, call: Command, message_stream_id: int) -> None:
        if len(self.message_streams) >= self._max_message_streams:
            refusal = status.on_status(
                status.ERROR,
                status.CALL_FAILED,
                f"more than {self._max_message_streams} streams on one connection",
            )
            body = command.encode(command.ERROR, call.transaction_id, None, refusal)
        else:
            self._last_message_stream += 1
            self.message_streams.add(self._last_message_stream)
            body = command.encode(
                command.RESULT, call.transaction_id, None, float(self._last_message_stream)
            )
        self._send(message.COMMAND_AMF0, 0, body)

    def _release_stream(self, call: Command, message_stream_id: int) -> None:
        self._send_result(call, UNDEFINED)

    def _fc_publish(self, call: Command, message_stream_id: int) -> None:
        self._fc_published = True
        self._send_result(call, UNDEFINED)

    def _get_stream_length(self, call: Command, message_stream_id: int) -> None:
        self._send_result(call, 0.0)

    def _publish(self, call: Command, message_stream_id: int) -> None:
        if self.published_stream:
            self._deny(
                message_stream_id,
                status.PUBLISH_REJECTED,
                "this connection publishes a stream already",
            )
            return
        if message_stream_id not in self.message_streams:
            self._deny(message_stream_id, status.PUBLISH_REJECTED, "publish without createStream")
            self.state = State.CLOSED
            return
        try:
            name = self._resolve(call.argument(1))
        except BadName as error:
            self._deny(message_stream_id, status.PUBLISH_BAD_NAME, str(error))
            self.state = State.CLOSED
            return
        self.request = PublishRequested(
            app=name.app,
            key=name.key,
            parameters=name.parameters,
            publish_type=_printable(_text(call.argument(2))) or "live",
            message_stream_id=message_stream_id,
            client=self._client,
        )
        self.events.append(self.request)

    def _accept_publish(self, request: PublishRequested) -> None:
        self.state = State.PUBLISHING
        self.published_stream = request.message_stream_id
        self._published_key = request.key
        self._send(message.USER_CONTROL, 0, control.stream_begin(request.message_stream_id))
        start = status.on_status(
            status.STATUS, status.PUBLISH_START, f"{request.key} is now published."
        )
        self._send_notice(request.message_stream_id, command.ON_STATUS, start)
        if self._fc_published:
            # Livestream Studio and some hardware wait for it
            self._send_notice(0, "onFCPublish", start)

    def _deny(self, message_stream_id: int, code: str, description: str) -> None:
        """Refuse a call of NetStream without asking the owner."""
        self._send_error(message_stream_id, code, description)
        self.events.append(Refused(code, description))

    def _fc_unpublish(self, call: Command, message_stream_id: int) -> None:
        self._send_result(call, UNDEFINED)
        if self._is_published(call.argument(1)):
            success = status.on_status(
                status.STATUS,
                status.UNPUBLISH_SUCCESS,
                f"{self._published_key} is no longer published.",
            )
            self._send_notice(0, "onFCUnpublish", success)
            self._unpublish()

    def _delete_stream(self, call: Command, message_stream_id: int) -> None:
        deleted = call.argument(1)
        if isinstance(deleted, float):
            # compared as floats: the client's number may be NaN or beyond any integer
            found = [number for number in self.message_streams if number == deleted]
        else:
            # GStreamer names the stream, on message stream 0
            found = [self.published_stream] if self._is_published(deleted) else []
        for number in found:
            self.message_streams.discard(number)
            if number == self.published_stream:
                self._unpublish()

    def _close_stream(self, call: Command, message_stream_id: int) -> None:
        if self.published_stream and message_stream_id in (0, self.published_stream):
            self._unpublish()

    def _unpublish(self) -> None:
        self.events.append(Unpublished(self._published_key))
        self.state = State.CONNECTED
        self.published_stream = 0

    def _play(self, call: Command, message_stream_id: int) -> None:
        try:
            page = f"/player/{self._resolve(call.argument(1)).key}"
        except BadName:
            page = "/"
        self._deny(
            message_stream_id,
            status.PLAY_FAILED,
            f"playing by RTMP is not supported here; open {page} of this server in a browser",
        )

    def _resolve(self, name: Value) -> StreamName:
        return resolve(self._app, self._tc_url, _text(name))

    def _is_published(self, name: Value) -> bool:
        """Whether a stream name, or none at all, means what is published here."""
        if not self.published_stream:
            return False
        try:
            return not _text(name) or self._resolve(name).key == self._published_key
        except BadName:
            return False

    # Answers.

    def _send_result(self, call: Command, value: Value) -> None:
        if call.transaction_id != 0:
            body = command.encode(command.RESULT, call.transaction_id, None, value)
            self._send(message.COMMAND_AMF0, 0, body)

    def _send_notice(
        self, message_stream_id: int, name: str, information: dict[str, Value]
    ) -> None:
        body = command.encode(name, 0.0, None, information)
        self._send(message.COMMAND_AMF0, message_stream_id, body)

    def _send_error(self, message_stream_id: int, code: str, description: str) -> None:
        information = status.on_status(status.ERROR, code, description)
        self._send_notice(message_stream_id, command.ON_STATUS, information)


def _text(value: Value) -> str:
    return value if isinstance(value, str) else ""


def _printable(text: str) -> str:
    """Make a client's text fit for a log line: short, without control characters."""
    short = text[:MAX_CLIENT_LENGTH]
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in short)
