"""The parts that are measured. Each case is made once, and does the same in every round."""

# Twisted's methods carry no annotations yet.
# mypy: allow-untyped-calls

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.web.resource import Resource

from benchmarks.micro.world import Transport, World
from benchmarks.replay import CHUNK_SIZE, Loop, make_loop
from benchmarks.sample import read_flv
from rapidrtmp.auth.session_ids import SessionSigner
from rapidrtmp.codecs.registry import REGISTRY
from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.interfaces import Representation
from rapidrtmp.rtmp.chunk import ChunkDecoder
from rapidrtmp.rtmp.limits import Limits
from rapidrtmp.storage.memory import MemoryStorage
from rapidrtmp.web.http_site import HTTPSite
from rapidrtmp.web.live import LiveResource

SECONDS = 2.0
"""Of the sample, in a round: one GOP, and a segment."""
READ = 64 * 1024
"""Bytes that Twisted reads at most."""
PLAYERS = 100
REQUESTS = 50

Round = Callable[[], int]
"""Does the work; tells how often."""


def sample_loop() -> Loop:
    """Return the beginning of the sample that BENCH_SAMPLE names."""
    tags = read_flv(Path(os.environ["BENCH_SAMPLE"]).read_bytes())
    origin = next(tag.timestamp for tag in tags if not tag.is_config and tag.type_id == 9)
    return make_loop([tag for tag in tags if tag.timestamp < origin + 1000 * SECONDS])


def chunks(loop: Loop, size: int) -> Round:
    """The chunk decoder, by reads of some bytes; 0 for one message each."""
    delivered = [0]

    def deliver(*_: object) -> None:
        delivered[0] += 1

    limits = Limits()
    decoder = ChunkDecoder(limits, deliver)
    decoder.chunk_size = CHUNK_SIZE
    decoder.max_message_size = limits.message
    decoder.max_partial_bytes = limits.partial_bytes
    decoder.receive(loop.start)
    reads = [message.chunks for message in loop.messages]
    if size:
        octets = b"".join(reads)
        reads = [octets[at : at + size] for at in range(0, len(octets), size)]

    def turn() -> int:
        before = delivered[0]
        receive = decoder.receive
        for read in reads:
            receive(read)
        return delivered[0] - before

    return turn


def demuxer(loop: Loop) -> Round:
    """The FLV demuxer: tags to samples."""
    messages: list[tuple[int, int, bytes]] = []
    decoder = ChunkDecoder(
        Limits(), lambda kind, _, time, body: messages.append((kind, time, body))
    )
    decoder.chunk_size = CHUNK_SIZE
    decoder.max_message_size = decoder.max_partial_bytes = 1 << 24
    decoder.receive(loop.start)
    starts = len(messages)
    for message in loop.messages:
        decoder.receive(message.chunks)
    made = Demuxer(REGISTRY)
    for message_ in messages[:starts]:
        made.receive(*message_)
    media = [(kind, time, body) for kind, time, body in messages[starts:]]
    turns = [0]
    span = round(1000 * loop.seconds)

    def turn() -> int:
        shift = turns[0] * span
        turns[0] += 1
        receive = made.receive
        for kind, time, body in media:
            receive(kind, time + shift & 0xFFFFFFFF, body)
        return len(media)

    return turn


def ingest(loop: Loop) -> Round:
    """A connection's bytes to the stream, without packaging and players."""
    return World().publisher(loop)


def packaging(loop: Loop, part_duration: float) -> Round:
    """The same with HLS: chunks, tags, stream, segments."""
    return World(packages=True, part_duration=part_duration).publisher(loop)


def fanout(loop: Loop) -> Round:
    """One publisher to 100 players, into transports that take everything."""
    world = World()
    turn = world.publisher(loop)
    turn()
    for _ in range(PLAYERS):
        world.connect(publishes=False)
    return turn


class ViewerTransport(Transport):
    """A viewer's transport, which takes whatever a producer has, at once."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: N802  (Twisted's)
        """Let a pull producer produce all; a push producer does so by itself."""
        super().registerProducer(producer, streaming)
        while not streaming and self.producer is not None:
            producer.resumeProducing()


def http(loop: Loop, suffix: str) -> Round:
    """An answer to a keep-alive request: for the playlist or a segment of a live stream."""
    world = World(packages=True)
    publish = world.publisher(loop)
    for _ in range(6):
        publish()
    stream = world.manager.get("s0")
    assert stream is not None
    root = Resource()
    signer = SessionSigner(MemoryStorage(world.clock))
    signer.load()
    root.putChild(b"live", LiveResource(world.manager, world.clock, signer))
    site = HTTPSite(root, world.clock)
    transport = ViewerTransport()
    channel: Any = site.buildProtocol(transport.getPeer())
    channel.makeConnection(transport)

    def ask(path: str) -> bytes:
        channel.dataReceived(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer: bytes = transport.value()
        transport.clear()
        return answer

    def lines(answer: bytes) -> list[str]:
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"answered {answer[:300]!r}")
        return [line for line in answer.partition(b"\r\n\r\n")[2].decode().splitlines() if line]

    multivariant = lines(ask("/live/s0/index.m3u8"))
    path = f"/live/s0/{next(line for line in multivariant if not line.startswith('#'))}"
    if suffix != ".m3u8":
        media = [line for line in lines(ask(path)) if not line.startswith("#")]
        path = f"/live/s0/{media[-1].removeprefix('../')}"
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    answer = ask(path)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"{path} was answered {answer[:300]!r}")
    transport.is_forgetful = True

    def turn() -> int:
        for _ in range(REQUESTS):
            channel.dataReceived(request)
        return REQUESTS

    return turn


def playlists(loop: Loop) -> Round:
    """Packaging with parts, when somebody asks for both playlists after each part."""
    world = World(packages=True)

    def look() -> None:
        stream = world.manager.get("s0")
        assert stream is not None
        [output] = stream.http_outputs
        for name in ("video1.m3u8", "audio2.m3u8"):
            found = output.representation((stream.life, name), {})
            if not isinstance(found, Representation):  # the first segment is not there yet
                found.addErrback(lambda _: None)
                found.cancel()

    return world.publisher(loop, look)


CASES: dict[str, Callable[[Loop], Round]] = {
    "chunks, message by message": lambda loop: chunks(loop, 0),
    "chunks, 64 KiB reads": lambda loop: chunks(loop, READ),
    "FLV demuxer": demuxer,
    "ingest": ingest,
    "ingest + HLS without parts": lambda loop: packaging(loop, 0.0),
    "ingest + HLS with parts": lambda loop: packaging(loop, 0.2),
    "the same, playlists read": playlists,
    f"fan-out to {PLAYERS}": fanout,
    "playlist over HTTP": lambda loop: http(loop, ".m3u8"),
    "segment over HTTP": lambda loop: http(loop, ".m4s"),
}
