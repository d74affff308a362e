"""Tests of rapidrtmp.stream's small parts: probe, statistics, lifecycle, records."""

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.interfaces import NO_CACHE
from rapidrtmp.state import StateError
from rapidrtmp.storage.memory import MemoryStorage
from rapidrtmp.stream.lifecycle import EPOCH, Record, first_sequence
from rapidrtmp.stream.probe import Probe
from rapidrtmp.stream.records import PATH, RecordStore
from rapidrtmp.stream.statistics import Statistics
from tests.isobmff.fakes import AUDIO, VIDEO
from tests.media.samples import audio, milliseconds, video
from tests.test_state import SlowStorage

RECORD = Record("key", "0123456789abcdef", 1000, 2, 4, 0.201, 17.5)
BROKEN = (
    ("life", 5),
    ("reserved", "7"),
    ("discontinuity", None),
    ("targetDuration", "2"),
    ("idleSince", "now"),
    ("life", "../../etc"),
    ("reserved", -1),
    ("discontinuity", -1),
    ("targetDuration", 0),
)


class ProbeTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a probe."""
        self.probe = Probe(100.0)

    def test_both(self) -> None:
        """It is over with the first sample of each; the samples come in order."""
        self.assertFalse(self.probe.add(audio(30), (VIDEO, AUDIO), 101.0))
        self.assertTrue(self.probe.add(video(10, key=True), (VIDEO, AUDIO), 101.0))
        self.assertEqual([milliseconds(s) for s in self.probe.samples], [10, 30])
        self.assertEqual(self.probe.tracks, [VIDEO, AUDIO])
        self.assertEqual(self.probe.started, 101.0)

    def test_unannounced(self) -> None:
        """What arrives counts, not what was announced."""
        self.assertFalse(self.probe.add(audio(0), (), 100.0))
        self.assertTrue(self.probe.add(video(0, key=True), (), 100.0))

    def test_wall_clock(self) -> None:
        """Media that stand still in time are waited for by the clock."""
        self.assertFalse(self.probe.add(video(0, key=True), (VIDEO,), 100.0))
        self.assertFalse(self.probe.is_over((VIDEO,), 101.9))
        self.assertTrue(self.probe.is_over((VIDEO,), 102.0))

    def test_nothing(self) -> None:
        """It is never over without a sample."""
        self.assertFalse(self.probe.is_over((VIDEO, AUDIO), 1000.0))

    def test_media_back_in_time(self) -> None:
        """Media time is the distance of the extremes."""
        self.assertFalse(self.probe.add(audio(5000), (), 100.0))
        self.assertTrue(self.probe.add(audio(3000), (), 100.0))


class StatisticsTests(SynchronousTestCase):
    def test_rates(self) -> None:
        """Rates are of the last ten seconds."""
        statistics = Statistics()
        self.assertIsNone(statistics.frame_rate)
        self.assertEqual(statistics.bitrate, 0)
        for second in range(20):
            statistics.tick(1000.0 + second)
            statistics.bytes_received += 125 * (second + 1)
            statistics.first_track_frames += 30
        # from second 9 to 19
        self.assertEqual(statistics.bitrate, sum(range(10, 20)) * 100)
        self.assertEqual(statistics.frame_rate, 30)
        statistics.restart()
        self.assertEqual(statistics.bitrate, 0)

    def test_clock_that_stands(self) -> None:
        """Two snapshots of the same moment, or a clock that goes back, are no rate."""
        statistics = Statistics()
        statistics.tick(5.0)
        statistics.bytes_received = 10
        statistics.tick(5.0)
        self.assertEqual(statistics.bitrate, 0)
        statistics.tick(4.0)
        self.assertEqual(statistics.bitrate, 0)

    def test_keyframes(self) -> None:
        """The interval is that of the two newest; a jump back is none."""
        statistics = Statistics()
        for time in (0.0, 2.0, 4.0, 1.0):
            statistics.keyframe(time)
        self.assertEqual(statistics.keyframe_interval, 2.0)
        statistics.keyframe(2.0)
        self.assertEqual(statistics.keyframe_interval, 1.0)
        self.assertEqual(statistics.keyframes_received, 5)
        statistics.restart()
        self.assertIsNone(statistics.keyframe_interval)


class RecordTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a store."""
        self.storage = MemoryStorage(Clock())
        self.store = RecordStore(self.storage)

    def test_first_sequence(self) -> None:
        """Numbers are above the reserved ones and above what time alone would give."""
        self.assertEqual(first_sequence(EPOCH + 10.6), 21)
        self.assertEqual(first_sequence(EPOCH + 10, 500), 500)

    def test_round_trip(self) -> None:
        """Records come back as they were; those of streams that are over do not."""
        other = Record("other", "f" * 16, 1, 0, None, None, None)
        self.assertEqual(self.successResultOf(self.store.load()), [])
        self.store.keep(RECORD)
        self.store.keep(other)
        self.store.forget("nobody")
        self.assertEqual(self.successResultOf(RecordStore(self.storage).load()), [RECORD, other])
        self.store.forget("key")
        store = RecordStore(self.storage)
        self.assertEqual(self.successResultOf(store.load()), [other])
        store.keep(RECORD)
        self.successResultOf(store.close())
        self.assertEqual(self.successResultOf(RecordStore(self.storage).load()), [other, RECORD])

    def test_broken(self) -> None:
        """A field that is missing or of a wrong type is an error of the file."""
        for name, value in BROKEN:
            with self.subTest(name=name):
                for broken in ({**RECORD.as_json(), name: value}, RECORD.as_json()):
                    if broken[name] is not value:
                        del broken[name]
                    self.store._file.save({"key": broken})
                    self.failureResultOf(RecordStore(self.storage).load(), StateError)
        self.store._file.save({"../key": RECORD.as_json()})
        self.failureResultOf(RecordStore(self.storage).load(), StateError)
        self.store._file.save({"key": 5})
        self.failureResultOf(RecordStore(self.storage).load(), StateError)
        self.storage.put(PATH, (b"{",), "", NO_CACHE)
        self.failureResultOf(RecordStore(self.storage).load(), StateError)

    def test_failing_disk(self) -> None:
        """A disk that fails is told of once, and again after it had worked."""
        storage = SlowStorage()
        store = RecordStore(storage)
        with capturedLogs() as events:
            for error in (OSError("full"), OSError("full"), None, OSError("again")):
                store.keep(RECORD)
                storage.finish(error)
        self.assertEqual([str(event["error"]) for event in events], ["full", "again"])
