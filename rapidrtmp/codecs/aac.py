"""AAC: AudioSpecificConfig and sample entry (ISO/IEC 14496-3 section 1.6.2.1, 14496-14 5.6)."""

import struct
from dataclasses import dataclass, field
from typing import ClassVar

from zope.interface import implementer

from rapidrtmp.isobmff.box import box, full_box
from rapidrtmp.media.bits import BitReader, BitstreamError
from rapidrtmp.media.codec import AudioConfig, ConfigError

MAX_RECORD = 4096
"""Bytes. Real ones have 2 to 7; some encoders send more than they mean."""
MIN_RATE = 1000
MAX_RATE = 192000
"""Hz. The table ends at 7350 and 96000; SBR doubles the latter."""

AAC_MAIN = 1
AAC_LC = 2
AAC_SSR = 3
AAC_LTP = 4
SBR = 5
PS = 29
_ESCAPE = 31
_CORES = frozenset((AAC_MAIN, AAC_LC, AAC_SSR, AAC_LTP))
"""Audio object types with frames of 1024 or 960 samples."""

_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_EXPLICIT_RATE = 15
_CHANNELS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8, 11: 7, 12: 8, 14: 8}
"""channelConfiguration (14496-3 table 1.19). 0 is a program config element."""
_SBR_EXTENSION = 0x2B7
_PS_EXTENSION = 0x548
"""syncExtensionType: what stands in front of a backward compatible signalling."""

_ES_DESCRIPTOR, _DECODER_CONFIG, _DECODER_SPECIFIC, _SL_CONFIG = 3, 4, 5, 6
_MPEG4_AUDIO = 0x40
_AUDIO_STREAM = 5 << 2 | 1


