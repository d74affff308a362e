"""Tests of rapidrtmp.outputs.commit and rapidrtmp.outputs.uploads."""

from collections.abc import Sequence
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.interfaces import Representation
from rapidrtmp.outputs.commit import DELETE_PAUSE, CommitQueue
from rapidrtmp.outputs.uploads import Uploads
from tests.outputs.fakes import CheckingStorage


class PlainStorage(CheckingStorage):
    """Takes any bytes for a playlist."""

    def _check(self, path: str, body: bytes) -> None:
        pass


class CommitCase(SynchronousTestCase):
    """A queue into a storage that may be slow or fail."""

    def setUp(self) -> None:
        """Make a queue that may hold 1000 bytes."""
        self.clock = Clock()
        self.clock.advance(1_800_000_000)
        self.storage = PlainStorage(self.clock)
        self.random = 0.0
        self.uploads = Uploads(self.storage, self.clock, 1000, lambda: self.random)
        self.queue = CommitQueue(self.uploads)

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

    def idle(self) -> None:
        """Nothing waits, and all sums agree on it."""
        self.assertEqual(self.queue.bytes_waiting, 0)
        self.assertEqual((self.uploads.bytes_waiting, self.uploads.files_waiting), (0, 0))
        self.assertEqual(self.uploads.oldest_age(self.clock.seconds()), 0)
        self.assertEqual((self.uploads._queues, self.uploads._failing), (set(), set()))


