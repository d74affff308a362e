"""Pulls on demand: connected while somebody plays the stream, and only then."""

from itertools import pairwise

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError

from rapidrtmp.interfaces import AccessDenied
from rapidrtmp.protocol.redial import LONGEST_DELAY
from rapidrtmp.relay.relays import Relay
from rapidrtmp.stream.lifecycle import StreamState
from rapidrtmp.stream.manager import OFFER_PATIENCE
from rapidrtmp.stream.stream import Stream
from tests.relay.case import RelayCase, state
from tests.relay.test_pull import CONFIG, KEY_FRAME, URL
from tests.stream.fakes import request

LINGER = 10.0


class OnDemandTests(RelayCase):
    def setUp(self) -> None:
        """Add a pull on demand."""
        super().setUp()
        self.relay: Relay = self.relays.add("key", "pull", URL, on_demand=True)
        self.sent = 0

    def ask(self, token: str = "good") -> Deferred[Stream]:
        """Ask to play, and carry what follows."""
        asked = self.manager.subscribe(request(token=token, action="play"))
        self.net.run()
        return asked

    def send(self, seconds: int) -> None:
        """Let the other server send a frame a second."""
        server = self.net.server
        server.send(9, 1000 * self.sent, CONFIG)
        for _ in range(seconds):
            server.send(9, 1000 * self.sent, KEY_FRAME)
            self.sent += 1
            self.clock.advance(1)

    def watch(self, seconds: int) -> None:
        """Let somebody watch by HLS meanwhile."""
        self.stream.viewer_count.admit("0123456789abcdef")
        for _ in range(seconds):
            self.send(1)
            self.stream.viewer_count.seen("0123456789abcdef")

    def test_asleep(self) -> None:
        """Nobody asks, so nobody connects; nor does anybody who may not watch cause it."""
        self.clock.advance(100)
        self.failureResultOf(self.ask("bad"), AccessDenied)
        self.assertEqual((self.net.dialled, state(self.relay)), ([], "idle"))

    def test_life(self) -> None:
        """The first viewer connects it, the last one's leaving ends it some time later."""
        stream = self.successResultOf(self.ask())
        self.assertEqual(state(self.relay), "live")
        self.send(2)
        self.assertIs(stream.state, StreamState.LIVE)
        stream.viewer_count.enter("player")
        self.watch(40)
        self.send(100)
        self.assertEqual(state(self.relay), "live")
        stream.viewer_count.leave("player")
        self.send(int(LINGER) - 1)
        self.assertEqual(state(self.relay), "live")
        self.clock.advance(2)
        self.net.run()
        self.assertTrue(self.net.server.is_lost)
        self.assertEqual((state(self.relay), stream.state), ("idle", StreamState.IDLE))
        self.assertEqual((len(self.net.dialled), self.relay.redial.retries), (1, 0))
        self.assertIs(self.successResultOf(self.ask()), stream)
        self.send(2)
        self.assertEqual((state(self.relay), stream.state), ("live", StreamState.LIVE))

    def test_nobody_stays(self) -> None:
        """Who asked and left is waited for, then the source is left, and nothing is kept."""
        stream = self.successResultOf(self.ask())
        self.send(2)
        self.send(int(OFFER_PATIENCE + LINGER) - 1)
        self.net.run()
        self.assertEqual(state(self.relay), "idle")
        self.clock.advance(self.manager.settings.grace)
        self.assertIs(stream.state, StreamState.STOPPED)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_paused_viewer(self) -> None:
        """A viewer that comes back to its session without asking anew wakes it, too."""
        self.successResultOf(self.ask())
        self.send(2)
        self.clock.advance(30)
        self.assertEqual(state(self.relay), "idle")
        self.manager.viewer_joined(request(action="play"))
        self.assertEqual(state(self.relay), "connecting")

    def test_failing_source(self) -> None:
        """However often somebody asks, the pauses grow: also over the rests in between."""
        self.net.at_once = False
        attempts: list[int] = []
        for second in range(600):
            if second % 50 < 25:  # they come and go, and it rests meanwhile
                self.ask()
            if len(self.net.dialled) > len(attempts):
                attempts.append(second)
                self.net.fail(ConnectionRefusedError())
            self.clock.advance(1)
        self.assertLess(len(attempts), 16, attempts)
        pauses = [later - former for former, later in pairwise(attempts)]
        self.assertGreaterEqual(min(pauses[5:]), LONGEST_DELAY / 2)
        self.assertEqual(self.relays.retries["pull"], len(attempts))

    def test_rests(self) -> None:
        """A source that fails is not tried any more when nobody asks."""
        self.net.at_once = False
        self.ask()
        for _ in range(3):
            self.net.fail(ConnectionRefusedError())
            self.clock.advance(5)
        self.net.fail(ConnectionRefusedError())
        self.clock.advance(30)
        dialled = len(self.net.dialled)
        self.assertEqual(state(self.relay), "idle")
        self.clock.advance(1000)
        self.assertEqual(len(self.net.dialled), dialled)
        self.ask()
        self.assertEqual((len(self.net.dialled), state(self.relay)), (dialled + 1, "connecting"))

    def test_somebody_publishes(self) -> None:
        """Where an encoder publishes the key, the source is left alone."""
        self.encoder(token="good-one").run(3.0)
        self.successResultOf(self.ask())
        self.assertEqual(self.net.dialled, [])
        self.clock.advance(100)
        self.assertEqual(state(self.relay), "idle")

    def test_removed(self) -> None:
        """Whatever it does, its end is the connection's, and nobody's asking starts it again."""
        self.ask()
        self.send(2)
        self.relays.remove(self.relay)
        self.net.run()
        self.assertTrue(self.net.server.is_lost)
        self.ask()
        self.clock.advance(100)
        self.assertEqual(len(self.net.dialled), 1)
        self.assertEqual(self.relays.retries["pull"], 0)

    def test_kept(self) -> None:
        """One of the API is on demand after a restart, too."""
        self.successResultOf(self.relays.saved())
        again = self.make_relays()
        self.successResultOf(again.load(on_demand=[("two", "rtmp://far.example/app/x")]))
        two, one = again.relays()
        self.assertEqual(
            [(each.key, each.demand is not None, each.is_static) for each in (one, two)],
            [("key", True, False), ("two", True, True)],
        )
