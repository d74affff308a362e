"""The HTTP load: one process whose connections ask again as soon as they are answered.

Started by `benchmarks.generator.HTTPLoad` as ``python -m benchmarks.http_load OPTIONS``, OPTIONS
being those of `Options` as JSON. It says what `benchmarks.load` says, and understands the same
words. A connection either asks for one path for ever, or is half of a low-latency viewer: it waits
at the playlist of one rendition for the next part (blocking reload, by delta update), fetches it,
and so on. Bodies of media are dropped in the kernel.

Probes ask for the part that the playlist hints at before it is there, and tell when which numbered
message arrived (see `benchmarks.replay`).
"""

import json
import os
import re
import resource
import select
import socket
import sys
import time
from dataclasses import asdict, dataclass
from urllib.parse import urljoin

from benchmarks.load import say
from benchmarks.replay import marks

READ = 1 << 20
FIRST_READ = 16 * 1024
"""Bytes: the header and the beginning of the body; the rest of media is dropped in the kernel."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_PART = re.compile(r'^#EXT-X-PART:.*?URI="([^"]+)"', re.MULTILINE)
_HINT = re.compile(r'^#EXT-X-PRELOAD-HINT:TYPE=PART,URI="([^"]+)"', re.MULTILINE)
_NUMBERS = re.compile(r"(\d+)\.(\d+)\.m4s$")


@dataclass(frozen=True, slots=True)
class Options:
    """What load is made."""

    port: int
    path: str = ""
    """What all connections ask for; empty for none."""
    connections: int = 0
    playlists: tuple[tuple[str, ...], ...] = ()
    """The media playlists of each low-latency viewer: those of one viewer are asked for by one."""
    probe: str = ""
    """The media playlist that is followed by its hints; empty for none."""

    def to_json(self) -> str:
        """Return them as a command-line argument."""
        return json.dumps(asdict(self))


class Client:
    """A keep-alive connection that asks for one path for ever."""

    takes_body = False
    """Whether the body is read, not dropped."""

    def __init__(self, port: int, path: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10.0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.fd = self.socket.fileno()
        self.missing = 0
        """Bytes of the body that have yet to come."""
        self._head = f" HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        self._pieces: list[bytes] = []
        self._request = self._make(path)

    def _make(self, path: str) -> bytes:
        return b"GET " + path.encode() + self._head

    def ask(self) -> None:
        """Send the request."""
        self.socket.send(self._request)

    def receive(self, buffer: bytearray) -> tuple[int, bool]:
        """Read what is there; tell how much that is, and whether the answer is complete.

        Raises:
            ConnectionError: it was refused or has no length, or the server has gone.
        """
        if self.missing:
            if self.takes_body:
                self._pieces.append(self.socket.recv(self.missing))
                size = len(self._pieces[-1])
            else:
                flags = socket.MSG_TRUNC | socket.MSG_DONTWAIT
                size = self.socket.recv_into(buffer, min(self.missing, READ), flags)
            if not size:
                raise ConnectionError("closed by the server")
            self.missing -= size
            return size, not self.missing
        data = self.socket.recv(FIRST_READ)
        end = data.find(b"\r\n\r\n")
        if end < 0 or data[9:12] != b"200":
            raise ConnectionError(f"{self._request[:200]!r} was answered {data[:300]!r}")
        found = _LENGTH.search(data, 0, end + 2)
        if found is None:
            raise ConnectionError("an answer without Content-Length")
        self.missing = int(found[1]) - (len(data) - end - 4)
        self._pieces = [data[end + 4 :]]
        return len(data), not self.missing

    def done(self) -> None:
        """Ask again: the answer is complete."""
        self.ask()


class Position:
    """What the newest playlist of a rendition says, for all viewers who are at the same place."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.hint = ""
        self._text = b""

    def read(self, body: bytes) -> None:
        """Read a playlist, unless it is the one that was read last."""
        if body != self._text:
            self._text = body
            text = body.decode()
            self.parts = _PART.findall(text)
            hint = _HINT.search(text)
            self.hint = hint[1] if hint else ""


