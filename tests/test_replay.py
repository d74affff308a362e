"""Tests of `rapidrtmp.replay`: the same bytes, at their times, with another token."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp.protocol.dump import MAGIC
from rapidrtmp.replay import (
    CLOSE_TIMEOUT,
    Answers,
    Replay,
    ReplayError,
    parse_server,
    replay,
    with_token,
)
from rapidrtmp.rtmp import status
from rapidrtmp.rtmp.session import ServerSession
from tests.protocol.fakes import FakeTransport, Server
from tests.rtmp.wire import HANDSHAKE, call, chunks, control

OLD = "0123456789abcdef" * 4
NEW = "fedcba9876543210" * 4
CONNECT = call("connect", 1.0, {"app": "live"}) + call("createStream", 2.0, None)
PUBLISH = call("publish", 3.0, None, f"key?token={OLD}", "live", msid=1)
RECORDS = [(0, HANDSHAKE), (10, CONNECT), (250, PUBLISH), (1000, b"".join(chunks(b"frame")))]


class TokenTests(SynchronousTestCase):
    @settings(max_examples=60, deadline=None)
    @given(
        st.integers(0, 200),
        st.integers(2, 63),
        st.lists(st.integers(0, 600), max_size=6),
        st.sampled_from([128, 40, 7]),
    )
    def test_anywhere(self, before: int, csid: int, cuts: list[int], size: int) -> None:
        """A token is found wherever chunks and reads cut it, and no other byte changes."""
        text = "k" * before + f"?token={OLD}&x=1"

        def octets(token: str) -> bytes:
            body = text.replace(OLD, token).encode()
            return b"".join(chunks(body, csid=csid, size=size))

        recorded, ends = octets(OLD), sorted({*cuts, 10_000})
        records = [(end, recorded[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
        exchanged = with_token(records, NEW)
        self.assertEqual([ms for ms, _ in exchanged], ends)
        self.assertEqual(
            [len(octets) for _, octets in exchanged], [len(octets) for _, octets in records]
        )
        self.assertEqual(b"".join(part for _, part in exchanged), octets(NEW))

    def test_every_time(self) -> None:
        """A client names its token in several commands."""
        records = [(0, PUBLISH), (1, b"\x00" + PUBLISH)]
        joined = b"".join(octets for _, octets in with_token(records, NEW))
        self.assertNotIn(OLD.encode()[:20], joined)

    def test_refused(self) -> None:
        """A token of another length, or one for a dump without, cannot be put in."""
        for token in ("", "abc", NEW + "0", "g" * 64, NEW[:-1] + "é"):
            self.assertRaises(ReplayError, with_token, RECORDS, token)
        for octets in (b"", b"key?token=abc", OLD.encode() + b"0", b"0" + OLD.encode()):
            self.assertRaises(ReplayError, with_token, [(0, octets)], NEW)


class ServerURLTests(SynchronousTestCase):
    def test_server(self) -> None:
        """Host and port; what follows is of no use."""
        for url, place in (
            ("rtmp://localhost", ("localhost", 1935)),
            ("rtmp://192.0.2.1:1936/", ("192.0.2.1", 1936)),
            ("rtmp://[::1]:1936/live/key?token=x", ("::1", 1936)),
        ):
            self.assertEqual(parse_server(url), place)

    def test_no_server(self) -> None:
        """Other words are refused, with those that are allowed."""
        for url in ("", "localhost", "rtmps://a", "http://a", "rtmp://", "rtmp://a:x", "rtmp://[a"):
            with self.assertRaisesRegex(ReplayError, "--to must be rtmp://"):
                parse_server(url)


class AnswersTests(SynchronousTestCase):
    def answers(self, session: ServerSession, reads: Sequence[bytes], step: int) -> list[str]:
        """Let a server answer, and give what is told of it."""
        told: list[str] = []
        answers = Answers(told.append)
        out = b""
        for octets in reads:
            for event in session.receive_data(octets, 0.0):
                if "Connect" in type(event).__name__:
                    session.accept(cast(Any, event), 0.0)
                else:
                    words = f"no: token {OLD}\r\n"
                    session.reject(cast(Any, event), status.PUBLISH_DENIED, words)
            out += b"".join(session.data_to_send())
        for start in range(0, len(out), step):
            answers.receive(out[start : start + step])
        return told

    def test_status(self) -> None:
        """What the server says is told, whatever pieces it comes in, without secrets."""
        reads = [octets for _, octets in RECORDS]
        for step in (1, 100, 10_000):
            told = self.answers(ServerSession(), reads, step)
            self.assertEqual(told[0][:30], "NetConnection.Connect.Success:")
            self.assertEqual(told[-1], f"{status.PUBLISH_DENIED}: no: token ***\ufffd\ufffd")

    def test_anything(self) -> None:
        """What is no RTMP ends the listening, with one line."""
        told: list[str] = []
        answers = Answers(told.append)
        answers.receive(bytes(3073) + b"\xff" * 100)
        answers.receive(b"\xff" * 100)
        self.assertEqual(len(told), 1)
        self.assertIn("cannot be read", told[0])

    @settings(max_examples=40, deadline=None)
    @given(st.binary(max_size=300))
    def test_never_raises(self, octets: bytes) -> None:
        """Whatever it is."""
        answers = Answers(lambda _: None)
        answers.receive(bytes(3073))
        answers.receive(control(1, 0))
        answers.receive(octets)


class ReplayCase(SynchronousTestCase):
    """A replay on a transport in memory."""

    def begin(self, records: Sequence[tuple[int, bytes]], *, fast: bool = False) -> Replay:
        """Connect."""
        self.clock = Clock()
        self.clock.advance(1_800_000_000)
        self.transport = FakeTransport()
        self.told: list[str] = []
        protocol = Replay(records, cast(Any, self.clock), self.told.append, fast=fast)
        protocol.makeConnection(cast(Any, self.transport))
        return protocol

    def sent(self) -> bytes:
        """Give what was sent since the last call."""
        sent: bytes = self.transport.value()
        self.transport.clear()
        return sent


class ReplayTests(ReplayCase):
    def test_times(self) -> None:
        """Each chunk goes at its time, and only our direction is closed behind the last."""
        protocol = self.begin(RECORDS)
        verifyObject(IPushProducer, protocol)
        self.assertEqual(self.sent(), HANDSHAKE)
        self.clock.advance(0.009)
        self.assertEqual(self.sent(), b"")
        self.clock.advance(0.002)
        self.assertEqual(self.sent(), CONNECT)
        self.clock.advance(0.3)
        self.assertEqual(self.sent(), PUBLISH)
        self.assertFalse(self.transport.half_closed)
        self.clock.advance(0.7)
        self.assertEqual(self.sent(), RECORDS[-1][1])
        self.assertTrue(self.transport.half_closed)
        self.assertNoResult(protocol.done)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertIs(self.successResultOf(protocol.done), True)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        size = sum(len(octets) for _, octets in RECORDS)
        self.assertEqual(self.told, [f"sent 4 of 4 chunks, {size} bytes, in 1.0 s"])

    def test_fast(self) -> None:
        """As fast as the server reads: a full transport is waited for."""
        protocol = self.begin(RECORDS[:2] * 2, fast=True)
        self.assertEqual(self.sent(), (HANDSHAKE + CONNECT) * 2)
        protocol = self.begin([])
        self.assertTrue(self.transport.half_closed)
        protocol = Replay(RECORDS, cast(Any, self.clock), self.told.append, fast=True)
        protocol.pauseProducing()
        protocol.makeConnection(cast(Any, self.transport))
        self.assertEqual(self.sent(), b"")
        protocol.resumeProducing()
        self.assertEqual(self.sent(), b"".join(octets for _, octets in RECORDS))

    def test_slow_server(self) -> None:
        """While the server does not read, time passes; what is due then goes at once."""
        protocol = self.begin(RECORDS)
        protocol.pauseProducing()
        self.clock.advance(0.5)
        self.assertEqual(self.sent(), HANDSHAKE)
        protocol.resumeProducing()
        self.assertEqual(self.sent(), CONNECT + PUBLISH)

    def test_closed_early(self) -> None:
        """A server that closes before everything is sent is told of."""
        protocol = self.begin(RECORDS)
        self.clock.advance(0.1)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertIs(self.successResultOf(protocol.done), False)
        self.assertIn("sent 2 of 4 chunks", self.told[-1])
        self.assertIn("the server closed", self.told[-1])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_server_stays(self) -> None:
        """A server that does not close is left after a while."""
        self.begin(RECORDS, fast=True)
        self.assertFalse(self.transport.disconnected)
        self.clock.advance(CLOSE_TIMEOUT)
        self.assertTrue(self.transport.disconnected or self.transport.disconnecting)

    def test_publishes(self) -> None:
        """Our own server takes it: C2 is the echo of another S1, answers are not waited for."""
        server = Server()
        connection, transport = server.connect()
        protocol = self.begin(RECORDS, fast=True)
        connection.dataReceived(self.sent())
        (publication,) = server.manager.publications
        self.assertEqual(publication.request.credentials, {"token": OLD})
        self.assertIn(("write", (0, b"frame")), publication.calls)
        protocol.dataReceived(transport.value())
        self.assertTrue(any("NetStream.Publish.Start" in line for line in self.told))


class CommandTests(SynchronousTestCase):
    def failure(self, path: Path, server: str = "rtmp://localhost", token: str = "") -> str:
        """Give the words of the refusal."""
        reactor = MemoryReactorClock()
        told: list[str] = []
        try:
            replay(path, server, token, reactor, told.append).send(None)
        except ReplayError as error:
            return str(error)
        raise AssertionError("not refused")

    def test_refused(self) -> None:
        """A file that is none or no dump, a token too many, and no server: one line each."""
        path = Path(self.mktemp())
        self.assertEqual(self.failure(path), f"{path}: No such file or directory")
        path.write_bytes(b"FLV\x01")
        self.assertEqual(self.failure(path), f"{path} is not a dump")
        path.write_bytes(MAGIC + json.dumps({}).encode() + b"\n")
        self.assertIn("leave out --token", self.failure(path, token=NEW))
        self.assertIn("--to must be", self.failure(path, server="localhost"))
