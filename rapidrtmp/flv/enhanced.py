"""Tag bodies with an Enhanced RTMP v2 header (ExVideoTagHeader, ExAudioTagHeader).

Read by `parse_video` and `parse_audio`; written by `build_video` and `build_audio`, or, where
the coded frame must not be copied, by `video_header` and `audio_header` with the frame behind.
"""

import struct
from collections.abc import Iterable
from typing import ClassVar, NamedTuple

from rapidrtmp.flv.tag import COMMAND_FRAME, EX_AUDIO, EX_VIDEO, MAX_CODEC_ID, TagError

SEQUENCE_START = 0
CODED_FRAMES = 1
SEQUENCE_END = 2
"""Packet types that audio and video have in common."""
CODED_FRAMES_X = 3
"""Video whose composition time is 0, and is left out."""
METADATA = 4
MPEG2TS_SEQUENCE_START = 5
MULTITRACK_VIDEO = 6
MULTICHANNEL_CONFIG = 4
"""Of audio."""
MULTITRACK_AUDIO = 5
MOD_EX = 7

ONE_TRACK = 0
MANY_TRACKS = 1
MANY_TRACKS_MANY_CODECS = 2
"""AvMultitrackType."""

TIMESTAMP_OFFSET_NANO = 0
"""ModExType: the one that is defined."""
MAX_OFFSET = 999_999
"""ns: a millisecond and more belongs into the timestamp."""
MAX_MODIFIERS = 8
"""ModEx in one message: there is one defined, a chain of hundreds is an attack."""
MAX_DESCRIPTORS = 16
"""MPEG-2 TS descriptors that are looked through; two are defined for AV1."""

NATIVE_ORDER = 1
CUSTOM_ORDER = 2
"""AudioChannelOrder: a mask of channels follows, or a byte for each of them."""

_FOURCC = 4
"""Bytes."""
_AV1_VIDEO_DESCRIPTOR = 0x80


def fourcc(text: str) -> int:
    """Return a FourCC as the big-endian number that `CodecRegistry` has for its key."""
    return int.from_bytes(text.encode("ascii"), "big")


AVC1 = fourcc("avc1")
HVC1 = fourcc("hvc1")
VVC1 = fourcc("vvc1")
AV01 = fourcc("av01")
WITH_COMPOSITION_TIME = frozenset((AVC1, HVC1, VVC1))
"""Codecs whose CodedFrames begin with a composition time (SI24, ms); no other packet does."""


def folded(code: int) -> bytes:
    """Return a FourCC in the form in which those that differ in case alone are equal."""
    return code.to_bytes(_FOURCC, "big").lower()


def known_codes(*tables: Iterable[int]) -> dict[bytes, int]:
    """Return the FourCCs among codec numbers by their folded form: some encoders err in case."""
    return {folded(code): code for table in tables for code in table if code > MAX_CODEC_ID}


HEADER = struct.Struct(">BI")
"""The plain form: frame type or SoundFormat with the packet type, FourCC."""
FRAME_HEADER = struct.Struct(">BIhB")
"""The same and a composition time: its upper 16 bits, its lower 8."""
COMPOSITION_TIME = struct.Struct(">hB")
"""The composition time alone."""
_CODEC = struct.Struct(">I").unpack_from
_CODEC_AND_TRACK = struct.Struct(">IB").unpack_from
_TRACK_AND_SIZE = struct.Struct(">BBH").unpack_from

PLAIN_FRAMES = frozenset(
    EX_VIDEO | frame_type << 4 | packet_type
    for frame_type in range(8)
    for packet_type in (CODED_FRAMES, CODED_FRAMES_X)
    if frame_type != COMMAND_FRAME
)
"""First bytes of video frames in the plain form."""
PLAIN_AUDIO_FRAME = EX_AUDIO << 4 | CODED_FRAMES


class PacketTypeError(TagError):
    """The header is of a form that Enhanced RTMP does not have."""

    reason: ClassVar[str] = "packet_type"


class Part(NamedTuple):
    """One track's part of a message."""

    track_id: int
    fourcc: int
    body: bytes | memoryview
    """What follows the track's header; the composition time is its first three bytes."""


class ExTag(NamedTuple):
    """A tag body with an Enhanced RTMP header."""

    packet_type: int
    parts: list[Part]
    """One as a rule; several with Multitrack; none of a video command."""
    frame_type: int = 0
    """Of video, as in legacy tags; without meaning for METADATA."""
    nanoseconds: int = 0
    """What the message's presentation time is later than its timestamp says."""
    multitrack: int | None = None
    """AvMultitrackType; None for the plain form, whose track is 0."""


