"""H.265: decoder configuration record and access units (ISO/IEC 14496-15 section 8)."""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import ClassVar

from zope.interface import implementer

from rapidrtmp.codecs.h265_sps import HEADER, SequenceParameterSet, parse_sps, read_set_id
from rapidrtmp.codecs.nal_unit import (
    MAX_NAL_UNITS,
    MAX_RECORD,
    annex_b,
    joined,
    split,
    split_any,
    unescaped,
)
from rapidrtmp.codecs.sei import CaptionFinder
from rapidrtmp.codecs.visual import combined_color, visual_sample_entry
from rapidrtmp.isobmff.box import box
from rapidrtmp.media.bits import BitReader, BitstreamError
from rapidrtmp.media.codec import (
    VIDEO_STREAM,
    AccessUnit,
    ColorInfo,
    ConfigError,
    ElementaryStream,
    TransportConfig,
    VideoConfig,
)

VPS = 32
SPS = 33
PPS = 34
DELIMITER = 35
PREFIX_SEI = 39
MAX_SETS = {VPS: 16, SPS: 16, PPS: 64}
"""As many as there are ids (H.265 section 7.4.3)."""

_PICTURES = frozenset((*range(10), *range(16, 22)))
"""NAL unit types with slices; the others below 32 are reserved (H.265 table 7-1)."""
_IRAP = frozenset(range(16, 22))
"""BLA, IDR and CRA."""
_PICTURE_BITS = sum(1 << nal_unit_type for nal_unit_type in _PICTURES)
_IRAP_BITS = sum(1 << nal_unit_type for nal_unit_type in _IRAP)
_SET_BITS = sum(1 << nal_unit_type for nal_unit_type in MAX_SETS)

_ANY_SLICES = bytes((DELIMITER << 1, 1, 0x50))
"""An access unit delimiter that promises nothing of slice types (H.265 section 7.3.2.5)."""
_STREAM_TYPE = 0x24
"""ISO/IEC 13818-1 table 2-34."""

_ARRAYS_AT = 22
"""Bytes of hvcC in front of its arrays."""
_COMPLETE = 0x80
"""array_completeness."""

_CAPTIONS = CaptionFinder(1, 0x3F, PREFIX_SEI, range(32), HEADER)
_LENGTH_AND_HEADER = struct.Struct(">IB").unpack_from
_NAL_UNITS = range(MAX_NAL_UNITS)


