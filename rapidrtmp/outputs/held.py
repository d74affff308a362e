"""Requests that wait for the first files of a stream that is about to be live."""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from rapidrtmp.interfaces import NotFound, NotReady, Representation
from rapidrtmp.stream.starting import Starting


class HeldRequests:
    """Answers them all at once when the files are there, or each when its time is over."""

    def __init__(self, clock: IReactorTime) -> None:
        """Make one without requests; the clock times their patience."""
        self._starting = Starting(clock)
        self._closed: str | None = None

    def __len__(self) -> int:
        """How many wait."""
        return len(self._starting)

    def hold(
        self,
        find: Callable[[], Representation | Deferred[Representation] | None],
        seconds: float,
        most: int,
    ) -> Deferred[Representation]:
        """Wait for a file.

        Args:
            find: asked when the requests are released; None when there is no such file. May
                raise NotFound itself, to say more.
            seconds: to wait at most.
            most: requests that may wait at once.

        Returns:
            Fires with the file. Fails with NotFound, or with NotReady when time is over.

        Raises:
            NotReady: too many wait already, or nothing will come any more.
        """
        if self._closed is not None:
            raise NotReady(self._closed)

        def answer(_: None) -> Representation | Deferred[Representation]:
            found = find()
            if found is None:
                raise NotFound("the stream has ended")
            return found

        waiting = self._starting.wait(seconds, most, "the stream has no segment yet")
        return waiting.addCallback(answer)

    def release(self) -> None:
        """Answer all."""
        self._starting.release()

    def close(self, reason: str) -> None:
        """Refuse all, and those to come."""
        self._closed = reason
        self._starting.refuse(reason)
