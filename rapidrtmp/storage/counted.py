"""A storage whose calls are counted and timed, and whose content is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ParamSpec, TypeAlias, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from rapidrtmp.histogram import Histogram
from rapidrtmp.interfaces import IStorage, NotFound, StorageEntry

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Entries: TypeAlias = list[StorageEntry]  # in the class, `list` is the method
_Changes: TypeAlias = dict[str, int | None]

OPERATIONS = ("put", "get", "delete", "list")
"""What is timed, and how metrics call it."""

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds: from a local disk to the deadline of an object store."""


@dataclass(slots=True, eq=False)
class _Listing:
    """A listing of everything that is under way."""

    changes: _Changes = field(default_factory=dict)
    """Since it began: the new size of a path, None when it was deleted."""


@implementer(IStorage)
class CountedStorage:
    """Hands every call on to a storage, and keeps what metrics want to know of it.

    The sizes are of what was written and deleted through here; a listing of everything sets
    them right about files of former processes.
    """

    def __init__(self, storage: IStorage, clock: IReactorTime) -> None:
        """Count from nothing.

        Args:
            storage: does the work.
            clock: times it.
        """
        self._storage = storage
        self._clock = clock
        self._listings: list[_Listing] = []
        self.name: str = storage.name
        self.sizes: dict[str, int] = {}
        """Bytes of each file that is stored, by path."""
        self.durations = {operation: Histogram(BOUNDS) for operation in OPERATIONS}
        """Seconds that calls took, whether they failed or not."""
        self.errors = dict.fromkeys(OPERATIONS, 0)
        """Calls that failed, or were cancelled for taking too long. NotFound is an answer, and
        who cancels a get is a viewer who left."""

    @property
    def bytes_stored(self) -> int:
        """Bytes of all files."""
        return sum(self.sizes.values())

    @property
    def segments_stored(self) -> int:
        """How many of the files are media segments."""
        return sum(path.endswith(".m4s") for path in self.sizes)

    def put(
        self, path: str, data: Sequence[bytes], content_type: str, cache_control: str
    ) -> Deferred[None]:
        """Write a whole file. See `IStorage.put`."""
        size = sum(map(len, data))
        done = self._time("put", self._storage.put, path, data, content_type, cache_control)
        return done.addCallback(lambda _: self._changed(path, size))

    def get(self, path: str, start: int = 0, end: int | None = None) -> Deferred[bytes]:
        """Read bytes [start, end) of a file. See `IStorage.get`."""
        return self._time("get", self._storage.get, path, start, end)

    def delete(self, path: str) -> Deferred[None]:
        """Remove a file. See `IStorage.delete`."""
        done = self._time("delete", self._storage.delete, path)
        return done.addCallback(lambda _: self._changed(path, None))

    def exists(self, path: str) -> Deferred[bool]:
        """Tell whether there is such a file. See `IStorage.exists`."""
        return self._storage.exists(path)

    def list(self, prefix: str = "") -> Deferred[list[StorageEntry]]:
        """List files. See `IStorage.list`."""
        if prefix:
            return self._time("list", self._storage.list, prefix)
        listing = _Listing()
        self._listings.append(listing)
        return self._time("list", self._storage.list).addBoth(self._listed, listing)

    def url_for(self, path: str) -> Deferred[str]:
        """Give the URL at which a client could fetch the file. See `IStorage.url_for`."""
        return self._storage.url_for(path)

    def close(self) -> Deferred[None]:
        """Close the storage itself. See `IStorage.close`."""
        return self._storage.close()

    def _time(
        self,
        operation: str,
        call: Callable[_P, Deferred[_T]],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> Deferred[_T]:
        started = self._clock.seconds()

        def finished(result: _T | Failure) -> _T | Failure:
            self.durations[operation].observe(self._clock.seconds() - started)
            no_error = (NotFound, CancelledError) if operation == "get" else NotFound
            if isinstance(result, Failure) and not isinstance(result.value, no_error):
                self.errors[operation] += 1
            return result

        return call(*args, **kwargs).addBoth(finished)

    def _changed(self, path: str, size: int | None) -> None:
        for listing in self._listings:
            listing.changes[path] = size
        self._apply({path: size})

    def _listed(self, result: _Entries | Failure, listing: _Listing) -> _Entries | Failure:
        self._listings.remove(listing)
        if not isinstance(result, Failure):
            self.sizes = {entry.path: entry.size for entry in result}
            self._apply(listing.changes)
        return result

    def _apply(self, changes: _Changes) -> None:
        for path, size in changes.items():
            if size is None:
                self.sizes.pop(path, None)
            else:
                self.sizes[path] = size
