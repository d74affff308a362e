"""Program specific information: PAT and PMT (ISO/IEC 13818-1 section 2.4.4)."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from rapidrtmp.mpegts.packet import ROOM

PAT_PID = 0
PROGRAM = 1
"""program_number, and transport_stream_id, of the only program."""

_PAT, _PMT = 0, 2
"""table_id (table 2-31)."""
_REGISTRATION, _LANGUAGE = 0x05, 0x0A
"""descriptor_tag (table 2-45)."""
_POLYNOMIAL = 0x04C11DB7


class Component(NamedTuple):
    """An elementary stream as the PMT lists it."""

    stream_type: int
    pid: int
    registration: bytes = b""
    """format_identifier; empty for no descriptor."""
    language: str = ""
    """ISO 639-2 code of three letters; empty for no descriptor."""


def pat(pmt_pid: int) -> bytes:
    """Return the payload of a packet with the program association table (2.4.4.3)."""
    return _section(_PAT, struct.pack(">HH", PROGRAM, 0xE000 | pmt_pid), 0)


def pmt(pcr_pid: int, components: Sequence[Component]) -> bytes:
    """Return the payload of a packet with the program map table (2.4.4.8).

    Its version_number is made of its content: when that changes, the version does as a rule,
    without anything to remember.

    Args:
        pcr_pid: where the program's clock is.
        components: at most four.
    """
    parts = [struct.pack(">HH", 0xE000 | pcr_pid, 0xF000)]
    for component in components:
        descriptors = b""
        if component.registration:
            descriptors += _descriptor(_REGISTRATION, component.registration)
        if component.language:
            descriptors += _descriptor(_LANGUAGE, component.language.encode("ascii") + b"\0")
        head = (component.stream_type, 0xE000 | component.pid, 0xF000 | len(descriptors))
        parts.append(struct.pack(">BHH", *head) + descriptors)
    content = b"".join(parts)
    return _section(_PMT, content, crc32(content) & 0x1F)


def crc32(content: bytes) -> int:
    """Return the CRC of a section (annex A): not the reflected one of zlib."""
    crc = 0xFFFFFFFF
    for octet in content:
        crc = crc << 8 & 0xFFFFFFFF ^ _TABLE[crc >> 24 ^ octet]
    return crc


def _section(table_id: int, content: bytes, version: int) -> bytes:
    """Return a whole section behind its pointer_field, and stuffing up to a packet's end."""
    size = 5 + len(content) + 4
    head = struct.pack(">BHHBBB", table_id, 0xB000 | size, PROGRAM, 0xC1 | version << 1, 0, 0)
    section = head + content
    section += crc32(section).to_bytes(4, "big")
    return (b"\0" + section).ljust(ROOM, b"\xff")


def _descriptor(tag: int, content: bytes) -> bytes:
    return bytes((tag, len(content))) + content


def _make_table() -> tuple[int, ...]:
    table = []
    for octet in range(256):
        crc = octet << 24
        for _ in range(8):
            crc = crc << 1 ^ (_POLYNOMIAL if crc & 0x80000000 else 0)
        table.append(crc & 0xFFFFFFFF)
    return tuple(table)


_TABLE = _make_table()
