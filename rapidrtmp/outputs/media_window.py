"""How many segments a stream's playlists list: fewer than usual where memory is short."""

from collections.abc import Callable, Collection, Sequence

from zope.interface import implementer

from rapidrtmp.hls.segment import Segment
from rapidrtmp.hls.window import RenditionWindow
from rapidrtmp.interfaces import IMediaWindow
from rapidrtmp.media.segmentation import Segmentation


@implementer(IMediaWindow)
class MediaWindow:
    """The windows of a stream's renditions as one, which memory is asked of."""

    def __init__(
        self,
        segmentation: Segmentation,
        usual: Callable[[], int],
        waits: Callable[[str], bool],
        trimmed: Callable[[Sequence[tuple[RenditionWindow, Segment]], float], None],
    ) -> None:
        """Make one without renditions.

        Args:
            segmentation: tells the target duration.
            usual: tells how many segments a playlist lists where memory is not short.
            waits: tells of a segment, by its URI, whether it is not stored, or not yet.
            trimmed: called with the segments that have left before their time, and with the
                seconds that the longest playlist lasted.
        """
        self._segmentation = segmentation
        self._usual = usual
        self._waits = waits
        self._trimmed = trimmed
        self._limit: int | None = None
        self.windows: Collection[RenditionWindow] = ()
        """The renditions that flow. The owner sets them."""

    @property
    def most(self) -> int:
        """Segments that a media playlist lists, if those last long enough."""
        usual = self._usual()
        return usual if self._limit is None else min(usual, self._limit)

    def append(self, window: RenditionWindow, segment: Segment) -> list[Segment]:
        """Add a segment to a rendition; return those that leave it."""
        leaving = window.append(segment, self._usual())
        if self._limit is not None:
            leaving += window.shorten(self.most, self._shortest)
        return leaving

    @property
    def _shortest(self) -> float:
        """Seconds that a playlist lasts at least (RFC 8216 section 6.2.2)."""
        return 3.0 * (self._segmentation.target_duration or 0)

    # What is asked of it (IMediaWindow).

    @property
    def kept_bytes(self) -> int:
        """Bytes of all segments and parts."""
        return sum(window.size for window in self.windows)

    @property
    def is_trimmed(self) -> bool:
        """Whether there are fewer segments than usual."""
        return self._limit is not None

    @property
    def segment_bytes(self) -> int:
        """Bytes that one more segment would take, that of all renditions."""
        return sum(window.size // max(1, len(window.segments)) for window in self.windows)

    @property
    def promised(self) -> int:
        """Bytes that are to come until there are as many segments as there may be."""
        have = max((len(window.segments) for window in self.windows), default=0)
        return max(0, self.most - have) * self.segment_bytes

    def dispensable(self) -> Sequence[int]:
        """Return the bytes of each segment that may leave before its time, the oldest first.

        One that waits for storage may not: it would be kept all the same. Nor may one that storage
        has given up: there would be no other copy for those who were promised it. The newest stays.
        """
        sizes: list[int] = []
        left = {window: window.listed_seconds for window in self.windows if window.segments}
        if not left:
            return sizes
        newest = max(window.segments[-1].sequence for window in left)
        for sequence in range(self._first, newest):
            size = 0
            for window in left:
                segment = window.segment(sequence)
                if segment is not None:
                    left[window] -= segment.seconds
                    if left[window] < self._shortest or self._waits(segment.uri):
                        return sizes
                    size += segment.size
            sizes.append(size)
        return sizes

    @property
    def _first(self) -> int:
        """Sequence number of the oldest segment."""
        return min(window.segments[0].sequence for window in self.windows if window.segments)

    def trim(self, count: int) -> None:
        """Let go of the oldest segments, and list no more than are left then."""
        windows = [window for window in self.windows if window.segments]
        self._limit = max(len(window.segments) for window in windows) - count
        longest = max(window.seconds for window in windows)
        first = self._first + count
        left = [
            (window, segment)
            for window in windows
            for segment in window.shorten(
                len(window.segments) - max(0, first - window.segments[0].sequence), self._shortest
            )
        ]
        self._trimmed(left, longest)

    def grow(self) -> None:
        """List one segment more."""
        assert self._limit is not None
        self._limit += 1
        if self._limit >= self._usual():
            self._limit = None
