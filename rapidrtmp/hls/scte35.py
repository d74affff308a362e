"""SCTE 35: what a splice_info_section says, as far as playlists tell of it (section 9)."""

from dataclasses import dataclass

from rapidrtmp.media.bits import BitReader, BitstreamError

MAX_SECTION = 1024
"""Bytes. Real ones have some hundred; it stands twice as long in playlists."""
SPLICE_INSERT = 5
TIME_SIGNAL = 6

_TABLE_ID = 0xFC
_CUEI = 0x43554549
_SEGMENTATION = 2
_CLOCK = 90_000
_UNSPECIFIED = 0xFFF
_BREAKS = range(0x30, 0x48)
"""segmentation_type_id of advertisements, placement opportunities and overlays: even ones begin
something that the next odd one ends."""


class SpliceError(ValueError):
    """Octets are no splice_info_section, or one that is not supported."""


@dataclass(frozen=True, slots=True)
class Splice:
    """A splice command."""

    command: int
    """`SPLICE_INSERT` or `TIME_SIGNAL`."""
    event_id: int | None = None
    """splice_event_id or segmentation_event_id."""
    is_out: bool | None = None
    """Whether the network is left, for an advertisement; False for the way back. None where it
    is neither."""
    duration: float | None = None
    """Seconds that it is planned to last."""


def _crc_table() -> tuple[int, ...]:
    table = []
    for octet in range(256):
        value = octet << 24
        for _ in range(8):
            value = value << 1 ^ (0x104C11DB7 if value & 0x80000000 else 0)
        table.append(value)
    return tuple(table)


_CRC = _crc_table()


def crc_32(octets: bytes) -> int:
    """Return the CRC of MPEG-2 sections (ISO/IEC 13818-1 annex A); 0 over a whole section."""
    crc = 0xFFFFFFFF
    for octet in octets:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _CRC[crc >> 24 ^ octet]
    return crc


def parse_section(section: bytes) -> Splice:
    """Read a splice_info_section with a splice_insert or a time_signal.

    Raises:
        SpliceError: it is broken, encrypted, cancels something, or has another command.
    """
    if len(section) > MAX_SECTION:
        raise SpliceError(f"a section of {len(section)} bytes; at most {MAX_SECTION} are taken")
    if len(section) < 3 or section[0] != _TABLE_ID:
        raise SpliceError("a splice_info_section begins with FC")
    if len(section) != 3 + (int.from_bytes(section[1:3], "big") & 0xFFF):
        raise SpliceError("section_length is not that of the section")
    if crc_32(section):
        raise SpliceError("the CRC of the section is wrong")
    try:
        return _parse(BitReader(section[:-4]))
    except BitstreamError:
        raise SpliceError("the section is cut short") from None


def _parse(bits: BitReader) -> Splice:
    bits.skip(24)
    if bits.read(8):
        raise SpliceError("protocol_version is not 0")
    if bits.flag():
        raise SpliceError("the section is encrypted")
    bits.skip(6 + 33 + 8 + 12)
    length, command = bits.read(12), bits.read(8)
    start = bits.position
    if command == SPLICE_INSERT:
        splice = _splice_insert(bits)
    elif command == TIME_SIGNAL:
        _splice_time(bits)
        splice = Splice(TIME_SIGNAL)
    else:
        raise SpliceError(f"splice_command_type is {command}; 5 and 6 are taken")
    if length not in (_UNSPECIFIED, (bits.position - start) // 8):
        raise SpliceError("splice_command_length is not that of the command")
    end = bits.read(16) * 8 + bits.position
    if end > bits.position + bits.bits_left:
        raise SpliceError("the section is cut short")
    while bits.position < end:
        tag, size = bits.read(8), bits.read(8)
        following = bits.position + 8 * size
        if following > end:
            raise SpliceError("a descriptor overruns its loop")
        if command == TIME_SIGNAL and splice.event_id is None:
            splice = _segmentation(bits, tag, size) or splice
            if bits.position > following:
                raise SpliceError("a segmentation_descriptor is cut short")
        bits.skip(following - bits.position)
    return splice


def _splice_time(bits: BitReader) -> None:
    if bits.flag():
        bits.skip(6 + 33)
    else:
        bits.skip(7)


def _splice_insert(bits: BitReader) -> Splice:
    event_id = bits.read(32)
    if bits.flag():
        raise SpliceError("a splice_insert that cancels another one is not taken")
    bits.skip(7)
    is_out, is_program, has_duration, is_immediate = (bits.flag() for _ in range(4))
    bits.skip(4)
    if is_program:
        if not is_immediate:
            _splice_time(bits)
    else:
        for _ in range(bits.read(8)):
            bits.skip(8)
            if not is_immediate:
                _splice_time(bits)
    duration = None
    if has_duration:
        bits.skip(7)
        duration = bits.read(33) / _CLOCK
    bits.skip(16 + 8 + 8)
    return Splice(SPLICE_INSERT, event_id, is_out, duration)


def _segmentation(bits: BitReader, tag: int, size: int) -> Splice | None:
    """Read a segmentation_descriptor; None for another one."""
    if tag != _SEGMENTATION or size < 5 or bits.read(32) != _CUEI:
        return None
    event_id = bits.read(32)
    if bits.flag():
        raise SpliceError("a segmentation_descriptor that cancels another one is not taken")
    bits.skip(7)
    is_program, has_duration = bits.flag(), bits.flag()
    bits.skip(6)
    if not is_program:
        bits.skip(48 * bits.read(8))
    duration = bits.read(40) / _CLOCK if has_duration else None
    bits.skip(8)
    bits.skip(8 * bits.read(8))
    kind = bits.read(8)
    is_out = kind % 2 == 0 if kind in _BREAKS else None
    return Splice(TIME_SIGNAL, event_id, is_out, duration)
