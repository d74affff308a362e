"""A whole RTMP server in memory with a live stream, and whoever else connects to it."""

from typing import Any, cast

from rapidrtmp.amf.values import Value
from rapidrtmp.codecs.registry import REGISTRY
from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.protocol.connection import RTMPServerProtocol
from rapidrtmp.protocol.server import RTMPServerFactory
from tests.codecs.builders import ASC, SPS, avcc, pps, prefixed
from tests.protocol.fakes import FakeTransport
from tests.rtmp.wire import ANSWER_SIZE, HANDSHAKE, Message, call, chunks, codes, read
from tests.stream.fakes import FakeOutput, StreamCase

AVC = b"\x17\0\0\0\0" + avcc([SPS().nal_unit()], [pps()])
AAC = b"\xaf\0" + ASC(rate=48000).octets()
KEY_FRAME = b"\x17\1\0\0\0" + prefixed(b"\x65\x88\x84\x21")
INTER_FRAME = b"\x27\1\0\0\0" + prefixed(b"\x41\x9a\x24")
SOUND = b"\xaf\1\x21\0"

CONNECT = call("connect", 1.0, {"app": "live", "tcUrl": "rtmp://host/live"})
CREATE = call("createStream", 2.0, None)


def publish_call(key: str, msid: int = 1) -> bytes:
    """Write a publish command."""
    return call("publish", 3.0, None, f"{key}?token=good", "live", msid=msid)


def video(body: bytes, time: int, **form: Any) -> bytes:
    """Write a video message."""
    return b"".join(chunks(body, time=time, csid=6, **form))


def audio(body: bytes, time: int, **form: Any) -> bytes:
    """Write an audio message."""
    return b"".join(chunks(body, time=time, csid=7, type_id=8, **form))


START = video(AVC, 0) + audio(AAC, 0) + video(KEY_FRAME, 0) + audio(SOUND, 0)
"""Both configurations and the first frame of each."""


class Peer:
    """One connection."""

    def __init__(self, factory: RTMPServerFactory, host: str = "192.0.2.1") -> None:
        self.transport = FakeTransport(host=host)
        self.protocol: RTMPServerProtocol = factory.buildProtocol(None)
        self.protocol.makeConnection(cast(Any, self.transport))

    def send(self, octets: bytes) -> None:
        """Send bytes in reads of the size of Twisted's."""
        for start in range(0, len(octets), 65536):
            if self.is_closed:
                return
            self.protocol.dataReceived(octets[start : start + 65536])

    def call(self, name: str, tx: float, *arguments: Value, msid: int = 0) -> None:
        """Send a command."""
        self.send(call(name, tx, *arguments, msid=msid))

    def lose(self) -> None:
        """Go without a word."""
        self.protocol.connectionLost()

    @property
    def is_closed(self) -> bool:
        """Whether the server has ended it, or said its last word."""
        return self.transport.disconnected or self.transport.half_closed

    @property
    def messages(self) -> list[Message]:
        """What the server has sent behind its handshake."""
        return read(self.transport.value()[ANSWER_SIZE:])

    @property
    def codes(self) -> list[object]:
        """The status codes that came, without connect's success."""
        found = [code for _, _, code in codes(self.messages)]
        return [code for code in found if code != "NetConnection.Connect.Success"]


class FaultCase(StreamCase):
    """Faults beside a live stream, which must not notice them."""

    def setUp(self) -> None:
        """Start the server and the live stream."""
        super().setUp()
        self._streams = 0
        self.factory = RTMPServerFactory(
            self.manager, cast(Any, self.clock), lambda: Demuxer(REGISTRY)
        )
        self.canary = self.publisher("canary", "192.0.2.200")
        self.canary.send(START)
        self._canary_frames = 0
        self._canary_output = self.maker.outputs[-1]

    def peer(self, host: str = "192.0.2.1") -> Peer:
        """Open a connection."""
        return Peer(self.factory, host)

    def shaken(self) -> Peer:
        """A connection behind the handshake."""
        peer = self.peer()
        peer.send(HANDSHAKE)
        return peer

    def connected(self) -> Peer:
        """A connection that may publish on message stream 1."""
        peer = self.shaken()
        peer.send(CONNECT + CREATE)
        return peer

    def publisher(self, key: str = "", host: str = "192.0.2.1") -> Peer:
        """A connection that publishes, without media as yet; a new stream without a key."""
        self._streams += 1
        key = key or f"key-{self._streams}"
        peer = self.peer(host)
        peer.send(HANDSHAKE + CONNECT + CREATE + publish_call(key))
        self.assertEqual(peer.codes, ["NetStream.Publish.Start"])
        return peer

    def output_of(self, peer: Peer) -> FakeOutput:
        """Send a peer's configurations and first frames; return where its frames go."""
        peer.send(START)
        return self.maker.outputs[-1]

    def advance(self, seconds: float) -> None:
        """Let time pass, in which the live stream goes on."""
        for _ in range(round(25 * seconds)):
            self._canary_frames += 1
            time = 40 * self._canary_frames
            self.canary.send(video(INTER_FRAME, time) + audio(SOUND, time))
            self.clock.advance(0.04)

    def assert_ended(self, peer: Peer, reason: str) -> None:
        """The connection is cut, and counted under that reason alone."""
        self.assertTrue(peer.transport.disconnected, "the connection is open")
        self.assertEqual(self.factory.errors, {reason: 1})
        self.factory.errors.clear()
        peer.lose()

    def assert_refused(self, peer: Peer, code: str) -> None:
        """The connection was told why, and is closed behind the last word."""
        self.assertEqual(peer.codes[-1:], [code])
        self.assertTrue(peer.is_closed)
        peer.lose()

    def assert_tolerated(self, peer: Peer) -> None:
        """The connection is open and nothing was counted."""
        self.assertFalse(peer.is_closed)
        self.assertEqual(self.factory.errors, {})

    def assert_unharmed(self) -> None:
        """The live stream goes on, sample by sample; nothing of ours failed."""
        before = len(self._canary_output.samples)
        self.advance(2.0)
        self.assertEqual(len(self._canary_output.samples) - before, 100)
        self.assertFalse(self.canary.is_closed)
        self.assertNotIn("internal", self.factory.errors)

    def tearDown(self) -> None:
        """Whatever the test did: the live stream goes on, and all is given back."""
        self.assert_unharmed()
        for connection in list(self.factory.connections):
            connection.connectionLost()
        self.assertEqual(self.factory._ungranted, {})
