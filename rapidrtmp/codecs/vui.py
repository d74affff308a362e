"""Video usability information, the part that H.264 and H.265 share (H.264 E.1, H.265 E.2)."""

from dataclasses import dataclass

from rapidrtmp.media.bits import BitReader
from rapidrtmp.media.codec import ColorInfo

_EXTENDED_SAR = 255
_SAMPLE_ASPECT_RATIOS = {
    1: (1, 1),
    2: (12, 11),
    3: (10, 11),
    4: (16, 11),
    5: (40, 33),
    6: (24, 11),
    7: (20, 11),
    8: (32, 11),
    9: (80, 33),
    10: (18, 11),
    11: (15, 11),
    12: (64, 33),
    13: (160, 99),
    14: (4, 3),
    15: (3, 2),
    16: (2, 1),
}
"""aspect_ratio_idc (H.264 table E-1)."""


@dataclass(frozen=True, slots=True)
class VUI:
    """Video usability information, as far as a container cares."""

    aspect_ratio: tuple[int, int] | None = None
    """Sample width and height, both positive."""
    color: ColorInfo | None = None
    frame_rate: float | None = None
    """Frames/s."""


def read_look(reader: BitReader) -> tuple[tuple[int, int] | None, ColorInfo | None]:
    """Read from the start of a VUI to its chroma location: both standards have the same.

    Returns:
        The sample aspect ratio and the colour, each None where it is not said.

    Raises:
        BitstreamError: the bits end too early.
    """
    aspect_ratio = None
    if reader.flag():
        indication = reader.read(8)
        if indication == _EXTENDED_SAR:
            aspect_ratio = (reader.read(16), reader.read(16))
            if not all(aspect_ratio):
                aspect_ratio = None
        else:
            aspect_ratio = _SAMPLE_ASPECT_RATIOS.get(indication)
    if reader.flag():
        reader.skip(1)
    color = None
    if reader.flag():
        reader.skip(3)
        color = ColorInfo(full_range=reader.flag())
        if reader.flag():
            code_points = reader.read(8), reader.read(8), reader.read(8)
            color = ColorInfo(*code_points, full_range=color.full_range)
    if reader.flag():
        reader.ue()
        reader.ue()
    return aspect_ratio, color
