"""H.264: decoder configuration record and access units (ISO/IEC 14496-15 section 5.3)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import ClassVar

from zope.interface import implementer

from rapidrtmp.codecs.h264_sps import SequenceParameterSet, parse_sps
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

MAX_SEI = 4096
"""Bytes of SEI in one access unit that are searched: a recovery point stands before user data."""

IDR = 5
SEI = 6
SPS = 7
PPS = 8
DELIMITER = 9
SPS_EXTENSION = 13
MAX_SPS = 31
MAX_PPS = 255
"""As many as an avcC has room for."""

_PICTURES = frozenset(range(1, 6))
"""NAL unit types with slices (H.264 table 7-1)."""
_PICTURE = sum(1 << nal_unit_type for nal_unit_type in _PICTURES)
_PARAMETER_SETS = 1 << SPS | 1 << PPS
_IDR = 1 << IDR
"""Bit sets of NAL unit types."""
_ANY_SLICES = bytes((DELIMITER, 0xF0))
"""An access unit delimiter that promises nothing of slice types (H.264 section 7.3.2.4)."""
_STREAM_TYPE = 0x1B
"""ISO/IEC 13818-1 table 2-34."""
_RECOVERY_POINT = 6
"""SEI payloadType (H.264 section D.1.8)."""
_WITHOUT_CHROMA = frozenset((66, 77, 88))
"""Profiles whose avcC ends behind the PPS."""

_CAPTIONS = CaptionFinder(0, 0x1F, SEI, _PICTURES, 1)
_LENGTH_AND_HEADER = struct.Struct(">IB").unpack_from
_NAL_UNITS = range(MAX_NAL_UNITS)


@implementer(VideoConfig, TransportConfig)
@dataclass(frozen=True, slots=True)
class H264Config:
    """An AVCDecoderConfigurationRecord and what its first sequence parameter set says."""

    codec: ClassVar[str] = "h264"
    kind: ClassVar[str] = "video"
    has_sample_entry: ClassVar[bool] = True
    timescale: ClassVar[int] = 90000

    record: bytes
    nal_length_size: int = field(compare=False)
    """Bytes of the length in front of each NAL unit as received: 1, 2 or 4."""
    sps: tuple[bytes, ...] = field(compare=False, repr=False)
    pps: tuple[bytes, ...] = field(compare=False, repr=False)
    sps_extensions: tuple[bytes, ...] = field(compare=False, repr=False)
    active_sps: SequenceParameterSet | None = field(compare=False, repr=False)
    """The first of `sps`."""
    told_color: ColorInfo = field(default=ColorInfo(), repr=False)
    """Told by the publisher."""

    @classmethod
    def parse(cls, record: bytes | memoryview) -> "H264Config":
        """Parse an AVCDecoderConfigurationRecord (``avcC``).

        Trailing bytes may be missing or extra. A record without any SPS or PPS gives a
        configuration that is not complete: the sets may come in an access unit.

        Raises:
            ConfigError: it is cut short, or contradicts itself.
        """
        record = bytes(record)
        if len(record) > MAX_RECORD:
            raise ConfigError(f"avcC of {len(record)} bytes; at most {MAX_RECORD} are allowed")
        if len(record) < 6 or record[0] != 1:
            raise ConfigError("avcC is cut short or not of version 1")
        nal_length_size = (record[4] & 3) + 1
        if nal_length_size == 3:
            raise ConfigError("avcC with NAL unit lengths of 3 bytes; 1, 2 and 4 are allowed")
        sps, position = _read_sets(record, 6, record[5] & 0x1F, SPS)
        if position == len(record):
            raise ConfigError("avcC is cut short before its picture parameter sets")
        pps, position = _read_sets(record, position + 1, record[position], PPS)
        extensions: tuple[bytes, ...] = ()
        position += 3
        if record[1] not in _WITHOUT_CHROMA and position < len(record):
            try:
                extensions, _ = _read_sets(record, position + 1, record[position], SPS_EXTENSION)
            except ConfigError:
                extensions = ()  # extra bytes that are something else
        return cls(
            record, nal_length_size, sps, pps, extensions, parse_sps(sps[0]) if sps else None
        )

    @property
    def is_complete(self) -> bool:
        """False while parameter sets are missing."""
        return bool(self.sps and self.pps)

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

    def with_color(self, color: ColorInfo) -> "H264Config":
        """Return the configuration with colour that the publisher told."""
        return replace(self, told_color=color)

    def rfc6381(self) -> str:
        """Return ``avc1.`` and profile, constraints and level in hex, as the SPS has them.

        The same bytes of the record are not used: some encoders write others there.
        """
        return "avc1." + self.sps[0][1:4].hex()

    def sample_entry(self) -> bytes:
        """Return the ``avc1`` box (ISO/IEC 14496-15 section 5.4.2).

        Its record says 4 length bytes and is complete, whatever was received.
        """
        assert self.active_sps is not None, "an incomplete configuration has no sample entry"
        avcc = _build_record(self.active_sps, self.sps, self.pps, self.sps_extensions)
        aspect_ratio = self.active_sps.vui.aspect_ratio
        return visual_sample_entry(
            b"avc1", self.width, self.height, box(b"avcC", avcc), self.color, aspect_ratio
        )

    def elementary_stream(self) -> ElementaryStream:
        """Return how H.264 is carried in a transport stream (ISO/IEC 13818-1 2.14)."""
        return ElementaryStream(_STREAM_TYPE, VIDEO_STREAM, b"", self._byte_stream)

    def _byte_stream(self, sample: bytes | memoryview, is_start: bool) -> bytes:
        """Return an access unit with a delimiter and start codes (annex B)."""
        sets = (*self.sps, *self.sps_extensions, *self.pps) if is_start else ()
        units = [
            unit
            for unit in split(sample, 4)[0]
            if unit[0] & 0x1F != DELIMITER
            and not (sets and unit[0] & 0x1F in (SPS, SPS_EXTENSION, PPS) and bytes(unit) in sets)
        ]
        return annex_b((_ANY_SLICES, *sets, *units)) if units else b""

    def access_unit(self, body: bytes | memoryview, key_flag: bool) -> AccessUnit:
        """Look through one access unit of length-prefixed NAL units.

        What a sound encoder sends comes back as the same memoryview. Otherwise lengths of
        1 or 2 bytes and Annex B start codes become lengths of 4, and empty NAL units and
        damaged ends are left out. Parameter sets that the configuration lacks take effect
        with a random access point, or on their own.

        Args:
            body: the NAL units, their lengths `nal_length_size` bytes each.
            key_flag: the container says that it is a key frame. Only then is a recovery
                point SEI looked for; an IDR picture is found without the flag too.
        """
        seen = 0
        position = 0
        end = len(body)
        if self.nal_length_size == 4:
            last = end - 5
            for _ in _NAL_UNITS:
                if position > last:
                    break
                length, header = _LENGTH_AND_HEADER(body, position)
                if not length:
                    break
                seen |= 1 << (header & 0x1F)
                position += 4 + length
            pictures = seen & _PICTURE
            if position == end and pictures:
                is_sync = pictures == _IDR
                if not (seen & _PARAMETER_SETS or (not is_sync and (key_flag or seen & _IDR))):
                    return AccessUnit(body, is_sync, is_sync, self, "")
                return self._examined(body, split(body, 4)[0], key_flag, "")
        return self._repaired(body, key_flag)

    def captions(self, payload: bytes | memoryview) -> bytes:
        """Find the captions of a sample in its SEI."""
        return _CAPTIONS.find(payload)

    def _repaired(self, body: bytes | memoryview, key_flag: bool) -> AccessUnit:
        """Bring an access unit into the form of 4 length bytes."""
        nal_units, is_whole = split_any(body, self.nal_length_size)
        return self._examined(
            joined(nal_units), nal_units, key_flag, "" if is_whole else "nal_unit"
        )

    def _examined(
        self,
        payload: bytes | memoryview,
        nal_units: Sequence[bytes | memoryview],
        key_flag: bool,
        fault: str,
    ) -> AccessUnit:
        """Judge an access unit by all of its NAL units."""
        types = {nal_unit[0] & 0x1F for nal_unit in nal_units}
        has_picture = not types.isdisjoint(_PICTURES)
        # what is decoded first counts: devices put several pictures into one access unit
        is_sync = IDR in types and IDR == next(
            unit[0] & 0x1F for unit in nal_units if unit[0] & 0x1F in _PICTURES
        )
        is_random_access = is_sync or (
            key_flag and has_picture and _starts_with_recovery_point(nal_units)
        )
        config = self
        if not types.isdisjoint((SPS, PPS)) and (is_random_access or not has_picture):
            try:
                config = self._updated(nal_units)
            except ConfigError:
                fault = "config"
        if not has_picture:
            return AccessUnit(b"", False, False, config, fault or "no_picture")
        return AccessUnit(payload, is_sync, is_random_access, config, fault)

    def _updated(self, nal_units: Sequence[bytes | memoryview]) -> "H264Config":
        """Return the configuration with the parameter sets among `nal_units`.

        Raises:
            ConfigError: they are broken or too many.
        """
        sps = [bytes(unit) for unit in nal_units if unit[0] & 0x1F == SPS]
        pps = [bytes(unit) for unit in nal_units if unit[0] & 0x1F == PPS]
        if set(sps) <= set(self.sps) and set(pps) <= set(self.pps):
            return self
        sps = _merged(sps, self.sps, 4, MAX_SPS)
        pps = _merged(pps, self.pps, 1, MAX_PPS)
        if not sps:
            return self
        if sum(map(len, sps + pps)) > MAX_RECORD // 2:
            raise ConfigError(f"parameter sets of over {MAX_RECORD // 2} bytes")
        active = parse_sps(sps[0])
        record = _build_record(active, sps, pps, self.sps_extensions)
        # the length size is the access units', not the record's: these keep coming as before
        return replace(self, record=record, sps=tuple(sps), pps=tuple(pps), active_sps=active)


def _read_sets(
    record: bytes, position: int, count: int, nal_unit_type: int
) -> tuple[tuple[bytes, ...], int]:
    """Read `count` parameter sets of avcC; return those that are not empty, and the end.

    Raises:
        ConfigError: one overruns the record, or is something else.
    """
    sets = []
    for _ in range(count):
        start = position + 2
        position = start + int.from_bytes(record[position:start], "big")
        if start > len(record) or position > len(record):
            raise ConfigError("avcC has a parameter set that overruns it")
        if position > start:
            if record[start] & 0x1F != nal_unit_type:
                raise ConfigError(
                    f"avcC has NAL unit type {record[start] & 0x1F} in place of {nal_unit_type}"
                )
            sets.append(record[start:position])
    return tuple(sets), position


def _build_record(
    active: SequenceParameterSet,
    sps: Sequence[bytes],
    pps: Sequence[bytes],
    extensions: Sequence[bytes],
) -> bytes:
    """Return a complete AVCDecoderConfigurationRecord for 4 length bytes (14496-15 5.3.3.1)."""
    parts = [b"\1", sps[0][1:4], bytes((0xFF, 0xE0 | len(sps)))]
    for unit in sps:
        parts += (len(unit).to_bytes(2, "big"), unit)
    parts.append(bytes((len(pps),)))
    for unit in pps:
        parts += (len(unit).to_bytes(2, "big"), unit)
    if active.profile_idc not in _WITHOUT_CHROMA:
        chroma, luma_depth, chroma_depth = (
            active.chroma_format_idc,
            active.bit_depth_luma - 8,
            active.bit_depth_chroma - 8,
        )
        parts.append(bytes((0xFC | chroma, 0xF8 | luma_depth, 0xF8 | chroma_depth)))
        parts.append(bytes((len(extensions),)))
        for unit in extensions:
            parts += (len(unit).to_bytes(2, "big"), unit)
    return b"".join(parts)


def _merged(new: Sequence[bytes], old: Sequence[bytes], id_at: int, most: int) -> list[bytes]:
    """Return the new parameter sets and those old ones whose ids are not among them.

    Args:
        new: parameter sets that were received now.
        old: those before.
        id_at: byte of the NAL unit at which its id, ue(v), begins.
        most: how many a configuration record can hold.

    Raises:
        ConfigError: one is cut short, or they are too many.
    """
    sets: dict[int, bytes] = {}
    try:
        for unit in (*new, *old):
            # an id is at most 255: 17 bits; behind that, nothing matters here
            sets.setdefault(BitReader(unescaped(unit[: id_at + 8])[id_at:]).ue(), unit)
    except BitstreamError as error:
        raise ConfigError(f"broken H.264 parameter set: {error}") from error
    if len(sets) > most:
        raise ConfigError(f"{len(sets)} parameter sets; at most {most} are allowed")
    return list(sets.values())


def _starts_with_recovery_point(nal_units: Sequence[bytes | memoryview]) -> bool:
    """Tell whether there is a recovery point SEI in front of the first slice."""
    left = MAX_SEI
    for nal_unit in takewhile(lambda unit: unit[0] & 0x1F not in _PICTURES, nal_units):
        if nal_unit[0] & 0x1F == SEI:
            if _has_recovery_point(nal_unit[1 : max(left, 1)]):
                return True
            left -= len(nal_unit)
    return False


def _has_recovery_point(sei: bytes | memoryview) -> bool:
    """Tell whether SEI messages have a recovery point among them (H.264 section 7.3.2.3.1)."""
    messages = unescaped(bytes(sei))
    position = 0
    while position + 2 < len(messages):
        fields = []
        for _ in range(2):
            value = 0
            while position < len(messages) and messages[position] == 0xFF:
                value += 0xFF
                position += 1
            fields.append(value + (messages[position] if position < len(messages) else 0))
            position += 1
        if fields[0] == _RECOVERY_POINT:
            return True
        position += fields[1]
    return False
