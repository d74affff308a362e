"""A stream of another server as a publication of ours."""

from rapidrtmp.relay.pull import FIRST_MEDIA_TIMEOUT, IDLE_TIMEOUT
from rapidrtmp.relay.relays import Relay
from rapidrtmp.stream.lifecycle import StreamState
from tests.codecs.builders import SPS, avcc, pps, prefixed
from tests.relay.case import RelayCase, state

URL = "rtmp://far.example/app/their-key"
CONFIG = b"\x17\x00\x00\x00\x00" + avcc([SPS().nal_unit()], [pps()])
KEY_FRAME = b"\x17\x01\x00\x00\x00" + prefixed(b"\x65\x88\x84\x21")


class PullTests(RelayCase):
    def pull(self) -> Relay:
        """Add a pull, and carry the dialogue."""
        relay = self.relays.add("key", "pull", URL)
        self.net.run()
        return relay

    def send(self, seconds: int, start: int = 0) -> None:
        """Let the other server send a frame a second."""
        server = self.net.server
        server.send(9, start, CONFIG)
        for second in range(seconds):
            server.send(9, start + 1000 * second, KEY_FRAME)
            self.clock.advance(1)

    def test_live(self) -> None:
        """Its media are a stream here, under our own key."""
        relay = self.pull()
        self.assertEqual(state(relay), "live")
        self.assertIsNone(self.manager.get("key"))
        self.send(4)
        self.assertIs(self.stream.state, StreamState.LIVE)
        self.assertEqual(len(self.output.samples), 4)
        self.assertGreater(self.relays.bytes_relayed["pull"], 4 * len(KEY_FRAME))
        assert self.stream.publication is not None
        self.assertEqual(self.stream.publication.request.peer, "far.example")
        self.assertNotIn("their-key", repr(self.stream.publication.request))

    def test_source_comes_back(self) -> None:
        """The same stream goes on when the other server is there again."""
        relay = self.pull()
        self.send(4)
        stream = self.stream
        self.net.server.lose()
        self.assertEqual((state(relay), stream.state), ("waiting", StreamState.IDLE))
        self.clock.advance(2)
        self.net.run()
        self.send(4)
        self.assertIs(self.stream, stream)
        self.assertIs(stream.state, StreamState.LIVE)

    def test_busy(self) -> None:
        """A publisher who is here already is not thrown out; it is tried again."""
        self.encoder(token="good-one").run(3.0)
        relay = self.pull()
        self.send(1)
        self.assertEqual(state(relay), "waiting")
        self.assertIn("somebody else is publishing", relay.redial.error)
        self.assertIs(self.stream.state, StreamState.LIVE)

    def test_stopped_by_operator(self) -> None:
        """A stop ends it here; it comes back when the key is free again."""
        relay = self.pull()
        self.send(4)
        self.successResultOf(self.manager.stop("key"))
        self.net.run()
        self.assertEqual(state(relay), "waiting")
        self.assertIn("stopped by the operator", relay.redial.error)
        self.assertTrue(self.net.server.is_lost)

    def test_silence(self) -> None:
        """A source without media is connected to anew; our stream's grace is not renewed."""
        relay = self.pull()
        self.clock.pump([1.0] * int(FIRST_MEDIA_TIMEOUT))
        self.assertEqual(relay.redial.retries, 1)
        self.assertIsNone(self.manager.get("key"))
        self.clock.advance(2)
        self.net.run()
        self.send(4)
        self.clock.pump([1.0] * (int(IDLE_TIMEOUT) + 1))
        self.assertEqual(relay.redial.retries, 2)
        self.assertIs(self.stream.state, StreamState.IDLE)

    def test_too_fast(self) -> None:
        """A source that is faster than time is read no faster than time, and not lost by it."""
        relay = self.pull()
        self.send(2)
        server = self.net.server
        for second in range(2, 30):
            server.send(9, 1000 * second, KEY_FRAME)
        self.assertEqual(server.transport.producerState, "paused")
        self.clock.pump([1.0] * 12)
        self.assertEqual(state(relay), "live")
        self.assertEqual(server.transport.producerState, "paused")
        self.clock.pump([1.0] * 8)
        self.assertEqual(server.transport.producerState, "producing")
        self.assertEqual(relay.redial.retries, 0)

    def test_lost_while_paused(self) -> None:
        """A connection that ends while nothing is read of it leaves nothing behind."""
        relay = self.pull()
        self.send(2)
        for second in range(2, 30):
            self.net.server.send(9, 1000 * second, KEY_FRAME)
        self.net.server.lose()
        self.relays.remove(relay)
        self.clock.advance(30)
        self.assertEqual(state(relay), "idle")

    def test_removed(self) -> None:
        """Its end is the publication's."""
        relay = self.pull()
        self.send(4)
        self.relays.remove(relay)
        self.net.run()
        self.assertTrue(self.net.server.is_lost)
        self.assertIs(self.stream.state, StreamState.IDLE)
        self.assertEqual(state(relay), "idle")
