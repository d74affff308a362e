"""What the commands of a client mean: NetConnection and NetStream (RTMP 1.0, 7.2)."""

import math
from enum import Enum

from rapidrtmp.amf.values import UNDEFINED, Value
from rapidrtmp.rtmp import authmod, command, status
from rapidrtmp.rtmp.answers import Answers, Send
from rapidrtmp.rtmp.capabilities import PLAIN, RECONNECT, Capabilities
from rapidrtmp.rtmp.command import Command
from rapidrtmp.rtmp.errors import ProtocolError
from rapidrtmp.rtmp.events import (
    ConnectRequested,
    Event,
    PlayRequested,
    PlayStopped,
    PublishRequested,
    Refused,
    Request,
    Unpublished,
)
from rapidrtmp.rtmp.limits import Limits
from rapidrtmp.rtmp.playing import COMMANDS, Playing
from rapidrtmp.rtmp.text import printable, text_of
from rapidrtmp.rtmp.url import BadName, StreamName, resolve

ANY_START = -2.0
"""The start of a play command that names none: live or recorded."""
MAX_CLIENT_LENGTH = 128
"""Characters that are kept of what a client calls itself."""

_ANSWERS = (command.RESULT, command.ERROR, command.ON_STATUS)
_PUBLISHES = "this connection publishes a stream already"


class State(Enum):
    """Where a session is. What the client may send depends on it."""

    HANDSHAKE = "handshake"
    UNCONNECTED = "unconnected"
    """The handshake is done; the connect command must come."""
    CONNECTED = "connected"
    PUBLISHING = "publishing"
    PLAYING = "playing"
    CLOSED = "closed"
    """Send what is left and close the connection. Further input is ignored."""


