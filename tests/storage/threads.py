"""A stand-in for the reactor that takes results from real threads, without running one."""

from collections.abc import Callable
from queue import Queue
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from zope.interface import implementer

DEADLINE = 60.0
"""Seconds without a result from any thread after which a test fails."""


@implementer(IReactorFromThreads)
class ThreadResults:
    """Queues what threads want to have called, and calls it while a test waits."""

    def __init__(self) -> None:
        self.running = True
        """As a reactor says it: whether there is a loop that would make the calls."""
        self._calls: Queue[Callable[[], object]] = Queue()

    def callFromThread(  # noqa: N802 (the interface's name)
        self, callable: Callable[..., Any], *args: object, **kw: object
    ) -> None:
        """See IReactorFromThreads."""
        self._calls.put(lambda: callable(*args, **kw))

    def result_of(self, deferred: Deferred[Any]) -> Any:
        """Wait for a Deferred's result or Failure, calling what the threads ask for."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        while not results:
            self._calls.get(timeout=DEADLINE)()
        return results[0]
