"""Connections to other servers: the dialogue, the failures, and what follows them."""

from typing import cast

from twisted.internet.error import ConnectionLost, ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.protocol.client import (
    CLOSE_TIMEOUT,
    START_TIMEOUT,
    RTMPClientProtocol,
    describe_loss,
)
from rapidrtmp.protocol.redial import (
    FIRST_DELAY,
    LONGEST_DELAY,
    MAX_REDIRECTS,
    STEADY,
    Redial,
    moved,
)
from rapidrtmp.rtmp.capabilities import RECONNECT, Capabilities
from rapidrtmp.rtmp.client import ClientSession
from rapidrtmp.rtmp.events import PublishRequested, Unpublished
from rapidrtmp.rtmp.target import Target
from tests.relay.fakes import FarNet

TARGET = Target.parse("rtmp://far.example/app/SECRET-KEY")


class Owner:
    """Notes what it is told."""

    def __init__(self, redial: Redial) -> None:
        self.refusal = ""
        self.calls: list[str] = []
        self.connection: RTMPClientProtocol | None = None
        redial.owner = self

    def make_session(self, target: Target) -> ClientSession:
        """Make one that publishes."""
        return ClientSession(target, True, random=bytes, capabilities=Capabilities(caps_ex=1))

    def refuse(self, capabilities: Capabilities) -> str:
        """Refuse as the test says."""
        return self.refusal

    def started(self, connection: RTMPClientProtocol) -> None:
        """Note it."""
        self.calls.append("started")
        self.connection = connection

    def writable(self) -> None:
        """Note it."""
        self.calls.append("writable")

    def stopped(self) -> None:
        """Note it."""
        self.calls.append("stopped")


class RedialTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make one that is idle."""
        self.clock = Clock()
        self.net = FarNet()
        self.states: list[str] = []
        self.redial = Redial(
            TARGET,
            self.net,
            cast(IReactorTime, self.clock),
            lambda: self.states.append(self.redial.state.value),
            lambda: 0.0,
        )
        self.owner = Owner(self.redial)

    def start(self) -> None:
        """Start, and carry the dialogue."""
        self.redial.start()
        self.net.run()

    def test_live(self) -> None:
        """From nothing to media, and in order to the end."""
        self.start()
        self.assertEqual(self.states, ["connecting", "live"])
        server = self.net.server
        self.assertIsInstance(server.events[-1], PublishRequested)
        assert self.owner.connection is not None
        self.owner.connection.send(9, 40, (b"\x27\x01", b"abc"))
        server.run()
        self.assertEqual(server.media(9), [(40, b"\x27\x01abc")])
        done = self.redial.stop()
        self.assertNoResult(done)
        server.run()
        self.successResultOf(done)
        self.assertIsInstance(server.events[-1], Unpublished)
        self.assertEqual(self.states, ["connecting", "live", "idle"])
        self.assertEqual(self.owner.calls, ["started", "stopped"])
        self.assertEqual(self.redial.retries, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_rest(self) -> None:
        """A rest while it waits keeps the pause and its growth; one that works starts at once."""
        self.net.at_once = False
        self.redial.start()
        for _ in range(3):
            self.net.fail(ConnectionRefusedError())
            self.clock.advance(LONGEST_DELAY)
        self.net.fail(ConnectionRefusedError())
        due = self.redial.retry_at
        self.redial.rest()
        self.assertEqual((self.redial.state.value, self.clock.getDelayedCalls()), ("idle", []))
        self.assertIn("refused", self.redial.error)
        self.clock.advance(1)
        self.redial.start()
        self.assertEqual((self.redial.state.value, self.redial.retry_at), ("waiting", due))
        self.assertEqual(len(self.net.dialled), 4)
        self.clock.advance(8 * FIRST_DELAY)
        self.assertEqual(len(self.net.dialled), 5)
        self.net.answer()
        self.net.run()
        self.redial.rest()
        self.net.run()
        self.redial.start()
        self.assertEqual(self.redial.state.value, "connecting")
        self.net.fail(ConnectionRefusedError())
        self.assertEqual(self.redial.retry_at, self.clock.seconds() + FIRST_DELAY)

    def test_stop_forgets(self) -> None:
        """After a stop it starts at once, and the next failure counts as the first."""
        self.net.at_once = False
        self.redial.start()
        self.net.fail(ConnectionRefusedError())
        self.redial.stop()
        self.redial.start()
        self.net.fail(ConnectionRefusedError())
        self.assertEqual(self.redial.retry_at, self.clock.seconds() + FIRST_DELAY)

    def test_start_twice(self) -> None:
        """A second start changes nothing."""
        self.start()
        self.redial.start()
        self.assertEqual(len(self.net.dialled), 1)

    def test_backoff(self) -> None:
        """Each failure doubles the wait up to a limit; a steady connection forgets them."""
        self.net.at_once = False
        self.redial.start()
        waits = []
        for _ in range(9):
            self.net.fail(ConnectionRefusedError("111"))
            assert self.redial.retry_at is not None
            waits.append(self.redial.retry_at - self.clock.seconds())
            self.assertIn("refused", self.redial.error)
            self.clock.advance(waits[-1])
        self.assertEqual(waits, [min(FIRST_DELAY * 2**n, LONGEST_DELAY) for n in range(9)])
        self.assertEqual(self.redial.retries, 9)
        self.net.answer()
        self.net.run()
        self.assertEqual((self.redial.state.value, self.redial.error), ("live", ""))
        self.clock.advance(STEADY)
        self.net.server.lose()
        self.assertEqual(self.redial.error, "the server closed the connection")
        self.assertEqual(self.redial.retry_at, self.clock.seconds() + FIRST_DELAY)

    def test_short_life(self) -> None:
        """A connection that did not last is one failure more."""
        for n in range(3):
            self.start() if not n else self.clock.advance(FIRST_DELAY * 2 ** (n - 1))
            self.net.run()
            self.assertEqual(self.redial.state.value, "live")
            self.net.server.lose(ConnectionLost())
        self.assertEqual(self.redial.retry_at, self.clock.seconds() + FIRST_DELAY * 4)

    def test_refused(self) -> None:
        """The server's words are kept, without the key; it is tried again."""
        self.net.answers = "refuse"
        self.start()
        self.assertEqual(self.states, ["connecting", "waiting"])
        self.assertEqual(self.redial.error, "refused, NetStream.Publish.Denied: wrong key")
        self.assertTrue(self.net.server.is_lost)
        self.assertEqual(self.owner.calls, ["stopped"])

    def test_useless(self) -> None:
        """A server that cannot take the stream is left, and not asked again by itself."""
        self.owner.refusal = "the target does not take h265"
        self.start()
        self.assertEqual(self.states, ["connecting", "failed"])
        self.assertEqual(self.redial.error, "the target does not take h265")
        self.clock.advance(10 * LONGEST_DELAY)
        self.assertEqual(len(self.net.dialled), 1)
        self.owner.refusal = ""
        self.start()
        self.assertEqual(self.redial.state.value, "live")

    def test_silent_server(self) -> None:
        """Who accepts and says nothing is given up in time."""
        self.net.answers = ""
        self.start()
        self.clock.advance(START_TIMEOUT)
        self.assertIn("handshake", self.redial.error)
        self.assertTrue(self.net.server.transport.aborted)
        self.assertEqual(self.redial.state.value, "waiting")

    def test_not_rtmp(self) -> None:
        """Whoever speaks something else is told apart."""
        self.net.answers = ""
        self.start()
        self.net.server.protocol.dataReceived(b"HTTP/1.1 400 Bad Request\r\n" + bytes(4000))
        self.assertIn("broke the protocol", self.redial.error)

    def test_stop_while_dialling(self) -> None:
        """What is under way is given up without a failure; so is a wait."""
        self.net.at_once = False
        self.redial.start()
        self.successResultOf(self.redial.stop())
        self.assertEqual(self.states, ["connecting", "idle"])
        self.redial.start()
        self.net.fail(DNSLookupError("far.example"))
        self.successResultOf(self.redial.stop())
        self.clock.advance(LONGEST_DELAY)
        self.assertEqual((self.redial.state.value, len(self.net.dialled)), ("idle", 2))

    def test_server_that_does_not_close(self) -> None:
        """Who does not close is closed."""
        self.start()
        self.redial.stop()
        self.clock.advance(CLOSE_TIMEOUT)
        self.assertTrue(self.net.server.transport.aborted)

    def test_reconnect_request(self) -> None:
        """A server that asks for it is left at once for where it says, without a failure."""
        self.net.capabilities = Capabilities(caps_ex=RECONNECT)
        self.start()
        self.net.server.say(lambda s: s.request_reconnect("rtmp://other.example/app2", "moving"))
        self.net.run()
        other = self.net.targets[-1]
        self.assertEqual(
            (other.host, other.app, other.key), ("other.example", "app2", "SECRET-KEY")
        )
        self.assertEqual((self.redial.state.value, self.redial.retries), ("live", 0))
        self.assertTrue(self.net.servers[0].is_lost)
        self.net.server.lose()
        self.clock.advance(FIRST_DELAY)
        self.assertEqual(self.net.targets[-1], TARGET)

    def test_endless_redirection(self) -> None:
        """Servers that send us round are followed a few times only."""
        self.net.capabilities = Capabilities(caps_ex=RECONNECT)
        self.start()
        for _ in range(MAX_REDIRECTS + 2):
            self.net.server.say(lambda s: s.request_reconnect("", "again"))
            self.net.run()
        self.assertEqual(len(self.net.dialled), 1 + MAX_REDIRECTS)
        self.assertEqual(self.redial.state.value, "live")
        self.clock.advance(STEADY)
        self.net.server.say(lambda s: s.request_reconnect("/app3", "a day later"))
        self.net.run()
        self.assertEqual(self.net.targets[-1].app, "app3")

    def test_backpressure(self) -> None:
        """The owner learns when more can be sent."""
        self.start()
        connection = self.owner.connection
        assert connection is not None
        connection.pauseProducing()
        self.assertFalse(connection.is_writable)
        connection.resumeProducing()
        self.assertTrue(connection.is_writable)
        self.assertEqual(self.owner.calls, ["started", "writable"])


