"""Tests of rapidrtmp.stream.manager."""

from dataclasses import replace

from twisted.internet.defer import Deferred, fail

from rapidrtmp.interfaces import AccessDenied, NotFound, Refusal
from rapidrtmp.stream.lifecycle import RESERVE, StreamState
from rapidrtmp.stream.manager import StreamManager
from rapidrtmp.stream.records import RecordStore
from tests.stream.fakes import Encoder, StreamCase, request


class PublishTests(StreamCase):
    def test_granted(self) -> None:
        """A right makes a stream, which is told from then on."""
        self.assertIsNone(self.manager.get("key"))
        publication = self.publish()
        self.assertTrue(publication.is_open)
        self.assertEqual(self.manager.streams(), [self.stream])
        self.assertRegex(self.stream.life, "^[0-9a-f]{16}$")
        self.assertEqual(self.authenticator.calls, [("key", "good", None)])

    def test_bad_key(self) -> None:
        """A bad key is refused before anybody is asked for the right."""
        for key in ("", "a/b", "..", "a.b", "k" * 129, "ä", "key\n"):
            self.assertIs(self.refused(key).refusal, Refusal.BAD_NAME)
        self.assertIs(self.refused("a/b", "wrong").refusal, Refusal.BAD_NAME)
        self.assertEqual(self.manager.streams(), [])

    def test_no_right(self) -> None:
        """Without a right the answer is the same whatever the stream's state; nothing changes."""
        self.assertIs(self.refused(token="wrong").refusal, Refusal.DENIED)
        publication = self.publish()
        self.clock.advance(100)
        self.assertIs(self.refused(token="wrong").refusal, Refusal.DENIED)
        self.successResultOf(self.manager.stop("key"))
        self.assertIs(self.refused(token="wrong").refusal, Refusal.DENIED)
        self.manager.draining = True
        self.assertIs(self.refused(token="wrong").refusal, Refusal.DENIED)
        self.assertFalse(publication.is_open)

    def test_draining_while_authorizing(self) -> None:
        """A right that is found out when the server goes down already is of no use."""
        self.authenticator.held = held = Deferred[None]()
        publishing = self.manager.publish(request())
        self.assertNoResult(publishing)
        self.manager.draining = True
        held.callback(None)
        error = self.failureResultOf(publishing, AccessDenied).value
        self.assertIs(error.refusal, Refusal.REJECTED)

    def test_limit(self) -> None:
        """The limit is on publishers: idle streams do not count, take-overs are no more."""
        self.manager = self.make_manager(max_streams=2)
        first = self.publish("a")
        self.publish("b")
        self.assertIs(self.refused("c").refusal, Refusal.REJECTED)
        self.publish("a")
        self.assertFalse(first.is_open)
        self.successResultOf(self.manager.stop("a"))
        self.publish("c")
        self.assertIs(self.refused("d").refusal, Refusal.REJECTED)

    def test_abuse(self) -> None:
        """Who broke the protocol is refused for a moment; others are not."""
        publication = self.publish()
        publication.abuse = "the connection broke the protocol"
        publication.close("garbage")
        error = self.refused()
        self.assertIs(error.refusal, Refusal.REJECTED)
        self.assertIn("protocol", error.description)
        elsewhere = replace(request(), peer="192.0.2.99")
        self.successResultOf(self.manager.publish(elsewhere)).close("left")
        self.publish("other")
        self.clock.advance(10)
        self.publish()

    def test_subscribe(self) -> None:
        """A stream can be played until it is over."""
        self.failureResultOf(self.manager.subscribe(request(action="play")), NotFound)
        self.publish()
        play = request(action="play")
        self.assertIs(self.successResultOf(self.manager.subscribe(play)), self.stream)
        self.successResultOf(self.manager.stop("key"))
        self.failureResultOf(self.manager.subscribe(play), NotFound)


