"""Packetized elementary streams (ISO/IEC 13818-1 section 2.4.3.6)."""

import struct

CLOCK = 90_000
"""Ticks/s of PTS, DTS and the base of PCR."""
WRAP = 1 << 33
MAX_DATA = 0xFFFF - 13
"""Bytes of data in a packet that tells its size; only that of video may tell none."""

_START = struct.Struct(">3sBHBBB").pack
_START_CODE = b"\0\0\1"
_ALIGNED = 0x84
"""'10', and data_alignment_indicator: an access unit or audio frame begins the data."""
_PTS = 0x80
_PTS_AND_DTS = 0xC0


def pes_header(stream_id: int, size: int, pts: int, dts: int) -> bytes:
    """Return the header of a PES packet.

    Args:
        stream_id: what kind of stream it is.
        size: bytes of data that follow; over `MAX_DATA`, the packet does not tell it.
        pts: presentation time in ticks of 90 kHz, of any size: it wraps here.
        dts: decoding time, likewise; left out where it is the same.
    """
    if pts == dts:
        flags, times = _PTS, _timestamp(0x2, pts)
    else:
        flags, times = _PTS_AND_DTS, _timestamp(0x3, pts) + _timestamp(0x1, dts)
    length = 3 + len(times) + size if size <= MAX_DATA else 0
    return _START(_START_CODE, stream_id, length, _ALIGNED, flags, len(times)) + times


def _timestamp(prefix: int, ticks: int) -> bytes:
    """Return 33 bits with marker bits between them."""
    ticks %= WRAP
    spread = prefix << 36 | ticks >> 30 << 33 | (ticks >> 15 & 0x7FFF) << 17
    return (spread | (ticks & 0x7FFF) << 1 | 0x100010001).to_bytes(5, "big")
