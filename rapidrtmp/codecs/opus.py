"""Opus: identification header, packets and sample entry (RFC 7845 5.1, RFC 6716 3.1)."""

import struct
from dataclasses import dataclass, field
from typing import ClassVar

from zope.interface import implementer

from rapidrtmp.codecs.sound import audio_sample_entry
from rapidrtmp.isobmff.box import box
from rapidrtmp.media.codec import AudioConfig, ConfigError

MAX_PACKET = 5760
"""Ticks: 120 ms, the longest packet (RFC 6716 section 3.2.5, R5)."""

_MAGIC = b"OpusHead"
_HEADER = struct.Struct("<BBHIhB")
_RATE = 48000
_DEFAULT_HEADER = _MAGIC + _HEADER.pack(1, 2, 0, _RATE, 0, 0)
"""What an empty header stands for: stereo, and nothing known of the encoder's delay."""

_MAX_CHANNELS = {0: 2, 1: 8, 255: 255}
"""By channel mapping family (RFC 7845 section 5.1.1)."""
_SILENT = 255

_TICKS = (480, 960, 1920, 2880) * 3 + (480, 960) * 2 + (120, 240, 480, 960) * 4
"""In one frame, by the TOC byte's configuration number (RFC 6716 table 2)."""
_FRAMES = (1, 2, 2, 0)
"""In a packet, by the TOC byte's code; with code 3 the next byte tells."""


@implementer(AudioConfig)
@dataclass(frozen=True, slots=True)
class OpusConfig:
    """An identification header and what it says.

    The encoder's delay (pre-skip) is told to players in ``dOps`` and nowhere else: there is
    no edit list, which would move this track alone against the others, whose times are
    kept as published. Nor is there a roll group: a decoder that starts inside the stream
    has settled within 80 ms.
    """

    codec: ClassVar[str] = "opus"
    kind: ClassVar[str] = "audio"
    has_sample_entry: ClassVar[bool] = True
    timescale: ClassVar[int] = _RATE
    sample_rate: ClassVar[int] = _RATE
    samples_per_frame: ClassVar[int] = 0

    record: bytes
    channels: int = field(compare=False)
    pre_skip: int = field(compare=False)
    """Ticks that a decoder drops at the beginning."""
    specific: bytes = field(compare=False, repr=False)
    """The content of ``dOps``."""

    @classmethod
    def parse(cls, record: bytes | memoryview) -> "OpusConfig":
        """Parse an identification header; bytes behind it are ignored.

        Args:
            record: the header; empty for stereo without a word of the encoder's delay.

        Raises:
            ConfigError: it is cut short, contradicts itself, or has a channel mapping family
                that is not supported.
        """
        record = bytes(record)
        header = record or _DEFAULT_HEADER
        start = len(_MAGIC)
        end = start + _HEADER.size
        if len(header) < end or not header.startswith(_MAGIC):
            raise ConfigError("not an OpusHead, or cut short")
        version, channels, pre_skip, rate, gain, family = _HEADER.unpack_from(header, start)
        if version >> 4:
            raise ConfigError(f"OpusHead of version {version}; 0 to 15 are supported")
        if not 1 <= channels <= _MAX_CHANNELS.get(family, 0):
            raise ConfigError(f"OpusHead with {channels} channels in mapping family {family}")
        table = header[end : end + 2 + channels] if family else b""
        if family:
            _check_table(table, channels)
        # ISO BMFF has the fields of the header in big-endian order and its own version
        specific = struct.pack(">BBHIhB", 0, channels, pre_skip, rate, gain, family) + table
        return cls(record[: end + len(table)], channels, pre_skip, specific)

    @classmethod
    def from_frame(cls, frame: bytes | memoryview) -> "OpusConfig":
        """Return the configuration of a stream whose publisher sent no header.

        Raises:
            ConfigError: `frame` is no Opus packet.
        """
        config = cls.parse(b"")
        if not config.frame_samples(frame):
            raise ConfigError("no Opus packet")
        return config

    def frame_samples(self, frame: bytes | memoryview) -> int:
        """Return the ticks in a packet; 0 when it cannot be read."""
        if not frame:
            return 0
        toc = frame[0]
        count = _FRAMES[toc & 3]
        if not count and len(frame) > 1:
            count = frame[1] & 0x3F
        ticks = count * _TICKS[toc >> 3]
        return ticks if ticks <= MAX_PACKET else 0

    def rfc6381(self) -> str:
        """Return ``Opus``."""
        return "Opus"

    def sample_entry(self) -> bytes:
        """Return the ``Opus`` box with a ``dOps`` (Opus in ISO BMFF section 4.3)."""
        return audio_sample_entry(b"Opus", self.channels, _RATE, box(b"dOps", self.specific))


def _check_table(table: bytes, channels: int) -> None:
    """Check a channel mapping table (RFC 7845 section 5.1.1).

    Raises:
        ConfigError: it is cut short, or names a stream that is not there.
    """
    if len(table) < 2 + channels:
        raise ConfigError("OpusHead is cut short in its channel mapping")
    streams, coupled = table[:2]
    decoded = streams + coupled
    if not streams or coupled > streams or decoded > 255:
        raise ConfigError(f"OpusHead with {coupled} coupled of {streams} streams")
    if any(index >= decoded and index != _SILENT for index in table[2:]):
        raise ConfigError("OpusHead maps a channel to a stream that is not there")
