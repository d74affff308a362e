"""The past of one rendition that a DVR playlist lists: of each segment what is said of it.

The media is in storage; hours of it cost a few hundred bytes a segment here.
"""

import json
import re
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice, pairwise
from math import ceil, isfinite
from operator import attrgetter

from rapidrtmp.hls.low_latency import SKIP_UNTIL
from rapidrtmp.hls.playlist import VERSION, segment_lines
from rapidrtmp.hls.segment import Segment

MAX_LISTED = 50_000
"""Segments that are listed at most, which bounds the memory of a stream that is cut all the time:
a day of 2 s segments has 43,200."""
PAGE = 128
"""Segments in one page of the index."""
MOST_LOST = 5
"""Segments that a process is taken to have listed without a word of them in the index, before
another one goes on."""
MOST_BRIDGED = 100
"""Discontinuities in a row, without a segment, after which the past is let go."""
SCHEMA = 1

_URL = re.compile(r"[\x21-\x7e]*")


@dataclass(frozen=True, slots=True)
class PastSegment:
    """What is said of a Media Segment of the past."""

    number: int
    """Media Sequence Number in the DVR playlist. It has no holes, not even where the numbers of the
    live playlists have one: after a restart."""
    sequence: int
    """Media Sequence Number in the live playlist, which names the file."""
    seconds: float
    wall: float
    """Unix time of its start."""
    discontinuity: int
    """As of `Segment`."""
    is_discontinuity: bool
    is_gap: bool
    """Nothing to fetch: the rendition had no media here, or storage lost it."""
    map_uri: str
    uri: str
    """Relative to the stream's life."""
    url: str
    """As of `Segment`."""
    size: int
    """Bytes."""


_row = attrgetter(*(field.name for field in fields(PastSegment)))


