"""Builders of audio headers and frames from plain fields, written against the standards."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from tests.media.bit_writer import BitWriter


def opus_head(
    channels: int = 2,
    family: int = 0,
    table: bytes = b"",
    pre_skip: int = 312,
    rate: int = 48000,
    gain: int = 0,
    version: int = 1,
) -> bytes:
    """Return an identification header (RFC 7845 figure 2)."""
    return b"OpusHead" + struct.pack(
        f"<BBHIhB{len(table)}s", version, channels, pre_skip, rate, gain, family, table
    )


def streaminfo(
    rate: int = 44100,
    channels: int = 2,
    bits: int = 16,
    blocks: tuple[int, int] = (4096, 4096),
    sizes: tuple[int, int] = (0, 0),
    total: int = 0,
    md5: bytes = bytes(16),
) -> bytes:
    """Return the content of a STREAMINFO block (RFC 9639 section 8.2)."""
    w = BitWriter().put(blocks[0], 16).put(blocks[1], 16).put(sizes[0], 24).put(sizes[1], 24)
    w.put(rate, 20).put(channels - 1, 3).put(bits - 1, 5).put(total, 36)
    return w.octets() + md5


def metadata_block(type_: int, content: bytes, is_last: bool = False) -> bytes:
    """Return a FLAC metadata block (RFC 9639 section 8.1)."""
    return bytes((type_ | is_last << 7,)) + len(content).to_bytes(3, "big") + content


def utf8_number(value: int) -> bytes:
    """Return a number of up to 36 bits coded as UTF-8 codes characters."""
    if value < 0x80:
        return bytes((value,))
    tail = []
    size = 1
    while True:
        tail.append(0x80 | value & 0x3F)
        value >>= 6
        size += 1
        if value < 1 << max(7 - size, 0):
            return bytes((0xFF00 >> size & 0xFF | value, *reversed(tail)))


def flac_frame(
    block_code: int,
    rate_code: int = 0,
    channel_code: int = 1,
    number: int = 0,
    variable: bool = False,
    block_tail: bytes = b"",
    rate_tail: bytes = b"",
    sync: int = 0x3FFE,
    reserved: int = 0,
) -> bytes:
    """Return a frame header with something behind it (RFC 9639 section 9.1)."""
    w = BitWriter().put(sync, 14).put(0, 1).put(variable, 1).put(block_code, 4).put(rate_code, 4)
    head = w.put(channel_code, 4).put(4, 3).put(reserved, 1).octets()
    return head + utf8_number(number) + block_tail + rate_tail + b"\x5a" + b"frame"


AC3_WORDS = {
    # frmsizecod: words of a syncframe at 48, 44.1 and 32 kHz (A/52 table 5.18), a few of them
    0: (64, 69, 96),
    1: (64, 70, 96),
    8: (128, 139, 192),
    11: (160, 175, 240),
    20: (384, 417, 576),
    21: (384, 418, 576),
    30: (896, 975, 1344),
    37: (1280, 1394, 1920),
}


def ac3_frame(
    frmsizecod: int = 20,
    fscod: int = 0,
    acmod: int = 2,
    lfeon: int = 0,
    bsid: int = 8,
    bsmod: int = 0,
    size: int | None = None,
) -> bytes:
    """Return a syncframe of zeros behind its bit stream information."""
    w = BitWriter().put(0x0B77, 16).put(0xABCD, 16).put(fscod, 2).put(frmsizecod, 6)
    w.put(bsid, 5).put(bsmod, 3).put(acmod, 3)
    if acmod in (3, 5, 7):  # three front channels: cmixlev
        w.put(3, 2)
    if acmod in (4, 5, 6, 7):  # surround: surmixlev
        w.put(3, 2)
    if acmod == 2:  # dsurmod
        w.put(3, 2)
    head = w.put(lfeon, 1).octets()
    if size is None:
        size = 2 * AC3_WORDS[frmsizecod][fscod]
    return head.ljust(size, b"\0")


def eac3_frame(
    strmtype: int = 0,
    substreamid: int = 0,
    size: int = 768,
    fscod: int = 0,
    code: int = 3,
    acmod: int = 2,
    lfeon: int = 0,
    bsid: int = 16,
    compression: bool = False,
    chanmap: int | None = None,
) -> bytes:
    """Return a syncframe of zeros behind the beginning of its bit stream information.

    `code` is numblkscod, or fscod2 where fscod is 3.
    """
    w = BitWriter().put(0x0B77, 16).put(strmtype, 2).put(substreamid, 3).put(size // 2 - 1, 11)
    w.put(fscod, 2).put(code, 2).put(acmod, 3).put(lfeon, 1).put(bsid, 5)
    for _ in range(1 if acmod else 2):
        w.put(31, 5).put(compression, 1).put(0xFF if compression else 0, 8 if compression else 0)
    if strmtype == 1:
        w.put(chanmap is not None, 1).put(chanmap or 0, 16 if chanmap is not None else 0)
    return w.octets().ljust(size, b"\0")


def dec3(data_rate: int, programs: Sequence[tuple[int, int, int, int, int | None]]) -> bytes:
    """Return the content of a dec3 box (TS 102 366 section F.6).

    Args:
        data_rate: kbit/s.
        programs: fscod, bsid, acmod, lfeon and chan_loc, None without dependent substreams
            and otherwise with the number of them above bit 9.
    """
    w = BitWriter().put(data_rate, 13).put(len(programs) - 1, 3)
    for fscod, bsid, acmod, lfeon, location in programs:
        w.put(fscod, 2).put(bsid, 5).put(0, 2).put(0, 3).put(acmod, 3).put(lfeon, 1).put(0, 3)
        if location is None:
            w.put(0, 4).put(0, 1)
        else:
            w.put(location >> 9, 4).put(location & 0x1FF, 9)
    return w.octets()


@dataclass
class MP3Frame:
    """The fields of a frame header (ISO/IEC 11172-3 section 2.4.1.3)."""

    version: int = 3
    """3 MPEG-1, 2 MPEG-2, 0 MPEG-2.5."""
    layer: int = 1
    """1 is layer III."""
    unprotected: int = 1
    bit_rate: int = 9
    rate: int = 0
    padding: int = 0
    mode: int = 1
    size: int = 417

    def octets(self) -> bytes:
        """Return the frame, zeros behind its header."""
        w = BitWriter().put(0x7FF, 11).put(self.version, 2).put(self.layer, 2)
        w.put(self.unprotected, 1).put(self.bit_rate, 4).put(self.rate, 2).put(self.padding, 1)
        return w.put(0, 1).put(self.mode, 2).put(0, 6).octets().ljust(self.size, b"\0")
