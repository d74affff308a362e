"""Bytes into a socket at once, where nothing waits before them."""

# Twisted's transports carry no annotations yet.
# mypy: allow-untyped-calls

from collections.abc import Sequence
from typing import Any

from twisted.internet.interfaces import IConsumer
from twisted.internet.tcp import Connection
from twisted.protocols.policies import ProtocolWrapper

MAX_PIECES = 256
"""Pieces given to the socket in one call; the least that POSIX has systems take is 16, Linux
takes 1024."""


class DirectWriter:
    """Writes to a transport, as the transport does but sooner.

    A transport of Twisted keeps all that is written until the reactor says that its socket is
    writable, which costs two changes of what is polled for and another turn. Nearly always
    the socket would have taken everything. What it does not take is left to the transport, with
    all that follows: a full buffer pauses the producer, a broken connection is reported.

    Transports that are not the socket itself, as those of TLS, are written to as ever.

    Args:
        transport: of the connection. Others may write to it, too.
    """

    __slots__ = ("_connection", "_send", "_send_pieces", "_transport")

    def __init__(self, transport: IConsumer) -> None:
        self._transport: Any = transport
        self._connection = connection_of(transport)
        # a closed transport forgets its socket
        socket: Any = self._connection and self._connection.socket
        self._send = socket and socket.send
        self._send_pieces = socket and socket.sendmsg

    def write(self, data: bytes) -> None:
        """Send bytes, or as many of them as go, and leave the rest to the transport.

        It is left as it is, not as a copy: thousands who do not read may be sent the same.
        """
        connection = self._connection
        if connection is None or connection.dataBuffer or connection._tempDataBuffer:  # noqa: SLF001  (what waits has no public name)
            self._transport.write(data)
            return
        try:
            sent = self._send(data)
        except OSError:
            # Full, broken or closed: the transport finds that, too, and does what is in order.
            sent = 0
        if sent < len(data) and connection.connected and not connection._writeDisconnected:  # noqa: SLF001  (as above)
            connection.dataBuffer, connection.offset = data, sent
            connection._maybePauseProducer()  # noqa: SLF001  (as above)
            connection.startWriting()

    def write_all(self, pieces: Sequence[bytes]) -> None:
        """Send pieces, as `write` does; they are not joined before."""
        sent = self.send(*pieces)
        rest = []
        for piece in pieces:
            if sent < len(piece):
                rest.append(piece[sent:] if sent else piece)
            sent = max(0, sent - len(piece))
        if rest:
            self._transport.writeSequence(rest)

    def send(self, *pieces: bytes | memoryview) -> int:
        """Send at once what the socket takes of some bytes, without a copy of them.

        Args:
            pieces: follow each other.

        Returns:
            How many bytes went. The others are the caller's: of a broken connection none go, and
            the transport ends it in order when they are left to it.
        """
        connection = self._connection
        if connection is None or connection.dataBuffer or connection._tempDataBuffer:  # noqa: SLF001  (as above)
            return 0
        try:
            if len(pieces) == 1:
                return int(self._send(pieces[0]))
            return int(self._send_pieces(pieces[:MAX_PIECES]))
        except OSError:
            return 0


def connection_of(transport: object) -> Connection | None:
    """Return what owns the socket, if bytes reach it as they are."""
    while isinstance(transport, ProtocolWrapper) and (
        type(transport).write is ProtocolWrapper.write
    ):
        transport = transport.transport
    if isinstance(transport, Connection) and not transport.TLS:
        return transport
    return None
