"""Tests of rapidrtmp.outputs.blocked."""

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.interfaces import NotReady
from rapidrtmp.outputs.blocked import AT_ONCE, BlockedRequests


class BlockedTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make one without requests."""
        self.clock = Clock()
        self.blocked = BlockedRequests(self.clock)

    def test_release(self) -> None:
        """Who waits for a part that is there goes on; the others wait."""
        waiting = {p: self.blocked.wait(p, 9) for p in ((4, 0), (4, 1), (4, 1 << 30), (5, 0))}
        self.assertEqual(len(self.blocked), 4)
        self.blocked.release((4, 1))
        self.successResultOf(waiting[4, 0])
        self.assertNoResult(waiting[4, 1])
        self.blocked.release((5, 0))
        self.successResultOf(waiting[4, 1])
        self.successResultOf(waiting[4, 1 << 30])
        self.assertNoResult(waiting[5, 0])
        self.blocked.release_all()
        self.successResultOf(waiting[5, 0])
        self.assertEqual((len(self.blocked), self.clock.getDelayedCalls()), (0, []))

    def test_time_is_over(self) -> None:
        """All who wait for the same part are told with the first one of them."""
        first = self.blocked.wait((4, 0), 9)
        self.clock.advance(5)
        second = self.blocked.wait((4, 0), 9)
        self.clock.advance(3.9)
        self.assertNoResult(first)
        self.clock.advance(0.2)
        for waiting in (first, second):
            self.failureResultOf(waiting, NotReady)
        later = self.blocked.wait((4, 0), 9)
        self.clock.advance(8.9)
        self.assertNoResult(later)
        self.blocked.close("going down")
        self.assertEqual(str(self.failureResultOf(later, NotReady).value), "going down")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_who_leaves(self) -> None:
        """A viewer that goes away is forgotten, and wakes nobody."""
        leaving, staying = self.blocked.wait((4, 0), 9), self.blocked.wait((4, 0), 9)
        leaving.cancel()
        self.failureResultOf(leaving, CancelledError)
        self.assertEqual(len(self.blocked), 1)
        self.assertNoResult(staying)
        self.blocked.release((4, 1))
        self.successResultOf(staying)

    def test_many(self) -> None:
        """Thousands are answered in slices: the reactor goes on meanwhile."""
        several = [self.blocked.wait((4, 0), 9) for _ in range(3 * AT_ONCE + 1)]
        self.blocked.release((4, 1))
        self.assertEqual(sum(waiting.called for waiting in several), AT_ONCE)
        [call] = self.clock.getDelayedCalls()
        self.assertEqual(call.getTime(), self.clock.seconds())
        self.clock.advance(0)
        self.assertEqual(sum(waiting.called for waiting in several), len(several))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_who_leaves_between_slices(self) -> None:
        """Who leaves before its slice comes is not answered."""
        several = [self.blocked.wait((4, 0), 9) for _ in range(AT_ONCE + 2)]
        self.blocked.release((4, 1))
        several[-1].cancel()
        self.failureResultOf(several[-1], CancelledError)
        self.clock.advance(0)
        self.successResultOf(several[-2])
