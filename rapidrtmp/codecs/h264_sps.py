"""Sequence parameter set of H.264: what its head and its VUI say (ITU-T H.264 7.3.2.1, E.1)."""

from dataclasses import dataclass

from rapidrtmp.codecs.nal_unit import unescaped
from rapidrtmp.codecs.visual import check_size, stated_rate
from rapidrtmp.codecs.vui import VUI, read_look
from rapidrtmp.media.bits import BitReader, BitstreamError
from rapidrtmp.media.codec import ConfigError

MAX_CYCLE = 255
"""num_ref_frames_in_pic_order_cnt_cycle (H.264 section 7.4.2.1.1)."""

_WITH_CHROMA = frozenset((44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 144, 244))
"""profile_idc whose sets carry chroma format, bit depths and scaling lists (H.264 7.3.2.1.1)."""


@dataclass(frozen=True, slots=True)
class SequenceParameterSet:
    """The fields that a container and a playlist need."""

    profile_idc: int
    set_id: int
    chroma_format_idc: int
    bit_depth_luma: int
    bit_depth_chroma: int
    width: int
    """Pixels, after cropping."""
    height: int
    vui: VUI


def parse_sps(nal_unit: bytes) -> SequenceParameterSet:
    """Parse a sequence parameter set NAL unit.

    A VUI that makes no sense is left out: real encoders send such.

    Raises:
        ConfigError: it ends too early, or the picture size is impossible.
    """
    reader = BitReader(unescaped(nal_unit))
    try:
        return _parse(reader)
    except BitstreamError as error:
        raise ConfigError(f"broken H.264 sequence parameter set: {error}") from error


def _parse(reader: BitReader) -> SequenceParameterSet:
    reader.skip(8)
    profile_idc = reader.read(8)
    reader.skip(16)
    set_id = reader.ue()
    chroma_format_idc, separate_planes, depth_luma, depth_chroma = 1, False, 8, 8
    if profile_idc in _WITH_CHROMA:
        chroma_format_idc = reader.ue()
        if chroma_format_idc > 3:
            raise ConfigError(f"chroma_format_idc {chroma_format_idc}; at most 3 is allowed")
        separate_planes = chroma_format_idc == 3 and reader.flag()
        depth_luma = 8 + reader.ue()
        depth_chroma = 8 + reader.ue()
        if max(depth_luma, depth_chroma) > 14:
            raise ConfigError(f"{depth_luma} and {depth_chroma} bits a sample; at most 14 allowed")
        reader.skip(1)
        if reader.flag():
            _skip_scaling_lists(reader, 8 if chroma_format_idc != 3 else 12)
    reader.ue()
    _skip_picture_order(reader)
    reader.ue()
    reader.skip(1)
    width = 16 * (reader.ue() + 1)
    map_units = reader.ue() + 1
    frame_mbs_only = reader.read(1)
    height = 16 * map_units * (2 - frame_mbs_only)
    if not frame_mbs_only:
        reader.skip(1)
    reader.skip(1)
    if reader.flag():
        planar = chroma_format_idc == 0 or separate_planes
        unit_x = 1 if planar or chroma_format_idc == 3 else 2
        unit_y = (2 if chroma_format_idc == 1 else 1) * (2 - frame_mbs_only)
        width -= unit_x * (reader.ue() + reader.ue())
        height -= unit_y * (reader.ue() + reader.ue())
    check_size(width, height)
    try:
        vui = _parse_vui(reader) if reader.flag() else VUI()
    except BitstreamError:
        vui = VUI()
    return SequenceParameterSet(
        profile_idc, set_id, chroma_format_idc, depth_luma, depth_chroma, width, height, vui
    )


def _skip_scaling_lists(reader: BitReader, count: int) -> None:
    """Pass over the scaling lists (H.264 section 7.3.2.1.1.1)."""
    for index in range(count):
        if reader.flag():
            last = following = 8
            for _ in range(16 if index < 6 else 64):
                if following:
                    following = (last + reader.se()) & 0xFF
                last = following or last


def _skip_picture_order(reader: BitReader) -> None:
    """Pass over the picture order count fields."""
    order_type = reader.ue()
    if order_type == 0:
        reader.ue()
    elif order_type == 1:
        reader.skip(1)
        reader.se()
        reader.se()
        cycle = reader.ue()
        if cycle > MAX_CYCLE:
            raise BitstreamError(f"picture order cycle of {cycle}; at most {MAX_CYCLE} is allowed")
        for _ in range(cycle):
            reader.se()


def _parse_vui(reader: BitReader) -> VUI:
    """Parse the VUI up to its timing (H.264 section E.1.1)."""
    aspect_ratio, color = read_look(reader)
    frame_rate = None
    if reader.flag():
        ticks, timescale = reader.read(32), reader.read(32)
        frame_rate = stated_rate(2 * ticks, timescale)  # a tick is a field: two make a frame
    return VUI(aspect_ratio, color, frame_rate)
