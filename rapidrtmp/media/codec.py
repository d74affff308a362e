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
    has_sample_entry: bool = Attribute(
        "whether CMAF has a place for the codec here: tracks without one are left out of what"
        " is packaged, and `sample_entry` is not asked for"
    )

    def rfc6381() -> str:
        """Return the CODECS string (RFC 6381), for example ``avc1.64001f``."""

    def sample_entry() -> bytes:
        """Return the whole sample entry box for ``stsd`` (ISO/IEC 14496-12 8.5.2)."""


@dataclass(frozen=True, slots=True)
class ColorInfo:
    """Colour and mastering of a video track (Enhanced RTMP v2 colorInfo, ISO/IEC 23091-2)."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    """Code points of H.273; 2 is unspecified."""
    full_range: bool = False
    max_cll: int = 0
    max_fall: int = 0
    """cd/m2; both 0 when not given (clli)."""
    mastering: tuple[int, ...] = ()
    """The ten numbers of mdcv (ISO/IEC 14496-12 12.1.6): the primaries' x and y in the order
    green, blue, red, the white point's, in 0.00002; max and min luminance in 0.0001 cd/m2."""

    @property
    def video_range(self) -> str:
        """'SDR', 'PQ' or 'HLG': VIDEO-RANGE (RFC 8216bis 4.4.6.2)."""
        return {16: "PQ", 18: "HLG"}.get(self.transfer, "SDR")


class VideoConfig(CodecConfig):
    """The configuration of a video track."""

    width: int = Attribute("picture width in pixels, after cropping")
    height: int = Attribute("picture height in pixels, after cropping")
    frame_rate: float | None = Attribute("frames/s when the codec states it: a hint only")
    is_complete: bool = Attribute(
        "False while parameter sets are missing: they may still come in an access unit, and"
        " until then there is no size, no codec string and no sample entry"
    )
    color: ColorInfo = Attribute("what the bitstream, or the publisher, says of colour")

    def with_color(color: ColorInfo) -> "VideoConfig":
        """Return the configuration with colour that the publisher told besides."""

    def access_unit(body: bytes | memoryview, key_flag: bool) -> "AccessUnit":
        """Look through one coded frame as it was received.

        Never raises because of what the frame holds.

        Args:
            body: the frame, in the form that `record` describes.
            key_flag: the container says that it is a key frame.
        """

    def captions(payload: bytes | memoryview) -> bytes:
        """Find closed captions, cheaply where there are none.

        Never raises because of what the sample holds.

        Args:
            payload: a sample.

        Returns:
            The triplets of ``cc_data()`` in it (see `media.captions`).
        """


class AudioConfig(CodecConfig):
    """The configuration of an audio track."""

    sample_rate: int = Attribute("output sample rate in Hz")
    channels: int = Attribute("number of output channels")
    samples_per_frame: int = Attribute(
        "ticks of `timescale` in one coded frame; 0 where frames differ"
    )

    def frame_samples(frame: bytes | memoryview) -> int:
        """Return the ticks in a coded frame; 0 when it cannot be read."""


class ElementaryStream(NamedTuple):
    """How a track is carried in an MPEG transport stream (ISO/IEC 13818-1)."""

    stream_type: int
    """Table 2-34, or what ATSC and players agreed on."""
    stream_id: int
    """Of its PES packets (table 2-22)."""
    registration: bytes
    """format_identifier of its registration descriptor (2.6.8); empty for none."""
    byte_stream: Callable[[bytes | memoryview, bool], bytes]
    """Turns a sample into the form in which it is carried there: NAL units with start codes,
    an ADTS frame. The flag says that a decoder shall be able to begin here: parameter sets are
    repeated. Empty where there is no such form. Never raises because of what the sample holds."""


class TransportConfig(Interface):
    """What a configuration provides, besides, whose codec has a place in MPEG transport streams."""

    def elementary_stream() -> ElementaryStream | None:
        """Return how it is carried; None for a configuration that cannot be told there."""


VIDEO_STREAM = 0xE0
AUDIO_STREAM = 0xC0
PRIVATE_STREAM_1 = 0xBD
"""stream_id (ISO/IEC 13818-1 table 2-22)."""


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
    video_frames: Mapping[int, Callable[[bytes], VideoConfig]]
    """Codecs of `video` whose record may be left out: makes the configuration out of a key
    frame; raises ConfigError."""
    audio: Mapping[int, Callable[[bytes], AudioConfig]]
    """Parses a configuration record; raises ConfigError."""
    audio_frames: Mapping[int, Callable[[bytes], AudioConfig]]
    """Codecs without a record: makes the configuration out of the first frame; raises
    ConfigError."""
    video_names: Mapping[int, str]
    """What people call the codecs, supported or not."""
    audio_names: Mapping[int, str]
