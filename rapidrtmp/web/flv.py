"""``/live/<key>.flv``: a stream as endless FLV, as an HTTP body or in WebSocket messages."""

# Twisted's request methods carry no annotations yet.
# mypy: allow-untyped-calls

import struct
from collections.abc import Sequence
from secrets import token_hex

from twisted.internet.defer import CancelledError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.server import NOT_DONE_YET
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import AcceptConnection, CloseConnection, Ping
from wsproto.frame_protocol import CloseReason
from wsproto.handshake import H11Handshake
from wsproto.utilities import RemoteProtocolError

from rapidrtmp.auth.playback import PlaybackAuthenticator
from rapidrtmp.flv import file
from rapidrtmp.flv.metadata import track_number
from rapidrtmp.flv.muxer import Message
from rapidrtmp.interfaces import AccessDenied, AccessRequest, NotFound, NotReady
from rapidrtmp.media.key import is_stream_key
from rapidrtmp.media.track import Track
from rapidrtmp.protocol.fanout import FLV, Form, Frame
from rapidrtmp.protocol.player import Player, Seat, Unplayable, Writer, admit
from rapidrtmp.stream.lifecycle import StreamState
from rapidrtmp.stream.manager import StreamManager
from rapidrtmp.web.allowance import Allowance
from rapidrtmp.web.channel import Channel
from rapidrtmp.web.live import NOT_LIVE, denied, not_ready, query, user_agent
from rapidrtmp.web.request import Request
from rapidrtmp.web.responses import error_body

MAX_SAID = 64 * 1024
"""Bytes that a WebSocket client may send at once: pings and a close are all that it has to say,
and unmasking costs far more than sending."""

SAID_RATE = 1024.0
"""Bytes a second that are fine for ever."""

_WEBSOCKET_VERSION = {b"Sec-WebSocket-Version": b"13"}


class FLVPlayer(Player):
    """Somebody who plays FLV. It cannot say what codecs it knows: it gets what there is."""

    protocol = FLV
    _log = Logger()

    def __init__(self, seat: Seat, request: Request, writer: Writer, form: Form) -> None:
        super().__init__(seat, writer, form)
        self._request = request
        self._has_begun = False

    def _select(self, tracks: Sequence[Track]) -> Sequence[Track]:
        chosen = [track for track in tracks if track_number(track) == 0]
        if not chosen:
            raise Unplayable("the stream has no first track, which is all that FLV players take")
        return chosen

    def _write_headers(self, tracks: Sequence[Track], headers: Sequence[Message]) -> None:
        if not self._has_begun:
            self._has_begun = True
            kinds = {track.kind for track in tracks}
            self._write(self._framed(file.header("audio" in kinds, "video" in kinds)))
        for header in headers:
            self._write(self._framed(b"".join(file.tag(*header))))

    def _unplayable(self, description: str) -> None:
        self._ended()

    def _cut(self) -> None:
        self.close()
        self._request.channel.forceAbortClient()

    def crash(self) -> None:
        """Break the answer off."""
        self._log.failure("a player of FLV failed")
        self._cut()

    def _framed(self, data: bytes) -> bytes:
        """Return the file's header or a tag as it is sent."""
        return data


class HTTPPlayer(FLVPlayer):
    """Somebody who is sent FLV as the body of an answer that does not end."""

    def __init__(self, seat: Seat, request: Request) -> None:
        super().__init__(seat, request, request, Frame.tag)

    def begin(self) -> None:
        """Answer."""
        request = self._request
        describe(request)
        request.notifyFinish().addErrback(lambda _: self.close())
        request.registerProducer(self, True)
        self.start()

    def _write(self, data: bytes) -> None:
        self._request.write(data)

    def _ended(self) -> None:
        self.close()
        self._request.unregisterProducer()
        self._request.finish()


class WebSocketPlayer(FLVPlayer):
    """Somebody who is sent FLV in binary messages (RFC 6455): the header, then tags."""

    def __init__(self, seat: Seat, request: Request) -> None:
        channel = request.channel
        assert isinstance(channel, Channel)
        super().__init__(seat, request, channel, _message)
        self._channel = channel

    def begin(self, handshake: H11Handshake) -> None:
        """Switch protocols.

        Args:
            handshake: knows the client's request, which is in order.
        """
        channel = self._channel
        accepted = handshake.send(AcceptConnection())
        assert handshake.connection is not None
        self._connection: Connection = handshake.connection
        self._allowance = Allowance(channel.factory.reactor.seconds, MAX_SAID, SAID_RATE)
        channel.upgrade(self._request, _WebSocket(self))
        channel.write(accepted)
        self._request.registerProducer(self, True)
        self.start()

    def received(self, data: bytes) -> None:
        """Take bytes of the client, whose messages mean nothing."""
        connection = self._connection
        if connection.state is not ConnectionState.OPEN:
            return
        if not self._allowance.take(len(data)):
            self._finish(CloseReason.POLICY_VIOLATION, "a player has nothing to send")
            return
        connection.receive_data(data)
        for event in connection.events():
            if isinstance(event, CloseConnection):
                self.close()
                self._channel.write(connection.send(event.response()))
                self._channel.loseConnection()
                return
            if isinstance(event, Ping) and not self._is_full:
                self._channel.write(connection.send(event.response()))

    def _framed(self, data: bytes) -> bytes:
        return message_header(len(data)) + data

    def _write(self, data: bytes) -> None:
        self._channel.write(data)

    def _ended(self) -> None:
        self._finish(CloseReason.NORMAL_CLOSURE, "the stream is over")

    def _finish(self, code: CloseReason, reason: str) -> None:
        self.close()
        self._request.unregisterProducer()
        if self._connection.state is ConnectionState.OPEN:
            self._channel.write(self._connection.send(CloseConnection(code, reason)))
        self._channel.loseConnection()


