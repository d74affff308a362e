"""What stands below a stream's address when nothing is packaged."""

from collections.abc import Mapping, Sequence

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from rapidrtmp.interfaces import NO_QUERY, IHTTPOutput, IOutputMaker, NotPackaged, Representation
from rapidrtmp.media.segmentation import Boundary
from rapidrtmp.media.timed import TimedMetadata
from rapidrtmp.media.track import Sample, Track

SWITCHED_OFF = "packaging is switched off on this server (HLS_ENABLED=false): play by RTMP or FLV"


@implementer(IHTTPOutput)
class Unpackaged:
    """Tells viewers why there is nothing to fetch; takes no notice of the media."""

    def tracks_changed(self, tracks: Sequence[Track]) -> None:
        """Nothing depends on them."""

    def segment_started(self, boundary: Boundary) -> None:
        """Nothing is cut."""

    def sample_received(self, sample: Sample) -> None:
        """Nothing is kept."""

    def metadata_received(self, metadata: TimedMetadata) -> None:
        """Nothing is kept."""

    def discontinuity(self) -> None:
        """Nothing is open."""

    def ended(self) -> None:
        """Nothing is to be removed."""

    def close(self) -> Deferred[None]:
        """Nothing is waited for."""
        return succeed(None)

    def representation(
        self, path: tuple[str, ...], query: Mapping[str, Sequence[str]] = NO_QUERY
    ) -> Representation:
        """Refuse every file.

        Raises:
            NotPackaged: always.
        """
        raise NotPackaged(SWITCHED_OFF)


@implementer(IOutputMaker)
class UnpackagedMaker:
    """Makes it for each stream."""

    def make(self, stream: object) -> Unpackaged:
        """Make it for a new stream."""
        return Unpackaged()