class PastWindow:
    """The segments of one rendition that its DVR playlist lists, in order.

    A playlist is joined out of text that was made once for each segment.
    """

    def __init__(self, name: str, life: str) -> None:
        """Make an empty one.

        Args:
            name: of the rendition.
            life: of the stream.
        """
        self.name = name
        self.segments: deque[PastSegment] = deque()
        self.seconds = 0.0
        """How long they play."""
        self.bytes = 0
        """What their media takes in storage."""
        self._base = f"../{life}/"
        self._texts: deque[bytes] = deque()
        self._maps: Counter[str] = Counter()

    def lists(self, uri: str) -> bool:
        """Tell whether a file is needed, by its URI relative to the life."""
        if uri in self._maps:
            return True
        segments = self.segments
        number = uri.removeprefix(f"{self.name}/").removesuffix(".m4s")
        if not segments or not number.isdigit():
            return False
        found = self._find(int(number))
        return found is not None and not segments[found].is_gap

    def append(
        self, segment: Segment, others: Sequence["PastWindow"] = (), lost: float = 0.0
    ) -> list[PastSegment]:
        """Add a segment, after gaps where the rendition or the process was away.

        Args:
            segment: the newest one.
            others: other renditions, which tell what happened meanwhile.
            lost: EXT-X-TARGETDURATION of a former process, whose end may be unknown; else 0.

        Returns:
            Those that leave because nothing can lead from them to the new one.
        """
        new = PastSegment(
            number=segment.sequence,
            sequence=segment.sequence,
            seconds=segment.seconds,
            wall=segment.wall,
            discontinuity=segment.discontinuity,
            is_discontinuity=segment.is_discontinuity,
            is_gap=segment.is_gap,
            map_uri=segment.map_uri,
            uri=segment.uri,
            url=segment.url,
            size=segment.size,
        )
        if not self.segments:
            self._add(new)
            return []
        last = self.segments[-1]
        bridges: list[list[PastSegment]] = [[]]
        if new.sequence != last.sequence + 1:
            bridges = [gaps for other in others if (gaps := _between(last, new, other))]
            if lost:
                bridges.append(_lost(last, new, lost))
        for bridge in bridges:
            if _is_chain([last, *bridge, new]):
                for step in (*bridge, new):
                    self._add(replace(step, number=self.segments[-1].number + 1))
                return []
        leaving = self.drop(len(self.segments))
        self._add(new)
        return leaving

    def restore(self, segments: Iterable[PastSegment]) -> None:
        """Take over what a former process listed: `longest_run` of it."""
        for segment in segments:
            self._add(segment)

    def excess(self, seconds: float, first_live: int) -> int:
        """Tell how many segments are more than is wanted.

        Args:
            seconds: that are to be kept.
            first_live: Media Sequence Number of the oldest segment of the live playlist, which
                stays whatever its age.
        """
        count = max(0, len(self.segments) - MAX_LISTED)
        left = self.seconds - sum(s.seconds for s in islice(self.segments, count))
        for segment in islice(self.segments, count, None):
            left -= segment.seconds
            if left < seconds or segment.sequence >= first_live:
                break
            count += 1
        return count

    def older_than(self, sequence: int) -> int:
        """Tell how many segments come before a Media Sequence Number of the live playlist."""
        count = 0
        for segment in self.segments:
            if segment.sequence >= sequence:
                break
            count += 1
        return count

    def drop(self, count: int) -> list[PastSegment]:
        """Remove the oldest segments, and return them."""
        leaving = [self.segments.popleft() for _ in range(count)]
        for segment in leaving:
            self._texts.popleft()
            self.seconds -= segment.seconds
            self.bytes -= segment.size
            self._maps[segment.map_uri] -= 1
            if not self._maps[segment.map_uri]:
                del self._maps[segment.map_uri]
        if not self.segments:
            self.seconds = 0.0
        return leaving

    def lose(self, sequence: int) -> PastSegment | None:
        """Make a gap of a segment whose media is lost; return it unless there is none such."""
        index = self._find(sequence)
        if index is None or self.segments[index].is_gap:
            return None
        self.bytes -= self.segments[index].size
        lost = self.segments[index] = replace(self.segments[index], is_gap=True, size=0)
        before = self.segments[index - 1].map_uri if index else ""
        self._texts[index] = self._text(lost, before)
        return lost

    def playlist(
        self,
        *,
        target_duration: int,
        ended: bool,
        independent_segments: bool,
        skip: bool,
        date_ranges: Sequence[str] = (),
    ) -> bytes:
        """Return the playlist of all segments, of which there is one at least.

        Args:
            target_duration: seconds.
            ended: no segment will follow.
            independent_segments: every segment starts with a sync sample.
            skip: a delta update will do (RFC 8216bis section 6.2.5.1).
            date_ranges: the tags of those that are listed.
        """
        first = self.segments[0]
        until = SKIP_UNTIL * target_duration
        lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}"]
        if independent_segments:
            lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
        lines += (
            f"#EXT-X-TARGETDURATION:{target_duration}",
            f"#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL={until:.3f}",
            f"#EXT-X-MEDIA-SEQUENCE:{first.number}",
            f"#EXT-X-DISCONTINUITY-SEQUENCE:{first.discontinuity - first.is_discontinuity}",
        )
        skipped = self._skippable(until) if skip else 0
        if skipped:
            lines.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")
        lines += date_ranges
        texts = list(islice(self._texts, skipped, None))
        if not skipped:
            texts[0] = self._text(first, "")
        texts.insert(0, ("\n".join(lines) + "\n").encode())
        if ended:
            texts.append(b"#EXT-X-ENDLIST\n")
        return b"".join(texts)

    def page(self, number: int) -> tuple[int, bytes]:
        """Return the page of the index that a segment's number is in: its own number and text."""
        first = number - number % PAGE
        start = max(0, first - self.segments[0].number)
        stop = first + PAGE - self.segments[0].number
        rows = [_row(segment) for segment in islice(self.segments, start, stop)]
        body = json.dumps({"schema": SCHEMA, "segments": rows}, separators=(",", ":"))
        return first // PAGE, body.encode()

    def _skippable(self, until: float) -> int:
        """Tell how many segments lie, all of them, before the skip boundary."""
        seconds = 0.0
        count = len(self.segments)
        for segment in reversed(self.segments):
            if seconds >= until:
                return count
            seconds += segment.seconds
            count -= 1
        return 0

    def _find(self, sequence: int) -> int | None:
        index = bisect_left(self.segments, sequence, key=lambda segment: segment.sequence)
        is_there = index < len(self.segments) and self.segments[index].sequence == sequence
        return index if is_there else None

    def _add(self, segment: PastSegment) -> None:
        before = self.segments[-1].map_uri if self.segments else ""
        self.segments.append(segment)
        self._texts.append(self._text(segment, before))
        self.seconds += segment.seconds
        self.bytes += segment.size
        self._maps[segment.map_uri] += 1

    def _text(self, segment: PastSegment, map_before: str) -> bytes:
        lines = ["#EXT-X-DISCONTINUITY"] if segment.is_discontinuity else []
        if segment.map_uri != map_before:
            lines.append(f'#EXT-X-MAP:URI="{self._base}{segment.map_uri}"')
        lines += segment_lines(segment, self._base, segment.url)
        return ("\n".join(lines) + "\n").encode()


