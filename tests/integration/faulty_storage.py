"""A storage plug-in whose disk fails as a file says: for what cannot be done to a real disk.

The file that the environment variable FAULTY_STORAGE names holds one word, read at every call:
nothing for a sound disk, the name of an error (``ENOSPC``), ``slow 2`` for calls that take so many
seconds more, or ``some EIO`` for an error in every third call.
"""

import errno
import os
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from rapidrtmp.interfaces import IStorage
from rapidrtmp.storage.backends import StorageSettings
from rapidrtmp.storage.local import LocalStorage

T = TypeVar("T")


class FaultyStorage(LocalStorage):
    """A directory whose calls fail, or block their thread, when they are told to."""

    name = "faulty"

    def __init__(self, control: Path, root: Path, reactor: Any) -> None:
        super().__init__(root, reactor)
        self._control = control
        self._numbers = count()

    def _work(self, work: Callable[[], T]) -> T:
        kind, _, argument = self._control.read_text().partition(" ")
        if kind == "slow":
            time.sleep(float(argument))
        elif kind == "some":
            if next(self._numbers) % 3 == 0:
                self._fail(argument)
        elif kind:
            self._fail(kind)
        return super()._work(work)

    def _fail(self, name: str) -> None:
        number = getattr(errno, name)
        raise OSError(number, os.strerror(number))


def open_faulty(settings: StorageSettings, reactor: Any) -> IStorage:
    """Make the storage."""
    return FaultyStorage(Path(os.environ["FAULTY_STORAGE"]), settings.directory, reactor)
