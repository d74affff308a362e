"""Timed metadata in the forms of HLS: event messages in segments, date ranges in playlists."""

import json
from collections.abc import Mapping, Sequence

from rapidrtmp.hls.date_range import attributes_of, quotable
from rapidrtmp.hls.id3 import text_tag
from rapidrtmp.media.timed import DateRange, EventMessage, ScriptMessage, TimedMetadata

ID3_SCHEME = "https://aomedia.org/emsg/ID3"
"""Carriage of ID3 timed metadata in CMAF, AOM."""
SCTE35_SCHEME = "urn:scte:scte35:2013:bin"
"""SCTE 214-3: `data` is a whole splice_info_section."""
PUBLISHED = "rtmp."
"""What the class of a publisher's date ranges begins with; the message's name follows."""
MAX_DURATION = 86_400.0
"""Seconds that a publisher's message may say that it lasts."""


def id3(tag: bytes, duration: float | None = None) -> EventMessage:
    """Return the message that carries an ID3 tag."""
    return EventMessage(ID3_SCHEME, tag, duration=duration)


def scte35(section: bytes, duration: float | None = None) -> EventMessage:
    """Return the message that carries a splice_info_section."""
    return EventMessage(SCTE35_SCHEME, section, duration=duration)


def hls_form(metadata: TimedMetadata) -> Sequence[EventMessage | DateRange]:
    """Return what HLS players are told of timed metadata.

    A data message of the publisher becomes an ID3 tag with all of it, as JSON in a text frame
    that its name describes, and a date range with what fits attributes.
    """
    content = metadata.content
    if not isinstance(content, ScriptMessage):
        return (content,)
    values = content.values[0] if len(content.values) == 1 else content.values
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    name = PUBLISHED + quotable(content.name)
    duration = _duration(content)
    return (
        id3(text_tag(content.name, text), duration or None),
        DateRange(
            f"{name}.{round(metadata.wall * 1000)}",
            metadata.wall,
            name,
            # A moment, where nobody says how long: an open range would stay for ever.
            duration,
            attributes=attributes_of(content.values),
        ),
    )


def _duration(script: ScriptMessage) -> float:
    for value in script.values:
        if isinstance(value, Mapping):
            duration = value.get("duration")
            if isinstance(duration, float | int) and 0 <= duration <= MAX_DURATION:
                return float(duration)
    return 0.0
