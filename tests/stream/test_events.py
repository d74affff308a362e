"""Tests of rapidrtmp.stream.events, and of what streams tell by it."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.interfaces import NotFound
from rapidrtmp.stream.events import NAMES, Events, StreamEvent
from tests.stream.fakes import NOW, StreamCase, request


class EventsTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a bus and a listener."""
        self.clock = Clock()
        self.clock.advance(12.34567)
        self.events = Events(self.clock)
        self.heard: list[StreamEvent] = []

    def test_listeners(self) -> None:
        """Each listener hears each event in order, until it leaves."""
        self.assertFalse(self.events.is_heard)
        cancel = self.events.subscribe(self.heard.append)
        self.assertTrue(self.events.is_heard)
        self.events.emit("publish", "a", peer="192.0.2.1")
        self.events.emit("end", "a")
        cancel()
        self.events.emit("end", "b")
        self.assertFalse(self.events.is_heard)
        self.assertEqual([event.name for event in self.heard], ["publish", "end"])
        self.assertEqual(
            self.heard[0].as_json(),
            {"event": "publish", "streamKey": "a", "time": 12.346, "peer": "192.0.2.1"},
        )

    def test_a_broken_listener(self) -> None:
        """A listener that raises is logged, and keeps nobody from hearing."""

        def broken(event: StreamEvent) -> None:
            raise RuntimeError("no")

        self.events.subscribe(broken)
        self.events.subscribe(self.heard.append)
        self.events.emit("live", "a")
        self.assertEqual(len(self.heard), 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class StreamEventsTests(StreamCase):
    def setUp(self) -> None:
        """Listen to a manager."""
        super().setUp()
        self.heard: list[StreamEvent] = []
        self.manager.events.subscribe(self.heard.append)

    @property
    def names(self) -> list[str]:
        """The names of what was heard."""
        return [event.name for event in self.heard]

    def test_life(self) -> None:
        """A stream's life: published, live, unpublished, over; each with who did it."""
        encoder = self.encoder()
        encoder.run(1)
        encoder.publication.close("left")
        self.tick(61)
        self.assertEqual(self.names, ["publish", "live", "unpublish", "end"])
        self.assertTrue(set(self.names) <= set(NAMES))
        publish, live, unpublish, end = (event.as_json() for event in self.heard)
        who = {"streamKey": "key", "peer": "192.0.2.1", "sessionId": "s1"}
        self.assertEqual(publish, {"event": "publish", "time": NOW, "client": "test/1", **who})
        self.assertEqual(live, {**live, **who, "codecs": ["avc1.64001f", "mp4a.40.2"]})
        self.assertEqual(unpublish, {**unpublish, **who, "reason": "left"})
        self.assertAlmostEqual(unpublish["duration"], 1.0, places=2)
        self.assertEqual(end["reason"], "the publisher did not return")
        self.assertNotIn("good", str(self.heard))

    def test_refusals(self) -> None:
        """A refusal is told and counted; one of an impossible key is counted only."""
        self.refused(token="wrong")
        self.refused("a/b")
        self.assertEqual(self.names, ["refuse"])
        self.assertEqual(
            self.heard[0].details,
            {
                "action": "publish",
                "peer": "192.0.2.1",
                "sessionId": "s1",
                "reason": "wrong token",
            },
        )
        self.assertEqual(
            self.manager.totals.refusals, {("publish", "denied"): 1, ("publish", "bad_name"): 1}
        )

    def test_play(self) -> None:
        """A viewer needs the right, then a stream; the right is asked for first."""
        play = request(action="play")
        self.failureResultOf(self.manager.subscribe(play), NotFound)
        self.publish()
        self.assertIs(self.successResultOf(self.manager.subscribe(play)), self.stream)
        self.manager.viewer_joined(play)
        self.assertEqual(self.names, ["publish", "play"])
        self.assertEqual(self.heard[1].details["client"], "test/1")
        for key in ("key", "nothing"):
            denied = self.manager.subscribe(request(key, "wrong", action="play"))
            self.assertIn("wrong token", str(self.failureResultOf(denied).value))
        self.assertEqual(self.manager.totals.refusals, {("play", "denied"): 2})

    def test_revoked(self) -> None:
        """A revoked right sends its holder away, and nobody else."""
        publication = self.publish()
        self.manager.revoke("nothing", "good")
        self.manager.revoke("key", "good2")
        self.assertTrue(publication.is_open)
        self.manager.revoke("key", "good")
        self.assertFalse(publication.is_open)
        eviction = self.successResultOf(publication.evicted)
        self.assertEqual(eviction.description, "the publish token was revoked")
        self.assertEqual(self.heard[-1].details["reason"], "the publish token was revoked")
        self.manager.revoke("key", "good")


class TotalsTests(StreamCase):
    def test_ended_streams(self) -> None:
        """What an ended stream counted is kept in the totals, once."""
        encoder = self.encoder()
        encoder.run(4)
        self.assertEqual(self.manager.totals.bytes_received, 0)
        statistics = self.stream.statistics
        self.assertEqual(statistics.video_sizes.folded(10).count, statistics.video_frames)
        self.assertEqual(statistics.audio_sizes.folded(10).count, statistics.audio_frames)
        self.assertGreater(statistics.audio_frames, 0)
        self.successResultOf(self.manager.stop("key"))
        self.successResultOf(self.manager.stop("key"))
        totals = self.manager.totals
        self.assertEqual(totals.bytes_received, statistics.bytes_received)
        self.assertEqual(totals.video_sizes.sum, statistics.video_sizes.sum)
        self.assertEqual((totals.streams_created, totals.streams_ended), (1, 1))
        self.assertEqual((totals.publishers, totals.keyframes_received), (1, 2))
        self.assertEqual(totals.durations.count, 1)
        self.assertAlmostEqual(totals.durations.sum, 4.0, places=1)

    def test_never_live(self) -> None:
        """A stream without media has no duration."""
        self.publish()
        self.successResultOf(self.manager.stop("key"))
        self.assertEqual(self.manager.totals.durations.count, 0)

    def test_bitrate_limit(self) -> None:
        """A publisher above the limit for five seconds is sent away, and has to wait."""
        self.manager = self.make_manager(max_bitrate=1000)
        encoder = self.encoder()
        for _ in range(5):
            encoder.run(1)
            self.manager.tick()
        self.assertTrue(encoder.publication.is_open)
        encoder.run(1)
        self.manager.tick()
        self.assertFalse(encoder.publication.is_open)
        eviction = self.successResultOf(encoder.publication.evicted)
        self.assertIn("above the limit of 0.001", eviction.description)
        self.assertEqual(eviction.abuse, "bitrate")
        self.assertRegex(self.refused().description, "above the limit of 0.001, try again")

    def test_bitrate_within_the_limit(self) -> None:
        """A publisher below the limit stays."""
        self.manager = self.make_manager(max_bitrate=10_000_000)
        encoder = self.encoder()
        for _ in range(10):
            encoder.run(1)
            self.manager.tick()
        self.assertTrue(encoder.publication.is_open)

    def test_settings_at_run_time(self) -> None:
        """New settings count for the streams there are, too."""
        publication = self.publish()
        self.manager.apply(type(self.manager.settings)(max_viewers=1, max_streams=1))
        self.assertTrue(publication.is_open)
        self.assertEqual(self.stream.viewer_count.limit, 1)
        self.assertIn("limit of 1", self.refused("other").description)