def parse_video(octets: memoryview) -> ExTag:
    """Take a video tag body with an Enhanced RTMP header apart; the bodies are views of it.

    Raises:
        PacketTypeError: it nests or repeats what must not be, or goes on without end.
        TagError: it is shorter than its header, or than a track's part in it.
    """
    return _parse(octets, octets[0] >> 4 & 7, MULTITRACK_VIDEO)


def parse_audio(octets: memoryview) -> ExTag:
    """Take an audio tag body with an Enhanced RTMP header apart; the bodies are views of it.

    Raises:
        PacketTypeError: it nests or repeats what must not be, or goes on without end.
        TagError: it is shorter than its header, or than a track's part in it.
    """
    return _parse(octets, 0, MULTITRACK_AUDIO)


def _parse(octets: memoryview, frame_type: int, multitrack: int) -> ExTag:
    packet_type = octets[0] & 0xF
    nanoseconds = 0
    try:
        if packet_type == MOD_EX:
            packet_type, nanoseconds, octets = _parse_modifiers(octets)
        if packet_type == multitrack:
            kind = octets[1] >> 4
            packet_type = octets[1] & 0xF
            # FFmpeg marks metadata as a command, also inside of Multitrack
            if frame_type == COMMAND_FRAME and packet_type != METADATA:
                return ExTag(packet_type, [], frame_type, nanoseconds, kind)
            if kind > MANY_TRACKS_MANY_CODECS or packet_type in (multitrack, MOD_EX):
                raise PacketTypeError(f"Multitrack of type {kind} with packet type {packet_type}")
            return ExTag(packet_type, _parse_parts(octets, kind), frame_type, nanoseconds, kind)
        if frame_type == COMMAND_FRAME and packet_type != METADATA:
            return ExTag(packet_type, [], frame_type, nanoseconds)
        part = Part(0, HEADER.unpack_from(octets)[1], octets[HEADER.size :])
        return ExTag(packet_type, [part], frame_type, nanoseconds)
    except (IndexError, struct.error):
        raise TagError(f"Enhanced RTMP header in {len(octets)} bytes") from None


def _parse_modifiers(octets: memoryview) -> tuple[int, int, memoryview]:
    """Read a chain of ModEx.

    Returns:
        The packet type behind it, the offset in ns, and what follows, as if it were a
        message without ModEx: one byte, then the rest.
    """
    nanoseconds = 0
    position = 1
    for _ in range(MAX_MODIFIERS):
        size = octets[position] + 1
        position += 1
        if size == 256:
            size = int.from_bytes(octets[position : position + 2], "big") + 1
            position += 2
        value = octets[position : position + size]
        position += size
        kind, packet_type = octets[position] >> 4, octets[position] & 0xF
        if kind == TIMESTAMP_OFFSET_NANO and size >= 3:
            offset = int.from_bytes(value[:3], "big")
            if offset <= MAX_OFFSET:
                nanoseconds = offset
        if packet_type != MOD_EX:
            return packet_type, nanoseconds, octets[position:]
        position += 1
    raise PacketTypeError(f"more than {MAX_MODIFIERS} ModEx in a message")


def _parse_parts(octets: memoryview, kind: int) -> list[Part]:
    """Read the tracks of a Multitrack message, whose first two bytes are known."""
    position = 2
    if kind == ONE_TRACK:
        codec, track_id = _CODEC_AND_TRACK(octets, position)
        return [Part(track_id, codec, octets[position + 5 :])]
    codec = 0
    if kind == MANY_TRACKS:
        [codec] = _CODEC(octets, position)
        position += _FOURCC
    parts: dict[int, Part] = {}
    while position < len(octets):
        if kind == MANY_TRACKS_MANY_CODECS:
            [codec] = _CODEC(octets, position)
            position += _FOURCC
        track_id, high, low = _TRACK_AND_SIZE(octets, position)
        start = position + 4
        position = start + (high << 16 | low)
        if position > len(octets):
            raise TagError(f"track {track_id} ends {position - len(octets)} bytes behind the tag")
        # one message is one moment: twice would be two configurations at once, without end
        if track_id in parts:
            raise PacketTypeError(f"track {track_id} twice in a message")
        parts[track_id] = Part(track_id, codec, octets[start:position])
    return list(parts.values())


