"""Tests of the GOP cache and of the queue of a slow receiver."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.media.gop import MAX_FRAMES, GOPCache, SendQueue


@dataclass(frozen=True)
class Coded:
    """A frame."""

    ms: int
    is_start: bool = False
    size: int = 10


def gop(start: int, count: int, *, size: int = 10) -> list[Coded]:
    """Make a GOP of frames every 100 ms."""
    return [Coded(start + 100 * n, n == 0, size) for n in range(count)]


def keep(cache: GOPCache[Coded], frame: Coded) -> None:
    """Add a frame to a cache."""
    cache.add(frame, frame.size, frame.is_start)


class GOPCacheTests(SynchronousTestCase):
    def test_size(self) -> None:
        """Its bytes are told: those of the frames that are held."""
        cache: GOPCache[Coded] = GOPCache(100)
        self.assertEqual(cache.size, 0)
        for frame in gop(0, 11):
            cache.add(frame, frame.size, frame.is_start)
            self.assertEqual(cache.size, sum(each.size for each in cache.frames))
        for frame in gop(2000, 3):
            cache.add(frame, frame.size, frame.is_start)
        self.assertEqual(cache.size, 30)
        cache.clear()
        self.assertEqual(cache.size, 0)

    def test_newest_gop(self) -> None:
        """It holds what came since the newest start, and nothing before the first."""
        cache: GOPCache[Coded] = GOPCache(1000)
        keep(cache, Coded(0))
        self.assertEqual(list(cache.frames), [])
        for frame in gop(0, 5):
            keep(cache, frame)
        former = cache.frames
        newer = gop(500, 3)
        for frame in newer:
            keep(cache, frame)
        self.assertEqual(list(cache.frames), newer)
        self.assertEqual(list(former), gop(0, 5))

    def test_bounds(self) -> None:
        """A GOP over the bounds is forgotten whole, the next one is held again."""
        cases = {"bytes": (GOPCache[Coded](100), 11), "frames": (GOPCache[Coded](10**9), 0)}
        cases["frames"] = cases["frames"][0], MAX_FRAMES + 1
        for name, (cache, count) in cases.items():
            with self.subTest(name):
                for frame in gop(0, count - 1):
                    keep(cache, frame)
                self.assertEqual(len(cache.frames), count - 1)
                keep(cache, Coded(0))
                self.assertEqual(list(cache.frames), [])
                keep(cache, Coded(1))
                self.assertEqual(list(cache.frames), [])
                keep(cache, Coded(2, True))
                self.assertEqual(list(cache.frames), [Coded(2, True)])

    def test_off(self) -> None:
        """Nothing is held where nothing may be."""
        cache: GOPCache[Coded] = GOPCache(0)
        keep(cache, Coded(0, True))
        self.assertEqual(list(cache.frames), [])


class SendQueueTests(SynchronousTestCase):
    def take(self, queue: SendQueue[Coded]) -> list[Coded]:
        """Take all that waits."""
        return [queue.pop() for _ in range(len(queue))]

    def test_order(self) -> None:
        """Frames come out as they went in, and are counted meanwhile."""
        queue: SendQueue[Coded] = SendQueue(1000, 10)
        frames = gop(0, 5)
        for frame in frames:
            self.assertTrue(queue.push(frame))
        self.assertEqual(queue.size, 50)
        self.assertEqual(self.take(queue), frames)
        self.assertEqual((queue.size, queue.dropped), (0, 0))
        self.assertRaises(IndexError, queue.pop)

    def test_drop_to_newest_start(self) -> None:
        """Past half of a bound, what is before the newest start is dropped."""
        for name, size, max_bytes, max_seconds in (("bytes", 10, 300, 10), ("time", 1, 10**6, 3)):
            with self.subTest(name):
                queue: SendQueue[Coded] = SendQueue(max_bytes, max_seconds)
                frames = gop(0, 10, size=size) + gop(1000, 7, size=size)
                for frame in frames:
                    self.assertTrue(queue.push(frame))
                self.assertEqual(queue.dropped, 10)
                self.assertFalse(queue.lost_start)
                self.assertEqual(queue.size, 7 * size)
                self.assertEqual(self.take(queue), gop(1000, 7, size=size))

    def test_drop_without_start(self) -> None:
        """One GOP that is too long is dropped whole, and the owner learns it."""
        queue: SendQueue[Coded] = SendQueue(300, 10)
        for frame in gop(0, 16):
            queue.push(frame)
        self.assertTrue(queue.lost_start)
        self.assertEqual((len(queue), queue.size, queue.dropped), (0, 0, 16))

    def test_cut(self) -> None:
        """Who reads nothing while a whole bound goes by is over, whatever was dropped."""
        for name, size, max_bytes, max_seconds in (("bytes", 10, 300, 100), ("time", 1, 999, 3)):
            with self.subTest(name):
                queue: SendQueue[Coded] = SendQueue(max_bytes, max_seconds)
                stays = [queue.push(frame) for frame in gop(0, 40, size=size)]
                self.assertEqual(stays.index(False), {"bytes": 30, "time": 31}[name])

    def test_slow_reader_is_not_cut(self) -> None:
        """Who takes something now and then stays, though frames are dropped."""
        queue: SendQueue[Coded] = SendQueue(300, 3)
        for number in range(50):
            for frame in gop(1000 * number, 10):
                self.assertTrue(queue.push(frame))
            queue.pop()
        self.assertGreater(queue.dropped, 100)
        self.assertLessEqual(queue.size, 150)

    def test_beginning(self) -> None:
        """What a newcomer is given first is not held against it."""
        queue: SendQueue[Coded] = SendQueue(100, 3)
        first = gop(0, 90)
        queue.begin(first)
        more = [Coded(9000 + 100 * n) for n in range(4)]
        for frame in more:
            self.assertTrue(queue.push(frame))
        self.assertEqual((queue.size, queue.dropped), (40, 0))
        self.assertEqual(self.take(queue), first + more)
        self.assertEqual(queue.size, 0)

    def test_newest_start_is_too_much(self) -> None:
        """What begins with the newest start goes as well where that is still too much."""
        queue: SendQueue[Coded] = SendQueue(200, 100)
        for ms, size in enumerate((1, 40, 40, 21)):
            queue.push(Coded(ms, ms == 1, size))
        self.assertEqual((len(queue), queue.size, queue.dropped), (0, 0, 4))
        self.assertTrue(queue.lost_start)

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(["push", "start", "pop"]), st.integers(1, 40))))
    def test_model(self, steps: list[tuple[str, int]]) -> None:
        """It never holds more than half the bound, and each drop goes on at a start."""
        queue: SendQueue[Coded] = SendQueue(200, 5)
        is_lost = False
        taken = pushed = 0
        last: Coded | None = None
        for ms, (step, size) in enumerate(steps):
            if step == "pop":
                if queue:
                    dropped_before = pushed - taken - len(queue) - queue.dropped
                    self.assertEqual(dropped_before, 0)
                    frame = queue.pop()
                    taken += 1
                    self.assertTrue(last is None or frame.ms > last.ms)
                    last = frame
                continue
            if is_lost and step == "push":
                continue
            if not queue.push(Coded(100 * ms, step == "start", size)):
                return
            is_lost = queue.lost_start
            queue.lost_start = False
            pushed += 1
            self.assertLessEqual(queue.size, 100)
