"""Rules that one media playlist keeps or breaks alone (RFC 8216bis sections 4.4.3 to 4.4.5)."""

import math

from rapidrtmp.judge.finding import Report
from rapidrtmp.judge.playlist import MediaPlaylist, Part, Segment
from rapidrtmp.judge.playlist_parser import parse_date

DATE_TOLERANCE = 0.02
"""Seconds by which a date may miss the date and duration before it: both are rounded."""
DATE_JUMP = 1.0
"""Seconds from which a date is no drift of clocks."""
PART_TOLERANCE = 0.0005
"""Seconds by which durations of parts may be rounded."""
SHORTEST_PART = 0.85
"""Of PART-TARGET (4.4.4.9)."""
FEWEST_SEGMENTS = 6
"""Of a live playlist, by Apple's advice."""


def judge_playlist(playlist: MediaPlaylist, report: Report) -> None:
    """Judge a media playlist that is not a delta update, or one that was made whole again."""
    for feature, version in playlist.features.items():
        if playlist.version < version:
            words = f"{feature} asks for version {version}, EXT-X-VERSION is {playlist.version}"
            report.add("version-low", playlist.name, words)
    _judge_segments(playlist, report)
    _judge_dates(playlist, report)
    _judge_date_ranges(playlist, report)
    if playlist.type == "VOD" and not playlist.is_ended:
        report.add("playlist-type", playlist.name, "VOD without EXT-X-ENDLIST")
    is_live = not playlist.is_ended
    if is_live and not playlist.type and 0 < len(playlist.segments) < FEWEST_SEGMENTS:
        words = f"{len(playlist.segments)} segments, {FEWEST_SEGMENTS} are advised"
        report.add("playlist-few", playlist.name, words)
    _judge_server_control(playlist, report)
    _judge_low_latency(playlist, report)


def _judge_segments(playlist: MediaPlaylist, report: Report) -> None:
    if not playlist.segments and not playlist.open_parts:
        report.add("playlist-empty", playlist.name, "no segment")
    places: set[object] = set()
    for segment in playlist.segments:
        where = playlist.where(segment.line)
        if segment.duration <= 0:
            report.add("extinf-missing", where, f"segment {segment.sequence}: EXTINF of 0")
        # halves are rounded up (4.4.3.1)
        rounded = math.floor(segment.duration + 0.5)
        if playlist.target_duration and rounded > playlist.target_duration:
            words = f"EXTINF {segment.duration} above {playlist.target_duration}"
            report.add("target-duration", where, f"segment {segment.sequence}: {words}")
        if segment.resource in places:
            report.add("uri-reused", where, f"{segment.resource.uri[:80]} is listed twice")
        places.add(segment.resource)


def _judge_dates(playlist: MediaPlaylist, report: Report) -> None:
    """Dates go on by the durations, from one discontinuity to the next."""
    if not any(segment.date is not None for segment in playlist.segments):
        if playlist.segments and not playlist.is_ended:
            report.add("date-missing", playlist.name, "no EXT-X-PROGRAM-DATE-TIME")
        return
    end: float | None = None
    for segment in playlist.segments:
        where = playlist.where(segment.line)
        if segment.is_discontinuity:
            end = None
            if segment.date is None:
                report.add("date-discontinuity", where, f"segment {segment.sequence}: no date")
        if segment.date is not None:
            if end is not None and abs(segment.date - end) > DATE_TOLERANCE:
                is_jump = abs(segment.date - end) >= DATE_JUMP
                words = f"segment {segment.sequence}: the date is {segment.date - end:+.3f} s off"
                report.add("date-continuity" if is_jump else "date-drift", where, words)
            end = segment.date
        if end is not None:
            end += segment.duration


def _judge_date_ranges(playlist: MediaPlaylist, report: Report) -> None:
    ranges = playlist.date_ranges
    if ranges and not any(segment.date is not None for segment in playlist.segments):
        report.add("daterange", playlist.name, "date ranges without EXT-X-PROGRAM-DATE-TIME")
    for name, found in ranges.items():
        start, end = (parse_date(found.get(key, "")) for key in ("START-DATE", "END-DATE"))
        faults = []
        if start is None:
            faults.append("no START-DATE")
        elif end is not None:
            seconds = end - start
            if seconds < 0 or abs(seconds - float(found.get("DURATION", seconds))) > DATE_TOLERANCE:
                faults.append("END-DATE is not START-DATE and DURATION")
        if "END-ON-NEXT" in found and "CLASS" not in found:
            faults.append("END-ON-NEXT without CLASS")
        if "END-ON-NEXT" in found and ("DURATION" in found or end is not None):
            faults.append("END-ON-NEXT with an end")
        if {"PRE", "POST"} <= set(found.get("CUE", "").split(",")):
            faults.append("CUE is PRE and POST")
        for fault in faults:
            report.add("daterange", playlist.name, f"{name[:40]}: {fault}")


