"""NAL units: what H.264 and H.265 have in common (H.264 7.4.1 and annex B, 14496-15 5.3.2)."""

from collections.abc import Sequence

MAX_NAL_UNITS = 4096
"""In one access unit. A 4K picture in slices of one network packet has some hundred."""
MAX_RECORD = 65536
"""Bytes of a configuration record. Real ones are under 400; the bound keeps what a track holds
for ever small."""

START_CODE = b"\0\0\0\1"
"""In front of an access unit; inside of it, a zero less is right too (annex B)."""


def unescaped(nal_unit: bytes) -> bytes:
    """Return a NAL unit without its emulation prevention bytes."""
    return nal_unit.replace(b"\0\0\3", b"\0\0")


def split(body: bytes | memoryview, length_size: int) -> tuple[list[bytes | memoryview], bool]:
    """Split length-prefixed NAL units.

    Args:
        body: an access unit.
        length_size: bytes of each length.

    Returns:
        Those that are not empty, and whether nothing else was left over.
    """
    nal_units: list[bytes | memoryview] = []
    position = 0
    end = len(body)
    for _ in range(MAX_NAL_UNITS):
        start = position + length_size
        if start > end:
            break
        following = start + int.from_bytes(body[position:start], "big")
        if following > end:
            break
        if following > start:
            nal_units.append(body[start:following])
        position = following
    return nal_units, position == end


def split_annex_b(body: bytes | memoryview) -> tuple[list[bytes | memoryview], bool]:
    """Split NAL units with start codes.

    Returns:
        Those that are not empty, and whether nothing else was left over.
    """
    pieces = bytes(body).split(START_CODE[1:], MAX_NAL_UNITS + 1)
    # Zeros before a start code belong to it: a NAL unit never ends in one.
    nal_units = [piece.rstrip(b"\0") for piece in pieces[: MAX_NAL_UNITS + 1]]
    return [unit for unit in nal_units if unit], len(pieces) <= MAX_NAL_UNITS + 1


def split_any(body: bytes | memoryview, length_size: int) -> tuple[list[bytes | memoryview], bool]:
    """Split an access unit with lengths, or with start codes where the lengths do not fit.

    Takes and returns what `split` does.
    """
    nal_units, is_whole = split(body, length_size)
    if not is_whole and body[: len(START_CODE)] == START_CODE:
        return split_annex_b(body)
    return nal_units, is_whole


def joined(nal_units: Sequence[bytes | memoryview]) -> bytes:
    """Return NAL units with lengths of 4 bytes."""
    parts: list[bytes | memoryview] = []
    for nal_unit in nal_units:
        parts += (len(nal_unit).to_bytes(4, "big"), nal_unit)
    return b"".join(parts)


def annex_b(nal_units: Sequence[bytes | memoryview]) -> bytes:
    """Return NAL units with start codes of 4 bytes, which stand in front of any."""
    parts: list[bytes | memoryview] = []
    for nal_unit in nal_units:
        parts += (START_CODE, nal_unit)
    return b"".join(parts)
