"""A reactor that is late, and one that is stuck."""

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.observability.watchdog import EX_SOFTWARE, RECENT, TICK, ReactorLag, Watchdog

TIMEOUT = 4.0


class ReactorLagTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.late = 0.0
        self.lag = ReactorLag(self.clock, lambda: self.clock.seconds() + self.late)
        self.lag.start()

    def tick(self, times: int = 1, late: float = 0.0) -> None:
        """Let the reactor turn; each time it is late."""
        for _ in range(times):
            self.late += late
            self.clock.advance(TICK)

    def test_punctual(self) -> None:
        """A reactor that turns in time has no lag."""
        self.tick(8)
        self.assertEqual(self.lag.histogram.count, 8)
        self.assertEqual((self.lag.histogram.counts[0], self.lag.recent), (8, 0))

    def test_late(self) -> None:
        """Lag is what a turn comes too late; the longest of a minute is remembered."""
        self.tick()
        self.tick(late=0.5)
        self.tick(late=0.02)
        self.assertAlmostEqual(self.lag.histogram.sum, 0.52)
        self.assertAlmostEqual(self.lag.recent, 0.5)
        self.tick(RECENT - 1)
        self.assertAlmostEqual(self.lag.recent, 0.02)
        self.tick()
        self.assertAlmostEqual(self.lag.recent, 0)

    def test_stop(self) -> None:
        """Stopping is final, and harmless when repeated."""
        self.lag.stop()
        self.lag.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class WatchdogTests(SynchronousTestCase):
    """Time passes for the watchdog by `watch`, for the reactor by `turn`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.codes: list[int] = []
        self.calls: list[Callable[[], None]] = []
        self.watchdog = self.make(may_exit=True)

    def make(self, *, may_exit: bool) -> Watchdog:
        return Watchdog(
            self.calls.append,
            TIMEOUT,
            may_exit=may_exit,
            monotonic=self.clock.seconds,
            leave=self.codes.append,
            aside=lambda run: run(),
        )

    def watch(self, seconds: float, turn: Callable[[], object] = lambda: None) -> list[str]:
        """Let the watchdog look once a second; return the lines that it logs."""
        with capturedLogs() as events:
            for _ in range(int(seconds)):
                self.clock.advance(1)
                turn()
                self.watchdog.look()
        return [formatEvent(event) for event in events]

    def turn(self) -> None:
        """Have the reactor turn."""
        self.assertLessEqual(len(self.calls), 1)
        while self.calls:
            self.calls.pop()()

    def test_well(self) -> None:
        """A reactor that turns is not spoken of."""
        self.assertEqual(self.watch(20, self.turn), [])

    def test_stuck(self) -> None:
        """A stuck one is told of once, and its recovery with how long it took."""
        self.watch(5, self.turn)
        self.assertEqual(self.watch(TIMEOUT - 1), [])
        (line,) = self.watch(5)
        self.assertIn("stuck for 4.0 s in:", line)
        (line,) = self.watch(10, self.turn)
        self.assertEqual(line, "the reactor turns again after 9.0 s")
        (line,) = self.watch(TIMEOUT)
        self.assertIn("stuck", line)
        self.assertEqual(self.codes, [])

    def test_never_turned(self) -> None:
        """A reactor that never turns at all is stuck, too."""
        (line,) = self.watch(TIMEOUT)
        self.assertIn("stuck", line)

    def test_exit(self) -> None:
        """After three timeouts the process is ended, when that is wanted."""
        self.watch(3 * TIMEOUT - 1)
        self.assertEqual(self.codes, [])
        self.watch(1)
        self.assertEqual(self.codes, [EX_SOFTWARE])
        self.codes.clear()
        self.calls.clear()
        self.watchdog = self.make(may_exit=False)
        self.watch(10 * TIMEOUT)
        self.assertEqual(self.codes, [])

    def test_stopped_process(self) -> None:
        """A process that was stopped as a whole is not stuck, and not ended, when it goes on."""
        self.watch(5, self.turn)
        self.clock.advance(100 * TIMEOUT)
        with capturedLogs() as events:
            self.watchdog.look()
        self.assertEqual((events, self.codes), ([], []))
        self.assertEqual(len(self.watch(TIMEOUT)), 1)

    def test_stopped_while_stuck(self) -> None:
        """A reactor that was stuck before the stop has not recovered by it."""
        self.watch(TIMEOUT)
        self.clock.advance(100 * TIMEOUT)
        self.assertEqual(self.watch(3), [])
        (line,) = self.watch(1, self.turn)
        self.assertIn("turns again", line)
