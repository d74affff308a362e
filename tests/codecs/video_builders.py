"""Builders of H.265, AV1 and VP9 headers from plain fields, written against the standards."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.codecs.builders import VUI, escaped, prefixed
from tests.media.bit_writer import BitWriter


@dataclass
class Profile:
    """The first twelve bytes of profile_tier_level()."""

    space: int = 0
    is_high_tier: bool = False
    idc: int = 1
    compatibility: int = 0x60000000
    constraints: bytes = b"\x90\0\0\0\0\0"
    level: int = 93

    def octets(self) -> bytes:
        """Return them."""
        head = bytes((self.space << 6 | self.is_high_tier << 5 | self.idc,))
        return (
            head + self.compatibility.to_bytes(4, "big") + self.constraints + bytes((self.level,))
        )


@dataclass
class H265SPS:
    """The fields of an H.265 sequence parameter set that matter here."""

    profile: Profile = field(default_factory=Profile)
    set_id: int = 0
    sub_layers: Sequence[tuple[bool, bool]] = ()
    """For each but the first: whether its profile and its level are there."""
    is_nested: bool = True
    chroma: int = 1
    separate_planes: bool = False
    width: int = 1280
    height: int = 720
    """Before cropping."""
    window: tuple[int, int, int, int] | None = None
    """left, right, top, bottom in chroma units."""
    luma_depth: int = 8
    chroma_depth: int = 8
    order_count_bits: int = 8
    each_sub_layer: bool = True
    scaling_lists: bool | None = None
    """None: disabled; False: the default ones; True: lists of all sizes."""
    has_pcm: bool = False
    short_term: Sequence[tuple[int, int] | Sequence[str]] = ()
    """Of each set: numbers of negative and positive pictures; or, told by the set before it,
    for each picture '1', '01' or '00' (used_by_curr_pic_flag, use_delta_flag)."""
    long_term: int | None = None
    vui: VUI | None = None
    default_window: bool = False

    def nal_unit(self) -> bytes:
        """Return the whole NAL unit."""
        w = BitWriter()
        w.put(0, 4).put(len(self.sub_layers), 3).put(self.is_nested, 1)
        for octet in self.profile.octets():
            w.put(octet, 8)
        if self.sub_layers:
            for present in self.sub_layers:
                w.put(present[0], 1).put(present[1], 1)
            w.put(0, 2 * (8 - len(self.sub_layers)))
            for has_profile, has_level in self.sub_layers:
                for is_there, size in ((has_profile, 88), (has_level, 8)):
                    w.put(((1 << size) - 1) * is_there, size * is_there)
        w.ue(self.set_id, self.chroma)
        if self.chroma == 3:
            w.put(self.separate_planes, 1)
        w.ue(self.width, self.height).put(self.window is not None, 1).ue(*(self.window or ()))
        w.ue(self.luma_depth - 8, self.chroma_depth - 8, self.order_count_bits - 4)
        w.put(self.each_sub_layer, 1)
        for _ in range(len(self.sub_layers) + 1 if self.each_sub_layer else 1):
            w.ue(4, 2, 0)
        w.ue(0, 3, 0, 3, 1, 1)
        w.put(self.scaling_lists is not None, 1)
        if self.scaling_lists is not None:
            w.put(self.scaling_lists, 1)
            if self.scaling_lists:
                self._write_scaling_lists(w)
        w.put(0b11, 2).put(self.has_pcm, 1)
        if self.has_pcm:
            w.put(0x77, 8).ue(0, 2).put(1, 1)
        self._write_references(w)
        w.put(0b10, 2).put(self.vui is not None, 1)
        if self.vui:
            self._write_vui(w, self.vui)
        w.put(0, 1).put(1, 1)
        return b"\x42\x01" + escaped(w.octets())

    @staticmethod
    def _write_scaling_lists(w: BitWriter) -> None:
        for size_id, coefficients in enumerate((16, 64, 64, 64)):
            for matrix_id in range(2 if size_id == 3 else 6):
                if matrix_id % 2:
                    w.put(0, 1).ue(1)
                else:
                    w.put(1, 1).se(*([5] if size_id > 1 else ()), *[-3] * coefficients)

    def _write_references(self, w: BitWriter) -> None:
        w.ue(len(self.short_term))
        for index, item in enumerate(self.short_term):
            if len(item) == 2 and isinstance(item[0], int) and isinstance(item[1], int):
                w.put(0, 1 if index else 0).ue(item[0], item[1])
                for _ in range(item[0] + item[1]):
                    w.ue(2).put(1, 1)
            else:
                w.put(1, 1).put(1, 1).ue(6)
                for flags in item:
                    w.bits += str(flags)
        w.put(self.long_term is not None, 1)
        if self.long_term is not None:
            w.ue(self.long_term)
            for _ in range(self.long_term):
                w.put(3, self.order_count_bits).put(1, 1)

    def _write_vui(self, w: BitWriter, vui: VUI) -> None:
        """Append H.265's VUI: its first part is H.264's."""
        head = BitWriter()
        VUI(
            vui.aspect_ratio_idc,
            vui.extended_sar,
            vui.overscan,
            vui.colour,
            vui.full_range,
            vui.chroma_location,
        ).write(head)
        w.bits += head.bits[:-5]  # without H.264's timing flag and what follows it
        w.put(0b010, 3).put(self.default_window, 1)
        if self.default_window:
            w.ue(1, 2, 3, 4)
        w.put(vui.timing is not None, 1)
        if vui.timing:
            w.put(vui.timing[0], 32).put(vui.timing[1], 32).put(0, 2)
        w.put(0, 1)


def h265_vps(set_id: int = 0, tail: bytes = b"\x0c\x01\xff\xff") -> bytes:
    """Return a video parameter set whose id can be read."""
    return b"\x40\x01" + bytes((set_id << 4 | 0x0C >> 2,)) + tail


def h265_pps(set_id: int = 0, tail: bytes = b"\x73\xc0\x4c\x90") -> bytes:
    """Return a picture parameter set whose id can be read."""
    return b"\x44\x01" + BitWriter().ue(set_id, 0).put(1, 1).octets() + tail


def hvcc(
    *arrays: tuple[int, Sequence[bytes]],
    length_size: int = 4,
    profile: Profile | None = None,
    middle: bytes = b"\xf0\0\xfc\xfd\xf8\xf8\0\0",
    layers: int = 0x0C,
    tail: bytes = b"",
) -> bytes:
    """Return an HEVCDecoderConfigurationRecord.

    Args:
        arrays: array_completeness, NAL unit type, and the NAL units.
        length_size: 1 to 4.
        profile: its twelve bytes.
        middle: min_spatial_segmentation_idc to avgFrameRate.
        layers: the byte of the length size, without it.
        tail: what follows.
    """
    head = b"\1" + (profile or Profile()).octets() + middle + bytes((layers | length_size - 1,))
    body = bytes((len(arrays),))
    for kind, units in arrays:
        body += bytes((kind,)) + len(units).to_bytes(2, "big") + prefixed(*units, size=2)
    return head + body + tail


@dataclass
class AV1Sequence:
    """The fields of an AV1 sequence header that matter here."""

    profile: int = 0
    is_still: bool = False
    is_reduced: bool = False
    timing: tuple[int, int, int | None] | None = None
    """num_units_in_display_tick, time_scale, and num_ticks_per_picture_minus_1."""
    decoder_model: int | None = None
    """buffer_delay_length_minus_1."""
    points: Sequence[tuple[int, int]] = ((8, 0),)
    """seq_level_idx and seq_tier of each operating point."""
    has_display_delay: bool = False
    width: int = 1280
    height: int = 720
    has_frame_ids: bool = False
    has_order_hint: bool = True
    screen_content: int | None = None
    """seq_force_screen_content_tools; None: chosen by each frame."""
    integer_mv: int | None = None
    depth: int = 8
    is_monochrome: bool = False
    color: tuple[int, int, int] | None = None
    full_range: bool = False
    subsampling: tuple[int, int] = (1, 1)
    position: int = 0

    def octets(self) -> bytes:
        """Return the content of the OBU."""
        w = BitWriter()
        w.put(self.profile, 3).put(self.is_still, 1).put(self.is_reduced, 1)
        w.put(self.timing is not None, 1)
        if self.timing:
            ticks, scale, of_picture = self.timing
            w.put(ticks, 32).put(scale, 32).put(of_picture is not None, 1)
            if of_picture is not None:
                w.ue(of_picture)
            w.put(self.decoder_model is not None, 1)
            if self.decoder_model is not None:
                w.put(self.decoder_model, 5).put(1, 32).put(9, 5).put(9, 5)
        w.put(self.has_display_delay, 1).put(len(self.points) - 1, 5)
        for level, tier in self.points:
            w.put(0x101, 12).put(level, 5)
            if level > 7:
                w.put(tier, 1)
            if self.timing and self.decoder_model is not None:
                w.put(1, 1).put(0, 2 * (self.decoder_model + 1)).put(1, 1)
            if self.has_display_delay:
                w.put(1, 1).put(9, 4)
        for size in (self.width - 1, self.height - 1):
            w.put(max(size.bit_length(), 1) - 1, 4)
        for size in (self.width - 1, self.height - 1):
            w.put(size, max(size.bit_length(), 1))
        w.put(self.has_frame_ids, 1)
        if self.has_frame_ids:
            w.put(3, 4).put(2, 3)
        w.put(0b010, 3).put(0b1010, 4).put(self.has_order_hint, 1)
        if self.has_order_hint:
            w.put(0b10, 2)
        w.put(self.screen_content is None, 1)
        if self.screen_content is not None:
            w.put(self.screen_content, 1)
        if self.screen_content != 0:
            w.put(self.integer_mv is None, 1)
            if self.integer_mv is not None:
                w.put(self.integer_mv, 1)
        if self.has_order_hint:
            w.put(6, 3)
        w.put(0b011, 3)
        self._write_color(w)
        w.put(0, 1).put(1, 1)
        return w.octets()

    def _write_color(self, w: BitWriter) -> None:
        w.put(self.depth > 8, 1)
        if self.depth > 8 and self.profile == 2:
            w.put(self.depth > 10, 1)
        if self.profile != 1:
            w.put(self.is_monochrome, 1)
        w.put(self.color is not None, 1)
        for code_point in self.color or ():
            w.put(code_point, 8)
        if self.is_monochrome:
            w.put(self.full_range, 1)
            return
        if self.color != (1, 13, 0):
            w.put(self.full_range, 1)
            if self.depth == 12:
                w.put(self.subsampling[0], 1)
                if self.subsampling[0]:
                    w.put(self.subsampling[1], 1)
            if self.subsampling == (1, 1):
                w.put(self.position, 2)
        w.put(0, 1)


def obu(type: int, content: bytes, *, has_size: bool = True, has_extension: bool = False) -> bytes:
    """Return an OBU of the low-overhead format."""
    out = bytearray((type << 3 | has_extension << 2 | has_size << 1,))
    if has_extension:
        out.append(0x20)
    if has_size:
        size = len(content)
        while size > 0x7F:
            out.append(0x80 | size & 0x7F)
            size >>= 7
        out.append(size)
    return bytes(out) + content


def av1c(*obus: bytes, head: bytes = b"\x81\x08\x0c\0") -> bytes:
    """Return an AV1CodecConfigurationRecord."""
    return head + b"".join(obus)


def vpcc(
    profile: int = 0,
    level: int = 31,
    depth: int = 8,
    chroma: int = 1,
    full_range: bool = False,
    color: tuple[int, int, int] = (2, 2, 2),
    *,
    header: bytes = b"\1\0\0\0",
) -> bytes:
    """Return a VPCodecConfigurationRecord, behind the header of its box."""
    look = depth << 4 | chroma << 1 | full_range
    return header + bytes((profile, level, look, *color, 0, 0))


def vp8_key_frame(width: int, height: int) -> bytes:
    """Return the start of a shown VP8 key frame."""
    sizes = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    return b"\x10\x02\x00\x9d\x01\x2a" + sizes + b"partitions"


@dataclass
class VP9Frame:
    """The start of a VP9 frame's uncompressed header."""

    profile: int = 0
    is_existing: bool = False
    is_inter: bool = False
    depth: int = 8
    color_space: int = 2
    subsampling: tuple[int, int] = (1, 1)
    width: int = 1280
    height: int = 720
    marker: int = 2
    sync_code: int = 0x498342

    def octets(self, tail: bytes = bytes(30)) -> bytes:
        """Return the frame."""
        w = BitWriter()
        w.put(self.marker, 2).put(self.profile & 1, 1).put(self.profile >> 1, 1)
        if self.profile == 3:
            w.put(0, 1)
        w.put(self.is_existing, 1)
        if self.is_existing:
            return w.put(5, 3).octets()
        w.put(self.is_inter, 1).put(1, 1).put(0, 1)
        if not self.is_inter:
            w.put(self.sync_code, 24)
            if self.profile >= 2:
                w.put(self.depth == 12, 1)
            w.put(self.color_space, 3)
            if self.color_space != 7:
                w.put(0, 1)
                if self.profile & 1:
                    w.put(self.subsampling[0], 1).put(self.subsampling[1], 1).put(0, 1)
            elif self.profile & 1:
                w.put(0, 1)
            w.put(self.width - 1, 16).put(self.height - 1, 16).put(0, 1)
        return w.octets() + tail