class TakeOverTests(StreamCase):
    def test_same_token(self) -> None:
        """Who proves the same right takes over at once; the life goes on."""
        encoder = self.encoder()
        encoder.run(3)
        life = self.stream.life
        publication = self.publish()
        eviction = self.successResultOf(encoder.publication.evicted)
        self.assertIs(eviction.refusal, Refusal.BUSY)
        self.assertTrue(publication.is_open)
        self.assertIs(self.stream.publication, publication)
        self.assertEqual(self.stream.life, life)
        self.assertEqual(
            self.authenticator.calls,
            [
                ("key", "good", None),
                ("key", "good", self.clock.seconds() + 60),
                ("key", "good", None),
            ],
        )

    def test_other_token(self) -> None:
        """Who proves another right has to wait until the holder is silent for 3 s."""
        for token, other in (("good", "good2"), ("", "")):
            with self.subTest(token=token):
                self.setUp()
                encoder = self.encoder(token=token)
                encoder.run(5)
                self.assertIs(self.refused(token=other).refusal, Refusal.BUSY)
                self.clock.advance(2.9)
                self.assertIs(self.refused(token=other).refusal, Refusal.BUSY)
                self.assertTrue(encoder.publication.is_open)
                self.clock.advance(0.1)
                self.publish(token=other)
                self.assertFalse(encoder.publication.is_open)

    def test_new_publisher_is_not_silent(self) -> None:
        """A publisher has time for its first frame."""
        encoder = self.encoder()
        encoder.run(3)
        encoder.publication.close("left")
        self.clock.advance(30)
        self.publish()
        self.assertIs(self.refused(token="good2").refusal, Refusal.BUSY)

    def fight(self) -> None:
        """Take over from a live publisher as often as is allowed."""
        encoder = self.encoder()
        for _ in range(3):
            encoder.run(1)
            encoder = self.encoder()
        encoder.run(1)
        self.fighter = encoder

    def test_fight(self) -> None:
        """Two live encoders: after three take-overs in 30 s there is peace for a minute."""
        self.fight()
        started = self.clock.seconds()
        self.assertIs(self.refused().refusal, Refusal.BUSY)
        for _ in range(59):
            self.fighter.run(1)
            self.assertIs(self.refused().refusal, Refusal.BUSY)
        self.fighter.run(1)
        self.assertGreaterEqual(self.clock.seconds() - started, 60 - 0.1)
        self.fighter.run(0.4)
        self.publish()
        self.assertFalse(self.fighter.publication.is_open)

    def test_peaceful(self) -> None:
        """Take-overs that are not so frequent are no fight."""
        encoder = self.encoder()
        for _ in range(10):
            encoder.run(10.1)
            encoder = self.encoder()

    def test_dead_holder(self) -> None:
        """Taking over from a publisher that is silent for over a second never counts."""
        for _ in range(10):
            encoder = self.encoder()
            encoder.run(0.5)
            self.clock.advance(1.1)
        self.publish()

    def test_dead_winner_of_a_fight(self) -> None:
        """The peace protects a live publisher only."""
        self.fight()
        self.assertIs(self.refused().refusal, Refusal.BUSY)
        self.clock.advance(1.1)
        self.publish()


