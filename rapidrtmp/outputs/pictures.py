"""What is known of thumbnails before they are made: how large they are, and out of what."""

from collections.abc import Iterator

from rapidrtmp.media.codec import VideoConfig
from rapidrtmp.media.track import Track

IMAGES = "image1"
"""The image rendition, beside ``video1`` and ``audio2``."""
IMAGE_PLAYLIST = f"{IMAGES}.m3u8"

MAX_ASPECT = 4
"""The longer side of a picture by the shorter one, at most: a broken stream may say anything."""

_ENTRY = 86
"""Bytes of a VisualSampleEntry before its boxes (ISO/IEC 14496-12 section 12.1.3)."""


def _boxes(entry: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Read type and content of the boxes in a VisualSampleEntry of our own making."""
    position = _ENTRY
    while position + 8 <= len(entry):
        size = int.from_bytes(entry[position : position + 4], "big")
        yield entry[position + 4 : position + 8], entry[position + 8 : position + size]
        position += max(size, 8)


def decoder_record(track: Track) -> bytes:
    """Return the record that a decoder of the samples needs.

    Not the one that was received: that may be incomplete, and have other NAL unit lengths.
    """
    return next(_boxes(track.config.sample_entry()))[1]


def picture_size(track: Track, width: int) -> tuple[int, int]:
    """Return width and height of the thumbnails of a video track, both even.

    Args:
        track: whose configuration is complete. Pixels that are not square are reckoned with.
        width: pixels, as far as the video is so wide.
    """
    config = VideoConfig(track.config)
    across, down = config.width, config.height
    aspect = dict(_boxes(config.sample_entry())).get(b"pasp")
    if aspect is not None:
        horizontal, vertical = (int.from_bytes(aspect[at : at + 4], "big") for at in (0, 4))
        across = max(1, across * horizontal // vertical)
    width = max(2, min(width, across) & ~1)
    height = min(max(down * width / across, width / MAX_ASPECT), width * MAX_ASPECT)
    return width, max(2, 2 * round(height / 2))