def _judge_server_control(playlist: MediaPlaylist, report: Report) -> None:
    target = playlist.target_duration
    if playlist.hold_back is not None and playlist.hold_back < 3 * target:
        words = f"HOLD-BACK={playlist.hold_back} below 3 x {target}"
        report.add("hold-back", playlist.name, words)
    if playlist.can_skip_until is not None and playlist.can_skip_until < 6 * target:
        words = f"CAN-SKIP-UNTIL={playlist.can_skip_until} below 6 x {target}"
        report.add("can-skip-until", playlist.name, words)
    part = playlist.part_target
    if part is None:
        return
    back = playlist.part_hold_back
    if back is None:
        report.add("part-hold-back", playlist.name, "no PART-HOLD-BACK")
    elif back < 2 * part - PART_TOLERANCE:
        report.add("part-hold-back", playlist.name, f"PART-HOLD-BACK={back} below 2 x {part}")
    elif back < 3 * part - PART_TOLERANCE:
        words = f"PART-HOLD-BACK={back} below 3 x {part}"
        report.add("part-hold-back-short", playlist.name, words)


def _judge_low_latency(playlist: MediaPlaylist, report: Report) -> None:
    if playlist.part_target is None:
        if playlist.open_parts or any(segment.parts for segment in playlist.segments):
            report.add("part-inf-missing", playlist.name, "EXT-X-PART without EXT-X-PART-INF")
        return
    left = sum(part.duration for part in playlist.open_parts)
    for segment in reversed(playlist.segments):
        # what begins more than three target durations before the end
        if segment.parts and left > 3 * playlist.target_duration:
            where = playlist.where(segment.parts[0].line)
            words = f"segment {segment.sequence} ends {left:.3f} s before the end"
            report.add("part-old", where, words)
        left += segment.duration
    for segment in playlist.segments:
        _judge_parts(playlist, segment.parts, segment, report)
    _judge_parts(playlist, playlist.open_parts, None, report)
    _judge_hints(playlist, report)


def _judge_parts(
    playlist: MediaPlaylist, parts: tuple[Part, ...], segment: Segment | None, report: Report
) -> None:
    """Judge the parts of a segment, or those of the one that is not complete (None)."""
    target = playlist.part_target or 0.0
    for number, part in enumerate(parts):
        where = playlist.where(part.line)
        if part.duration > target + PART_TOLERANCE:
            report.add("part-target", where, f"DURATION={part.duration} above {target}")
        is_last = number + 1 == len(parts)
        excused = is_last or parts[number + 1].is_gap or part.is_independent or part.is_gap
        if not excused and part.duration < SHORTEST_PART * target - PART_TOLERANCE:
            words = f"DURATION={part.duration} below 85 % of {target}"
            report.add("part-short", where, words)
    if segment is None or not parts:
        return
    total = sum(part.duration for part in parts)
    if abs(total - segment.duration) > PART_TOLERANCE * (1 + len(parts)):
        words = f"segment {segment.sequence}: parts of {total:.6f} s, EXTINF {segment.duration}"
        report.add("part-sum", playlist.where(segment.line), words)


def _judge_hints(playlist: MediaPlaylist, report: Report) -> None:
    types = [type_ for type_, _, _ in playlist.hints]
    listed = {part.resource for part in playlist.open_parts}
    for segment in playlist.segments:
        listed.update(part.resource for part in segment.parts)
    for type_, resource, line in playlist.hints:
        where = playlist.where(line)
        if playlist.is_ended:
            report.add("endlist-hint", where, f"a hint of {resource.uri[:80]}")
        if resource in listed:
            report.add("preload-hint-listed", where, f"{resource.uri[:80]} is listed already")
        if types.count(type_) > 1:
            report.add("preload-hint-duplicate", where, f"{types.count(type_)} of TYPE={type_}")
    if "PART" not in types and not playlist.is_ended:
        report.add("preload-hint-missing", playlist.name, "no EXT-X-PRELOAD-HINT of TYPE=PART")
