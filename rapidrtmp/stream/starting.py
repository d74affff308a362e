"""Viewers that wait for a stream that is about to begin."""

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from rapidrtmp.interfaces import NotReady


class Starting:
    """Lets them all in at once when what they wait for is there, or each go in its time."""

    def __init__(self, clock: IReactorTime) -> None:
        """Make one without viewers; the clock times their patience."""
        self._clock = clock
        self._waiting: set[Deferred[None]] = set()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def wait(self, seconds: float, most: int, late: str = "") -> Deferred[None]:
        """Wait for what comes first.

        Args:
            seconds: to wait at most.
            most: viewers that may wait at once.
            late: what is said when time is over; '' for the usual words.

        Returns:
            Fires when it is there. Fails with NotReady when time is over, or nothing will
            come.

        Raises:
            NotReady: too many wait already.
        """
        if len(self._waiting) >= most:
            raise NotReady("too many viewers are waiting for this stream to start")

        def time_out(_: object, timeout: float) -> None:
            raise NotReady(late or f"the stream did not begin in {timeout:g} s")

        def forget(result: Failure | None) -> Failure | None:
            self._waiting.discard(waiting)
            return result

        waiting: Deferred[None] = Deferred()
        self._waiting.add(waiting)
        waiting.addTimeout(seconds, self._clock, onTimeoutCancel=time_out)
        return waiting.addBoth(forget)

    def release(self) -> None:
        """Let all in."""
        for waiting in list(self._waiting):
            waiting.callback(None)

    def refuse(self, reason: str) -> None:
        """Send all away."""
        # each by an exception of its own: one that is raised again keeps every traceback
        for waiting in list(self._waiting):
            waiting.errback(NotReady(reason))
