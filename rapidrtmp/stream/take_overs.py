"""How often a key may go from one live encoder to another."""

from collections import deque


class TakeOvers:
    """Stops two live encoders from kicking each other for ever (one key)."""

    LIVELY = 1.0
    """Seconds since its last frame within which an evicted publisher counts as alive."""
    COUNT = 3
    PERIOD = 30.0
    """At most `COUNT` evictions of a live publisher in so many seconds ..."""
    PENALTY = 60.0
    """... then none for so many."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=self.COUNT)
        self._refused_until = 0.0

    def allow(self, now: float, silent: float) -> bool:
        """Ask for a take-over from a publisher that has been silent for some seconds."""
        if silent > self.LIVELY:
            return True
        if now < self._refused_until:
            return False
        if len(self._times) == self.COUNT and now - self._times[0] < self.PERIOD:
            self._refused_until = now + self.PENALTY
            return False
        self._times.append(now)
        return True
