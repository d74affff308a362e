"""Storage in a directory of the local file system."""

import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import BinaryIO, ParamSpec, TypeAlias, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorFromThreads
from zope.interface import implementer

from rapidrtmp.interfaces import IStorage, NotFound, StorageEntry
from rapidrtmp.storage.path import check_range, is_part, split_path
from rapidrtmp.storage.workers import Workers

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Entries: TypeAlias = list[StorageEntry]  # in the class, `list` is the method

THREADS = 4
"""Threads of one storage: a disk gains little from more, and each waits for that disk alone."""

MAX_WAITING = 10_000
"""Calls that may wait for a thread: each stream has one under way, each viewer at most one."""

DIRECTORY_MODE = 0o755
FILE_MODE = 0o644
"""Set whatever the umask: twistd's daemon has 077, and a web server or CDN may read the files."""
PRIVATE_DIRECTORY_MODE = 0o700
PRIVATE_FILE_MODE = 0o600
"""For what nobody else may read. Directories that are there already keep their mode."""

# '~' is in no valid path: such a file can neither be named by a caller nor be listed.
_TEMPORARY = re.compile(r"~[0-9a-f]{16}\.tmp")


@implementer(IStorage)
class LocalStorage:
    """Keeps files below a root directory, which belongs to this process alone.

    All file work runs in threads of its own, see `Workers`.

    A file is written beside its place under a temporary name and then renamed: a process
    that dies leaves the old file or the new one, never a part. Temporary files that were
    left over are removed before the first call. Symbolic links below the root are never
    followed.
    """

    name = "local"

    def __init__(
        self,
        root: Path,
        reactor: IReactorFromThreads,
        *,
        durable: bool = False,
        private: bool = False,
    ) -> None:
        """Make the storage; the disk is first touched by the first call.

        Args:
            root: the directory; made, with its parents, when it is not there.
            reactor: where the Deferreds fire.
            durable: bring each file to the disk before its Deferred fires, so that it
                survives a power cut too. It costs a disk flush (fsync) a file: right for
                small state that must not be lost, not for the segments of a live window.
            private: let no other user of the machine read what is written.
        """
        self._root = root.absolute()
        self._durable = durable
        self._file_mode = PRIVATE_FILE_MODE if private else FILE_MODE
        self._directory_mode = PRIVATE_DIRECTORY_MODE if private else DIRECTORY_MODE
        self._workers = Workers(reactor, "storage", THREADS, MAX_WAITING)
        self._opened = False
        self._opening = Lock()
        # A directory must not be pruned between its making and its first file's.
        self._tree = Lock()

    def put(
        self, path: str, data: Sequence[bytes], content_type: str, cache_control: str
    ) -> Deferred[None]:
        """Write a whole file. See `IStorage.put`. Fails with OSError, too."""
        return self._run(self._put, path, tuple(data))

    def get(self, path: str, start: int = 0, end: int | None = None) -> Deferred[bytes]:
        """Read bytes [start, end) of a file. See `IStorage.get`. Fails with OSError, too."""
        return self._run(self._get, path, start, end)

    def delete(self, path: str) -> Deferred[None]:
        """Remove a file, and the directories that it leaves empty. See `IStorage.delete`."""
        return self._run(self._delete, path)

    def exists(self, path: str) -> Deferred[bool]:
        """Tell whether there is such a file. See `IStorage.exists`."""
        return self._run(self._exists, path)

    def list(self, prefix: str = "") -> Deferred[list[StorageEntry]]:
        """List files. See `IStorage.list`."""
        return self._run(self._list, prefix)

    def url_for(self, path: str) -> Deferred[str]:
        """Give the file's ``file:///`` URL, for clients on the same machine."""
        return maybeDeferred(lambda: self._root.joinpath(*split_path(path)).as_uri())

    def close(self) -> Deferred[None]:
        """Finish the calls under way, then end the threads. Later calls fail with OSError."""
        return self._workers.close()

    def _run(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_T]:
        return self._workers.run(self._work, lambda: work(*args, **kwargs))

    # In a thread.

    def _work(self, work: Callable[[], _T]) -> _T:
        with self._opening:
            if not self._opened:
                _make_directory(self._root, self._directory_mode)
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
            _make_directory(located.parent, self._directory_mode)
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
        os.fchmod(file.fileno(), self._file_mode)
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


def _make_directory(directory: Path, mode: int) -> None:
    if not directory.parent.is_dir():
        _make_directory(directory.parent, mode)
    try:
        directory.mkdir(mode)
    except FileExistsError:
        pass
    else:
        directory.chmod(mode)


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
