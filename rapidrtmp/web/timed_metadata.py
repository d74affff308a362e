"""Reads what the API is asked to put into a stream: date ranges, SCTE 35, ID3."""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from rapidrtmp.hls.date_range import ATTRIBUTE_NAME, MAX_ATTRIBUTES, MAX_TEXT, quotable
from rapidrtmp.hls.id3 import ID3Error, check_tag, text_tag
from rapidrtmp.hls.playlist import program_date_time
from rapidrtmp.hls.scte35 import Splice, SpliceError, parse_section
from rapidrtmp.hls.timed import id3, scte35
from rapidrtmp.media.timed import Attribute, DateRange
from rapidrtmp.stream.date_ranges import DateRangeError, DateRangeWish
from rapidrtmp.stream.stream import Stream
from rapidrtmp.web.json_request import BadRequest, refuse_others

MAX_ID = 128
"""Characters of an id, and of a class."""
MAX_ID3 = 16384
"""Bytes of an ID3 tag."""
MAX_ID3_TEXT = 4096
"""Characters."""
MAX_AWAY = 86_400.0
"""Seconds from the live edge at which something may start, and that it may last."""
MAX_NUMBER = 1e12
NOW = "now"
CUES = ("out", "in", "cmd")


def insert(stream: Stream, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Put what a request says into a stream that is flowing; return the answer.

    Raises:
        BadRequest: it cannot be.
        TooManyDateRanges: there is no room for another date range.
    """
    kind = fields.get("kind")
    if kind == "daterange":
        said = _insert_date_range(stream, fields)
    elif kind == "scte35":
        said = _insert_splice(stream, fields)
    elif kind == "id3":
        said = _insert_id3(stream, fields)
    else:
        raise BadRequest("kind must be daterange, scte35 or id3", "kind")
    return {"streamKey": stream.key, "kind": kind, **said}


def _insert_date_range(stream: Stream, fields: Mapping[str, Any]) -> dict[str, Any]:
    refuse_others(
        fields,
        *("kind", "id", "class", "start", "end", "duration", "plannedDuration", "attributes"),
    )
    name = _text(fields, "id", MAX_ID)
    if not name:
        raise BadRequest("id is required", "id")
    wish = DateRangeWish(
        name,
        _moment(stream, fields, "start"),
        _moment(stream, fields, "end"),
        _seconds(fields, "duration"),
        _seconds(fields, "plannedDuration"),
        _text(fields, "class", MAX_ID),
        _attributes(fields),
    )
    return _describe(_put(stream, wish))


def _insert_splice(stream: Stream, fields: Mapping[str, Any]) -> dict[str, Any]:
    refuse_others(
        fields,
        *("kind", "data", "cue", "id", "class", "start", "duration", "plannedDuration"),
        "attributes",
    )
    section = _octets(fields)
    try:
        splice = parse_section(section)
    except SpliceError as error:
        raise BadRequest(str(error), "data") from None
    cue = fields.get("cue", {True: "out", False: "in", None: "cmd"}[splice.is_out])
    if cue not in CUES:
        raise BadRequest(f"cue must be {', '.join(CUES[:-1])} or {CUES[-1]}", "cue")
    moment = _moment(stream, fields, "start")
    wall = stream.edge if moment is None else moment
    wish = DateRangeWish(
        _text(fields, "id", MAX_ID) or _splice_id(splice, cue, wall),
        moment,
        None,
        _seconds(fields, "duration"),
        _seconds(fields, "plannedDuration"),
        _text(fields, "class", MAX_ID),
        {**_attributes(fields), f"SCTE35-{cue.upper()}": section},
    )
    if cue == "out" and wish.planned_duration is None:
        wish = replace(wish, planned_duration=splice.duration)
    elif cue == "cmd" and wish.duration is None:
        wish = replace(wish, duration=0.0)
    elif cue == "in":
        if wish.id not in stream.date_ranges:
            raise BadRequest(f"there is no date range {wish.id!r} that could end", "id")
        if wish.duration is None:
            wish = replace(wish, end=wall)
        wish = replace(wish, start=None)
    date_range = _put(stream, wish)
    duration = splice.duration if cue == "out" else None
    stream.insert(scte35(section, duration), wall)
    return _describe(date_range)


def _splice_id(splice: Splice, cue: str, wall: float) -> str:
    if cue == "cmd" or splice.event_id is None:
        return f"splice-{splice.event_id or 0}-{round(wall * 1000)}"
    return f"splice-{splice.event_id}"


def _insert_id3(stream: Stream, fields: Mapping[str, Any]) -> dict[str, Any]:
    refuse_others(fields, "kind", "data", "text", "description", "start", "duration")
    if ("data" in fields) == ("text" in fields):
        raise BadRequest("give data, an ID3 tag in base64, or text", "data")
    if "data" in fields:
        if "description" in fields:
            raise BadRequest("description goes with text alone", "description")
        tag = _octets(fields)
        if len(tag) > MAX_ID3:
            raise BadRequest(f"a tag of {len(tag)} bytes; at most {MAX_ID3} are taken", "data")
        try:
            check_tag(tag)
        except ID3Error as error:
            raise BadRequest(str(error), "data") from None
    else:
        text = _string(fields, "text", MAX_ID3_TEXT)
        tag = text_tag(_text(fields, "description", MAX_ID), text)
    message = id3(tag, _seconds(fields, "duration"))
    metadata = stream.insert(message, _moment(stream, fields, "start"))
    said = {"start": program_date_time(metadata.wall)}
    return {**said, **_known(duration=message.duration)}


def _put(stream: Stream, wish: DateRangeWish) -> DateRange:
    try:
        return stream.insert_date_range(wish)
    except DateRangeError as error:
        name = f"attributes.{error.name}" if error.name.startswith("X-") else error.name
        raise BadRequest(str(error), "data" if "SCTE35" in name else name) from None


def _describe(date_range: DateRange) -> dict[str, Any]:
    return {
        "id": date_range.id,
        "start": program_date_time(date_range.start),
        **_known(duration=date_range.duration, plannedDuration=date_range.planned_duration),
    }


def _known(**seconds: float | None) -> dict[str, float]:
    return {name: value for name, value in seconds.items() if value is not None}


# Fields.


def _string(fields: Mapping[str, Any], name: str, longest: int) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str) or len(value) > longest:
        raise BadRequest(f"{name} must be text of at most {longest} characters", name)
    return value


def _text(fields: Mapping[str, Any], name: str, longest: int) -> str:
    """Return text that fits a quoted string; '' where there is none."""
    value = _string(fields, name, longest)
    if quotable(value) != value:
        raise BadRequest(f"{name} must not hold quotes or what cannot be printed", name)
    return value


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not abs(value) <= MAX_NUMBER:  # type: ignore[arg-type]  # as was seen
        return None
    return float(value)  # type: ignore[arg-type]  # as was seen


def _seconds(fields: Mapping[str, Any], name: str) -> float | None:
    if fields.get(name) is None:
        return None
    seconds = _number(fields[name])
    if seconds is None or not 0 <= seconds <= MAX_AWAY:
        raise BadRequest(f"{name} must be a number of seconds up to {MAX_AWAY:.0f}", name)
    return round(seconds, 3)


def _moment(stream: Stream, fields: Mapping[str, Any], name: str) -> float | None:
    """Return a unix time, which may be the live edge's; None where nothing is said."""
    text = fields.get(name)
    if text is None:
        return None
    if text == NOW:
        return stream.edge
    try:
        if not isinstance(text, str):
            raise ValueError
        date = datetime.fromisoformat(text)
        if date.tzinfo is None:
            raise ValueError
        wall = date.astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        words = f"{name} must be '{NOW}' or a date like 2026-11-22T18:00:00.000Z"
        raise BadRequest(words, name) from None
    if abs(wall - stream.edge) > MAX_AWAY:
        raise BadRequest(f"{name} is over a day away from the live edge", name)
    return wall


def _attributes(fields: Mapping[str, Any]) -> dict[str, Attribute]:
    given = fields.get("attributes")
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise BadRequest("attributes must be an object", "attributes")
    if len(given) > MAX_ATTRIBUTES:
        raise BadRequest(f"at most {MAX_ATTRIBUTES} attributes are taken", "attributes")
    found: dict[str, Attribute] = {}
    for name, value in given.items():
        field = f"attributes.{name}"
        if not ATTRIBUTE_NAME.fullmatch(name):
            raise BadRequest("an attribute is named X- and then A-Z, 0-9, '-'", field)
        number = _number(value)
        if isinstance(value, str):
            found[name] = _text({field: value}, field, MAX_TEXT)
        elif number is not None:
            found[name] = number
        else:
            raise BadRequest(f"{name} must be text or a number", field)
    return found


def _octets(fields: Mapping[str, Any]) -> bytes:
    """Read the field data: hexadecimal digits, perhaps behind 0x, or base64."""
    data = fields.get("data")
    if not isinstance(data, str) or not data:
        raise BadRequest("data must be text: hexadecimal digits or base64", "data")
    try:
        return bytes.fromhex(data.removeprefix("0x").removeprefix("0X"))
    except ValueError:
        pass
    try:
        return b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("data is neither hexadecimal digits nor base64", "data") from None
