"""What all streams' ways into one storage have in common: a bound, an outage, counters."""

from collections.abc import Callable
from random import random as random_number
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from rapidrtmp.histogram import Histogram
from rapidrtmp.interfaces import IStorage

LAG_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds, from a disk to the end of a long outage."""


class Waiting(Protocol):
    """A queue of files, as `Uploads` sees it."""

    bytes_waiting: int
    """Of files that are not stored yet."""

    @property
    def waiting_since(self) -> float | None:
        """Unix time at which the oldest file that is not stored was put; None without one."""

    def give_up_oldest(self) -> bool:
        """Give up the oldest file that may be given up; tell whether there was one."""

    def withdraw(self, path: str, answered: Callable[[], None]) -> bool:
        """Leave a playlist to another queue; tell whether a write is under way."""


class Uploads:
    """Bounds what waits for a storage over all streams, and tells how the storage does.

    An outage begins with the first try that fails and is over when every queue that met it
    has written again: one line in the log for each, however many streams there are.
    """

    _log = Logger()

    def __init__(
        self,
        storage: IStorage,
        clock: IReactorTime,
        max_bytes: int,
        random: Callable[[], float] = random_number,
    ) -> None:
        """Watch a storage that nobody uses yet.

        Args:
            storage: where the files go.
            clock: tells the time, and times the queues' pauses.
            max_bytes: of files that may wait.
            random: numbers from 0 to 1, so that the queues do not try again all at once.
        """
        self.storage = storage
        self.clock = clock
        self.max_bytes = max_bytes
        """Bound on `bytes_waiting`; may be changed at any time."""
        self.random = random
        self.bytes_waiting = 0
        self.bytes_held = 0
        """Those of them that are in memory for no other reason; the queues count them."""
        self.files_waiting = 0
        """Files that were put and are not stored yet."""
        self.files_stored = 0
        self.failures = 0
        """Tries that failed, of writing and of deleting."""
        self.retries = 0
        """Tries after one that failed."""
        self.files_lost = 0
        """Files that were given up because the store failed for too long."""
        self.lag = Histogram(LAG_BOUNDS)
        """Seconds from put to stored of each file."""
        self.error: str | None = None
        """Why the newest try in an outage failed; None when there is no outage."""
        self.failing_since: float | None = None
        """Unix time at which the outage began; None when there is none."""
        self._lost_before = 0
        self._cannot_delete = False
        self._queues: set[Waiting] = set()
        self._failing: set[Waiting] = set()

    def oldest_age(self, now: float) -> float:
        """Return for how many seconds the oldest file has waited; 0 when none waits.

        Args:
            now: unix time.
        """
        since = (queue.waiting_since for queue in self._queues)
        return max((now - moment for moment in since if moment is not None), default=0.0)

    # What the queues report.

    def added(self, queue: Waiting, size: int) -> None:
        """A file of `size` bytes begins to wait."""
        self._queues.add(queue)
        self.files_waiting += 1
        self.bytes_waiting += size

    def claim(self, queue: Waiting, path: str, answered: Callable[[], None]) -> int:
        """Let a queue alone write a playlist from now on: a stream's next life has it newer.

        Args:
            queue: gets it.
            path: of the playlist.
            answered: called at the end of each write that is under way in another queue.

        Returns:
            How many those are.
        """
        others = [other for other in self._queues if other is not queue]
        return sum(other.withdraw(path, answered) for other in others)

    def removed(self, size: int) -> None:
        """A file waits no more."""
        self.files_waiting -= 1
        self.bytes_waiting -= size

    def stored(self, queue: Waiting, path: str, since: float) -> None:
        """A file that was put at the unix time `since` is stored."""
        self.files_stored += 1
        self.lag.observe(self.clock.seconds() - since)
        self._failing.discard(queue)
        if self.failing_since is not None and not self._failing:
            self._log.info(
                "storage works again after {seconds:.1f} s: {path}; files lost: {lost}",
                seconds=self.clock.seconds() - self.failing_since,
                path=path,
                lost=self.files_lost - self._lost_before,
            )
            self.error = self.failing_since = None

    def failed(self, queue: Waiting, path: str, error: str) -> None:
        """A file could not be written; it will be tried again, or given up."""
        self.failures += 1
        self._failing.add(queue)
        self.error = error
        if self.failing_since is None:
            self.failing_since = self.clock.seconds()
            self._lost_before = self.files_lost
            self._log.error(
                "storage fails at {path}: {error}; live streams go on from memory",
                path=path,
                error=error,
            )

    def lost(self, path: str) -> None:
        """A file was given up."""
        if self.files_lost == self._lost_before:
            self._log.error("files are given up for storage, first {path}", path=path)
        self.files_lost += 1

    def deleted(self) -> None:
        """A file was deleted."""
        self._cannot_delete = False

    def delete_failed(self, path: str, error: str) -> None:
        """A file could not be deleted. Nothing waits for it: that is no outage."""
        self.failures += 1
        if not self._cannot_delete:
            self._cannot_delete = True
            self._log.error("storage does not delete {path}: {error}", path=path, error=error)

    def idle(self, queue: Waiting) -> None:
        """Nothing of a queue waits any more. If it was the last to fail, the outage is unknown."""
        self._queues.discard(queue)
        self._failing.discard(queue)
        if not self._failing:
            self.error = self.failing_since = None

    def make_room(self) -> None:
        """Keep the bound. Those give files up that have most: a late stream has its share."""
        if self.bytes_waiting <= self.max_bytes:
            return
        for queue in sorted(self._queues, key=lambda each: each.bytes_waiting, reverse=True):
            while self.bytes_waiting > self.max_bytes:
                if not queue.give_up_oldest():
                    break
