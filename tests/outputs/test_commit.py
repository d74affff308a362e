"""Tests of rapidrtmp.outputs.commit."""

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.interfaces import Representation
from rapidrtmp.outputs.commit import CommitQueue
from tests.outputs.fakes import CheckingStorage


class PlainStorage(CheckingStorage):
    """Takes any bytes for a playlist."""

    def _check(self, path: str, body: bytes) -> None:
        pass


class CommitQueueTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a queue that may hold 1000 bytes."""
        self.clock = Clock()
        self.storage = PlainStorage(self.clock)
        self.queue = CommitQueue(self.storage, self.clock, 1000)

    def put(self, path: str, body: bytes = b"x") -> None:
        """Put a segment."""
        self.queue.put(path, Representation(body, "video/mp4"), is_expendable=True)

    def init(self, path: str, body: bytes = b"x") -> None:
        """Put an initialization section."""
        self.queue.put(path, Representation(body, "video/mp4"))

    def playlist(self, path: str, *names: str, body: bytes = b"p") -> None:
        """Put a playlist."""
        self.queue.put(path, Representation(body, "x"), names)

    def outage(self, clear: float = 0.0) -> None:
        """Let storage fail; with `clear` it works again and time passes."""
        if clear:
            self.storage.error = None
            self.clock.advance(clear)
        else:
            self.storage.error = OSError("disk full")

    def test_error(self) -> None:
        """What is wrong with storage can be asked for until it works again."""
        self.assertIsNone(self.queue.error)
        self.outage()
        self.put("1")
        self.assertEqual(self.queue.error, "disk full")
        self.outage(clear=1.0)
        self.assertIsNone(self.queue.error)

    def test_in_order(self) -> None:
        """Files are written in the order in which they came."""
        self.storage.is_slow = True
        self.init("init")
        self.put("1")
        self.playlist("p", "init", "1")
        self.queue.delete("0")
        self.put("2")
        self.assertEqual(self.storage.deletes, [])
        flushed = self.queue.flush()
        self.assertNoResult(flushed)
        self.storage.finish()
        self.successResultOf(flushed)
        self.assertEqual(self.storage.puts, ["init", "1", "p", "2"])
        self.assertEqual(self.storage.deletes, ["0"])
        self.assertEqual(self.queue.bytes_waiting, 0)
        self.successResultOf(self.queue.flush())

    def test_playlists_are_combined(self) -> None:
        """Of the playlists that wait only the newest is written, behind what it names."""
        self.storage.is_slow = True
        for number in range(5):
            self.put(str(number))
            self.playlist("p", str(number), body=b"%d" % number)
        self.storage.finish()
        self.assertEqual(self.storage.puts, ["0", "1", "2", "3", "4", "p"])
        self.assertEqual(self.storage.body("p"), b"4")

    def test_deep(self) -> None:
        """A store that answers at once is called in a loop, however much waits."""
        self.storage.is_slow = True
        self.put("0")
        for number in range(1, 5000):
            self.queue.delete(str(number))
        self.storage.is_slow = False
        self.storage.finish()
        self.assertEqual(len(self.storage.deletes), 4999)

    def test_outage(self) -> None:
        """A failing store is tried again after pauses that grow; then all is written."""
        self.outage()
        with capturedLogs() as events:
            self.put("1")
            self.playlist("p", "1")
            pauses = []
            for _ in range(8):
                [call] = self.clock.getDelayedCalls()
                pauses.append(call.getTime() - self.clock.seconds())
                self.clock.advance(pauses[-1])
            self.assertEqual(pauses, [0.5, 1, 2, 4, 8, 15, 15, 15])
            self.assertEqual(self.queue.failures, 9)
            self.outage(clear=15)
            self.put("2")
        self.assertEqual(self.storage.puts, ["1", "p", "2"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.queue.files_lost, 0)
        self.assertEqual(len(events), 2, "one line at its start, one at its end")
        self.outage()
        self.put("3")
        [call] = self.clock.getDelayedCalls()
        self.assertEqual(call.getTime() - self.clock.seconds(), 0.5)

    def test_bound(self) -> None:
        """The oldest segments are given up, and the playlists that name them."""
        self.outage()
        self.init("init")
        for number in range(20):
            self.put(str(number), bytes(100))
            self.playlist("p", "init", *(str(n) for n in range(max(0, number - 4), number + 1)))
            self.assertLessEqual(self.queue.bytes_waiting, 1000)
        # nine segments, and the playlist
        self.assertEqual(self.queue.files_lost, 11)
        self.outage(clear=15)
        self.assertEqual(self.storage.puts, ["init", *map(str, range(11, 20)), "p"])

    def test_playlist_of_lost_files(self) -> None:
        """A playlist is written again as soon as it names no lost file."""
        self.outage()
        self.put("0", bytes(10))
        self.put("1", bytes(600))
        self.put("2", bytes(600))
        self.playlist("p", "1", "2")
        self.outage(clear=15)
        self.assertEqual(self.storage.puts, ["0", "2"])
        self.playlist("p", "1", "2")
        self.put("3")
        self.playlist("p", "2", "3")
        self.assertEqual(self.storage.puts, ["0", "2", "3", "p"])

    def test_initialization_sections_are_kept(self) -> None:
        """What all playlists need is not given up: storage recovers from any outage."""
        self.outage()
        self.put("0")
        self.init("init", bytes(900))
        self.put("1", bytes(600))
        self.assertEqual(self.queue.files_lost, 1)
        self.outage(clear=15)
        self.playlist("p", "init")
        self.assertEqual(self.storage.puts, ["0", "init", "p"])

    def test_deleted_before_it_was_written(self) -> None:
        """A segment that leaves while it waits is neither written nor deleted."""
        self.outage()
        for number in range(2000):
            self.put(str(number), bytes(300))
            if number >= 2:
                self.queue.delete(str(number - 2))
        self.assertLess(len(self.queue._queue), 10)
        self.assertLess(len(self.queue._lost), 10)
        self.outage(clear=15)
        self.assertEqual(self.storage.puts, ["0", "1998", "1999"])
        self.assertEqual(self.storage.deletes, ["0"])

    def test_deleted_after_it_was_given_up(self) -> None:
        """A segment that was given up need not be deleted, and is forgotten."""
        self.outage()
        self.put("0")
        for number in range(1, 4):
            self.init(f"init{number}", bytes(450))
            self.put(str(number), bytes(50))
        self.assertEqual(self.queue.files_lost, 3)
        self.assertEqual(self.queue.bytes_waiting, 1350, "what cannot be given up is not")
        for number in range(4):
            self.queue.delete(str(number))
        self.assertEqual(self.queue._lost, set())
        self.outage(clear=15)
        self.assertEqual(self.storage.puts, ["0", "init1", "init2", "init3"])
        self.assertEqual(self.storage.deletes, ["0"])

    def test_failing_delete(self) -> None:
        """A file that cannot be deleted is left: nothing depends on it."""
        self.outage()
        self.queue.delete("1")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((self.queue.failures, self.queue.files_lost), (1, 0))

    def test_flush_in_an_outage(self) -> None:
        """A flush does not wait for ever, nor for the pause that is under way."""
        self.outage()
        for number in range(5):
            self.put(str(number))
            self.playlist("p", str(number))
        self.clock.advance(0.5)
        self.clock.advance(1.0)
        first, second = self.queue.flush(), self.queue.flush()
        self.clock.pump([0.0] * 20)
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.queue.files_lost, 5)
        self.assertEqual(self.storage.puts, [])

    def test_flush_in_a_first_failure(self) -> None:
        """A failure while the queue is to end is tried once more at once."""
        self.storage.is_slow = True
        self.put("1")
        flushed = self.queue.flush()
        waiting, _, _ = self.storage._waiting.pop()
        self.storage.is_slow = False
        waiting.errback(OSError("once"))
        self.assertNoResult(flushed)
        self.clock.advance(0)
        self.successResultOf(flushed)
        self.assertEqual(self.storage.puts, ["1"])

    def test_larger_than_the_bound(self) -> None:
        """The bound is on what waits: a store that works takes any file."""
        self.put("1", bytes(2000))
        self.assertEqual(self.storage.puts, ["1"])
