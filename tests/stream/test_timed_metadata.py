"""Timed metadata of a stream: what the publisher says, and what others put in."""

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.media.timed import DateRange, EventMessage, ScriptMessage
from rapidrtmp.stream.date_ranges import (
    KEPT,
    MAX_OF_RANGE,
    MAX_RANGES,
    DateRangeError,
    DateRanges,
    DateRangeWish,
    TooManyDateRanges,
)
from rapidrtmp.stream.events import StreamEvent
from rapidrtmp.stream.stream import SCRIPT_BURST
from tests.stream.fakes import NOW, StreamCase

TEXT = ScriptMessage("onTextData", [{"text": "hi"}], b"amf0")


class ScriptTests(StreamCase):
    def setUp(self) -> None:
        """Have a stream that is live, of an encoder whose clock stands at 100 s."""
        super().setUp()
        self.live = self.encoder(time=100.0)
        self.live.run(4)

    def times(self) -> list[float]:
        """Return the seconds on the timeline of all that the output heard."""
        return [metadata.time / 90_000 for metadata in self.output.metadata]

    def test_placed(self) -> None:
        """A message is on the timeline where the encoder's media of that time is."""
        for ms in (104_000, 102_500, 106_000):
            self.live.publication.write_script(ms, TEXT)
        self.assertEqual(self.times(), [4.0, 2.5, 6.0])
        for metadata in self.output.metadata:
            self.assertAlmostEqual(metadata.wall, NOW + metadata.time / 90_000, places=3)
            self.assertAlmostEqual(metadata.edge, NOW + 4, places=1)
            self.assertIs(metadata.content, TEXT)

    def test_without_time(self) -> None:
        """A message whose time is not the media's happens now."""
        for ms in (0, 5_000_000, -1):
            self.live.publication.write_script(ms, TEXT)
        for seconds in self.times():
            self.assertAlmostEqual(seconds, 4.0, places=1)

    def test_before_media(self) -> None:
        """What is said before the first frame comes with it, and not with another publisher's."""
        self.live.publication.close("over")
        first = self.publish()
        first.write_script(0, ScriptMessage("lost", [], b""))
        first.close("over")
        second = self.encoder(time=7.0)
        second.publication.write_script(7000, TEXT)
        self.assertEqual(self.output.metadata, [])
        second.run(2)
        [metadata] = self.output.metadata
        self.assertIs(metadata.content, TEXT)
        self.assertAlmostEqual(metadata.time / 90_000, 4.0, places=1)

    def test_flood(self) -> None:
        """A publisher that says too much is heard in part, and counted."""
        large = ScriptMessage("big", [], bytes(16_000))
        for _ in range(100):
            self.live.publication.write_script(104_000, large)
        heard = len(self.output.metadata)
        self.assertLessEqual(heard * 16_000, SCRIPT_BURST)
        self.assertEqual(self.stream.statistics.dropped, {"data_rate": 100 - heard})
        self.tick(1)
        self.live.publication.write_script(104_000, large)
        self.assertEqual(len(self.output.metadata), heard + 1)

    def test_told(self) -> None:
        """Listeners hear of it, with the values of small messages."""
        told: list[StreamEvent] = []
        self.manager.events.subscribe(told.append)
        self.live.publication.write_script(104_000, TEXT)
        self.live.publication.write_script(104_000, ScriptMessage("big", ["x"], bytes(9000)))
        self.stream.insert(EventMessage("urn:x", b"data"))
        self.stream.insert_date_range(DateRangeWish("a", name="c", duration=1.0))
        start = "2027-01-15T08:00:04.000Z"
        self.assertEqual(
            [{**event.details, "start": ""} for event in told],
            [
                {"start": "", "kind": "script", "message": "onTextData", "values": TEXT.values},
                {"start": "", "kind": "script", "message": "big"},
                {"start": "", "kind": "message", "scheme": "urn:x", "bytes": 4},
                {"start": "", "kind": "daterange", "id": "a", "class": "c", "duration": 1.0},
            ],
        )
        self.assertEqual((told[0].name, told[0].details["start"]), ("metadata", start))

    def test_inserted(self) -> None:
        """What is put in is at the live edge, or where it is wanted."""
        self.assertTrue(self.stream.is_flowing)
        message = EventMessage("urn:x", b"")
        self.stream.insert(message)
        self.stream.insert(message, NOW + 10)
        self.stream.insert(message, NOW - 1000)
        made = self.stream.insert_date_range(DateRangeWish("a"))
        self.stream.insert_date_range(DateRangeWish("b", start=NOW + 20))
        times = self.times()
        self.assertAlmostEqual(times[0], 4.0, places=1)
        self.assertAlmostEqual(times[1], 10.0, places=3)
        self.assertEqual(times[2], 0.0)
        self.assertAlmostEqual(times[3], times[0])
        self.assertAlmostEqual(times[4], 20.0, places=3)
        self.assertAlmostEqual(made.start, NOW + times[0], places=3)
        self.live.publication.close("over")
        self.assertFalse(self.stream.is_flowing)


class DateRangesTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Have one range that is open."""
        self.ranges = DateRanges()
        self.ranges.put(DateRangeWish("a", planned_duration=30.0, attributes={"X-A": "1"}), 10.0)

    def test_more(self) -> None:
        """More can be told of a range; what was told may be told again."""
        made = self.ranges.put(DateRangeWish("a", start=10.0, attributes={"X-B": 2.0}), 20.0)
        self.assertEqual(made, DateRange("a", 10.0, "", None, 30.0, {"X-A": "1", "X-B": 2.0}))
        made = self.ranges.put(DateRangeWish("a", end=25.0, name="c"), 25.0)
        self.assertEqual((made.name, made.duration, made.end), ("c", 15.0, 25.0))
        self.assertEqual(self.ranges.put(DateRangeWish("a", duration=15.0, end=25.0), 30.0), made)

    def test_contradictions(self) -> None:
        """What contradicts is refused with the name of the part at fault, and changes nothing."""
        self.ranges.put(DateRangeWish("a", duration=5.0, name="c"), 20.0)
        for wish, name in (
            (DateRangeWish("a", start=11.0), "start"),
            (DateRangeWish("a", duration=6.0), "duration"),
            (DateRangeWish("a", end=16.0), "duration"),
            (DateRangeWish("a", planned_duration=31.0), "plannedDuration"),
            (DateRangeWish("a", name="d"), "class"),
            (DateRangeWish("a", attributes={"X-B": "1", "X-A": "2"}), "X-A"),
            (DateRangeWish("a", end=9.0), "end"),
            (DateRangeWish("b", start=10.0, end=9.0), "end"),
            (DateRangeWish("b", start=10.0, end=12.0, duration=3.0), "end"),
        ):
            error = self.assertRaises(DateRangeError, self.ranges.put, wish, 20.0)
            self.assertEqual(error.name, name)
        self.assertNotIn("b", self.ranges)
        self.assertNotIn("X-B", self.ranges.put(DateRangeWish("a"), 20.0).attributes)

    def test_attributes_bound(self) -> None:
        """A range does not grow for ever, however often more is told of it."""
        for number in range(MAX_OF_RANGE - 1):
            self.ranges.put(DateRangeWish("a", attributes={f"X-{number}": "1"}), 20.0)
        wish = DateRangeWish("a", attributes={"X-ONE-MORE": "1"})
        error = self.assertRaises(DateRangeError, self.ranges.put, wish, 20.0)
        self.assertEqual(error.name, "attributes")
        self.ranges.put(DateRangeWish("a", attributes={"X-0": "1"}), 20.0)

    def test_bound(self) -> None:
        """There is room for so many; those that are long over make some."""
        for number in range(MAX_RANGES - 1):
            self.ranges.put(DateRangeWish(str(number), duration=1.0), 20.0)
        self.assertRaises(TooManyDateRanges, self.ranges.put, DateRangeWish("b"), 21 + KEPT)
        self.ranges.put(DateRangeWish("b"), 22 + KEPT)
        self.assertIn("a", self.ranges)
        self.assertNotIn("0", self.ranges)
