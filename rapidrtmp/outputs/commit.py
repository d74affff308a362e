"""Puts a stream's files into storage in order, behind the live stream's back."""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from rapidrtmp.interfaces import IStorage, Representation


@dataclass(slots=True, eq=False)
class _Put:
    path: str
    file: Representation
    names: Collection[str]
    """Paths that it refers to: it is written only if all of them were."""
    is_expendable: bool


@dataclass(slots=True, eq=False)
class _Delete:
    path: str


class CommitQueue:
    """One stream's way into storage: strictly in order, so that a playlist never precedes
    what it names.

    A store that fails is tried again with growing pauses while the queue fills. Past its
    bound the oldest segments are given up, and with them the playlists that name them.
    """

    FIRST_PAUSE = 0.5
    LONGEST_PAUSE = 15.0
    """Seconds between two tries."""
    LAST_TRIES = 2
    """Failures in a row after which files are given up once the queue is to end."""
    _log = Logger()

    def __init__(self, storage: IStorage, clock: IReactorTime, max_bytes: int) -> None:
        """Make an empty queue.

        Args:
            storage: where the files go.
            clock: times the pauses.
            max_bytes: of files that wait.
        """
        self._storage = storage
        self._clock = clock
        self._max_bytes = max_bytes
        self._queue: deque[_Put | _Delete] = deque()
        self._current: _Put | _Delete | None = None
        self._retry: IDelayedCall | None = None
        self._starting = False
        self._lost: set[str] = set()
        self._pause = self.FIRST_PAUSE
        self._tries = 0
        self._flushing: Deferred[None] | None = None
        self.bytes_waiting = 0
        self.files_lost = 0
        """Files that were given up because the store failed for too long."""
        self.error: str | None = None
        """Why the newest try failed; None when it did not."""
        self.failures = 0
        """Tries that failed."""

    def put(
        self,
        path: str,
        file: Representation,
        names: Collection[str] = (),
        *,
        is_expendable: bool = False,
    ) -> None:
        """Add a file. A playlist of the same path that still waits is replaced by it.

        Args:
            path: in storage.
            file: its bytes and type.
            names: paths of the files that it refers to, if it is a playlist.
            is_expendable: whether it may be given up when too much waits.
        """
        if names:
            self._drop_waiting(path)
        self._queue.append(_Put(path, file, names, is_expendable))
        self.bytes_waiting += len(file.body)
        self._next()
        if self.bytes_waiting > self._max_bytes:
            self._give_up_oldest()

    def delete(self, path: str) -> None:
        """Remove a file, after what was added before."""
        if path in self._lost:
            self._lost.remove(path)
        elif not self._drop_waiting(path):
            self._queue.append(_Delete(path))
            self._next()

    def flush(self) -> Deferred[None]:
        """Fire when everything is stored, or given up after a few tries."""
        if self._current is None:
            return succeed(None)
        if self._flushing is None:
            self._flushing = Deferred()
            if self._retry is not None:
                self._retry.reset(0)
        flushed: Deferred[None] = Deferred()
        self._flushing.chainDeferred(flushed)
        return flushed

    def _next(self) -> None:
        """Start what is next. A store that answers at once is served in the loop."""
        if self._starting:
            return
        self._starting = True
        while self._current is None and self._queue:
            step = self._queue.popleft()
            if isinstance(step, _Put):
                self.bytes_waiting -= len(step.file.body)
                if not self._lost.isdisjoint(step.names):
                    continue
            self._current = step
            self._try()
        self._starting = False
        if self._current is None and self._flushing is not None:
            flushing, self._flushing = self._flushing, None
            flushing.callback(None)

    def _try(self) -> None:
        step = self._current
        assert step is not None
        self._retry = None
        if isinstance(step, _Delete):
            done = self._storage.delete(step.path)
        else:
            file = step.file
            done = self._storage.put(step.path, (file.body,), file.content_type, file.cache_control)
        done.addCallbacks(self._done, self._failed)

    def _done(self, _: None) -> None:
        step = self._current
        assert step is not None
        if self.error is not None:
            self._log.info("storage works again: {path}", path=step.path)
        self.error = None
        self._pause = self.FIRST_PAUSE
        self._tries = 0
        self._current = None
        self._next()

    def _failed(self, failure: Failure) -> None:
        step = self._current
        assert step is not None
        self.failures += 1
        self._tries += 1
        self.error = failure.getErrorMessage()
        if self._tries == 1:
            self._log.error(
                "storage fails at {path}: {error}; the live stream goes on from memory",
                path=step.path,
                error=self.error,
            )
        if isinstance(step, _Delete) or (self._flushing and self._tries >= self.LAST_TRIES):
            self._give_up(step)
            self._current = None
            self._next()
            return
        pause = 0 if self._flushing else self._pause
        self._retry = self._clock.callLater(pause, self._try)
        self._pause = min(2 * self._pause, self.LONGEST_PAUSE)

    def _drop_waiting(self, path: str) -> bool:
        """Take a file that still waits off the queue; tell whether there was one."""
        for step in self._queue:
            if isinstance(step, _Put) and step.path == path:
                self._queue.remove(step)
                self.bytes_waiting -= len(step.file.body)
                return True
        return False

    def _give_up_oldest(self) -> None:
        for step in list(self._queue):
            if isinstance(step, _Put) and step.is_expendable:
                self._queue.remove(step)
                self.bytes_waiting -= len(step.file.body)
                self._give_up(step)
                if self.bytes_waiting <= self._max_bytes:
                    return

    def _give_up(self, step: _Put | _Delete) -> None:
        if isinstance(step, _Put):
            self.files_lost += 1
            self._lost.add(step.path)
