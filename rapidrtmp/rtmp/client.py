"""The client's side of an RTMP connection: publish to another server, or play from it."""

import os
import re
from collections.abc import Callable
from enum import Enum

from rapidrtmp.amf import amf0
from rapidrtmp.amf.errors import AMFError
from rapidrtmp.amf.values import Value
from rapidrtmp.rtmp import command, control, message, status
from rapidrtmp.rtmp.capabilities import PLAIN, Capabilities
from rapidrtmp.rtmp.client_events import (
    ClientEvent,
    Connected,
    Ended,
    PlayStarted,
    PublishStarted,
    ReconnectRequested,
    Rejected,
)
from rapidrtmp.rtmp.command import Command
from rapidrtmp.rtmp.endpoint import MEDIA, Endpoint
from rapidrtmp.rtmp.errors import ProtocolError
from rapidrtmp.rtmp.handshake import ClientHandshake
from rapidrtmp.rtmp.limits import Limits
from rapidrtmp.rtmp.media_encoder import CHUNK_SIZE, MediaEncoder
from rapidrtmp.rtmp.target import MAX_LENGTH, Target
from rapidrtmp.rtmp.text import printable, text_of
from rapidrtmp.rtmp.url import redact

MAX_TEXT = 256
"""Characters that are kept of what a server says."""

_FLASH_VERSION = "FMLE/3.0 (compatible; RapidRTMP)"
_PLAYER: dict[str, Value] = {
    "fpad": False,
    "capabilities": 15.0,
    "audioCodecs": 4071.0,
    "videoCodecs": 252.0,
    "videoFunction": 1.0,
}
"""What players tell besides: older servers ask for it."""
_CONNECT, _RELEASE, _FC_PUBLISH, _CREATE, _START = 1.0, 2.0, 3.0, 4.0, 5.0
"""Transaction ids."""
_LIVE_OR_RECORDED = -2.0
_ON_META_DATA = amf0.encode("onMetaData")
_SET_DATA_FRAME = amf0.encode("@setDataFrame")
_FAILURES = frozenset(
    (
        status.CONNECT_REJECTED,
        status.CONNECT_FAILED,
        status.CONNECT_INVALID_APP,
        status.CONNECT_APP_SHUTDOWN,
        status.PUBLISH_BAD_NAME,
        status.PUBLISH_DENIED,
        status.PUBLISH_REJECTED,
        status.PLAY_STREAM_NOT_FOUND,
        status.PLAY_FAILED,
        status.STREAM_FAILED,
    )
)
"""Codes that mean a failure, whatever level a server gives them."""
_ENDS = frozenset(
    (
        status.CONNECT_CLOSED,
        status.UNPUBLISH_SUCCESS,
        status.PLAY_STOP,
        status.PLAY_COMPLETE,
        status.PLAY_UNPUBLISH_NOTIFY,
    )
)
"""Codes that end what is under way."""


class ClientState(Enum):
    """How far a client has come."""

    HANDSHAKE = "handshake"
    CONNECTING = "connecting"
    CREATING = "creating"
    """Connected; a message stream is asked for."""
    STARTING = "starting"
    """Publishing or playing is asked for."""
    PUBLISHING = "publishing"
    PLAYING = "playing"
    CLOSED = "closed"
    """Send what is left and close the connection. Further input is ignored."""


