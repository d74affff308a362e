"""Which Periods a stream's life has, by its continuities and the gaps in its tracks."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from rapidrtmp.dash.manifest import Entry, Period, Representation
from rapidrtmp.hls.segment import Part, Segment
from rapidrtmp.hls.track_segmenter import TrackSegmenter
from rapidrtmp.hls.window import RenditionWindow
from rapidrtmp.media.segmentation import CLOCK, Boundary

CLOSE = 0.5
"""Seconds between two continuities under which the second starts where the first ends: players
stop at holes, and nobody notices a picture that is a bit early."""
BACK = 5.0
"""Seconds by which the wall clock may be behind the end of the continuity before. When it is set
back by more, what was before lies in the future and is not listed any more."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """Where a Period starts."""

    id: str
    """Of the Period."""
    sequence: int
    """Media Sequence Number."""
    time: int
    """Presentation time in ticks of `CLOCK`."""
    absent: frozenset[str] = frozenset()
    """Names of the tracks that have no media in it."""


@dataclass(slots=True, eq=False)
class _Member:
    """A track of a continuity."""

    window: RenditionWindow
    segmenter: TrackSegmenter
    """The window's, at the time."""


@dataclass(slots=True, eq=False)
class _Continuity:
    """What the encoder sent in one go."""

    number: int
    """Discontinuities before it."""
    offset: float
    """Unix time of presentation time 0."""
    members: Sequence[_Member]
    first: _Cut
    """The start of its oldest Period that is listed."""
    gaps: dict[int, set[str]] = field(default_factory=dict)
    """Names of the tracks that have no media in a segment, by its sequence number."""

    def cuts(self, times: dict[int, int]) -> Iterator[_Cut]:
        """Give the starts of its Periods: what tracks there are changes at each."""
        absent = frozenset(self.gaps.get(self.first.sequence, self.first.absent))
        yield replace(self.first, absent=absent)
        around = self.gaps.keys() | {sequence + 1 for sequence in self.gaps}
        for sequence in sorted(around):
            here = frozenset(self.gaps.get(sequence, ()))
            if sequence > self.first.sequence and here != absent and sequence in times:
                absent = here
                yield _Cut(f"{self.number}.{sequence}", sequence, times[sequence], here)

    def end(self) -> float:
        """Unix time at which its newest segment ends."""
        ends = [
            newest.end_presentation_time / newest.timescale
            for member in self.members
            if (newest := _newest(member.window, self.number)) is not None
        ]
        return self.offset + max(ends, default=self.first.time / CLOCK)


def _newest(window: RenditionWindow, number: int) -> Segment | None:
    for segment in reversed(window.segments):
        if segment.discontinuity == number:
            return segment
    return None