class NetConnection:
    """The state of one client behind the handshake: what it asked for and was granted.

    `receive` must not be called while `request` is set or the state is CLOSED.

    It publishes or plays one stream at a time.

    Args:
        limits: of the connection.
        capabilities: what the server can do, told to clients that ask by telling theirs.
        send: takes the answers.
    """

    def __init__(self, limits: Limits, capabilities: Capabilities, send: Send) -> None:
        self.state = State.UNCONNECTED
        self.request: Request | None = None
        """What waits for `accept` or `reject`."""
        self.events: list[Event] = []
        """What happened; the owner takes them away."""
        self.message_streams: set[int] = set()
        """Ids of those that are open."""
        self.published_stream = 0
        """Id of the message stream that publishes; 0 for none."""
        self.client_capabilities = PLAIN
        """What the client announced when it connected."""
        self._limits = limits
        self._capabilities = capabilities
        self._answers = Answers(send)
        self.playing = Playing(self._answers)
        self._plays = 0
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
            "FCSubscribe": self._fc_subscribe,
        } | dict.fromkeys(COMMANDS, self._control_play)

    # The owner's decisions.

    def accept(self, request: Request) -> None:
        """Grant the request that waits.

        Raises:
            ValueError: it is not the one that waits.
        """
        self._take(request)
        if isinstance(request, ConnectRequested):
            self._accept_connect(request)
        elif isinstance(request, PublishRequested):
            self._accept_publish(request)
        else:
            self.state = State.PLAYING
            self.playing.start(request)

    def reject(self, request: Request, code: str, description: str) -> None:
        """Refuse the request that waits; this closes the connection.

        Raises:
            ValueError: it is not the one that waits.
        """
        self._take(request)
        if isinstance(request, ConnectRequested):
            self._refuse_connect(request.transaction_id, code, description)
        else:
            self._answers.failure(request.message_stream_id, code, description)
            self.state = State.CLOSED

    def finish(self, code: str, description: str) -> None:
        """Close from this side; the client is told why, if it publishes, plays or asks to."""
        request = self.request
        if self.state is State.PUBLISHING:
            self._answers.failure(self.published_stream, code, description)
        elif self.state is State.PLAYING:
            self._answers.failure(self.playing.message_stream_id, code, description)
        elif isinstance(request, PublishRequested | PlayRequested):
            self._answers.failure(request.message_stream_id, code, description)
        self.request = None
        self.state = State.CLOSED

    def end_play(self, code: str, description: str) -> None:
        """Tell a player that nothing more comes; the connection goes on."""
        if self.state is State.PLAYING:
            self.playing.end(code, description)
            self.state = State.CONNECTED

    def request_reconnect(self, tc_url: str | None, description: str) -> bool:
        """Ask the client to connect anew; return whether it knows what that means."""
        is_connected = self.state not in (State.UNCONNECTED, State.CLOSED)
        if not is_connected or not self.client_capabilities.caps_ex & RECONNECT:
            return False
        extra: dict[str, Value] = {} if tc_url is None else {"tcUrl": tc_url}
        information = status.on_status(
            status.STATUS, status.CONNECT_RECONNECT_REQUEST, description, **extra
        )
        self._answers.notice(0, command.ON_STATUS, information)
        return True

    def _take(self, request: Request) -> None:
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
            self._answers.result(call, None)

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
        tc_url = text_of(properties.get("tcUrl", properties.get("tcurl")))
        self._app, in_app = authmod.split(app)
        self._tc_url, in_tc_url = authmod.split(tc_url)
        self._client = printable(text_of(properties.get("flashVer")), MAX_CLIENT_LENGTH)
        self.client_capabilities = Capabilities.read(properties)
        self.request = ConnectRequested(
            self._app,
            self._tc_url,
            self._client,
            call.transaction_id,
            self.client_capabilities,
            in_app or in_tc_url,
        )
        self.events.append(self.request)

    def _accept_connect(self, request: ConnectRequested) -> None:
        self.state = State.CONNECTED
        # who announced nothing gets what servers have always sent
        ours = self._capabilities if self.client_capabilities.is_enhanced else PLAIN
        self._answers.connected(request.transaction_id, ours)

    def _deny_connect(self, call: Command, description: str) -> None:
        self._refuse_connect(call.transaction_id, status.CONNECT_REJECTED, description)
        self.events.append(Refused(status.CONNECT_REJECTED, description))

    def _refuse_connect(self, transaction_id: float, code: str, description: str) -> None:
        self._answers.error(transaction_id, code, description)
        self.state = State.CLOSED

    def _create_stream(self, call: Command, message_stream_id: int) -> None:
        if len(self.message_streams) >= self._limits.message_streams:
            text = f"more than {self._limits.message_streams} streams on one connection"
            self._answers.error(call.transaction_id, status.CALL_FAILED, text)
            return
        self._last_message_stream += 1
        self.message_streams.add(self._last_message_stream)
        # answered even with transaction id 0: nobody can go on without the number
        self._answers.success(call.transaction_id, None, float(self._last_message_stream))

    def _release_stream(self, call: Command, message_stream_id: int) -> None:
        self._answers.result(call, UNDEFINED)

    def _fc_publish(self, call: Command, message_stream_id: int) -> None:
        self._fc_published = True
        self._answers.result(call, UNDEFINED)

    def _get_stream_length(self, call: Command, message_stream_id: int) -> None:
        self._answers.result(call, 0.0)

    def _publish(self, call: Command, message_stream_id: int) -> None:
        if self.published_stream:
            self._deny(message_stream_id, status.PUBLISH_REJECTED, _PUBLISHES)
            return
        self._stop_playing()
        if message_stream_id not in self.message_streams:
            self._dismiss(
                message_stream_id, status.PUBLISH_REJECTED, "publish without createStream"
            )
            return
        try:
            name = self._resolve(call.argument(1))
        except BadName as error:
            self._dismiss(message_stream_id, status.PUBLISH_BAD_NAME, str(error))
            return
        self.request = PublishRequested(
            app=name.app,
            key=name.key,
            parameters=name.parameters,
            publish_type=printable(text_of(call.argument(2)), MAX_CLIENT_LENGTH) or "live",
            message_stream_id=message_stream_id,
            client=self._client,
        )
        self.events.append(self.request)

    def _accept_publish(self, request: PublishRequested) -> None:
        self.state = State.PUBLISHING
        self.published_stream = request.message_stream_id
        self._published_key = request.key
        self._answers.stream_begin(request.message_stream_id)
        start = status.on_status(
            status.STATUS, status.PUBLISH_START, f"{request.key} is now published."
        )
        self._answers.notice(request.message_stream_id, command.ON_STATUS, start)
        if self._fc_published:
            # Livestream Studio and some hardware wait for it
            self._answers.notice(0, "onFCPublish", start)

    def _deny(self, message_stream_id: int, code: str, description: str) -> None:
        """Refuse a call of NetStream without asking the owner."""
        self._answers.failure(message_stream_id, code, description)
        self.events.append(Refused(code, description))

    def _dismiss(self, message_stream_id: int, code: str, description: str) -> None:
        """Refuse a call of NetStream that cannot be meant so, and close."""
        self._deny(message_stream_id, code, description)
        self.state = State.CLOSED

    def _fc_unpublish(self, call: Command, message_stream_id: int) -> None:
        self._answers.result(call, UNDEFINED)
        if self._is_published(call.argument(1)):
            success = status.on_status(
                status.STATUS,
                status.UNPUBLISH_SUCCESS,
                f"{self._published_key} is no longer published.",
            )
            self._answers.notice(0, "onFCUnpublish", success)
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
            elif number == self.playing.message_stream_id:
                self._stop_playing()

    def _close_stream(self, call: Command, message_stream_id: int) -> None:
        if self.published_stream and message_stream_id in (0, self.published_stream):
            self._unpublish()
        elif message_stream_id in (0, self.playing.message_stream_id):
            self._stop_playing()

    def _unpublish(self) -> None:
        self.events.append(Unpublished(self._published_key))
        self.state = State.CONNECTED
        self.published_stream = 0

    def _play(self, call: Command, message_stream_id: int) -> None:
        if self.published_stream:
            self._deny(message_stream_id, status.PLAY_FAILED, _PUBLISHES)
            return
        self._plays += 1
        if self._plays > self._limits.plays:
            self._dismiss(
                message_stream_id,
                status.PLAY_FAILED,
                f"more than {self._limits.plays} play commands on one connection",
            )
            return
        if message_stream_id not in self.message_streams:
            self._dismiss(message_stream_id, status.PLAY_FAILED, "play without createStream")
            return
        self._stop_playing()
        try:
            name = self._resolve(_played_name(call.argument(1)))
        except BadName as error:
            self._dismiss(message_stream_id, status.PLAY_STREAM_NOT_FOUND, str(error))
            return
        start = call.argument(2)
        if not isinstance(start, float) or not math.isfinite(start):
            start = ANY_START
        reset = call.argument(4)
        self.request = PlayRequested(
            app=name.app,
            key=name.key,
            parameters=name.parameters,
            start=start,
            is_reset=reset is None or bool(reset),
            message_stream_id=message_stream_id,
            client=self._client,
            capabilities=self.client_capabilities,
        )
        self.events.append(self.request)

    def _stop_playing(self) -> None:
        if self.state is State.PLAYING:
            self.events.append(PlayStopped(self.playing.key))
            self.playing.message_stream_id = 0
            self.state = State.CONNECTED

    def _control_play(self, call: Command, message_stream_id: int) -> None:
        if self.state is not State.PLAYING:
            self._answers.result(call, None)
        elif event := self.playing.receive(call):
            self.events.append(event)

    def _fc_subscribe(self, call: Command, message_stream_id: int) -> None:
        self._answers.result(call, UNDEFINED)
        # FMLE and its like play after it only; nothing is decided by it
        start = status.on_status(status.STATUS, status.PLAY_START, "Subscribed.")
        self._answers.notice(0, "onFCSubscribe", start)

    def _resolve(self, name: Value) -> StreamName:
        return resolve(self._app, self._tc_url, text_of(name))

    def _is_published(self, name: Value) -> bool:
        """Whether a stream name, or none at all, means what is published here."""
        if not self.published_stream:
            return False
        try:
            return not text_of(name) or self._resolve(name).key == self._published_key
        except BadName:
            return False


def _played_name(name: Value) -> Value:
    """Return the stream name in the first argument of play or play2 (NetStreamPlayOptions)."""
    return name.get("streamName") if isinstance(name, dict) else name
