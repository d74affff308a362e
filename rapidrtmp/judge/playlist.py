"""A media playlist: what it says, and what a delta update leaves of it (RFC 8216bis 4.4)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Resource:
    """Something to fetch: a URI as it is written, and a part of it."""

    uri: str
    start: int = 0
    length: int | None = None
    """Bytes; None for all."""


@dataclass(frozen=True, slots=True)
class Part:
    """EXT-X-PART."""

    resource: Resource
    duration: float
    """Seconds."""
    is_independent: bool
    is_gap: bool
    line: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Segment:
    """A Media Segment."""

    sequence: int
    """Media Sequence Number."""
    resource: Resource
    duration: float
    """EXTINF, seconds."""
    map: Resource | None
    discontinuity: int
    """Its Discontinuity Sequence Number."""
    is_discontinuity: bool
    is_gap: bool
    is_encrypted: bool
    date: float | None
    """Unix time, where it is written."""
    line: int = field(compare=False)
    parts: tuple[Part, ...] = field(default=(), compare=False)
    """The first ones may have left the playlist."""


@dataclass(frozen=True, slots=True)
class RenditionReport:
    """EXT-X-RENDITION-REPORT."""

    uri: str
    last_msn: int | None
    last_part: int | None
    line: int


@dataclass(slots=True)
class MediaPlaylist:
    """A media playlist."""

    name: str
    version: int = 1
    target_duration: int = 0
    """Seconds; 0 where it is missing."""
    media_sequence: int = 0
    discontinuity_sequence: int = 0
    has_independent_segments: bool = False
    type: str = ""
    is_iframes_only: bool = False
    is_ended: bool = False
    part_target: float | None = None
    can_block_reload: bool = False
    hold_back: float | None = None
    part_hold_back: float | None = None
    can_skip_until: float | None = None
    server_control: Mapping[str, str] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)
    open_parts: tuple[Part, ...] = ()
    """Of the segment that is not complete."""
    open_map: Resource | None = None
    """What they need."""
    hints: list[tuple[str, Resource, int]] = field(default_factory=list)
    """Type, what, line."""
    reports: list[RenditionReport] = field(default_factory=list)
    date_ranges: dict[str, dict[str, str]] = field(default_factory=dict)
    """Attributes by ID."""
    skipped: int | None = None
    """Segments that a delta update leaves out."""
    features: dict[str, int] = field(default_factory=dict)
    """Protocol version that each feature in use asks for."""

    @property
    def next_sequence(self) -> int:
        """Media Sequence Number of the segment that is not complete."""
        return self.media_sequence + (self.skipped or 0) + len(self.segments)

    @property
    def last(self) -> tuple[int, int]:
        """Media Sequence Number and index of the newest part; -1 for a whole segment."""
        if self.open_parts:
            return self.next_sequence, len(self.open_parts) - 1
        return self.next_sequence - 1, -1

    @property
    def is_low_latency(self) -> bool:
        """Has partial segments."""
        return self.part_target is not None

    def where(self, line: int) -> str:
        """Name a line for a report."""
        return f"{self.name}:{line}"


def merged(before: MediaPlaylist, delta: MediaPlaylist) -> MediaPlaylist | None:
    """Return a delta update with the segments that it skips, None where they are not known."""
    if delta.skipped is None:
        return delta
    first, end = delta.media_sequence, delta.media_sequence + delta.skipped
    known = {segment.sequence: segment for segment in before.segments}
    if not all(number in known for number in range(first, min(end, first + len(known) + 1))):
        return None
    kept = [known[number] for number in range(first, end)]
    # what a skipped segment says holds for those behind it: the map, discontinuities, the key
    last = kept[-1] if kept else None
    rest: list[Segment] = []
    has_map = False
    for segment in delta.segments:
        has_map = has_map or segment.map is not None
        if last is not None:
            offset = last.discontinuity - delta.discontinuity_sequence
            segment = replace(
                segment,
                map=segment.map if has_map else last.map,
                discontinuity=segment.discontinuity + offset,
            )
        rest.append(segment)
    open_map = delta.open_map if has_map or delta.open_map or last is None else last.map
    return replace(delta, segments=kept + rest, skipped=None, open_map=open_map)
