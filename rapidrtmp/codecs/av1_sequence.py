"""Sequence header of AV1 (AV1 bitstream specification, sections 5.5 and 6.4)."""

from dataclasses import dataclass

from rapidrtmp.codecs.visual import UNSPECIFIED, check_size, stated_rate
from rapidrtmp.media.bits import BitReader, BitstreamError
from rapidrtmp.media.codec import ColorInfo, ConfigError

MAIN, HIGH, PROFESSIONAL = range(3)
"""seq_profile."""

_SRGB = (1, 13, 0)
"""Code points with which pictures are RGB: 4:4:4 in full range, said nowhere else."""


@dataclass(frozen=True, slots=True)
class SequenceHeader:
    """The fields that a container and a playlist need."""

    profile: int
    level: int
    """seq_level_idx of the first operating point."""
    tier: int
    bit_depth: int
    is_monochrome: bool
    subsampling: tuple[int, int]
    """subsampling_x and subsampling_y."""
    chroma_sample_position: int
    color: ColorInfo
    width: int
    height: int
    """Pixels, of the largest frame."""
    frame_rate: float | None


def parse_sequence_header(octets: bytes) -> SequenceHeader:
    """Parse the content of a sequence header OBU.

    Raises:
        ConfigError: it ends too early, is of a still picture, or holds what is reserved.
    """
    try:
        return _parse(BitReader(octets))
    except BitstreamError as error:
        raise ConfigError(f"broken AV1 sequence header: {error}") from error


def _parse(reader: BitReader) -> SequenceHeader:
    profile = reader.read(3)
    if profile > PROFESSIONAL:
        raise ConfigError(f"AV1 profile {profile} is reserved")
    reader.skip(1)
    if reader.flag():
        raise ConfigError("AV1 still picture")
    frame_rate, level, tier = _read_operation(reader)
    width_bits, height_bits = reader.read(4) + 1, reader.read(4) + 1
    width, height = reader.read(width_bits) + 1, reader.read(height_bits) + 1
    check_size(width, height)
    _skip_tools(reader)

    is_high, is_deep = reader.flag(), False
    if is_high and profile == PROFESSIONAL:
        is_deep = reader.flag()
    bit_depth = 12 if is_deep else 10 if is_high else 8
    is_monochrome = profile != HIGH and reader.flag()
    code_points = (UNSPECIFIED,) * 3
    if reader.flag():
        code_points = (reader.read(8), reader.read(8), reader.read(8))
    subsampling, position = (1, 1), 0
    if is_monochrome:
        full_range = reader.flag()
    elif code_points == _SRGB:
        full_range, subsampling = True, (0, 0)
    else:
        full_range = reader.flag()
        subsampling = _read_subsampling(reader, profile, is_deep)
        if subsampling == (1, 1):
            position = reader.read(2)
    return SequenceHeader(
        profile,
        level,
        tier,
        bit_depth,
        is_monochrome,
        subsampling,
        position,
        ColorInfo(*code_points, full_range),
        width,
        height,
        frame_rate,
    )


def _read_operation(reader: BitReader) -> tuple[float | None, int, int]:
    """Read timing and operating points; return the frame rate, and the first's level and tier."""
    frame_rate = None
    delay_bits = 0
    if reader.flag():  # timing_info_present_flag
        ticks, timescale = reader.read(32), reader.read(32)
        if reader.flag():  # equal_picture_interval
            frame_rate = stated_rate(ticks * (reader.ue() + 1), timescale)
        if reader.flag():  # decoder_model_info_present_flag
            delay_bits = reader.read(5) + 1
            reader.skip(32 + 5 + 5)
    has_display_delay = reader.flag()
    points = []
    for _ in range(reader.read(5) + 1):
        reader.skip(12)  # operating_point_idc
        level = reader.read(5)
        points.append((level, reader.read(1) if level > 7 else 0))
        if delay_bits and reader.flag():
            reader.skip(2 * delay_bits + 1)
        if has_display_delay and reader.flag():
            reader.skip(4)
    return frame_rate, *points[0]


def _skip_tools(reader: BitReader) -> None:
    """Pass over what stands between the size and color_config()."""
    if reader.flag():  # frame_id_numbers_present_flag
        reader.skip(4 + 3)
    reader.skip(3 + 4)  # use_128x128_superblock to enable_intra_edge_filter; four tools more
    has_order_hint = reader.flag()
    if has_order_hint:
        reader.skip(2)
    # seq_choose_screen_content_tools, or else seq_force_screen_content_tools; where these
    # tools are not ruled out, seq_choose_integer_mv, or else seq_force_integer_mv
    if (reader.flag() or reader.flag()) and not reader.flag():
        reader.skip(1)
    if has_order_hint:
        reader.skip(3)
    reader.skip(3)  # enable_superres, enable_cdef, enable_restoration


def _read_subsampling(reader: BitReader, profile: int, is_deep: bool) -> tuple[int, int]:
    """Return subsampling_x and subsampling_y; all but 12 bit pictures have their profile's."""
    if is_deep:
        x = reader.read(1)
        return x, reader.read(1) if x else 0
    return {MAIN: (1, 1), HIGH: (0, 0), PROFESSIONAL: (1, 0)}[profile]