@implementer(VideoConfig, TransportConfig)
@dataclass(frozen=True, slots=True)
class H265Config:
    """An HEVCDecoderConfigurationRecord and what its first sequence parameter set says."""

    codec: ClassVar[str] = "h265"
    kind: ClassVar[str] = "video"
    has_sample_entry: ClassVar[bool] = True
    timescale: ClassVar[int] = 90000

    record: bytes
    nal_length_size: int = field(compare=False)
    """Bytes of the length in front of each NAL unit as received: 1, 2 or 4."""
    vps: tuple[bytes, ...] = field(compare=False, repr=False)
    sps: tuple[bytes, ...] = field(compare=False, repr=False)
    pps: tuple[bytes, ...] = field(compare=False, repr=False)
    sei: tuple[bytes, ...] = field(compare=False, repr=False)
    """What the record says once for all pictures: mastering of HDR, for example."""
    active_sps: SequenceParameterSet | None = field(compare=False, repr=False)
    """The first of `sps`."""
    told_color: ColorInfo = field(default=ColorInfo(), repr=False)
    """Told by the publisher."""

    @classmethod
    def parse(cls, record: bytes | memoryview) -> "H265Config":
        """Parse an HEVCDecoderConfigurationRecord (``hvcC``).

        The arrays may stand in any order; bytes behind them mean nothing. Only the base
        layer's are kept. Without a VPS, an SPS or a PPS the configuration is
        not complete: the sets may come in an access unit.

        Raises:
            ConfigError: it is cut short, or contradicts itself.
        """
        record = bytes(record)
        if len(record) > MAX_RECORD:
            raise ConfigError(f"hvcC of {len(record)} bytes; at most {MAX_RECORD} are allowed")
        if len(record) <= _ARRAYS_AT or record[0] != 1:
            raise ConfigError("hvcC is cut short or not of version 1")
        nal_length_size = (record[21] & 3) + 1
        if nal_length_size == 3:
            raise ConfigError("hvcC with NAL unit lengths of 3 bytes; 1, 2 and 4 are allowed")
        nal_units = _read_arrays(record)
        vps, sps, pps = _sorted(nal_units)
        sei = tuple(unit for unit in nal_units if _type(unit) == PREFIX_SEI)
        active = parse_sps(sps[0]) if sps else None
        return cls(record, nal_length_size, vps, sps, pps, sei, active)

    @property
    def is_complete(self) -> bool:
        """False while parameter sets are missing."""
        return bool(self.vps and self.sps and self.pps)

    @property
    def width(self) -> int:
        """Pixels, after cropping; 0 while there is no SPS."""
        return self.active_sps.width if self.active_sps else 0

    @property
    def height(self) -> int:
        """Pixels, after cropping; 0 while there is no SPS."""
        return self.active_sps.height if self.active_sps else 0

    @property
    def frame_rate(self) -> float | None:
        """Frames/s by VUI timing, if it is there: a hint only."""
        return self.active_sps.vui.frame_rate if self.active_sps else None

    @property
    def color(self) -> ColorInfo:
        """What the VUI says of colour, and the publisher where it is silent."""
        stated = self.active_sps.vui.color if self.active_sps else None
        return combined_color(stated, self.told_color)

    def with_color(self, color: ColorInfo) -> "H265Config":
        """Return the configuration with colour that the publisher told."""
        return replace(self, told_color=color)

    def rfc6381(self) -> str:
        """Return ``hvc1.`` and profile, compatibility, tier, level and constraints.

        All are the SPS's: ISO/IEC 14496-15 section E.3.
        """
        assert self.active_sps is not None, "an incomplete configuration has no codec string"
        profile = self.active_sps.profile
        space = ("", "A", "B", "C")[profile[0] >> 6]
        flags = int.from_bytes(profile[1:5], "big")
        compatibility = int(f"{flags:032b}"[::-1], 2)  # the first flag becomes the lowest bit
        tier = "H" if profile[0] & 0x20 else "L"
        head = f"hvc1.{space}{profile[0] & 0x1F}.{compatibility:X}.{tier}{profile[11]}"
        return ".".join((head, *(f"{octet:X}" for octet in profile[5:11].rstrip(b"\0"))))

    def sample_entry(self) -> bytes:
        """Return the ``hvc1`` box (ISO/IEC 14496-15 section 8.4.1).

        Its record says 4 length bytes and that all parameter sets are in it: Apple's
        players ask for that.
        """
        assert self.active_sps is not None, "an incomplete configuration has no sample entry"
        hvcc = _build_record(self.active_sps, self.vps, self.sps, self.pps, self.sei)
        aspect_ratio = self.active_sps.vui.aspect_ratio
        return visual_sample_entry(
            b"hvc1", self.width, self.height, box(b"hvcC", hvcc), self.color, aspect_ratio
        )

    def elementary_stream(self) -> ElementaryStream:
        """Return how H.265 is carried in a transport stream (ISO/IEC 13818-1 2.17)."""
        return ElementaryStream(_STREAM_TYPE, VIDEO_STREAM, b"HEVC", self._byte_stream)

    def _byte_stream(self, sample: bytes | memoryview, is_start: bool) -> bytes:
        """Return an access unit with a delimiter and start codes (annex B)."""
        sets = (*self.vps, *self.sps, *self.pps, *self.sei) if is_start else ()
        units = [unit for unit in split(sample, 4)[0] if _type(unit) != DELIMITER]
        return annex_b((_ANY_SLICES, *sets, *units)) if units else b""

    def access_unit(self, body: bytes | memoryview, key_flag: bool) -> AccessUnit:
        """Look through one access unit of length-prefixed NAL units.

        What a sound encoder sends comes back as the same memoryview. Otherwise lengths of
        1 or 2 bytes and Annex B start codes become lengths of 4, and empty NAL units and
        damaged ends are left out. So are the parameter sets that the configuration has: a
        sample of ``hvc1`` may not repeat them. Sets that it lacks take effect with a random
        access point, or on their own; elsewhere they stay, or the pictures that use them
        would be lost.

        IDR, BLA and CRA pictures are sync samples, as ISO/IEC 14496-15 section 8.4.3 has it.
        A decoder that begins at a CRA picture skips the leading pictures that it cannot
        decode (RASL) by itself: they are known by their NAL unit type.

        Args:
            body: the NAL units, their lengths `nal_length_size` bytes each.
            key_flag: not needed: the NAL unit types tell.
        """
        seen = 0
        position = 0
        end = len(body)
        if self.nal_length_size == 4:
            last = end - 4 - HEADER
            for _ in _NAL_UNITS:
                if position > last:
                    break
                length, header = _LENGTH_AND_HEADER(body, position)
                if length < HEADER:
                    break
                seen |= 1 << (header >> 1 & 0x3F)
                position += 4 + length
            pictures = seen & _PICTURE_BITS
            if position == end and pictures and not seen & _SET_BITS:
                is_sync = not pictures & ~_IRAP_BITS
                if is_sync or not pictures & _IRAP_BITS:
                    return AccessUnit(body, is_sync, is_sync, self, "")
        nal_units, is_whole = split_any(body, self.nal_length_size)
        nal_units = [unit for unit in nal_units if len(unit) >= HEADER]
        return self._examined(body, nal_units, "" if is_whole else "nal_unit")

    def captions(self, payload: bytes | memoryview) -> bytes:
        """Find the captions of a sample in its SEI."""
        return _CAPTIONS.find(payload)

    def _examined(
        self, body: bytes | memoryview, nal_units: Sequence[bytes | memoryview], fault: str
    ) -> AccessUnit:
        """Judge an access unit by all of its NAL units."""
        pictures = [kind for kind in map(_type, nal_units) if kind in _PICTURES]
        # what is decoded first counts: other layers' pictures come behind the base layer's
        is_sync = bool(pictures) and pictures[0] in _IRAP
        sets = [unit for unit in nal_units if _type(unit) in MAX_SETS and _layer(unit) == 0]
        config = self
        if sets and (is_sync or not pictures):
            try:
                config = self._updated(sets)
            except ConfigError:
                fault = "config"
        if not pictures:
            return AccessUnit(b"", False, False, config, fault or "no_picture")
        if sets:
            known = {*config.vps, *config.sps, *config.pps}
            nal_units = [
                unit
                for unit in nal_units
                if _type(unit) not in MAX_SETS or bytes(unit) not in known
            ]
        payload = joined(nal_units)
        return AccessUnit(body if payload == body else payload, is_sync, is_sync, config, fault)

    def _updated(self, nal_units: Iterable[bytes | memoryview]) -> "H265Config":
        """Return the configuration with parameter sets of an access unit.

        Raises:
            ConfigError: they are broken or too many.
        """
        known = (self.vps, self.sps, self.pps)
        found = _sorted(nal_units)
        if all(set(new) <= set(old) for new, old in zip(found, known, strict=True)):
            return self
        if sum(map(len, chain(*found, *known))) > MAX_RECORD // 2:
            raise ConfigError(f"parameter sets of over {MAX_RECORD // 2} bytes")
        vps, sps, pps = (
            _merged(new, old, read_id)
            for new, old, read_id in zip(found, known, (_vps_id, read_set_id, _pps_id), strict=True)
        )
        if not sps:
            return self
        active = parse_sps(sps[0])
        record = _build_record(active, vps, sps, pps, self.sei)
        # the length size is the access units', not the record's: these keep coming as before
        return replace(self, record=record, vps=vps, sps=sps, pps=pps, active_sps=active)


