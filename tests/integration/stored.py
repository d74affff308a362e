"""Judge of STORAGE_DIR: every file is whole, and whatever a stored playlist names is there."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from tests.hls import checker as hls
from tests.isobmff import checker as isobmff


def problems(root: Path, cdn: str = "") -> list[str]:
    """Say what is wrong with the files below a storage directory, at any moment.

    Args:
        root: the directory.
        cdn: the URL at which media playlists name the same files, where they do.
    """

    def at(playlist: Path, uri: str) -> Path:
        if cdn and uri.startswith(cdn):
            return root / unquote(uri.removeprefix(cdn).lstrip("/"))
        return playlist.parent / unquote(uri)

    wrong: list[str] = []
    playlists = 0
    for path in sorted(root.rglob("*")):
        if path.suffix not in (".m3u8", ".m4s", ".mp4"):
            continue
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue  # deleted meanwhile
        if path.suffix == ".m3u8":
            playlists += 1
            wrong += _playlist_problems(path, content, partial(at, path))
            continue
        try:
            boxes = isobmff.parse_boxes(content)
        except isobmff.CheckError as error:
            wrong.append(f"{path}: {error}")
        else:
            if not boxes:
                wrong.append(f"{path} is empty")
    if not playlists:
        wrong.append(f"no playlist below {root}")
    return wrong


def _playlist_problems(path: Path, content: bytes, at: Callable[[str], Path]) -> list[str]:
    try:
        if b"#EXTINF" not in content:
            multivariant = hls.parse_multivariant_playlist(content)
            uris = [variant.uri for variant in multivariant.variants]
            uris += [audio.uri for audio in multivariant.audio]
            return [f"{path} names {uri}" for uri in uris if not at(uri).exists()]
        playlist = hls.parse_media_playlist(content)
    except hls.CheckError as error:
        return [f"{path}: {error}"]
    wrong = []
    for segment in playlist.segments:
        if segment.is_gap:
            continue
        try:
            movie = isobmff.parse_init(at(segment.map_uri).read_bytes())
            isobmff.parse_segment(movie, at(segment.uri).read_bytes())
        except FileNotFoundError as error:
            # A long poll of a moving window: the playlist may be another one, or gone, by now.
            if path.exists() and path.read_bytes() == content:
                wrong.append(f"{path} names {error.filename}")
        except isobmff.CheckError as error:
            wrong.append(f"{path}: {segment.uri}: {error}")
    return wrong
