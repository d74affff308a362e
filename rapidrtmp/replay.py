"""``rapidrtmp replay``: plays a dump into a server, with the chunks and at the times it has."""

# Twisted's endpoints carry no annotations yet.
# mypy: allow-untyped-calls

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IPushProducer,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from rapidrtmp.amf.errors import AMFError
from rapidrtmp.observability.redaction import redact
from rapidrtmp.protocol.dump import DumpError, read_dump
from rapidrtmp.rtmp import command, control, message
from rapidrtmp.rtmp.chunk import ChunkDecoder
from rapidrtmp.rtmp.errors import ProtocolError
from rapidrtmp.rtmp.handshake import HANDSHAKE_SIZE
from rapidrtmp.rtmp.limits import Limits
from rapidrtmp.rtmp.text import printable, text_of

Records = Sequence[tuple[int, bytes]]
"""ms since the start, and the bytes of one read."""

PORT = 1935
CLOSE_TIMEOUT = 30.0
"""Seconds that the server may take to close after the last chunk: it may be pacing."""
MAX_TEXT = 300
"""Characters of what a server says that are shown."""

# A publish token: 64 hexadecimal digits. Where a chunk ends in it, a header of one byte stands
# between two of them.
_DIGIT = rb"[0-9A-Fa-f]"
_TOKEN = re.compile(rb"(?<!%b)(?:%b[\xc0-\xff]?){63}%b(?!%b)" % ((_DIGIT,) * 4))
_ONE_DIGIT = re.compile(_DIGIT)


class ReplayError(Exception):
    """The dump cannot be played. The message says why, in one line."""


class _ITransport(ITCPTransport, IConsumer):
    """What a TCP transport can do."""


def with_token(records: Records, token: str) -> Records:
    """Put another publish token in place of the one that was recorded, wherever it stands.

    Args:
        records: of a dump.
        token: 64 hexadecimal digits, as many as were recorded: no other byte changes.

    Raises:
        ReplayError: it is no such token, or none was recorded.
    """
    if not re.fullmatch("[0-9a-f]{64}", token):
        raise ReplayError("--token must be 64 hexadecimal digits, as 'rapidrtmp token' prints")

    def exchange(found: re.Match[bytes]) -> bytes:
        digits = iter(token.encode())
        return _ONE_DIGIT.sub(lambda _: bytes((next(digits),)), found[0])

    octets, count = _TOKEN.subn(exchange, b"".join(octets for _, octets in records))
    if not count:
        raise ReplayError("there is no publish token in the dump: leave out --token")
    exchanged, position = [], 0
    for ms, recorded in records:
        exchanged.append((ms, octets[position : position + len(recorded)]))
        position += len(recorded)
    return exchanged


