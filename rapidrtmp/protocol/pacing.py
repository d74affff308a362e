"""How long to stop reading from a publisher that sends faster than time passes."""

JUMP = 20.0
"""Seconds. A greater step from one read to the next is a jump of a clock, not media: less
than 64 KiB for it would be under 27 kbit/s, too little to fill any memory."""

DRIFT = 0.002
"""How much faster than ours a publisher's clock may run for ever. Without it the 50 parts per
million by which clocks differ would add up to ten seconds in two days, and the publisher be
held up from then on."""


class Pacing:
    """Compares a publisher's media time with the wall clock since its first media."""

    __slots__ = ("_anchor", "_max_ahead", "_media", "_wall")

    def __init__(self, max_ahead: float) -> None:
        """Make one for a publication.

        Args:
            max_ahead: seconds that media may run ahead; 0 is no limit.
        """
        self._max_ahead = max_ahead
        self._anchor: float | None = None  # media time minus wall time at the beginning
        self._media = 0.0
        self._wall = 0.0

    def wait(self, media: float, now: float) -> float:
        """Return the seconds to pause, 0 for none.

        Args:
            media: time of the newest media, in seconds.
            now: seconds by the wall clock.
        """
        if not self._max_ahead:
            return 0.0
        steady = -JUMP < media - self._media < JUMP and 0.0 <= now - self._wall < JUMP
        ahead = media - now
        if self._anchor is None or not steady:
            self._anchor = ahead
        elif ahead > self._anchor:
            self._anchor = min(ahead, self._anchor + DRIFT * (now - self._wall))
        self._media = media
        self._wall = now
        return max(0.0, ahead - self._anchor - self._max_ahead)