class GraceTests(StreamCase):
    def test_return(self) -> None:
        """A publisher may come back inside the grace, any number of times."""
        life = None
        for _ in range(5):
            encoder = self.encoder()
            self.assertIn(life, (None, self.stream.life))
            life = self.stream.life
            encoder.run(1)
            encoder.publication.close("left")
            self.clock.advance(59)
        self.assertEqual(len(self.maker.outputs), 1)
        self.assertEqual(self.stream.segmentation.discontinuity, 5)

    def test_end(self) -> None:
        """After the grace the stream is over; its key makes a new life."""
        encoder = self.encoder()
        encoder.run(1)
        encoder.publication.close("left")
        old = self.stream
        self.clock.advance(60)
        self.assertEqual(self.output.words[-1], "ended")
        self.assertEqual(self.manager.streams(), [])
        self.assertIs(self.manager.get("key"), old)
        self.publish()
        self.assertIsNot(self.stream, old)
        self.assertNotEqual(self.stream.life, old.life)
        self.assertGreater(self.stream.segmentation.sequence, old.segmentation.sequence)
        self.clock.advance(60)
        self.assertIs(self.stream.state, StreamState.CONNECTING)

    def test_no_grace(self) -> None:
        """A grace of 0 ends the stream at once."""
        self.manager = self.make_manager(grace=0)
        self.publish().close("left")
        self.clock.advance(0)
        self.assertEqual(self.manager.streams(), [])

    def test_stop(self) -> None:
        """A stop disconnects, ends, and refuses the key for a cool-down."""
        encoder = self.encoder()
        encoder.run(1)
        stopping = self.manager.stop("key")
        self.assertEqual(self.output.words[-3:], ["discontinuity", "ended", "closed"])
        self.successResultOf(stopping)
        self.assertIs(self.successResultOf(encoder.publication.evicted).refusal, Refusal.REJECTED)
        self.clock.advance(29)
        self.successResultOf(self.manager.stop("key"))
        error = self.refused()
        self.assertIs(error.refusal, Refusal.REJECTED)
        self.assertIn("1 s", error.description)
        self.tick(1)
        self.publish()
        self.assertEqual(len(self.maker.outputs), 2)

    def test_stop_while_idle(self) -> None:
        """A stream in its grace can be stopped; the grace's end changes nothing then."""
        self.publish().close("left")
        self.successResultOf(self.manager.stop("key"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.output.words.count("ended"), 1)

    def test_stop_unknown(self) -> None:
        """A key that was never published cannot be stopped."""
        self.assertRaises(KeyError, self.manager.stop, "key")

    def test_stop_waits_for_outputs(self) -> None:
        """A stop is over when the files are put away."""
        self.publish()
        self.output.closed = closed = Deferred[None]()
        stopping = self.manager.stop("key")
        self.assertNoResult(stopping)
        closed.callback(None)
        self.successResultOf(stopping)

    def test_bounded(self) -> None:
        """Ended streams, cool-downs and take-overs are not kept for ever."""
        self.patch(StreamManager, "KEPT", 3)
        for number in range(10):
            key = f"key{number}"
            self.publish(key)
            self.publish(key)
            self.successResultOf(self.manager.stop(key))
        self.assertEqual(
            [self.manager.get(f"key{n}") is None for n in range(10)], [True] * 7 + [False] * 3
        )
        self.tick(32)
        self.assertEqual(self.manager._cool_downs, {})
        self.assertEqual(self.manager._take_overs, {})
        self.assertEqual(self.manager._graces, {})

    def test_tick(self) -> None:
        """Only streams with a publisher have rates to measure."""
        encoder = self.encoder()
        for _ in range(5):
            encoder.run(1)
            self.manager.tick()
        self.assertApproximates(self.stream.statistics.frame_rate, 25, 0.1)
        self.assertEqual(self.stream.viewer_count.expiry, 6.0)
        self.assertTrue(self.stream.viewer_count.admit("session"))
        self.assertEqual(self.stream.viewers, 1)

    def test_one_streams_fault(self) -> None:
        """What goes wrong in one stream, or in its output, harms no other one, nor itself later."""
        broken, well = self.publish("broken"), self.publish("well")
        for name in ("broken", "well"):
            stream = self.manager.get(name)
            assert stream is not None
            if name == "broken":
                patch = self.patch(stream.diagnoses, "observe", self.fail_on_purpose)
        self.manager.tick()
        patch.restore()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        encoder = Encoder(self.clock, broken)
        encoder.run(1)
        self.patch(self.maker.outputs[0], "discontinuity", self.fail_on_purpose)
        self.patch(self.maker.outputs[0], "ended", self.fail_on_purpose)
        broken.close("left")
        # at the discontinuity, and when it was ended because of that
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        again = self.publish("broken")
        self.assertTrue(again.is_open)
        self.patch(self.maker.outputs[0], "close", lambda: fail(ZeroDivisionError()))
        self.successResultOf(self.manager.close())
        self.assertFalse(well.is_open)
        self.flushLoggedErrors(ZeroDivisionError)
        self.assertIn("well", b"".join(self.state._files["streams.json"].pieces).decode())

    def fail_on_purpose(self, *_: object) -> None:
        """Fail."""
        raise ZeroDivisionError

    def test_room(self) -> None:
        """Streams that wait for their publishers are bounded: the oldest one ends for a new one."""
        self.manager = self.make_manager(max_streams=3, grace=3600)
        for number in range(8):
            self.publish(f"k{number}").close("left")
            self.clock.advance(1)
        self.assertEqual([s.key for s in self.manager.streams()], ["k5", "k6", "k7"])
        self.publish("k5")
        self.publish("k8")
        self.assertEqual([s.key for s in self.manager.streams()], ["k5", "k6", "k7", "k8"])


class RestartTests(StreamCase):
    def restart(self, after: float, **settings: object) -> None:
        """Kill the process; another one starts some seconds later."""
        for call in self.clock.getDelayedCalls():
            call.cancel()
        self.clock.advance(after)
        self.records = RecordStore(self.state)
        self.manager = self.make_manager(**settings)
        self.successResultOf(self.manager.restore())

    def test_nothing(self) -> None:
        """There may be nothing to restore."""
        self.restart(1)
        self.assertEqual(self.manager.streams(), [])

    def test_kill(self) -> None:
        """A stream that was live goes on in its life, with higher numbers and a discontinuity."""
        encoder = self.encoder()
        encoder.run(10)
        before, last = self.stream, self.output.boundaries[-1]
        self.restart(3)
        self.assertEqual(self.stream.life, before.life)
        self.assertIs(self.stream.state, StreamState.IDLE)
        self.assertEqual(self.stream.idle_since, self.clock.seconds())
        self.clock.advance(59)
        encoder = self.encoder()
        encoder.run(4)
        first = self.output.boundaries[0]
        self.assertGreater(first.sequence, last.sequence)
        self.assertGreater(first.discontinuity, last.discontinuity)
        self.assertTrue(first.is_discontinuity)
        self.assertEqual(self.stream.segmentation.target_duration, 2)
        self.assertLess(first.sequence, last.sequence + 2 * RESERVE)

    def test_twice(self) -> None:
        """Numbers rise over restart after restart, even when the clock goes back."""
        last = 0
        for _ in range(4):
            encoder = self.encoder()
            encoder.run(4)
            self.assertGreater(self.output.boundaries[0].sequence, last)
            last = self.output.boundaries[-1].sequence
            self.restart(1)
            self.clock.rightNow -= 3600

    def test_grace_is_over(self) -> None:
        """A grace that ended meanwhile ends the stream."""
        encoder = self.encoder()
        encoder.run(2)
        encoder.publication.close("left")
        self.restart(61)
        self.clock.advance(0)
        self.assertEqual(self.output.words, ["ended"])
        self.restart(1)
        self.assertEqual(self.manager.streams(), [])

    def test_rest_of_the_grace(self) -> None:
        """A grace goes on where it was."""
        self.publish().close("left")
        self.restart(30)
        self.clock.advance(29)
        self.assertEqual(len(self.manager.streams()), 1)
        self.clock.advance(1)
        self.assertEqual(self.manager.streams(), [])

    def test_reserve(self) -> None:
        """A record covers the numbers of a long time, and is renewed before they are used up."""
        encoder = self.encoder(gop=0.04)
        segmentation = self.stream.segmentation
        segmentation._setting = 0.04
        encoder.run(1)
        start = self.output.boundaries[0].sequence
        encoder.run(0.04 * (RESERVE + 10))
        [record] = self.successResultOf(RecordStore(self.state).load())
        self.assertGreater(segmentation.sequence, start + RESERVE)
        self.assertGreater(record.reserved, segmentation.sequence)


class CloseTests(StreamCase):
    def test_drain(self) -> None:
        """Publishers are told, segments finished, and nothing ends: the process will be back."""
        encoder = self.encoder()
        encoder.run(3)
        self.publish("other").close("left")
        self.successResultOf(self.manager.close())
        self.assertIs(self.successResultOf(encoder.publication.evicted).refusal, Refusal.REJECTED)
        for output in self.maker.outputs:
            self.assertNotIn("ended", output.words)
            self.assertEqual(output.words[-1], "closed")
        self.assertEqual(self.refused().refusal, Refusal.REJECTED)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        records = self.successResultOf(RecordStore(self.state).load())
        self.assertEqual([record.key for record in records], ["key", "other"])

    def test_endlist(self) -> None:
        """A setting ends the streams instead."""
        self.manager = self.make_manager(endlist_on_shutdown=True)
        self.encoder().run(3)
        self.publish("other").close("left")
        self.successResultOf(self.manager.close())
        for output in self.maker.outputs:
            self.assertEqual(output.words[-2:], ["ended", "closed"])
        self.assertEqual(self.successResultOf(RecordStore(self.state).load()), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_waits(self) -> None:
        """It is over when every output is, all at the same time."""
        self.publish("a")
        self.publish("b")
        waiting = [Deferred[None](), Deferred[None]()]
        for output, closed in zip(self.maker.outputs, waiting, strict=True):
            output.closed = closed
        closing = self.manager.close()
        self.assertEqual([output.words for output in self.maker.outputs], [["closed"]] * 2)
        for closed in waiting:
            self.assertNoResult(closing)
            closed.callback(None)
        self.successResultOf(closing)
