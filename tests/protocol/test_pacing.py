"""Tests of the pacing of publishers."""

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.protocol.pacing import DRIFT, JUMP, Pacing


class PacingTests(SynchronousTestCase):
    def test_real_time(self) -> None:
        """Media that comes as it is made is never paused."""
        pacing = Pacing(10.0)
        for second in range(200):
            self.assertEqual(pacing.wait(5000.0 + second, 100.0 + second), 0.0)

    def test_ahead(self) -> None:
        """The pause is as long as media is too far ahead of the first media's clock."""
        pacing = Pacing(10.0)
        self.assertEqual(pacing.wait(0.0, 100.0), 0.0)
        self.assertEqual(pacing.wait(10.0, 100.0), 0.0)
        self.assertApproximates(pacing.wait(13.0, 101.0), 2.0 - DRIFT, 1e-9)
        self.assertEqual(pacing.wait(13.0, 103.0), 0.0)

    def test_fast_file(self) -> None:
        """A file at fifty times real time advances with the clock, that far ahead."""
        pacing = Pacing(10.0)
        now = 0.0
        for step in range(1000):
            now += 0.02
            now += pacing.wait(float(step), now)
        self.assertApproximates(999 - now, 10.0 + DRIFT * now, 1.1)

    def test_drift(self) -> None:
        """A publisher whose clock is a little fast is not held up, after days neither."""
        pacing = Pacing(10.0)
        for step in range(50_000):
            wall = 10.0 * step
            self.assertEqual(pacing.wait(wall * (1 + DRIFT / 2), wall), 0.0)

    def test_late(self) -> None:
        """Media that was held up may catch up without a pause."""
        pacing = Pacing(2.0)
        pacing.wait(0.0, 0.0)
        self.assertEqual(pacing.wait(0.0, 15.0), 0.0)
        self.assertEqual(pacing.wait(15.0, 15.0), 0.0)

    def test_jumps(self) -> None:
        """Where a clock jumps, counting starts anew: no pause for hours, no end of pacing."""
        for media, now in ((7200.0, 101.0), (-7200.0, 101.0), (1.0, 7200.0), (1.0, 50.0)):
            with self.subTest(media=media, now=now):
                pacing = Pacing(5.0)
                pacing.wait(0.0, 100.0)
                self.assertEqual(pacing.wait(media, now), 0.0)
                self.assertEqual(pacing.wait(media + 7.0, now), 2.0)
        pacing = Pacing(5.0)
        pacing.wait(0.0, 0.0)
        self.assertLess(pacing.wait(JUMP - 0.1, 0.0), JUMP)

    def test_off(self) -> None:
        """0 is no limit."""
        pacing = Pacing(0.0)
        pacing.wait(0.0, 0.0)
        self.assertEqual(pacing.wait(15.0, 0.0), 0.0)
