"""Script data: onMetaData (FLV 10.1 section E.5, RTMP section 7.1.1) and colorInfo (ER v2)."""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from rapidrtmp.amf import amf0
from rapidrtmp.amf.errors import AMFError
from rapidrtmp.amf.values import UNDEFINED, Date, Value
from rapidrtmp.flv.tag import AMF3_DATA
from rapidrtmp.media.codec import ColorInfo
from rapidrtmp.media.timed import ScriptMessage

MAX_METADATA = 65536
"""Bytes of one message. Encoders send under 2 KiB; it is kept as long as the stream lives."""
MAX_TEXT = 1024
"""Characters kept of one value."""
MAX_LABEL = 64
"""Characters kept of a track's label."""

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


_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,4}")
"""The forms of BCP 47 that people use."""
_TRACK_ID = re.compile(r"[1-9][0-9]{0,2}")

_CHROMATICITIES = (
    "greenX",
    "greenY",
    "blueX",
    "blueY",
    "redX",
    "redY",
    "whitePointX",
    "whitePointY",
)
"""Of hdrMdcv, CIE 1931, in the order of `ColorInfo.mastering`."""


class ScriptError(ValueError):
    """A data message cannot be read."""


_SILENT = frozenset(("onMetaData", "|RtmpSampleAccess", "onStatus"))
"""Messages between client and server, and what is known otherwise."""
MAX_SCRIPT = 16384
"""Bytes of a data message that is handed on."""
MAX_SCRIPT_NAME = 64
"""Characters of its name."""
_MAX_DEPTH = 8


class TrackHints(NamedTuple):
    """What metadata says of one track, for people who choose between tracks."""

    language: str = "und"
    label: str = ""


NO_HINTS = TrackHints()


class Metadata(NamedTuple):
    """The content of an onMetaData message, what makes no sense left out."""

    values: dict[str, Scalar]
    video_tracks: dict[int, TrackHints]
    """By track id, from 1: videoTrackIdInfoMap."""
    audio_tracks: dict[int, TrackHints]
    """By track id, from 1: audioTrackIdInfoMap."""


def parse_data(type_id: int, octets: bytes | memoryview) -> Metadata | ScriptMessage | None:
    """Read a data message.

    Metadata is for people and hints: it never decides what a stream contains.

    Args:
        type_id: 18, or 15 for the AMF3 form, which begins with a zero byte.
        octets: the message.

    Returns:
        What onMetaData holds; a message that is meant for the viewers; None for all else.

    Raises:
        ScriptError: it is too large or is not AMF.
    """
    octets = octets[1:] if type_id == AMF3_DATA else octets
    values = _decode(octets)
    if values[:1] == ["@setDataFrame"]:
        del values[0]
        octets = octets[len(amf0.encode("@setDataFrame")) :]
    if not values or not isinstance(values[0], str):
        return None
    if values[0] != "onMetaData":
        return _script_message(values[0], values[1:], bytes(octets))
    if len(values) < 2 or not isinstance(values[1], dict):
        return None
    members = values[1]
    return Metadata(
        _plausible(members),
        _track_hints(members.get("videoTrackIdInfoMap")),
        _track_hints(members.get("audioTrackIdInfoMap")),
    )


def _script_message(name: str, values: list[Value], body: bytes) -> ScriptMessage | None:
    is_meant = name not in _SILENT and name[:1] != "@" and name.isprintable()
    if not (is_meant and 0 < len(name) <= MAX_SCRIPT_NAME):
        return None
    if len(body) > MAX_SCRIPT:
        raise ScriptError(f"{name} of {len(body)} bytes; at most {MAX_SCRIPT} are handed on")
    return ScriptMessage(name, [_json(value, _MAX_DEPTH) for value in values], body)


def _json(value: Value, depth: int) -> object:
    """Return a value as JSON has it; what is too deep, or has no such form, becomes null."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, float | int):
        return value if math.isfinite(value) else None
    if isinstance(value, Date):
        return value.milliseconds if math.isfinite(value.milliseconds) else None
    if depth and isinstance(value, dict):
        return {name: _json(member, depth - 1) for name, member in value.items()}
    if depth and isinstance(value, list):
        return [_json(member, depth - 1) for member in value]
    return None


def parse_color(octets: bytes | memoryview) -> ColorInfo | None:
    """Read colorInfo out of the body of a video metadata packet (Enhanced RTMP v2).

    Returns:
        What it says as far as it makes sense, which may be nothing; None when there is
        no colorInfo in it.

    Raises:
        ScriptError: it is too large, is not AMF or has something else for colorInfo.
    """
    values = _decode(octets)
    for name, value in zip(values[::2], values[1::2], strict=False):
        if name == "colorInfo":
            if value is None or value is UNDEFINED:
                value = {}  # takes back what was said before
            if not isinstance(value, dict):
                raise ScriptError(f"colorInfo is a {type(value).__name__}")
            return _color(value)
    return None


def _decode(octets: bytes | memoryview) -> list[Value]:
    if len(octets) > MAX_METADATA:
        raise ScriptError(f"data message of {len(octets)} bytes; at most {MAX_METADATA} are kept")
    try:
        return amf0.decode(octets)
    except AMFError as error:
        raise ScriptError(f"data message is not AMF: {error}") from error


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


def _track_hints(value: Value) -> dict[int, TrackHints]:
    """Read an object of track objects."""
    hints: dict[int, TrackHints] = {}
    if isinstance(value, dict):
        for name, track in value.items():
            if isinstance(track, dict) and _TRACK_ID.fullmatch(name):
                language, label = track.get("language"), track.get("label")
                hints[int(name)] = TrackHints(
                    language
                    if isinstance(language, str) and _LANGUAGE.fullmatch(language)
                    else "und",
                    label[:MAX_LABEL] if isinstance(label, str) and label.isprintable() else "",
                )
    return hints


def _color(value: Mapping[str, Value]) -> ColorInfo:
    """Read a colorInfo object; a group or number that makes no sense counts as not given."""
    config = _members(value, "colorConfig")
    light = _members(value, "hdrCll")
    return ColorInfo(
        _number(config.get("colorPrimaries"), 1, 255, 2),
        _number(config.get("transferCharacteristics"), 1, 255, 2),
        _number(config.get("matrixCoefficients"), 0, 255, 2),
        max_cll=_number(light.get("maxCLL"), 1, 65535, 0),
        max_fall=_number(light.get("maxFall"), 1, 65535, 0),
        mastering=_mastering(_members(value, "hdrMdcv")),
    )


def _mastering(display: Mapping[str, Value]) -> tuple[int, ...]:
    """Read hdrMdcv; () unless it is complete."""
    numbers = [_number(display.get(name), 0, 1, -1, 50_000) for name in _CHROMATICITIES]
    # 10,000 cd/m2 is the most that PQ can say
    numbers += [
        _number(display.get(name), 0, 10_000, -1, 10_000)
        for name in ("maxLuminance", "minLuminance")
    ]
    is_usable = min(numbers) >= 0 and numbers[-2] > numbers[-1]
    return tuple(numbers) if is_usable else ()


def _members(value: Mapping[str, Value], name: str) -> Mapping[str, Value]:
    group = value.get(name)
    return group if isinstance(group, dict) else {}


def _number(value: Value, low: float, high: float, default: int, scale: int = 1) -> int:
    """Return a number in the range, times `scale`, as an integer; `default` for all else."""
    if isinstance(value, float) and low <= value <= high:
        return round(value * scale)
    return default
