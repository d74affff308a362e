"""Tests of rapidrtmp.storage.backends."""

import os
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred, fail
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.interfaces import IStorage
from rapidrtmp.storage import backends
from rapidrtmp.storage.backends import (
    BACKENDS,
    GROUP,
    BadSetting,
    StorageSettings,
    open_storage,
    probe,
)
from rapidrtmp.storage.gcs import GCSStorage
from rapidrtmp.storage.local import LocalStorage
from rapidrtmp.storage.memory import MemoryStorage
from tests.storage.threads import ThreadResults

HERE = Path()
GCS: dict[str, Any] = {"gcs_project_id": "project", "gcs_bucket_name": "bucket-1"}

OTHERS: list[tuple[StorageSettings, object]] = []
"""With what `open_other` was called."""


def open_other(settings: StorageSettings, reactor: Any) -> IStorage:
    """Open the storage of another package."""
    OTHERS.append((settings, reactor))
    return MemoryStorage(reactor)


class FakeReactor(MemoryReactorClock, ThreadResults):
    """What a real reactor provides, as far as it is used here."""

    def __init__(self) -> None:
        MemoryReactorClock.__init__(self)
        ThreadResults.__init__(self)


REACTOR = FakeReactor()


def opened(storage_type: str, directory: Path = HERE, **settings: Any) -> IStorage:
    """Open a storage."""
    return open_storage(storage_type, StorageSettings(directory=directory, **settings), REACTOR)


class OpenTests(SynchronousTestCase):
    def refused(self, storage_type: str, **settings: Any) -> BadSetting:
        """Give the error of settings that must be refused."""
        error: BadSetting = self.assertRaises(BadSetting, opened, storage_type, **settings)
        self.assertEqual(str(error), f"{error.name}={error.value}: {error.problem}")
        return error

    def add_package(self, *entries: tuple[str, str]) -> None:
        """Let another package be installed that has these entry points."""
        found = EntryPoints(EntryPoint(name, value, GROUP) for name, value in entries)
        self.patch(backends, "entry_points", found.select)

    def test_table(self) -> None:
        """Each backend is made under its own name, touching neither disk nor network."""
        directory = Path(self.mktemp())
        for name, kind in {
            "local": LocalStorage,
            "memory": MemoryStorage,
            "gcs": GCSStorage,
        }.items():
            storage = opened(name, directory, **GCS)
            self.assertIsInstance(storage, kind)
            self.assertEqual(storage.name, name)
            self.assertIn(name, BACKENDS)
        self.assertFalse(directory.exists())

    def test_unknown(self) -> None:
        """An unknown name is refused with those that are allowed, never taken for 'local'."""
        for name in ("", "Local", "s3"):
            error = self.refused(name)
            self.assertEqual(str(error), f"STORAGE_TYPE={name}: must be one of gcs, local, memory")

    def test_gcs_settings(self) -> None:
        """Settings without which a bucket cannot be used are refused, by their name."""
        for setting, value in [
            ("gcs_project_id", ""),
            ("gcs_bucket_name", ""),
            ("gcs_bucket_name", "gs://bucket"),
            ("gcs_bucket_name", "bucket/dir"),
            ("gcs_bucket_name", "Bucket"),
            ("gcs_bucket_name", "ab"),
            ("gcs_base_dir", ""),
            ("gcs_base_dir", "/a"),
            ("gcs_base_dir", "a/"),
            ("gcs_base_dir", "a/../b"),
        ]:
            with self.subTest(setting=setting, value=value):
                error = self.refused("gcs", **{**GCS, setting: value})
                self.assertEqual((error.name, error.value), (setting.upper(), value))

    def test_gcs_parts(self) -> None:
        """The base directory may have several parts; it begins the name of each object."""
        storage = opened("gcs", **{**GCS, "gcs_base_dir": "live/a-b/c"})
        environ = {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:1"}
        self.patch(os, "environ", environ)
        url = REACTOR.result_of(storage.url_for("key/1.m4s"))
        self.assertEqual(url, "http://127.0.0.1:1/bucket-1/live/a-b/c/key/1.m4s")
        REACTOR.result_of(storage.close())

    def test_gcs_not_installed(self) -> None:
        """Without the client's package the line says what to install."""
        with mock.patch.dict(sys.modules, {"rapidrtmp.storage.gcs": None}):
            error = self.refused("gcs", **GCS)
        self.assertIn("pip install 'rapidrtmp[gcs]'", str(error))

    def test_not_imported(self) -> None:
        """The client is not even looked at while another backend is used."""
        code = "import sys, rapidrtmp.storage.backends; print('google.cloud' in sys.modules)"
        command = [sys.executable, "-c", f"import sys; sys.path = {sys.path!r}; {code}"]
        self.assertEqual(subprocess.run(command, stdout=subprocess.PIPE).stdout, b"False\n")

    def test_other_package(self) -> None:
        """Another package's backend is found by its entry point, and given what ours are."""
        self.add_package(("s3", f"{__name__}:open_other"))
        storage = opened("s3", Path("there"))
        self.assertIsInstance(storage, MemoryStorage)
        [(settings, reactor)] = OTHERS
        self.assertEqual(settings.directory, Path("there"))
        self.assertIs(reactor, REACTOR)
        error = self.refused("s4")
        self.assertEqual(error.problem, "must be one of gcs, local, memory, s3")

    def test_ours_win(self) -> None:
        """No package replaces a backend of ours."""
        self.add_package(("local", f"{__name__}:open_other"))
        self.assertIsInstance(opened("local"), LocalStorage)

    def test_broken_package(self) -> None:
        """A package that cannot be loaded is told, not thrown."""
        self.add_package(("a", "no.such.module:f"), ("b", f"{__name__}:no_such_name"))
        for name in ("a", "b"):
            self.assertIn("cannot be loaded: ", self.refused(name).problem)


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
