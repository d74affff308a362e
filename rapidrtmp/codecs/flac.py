"""FLAC: STREAMINFO, frame header and sample entry (RFC 9639 sections 8.2 and 9.1)."""

from dataclasses import dataclass, field
from typing import ClassVar

from zope.interface import implementer

from rapidrtmp.codecs.sound import audio_sample_entry
from rapidrtmp.isobmff.box import full_box
from rapidrtmp.media.codec import AudioConfig, ConfigError

MAX_RATE = 655350
"""Hz: the most that a frame header can say."""
MIN_BLOCK = 16
"""Samples in a block (RFC 9639 section 8.2)."""

_MAGIC = b"fLaC"
_STREAMINFO = 34
_HEADER = b"\x80\0\0\x22"
"""Of the only metadata block there is: STREAMINFO, its length."""
_HEADER_OF_MORE = b"\0\0\0\x22"
"""Of a STREAMINFO that other blocks follow. No STREAMINFO begins so: blocks have samples."""
_MAX_ENTRY_RATE = 0xFFFF

_RATES = (0, 88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000)
_BLOCKS = (0, 192, 576, 1152, 2304, 4608, 0, 0, *(256 << shift for shift in range(8)))
"""Hz and samples, by the codes of a frame header (RFC 9639 tables 14 and 16)."""
_EXPLICIT_RATES = {12: (1, 1000), 13: (2, 1), 14: (2, 10)}
"""Rate code to the bytes that hold the rate, and its unit in Hz."""
_MAX_HEADER = 16
"""Bytes of a frame header, with its CRC-8."""


@implementer(AudioConfig)
@dataclass(frozen=True, slots=True)
class FLACConfig:
    """A STREAMINFO and what it says.

    Nothing else is kept of a record: neither other metadata blocks, among which are
    pictures of any size, nor what an encoder only knows at the end and then sends anew
    (frame sizes, number of samples, MD5 signature).
    """

    codec: ClassVar[str] = "flac"
    kind: ClassVar[str] = "audio"
    has_sample_entry: ClassVar[bool] = True

    record: bytes
    """``fLaC`` and the metadata block."""
    timescale: int = field(compare=False)
    """Sample rate in Hz."""
    sample_rate: int = field(compare=False)
    channels: int = field(compare=False)
    bits_per_sample: int = field(compare=False)
    samples_per_frame: int = field(compare=False)

    @classmethod
    def parse(cls, record: bytes | memoryview) -> "FLACConfig":
        """Parse a STREAMINFO metadata block.

        Args:
            record: the block, with or without ``fLaC`` and its own header in front and
                other blocks behind it.

        Raises:
            ConfigError: it is cut short, something else, or impossible.
        """
        block = bytes(record[: len(_MAGIC) + len(_HEADER) + _STREAMINFO])
        is_framed = block.startswith(_MAGIC)
        block = block.removeprefix(_MAGIC)
        if block.startswith((_HEADER, _HEADER_OF_MORE)):
            block = block[len(_HEADER) :]
        elif is_framed:
            raise ConfigError("FLAC record whose first metadata block is no STREAMINFO")
        if len(block) < _STREAMINFO:
            raise ConfigError(f"FLAC STREAMINFO of {len(block)} bytes; {_STREAMINFO} are wanted")
        smallest, largest = block[:2], block[2:4]
        fields = int.from_bytes(block[10:14], "big")
        rate = fields >> 12
        channels = (fields >> 9 & 7) + 1
        bits = (fields >> 4 & 0x1F) + 1
        if not 1 <= rate <= MAX_RATE or bits < 4:
            raise ConfigError(f"FLAC of {rate} Hz and {bits} bits a sample")
        most = int.from_bytes(largest, "big")
        if not MIN_BLOCK <= most or smallest > largest:
            raise ConfigError(f"FLAC blocks of {int.from_bytes(smallest, 'big')} to {most} samples")
        known = (fields & ~0xF).to_bytes(4, "big")
        canonical = block[:4] + bytes(6) + known + bytes(20)
        constant = most if smallest == largest else 0
        return cls(_MAGIC + _HEADER + canonical, rate, rate, channels, bits, constant)

    def frame_samples(self, frame: bytes | memoryview) -> int:
        """Return the samples in a frame; 0 when it cannot be read, or is of another format."""
        head = bytes(frame[:_MAX_HEADER])
        if len(head) < 6 or head[0] != 0xFF or head[1] & 0xFE != 0xF8:
            return 0
        block_code, rate_code = head[2] >> 4, head[2] & 0xF
        channel_code = head[3] >> 4
        channels = 2 if channel_code in (8, 9, 10) else channel_code + 1
        # the number of the frame or sample, coded as UTF-8 codes characters
        leading_ones = 8 - (head[4] ^ 0xFF).bit_length()
        if channels != self.channels or head[3] & 1 or leading_ones in (1, 8):
            return 0
        position = 4 + (leading_ones or 1)
        samples = _BLOCKS[block_code]
        if block_code in (6, 7):
            end = position + block_code - 5
            samples = int.from_bytes(head[position:end], "big") + 1
            position = end
        if rate_code in _EXPLICIT_RATES:
            size, unit = _EXPLICIT_RATES[rate_code]
            rate = int.from_bytes(head[position : position + size], "big") * unit
            position += size
        else:
            rate = _RATES[rate_code] if rate_code < len(_RATES) else -1
        if position >= len(head) or (rate != self.sample_rate and rate_code):
            return 0
        return samples

    def rfc6381(self) -> str:
        """Return ``fLaC``."""
        return "fLaC"

    def sample_entry(self) -> bytes:
        """Return the ``fLaC`` box with a ``dfLa`` (FLAC in ISO BMFF section 3.3)."""
        rate = self.sample_rate
        while rate > _MAX_ENTRY_RATE and not rate & 1:
            rate >>= 1  # 96 and 192 kHz are written as 48 kHz: dfLa has the rate
        specific = full_box(b"dfLa", 0, 0, self.record[len(_MAGIC) :])
        return audio_sample_entry(
            b"fLaC",
            self.channels,
            min(rate, _MAX_ENTRY_RATE),
            specific,
            sample_size=self.bits_per_sample,
        )
