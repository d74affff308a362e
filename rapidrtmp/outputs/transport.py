"""MPEG-TS HLS for players that know nothing newer: made of a stream's CMAF segments on demand.

Nothing is done before somebody asks, and nothing is remembered but what was listed: a segment is
converted when it is fetched.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from rapidrtmp.hls.segment import Segment
from rapidrtmp.hls.transport_playlist import (
    TransportPart,
    TransportSegment,
    transport_multivariant,
    transport_playlist,
)
from rapidrtmp.hls.window import RenditionWindow
from rapidrtmp.interfaces import IMMUTABLE, NotFound, NotPackaged, NotReady, Representation
from rapidrtmp.isobmff.fragment import FragmentError, read_samples
from rapidrtmp.media.segmentation import CLOCK
from rapidrtmp.media.track import Track
from rapidrtmp.mpegts.muxer import Part, elementary_stream, mux
from rapidrtmp.outputs.counters import HLSCounters
from rapidrtmp.outputs.files import playlist_file
from rapidrtmp.outputs.made import MadeFiles

FOLDER = "ts"
PLAYLIST = "ts.m3u8"
TRANSPORT_TYPE = "video/mp2t"

_KINDS = ("video", "audio")
"""What is muxed of each, the first track that can be; in this order."""
_SEGMENT = re.compile(r"([0-9]{1,16})\.ts")


class Listed(NamedTuple):
    """What the playlists of a stream's life say now."""

    windows: Sequence[RenditionWindow]
    """Of the tracks that flow, in their order."""
    others: Sequence[RenditionWindow]
    """Of those that did."""
    target_duration: int | None
    ended: bool


class Source(Protocol):
    """The output whose segments are converted."""

    def listed(self) -> Listed:
        """Return what its playlists say now."""

    def representation(self, path: tuple[str, ...]) -> Representation | Deferred[Representation]:
        """Find a file, as `IHTTPOutput` has it."""


def is_transport_path(path: tuple[str, ...]) -> bool:
    """Tell whether a path below a stream's key may be one of `TransportView`."""
    return FOLDER in path or path[-1:] == (PLAYLIST,)


class TransportView:
    """A stream's life as MPEG-TS: the same segments, muxed."""

    _log = Logger()

    def __init__(
        self, source: Source, key: str, life: str, files: MadeFiles, counters: HLSCounters
    ) -> None:
        """Make the view of a life.

        Args:
            source: has the segments.
            key: the stream key.
            life: names the life in URLs.
            files: makes and keeps the segments of all streams.
            counters: of all streams.
        """
        self._source = source
        self._key = key
        self._life = life
        self._files = files
        self._counters = counters
        self._stamp: object = None
        self._listed: list[TransportSegment] = []
        # Those that were listed, and those that are, and the newest number of the stream at which
        # a player may still ask for them: one that has just loaded the longest playlist with them.
        self._known: dict[int, tuple[TransportSegment, int]] = {}
        self._playlist: Representation | None = None

    def representation(self, path: tuple[str, ...]) -> Representation | Deferred[Representation]:
        """Find a file, as `IHTTPOutput` has it.

        Raises:
            NotPackaged: none of the stream's codecs has a place in a transport stream.
        """
        if path == (FOLDER, "index.m3u8"):
            return self._when_live(self._multivariant)
        if path == (self._life, PLAYLIST):
            return self._when_live(self._media_playlist)
        if len(path) == 3 and path[:2] == (self._life, FOLDER):
            found = _SEGMENT.fullmatch(path[2])
            if found is not None:
                return self._segment(path, int(found[1]))
        raise NotFound("no such file in this stream")

    # Playlists.

    def _when_live(
        self, render: Callable[[], Representation]
    ) -> Representation | Deferred[Representation]:
        """Wait as viewers of CMAF do until the stream has segments."""
        found = self._source.representation(("index.m3u8",))
        if isinstance(found, Representation):
            return render()
        return found.addCallback(lambda _: render())

    def _multivariant(self) -> Representation:
        listed = self._update()
        carried = _carried(listed.windows)
        left_out = dict.fromkeys(
            window.segmenter.track.codec
            for window in listed.windows
            if elementary_stream(window.segmenter.track) is None
        )
        return playlist_file(
            transport_multivariant(
                [window.rendition(self._life) for window in carried],
                f"../{self._life}/{PLAYLIST}",
                list(left_out),
            )
        )

    def _media_playlist(self) -> Representation:
        listed = self._update()
        if self._playlist is None:
            assert listed.target_duration is not None
            body = transport_playlist(
                self._listed,
                base=f"../{self._life}/",
                target_duration=listed.target_duration,
                ended=listed.ended,
            )
            self._playlist = playlist_file(body)
        return self._playlist

    def _update(self) -> Listed:
        """List what can be listed by now.

        Raises:
            NotPackaged: nothing of the stream has a place in a transport stream.
            NotFound: it is over.
            NotReady: there is nothing yet.
        """
        listed = self._source.listed()
        if not listed.windows:
            raise NotFound("the stream has no track")
        stamp = (
            [
                (w.playlist_uri, w.segments[0].sequence, w.segments[-1].sequence)
                for w in listed.windows
                if w.segments
            ],
            listed.ended,
        )
        if stamp != self._stamp:
            carried = _carried(listed.windows)
            if not carried:
                raise NotPackaged(_reason(listed.windows))
            plan = _plan(listed, carried)
            if plan:
                self._listed = plan
                self._playlist = None
                self._stamp = stamp
                self._remember(plan)
        if not self._listed:
            raise NotReady("the stream has no segment yet")
        return listed

    def _remember(self, plan: Sequence[TransportSegment]) -> None:
        """Know what is listed, and no more what nobody asks for."""
        newest = plan[-1].sequence
        for one in plan:
            _, last = self._known.get(one.sequence, (one, 0))
            self._known[one.sequence] = one, max(last, newest + len(plan) + 1)
        self._known = {
            sequence: known for sequence, known in self._known.items() if known[1] >= newest
        }

    # Segments.

    def _segment(self, path: tuple[str, ...], sequence: int) -> Deferred[Representation]:
        if sequence not in self._known:
            self._update()
        known = self._known.get(sequence)
        if known is None:
            raise NotFound("no such segment")
        segment, _ = known

        def made(body: bytes) -> Representation:
            return Representation(body, TRANSPORT_TYPE, IMMUTABLE, "-".join(path))

        making = partial(self._make, segment)
        return self._files.get(path, making).addCallback(made)

    async def _make(self, segment: TransportSegment) -> Iterable[bytes]:
        """Fetch the tracks' segments and mux them."""
        parts = []
        for part in segment.parts:
            body = b""
            if part.uri:
                found = self._source.representation((self._life, *part.uri.split("/")))
                body = (found if isinstance(found, Representation) else await found).body
            try:
                parts.append(Part(part.track, read_samples(part.track, body)))
            except FragmentError as error:
                self._log.error(
                    "stream {key}: {uri} came back damaged: {error}",
                    key=self._key,
                    uri=part.uri,
                    error=error,
                )
                raise NotFound("the segment is damaged") from error
        self._counters.transport_segments_created += 1
        return mux(parts, segment.start, segment.end)


