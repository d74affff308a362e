"""Tests of rapidrtmp.outputs.read_cache."""

from unittest import mock

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.interfaces import NotFound
from rapidrtmp.outputs.read_cache import ReadCache
from rapidrtmp.storage.memory import MemoryStorage


class ReadCacheTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a cache of two files at once."""
        self.storage = MemoryStorage(Clock())
        for name in "abc":
            self.storage.put(name, (name.encode() * 10,), "", "")
        self.cache = ReadCache(self.storage, 20)

    def read(self, *names: str) -> list[str]:
        """Read files; return the names of those that storage was asked for."""
        with mock.patch.object(self.storage, "get", wraps=self.storage.get) as get:
            for name in names:
                body = self.successResultOf(self.cache.get(name))
                self.assertEqual(body, name.encode() * 10)
        return [call.args[0] for call in get.call_args_list]

    def test_bound(self) -> None:
        """The files that were asked for last are remembered, up to the bound."""
        self.assertEqual(self.read("a", "b", "a", "c", "a", "b"), ["a", "b", "c", "b"])
        self.assertEqual(self.cache.bytes, 20)

    def test_larger_than_the_bound(self) -> None:
        """A file above the bound is read, and not remembered."""
        self.storage.put("d", (b"d" * 21,), "", "")
        self.assertEqual(len(self.successResultOf(self.cache.get("d"))), 21)
        self.assertEqual(self.cache.bytes, 0)

    def test_forget(self) -> None:
        """What is deleted is not remembered, not even when it was being read."""
        self.read("a")
        self.cache.forget("a")
        self.assertEqual((self.read("a"), self.cache.bytes), (["a"], 10))
        reading: Deferred[bytes] = Deferred()
        with mock.patch.object(self.storage, "get", return_value=reading):
            answer = self.cache.get("b")
        self.cache.forget("b")
        reading.callback(b"old")
        self.assertEqual(self.successResultOf(answer), b"old")
        self.assertEqual(self.read("b"), ["b"])

    def test_who_leaves(self) -> None:
        """One who leaves takes nothing from those who wait for the same file."""
        reading: Deferred[bytes] = Deferred()
        with mock.patch.object(self.storage, "get", return_value=reading):
            one, other = self.cache.get("a"), self.cache.get("a")
        one.cancel()
        self.failureResultOf(one, CancelledError)
        self.assertNoResult(other)
        reading.callback(b"media")
        self.assertEqual(self.successResultOf(other), b"media")

    def test_failure(self) -> None:
        """All who wait learn of a failure, and the next one tries again."""
        reading: Deferred[bytes] = Deferred()
        with mock.patch.object(self.storage, "get", return_value=reading):
            answers = [self.cache.get("a") for _ in range(3)]
        reading.errback(OSError("no route"))
        for answer in answers:
            self.failureResultOf(answer, OSError)
        with mock.patch.object(self.storage, "get", return_value=fail(NotFound("a"))):
            self.failureResultOf(self.cache.get("a"), NotFound)
        self.assertEqual(self.read("a"), ["a"])
