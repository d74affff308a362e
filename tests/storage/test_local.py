"""Tests of rapidrtmp.storage.local."""

import errno
import os
import stat
import threading
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.interfaces import NO_CACHE, NotFound
from rapidrtmp.storage.local import THREADS, LocalStorage
from tests.storage import contract
from tests.storage.threads import ThreadResults


class LocalCase(contract.Mixin):
    """A local storage, and the directory that it has not yet made."""

    scheme = "file"

    def open_storage(self) -> LocalStorage:
        self.outside = Path(self.mktemp()).absolute()
        self.root = self.outside / "root"
        return self.open_again()

    def open_again(self) -> LocalStorage:
        self.results = ThreadResults()
        return LocalStorage(self.root, self.results)

    def result_of(self, deferred: Deferred[Any]) -> Any:
        return self.results.result_of(deferred)

    def now(self) -> float:
        probe = Path(self.mktemp())
        probe.touch()
        return probe.stat().st_mtime

    def tree(self) -> list[str]:
        """All that lies under the root, directories and temporary files too."""
        return sorted(p.relative_to(self.root).as_posix() for p in self.root.rglob("*"))


class LocalStorageTests(LocalCase, contract.StorageContract, SynchronousTestCase):
    def test_name(self) -> None:
        """It is called what the settings call it."""
        self.assertEqual(self.storage.name, "local")

    def test_nothing_before_first_call(self) -> None:
        """Making the storage neither touches the disk nor starts a thread."""
        before = threading.active_count()
        LocalStorage(self.root, self.results)
        self.assertFalse(self.outside.exists())
        self.assertEqual(threading.active_count(), before)

    def test_impossible_root(self) -> None:
        """A root that the system refuses to make is an OSError, not an endless try."""
        storage = LocalStorage(Path("/proc/no/such"), self.results)
        with self.assertRaises(OSError):
            self.wait(storage.put("a", [b""], "text/plain", NO_CACHE))

    def test_inline_before_the_reactor_runs(self) -> None:
        """While the process starts, calls are answered at once, without a thread."""
        self.results.running = False
        self.addCleanup(setattr, self.results, "running", True)
        before = threading.active_count()
        storage = LocalStorage(self.root, self.results)
        self.assertIsNone(self.successResultOf(storage.put("a", [b"x"], "text/plain", NO_CACHE)))
        self.assertEqual(self.successResultOf(storage.get("a")), b"x")
        self.failureResultOf(storage.get("b"), NotFound)
        self.assertEqual(threading.active_count(), before)

    def test_relative_root(self) -> None:
        """A relative root is that of the moment, as twistd changes its directory later."""
        storage = LocalStorage(Path("relative"), self.results)
        url = self.wait(storage.url_for("a"))
        self.assertEqual(url, (Path.cwd() / "relative" / "a").as_uri())

    def test_modes(self) -> None:
        """Directories are 0755 and files 0644, whatever the umask."""
        self.addCleanup(os.umask, os.umask(0o077))
        self.put("key/life/1.m4s", b"1")
        modes = {
            path: stat.S_IMODE((self.root / path).stat().st_mode)
            for path in ("", "key", "key/life", "key/life/1.m4s")
        }
        self.assertEqual(
            modes, {"": 0o755, "key": 0o755, "key/life": 0o755, "key/life/1.m4s": 0o644}
        )

    def test_existing_directory_keeps_mode(self) -> None:
        """The mode of a directory that was there is its owner's business."""
        self.root.mkdir(parents=True)
        self.root.chmod(0o700)
        self.put("a", b"1")
        self.assertEqual(stat.S_IMODE(self.root.stat().st_mode), 0o700)

    def test_outside_is_untouched(self) -> None:
        """No path whatever writes outside the root."""
        for path in contract.BAD_PATHS:
            self.result_of(self.storage.put(path, (b"x",), "", ""))
        self.assertEqual([p.name for p in self.outside.iterdir()], ["root"])
        self.assertEqual(self.tree(), [])

    def test_url(self) -> None:
        """The URL is the file's own."""
        super().test_url()
        self.put("a/b.m4s", b"1")
        url = self.wait(self.storage.url_for("a/b.m4s"))
        self.assertEqual(url, (self.root / "a/b.m4s").as_uri())

    def test_delete_prunes(self) -> None:
        """Directories that become empty go, others and the root stay."""
        self.put("key/1/a", b"")
        self.put("key/2/a", b"")
        self.wait(self.storage.delete("key/1/a"))
        self.assertEqual(self.tree(), ["key", "key/2", "key/2/a"])
        self.wait(self.storage.delete("key/2/a"))
        self.assertEqual(self.tree(), [])
        self.assertTrue(self.root.is_dir())

    def test_prune_against_put(self) -> None:
        """A file put into a directory that is just being pruned is not lost."""
        done: list[Deferred[None]] = []
        for i in range(100):
            self.put("key/old", b"")
            done = [
                self.storage.delete("key/old"),
                self.storage.put("key/new", (b"%d" % i,), "", NO_CACHE),
            ]
            for deferred in done:
                self.wait(deferred)
            self.assertEqual(self.wait(self.storage.get("key/new")), b"%d" % i)
            self.wait(self.storage.delete("key/new"))
        self.assertEqual(self.tree(), [])

    def test_file_in_the_way(self) -> None:
        """A file where a directory is needed, or the reverse, is an OSError; nothing is left."""
        self.put("a", b"1")
        self.put("d/e", b"1")
        self.fail_of(self.storage.put("a/b", (b"2",), "", ""), OSError)
        self.fail_of(self.storage.put("d", (b"2",), "", ""), OSError)
        self.assertEqual(self.tree(), ["a", "d", "d/e"])

    def test_disk_full(self) -> None:
        """A failing write passes its OSError on, keeps the old file and leaves no temporary one."""
        self.put("a", b"old")

        def full(path: Path, target: Path) -> Path:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch = self.patch(Path, "replace", full)
        error = self.fail_of(self.storage.put("a", (b"new",), "", ""), OSError)
        self.assertEqual(error.errno, errno.ENOSPC)
        patch.restore()
        self.assertEqual(self.wait(self.storage.get("a")), b"old")
        self.assertEqual(self.tree(), ["a"])
        self.put("a", b"new")

    def test_broken_write(self) -> None:
        """A write that breaks off after its first bytes leaves nothing."""
        data: Any = (b"x" * 100_000, None)
        self.fail_of(self.storage.put("a/b", data, "", ""), TypeError)
        self.assertEqual([p for p in self.tree() if p != "a"], [])
        self.fail_of(self.storage.get("a/b"), NotFound)

    def test_root_deleted(self) -> None:
        """A root that is deleted while running is made again by the next write."""
        self.put("a", b"1")
        (self.root / "a").unlink()
        self.root.rmdir()
        self.fail_of(self.storage.get("a"), NotFound)
        self.assertEqual(self.paths(), [])
        self.put("b", b"2")
        self.assertEqual(self.paths(), ["b"])

    def test_root_cannot_be_made(self) -> None:
        """A root that cannot be made fails the calls with OSError, until it can."""
        self.outside.write_bytes(b"a file in the way")
        self.fail_of(self.storage.put("a", (b"1",), "", ""), OSError)
        self.fail_of(self.storage.exists("a"), OSError)
        self.outside.unlink()
        self.put("a", b"1")

    def test_left_over_temporaries(self) -> None:
        """What a killed process left is swept before the first call; other files stay."""
        directory = self.root / "key" / "life"
        directory.mkdir(parents=True)
        for name in ("~0123456789abcdef.tmp", "~mine", "1.m4s", "x.tmp"):
            (directory / name).write_bytes(b"half")
        (self.root / "~00000000000000ff.tmp").write_bytes(b"")
        self.assertEqual(self.paths(), ["key/life/1.m4s", "key/life/x.tmp"])
        self.assertEqual(
            self.tree(), ["key", "key/life", "key/life/1.m4s", "key/life/x.tmp", "key/life/~mine"]
        )

    def test_temporary_is_not_listed(self) -> None:
        """A temporary file of a write under way is not listed."""
        self.put("a", b"1")
        (self.root / "~0123456789abcdef.tmp").write_bytes(b"half")
        self.assertEqual(self.paths(), ["a"])

    def test_strange_names(self) -> None:
        """Files that no path can name are not listed, nor what lies in such directories."""
        self.put("a", b"1")
        (self.root / "b c").mkdir()
        (self.root / "b c" / "d").write_bytes(b"")
        (self.root / "b\u00fccher").write_bytes(b"")
        os.mkfifo(self.root / "fifo")
        self.assertEqual(self.paths(), ["a"])
        self.fail_of(self.storage.get("fifo"), NotFound)
        self.assertFalse(self.wait(self.storage.exists("fifo")))

    def test_symbolic_links(self) -> None:
        """A symbolic link below the root is never followed, whichever way it points."""
        secret = self.outside / "secret"
        self.put("inside", b"1")
        secret.mkdir()
        (secret / "file").write_bytes(b"secret")
        (self.root / "dir").symlink_to(secret)
        (self.root / "link").symlink_to(secret / "file")
        (self.root / "dangling").symlink_to(self.outside / "new")
        for path in ("dir/file", "dir/new", "link", "dangling"):
            for call in self.calls(path)[:4]:
                with self.subTest(path=path):
                    error = self.fail_of(call(), OSError)
                    self.assertEqual(error.errno, errno.ELOOP)
        self.fail_of(self.storage.list("dir"), OSError)
        self.assertEqual(self.paths(), ["inside"])
        self.assertEqual([p.name for p in secret.iterdir()], ["file"])
        self.assertEqual((secret / "file").read_bytes(), b"secret")
        self.assertFalse((self.outside / "new").exists())

    def test_root_may_be_a_link(self) -> None:
        """The root itself may be reached by a symbolic link: that is the operator's choice."""
        (self.outside / "disk").mkdir(parents=True)
        self.root.symlink_to(self.outside / "disk")
        self.put("a/b", b"1")
        self.assertEqual((self.outside / "disk/a/b").read_bytes(), b"1")

    def test_file_vanishes_before_read(self) -> None:
        """A file that is deleted just before it is opened is NotFound."""
        self.put("a", b"1")
        opened = Path.open

        def late(path: Path, *args: Any) -> object:
            path.unlink()
            return opened(path, *args)

        self.patch(Path, "open", late)
        self.fail_of(self.storage.get("a"), NotFound)

    def test_file_vanishes_during_list(self) -> None:
        """A directory that cannot be read is a failure; one that vanished is not."""
        self.put("a/b", b"1")

        def walk(top: Path, onerror: object) -> object:
            assert callable(onerror)
            onerror(error)
            return iter([(str(top), [], ["gone"])])

        self.patch(os, "walk", walk)
        error: OSError = FileNotFoundError()
        self.assertEqual(self.paths(), [])
        error = PermissionError()
        self.fail_of(self.storage.list(), PermissionError)


