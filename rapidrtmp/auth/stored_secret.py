"""Secrets that the server draws by lot and keeps over a restart, each in a file of its own."""

import re
from collections.abc import Generator, Mapping
from secrets import token_bytes
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks

from rapidrtmp.interfaces import IStorage
from rapidrtmp.state import StateError, StateFile

SECRET_BYTES = 32
"""As long as a SHA-256: nothing to guess, and more would add nothing."""
SECRET_SCHEMA = 1

_SECRET = re.compile(f"[0-9a-f]{{{2 * SECRET_BYTES}}}")


class StoredSecret:
    """A secret of the server alone."""

    def __init__(self, storage: IStorage, path: str, loss: str) -> None:
        """Draw one. Call `load` before it is used.

        Args:
            storage: keeps it over a restart.
            path: its file there.
            loss: what a new one in its place does, a clause that follows 'which'.
        """
        self.value = token_bytes(SECRET_BYTES)
        """The secret."""
        self._file = StateFile(storage, path, SECRET_SCHEMA)
        self._path = path
        self._loss = loss

    @inlineCallbacks
    def load(self) -> Generator[Deferred[Any], Any, None]:
        """Take over the secret of before the restart; at the first start, store the own one.

        Fails with StateError when the file is broken or was written by a newer version, and
        as `IStorage.get` and `IStorage.put` do.
        """
        state = yield self._file.load()
        if state is None:
            yield self._file.save({"secret": self.value.hex()})
        else:
            self.value = self._read(state)

    def _read(self, state: Mapping[str, object]) -> bytes:
        match state:
            case {"secret": str(digits)} if _SECRET.fullmatch(digits):
                return bytes.fromhex(digits)
        raise StateError(
            f"state file {self._path} holds no secret; repair it or move it away,"
            f" which {self._loss}"
        )