class Viewer(Client):
    """Half of a low-latency viewer: one rendition."""

    def __init__(self, port: int, playlist: str, position: Position) -> None:
        super().__init__(port, playlist)
        self.takes_body = True
        self.parts = 0
        self._playlist = playlist
        self._position = position
        self._seen = ""
        self._todo: list[str] = []

    def done(self) -> None:
        """Fetch the parts that are new, then wait for the next one."""
        position = self._position
        if self.takes_body:
            body = b"".join(self._pieces)
            position.read(body)
            parts = position.parts
            start = parts.index(self._seen) + 1 if self._seen in parts else len(parts) - 1
            self._todo = parts[start:]
            self._wait = self._reload(position.hint)
        else:
            self.parts += 1
        if self._todo:
            self._seen = self._todo.pop(0)
            self.takes_body = False
            self._request = self._make(urljoin(self._playlist, self._seen))
        else:
            self.takes_body = True
            self._request = self._wait
        self.ask()

    def _reload(self, hint: str) -> bytes:
        found = _NUMBERS.search(hint)
        if found is None:
            raise ConnectionError("a playlist without a preload hint")
        return self._make(
            f"{self._playlist}?_HLS_msn={found[1]}&_HLS_part={found[2]}&_HLS_skip=YES"
        )


class Probe(Client):
    """Asks for each part before it is there."""

    takes_body = True

    def __init__(self, port: int, playlist: str) -> None:
        super().__init__(port, playlist)
        self.arrivals: dict[int, float] = {}
        """When each numbered message had arrived: the first time."""
        self._playlist = playlist
        self._is_part = False

    def done(self) -> None:
        """Go from the playlist to the hinted part and back."""
        body = b"".join(self._pieces)
        if self._is_part:
            now = time.monotonic()
            for number in marks(body):
                self.arrivals.setdefault(number, now)
            path = self._playlist
        else:
            hint = _HINT.search(body.decode())
            if hint is None:
                raise ConnectionError("a playlist without a preload hint")
            path = urljoin(self._playlist, hint[1])
        self._is_part = not self._is_part
        self._request = self._make(path)
        self.ask()


class HTTPLoad:
    """All connections, and the loop that serves them."""

    def __init__(self, options: Options) -> None:
        positions: dict[str, Position] = {}
        clients = [Client(options.port, options.path) for _ in range(options.connections)]
        self._viewers = []
        for viewer in options.playlists:
            for playlist in viewer:
                # viewers differ in the path's beginning, renditions in its end
                position = positions.setdefault(playlist.rpartition("/")[2], Position())
                self._viewers.append(Viewer(options.port, playlist, position))
        self._probes = [Probe(options.port, options.probe)] if options.probe else []
        self._clients: dict[int, Client] = {
            client.fd: client for client in (*clients, *self._viewers, *self._probes)
        }
        self._poll = select.epoll()
        self._poll.register(0, select.EPOLLIN)
        self._is_over = False
        self._answers = self._bytes = self._parts = 0
        self._cpu = self._window = 0.0

    def run(self) -> None:
        """Serve until told to quit, or an answer is wrong."""
        for client in self._clients.values():
            self._poll.register(client.fd, select.EPOLLIN)
            client.ask()
        say("ready", lost=[], joins=[])
        buffer = bytearray(READ)
        clients = self._clients
        while not self._is_over:
            for fd, _ in self._poll.poll(1.0, 64):
                if not fd:
                    self._read_commands()
                    continue
                client = clients[fd]
                try:
                    size, is_done = client.receive(buffer)
                    self._bytes += size
                    if is_done:
                        self._answers += 1
                        client.done()
                except OSError as error:
                    say("failed", words=str(error))
                    return

    def _read_commands(self) -> None:
        data = os.read(0, 4096)
        self._is_over = not data or b"quit" in data
        if b"begin" in data:
            self._answers = self._bytes = 0
            self._parts = sum(viewer.parts for viewer in self._viewers)
            for probe in self._probes:
                probe.arrivals.clear()
            self._cpu, self._window = time.process_time(), time.monotonic()
            say("begun")
        if b"end" in data:
            say(
                "window",
                seconds=time.monotonic() - self._window,
                cpu=time.process_time() - self._cpu,
                answers=self._answers,
                bytes=self._bytes,
                parts=sum(viewer.parts for viewer in self._viewers) - self._parts,
                arrivals=[
                    [number, at] for probe in self._probes for number, at in probe.arrivals.items()
                ],
            )


def main() -> None:
    """Make load."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    HTTPLoad(Options(**json.loads(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