def _type(nal_unit: bytes | memoryview) -> int:
    """Return nal_unit_type."""
    return nal_unit[0] >> 1 & 0x3F


def _layer(nal_unit: bytes | memoryview) -> int:
    """Return nuh_layer_id."""
    return (nal_unit[0] & 1) << 5 | nal_unit[1] >> 3


def _read_arrays(record: bytes) -> list[bytes]:
    """Return the base layer's NAL units of hvcC.

    Raises:
        ConfigError: something overruns the record.
    """
    nal_units = []
    position = _ARRAYS_AT + 1
    for _ in range(record[_ARRAYS_AT]):
        start = position + 3
        if start > len(record):
            raise ConfigError("hvcC is cut short in its arrays")
        count = int.from_bytes(record[position + 1 : start], "big")
        position = start
        for _ in range(count):
            start = position + 2
            position = start + int.from_bytes(record[position:start], "big")
            if start > len(record) or position > len(record):
                raise ConfigError("hvcC has a NAL unit that overruns it")
            nal_unit = record[start:position]
            if len(nal_unit) >= HEADER and _layer(nal_unit) == 0:
                nal_units.append(nal_unit)
    return nal_units


def _sorted(
    nal_units: Iterable[bytes | memoryview],
) -> tuple[tuple[bytes, ...], tuple[bytes, ...], tuple[bytes, ...]]:
    """Return the VPS, SPS and PPS among NAL units, each once; the others are left out.

    Raises:
        ConfigError: they are too many.
    """
    sets: dict[int, dict[bytes, None]] = {nal_unit_type: {} for nal_unit_type in MAX_SETS}
    for unit in nal_units:
        kind = _type(unit)
        if kind in sets:
            sets[kind][bytes(unit)] = None
    for kind, found in sets.items():
        if len(found) > MAX_SETS[kind]:
            raise ConfigError(f"{len(found)} H.265 parameter sets of type {kind}")
    return tuple(sets[VPS]), tuple(sets[SPS]), tuple(sets[PPS])


