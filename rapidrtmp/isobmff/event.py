"""Event messages: what a segment tells its player besides media (ISO/IEC 23009-1 5.10.3.3)."""

import struct

from rapidrtmp.isobmff.box import full_box

UNKNOWN_DURATION = 0xFFFFFFFF
MAX_DURATION = 0xFFFFFFFE
"""Ticks."""


def event_message(
    scheme: str,
    value: str,
    *,
    timescale: int,
    presentation_time: int,
    duration: int,
    number: int,
    data: bytes,
) -> bytes:
    """Return an ``emsg`` box of version 1, which may stand before any moof.

    Args:
        scheme: URI that says what `data` is, without NUL.
        value: tells events of one scheme apart, without NUL.
        timescale: ticks/s.
        presentation_time: on the track's timeline, in ticks.
        duration: in ticks; `UNKNOWN_DURATION`.
        number: the same for the same event wherever it is repeated, 32 bits.
        data: the message.

    Raises:
        struct.error: a number does not fit its field.
    """
    return full_box(
        b"emsg",
        1,
        0,
        struct.pack(">IQII", timescale, presentation_time, duration, number),
        scheme.encode() + b"\0",
        value.encode() + b"\0",
        data,
    )
