"""The RTMP load: one process that publishes a recording and takes what is played.

Started by `benchmarks.generator.Load` as ``python -m benchmarks.load OPTIONS``, OPTIONS being those
of `Options` as JSON. It says each thing in a line of JSON on its standard output, and reads the
words ``begin``, ``end`` and ``quit`` from its standard input.

Publishers share their bytes (`benchmarks.replay`); one message is one ``send``. Most players are
*drained*: their bytes are counted and dropped in the kernel (MSG_TRUNC), some players at a time, so
that each is looked at about every 20 ms. A few are *probes*, whose every message is read and, as
the first publisher numbers what it sends, timed.
"""

import json
import math
import os
import resource
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from heapq import heapify, heappop, heappush
from pathlib import Path

from benchmarks.figures import percentile
from benchmarks.replay import (
    CHUNK_SIZE,
    MARK_SIZE,
    SHORTEST_MARKED,
    Loop,
    encode,
    make_loop,
    mark,
    marks,
)
from benchmarks.sample import read_flv
from rapidrtmp.rtmp.client import ClientSession, ClientState
from rapidrtmp.rtmp.client_events import Connected
from rapidrtmp.rtmp.errors import ProtocolError
from rapidrtmp.rtmp.message import VIDEO
from rapidrtmp.rtmp.target import Target

DRAIN_INTERVAL = 0.02
"""Seconds between two looks at a player that is drained."""
SLICE = 32
"""Players that are drained before the probes are looked at again."""
JOINING = 20
"""Players that may be on their way at once."""
SETTLE = 0.2
"""Seconds from the Set Chunk Size to the first media: nginx-rtmp loses count where a smaller size
and what follows it come in one read."""
READ = 1 << 20
_SET_CHUNK_SIZE = bytes.fromhex("020000000000040100000000")
"""The header of that message."""
CONNECT_TIMEOUT = 30.0
"""Seconds until all must publish and play."""


@dataclass(frozen=True, slots=True)
class Options:
    """What load is made."""

    port: int
    flv: str
    app: str = "live"
    publishers: int = 1
    players: int = 0
    probes: int = 0
    """How many of the players are probes."""
    spread: float = 2.0
    """Seconds over which the publishers' starts are spread."""
    play_delay: float = 1.0
    """Seconds from the last publisher's start to the first player."""
    flat_out: bool = False
    """Send as fast as the server takes it, not in real time."""
    ahead: float = 0.0
    """Seconds of media that are sent at once at the start."""
    grace: float = 1.5
    """Seconds after the end of a window in which its frames may still arrive."""
    chunk_size: int = CHUNK_SIZE

    def to_json(self) -> str:
        """Return them as a command-line argument."""
        return json.dumps(asdict(self))


class Connection:
    """One RTMP connection, which does not block."""

    def __init__(self, options: Options, name: str, publishes: bool, now: float) -> None:
        target = Target("rtmp", "127.0.0.1", options.port, options.app, name)
        self.session = ClientSession(target, publishes=publishes)
        self.begun = now
        self.is_probe = False
        self.words = ""
        """Why the server refused, if it did."""
        self.backlog: deque[memoryview] = deque()
        self.kept = 0
        """Bytes of the backlog."""
        self.bytes = 0
        """Received since the window began."""
        self.first_media = 0.0
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not publishes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ)
        self.socket.connect_ex(("127.0.0.1", options.port))
        self.fd = self.socket.fileno()

    def send(self, data: bytes) -> bool:
        """Send, or keep what the socket does not take; tell whether nothing is kept."""
        self.backlog.append(memoryview(data))
        self.kept += len(data)
        return self.flush() if len(self.backlog) == 1 else False

    def flush(self) -> bool:
        """Send what is kept; tell whether nothing is left."""
        while self.backlog:
            first = self.backlog[0]
            try:
                sent = self.socket.send(first)
            except BlockingIOError:
                return False
            self.kept -= sent
            if sent < len(first):
                self.backlog[0] = first[sent:]
                return False
            self.backlog.popleft()
        return True

    def answer(self) -> None:
        """Send what the session has to say."""
        data = b"".join(self.session.data_to_send())
        if data:
            self.send(data)


