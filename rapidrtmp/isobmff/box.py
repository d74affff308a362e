"""Boxes: the building block of every ISO base media file (ISO/IEC 14496-12 section 4.2)."""

import struct

_HEADER = struct.Struct(">I4s")
_FULL_HEADER = struct.Struct(">I4sI")


def box(type: bytes, *parts: bytes) -> bytes:
    """Return one box.

    Args:
        type: the four bytes that name the box.
        parts: its content, joined in order.

    Raises:
        struct.error: the box would be 4 GiB or larger.
    """
    return _HEADER.pack(8 + sum(map(len, parts)), type) + b"".join(parts)


def full_box(type: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """Return one box that carries a version and flags.

    Args:
        type: the four bytes that name the box.
        version: 0 to 255; tells which layout the content has.
        flags: 24 bits.
        parts: what follows the flags, joined in order.

    Raises:
        struct.error: the box would be 4 GiB or larger.
    """
    size = 12 + sum(map(len, parts))
    return _FULL_HEADER.pack(size, type, version << 24 | flags) + b"".join(parts)