def av1_record(descriptors: bytes | memoryview) -> bytes:
    """Make an AV1CodecConfigurationRecord (``av1C``) out of MPEG-2 TS descriptors.

    The AV1 video descriptor (AOM, Carriage of AV1 in MPEG-2 TS, section 2.2) holds the same
    fields, but for two bits that are reserved in ``av1C``; the sequence header comes with
    the first key frame.

    Raises:
        TagError: it is not among them, or is cut short.
    """
    position = 0
    for _ in range(MAX_DESCRIPTORS):
        kind, size = descriptors[position : position + 1], descriptors[position + 1 : position + 2]
        if not size:
            break
        start, position = position + 2, position + 2 + size[0]
        fields = bytes(descriptors[start : start + 4])
        if kind[0] == _AV1_VIDEO_DESCRIPTOR and size[0] >= 4 and len(fields) == 4:
            return fields[:3] + bytes((fields[3] & 0x1F,))
    raise TagError("no AV1 video descriptor")


def channel_count(config: bytes | memoryview) -> int:
    """Return the number of channels that a MultichannelConfig tells.

    Raises:
        TagError: it is cut short.
    """
    if len(config) >= 2:
        order, count = config[0], config[1]
        if len(config) >= 2 + {NATIVE_ORDER: 4, CUSTOM_ORDER: count}.get(order, 0):
            return count
    raise TagError(f"MultichannelConfig of {len(config)} bytes")


def build_video(tag: ExTag) -> bytes:
    """Return a video tag body.

    Raises:
        OverflowError: a number does not fit its field.
        ValueError: the plain form and OneTrack have exactly one part.
    """
    return _build(tag, EX_VIDEO | tag.frame_type << 4, MULTITRACK_VIDEO)


def build_audio(tag: ExTag) -> bytes:
    """Return an audio tag body.

    Raises:
        OverflowError: a number does not fit its field.
        ValueError: the plain form and OneTrack have exactly one part.
    """
    return _build(tag, EX_AUDIO << 4, MULTITRACK_AUDIO)


def _build(tag: ExTag, first: int, multitrack: int) -> bytes:
    kind = tag.multitrack
    octets = bytearray()
    packet_type = tag.packet_type if kind is None else multitrack
    if tag.nanoseconds:
        octets.append(first | MOD_EX)
        octets += b"\x02" + tag.nanoseconds.to_bytes(3, "big")
        first = TIMESTAMP_OFFSET_NANO << 4
    octets.append(first | packet_type)
    if kind is not None:
        octets.append(kind << 4 | tag.packet_type)
    if kind in (None, ONE_TRACK):
        [part] = tag.parts
        octets += part.fourcc.to_bytes(_FOURCC, "big")
        if kind is not None:
            octets.append(part.track_id)
        return bytes(octets + part.body)
    for number, part in enumerate(tag.parts):
        if kind == MANY_TRACKS_MANY_CODECS or number == 0:
            octets += part.fourcc.to_bytes(_FOURCC, "big")
        octets.append(part.track_id)
        octets += len(part.body).to_bytes(3, "big") + part.body
    return bytes(octets)


def video_header(
    packet_type: int,
    codec: int,
    frame_type: int,
    composition_time: int = 0,
    track_id: int = 0,
) -> bytes:
    """Return what stands before the body of one track's video message.

    Args:
        packet_type: SEQUENCE_START, CODED_FRAMES, CODED_FRAMES_X ...
        codec: the FourCC as a number.
        frame_type: KEY_FRAME, INTER_FRAME or COMMAND_FRAME.
        composition_time: ms; written where the codec's CODED_FRAMES have it.
        track_id: any but 0 takes the Multitrack form.

    Raises:
        OverflowError: a number does not fit its field.
    """
    head = _header(EX_VIDEO | frame_type << 4, packet_type, codec, track_id, MULTITRACK_VIDEO)
    if packet_type == CODED_FRAMES and codec in WITH_COMPOSITION_TIME:
        head += composition_time.to_bytes(3, "big", signed=True)
    return head


def audio_header(packet_type: int, codec: int, track_id: int = 0) -> bytes:
    """Return what stands before the body of one track's audio message.

    Args:
        packet_type: SEQUENCE_START, CODED_FRAMES ...
        codec: the FourCC as a number.
        track_id: any but 0 takes the Multitrack form.

    Raises:
        OverflowError: a number does not fit its field.
    """
    return _header(EX_AUDIO << 4, packet_type, codec, track_id, MULTITRACK_AUDIO)


def _header(first: int, packet_type: int, codec: int, track_id: int, multitrack: int) -> bytes:
    code = codec.to_bytes(_FOURCC, "big")
    if track_id:
        kinds = bytes((first | multitrack, ONE_TRACK << 4 | packet_type))
        return kinds + code + track_id.to_bytes(1, "big")
    return bytes((first | packet_type,)) + code
