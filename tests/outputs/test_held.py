"""Tests of rapidrtmp.outputs.held. Tests of the HLS output judge what it is for."""

from traceback import walk_tb

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.interfaces import NotReady
from rapidrtmp.outputs.held import HeldRequests


class ClosedTests(SynchronousTestCase):
    def test_close(self) -> None:
        """Who waits is refused, and who comes later, each by an exception of its own."""
        held = HeldRequests(Clock())
        waiting = [held.hold(lambda: None, 1.0, 2) for _ in range(2)]
        held.close("over")
        errors = [self.failureResultOf(each, NotReady).value for each in waiting]
        for _ in range(3):
            errors.append(self.assertRaises(NotReady, held.hold, lambda: None, 1.0, 2))
        self.assertEqual([str(error) for error in errors], ["over"] * 5)
        self.assertEqual(len({id(error) for error in errors}), 5)
        depths = [len(list(walk_tb(error.__traceback__))) for error in errors[2:]]
        self.assertEqual(len(set(depths)), 1, "none is raised again")
