"""VP8: frames (RFC 6386) and the record that Enhanced RTMP has for it (VP Codec ISO Media v1.0)."""

import struct
from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

from zope.interface import implementer

from rapidrtmp.codecs.visual import check_size
from rapidrtmp.media.codec import AccessUnit, ColorInfo, ConfigError, VideoConfig

MAX_RECORD = 4096
"""Bytes. Real records have 8 or 12."""

_NEEDED = 6
"""Bytes of vpcC, without the header of its box, up to the code points of colour."""
_START_CODE = b"\x9d\x01\x2a"
_KEY_FRAME_HEADER = struct.Struct("<3s3sHH")
"""Frame tag, start code, and width and height in 14 bits below 2 bits of scaling (9.1)."""
_FRAME_TAG = 3
"""Bytes."""
_INTER_FRAME = 1
"""Bit of the frame tag's first byte."""
_SIZE = 0x3FFF
_RECORD = bytes((1, 0, 0, 0, 0, 0, 8 << 4 | 1 << 1, 2, 2, 2, 0, 0))
"""``vpcC`` of 8 bit 4:2:0, which VP8 always is, of an unspecified colour."""


class PictureSize(NamedTuple):
    """What a key frame says of the picture."""

    width: int
    height: int
    """Pixels."""


def parse_key_frame(frame: bytes | memoryview) -> PictureSize:
    """Read the picture's size out of the start of a key frame (RFC 6386 9.1).

    Raises:
        ConfigError: it is cut short, no VP8 key frame, or of no size that is allowed.
    """
    if len(frame) < _KEY_FRAME_HEADER.size:
        raise ConfigError(f"VP8 key frame of {len(frame)} bytes")
    tag, start_code, width, height = _KEY_FRAME_HEADER.unpack_from(frame)
    if tag[0] & _INTER_FRAME or start_code != _START_CODE:
        raise ConfigError("no VP8 key frame")
    check_size(width & _SIZE, height & _SIZE)
    return PictureSize(width & _SIZE, height & _SIZE)


@implementer(VideoConfig)
@dataclass(frozen=True, slots=True)
class VP8Config:
    """A VPCodecConfigurationRecord, and what the newest key frame says.

    Each key frame tells all that a decoder needs: the record may be left out, and nothing in
    it is used.
    """

    codec: ClassVar[str] = "vp8"
    kind: ClassVar[str] = "video"
    timescale: ClassVar[int] = 90000
    frame_rate: ClassVar[float | None] = None
    has_sample_entry: ClassVar[bool] = False

    record: bytes
    size: PictureSize | None = None
    color: ColorInfo = field(default=ColorInfo(), repr=False)
    """Told by the publisher: the bitstream says nothing."""

    @classmethod
    def parse(cls, record: bytes | memoryview) -> "VP8Config":
        """Take a VPCodecConfigurationRecord, with the header of the ``vpcC`` box or without.

        Raises:
            ConfigError: it is cut short, or too large.
        """
        if not _NEEDED <= len(record) <= MAX_RECORD:
            raise ConfigError(f"vpcC of {len(record)} bytes; {_NEEDED} to {MAX_RECORD} are allowed")
        return cls(bytes(record))

    @classmethod
    def from_frame(cls, frame: bytes | memoryview) -> "VP8Config":
        """Make the configuration out of a key frame, and the record that was left out.

        Raises:
            ConfigError: as `parse_key_frame`.
        """
        return cls(_RECORD, parse_key_frame(frame))

    @property
    def is_complete(self) -> bool:
        """False until there was a key frame."""
        return self.size is not None

    @property
    def width(self) -> int:
        """Pixels; 0 until there was a key frame."""
        return self.size.width if self.size else 0

    @property
    def height(self) -> int:
        """Pixels; 0 until there was a key frame."""
        return self.size.height if self.size else 0

    def with_color(self, color: ColorInfo) -> "VP8Config":
        """Return the configuration with colour that the publisher told."""
        return replace(self, color=color)

    def rfc6381(self) -> str:
        """Return ``vp8``, as it is called where it has a place (WebM)."""
        return "vp8"

    def sample_entry(self) -> bytes:
        """Fail: there is none."""
        raise AssertionError("VP8 has no sample entry")

    def captions(self, payload: bytes | memoryview) -> bytes:
        """Find nothing: VP8 has no place for them."""
        return b""

    def access_unit(self, body: bytes | memoryview, key_flag: bool) -> AccessUnit:
        """Look at one frame. It comes back as the same memoryview, or not at all.

        Args:
            body: the frame.
            key_flag: not needed: the frame tag tells.
        """
        if not body:
            return AccessUnit(b"", False, False, self, "no_picture")
        if len(body) < _FRAME_TAG:
            return AccessUnit(b"", False, False, self, "frame")
        if body[0] & _INTER_FRAME:
            return AccessUnit(body, False, False, self, "")
        try:
            size = parse_key_frame(body)
        except ConfigError:
            return AccessUnit(b"", False, False, self, "frame")
        if size == self.size:
            return AccessUnit(body, True, True, self, "")
        return AccessUnit(body, True, True, replace(self, size=size), "")
