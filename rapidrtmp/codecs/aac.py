"""AAC: AudioSpecificConfig and sample entry (ISO/IEC 14496-3 section 1.6.2.1, 14496-14 5.6)."""

from dataclasses import dataclass, field
from typing import ClassVar

from zope.interface import implementer

from rapidrtmp.codecs.sound import audio_sample_entry, esds
from rapidrtmp.media.bits import BitReader, BitstreamError
from rapidrtmp.media.codec import (
    AUDIO_STREAM,
    AudioConfig,
    ConfigError,
    ElementaryStream,
    TransportConfig,
)

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

_MPEG4_AUDIO = 0x40
"""objectTypeIndication (ISO/IEC 14496-1 table 5)."""
_ADTS_STREAM_TYPE = 0x0F
"""ISO/IEC 13818-1 table 2-34."""
_ADTS_HEADER = 7
_MAX_ADTS_FRAME = 0x1FFF
"""Bytes, header included."""
_MAX_ADTS_CONFIGURATION = 7


@implementer(AudioConfig, TransportConfig)
@dataclass(frozen=True, slots=True)
class AACConfig:
    """An AudioSpecificConfig and what it says.

    SBR that the configuration does not signal at all cannot be seen here: such a stream
    is described by its core, and decoders find the SBR by themselves.
    """

    codec: ClassVar[str] = "aac"
    kind: ClassVar[str] = "audio"
    has_sample_entry: ClassVar[bool] = True

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

    def frame_samples(self, frame: bytes | memoryview) -> int:
        """Return the core samples in a frame: the same in all of them."""
        return self.samples_per_frame

    def rfc6381(self) -> str:
        """Return ``mp4a.40.`` and the audio object type, with SBR or PS the extension's."""
        return f"mp4a.40.{self.extension or self.object_type}"

    def sample_entry(self) -> bytes:
        """Return the ``mp4a`` box with an ``esds`` (ISO/IEC 14496-14 section 5.6)."""
        specific = esds(_MPEG4_AUDIO, self.specific)
        return audio_sample_entry(b"mp4a", self.channels, self.sample_rate, specific)

    def elementary_stream(self) -> ElementaryStream | None:
        """Return how AAC is carried in a transport stream: in ADTS frames (14496-3 1.A.2.2).

        None for what their headers cannot say: frames of 960 samples, a sampling frequency or a
        layout of channels that has no index. SBR is found by decoders themselves.
        """
        reader = BitReader(self.specific)
        _read_object_type(reader)
        rate_index = reader.read(4)
        if rate_index == _EXPLICIT_RATE:
            reader.skip(24)
        configuration = reader.read(4)
        if (
            self.samples_per_frame != 1024
            or rate_index == _EXPLICIT_RATE
            or not 0 < configuration <= _MAX_ADTS_CONFIGURATION
        ):
            return None
        # syncword, MPEG-4, no CRC; profile; the size comes later; buffer fullness: not told
        fixed = 0xFFF1 << 40 | self.object_type - 1 << 38 | rate_index << 34 | 0x1FFC
        fixed |= configuration << 30

        def frame(sample: bytes | memoryview, is_start: bool) -> bytes:
            size = _ADTS_HEADER + len(sample)
            if size > _MAX_ADTS_FRAME:
                return b""
            return b"".join(((fixed | size << 13).to_bytes(_ADTS_HEADER, "big"), sample))

        return ElementaryStream(_ADTS_STREAM_TYPE, AUDIO_STREAM, b"", frame)


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
