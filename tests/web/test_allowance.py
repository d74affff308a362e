"""What a client may send that asks for nothing."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.web.allowance import Allowance


class AllowanceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.allowance = Allowance(self.clock.seconds, 10, 2.0)

    def test_at_once(self) -> None:
        """All of it may be taken at once, and no more; what is refused takes nothing."""
        self.assertTrue(self.allowance.take(7))
        self.assertFalse(self.allowance.take(4))
        self.assertTrue(self.allowance.take(3))
        self.assertFalse(self.allowance.take())

    def test_time(self) -> None:
        """It comes back with time, never to more than at first."""
        self.allowance.take(10)
        self.clock.advance(1.5)
        self.assertFalse(self.allowance.take(4))
        self.assertTrue(self.allowance.take(3))
        self.clock.advance(1000.0)
        self.assertFalse(self.allowance.take(11))
        self.assertTrue(self.allowance.take(10))

    def test_earned(self) -> None:
        """So it does with what is earned."""
        self.allowance.take(10)
        self.allowance.earn(3)
        self.assertFalse(self.allowance.take(4))
        self.assertTrue(self.allowance.take(3))
        self.allowance.earn(100)
        self.assertFalse(self.allowance.take(11))

    def test_clock_set_back(self) -> None:
        """A clock that is set back takes nothing away."""
        self.allowance.take(5)
        self.clock.rightNow -= 3600
        self.assertFalse(self.allowance.take(6))
        self.assertTrue(self.allowance.take(5))
        self.clock.advance(1.0)
        self.assertTrue(self.allowance.take(2))
