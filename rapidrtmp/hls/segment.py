"""Segments and renditions: what HLS playlists are made of (RFC 8216 section 3)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rapidrtmp.media.track import Track


@dataclass(slots=True, eq=False)
class Part:
    """One Partial Segment (RFC 8216bis section 4.4.4.9): a CMAF chunk of its segment.

    Not frozen, as `Sample` is not; nobody changes it.
    """

    sequence: int
    """Media Sequence Number of the segment that it belongs to."""
    index: int
    """Counts the parts of the segment from 0."""
    uri: str
    """Relative to the stream's life."""
    map_uri: str
    """The segment's."""
    duration: int
    """Up to the start of the next one, in ticks of `timescale`."""
    timescale: int
    wall: float
    """Unix time of the segment's start."""
    is_discontinuity: bool
    """The segment's."""
    is_independent: bool
    """Starts with a sync sample."""
    body: bytes = field(repr=False)
    earliest_presentation_time: int = 0
    """The segment's, in ticks of `timescale`."""

    @property
    def seconds(self) -> float:
        """The duration in seconds."""
        return self.duration / self.timescale


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """One Media Segment of one rendition."""

    sequence: int
    """Media Sequence Number."""
    uri: str
    """Relative to the stream's life."""
    map_uri: str
    """The Media Initialization Section, relative to the stream's life."""
    start: int
    """Decoding time at which it starts, in ticks of `timescale`: that of its first sample or,
    where the track had no sample at the cut, of the cut."""
    duration: int
    """Up to the start of the next one in its playlist, in ticks of `timescale`."""
    timescale: int
    wall: float
    """Unix time of its start: PROGRAM-DATE-TIME."""
    discontinuity: int
    """Discontinuities in the life of the stream before its first sample, this one's included."""
    is_discontinuity: bool
    is_independent: bool
    """Starts with a sync sample."""
    pieces: Sequence[bytes] = field(repr=False)
    """What makes up its bytes, in order: the bodies of its parts, or one where it has none. Empty
    for a gap: media that was lost (EXT-X-GAP)."""
    samples: int = 0
    """How many samples it holds."""
    parts: Sequence[Part] = ()
    """What it was published in, if that was before it was complete."""
    is_parted: bool = False
    """Whether its parts are listed with it: not where one had to be longer than PART-TARGET."""
    i_frame_size: int = 0
    """Bytes from its start to the end of its first sample, of video that starts with a sync
    sample: all that shows that picture. 0 for none."""
    url: str = ""
    """Where a playlist that lists it sends players instead of `uri`: a CDN, an object store.
    Empty for nowhere else."""
    earliest_presentation_time: int = 0
    """Of its first sample, in ticks of `timescale`: that may be after its start."""
    end_presentation_time: int = 0
    """Of what follows it, in ticks of `timescale`."""

    @property
    def is_gap(self) -> bool:
        """Nothing to fetch: the rendition had no media here."""
        return not self.pieces

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.pieces))

    @property
    def seconds(self) -> float:
        """The duration in seconds: EXTINF."""
        return self.duration / self.timescale


@dataclass(frozen=True, slots=True)
class Rendition:
    """One track as the multivariant playlist describes it."""

    track: Track
    uri: str
    """Of the media playlist, relative to the multivariant playlist."""
    bandwidth: int
    """Peak segment bit rate in bit/s."""
    average_bandwidth: int
    """bit/s."""
    frame_rate: float | None = None
    """Measured frames/s; video only."""
    i_frame_uri: str = ""
    """Of the I-frame playlist; empty for none."""
    i_frame_bandwidth: int = 0
    """Its peak in bit/s."""
    i_frame_average_bandwidth: int = 0
    """bit/s."""