def _between(last: PastSegment, new: PastSegment, other: PastWindow) -> list[PastSegment]:
    """Return gaps like what another rendition has between two segments of this one."""
    between = []
    for segment in reversed(other.segments):
        if segment.sequence <= last.sequence:
            break
        if segment.sequence < new.sequence:
            between.append(segment)
    gaps = []
    end = last.wall + last.seconds
    for segment in reversed(between):
        # Renditions are not cut at the same millisecond; dates in a continuity have no steps.
        wall = segment.wall if segment.is_discontinuity else end
        gaps.append(_gap(replace(segment, wall=wall), last))
        end = wall + segment.seconds
    return gaps


def _lost(last: PastSegment, new: PastSegment, target_duration: float) -> list[PastSegment]:
    """Return gaps for what a former process may have listed last: its numbers stay taken.

    They take up the discontinuities, too, that no segment followed there.
    """
    end = last.wall + last.seconds
    away = max(0.1, new.wall - end)
    extra = new.discontinuity - new.is_discontinuity - last.discontinuity
    count = max(extra, min(MOST_LOST, ceil(away / target_duration)))
    count = min(count, MOST_BRIDGED, new.sequence - last.sequence - 1)
    seconds = min(away / count, target_duration) if count else 0.0
    lost = []
    for index in range(count):
        step = replace(
            last,
            sequence=last.sequence + 1 + index,
            seconds=seconds,
            wall=end + index * seconds,
            discontinuity=last.discontinuity + min(index + 1, extra),
            is_discontinuity=index < extra,
        )
        lost.append(_gap(step, last))
    return lost


def _gap(segment: PastSegment, last: PastSegment) -> PastSegment:
    name = last.uri.partition("/")[0]
    return replace(
        segment,
        is_gap=True,
        map_uri=last.map_uri,
        uri=f"{name}/{segment.sequence}.m4s",
        url="",
        size=0,
    )


def _is_chain(segments: Sequence[PastSegment]) -> bool:
    """Tell whether each discontinuity between segments has its own EXT-X-DISCONTINUITY."""
    return all(
        after.discontinuity == before.discontinuity + after.is_discontinuity
        and after.sequence > before.sequence
        for before, after in pairwise(segments)
    )


def read_page(body: bytes, name: str) -> list[PastSegment]:
    """Read a page of the index of a rendition.

    Raises:
        ValueError: it is none.
    """
    match json.loads(body):
        case {"schema": 1, "segments": list(rows)}:
            return [_read_row(row, name) for row in rows]
    raise ValueError("not a page of an index")


def _read_row(row: object, name: str) -> PastSegment:
    match row:
        case [
            int(number),
            int(sequence),
            int() | float() as seconds,
            int() | float() as wall,
            int(discontinuity),
            bool(is_discontinuity),
            bool(is_gap),
            str(map_uri),
            str(uri),
            str(url),
            int(size),
        ] if (
            0 <= number <= sequence
            and 0 < seconds < 1e6
            and isfinite(wall)
            and discontinuity >= is_discontinuity
            and re.fullmatch(name + r"/init-[0-9a-f]{8}\.mp4", map_uri)
            and uri == f"{name}/{sequence}.m4s"
            and _URL.fullmatch(url)
            and size >= 0
        ):
            return PastSegment(
                number,
                sequence,
                float(seconds),
                float(wall),
                discontinuity,
                is_discontinuity,
                is_gap,
                map_uri,
                uri,
                url,
                size,
            )
    raise ValueError("not a segment in an index")


def longest_run(segments: Iterable[PastSegment]) -> list[PastSegment]:
    """Return the newest segments between which none is missing."""
    run: list[PastSegment] = []
    for segment in sorted(segments, key=lambda each: each.number, reverse=True):
        if run and not (segment.number + 1 == run[-1].number and _is_chain([segment, run[-1]])):
            break
        run.append(segment)
    run.reverse()
    return run
