"""What the video codecs share: size limit, colour, and the visual sample entry (14496-12 12.1)."""

import struct
from dataclasses import replace

from rapidrtmp.isobmff.box import box
from rapidrtmp.media.codec import ColorInfo, ConfigError

MAX_DIMENSION = 16384
"""Pixels. The highest levels end a little above in one direction; encoders end well before."""
MAX_FRAME_RATE = 1000.0
"""Frames/s above which a stated rate is taken for nonsense."""
UNSPECIFIED = 2
"""The code point of H.273 that says nothing; 1 is BT.709 in all three tables."""

_MASTERING_SIZES = (16,) * 8 + (32,) * 2


def check_size(width: int, height: int) -> None:
    """Check the size of a picture in pixels.

    Raises:
        ConfigError: it is empty or larger than `MAX_DIMENSION`.
    """
    if not (0 < width <= MAX_DIMENSION and 0 < height <= MAX_DIMENSION):
        raise ConfigError(f"picture of {width}x{height}; 1 to {MAX_DIMENSION} pixels are allowed")


def stated_rate(ticks: int, timescale: int) -> float | None:
    """Return the frames/s of frames that last `ticks`, None where that makes no sense.

    Args:
        ticks: how long a frame is shown.
        timescale: ticks/s.
    """
    if ticks and 0 < timescale / ticks <= MAX_FRAME_RATE:
        return timescale / ticks
    return None


def combined_color(stated: ColorInfo | None, told: ColorInfo) -> ColorInfo:
    """Return the colour of a track.

    A decoder goes by the bitstream: what it says wins, and the publisher fills the gaps.

    Args:
        stated: what the bitstream says; None where it says nothing.
        told: what the publisher says.
    """
    if stated is None:
        return told
    return replace(
        told,
        primaries=told.primaries if stated.primaries == UNSPECIFIED else stated.primaries,
        transfer=told.transfer if stated.transfer == UNSPECIFIED else stated.transfer,
        matrix=told.matrix if stated.matrix == UNSPECIFIED else stated.matrix,
        full_range=stated.full_range,
    )


def is_plain(color: ColorInfo) -> bool:
    """Tell whether the code points are those that a codec string may leave out.

    AV1 and VP9 take BT.709 in limited range where nothing is said; what nobody has
    specified is left out as well.
    """
    code_points = (color.primaries, color.transfer, color.matrix)
    return not color.full_range and code_points in ((1, 1, 1), (UNSPECIFIED,) * 3)


def visual_sample_entry(
    type: bytes,
    width: int,
    height: int,
    configuration: bytes,
    color: ColorInfo,
    aspect_ratio: tuple[int, int] | None = None,
) -> bytes:
    """Return a VisualSampleEntry with the boxes that say how its pictures look.

    Args:
        type: of the entry, for example ``avc1``.
        width: pixels, after cropping.
        height: pixels, after cropping.
        configuration: the codec's own box.
        color: gives ``colr``, ``mdcv`` and ``clli`` (14496-12 12.1.5 to 12.1.7), each only
            where there is something to say. Numbers that do not fit become the nearest.
        aspect_ratio: width and height of a sample for ``pasp``.
    """
    # 12.1.3: 72 dpi, one frame a sample, no compressor name, depth 24
    head = struct.pack(">6xH16xHHIIIH32xHh", 1, width, height, 0x480000, 0x480000, 0, 1, 24, -1)
    boxes = [configuration]
    code_points = (color.primaries, color.transfer, color.matrix)
    if code_points != (UNSPECIFIED,) * 3 or color.full_range:
        numbers = b"".join(fitted(number, 16) for number in code_points)
        boxes.append(box(b"colr", b"nclx", numbers, bytes((color.full_range << 7,))))
    if len(color.mastering) == len(_MASTERING_SIZES):
        fields = zip(color.mastering, _MASTERING_SIZES, strict=True)
        boxes.append(box(b"mdcv", *(fitted(number, size) for number, size in fields)))
    if color.max_cll or color.max_fall:
        boxes.append(box(b"clli", fitted(color.max_cll, 16), fitted(color.max_fall, 16)))
    if aspect_ratio is not None:
        boxes.append(box(b"pasp", struct.pack(">II", *aspect_ratio)))
    return box(type, head, *boxes)


def fitted(number: int, size: int) -> bytes:
    """Return an unsigned number in `size` bits, or the nearest that fits: publishers tell any."""
    return min(max(number, 0), (1 << size) - 1).to_bytes(size // 8, "big")
