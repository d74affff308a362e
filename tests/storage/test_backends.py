"""Tests of rapidrtmp.storage.backends."""

from pathlib import Path

from twisted.internet.defer import Deferred, fail
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.storage.backends import BACKENDS, open_storage, probe
from rapidrtmp.storage.local import LocalStorage
from rapidrtmp.storage.memory import MemoryStorage
from tests.storage.threads import ThreadResults


class FakeReactor(MemoryReactorClock, ThreadResults):
    """What a real reactor provides, as far as it is used here."""

    def __init__(self) -> None:
        MemoryReactorClock.__init__(self)
        ThreadResults.__init__(self)


class OpenTests(SynchronousTestCase):
    def test_table(self) -> None:
        """Each backend is made under its own name, without touching the disk."""
        directory = Path(self.mktemp())
        for name, kind in {"local": LocalStorage, "memory": MemoryStorage}.items():
            storage = open_storage(name, directory, FakeReactor())
            self.assertIsInstance(storage, kind)
            self.assertEqual(storage.name, name)
            self.assertIn(name, BACKENDS)
        self.assertFalse(directory.exists())

    def test_not_yet(self) -> None:
        """The backend of a later version is refused with a clear line."""
        error = self.assertRaises(ValueError, open_storage, "gcs", Path(), FakeReactor())
        self.assertEqual(str(error), "STORAGE_TYPE=gcs is not available in this version")

    def test_unknown(self) -> None:
        """An unknown name is refused with those that are allowed, never taken for 'local'."""
        for name in ("", "Local", "s3"):
            error = self.assertRaises(ValueError, open_storage, name, Path(), FakeReactor())
            self.assertEqual(str(error), f"STORAGE_TYPE={name}: must be one of local, memory")


class ProbeTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a storage in memory."""
        self.memory = MemoryStorage(MemoryReactorClock())

    def test_writable(self) -> None:
        """A storage that works passes, and nothing is left in it."""
        self.assertIsNone(self.successResultOf(probe(self.memory)))
        self.assertEqual(self.successResultOf(self.memory.list()), [])

    def test_put_is_tried(self) -> None:
        """A storage that cannot be written fails with its own error."""
        self.memory.close()
        self.failureResultOf(probe(self.memory), OSError)

    def test_delete_is_tried(self) -> None:
        """A storage in which nothing can be deleted fails too."""

        def delete(path: str) -> Deferred[None]:
            return fail(PermissionError(path))

        self.patch(self.memory, "delete", delete)
        self.failureResultOf(probe(self.memory), PermissionError)

    def test_local(self) -> None:
        """A directory is made when missing; one that cannot be made is an OSError."""
        results = FakeReactor()
        file = Path(self.mktemp())
        file.write_bytes(b"")
        for root, expected in [(Path(self.mktemp()), type(None)), (file / "below", OSError)]:
            storage = LocalStorage(root, results)
            result = results.result_of(probe(storage))
            self.assertIsInstance(getattr(result, "value", result), expected)
            results.result_of(storage.close())
