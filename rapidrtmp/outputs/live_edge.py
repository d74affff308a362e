"""The live edge of an HLS output: low-latency playlists, parts, and who waits for them."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from rapidrtmp.hls.date_range import DateRanges
from rapidrtmp.hls.low_latency import (
    DirectiveError,
    Directives,
    Position,
    Report,
    awaited,
    low_latency_playlist,
    parts_in,
    read_directives,
)
from rapidrtmp.hls.segment import Part
from rapidrtmp.hls.track_segmenter import part_uri
from rapidrtmp.hls.window import RenditionWindow
from rapidrtmp.interfaces import InvalidRequest, NotFound, NotReady, Representation
from rapidrtmp.media.segmentation import Segmentation
from rapidrtmp.outputs.blocked import BlockedRequests
from rapidrtmp.outputs.files import media_file, playlist_file
from rapidrtmp.outputs.growing import GrowingSegments

_FILE = re.compile(r"([0-9]{1,16})(?:\.([0-9]{1,4}))?\.m4s")


def read_media_name(name: str) -> Position | None:
    """Read the name of a part's file, or of a segment's: with index -1. None for others."""
    found = _FILE.fullmatch(name)
    return None if found is None else (int(found.group(1)), int(found.group(2) or -1))


class LiveEdge:
    """What is seen of a stream before its segments are complete.

    A playlist is rendered when it is first asked for after a change, and once.
    """

    def __init__(
        self,
        life: str,
        segmentation: Segmentation,
        clock: IReactorTime,
        most: Callable[[], int],
        date_ranges: DateRanges,
        query: str = "",
    ) -> None:
        """Make one without renditions.

        Args:
            life: of the stream.
            segmentation: tells target duration and part target.
            clock: times those who wait.
            most: tells how many may wait at once.
            date_ranges: of the stream.
            query: what addresses of its playlists end with.
        """
        self._life = life
        self._segmentation = segmentation
        self._clock = clock
        self._most = most
        self._date_ranges = date_ranges
        self._query = query
        self._blocked: dict[RenditionWindow, BlockedRequests] = {}
        self._growing = GrowingSegments(life, clock)
        # By what delta updates leave out: segments, date ranges.
        self._rendered: dict[RenditionWindow, dict[tuple[bool, bool], Representation]] = {}
        self._closed: str | None = None
        self.has_ended = False
        """Whether nothing follows: the owner sets it, and calls `changed`."""
        self.windows: Collection[RenditionWindow] = ()
        """The renditions that flow, which are reported of. The owner sets them."""

    def __len__(self) -> int:
        """How many requests wait."""
        return sum(len(blocked) for blocked in self._blocked.values())

    @property
    def is_on(self) -> bool:
        """Whether the stream has parts."""
        return bool(self._segmentation.part_target)

    def changed(self, window: RenditionWindow) -> None:
        """Answer who waited for what a rendition has now."""
        self._rendered.pop(window, None)
        self._growing.changed(window)
        blocked = self._blocked.get(window)
        if blocked is None:
            return
        if self.has_ended:
            blocked.release_all()
        else:
            blocked.release(window.next_part)

    def close(self, reason: str) -> None:
        """Refuse who waits, and who would have to."""
        self._closed = reason
        self._growing.close()
        for blocked in self._blocked.values():
            blocked.close(reason)

    def playlist(
        self, window: RenditionWindow, query: Mapping[str, Sequence[str]]
    ) -> Representation | Deferred[Representation]:
        """Return the playlist of a rendition that has a segment, when it is as asked for.

        Raises:
            InvalidRequest: nobody can answer that.
            NotReady: too many wait already. Also as the Deferred's failure, when time is over.
        """
        try:
            directives = read_directives(query)
            position = None
            if not self.has_ended:
                newest = window.segments[-1]
                position = awaited(
                    directives,
                    (newest.sequence, len(newest.parts)),
                    window.next_part,
                    parts_in(self._target, self._segmentation.part_target or 1.0),
                )
        except DirectiveError as error:
            raise InvalidRequest(str(error)) from None
        if position is None:
            return self._render(window, directives)
        return self._wait(window, position).addCallback(lambda _: self._render(window, directives))

    def part(
        self, window: RenditionWindow, position: Position
    ) -> Representation | Deferred[Representation]:
        """Find a part of a rendition; wait for the one that comes next.

        Raises:
            NotFound: there is no such part. Also as the Deferred's failure, when the segment
                ended without it.
            NotReady: as of `playlist`.
        """
        found = window.part(position)
        if found is not None:
            return self._file(found)
        if position != window.next_part or self.has_ended or not self.is_on:
            raise NotFound("no such part in this stream")

        def answer(_: None) -> Representation:
            part = window.part(position)
            if part is None:
                raise NotFound("the segment ended without this part")
            return self._file(part)

        return self._wait(window, position).addCallback(answer)

    def segment(
        self, window: RenditionWindow, sequence: int
    ) -> Representation | Deferred[Representation]:
        """Find the segment under way; wait for the first part of the one that comes next.

        Raises:
            NotFound: it is another one.
            NotReady: as of `playlist`.
        """
        if window.parts and window.parts[0].sequence == sequence:
            return self._growing.segment(window)
        is_next = bool(window.segments) and (sequence, 0) == window.next_part
        if not is_next or self.has_ended or not self.is_on:
            raise NotFound("no such segment in this stream")

        def answer(_: None) -> Representation:
            if window.parts and window.parts[0].sequence == sequence:
                return self._growing.segment(window)
            for segment in reversed(window.segments):
                if segment.sequence == sequence and not segment.is_gap:
                    return media_file((self._life, *segment.uri.split("/")), segment.pieces)
            raise NotFound("no such segment in this stream")

        return self._wait(window, (sequence, 0)).addCallback(answer)

    @property
    def _target(self) -> int:
        target = self._segmentation.target_duration
        assert target is not None
        return target

    def _wait(self, window: RenditionWindow, position: Position) -> Deferred[None]:
        if self._closed is not None:
            raise NotReady(self._closed)
        if len(self) >= self._most():
            raise NotReady("too many requests are waiting for this stream")
        blocked = self._blocked.get(window)
        if blocked is None:
            blocked = self._blocked[window] = BlockedRequests(self._clock)
        # hls.js gives up on the first byte after 10 s
        patience = min(3.0 * self._target, max(8.0, self._target + 2.0), 9.0)
        return blocked.wait(position, patience)

    def _file(self, part: Part) -> Representation:
        return media_file((self._life, *part.uri.split("/")), part.body)

    def _render(self, window: RenditionWindow, directives: Directives) -> Representation:
        forms = self._rendered.setdefault(window, {})
        form = (directives.skip, directives.skip_date_ranges)
        rendered = forms.get(form)
        if rendered is None:
            sequence, index = window.next_part
            body = low_latency_playlist(
                window.segments,
                window.parts,
                window.texts,
                target_duration=self._target,
                part_target=self._segmentation.part_target or 0.0,
                hint=part_uri(window.segmenter.name, sequence, index),
                reports=[
                    Report(other.playlist_uri + self._query, other.last_part)
                    for other in self.windows
                    if other is not window and other.segments
                ],
                ended=self.has_ended,
                independent_segments=window.segmenter.track.kind == "audio",
                skip=directives.skip,
                skip_date_ranges=directives.skip_date_ranges,
                date_ranges=self._date_ranges,
            )
            rendered = forms[form] = playlist_file(body)
        return rendered