class Publisher:
    """Where a connection is in the recording."""

    __slots__ = ("connection", "due", "has_started", "index", "is_marked", "origin")

    def __init__(self, connection: Connection, is_marked: bool, origin: float) -> None:
        self.connection = connection
        self.is_marked = is_marked
        self.origin = origin
        self.index = 0
        self.due = origin
        self.has_started = False

    def __lt__(self, other: "Publisher") -> bool:
        return self.due < other.due


class Drain:
    """Connections whose bytes are dropped unread, a slice at a time."""

    def __init__(self, interval: float, lose: Callable[[Connection], None]) -> None:
        self.connections: list[Connection] = []
        self.due = 0.0
        self._interval = interval
        self._lose = lose
        self._next = 0
        self._buffer = bytearray(READ)

    def turn(self, now: float) -> None:
        """Drain the next slice."""
        count = len(self.connections)
        if not count:
            self.due = now + self._interval
            return
        start = self._next if self._next < count else 0
        self._next = start + SLICE
        slices = -(-count // SLICE)
        self.due = max(self.due + self._interval / slices, now)
        self.drain(self.connections[start : start + SLICE])

    def drain(self, connections: list[Connection]) -> None:
        """Drain some connections."""
        flags = socket.MSG_TRUNC | socket.MSG_DONTWAIT
        for connection in connections:
            try:
                size = connection.socket.recv_into(self._buffer, READ, flags)
            except BlockingIOError:
                continue
            except OSError:
                size = 0
            if size:
                connection.bytes += size
            else:
                self._lose(connection)


class Load:
    """All connections, and the loop that serves them."""

    def __init__(self, options: Options, loop: Loop) -> None:
        self.options = options
        self._loop = loop
        self._turn = b"".join(message.chunks for message in loop.messages)
        self._poll = select.epoll()
        self._poll.register(0, select.EPOLLIN)
        self._dialogues: dict[int, Connection] = {}
        self._waiting: dict[int, Connection] = {}  # players before their first picture
        self._probes: dict[int, Connection] = {}
        self._writers: dict[int, Connection] = {}  # flat out, or with a backlog
        self._publishers: list[Publisher] = []
        self._players: list[Connection] = []
        self._drain = Drain(DRAIN_INTERVAL, self._lose)
        self._answers = Drain(1.0, self._lose)  # what publishers are told
        self._to_publish = deque(range(options.publishers))
        self._to_play = deque(range(options.players))
        self._may_play = 0.0
        self._lost: list[str] = []
        self._is_ready = False
        self._is_over = False
        self._input = b""
        self._began = time.monotonic()
        # The window.
        self._sent: list[float] = []
        self._first = 0
        self._last: int | None = None
        self._report_at = 0.0
        self._cpu = 0.0
        self._window = 0.0
        self._latencies: list[float] = []
        self._late: list[float] = []
        self._messages = 0
        self._bytes = 0
        self._max_backlog = 0

    def run(self) -> None:
        """Serve until told to quit."""
        while not self._is_over:
            now = time.monotonic()
            self._connect(now)
            if now >= self._drain.due:
                self._drain.turn(now)
            if now >= self._answers.due:
                self._answers.turn(now)
            self._send_due(now)
            if self._report_at and now >= self._report_at:
                self._report()
            wait = min(self._drain.due, self._answers.due) - time.monotonic()
            if self._publishers:
                wait = min(wait, self._publishers[0].due - time.monotonic())
            for fd, events in self._poll.poll(max(0.0, min(wait, DRAIN_INTERVAL)), 64):
                self._serve(fd, events)

    # Connecting.

    def _connect(self, now: float) -> None:
        if self._is_ready:
            return
        if now - self._began > CONNECT_TIMEOUT + self.options.play_delay + self.options.spread:
            lost = f", {self._lost[0]}" if self._lost else ""
            count = len(self._dialogues) + len(self._waiting)
            self._fail(f"{count} connections were not answered{lost}")
        while self._to_publish and len(self._dialogues) < JOINING:
            self._open(f"s{self._to_publish.popleft()}", publishes=True, now=now)
        if self._to_publish or len(self._publishers) + len(self._lost) < self.options.publishers:
            return
        if not self._may_play:
            self._may_play = now + self.options.play_delay + self.options.spread
        while self._to_play and now >= self._may_play and len(self._dialogues) < JOINING:
            number = self._to_play.popleft()
            connection = self._open("s0", publishes=False, now=now)
            connection.is_probe = number < self.options.probes
        if not (self._to_play or self._dialogues or self._waiting) and now >= self._may_play:
            self._is_ready = True
            joins = [p.first_media - p.begun for p in self._players if p.first_media]
            say("ready", lost=self._lost, joins=joins)

    def _open(self, name: str, publishes: bool, now: float) -> Connection:
        connection = Connection(self.options, name, publishes, now)
        if not publishes:
            connection.session.on_media = lambda *message: self._received(connection, *message)
        self._dialogues[connection.fd] = connection
        self._poll.register(connection.fd, select.EPOLLIN | select.EPOLLOUT)
        return connection

    def _talk(self, connection: Connection) -> None:
        """Go on with what comes before media."""
        session = connection.session
        if not connection.flush():
            return
        connection.answer()
        self._poll.modify(connection.fd, select.EPOLLIN)
        data = receive(connection)
        events = session.receive_data(data, time.monotonic())
        connection.words = " ".join(str(e) for e in events if not isinstance(e, Connected))
        connection.answer()
        if session.state is ClientState.CLOSED:
            self._lose(connection)
        elif session.state is ClientState.PUBLISHING:
            self._start(connection)
        elif session.state is ClientState.PLAYING and connection.fd in self._dialogues:
            del self._dialogues[connection.fd]
            self._waiting[connection.fd] = connection

    def _start(self, connection: Connection) -> None:
        """Begin to publish."""
        if connection.session.message_stream_id != 1:
            self._fail("the message stream has another id than 1")
        del self._dialogues[connection.fd]
        number = len(self._publishers)
        phase = number * self.options.spread / self.options.publishers
        now = time.monotonic()
        self._answers.connections.append(connection)
        size = self.options.chunk_size
        connection.send(encode(_SET_CHUNK_SIZE, size.to_bytes(4, "big")))
        self._poll.unregister(connection.fd)
        first = now + SETTLE + phase - self.options.ahead
        self._publishers.append(Publisher(connection, not number, first))
        heapify(self._publishers)

    def _received(self, connection: Connection, type_id: int, _: int, payload: bytes) -> None:
        """Take a message; the session of a player calls it."""
        if not connection.first_media:
            if type_id == VIDEO and payload[1]:
                self._joined(connection)
            return
        if not connection.is_probe:
            return
        now = time.monotonic()
        for number in marks(payload[-MARK_SIZE:]):
            if number >= self._first and (self._last is None or number < self._last):
                self._latencies.append(now - self._sent[number])

    def _joined(self, connection: Connection) -> None:
        """A player has its first picture."""
        connection.first_media = time.monotonic()
        self._dialogues.pop(connection.fd, None)
        self._waiting.pop(connection.fd, None)
        self._players.append(connection)
        if connection.is_probe:
            self._probes[connection.fd] = connection
        else:
            self._poll.unregister(connection.fd)
            self._drain.connections.append(connection)

    def _lose(self, connection: Connection) -> None:
        self._dialogues.pop(connection.fd, None)
        for known in (self._waiting, self._probes, self._writers):
            known.pop(connection.fd, None)
        for drain in (self._drain, self._answers):
            if connection in drain.connections:
                drain.connections.remove(connection)
        self._publishers = [p for p in self._publishers if p.connection is not connection]
        heapify(self._publishers)
        connection.socket.close()
        self._lost.append(f"lost while {connection.session.state.value} {connection.words}".strip())

    def _fail(self, words: str) -> None:
        say("failed", words=words)
        self._is_over = True

    # Media.

    def _serve(self, fd: int, events: int) -> None:
        if not fd:
            self._read_commands()
            return
        for known, serve in (
            (self._probes, self._read_probe),
            (self._writers, self._write),
            (self._dialogues, self._talk),
            (self._waiting, self._talk),
        ):
            connection = known.get(fd)
            if connection is not None:
                try:
                    serve(connection)
                except (OSError, ProtocolError) as error:
                    connection.words = str(error)
                    self._lose(connection)
                return

    def _read_probe(self, probe: Connection) -> None:
        data = receive(probe)
        probe.bytes += len(data)
        probe.session.receive_data(data, time.monotonic())
        probe.answer()

    def _write(self, connection: Connection) -> None:
        """Send what waits; flat out, there is always more."""
        if not self.options.flat_out:
            if connection.flush():
                del self._writers[connection.fd]
                self._poll.unregister(connection.fd)
            return
        if not connection.backlog:
            connection.backlog.append(memoryview(self._turn))
            connection.kept = len(self._turn)
        before = connection.kept
        connection.flush()
        self._bytes += before - connection.kept

    def _send_due(self, now: float) -> None:
        publishers = self._publishers
        messages = self._loop.messages
        while publishers and publishers[0].due <= now:
            publisher = heappop(publishers)
            message = messages[publisher.index]
            self._late.append(now - publisher.due)
            connection = publisher.connection
            if not publisher.has_started:
                publisher.has_started = True
                connection.send(self._loop.start)
                if self.options.flat_out:
                    publisher.due = math.inf
                    heappush(publishers, publisher)
                    self._writers[connection.fd] = connection
                    self._poll.register(connection.fd, select.EPOLLOUT)
                    continue
            chunks = message.chunks
            if publisher.is_marked and len(message.body) >= SHORTEST_MARKED:
                body = mark(message.body, len(self._sent))
                chunks = encode(message.head, body, self.options.chunk_size)
                self._sent.append(time.monotonic())
            publisher.index += 1
            if publisher.index == len(messages):
                publisher.index = 0
                publisher.origin += self._loop.seconds
            publisher.due = publisher.origin + messages[publisher.index].due
            heappush(publishers, publisher)
            try:
                is_all_sent = connection.send(chunks)
            except OSError:
                self._lose(connection)
                publishers = self._publishers
                continue
            self._messages += 1
            self._bytes += len(chunks)
            if not is_all_sent:
                self._max_backlog = max(self._max_backlog, connection.kept)
                if connection.fd not in self._writers:
                    self._writers[connection.fd] = connection
                    self._poll.register(connection.fd, select.EPOLLOUT)

    # The window.

    def _read_commands(self) -> None:
        data = os.read(0, 4096)
        if not data:
            self._is_over = True
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            if line == b"begin":
                self._begin()
            elif line == b"end":
                self._end()
            elif line == b"quit":
                self._is_over = True

    def _begin(self) -> None:
        self._drain.drain(list(self._drain.connections))
        for player in self._players:
            player.bytes = 0
        self._first, self._last = len(self._sent), None
        self._latencies, self._late = [], []
        self._messages = self._bytes = self._max_backlog = 0
        self._cpu, self._window = time.process_time(), time.monotonic()
        say("begun")

    def _end(self) -> None:
        now = time.monotonic()
        self._cpu, self._window = time.process_time() - self._cpu, now - self._window
        self._last = len(self._sent)
        self._report_at = now + self.options.grace
        self._window_messages, self._window_bytes = self._messages, self._bytes

    def _report(self) -> None:
        self._report_at = 0.0
        self._drain.drain(list(self._drain.connections))
        assert self._last is not None
        drained = [each.bytes for each in self._drain.connections]
        probes = [each.bytes for each in self._probes.values()]
        say(
            "window",
            seconds=self._window,
            cpu=self._cpu,
            messages=self._window_messages,
            bytes=self._window_bytes,
            publishers=len(self._publishers),
            players=len(drained) + len(probes),
            lost=self._lost[:5],
            expected=(self._last - self._first) * len(probes),
            received=len(self._latencies),
            latency={f"p{p}": quantile(self._latencies, p) for p in (50, 99, 100)},
            late_p99=quantile(self._late, 99),
            max_backlog=self._max_backlog,
            received_bytes=sum(drained) + sum(probes),
            fewest_bytes=min(drained + probes, default=0),
            probe_bytes=sum(probes) / len(probes) if probes else 0,
            first=self._first,
            sent=self._sent[self._first : self._last],
        )


def receive(connection: Connection) -> bytes:
    """Read what is there, which may be nothing.

    Raises:
        OSError: the server has closed.
    """
    try:
        data = connection.socket.recv(READ)
    except BlockingIOError:
        return b""
    if not data:
        raise ConnectionError("closed by the server")
    return data


def quantile(values: list[float], percent: int) -> float | None:
    """Return a percentile; None where there is no value."""
    return percentile(values, percent / 100) if values else None


def say(event: str, **values: object) -> None:
    """Tell whoever started this."""
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Make load."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    options = Options(**json.loads(sys.argv[1]))
    loop = make_loop(read_flv(Path(options.flv).read_bytes()), options.chunk_size)
    Load(options, loop).run()


if __name__ == "__main__":
    main()
