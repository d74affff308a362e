"""HTTP/2 connections (RFC 9113): h2 speaks the protocol, this serves our requests over it.

Not Twisted's own HTTP/2: its sending loop runs without end against a client whose flow-control
window is shut.
"""

# Twisted's request methods carry no annotations yet.
# mypy: allow-untyped-calls

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from h2 import events
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError, StreamClosedError
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from twisted.web import http
from zope.interface import implementer

from rapidrtmp.web.allowance import Allowance
from rapidrtmp.web.http2_protocol import HTTP2Protocol
from rapidrtmp.web.http2_stream import Stream

if TYPE_CHECKING:
    from rapidrtmp.web.channel import Channel

MAX_BODIES = 256 * 1024
"""Bytes of request bodies that a connection may have under way."""

MAX_WAITING = 256 * 1024
"""Bytes of answers that wait for the client, above which large answers wait for their turn."""

MAX_FRAME = 16 * 1024
"""Bytes of an answer in one frame, however large a frame the client would take: then others have
their turn, and the transport is asked again."""

WIDE_WINDOW = 128 * 1024
"""Bytes that a client must be ready for to get a large answer beside others that it leaves to
wait: a whole slice, which then goes out at once. Browsers are ready for megabytes."""

STEP = 4096
"""Bytes taken at a time, so that a flood is noticed before all of a read is worked through."""

MAX_SILENT = 40 * 1024
"""Bytes that may come and mean nothing yet: the pieces of a header, a frame that is not whole.
h2 itself refuses a frame that is too large when all of it, up to 16 MiB, is there."""

ALLOWANCE = 500
"""Frames that ask nothing of us (settings, pings, resets, priorities, windows, empty data) that
may come at once; a client that sends more does not come for its answers [CVE-2019-9512,
CVE-2019-9514, CVE-2019-9515, CVE-2019-9518, CVE-2023-44487]."""

ALLOWANCE_RATE = 50.0
"""Such frames a second that are fine for ever."""

ALLOWANCE_EARNED = 4
"""Such frames that each frame of an answer stands for: windows are opened for what was sent. One
that the window cut short stands for as much less [CVE-2019-9511, CVE-2019-9517]."""

_IDLE = (
    events.PingAckReceived,
    events.PingReceived,
    events.PriorityUpdated,
    events.RemoteSettingsChanged,
    events.SettingsAcknowledged,
    events.StreamReset,
    events.TrailersReceived,
    events.UnknownFrameReceived,
    events.WindowUpdated,
)


