"""The storage backends by the names of ``STORAGE_TYPE``, and a probe whether one works."""

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeAlias

from twisted.internet.defer import Deferred, inlineCallbacks

from rapidrtmp.interfaces import NO_CACHE, IStorage
from rapidrtmp.storage.local import LocalStorage
from rapidrtmp.storage.memory import MemoryStorage
from rapidrtmp.storage.path import split_path

GROUP = "rapidrtmp.storage"
"""Entry points of other packages' backends: each names a `Backend`."""

PROBE_PATH = ".probe"
"""The file that `probe` writes and removes."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


class BadSetting(ValueError):
    """A storage cannot be made with these settings."""

    def __init__(self, name: str, value: str, problem: str) -> None:
        """Make the message, one line for the operator.

        Args:
            name: the setting as the environment calls it.
            value: what it was set to.
            problem: a clause that follows the value.
        """
        super().__init__(f"{name}={value}: {problem}")
        self.name = name
        self.value = value
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """What the backends want to know."""

    directory: Path
    """Where 'local' keeps its files."""
    gcs_project_id: str = ""
    gcs_bucket_name: str = ""
    gcs_base_dir: str = "streams"
    gcs_url_expiration: float | None = None
    """Seconds for which signed URLs are valid; None for unsigned ones."""


Backend: TypeAlias = Callable[[StorageSettings, Any], IStorage]
"""Makes a storage out of the settings and the reactor. Raises BadSetting. Touches no disk and
no network."""


def _open_memory(settings: StorageSettings, reactor: Any) -> IStorage:
    return MemoryStorage(reactor)


def _open_local(settings: StorageSettings, reactor: Any) -> IStorage:
    return LocalStorage(settings.directory, reactor)


def _open_gcs(settings: StorageSettings, reactor: Any) -> IStorage:
    project, bucket = settings.gcs_project_id, settings.gcs_bucket_name
    for name, value in [("GCS_PROJECT_ID", project), ("GCS_BUCKET_NAME", bucket)]:
        if not value:
            raise BadSetting(name, value, "must be set when STORAGE_TYPE is gcs")
    if not _BUCKET.fullmatch(bucket):
        raise BadSetting("GCS_BUCKET_NAME", bucket, "must be a bucket's name, without gs://")
    try:
        split_path(settings.gcs_base_dir)
    except ValueError:
        raise BadSetting(
            "GCS_BASE_DIR",
            settings.gcs_base_dir,
            "must be one or more names of A-Z a-z 0-9 . _ -, separated by single slashes",
        ) from None
    try:
        # Only now: it is large, and an extra.
        from rapidrtmp.storage.gcs import GCSStorage
    except ImportError as error:
        raise BadSetting(
            "STORAGE_TYPE",
            "gcs",
            f"cannot be used ({error}); install it with: pip install 'rapidrtmp[gcs]'",
        ) from error
    return GCSStorage(
        bucket,
        project,
        settings.gcs_base_dir,
        reactor,
        url_expiration=settings.gcs_url_expiration,
    )


BACKENDS: dict[str, Backend] = {
    "gcs": _open_gcs,
    "local": _open_local,
    "memory": _open_memory,
}
"""Our own; those of other packages are found by `GROUP`."""


def open_storage(storage_type: str, settings: StorageSettings, reactor: Any) -> IStorage:
    """Make the storage that the settings ask for. Touches no disk and no network: see `probe`.

    Args:
        storage_type: a key of `BACKENDS` or the name of an entry point in `GROUP`.
        settings: what the backends need.
        reactor: provides IReactorTime and IReactorFromThreads.

    Raises:
        BadSetting: there is no such backend, or it cannot be used with these settings.
    """
    if storage_type in BACKENDS:
        return BACKENDS[storage_type](settings, reactor)
    found = entry_points(group=GROUP)
    if storage_type not in found.names:
        allowed = ", ".join(sorted({*BACKENDS, *found.names}))
        raise BadSetting("STORAGE_TYPE", storage_type, f"must be one of {allowed}")
    try:
        backend: Backend = found[storage_type].load()
    except (ImportError, AttributeError) as error:
        raise BadSetting("STORAGE_TYPE", storage_type, f"cannot be loaded: {error}") from error
    return backend(settings, reactor)


@inlineCallbacks
def probe(storage: IStorage) -> Generator[Deferred[Any], Any, None]:
    """Fire with None when the storage can be written: a small file is written and removed.

    Fails as `put` or `delete` does.
    """
    yield storage.put(PROBE_PATH, (b"ok",), "text/plain", NO_CACHE)
    yield storage.delete(PROBE_PATH)
