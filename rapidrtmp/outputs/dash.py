"""DASH: the manifest over the segments and parts that HLS has."""

from collections.abc import Callable, Collection, Mapping, Sequence

from twisted.internet.interfaces import IReactorTime

from rapidrtmp.dash.manifest import manifest
from rapidrtmp.dash.presentation import Presentation
from rapidrtmp.hls.segment import Part, Segment
from rapidrtmp.hls.window import RenditionWindow
from rapidrtmp.interfaces import Representation
from rapidrtmp.media.segmentation import Boundary, Segmentation
from rapidrtmp.outputs.files import manifest_file

MANIFEST = "manifest.mpd"
CLOCK_URI = "../../time"
"""Where the server tells the time, as seen from below a life."""


class DASHView:
    """What a DASH player is told of an HLS output.

    A manifest is rendered when it is first asked for after a change, and once.
    """

    def __init__(
        self,
        life: str,
        segmentation: Segmentation,
        clock: IReactorTime,
        max_segments: Callable[[], int],
    ) -> None:
        """Make one without media.

        Args:
            life: of the stream.
            segmentation: tells target duration and part target.
            clock: tells when something changed.
            max_segments: tells how many segments are listed at most.
        """
        self._life = life
        self._segmentation = segmentation
        self._clock = clock
        self._max_segments = max_segments
        self._presentation = Presentation()
        self._rendered: dict[bool, Representation | None] = {}
        self._published = 0.0
        self._has_ended = False
        self.windows: Collection[RenditionWindow] = ()
        """Of the tracks that flow, the leading one's first. The owner sets them."""

    def segment_started(self, boundary: Boundary) -> None:
        """Learn of a cut, before what it completes."""
        if self.windows:
            self._presentation.segment_started(boundary, self.windows)

    def added(self, window: RenditionWindow, done: Part | Segment) -> None:
        """Learn what a window has got."""
        if isinstance(done, Segment):
            self._presentation.completed(window, done)
            self._forget()
        elif done.index:  # the manifest tells of a segment, not how far it is
            return
        self._changed()

    def shortened(self) -> None:
        """Learn that the oldest segments have left the windows."""
        self._forget()
        self._changed()

    def _forget(self) -> None:
        oldest = [window.segments[0].sequence for window in self.windows if window.segments]
        self._presentation.forget(min(oldest))

    def ended(self) -> None:
        """Learn that nothing follows."""
        self._has_ended = True
        self._changed()

    def close(self) -> None:
        """Forget everything."""
        self.windows = ()
        self._presentation = Presentation()
        self._rendered.clear()

    def _changed(self) -> None:
        self._rendered.clear()
        self._published = self._clock.seconds()

    def manifest(self, query: Mapping[str, Sequence[str]]) -> Representation | None:
        """Return the manifest; None while there is nothing to tell.

        Args:
            query: ``ll=0`` asks for whole segments only.
        """
        has_parts = bool(self._segmentation.part_target) and query.get("ll") != ["0"]
        if has_parts not in self._rendered:
            self._rendered[has_parts] = self._render(has_parts)
        return self._rendered[has_parts]

    def _render(self, has_parts: bool) -> Representation | None:
        target = self._segmentation.target_duration
        if target is None:
            return None
        periods = self._presentation.periods(with_open=has_parts, target_duration=target)
        if not periods:
            return None
        part_target = self._segmentation.part_target or 0.0
        return manifest_file(
            manifest(
                periods,
                base=f"../{self._life}/",
                location=MANIFEST if has_parts or not part_target else f"{MANIFEST}?ll=0",
                clock=CLOCK_URI,
                published=self._published,
                target_duration=target,
                depth=self._depth(),
                part_target=part_target if has_parts else 0.0,
                ended=self._has_ended,
            )
        )

    def _depth(self) -> float:
        """Return the seconds that a full window lasts."""
        lengths = [segment.seconds for window in self.windows for segment in window.segments]
        return self._max_segments() * sum(lengths) / max(1, len(lengths))
