"""VP9: codec configuration record and frames (VP Codec ISO Media File Format Binding v1.0)."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from zope.interface import implementer

from rapidrtmp.codecs.visual import (
    check_size,
    combined_color,
    fitted,
    is_plain,
    visual_sample_entry,
)
from rapidrtmp.isobmff.box import full_box
from rapidrtmp.media.bits import BitReader, BitstreamError
from rapidrtmp.media.codec import AccessUnit, ColorInfo, ConfigError, VideoConfig

MAX_RECORD = 4096
"""Bytes. Real records have 8 or 12."""
ASSUMED_RATE = 60
"""Frames/s that a level is chosen for when the encoder states none: its rate is not known."""

_FULL_BOX_HEADER = b"\1\0\0\0"
"""FFmpeg writes it since 7.0; as profile, level and bit depth it would make no sense."""
_NEEDED = 6
"""Bytes of vpcC that are used; codecInitializationDataSize, always 0, may be missing."""

_LEVELS = (
    (10, 829_440, 36_864),
    (11, 2_764_800, 73_728),
    (20, 4_608_000, 122_880),
    (21, 9_216_000, 245_760),
    (30, 20_736_000, 552_960),
    (31, 36_864_000, 983_040),
    (40, 83_558_400, 2_228_224),
    (41, 160_432_128, 2_228_224),
    (50, 311_951_360, 8_912_896),
    (51, 588_251_136, 8_912_896),
    (52, 1_176_502_272, 8_912_896),
    (60, 1_176_502_272, 35_651_584),
    (61, 2_353_004_544, 35_651_584),
    (62, 4_706_009_088, 35_651_584),
)
"""Level, greatest luma samples/s and greatest luma picture in samples (VP9 levels)."""
_LEVEL_NUMBERS = frozenset(level for level, _, _ in _LEVELS)

_MARKER = 2
"""The first two bits of each frame."""
_SYNC_CODE = 0x498342
_RGB = 7
"""color_space."""
_KEY_FRAME_HEADER = 20
"""Bytes that hold all of a key frame's header that is read here."""
_COLOCATED = 1
"""chromaSubsampling of vpcC for 4:2:0; 0 is 4:2:0 too, with the chroma between two lines."""
_CHROMA = {(1, 1): _COLOCATED, (1, 0): 2, (0, 0): 3}
"""subsampling_x and subsampling_y to chromaSubsampling, which has nothing for 4:4:0."""


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """What the uncompressed header of a key frame says (VP9 bitstream section 6.2)."""

    profile: int
    bit_depth: int
    subsampling: tuple[int, int]
    """subsampling_x and subsampling_y."""
    width: int
    height: int
    """Pixels."""


def parse_key_frame(octets: bytes) -> KeyFrame:
    """Parse the start of a key frame.

    Raises:
        BitstreamError: it ends too early, or is no VP9 key frame.
    """
    reader = BitReader(octets)
    marker = reader.read(2)
    profile = reader.read(1) | reader.read(1) << 1
    if profile == 3:
        reader.skip(1)
    is_other_frame = reader.read(2)
    reader.skip(2)
    if marker != _MARKER or is_other_frame or reader.read(24) != _SYNC_CODE:
        raise BitstreamError("no VP9 key frame")
    bit_depth = (12 if reader.flag() else 10) if profile >= 2 else 8
    subsampling = (1, 1)
    if reader.read(3) == _RGB:
        subsampling = (0, 0)
        reader.skip(profile & 1)
    else:
        reader.skip(1)
        if profile & 1:
            subsampling = (reader.read(1), reader.read(1))
            reader.skip(1)
    return KeyFrame(profile, bit_depth, subsampling, reader.read(16) + 1, reader.read(16) + 1)


