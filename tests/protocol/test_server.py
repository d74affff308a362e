"""Tests of connections and their factory."""

from typing import cast

from twisted.internet.error import ConnectionDone, ConnectionLost, TCPTimedOutError
from twisted.internet.interfaces import IPushProducer
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp.interfaces import AccessDenied, Refusal
from rapidrtmp.protocol.connection import RTMPServerProtocol
from rapidrtmp.protocol.ingest import MAX_CHANGES
from rapidrtmp.protocol.server import ServerSettings
from rapidrtmp.rtmp import status
from rapidrtmp.rtmp.limits import Limits
from rapidrtmp.stream.publication import Eviction
from tests.protocol.fakes import FakePublication, FakeTransport, Server
from tests.rtmp.wire import ANSWER_SIZE, HANDSHAKE, call, chunks, codes, control, read

CONNECT = call("connect", 1.0, {"app": "live", "flashVer": "test rtmp://h/a?token=x"}) + call(
    "createStream", 2.0, None
)
PUBLISH = call("publish", 3.0, None, "key?token=secret", "live", msid=1)
DELETE = call("deleteStream", 4.0, None, 1.0)
CONFIG = b"".join(chunks(b"config"))
CHANGE = b"".join(chunks(b"change"))


def media(time: int, body: bytes = b"frame") -> bytes:
    """Write a video message."""
    return b"".join(chunks(body, time=time, csid=6))


def answers(transport: FakeTransport) -> list[tuple[int, str, object]]:
    """Return the status codes that were sent since the connect reply."""
    return [
        (message_stream_id, name, code)
        for message_stream_id, name, code in codes(read(transport.value()[ANSWER_SIZE:]))
        if code != "NetConnection.Connect.Success"
    ]


class ServerTestCase(SynchronousTestCase):
    """Has a server, and short ways to the states of a connection."""

    def setUp(self) -> None:
        self.server = Server()
        self.clock = self.server.clock
        self.manager = self.server.manager
        self.factory = self.server.factory

    def publish(self) -> tuple[RTMPServerProtocol, FakeTransport, FakePublication]:
        """Make a connection that publishes, with tracks."""
        protocol, transport = self.server.connect()
        protocol.dataReceived(HANDSHAKE + CONNECT + PUBLISH + CONFIG)
        return protocol, transport, self.manager.publications[-1]

    def lose(self, protocol: RTMPServerProtocol) -> None:
        """End a connection from the other side; nothing may be left behind."""
        protocol.connectionLost()
        self.assertNotIn(protocol, self.factory.connections)