class ClientSession(Endpoint):
    """Speaks RTMP with one server, without I/O and clock.

    It goes its way by itself from the handshake to `PublishStarted` or `PlayStarted`. After
    it was made and after each call, send what `data_to_send` returns, and close the
    connection when `state` is CLOSED.

    Args:
        target: the stream to publish or to play.
        publishes: whether it is to be published.
        limits: of this connection.
        random: returns so many random bytes.
        capabilities: what this client can do of Enhanced RTMP, to be told to the server.
    """

    def __init__(
        self,
        target: Target,
        publishes: bool,
        limits: Limits | None = None,
        random: Callable[[int], bytes] = os.urandom,
        capabilities: Capabilities = PLAIN,
    ) -> None:
        super().__init__(limits or Limits(), ClientHandshake(random))
        self.state = ClientState.HANDSHAKE
        self.message_stream_id = 0
        """What the server calls our message stream: its media must be encoded for it. 0 while
        there is none."""
        self._target = target
        self._publishes = publishes
        self._capabilities = capabilities
        self._media_encoder = MediaEncoder()
        self._takes_media = False
        self._bandwidth = 0
        self._events: list[ClientEvent] = []
        secrets = sorted({target.key, *_query_values(target)}, key=len, reverse=True)
        any_secret = "|".join(map(re.escape, secrets))
        self._secret = re.compile(rf"(?<![\w-])(?:{any_secret})(?![\w-])")

    def receive_data(self, data: bytes, now: float) -> list[ClientEvent]:
        """Take bytes of the server.

        Args:
            data: what arrived.
            now: seconds on any clock.

        Returns:
            What happened.

        Raises:
            ProtocolError: the server broke the protocol or a limit; `state` is CLOSED.
        """
        if self.state is ClientState.CLOSED:
            return []
        self._count_bytes(data)
        try:
            self._feed(data, now)
        except ProtocolError:
            self.state = ClientState.CLOSED
            raise
        if self._ping is not None:
            self._answer_ping(self._ping)
        events, self._events = self._events, []
        return events

    def send_media(
        self, type_id: int, timestamp: int, parts: tuple[bytes | memoryview, ...]
    ) -> None:
        """Send one message of media; nothing is sent unless `state` is PUBLISHING.

        Args:
            type_id: 8 audio, 9 video, 18 data; data is made known as the stream's metadata.
            timestamp: ms, taken modulo 2^32.
            parts: the message's body in pieces.

        Raises:
            OverflowError: it is of over 16777215 bytes.
        """
        if self.state is ClientState.PUBLISHING:
            # what is to be kept for players to come; other data messages pass by
            if type_id == message.DATA_AMF0 and b"".join(parts).startswith(_ON_META_DATA):
                parts = (_SET_DATA_FRAME, *parts)
            self._output.append(self._media_encoder.encode(type_id, timestamp, parts))

    def finish(self) -> None:
        """End the session from this side; the server is told that nothing more comes."""
        if self.state is ClientState.PUBLISHING:
            self._call("FCUnpublish", 0.0, None, self._target.name)
        if self.message_stream_id and self.state is not ClientState.CLOSED:
            self._call("deleteStream", 0.0, None, float(self.message_stream_id))
        self._close()

    # The dialogue.

    def _handshake_done(self) -> None:
        self.state = ClientState.CONNECTING
        target = self._target
        properties: dict[str, Value] = {
            "app": target.app,
            "type": "nonprivate",
            "flashVer": _FLASH_VERSION,
            "tcUrl": target.tc_url,
        }
        if not self._publishes:
            properties |= _PLAYER
        self._call("connect", _CONNECT, properties | self._capabilities.members())

    def _connected(self, call: Command) -> None:
        announced: dict[str, Value] = {}
        for argument in call.arguments[:2]:
            if isinstance(argument, dict):
                announced |= argument
        self._events.append(Connected(Capabilities.read(announced)))
        self._send(message.SET_CHUNK_SIZE, 0, control.u32(CHUNK_SIZE))
        if self._publishes:
            self._call("releaseStream", _RELEASE, None, self._target.name)
            self._call("FCPublish", _FC_PUBLISH, None, self._target.name)
        self._call("createStream", _CREATE, None)
        self.state = ClientState.CREATING

    def _created(self, number: Value) -> None:
        if not isinstance(number, float) or not 1 <= number <= 0xFFFFFFFF or number % 1:
            raise ProtocolError("protocol", "createStream was answered without a stream's number")
        self.message_stream_id = stream = int(number)
        self._media_encoder = MediaEncoder(stream)
        self.state = ClientState.STARTING
        if self._publishes:
            self._call("publish", _START, None, self._target.name, "live", stream=stream)
        else:
            self._call("play", _START, None, self._target.name, _LIVE_OR_RECORDED, stream=stream)
            self._allow_large_messages(True)
            self._takes_media = True

    def _started(self) -> None:
        if self.state is ClientState.STARTING:
            if self._publishes:
                self.state = ClientState.PUBLISHING
                self._events.append(PublishStarted())
            else:
                self.state = ClientState.PLAYING
                self._events.append(PlayStarted())

    def _stop(self, code: str, description: str, redirect: str = "") -> None:
        """End by the server's doing."""
        if self.state in (ClientState.PUBLISHING, ClientState.PLAYING):
            self._events.append(Ended(code, description))
        else:
            self._events.append(Rejected(code, description, redirect))
        self._close()

    def _close(self) -> None:
        self.state = ClientState.CLOSED
        self._takes_media = False
        self._decoder.paused = True

    # What the server sends.

    def _receive_message(
        self, type_id: int, message_stream_id: int, timestamp: int, payload: bytes
    ) -> None:
        if type_id in MEDIA:
            if self._takes_media and payload and self.on_media is not None:
                self._started()  # not all servers say so
                self.on_media(type_id, timestamp, payload)
                return
            self._count_message()
            self._drop("early_media" if payload else "empty")
            return
        self._receive_other(type_id, message_stream_id, timestamp, payload)

    def _receive_data_message(self, type_id: int, timestamp: int, payload: bytes) -> None:
        if not self._takes_media or self.on_media is None:
            self._drop("early_media")
        elif len(payload) > self._limits.metadata:
            self._drop("metadata_too_large")
        else:
            self.on_media(type_id, timestamp, payload)

    def _receive_command(self, type_id: int, message_stream_id: int, payload: bytes) -> None:
        try:
            call = self._decode_command(type_id, payload)
        except AMFError as error:
            if self.state in (ClientState.PUBLISHING, ClientState.PLAYING):
                self._drop("amf")
                return
            raise ProtocolError("amf", f"unreadable command: {error}") from error
        if call.name in (command.RESULT, command.ERROR):
            self._receive_answer(call)
        elif call.name == command.ON_STATUS:
            self._receive_status(call)
        elif call.name == "close":
            self._stop(status.CONNECT_CLOSED, "the server has closed the connection")
        elif call.transaction_id != 0:
            # servers measure the bandwidth so, and wait
            self._call(command.RESULT, call.transaction_id, None, None)

    def _receive_answer(self, call: Command) -> None:
        waits_for = {
            ClientState.CONNECTING: _CONNECT,
            ClientState.CREATING: _CREATE,
            ClientState.STARTING: _START,
        }
        if call.transaction_id != waits_for.get(self.state):
            return  # of a call that matters to some servers only
        information = _information(call)
        failed = call.name == command.ERROR or information.get("level") == status.ERROR
        if failed:
            self._fail(information)
        elif self.state is ClientState.CONNECTING:
            self._connected(call)
        elif self.state is ClientState.CREATING:
            self._created(call.argument(1))

    def _receive_status(self, call: Command) -> None:
        information = _information(call)
        code = text_of(information.get("code"))
        if code == status.CONNECT_RECONNECT_REQUEST:
            url = _url(information.get("tcUrl"))
            self._events.append(ReconnectRequested(url, self._description(information)))
        elif information.get("level") == status.ERROR or code in _FAILURES:
            self._fail(information)
        elif code == (status.PUBLISH_START if self._publishes else status.PLAY_START):
            self._started()
        elif code in _ENDS and self.state in (ClientState.PUBLISHING, ClientState.PLAYING):
            self._stop(code, self._description(information))

    def _fail(self, information: dict[str, Value]) -> None:
        more = information.get("ex")
        redirect = _url(more.get("redirect")) if isinstance(more, dict) else ""
        code = printable(text_of(information.get("code")), MAX_TEXT)
        self._stop(code or status.CALL_FAILED, self._description(information), redirect)

    def _description(self, information: dict[str, Value]) -> str:
        """Return the server's words, without our key and token: some servers repeat them."""
        text = text_of(information.get("description"))[:MAX_LENGTH]
        return printable(self._secret.sub("***", redact(text)), MAX_TEXT)

    def _receive_control(self, type_id: int, payload: bytes) -> None:
        if type_id == message.SET_PEER_BANDWIDTH and len(payload) >= 4:
            # to be answered when it is news (5.4.5)
            window = control.read_u32(payload, "Set Peer Bandwidth")
            if window != self._bandwidth:
                self._bandwidth = window
                self._send(message.WINDOW_ACKNOWLEDGEMENT_SIZE, 0, control.u32(window))
        super()._receive_control(type_id, payload)

    def _call(self, name: str, transaction_id: float, *arguments: Value, stream: int = 0) -> None:
        body = command.encode(name, transaction_id, *arguments)
        self._send(message.COMMAND_AMF0, stream, body)


def _information(call: Command) -> dict[str, Value]:
    """Return the information object of an answer or a status: the last object in it."""
    objects = [argument for argument in call.arguments if isinstance(argument, dict)]
    return objects[-1] if objects else {}


def _url(value: Value) -> str:
    text = text_of(value)
    return text if len(text) <= MAX_LENGTH and text.isprintable() else ""


def _query_values(target: Target) -> list[str]:
    """Return what in a target's query may be a secret: shorter values are common words."""
    pairs = target.name.partition("?")[2].split("&")
    return [value for pair in pairs if len(value := pair.partition("=")[2]) >= 6]
