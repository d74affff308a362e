"""The right to write a stream: what a publisher holds while it is the one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from rapidrtmp.interfaces import AccessRequest, Grant, Refusal
from rapidrtmp.media.timed import ScriptMessage
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
    abuse: str = ""
    """What the publisher did wrong, in one short stable word; empty when it did nothing."""


class Publication:
    """One publisher's session with a stream. Only its holder can write."""

    def __init__(
        self, stream: "Stream", request: AccessRequest, grant: Grant, since: float
    ) -> None:
        self.request = request
        self.since = since
        """Unix time at which it was granted."""
        self.grant = grant
        self.evicted: Deferred[Eviction] = Deferred()
        """Fires when somebody else ends the publication; never fails."""
        self.write: Callable[[Sample], None] = stream.write
        """Take one sample, in the publisher's own time. The hot path."""
        self.abuse = ""
        """Why its publisher is refused for a while, in plain words; empty when it is not. Set by
        its holder before `close`."""
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

    def write_script(self, ms: int, script: ScriptMessage) -> None:
        """Hand on a data message for the viewers.

        Args:
            ms: its time, the publisher's own, 64 bit.
            script: the message.
        """
        if self._stream is not None:
            self._stream.write_script(ms, script)

    def count_dropped(self, reason: str, frames: int) -> None:
        """Count frames that the publisher sent and nobody could use.

        Args:
            reason: one short stable word.
            frames: how many.
        """
        if self._stream is not None:
            self._stream.statistics.drop(reason, frames)

    def note_unsupported(self, names: Iterable[str]) -> None:
        """Tell of codecs that the publisher sends and nobody can use.

        Args:
            names: for people; few, whatever the publisher sends.
        """
        if self._stream is not None:
            self._stream.statistics.unsupported.update(names)

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
            if eviction.abuse:
                self.abuse = eviction.description
            self.close(eviction.description)
            self.evicted.callback(eviction)


def _ignore(sample: Sample) -> None:
    """Take the samples of a publication that is over."""