@implementer(AudioConfig)
@dataclass(frozen=True, slots=True)
class AACConfig:
    """An AudioSpecificConfig and what it says.

    SBR that the configuration does not signal at all cannot be seen here: such a stream
    is described by its core, and decoders find the SBR by themselves.
    """

    codec: ClassVar[str] = "aac"
    kind: ClassVar[str] = "audio"

    record: bytes
    specific: bytes = field(compare=False, repr=False)
    """The part of `record` that has a meaning."""
    object_type: int = field(compare=False)
    """Of the core: 2 for AAC-LC."""
    extension: int = field(compare=False)
    """SBR (5), PS (29) or 0."""
    timescale: int = field(compare=False)
    """Core sample rate in Hz: what frames are counted in."""
    sample_rate: int = field(compare=False)
    channels: int = field(compare=False)
    samples_per_frame: int = field(compare=False)

    @classmethod
    def parse(cls, record: bytes | memoryview) -> "AACConfig":
        """Parse an AudioSpecificConfig; bytes behind it are ignored.

        Raises:
            ConfigError: it is cut short, or of a form that is not supported.
        """
        record = bytes(record)
        if len(record) > MAX_RECORD:
            raise ConfigError(
                f"AudioSpecificConfig of {len(record)} bytes; at most {MAX_RECORD} are allowed"
            )
        try:
            return cls._parse(record, BitReader(record))
        except BitstreamError as error:
            raise ConfigError(f"AudioSpecificConfig is cut short: {error}") from error

    @classmethod
    def _parse(cls, record: bytes, reader: BitReader) -> "AACConfig":
        object_type = _read_object_type(reader)
        timescale = sample_rate = _read_rate(reader)
        configuration = reader.read(4)
        extension = 0
        if object_type in (SBR, PS):
            extension = object_type
            sample_rate = _read_rate(reader)
            object_type = _read_object_type(reader)
        if object_type not in _CORES:
            raise ConfigError(f"MPEG-4 audio object type {object_type} is not supported")
        samples_per_frame = 960 if reader.flag() else 1024
        if reader.flag():
            reader.skip(14)
        reader.skip(1)
        channels = _CHANNELS.get(configuration, 0) if configuration else _read_layout(reader)
        if not channels:
            raise ConfigError(f"AAC channel configuration {configuration} is not supported")
        end = reader.position
        if not extension:
            found = _read_extension(reader)
            if found is not None:
                extension, sample_rate = found[0], found[1] or sample_rate
                end = reader.position
        if extension == PS and channels == 1:
            channels = 2
        specific = record[: (end + 7) // 8]
        return cls(
            record,
            specific,
            object_type,
            extension,
            timescale,
            sample_rate,
            channels,
            samples_per_frame,
        )

    def rfc6381(self) -> str:
        """Return ``mp4a.40.`` and the audio object type, with SBR or PS the extension's."""
        return f"mp4a.40.{self.extension or self.object_type}"

    def sample_entry(self) -> bytes:
        """Return the ``mp4a`` box with an ``esds`` (ISO/IEC 14496-14 section 5.6)."""
        decoder = _descriptor(
            _DECODER_CONFIG,
            # buffer size and bit rates are not known of a live stream: 0
            struct.pack(">BB3xII", _MPEG4_AUDIO, _AUDIO_STREAM, 0, 0),
            _descriptor(_DECODER_SPECIFIC, self.specific),
        )
        elementary = _descriptor(_ES_DESCRIPTOR, bytes(3), decoder, _descriptor(_SL_CONFIG, b"\2"))
        # 14496-12 section 12.2.3: 16 bits a sample; the rate is 16.16, 0 where it does not fit
        rate = self.sample_rate if self.sample_rate < 1 << 16 else 0
        head = struct.pack(">6xH8xHH4xI", 1, self.channels, 16, rate << 16)
        return box(b"mp4a", head, full_box(b"esds", 0, 0, elementary))


def _read_object_type(reader: BitReader) -> int:
    """Read GetAudioObjectType()."""
    object_type = reader.read(5)
    return 32 + reader.read(6) if object_type == _ESCAPE else object_type


def _read_rate(reader: BitReader) -> int:
    """Read a sampling frequency in Hz.

    Raises:
        ConfigError: it is reserved or absurd.
    """
    index = reader.read(4)
    if index < len(_RATES):
        return _RATES[index]
    rate = reader.read(24) if index == _EXPLICIT_RATE else 0
    if not MIN_RATE <= rate <= MAX_RATE:
        raise ConfigError(f"AAC sampling frequency index {index}, {rate} Hz")
    return rate


def _read_layout(reader: BitReader) -> int:
    """Read a program_config_element (14496-3 section 4.4.1.1); return its channels."""
    reader.skip(4 + 2 + 4)
    counts = [reader.read(4) for _ in range(3)]
    lfe, data, coupling = reader.read(2), reader.read(3), reader.read(4)
    for size in (4, 4, 3):  # mono, stereo and matrix mixdown
        if reader.flag():
            reader.skip(size)
    channels = lfe
    for _ in range(sum(counts)):
        channels += 2 if reader.flag() else 1
        reader.skip(4)
    reader.skip(4 * (lfe + data) + 5 * coupling)
    reader.align()
    reader.skip(8 * reader.read(8))
    return channels


def _read_extension(reader: BitReader) -> tuple[int, int] | None:
    """Read what may follow the core's configuration: SBR or PS, backward compatible.

    Returns:
        The extension's audio object type and output rate in Hz, both 0 when it says that
        there is no SBR; None when what follows is something else.
    """
    try:
        if reader.read(11) != _SBR_EXTENSION or _read_object_type(reader) != SBR:
            return None
        if not reader.flag():
            return 0, 0
        rate = _read_rate(reader)
    except (BitstreamError, ConfigError):
        return None
    end = reader.position
    if reader.bits_left >= 12 and reader.read(11) == _PS_EXTENSION:
        return (PS if reader.flag() else SBR), rate
    reader.position = end
    return SBR, rate


def _descriptor(tag: int, *parts: bytes) -> bytes:
    """Return a descriptor with its size in the expandable form of 4 bytes (14496-1 8.3.3)."""
    size = sum(map(len, parts))
    sizes = (0x80 | size >> 21 & 0x7F, 0x80 | size >> 14 & 0x7F, 0x80 | size >> 7 & 0x7F)
    return bytes((tag, *sizes, size & 0x7F)) + b"".join(parts)
