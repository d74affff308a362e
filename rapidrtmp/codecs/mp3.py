"""MP3: frame header and sample entry (ISO/IEC 11172-3 2.4.1.3, 13818-3; MPEG-2.5 besides)."""

from dataclasses import dataclass, field
from typing import ClassVar

from zope.interface import implementer

from rapidrtmp.codecs.sound import as_it_is, audio_sample_entry, esds
from rapidrtmp.media.codec import (
    AUDIO_STREAM,
    AudioConfig,
    ConfigError,
    ElementaryStream,
    TransportConfig,
)

MAX_FRAMES = 64
"""In one message. Encoders send one, some send a few."""

_HEADER = 4
_SYNC_AND_LAYER = 0xFFE60000
_LAYER_3 = 0xFFE20000
_LASTING = 0xFFFE0C00
"""Bits of a header that stay the same in all frames: sync, version, layer, rate."""
_MONO = 0xC0

_MPEG_2_5, _RESERVED, _MPEG_2, _MPEG_1 = range(4)
_RATES = {
    _MPEG_1: (44100, 48000, 32000),
    _MPEG_2: (22050, 24000, 16000),
    _MPEG_2_5: (11025, 12000, 8000),
}
_BIT_RATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_BIT_RATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
"""kbit/s; 0 is free format, whose frames do not say where they end."""
_MPEG_1_AUDIO, _MPEG_2_AUDIO = 0x6B, 0x69
"""objectTypeIndication (ISO/IEC 14496-1 table 5)."""
_MPEG_1_STREAM_TYPE, _MPEG_2_STREAM_TYPE = 3, 4
"""ISO/IEC 13818-1 table 2-34."""


@implementer(AudioConfig, TransportConfig)
@dataclass(frozen=True, slots=True)
class MP3Config:
    """What the header of a stream's first frame says of all of them."""

    codec: ClassVar[str] = "mp3"
    kind: ClassVar[str] = "audio"
    has_sample_entry: ClassVar[bool] = True

    record: bytes
    """The header without the fields that may differ from frame to frame."""
    timescale: int = field(compare=False)
    """Sample rate in Hz."""
    sample_rate: int = field(compare=False)
    channels: int = field(compare=False)
    samples_per_frame: int = field(compare=False)

    @classmethod
    def from_frame(cls, frame: bytes | memoryview) -> "MP3Config":
        """Make the configuration out of a frame.

        Raises:
            ConfigError: it is cut short, something else, or of free format.
        """
        lasting, rate, samples, _ = _read_header(frame, 0)
        channels = 1 if lasting & _MONO else 2
        return cls(lasting.to_bytes(_HEADER, "big"), rate, rate, channels, samples)

    def frame_samples(self, frame: bytes | memoryview) -> int:
        """Return the samples in one frame or several.

        0 when they cannot be read or do not belong to this configuration; `from_frame` tells
        whether they begin another one.
        """
        mine = int.from_bytes(self.record, "big")
        position = found = 0
        limit = MAX_FRAMES * self.samples_per_frame
        while position < len(frame) and found < limit:
            try:
                lasting, _, samples, size = _read_header(frame, position)
            except ConfigError:
                break
            if lasting != mine:
                break
            found += samples
            position += size
        return found

    def rfc6381(self) -> str:
        """Return ``mp4a.40.34``, as HLS players know it."""
        return "mp4a.40.34"

    def sample_entry(self) -> bytes:
        """Return the ``mp4a`` box with an ``esds`` that names MPEG-1 or MPEG-2 audio."""
        object_type = _MPEG_1_AUDIO if self._is_mpeg_1 else _MPEG_2_AUDIO
        return audio_sample_entry(b"mp4a", self.channels, self.sample_rate, esds(object_type))

    def elementary_stream(self) -> ElementaryStream:
        """Return how MP3 is carried in a transport stream."""
        stream_type = _MPEG_1_STREAM_TYPE if self._is_mpeg_1 else _MPEG_2_STREAM_TYPE
        return ElementaryStream(stream_type, AUDIO_STREAM, b"", as_it_is)

    @property
    def _is_mpeg_1(self) -> bool:
        return self.record[1] >> 3 & 3 == _MPEG_1


def _read_header(frame: bytes | memoryview, position: int) -> tuple[int, int, int, int]:
    """Read a frame header.

    Returns:
        The header's lasting fields, the rate in Hz, the samples and the bytes of the frame.

    Raises:
        ConfigError: it is none, or the frame is cut short.
    """
    header = int.from_bytes(frame[position : position + _HEADER], "big")
    if header & _SYNC_AND_LAYER != _LAYER_3:
        raise ConfigError("no MP3 frame header")
    version, rate_index, bit_rate_index = header >> 19 & 3, header >> 10 & 3, header >> 12 & 15
    if version == _RESERVED or rate_index == 3 or bit_rate_index in (0, 15):
        raise ConfigError(f"MP3 frame header {header:08x} is reserved or of free format")
    rate = _RATES[version][rate_index]
    bit_rates, samples = (_BIT_RATES_1, 1152) if version == _MPEG_1 else (_BIT_RATES_2, 576)
    size = samples * bit_rates[bit_rate_index] * 125 // rate + (header >> 9 & 1)
    if position + size > len(frame):
        raise ConfigError(f"MP3 frame of {size} bytes is cut short")
    # stereo and joint stereo may alternate
    mono = _MONO if header & _MONO == _MONO else 0
    return header & _LASTING | mono, rate, samples, size
