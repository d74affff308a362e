"""HLS: packages a stream into CMAF segments and playlists, served from memory."""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rapidrtmp.hls.multivariant import multivariant_playlist
from rapidrtmp.hls.playlist import media_playlist
from rapidrtmp.hls.segment import Segment
from rapidrtmp.hls.segmenter import Segmenter
from rapidrtmp.hls.window import RenditionWindow
from rapidrtmp.interfaces import (
    IMMUTABLE,
    NO_CACHE,
    IHTTPOutput,
    IOutputMaker,
    IStorage,
    NotFound,
    NotReady,
    Representation,
)
from rapidrtmp.media.segmentation import Boundary, Segmentation
from rapidrtmp.media.track import Sample, Track
from rapidrtmp.outputs.commit import CommitQueue
from rapidrtmp.outputs.retention import (
    AFTER_END,
    MULTIVARIANT,
    end_playlists,
    is_media_path,
    remove_life,
)
from rapidrtmp.stream.stream import Stream

PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
MEDIA_TYPE = "video/mp4"
INIT_ALIAS = "init.mp4"


@dataclass(frozen=True, slots=True)
class HLSSettings:
    """What all HLS outputs have in common."""

    max_segments: int = 10
    """Segments that a media playlist lists."""
    first_hold: float = 8.0
    """Seconds that a request waits for the first segment: hls.js gives up after 10."""
    max_held: int = 1000
    """Requests of one stream that wait at once."""
    max_bytes_waiting: int = 64 * 1024 * 1024
    """Bytes of one stream that may wait for a slow store."""


