"""Counts the viewers of a stream who come by HTTP, where nobody says goodbye."""

from twisted.internet.interfaces import IReactorTime


class Viewers:
    """A viewer is an (address, user agent) that asked for a playlist not long ago."""

    def __init__(self, clock: IReactorTime, limit: int) -> None:
        """Make a count.

        Args:
            clock: tells the time.
            limit: how many are admitted at once.
        """
        self._clock = clock
        self._limit = limit
        self._seen: dict[tuple[str, str], float] = {}
        self.expiry = 6.0
        """Seconds after its last request that a viewer counts as gone: three target durations."""

    def admit(self, address: str, user_agent: str) -> bool:
        """Let a viewer in, or refuse it because the limit is reached."""
        viewer = (address, user_agent)
        if viewer not in self._seen and len(self._seen) >= self._limit:
            self._prune()
            if len(self._seen) >= self._limit:
                return False
        self._seen[viewer] = self._clock.seconds()
        return True

    def __len__(self) -> int:
        self._prune()
        return len(self._seen)

    def _prune(self) -> None:
        oldest = self._clock.seconds() - self.expiry
        for viewer in [viewer for viewer, seen in self._seen.items() if seen < oldest]:
            del self._seen[viewer]
