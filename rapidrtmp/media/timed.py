"""Timed metadata: what happens at a moment of a stream, besides audio and video."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Attribute = str | float | bytes
"""Text, a number, or octets, which playlists write as a hexadecimal sequence."""


@dataclass(frozen=True, slots=True)
class ScriptMessage:
    """A data message of the publisher, other than onMetaData: onTextData, onCuePoint, ..."""

    name: str
    values: Sequence[object]
    """What follows the name, as JSON values."""
    body: bytes = field(repr=False)
    """All of it, in AMF0."""


@dataclass(frozen=True, slots=True)
class EventMessage:
    """What players are handed at its time (ISO/IEC 23009-1 section 5.10.3.3)."""

    scheme: str
    """URI that says what `data` is."""
    data: bytes
    value: str = ""
    duration: float | None = None
    """Seconds; None when it is not known."""


@dataclass(frozen=True, slots=True)
class DateRange:
    """A span of time with attributes (RFC 8216bis section 4.4.5.1)."""

    id: str
    """Unique in the stream's life."""
    start: float
    """Unix time."""
    name: str = ""
    """CLASS: those of one class have the same attributes. Empty for none."""
    duration: float | None = None
    """Seconds; None while nobody knows, which keeps the range open."""
    planned_duration: float | None = None
    """Seconds."""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    """X-... and SCTE35-..."""

    @property
    def end(self) -> float | None:
        """Unix time; None while it is open."""
        return None if self.duration is None else self.start + self.duration


Content = ScriptMessage | EventMessage | DateRange


@dataclass(frozen=True, slots=True)
class TimedMetadata:
    """An event of the stream."""

    time: int
    """Presentation time, in ticks of 1/90000 s on the stream's timeline."""
    wall: float
    """The same moment by the wall clock (unix time)."""
    edge: float
    """Unix time, as `wall` counts it, to which the stream had come when this was known."""
    content: Content
    """A date range replaces the one of the same id."""
