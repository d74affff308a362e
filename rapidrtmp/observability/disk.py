"""How much room a disk has, looked at now and then so that nobody waits for a dead one."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

INTERVAL = 10.0
"""Seconds between two looks."""

PATIENCE = 3 * INTERVAL
"""Seconds without news after which the disk counts as dead: a network file system that has lost
its server blocks every call for ever."""


class Usage(NamedTuple):
    """Room on a file system."""

    total: int
    """Bytes."""
    free: int
    """Bytes that this process may still write."""


def usage(path: Path) -> Usage:
    """Look at the file system of a path. May block.

    Raises:
        OSError: it cannot be read.
    """
    found = shutil.disk_usage(path)
    return Usage(found.total, found.free)


class DiskSpace:
    """The newest that is known of a disk. It waits in one thread at most, and never here."""

    def __init__(
        self,
        path: Path,
        clock: IReactorTime,
        in_thread: Callable[[Callable[[Path], Usage], Path], "Deferred[Usage]"],
        min_free: int = 0,
    ) -> None:
        """Make one that knows nothing yet.

        Args:
            path: any directory on the disk.
            clock: tells the time and calls later.
            in_thread: calls a function in a thread, as ``deferToThread`` does.
            min_free: bytes under which `check` complains (MIN_FREE_DISK); 0 is no limit.
                May be changed at any time.
        """
        self._path = path
        self._clock = clock
        self._in_thread = in_thread
        self.min_free = min_free
        self.usage: Usage | None = None
        """The newest; None before the first and after a failure."""
        self._error = ""
        self._looking_since: float | None = None
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def start(self) -> None:
        """Look now, and every `INTERVAL`."""
        self._loop.start(INTERVAL)

    def stop(self) -> None:
        """Look no more."""
        if self._loop.running:
            self._loop.stop()

    def check(self) -> str:
        """Return 'ok', or what is wrong with the disk in plain words: a check of ``/ready``."""
        since = self._looking_since
        if since is not None and self._clock.seconds() - since > PATIENCE:
            return f"no answer for {self._clock.seconds() - since:.0f} s"
        if self._error:
            return f"cannot be read: {self._error}"
        if self.usage is not None and self.usage.free < self.min_free:
            return (
                f"{self.usage.free // 2**20} MiB are free, less than MIN_FREE_DISK "
                f"({self.min_free // 2**20} MiB)"
            )
        return "ok"

    def _look(self) -> None:
        if self._looking_since is None:
            self._looking_since = self._clock.seconds()
            self._in_thread(usage, self._path).addCallbacks(self._seen, self._failed)

    def _seen(self, found: Usage) -> None:
        self._looking_since = None
        self._error = ""
        self.usage = found

    def _failed(self, failure: Failure) -> None:
        self._looking_since = None
        error = failure.value
        self._error = getattr(error, "strerror", None) or failure.getErrorMessage()
        self.usage = None
