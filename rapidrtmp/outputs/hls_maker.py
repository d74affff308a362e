"""Makes the HLS output of each stream, and has what all of them have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from rapidrtmp.interfaces import IMediaURLs, IMemoryHolder, IOutputMaker, IStorage
from rapidrtmp.outputs.counters import HLSCounters
from rapidrtmp.outputs.hls import HLSOutput
from rapidrtmp.outputs.made import MadeFiles
from rapidrtmp.outputs.media_window import MediaWindow
from rapidrtmp.outputs.read_cache import ReadCache
from rapidrtmp.outputs.uploads import Uploads
from rapidrtmp.stream.events import Events
from rapidrtmp.stream.stream import Stream


@dataclass(frozen=True, slots=True)
class HLSSettings:
    """What all HLS outputs have in common."""

    max_segments: int = 10
    """Segments that a media playlist lists."""
    first_hold: float = 8.0
    """Seconds that a request waits for the first segment: hls.js gives up after 10."""
    max_held: int = 1000
    """Requests of one stream that wait at once for its start."""
    max_blocked: int = 5000
    """Requests of one stream that wait at once for parts: each viewer has up to four."""
    dvr_window: float = 0.0
    """Seconds of the past that can be watched; 0 for no more than the playlist lists."""
    stores_multivariant: bool = True
    """Whether storage gets the multivariant playlist, which tells the life at a known address."""
    image_width: int = 0
    """Pixels of the thumbnails that the multivariant playlist names; 0 for none."""


@implementer(IOutputMaker, IMemoryHolder)
class HLSMaker:
    """Makes the HLS output of each stream."""

    def __init__(
        self,
        storage: IStorage,
        clock: IReactorTime,
        settings: HLSSettings,
        uploads: Uploads,
        events: Events,
        urls: IMediaURLs | None = None,
    ) -> None:
        """Make a maker.

        Args:
            storage: gets every file.
            clock: tells the time.
            settings: what all outputs have in common.
            uploads: of that storage.
            events: learns of each segment that is listed.
            urls: where viewers fetch media segments; None for this server.
        """
        self.storage = storage
        self.clock = clock
        self.settings = settings
        """May be replaced at any time: the next segment and the next request follow."""
        self.uploads = uploads
        self.events = events
        self.urls = urls
        self.counters = HLSCounters()
        self.transport_files = MadeFiles(clock)
        """MPEG-TS segments of all streams."""
        self.reads = ReadCache(storage)
        self.outputs: set[HLSOutput] = set()
        """Those of lives that can be watched."""

    def make(self, stream: object) -> HLSOutput:
        """Make the output of a new stream."""
        assert isinstance(stream, Stream)
        output = HLSOutput(stream.key, stream.life, stream.segmentation, self)
        self.outputs.add(output)
        return output

    @property
    def windows(self) -> Sequence[MediaWindow]:
        """Those that slide."""
        return [output.window for output in self.outputs if not output.has_ended]

    @property
    def trimmed_bytes(self) -> int:
        """Bytes of segments that left windows early and are in storage for a while yet."""
        return sum(output.trimmed_bytes for output in self.outputs)

    def release_played(self) -> None:
        """Leave ended lives to storage, as soon as their viewers have seen the end."""
        for output in self.outputs:
            output.release_played()

    def memory(self) -> Mapping[str, int]:
        """Tell how many bytes are kept in memory. See `IMemoryHolder`."""
        return {
            "window": sum(output.kept_bytes for output in self.outputs),
            "upload": self.uploads.bytes_held,
            "past": self.reads.bytes,
            "transport": self.transport_files.size,
        }
