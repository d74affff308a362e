"""Keeps clients from filling the log."""


class LogBudget:
    """So many log lines in a period, and no more."""

    PERIOD = 10.0
    """Seconds."""

    def __init__(self, lines: int = 50) -> None:
        """Make a budget.

        Args:
            lines: in each `PERIOD`.
        """
        self.lines = lines
        self._start = 0.0
        self._spent = 0

    def spend(self, now: float) -> int:
        """Ask for a line.

        Args:
            now: seconds.

        Returns:
            The lines that are left, this one included: at 1, say that it is the last one;
            at 0, be silent.
        """
        if not 0.0 <= now - self._start < self.PERIOD:
            self._start = now
            self._spent = 0
        left = self.lines - self._spent
        if left:
            self._spent += 1
        return left
