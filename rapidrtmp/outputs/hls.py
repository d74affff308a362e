"""HLS: packages a stream into CMAF segments and playlists, served from memory."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from rapidrtmp.hls.date_range import DateRanges
from rapidrtmp.hls.low_latency import DirectiveError, read_directives
from rapidrtmp.hls.playlist import program_date_time
from rapidrtmp.hls.segment import Part, Segment
from rapidrtmp.hls.segmenter import Done, Segmenter
from rapidrtmp.hls.timed import hls_form
from rapidrtmp.hls.window import RenditionWindow
from rapidrtmp.interfaces import (
    NO_QUERY,
    IHTTPOutput,
    IKeyFrames,
    InvalidRequest,
    NotFound,
    NotPackaged,
    Representation,
)
from rapidrtmp.media.segmentation import Boundary, Segmentation
from rapidrtmp.media.timed import EventMessage, ScriptMessage, TimedMetadata
from rapidrtmp.media.track import Sample, Track
from rapidrtmp.outputs.commit import CommitQueue
from rapidrtmp.outputs.dash import MANIFEST, DASHView
from rapidrtmp.outputs.dvr import DVR
from rapidrtmp.outputs.files import (
    I_FRAMES,
    media_file,
    with_query,
)
from rapidrtmp.outputs.held import HeldRequests
from rapidrtmp.outputs.life_files import LifeFiles
from rapidrtmp.outputs.listing import Listing, Unlisted
from rapidrtmp.outputs.live_edge import LiveEdge, read_media_name
from rapidrtmp.outputs.media_window import MediaWindow
from rapidrtmp.outputs.playlists import INIT_ALIAS, Playlists, base_of
from rapidrtmp.outputs.retention import (
    AFTER_END,
    MULTIVARIANT,
    attempt,
    end_playlists,
    is_media_path,
    remove_life,
)
from rapidrtmp.outputs.transport import Listed, TransportView, is_transport_path

if TYPE_CHECKING:
    from rapidrtmp.outputs.hls_maker import HLSMaker


@implementer(IHTTPOutput, IKeyFrames)
class HLSOutput:
    """The HLS side of one stream's life, and where its other forms are found."""

    def __init__(self, key: str, life: str, segmentation: Segmentation, maker: "HLSMaker") -> None:
        """Make the output of a stream's life.

        Args:
            key: the stream key.
            life: names the life in URLs.
            segmentation: tells the target duration.
            maker: what all outputs have in common; its settings may change at any time.
        """
        self._key = key
        self._life = life
        self._segmentation = segmentation
        self._maker = maker
        self._storage = maker.storage
        self._clock = maker.clock
        self._queue = CommitQueue(maker.uploads)
        self._files = LifeFiles(key, life, self._queue, maker.storage, maker.reads, maker.clock)
        if not maker.settings.stores_multivariant:  # a former process may have stored one
            self._queue.delete(self._files.in_storage((MULTIVARIANT,)))
        self._listing = Listing(
            maker.urls, maker.clock, maker.counters, lambda: bool(self._queue.error), self._list
        )
        self._segmenter: Segmenter | None = None
        # Of the tracks that flow, and of all that did: those may come back.
        self._windows: dict[int, RenditionWindow] = {}
        self._all_windows: dict[int, RenditionWindow] = {}
        self._date_ranges = DateRanges()
        self._playlists = Playlists(
            life, segmentation, self._files, self._date_ranges, lambda: maker.settings
        )
        self._dvr = DVR(
            key,
            life,
            segmentation,
            self._queue,
            maker.clock,
            self._retire_past,
            self._date_ranges,
        )
        self._files.past = self._dvr
        if maker.settings.dvr_window and segmentation.target_duration is not None:
            self._dvr.restore(self._storage)
        self._held = HeldRequests(maker.clock)
        self._obstacle = ""  # why no track that flows is packaged
        self._messages = 0
        self._edge = LiveEdge(
            life,
            segmentation,
            maker.clock,
            lambda: maker.settings.max_blocked,
            self._date_ranges,
            "?ll=1" if maker.urls else "",
        )
        self._transport = TransportView(self, key, life, maker.transport_files, maker.counters)
        self.window = MediaWindow(
            segmentation, lambda: maker.settings.max_segments, self._files.waits, self._trimmed
        )
        """Of which memory is asked."""
        # A playlist that was longer than they are now: until when somebody may have it.
        self._long_seconds = 0.0
        self._long_until = 0.0
        self._played_at = inf  # unix time at which those who watch live have seen the end
        self._dash = DASHView(life, segmentation, maker.clock, lambda: self.window.most)
        self.last_segment_at: float | None = None
        """Unix time at which the newest segment was complete; None before the first."""
        self.segment_lag: float | None = None
        """Seconds from the end of the newest segment, by the date that playlists give it, to
        its listing; None before the first."""

    # The stream's side (IOutput).

    def tracks_changed(self, tracks: Sequence[Track]) -> None:
        """Start new segments for these tracks; the playlists go on."""
        # What is measured of a window is of one configuration.
        self._listing.flush()
        self._segmenter = Segmenter(tracks)
        windows = {}
        for track_id, segmenter in self._segmenter.tracks.items():
            window = self._all_windows.get(track_id)
            if window is None:
                window = self._all_windows[track_id] = RenditionWindow(
                    segmenter, base_of(self._life)
                )
            window.continue_with(segmenter)
            windows[track_id] = window
            init = self._files.path(segmenter.init_uri)
            self._files.store(init, media_file(init, segmenter.init))
        self._windows = windows
        self._edge.windows = self._dash.windows = self.window.windows = windows.values()
        if not windows:
            self._give_up(tracks)

    def segment_started(self, boundary: Boundary) -> None:
        """Cut."""
        assert self._segmenter is not None
        self._dash.segment_started(boundary)
        self._commit(self._segmenter.segment_started(boundary))

    def sample_received(self, sample: Sample) -> None:
        """Collect a sample. The hot path."""
        done = self._segmenter.write(sample)  # type: ignore[union-attr]  # set by tracks_changed
        if done:
            self._commit(done)

    def metadata_received(self, metadata: TimedMetadata) -> None:
        """Put it into the next fragment, and into the playlists from their next change on."""
        for content in hls_form(metadata):
            if isinstance(content, EventMessage):
                if self._segmenter is not None:
                    self._messages += 1
                    self._segmenter.add_message(content, metadata.time, self._messages)
            elif isinstance(metadata.content, ScriptMessage):
                self._date_ranges.put_published(content, metadata.edge)
            else:
                self._date_ranges.put(content, metadata.edge)

    def discontinuity(self) -> None:
        """Complete and list what is open. What comes next may be packaged."""
        self._obstacle = ""
        if self._segmenter is not None:
            self._commit(self._segmenter.flush())

    def ended(self) -> None:
        """Say EXT-X-ENDLIST, and remove the files when the last viewers have had their time."""
        self._edge.has_ended = self._dvr.has_ended = self._playlists.has_ended = True
        self._dash.ended()
        self._listing.flush()
        self._dvr.changed()
        if any(window.segments for window in self._all_windows.values()):
            self._render(self._all_windows.values())
        else:
            # Those of a life that has no segment in this process.
            attempt(end_playlists(self._storage, self._key, self._life), self._key)
        self._held.release()
        for window in self._all_windows.values():
            self._edge.changed(window)
        seconds = self._window_seconds()
        self._played_at = self._clock.seconds() + seconds
        if self._dvr.seconds > seconds:
            self._clock.callLater(AFTER_END + seconds, self._release_memory)
        self._clock.callLater(AFTER_END + max(seconds, self._dvr.seconds), self._remove)

    def close(self) -> Deferred[None]:
        """Fire when storage has what it can have. Nobody waits any more for what will not come."""
        self._held.close("the server is shutting down")
        self._edge.close("the server is shutting down")
        return self._listing.emptied().addCallback(lambda _: self._queue.flush())

    @property
    def storage_error(self) -> str | None:
        """Why storage does not take this stream's files; None when it does."""
        return self._queue.error

    @property
    def bytes_waiting(self) -> int:
        """Bytes of this stream that are not stored yet."""
        return self._queue.bytes_waiting

    @property
    def dvr_seconds(self) -> float:
        """How much of the past can be watched."""
        return self._dvr.seconds

    @property
    def dvr_bytes(self) -> int:
        """What that takes in storage."""
        return self._dvr.bytes

    @property
    def held(self) -> int:
        """Requests that wait for the first segments, or for parts."""
        return len(self._held) + len(self._edge)

    @property
    def has_ended(self) -> bool:
        """Whether nothing follows."""
        return self._edge.has_ended

    @property
    def kept_bytes(self) -> int:
        """Bytes of the segments and parts in memory, tracks that are away included."""
        return sum(window.size for window in self._all_windows.values())

    @property
    def trimmed_bytes(self) -> int:
        """Bytes of the segments that left the windows early and are in storage for a while yet."""
        return self._files.trimmed_bytes

    # The viewers' side (IHTTPOutput).

    def representation(
        self, path: tuple[str, ...], query: Mapping[str, Sequence[str]] = NO_QUERY
    ) -> Representation | Deferred[Representation]:
        """Find a file; wait for the first playlist of a stream that is about to be live."""
        found = self._files.shown.get(path)
        if found is not None:
            return self._as_wished(found, path, query)
        if path == (self._life, MANIFEST) or (path == (MANIFEST,) and not self._obstacle):
            manifest = self._dash.manifest(query)
            if manifest is not None:
                return manifest
        if path in ((INIT_ALIAS,), (MULTIVARIANT,), (MANIFEST,), (self._life, MANIFEST)):
            if self._edge.has_ended:
                raise NotFound("the stream has ended")
            return self._hold(path, query)
        at_edge = self._at_edge(path)
        if at_edge is not None:
            return at_edge
        if is_transport_path(path):
            return self._transport.representation(path)
        if len(path) == 2 and path[0] == self._life and path[1].endswith(I_FRAMES):
            for window in self._all_windows.values():
                if window.i_frame_uri == path[1] and window.segmenter.track.kind == "video":
                    return self._playlists.i_frames(window)
        if not is_media_path(path):
            raise NotFound("no such file in this stream")
        past = self._past(path, query)
        if past is not None:
            return past
        if len(path) == 2 and path[0] == self._life and not self._edge.has_ended:
            uris = [window.playlist_uri for window in self._all_windows.values()]
            if uris and path[1] not in uris:
                raise NotFound("the stream has no such track")
            # Never from storage: what a former process wrote there may be behind what it served.
            return self._hold(path, query)
        return self._files.fetch(path)

    def key_frame(self, sequence: int, sample: Sample) -> Callable[[], Deferred[bytes]] | None:
        """Find the key frame that begins a segment. See `IKeyFrames.key_frame`."""
        window = self._windows.get(sample.track.track_id)
        segment = window.segment(sequence) if window is not None else None
        if segment is None or segment.is_gap:
            return None
        end = segment.i_frame_size
        start = end - len(sample.payload)
        if start < 0 or not segment.pieces[0].startswith(sample.payload, start):
            return None
        return partial(self._read_sample, self._files.path(segment.uri), start, end)

    def _read_sample(self, path: tuple[str, ...], start: int, end: int) -> Deferred[bytes]:
        """Read bytes [start, end) of a segment, which are in its first piece."""
        found = self._files.shown.get(path) or self._files.fetch(path)
        reading = succeed(found) if isinstance(found, Representation) else found
        return reading.addCallback(lambda file: file.pieces[0][start:end])

    def listed(self) -> Listed:
        """Return what the playlists of whole segments say now."""
        windows = list(self._windows.values())
        others = [window for window in self._all_windows.values() if window not in windows]
        target = self._segmentation.target_duration
        return Listed(windows, others, target, self._edge.has_ended)

    def _at_edge(self, path: tuple[str, ...]) -> Representation | Deferred[Representation] | None:
        """Find a part, or the segment under way; None when it is none of them."""
        if len(path) != 3 or path[0] != self._life:
            return None
        position = read_media_name(path[2])
        for window in self._all_windows.values():
            if position is not None and window.segmenter.name == path[1]:
                if position[1] >= 0:
                    return self._edge.part(window, position)
                with suppress(NotFound):
                    return self._edge.segment(window, position[0])
        return None

    def _as_wished(
        self, found: Representation, path: tuple[str, ...], query: Mapping[str, Sequence[str]]
    ) -> Representation | Deferred[Representation]:
        """Return the low-latency form of a playlist of whole segments, where that is wanted.

        Where segments are fetched elsewhere parts would not be: there it has to be asked for.
        """
        if path == (MULTIVARIANT,) and self._wants_past(query):
            return with_query(found, "?dvr=1")
        past = self._past(path, query)
        if past is not None:
            return past
        wish = query.get("ll", ())
        if path == (MULTIVARIANT,):
            found = self._playlists.multivariant or found
            return with_query(found, f"?ll={wish[0]}") if wish in (["0"], ["1"]) else found
        if len(path) != 2 or not self._edge.is_on or wish == ["0"] or not self._all_windows:
            return found
        if self._maker.urls is not None and wish != ["1"]:
            return found
        window = next(w for w in self._all_windows.values() if w.playlist_uri == path[1])
        return self._edge.playlist(window, query)

    def _wants_past(self, query: Mapping[str, Sequence[str]]) -> bool:
        return bool(self._maker.settings.dvr_window) and query.get("dvr") == ["1"]

    def _past(
        self, path: tuple[str, ...], query: Mapping[str, Sequence[str]]
    ) -> Representation | None:
        """Return the DVR form of a media playlist, where that is wanted and there is one."""
        if len(path) != 2 or path[0] != self._life or not self._wants_past(query):
            return None
        try:
            skip = read_directives(query).skip
        except DirectiveError as error:
            raise InvalidRequest(str(error)) from None
        return self._dvr.playlist(path[1].removesuffix(".m3u8"), skip=skip)

    def _hold(
        self, path: tuple[str, ...], query: Mapping[str, Sequence[str]]
    ) -> Deferred[Representation]:
        """Wait for a file that is made with the first segments."""
        find = partial(self._find, path, query)
        find()  # where that fails, it would be waited for in vain
        settings = self._maker.settings
        return self._held.hold(find, settings.first_hold, settings.max_held)

    def _find(
        self, path: tuple[str, ...], query: Mapping[str, Sequence[str]]
    ) -> Representation | Deferred[Representation] | None:
        if self._obstacle:
            raise NotPackaged(self._obstacle)
        if path[-1] == MANIFEST:
            return self._dash.manifest(query)
        found = self._files.shown.get(path)
        return None if found is None else self._as_wished(found, path, query)

    # Inside.

    def _give_up(self, tracks: Sequence[Track]) -> None:
        """Nothing will come of these tracks: tell those who wait for it."""
        codecs = ", ".join(dict.fromkeys(track.codec.upper() for track in tracks))
        self._obstacle = (
            f"not to be seen by HLS, which cannot carry {codecs}: play it by RTMP or FLV"
        )
        self._playlists.hide_multivariant()
        self._held.release()

    def _commit(self, completed: Sequence[Done]) -> None:
        """Show what is complete at the live edge, store segments, and list them."""
        entries: list[Unlisted] = []
        changed: dict[RenditionWindow, None] = {}
        for track, done in completed:
            window = self._windows[track.track_id]
            changed[window] = None
            if isinstance(done, Part):
                if window.add(done):
                    self._dash.added(window, done)
                continue
            for leaving in self.window.append(window, done):
                self._retire(leaving, window)
            self._dash.added(window, done)
            entry = Unlisted(window, done)
            entries.append(entry)
            if not done.is_gap:
                self._maker.counters.add(done)
                path = self._files.path(done.uri)
                stored = self._listing.when_stored(entry, self._files.in_storage(path))
                self._files.store_segment(done.uri, done.pieces, stored)
        for window in changed:
            self._edge.changed(window)
        if entries:
            self.last_segment_at = self._clock.seconds()
            target = self._segmentation.target_duration
            assert target is not None
            self._listing.add(entries, target)

    def _list(self, ready: Sequence[tuple[RenditionWindow, Segment]]) -> None:
        """Make segments seen in the playlists of whole segments."""
        for window, segment in ready:
            window.mark_listed(segment)
            self._dvr.list(window, segment, self._maker.settings.dvr_window)
        self._render(dict.fromkeys(window for window, _ in ready))
        self._files.delete_due()
        self._forget_date_ranges()
        if all(window.listed for window in self._windows.values()):
            self._held.release()
        ends = max(segment.wall + segment.seconds for _, segment in ready)
        # dates are a few ms off the clock: no segment is listed before its end
        self.segment_lag = max(0.0, self._clock.seconds() - ends)
        if self._maker.events.is_heard:
            for window, segment in ready:
                if not segment.is_gap:
                    self._tell(window, segment)

    def _tell(self, window: RenditionWindow, segment: Segment) -> None:
        """Tell the listeners of a segment that is listed now."""
        details: dict[str, object] = {
            "track": window.segmenter.name,
            "sequence": segment.sequence,
            "path": f"/live/{self._key}/{self._life}/{segment.uri}",
            "duration": round(segment.seconds, 6),
            "bytes": segment.size,
            "programDateTime": program_date_time(segment.wall),
            "discontinuity": segment.is_discontinuity,
            "independent": segment.is_independent,
        }
        if segment.url:
            details["url"] = segment.url
        self._maker.events.emit("segment", self._key, **details)

    def _render(self, changed: Collection[RenditionWindow]) -> None:
        """Render the playlists of changed windows, and the multivariant one if it changed."""
        self._playlists.render(changed, list(self._windows.values()))

    def _window_seconds(self) -> float:
        """How long the longest playlist plays."""
        return max((window.seconds for window in self._all_windows.values()), default=0.0)

    def _trimmed(
        self, left: Sequence[tuple[RenditionWindow, Segment]], playlist_seconds: float
    ) -> None:
        """Segments left the windows before their time, which lasted for so long until now."""
        now = self._clock.seconds()
        if self._long_until <= now:
            self._long_seconds = 0.0
        self._long_seconds = max(self._long_seconds, playlist_seconds)
        self._long_until = now + self._long_seconds
        for window, segment in left:
            self._retire(segment, window, is_early=True)
        self._dash.shortened()
        changed = list(dict.fromkeys(window for window, _ in left))
        self._render(changed)
        for window in changed:
            self._edge.changed(window)

    def _retire(self, segment: Segment, window: RenditionWindow, *, is_early: bool = False) -> None:
        """A segment left the window."""
        uris = [segment.uri]
        used = {s.map_uri for s in window.segments} | {window.segmenter.init_uri}
        if segment.map_uri not in used:
            uris.append(segment.map_uri)
        playlist = self._window_seconds()
        if self._clock.seconds() < self._long_until:
            playlist = max(playlist, self._long_seconds)
        self._files.retire(uris, segment.seconds + playlist, is_early=is_early)

    def _retire_past(self, seconds: float, uris: Collection[str]) -> None:
        """Files left the DVR playlist: those who loaded it a moment ago may still ask for them.

        Not for as long as that playlist is: it would double what is stored.
        """
        self._files.retire_past(uris, seconds + self._window_seconds() + AFTER_END)

    def release_played(self) -> None:
        """Leave an ended life to storage, if its viewers have seen the end and all is stored."""
        is_played = self._clock.seconds() >= self._played_at
        if is_played and self._all_windows and self._files.is_stored:
            self._release_memory()

    def _release_memory(self) -> None:
        """Leave the media of an ended life to storage."""
        self._files.release_media()
        self._close_windows()
        self._playlists.name_stored()

    def _close_windows(self) -> None:
        self._edge.close("the stream has ended")
        for window in self._all_windows.values():
            window.clear()  # the live edge still knows it
        self._windows.clear()
        self._all_windows.clear()
        self._segmenter = None

    def _forget_date_ranges(self) -> None:
        """Forget those that no playlist has, and no delta update needs to name."""
        starts = [window.listed[0].wall for window in self._windows.values() if window.listed]
        if starts:
            start = min(starts)
            seconds = max(self._window_seconds(), self._dvr.seconds) + AFTER_END
            self._date_ranges.forget(start, start - seconds)

    def _remove(self) -> None:
        """Forget an ended life."""
        self._files.clear()
        self._close_windows()
        self._dash.close()
        self._playlists.clear()
        self._dvr.clear()
        self._maker.outputs.discard(self)
        attempt(self._remove_life(), self._key)

    async def _remove_life(self) -> None:
        await self._queue.flush()
        await remove_life(self._storage, self._key, self._life)
