"""What the rest of the server may ask of a codec's configuration.

`codecs/` makes the objects, `flv/`, `isobmff/`, `hls/` and `mpegts/` use them
through these interfaces alone, so that a new codec is one new module.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from zope.interface import Attribute, Interface


class ConfigError(ValueError):
    """A configuration record is broken, or of a form that is not supported."""


class CodecConfig(Interface):
    """The decoder configuration of one track. Immutable; equal iff the record is equal."""

    codec: str = Attribute("name in API and logs: 'h264', 'aac'")
    kind: str = Attribute("'video' or 'audio'")
    record: bytes = Attribute("the configuration record as it was received")
    timescale: int = Attribute("ticks/s that the codec's samples are counted in")

    def rfc6381() -> str:
        """Return the CODECS string (RFC 6381), for example ``avc1.64001f``."""

    def sample_entry() -> bytes:
        """Return the whole sample entry box for ``stsd`` (ISO/IEC 14496-12 8.5.2)."""


class VideoConfig(CodecConfig):
    """The configuration of a video track."""

    width: int = Attribute("picture width in pixels, after cropping")
    height: int = Attribute("picture height in pixels, after cropping")
    frame_rate: float | None = Attribute("frames/s when the codec states it: a hint only")
    is_complete: bool = Attribute(
        "False while parameter sets are missing: they may still come in an access unit, and"
        " until then there is no size, no codec string and no sample entry"
    )

    def access_unit(body: bytes | memoryview, key_flag: bool) -> "AccessUnit":
        """Look through one coded frame as it was received.

        Never raises because of what the frame holds.

        Args:
            body: the frame, in the form that `record` describes.
            key_flag: the container says that it is a key frame.
        """


class AudioConfig(CodecConfig):
    """The configuration of an audio track."""

    sample_rate: int = Attribute("output sample rate in Hz")
    channels: int = Attribute("number of output channels")
    samples_per_frame: int = Attribute("ticks of `timescale` in one coded frame")


class AccessUnit(NamedTuple):
    """What was found in one coded video frame."""

    payload: bytes | memoryview
    """The frame in ISO BMFF sample form: the very object that was handed in where nothing
    had to be changed; empty when there is no picture in it."""
    is_sync: bool
    is_random_access: bool
    config: VideoConfig
    """The configuration that applies from here: the one asked, or a new one when the frame
    brought other parameter sets."""
    fault: str
    """Why something was left out, in a word for counters; '' when nothing was."""


@dataclass(frozen=True, slots=True)
class CodecRegistry:
    """The codecs that FLV tags may name.

    The keys are FLV's numbers (CodecID, SoundFormat: 0 to 15) or FourCCs read as
    big-endian numbers, as metadata writes them: the two ranges do not meet.
    """

    video: Mapping[int, Callable[[bytes], VideoConfig]]
    """Parses a configuration record; raises ConfigError."""
    audio: Mapping[int, Callable[[bytes], AudioConfig]]
    """Parses a configuration record; raises ConfigError."""
    video_names: Mapping[int, str]
    """What people call the codecs, supported or not."""
    audio_names: Mapping[int, str]