class DurabilityTests(LocalCase, SynchronousTestCase):
    """When the disk is flushed."""

    def flushed(self, durable: bool) -> list[str]:
        """Put one file, give what was flushed."""
        self.open_storage()
        storage = LocalStorage(self.root, self.results, durable=durable)
        kinds: list[str] = []

        def fsync(descriptor: int) -> None:
            mode = os.fstat(descriptor).st_mode
            size = os.fstat(descriptor).st_size
            kinds.append("directory" if stat.S_ISDIR(mode) else f"file of {size}")

        self.patch(os, "fsync", fsync)
        self.assertIsNone(self.result_of(storage.put("a", (b"12", b"345"), "", "")))
        self.assertIsNone(self.result_of(storage.close()))
        return kinds

    def test_durable(self) -> None:
        """A durable storage flushes the whole file, then its directory."""
        self.assertEqual(self.flushed(True), ["file of 5", "directory"])

    def test_private(self) -> None:
        """Nobody else may read what a private storage writes."""
        self.open_storage()
        own = self.root / "own"
        storage = LocalStorage(own, self.results, private=True)
        self.assertIsNone(self.result_of(storage.put("a/b", (b"x",), "", "")))
        modes = [oct(stat.S_IMODE((own / name).stat().st_mode)) for name in ("", "a", "a/b")]
        self.assertEqual(modes, ["0o700", "0o700", "0o600"])
        self.assertIsNone(self.result_of(storage.close()))

    def test_not_durable(self) -> None:
        """Otherwise nothing waits for the disk."""
        self.assertEqual(self.flushed(False), [])


