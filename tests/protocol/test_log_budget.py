"""Tests of the limit of log lines."""

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.protocol.log_budget import LogBudget


class LogBudgetTests(SynchronousTestCase):
    def test_budget(self) -> None:
        """So many lines in a period, the last of which is known to be the last."""
        budget = LogBudget(9)
        for start in (1000.0, 1000.0 + LogBudget.PERIOD, 5.0):
            given = [budget.spend(start + i * 0.01) for i in range(12)]
            self.assertEqual(given, [*range(9, 0, -1), 0, 0, 0], start)
