"""Who comes and goes in a soak: encoders, viewers and players, half of them badly behaved.

Each is a thread that does one thing after the other, at random, until it is told to stop.
"""

import http.client
import random
import re
import socket
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from urllib.parse import urljoin

from tests.integration.media import Tag
from tests.integration.raw_player import RawPlayer
from tests.integration.raw_publisher import RawPublisher, Refused
from tests.integration.scenarios import SECONDS, is_setup
from tests.integration.server import Server

REST = b" HTTP/1.1\r\nHost: a\r\n\r\n"
GREETING = b"\x03" + bytes(1536)
SHORT = Tag(8, 0, b"\xaf")
"""A message of sound that ends before it begins: dropped, by the name 'short'."""


class Crowd:
    """What all actors share: the server, the end, what happened, and what must not have."""

    def __init__(self, server: Server, tags: Sequence[Tag], seed: int) -> None:
        self.server = server
        self.tags = [tag for tag in tags if tag.type_id != 18]
        self.stop = threading.Event()
        self.calm = threading.Event()
        """Set while the server is known to stand still."""
        self.happened: Counter[str] = Counter()
        self.problems: list[str] = []
        self.random = random.Random(seed)
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._tokens: dict[str, str] = {}

    def count(self, what: str, times: int = 1) -> None:
        """Something has happened."""
        with self._lock:
            self.happened[what] += times

    def problem(self, what: str) -> None:
        """Something must not have happened."""
        with self._lock:
            self.problems.append(f"{time.strftime('%H:%M:%S')} {what}")

    def name(self, key: str) -> str:
        """Give what is published as, with a token that is good for long."""
        with self._lock:
            if key not in self._tokens:
                self._tokens[key] = self.server.mint(key)
            return f"{key}?token={self._tokens[key]}"

    def add(self, act: Callable[["Crowd", random.Random], None], times: int = 1) -> None:
        """Let an actor begin, `times` over."""
        for _ in range(times):
            source = random.Random(self.random.random())
            thread = threading.Thread(target=self._run, args=(act, source), daemon=True)
            self._threads.append(thread)
            thread.start()

    def end(self) -> None:
        """Wait until all have left."""
        self.stop.set()
        for thread in self._threads:
            thread.join(40.0)
            if thread.is_alive():
                self.problem(f"an actor hangs: {thread.name}")

    def _run(self, act: Callable[["Crowd", random.Random], None], source: random.Random) -> None:
        while not self.stop.wait(source.uniform(0.0, 1.0)):
            try:
                act(self, source)
            except Exception as error:
                self.problem(f"{act.__name__}: {error!r}")


def send_live(crowd: Crowd, publisher: RawPublisher, seconds: float, sent: list[int]) -> None:
    """Send the recording in real time; put down the checksum of each frame behind it."""
    begun, turn = time.monotonic(), 0
    while True:
        for tag in crowd.tags:
            if is_setup(tag) and turn:
                continue
            at = tag.timestamp + 1000 * SECONDS * turn
            patience = max(0.0, begun + at / 1000 - time.monotonic())
            if at > 1000 * seconds or crowd.stop.wait(patience):
                return
            publisher.send_tags([tag], shift=at - tag.timestamp)
            if not is_setup(tag):
                sent.append(checksum(tag))
        turn += 1


def hang_up(publisher: RawPublisher) -> None:
    """Close when the server has read everything, which it shows by closing, too."""
    publisher.socket.shutdown(socket.SHUT_WR)
    if not publisher.closed_by_server():
        raise AssertionError("the server does not close")


# Well behaved.

SENT = "frames sent by encoders that came and went"
CUT_OFF = "frames of those among them that were cut off"
KEYS = ("coming-1", "coming-2", "coming-3")


def encoder(crowd: Crowd, source: random.Random) -> None:
    """Publish for a while; leave in one of several ways, some without a word."""
    key = source.choice(KEYS)
    way = source.choice(("close", "close", "reset", "silence", "junk"))
    publisher = RawPublisher(crowd.server.rtmp_port, timeout=20.0)
    sent: list[int] = []
    was_read = False
    try:
        publisher.publish(crowd.name(key))
        crowd.count("publications")
        send_live(crowd, publisher, source.uniform(0.5, 6.0), sent)
        if way == "close":
            hang_up(publisher)
            was_read = True
        elif way == "junk":
            publisher.socket.sendall(source.randbytes(5000))
        else:
            if way == "silence":
                crowd.stop.wait(source.uniform(1.0, 5.0))
            publisher.reset()
        crowd.count(f"encoders that left by {way}")
    except (Refused, OSError) as error:
        # another one has taken over, or an earlier one of this address sent junk
        crowd.count(f"encoders sent away: {getattr(error, 'code', type(error).__name__)}")
    finally:
        publisher.close()
        crowd.count(SENT, len(sent))
        if not was_read:
            crowd.count(CUT_OFF, len(sent))