class CommitQueueTests(CommitCase):
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
        self.idle()
        self.successResultOf(self.queue.flush())

    def test_playlists_are_combined(self) -> None:
        """Of the versions that wait the oldest keeps its turn; then comes the newest alone."""
        self.storage.is_slow = True
        for number in range(5):
            self.put(str(number))
            self.playlist("p", str(number), body=b"%d" % number)
        self.storage.finish()
        self.assertEqual(self.storage.puts, ["0", "p", "1", "2", "3", "4"])
        self.assertEqual(self.storage.body("p"), b"0")
        self.clock.advance(1)
        self.storage.finish()
        self.assertEqual(self.storage.puts[6:], ["p"])
        self.assertEqual(self.storage.body("p"), b"4")
        self.idle()

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
            self.assertEqual((self.uploads.failures, self.uploads.retries), (9, 8))
            self.outage(clear=15)
            self.put("2")
        self.assertEqual(self.storage.puts, ["1", "p", "2"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((self.uploads.files_lost, self.uploads.files_stored), (0, 3))
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
        # "init" is under way; nine segments, and two versions of the playlist
        self.assertEqual((self.uploads.files_lost, self.uploads.files_waiting), (11, 12))
        self.outage(clear=15)
        first, rest = map(str, range(11, 17)), map(str, range(17, 20))
        self.assertEqual(self.storage.puts, ["init", *first, "p", *rest])
        self.clock.advance(1)
        self.assertEqual(self.storage.puts[-1], "p")
        self.idle()

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
        self.assertEqual(self.uploads.files_lost, 1)
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
        self.assertLess(len(self.queue._files), 10)
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
        self.assertEqual(self.uploads.files_lost, 3)
        self.assertEqual(self.queue.bytes_waiting, 1351, "what cannot be given up is not")
        for number in range(4):
            self.queue.delete(str(number))
        self.assertEqual(self.queue._lost, set())
        self.outage(clear=15)
        self.assertEqual(self.storage.puts, ["0", "init1", "init2", "init3"])
        self.assertEqual(self.storage.deletes, ["0"])

    def test_failing_delete(self) -> None:
        """A file that cannot be deleted is tried a few times, then left: that is no outage."""
        self.outage()
        with capturedLogs() as events:
            self.queue.delete("1")
            self.queue.delete("2")
        self.assertEqual(len(events), 1)
        self.assertEqual((self.uploads.failures, self.uploads.files_lost), (2, 0))
        self.assertIsNone(self.uploads.error)
        self.idle()
        for failures in (4, 6, 8):
            self.clock.advance(DELETE_PAUSE)
            self.assertEqual(self.uploads.failures, failures)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.outage(clear=1)
        self.queue.delete("3")
        self.outage()
        with capturedLogs() as events:
            self.queue.delete("4")
        self.assertEqual(len(events), 1)
        self.outage(clear=DELETE_PAUSE)
        self.assertEqual(self.storage.deletes, ["3", "4"])

    def test_failed_delete_and_what_follows(self) -> None:
        """A file that is put again is not deleted late; a flush tries once more and is over."""
        self.outage()
        for path in ("1", "2"):
            self.queue.delete(path)
        self.storage.error = None
        self.init("1")
        self.assertEqual(self.storage.deletes, [])
        self.successResultOf(self.queue.flush())
        self.assertEqual((self.storage.deletes, self.storage.paths), (["2"], ["1"]))
        self.outage()
        self.queue.delete("1")
        self.successResultOf(self.queue.flush())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_deletes_make_way(self) -> None:
        """Deletes wait for puts, yet a store that is always busy gets to them."""
        self.storage.is_slow = True
        self.put("0")
        for number in range(10, 20):
            self.queue.delete(str(number))
        for number in range(1, 5):
            self.put(str(number))
        seen = []
        delete = self.storage.delete

        def watched(path: str) -> Deferred[None]:
            seen.append((path, len(self.storage.puts)))
            return delete(path)

        self.patch(self.storage, "delete", watched)
        self.storage.finish()
        self.assertEqual(seen[:2], [("10", 3), ("11", 5)])
        self.assertEqual(len(seen), 10)

    def test_raising_storage(self) -> None:
        """A storage that raises where it should fail is tried again like any other."""
        for method in ("put", "delete"):
            with mock.patch.object(self.storage, method, side_effect=OSError("no such mount")):
                if method == "put":
                    self.put("1")
                    self.assertEqual(self.queue.error, "no such mount")
                else:
                    self.queue.delete("1")
            self.clock.advance(DELETE_PAUSE)
        self.assertEqual((self.storage.puts, self.storage.deletes), (["1"], ["1"]))
        self.idle()

    def test_lost_before_it_was_written(self) -> None:
        """What leaves before it was ever written is as lost as what was given up."""
        self.outage()
        for path in ("1", "2", "3"):
            self.put(path)
        self.playlist("p", "2", "3")
        self.queue.delete("2")
        self.assertEqual(self.uploads.files_lost, 1)
        self.outage(clear=15)
        self.assertEqual(self.storage.puts, ["1", "3"])
        self.idle()

    def test_playlist_of_an_unwritten_playlist(self) -> None:
        """A multivariant playlist waits for the first version of each playlist that it names."""
        self.outage()
        self.put("1", bytes(400))
        self.put("2", bytes(400))
        self.playlist("v", "2")
        self.playlist("index", "v")
        self.put("3", bytes(400))
        self.assertEqual(self.uploads.files_lost, 1)
        self.outage(clear=15)
        self.assertEqual(self.storage.puts, ["1", "3"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.playlist("index", "v", body=b"newer")
        self.put("4")
        self.playlist("v", "3", "4")
        self.assertEqual(self.storage.puts[2:], ["4", "v", "index"])
        self.assertEqual(self.storage.body("index"), b"newer")
        self.idle()

    def test_playlist_of_one_that_was_never_added(self) -> None:
        """The same if that one names a lost file when it comes."""
        self.outage()
        for path in ("1", "2"):
            self.put(path, bytes(600))
        self.playlist("v", "2")
        self.playlist("index", "v")
        self.outage(clear=15)
        self.assertEqual(self.storage.puts, ["1"])

    def test_flush_without_what_is_named(self) -> None:
        """A flush does not wait for a playlist whose own files were given up."""
        self.outage()
        self.put("1", bytes(400))
        self.put("2", bytes(400))
        self.playlist("v", "2")
        self.playlist("index", "v")
        self.put("3", bytes(400))
        self.outage(clear=15)
        self.successResultOf(self.queue.flush())
        self.assertEqual(self.storage.puts, ["1", "3"])
        self.idle()

    def test_busy_store(self) -> None:
        """A store that is always a little behind still gets playlists."""
        self.storage.is_slow = True
        written = []
        for number in range(40):
            self.put(str(number))
            self.playlist("p", str(number), body=b"%d" % number)
            self.clock.advance(1)
            if number >= 4:  # one step a second is too few for a segment and a playlist
                waiting, path, body = self.storage._waiting.pop(0)
                self.storage.puts.append(path)
                waiting.callback(None)
                if path == "p":
                    written.append(int(body))
                    self.assertIn(body.decode(), self.storage.puts)
        self.assertEqual(written, sorted(written))
        self.assertGreaterEqual(len(written), 3)
        self.assertGreater(written[-1], 20)

    def test_flush_in_an_outage(self) -> None:
        """A flush does not wait for ever, nor for the pause that is under way."""
        self.outage()
        for number in range(5):
            self.put(str(number))
            self.playlist("p", str(number))
        self.clock.advance(0.5)
        self.clock.advance(1.0)
        first, second = self.queue.flush(), self.queue.flush()
        self.assertNoResult(first)
        self.clock.advance(0)
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.uploads.files_lost, 5)
        self.assertEqual(self.uploads.retries, 3, "files that are tried once are not tried again")
        self.assertEqual(self.storage.puts, [])
        self.idle()

    def test_flush_in_a_first_failure(self) -> None:
        """A failure while the queue is to end is tried once more soon."""
        self.storage.is_slow = True
        self.put("1")
        flushed = self.queue.flush()
        waiting, _, _ = self.storage._waiting.pop()
        self.storage.is_slow = False
        waiting.errback(OSError("once"))
        self.clock.advance(0.9)
        self.assertNoResult(flushed)
        self.clock.advance(0.1)
        self.successResultOf(flushed)
        self.assertEqual(self.storage.puts, ["1"])

    def test_larger_than_the_bound(self) -> None:
        """The bound is on what waits: a store that works takes any file."""
        self.put("1", bytes(2000))
        self.assertEqual(self.storage.puts, ["1"])

    def test_random_pauses(self) -> None:
        """A pause is cut by up to half at random, so that streams do not retry all at once."""
        self.outage()
        self.put("1")
        pauses = []
        for self.random in (1.0, 0.5, 0.0, 1.0, 1.0, 1.0, 1.0):
            [call] = self.clock.getDelayedCalls()
            pauses.append(call.getTime() - self.clock.seconds())
            self.clock.advance(pauses[-1])
        self.assertEqual(pauses, [0.5, 0.5, 1.5, 4.0, 4.0, 7.5, 7.5])

    def test_silence(self) -> None:
        """A try without an answer is given up, and its late answer counts for nothing."""
        self.storage.is_slow = True
        self.put("1")
        self.playlist("p", "1")
        self.clock.advance(59.9)
        self.assertIsNone(self.queue.error)
        self.clock.advance(0.1)
        self.assertEqual(self.queue.error, "no answer in 60 s")
        [(late, _, _)] = self.storage._waiting
        self.clock.advance(0.5)
        late.callback(None)
        self.assertEqual(self.storage.puts, [])
        self.assertEqual(self.uploads.files_stored, 0)
        self.storage._waiting.pop(0)
        self.storage.finish()
        self.assertEqual(self.storage.puts, ["1", "p"])
        self.assertEqual((self.uploads.failures, self.uploads.retries), (1, 1))
        self.idle()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stored(self) -> None:
        """Who put a file learns when it is stored, once, but not if it never is."""
        stored: list[str] = []

        def put(path: str) -> None:
            self.queue.put(
                path,
                Representation(b"x" * 400, ""),
                is_expendable=True,
                stored=lambda: stored.append(path),
            )

        put("0")
        self.assertEqual(stored, ["0"])
        self.storage.is_slow = True
        for number in range(1, 6):
            put(str(number))
        self.queue.delete("4")
        self.assertEqual(stored, ["0"])
        self.storage.finish()
        self.assertEqual(stored, ["0", "1", "5"])
        self.idle()


class PlaylistIntervalTests(CommitCase):
    """Object stores take about one write a second of the same object."""

    def bodies(self) -> list[bytes]:
        """What is put while the test runs."""
        bodies: list[bytes] = []
        put = self.storage.put

        def watched(
            path: str, data: Sequence[bytes], content_type: str, cache_control: str
        ) -> Deferred[None]:
            bodies.append(b"".join(data))
            return put(path, data, content_type, cache_control)

        self.patch(self.storage, "put", watched)
        return bodies

    def test_newest_only(self) -> None:
        """A playlist is written at once or a second after its last write, the newest one."""
        bodies = self.bodies()
        for number in range(5):
            self.put(str(number), b"s%d" % number)
            self.playlist("p", str(number), body=b"%d" % number)
            self.clock.advance(0.125)
        self.assertEqual(bodies, [b"s0", b"0", b"s1", b"s2", b"s3", b"s4"])
        self.assertEqual(self.uploads.files_waiting, 1)
        self.clock.advance(0.375)
        self.assertEqual(bodies[6:], [b"4"])
        self.idle()
        self.clock.advance(0.5)
        self.playlist("p", "4", body=b"5")
        self.playlist("q", "4", body=b"q")
        self.assertEqual(bodies[7:], [b"q"])
        self.clock.advance(0.5)
        self.assertEqual(bodies[8:], [b"5"])
        self.clock.advance(1)
        self.playlist("p", "4", body=b"6")
        self.assertEqual(bodies[9:], [b"6"])

    def test_never_back(self) -> None:
        """One that was held back is not written after a newer one."""
        bodies = self.bodies()
        self.playlist("p", "0", body=b"1")
        self.playlist("p", "0", body=b"2")
        # The second is over for the clock, but its timer has not been called yet.
        self.clock.rightNow += 1.0
        self.playlist("p", "0", body=b"3")
        self.clock.advance(5)
        self.assertEqual(bodies, [b"1", b"3"])
        self.idle()

    def test_newer_one_waits_for_its_segment(self) -> None:
        """One that was held back is written in time, unless a newer one can be by then."""
        bodies = self.bodies()
        self.playlist("p", "0", body=b"1")
        self.playlist("p", "0", body=b"2")
        self.clock.advance(0.5)
        self.storage.is_slow = True
        self.put("s", b"s")
        self.put("t", b"t")
        self.playlist("p", "t", body=b"3")
        self.clock.advance(0.5)
        self.assertEqual(bodies, [b"1", b"s"])
        self.storage.finish()
        self.assertEqual(bodies, [b"1", b"s", b"2", b"t"])
        self.put("u", b"u")
        self.playlist("p", "u", body=b"4")
        self.clock.advance(1)
        self.storage.finish()
        self.assertEqual(bodies, [b"1", b"s", b"2", b"t", b"u", b"4"])
        self.idle()

    def test_clock_set_back(self) -> None:
        """A clock that is set back delays a playlist by no more than the interval."""
        bodies = self.bodies()
        self.playlist("p", "0", body=b"1")
        self.clock.rightNow -= 3600
        self.playlist("p", "0", body=b"2")
        self.assertEqual(bodies, [b"1"])
        self.clock.advance(1)
        self.assertEqual(bodies, [b"1", b"2"])
        self.idle()

    def test_flush(self) -> None:
        """At the end nothing is held back, neither what is already nor what would be."""
        bodies = self.bodies()
        for path in ("p", "q"):
            self.playlist(path, "0", body=b"1")
            self.playlist(path, "0", body=b"2")
        self.assertEqual(bodies, [b"1", b"1"])
        self.successResultOf(self.queue.flush())
        self.assertEqual(bodies, [b"1", b"1", b"2", b"2"])
        self.storage.is_slow = True
        self.put("s", b"s")
        self.playlist("p", "s", body=b"3")
        flushed = self.queue.flush()
        self.storage.finish()
        self.successResultOf(flushed)
        self.assertEqual(bodies[4:], [b"s", b"3"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.idle()

    def test_given_up(self) -> None:
        """One that names a file that was given up is not written, then or later."""
        bodies = self.bodies()
        self.playlist("p", "0", body=b"1")
        self.playlist("p", "0", body=b"2")
        self.storage.is_slow = True
        self.put("a", bytes(400))
        self.put("b", bytes(400))
        self.put("c", bytes(400))
        self.playlist("p", "b", "c", body=b"3")
        self.storage.is_slow = False
        self.storage.finish()
        self.clock.advance(5)
        self.assertEqual(bodies, [b"1", bytes(400), bytes(400), b"2"])
        self.idle()


class UploadsTests(CommitCase):
    """Several streams on one storage."""

    def setUp(self) -> None:
        """Make two more queues."""
        super().setUp()
        self.second, self.third = CommitQueue(self.uploads), CommitQueue(self.uploads)

    def add(self, queue: CommitQueue, path: str, size: int = 100) -> None:
        """Put a segment."""
        queue.put(path, Representation(bytes(size), ""), is_expendable=True)

    def test_sums(self) -> None:
        """What waits is known for the storage as a whole."""
        self.storage.is_slow = True
        self.add(self.queue, "a/1", 100)
        self.clock.advance(3)
        self.add(self.second, "b/1", 10)
        self.add(self.second, "b/2", 10)
        self.second.delete("b/0")
        self.clock.advance(2)
        self.assertEqual((self.uploads.bytes_waiting, self.uploads.files_waiting), (120, 3))
        self.assertEqual(self.uploads.oldest_age(self.clock.seconds()), 5)
        self.storage.finish()
        self.idle()
        self.assertEqual((self.uploads.files_stored, self.uploads.lag.count), (3, 3))
        self.assertEqual(self.uploads.lag.sum, 9)

    def test_bound(self) -> None:
        """Past the bound those lose files that have most, so that late ones have a share."""
        self.outage()
        for number in range(20):
            self.add(self.queue, f"a/{number}", 100)
            self.assertLessEqual(self.uploads.bytes_waiting, 1000)
        for number in range(20):
            self.add(self.second, f"b/{number}", 100)
            self.assertLessEqual(self.uploads.bytes_waiting, 1000)
        self.assertEqual((self.queue.bytes_waiting, self.second.bytes_waiting), (500, 500))
        self.assertEqual(self.uploads.files_lost, 30)
        self.uploads.max_bytes = 600
        self.add(self.third, "c/0", 100)
        self.assertEqual(self.uploads.bytes_waiting, 600)
        self.assertEqual(self.third.bytes_waiting, 100)

    def test_one_outage(self) -> None:
        """An outage is logged once for all streams, and its end with how long it took."""
        self.outage()
        with capturedLogs() as events:
            for number, queue in enumerate((self.queue, self.second, self.third)):
                self.add(queue, f"{number}/1")
                self.clock.advance(0.25)
            self.assertEqual(self.uploads.failing_since, 1_800_000_000)
            self.assertEqual(self.uploads.error, "disk full")
            self.outage(clear=0.375)
            # the third has written again, the others have not tried yet
            self.assertEqual(self.uploads.files_stored, 1)
            self.assertEqual(self.uploads.error, "disk full")
            self.clock.advance(0.625)
        self.assertEqual(len(events), 2)
        self.assertEqual((events[1]["seconds"], events[1]["lost"]), (1.75, 0))
        self.assertEqual((self.uploads.error, self.uploads.failing_since), (None, None))
        self.idle()

    def test_lost_files_are_logged_once(self) -> None:
        """An outage with losses says so when they begin and how many they were at its end."""
        for _ in range(2):
            self.outage()
            with capturedLogs() as events:
                for number in range(20):
                    self.add(self.queue, str(number), 100)
                self.outage(clear=15)
            self.assertEqual(len(events), 3)
            self.assertEqual(events[2]["lost"], 10)
            for number in range(20):
                self.queue.delete(str(number))

    def test_stream_that_ends_in_an_outage(self) -> None:
        """A queue that is done with does not keep the outage open for ever."""
        self.outage()
        self.add(self.queue, "a")
        self.add(self.second, "b")
        flushed = self.queue.flush()
        self.clock.advance(0)
        self.successResultOf(flushed)
        self.assertEqual(self.uploads.error, "disk full")
        flushed = self.second.flush()
        self.clock.advance(0)
        self.successResultOf(flushed)
        self.assertEqual((self.uploads.error, self.uploads.failing_since), (None, None))
        self.assertEqual(self.uploads.files_lost, 2)
        self.idle()


class ClaimTests(CommitCase):
    """Two lives of a stream write one multivariant playlist, each through its own queue."""

    def setUp(self) -> None:
        """Make the queue of the next life."""
        super().setUp()
        self.next_life = CommitQueue(self.uploads)

    def claim(self) -> None:
        """Put it in the next life."""
        self.next_life.put("p", Representation(b"new", "x"), ["new"])

    def test_waiting(self) -> None:
        """What waits in the old life is never written, whichever tries again first."""
        for paths in ((), ("1",)):
            self.outage()
            for path in paths:
                self.put(path)
            self.playlist("p", "0", body=b"old")
            self.clock.advance(40)
            self.claim()
            self.outage(clear=15)
            self.clock.advance(15)
            self.assertEqual(self.storage.body("p"), b"new")
            self.assertEqual(self.storage.puts, ["p"] if not paths else ["p", "1"])
            self.idle()
            self.setUp()

    def test_under_way(self) -> None:
        """A write of the old life that is under way is answered before the new one begins."""
        for answer in (None, OSError("503")):
            self.storage.is_slow = True
            self.playlist("p", "0", body=b"old")
            self.claim()
            flushed = self.next_life.flush()
            [(old, _, _)] = self.storage._waiting
            self.assertNoResult(flushed)
            self.storage.is_slow = False
            if answer is None:
                self.storage.finish()
            else:
                old.errback(answer)
            self.successResultOf(flushed)
            self.assertEqual(self.storage.body("p"), b"new")
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.idle()
            self.setUp()


class OrderTests(SynchronousTestCase):
    @given(
        st.lists(
            st.sampled_from(
                ("cut", "cut", "leave", "work", "fail", "hang", "finish", "tick", "minute")
            ),
            max_size=60,
        ),
        st.integers(300, 3000),
    )
    @settings(max_examples=150, deadline=None)
    def test_whatever_storage_does(self, steps: list[str], max_bytes: int) -> None:
        """No playlist precedes what it names or a newer one; in the end all is as it should be."""
        clock = Clock()
        clock.advance(1_800_000_000)
        storage = PlainStorage(clock)
        uploads = Uploads(storage, clock, max_bytes, lambda: 0.0)
        queue = CommitQueue(uploads)
        written = [-1]
        put = storage.put

        def watched(
            path: str, data: Sequence[bytes], content_type: str, cache_control: str
        ) -> Deferred[None]:
            if path == "p":
                newest = int(b"".join(data))
                self.assertGreaterEqual(newest, written[-1])
                written.append(newest)
                for number in range(max(0, newest - 2), newest + 1):
                    self.assertIn(str(number), storage.puts)
            return put(path, data, content_type, cache_control)

        self.patch(storage, "put", watched)

        def cut(number: int) -> None:
            queue.put(str(number), Representation(bytes(100), ""), is_expendable=True)
            names = [str(each) for each in range(max(0, number - 2), number + 1)]
            queue.put("p", Representation(b"%d" % number, ""), names)
            if number >= 6:
                queue.delete(str(number - 6))

        count = 0
        for step in steps:
            if step == "cut":
                cut(count)
                count += 1
            elif step == "leave":
                queue.hold(str(count - 3))
            elif step == "finish":
                storage.finish()
            elif step in ("tick", "minute"):
                clock.advance(0.5 if step == "tick" else 60)
            else:
                storage.error = OSError("disk full") if step == "fail" else None
                storage.is_slow = step == "hang"
            self.assertLessEqual(uploads.bytes_waiting, max_bytes + 200)
            self.assertEqual(uploads.bytes_waiting, queue.bytes_waiting)
            puts = list(queue._puts())
            held = sum(put.file.size for put in puts if not put.is_shared)
            self.assertEqual(uploads.bytes_held, held)
        storage.error, storage.is_slow = None, False
        # what hung is given up, and tried again
        clock.advance(60)
        clock.advance(15)
        newest = count + 2
        for number in range(count, newest + 1):
            cut(number)
            clock.advance(1)
        self.assertEqual(storage.body("p"), b"%d" % newest)
        self.assertLessEqual(set(range(count, newest + 1)), self.numbers(storage))
        # What a store writes after it was given up may come after its delete: the life takes it.
        on_time = self.numbers(storage) - {int(path) for path in storage.late if path != "p"}
        self.assertGreaterEqual(min(on_time), newest - 6)
        self.assertEqual((uploads.bytes_waiting, uploads.files_waiting), (0, 0))
        self.assertIsNone(uploads.failing_since)
        self.assertLessEqual(len(queue._lost), 6)
        self.successResultOf(queue.flush())
        self.assertEqual(clock.getDelayedCalls(), [])

    def numbers(self, storage: PlainStorage) -> set[int]:
        """The segments that are stored."""
        return {int(path) for path in storage.paths if path != "p"}
