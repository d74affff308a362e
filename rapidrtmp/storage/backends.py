"""The storage backends by the names of ``STORAGE_TYPE``, and a probe whether one works."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime

from rapidrtmp.interfaces import NO_CACHE, IStorage
from rapidrtmp.storage.local import LocalStorage
from rapidrtmp.storage.memory import MemoryStorage

PROBE_PATH = ".probe"
"""The file that `probe` writes and removes."""


def _open_memory(directory: Path, reactor: object) -> IStorage:
    return MemoryStorage(IReactorTime(reactor))


def _open_local(directory: Path, reactor: object) -> IStorage:
    return LocalStorage(directory, IReactorFromThreads(reactor))


BACKENDS: dict[str, Callable[[Path, object], IStorage]] = {
    "local": _open_local,
    "memory": _open_memory,
}


def open_storage(storage_type: str, directory: Path, reactor: object) -> IStorage:
    """Make the storage that the settings ask for. Touches no disk: see `probe`.

    Args:
        storage_type: a key of `BACKENDS`.
        directory: where 'local' keeps its files.
        reactor: provides IReactorTime and IReactorFromThreads.

    Raises:
        ValueError: there is no such backend; the message is meant for the operator.
    """
    if storage_type == "gcs":
        raise ValueError("STORAGE_TYPE=gcs is not available in this version")
    if storage_type not in BACKENDS:
        allowed = ", ".join(sorted(BACKENDS))
        raise ValueError(f"STORAGE_TYPE={storage_type}: must be one of {allowed}")
    return BACKENDS[storage_type](directory, reactor)


@inlineCallbacks
def probe(storage: IStorage) -> Generator[Deferred[Any], Any, None]:
    """Fire with None when the storage can be written: a small file is written and removed.

    Fails as `put` or `delete` does.
    """
    yield storage.put(PROBE_PATH, (b"ok",), "text/plain", NO_CACHE)
    yield storage.delete(PROBE_PATH)