class _WebSocket(Protocol):
    """What takes a connection over from HTTP."""

    def __init__(self, player: WebSocketPlayer) -> None:
        self._player = player

    def dataReceived(self, data: bytes) -> None:
        """Take bytes."""
        self._player.received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone."""
        self._player.close()


def message_header(size: int) -> bytes:
    """Return what stands before a whole binary message from a server (RFC 6455 section 5.2).

    All players share the rest, so it is not made by the library, which would copy it.
    """
    if size < 126:
        return bytes((0x82, size))
    if size <= 0xFFFF:
        return struct.pack(">BBH", 0x82, 126, size)
    return struct.pack(">BBQ", 0x82, 127, size)


def _message(frame: Frame) -> bytes:
    """Return the message of a frame, for all who play by WebSocket."""
    tag = frame.tag()
    return message_header(len(tag)) + tag


def describe(request: Request) -> None:
    """Set the headers of endless FLV."""
    request.setHeader(b"Content-Type", file.CONTENT_TYPE.encode("ascii"))
    request.setHeader(b"Cache-Control", b"no-store")
    request.setHeader(b"X-Accel-Buffering", b"no")  # nginx would hold media back


class FLVPlays:
    """Answers requests for endless FLV."""

    def __init__(
        self, manager: StreamManager, playback: PlaybackAuthenticator | None = None
    ) -> None:
        """Make it.

        Args:
            manager: has the streams, and lets viewers in.
            playback: knows the signed URLs; None when nobody needs one.
        """
        self._manager = manager
        self._playback = playback

    def render(self, request: Request, key: str) -> bytes | int:
        """Answer one request, which has been opened to any origin.

        Args:
            request: GET or HEAD.
            key: the stream key.
        """
        request.route = "/live/:streamKey.flv"
        if not is_stream_key(key):  # hooks are asked about keys alone
            return error_body(request, http.NOT_FOUND, NOT_LIVE)
        if request.method == b"HEAD":
            return self._describe(request, key)
        handshake = None
        if (request.getHeader(b"Upgrade") or b"").lower() == b"websocket":
            try:
                handshake = _read_handshake(request)
            except RemoteProtocolError:
                words = "this is no WebSocket handshake of version 13"
                return error_body(request, http.BAD_REQUEST, words, _WEBSOCKET_VERSION)
        access = AccessRequest(
            action="play",
            key=key,
            app="live",
            peer=request.address,
            session_id=token_hex(8),
            credentials=query(request),
            client=user_agent(request),
        )
        seat = admit(self._manager, access, lambda tracks: None)
        # who is gone must not go on waiting for the stream, in somebody's place
        request.notifyFinish().addErrback(lambda _: seat.cancel())
        seat.addCallback(_begin, request, handshake).addErrback(_refuse, request)
        return NOT_DONE_YET

    def _describe(self, request: Request, key: str) -> bytes:
        """Answer HEAD, which asks nobody, as it tells next to nothing."""
        if self._playback is not None:
            denial = self._playback.denial(key, query(request))
            if denial is not None:
                self._manager.totals.refuse("play", denial.reason)
                return denied(request, denial)
        stream = self._manager.get(key)
        if stream is None or stream.state is StreamState.STOPPED:
            return error_body(request, http.NOT_FOUND, NOT_LIVE)
        describe(request)
        return b""


def _read_handshake(request: Request) -> H11Handshake:
    """Check the client's half of the opening handshake (RFC 6455 section 4.2.1).

    Raises:
        RemoteProtocolError: it is none.
    """
    if not isinstance(request.channel, Channel) or request.clientproto != b"HTTP/1.1":
        raise RemoteProtocolError("not HTTP/1.1")
    headers = [
        (name.lower(), value)
        for name, values in request.requestHeaders.getAllRawHeaders()
        for value in values
    ]
    handshake = H11Handshake(ConnectionType.SERVER)
    # the address is checked already, and may hold a signature
    handshake.initiate_upgrade_connection(headers, "/")
    return handshake


def _begin(seat: Seat, request: Request, handshake: H11Handshake | None) -> None:
    if request.is_gone:
        seat.leave()
    elif handshake is None:
        HTTPPlayer(seat, request).begin()
    else:
        WebSocketPlayer(seat, request).begin(handshake)


def _refuse(failure: Failure, request: Request) -> None:
    error = failure.value
    is_expected = isinstance(error, AccessDenied | CancelledError | NotFound | NotReady)
    if request.is_gone and is_expected:
        return
    if isinstance(error, AccessDenied):
        request.end(denied(request, error))
    elif isinstance(error, NotFound):
        request.end(error_body(request, http.NOT_FOUND, NOT_LIVE))
    elif isinstance(error, NotReady):
        request.end(not_ready(request, error.description, error.retry_after))
    else:
        request.processingFailed(failure)
