"""Sequence parameter set of H.265: profile, size, VUI (ITU-T H.265 7.3.2.2, 7.3.3, E.2.1)."""

from dataclasses import dataclass

from rapidrtmp.codecs.nal_unit import unescaped
from rapidrtmp.codecs.visual import check_size, stated_rate
from rapidrtmp.codecs.vui import VUI, read_look
from rapidrtmp.media.bits import BitReader, BitstreamError
from rapidrtmp.media.codec import ConfigError

HEADER = 2
"""Bytes of a NAL unit header."""
MAX_SHORT_TERM_SETS = 64
MAX_LONG_TERM_PICTURES = 32
MAX_REFERENCES = 16
"""Pictures that one short-term set names in each direction (H.265 section 7.4.8)."""

_PROFILE_AT = HEADER + 1
_PROFILE_SIZE = 12
"""general_profile_space to general_level_idc: 96 bits."""


@dataclass(frozen=True, slots=True)
class SequenceParameterSet:
    """The fields that a container and a playlist need."""

    profile: bytes
    """The 12 bytes from general_profile_space to general_level_idc."""
    temporal_layers: int
    is_temporal_id_nested: bool
    chroma_format_idc: int
    bit_depth_luma: int
    bit_depth_chroma: int
    width: int
    """Pixels, inside of the conformance window."""
    height: int
    vui: VUI


def read_set_id(nal_unit: bytes) -> int:
    """Return sps_seq_parameter_set_id.

    Raises:
        BitstreamError: the set ends before it.
    """
    reader = BitReader(unescaped(nal_unit))
    reader.skip(8 * HEADER + 4)
    _skip_profile(reader)
    return reader.ue()


def parse_sps(nal_unit: bytes) -> SequenceParameterSet:
    """Parse a sequence parameter set NAL unit.

    A VUI that makes no sense, or that stands behind what makes none, is left out.

    Raises:
        ConfigError: it ends too early, or the picture size is impossible.
    """
    octets = unescaped(nal_unit)
    try:
        return _parse(octets, BitReader(octets))
    except BitstreamError as error:
        raise ConfigError(f"broken H.265 sequence parameter set: {error}") from error


def _parse(octets: bytes, reader: BitReader) -> SequenceParameterSet:
    reader.skip(8 * HEADER + 4)
    sub_layers, is_nested = _skip_profile(reader)
    reader.ue()
    chroma_format_idc = reader.ue()
    if chroma_format_idc > 3:
        raise ConfigError(f"chroma_format_idc {chroma_format_idc}; at most 3 is allowed")
    if chroma_format_idc == 3:
        reader.skip(1)  # separate_colour_plane_flag
    width, height = reader.ue(), reader.ue()
    if reader.flag():
        unit_x = 2 if chroma_format_idc in (1, 2) else 1
        unit_y = 2 if chroma_format_idc == 1 else 1
        width -= unit_x * (reader.ue() + reader.ue())
        height -= unit_y * (reader.ue() + reader.ue())
    check_size(width, height)
    depth_luma, depth_chroma = 8 + reader.ue(), 8 + reader.ue()
    if max(depth_luma, depth_chroma) > 15:  # hvcC has 3 bits for it
        raise ConfigError(f"{depth_luma} and {depth_chroma} bits a sample; at most 15 are allowed")
    try:
        _skip_to_vui(reader, sub_layers, chroma_format_idc)
        vui = _parse_vui(reader) if reader.flag() else VUI()
    except BitstreamError:
        vui = VUI()
    return SequenceParameterSet(
        octets[_PROFILE_AT : _PROFILE_AT + _PROFILE_SIZE],
        sub_layers + 1,
        is_nested,
        chroma_format_idc,
        depth_luma,
        depth_chroma,
        width,
        height,
        vui,
    )


def _skip_profile(reader: BitReader) -> tuple[int, bool]:
    """Read from sps_max_sub_layers_minus1 to the end of profile_tier_level().

    Returns:
        The sub-layers besides the first, and sps_temporal_id_nesting_flag.
    """
    sub_layers = reader.read(3)
    if sub_layers == 7:
        raise BitstreamError("8 temporal sub-layers; at most 7 are allowed")
    is_nested = reader.flag()
    reader.skip(8 * _PROFILE_SIZE)
    if sub_layers:
        present = reader.read(2 * 8)
        for layer in range(sub_layers):
            reader.skip(88 * (present >> 15 - 2 * layer & 1) + 8 * (present >> 14 - 2 * layer & 1))
    return sub_layers, is_nested


def _skip_to_vui(reader: BitReader, sub_layers: int, chroma_format_idc: int) -> None:
    """Pass over what stands between the bit depths and vui_parameters_present_flag."""
    order_count_bits = reader.ue() + 4
    if order_count_bits > 16:
        raise BitstreamError(f"picture order counts of {order_count_bits} bits; at most 16")
    for _ in range(1 + sub_layers if reader.flag() else 1):
        _skip_ue(reader, 3)
    _skip_ue(reader, 6)  # block sizes and hierarchy depths
    if reader.flag() and reader.flag():
        _skip_scaling_lists(reader)
    reader.skip(2)  # amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if reader.flag():  # pcm_enabled_flag
        reader.skip(8)
        _skip_ue(reader, 2)
        reader.skip(1)
    _skip_short_term_sets(reader)
    if reader.flag():
        count = reader.ue()
        if count > MAX_LONG_TERM_PICTURES:
            raise BitstreamError(f"{count} long-term pictures; at most {MAX_LONG_TERM_PICTURES}")
        reader.skip(count * (order_count_bits + 1))
    reader.skip(2)  # sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag


def _skip_ue(reader: BitReader, count: int) -> None:
    for _ in range(count):
        reader.ue()


def _skip_scaling_lists(reader: BitReader) -> None:
    """Pass over scaling_list_data() (H.265 section 7.3.4)."""
    for size_id in range(4):
        for _ in range(2 if size_id == 3 else 6):
            if not reader.flag():
                reader.ue()
            else:
                _skip_ue(reader, min(64, 16 << 2 * size_id) + (size_id > 1))


def _skip_short_term_sets(reader: BitReader) -> None:
    """Pass over the st_ref_pic_set() structures (H.265 section 7.3.7)."""
    count = reader.ue()
    if count > MAX_SHORT_TERM_SETS:
        raise BitstreamError(f"{count} short-term sets; at most {MAX_SHORT_TERM_SETS}")
    pictures = 0
    for index in range(count):
        if index and reader.flag():  # told as the difference to the set before
            reader.skip(1)
            reader.ue()
            # used_by_curr_pic_flag, and where it is 0, use_delta_flag
            pictures = sum(reader.flag() or reader.flag() for _ in range(pictures + 1))
        else:
            negative, positive = reader.ue(), reader.ue()
            if max(negative, positive) > MAX_REFERENCES:
                raise BitstreamError(f"{negative} and {positive} references")
            pictures = negative + positive
            for _ in range(pictures):
                reader.ue()
                reader.skip(1)


def _parse_vui(reader: BitReader) -> VUI:
    """Parse the VUI up to its timing."""
    aspect_ratio, color = read_look(reader)
    reader.skip(3)  # neutral_chroma_indication, field_seq, frame_field_info_present
    if reader.flag():  # default_display_window_flag
        _skip_ue(reader, 4)
    frame_rate = None
    if reader.flag():
        ticks, timescale = reader.read(32), reader.read(32)
        frame_rate = stated_rate(ticks, timescale)
    return VUI(aspect_ratio, color, frame_rate)
