"""Keeps the records of all streams in one file of the state directory."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from rapidrtmp.interfaces import IStorage
from rapidrtmp.state import StateError, StateFile
from rapidrtmp.stream.lifecycle import Record

PATH = "streams.json"
SCHEMA = 1


class RecordStore:
    """Writes records behind the streams' backs: a failing disk is logged, never waited for."""

    _log = Logger()

    def __init__(self, storage: IStorage) -> None:
        """Keep the records in a storage: the state directory."""
        self._file = StateFile(storage, PATH, SCHEMA)
        self._records: dict[str, dict[str, Any]] = {}
        self._failing = False

    def load(self) -> Deferred[list[Record]]:
        """Read what a former process left.

        Returns:
            Fires with the records, or fails with StateError when the file is broken.
        """
        return self._file.load().addCallback(self._loaded)

    def keep(self, record: Record) -> None:
        """Write a record, soon."""
        self._records[record.key] = record.as_json()
        self._write()

    def forget(self, key: str) -> None:
        """Remove a key's record: its stream is over."""
        if self._records.pop(key, None) is not None:
            self._write()

    def close(self) -> Deferred[None]:
        """Fire when everything is written."""
        return self._file.save(self._records)

    def _loaded(self, state: dict[str, object] | None) -> list[Record]:
        try:
            records = [Record.from_json(key, value) for key, value in (state or {}).items()]
        except ValueError as error:
            raise StateError(
                f"state file {PATH} holds {error}; repair it or move it away"
            ) from error
        self._records = {record.key: record.as_json() for record in records}
        return records

    def _write(self) -> None:
        self._file.save(self._records).addCallbacks(self._saved, self._failed)

    def _saved(self, _: None) -> None:
        self._failing = False

    def _failed(self, failure: Failure) -> None:
        if not self._failing:
            self._failing = True
            self._log.error(
                "the state directory cannot be written: {error}", error=failure.getErrorMessage()
            )
