"""An HTTP/2 client in memory: h2's, so that what we send is judged by another's rules."""

# Twisted's test transports carry no annotations.
# mypy: allow-untyped-calls

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from rapidrtmp.web.http_site import HTTPSite
from tests.web.fakes import CONNECTION_DONE, Response, Transport


class TLSTransport(Transport):
    """As if TLS had agreed on HTTP/2."""

    negotiatedProtocol = b"h2"  # noqa: N815  (Twisted's name)


@dataclass
class Answer:
    """What came on a stream."""

    headers: list[tuple[str, str]] = field(default_factory=list)
    informational: list[str] = field(default_factory=list)
    body: bytes = b""
    is_whole: bool = False
    reset: ErrorCodes | None = None


class Client:
    """A client's connection to the site."""

    def __init__(
        self,
        site: HTTPSite,
        *,
        peer: str = "127.0.0.1",
        window: int | None = None,
        acknowledges: bool = True,
    ) -> None:
        """Connect.

        Args:
            site: the server.
            peer: address of the client.
            window: of flow control for each stream; h2's (65535) when absent.
            acknowledges: whether windows are opened again for what came.
        """
        self.transport = TLSTransport("127.0.0.1", peer)
        self.protocol: Any = site.buildProtocol(self.transport.getPeer())
        self.protocol.makeConnection(self.transport)
        self.protocol.handshakeCompleted()
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="ascii"))
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.acknowledges = acknowledges
        self.unread: set[int] = set()
        """Streams for which no window is opened again, whatever else is."""
        self.answers: dict[int, Answer] = {}
        self.goaway: ErrorCodes | None = None
        self.frames = 0
        """Frames of answers."""
        self.order: list[int] = []
        """The streams that they belong to."""
        self._next = 1
        self._read = 0
        self.exchange()

    @property
    def is_closed(self) -> bool:
        """Whether the server has closed."""
        return bool(self.transport.disconnecting)

    def send_headers(
        self,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]] = (),
        *,
        end: bool = True,
        authority: str = "localhost",
    ) -> int:
        """Send the header of a request; give its stream. `exchange` carries it."""
        stream, self._next = self._next, self._next + 2
        fields = [
            (":method", method),
            (":scheme", "https"),
            (":authority", authority),
            (":path", path),
            *headers,
        ]
        self.h2.send_headers(stream, fields, end_stream=end)
        self.answers[stream] = Answer()
        return stream

    def request(
        self,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> int:
        """Make a whole request; give its stream."""
        if body:
            headers = [*headers, ("content-length", str(len(body)))]
        stream = self.send_headers(method, path, headers, end=not body)
        if body:
            for start in range(0, len(body), 16384):
                self.h2.send_data(stream, body[start : start + 16384])
            self.h2.end_stream(stream)
        self.exchange()
        return stream

    def response(self, stream: int) -> Response:
        """Give the answer, which must be whole."""
        self.exchange()
        answer = self.answers[stream]
        assert answer.is_whole, (answer.reset, len(answer.body))
        headers = dict(answer.headers)
        assert len(headers) == len(answer.headers), f"a header twice: {answer.headers}"
        return Response(int(headers.pop(":status")), headers, answer.body)

    def get(self, path: str, headers: Sequence[tuple[str, str]] = ()) -> Response:
        """Get a path."""
        return self.response(self.request("GET", path, headers))

    def exchange(self) -> None:
        """Carry bytes to and fro until none are left; what was sent is drained."""
        while True:
            sent = self.h2.data_to_send()
            if sent and not self.is_closed:
                self.protocol.dataReceived(sent)
            data = self.transport.value()[self._read :]
            self._read += len(data)
            if not (sent or data):
                return
            self.transport.drain()
            for event in self.h2.receive_data(data):
                self._received(event)

    def send_raw(self, data: bytes) -> None:
        """Send bytes that h2 would not."""
        self.protocol.dataReceived(data)

    def _received(self, event: events.Event) -> None:
        match event:
            case events.ResponseReceived():
                self.answers[event.stream_id].headers = [
                    (str(name), str(value)) for name, value in event.headers
                ]
            case events.InformationalResponseReceived():
                self.answers[event.stream_id].informational.append(str(event.headers[0][1]))
            case events.DataReceived():
                self.frames += 1
                self.order.append(event.stream_id)
                self.answers[event.stream_id].body += event.data
                if self.acknowledges and event.stream_id not in self.unread:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case events.StreamEnded():
                self.answers[event.stream_id].is_whole = True
            case events.StreamReset():
                self.answers[event.stream_id].reset = ErrorCodes(event.error_code or 0)
            case events.ConnectionTerminated():
                self.goaway = ErrorCodes(event.error_code or 0)

    def lose(self) -> None:
        """Disconnect from the client's side."""
        self.protocol.connectionLost(CONNECTION_DONE)
