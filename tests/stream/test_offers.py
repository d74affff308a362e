"""Streams that are offered: they begin when somebody who may asks to play them."""

from twisted.internet.defer import Deferred

from rapidrtmp.interfaces import AccessDenied, NotFound
from rapidrtmp.stream.lifecycle import StreamState
from rapidrtmp.stream.manager import OFFER_PATIENCE, StreamManager
from rapidrtmp.stream.stream import Stream
from tests.stream.fakes import StreamCase, request


class OfferTests(StreamCase):
    def setUp(self) -> None:
        """Offer one key."""
        super().setUp()
        self.asked = 0
        self.withdraw = self.manager.offer("key", self.count)

    def count(self) -> None:
        """Note that somebody asked."""
        self.asked += 1

    def play(self, key: str = "key", token: str = "good", begin: bool = True) -> Deferred[Stream]:
        """Ask to play."""
        return self.manager.subscribe(request(key, token, action="play"), begin=begin)

    def test_begins(self) -> None:
        """Whoever may play gets a stream that waits; whoever offers it learns of each."""
        self.assertTrue(self.manager.can_begin("key"))
        self.assertIsNone(self.manager.get("key"))
        stream = self.successResultOf(self.play())
        self.assertEqual((stream.state, self.asked), (StreamState.IDLE, 1))
        self.assertIs(self.successResultOf(self.play()), stream)
        self.assertEqual(self.asked, 2)
        self.manager.viewer_joined(request(action="play"))
        self.assertEqual(self.asked, 3)
        self.encoder().run(3.0)
        self.assertIs(self.stream, stream)
        self.assertFalse(self.manager.can_begin("key"))

    def test_strangers(self) -> None:
        """Who may not play begins nothing; other keys are as absent as ever."""
        self.failureResultOf(self.play(token="bad"), AccessDenied)
        self.failureResultOf(self.play("other"), NotFound)
        self.assertFalse(self.manager.can_begin("other"))
        self.assertEqual((self.asked, self.manager.streams()), (0, []))

    def test_patience(self) -> None:
        """Without a publisher the stream ends in the end, but never while somebody waits."""
        self.manager = self.make_manager(grace=0.0)
        self.manager.offer("key", self.count)
        stream = self.successResultOf(self.play())
        for _ in range(10):
            self.clock.advance(2 * OFFER_PATIENCE - 1)
            self.assertIs(self.successResultOf(self.play()), stream)
        self.clock.advance(2 * OFFER_PATIENCE)
        self.assertIs(stream.state, StreamState.STOPPED)
        self.assertIsNot(self.successResultOf(self.play()), stream)

    def test_rest_of_ended(self) -> None:
        """Who watches the rest of one that is over does not begin another."""
        stream = self.successResultOf(self.play())
        self.encoder().run(3.0)
        self.manager.stop("key")
        self.failureResultOf(self.play(), NotFound)
        self.clock.advance(self.manager.settings.stop_cooldown + 1)
        asked = self.asked
        self.manager.viewer_joined(request(action="play"))
        self.failureResultOf(self.play(begin=False), NotFound)
        self.assertIs(self.stream, stream)
        self.assertEqual(self.asked, asked)
        self.assertIsNot(self.successResultOf(self.play()), stream)

    def test_not_now(self) -> None:
        """Nothing begins where publishers are refused: after a stop, and when the server stops."""
        self.successResultOf(self.play())
        self.manager.stop("key")
        self.assertFalse(self.manager.can_begin("key"))
        self.clock.advance(self.manager.settings.stop_cooldown + 1)
        self.assertTrue(self.manager.can_begin("key"))
        self.manager.draining = True
        self.assertFalse(self.manager.can_begin("key"))
        self.failureResultOf(self.play(), NotFound)
        self.assertEqual(self.asked, 1)

    def test_withdrawn(self) -> None:
        """What is not offered any more does not begin."""
        self.withdraw()
        self.failureResultOf(self.play(), NotFound)

    def test_makes_no_room(self) -> None:
        """Streams that wait because they are offered cost no other stream its place."""
        self.manager: StreamManager = self.make_manager(max_streams=1)
        self.encoder(key="other").publication.close("gone")
        other = self.manager.get("other")
        assert other is not None
        for number in range(3):
            self.manager.offer(f"key{number}", self.count)
            self.successResultOf(self.play(f"key{number}"))
        self.assertIs(other.state, StreamState.IDLE)
        self.encoder(key="other")
        self.assertEqual(len(self.manager.streams()), 4)

    def test_broken(self) -> None:
        """What goes wrong with whoever offers it harms no viewer."""

        def crash() -> None:
            raise ZeroDivisionError

        self.manager.offer("broken", crash)
        self.successResultOf(self.play("broken"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
