"""A hook for RapidRTMP: a database says which stream keys may be published.

    pip install examples/doorman          # into the environment of RapidRTMP
    export DOORMAN_DATABASE=$PWD/doorman.db
    python -m doorman allow show          # makes the database
    rapidrtmp serve

The database is SQLite's. With another one that has a DB-API 2.0 module, such as psycopg, only what
is given to `ConnectionPool` changes, and the mark for a parameter.
"""

import os
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.enterprise.adbapi import ConnectionPool
from twisted.logger import Logger

from rapidrtmp.interfaces import AccessDenied, AccessRequest, Refusal
from rapidrtmp.stream.events import StreamEvent

TABLE = "CREATE TABLE IF NOT EXISTS publishers (stream_key TEXT PRIMARY KEY, allowed INTEGER)"
QUESTION = "SELECT allowed FROM publishers WHERE stream_key = ?"
ANSWER = "INSERT OR REPLACE INTO publishers VALUES (?, ?)"


def database() -> Path:
    """Tell where the database is."""
    return Path(os.environ.get("DOORMAN_DATABASE", "doorman.db")).absolute()


class Doorman:
    """Looks up stream keys in the database that DOORMAN_DATABASE names, and counts segments."""

    _log = Logger()

    def __init__(self, reactor: Any) -> None:
        # It has threads of its own: a database that is slow holds up nobody else.
        self._database = ConnectionPool(
            "sqlite3",
            f"{database().as_uri()}?mode=ro",
            uri=True,
            check_same_thread=False,
            cp_reactor=reactor,
            cp_noisy=False,
        )
        self._segments = Counter[str]()

    async def on_publish(self, request: AccessRequest) -> None:
        """Allow the keys of the database, as it is now."""
        rows = await self._database.runQuery(QUESTION, (request.key,))
        if not rows:
            raise AccessDenied(Refusal.DENIED, f"{request.key} is not on the list")
        if not rows[0][0]:
            raise AccessDenied(Refusal.DENIED, f"{request.key} may not publish for now")

    def on_segment(self, event: StreamEvent) -> None:
        """Count."""
        self._segments[event.key] += 1

    def on_unpublish(self, event: StreamEvent) -> None:
        """Say how it went."""
        count = self._segments[event.key]
        self._log.info("{key} is off: {count} segments so far", key=event.key, count=count)

    def close(self) -> None:
        """Put the connections away when the server stops."""
        self._database.close()


def main(arguments: list[str]) -> None:
    """Allow or forbid a stream key: ``python -m doorman allow|forbid <stream key>``."""
    match arguments:
        case ["allow" | "forbid" as word, key]:
            with closing(sqlite3.connect(database())) as connection, connection:
                connection.execute(TABLE)
                connection.execute(ANSWER, (key, word == "allow"))
        case _:
            sys.exit("usage: python -m doorman allow|forbid <stream key>")


if __name__ == "__main__":
    main(sys.argv[1:])
