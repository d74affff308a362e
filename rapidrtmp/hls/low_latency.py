"""Low-latency media playlists: parts, delta updates, reports (RFC 8216bis sections 4.4.4.9, 6.2.5).

And what a player may ask for by Delivery Directives.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from rapidrtmp.hls.date_range import DateRanges
from rapidrtmp.hls.playlist import VERSION, SegmentTexts, program_date_time
from rapidrtmp.hls.segment import Part, Segment

PART_HOLD_BACK = 3
"""Parts that a player stays behind the end (Apple's authoring rules ask for three)."""
HOLD_BACK = 3
"""Target durations that one without low latency stays behind the end."""
SKIP_UNTIL = 6
"""Target durations before the end up to which a delta update must not skip."""
PARTS_LISTED = 3
"""Target durations before the end in which parts are listed."""
AHEAD = 2
"""Media Sequence Numbers past the newest segment that a player may ask for."""

_TAB = "\t"
_NUMBER = re.compile(r"[0-9]{1,18}")


class DirectiveError(ValueError):
    """Delivery Directives that no server can fulfil. Says why in plain words."""


Position = tuple[int, int]
"""Media Sequence Number and index of a part."""


@dataclass(frozen=True, slots=True)
class Directives:
    """What a request for a media playlist asks for (RFC 8216bis section 6.2.5)."""

    sequence: int | None = None
    """``_HLS_msn``."""
    part: int | None = None
    """``_HLS_part``; None for the whole segment."""
    skip: bool = False
    """``_HLS_skip``: a delta update will do."""
    skip_date_ranges: bool = False
    """One that leaves out date ranges, too."""


def read_directives(query: Mapping[str, Sequence[str]]) -> Directives:
    """Read the Delivery Directives in a query. Others, and unknown ones, are ignored.

    Raises:
        DirectiveError: they are broken.
    """
    sequence = _number(query, "_HLS_msn")
    part = _number(query, "_HLS_part")
    if part is not None and sequence is None:
        raise DirectiveError("_HLS_part without _HLS_msn")
    skip = list(query.get("_HLS_skip", ()))
    return Directives(sequence, part, skip in (["YES"], ["v2"]), skip == ["v2"])


def _number(query: Mapping[str, Sequence[str]], name: str) -> int | None:
    values = query.get(name)
    if values is None:
        return None
    if len(values) != 1 or _NUMBER.fullmatch(values[0]) is None:
        raise DirectiveError(f"{name} is not one whole number")
    return int(values[0])


def awaited(
    directives: Directives, newest: Position, next_part: Position, parts_in_target: int
) -> Position | None:
    """Tell what a request has to wait for.

    Args:
        directives: the request's.
        newest: the newest complete segment, and how many parts it has.
        next_part: the part that will be complete next.
        parts_in_target: how many parts fill the target duration.

    Returns:
        The part or, with index -1, the segment after which the playlist may be sent; None
        for now.

    Raises:
        DirectiveError: it is too far in the future.
    """
    sequence, part = directives.sequence, directives.part
    if sequence is None or sequence < newest[0]:
        return None
    if sequence > newest[0] + AHEAD:
        raise DirectiveError(f"_HLS_msn is over {AHEAD} past the newest segment")
    if part is None:
        return None if sequence == newest[0] else (sequence, WHOLE)
    if sequence == newest[0]:
        # Past the last part of a complete segment the first one of the next is meant.
        if part < newest[1]:
            return None
        sequence, part = sequence + 1, 0
    if part > parts_in_target + PART_HOLD_BACK + (next_part[1] if sequence == next_part[0] else 0):
        raise DirectiveError("_HLS_part is too far in the future")
    return None if (sequence, part) < next_part else (sequence, part)


WHOLE = 1 << 30
"""The index of a part that stands for the end of its segment."""


@dataclass(frozen=True, slots=True)
class Report:
    """How far another rendition is: EXT-X-RENDITION-REPORT."""

    uri: str
    last: Position
    """Its newest part; of a segment without parts the segment, and -1."""


def low_latency_playlist(
    segments: Sequence[Segment],
    parts: Sequence[Part],
    texts: SegmentTexts,
    *,
    target_duration: int,
    part_target: float,
    hint: str,
    reports: Sequence[Report],
    ended: bool,
    independent_segments: bool,
    skip: bool,
    skip_date_ranges: bool = False,
    date_ranges: DateRanges | None = None,
) -> bytes:
    """Return a low-latency playlist, or a delta update of it where something can be skipped.

    Args:
        segments: the complete ones, at least one, with consecutive sequence numbers.
        parts: of the segment that follows them.
        texts: of the rendition.
        target_duration: seconds.
        part_target: PART-TARGET in seconds.
        hint: the URI of the part that comes next, relative to the life.
        reports: of the other renditions.
        ended: no segment will follow.
        independent_segments: every segment starts with a sync sample.
        skip: a delta update will do.
        skip_date_ranges: it may leave out date ranges.
        date_ranges: those that are listed; None for none.
    """
    first = segments[0]
    base = texts.base
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}"]
    if independent_segments:
        lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    lines += (
        f"#EXT-X-TARGETDURATION:{target_duration}",
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES"
        f",CAN-SKIP-UNTIL={SKIP_UNTIL * target_duration:.3f},CAN-SKIP-DATERANGES=YES"
        f",HOLD-BACK={HOLD_BACK * target_duration:.3f}"
        f",PART-HOLD-BACK={PART_HOLD_BACK * part_target:.3f}",
        f"#EXT-X-PART-INF:PART-TARGET={part_target:.3f}",
        f"#EXT-X-MEDIA-SEQUENCE:{first.sequence}",
        f"#EXT-X-DISCONTINUITY-SEQUENCE:{first.discontinuity - first.is_discontinuity}",
    )
    with_parts, skipped = _split(segments, parts, target_duration, skip=skip)
    since = None
    if skipped:
        skip_line = f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}"
        if skip_date_ranges:
            # What changed after the boundary is listed, and what went away after it is named:
            # a segment more than the boundary, as the window moves by segments.
            since = segments[skipped].wall
            seconds = (SKIP_UNTIL + 1) * target_duration
            removed = [] if date_ranges is None else date_ranges.removed(segments, seconds)
            skip_line += f',RECENTLY-REMOVED-DATERANGES="{_TAB.join(removed)}"'
        lines.append(skip_line)
    if date_ranges is not None:
        lines += date_ranges.lines(segments, since)
    map_uri = segments[skipped - 1].map_uri if skipped else ""
    for index in range(skipped, len(segments)):
        segment = segments[index]
        if segment.is_discontinuity:
            lines.append("#EXT-X-DISCONTINUITY")
        if segment.map_uri != map_uri:
            map_uri = segment.map_uri
            lines.append(f'#EXT-X-MAP:URI="{base}{map_uri}"')
        if index < with_parts or not segment.is_parted:
            lines.append(texts.whole(segment))
        else:
            lines.append(texts.parted(segment))
    if parts:
        opening = parts[0]
        if opening.is_discontinuity:
            lines.append("#EXT-X-DISCONTINUITY")
        if opening.map_uri != map_uri:
            lines.append(f'#EXT-X-MAP:URI="{base}{opening.map_uri}"')
        lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{program_date_time(opening.wall)}")
        lines += map(texts.part, parts)
    if ended:
        lines.append("#EXT-X-ENDLIST")
    else:
        lines.append(f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{base}{hint}"')
        lines += (_report_line(report) for report in reports)
    lines.append("")
    return "\n".join(lines).encode()


def _split(
    segments: Sequence[Segment], parts: Sequence[Part], target_duration: int, *, skip: bool
) -> tuple[int, int]:
    """Return the index of the first segment whose parts are listed, and how many to skip."""
    seconds = sum(part.seconds for part in parts)
    with_parts = len(segments)
    for index in range(len(segments) - 1, -1, -1):
        if seconds >= PARTS_LISTED * target_duration:
            break
        with_parts = index
        seconds += segments[index].seconds
    if not skip:
        return with_parts, 0
    # A segment may be skipped when all of it lies before the boundary.
    seconds = sum(segment.seconds for segment in segments) + sum(part.seconds for part in parts)
    skipped = 0
    for segment in segments:
        seconds -= segment.seconds
        if seconds < SKIP_UNTIL * target_duration:
            break
        skipped += 1
    return with_parts, skipped


def _report_line(report: Report) -> str:
    sequence, part = report.last
    line = f'#EXT-X-RENDITION-REPORT:URI="{report.uri}",LAST-MSN={sequence}'
    return line if part < 0 else f"{line},LAST-PART={part}"


def parts_in(target_duration: int, part_target: float) -> int:
    """Return how many parts of that length fill the target duration, rounded up."""
    return ceil(target_duration / part_target)