class ThreadTests(LocalCase, SynchronousTestCase):
    """Where the work is done, and how it ends."""

    def setUp(self) -> None:
        """Open a storage."""
        self.storage = self.open_storage()

    def threads(self) -> list[threading.Thread]:
        """The storage threads that are alive."""
        return [t for t in threading.enumerate() if t.name.startswith("PoolThread-storage")]

    def test_own_bounded_threads(self) -> None:
        """Work is done in a few daemon threads of our own, which close() ends."""
        before = set(self.threads())
        jobs = [self.storage.put(f"f{i}", (b"x",), "", "") for i in range(50)]
        for job in jobs:
            self.assertIsNone(self.result_of(job))
        started = [t for t in self.threads() if t not in before]
        self.assertTrue(1 <= len(started) <= THREADS)
        self.assertTrue(all(t.daemon for t in started))
        self.assertIsNone(self.result_of(self.storage.close()))
        self.assertFalse(any(t.is_alive() for t in started))

    def test_close_unused(self) -> None:
        """A storage that was never used is closed at once."""
        self.assertIsNone(self.successResultOf(self.storage.close()))

    def test_close_waits(self) -> None:
        """close() fires after the work under way, cancelled or not, also when called twice."""
        job = self.storage.put("a", (b"x" * 1_000_000,), "", "")
        dropped = self.storage.put("b", (b"y" * 1_000_000,), "", "")
        dropped.cancel()
        self.failureResultOf(dropped, CancelledError)
        closes = [self.storage.close(), self.storage.close()]
        for close in closes:
            self.assertNoResult(close)
        self.assertIsNone(self.result_of(closes[0]))
        self.assertIsNone(self.successResultOf(closes[1]))
        self.assertIsNone(self.successResultOf(job))
        # what was cancelled is done only if a thread had begun it
        self.assertIn(self.tree(), (["a"], ["a", "b"]))
