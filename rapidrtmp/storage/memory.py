"""Storage in memory: for tests, and for servers that keep nothing."""

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeAlias, TypeVar

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from rapidrtmp.interfaces import IStorage, NotFound, StorageEntry
from rapidrtmp.storage.path import check_range, split_path

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Entries: TypeAlias = list[StorageEntry]  # in the class, `list` is the method


@dataclass(frozen=True, slots=True)
class _File:
    pieces: tuple[bytes, ...]
    """As they were put, which costs no copy."""
    modified: float


@implementer(IStorage)
class MemoryStorage:
    """Keeps files in a dictionary. Every Deferred has fired when it is returned.

    Unlike a file system it lets ``a`` and ``a/b`` both be files, as object stores do.
    """

    name = "memory"

    def __init__(self, clock: IReactorTime) -> None:
        """Make an empty storage.

        Args:
            clock: gives the time of modification.
        """
        self._clock = clock
        self._files: dict[str, _File] = {}
        self._closed = False

    def put(
        self, path: str, data: Sequence[bytes], content_type: str, cache_control: str
    ) -> Deferred[None]:
        """Write a whole file. See `IStorage.put`."""
        return self._run(self._put, path, data)

    def get(self, path: str, start: int = 0, end: int | None = None) -> Deferred[bytes]:
        """Read bytes [start, end) of a file. See `IStorage.get`."""
        return self._run(self._get, path, start, end)

    def delete(self, path: str) -> Deferred[None]:
        """Remove a file. See `IStorage.delete`."""
        return self._run(self._delete, path)

    def exists(self, path: str) -> Deferred[bool]:
        """Tell whether there is such a file. See `IStorage.exists`."""
        return self._run(self._exists, path)

    def list(self, prefix: str = "") -> Deferred[list[StorageEntry]]:
        """List files. See `IStorage.list`."""
        return self._run(self._list, prefix)

    def url_for(self, path: str) -> Deferred[str]:
        """Give ``memory:///<path>``, which only names the file: nobody can fetch it."""
        return self._run(self._url_for, path)

    def close(self) -> Deferred[None]:
        """Take no further calls: they fail with OSError."""
        self._closed = True
        return succeed(None)

    def _run(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_T]:
        if self._closed:
            return fail(OSError(errno.ESHUTDOWN, "the storage is closed"))
        return maybeDeferred(work, *args, **kwargs)

    def _put(self, path: str, data: Sequence[bytes]) -> None:
        split_path(path)
        self._files[path] = _File(tuple(data), self._clock.seconds())

    def _get(self, path: str, start: int, end: int | None) -> bytes:
        split_path(path)
        check_range(start, end)
        if path not in self._files:
            raise NotFound(path)
        return b"".join(self._files[path].pieces)[start:end]

    def _delete(self, path: str) -> None:
        split_path(path)
        self._files.pop(path, None)

    def _exists(self, path: str) -> bool:
        split_path(path)
        return path in self._files

    def _list(self, prefix: str) -> _Entries:
        if prefix:
            split_path(prefix)
        return [
            StorageEntry(path, sum(map(len, file.pieces)), file.modified)
            for path, file in sorted(self._files.items())
            if not prefix or path == prefix or path.startswith(prefix + "/")
        ]

    def _url_for(self, path: str) -> str:
        split_path(path)
        return f"memory:///{path}"
