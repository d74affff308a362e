"""When a stream's files go away: what ended, and what a former process left behind."""

import re
from math import inf

from rapidrtmp.interfaces import NO_CACHE, IStorage

AFTER_END = 60.0
"""Seconds, besides its playlist's length, that an ended stream can still be watched."""

MULTIVARIANT = "index.m3u8"
_LIFE = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"(video|audio)[0-9]{1,3}")
_PLAYLIST = re.compile(_NAME.pattern + r"\.m3u8")
_FILE = re.compile(r"([0-9]{1,16}\.m4s|init-[0-9a-f]{8}\.mp4)")
ENDLIST = b"#EXT-X-ENDLIST\n"


def is_media_path(path: tuple[str, ...]) -> bool:
    """Tell whether a path below a stream's key is one that a life of it may have had."""
    match path:
        case (life, playlist):
            return bool(_LIFE.fullmatch(life) and _PLAYLIST.fullmatch(playlist))
        case (life, name, file):
            return bool(_LIFE.fullmatch(life) and _NAME.fullmatch(name) and _FILE.fullmatch(file))
    return False


async def end_playlists(storage: IStorage, key: str, life: str) -> None:
    """Close the stored media playlists of a life that a former process left open."""
    for entry in await storage.list(f"{key}/{life}"):
        if entry.path.endswith(".m3u8"):
            body = await storage.get(entry.path)
            if not body.endswith(ENDLIST):
                await storage.put(
                    entry.path, (body, ENDLIST), "application/vnd.apple.mpegurl", NO_CACHE
                )


async def remove_life(storage: IStorage, key: str, life: str) -> None:
    """Remove all files of an ended life, and the multivariant playlist if it is still its."""
    for entry in await storage.list(f"{key}/{life}"):
        await storage.delete(entry.path)
    await _remove_multivariant(storage, key, life, inf)


async def sweep(storage: IStorage, alive: set[tuple[str, str]], before: float) -> int:
    """Remove files of former lives. Touches nothing that is not named as our media are.

    Args:
        storage: where to look.
        alive: (key, life) of the streams that go on; theirs are left alone.
        before: unix time: what was written later is left alone.

    Returns:
        How many files were removed.
    """
    removed = 0
    lives = set()
    for entry in await storage.list():
        key, *rest = entry.path.split("/")
        path = tuple(rest)
        if entry.modified < before and is_media_path(path) and (key, path[0]) not in alive:
            await storage.delete(entry.path)
            removed += 1
            lives.add((key, path[0]))
    for key, life in lives:
        await _remove_multivariant(storage, key, life, before)
    return removed


async def _remove_multivariant(storage: IStorage, key: str, life: str, before: float) -> None:
    """Remove a key's multivariant playlist if it is an old one of this life."""
    for entry in await storage.list(f"{key}/{MULTIVARIANT}"):
        if entry.modified < before and life.encode() in await storage.get(entry.path):
            await storage.delete(entry.path)
