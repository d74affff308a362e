"""What addresses below ``/live/`` mean."""

# Twisted's functions carry no annotations yet.
# mypy: allow-untyped-calls

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from twisted.web.http import parse_qs

from rapidrtmp.interfaces import NO_QUERY
from rapidrtmp.web.session import Session, read_session

REMEMBERED = 4096
"""Addresses, and queries, that are remembered: a player asks for its playlists again and again,
and all players ask for the same part at the same time."""

MAX_REMEMBERED = 256
"""Bytes of an address, or a query, that is remembered. Signed ones have under 200."""


class Address(NamedTuple):
    """An address below ``/live/``."""

    route: str
    """The kind of address, in metrics."""
    key: str | None
    """The first part: mostly a stream key. None when there is none, or one that is not ASCII."""
    path: tuple[str, ...]
    """The parts behind it, without the session."""
    session: Session | None
    is_malformed: bool
    """Whether there is something in the place of a session that is none."""


def read_address(parts: Sequence[bytes]) -> Address:
    """Read the parts of an address after ``/live/``."""
    whole = tuple(parts)
    if sum(map(len, whole)) > MAX_REMEMBERED:
        return _read_address.__wrapped__(whole)
    return _read_address(whole)


@lru_cache(REMEMBERED)
def _read_address(parts: tuple[bytes, ...]) -> Address:
    try:
        key, *path = [part.decode("ascii") for part in parts]
    except ValueError:
        return Address(route(parts), None, (), None, False)
    session = None
    is_malformed = False
    if len(path) == 2 and "." in path[0]:
        session = read_session(path[0])
        is_malformed = session is None
        if session is not None:
            path[0] = session.life
    return Address(route(parts), key, tuple(path), session, is_malformed)


def route(path: Sequence[bytes]) -> str:
    """Name the kind of address, in metrics, by its parts after ``/live/``."""
    match path:
        case (b"time",):
            return "/live/time"
        case (_, b"index.m3u8" | b"init.mp4" | b"manifest.mpd" | b"thumb.jpg" as name):
            return f"/live/:streamKey/{name.decode('ascii')}"
        case (_, b"ts", b"index.m3u8"):
            return "/live/:streamKey/ts/index.m3u8"
        case (_, _, _):
            return "/live/:streamKey/:life/:playlist"
        case (_, _, _, _):
            return "/live/:streamKey/:life/:track/:segment"
    return "unknown"


def read_query(query: bytes) -> Mapping[str, Sequence[str]]:
    """Return all values of each parameter of a query."""
    if not query:
        return NO_QUERY
    return _read_query(query) if len(query) <= MAX_REMEMBERED else _read_query.__wrapped__(query)


@lru_cache(REMEMBERED)
def _read_query(query: bytes) -> Mapping[str, Sequence[str]]:
    return {
        name.decode("latin-1"): [value.decode("latin-1") for value in several]
        for name, several in parse_qs(query, keep_blank_values=True).items()
    }
