"""The right to write a stream: what a publisher holds while it is the one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from rapidrtmp.interfaces import AccessRequest, Grant, Refusal
from rapidrtmp.media.track import Sample, Track

if TYPE_CHECKING:
    from rapidrtmp.stream.stream import Stream


@dataclass(frozen=True, slots=True)
class Eviction:
    """Why a publication was ended by somebody else than its publisher."""

    refusal: Refusal
    """What a publisher that comes again would hear."""
    description: str
    """Plain words."""


class Publication:
    """One publisher's session with a stream. Only its holder can write."""

    def __init__(self, stream: "Stream", request: AccessRequest, grant: Grant) -> None:
        self.request = request
        self.grant = grant
        self.evicted: Deferred[Eviction] = Deferred()
        """Fires when somebody else ends the publication; never fails."""
        self.write: Callable[[Sample], None] = stream.write
        """Take one sample, in the publisher's own time. The hot path."""
        self.is_abusive = False
        """Set by its holder before `close` when the publisher broke the protocol."""
        self._stream: Stream | None = stream

    @property
    def is_open(self) -> bool:
        """Whether it can still be written."""
        return self._stream is not None

    def set_tracks(self, tracks: Sequence[Track]) -> None:
        """Tell the tracks whose configuration is known; their samples carry these objects."""
        if self._stream is not None:
            self._stream.set_tracks(tracks)

    def set_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Tell what onMetaData said."""
        if self._stream is not None:
            self._stream.metadata = dict(metadata)

    def count_dropped(self, frames: int) -> None:
        """Count frames that the publisher sent and nobody could use."""
        if self._stream is not None:
            self._stream.statistics.frames_dropped += frames

    def close(self, reason: str) -> None:
        """End the publication: the publisher left. Calls after the first do nothing.

        Args:
            reason: for the log.
        """
        stream, self._stream = self._stream, None
        self.write = _ignore
        if stream is not None:
            stream.publication_closed(reason)

    def evict(self, eviction: Eviction) -> None:
        """End the publication from the other side."""
        if self.is_open:
            self.close(eviction.description)
            self.evicted.callback(eviction)


def _ignore(sample: Sample) -> None:
    """Take the samples of a publication that is over."""