def viewer(crowd: Crowd, source: random.Random) -> None:
    """Watch HLS for a while, by low latency or by whole segments."""
    key = source.choice((*KEYS, "steady-1", "steady-2"))
    is_low = source.random() < 0.6
    connection = http.client.HTTPConnection("127.0.0.1", crowd.server.http_port, timeout=25)
    leaves = time.monotonic() + source.uniform(1.0, 8.0)
    try:
        path = f"/live/{key}/index.m3u8"
        index = _get(crowd, connection, path)
        if index is None:
            return
        crowd.count("low latency viewers" if is_low else "viewers of whole segments")
        uris = [line for line in index.decode().splitlines() if line and line[0] != "#"]
        path = urljoin(path, uris[0])
        query, seen = "", set[str]()
        while time.monotonic() < leaves and not crowd.stop.is_set():
            body = _get(crowd, connection, path + query)
            if body is None:
                return
            text = body.decode()
            if "#EXT-X-ENDLIST" in text:
                return
            found = re.findall(
                r'EXT-X-PART:[^\n]*URI="([^"]+)"' if is_low else r"\n([^#\n]+)", text
            )
            for uri in found[-2:]:
                if uri not in seen and _get(crowd, connection, urljoin(path, uri)) is not None:
                    crowd.count("parts and segments fetched")
                    seen.add(uri)
            hint = re.search(r'PRELOAD-HINT:TYPE=PART,URI="[^"]*?(\d+)\.(\d+)\.m4s"', text)
            if is_low and hint:
                query = f"?_HLS_msn={hint[1]}&_HLS_part={hint[2]}"
            else:
                query = ""
                crowd.stop.wait(0.4)
    finally:
        connection.close()


def _get(crowd: Crowd, connection: http.client.HTTPConnection, path: str) -> bytes | None:
    """Fetch a file; None where it is not there, or not yet."""
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        crowd.problem(f"GET {path}: {error!r}")
        return None
    if answer.status == 200:
        return body
    # the stream is over, between two encoders, or its part was never made
    if answer.status not in (404, 503):
        crowd.problem(f"GET {path}: {answer.status} {body[:200]!r}")
    crowd.count(f"answers {answer.status}")
    return None


def flv_player(crowd: Crowd, source: random.Random) -> None:
    """Watch FLV over HTTP for a while."""
    key = source.choice((*KEYS, "steady-1"))
    what, count = f"FLV of {key} does not connect", 0
    begun = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", crowd.server.http_port), 20.0) as connection:
            # an answer that there is nothing ends by it
            last = REST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
            connection.sendall(f"GET /live/{key}.flv".encode() + last)
            leaves = time.monotonic() + source.uniform(1.0, 6.0)
            while time.monotonic() < leaves and not crowd.stop.is_set():
                what = f"FLV of {key} stops after {count} bytes"
                data = connection.recv(65536)
                if not data:
                    break
                count += len(data)
    except TimeoutError:
        crowd.problem(f"{what}, {time.monotonic() - begun:.0f} s after its begin")
    crowd.count("FLV players" if count > 5000 else "FLV players that found nothing")


def rtmp_player(crowd: Crowd, source: random.Random) -> None:
    """Play by RTMP for a while."""
    try:
        player = RawPlayer(crowd.server.rtmp_port, source.choice((*KEYS, "steady-2")))
    except (AssertionError, OSError):
        crowd.count("RTMP players that found nothing")
        return
    leaves = time.monotonic() + source.uniform(1.0, 6.0)
    try:
        player.read(lambda: time.monotonic() > leaves or crowd.stop.is_set())
        crowd.count("RTMP players")
    except (AssertionError, OSError):
        crowd.count("RTMP players whose stream was over")
    finally:
        player.close()


def thumbnails(crowd: Crowd, source: random.Random) -> None:
    """Look at pictures."""
    connection = http.client.HTTPConnection("127.0.0.1", crowd.server.http_port, timeout=25)
    try:
        if _get(crowd, connection, f"/live/{source.choice(KEYS)}/thumb.jpg"):
            crowd.count("thumbnails")
    finally:
        connection.close()
    crowd.stop.wait(2.0)


# Badly behaved, each from an address of its own: what is barred is that one.


def _stranger(source: random.Random, port: int) -> socket.socket:
    address = f"127.{source.randrange(16, 250)}.{source.randrange(250)}.{source.randrange(1, 250)}"
    return socket.create_connection(("127.0.0.1", port), 20.0, (address, 0))


def half_handshakes(crowd: Crowd, source: random.Random) -> None:
    """Begin a handshake twenty times over, and say no more."""
    strangers = [_stranger(source, crowd.server.rtmp_port) for _ in range(20)]
    for each in strangers:
        each.sendall(GREETING[: source.randrange(1538)])
    crowd.count("half-shaken connections", len(strangers))
    crowd.stop.wait(source.uniform(1.0, 12.0))
    for each in strangers:
        each.close()


def resets(crowd: Crowd, source: random.Random) -> None:
    """Connect and reset, to both ports."""
    for _ in range(20):
        port = source.choice(crowd.server.ports)
        with _stranger(source, port) as each:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    crowd.count("connections that reset at once", 20)


