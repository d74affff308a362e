"""Rules that a media playlist keeps or breaks against an earlier one (RFC 8216bis 6.2)."""

from dataclasses import replace

from rapidrtmp.judge.finding import Report
from rapidrtmp.judge.playlist import MediaPlaylist

STALE = 1.5
"""Target durations within which something must be added (6.2.2)."""
SLACK = 1.0
"""Seconds that the network and the judge itself may take."""


def judge_reload(
    before: MediaPlaylist, after: MediaPlaylist, report: Report, *, is_delta: bool = False
) -> None:
    """Judge a playlist against the one before it.

    Args:
        before: the earlier one.
        after: the later one, whole.
        report: gets what is wrong.
        is_delta: `after` was made whole from `before`: skipped segments are the same.
    """
    name = after.name
    if after.target_duration != before.target_duration:
        words = f"from {before.target_duration} to {after.target_duration}"
        report.add("target-duration-changed", name, words)
    if after.part_target != before.part_target:
        words = f"from {before.part_target} to {after.part_target}"
        report.add("part-target-changed", name, words)
    for what in ("version", "has_independent_segments", "server_control", "type"):
        # a delta update may need a higher version than the playlist it updates
        if getattr(after, what) != getattr(before, what) and not (is_delta and what == "version"):
            words = f"{what}: from {getattr(before, what)!r} to {getattr(after, what)!r}"
            report.add("header-changed", name, words)
    if before.is_ended:
        if not after.is_ended or after.segments != before.segments:
            report.add("endlist-changed", name, "changed behind EXT-X-ENDLIST")
        return
    if after.media_sequence < before.media_sequence:
        words = f"from {before.media_sequence} to {after.media_sequence}"
        report.add("sequence-back", name, words)
        return
    _judge_discontinuities(before, after, report)
    _judge_segments(before, after, report)
    _judge_parts(before, after, report)


def judge_staleness(name: str, target_duration: int, seconds: float, report: Report) -> bool:
    """Judge how long a live playlist has not changed, in seconds; tell whether that is too long."""
    if seconds <= STALE * target_duration + SLACK:
        return False
    words = f"nothing was added for {seconds:.1f} s, the target is {target_duration} s"
    report.add("playlist-stale", name, words)
    return True


def _judge_discontinuities(before: MediaPlaylist, after: MediaPlaylist, report: Report) -> None:
    if after.discontinuity_sequence < before.discontinuity_sequence:
        words = f"from {before.discontinuity_sequence} to {after.discontinuity_sequence}"
        report.add("discontinuity-sequence", after.name, f"fell {words}")
        return
    if after.media_sequence > before.next_sequence:
        return  # all of what was known has left
    gone = sum(
        segment.is_discontinuity
        for segment in before.segments
        if segment.sequence < after.media_sequence
    )
    expected = before.discontinuity_sequence + gone
    if after.discontinuity_sequence != expected:
        words = f"is {after.discontinuity_sequence}, with {gone} removed it has to be {expected}"
        report.add("discontinuity-sequence", after.name, words)


def _judge_segments(before: MediaPlaylist, after: MediaPlaylist, report: Report) -> None:
    if after.next_sequence < before.next_sequence:
        words = f"segments up to {before.next_sequence - 1} were listed, and are no more"
        report.add("segment-removed", after.name, words)
    removed = after.media_sequence > before.media_sequence
    if removed and after.type in ("EVENT", "VOD"):
        report.add("playlist-type", after.name, f"{after.type}, and a segment was removed")
    if removed and not after.is_ended:
        left = sum(segment.duration for segment in after.segments)
        if left < 3 * after.target_duration - 0.5:
            words = f"{left:.3f} s are left, the target duration is {after.target_duration} s"
            report.add("playlist-short", after.name, words)
    known = {segment.sequence: segment for segment in before.segments}
    shift = None
    for segment in after.segments:
        old = known.get(segment.sequence)
        if old is None:
            continue
        # one wrong EXT-X-DISCONTINUITY-SEQUENCE is told once, not for every segment
        shift = segment.discontinuity - old.discontinuity if shift is None else shift
        same = replace(segment, discontinuity=segment.discontinuity - shift)
        if same != old:
            changed = [
                f"{what} from {getattr(old, what)} to {getattr(same, what)}"
                for what in ("resource", "duration", "map", "date", "is_gap", "discontinuity")
                if getattr(old, what) != getattr(same, what)
            ]
            words = f"segment {segment.sequence}: {'; '.join(changed) or 'other tags'}"
            report.add("segment-changed", after.where(segment.line), words)
    uris = {segment.resource: segment.sequence for segment in before.segments}
    for segment in after.segments:
        number = uris.get(segment.resource, segment.sequence)
        if number != segment.sequence:
            words = f"{segment.resource.uri[:80]} was segment {number}, is {segment.sequence}"
            report.add("uri-reused", after.where(segment.line), words)


def _judge_parts(before: MediaPlaylist, after: MediaPlaylist, report: Report) -> None:
    """Parts of before are parts of after, or have left as a whole segment's."""
    if not before.is_low_latency:
        return
    parts = {segment.sequence: segment.parts for segment in before.segments}
    parts[before.next_sequence] = before.open_parts
    now = {segment.sequence: segment.parts for segment in after.segments}
    now[after.next_sequence] = after.open_parts
    for sequence, old in parts.items():
        new = now.get(sequence)
        is_complete = sequence < after.next_sequence
        if new is None or not old or (not new and is_complete):
            continue
        if new[: len(old)] != old and not (is_complete and set(new) <= set(old)):
            words = f"segment {sequence}: its parts are others than before"
            report.add("part-changed", after.name, words)
    hinted = next((resource for kind, resource, _ in before.hints if kind == "PART"), None)
    if hinted is not None:
        count = len(before.open_parts)
        come = now.get(before.next_sequence, ())[count : count + 1]
        if not come and before.next_sequence < after.next_sequence:
            # the segment ended without another part: the hint may be of the next one's first
            come = now.get(before.next_sequence + 1, ())[:1]
        if come and come[0].resource.uri != hinted.uri:
            words = f"{hinted.uri[:80]} was hinted, {come[0].resource.uri[:80]} came"
            report.add("preload-hint-dropped", after.name, words)
