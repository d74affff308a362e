"""The DVR side of an HLS output: playlists of hours, whose media and index are in storage."""

from collections.abc import Callable, Collection, Iterable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from rapidrtmp.hls.date_range import DateRanges
from rapidrtmp.hls.past import PAGE, PastSegment, PastWindow, longest_run, read_page
from rapidrtmp.hls.segment import Segment
from rapidrtmp.hls.window import RenditionWindow
from rapidrtmp.interfaces import NO_CACHE, IStorage, NotFound, NotReady, Representation
from rapidrtmp.media.segmentation import Segmentation
from rapidrtmp.outputs.commit import CommitQueue
from rapidrtmp.outputs.files import playlist_file
from rapidrtmp.outputs.retention import read_index_name

INDEX_TYPE = "application/json"
READ_TIMEOUT = 60.0
"""Seconds that storage has to tell the past of a life that goes on after a restart."""


class DVR:
    """What can be watched of the past of a stream's life.

    Storage has an index in pages, so that the next process can go on where this one was killed.
    """

    _log = Logger()

    def __init__(
        self,
        key: str,
        life: str,
        segmentation: Segmentation,
        queue: CommitQueue,
        clock: IReactorTime,
        retire: Callable[[float, Collection[str]], None],
        date_ranges: DateRanges,
    ) -> None:
        """Make one without a past.

        Args:
            key: the stream key.
            life: names the life in URLs.
            segmentation: tells the target duration.
            queue: the stream's way into storage.
            clock: times a storage out.
            retire: called with the seconds and the URIs, relative to the life, of what is not
                listed any more.
            date_ranges: of the stream.
        """
        self._key = key
        self._life = life
        self._segmentation = segmentation
        self._queue = queue
        self._clock = clock
        self._retire = retire
        self._date_ranges = date_ranges
        self._first = segmentation.sequence  # of this process
        self._pasts: dict[str, PastWindow] = {}
        self._rendered: dict[tuple[str, bool], Representation] = {}
        # What was listed while the past was read; None when that is over.
        self._waiting: list[tuple[RenditionWindow, Segment, float]] | None = None
        # Renditions that have not gone on yet since the past was read.
        self._restored: set[str] = set()
        self.has_ended = False
        """Whether nothing follows: the owner sets it, and calls `changed`."""

    @property
    def seconds(self) -> float:
        """How long the longest playlist plays."""
        return max((past.seconds for past in self._pasts.values()), default=0.0)

    @property
    def bytes(self) -> int:
        """What the media of all playlists takes in storage."""
        return sum(past.bytes for past in self._pasts.values())

    def lists(self, uri: str) -> bool:
        """Tell whether a file is listed, by its URI relative to the life.

        While the past is read nobody knows: it may be.
        """
        return self._waiting is not None or any(p.lists(uri) for p in self._pasts.values())

    def playlist(self, name: str, *, skip: bool) -> Representation | None:
        """Return the playlist of a rendition; None when nothing is known of it.

        Args:
            name: of the rendition.
            skip: a delta update will do.

        Raises:
            NotReady: the past is being read.
        """
        if self._waiting is not None:
            raise NotReady("the past of the stream is being read")
        past = self._pasts.get(name)
        target = self._segmentation.target_duration
        if past is None or not past.segments or target is None:
            return None
        rendered = self._rendered.get((name, skip))
        if rendered is None:
            body = past.playlist(
                target_duration=target,
                ended=self.has_ended,
                independent_segments=name.startswith("audio"),
                skip=skip,
                date_ranges=self._date_ranges.lines(past.segments),
            )
            rendered = self._rendered[name, skip] = playlist_file(body)
        return rendered

    def changed(self) -> None:
        """Forget what was rendered."""
        self._rendered.clear()

    def clear(self) -> None:
        """Forget everything: the files are gone."""
        self._pasts.clear()
        self._rendered.clear()

    def list(self, window: RenditionWindow, segment: Segment, seconds: float) -> None:
        """List a segment that the live playlist lists now, and let go of the oldest.

        Args:
            window: the live one.
            segment: its newest listed one.
            seconds: of the past to be kept; 0 for nothing.
        """
        if self._waiting is not None:
            self._waiting.append((window, segment, seconds))
            return
        name = window.segmenter.name
        past = self._pasts.get(name)
        if seconds:
            if past is None:
                past = self._pasts[name] = PastWindow(name, self._life)
            # The first time all that is listed is new, what waits for its turn here included.
            for each in (segment,) if past.segments else list(window.listed):
                if not past.segments or each.sequence > past.segments[-1].sequence:
                    self._append(past, each)
        if past is not None:
            self._trim(past, window.segments[0].sequence, seconds)
            self._rendered.clear()

    def lose(self, uri: str) -> None:
        """Make a gap of a segment whose media is lost, by its URI relative to the life."""
        name, _, file = uri.partition("/")
        past = self._pasts.get(name)
        number = file.removesuffix(".m4s")
        lost = past.lose(int(number)) if past is not None and number.isdigit() else None
        if past is not None and lost is not None:
            self._rendered.clear()
            self._write(past, lost)

    def _append(self, past: PastWindow, segment: Segment) -> None:
        others = [other for other in self._pasts.values() if other is not past]
        target = self._segmentation.target_duration or 0
        before = past.segments[-1].number if past.segments else segment.sequence
        lost = target if past.name in self._restored else 0.0
        self._restored.discard(past.name)
        self._leave(past, past.append(segment, others, lost))
        newest = past.segments[-1]
        if newest.number // PAGE != before // PAGE:
            # gaps may have filled the page before
            self._write(past, past.segments[max(0, before - past.segments[0].number)])
        self._write(past, newest)

    def _trim(self, past: PastWindow, first_live: int, seconds: float) -> None:
        self._leave(past, past.drop(past.excess(seconds, first_live)))
        first = past.segments[0].sequence if past.segments else first_live
        # A rendition that is away keeps no more than the others.
        for other in self._pasts.values():
            newest = other.segments[-1].sequence if other.segments else first
            if newest < first_live:
                self._leave(other, other.drop(other.older_than(first)))

    def _leave(self, past: PastWindow, leaving: Sequence[PastSegment]) -> None:
        for segment in leaving:
            if not segment.is_gap:
                self._retire(segment.seconds, [segment.uri])
        if leaving:
            maps = {segment.map_uri for segment in leaving}
            self._retire(leaving[-1].seconds, [uri for uri in maps if not past.lists(uri)])
            page = leaving[-1].number // PAGE
            if not past.segments or past.segments[0].number // PAGE > page:
                page += 1
            for number in range(leaving[0].number // PAGE, page):
                self._queue.delete(self._index_path(past.name, number))

    # The index.

    def _index_path(self, name: str, page: int) -> str:
        return f"{self._key}/{self._life}/{name}/{page}.json"

    def _write(self, past: PastWindow, segment: PastSegment) -> None:
        """Store the page that a segment is in, as a playlist: when the segment itself is stored."""
        page, body = past.page(segment.number)
        uris = [segment.map_uri] if segment.is_gap else [segment.map_uri, segment.uri]
        names = [f"{self._key}/{self._life}/{uri}" for uri in uris]
        file = Representation(body, INDEX_TYPE, NO_CACHE)
        self._queue.put(self._index_path(past.name, page), file, names)

    # The past of a life that goes on after a restart.

    def restore(self, storage: IStorage) -> None:
        """Read what a former process listed, behind everybody's back."""
        self._waiting = []
        # Not now: the start of the server waits for nobody's past.
        self._clock.callLater(0, self._begin_reading, storage)

    def _begin_reading(self, storage: IStorage) -> None:
        reading = Deferred.fromCoroutine(self._read(storage))
        reading.addTimeout(READ_TIMEOUT, self._clock)
        reading.addErrback(self._failed).addCallback(lambda _: self._go_on())

    async def _read(self, storage: IStorage) -> None:
        prefix = f"{self._key}/{self._life}/"
        uris = {entry.path.removeprefix(prefix) for entry in await storage.list(prefix[:-1])}
        found: dict[str, dict[int, PastSegment]] = {}
        for uri in uris:
            name = read_index_name(uri)
            if name is None:
                continue
            try:
                page = read_page(await storage.get(prefix + uri), name)
            except (NotFound, ValueError) as error:
                self._log.error(
                    "stream {key}: {uri} of the index of its past cannot be used: {error}",
                    key=self._key,
                    uri=uri,
                    error=error,
                )
                continue
            found.setdefault(name, {}).update((segment.number, segment) for segment in page)
        needed: set[str] = set()
        for name, segments in found.items():
            past = self._pasts[name] = PastWindow(name, self._life)
            past.restore(longest_run(segments.values()))
            self._restored.add(name)
            needed.update(f"{name}/{segment.number // PAGE}.json" for segment in past.segments)
            for segment in [s for s in past.segments if s.uri not in uris]:
                past.lose(segment.sequence)
        self._retire_orphans(uri for uri in uris if uri not in needed)

    def _retire_orphans(self, uris: Iterable[str]) -> None:
        """Let go of what a former process stored and the past does not list."""
        orphans = []
        for uri in uris:
            name, _, file = uri.partition("/")
            past = self._pasts.get(name)
            number = file.removesuffix(".m4s")
            is_old = number.isdigit() and int(number) < self._first and file.endswith(".m4s")
            if (is_old and (past is None or not past.lists(uri))) or read_index_name(uri):
                orphans.append(uri)
        self._retire(0.0, orphans)

    def _failed(self, failure: Failure) -> None:
        self._pasts.clear()
        self._log.error(
            "stream {key}: its past could not be read, and is not listed: {error}",
            key=self._key,
            error=failure.getErrorMessage(),
        )

    def _go_on(self) -> None:
        waiting, self._waiting = self._waiting or [], None
        for step in waiting:
            self.list(*step)