@implementer(VideoConfig)
@dataclass(frozen=True, slots=True)
class VP9Config:
    """A VPCodecConfigurationRecord, and what the newest key frame says.

    The record has no picture size: until a key frame came it is not complete.
    """

    codec: ClassVar[str] = "vp9"
    kind: ClassVar[str] = "video"
    has_sample_entry: ClassVar[bool] = True
    timescale: ClassVar[int] = 90000
    frame_rate: ClassVar[float | None] = None

    record: bytes
    stated_level: int = field(compare=False)
    """0 where the encoder states none that exists."""
    stated_chroma: int = field(compare=False)
    """chromaSubsampling of the record."""
    stated_color: ColorInfo = field(compare=False, repr=False)
    key_frame: KeyFrame | None = None
    told_color: ColorInfo = field(default=ColorInfo(), repr=False)
    """Told by the publisher."""

    @classmethod
    def parse(cls, record: bytes | memoryview) -> "VP9Config":
        """Parse a VPCodecConfigurationRecord, with the header of the ``vpcC`` box or without.

        Raises:
            ConfigError: it is cut short, too large, or holds what is reserved.
        """
        record = bytes(record)
        if len(record) > MAX_RECORD:
            raise ConfigError(f"vpcC of {len(record)} bytes; at most {MAX_RECORD} are allowed")
        fields = record.removeprefix(_FULL_BOX_HEADER)
        if len(fields) < _NEEDED:
            raise ConfigError("vpcC is cut short")
        profile, level, look, primaries, transfer, matrix = fields[:_NEEDED]
        if profile > 3 or look >> 4 not in (8, 10, 12) or look >> 1 & 7 > 3:
            raise ConfigError(
                f"vpcC of profile {profile}, {look >> 4} bits, chroma {look >> 1 & 7}"
            )
        color = ColorInfo(primaries, transfer, matrix, bool(look & 1))
        stated_level = level if level in _LEVEL_NUMBERS else 0
        return cls(record, stated_level, look >> 1 & 7, color)

    @property
    def is_complete(self) -> bool:
        """False until there was a key frame."""
        return self.key_frame is not None

    @property
    def width(self) -> int:
        """Pixels; 0 until there was a key frame."""
        return self.key_frame.width if self.key_frame else 0

    @property
    def height(self) -> int:
        """Pixels; 0 until there was a key frame."""
        return self.key_frame.height if self.key_frame else 0

    @property
    def level(self) -> int:
        """As stated, or chosen by the picture's size: 10 for level 1, 62 for level 6.2."""
        if self.stated_level:
            return self.stated_level
        samples = self.width * self.height
        return next(
            (
                level
                for level, rate, picture in _LEVELS
                if samples <= picture and samples * ASSUMED_RATE <= rate
            ),
            _LEVELS[-1][0],
        )

    @property
    def chroma(self) -> int:
        """The chromaSubsampling of vpcC, by the key frame: 0 to 3."""
        chroma = _CHROMA[self.key_frame.subsampling] if self.key_frame else _COLOCATED
        return min(self.stated_chroma, chroma) if chroma == _COLOCATED else chroma

    @property
    def color(self) -> ColorInfo:
        """What the record says of colour, and the publisher where it is silent."""
        return combined_color(self.stated_color, self.told_color)

    def with_color(self, color: ColorInfo) -> "VP9Config":
        """Return the configuration with colour that the publisher told."""
        return replace(self, told_color=color)

    def rfc6381(self) -> str:
        """Return ``vp09.`` and profile, level and depth.

        Subsampling and colour follow only where they are not what is understood without them.
        """
        assert self.key_frame is not None, "an incomplete configuration has no codec string"
        text = f"vp09.{self.key_frame.profile:02}.{self.level}.{self.key_frame.bit_depth:02}"
        color = self.color
        if self.chroma <= _COLOCATED and is_plain(color):
            return text
        code_points = f"{color.primaries:02}.{color.transfer:02}.{color.matrix:02}"
        return f"{text}.{self.chroma:02}.{code_points}.{color.full_range:02d}"

    def sample_entry(self) -> bytes:
        """Return the ``vp09`` box; the record in it says what the key frame says."""
        assert self.key_frame is not None, "an incomplete configuration has no sample entry"
        color = self.color
        depth_and_chroma = self.key_frame.bit_depth << 4 | self.chroma << 1 | color.full_range
        fields = bytes((self.key_frame.profile, self.level, depth_and_chroma))
        code_points = (color.primaries, color.transfer, color.matrix)
        numbers = b"".join(fitted(number, 8) for number in code_points)
        vpcc = full_box(b"vpcC", 1, 0, fields, numbers, bytes(2))
        return visual_sample_entry(b"vp09", self.width, self.height, vpcc, color)

    def captions(self, payload: bytes | memoryview) -> bytes:
        """Find nothing: VP9 has no place for them."""
        return b""

    def access_unit(self, body: bytes | memoryview, key_flag: bool) -> AccessUnit:
        """Look at one frame, or a superframe: several of which the last is shown.

        It comes back as the same memoryview, or not at all where no decoder would take it.

        Args:
            body: the frame. Its first bits say all; a superframe's index stands at its end.
            key_flag: not needed: the frame header tells.
        """
        if not body:
            return AccessUnit(b"", False, False, self, "no_picture")
        head = body[0]
        if head >> 6 != _MARKER:
            return AccessUnit(b"", False, False, self, "frame")
        # show_existing_frame and frame_type, behind a reserved bit in profile 3
        if head & (0x06 if head & 0x30 == 0x30 else 0x0C):
            return AccessUnit(body, False, False, self, "")
        try:
            key_frame = parse_key_frame(bytes(body[:_KEY_FRAME_HEADER]))
        except BitstreamError:
            return AccessUnit(b"", False, False, self, "frame")
        if key_frame == self.key_frame:
            return AccessUnit(body, True, True, self, "")
        try:
            check_size(key_frame.width, key_frame.height)
        except ConfigError:
            return AccessUnit(body, True, True, self, "config")
        if key_frame.subsampling not in _CHROMA:
            return AccessUnit(body, True, True, self, "config")
        return AccessUnit(body, True, True, replace(self, key_frame=key_frame), "")
