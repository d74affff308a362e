"""Segments that are sent while they are still being made, part by part."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from twisted.internet.interfaces import IReactorTime

from rapidrtmp.hls.window import RenditionWindow
from rapidrtmp.interfaces import Growth, Representation
from rapidrtmp.outputs.blocked import AT_ONCE
from rapidrtmp.outputs.files import growing_file


@dataclass(slots=True, eq=False)
class _Open:
    """A segment under way."""

    sequence: int
    parts: int
    """How many of them are in it."""
    file: Representation
    growth: Growth = field(default_factory=Growth)


class GrowingSegments:
    """The segments under way that somebody reads, one a rendition."""

    def __init__(self, life: str, clock: IReactorTime) -> None:
        """Make it.

        Args:
            life: of the stream.
            clock: gives others their turn between many readers.
        """
        self._life = life
        self._clock = clock
        self._open: dict[RenditionWindow, _Open] = {}

    def segment(self, window: RenditionWindow) -> Representation:
        """Return the segment under way, of which there is a part."""
        known = self._open.get(window)
        if known is None:
            parts = window.parts
            pieces = tuple(part.body for part in parts)
            path = (self._life, window.segmenter.name, f"{parts[0].sequence}.m4s")
            growth = Growth()
            file = growing_file(path, pieces, growth)
            known = _Open(parts[0].sequence, len(parts), file, growth)
            self._open[window] = known
        return known.file

    def changed(self, window: RenditionWindow) -> None:
        """Hand on what a rendition has got."""
        known = self._open.get(window)
        if known is None:
            return
        growth = known.growth
        if window.parts and window.parts[0].sequence == known.sequence:
            growth.pieces += [part.body for part in window.parts[known.parts :]]
            known.parts = len(window.parts)
        else:
            del self._open[window]
            for segment in reversed(window.segments):
                if segment.sequence == known.sequence:
                    growth.pieces += segment.pieces[known.parts :]
                    growth.is_complete = True
            growth.is_broken = not growth.is_complete
        self._tell(growth, list(growth.readers))

    def close(self) -> None:
        """Break off what will not be completed."""
        for known in self._open.values():
            known.growth.is_broken = True
            self._tell(known.growth, list(known.growth.readers))
        self._open.clear()

    def _tell(self, growth: Growth, readers: Sequence[Callable[[], None]]) -> None:
        for reader in readers[:AT_ONCE]:
            if reader in growth.readers:
                reader()
        if len(readers) > AT_ONCE:
            self._clock.callLater(0, self._tell, growth, readers[AT_ONCE:])
