"""Tests of reading from many publishers in rounds."""

import socket
from typing import Any, cast

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from rapidrtmp.protocol.rounds import FEW, MAX_PAUSE, PAUSE_PER_READER, READS, Rounds


@implementer(IReactorFDSet)
class FakeReactor(Clock):
    """Has a clock, and knows what to poll for reading."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()

    def addReader(self, reader: object) -> None:  # noqa: N802 (Twisted's name)
        self.readers.add(reader)

    def removeReader(self, reader: object) -> None:  # noqa: N802 (Twisted's name)
        self.readers.discard(reader)

    def addWriter(self, writer: object) -> None:  # noqa: N802 (Twisted's name)
        pass

    def removeWriter(self, writer: object) -> None:  # noqa: N802 (Twisted's name)
        pass

    def removeAll(self) -> list[Any]:  # noqa: N802 (Twisted's name)
        return []

    def getReaders(self) -> list[Any]:  # noqa: N802 (Twisted's name)
        return list(self.readers)

    def getWriters(self) -> list[Any]:  # noqa: N802 (Twisted's name)
        return []


class Publisher(Protocol):
    """One end of a socket pair, which is read from in rounds, and the other."""

    def __init__(self, reactor: FakeReactor, rounds: Rounds) -> None:
        ours, self.theirs = socket.socketpair()
        ours.setblocking(False)
        self.connection = Connection(ours, self, cast(Any, reactor))
        self.connection.connected = 1
        self.reads: list[bytes] = []
        self.reason: Failure | None = None
        self.reader = rounds.reader(cast(Any, self.connection))

    def dataReceived(self, data: bytes) -> None:
        self.reads.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason
        self.reader.pauseProducing()


class RoundsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.rounds = Rounds(cast(Any, self.reactor))

    def publishers(self, count: int) -> list[Publisher]:
        """Connect so many, and read from them."""
        found = [Publisher(self.reactor, self.rounds) for _ in range(count)]
        for publisher in found:
            self.addCleanup(publisher.theirs.close)
            self.addCleanup(publisher.connection.connectionLost, Failure(connectionDone.value))
            publisher.reader.resumeProducing()
        return found

    def turn(self) -> None:
        """Do what a reactor does when all that it polls can be read."""
        for reader in list(self.reactor.readers):
            reader.doRead()

    @property
    def is_polled(self) -> bool:
        """Whether the reactor polls for all of them."""
        return self.rounds in self.reactor.readers

    def test_few(self) -> None:
        """Few publishers are read from at once: nothing waits."""
        publishers = self.publishers(FEW - 1)
        for k in range(3):
            for publisher in publishers:
                publisher.theirs.send(b"%d" % k)
            self.turn()
            self.assertEqual([p.reads[-1] for p in publishers], [b"%d" % k] * (FEW - 1))
            self.assertEqual(self.reactor.getDelayedCalls(), [])
            self.assertTrue(self.is_polled)
        self.assertEqual(self.rounds.pause, 0.0)

    def test_many(self) -> None:
        """What comes between two rounds is read in one; when nothing comes, the reactor polls."""
        publishers = self.publishers(10)
        pause = self.rounds.pause
        self.assertEqual(pause, 10 * PAUSE_PER_READER)
        publishers[0].theirs.send(b"a")
        self.turn()
        self.assertEqual(publishers[0].reads, [b"a"])
        self.assertFalse(self.is_polled, "the reactor would wake at once")
        publishers[0].theirs.send(b"b")
        publishers[0].theirs.send(b"c")
        publishers[9].theirs.send(b"d")
        self.reactor.advance(pause / 2)
        self.assertEqual(publishers[0].reads, [b"a"])
        self.reactor.advance(pause / 2)
        self.assertEqual(publishers[0].reads, [b"a", b"bc"])
        self.assertEqual(publishers[9].reads, [b"d"])
        self.assertFalse(self.is_polled)
        self.reactor.advance(pause)
        self.assertTrue(self.is_polled, "nothing came")
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_pause(self) -> None:
        """The pause grows with the publishers, up to a bound."""
        pauses = []
        for _ in range(50):
            self.publishers(1)
            pauses.append(self.rounds.pause)
        self.assertEqual(pauses, sorted(pauses))
        self.assertEqual(pauses[FEW - 1], FEW * PAUSE_PER_READER)
        self.assertEqual(pauses[-1], MAX_PAUSE)

    def test_flood(self) -> None:
        """One that floods is read a few times in a round, the others in between."""
        flood, other, *_ = self.publishers(FEW)
        flood.theirs.setblocking(False)

        def refill(data: bytes) -> None:
            flood.reads.append(data)
            flood.theirs.send(bytes(65536))
            if len(flood.reads) == 2:
                other.theirs.send(b"b")

        self.patch(flood, "dataReceived", refill)
        flood.theirs.send(bytes(65536))
        other.theirs.send(b"a")
        self.turn()
        self.assertEqual(len(flood.reads), READS)
        self.assertEqual(other.reads, [b"a", b"b"])

    def test_twice(self) -> None:
        """Who is read from already may be told to be read from."""
        [publisher] = self.publishers(1)
        publisher.reader.resumeProducing()
        publisher.theirs.send(b"a")
        self.turn()
        self.assertEqual(publisher.reads, [b"a"])

    def test_fails_at_its_end(self) -> None:
        """One that fails, and again while it is ended, takes nobody along."""
        for count in (FEW - 1, FEW + 1):
            bad, *others = self.publishers(count)

            def fail(*_: object) -> None:
                raise ZeroDivisionError

            self.patch(bad, "dataReceived", fail)
            self.patch(bad, "connectionLost", fail)
            bad.theirs.send(b"a")
            self.turn()
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
            for other in others:
                other.theirs.send(b"b")
            self.turn()
            self.reactor.advance(MAX_PAUSE)
            self.assertEqual([other.reads for other in others], [[b"b"]] * len(others))
            for other in others:
                other.reader.pauseProducing()

    def test_reactor_stops(self) -> None:
        """Whoever is read from learns that the reactor stops."""
        publishers = self.publishers(2)
        self.rounds.connectionLost(Failure(connectionDone.value))
        self.assertTrue(all(publisher.reason for publisher in publishers))

    def test_paused(self) -> None:
        """One that is paused is not read from, nor looked at when it goes; then it goes on."""
        one, *_ = self.publishers(FEW)
        one.reader.pauseProducing()
        one.reader.pauseProducing()
        one.theirs.send(b"a")
        one.theirs.close()
        self.turn()
        self.assertTrue(self.is_polled, "there is nothing that could be read")
        self.assertEqual(one.reads, [])
        one.reader.resumeProducing()
        self.turn()
        self.assertEqual(one.reads, [b"a"])

    def test_end(self) -> None:
        """The reactor is left to find the end of a connection, and to tell the protocol."""
        one, other, *_ = self.publishers(FEW)
        one.theirs.close()
        self.turn()
        self.assertIsNone(one.reason)
        self.assertIn(one.connection, self.reactor.readers)
        self.assertIsNotNone(one.connection.doRead())
        other.theirs.send(b"a")
        self.reactor.advance(self.rounds.pause)
        self.turn()
        self.assertEqual(other.reads, [b"a"])

    def test_reset(self) -> None:
        """A reset is found once only, and told as what it is."""
        one, other, *_ = self.publishers(FEW)
        one.connection.socket.send(b"what is not read when the other side closes")
        one.theirs.close()
        other.theirs.send(b"a")
        self.turn()
        assert one.reason is not None
        self.assertTrue(one.reason.check(ConnectionLost))
        self.assertEqual(other.reads, [b"a"])

    def test_closing(self) -> None:
        """A connection that is being closed from here is not read from again."""
        one, *_ = self.publishers(1)
        one.reader.pauseProducing()
        one.connection.disconnecting = True
        one.reader.resumeProducing()
        one.theirs.send(b"a")
        self.turn()
        self.assertEqual(one.reads, [])

    def test_crash(self) -> None:
        """What a protocol raises is logged, and ends that connection alone."""
        one, other, *_ = self.publishers(FEW)

        def crash(data: bytes) -> None:
            raise ZeroDivisionError

        self.patch(one, "dataReceived", crash)
        one.theirs.send(b"a")
        other.theirs.send(b"b")
        self.turn()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        assert one.reason is not None
        self.assertTrue(one.reason.check(ZeroDivisionError))
        self.assertEqual(other.reads, [b"b"])
        self.assertIsNone(other.reason)

    def test_gone_meanwhile(self) -> None:
        """One that is ended in a round by what another one sent is not read from in it."""
        publishers = self.publishers(FEW)

        def end_others(this: Publisher) -> None:
            for other in publishers:
                if other is not this:
                    other.connection.connectionLost(Failure(connectionDone.value))

        for publisher in publishers:
            self.patch(publisher, "dataReceived", lambda data, this=publisher: end_others(this))
            publisher.theirs.send(b"a")
        self.turn()
        self.assertEqual(sum(publisher.reason is None for publisher in publishers), 1)

    def test_last_one(self) -> None:
        """When the last one has gone nothing is left with the reactor; a new one begins anew."""
        for pause in (False, True):
            publishers = self.publishers(FEW)
            if pause:
                publishers[0].theirs.send(b"a")
                self.turn()
                self.assertEqual(len(self.reactor.getDelayedCalls()), 1)
            for publisher in publishers:
                publisher.connection.connectionLost(Failure(connectionDone.value))
            self.assertEqual(self.reactor.getDelayedCalls(), [])
            self.assertFalse(self.is_polled)
            self.assertEqual(self.rounds.fileno(), -1)

    def test_other_transports(self) -> None:
        """What is not the socket itself, or cannot be polled, is left to the reactor."""
        plain = StringTransport()
        self.assertIs(self.rounds.reader(cast(Any, plain)), plain)
        connection = self.publishers(1)[0].connection
        secure = TLSMemoryBIOProtocol(cast(Any, WrappingFactory(cast(Any, None))), Protocol())
        secure.transport = connection
        self.assertIs(self.rounds.reader(cast(Any, secure)), secure)
        wrapped = ProtocolWrapper(cast(Any, WrappingFactory(cast(Any, None))), Protocol())
        wrapped.transport = connection
        self.assertIsNot(self.rounds.reader(cast(Any, wrapped)), wrapped)
        self.assertIs(Rounds(Clock()).reader(cast(Any, connection)), connection)
