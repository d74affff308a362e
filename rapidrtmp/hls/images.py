"""Image renditions: a picture for each segment, for the seek bars of players.

The Image Media Playlist specification (version 0.4, by Roku, Disney and others): tags that
RFC 8216 does not know, and that players which do not know them pass over.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rapidrtmp.hls.playlist import VERSION, program_date_time

CODEC = "jpeg"
"""CODECS of an image rendition."""


@dataclass(frozen=True, slots=True)
class Image:
    """The picture of one segment. It has the segment's Media Sequence Number."""

    sequence: int
    uri: str
    """Relative to the stream's life."""
    seconds: float
    """Of the segment."""
    wall: float
    """Unix time of the segment's start."""
    discontinuity: int
    """Discontinuities in the life of the stream before it, its own included."""
    is_discontinuity: bool
    size: tuple[int, int] | None
    """Width and height in pixels; None where there is no picture (EXT-X-GAP)."""


def image_playlist(
    images: Sequence[Image], *, base: str, target_duration: int, ended: bool
) -> bytes:
    """Return the media playlist of an image rendition.

    Args:
        images: at least one, with consecutive sequence numbers.
        base: what leads from the playlist to the life of the stream, with a '/' at its end.
        target_duration: seconds, that of the video.
        ended: none will follow.
    """
    first = images[0]
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{VERSION}",
        "#EXT-X-IMAGES-ONLY",
        f"#EXT-X-TARGETDURATION:{target_duration}",
        f"#EXT-X-MEDIA-SEQUENCE:{first.sequence}",
        f"#EXT-X-DISCONTINUITY-SEQUENCE:{first.discontinuity - first.is_discontinuity}",
    ]
    for image in images:
        if image.is_discontinuity:
            lines.append("#EXT-X-DISCONTINUITY")
        lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{program_date_time(image.wall)}")
        if image.size is None:
            lines.append("#EXT-X-GAP")
        lines.append(f"#EXTINF:{image.seconds:.6f},")
        if image.size is not None:
            width, height = image.size
            tiles = f"RESOLUTION={width}x{height},LAYOUT=1x1,DURATION={image.seconds:.6f}"
            lines.append(f"#EXT-X-TILES:{tiles}")
        lines.append(base + image.uri)
    if ended:
        lines.append("#EXT-X-ENDLIST")
    lines.append("")
    return "\n".join(lines).encode()


def image_stream_inf(uri: str, size: tuple[int, int], bandwidth: int) -> str:
    """Return the line of a multivariant playlist that names an image rendition.

    Args:
        uri: of its media playlist, relative to the multivariant playlist.
        size: width and height of the pictures in pixels.
        bandwidth: bit/s that they take at most.
    """
    width, height = size
    attributes = f'BANDWIDTH={bandwidth},RESOLUTION={width}x{height},CODECS="{CODEC}"'
    return f'#EXT-X-IMAGE-STREAM-INF:{attributes},URI="{uri}"'
