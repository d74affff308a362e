"""State that survives a restart: small JSON files, kept by a storage."""

import json
from collections.abc import Generator, Mapping
from typing import Any, NoReturn

from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.python.failure import Failure

from rapidrtmp.interfaces import NO_CACHE, IStorage, NotFound


class StateError(Exception):
    """A state file is there but cannot be used. It is left as it is, for a person to look at."""


class StateFile:
    """One JSON object in one file, with the version of its layout: ``{"schema": 1, "state": {}}``.

    At most one write is under way. Saves that come meanwhile are combined into the next one.
    """

    def __init__(self, storage: IStorage, path: str, schema: int) -> None:
        """Name the file; nothing is read or written yet.

        Args:
            storage: where it is kept.
            path: its path there.
            schema: version of the layout that this program reads and writes.
        """
        self._storage = storage
        self._path = path
        self._schema = schema
        self._writing = False
        self._next: Mapping[str, object] = {}
        self._waiting: list[Deferred[None]] = []

    @inlineCallbacks
    def load(self) -> Generator[Deferred[Any], Any, dict[str, object] | None]:
        """Fire with the state, or with None when there is no file.

        Fails with StateError when the file is broken or of another schema, and as
        `IStorage.get` does.
        """
        try:
            body = yield self._storage.get(self._path)
        except NotFound:
            return None
        return self._decode(body)

    def save(self, state: Mapping[str, object]) -> Deferred[None]:
        """Store the state in place of what is there.

        The Deferred fires when this state or a newer one has been stored. It fails as
        `IStorage.put` does (what was stored before is still there, and later saves work), or
        with TypeError or ValueError when it is not JSON.

        Args:
            state: turned into JSON when its write starts. Given again after a change, the same
                mapping may therefore be changed in place.
        """
        stored: Deferred[None] = Deferred()
        self._next = state
        self._waiting.append(stored)
        if not self._writing:
            self._write()
        return stored

    def _write(self) -> None:
        self._writing = True
        waiting, self._waiting = self._waiting, []
        maybeDeferred(self._put, self._next).addBoth(self._written, waiting)

    def _put(self, state: Mapping[str, object]) -> Deferred[None]:
        document = {"schema": self._schema, "state": state}
        body = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
        return self._storage.put(self._path, (body,), "application/json", NO_CACHE)

    def _written(self, result: Failure | None, waiting: list[Deferred[None]]) -> None:
        self._writing = False
        if self._waiting:
            self._write()
        for stored in waiting:
            if isinstance(result, Failure):
                stored.errback(result)
            else:
                stored.callback(None)

    def _decode(self, body: bytes) -> dict[str, object]:
        try:
            document = json.loads(body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise self._unusable(f"is not JSON: {error}") from None
        if not isinstance(document, dict) or type(document.get("schema")) is not int:
            raise self._unusable("names no schema version")
        schema = document["schema"]
        if schema != self._schema:
            age = "a newer" if schema > self._schema else "another"
            raise self._unusable(
                f"was written by {age} version of this program"
                f" (schema {schema}, this one reads {self._schema})"
            )
        state = document.get("state")
        if not isinstance(state, dict):
            raise self._unusable("holds no state")
        return state

    def _unusable(self, why: str) -> StateError:
        return StateError(f"state file {self._path} {why}; repair it or move it away")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