@implementer(IPushProducer)
class HTTP2Connection:
    """What a `Channel` becomes whose client chose HTTP/2.

    Answers share the connection frame by frame, in turn. The channel keeps the time: its idle
    timeout runs while no request waits for us.
    """

    def __init__(self, channel: "Channel", transport: Any) -> None:
        """Begin to speak.

        Args:
            channel: the connection.
            transport: what it is carried by.
        """
        self.channel = channel
        self._transport = transport
        self._h2 = HTTP2Protocol()
        self._streams: dict[int, Stream] = {}
        self._ready: deque[Stream] = deque()  # have something to send, and a window for it
        self._gated: deque[Stream] = deque()  # have more to send when there is room
        self._waiting = 0  # bytes of answers
        self._bodies = 0  # bytes of requests
        self._silent = 0  # bytes since something was understood
        self._working = 0  # requests that wait for us
        seconds = channel.factory.reactor.seconds
        self._allowance = Allowance(seconds, ALLOWANCE, ALLOWANCE_RATE)
        self._idle_timeout = channel.timeOut
        self._is_paused = False
        self._is_pumping = False
        self._is_over = False
        self._h2.initiate_connection()
        self._flush()

    # The transport's side.

    def receive(self, data: bytes) -> None:
        """Take bytes of the client."""
        for start in range(0, len(data), STEP):
            if self._is_over:
                return
            piece = data[start : start + STEP]
            try:
                received = self._h2.receive_data(piece)
            except ProtocolError:
                self.channel.factory.counters.count_broken(http.BAD_REQUEST)
                self._end()
                return
            self._silent = 0 if received else self._silent + len(piece)
            if self._silent > MAX_SILENT:
                self._refuse_peer()
            self._process(received)
        self._flush()

    def lost(self, reason: Failure) -> None:
        """Forget all requests: the client is gone."""
        self._is_over = True
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.lost(reason)
        self._ready.clear()
        self._gated.clear()

    def close(self, code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """Say that it is over (GOAWAY). The channel closes."""
        if not self._is_over:
            self._h2.close_connection(code)
            self._flush()
            self.lost(Failure(ConnectionLost("closed by the server")))

    def pauseProducing(self) -> None:
        """Wait: the client does not read. Then we do not read either, lest answers pile up."""
        self._is_paused = True
        self._transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Go on."""
        self._is_paused = False
        self._transport.resumeProducing()
        self._pump()

    def stopProducing(self) -> None:
        """The transport is gone; the channel learns it by connectionLost."""

    # What the client says.

    def _process(self, received: Sequence[events.Event]) -> None:
        over = set()
        for event in received:
            if isinstance(event, events.ConnectionTerminated):
                self._end()
                return
            if isinstance(event, events.StreamReset):
                over.add(event.stream_id)
                self._drop(event.stream_id)
        for event in received:
            if isinstance(event, _IDLE) or (
                isinstance(event, events.DataReceived) and not event.data
            ):
                if not self._allowance.take():
                    self._refuse_peer()
            if self._is_over:
                return
            # what was sent on a reset stream still counts in the connection's window
            if getattr(event, "stream_id", 0) not in over or isinstance(event, events.DataReceived):
                self._act(event)

    def _act(self, event: events.Event) -> None:
        match event:
            case events.RequestReceived():
                self._open(event)
            case events.DataReceived():
                self._take(event)
            case events.StreamEnded():
                self._complete(event.stream_id)
            case events.RemoteSettingsChanged():
                if self._h2.bound_settings():
                    self._schedule_all()
                else:
                    self._refuse_peer()
            case events.WindowUpdated(stream_id=0):
                self._schedule_all()
            case events.WindowUpdated():
                if event.stream_id in self._streams:
                    self.schedule(self._streams[event.stream_id])
                    self._pump()

    def _schedule_all(self) -> None:
        for stream in self._streams.values():
            self.schedule(stream)
        self._pump()

    def _refuse_peer(self) -> None:
        """End the connection of a client that floods us."""
        self.channel.factory.counters.count_broken(http.BAD_REQUEST)
        self.close(ErrorCodes.ENHANCE_YOUR_CALM)
        self.channel.loseConnection()

    def _open(self, event: events.RequestReceived) -> None:
        stream = Stream(self, event.stream_id)
        self._streams[event.stream_id] = stream
        self.channel.resetTimeout()
        if self.channel.crowd:
            stream.refuse(http.SERVICE_UNAVAILABLE, self.channel.crowd, self.channel.CROWD_HEADERS)
        else:
            stream.begin(event.headers, has_body=event.stream_ended is None)

    def _take(self, event: events.DataReceived) -> None:
        self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            self._bodies += len(event.data)
            stream.body += len(event.data)
            if self._bodies > MAX_BODIES:
                self._refuse_peer()
            else:
                stream.request.handleContentChunk(event.data)

    def _complete(self, stream_id: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._bodies -= stream.body
            stream.body = 0
            self._working += 1
            self.channel.setTimeout(None)
            stream.complete()

    # What we say.

    def send_headers(self, stream: Stream, fields: list[tuple[bytes, bytes]]) -> None:
        """Send the header of an answer."""
        if not self._is_over:
            self._h2.send_headers(stream.number, fields)
            self._flush()

    def add(self, stream: Stream, size: int) -> None:
        """Learn that a stream has more to send: so many bytes, or its end."""
        self._waiting += size
        self.schedule(stream)
        self._pump()

    def answered(self) -> None:
        """Learn that a request does not wait for us any more."""
        self._working -= 1
        if not self._working and not self._is_over:
            self.channel.setTimeout(self._idle_timeout)

    def is_full(self, stream: Stream) -> bool:
        """Tell whether so much waits for the client that a large answer has to wait.

        One for which the client has a wide window open need not: what waits is other answers,
        which the client does not take now.
        """
        if self._is_paused:
            return True
        return self._waiting >= MAX_WAITING and self._window(stream) < WIDE_WINDOW

    def gate(self, stream: Stream) -> None:
        """Ask a stream's producer for more when its turn has come."""
        if stream not in self._gated:
            self._gated.append(stream)

    def schedule(self, stream: Stream) -> None:
        """Give a stream its turn if it can send something."""
        if not stream.is_ready and stream.can_send(self._window(stream)):
            stream.is_ready = True
            self._ready.append(stream)

    def _window(self, stream: Stream) -> int:
        return self._h2.local_flow_control_window(stream.number)

    def _pump(self) -> None:
        """Send while the transport takes it, a frame of each stream in turn."""
        if self._is_pumping or self._is_over:
            return
        self._is_pumping = True
        try:
            while not self._is_paused and not self._is_over:
                if self._ready:
                    self._send_frame(self._ready.popleft())
                elif (stream := self._next_gated()) is not None:
                    self._gated.remove(stream)
                    stream.resume()
                else:
                    break
        finally:
            self._is_pumping = False

    def _next_gated(self) -> Stream | None:
        return next((stream for stream in self._gated if not self.is_full(stream)), None)

    def _send_frame(self, stream: Stream) -> None:
        stream.is_ready = False
        window = self._window(stream)
        if not stream.can_send(window):
            return
        data = stream.take(min(MAX_FRAME, max(0, window)))
        is_end = stream.is_ended and not stream.waiting
        self._waiting -= len(data)
        if data:
            self._h2.send_data(stream.number, data, end_stream=is_end)
        else:
            self._h2.end_stream(stream.number)
        share = len(data) / MAX_FRAME if stream.waiting else 1.0
        self._allowance.earn(ALLOWANCE_EARNED * share)
        if not self._working:
            self.channel.resetTimeout()
        if is_end:
            self._finish(stream)
        else:
            self.schedule(stream)
        self._flush()

    def _finish(self, stream: Stream) -> None:
        """Let go of a stream whose answer is sent."""
        del self._streams[stream.number]
        if not stream.is_complete:
            # It was refused before its end (RFC 9113 section 8.1), unless that came with it.
            self._bodies -= stream.body
            with suppress(StreamClosedError):
                self._h2.reset_stream(stream.number, ErrorCodes.NO_ERROR)

    def reset(self, stream: Stream, code: ErrorCodes) -> None:
        """End a stream at once."""
        if stream.number in self._streams and not self._is_over:
            self._h2.reset_stream(stream.number, code)
            self._flush()
            self._drop(stream.number)

    def _drop(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None:
            self._bodies -= stream.body
            self._waiting -= stream.waiting
            if stream.is_ready:
                self._ready.remove(stream)
            if stream in self._gated:
                self._gated.remove(stream)
            stream.lost(Failure(ConnectionLost("the stream was reset")))

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self._transport.write(data)

    def _end(self) -> None:
        """Close, after a GOAWAY of either side."""
        self._flush()
        self.lost(Failure(ConnectionLost("HTTP/2 ended")))
        self.channel.loseConnection()