def _vps_id(nal_unit: bytes) -> int:
    """Return vps_video_parameter_set_id."""
    return BitReader(nal_unit[HEADER : HEADER + 1]).read(4)


def _pps_id(nal_unit: bytes) -> int:
    """Return pps_pic_parameter_set_id: ue(v), at most 63 and so within 2 bytes."""
    return BitReader(unescaped(nal_unit[: HEADER + 4])[HEADER:]).ue()


def _merged(
    new: Sequence[bytes], old: Sequence[bytes], read_id: Callable[[bytes], int]
) -> tuple[bytes, ...]:
    """Return the new parameter sets and those old ones whose ids are not among them.

    Raises:
        ConfigError: one is cut short, or they are too many.
    """
    sets: dict[int, bytes] = {}
    try:
        for unit in (*new, *old):
            sets.setdefault(read_id(unit), unit)
    except BitstreamError as error:
        raise ConfigError(f"broken H.265 parameter set: {error}") from error
    if sets and len(sets) > MAX_SETS[_type(next(iter(sets.values())))]:
        raise ConfigError(f"{len(sets)} H.265 parameter sets of one type")
    return tuple(sets.values())


def _build_record(
    active: SequenceParameterSet,
    vps: Sequence[bytes],
    sps: Sequence[bytes],
    pps: Sequence[bytes],
    sei: Sequence[bytes],
) -> bytes:
    """Return a complete HEVCDecoderConfigurationRecord for 4 length bytes (14496-15 8.3.3.1).

    What is not known of a live stream is 0: segmentation, parallelism, average rate.
    """
    depths = (0xF8 | active.bit_depth_luma - 8, 0xF8 | active.bit_depth_chroma - 8)
    layers = active.temporal_layers << 3 | active.is_temporal_id_nested << 2 | 3
    parts = [
        b"\1" + active.profile + b"\xf0\0\xfc",
        bytes((0xFC | active.chroma_format_idc, *depths, 0, 0, layers)),
    ]
    every = ((_COMPLETE | VPS, vps), (_COMPLETE | SPS, sps), (_COMPLETE | PPS, pps))
    arrays = [(kind, units) for kind, units in (*every, (PREFIX_SEI, sei)) if units]
    parts.append(bytes((len(arrays),)))
    for kind, units in arrays:
        parts.append(bytes((kind,)) + len(units).to_bytes(2, "big"))
        for unit in units:
            parts += (len(unit).to_bytes(2, "big"), unit)
    return b"".join(parts)
