"""What is known of a disk."""

from pathlib import Path

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.observability.disk import INTERVAL, PATIENCE, DiskSpace, Usage, usage

MIB = 2**20


class DiskSpaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.looks: list[Deferred[Usage]] = []
        self.disk = DiskSpace(Path("/srv"), self.clock, self.look, 256 * MIB)
        self.disk.start()

    def look(self, _: object, path: Path) -> Deferred[Usage]:
        """Stand in for a thread."""
        self.assertEqual(path, Path("/srv"))
        self.looks.append(Deferred())
        return self.looks[-1]

    def test_enough(self) -> None:
        """A disk with room is well, and looked at again and again."""
        self.assertEqual((self.disk.check(), self.disk.usage), ("ok", None))
        self.looks[0].callback(Usage(1000 * MIB, 256 * MIB))
        self.assertEqual((self.disk.check(), self.disk.usage), ("ok", (1000 * MIB, 256 * MIB)))
        self.clock.advance(INTERVAL)
        self.assertEqual(len(self.looks), 2)

    def test_low(self) -> None:
        """Too little room is named; the limit can be changed or taken away."""
        self.looks[0].callback(Usage(1000 * MIB, 255 * MIB))
        self.assertEqual(self.disk.check(), "255 MiB are free, less than MIN_FREE_DISK (256 MiB)")
        self.disk.min_free = 0
        self.assertEqual(self.disk.check(), "ok")

    def test_unreadable(self) -> None:
        """A disk that cannot be read is named, until it can be again."""
        self.looks[0].errback(FileNotFoundError(2, "No such file or directory", "/srv"))
        self.assertEqual(self.disk.check(), "cannot be read: No such file or directory")
        self.assertIsNone(self.disk.usage)
        self.clock.advance(INTERVAL)
        self.looks[1].callback(Usage(1000 * MIB, 500 * MIB))
        self.assertEqual(self.disk.check(), "ok")

    def test_dead(self) -> None:
        """A disk that never answers keeps one thread, and nobody who asks."""
        for _ in range(4):
            self.clock.advance(INTERVAL)
        self.assertEqual(len(self.looks), 1)
        self.assertEqual(self.disk.check(), f"no answer for {PATIENCE + INTERVAL:.0f} s")
        self.looks[0].callback(Usage(1000 * MIB, 500 * MIB))
        self.assertEqual(self.disk.check(), "ok")

    def test_stop(self) -> None:
        """Stopping leaves no timer behind."""
        self.disk.stop()
        self.disk.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_real(self) -> None:
        """The real file system is read, and a missing directory is an error."""
        found = usage(Path(__file__).parent)
        self.assertTrue(0 < found.free < found.total)
        self.failureResultOf(maybeDeferred(usage, Path("/absent/directory")), OSError)
