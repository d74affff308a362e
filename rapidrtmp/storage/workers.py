"""Threads of a storage's own, for calls that wait for a disk or a network."""

import errno
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from twisted.internet.defer import CancelledError, Deferred, execute, fail
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool

from rapidrtmp.daemon_threads import DaemonThreadPool

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Workers:
    """A few threads that do blocking work, and a bounded number of calls that wait for them.

    They are started when first needed, and not the reactor's: a slow disk or store delays
    neither the reactor nor the users of the reactor's pool (DNS).
    """

    def __init__(
        self, reactor: IReactorFromThreads, name: str, threads: int, max_waiting: int
    ) -> None:
        """Make the pool; no thread is started.

        Args:
            reactor: where the Deferreds fire.
            name: begins the names of the threads, for debuggers and logs.
            threads: calls that are worked on at once.
            max_waiting: calls that may wait for a thread besides; more fail at once.
        """
        self._reactor = reactor
        self._pool = DaemonThreadPool(0, threads, name)
        self._pool.start()
        self._max_running = threads + max_waiting
        self._closed = False
        self._closing: list[Deferred[None]] = []
        self.running = 0
        """Calls that are worked on or wait for a thread."""

    def run(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_T]:
        """Call `work` in a thread, and fire with its result or its exception.

        Before the reactor runs it is called at once instead, and the Deferred has fired:
        while the process starts nobody is kept waiting, and nothing would fire a Deferred.

        Cancelling the Deferred keeps work from being begun that still waits for a thread;
        work under way goes on.

        Fails with OSError when too many calls wait, or after `close`.
        """
        if self._closed:
            return fail(OSError(errno.ESHUTDOWN, "the storage is closed"))
        if not getattr(self._reactor, "running", True):
            return execute(work, *args, **kwargs)
        if self.running >= self._max_running:
            return fail(OSError(errno.EAGAIN, "too many calls wait for the storage"))
        self.running += 1
        # Two Deferreds: a caller who cancels his does not make us think the work were done.
        result: Deferred[_T] = Deferred()

        def begin() -> _T:
            if result.called:
                raise CancelledError
            return work(*args, **kwargs)

        done = deferToThreadPool(self._reactor, self._pool, begin)
        done.chainDeferred(result)
        done.addBoth(self._finished)
        return result

    def close(self) -> Deferred[None]:
        """Finish the calls under way, then end the threads. Later calls fail with OSError."""
        self._closed = True
        closed: Deferred[None] = Deferred()
        self._closing.append(closed)
        self._stop_when_idle()
        return closed

    def _finished(self, result: object) -> None:
        self.running -= 1
        self._stop_when_idle()

    def _stop_when_idle(self) -> None:
        if self._closed and not self.running:
            if self._pool.started:
                # Joins the threads: they have nothing left to do.
                self._pool.stop()
            closing, self._closing = self._closing, []
            for closed in closing:
                closed.callback(None)
