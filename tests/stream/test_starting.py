"""Players that wait for a stream to begin: let in, sent away, and never too many or too long."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.interfaces import NotReady
from rapidrtmp.stream.starting import Starting


class StartingTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make one without players."""
        self.clock = Clock()
        self.starting = Starting(self.clock)

    def test_release(self) -> None:
        """All are let in at once, and nothing stays behind."""
        waiting = [self.starting.wait(10.0, 3) for _ in range(3)]
        self.assertEqual(len(self.starting), 3)
        self.starting.release()
        for each in waiting:
            self.assertIsNone(self.successResultOf(each))
        self.assertEqual((len(self.starting), self.clock.getDelayedCalls()), (0, []))

    def test_late(self) -> None:
        """Each goes in its own time."""
        first = self.starting.wait(10.0, 3)
        self.clock.advance(5)
        second = self.starting.wait(10.0, 3)
        self.clock.advance(5)
        failure = self.failureResultOf(first, NotReady)
        self.assertEqual(failure.getErrorMessage(), "the stream did not begin in 10 s")
        self.assertNoResult(second)
        self.starting.refuse("it is over")
        failure = self.failureResultOf(second, NotReady)
        self.assertEqual(failure.getErrorMessage(), "it is over")
        self.assertEqual((len(self.starting), self.clock.getDelayedCalls()), (0, []))

    def test_many(self) -> None:
        """More than there is room for do not wait; one that leaves makes room."""
        waiting = self.starting.wait(10.0, 1)
        with self.assertRaises(NotReady):
            self.starting.wait(10.0, 1)
        waiting.cancel()
        self.failureResultOf(waiting)
        self.assertNoResult(self.starting.wait(10.0, 1))
