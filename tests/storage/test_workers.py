"""Tests of rapidrtmp.storage.workers."""

import errno
import threading
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.storage.workers import Workers
from tests.storage.threads import DEADLINE, ThreadResults

NAME = "test-workers"


class WorkersTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make two threads for which three calls may wait, and a gate that holds them up."""
        self.results = ThreadResults()
        self.workers = Workers(self.results, NAME, 2, 3)
        self.gate = threading.Event()
        self.addCleanup(self.end)

    def end(self) -> None:
        """Let everything go on."""
        self.gate.set()
        self.results.running = True
        self.assertIsNone(self.results.result_of(self.workers.close()))
        self.assertEqual(self.threads(), [])

    def threads(self) -> list[threading.Thread]:
        """Our threads that are alive."""
        return [t for t in threading.enumerate() if t.name.startswith(f"PoolThread-{NAME}")]

    def blocked(self, value: object = None) -> Deferred[Any]:
        """Run what ends when the gate is opened."""

        def work() -> object:
            self.assertTrue(self.gate.wait(DEADLINE))
            return value

        return self.workers.run(work)

    def test_result(self) -> None:
        """The result, the arguments and the exception go through, from another thread."""

        def work(value: int, *, more: int) -> tuple[int, bool]:
            return 10 // value + more, threading.current_thread() in self.threads()

        done = self.workers.run(work, 2, more=1)
        self.assertNoResult(done)
        self.assertEqual(self.results.result_of(done), (6, True))
        failed = self.results.result_of(self.workers.run(work, 0, more=1))
        self.assertIsInstance(failed.value, ZeroDivisionError)

    def test_threads(self) -> None:
        """Threads are daemons, few, and started when first needed."""
        self.assertEqual(self.threads(), [])
        calls = [self.blocked(i) for i in range(5)]
        self.assertEqual(len(self.threads()), 2)
        self.assertTrue(all(thread.daemon for thread in self.threads()))
        self.gate.set()
        self.assertEqual([self.results.result_of(call) for call in calls], [0, 1, 2, 3, 4])

    def test_bound(self) -> None:
        """More calls than may wait fail at once; when some are done there is room again."""
        calls = [self.blocked() for _ in range(5)]
        self.assertEqual(self.workers.running, 5)
        error: Any = self.failureResultOf(self.blocked(), OSError).value
        self.assertEqual(error.errno, errno.EAGAIN)
        self.assertEqual(error.strerror, "too many calls wait for the storage")
        for call in calls:
            self.assertNoResult(call)
        self.gate.set()
        for call in calls:
            self.results.result_of(call)
        self.assertEqual(self.workers.running, 0)
        self.assertEqual(self.results.result_of(self.blocked(7)), 7)

    def test_cancelled_counts(self) -> None:
        """A call that was cancelled has its thread still, and counts until its end."""
        for _ in range(5):
            call = self.blocked()
            call.cancel()
            self.failureResultOf(call, CancelledError)
        self.assertEqual(self.workers.running, 5)
        self.failureResultOf(self.blocked(), OSError)

    def test_cancelled_before_its_turn(self) -> None:
        """Work that was given up before a thread took it is never begun: it may be out of date."""
        calls = [self.blocked() for _ in range(2)]
        begun: list[str] = []
        late = self.workers.run(begun.append, "late")
        wanted = self.workers.run(begun.append, "wanted")
        late.cancel()
        self.failureResultOf(late, CancelledError)
        self.gate.set()
        for call in (*calls, wanted):
            self.results.result_of(call)
        self.assertEqual(begun, ["wanted"])

    def test_before_the_reactor_runs(self) -> None:
        """While the process starts, work is done at once, without a thread and a bound."""
        self.results.running = False
        self.assertEqual(self.successResultOf(self.workers.run(divmod, 7, 2)), (3, 1))
        self.failureResultOf(self.workers.run(divmod, 7, 0), ZeroDivisionError)
        self.assertEqual(self.threads(), [])

    def test_close(self) -> None:
        """close() waits for what is under way, also when called twice; later calls fail."""
        call = self.blocked(1)
        closes = [self.workers.close(), self.workers.close()]
        error: Any = self.failureResultOf(self.workers.run(divmod, 7, 2), OSError).value
        self.assertEqual(error.errno, errno.ESHUTDOWN)
        for close in closes:
            self.assertNoResult(close)
        self.gate.set()
        self.assertEqual(self.results.result_of(call), 1)
        for close in closes:
            self.assertIsNone(self.results.result_of(close))
        self.assertEqual(self.threads(), [])

    def test_close_unused(self) -> None:
        """Workers that never worked are closed at once."""
        self.assertIsNone(self.successResultOf(self.workers.close()))
