"""Bodies of audio and video tags (FLV 10.1 sections E.4.2 and E.4.3, Enhanced RTMP v2)."""

import struct
from typing import ClassVar, NamedTuple

AUDIO = 8
VIDEO = 9
AMF3_DATA = 15
AMF0_DATA = 18
"""TagType, and message type of RTMP (section 7.1)."""

AVC = 7
AAC = 10

MAX_CODEC_ID = 15
"""CodecID and SoundFormat have 4 bits; FourCCs as numbers are greater."""

KEY_FRAME = 1
INTER_FRAME = 2
COMMAND_FRAME = 5
"""FrameType 5 holds a client command instead of a frame."""

SEQUENCE_HEADER = 0
CODED_FRAME = 1
END_OF_SEQUENCE = 2
"""AVCPacketType and AACPacketType."""

EX_VIDEO = 0x80
"""Bit of the first byte that announces an Enhanced RTMP video header."""
EX_AUDIO = 9
"""SoundFormat that announces an Enhanced RTMP audio header."""

_AVC_FORM = frozenset((AVC, 12, 13))
"""CodecIDs with a packet type and a composition time. 12 (HEVC) and 13 (AV1) are unofficial."""
AVC_HEADER = struct.Struct(">BBhB")
"""First byte, packet type, and the composition time, signed: its upper 16 bits, its lower 8."""
PLAIN_FRAMES = frozenset(
    frame_type << 4 | codec_id
    for frame_type in range(8)
    for codec_id in _AVC_FORM
    if frame_type != COMMAND_FRAME
)
"""First bytes of video frames with that header."""


class TagError(ValueError):
    """The tag body is shorter than its own header."""

    reason: ClassVar[str] = "short"
    """For counters."""


class VideoTag(NamedTuple):
    """A legacy video tag body."""

    frame_type: int
    codec_id: int
    packet_type: int
    """Of codecs without packet types, every tag is a coded frame."""
    composition_time: int
    """Presentation minus decoding time in ms, signed 24 bit."""
    body: bytes | memoryview


class AudioTag(NamedTuple):
    """A legacy audio tag body."""

    sound_format: int
    packet_type: int
    """Of formats without packet types, every tag is a coded frame."""
    body: bytes | memoryview
    flags: int = 0xF
    """SoundRate, SoundSize and SoundType: without meaning for AAC, where they are all ones."""


def parse_video(octets: memoryview) -> VideoTag:
    """Take a legacy video tag body apart. Its `body` is a view of the same memory.

    Raises:
        TagError: it is shorter than its header.
    """
    size = len(octets)
    if size >= AVC_HEADER.size:
        first, packet_type, high, low = AVC_HEADER.unpack_from(octets)
        codec_id = first & 0xF
        if codec_id in _AVC_FORM:
            return VideoTag(first >> 4, codec_id, packet_type, high << 8 | low, octets[5:])
    if size and octets[0] & 0xF not in _AVC_FORM:
        return VideoTag(octets[0] >> 4, octets[0] & 0xF, CODED_FRAME, 0, octets[1:])
    raise TagError(f"video tag of {size} bytes")


def build_video(tag: VideoTag) -> bytes:
    """Return a legacy video tag body.

    Raises:
        OverflowError: the composition time needs more than 24 bits.
        ValueError: another field needs more bits than it has.
    """
    head = bytes((tag.frame_type << 4 | tag.codec_id,))
    if tag.codec_id in _AVC_FORM:
        head += bytes((tag.packet_type,)) + tag.composition_time.to_bytes(3, "big", signed=True)
    return head + tag.body


def parse_audio(octets: memoryview) -> AudioTag:
    """Take a legacy audio tag body apart. Its `body` is a view of the same memory.

    Raises:
        TagError: it is shorter than its header.
    """
    size = len(octets)
    if size:
        first = octets[0]
        if first >> 4 != AAC:
            return AudioTag(first >> 4, CODED_FRAME, octets[1:], first & 0xF)
        if size >= 2:
            return AudioTag(AAC, octets[1], octets[2:], first & 0xF)
    raise TagError(f"audio tag of {size} bytes")


def build_audio(tag: AudioTag) -> bytes:
    """Return a legacy audio tag body.

    Raises:
        ValueError: a field needs more bits than it has.
    """
    head = bytes((tag.sound_format << 4 | tag.flags,))
    if tag.sound_format == AAC:
        head += bytes((tag.packet_type,))
    return head + tag.body
