"""A TCP proxy that is a bad line: late, in bursts and crumbs, silent now and then, cut at will.

That is what loss and distance look like behind TCP, which sends again what was lost: bytes come
late, those behind them wait, and then come all at once.
"""

import contextlib
import random
import socket
import struct
import threading
import time

BUFFER = 16 * 1024
"""Bytes that are on their way in one direction: while they are, nobody reads on."""
DELAYS = (0.002, 0.03)
"""Seconds that a burst takes, at least and at most."""
PERIOD, OUTAGE = 3.0, 0.7
"""Seconds from one outage to the next, and that it lasts: a time-out of TCP or two."""
CRUMBS = 6
"""Pieces of a few bytes that a burst begins with, each in a segment of its own."""
_NOW = struct.pack("ii", 1, 0)  # SO_LINGER: close by RST


class _Connection:
    """Two sockets; both are closed when nothing more goes in either direction."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.ends = (client, server)
        self.is_cut = False
        self._directions = 2
        self._lock = threading.Lock()
        for each in self.ends:
            each.settimeout(0.05)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def drop(self) -> None:
        """Let nothing pass any more."""
        for each in self.ends:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def leave(self) -> None:
        """One direction is over."""
        with self._lock:
            self._directions -= 1
            if self._directions:
                return
        for each in self.ends:
            if self.is_cut:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NOW)
            each.close()


class BadLine:
    """Forwards connections to a port of the loopback interface."""

    def __init__(self, port: int, seed: int = 1) -> None:
        """Open a port that leads there.

        Args:
            port: the server's.
            seed: of what is random.
        """
        self._target = port
        self._random = random.Random(seed)
        self._begun = time.monotonic()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.outages = 0
        """Times that bytes had to wait until an outage was over."""
        self._is_cut = False
        self._connections: list[_Connection] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Reset each connection in the midst of its next burst: both sides see a RST."""
        self._is_cut = True

    def mend(self) -> None:
        """Let the connections to come live."""
        self._is_cut = False

    def close(self) -> None:
        """Close everything."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10.0)
        self._listener.close()
        for connection in self._connections:
            connection.drop()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target), 10.0)
            except OSError:
                return
            connection = _Connection(client, server)
            self._connections.append(connection)
            for ends in (connection.ends, connection.ends[::-1]):
                arguments = (connection, *ends)
                threading.Thread(target=self._forward, args=arguments, daemon=True).start()

    def _forward(self, connection: _Connection, source: socket.socket, sink: socket.socket) -> None:
        try:
            while not connection.is_cut:
                try:
                    data = source.recv(BUFFER)
                except TimeoutError:
                    continue
                self._wait()
                if data and self._is_cut:
                    data = data[: len(data) // 2]
                    connection.is_cut = True
                self._send(sink, data)
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    break
        except OSError:
            connection.drop()
        finally:
            connection.leave()

    def _send(self, sink: socket.socket, data: bytes) -> None:
        pieces = []
        for _ in range(CRUMBS):
            size = self._random.randrange(1, 9)
            pieces.append(data[:size])
            data = data[size:]
        for piece in (*pieces, data):
            left = memoryview(piece)
            while left:
                try:
                    left = left[sink.send(left) :]
                except TimeoutError:  # the other side does not read
                    continue

    def _wait(self) -> None:
        """Wait as long as the line takes."""
        time.sleep(self._random.uniform(*DELAYS))
        since = (time.monotonic() - self._begun) % PERIOD
        if since > PERIOD - OUTAGE:
            self.outages += 1
            time.sleep(PERIOD - since)
