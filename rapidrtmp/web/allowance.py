"""Limits what a client may send that asks for nothing."""

from collections.abc import Callable


class Allowance:
    """So much at once, and so much a second for ever; more for what the client is sent."""

    __slots__ = ("_at", "_left", "_most", "_rate", "_seconds")

    def __init__(self, seconds: Callable[[], float], most: float, rate: float) -> None:
        """Make a full one.

        Args:
            seconds: gives the time in seconds; it may be set back.
            most: that may come at once.
            rate: that comes back each second.
        """
        self._seconds = seconds
        self._most = most
        self._rate = rate
        self._left = most
        self._at = seconds()

    def take(self, amount: float = 1.0) -> bool:
        """Take something off; tell whether it was there."""
        if self._left < amount:
            now = self._seconds()
            self.earn(max(0.0, now - self._at) * self._rate)
            self._at = now
        if self._left < amount:
            return False
        self._left -= amount
        return True

    def earn(self, amount: float) -> None:
        """Put something back."""
        self._left = min(self._left + amount, self._most)