@implementer(IHTTPOutput)
class HLSOutput:
    """The HLS side of one stream's life.

    Everything that can be asked for is a `Representation` in one index; what left the
    window is fetched from storage until the retention removes it.
    """

    _log = Logger()

    def __init__(
        self,
        key: str,
        life: str,
        segmentation: Segmentation,
        storage: IStorage,
        clock: IReactorTime,
        settings: HLSSettings,
    ) -> None:
        """Make the output of a stream's life.

        Args:
            key: the stream key.
            life: names the life in URLs.
            segmentation: tells the target duration.
            storage: gets every file.
            clock: tells the time.
            settings: what all outputs have in common.
        """
        self._key = key
        self._life = life
        self._segmentation = segmentation
        self._storage = storage
        self._clock = clock
        self._settings = settings
        self._queue = CommitQueue(storage, clock, settings.max_bytes_waiting)
        self._segmenter: Segmenter | None = None
        # Of the tracks that flow, and of all that did: those may come back.
        self._windows: dict[int, RenditionWindow] = {}
        self._all_windows: dict[int, RenditionWindow] = {}
        self._files: dict[tuple[str, ...], Representation] = {}
        self._retired: deque[tuple[float, tuple[str, ...]]] = deque()
        self._waiting: set[Deferred[None]] = set()
        self._ended = False
        self.last_segment_at: float | None = None
        """Unix time at which the newest segment was complete; None before the first."""

    # The stream's side (IOutput).

    def tracks_changed(self, tracks: Sequence[Track]) -> None:
        """Start new segments for these tracks; the playlists go on."""
        self._segmenter = Segmenter(tracks)
        windows = {}
        for track_id, segmenter in self._segmenter.tracks.items():
            window = self._all_windows.get(track_id)
            if window is None:
                window = self._all_windows[track_id] = RenditionWindow(segmenter)
            window.continue_with(segmenter)
            windows[track_id] = window
            init = (self._life, *segmenter.init_uri.split("/"))
            if init not in self._files:
                self._store(init, _media(init, segmenter.init))
        self._windows = windows

    def segment_started(self, boundary: Boundary) -> None:
        """Cut."""
        assert self._segmenter is not None
        self._commit(self._segmenter.segment_started(boundary))

    def sample_received(self, sample: Sample) -> None:
        """Collect a sample. The hot path."""
        segments = self._segmenter.write(sample)  # type: ignore[union-attr]  # set by tracks_changed
        if segments:
            self._commit([(sample.track, segment) for segment in segments])

    def discontinuity(self) -> None:
        """Complete and list what is open."""
        if self._segmenter is not None:
            self._commit(self._segmenter.flush())

    def ended(self) -> None:
        """Say EXT-X-ENDLIST, and remove the files when the last viewers have had their time."""
        self._ended = True
        if any(window.segments for window in self._all_windows.values()):
            self._render(list(self._all_windows.values()))
        else:
            self._end_stored_playlists()
        self._release()
        self._clock.callLater(AFTER_END + self._window_seconds(), self._remove)

    def close(self) -> Deferred[None]:
        """Fire when storage has what it can have."""
        return self._queue.flush()

    @property
    def storage_error(self) -> str | None:
        """Why storage does not take this stream's files; None when it does."""
        return self._queue.error

    # The viewers' side (IHTTPOutput).

    def representation(self, path: tuple[str, ...]) -> Representation | Deferred[Representation]:
        """Find a file; wait for the first playlist of a stream that is about to be live."""
        found = self._files.get(path)
        if found is not None:
            return found
        if path in ((INIT_ALIAS,), (MULTIVARIANT,)):
            if self._ended:
                raise NotFound("the stream has ended")
            return self._hold(path)
        if not is_media_path(path):
            raise NotFound("no such file in this stream")
        if len(path) == 2 and path[0] == self._life and not self._ended:
            uris = [window.playlist_uri for window in self._all_windows.values()]
            if uris and path[1] not in uris:
                raise NotFound("the stream has no such track")
            # Never from storage: what a former process wrote there may be behind what it served.
            return self._hold(path)
        return self._stored(path)

    def _hold(self, path: tuple[str, ...]) -> Deferred[Representation]:
        """Wait for a file that is made with the first segments."""
        if len(self._waiting) >= self._settings.max_held:
            raise NotReady("too many viewers are waiting for this stream to start")

        waiting: Deferred[None] = Deferred()
        self._waiting.add(waiting)
        timer = self._clock.callLater(
            self._settings.first_hold,
            lambda: waiting.errback(NotReady("the stream has no segment yet")),
        )

        def forget(result: Failure | None) -> Failure | None:
            self._waiting.discard(waiting)
            if timer.active():
                timer.cancel()
            return result

        def find(_: None) -> Representation:
            found = self._files.get(path)
            if found is None:
                raise NotFound("the stream has ended")
            return found

        return waiting.addBoth(forget).addCallback(find)

    def _release(self) -> None:
        """Answer those who wait, when every rendition has something to show."""
        for waiting in list(self._waiting):
            waiting.callback(None)

    def _stored(self, path: tuple[str, ...]) -> Deferred[Representation]:
        is_playlist = path[-1].endswith(".m3u8")

        def fetched(body: bytes) -> Representation:
            return _playlist(body) if is_playlist else _media(path, body)

        return self._storage.get(self._path_in_storage(path)).addCallback(fetched)

    # Inside.

    def _commit(self, completed: Sequence[tuple[Track, Segment]]) -> None:
        """List completed segments."""
        changed: dict[int, RenditionWindow] = {}
        for track, segment in completed:
            window = self._windows[track.track_id]
            changed[track.track_id] = window
            if not segment.is_gap:
                path = (self._life, *segment.uri.split("/"))
                self._store(path, _media(path, segment.body), is_expendable=True)
            for leaving in window.append(segment, self._settings.max_segments):
                self._retire(leaving, window)
        if changed:
            self.last_segment_at = self._clock.seconds()
            self._render(list(changed.values()))
            self._delete_due()
            if all(window.segments for window in self._windows.values()):
                self._release()

    def _render(self, changed: Sequence[RenditionWindow]) -> None:
        """Render the playlists of changed windows, and the multivariant one if it changed."""
        target = self._segmentation.target_duration
        assert target is not None
        for window in changed:
            if window.segments:
                body = media_playlist(
                    window.segments,
                    target_duration=target,
                    ended=self._ended,
                    # Video may be cut softly; no promise is made for it.
                    independent_segments=window.segmenter.track.kind == "audio",
                )
                uris = {segment.uri for segment in window.segments if not segment.is_gap}
                uris |= {segment.map_uri for segment in window.segments}
                names = [self._path_in_storage((self._life, uri)) for uri in uris]
                self._store((self._life, window.playlist_uri), _playlist(body), names)
        windows = list(self._windows.values())
        if windows and all(window.segments for window in windows):
            renditions = [window.rendition(self._life) for window in windows]
            playlist = _playlist(
                multivariant_playlist(
                    [rendition for rendition in renditions if rendition.track.kind == "video"],
                    [rendition for rendition in renditions if rendition.track.kind == "audio"],
                )
            )
            if playlist != self._files.get((MULTIVARIANT,)):
                names = [self._path_in_storage((rendition.uri,)) for rendition in renditions]
                self._store((MULTIVARIANT,), playlist, names)
            init = self._files[(self._life, *windows[0].segmenter.init_uri.split("/"))]
            self._files[(INIT_ALIAS,)] = replace(init, cache_control=NO_CACHE)

    def _store(
        self,
        path: tuple[str, ...],
        file: Representation,
        names: Collection[str] = (),
        *,
        is_expendable: bool = False,
    ) -> None:
        """Make a file seen, and have it stored."""
        self._files[path] = file
        self._queue.put(self._path_in_storage(path), file, names, is_expendable=is_expendable)

    def _path_in_storage(self, path: tuple[str, ...]) -> str:
        return "/".join((self._key, *path))

    def _window_seconds(self) -> float:
        """How long the longest playlist plays."""
        return max(
            (sum(s.seconds for s in window.segments) for window in self._all_windows.values()),
            default=0.0,
        )

    def _retire(self, segment: Segment, window: RenditionWindow) -> None:
        """A segment left the window: storage keeps it while players may still ask for it."""
        due = self._clock.seconds() + segment.seconds + self._window_seconds()
        uris = [segment.uri]
        used = {s.map_uri for s in window.segments} | {window.segmenter.init_uri}
        if segment.map_uri not in used:
            uris.append(segment.map_uri)
        for uri in uris:
            path = (self._life, *uri.split("/"))
            if self._files.pop(path, None) is not None:
                self._retired.append((due, path))

    def _delete_due(self) -> None:
        """Delete what was retired long enough ago (RFC 8216 section 6.2.2)."""
        now = self._clock.seconds()
        while self._retired and self._retired[0][0] <= now:
            path = self._retired.popleft()[1]
            if path not in self._files:  # else a configuration that came back
                self._queue.delete(self._path_in_storage(path))

    def _end_stored_playlists(self) -> None:
        """Close the playlists of a life that ended without a segment in this process."""
        ending = end_playlists(self._storage, self._key, self._life)
        Deferred.fromCoroutine(ending).addErrback(self._failed, "end the playlists")

    def _remove(self) -> None:
        """Forget an ended life."""
        self._files.clear()
        self._windows.clear()
        self._all_windows.clear()
        self._segmenter = None
        self._retired.clear()
        Deferred.fromCoroutine(self._remove_life()).addErrback(self._failed, "remove the files")

    async def _remove_life(self) -> None:
        await self._queue.flush()
        await remove_life(self._storage, self._key, self._life)

    def _failed(self, failure: Failure, what: str) -> None:
        self._log.error(
            "stream {key}: could not {what} of its ended life: {error}",
            key=self._key,
            what=what,
            error=failure.getErrorMessage(),
        )


@implementer(IOutputMaker)
class HLSMaker:
    """Makes the HLS output of each stream."""

    def __init__(self, storage: IStorage, clock: IReactorTime, settings: HLSSettings) -> None:
        """Make a maker; the arguments are those of `HLSOutput`."""
        self._storage = storage
        self._clock = clock
        self._settings = settings

    def make(self, stream: object) -> HLSOutput:
        """Make the output of a new stream."""
        assert isinstance(stream, Stream)
        return HLSOutput(
            stream.key,
            stream.life,
            stream.segmentation,
            self._storage,
            self._clock,
            self._settings,
        )


def _media(path: tuple[str, ...], body: bytes) -> Representation:
    """Describe a file below a life, whose path says all: it never changes."""
    return Representation(body, MEDIA_TYPE, IMMUTABLE, "-".join(path))


def _playlist(body: bytes) -> Representation:
    tag = blake2b(body, digest_size=8).hexdigest()
    return Representation(body, PLAYLIST_TYPE, NO_CACHE, tag)