def parse_server(url: str) -> tuple[str, int]:
    """Return host and port of ``rtmp://host[:port]``; a path means nothing.

    Raises:
        ReplayError: it is none.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme != "rtmp":
        raise ReplayError("--to must be rtmp://<host> or rtmp://<host>:<port>")
    return host, PORT if port is None else port


class Answers:
    """Reads what a server says, as far as people want to know: its status messages."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        """Start before the handshake.

        Args:
            tell: called with each status, in one line.
        """
        self._tell = tell
        self._handshake_left = 1 + 2 * HANDSHAKE_SIZE
        self._limits = Limits()
        self._decoder = ChunkDecoder(self._limits, self._deliver)
        self._is_broken = False

    def receive(self, octets: bytes) -> None:
        """Take what the server sent. It may be anything."""
        skipped = min(self._handshake_left, len(octets))
        self._handshake_left -= skipped
        if self._is_broken:
            return
        try:
            self._decoder.receive(octets[skipped:])
        except ProtocolError as error:
            self._is_broken = True
            self._tell(f"the server's answers cannot be read: {error}")

    def _deliver(self, type_id: int, stream: int, timestamp: int, payload: bytes) -> None:
        if type_id == message.SET_CHUNK_SIZE:
            self._decoder.chunk_size = control.read_chunk_size(payload, 1)
        elif type_id == message.COMMAND_AMF0:
            try:
                call = command.decode(payload, self._limits.amf)
            except AMFError:
                return
            for value in call.arguments:
                if isinstance(value, dict) and "code" in value:
                    words = (text_of(value["code"]), text_of(value.get("description")))
                    self._tell(printable(redact(": ".join(filter(None, words))), MAX_TEXT))


@implementer(IPushProducer)
class Replay(Protocol):
    """Sends recorded chunks over one connection. Answers are read and never waited for."""

    transport: _ITransport

    def __init__(
        self, records: Records, clock: IReactorTime, tell: Callable[[str], None], *, fast: bool
    ) -> None:
        """Send nothing yet.

        Args:
            records: of a dump.
            clock: tells seconds and calls later.
            tell: called with lines for people.
            fast: as fast as the server reads, rather than at the recorded times.
        """
        self.done: Deferred[bool] = Deferred()
        """Fires at the end of the connection: whether everything was sent."""
        self._records = records
        self._clock = clock
        self._fast = fast
        self._tell = tell
        self._answers = Answers(tell)
        self._sent = 0  # records
        self._started = 0.0
        self._is_paused = False
        self._timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Begin."""
        self.transport.setTcpNoDelay(True)
        self._started = self._clock.seconds()
        self.transport.registerProducer(self, True)
        self._send()

    def dataReceived(self, data: bytes) -> None:
        """Listen to the server."""
        self._answers.receive(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Say what became of it."""
        self._stop_timer()
        self._is_paused = True
        size = sum(len(octets) for _, octets in self._records[: self._sent])
        seconds = self._clock.seconds() - self._started
        whole = self._sent == len(self._records)
        self._tell(
            f"sent {self._sent} of {len(self._records)} chunks, {size} bytes, in {seconds:.1f} s"
            + ("" if whole else "; then the server closed the connection")
        )
        self.done.callback(whole)

    def pauseProducing(self) -> None:
        """Wait: the server does not read as fast."""
        self._is_paused = True
        self._stop_timer()

    def resumeProducing(self) -> None:
        """Go on."""
        self._is_paused = False
        self._send()

    def stopProducing(self) -> None:
        """The connection is gone; `connectionLost` comes."""

    def _send(self) -> None:
        """Send what is due."""
        while not self._is_paused and self._sent < len(self._records):
            ms, octets = self._records[self._sent]
            wait = self._started + ms / 1000 - self._clock.seconds()
            if wait > 0 and not self._fast:
                self._timer = self._clock.callLater(wait, self._send)
                return
            self._sent += 1
            self.transport.write(octets)
        if self._sent == len(self._records):
            # Only our direction: a close with answers unread would be a reset.
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()
            self._timer = self._clock.callLater(CLOSE_TIMEOUT, self.transport.abortConnection)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


async def replay(
    path: Path,
    server: str,
    token: str,
    reactor: Any,
    tell: Callable[[str], None],
    *,
    fast: bool = False,
) -> bool:
    """Play a dump into a server.

    Args:
        path: of the dump.
        server: ``rtmp://host[:port]``.
        token: publish token to use in place of the recorded one; '' for the recorded one.
        reactor: the real one.
        tell: called with lines for people.
        fast: as fast as the server reads, rather than at the recorded times.

    Returns:
        Whether everything could be sent.

    Raises:
        ReplayError: the dump, the token or the server cannot be used.
    """
    host, port = parse_server(server)
    try:
        dump = read_dump(path)
    except DumpError as error:
        raise ReplayError(f"{path} {error}") from error
    except OSError as error:
        raise ReplayError(f"{path}: {error.strerror}") from error
    records = with_token(dump.records, token) if token else dump.records
    protocol = Replay(records, reactor, tell, fast=fast)
    try:
        await connectProtocol(HostnameEndpoint(reactor, host, port), protocol)
    except (ConnectError, DNSLookupError) as error:
        raise ReplayError(f"no answer from {host}, port {port}: {error}") from error
    return await protocol.done
