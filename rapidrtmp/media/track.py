"""Tracks and samples: what flows through the server."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from rapidrtmp.media.codec import CodecConfig


@dataclass(frozen=True, slots=True)
class Track:
    """One elementary stream. A new configuration is a new Track with the same `track_id`."""

    track_id: int
    """1 is the first video track, 2 the first audio track; further ones are numbered on."""
    config: CodecConfig
    language: str = "und"
    label: str = ""
    kind: str = field(init=False)
    codec: str = field(init=False)
    timescale: int = field(init=False)
    nominal_duration: int = field(init=False)
    """Ticks that a sample is taken to last where no other tells."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", self.config.kind)
        object.__setattr__(self, "codec", self.config.codec)
        object.__setattr__(self, "timescale", self.config.timescale)
        # Audio frames that differ in length (Opus) mostly last 20 ms.
        nominal = getattr(self.config, "samples_per_frame", self.config.timescale // 30)
        nominal = nominal or self.config.timescale // 50
        object.__setattr__(self, "nominal_duration", nominal)


VIDEO_TRACK_ID = 1
AUDIO_TRACK_ID = 2


def start_track(tracks: Iterable[Track]) -> Track:
    """Return the track at whose random access points one can start: video, if there is any."""
    return min(tracks, key=lambda track: (track.kind != "video", track.track_id))


@dataclass(slots=True, eq=False, init=False)
class Sample:
    """One coded frame, in ISO BMFF sample form (length-prefixed NAL units, raw AAC).

    Not frozen: frozen dataclasses cost three times as much to make.
    """

    track: Track
    dts: int
    """Decoding time in ticks of `track.timescale`, 64 bit, never wrapping."""
    composition_offset: int
    """Presentation time minus decoding time in ticks, signed."""
    is_sync: bool
    """A decoder can start here and lose nothing (IDR; every audio frame)."""
    is_random_access: bool
    """A decoder can start here, perhaps with a recovery period. True whenever `is_sync` is."""
    payload: bytes | memoryview

    # What the decorator would write, but where it can be compiled (setup.py).
    def __init__(
        self,
        track: Track,
        dts: int,
        composition_offset: int,
        is_sync: bool,
        is_random_access: bool,
        payload: bytes | memoryview,
    ) -> None:
        self.track = track
        self.dts = dts
        self.composition_offset = composition_offset
        self.is_sync = is_sync
        self.is_random_access = is_random_access
        self.payload = payload