def intruder(crowd: Crowd, source: random.Random) -> None:
    """Try to publish with a wrong token, to a live key or another."""
    address = f"127.{source.randrange(16, 250)}.{source.randrange(250)}.{source.randrange(1, 250)}"
    publisher = RawPublisher(crowd.server.rtmp_port, timeout=20.0, address=address)
    try:
        publisher.publish(f"{source.choice((*KEYS, 'steady-1', 'x'))}?token={'0' * 64}")
        crowd.problem("a wrong token was let in")
    except (Refused, ConnectionError) as error:
        if getattr(error, "code", "") == "NetStream.Publish.Denied":
            crowd.count("refused publishes")
    finally:
        publisher.close()


def sleeper(crowd: Crowd, source: random.Random) -> None:
    """Ask for a stream, a segment list or a page, and read nothing of it."""
    with _stranger(source, crowd.server.http_port) as each:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        path = source.choice(("/live/steady-1.flv", "/live/steady-2/index.m3u8", "/metrics", "/"))
        each.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        crowd.count("clients that read nothing")
        crowd.stop.wait(source.uniform(2.0, 15.0))


def vandal(crowd: Crowd, source: random.Random) -> None:
    """Send what is no request, or none that can be answered."""
    with _stranger(source, crowd.server.http_port) as each:
        words = source.choice(
            (
                b"GET /live/steady-1/index.m3u8?_HLS_msn=99999999999999999999" + REST,
                b"POST /live/steady-1/index.m3u8" + REST[:-2] + b"Content-Length: 99999\r\n\r\n",
                b"GET /live/%2e%2e/%2e%2e/etc/passwd" + REST,
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + source.randbytes(500),
                source.randbytes(3000),
            )
        )
        try:
            each.sendall(words)
            each.settimeout(3.0)
            while each.recv(65536):
                pass
        except OSError:
            pass
        crowd.count("requests that are none")


GOOD = (
    encoder,
    encoder,
    encoder,
    viewer,
    viewer,
    viewer,
    viewer,
    flv_player,
    rtmp_player,
    thumbnails,
)
BAD = (
    half_handshakes,
    half_handshakes,
    resets,
    intruder,
    intruder,
    sleeper,
    sleeper,
    sleeper,
    vandal,
)


class Steady:
    """An encoder that never leaves, and a player that reads all it is sent."""

    def __init__(self, crowd: Crowd, key: str) -> None:
        self._crowd = crowd
        self.key = key
        self.sent: dict[int, list[int]] = {8: [], 9: []}
        """Checksums of the frames, by type."""
        self.shorts = 0
        self.late = 0.0
        """Seconds by which a frame was sent too late, at most: the machine is busy."""
        self._over = threading.Event()
        self._publisher = RawPublisher(crowd.server.rtmp_port, timeout=30.0)
        self._publisher.publish(crowd.name(key))
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()
        self._player: RawPlayer | None = None
        self._watching: threading.Thread | None = None

    def play(self) -> None:
        """Let the player come."""
        self._player = RawPlayer(self._crowd.server.rtmp_port, self.key, 1e6)
        self._watching = threading.Thread(target=self._watch, daemon=True)
        self._watching.start()

    def close(self) -> None:
        """Hang up, behind the last frame."""
        self._over.set()
        self._thread.join(30.0)
        hang_up(self._publisher)
        self._publisher.close()

    def leave(self) -> None:
        """Let the player go."""
        if self._player is not None and self._watching is not None:
            self._watching.join(20.0)
            self._player.close()

    @property
    def played(self) -> dict[int, list[int]]:
        """Checksums of the frames that the player got, by type."""
        found: dict[int, list[int]] = {8: [], 9: []}
        assert self._player is not None
        for tag in self._player.tags:
            if tag.type_id in found and not is_setup(tag):
                found[tag.type_id].append(checksum(tag))
        return found

    def _watch(self) -> None:
        assert self._player is not None
        try:
            self._player.read(lambda: False)
        except (AssertionError, OSError):
            pass  # the stream is over, or the server says so

    def _send(self) -> None:
        begun = time.monotonic()
        turn = 0
        while True:
            for tag in self._crowd.tags:
                if is_setup(tag) and turn:
                    continue
                at = tag.timestamp + 1000 * SECONDS * turn
                if self._over.wait(max(0.0, begun + at / 1000 - time.monotonic())):
                    return
                self.late = max(self.late, time.monotonic() - begun - at / 1000)
                try:
                    self._publisher.send_tags([tag], shift=at - tag.timestamp)
                except OSError as error:
                    self._crowd.problem(f"{self.key} was sent away: {error!r}")
                    return
                if not is_setup(tag):
                    self.sent[tag.type_id].append(checksum(tag))
            self._publisher.send_tags([SHORT], shift=at)
            self.shorts += 1
            turn += 1


def checksum(tag: Tag) -> int:
    """Sum up the media of a message, without the header that says how it is coded."""
    return zlib.crc32(tag.body[5 if tag.type_id == 9 else 2 :])
