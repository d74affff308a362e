"""AC-3 and E-AC-3: syncframes and sample entries (ETSI TS 102 366 sections 4, E and F)."""

from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from zope.interface import implementer

from rapidrtmp.codecs.sound import as_it_is, audio_sample_entry
from rapidrtmp.isobmff.box import box
from rapidrtmp.media.bits import BitReader, BitstreamError
from rapidrtmp.media.codec import (
    PRIVATE_STREAM_1,
    AudioConfig,
    ConfigError,
    ElementaryStream,
    TransportConfig,
)

MAX_SYNCFRAMES = 64
"""In one message. Encoders send one; 8 programs with their substreams are the most that can be."""
MAX_DEPENDENT = 15
"""Dependent substreams of one program that ``dec3`` can count."""

_AC3_STREAM_TYPE, _EAC3_STREAM_TYPE = 0x81, 0x87
"""ATSC A/53 part 3, A/52 annex G; what HLS players look for."""
_SYNCWORD = b"\x0b\x77"
_RATES = (48000, 44100, 32000)
_CHANNELS = (2, 1, 2, 3, 3, 4, 4, 5)
"""By acmod, without LFE."""
_BIT_RATES = (
    *(32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640),
)
"""kbit/s, by frmsizecod >> 1 (table 4.13)."""
_BLOCK = 256
_BLOCKS = (1, 2, 3, 6)
_MAX_BSID_AC3 = 8
_MIN_BSID_EAC3, _MAX_BSID_EAC3 = 11, 16
_MAX_HEADER = 32
"""Bytes of an E-AC-3 syncframe that are read: its chanmap ends well before."""

_INDEPENDENT, _DEPENDENT, _CONVERTED = range(3)
"""strmtype. The last is independent, too: it was made out of AC-3."""
_PAIRS = 0b0000_0110_0111_0100
_SINGLES = 0b0000_0001_1000_1010
"""Bits of chanmap that are not in the 5.1 channels: two of them each, and one."""


@implementer(AudioConfig, TransportConfig)
@dataclass(frozen=True, slots=True)
class AC3Config:
    """What a stream's first AC-3 syncframe says of all of them."""

    codec: ClassVar[str] = "ac3"
    kind: ClassVar[str] = "audio"
    has_sample_entry: ClassVar[bool] = True
    samples_per_frame: ClassVar[int] = 6 * _BLOCK

    record: bytes
    """The content of ``dac3``: AC-3 itself has no record."""
    timescale: int = field(compare=False)
    """Sample rate in Hz."""
    sample_rate: int = field(compare=False)
    channels: int = field(compare=False)

    @classmethod
    def from_frame(cls, frame: bytes | memoryview) -> "AC3Config":
        """Make the configuration out of a syncframe.

        Raises:
            ConfigError: it is cut short, or something else.
        """
        record, _ = _read_ac3(frame, 0)
        fields = int.from_bytes(record, "big")
        rate = _RATES[fields >> 22]
        return cls(record, rate, rate, _CHANNELS[fields >> 11 & 7] + (fields >> 10 & 1))

    def frame_samples(self, frame: bytes | memoryview) -> int:
        """Return the samples in one syncframe or several.

        0 when they cannot be read or do not belong to this configuration; `from_frame` tells
        whether they begin another one.
        """
        position = found = 0
        limit = MAX_SYNCFRAMES * self.samples_per_frame
        while position < len(frame) and found < limit:
            try:
                record, size = _read_ac3(frame, position)
            except ConfigError:
                break
            if record != self.record:
                break
            found += self.samples_per_frame
            position += size
        return found

    def rfc6381(self) -> str:
        """Return ``ac-3``."""
        return "ac-3"

    def sample_entry(self) -> bytes:
        """Return the ``ac-3`` box with a ``dac3`` (TS 102 366 section F.3)."""
        specific = box(b"dac3", self.record)
        return audio_sample_entry(b"ac-3", self.channels, self.sample_rate, specific)

    def elementary_stream(self) -> ElementaryStream:
        """Return how AC-3 is carried in a transport stream (ATSC A/52 annex A)."""
        return ElementaryStream(_AC3_STREAM_TYPE, PRIVATE_STREAM_1, b"AC-3", as_it_is)