class PublishTests(ServerTestCase):
    def test_publish(self) -> None:
        """Media goes to the publication: tracks first, then samples, and metadata."""
        protocol, transport, publication = self.publish()
        self.assertEqual(transport.options, {"no_delay": True, "keep_alive": True})
        self.assertEqual(answers(transport), [(1, "onStatus", "NetStream.Publish.Start")])
        [request] = self.manager.requests
        self.assertEqual(
            (request.action, request.key, request.app, request.peer, request.client),
            ("publish", "key", "live", "192.0.2.1", "test rtmp://h/a?***"),
        )
        self.assertEqual(request.credentials, {"token": "secret"})
        self.assertEqual(request.session_id, protocol.connection_id)
        protocol.dataReceived(b"".join(chunks(b"1234", type_id=18)) + media(40) + CONFIG)
        self.assertEqual(
            publication.calls,
            [
                ("tracks", 1),
                ("metadata", {"size": 4}),
                ("write", (40, b"frame")),
                ("tracks", 2),
            ],
        )
        self.assertEqual(transport.producerState, "producing")
        self.lose(protocol)
        self.assertEqual(len(publication.closes()), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.factory.errors, {})

    def test_counters(self) -> None:
        """The factory counts connections and bytes."""
        protocol, _ = self.server.connect()
        self.server.connect()
        protocol.dataReceived(HANDSHAKE)
        self.lose(protocol)
        self.assertEqual(self.factory.connections_total, 2)
        self.assertEqual(self.factory.disconnects_total, 1)
        self.assertEqual(self.factory.bytes_received, len(HANDSHAKE))
        self.assertEqual(len(self.factory.connections), 1)

    def test_decision_takes_time(self) -> None:
        """While it is made, reading pauses and no deadline runs; then all is taken up."""
        self.manager.answer = None
        protocol, transport = self.server.connect()
        protocol.dataReceived(HANDSHAKE + CONNECT + PUBLISH + CONFIG + media(40))
        self.assertEqual(transport.producerState, "paused")
        self.assertEqual(answers(transport), [])
        self.clock.advance(60)
        publication = self.manager.grant(self.manager.requests[0])
        self.manager.pending[0].callback(publication)
        self.assertEqual(answers(transport), [(1, "onStatus", "NetStream.Publish.Start")])
        self.assertEqual(transport.producerState, "producing")
        self.assertEqual(publication.calls, [("tracks", 1), ("write", (40, b"frame"))])

    def test_client_leaves_before_the_decision(self) -> None:
        """A publication that comes too late is closed."""
        self.manager.answer = None
        protocol, _ = self.server.connect()
        protocol.dataReceived(HANDSHAKE + CONNECT + PUBLISH)
        self.lose(protocol)
        publication = self.manager.grant(self.manager.requests[0])
        self.manager.pending[0].callback(publication)
        self.assertEqual(len(publication.closes()), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refused_after_client_left(self) -> None:
        """A refusal that comes too late is nothing."""
        self.manager.answer = None
        protocol, transport = self.server.connect()
        protocol.dataReceived(HANDSHAKE + CONNECT + PUBLISH)
        transport.clear()
        self.lose(protocol)
        self.manager.pending[0].errback(AccessDenied(Refusal.DENIED, "no"))
        self.assertEqual(transport.value(), b"")

    def test_refusals(self) -> None:
        """Each refusal has its code; it is flushed, then the connection closed."""
        for refusal, code in (
            (Refusal.DENIED, "NetStream.Publish.Denied"),
            (Refusal.BAD_NAME, "NetStream.Publish.BadName"),
            (Refusal.BUSY, "NetStream.Publish.BadName"),
            (Refusal.REJECTED, "NetStream.Publish.Rejected"),
        ):
            with self.subTest(refusal=refusal):
                self.manager.answer = AccessDenied(refusal, "because of the test")
                protocol, transport = self.server.connect()
                protocol.dataReceived(HANDSHAKE + CONNECT + PUBLISH)
                self.assertEqual(answers(transport), [(1, "onStatus", code)])
                self.assertIn(b"because of the test", transport.value())
                self.assertTrue(transport.half_closed)
                self.assertEqual(transport.producerState, "producing")
                self.assertFalse(transport.disconnecting)
                transport.clear()
                protocol.dataReceived(DELETE)
                self.clock.advance(1.9)
                self.assertFalse(transport.disconnected)
                self.clock.advance(0.2)
                self.assertTrue(transport.disconnected)
                self.assertEqual(transport.value(), b"")
                self.lose(protocol)
        self.assertEqual(self.factory.errors, {})

    def test_not_tcp(self) -> None:
        """Transports that cannot be closed by halves are closed whole."""
        self.manager.answer = AccessDenied(Refusal.DENIED, "no")
        protocol, transport = self.server.connect(tcp=False)
        protocol.dataReceived(HANDSHAKE + CONNECT + PUBLISH)
        self.assertEqual(transport.options, {})
        self.assertTrue(transport.disconnecting)
        self.assertFalse(transport.half_closed)

    def test_manager_fails(self) -> None:
        """An error that is not a refusal is logged and ends this connection alone."""
        self.manager.answer = RuntimeError("broken")
        protocol, transport = self.server.connect()
        protocol.dataReceived(HANDSHAKE + CONNECT + PUBLISH)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertTrue(transport.disconnected)
        self.assertEqual(self.factory.errors, {"internal": 1})

    def test_manager_fails_late(self) -> None:
        """The same when the client has gone."""
        self.manager.answer = None
        protocol, _ = self.server.connect()
        protocol.dataReceived(HANDSHAKE + CONNECT + PUBLISH)
        self.lose(protocol)
        self.manager.pending[0].errback(RuntimeError("broken"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.factory.errors, {"internal": 1})

    def test_unpublish(self) -> None:
        """DeleteStream closes the publication; the connection may publish again."""
        protocol, _, first = self.publish()
        protocol.dataReceived(DELETE + call("createStream", 5.0, None))
        self.assertEqual(first.closes(), ["unpublished"])
        protocol.dataReceived(call("publish", 6.0, None, "other", msid=2) + media(1))
        second = self.manager.publications[1]
        self.assertEqual(second.request.key, "other")
        self.assertEqual(second.calls[0], ("write", (1, b"frame")))
        self.lose(protocol)
        self.assertEqual((len(first.closes()), len(second.closes())), (1, 1))

    def test_connection_ends(self) -> None:
        """A connection that is closed in order is told apart from one that breaks."""
        for error, words in (
            (ConnectionDone(), "the publisher closed the connection"),
            (ConnectionLost(), "the connection was lost"),
            (TCPTimedOutError(), "the connection was lost"),
        ):
            protocol, _, publication = self.publish()
            protocol.connectionLost(Failure(error))
            self.assertEqual(publication.closes(), [words])

    def test_many_publishes_in_one_read(self) -> None:
        """Hundreds of publishes in one read are done one after the other, not nested."""
        protocol, transport = self.server.connect()
        again = call("publish", 0.0, None, "key", msid=1) + call("closeStream", 0.0, None, msid=1)
        protocol.dataReceived(HANDSHAKE + CONNECT + again * 400)
        self.assertEqual(len(self.manager.publications), 400)
        self.assertEqual({len(p.closes()) for p in self.manager.publications}, {1})
        self.assertFalse(transport.disconnected)

    def test_evicted(self) -> None:
        """A publisher that somebody else ends is told why, and let go."""
        protocol, transport, publication = self.publish()
        publication.evicted.callback(Eviction(Refusal.BUSY, "taken over"))
        self.assertEqual(answers(transport)[1:], [(1, "onStatus", "NetStream.Publish.BadName")])
        self.assertTrue(transport.half_closed)
        protocol.dataReceived(media(1))
        self.assertNotIn("write", [name for name, _ in publication.calls])
        self.lose(protocol)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_evicted_for_abuse(self) -> None:
        """One that is sent away for what it did is counted; any other is not."""
        for abuse, errors in (("", {}), ("bitrate", {"bitrate": 1})):
            _, transport, publication = self.publish()
            publication.evicted.callback(Eviction(Refusal.REJECTED, "too much", abuse=abuse))
            self.assertTrue(transport.half_closed)
            self.assertEqual(self.factory.errors, errors)

    def test_evicted_late(self) -> None:
        """The eviction of a publication that is over means nothing."""
        protocol, transport, publication = self.publish()
        protocol.dataReceived(DELETE)
        publication.evicted.callback(Eviction(Refusal.BUSY, "taken over"))
        self.assertFalse(transport.half_closed)

    def test_finish_twice(self) -> None:
        """Only the first end counts."""
        protocol, transport, publication = self.publish()
        protocol.finish(status.PUBLISH_REJECTED, "one")
        protocol.finish(status.PUBLISH_REJECTED, "two")
        self.assertEqual(publication.closes(), ["one"])
        self.assertEqual(len(answers(transport)), 2)


class ViolationTests(ServerTestCase):
    def test_protocol_error(self) -> None:
        """A violation ends the connection at once and the publication with it."""
        protocol, transport, publication = self.publish()
        protocol.dataReceived(control(1, 1))
        self.assertTrue(transport.disconnected)
        self.assertEqual(self.factory.errors, {"chunk_size": 1})
        self.assertEqual(len(publication.closes()), 1)
        self.assertTrue(publication.abuse)
        protocol.dataReceived(media(1))
        self.lose(protocol)
        self.assertEqual(len(publication.closes()), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_flapping(self) -> None:
        """A configuration that keeps changing is refused in words, and the encoder kept away."""
        protocol, transport, publication = self.publish()
        protocol.dataReceived(CHANGE * (MAX_CHANGES + 1) + media(1))
        self.assertEqual(answers(transport)[1:], [(1, "onStatus", "NetStream.Publish.Rejected")])
        self.assertIn(b"configuration", transport.value())
        self.assertTrue(transport.half_closed)
        self.assertEqual(self.factory.errors, {"config_flapping": 1})
        self.assertEqual(len(publication.closes()), 1)
        self.assertNotIn("write", [name for name, _ in publication.calls])
        self.assertTrue(publication.abuse)

    def test_error_behind_a_grant(self) -> None:
        """A violation among the bytes that waited for the grant ends the connection too."""
        self.manager.answer = None
        protocol, transport = self.server.connect()
        protocol.dataReceived(HANDSHAKE + CONNECT + PUBLISH + control(1, 1))
        publication = self.manager.grant(self.manager.requests[0])
        self.manager.pending[0].callback(publication)
        self.assertTrue(transport.disconnected)
        self.assertEqual(self.factory.errors, {"chunk_size": 1})
        self.assertEqual(len(publication.closes()), 1)

    def test_wrong_protocol(self) -> None:
        """Nothing is sent to a client of another protocol."""
        protocol, transport = self.server.connect()
        protocol.dataReceived(b"\x16\x03\x01\x02\x00")
        self.assertTrue(transport.disconnected)
        self.assertEqual(transport.value(), b"")
        self.assertEqual(self.factory.errors, {"wrong_protocol": 1})

    def test_crash(self) -> None:
        """An error of our own is logged once and ends that connection alone."""
        protocol, transport, publication = self.publish()
        _, other_transport, _ = self.publish()
        protocol.dataReceived(media(1, b"crash"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertTrue(transport.disconnected)
        self.assertFalse(other_transport.disconnected)
        self.assertEqual(self.factory.errors, {"internal": 1})
        self.assertEqual(len(publication.closes()), 1)

    def test_dropped_messages_are_told(self) -> None:
        """What a session left out is known when it ends."""
        protocol, _, _ = self.publish()
        protocol.dataReceived(b"".join(chunks(b"x", type_id=16, csid=9)))
        self.assertEqual(protocol.session.dropped, {"unknown_type": 1})
        self.lose(protocol)

    def test_client_does_not_read(self) -> None:
        """A transport whose buffer is full means that nobody reads: the end."""
        _, transport, publication = self.publish()
        limit = transport.producer
        verifyObject(IPushProducer, limit)
        limit = cast(IPushProducer, limit)
        limit.resumeProducing()
        limit.stopProducing()
        self.assertFalse(transport.disconnected)
        limit.pauseProducing()
        self.assertTrue(transport.disconnected)
        limit.pauseProducing()
        self.assertEqual(self.factory.errors, {"output_full": 1})
        self.assertEqual(len(publication.closes()), 1)


class LogTests(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.lines: list[str] = []
        observer = cast(ILogObserver, self._observe)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def _observe(self, event: LogEvent) -> None:
        self.lines.append(f"{event['log_level'].name} {formatEvent(event)}")

    def test_refused(self) -> None:
        """A refusal is one line, whoever decides it, and quotes nothing that was sent."""
        self.manager.answer = AccessDenied(Refusal.DENIED, "no such token")
        for publish, line in (
            (PUBLISH, "key: refused, NetStream.Publish.Denied: no such token"),
            (
                call("publish", 3.0, None, "a key?token=secret", msid=1),
                "refused, NetStream.Publish.BadName: the stream key may have 1 to 128 "
                "of the characters A-Z a-z 0-9 _ - only",
            ),
            (
                call("publish", 3.0, None, "key?token=secret", msid=7),
                "refused, NetStream.Publish.Rejected: publish without createStream",
            ),
        ):
            with self.subTest(line=line):
                self.lines.clear()
                protocol, transport = self.server.connect()
                protocol.dataReceived(HANDSHAKE + CONNECT + publish)
                self.assertTrue(transport.half_closed)
                self.clock.advance(2.0)
                self.lose(protocol)
                name = f"info RTMP {protocol.connection_id} 192.0.2.1"
                space = " " if line.startswith("key") else ": "
                self.assertEqual(self.lines, [name + space + line])

    def test_strangers(self) -> None:
        """Clients that never publish cannot fill the log; a publisher's lines are not theirs."""
        publisher, _, _ = self.publish()
        for _ in range(self.factory.log_budget.lines + 20):
            protocol, _ = self.server.connect()
            protocol.dataReceived(b"GET / HTTP/1.1\r\n")
            self.lose(protocol)
        self.assertEqual(len(self.lines), self.factory.log_budget.lines)
        self.assertIn("no more such lines", self.lines[-1])
        self.assertEqual(
            self.factory.errors, {"wrong_protocol": self.factory.log_budget.lines + 20}
        )
        self.lines.clear()
        for _ in range(self.server.factory.settings.max_ungranted + 20):
            self.server.connect(host="192.0.2.2")
        self.assertEqual(len(self.lines), 3)
        self.assertIn("too_many_connections", self.lines[-1])
        publisher.dataReceived(control(1, 1))
        self.assertIn("key: closed, chunk_size", self.lines[-1])


class DeadlineTests(ServerTestCase):
    def test_handshake(self) -> None:
        """The handshake has ten seconds in all, however slowly bytes drip in."""
        protocol, transport = self.server.connect()
        for second in range(9):
            protocol.dataReceived(HANDSHAKE[second : second + 1])
            self.clock.advance(1)
        self.assertFalse(transport.disconnected)
        self.clock.advance(1)
        self.assertTrue(transport.disconnected)
        self.assertEqual(self.factory.errors, {"handshake_timeout": 1})
        self.lose(protocol)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_publish(self) -> None:
        """A publish must come ten seconds after the handshake, and after the last one."""
        protocol, transport = self.server.connect()
        self.clock.advance(5)
        protocol.dataReceived(HANDSHAKE)
        self.clock.advance(9)
        protocol.dataReceived(CONNECT)
        self.assertFalse(transport.disconnected)
        self.clock.advance(1)
        self.assertEqual(self.factory.errors, {"publish_timeout": 1})
        self.assertTrue(transport.disconnected)
        protocol, transport, _ = self.publish()
        protocol.dataReceived(DELETE)
        self.clock.advance(10)
        self.assertEqual(self.factory.errors, {"publish_timeout": 2})

    def test_no_media(self) -> None:
        """Without usable media a publisher is told so after twenty seconds."""
        protocol, transport, publication = self.publish()
        self.clock.pump([1.0] * 19)
        protocol.dataReceived(b"".join(chunks(b"meta", type_id=18)) + media(1, b"hevc"))
        self.assertFalse(transport.half_closed)
        self.clock.advance(1)
        self.assertEqual(answers(transport)[1:], [(1, "onStatus", "NetStream.Publish.Rejected")])
        self.assertIn(b"HEVC (hvc1)", transport.value())
        self.assertEqual(self.factory.errors, {"no_media": 1})
        self.assertEqual(len(publication.closes()), 1)

    def test_dropped_frames_are_counted_once(self) -> None:
        """What the demuxer could not use reaches the statistics, the last of it at the end."""
        protocol, _, publication = self.publish()
        protocol.dataReceived(media(1, b"hevc") + media(2, b"hevc"))
        self.clock.pump([1.0, 1.0])
        protocol.dataReceived(media(3, b"hevc"))
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(publication.abuse, "")
        dropped = [argument for name, argument in publication.calls if name == "dropped"]
        self.assertEqual(dropped, [("unsupported_codec", 2), ("unsupported_codec", 1)])

    def test_no_media_at_all(self) -> None:
        """The same where nothing came that could be named."""
        _, transport, _ = self.publish()
        self.clock.pump([1.0] * 20)
        self.assertTrue(transport.half_closed)
        self.assertNotIn(b"not supported:", transport.value())

    def test_idle(self) -> None:
        """After the first media ten seconds of silence are the end, and not before."""
        protocol, transport, _ = self.publish()
        for time in range(30):
            protocol.dataReceived(media(time * 1000))
            self.clock.pump([1.0] * 5)
        self.assertEqual(self.factory.errors, {})
        self.clock.pump([1.0] * 5)
        self.assertFalse(transport.half_closed)
        self.clock.advance(1.0)
        self.assertTrue(transport.half_closed)
        self.assertEqual(self.factory.errors, {"publisher_idle": 1})
        self.clock.advance(2.0)
        self.assertTrue(transport.disconnected)

    def test_clock_step(self) -> None:
        """A step of the clock does not end a publisher."""
        protocol, transport, _ = self.publish()
        protocol.dataReceived(media(0))
        self.clock.advance(3600.0)
        self.assertFalse(transport.half_closed)
        self.assertEqual(self.factory.errors, {})


class PacingTests(ServerTestCase):
    def test_paused(self) -> None:
        """Reading pauses while media is too far ahead, and the idle deadline with it."""
        protocol, transport, _ = self.publish()
        protocol.dataReceived(media(0))
        protocol.dataReceived(media(10_000))
        self.assertEqual(transport.producerState, "producing")
        protocol.dataReceived(media(28_000))
        self.assertEqual(transport.producerState, "paused")
        self.clock.pump([1.0] * 17)
        self.assertEqual(transport.producerState, "paused")
        self.clock.advance(1.0)
        self.assertEqual(transport.producerState, "producing")
        self.assertEqual(self.factory.errors, {})
        self.clock.pump([1.0] * 11)
        self.assertEqual(self.factory.errors, {"publisher_idle": 1})

    def test_ends_while_paused(self) -> None:
        """An end takes the pause away."""
        for lost in (True, False):
            with self.subTest(lost=lost):
                protocol, transport, publication = self.publish()
                protocol.dataReceived(media(0) + media(1))
                protocol.dataReceived(media(15_000))
                self.assertEqual(transport.producerState, "paused")
                if not lost:
                    publication.evicted.callback(Eviction(Refusal.BUSY, "taken over"))
                    self.assertEqual(transport.producerState, "producing")
                self.lose(protocol)
                self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_off(self) -> None:
        """0 is no limit."""
        self.server = Server(ServerSettings(max_ahead=0.0))
        self.manager = self.server.manager
        protocol, transport, _ = self.publish()
        protocol.dataReceived(media(0))
        protocol.dataReceived(media(19_000))
        self.assertEqual(transport.producerState, "producing")


class LimitTests(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server = Server(ServerSettings(max_connections=4, max_ungranted=2), Limits())
        self.manager = self.server.manager
        self.factory = self.server.factory

    def test_connections(self) -> None:
        """Connections beyond the limit are closed at once; room comes back."""
        open_ = [self.server.connect(host=f"192.0.2.{i}") for i in range(4)]
        late, transport = self.server.connect(host="192.0.2.9")
        self.assertTrue(transport.disconnected)
        self.assertEqual(self.factory.errors, {"too_many_connections": 1})
        self.lose(late)
        self.lose(open_[0][0])
        self.assertFalse(self.server.connect(host="192.0.2.9")[1].disconnected)

    def test_ungranted(self) -> None:
        """An address has so many connections without a granted publish; others have theirs."""
        self.publish()
        self.server.connect()
        protocol, transport = self.server.connect()
        self.assertFalse(transport.disconnected)
        late, late_transport = self.server.connect()
        self.assertTrue(late_transport.disconnected)
        self.lose(late)
        self.assertFalse(self.server.connect(host="192.0.2.9")[1].disconnected)
        self.lose(protocol)
        self.assertFalse(self.server.connect()[1].disconnected)

    def test_refusals(self) -> None:
        """An address that was refused too often is closed at accept for a minute (A62)."""
        self.server = Server(ServerSettings(max_refusals=3, max_ungranted=100))
        self.manager, self.factory = self.server.manager, self.server.factory
        busy = [Refusal.BUSY, Refusal.REJECTED] * 5
        for refusal in (*busy, Refusal.DENIED, Refusal.BAD_NAME, Refusal.DENIED):
            self.manager.answer = AccessDenied(refusal, "no")
            protocol, transport = self.server.connect()
            self.assertFalse(transport.disconnected)
            protocol.dataReceived(HANDSHAKE + CONNECT + PUBLISH)
            self.lose(protocol)
        self.assertEqual(self.factory.errors, {})
        self.assertFalse(self.server.connect(host="192.0.2.9")[1].disconnected)
        self.assertTrue(self.server.connect()[1].disconnected)
        self.assertEqual(self.factory.errors, {"too_many_refusals": 1})
        self.clock = self.server.clock
        self.clock.advance(61)
        self.assertFalse(self.server.connect()[1].disconnected)

    def test_settings_at_run_time(self) -> None:
        """New settings count for the connections to come."""
        self.factory.apply(Limits(message=1000), ServerSettings(max_ungranted=0, max_refusals=0))
        self.assertTrue(self.server.connect()[1].disconnected)
        self.assertEqual((self.factory.limits.message, self.factory.refusals.limit), (1000, 0))

    def test_all_is_given_back(self) -> None:
        """When all have gone nothing is counted any more."""
        for _ in range(10):
            protocol, _, _ = self.publish()
            protocol.dataReceived(DELETE)
            self.lose(protocol)
        self.assertEqual(self.factory._ungranted, {})
        self.assertEqual(self.factory.connections, set())


class DrainTests(ServerTestCase):
    def test_drain(self) -> None:
        """Every client is told; the Deferred fires when the last has gone."""
        publisher, publisher_transport, publication = self.publish()
        other, other_transport = self.server.connect()
        drained = self.factory.drain("going down")
        self.assertEqual(
            answers(publisher_transport)[1:], [(1, "onStatus", "NetStream.Publish.Rejected")]
        )
        self.assertEqual(publication.closes(), ["going down"])
        self.assertTrue(other_transport.half_closed)
        self.assertNoResult(drained)
        self.lose(publisher)
        self.assertNoResult(drained)
        self.lose(other)
        self.assertIsNone(self.successResultOf(drained))

    def test_nobody(self) -> None:
        """With nobody there it is done at once."""
        self.assertIsNone(self.successResultOf(self.factory.drain("going down")))
