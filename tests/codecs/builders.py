"""Builders of H.264 and AAC configuration from plain fields, written against the standards."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.media.bit_writer import BitWriter

WITH_CHROMA = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)


def escaped(rbsp: bytes) -> bytes:
    """Insert emulation prevention bytes (H.264 section 7.4.1)."""
    out = bytearray()
    zeros = 0
    for octet in rbsp:
        if zeros >= 2 and octet <= 3:
            out.append(3)
            zeros = 0
        out.append(octet)
        zeros = zeros + 1 if octet == 0 else 0
    return bytes(out)


@dataclass
class SPS:
    """The fields of a sequence parameter set that matter here."""

    profile: int = 100
    constraints: int = 0
    level: int = 31
    set_id: int = 0
    chroma: int = 1
    separate_planes: bool = False
    luma_depth: int = 8
    chroma_depth: int = 8
    scaling_lists: Sequence[Sequence[int] | None] | None = None
    order_type: int = 0
    order_cycle: Sequence[int] = ()
    width_mbs: int = 80
    height_map_units: int = 45
    frame_mbs_only: bool = True
    crop: tuple[int, int, int, int] | None = None
    """left, right, top, bottom in crop units."""
    vui: "VUI | None" = None

    def nal_unit(self) -> bytes:
        """Return the whole NAL unit."""
        w = BitWriter()
        w.put(self.profile, 8).put(self.constraints, 8).put(self.level, 8).ue(self.set_id)
        if self.profile in WITH_CHROMA:
            w.ue(self.chroma)
            if self.chroma == 3:
                w.put(self.separate_planes, 1)
            w.ue(self.luma_depth - 8, self.chroma_depth - 8).put(0, 1)
            w.put(self.scaling_lists is not None, 1)
            for deltas in self.scaling_lists or ():
                w.put(deltas is not None, 1).se(*(deltas or ()))
        w.ue(4, self.order_type)
        if self.order_type == 0:
            w.ue(2)
        elif self.order_type == 1:
            w.put(0, 1).se(-3, 4).ue(len(self.order_cycle)).se(*self.order_cycle)
        w.ue(4).put(0, 1)
        w.ue(self.width_mbs - 1, self.height_map_units - 1).put(self.frame_mbs_only, 1)
        if not self.frame_mbs_only:
            w.put(1, 1)
        w.put(1, 1).put(self.crop is not None, 1).ue(*(self.crop or ()))
        w.put(self.vui is not None, 1)
        if self.vui:
            self.vui.write(w)
        w.put(1, 1)
        return b"\x67" + escaped(w.octets())


@dataclass
class VUI:
    """Video usability information up to its timing."""

    aspect_ratio_idc: int | None = None
    extended_sar: tuple[int, int] = (0, 0)
    overscan: bool = False
    colour: tuple[int, int, int] | None = None
    full_range: bool | None = None
    chroma_location: tuple[int, int] | None = None
    timing: tuple[int, int] | None = None

    def write(self, w: BitWriter) -> None:
        """Append it."""
        w.put(self.aspect_ratio_idc is not None, 1)
        if self.aspect_ratio_idc is not None:
            w.put(self.aspect_ratio_idc, 8)
            if self.aspect_ratio_idc == 255:
                w.put(self.extended_sar[0], 16).put(self.extended_sar[1], 16)
        w.put(self.overscan, 1)
        if self.overscan:
            w.put(1, 1)
        w.put(self.full_range is not None, 1)
        if self.full_range is not None:
            w.put(5, 3).put(self.full_range, 1).put(self.colour is not None, 1)
            for code_point in self.colour or ():
                w.put(code_point, 8)
        w.put(self.chroma_location is not None, 1).ue(*(self.chroma_location or ()))
        w.put(self.timing is not None, 1)
        if self.timing:
            w.put(self.timing[0], 32).put(self.timing[1], 32).put(1, 1)
        w.put(0, 4)


def pps(set_id: int = 0, tail: bytes = b"\xee\x3c\x80") -> bytes:
    """Return a picture parameter set NAL unit whose id can be read."""
    return b"\x68" + BitWriter().ue(set_id, 0).put(1, 1).octets() + tail


def avcc(
    sps: Sequence[bytes],
    pps: Sequence[bytes],
    length_size: int = 4,
    head: bytes | None = None,
    tail: bytes = b"",
) -> bytes:
    """Return an AVCDecoderConfigurationRecord."""
    record = bytearray(b"\1" + (head or (sps[0][1:4] if sps else b"\x64\0\x1f")))
    record += bytes((0xFC | length_size - 1, 0xE0 | len(sps)))
    for unit in sps:
        record += len(unit).to_bytes(2, "big") + unit
    record.append(len(pps))
    for unit in pps:
        record += len(unit).to_bytes(2, "big") + unit
    return bytes(record) + tail


def prefixed(*nal_units: bytes, size: int = 4) -> bytes:
    """Return length-prefixed NAL units."""
    return b"".join(len(unit).to_bytes(size, "big") + unit for unit in nal_units)


RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


@dataclass
class ASC:
    """An AudioSpecificConfig."""

    object_type: int = 2
    rate: int = 48000
    configuration: int = 2
    explicit: tuple[int, int] | None = None
    """Audio object type (5, 29) and output rate, in front of the core."""
    compatible: tuple[int, int] | None = None
    """The same, behind the core. A rate of 0 says that there is none."""
    short_frames: bool = False
    core_coder_delay: int | None = None
    layout: "Layout | None" = None
    tail: bytes = field(default=b"", repr=False)

    def octets(self) -> bytes:
        """Return the bytes."""
        w = BitWriter()
        self._object_type(w, self.explicit[0] if self.explicit else self.object_type)
        self._rate(w, self.rate)
        w.put(self.configuration, 4)
        if self.explicit:
            self._rate(w, self.explicit[1])
            self._object_type(w, self.object_type)
        w.put(self.short_frames, 1).put(self.core_coder_delay is not None, 1)
        if self.core_coder_delay is not None:
            w.put(self.core_coder_delay, 14)
        w.put(0, 1)
        if self.layout:
            self.layout.write(w)
        if self.compatible:
            extension, rate = self.compatible
            w.put(0x2B7, 11).put(5, 5).put(rate > 0, 1)
            if rate:
                self._rate(w, rate)
                if extension == 29:
                    w.put(0x548, 11).put(1, 1)
        return w.octets() + self.tail

    @staticmethod
    def _object_type(w: BitWriter, object_type: int) -> None:
        if object_type < 31:
            w.put(object_type, 5)
        else:
            w.put(31, 5).put(object_type - 32, 6)

    @staticmethod
    def _rate(w: BitWriter, rate: int) -> None:
        if rate in RATES:
            w.put(RATES.index(rate), 4)
        else:
            w.put(15, 4).put(rate, 24)


@dataclass
class Layout:
    """A program_config_element; each element is True where it is a pair."""

    front: Sequence[bool] = (True,)
    side: Sequence[bool] = ()
    back: Sequence[bool] = ()
    lfe: int = 0
    data: int = 0
    coupling: int = 0
    mixdowns: bool = False
    comment: bytes = b""

    @property
    def channels(self) -> int:
        """The number of output channels."""
        return self.lfe + sum(2 if p else 1 for p in (*self.front, *self.side, *self.back))

    def write(self, w: BitWriter) -> None:
        """Append it."""
        w.put(0, 4).put(1, 2).put(3, 4)
        w.put(len(self.front), 4).put(len(self.side), 4).put(len(self.back), 4)
        w.put(self.lfe, 2).put(self.data, 3).put(self.coupling, 4)
        for size in (4, 4, 3):
            w.put(self.mixdowns, 1)
            if self.mixdowns:
                w.put(1, size)
        for tag, is_pair in enumerate((*self.front, *self.side, *self.back)):
            w.put(is_pair, 1).put(tag % 16, 4)
        for tag in range(self.lfe + self.data):
            w.put(tag, 4)
        for tag in range(self.coupling):
            w.put(1, 1).put(tag, 4)
        w.align().put(len(self.comment), 8)
        for octet in self.comment:
            w.put(octet, 8)
