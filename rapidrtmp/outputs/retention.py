"""When a stream's files go away: what ended, and what a former process left behind."""

import re
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from math import inf
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from rapidrtmp.interfaces import NO_CACHE, IStorage, NotFound
from rapidrtmp.outputs.files import PLAYLIST_TYPE

AFTER_END = 60.0
"""Seconds, besides its playlist's length, that an ended stream can still be watched."""

MULTIVARIANT = "index.m3u8"
_LIFE = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"(video|audio)[0-9]{1,3}")
_PLAYLIST = re.compile(_NAME.pattern + r"\.m3u8")
_FILE = re.compile(r"([0-9]{1,16}\.m4s|init-[0-9a-f]{8}\.mp4)")
_INDEX = re.compile(rf"({_NAME.pattern})/[0-9]{{1,16}}\.json")
ENDLIST = b"#EXT-X-ENDLIST\n"
_log = Logger()


def is_media_path(path: tuple[str, ...]) -> bool:
    """Tell whether a path below a stream's key is one that a life of it may have had."""
    match path:
        case (life, playlist):
            return bool(_LIFE.fullmatch(life) and _PLAYLIST.fullmatch(playlist))
        case (life, name, file):
            return bool(_LIFE.fullmatch(life) and _NAME.fullmatch(name) and _FILE.fullmatch(file))
    return False


def read_index_name(uri: str) -> str | None:
    """Return the rendition whose past a file below a life tells of; None when it tells of none."""
    found = _INDEX.fullmatch(uri)
    return None if found is None else found[1]


def _is_index_path(path: tuple[str, ...]) -> bool:
    is_below_life = len(path) == 3 and _LIFE.fullmatch(path[0]) is not None
    return is_below_life and read_index_name("/".join(path[1:])) is not None


def attempt(retention: Coroutine[Deferred[Any], Any, None], key: str) -> None:
    """Run one of the coroutines of this module behind everybody's back; a failure is logged.

    The next start of the server sweeps up what was left.

    Args:
        retention: of an ended life.
        key: the stream key.
    """

    def failed(failure: Failure) -> None:
        _log.error(
            "stream {key}: could not end or remove stored files of its ended life: {error}",
            key=key,
            error=failure.getErrorMessage(),
        )

    Deferred.fromCoroutine(retention).addErrback(failed)


async def end_playlists(storage: IStorage, key: str, life: str) -> None:
    """Close the stored media playlists of a life that a former process left open."""
    for entry in await storage.list(f"{key}/{life}"):
        if entry.path.endswith(".m3u8"):
            body = await storage.get(entry.path)
            if not body.endswith(ENDLIST):
                await storage.put(entry.path, (body, ENDLIST), PLAYLIST_TYPE, NO_CACHE)


async def remove_life(storage: IStorage, key: str, life: str) -> None:
    """Remove all files of an ended life, and the multivariant playlist if it is still its."""
    await _remove_multivariant(storage, key, life, inf)
    await _remove(storage, [entry.path for entry in await storage.list(f"{key}/{life}")])


async def sweep(storage: IStorage, alive: set[tuple[str, str]], before: float) -> int:
    """Remove files of former lives. Touches nothing that is not named as our media are.

    Args:
        storage: where to look.
        alive: (key, life) of the streams that go on; theirs are left alone.
        before: unix time: what was written later is left alone.

    Returns:
        How many files were removed. The log tells how many could not be.
    """
    paths = []
    lives = set()
    for entry in await storage.list():
        key, *rest = entry.path.split("/")
        path = tuple(rest)
        is_ours = is_media_path(path) or _is_index_path(path)
        if entry.modified < before and is_ours and (key, path[0]) not in alive:
            paths.append(entry.path)
            lives.add((key, path[0]))
    for key, life in lives:
        await _remove_multivariant(storage, key, life, before)
    return await _remove(storage, paths)


async def _remove(storage: IStorage, paths: Sequence[str]) -> int:
    """Remove files, as many as can be, playlists before what they name; return how many."""
    failures: list[tuple[str, OSError]] = []
    for path in sorted(paths, key=lambda path: not path.endswith(".m3u8")):
        try:
            await storage.delete(path)
        except OSError as error:
            failures.append((path, error))
    if failures:
        _log.error(
            "could not remove {failed} of {total} files of ended lives, first {path}: {error}",
            failed=len(failures),
            total=len(paths),
            path=failures[0][0],
            error=failures[0][1],
        )
    return len(paths) - len(failures)


async def _remove_multivariant(storage: IStorage, key: str, life: str, before: float) -> None:
    """Remove a key's multivariant playlist if it is an old one of this life."""
    for entry in await storage.list(f"{key}/{MULTIVARIANT}"):
        with suppress(NotFound):  # the key's next life may have removed it meanwhile
            if entry.modified < before and life.encode() in await storage.get(entry.path):
                await storage.delete(entry.path)
