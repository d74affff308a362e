"""How HTTP and storage are to describe the files of an HLS output."""

import re
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b

from rapidrtmp.interfaces import IMMUTABLE, NO_CACHE, Growth, Representation

PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
MANIFEST_TYPE = "application/dash+xml"
MEDIA_TYPE = "video/mp4"
I_FRAMES = "-iframes.m3u8"
"""What the names of I-frame playlists end with."""
_I_FRAME_VARIANT = re.compile(rb"^#EXT-X-I-FRAME-STREAM-INF:.*\n", re.MULTILINE)
_MEDIA_PLAYLIST = re.compile(rb"/(video|audio)[0-9]{1,3}\.m3u8(?=\"?$)", re.MULTILINE)


def media_file(path: tuple[str, ...], content: bytes | Sequence[bytes]) -> Representation:
    """Describe a file below a life, whose path says all: it never changes."""
    return Representation(content, MEDIA_TYPE, IMMUTABLE, "-".join(path))


def growing_file(path: tuple[str, ...], pieces: Sequence[bytes], growth: Growth) -> Representation:
    """Describe a media file of which so far these pieces are there."""
    return replace(media_file(path, pieces), growth=growth)


def playlist_file(body: bytes) -> Representation:
    """Describe a playlist."""
    return Representation(body, PLAYLIST_TYPE, NO_CACHE, _digest(body))


def manifest_file(body: bytes) -> Representation:
    """Describe a DASH manifest."""
    return Representation(body, MANIFEST_TYPE, NO_CACHE, _digest(body))


def with_query(multivariant: Representation, query: str) -> Representation:
    """Make a multivariant playlist whose media playlists are asked for with a query."""
    body = _MEDIA_PLAYLIST.sub(rb"\g<0>" + query.encode("ascii"), multivariant.body)
    return replace(multivariant, content=body, etag=_digest(body))


def without_i_frames(multivariant: Representation) -> Representation:
    """Make a multivariant playlist for where there are no I-frame playlists: in storage."""
    body = _I_FRAME_VARIANT.sub(b"", multivariant.body)
    return replace(multivariant, content=body, etag=_digest(body))


def alias_of(file: Representation) -> Representation:
    """Describe a media file under a name that may mean another one later.

    Its tag must not tell the life, which keeps media from strangers.
    """
    return replace(file, cache_control=NO_CACHE, etag=_digest(file.body))


def _digest(body: bytes) -> str:
    return blake2b(body, digest_size=8).hexdigest()