class Presentation:
    """The Periods of a stream's life, out of the windows that its HLS playlists list, too.

    A Period's id and start never change while it is listed.
    """

    def __init__(self) -> None:
        """Make one without Periods."""
        self._continuities: list[_Continuity] = []
        # Where segments start, in ticks of CLOCK, by sequence number.
        self._times: dict[int, int] = {}
        self._oldest = -1  # sequence number that is listed

    def segment_started(self, boundary: Boundary, windows: Collection[RenditionWindow]) -> None:
        """Learn where the stream is cut.

        Args:
            boundary: the cut. Everything before a new continuity is complete.
            windows: of the tracks that flow, the leading one's first.
        """
        self._times[boundary.sequence] = boundary.time
        last = self._continuities[-1] if self._continuities else None
        if last is not None and last.number == boundary.discontinuity:
            return
        start = boundary.wall
        if last is not None:
            end = last.end()
            if end - BACK > start:
                self._continuities.clear()
            elif start - end < CLOSE:
                start = end
        number = boundary.discontinuity
        self._continuities.append(
            _Continuity(
                number,
                start - boundary.time / CLOCK,
                [_Member(window, window.segmenter) for window in windows],
                _Cut(str(number), boundary.sequence, boundary.time),
            )
        )

    def completed(self, window: RenditionWindow, segment: Segment) -> None:
        """Learn that a segment is complete, and in its window."""
        if segment.is_gap:
            for continuity in self._continuities:
                if continuity.number == segment.discontinuity:
                    names = continuity.gaps.setdefault(segment.sequence, set())
                    names.add(window.segmenter.name)

    def forget(self, oldest: int) -> None:
        """Learn the sequence number of the oldest segment that is listed."""
        if oldest == self._oldest:
            return
        self._oldest = oldest
        continuities = self._continuities
        while len(continuities) > 1 and continuities[1].first.sequence <= oldest:
            del continuities[0]
        if not continuities:
            return
        continuity = continuities[0]
        for cut in list(continuity.cuts(self._times)):
            if cut.sequence <= oldest:
                continuity.first = cut
        for sequence in [known for known in continuity.gaps if known < oldest]:
            del continuity.gaps[sequence]
        for sequence in [known for known in self._times if known < oldest]:
            del self._times[sequence]

    def periods(self, *, with_open: bool, target_duration: int) -> list[Period]:
        """Return what can be listed now.

        Args:
            with_open: list the segment under way of each track, as long as it is expected
                to be, once a part of it is complete.
            target_duration: seconds that a segment is expected to last where none tells.
        """
        starts = [
            (continuity, cut)
            for continuity in self._continuities
            for cut in continuity.cuts(self._times)
        ]
        found: list[Period] = []
        latest: _Continuity | None = None  # of the newest Period
        for index, (continuity, cut) in enumerate(starts):
            following = starts[index + 1][1].sequence if index + 1 < len(starts) else None
            listed = []
            for member in continuity.members:
                if member.segmenter.name in cut.absent:
                    continue
                one = _represent(member, continuity, cut, following, with_open, target_duration)
                if one is not None:
                    listed.append(one)
                elif following is None:
                    # Players take the tracks that a Period has when they see it first.
                    return found
            if listed:
                start = continuity.offset + cut.time / CLOCK
                continues = found[-1].id if latest is continuity else ""
                found.append(Period(cut.id, start, listed, continues))
                latest = continuity
        return found


def _represent(
    member: _Member,
    continuity: _Continuity,
    cut: _Cut,
    following: int | None,
    with_open: bool,
    target_duration: int,
) -> Representation | None:
    """List the segments of a track from a cut to the sequence number of the next one."""
    window, track = member.window, member.segmenter.track
    segments = [
        segment
        for segment in window.segments
        if segment.discontinuity == continuity.number
        and segment.sequence >= cut.sequence
        and (following is None or segment.sequence < following)
        and not segment.is_gap
    ]
    entries = [
        Entry(
            segment.earliest_presentation_time,
            segment.end_presentation_time - segment.earliest_presentation_time,
            segment.is_independent,
        )
        for segment in segments
    ]
    rates = [8 * segment.size / segment.seconds for segment in segments]
    frame_rate = None
    if window.segmenter.track.config == track.config:
        rendition = window.rendition("")
        rates.append(rendition.bandwidth)
        frame_rate = rendition.frame_rate
    parts: Sequence[Part] = ()
    if with_open and following is None and window.next_part > (cut.sequence, 0):
        parts = window.parts
    if parts:
        # Players look for the next segment where this one ends: better too late than too early.
        durations = [entry.duration for entry in entries] or [target_duration * track.timescale]
        expected = max(*durations, sum(part.duration for part in parts))
        opening = parts[0]
        entries.append(Entry(opening.earliest_presentation_time, expected, opening.is_independent))
        rates.append(8 * len(opening.body) / opening.seconds)
    if not entries:
        return None
    # Nor is there a hole where the first sample is late.
    entries[:-1] = [
        replace(entry, duration=after.time - entry.time) for entry, after in pairwise(entries)
    ]
    return Representation(
        track,
        member.segmenter.name,
        member.segmenter.init_uri,
        max(1, round(max(rates))),
        frame_rate,
        round(cut.time * track.timescale / CLOCK),
        segments[0].sequence if segments else parts[0].sequence,
        entries,
    )
