"""Tests of writing to sockets at once."""

import contextlib
import socket
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.protocol.direct_writer import DirectWriter


class FakeReactor:
    """Remembers who wants to read and to write."""

    def __init__(self) -> None:
        self.readers: set[object] = set()
        self.writers: set[object] = set()

    def addReader(self, reader: object) -> None:  # noqa: N802 (Twisted's name)
        self.readers.add(reader)

    def removeReader(self, reader: object) -> None:  # noqa: N802 (Twisted's name)
        self.readers.discard(reader)

    def addWriter(self, writer: object) -> None:  # noqa: N802 (Twisted's name)
        self.writers.add(writer)

    def removeWriter(self, writer: object) -> None:  # noqa: N802 (Twisted's name)
        self.writers.discard(writer)


class Producer:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class DirectWriterTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Connect two sockets, one of them by Twisted's transport."""
        ours, self.theirs = socket.socketpair()
        self.addCleanup(self.theirs.close)
        self.addCleanup(ours.close)
        self.theirs.setblocking(False)
        self.reactor = FakeReactor()
        self.transport = Connection(ours, Protocol(), cast(Any, self.reactor))
        self.transport.connected = 1
        self.writer = DirectWriter(cast(Any, self.transport))

    def read(self, turn: Callable[[], object] = lambda: None) -> bytes:
        """Read all that comes, `turn` between the reads."""
        found = b""
        while True:
            try:
                found += self.theirs.recv(1 << 20)
            except BlockingIOError:
                if not self.reactor.writers:
                    return found
            turn()

    def test_at_once(self) -> None:
        """What the socket takes is sent without a turn of the reactor."""
        self.writer.write(b"frame")
        self.assertEqual(self.reactor.writers, set())
        self.assertEqual(self.read(), b"frame")

    def test_shared(self) -> None:
        """What the socket does not take is no copy, whether some of it went or nothing."""
        frame = b"1" * (8 << 20)
        self.writer.write(frame)
        self.assertIs(self.transport.dataBuffer, frame)
        self.assertEqual(self.read(self.transport.doWrite), frame)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.transport.socket.send(frame)
        self.writer.write(frame)
        self.assertIs(self.transport.dataBuffer, frame)
        self.assertEqual(self.transport.offset, 0)

    def test_order(self) -> None:
        """Nothing overtakes what others wrote to the transport."""
        for turned in (False, True):
            with self.subTest(turned=turned):
                self.transport.write(b"1" * (1 << 20))  # more than the socket takes
                if turned:
                    self.transport.doWrite()
                self.writer.write(b"2")
                self.transport.write(b"3")
                self.assertTrue(self.read(self.transport.doWrite) == b"1" * (1 << 20) + b"23")
                self.writer.write(b"4")
                self.assertEqual(self.reactor.writers, set())
                self.assertEqual(self.read(), b"4")

    def test_rest(self) -> None:
        """What the socket does not take waits in the transport, and pauses the producer."""
        producer = Producer()
        self.transport.registerProducer(cast(Any, producer), True)
        octets = bytes(range(256)) * (1 << 14)
        self.writer.write(octets)
        self.assertEqual(producer.told, ["pause"])
        self.assertTrue(self.read(self.transport.doWrite) == octets)
        self.assertEqual(producer.told, ["pause", "resume"])

    def test_pieces(self) -> None:
        """Pieces go in order, and of them, too, the rest waits; but not more than is given."""
        self.writer.write_all([b"a", b"", b"bc"])
        self.assertEqual(self.reactor.writers, set())
        self.assertEqual(self.read(), b"abc")
        pieces = [bytes([number]) * 5000 for number in range(256)]
        self.writer.write_all([*pieces, *pieces])
        self.assertEqual(self.reactor.writers, {self.transport})
        self.assertTrue(self.read(self.transport.doWrite) == b"".join([*pieces, *pieces]))

    def test_send(self) -> None:
        """What is sent at once is told; nothing is while others wait, or where it cannot be."""
        octets = bytes(range(256)) * (1 << 14)
        sent = self.writer.send(b"", memoryview(octets), b"end")
        self.assertGreater(sent, 0)
        self.assertLess(sent, len(octets))
        self.assertEqual(self.reactor.writers, set())
        self.assertTrue(self.read() == octets[:sent])
        self.transport.write(b"first")
        self.assertEqual(self.writer.send(b"second"), 0)
        self.assertEqual(DirectWriter(cast(Any, StringTransport())).send(b"x"), 0)
        self.theirs.close()
        self.assertEqual(self.writer.send(b"x"), 0)

    def test_broken(self) -> None:
        """A connection that broke is ended by the transport, as any other."""
        self.theirs.close()
        self.writer.write(b"frame")
        self.assertEqual(self.reactor.writers, {self.transport})
        self.assertIsInstance(self.transport.doWrite(), Exception)

    def test_closed(self) -> None:
        """Nothing is sent, and nothing raised, by a connection that is closed or lost."""
        self.transport.loseWriteConnection()
        self.transport.doWrite()
        self.writer.write(b"late")
        self.assertEqual(self.theirs.recv(1), b"")
        self.transport.connectionLost(Failure(ConnectionLost()))
        self.writer.write(b"later")
        self.assertEqual(self.theirs.recv(1), b"")
        self.assertEqual(self.reactor.writers, set())

    def test_wrapped(self) -> None:
        """Wrappers that leave bytes alone are passed by; those that do not are not."""
        factory: Any = WrappingFactory(cast(Any, None))
        plain = ProtocolWrapper(factory, Protocol())
        plain.transport = self.transport
        DirectWriter(cast(Any, plain)).write(b"1")
        self.assertEqual(self.read(), b"1")

        class Changing(ProtocolWrapper):
            def write(self, data: bytes) -> None:
                super().write(data.upper())

        changing = Changing(factory, Protocol())
        changing.transport = cast(Any, plain)
        DirectWriter(cast(Any, changing)).write(b"b")
        self.assertEqual(self.read(self.transport.doWrite), b"B")

    def test_other_transports(self) -> None:
        """Whatever is no socket is written to; so is one over which TLS was begun."""
        other = StringTransport()
        DirectWriter(cast(Any, other)).write(b"frame")
        self.assertEqual(other.value(), b"frame")
        written: list[bytes] = []
        self.patch(self.transport, "TLS", True)
        self.patch(self.transport, "write", written.append)
        DirectWriter(cast(Any, self.transport)).write(b"secret")
        self.assertEqual(written, [b"secret"])
        self.assertIsNot(TLSMemoryBIOProtocol.write, ProtocolWrapper.write)
