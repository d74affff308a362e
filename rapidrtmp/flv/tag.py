"""Bodies of audio and video tags (FLV 10.1 sections E.4.2 and E.4.3, Enhanced RTMP v2)."""

from typing import NamedTuple

AUDIO = 8
VIDEO = 9
AMF3_DATA = 15
AMF0_DATA = 18
"""TagType, and message type of RTMP (section 7.1)."""

AVC = 7
AAC = 10

KEY_FRAME = 1
INTER_FRAME = 2
COMMAND_FRAME = 5
"""FrameType 5 holds a client command instead of a frame."""

SEQUENCE_HEADER = 0
CODED_FRAME = 1
END_OF_SEQUENCE = 2
"""AVCPacketType and AACPacketType."""

EX_AUDIO = 9
"""SoundFormat that announces an Enhanced RTMP audio header."""
EX_MULTITRACK_VIDEO = 6
EX_MULTITRACK_AUDIO = 5
EX_MODIFIER = 7
"""Packet types of Enhanced RTMP headers."""

_AVC_FORM = frozenset((AVC, 12, 13))
"""CodecIDs with a packet type and a composition time. 12 (HEVC) and 13 (AV1) are unofficial."""


class TagError(ValueError):
    """The tag body is shorter than its own header."""


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


def is_extended_video(octets: bytes | memoryview) -> bool:
    """Tell whether a video tag body, not empty, has an Enhanced RTMP header."""
    return octets[0] >= 0x80


def is_extended_audio(octets: bytes | memoryview) -> bool:
    """Tell whether an audio tag body, not empty, has an Enhanced RTMP header."""
    return octets[0] >> 4 == EX_AUDIO


def extended_fourcc(octets: bytes | memoryview, multitrack: int) -> int | None:
    """Read the codec out of an Enhanced RTMP header.

    Args:
        octets: the tag body.
        multitrack: the packet type that means Multitrack for this kind of tag.

    Returns:
        The (first) FourCC as a big-endian number; None where the header begins with
        modifiers or is too short to have one.
    """
    packet_type = octets[0] & 0xF
    start = 2 if packet_type == multitrack else 1
    fourcc = octets[start : start + 4]
    if packet_type == EX_MODIFIER or len(fourcc) < 4:
        return None
    return int.from_bytes(fourcc, "big")


def parse_video(octets: memoryview) -> VideoTag:
    """Take a legacy video tag body apart. Its `body` is a view of the same memory.

    Raises:
        TagError: it is shorter than its header.
    """
    size = len(octets)
    if size:
        first = octets[0]
        codec_id = first & 0xF
        if codec_id not in _AVC_FORM:
            return VideoTag(first >> 4, codec_id, CODED_FRAME, 0, octets[1:])
        if size >= 5:
            # SI24: flipping the sign bit and taking its weight off extends the sign
            time = (octets[2] << 16 | octets[3] << 8 | octets[4]) ^ 0x800000
            return VideoTag(first >> 4, codec_id, octets[1], time - 0x800000, octets[5:])
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