def _read_ac3(frame: bytes | memoryview, position: int) -> tuple[bytes, int]:
    """Read the head of an AC-3 syncframe (TS 102 366 sections 4.3.1 and 4.3.2).

    Returns:
        The content of ``dac3``, and the bytes of the syncframe.

    Raises:
        ConfigError: it is none, or cut short.
    """
    head = bytes(frame[position : position + 8])
    if len(head) < 8 or head[:2] != _SYNCWORD:
        raise ConfigError("no AC-3 syncframe")
    fscod, frmsizecod = head[4] >> 6, head[4] & 0x3F
    bsid, bsmod = head[5] >> 3, head[5] & 7
    if fscod >= len(_RATES) or frmsizecod >> 1 >= len(_BIT_RATES) or bsid > _MAX_BSID_AC3:
        raise ConfigError(f"AC-3 with fscod {fscod}, frmsizecod {frmsizecod}, bsid {bsid}")
    # 96 words of 16 bits a kbit/s at 1000 Hz; at 44.1 kHz every other frame has one word more
    odd = frmsizecod & 1 if fscod == 1 else 0
    size = 2 * (_BIT_RATES[frmsizecod >> 1] * 96000 // _RATES[fscod] + odd)
    if position + size > len(frame):
        raise ConfigError(f"AC-3 syncframe of {size} bytes is cut short")
    acmod = head[6] >> 5
    # in front of lfeon there are the mix levels that acmod calls for, 2 bits each
    levels = (acmod & 1 and acmod > 1) + (acmod >= 4) + (acmod == 2)
    lfeon = int.from_bytes(head[6:], "big") >> 12 - 2 * levels & 1
    fields = fscod << 22 | bsid << 17 | bsmod << 14 | acmod << 11 | lfeon << 10
    return (fields | frmsizecod >> 1 << 5).to_bytes(3, "big"), size


@implementer(AudioConfig, TransportConfig)
@dataclass(frozen=True, slots=True)
class EAC3Config:
    """What a stream's first E-AC-3 syncframes say of all of them.

    A message is a sample as it comes: with fewer than six blocks, which encoders only use
    above 1 Mbit/s, it is shorter than TS 102 366 section F.5 has it.
    """

    codec: ClassVar[str] = "eac3"
    kind: ClassVar[str] = "audio"
    has_sample_entry: ClassVar[bool] = True

    record: bytes
    """The content of ``dec3``: E-AC-3 itself has no record."""
    timescale: int = field(compare=False)
    """Sample rate in Hz."""
    sample_rate: int = field(compare=False)
    channels: int = field(compare=False)
    """Of the first program, with its dependent substreams."""
    samples_per_frame: int = field(compare=False)

    @classmethod
    def from_frame(cls, frame: bytes | memoryview) -> "EAC3Config":
        """Make the configuration out of a message's syncframes.

        Raises:
            ConfigError: they are cut short, something else, or too many.
        """
        found = _read_period(frame)
        bit_rate = round(found.size * 8 * found.rate / found.period / 1000)
        fields = int.from_bytes(found.substreams, "big")
        fields |= min(bit_rate, 0x1FFF) << 8 * len(found.substreams) - 13
        record = fields.to_bytes(len(found.substreams), "big")
        return cls(record, found.rate, found.rate, found.channels, found.samples)

    def frame_samples(self, frame: bytes | memoryview) -> int:
        """Return the samples in a message's syncframes.

        0 when they cannot be read or do not belong to this configuration; `from_frame` tells
        whether they begin another one.
        """
        try:
            found = _read_period(frame)
        except ConfigError:
            return 0
        # the bit rate, which comes first, may vary
        same = (
            found.rate == self.sample_rate
            and found.substreams[1] & 7 == self.record[1] & 7
            and found.substreams[2:] == self.record[2:]
        )
        return found.samples if same else 0

    def rfc6381(self) -> str:
        """Return ``ec-3``."""
        return "ec-3"

    def sample_entry(self) -> bytes:
        """Return the ``ec-3`` box with a ``dec3`` (TS 102 366 section F.5)."""
        specific = box(b"dec3", self.record)
        return audio_sample_entry(b"ec-3", self.channels, self.sample_rate, specific)

    def elementary_stream(self) -> ElementaryStream:
        """Return how E-AC-3 is carried in a transport stream (ATSC A/52 annex G)."""
        return ElementaryStream(_EAC3_STREAM_TYPE, PRIVATE_STREAM_1, b"EAC3", as_it_is)


class _Syncframe(NamedTuple):
    """The head of an E-AC-3 syncframe."""

    strmtype: int
    substreamid: int
    size: int
    """Bytes."""
    fscod: int
    rate: int
    """Hz."""
    samples: int
    acmod: int
    lfeon: int
    bsid: int
    chanmap: int
    """Of a dependent substream, 0 without one."""


class _Period(NamedTuple):
    """The syncframes of all substreams for the same time."""

    substreams: bytes
    """The content of ``dec3`` with a data rate of 0."""
    rate: int
    channels: int
    size: int
    """Bytes of the first period."""
    period: int
    """Samples in it."""
    samples: int
    """In all periods of the message."""


def _read_period(frame: bytes | memoryview) -> _Period:
    """Read the syncframes of a message.

    Raises:
        ConfigError: the first is no independent substream 0, one is broken, or they are
            too many.
    """
    syncframes = _read_syncframes(frame)
    first = syncframes[0]
    samples = sum(
        one.samples for one in syncframes if one.strmtype != _DEPENDENT and not one.substreamid
    )
    # a program is an independent substream and those that depend on it, which follow it
    programs: list[tuple[_Syncframe, list[_Syncframe]]] = []
    size = 0
    for one in syncframes:
        if one.strmtype == _DEPENDENT:
            programs[-1][1].append(one)
        elif programs and not one.substreamid:
            break
        else:
            programs.append((one, []))
        size += one.size
    if len(programs) > 8:
        raise ConfigError(f"E-AC-3 with {len(programs)} programs")
    bits, fields = 16, len(programs) - 1
    for main, dependent in programs:
        # bsmod is 0, a complete main: it is deep inside the syncframe, and nobody asks for it
        fields = fields << 7 | main.fscod << 5 | main.bsid
        fields = fields << 9 | main.acmod << 1 | main.lfeon
        fields = fields << 7 | min(len(dependent), MAX_DEPENDENT)
        bits += 23
        if dependent:
            fields = fields << 9 | _chan_loc(dependent)
            bits += 9
        else:
            fields <<= 1
            bits += 1
    main, dependent = programs[0]
    chanmap = 0
    for one in dependent:
        chanmap |= one.chanmap
    channels = _CHANNELS[main.acmod] + main.lfeon
    channels += 2 * (chanmap & _PAIRS).bit_count() + (chanmap & _SINGLES).bit_count()
    substreams = fields.to_bytes(bits // 8, "big")
    return _Period(substreams, first.rate, channels, size, first.samples, samples)


def _chan_loc(dependent: list[_Syncframe]) -> int:
    """Return where the dependent substreams' channels are (TS 102 366 table F.6.1).

    Bits 5 to 12 of chanmap, counted from its highest, are bits 0 to 7 of this, counted from
    its lowest; LFE2 is the last of both.
    """
    chan_loc = 0
    for one in dependent:
        for bit in range(8):
            chan_loc |= (one.chanmap >> 10 - bit & 1) << bit
        chan_loc |= (one.chanmap >> 1 & 1) << 8
    return chan_loc


def _read_syncframes(frame: bytes | memoryview) -> list[_Syncframe]:
    """Read the heads of all syncframes in a message; what is behind them is ignored.

    Raises:
        ConfigError: the first is broken or not the one to begin with, or they are too many.
    """
    syncframes: list[_Syncframe] = []
    position = 0
    while bytes(frame[position : position + 2]) == _SYNCWORD:
        if len(syncframes) == MAX_SYNCFRAMES:
            raise ConfigError(f"more than {MAX_SYNCFRAMES} E-AC-3 syncframes in a message")
        octets = bytes(frame[position : position + _MAX_HEADER])
        try:
            one = _read_eac3(BitReader(octets))
        except BitstreamError as error:
            raise ConfigError(f"E-AC-3 syncframe is cut short: {error}") from error
        position += one.size
        if position > len(frame):
            raise ConfigError(f"E-AC-3 syncframe of {one.size} bytes is cut short")
        syncframes.append(one)
    if not syncframes or syncframes[0].substreamid or syncframes[0].strmtype == _DEPENDENT:
        raise ConfigError("no E-AC-3 syncframe of independent substream 0")
    return syncframes


def _read_eac3(reader: BitReader) -> _Syncframe:
    """Read the head of an E-AC-3 syncframe (TS 102 366 section E.1.2.2).

    Raises:
        BitstreamError: it is cut short.
        ConfigError: it is none.
    """
    reader.skip(16)
    strmtype, substreamid, size = reader.read(2), reader.read(3), 2 * (reader.read(11) + 1)
    fscod = reader.read(2)
    low_rate = fscod == 3
    code = reader.read(2)
    if strmtype > _CONVERTED or (low_rate and code == 3):
        raise ConfigError(f"E-AC-3 with strmtype {strmtype}, fscod {fscod}, fscod2 {code}")
    rate = _RATES[code] // 2 if low_rate else _RATES[fscod]
    blocks = 6 if low_rate else _BLOCKS[code]
    acmod, lfeon, bsid = reader.read(3), reader.read(1), reader.read(5)
    if not _MIN_BSID_EAC3 <= bsid <= _MAX_BSID_EAC3:
        raise ConfigError(f"E-AC-3 with bsid {bsid}")
    for _ in range(1 if acmod else 2):  # dual mono has these twice
        reader.skip(5)
        if reader.flag():
            reader.skip(8)
    chanmap = 0
    if strmtype == _DEPENDENT and reader.flag():
        chanmap = reader.read(16)
    samples = blocks * _BLOCK
    return _Syncframe(
        strmtype, substreamid, size, fscod, rate, samples, acmod, lfeon, bsid, chanmap
    )
