"""A life's playlists: those of whole segments and of I-frames, and the one that names them."""

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from rapidrtmp.hls.date_range import DateRanges
from rapidrtmp.hls.images import image_stream_inf
from rapidrtmp.hls.multivariant import multivariant_playlist
from rapidrtmp.hls.playlist import i_frame_playlist, media_playlist
from rapidrtmp.hls.window import RenditionWindow
from rapidrtmp.interfaces import NotReady, Representation
from rapidrtmp.media.captions import captions_in
from rapidrtmp.media.segmentation import Segmentation
from rapidrtmp.outputs.files import alias_of, playlist_file, without_i_frames
from rapidrtmp.outputs.life_files import LifeFiles
from rapidrtmp.outputs.pictures import IMAGE_PLAYLIST, picture_size
from rapidrtmp.outputs.retention import MULTIVARIANT
from rapidrtmp.outputs.thumbnail_wire import max_bytes

if TYPE_CHECKING:
    from rapidrtmp.outputs.hls_maker import HLSSettings

INIT_ALIAS = "init.mp4"


def base_of(life: str) -> str:
    """Return what URIs begin with: playlists are the same bytes below any `<life>.<whatever>/`."""
    return f"../{life}/"


class Playlists:
    """Renders what is told of a life's windows, and puts it where it is found."""

    def __init__(
        self,
        life: str,
        segmentation: Segmentation,
        files: LifeFiles,
        date_ranges: DateRanges,
        settings: "Callable[[], HLSSettings]",
    ) -> None:
        """Render into these files.

        Args:
            life: names the life in URLs.
            segmentation: tells the target duration.
            files: take what is rendered.
            date_ranges: what the playlists say of times.
            settings: returns those in force, which may change.
        """
        self._life = life
        self._base = base_of(life)
        self._segmentation = segmentation
        self._files = files
        self._date_ranges = date_ranges
        self._settings = settings
        self._said: object = None  # what the multivariant playlist was made of
        self._i_frames: dict[RenditionWindow, Representation] = {}
        self.has_ended = False
        """Whether nothing follows."""
        self.multivariant: Representation | None = None
        """The multivariant playlist, where it is another than in storage."""

    def render(
        self, changed: Collection[RenditionWindow], flowing: Sequence[RenditionWindow]
    ) -> None:
        """Render the playlists of changed windows, and the multivariant one if it changed.

        Args:
            changed: those whose listed segments are others now.
            flowing: those of the tracks that flow, which the multivariant playlist names.
        """
        target = self._segmentation.target_duration
        assert target is not None
        for window in changed:
            self._i_frames.pop(window, None)
            segments = window.listed
            if segments:
                body = media_playlist(
                    segments,
                    window.texts,
                    target_duration=target,
                    ended=self.has_ended,
                    # Video may be cut softly; no promise is made for it.
                    independent_segments=window.segmenter.track.kind == "audio",
                    date_ranges=self._date_ranges.lines(segments),
                )
                uris = {segment.uri for segment in segments if not segment.is_gap}
                uris |= {segment.map_uri for segment in segments}
                path = (self._life, window.playlist_uri)
                self._files.store(path, playlist_file(body), self._files.named(uris))
        if flowing and all(window.listed for window in flowing):
            self._render_multivariant(flowing)

    def _render_multivariant(self, windows: Sequence[RenditionWindow]) -> None:
        """Render what names the renditions that flow, if anything of it changed."""
        settings = self._settings()
        renditions = [window.rendition(self._life) for window in windows]
        captions = captions_in(window.segmenter.captions for window in windows)
        init_uri = windows[0].segmenter.init_uri
        said = (renditions, captions, init_uri, settings)
        if self._said == said:
            return
        self._said = said
        playlist = playlist_file(
            multivariant_playlist(
                [rendition for rendition in renditions if rendition.track.kind == "video"],
                [rendition for rendition in renditions if rendition.track.kind == "audio"],
                captions,
            )
        )
        self.multivariant = self._with_images(playlist, windows)
        if settings.stores_multivariant:
            names = self._files.named(window.playlist_uri for window in windows)
            # I-frame playlists are not stored.
            plain = without_i_frames(playlist)
            self._files.store((MULTIVARIANT,), playlist, names, stored_as=plain)
        else:
            self._files.shown[(MULTIVARIANT,)] = playlist
        init = self._files.shown[self._files.path(init_uri)]
        self._files.shown[(INIT_ALIAS,)] = alias_of(init)

    def _with_images(
        self, playlist: Representation, windows: Sequence[RenditionWindow]
    ) -> Representation | None:
        """Name the image rendition, too, which is not in storage; None where there is none."""
        width = self._settings().image_width
        track = next(
            (w.segmenter.track for w in windows if w.segmenter.track.kind == "video"), None
        )
        if not width or track is None:
            return None
        size = picture_size(track, width)
        # one of them in a second at most: segments are rarely shorter
        bandwidth = 8 * max_bytes(size)
        line = image_stream_inf(f"{self._life}/{IMAGE_PLAYLIST}", size, bandwidth)
        return playlist_file(playlist.body + line.encode("ascii") + b"\n")

    def i_frames(self, window: RenditionWindow) -> Representation:
        """Return a rendition's I-frame playlist; few players ask for one.

        Raises:
            NotReady: nothing of it is listed yet.
        """
        found = self._i_frames.get(window)
        if found is None:
            target = self._segmentation.target_duration
            if target is None or not window.listed:
                raise NotReady("there is no I-frame yet")
            body = i_frame_playlist(
                window.listed,
                base=self._base,
                target_duration=target,
                ended=self.has_ended,
            )
            found = self._i_frames[window] = playlist_file(body)
        return found

    def hide_multivariant(self) -> None:
        """Show no multivariant playlist until it is rendered again."""
        self._said = None
        self._files.shown.pop((MULTIVARIANT,), None)
        self._files.shown.pop((INIT_ALIAS,), None)

    def name_stored(self) -> None:
        """Name no more than storage has: no I-frame playlists and no pictures."""
        self.multivariant = None
        shown = self._files.shown.get((MULTIVARIANT,))
        if shown is not None:
            self._files.shown[(MULTIVARIANT,)] = without_i_frames(shown)

    def clear(self) -> None:
        """Forget what is not among the files."""
        self._i_frames.clear()
