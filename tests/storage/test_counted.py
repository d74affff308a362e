"""Tests of rapidrtmp.storage.counted."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from rapidrtmp.interfaces import NO_CACHE, IStorage, NotFound, StorageEntry
from rapidrtmp.storage.counted import OPERATIONS, CountedStorage
from rapidrtmp.storage.memory import MemoryStorage
from tests.storage import contract


class ContractTests(contract.StorageContract, SynchronousTestCase):
    """It does all that the storage below it does."""

    scheme = "memory"

    def open_storage(self) -> CountedStorage:
        self.clock = Clock()
        return CountedStorage(MemoryStorage(self.clock), self.clock)

    def result_of(self, deferred: Deferred[Any]) -> Any:
        results: list[Any] = []
        deferred.addBoth(results.append)
        return results[0]

    def now(self) -> float:
        return float(self.clock.seconds())

    def test_name(self) -> None:
        """It is called what the storage below it is called."""
        self.assertEqual(self.storage.name, "memory")


@implementer(IStorage)
class SlowStorage:
    """Answers each call when the test says so."""

    name = "slow"

    def __init__(self) -> None:
        self.calls: list[Deferred[Any]] = []

    def _call(self) -> Deferred[Any]:
        self.calls.append(Deferred())
        return self.calls[-1]

    def put(
        self, path: str, data: Sequence[bytes], content_type: str, cache_control: str
    ) -> Deferred[None]:
        return self._call()

    def get(self, path: str, start: int = 0, end: int | None = None) -> Deferred[bytes]:
        return self._call()

    def delete(self, path: str) -> Deferred[None]:
        return self._call()

    def exists(self, path: str) -> Deferred[bool]:
        return self._call()

    def list(self, prefix: str = "") -> Deferred[list[StorageEntry]]:
        return self._call()

    def url_for(self, path: str) -> Deferred[str]:
        return self._call()

    def close(self) -> Deferred[None]:
        return succeed(None)


class CountedTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Count the calls to a storage that answers when told."""
        self.clock = Clock()
        self.slow = SlowStorage()
        self.storage = CountedStorage(self.slow, self.clock)

    def put(self, path: str, *data: bytes) -> Deferred[None]:
        """Write a file."""
        return self.storage.put(path, data, "video/mp4", NO_CACHE)

    def answer(self, result: Any = None, call: int = -1) -> None:
        """Answer a call, the newest one when it is not said which."""
        self.slow.calls[call].callback(result)

    def calls(self) -> dict[str, Deferred[Any]]:
        """Make one call of each operation."""
        return {
            "put": self.put("a", b"1"),
            "get": self.storage.get("a"),
            "delete": self.storage.delete("a"),
            "list": self.storage.list(),
        }

    def test_durations(self) -> None:
        """Each call is timed under its operation from the call to the answer, failed or not."""
        for error in (None, OSError("broken")):
            for operation in OPERATIONS:
                done = self.calls()
                self.clock.advance(0.2)
                for name, deferred in zip(OPERATIONS, self.slow.calls, strict=True):
                    if name == operation:
                        self.clock.advance(0.5)
                    deferred.callback([] if error is None else fail(error))
                for deferred in done.values():
                    deferred.addErrback(lambda failure: failure.trap(OSError))
                self.slow.calls.clear()
        for histogram in self.storage.durations.values():
            self.assertEqual(histogram.count, 8)
        # the first operation is answered later each time, the last one only at its own turn
        self.assertAlmostEqual(self.storage.durations["put"].sum, 2 * (4 * 0.2 + 1 * 0.5))
        self.assertAlmostEqual(self.storage.durations["list"].sum, 2 * (4 * 0.2 + 4 * 0.5))

    def test_answered_at_once(self) -> None:
        """The time that a storage takes before it returns counts, too."""
        clock = self.clock

        class Busy(MemoryStorage):
            def get(self, path: str, start: int = 0, end: int | None = None) -> Deferred[bytes]:
                clock.advance(3.0)
                return super().get(path, start, end)

        storage = CountedStorage(Busy(clock), clock)
        self.failureResultOf(storage.get("a"), NotFound)
        self.assertEqual(storage.durations["get"].sum, 3.0)

    def test_errors(self) -> None:
        """Failed and cancelled calls are counted by operation, and handed on; NotFound is not."""
        for error, counted in [(OSError("no"), 1), (NotFound("a"), 1), (ValueError("a"), 2)]:
            for deferred in self.calls().values():
                self.slow.calls.pop(0).errback(error)
                self.assertIs(self.failureResultOf(deferred, type(error)).value, error)
            self.assertEqual(self.storage.errors, dict.fromkeys(OPERATIONS, counted))
        for deferred in self.calls().values():
            deferred.addErrback(lambda _: None).cancel()
        # a viewer who leaves is no error of the storage
        self.assertEqual(self.storage.errors, dict.fromkeys(OPERATIONS, 3) | {"get": 2})

    def test_sizes(self) -> None:
        """The ledger follows what was really written and deleted."""
        self.put("k/1.m4s", b"12", b"345")
        self.assertEqual(self.storage.sizes, {})
        self.answer()
        self.put("k/a.m3u8", b"1")
        self.answer()
        self.put("k/2.m4s", b"1").addErrback(lambda _: None)
        self.answer(fail(OSError()))
        self.assertEqual(self.storage.sizes, {"k/1.m4s": 5, "k/a.m3u8": 1})
        self.assertEqual((self.storage.bytes_stored, self.storage.segments_stored), (6, 1))
        self.put("k/1.m4s", b"shorter"[:3])
        self.answer()
        self.assertEqual(self.storage.bytes_stored, 4)
        self.storage.delete("k/1.m4s").addErrback(lambda _: None)
        self.answer(fail(OSError()))
        self.assertEqual(self.storage.segments_stored, 1)
        for _ in range(2):
            self.storage.delete("k/1.m4s")
            self.answer()
        self.assertEqual((self.storage.bytes_stored, self.storage.segments_stored), (1, 0))

    def test_list_resets(self) -> None:
        """A listing of everything sets the ledger right; of a part, or a failed one, does not."""
        self.put("gone", b"1")
        self.answer()
        self.storage.list("k")
        self.answer([StorageEntry("k/1.m4s", 7, 0.0)])
        self.storage.list().addErrback(lambda _: None)
        self.answer(fail(OSError()))
        self.assertEqual(self.storage.sizes, {"gone": 1})
        listed = self.storage.list()
        entries = [StorageEntry("k/1.m4s", 7, 0.0), StorageEntry("b", 2, 0.0)]
        self.answer(entries)
        self.assertEqual(self.successResultOf(listed), entries)
        self.assertEqual(self.storage.sizes, {"k/1.m4s": 7, "b": 2})

    def test_changes_during_list(self) -> None:
        """What was written or deleted while a listing was under way wins over it."""
        self.storage.list()
        self.storage.list()
        self.put("new", b"12")
        self.answer()
        self.storage.delete("old")
        self.answer()
        for call in (0, 1):
            self.answer([StorageEntry("old", 9, 0.0), StorageEntry("kept", 1, 0.0)], call)
            self.assertEqual(self.storage.sizes, {"new": 2, "kept": 1})
        self.storage.list()
        self.answer([StorageEntry("old", 9, 0.0)])
        self.assertEqual(self.storage.sizes, {"old": 9})

    def test_ledger_is_the_storage(self) -> None:
        """After any calls the ledger is what a listing gives."""

        @settings(max_examples=50, deadline=None)
        @given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc"), st.binary(max_size=3))))
        def check(steps: list[tuple[bool, str, bytes]]) -> None:
            storage = CountedStorage(MemoryStorage(self.clock), self.clock)
            for is_put, path, body in steps:
                if is_put:
                    storage.put(path, (body,), "", "")
                else:
                    storage.delete(path)
            sizes = dict(storage.sizes)
            entries = self.successResultOf(storage.list())
            self.assertEqual(sizes, {entry.path: entry.size for entry in entries})

        check()