def _carried(windows: Sequence[RenditionWindow]) -> list[RenditionWindow]:
    """Return the first window of each kind whose track has a place in a transport stream."""
    carried: list[RenditionWindow] = []
    for kind in _KINDS:
        fit = (
            window
            for window in windows
            if window.segmenter.track.kind == kind and elementary_stream(window.segmenter.track)
        )
        carried += islice(fit, 1)
    return carried


def _plan(listed: Listed, carried: Sequence[RenditionWindow]) -> list[TransportSegment]:
    """Return the segments that all tracks have, without a hole up to the newest.

    Empty while a track that has just come has no segment: renditions stay in lock step.

    Args:
        listed: what there is.
        carried: the windows of the tracks that are muxed now.
    """
    if not all(window.segments for window in carried):
        return []
    sequence = min(window.segments[-1].sequence for window in carried)
    oldest = sequence - max(len(window.segments) for window in carried)
    windows = [*carried, *listed.windows, *listed.others]
    plan: list[TransportSegment] = []
    while sequence > oldest:
        found = [one for kind in _KINDS for one in islice(_find(windows, kind, sequence), 1)]
        if not found:
            break
        _, leading = found[0]
        plan.append(
            TransportSegment(
                sequence=sequence,
                parts=tuple(
                    TransportPart(track, "" if segment.is_gap else segment.uri)
                    for track, segment in found
                ),
                start=_ticks(leading.start, leading.timescale),
                end=_ticks(leading.start + leading.duration, leading.timescale),
                seconds=leading.seconds,
                wall=leading.wall,
                discontinuity=leading.discontinuity,
                is_discontinuity=leading.is_discontinuity,
            )
        )
        sequence -= 1
    return plan[::-1]


def _find(
    windows: Iterable[RenditionWindow], kind: str, sequence: int
) -> Iterator[tuple[Track, Segment]]:
    """Yield the segments of a kind and a number that have a place in a transport stream."""
    for window in windows:
        segments = window.segments
        if segments and segments[0].sequence <= sequence <= segments[-1].sequence:
            segment = segments[sequence - segments[0].sequence]
            track = window.tracks[segment.map_uri]
            if track.kind == kind and elementary_stream(track) is not None:
                yield track, segment


def _reason(windows: Sequence[RenditionWindow]) -> str:
    codecs = ", ".join(dict.fromkeys(window.segmenter.track.codec for window in windows))
    return f"MPEG-TS has no place for what this stream is made of ({codecs}); see index.m3u8"


def _ticks(time: int, timescale: int) -> int:
    return (2 * time * CLOCK + timescale) // (2 * timescale)
