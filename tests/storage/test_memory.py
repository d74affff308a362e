"""Tests of rapidrtmp.storage.memory."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.storage.memory import MemoryStorage
from tests.storage import contract


class MemoryStorageTests(contract.StorageContract, SynchronousTestCase):
    scheme = "memory"

    def open_storage(self) -> MemoryStorage:
        self.clock = Clock()
        return MemoryStorage(self.clock)

    def result_of(self, deferred: Deferred[Any]) -> Any:
        results: list[Any] = []
        deferred.addBoth(results.append)
        return results[0]

    def now(self) -> float:
        return float(self.clock.seconds())

    def test_modified(self) -> None:
        """The time of modification is the clock's, at each put."""
        self.put("a", b"1")
        self.clock.advance(12.5)
        self.put("b", b"1")
        self.assertEqual([e.modified for e in self.wait(self.storage.list())], [0.0, 12.5])

    def test_name(self) -> None:
        """It is called what the settings call it."""
        self.assertEqual(self.storage.name, "memory")
