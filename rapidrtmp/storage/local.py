"""Storage in a directory of the local file system."""

import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from typing import Any, BinaryIO, ParamSpec, TypeAlias, TypeVar

from twisted.internet.defer import Deferred, execute, fail, maybeDeferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from rapidrtmp.interfaces import IStorage, NotFound, StorageEntry
from rapidrtmp.storage.path import check_range, is_part, split_path

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Entries: TypeAlias = list[StorageEntry]  # in the class, `list` is the method

THREADS = 4
"""Threads of one storage: a disk gains little from more, and each waits for that disk alone."""

DIRECTORY_MODE = 0o755
FILE_MODE = 0o644
"""Set whatever the umask: twistd's daemon has 077, and a web server or CDN may read the files."""

# '~' is in no valid path: such a file can neither be named by a caller nor be listed.
_TEMPORARY = re.compile(r"~[0-9a-f]{16}\.tmp")


class _DiskThread(Thread):
    """A thread that does not hold up the end of the process while a disk hangs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, daemon=True)


class _DiskThreadPool(ThreadPool):
    threadFactory = _DiskThread  # noqa: N815 (ThreadPool's name for it)


@implementer(IStorage)
class LocalStorage:
    """Keeps files below a root directory, which belongs to this process alone.

    All file work runs in threads of its own, started when first needed, so that a slow disk
    delays neither the reactor nor the users of the reactor's pool (DNS). What waits for a
    thread is bounded by the callers: they have one call under way for each stream.

    A file is written beside its place under a temporary name and then renamed: a process
    that dies leaves the old file or the new one, never a part. Temporary files that were
    left over are removed before the first call. Symbolic links below the root are never
    followed.
    """

    name = "local"

    def __init__(self, root: Path, reactor: IReactorFromThreads, *, durable: bool = False) -> None:
        """Make the storage; the disk is first touched by the first call.

        Args:
            root: the directory; made, with its parents, when it is not there.
            reactor: where the Deferreds fire.
            durable: bring each file to the disk before its Deferred fires, so that it
                survives a power cut too. It costs a disk flush (fsync) a file: right for
                small state that must not be lost, not for the segments of a live window.
        """
        self._root = root.absolute()
        self._reactor = reactor
        self._durable = durable
        self._pool = _DiskThreadPool(0, THREADS, "storage")
        self._pool.start()
        self._running = 0
        self._closed = False
        self._closing: list[Deferred[None]] = []
        self._opened = False
        self._opening = Lock()
        # A directory must not be pruned between its making and its first file's.
        self._tree = Lock()

    def put(
        self, path: str, data: Sequence[bytes], content_type: str, cache_control: str
    ) -> Deferred[None]:
        """Write a whole file. See `IStorage.put`. Fails with OSError, too."""
        return self._defer(self._put, path, tuple(data))

    def get(self, path: str, start: int = 0, end: int | None = None) -> Deferred[bytes]:
        """Read bytes [start, end) of a file. See `IStorage.get`. Fails with OSError, too."""
        return self._defer(self._get, path, start, end)

    def delete(self, path: str) -> Deferred[None]:
        """Remove a file, and the directories that it leaves empty. See `IStorage.delete`."""
        return self._defer(self._delete, path)

    def exists(self, path: str) -> Deferred[bool]:
        """Tell whether there is such a file. See `IStorage.exists`."""
        return self._defer(self._exists, path)

    def list(self, prefix: str = "") -> Deferred[list[StorageEntry]]:
        """List files. See `IStorage.list`."""
        return self._defer(self._list, prefix)

    def url_for(self, path: str) -> Deferred[str]:
        """Give the file's ``file:///`` URL, for clients on the same machine."""
        return maybeDeferred(lambda: self._root.joinpath(*split_path(path)).as_uri())

    def close(self) -> Deferred[None]:
        """Finish the calls under way, then end the threads. Later calls fail with OSError."""
        self._closed = True
        closed: Deferred[None] = Deferred()
        self._closing.append(closed)
        self._stop_when_idle()
        return closed

    # On the reactor.

    def _defer(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_T]:
        if self._closed:
            return fail(OSError(errno.ESHUTDOWN, "the storage is closed"))
        if not getattr(self._reactor, "running", True):
            # The process starts: nobody is kept waiting, and nothing would fire a Deferred.
            return execute(self._work, lambda: work(*args, **kwargs))
        self._running += 1
        # Two Deferreds: a caller who cancels his does not make us think the work were done.
        done = deferToThreadPool(
            self._reactor, self._pool, self._work, lambda: work(*args, **kwargs)
        )
        result: Deferred[_T] = Deferred()
        done.chainDeferred(result)
        done.addBoth(self._finished)
        return result

    def _finished(self, result: object) -> None:
        self._running -= 1
        self._stop_when_idle()

    def _stop_when_idle(self) -> None:
        if self._closed and not self._running:
            if self._pool.started:
                # Joins the threads: they have nothing left to do.
                self._pool.stop()
            closing, self._closing = self._closing, []
            for closed in closing:
                closed.callback(None)

    # In a thread.

    def _work(self, work: Callable[[], _T]) -> _T:
        with self._opening:
            if not self._opened:
                _make_directory(self._root)
                self._sweep()
                self._opened = True
        return work()

    def _sweep(self) -> None:
        for directory, _, names in os.walk(self._root):
            for name in filter(_TEMPORARY.fullmatch, names):
                # One that cannot be removed harms nobody.
                with suppress(OSError):
                    Path(directory, name).unlink()

    def _locate(self, path: str) -> Path:
        located = self._root
        for part in split_path(path):
            located /= part
            if located.is_symlink():
                raise OSError(errno.ELOOP, "symbolic links are not followed", str(located))
        return located

    def _put(self, path: str, data: Sequence[bytes]) -> None:
        located = self._locate(path)
        temporary = located.with_name(f"~{secrets.token_hex(8)}.tmp")
        with self._tree:
            _make_directory(located.parent)
            file = temporary.open("xb")
        try:
            with file:
                self._write(file, data)
            temporary.replace(located)
            if self._durable:
                _flush_directory(located.parent)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise

    def _write(self, file: BinaryIO, data: Sequence[bytes]) -> None:
        os.fchmod(file.fileno(), FILE_MODE)
        file.writelines(data)
        if self._durable:
            file.flush()
            os.fsync(file.fileno())

    def _get(self, path: str, start: int, end: int | None) -> bytes:
        located = self._locate(path)
        check_range(start, end)
        if _stat_file(located) is None:
            raise NotFound(path)
        try:
            file = located.open("rb")
        except FileNotFoundError:
            raise NotFound(path) from None
        with file:
            # A read allocates what it is asked for: never ask for more than there is.
            size = os.fstat(file.fileno()).st_size
            file.seek(start)
            return file.read(max(0, size - start if end is None else min(end, size) - start))

    def _delete(self, path: str) -> None:
        located = self._locate(path)
        if _stat_file(located) is None:
            return
        with self._tree:
            located.unlink(missing_ok=True)
            # Ends at the first directory that is in use.
            with suppress(OSError):
                while (located := located.parent) != self._root:
                    located.rmdir()

    def _exists(self, path: str) -> bool:
        return _stat_file(self._locate(path)) is not None

    def _list(self, prefix: str) -> _Entries:
        top = self._locate(prefix) if prefix else self._root
        entries = [self._entry(top)]
        for directory, below, names in os.walk(top, onerror=_raise_unless_gone):
            below[:] = filter(is_part, below)
            entries += [self._entry(Path(directory, name)) for name in filter(is_part, names)]
        return sorted(entry for entry in entries if entry is not None)

    def _entry(self, located: Path) -> StorageEntry | None:
        status = _stat_file(located)
        if status is None:
            return None
        path = located.relative_to(self._root).as_posix()
        return StorageEntry(path, status.st_size, status.st_mtime)


def _stat_file(located: Path) -> os.stat_result | None:
    """Give the status of a regular file; None for everything else."""
    try:
        status = located.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _make_directory(directory: Path) -> None:
    if not directory.parent.is_dir():
        _make_directory(directory.parent)
    try:
        directory.mkdir(DIRECTORY_MODE)
    except FileExistsError:
        pass
    else:
        directory.chmod(DIRECTORY_MODE)


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
