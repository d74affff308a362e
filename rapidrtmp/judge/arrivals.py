"""When segments and parts are listed, against when they should be (RFC 8216bis 6.2.1)."""

from collections import deque
from dataclasses import dataclass, field

from rapidrtmp.judge.finding import Report
from rapidrtmp.judge.playlist import MediaPlaylist, Part
from rapidrtmp.judge.reload_rules import judge_staleness

MAX_TIMES = 10_000
"""Arrivals that are remembered."""
SEGMENT_SLACK = 1.0
"""Seconds that a segment may be late, besides its target duration."""
PART_SLACK = 0.25
"""Seconds that a part may be late, besides PART-TARGET: for the network and the judge itself."""


@dataclass(slots=True)
class Arrivals:
    """When segments or parts were first listed, against the times that their dates promise."""

    delays: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_TIMES))
    """Seconds between the end of the media, by its date, and its listing."""
    least: float | None = None

    def add(self, delay: float) -> float:
        """Note one; return by how many seconds it is later than the earliest."""
        self.least = delay if self.least is None else min(self.least, delay)
        self.delays.append(delay)
        return delay - self.least


class ArrivalJudge:
    """Judges how steadily the playlists of one rendition grow."""

    def __init__(self, name: str, report: Report) -> None:
        """Make a judge of the rendition that is called `name` in the report."""
        self.segments = Arrivals()
        self.parts = Arrivals()
        self._name = name
        self._report = report
        self._changed_at: float | None = None
        self._target_duration = 0
        self._is_stale = False

    def receive_nothing(self, now: float) -> None:
        """Judge that up to now, a unix time, nothing new has come; it is told once."""
        if self._changed_at is not None and not self._is_stale:
            waited = now - self._changed_at
            self._is_stale = judge_staleness(
                self._name, self._target_duration, waited, self._report
            )

    def receive(
        self, before: MediaPlaylist | None, playlist: MediaPlaylist, now: float, *, prompt: bool
    ) -> None:
        """Judge a playlist against the time.

        Args:
            before: the one before it.
            playlist: a whole one.
            now: unix time at which it came.
            prompt: it came as soon as there was news, so that parts count.
        """
        self._target_duration = playlist.target_duration
        if not playlist.is_ended:
            self.receive_nothing(now)
        if before is None or playlist.last != before.last or playlist.is_ended:
            self._changed_at, self._is_stale = now, False
        if before is None or playlist.is_ended or playlist.media_sequence < before.media_sequence:
            return
        end: float | None = None
        for segment in playlist.segments:
            start = end if segment.date is None else segment.date
            end = None if start is None else start + segment.duration
            if start is None or end is None or segment.sequence < before.next_sequence:
                continue
            if prompt:
                known = before.open_parts if segment.sequence == before.next_sequence else ()
                self._note_parts(playlist, segment.parts, len(known), start, now)
            late = self.segments.add(now - end)
            if late > playlist.target_duration + SEGMENT_SLACK:
                where = f"{self._name} segment {segment.sequence}"
                self._report.add("segment-late", where, f"{late:.2f} s later than others")
        if prompt and end is not None:
            same = playlist.next_sequence == before.next_sequence
            known = before.open_parts if same else ()
            self._note_parts(playlist, playlist.open_parts, len(known), end, now)

    def _note_parts(
        self,
        playlist: MediaPlaylist,
        parts: tuple[Part, ...],
        known: int,
        start: float,
        now: float,
    ) -> None:
        """Note the newest of the parts, if it is new: others may have come before it."""
        if len(parts) <= known:
            return
        end = start + sum(part.duration for part in parts)
        late = self.parts.add(now - end)
        if late > (playlist.part_target or 0.0) + PART_SLACK:
            where = playlist.where(parts[-1].line)
            self._report.add("part-late", where, f"{late:.2f} s later than others")
