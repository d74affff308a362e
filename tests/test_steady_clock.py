"""The clock that is never set, beside a machine's clock that is."""

import time
from unittest import mock

from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp import steady_clock
from rapidrtmp.steady_clock import SteadyClock, wall_clock

HOUR = 3600.0


class SteadyClockTests(SynchronousTestCase):
    def setUp(self) -> None:
        """A machine that has run for 5 s."""
        self.now = 1_000_000.0
        self.running = 5.0
        self.clock = SteadyClock(lambda: self.now, lambda: self.running)

    def test_goes_on(self) -> None:
        """It begins with the machine's time; then time passes, whatever that is set to."""
        self.assertEqual(self.clock.seconds(), 1_000_000.0)
        for step in (HOUR, -2 * HOUR):
            self.now += step
            self.running += 10.0
            self.clock.look()
        self.assertEqual(self.clock.seconds(), 1_000_020.0)

    def test_told(self) -> None:
        """A step is told once; one that NTP makes good by itself is not."""
        with capturedLogs() as events:
            for step in (0.4, 0.0, HOUR, 0.0, -HOUR, 0.0):
                self.now += step
                self.clock.look()
        words = [formatEvent(event) for event in events]
        self.assertEqual(len(words), 2, words)
        self.assertIn("+3600 s", words[0])
        self.assertIn("+0 s", words[1])

    def test_running(self) -> None:
        """The real one runs."""
        clock = SteadyClock(time.time)
        before = clock.seconds()
        while clock.seconds() == before:
            pass
        self.assertLess(abs(clock.seconds() - time.time()), 0.5)

    def test_reactor(self) -> None:
        """A reactor's timers do not come sooner or later when the machine's clock is set."""
        reactor = SelectReactor()
        self.addCleanup(reactor.removeAll)
        with mock.patch.object(time, "time", lambda: self.now):
            steady_clock.install(reactor)
            due: list[str] = []
            reactor.callLater(60.0, due.append, "later")
            reactor.callLater(0.0, due.append, "now")
            self.now += HOUR
            reactor.runUntilCurrent()
            self.assertEqual(due, ["now"])
            self.now -= 2 * HOUR
            reactor.callLater(0.0, due.append, "now")
            reactor.runUntilCurrent()
            self.assertEqual(due, ["now", "now"])
            self.assertLess(reactor.timeout() or 0.0, 60.1)
            self.assertEqual(wall_clock(reactor).seconds(), self.now)

    def test_wall_clock(self) -> None:
        """A reactor without a steady clock has one clock for everything."""
        reactor = Clock()
        self.assertIs(wall_clock(reactor), reactor)
