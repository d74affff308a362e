"""Tracks and samples back to FLV tag bodies, as RTMP and FLV receivers take them.

H.264, AAC and MP3 of the first tracks take the forms of FLV 10.1 (section E.4), which every
receiver knows; all else takes those of Enhanced RTMP v2.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rapidrtmp.flv import enhanced, tag
from rapidrtmp.flv.metadata import (
    FOURCCS,
    LEGACY_IDS,
    build_color,
    build_metadata,
    fourcc,
    track_number,
)
from rapidrtmp.media.codec import AudioConfig, VideoConfig
from rapidrtmp.media.track import Sample, Track

_U32 = 0xFFFFFFFF
_VISUAL_SAMPLE_ENTRY = 8 + 78
"""Bytes in front of the boxes in one (ISO/IEC 14496-12 section 12.1.3)."""
_RECORD_BOXES = {"h264": b"avcC", "h265": b"hvcC", "av1": b"av1C", "vp9": b"vpcC"}
_WITHOUT_RECORD = frozenset(("mp3", "ac3", "eac3"))
"""Audio whose every frame says what it is: no SequenceStart."""
_MP3_RATES = {11025: 1, 22050: 2}
"""SoundRate; all others say 44.1 kHz, and receivers read the frame."""
_MP3_8_KHZ = 14


class Message(NamedTuple):
    """One message of media."""

    type_id: int
    """8 audio, 9 video, 18 data."""
    timestamp: int
    """ms, modulo 2^32."""
    parts: tuple[bytes | memoryview, ...]
    """The tag body in pieces: a sample's payload is not copied."""


class _TrackWriter(NamedTuple):
    """What stands before each frame of one track."""

    type_id: int
    timescale: int
    key: bytes
    """Of a frame at which a decoder can start; of every audio frame."""
    inter: bytes
    key_x: bytes
    inter_x: bytes
    """Of a frame that is presented when it is decoded; empty where there is no such form."""
    has_composition_time: bool
    """Whether a composition time (SI24, ms) comes behind `key` and `inter`."""


class Muxer:
    """Writes one set of tracks; when a track changes, make another muxer.

    It has no state: what it returns can be sent to any receiver that takes the tracks.

    Args:
        tracks: of a kind at most 256, their `track_id` as `Demuxer` gives them.
        hints: the publisher's metadata.
    """

    def __init__(
        self, tracks: Sequence[Track], hints: Mapping[str, float | bool | str] | None = None
    ) -> None:
        self._writers = {track.track_id: _writer(track) for track in tracks}
        self._headers = [(tag.AMF0_DATA, build_metadata(tracks, hints or {}))]
        for track in tracks:
            self._headers += _headers(track)

    def headers(self, timestamp: int) -> list[Message]:
        """Return what a receiver must have before the first frame.

        Args:
            timestamp: ms, of the first frame that follows.
        """
        return [Message(type_id, timestamp & _U32, (body,)) for type_id, body in self._headers]

    def message(self, sample: Sample) -> Message:
        """Return the message of one sample. The hot path.

        Raises:
            KeyError: the sample is of another track.
            OverflowError: its presentation is over 2 h from its decoding.
        """
        writer = self._writers[sample.track.track_id]
        type_id, timescale, key, inter, key_x, inter_x, has_composition_time = writer
        half = timescale >> 1
        ms = (sample.dts * 1000 + half) // timescale
        head = key if sample.is_random_access else inter
        if has_composition_time:
            offset = sample.composition_offset
            if offset:
                offset = ((sample.dts + offset) * 1000 + half) // timescale - ms
            if offset or not key_x:
                head += offset.to_bytes(3, "big", signed=True)
            else:
                head = key_x if sample.is_random_access else inter_x
        return Message(type_id, ms & _U32, (head, sample.payload))


