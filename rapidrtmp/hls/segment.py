"""Segments and renditions: what HLS playlists are made of (RFC 8216 section 3)."""

from dataclasses import dataclass, field

from rapidrtmp.media.track import Track


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """One Media Segment of one rendition."""

    sequence: int
    """Media Sequence Number."""
    uri: str
    """Relative to the media playlist."""
    map_uri: str
    """The Media Initialization Section, relative to the media playlist."""
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
    body: bytes = field(repr=False)
    """Empty for a gap: media that was lost (EXT-X-GAP)."""
    samples: int = 0
    """How many samples it holds."""

    @property
    def is_gap(self) -> bool:
        """Nothing to fetch: the rendition had no media here."""
        return not self.body

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