class WordsTests(SynchronousTestCase):
    def test_moved(self) -> None:
        """Absolute and relative addresses; none that would send a key in the clear."""
        target = Target.parse("rtmps://far.example:4443/app/KEY?a=b")
        for tc_url, expected in (
            ("", target),
            ("rtmps://x.example/other", "rtmps://x.example/other/KEY?a=b"),
            ("//x.example/other", "rtmps://x.example/other/KEY?a=b"),
            ("/other", "rtmps://far.example:4443/other/KEY?a=b"),
            ("rtmp://x.example/other", None),
            ("http://x.example/other", None),
            ("rtmps://", None),
        ):
            with self.subTest(tc_url):
                wanted = Target.parse(expected) if isinstance(expected, str) else expected
                self.assertEqual(moved(target, tc_url), wanted)
        self.assertIsNotNone(moved(TARGET, "rtmps://x.example/other"))

    def test_losses(self) -> None:
        """Each loss is one line of words."""

        class VerifyError(Exception):
            """What a TLS library raises."""

        VerifyError.__module__ = "OpenSSL.SSL"
        for error, words in (
            (VerifyError("certificate verify failed"), "TLS: certificate verify failed"),
            (ConnectionRefusedError(), "refused"),
            (ValueError("a\nb"), "a"),
            (ValueError(), "ValueError"),
        ):
            text = describe_loss(Failure(error))
            self.assertIn(words, text)
            self.assertNotIn("\n", text)
