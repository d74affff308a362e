"""Script data: onMetaData (FLV 10.1 section E.5, RTMP section 7.1.1)."""

import math

from rapidrtmp.amf import amf0
from rapidrtmp.amf.errors import AMFError
from rapidrtmp.amf.values import Value
from rapidrtmp.flv.tag import AMF3_DATA

MAX_METADATA = 65536
"""Bytes of one message. Encoders send under 2 KiB; it is kept as long as the stream lives."""
MAX_TEXT = 1024
"""Characters kept of one value."""

Scalar = float | bool | str

_RANGES = {
    "width": (1, 16384),
    "height": (1, 16384),
    "framerate": (0.01, 1000),
    "videodatarate": (0, 10_000_000),
    "audiodatarate": (0, 10_000_000),
    "audiosamplerate": (1000, 768_000),
    "audiosamplesize": (1, 64),
    "audiochannels": (1, 64),
}
"""Plausible numbers, in the field's own units: pixels, frames/s, kbit/s, Hz, bits."""


class ScriptError(ValueError):
    """A data message cannot be read."""


def parse_metadata(type_id: int, octets: bytes | memoryview) -> dict[str, Scalar] | None:
    """Read the metadata out of a data message.

    Metadata is for people and hints: it never decides what a stream contains.

    Args:
        type_id: 18, or 15 for the AMF3 form, which begins with a zero byte.
        octets: the message.

    Returns:
        Its plain values, those that make no sense left out; None when the message is
        another one than onMetaData.

    Raises:
        ScriptError: it is too large or is not AMF.
    """
    if len(octets) > MAX_METADATA:
        raise ScriptError(f"data message of {len(octets)} bytes; at most {MAX_METADATA} are kept")
    if type_id == AMF3_DATA:
        octets = octets[1:]
    try:
        values = amf0.decode(octets)
    except AMFError as error:
        raise ScriptError(f"data message is not AMF: {error}") from error
    if values[:1] == ["@setDataFrame"]:
        del values[0]
    if len(values) < 2 or values[0] != "onMetaData" or not isinstance(values[1], dict):
        return None
    return _plausible(values[1])


def _plausible(values: dict[str, Value]) -> dict[str, Scalar]:
    """Keep what is a plain value and, where its name is known, of plausible size."""
    kept: dict[str, Scalar] = {}
    for name, value in values.items():
        if name in _RANGES:
            low, high = _RANGES[name]
            # a bool is no float
            if isinstance(value, float) and low <= value <= high:
                kept[name] = value
        elif isinstance(value, bool) or (isinstance(value, float) and math.isfinite(value)):
            kept[name[:MAX_TEXT]] = value
        elif isinstance(value, str):
            kept[name[:MAX_TEXT]] = value[:MAX_TEXT]
    return kept
