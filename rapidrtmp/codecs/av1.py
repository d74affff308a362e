"""AV1: codec configuration record and temporal units (AV1 Codec ISO Media File Format Binding)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import ClassVar, NamedTuple

from zope.interface import implementer

from rapidrtmp.codecs.av1_sequence import SequenceHeader, parse_sequence_header
from rapidrtmp.codecs.visual import combined_color, is_plain, visual_sample_entry
from rapidrtmp.isobmff.box import box
from rapidrtmp.media.captions import cc_data
from rapidrtmp.media.codec import AccessUnit, ColorInfo, ConfigError, VideoConfig

MAX_RECORD = 4096
"""Bytes. A sequence header has some ten; the bound keeps what a track holds for ever small."""
MAX_OBUS = 4096
"""In one temporal unit. A picture has at most 512 tile groups in the highest level."""

SEQUENCE_HEADER = 1
TEMPORAL_DELIMITER = 2
FRAME_HEADER = 3
METADATA = 5
FRAME = 6
TILE_LIST = 8
PADDING = 15

_FRAMES = frozenset((FRAME_HEADER, FRAME))
_LEFT_OUT = frozenset((TEMPORAL_DELIMITER, TILE_LIST, PADDING))
"""What has no place in a sample (section 2.4 of the binding)."""
_SHOWN_KEY_FRAME = 0x10
"""The first four bits of a frame header: show_existing_frame 0, KEY_FRAME, show_frame 1."""
_MARKER_AND_VERSION = 0x81
_ITUT_T35 = b"\4"
"""metadata_type, leb128()."""
_HEAD = 4
"""Bytes of av1C in front of configOBUs."""


class OBU(NamedTuple):
    """An open bitstream unit and its place among the octets."""

    type: int
    start: int
    content: int
    """Where the header and the size end."""
    end: int


def split_obus(octets: bytes | memoryview) -> tuple[list[OBU], bool]:
    """Split OBUs of the low-overhead format (AV1 section 5.3).

    Returns:
        The OBUs, and whether nothing else was left over.
    """
    obus: list[OBU] = []
    start = 0
    length = len(octets)
    while start < length and len(obus) < MAX_OBUS:
        header = octets[start]
        content = start + 1 + (header >> 2 & 1)
        if header & 0x80:
            break  # obu_forbidden_bit
        if header & 2:
            size = 0
            for shift in range(0, 56, 7):  # leb128()
                if content >= length:
                    return obus, False
                octet = octets[content]
                content += 1
                size |= (octet & 0x7F) << shift
                if octet < 0x80:
                    break
            else:
                return obus, False
            end = content + size
        else:
            end = length
        if content > end or end > length:
            break
        obus.append(OBU(header >> 3 & 15, start, content, end))
        start = end
    return obus, start == length


@implementer(VideoConfig)
@dataclass(frozen=True, slots=True)
class AV1Config:
    """An AV1CodecConfigurationRecord and what its sequence header says."""

    codec: ClassVar[str] = "av1"
    kind: ClassVar[str] = "video"
    has_sample_entry: ClassVar[bool] = True
    timescale: ClassVar[int] = 90000

    record: bytes
    sequence_octets: bytes = field(compare=False, repr=False)
    """The content of the sequence header OBU; empty while there is none."""
    sequence: SequenceHeader | None = field(compare=False, repr=False)
    told_color: ColorInfo = field(default=ColorInfo(), repr=False)
    """Told by the publisher."""

    @classmethod
    def parse(cls, record: bytes | memoryview) -> "AV1Config":
        """Parse an AV1CodecConfigurationRecord (``av1C``).

        What its head says is not used: the sequence header says the same. Where that is
        missing the configuration is not complete: it comes with the first key frame.

        Raises:
            ConfigError: it is cut short, too large, of another version, or its sequence
                header is broken.
        """
        record = bytes(record)
        if len(record) > MAX_RECORD:
            raise ConfigError(f"av1C of {len(record)} bytes; at most {MAX_RECORD} are allowed")
        if len(record) < _HEAD or record[0] != _MARKER_AND_VERSION:
            raise ConfigError("av1C is cut short or not of version 1")
        obus = record[_HEAD:]
        for obu in split_obus(obus)[0]:
            if obu.type == SEQUENCE_HEADER:
                octets = obus[obu.content : obu.end]
                return cls(record, octets, parse_sequence_header(octets))
        return cls(record, b"", None)

    @property
    def is_complete(self) -> bool:
        """False while the sequence header is missing."""
        return self.sequence is not None

    @property
    def width(self) -> int:
        """Pixels; 0 while there is no sequence header."""
        return self.sequence.width if self.sequence else 0

    @property
    def height(self) -> int:
        """Pixels; 0 while there is no sequence header."""
        return self.sequence.height if self.sequence else 0

    @property
    def frame_rate(self) -> float | None:
        """Frames/s by the timing info, if it is there: a hint only."""
        return self.sequence.frame_rate if self.sequence else None

    @property
    def color(self) -> ColorInfo:
        """What the sequence header says of colour, and the publisher where it is silent."""
        return combined_color(self.sequence.color if self.sequence else None, self.told_color)

    def with_color(self, color: ColorInfo) -> "AV1Config":
        """Return the configuration with colour that the publisher told."""
        return replace(self, told_color=color)

    def rfc6381(self) -> str:
        """Return ``av01.`` and profile, level, tier and depth (section 5 of the binding).

        Subsampling and colour follow only where they are not what is understood without them.
        """
        sequence = self.sequence
        assert sequence is not None, "an incomplete configuration has no codec string"
        tier = "H" if sequence.tier else "M"
        text = f"av01.{sequence.profile}.{sequence.level:02}{tier}.{sequence.bit_depth:02}"
        color = self.color
        x, y = sequence.subsampling
        if (x, y) == (1, 1) and not sequence.is_monochrome and is_plain(color):
            return text
        return (
            f"{text}.{sequence.is_monochrome:d}.{x}{y}{sequence.chroma_sample_position}"
            f".{color.primaries:02}.{color.transfer:02}.{color.matrix:02}.{color.full_range:d}"
        )

    def sample_entry(self) -> bytes:
        """Return the ``av01`` box (section 2.2 of the binding)."""
        assert self.sequence is not None, "an incomplete configuration has no sample entry"
        av1c = box(b"av1C", _build_record(self.sequence, self.sequence_octets))
        return visual_sample_entry(b"av01", self.width, self.height, av1c, self.color)

    def access_unit(self, body: bytes | memoryview, key_flag: bool) -> AccessUnit:
        """Look through one temporal unit of OBUs in the low-overhead format.

        What a sound encoder sends comes back as the same memoryview. Otherwise temporal
        delimiters, tile lists, padding and damaged ends are left out. A sync sample must
        have its sequence header (section 2.4 of the binding): one without gets it. Another
        sequence header takes effect with a sync sample, or on its own.

        Args:
            body: the OBUs. Only the last may be without a size.
            key_flag: not needed: the first frame header tells.
        """
        obus, is_whole = split_obus(body)
        fault = "" if is_whole else "obu"
        has_picture = is_sync = False
        octets: bytes | memoryview = b""
        for obu in obus:
            if obu.type in _FRAMES:
                if not has_picture and obu.content < obu.end:
                    has_picture = True
                    is_sync = body[obu.content] & 0xF0 == _SHOWN_KEY_FRAME
            elif obu.type == SEQUENCE_HEADER:
                octets = octets or body[obu.content : obu.end]
        config = self
        if octets and octets != self.sequence_octets and (is_sync or not has_picture):
            try:
                config = self._updated(bytes(octets))
            except ConfigError:
                fault = "config"
        if not has_picture:
            return AccessUnit(b"", False, False, config, fault or "no_picture")
        payload = _as_sample(body, obus)
        if is_sync and not octets and self.sequence_octets:
            payload = b"".join((_sequence_obu(self.sequence_octets), payload))
        return AccessUnit(payload, is_sync, is_sync, config, fault)

    def captions(self, payload: bytes | memoryview) -> bytes:
        """Find the captions of a sample in its metadata OBUs (AV1 section 5.8.2)."""
        found = b""
        for obu in split_obus(payload)[0]:
            if obu.type == METADATA and payload[obu.content : obu.content + 1] == _ITUT_T35:
                found += cc_data(bytes(payload[obu.content + 1 : obu.end]))
        return found

    def _updated(self, octets: bytes) -> "AV1Config":
        """Return the configuration with another sequence header.

        Raises:
            ConfigError: it is broken or too large.
        """
        if len(octets) > MAX_RECORD // 2:
            raise ConfigError(f"AV1 sequence header of over {MAX_RECORD // 2} bytes")
        sequence = parse_sequence_header(octets)
        record = _build_record(sequence, octets)
        return replace(self, record=record, sequence_octets=octets, sequence=sequence)


def _as_sample(body: bytes | memoryview, obus: Sequence[OBU]) -> bytes | memoryview:
    """Return those of the OBUs that have a place in a sample, without a copy if possible."""
    kept = [obu for obu in obus if obu.type not in _LEFT_OUT]
    start, end = kept[0].start, kept[-1].end
    if any(obu.end != following.start for obu, following in pairwise(kept)):
        return b"".join(body[obu.start : obu.end] for obu in kept)
    return body if end - start == len(body) else body[start:end]


def _sequence_obu(octets: bytes) -> bytes:
    """Return a whole sequence header OBU with its size in two bytes at most."""
    size = len(octets)
    sizes = bytes((size,)) if size < 0x80 else bytes((0x80 | size & 0x7F, size >> 7))
    return bytes((SEQUENCE_HEADER << 3 | 2,)) + sizes + octets


def _build_record(sequence: SequenceHeader, octets: bytes) -> bytes:
    """Return an AV1CodecConfigurationRecord (section 2.3 of the binding)."""
    depth = (sequence.bit_depth > 8) << 6 | (sequence.bit_depth > 10) << 5
    x, y = sequence.subsampling
    chroma = sequence.is_monochrome << 4 | x << 3 | y << 2 | sequence.chroma_sample_position
    head = (
        _MARKER_AND_VERSION,
        sequence.profile << 5 | sequence.level,
        sequence.tier << 7 | depth | chroma,
        0,
    )
    return bytes(head) + _sequence_obu(octets)