def _writer(track: Track) -> _TrackWriter:
    number = track_number(track)
    name = FOURCCS[track.codec]
    codec = enhanced.fourcc(name)
    is_legacy = fourcc(track) is None
    if track.kind == "audio":
        if not is_legacy:
            head = enhanced.audio_header(enhanced.CODED_FRAMES, codec, number)
        elif track.codec == "aac":
            head = tag.build_audio(tag.AudioTag(tag.AAC, tag.CODED_FRAME, b""))
        else:
            head = _mp3_header(AudioConfig(track.config))
        return _TrackWriter(tag.AUDIO, track.timescale, head, head, b"", b"", False)
    if is_legacy:
        key, inter = (
            bytes((frame_type << 4 | LEGACY_IDS[track.codec], tag.CODED_FRAME))
            for frame_type in (tag.KEY_FRAME, tag.INTER_FRAME)
        )
        return _TrackWriter(tag.VIDEO, track.timescale, key, inter, b"", b"", True)
    key, inter, key_x, inter_x = (
        enhanced.video_header(packet_type, codec, frame_type, 0, number)
        for packet_type in (enhanced.CODED_FRAMES, enhanced.CODED_FRAMES_X)
        for frame_type in (tag.KEY_FRAME, tag.INTER_FRAME)
    )
    if codec not in enhanced.WITH_COMPOSITION_TIME:
        return _TrackWriter(tag.VIDEO, track.timescale, key, inter, b"", b"", False)
    return _TrackWriter(tag.VIDEO, track.timescale, key[:-3], inter[:-3], key_x, inter_x, True)


def _headers(track: Track) -> list[tuple[int, bytes]]:
    """Return the messages that configure a decoder of a track: type id and body."""
    number = track_number(track)
    is_legacy = fourcc(track) is None
    codec = enhanced.fourcc(FOURCCS[track.codec])
    if track.kind == "audio":
        if track.codec in _WITHOUT_RECORD:
            return []
        record = _audio_record(track)
        if is_legacy:
            return [
                (tag.AUDIO, tag.build_audio(tag.AudioTag(tag.AAC, tag.SEQUENCE_HEADER, record)))
            ]
        return [(tag.AUDIO, enhanced.audio_header(enhanced.SEQUENCE_START, codec, number) + record)]
    record = _video_record(track)
    if is_legacy:
        config = tag.VideoTag(
            tag.KEY_FRAME, LEGACY_IDS[track.codec], tag.SEQUENCE_HEADER, 0, record
        )
        return [(tag.VIDEO, tag.build_video(config))]
    start = enhanced.video_header(enhanced.SEQUENCE_START, codec, tag.KEY_FRAME, 0, number)
    headers = [(tag.VIDEO, start + record)]
    color = VideoConfig(track.config).color
    if color.video_range != "SDR" or color.mastering or color.max_cll or color.max_fall:
        head = enhanced.video_header(enhanced.METADATA, codec, tag.COMMAND_FRAME, 0, number)
        headers.append((tag.VIDEO, head + build_color(color)))
    return headers


def _video_record(track: Track) -> bytes:
    """Return the configuration record that describes samples, not frames as they came.

    The two can differ, in the size of NAL units' lengths and in parameter sets that came
    later; the sample entry has the one that is wanted. Where there is none (VP8), there is no
    difference.
    """
    if not track.config.has_sample_entry:
        return track.config.record
    wanted = _RECORD_BOXES[track.codec]
    entry = track.config.sample_entry()
    position = _VISUAL_SAMPLE_ENTRY
    while True:
        size, name = struct.unpack_from(">I4s", entry, position)
        if name == wanted:
            return entry[position + 8 : position + size]
        position += size


def _audio_record(track: Track) -> bytes:
    record = track.config.record
    if track.codec == "opus" and not record:
        # publishers may leave the header out, but FFmpeg as a player needs one (RFC 7845 5.1)
        channels = AudioConfig(track.config).channels
        record = b"OpusHead" + struct.pack("<BBHIhB", 1, channels, 0, track.timescale, 0, 0)
    return record


def _mp3_header(config: AudioConfig) -> bytes:
    rate = config.sample_rate
    sound_format = _MP3_8_KHZ if rate == 8000 else LEGACY_IDS["mp3"]
    flags = _MP3_RATES.get(rate, 3) << 2 | 2 | (config.channels == 2)
    return tag.build_audio(tag.AudioTag(sound_format, tag.CODED_FRAME, b"", flags))
