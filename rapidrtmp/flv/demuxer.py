"""FLV tags, as RTMP messages carry them, to tracks and samples (FLV 10.1 section E.4)."""

from collections.abc import Mapping

from rapidrtmp.flv import script, tag
from rapidrtmp.media.codec import CodecRegistry, ConfigError, VideoConfig
from rapidrtmp.media.timeline import AudioClock, Unwrapper
from rapidrtmp.media.track import AUDIO_TRACK_ID, VIDEO_TRACK_ID, Sample, Track

MAX_COMPOSITION_TIME = 5000
"""ms. Real B-frame delays are under a second: a greater offset is garbage and read as 0."""
MAX_NAMES = 16
"""Unsupported codecs that are named; the field has fewer, FourCCs of garbage have no end."""

_TICKS_PER_MS = 90


LOST = ("short", "no_config", "no_keyframe", "nal_unit", "unsupported_codec")
"""Reasons in `Demuxer.dropped` that cost a frame; the others are repairs, or no frames."""


class Demuxer:
    """Turns the media messages of one publication into samples.

    Nothing that a message holds makes it raise: what cannot be used is dropped and counted.
    """

    def __init__(self, registry: CodecRegistry) -> None:
        """Make a demuxer.

        Args:
            registry: the codecs that it can make tracks of.
        """
        self.tracks: tuple[Track, ...] = ()
        """Video first. Another tuple object at each change, and only then."""
        self.metadata: dict[str, script.Scalar] = {}
        """The newest onMetaData: hints for people."""
        self.dropped: dict[str, int] = {}
        """What was left out or put right, by reason:

        - short: a message shorter than its header
        - config: a broken or oversized configuration record or parameter set
        - no_config, no_keyframe: frames before the first configuration, or the first frame
          at which a decoder can start
        - no_picture: access units without a picture
        - nal_unit: damaged NAL units, the rest of the access unit was kept
        - composition_time: an absurd composition time was read as 0
        - packet_type, unsupported_codec: audio and video that means nothing here
        - data: data messages that cannot be read
        """
        self.unsupported: set[str] = set()
        """Codecs that were refused, for people: 'HEVC (hvc1)', 'MP3 (2)'."""
        self._registry = registry
        self._unwrapper = Unwrapper()
        self._video_record: bytes | None = None
        self._video_codec_id = -1
        self._video_config: VideoConfig | None = None
        self._video_track: Track | None = None
        self._video_started = False
        self._audio_record: bytes | None = None
        self._audio_sound_format = -1
        self._audio_track: Track | None = None
        self._audio_clock: AudioClock | None = None

    @property
    def frames_dropped(self) -> int:
        """Frames that were lost, or damaged beyond what a decoder can hide."""
        return sum(self.dropped.get(reason, 0) for reason in LOST)

    def receive(self, type_id: int, timestamp: int, payload: bytes | memoryview) -> Sample | None:
        """Take one message.

        Args:
            type_id: 8 audio, 9 video, 15 and 18 data; others are ignored.
            timestamp: the message's, 32 bit, in ms.
            payload: the tag body. The sample's payload is a view into it, as a rule.

        Returns:
            The sample in it, if there is one. Its times are the publisher's, unwrapped.
        """
        if type_id == tag.VIDEO:
            return self._receive_video(timestamp, memoryview(payload)) if payload else None
        if type_id == tag.AUDIO:
            return self._receive_audio(timestamp, memoryview(payload)) if payload else None
        if type_id in (tag.AMF0_DATA, tag.AMF3_DATA):
            self._receive_script(type_id, payload)
        return None

    def _receive_video(self, timestamp: int, octets: memoryview) -> Sample | None:
        if tag.is_extended_video(octets):
            fourcc = tag.extended_fourcc(octets, tag.EX_MULTITRACK_VIDEO)
            self._refuse(fourcc, self._registry.video_names)
            return None
        try:
            frame_type, codec_id, packet_type, composition_time, body = tag.parse_video(octets)
        except tag.TagError:
            self._drop("short")
            return None
        config = self._video_config
        if (
            config is None
            or packet_type != tag.CODED_FRAME
            or codec_id != self._video_codec_id
            or frame_type == tag.COMMAND_FRAME
        ):
            self._control_video(frame_type, codec_id, packet_type, body)
            return None

        unit = config.access_unit(body, frame_type == tag.KEY_FRAME)
        payload, is_sync, is_random_access, found, fault = unit
        if fault:
            self._drop(fault)
        if found is not config:
            self._use_video_config(found)
        if not payload:
            return None
        track = self._video_track
        if track is None:
            self._drop("no_config")
            return None
        if is_random_access:
            self._video_started = True
            if track.config != found:
                track = self._set_video_track(found)
        elif not self._video_started:
            self._drop("no_keyframe")
            return None
        if not -MAX_COMPOSITION_TIME <= composition_time <= MAX_COMPOSITION_TIME:
            self._drop("composition_time")
            composition_time = 0
        return Sample(
            track,
            self._unwrapper.unwrap(timestamp) * _TICKS_PER_MS,
            composition_time * _TICKS_PER_MS,
            is_sync,
            is_random_access,
            payload,
        )

    def _control_video(
        self, frame_type: int, codec_id: int, packet_type: int, body: bytes | memoryview
    ) -> None:
        """Take a video tag that holds no frame, or one that cannot be used."""
        parse = self._registry.video.get(codec_id)
        if parse is None:
            self._refuse(codec_id, self._registry.video_names)
        elif frame_type == tag.COMMAND_FRAME or packet_type == tag.END_OF_SEQUENCE:
            pass  # its timestamp is 0 with OBS: it may not touch the clock
        elif packet_type == tag.CODED_FRAME:
            self._drop("no_config")
        elif packet_type != tag.SEQUENCE_HEADER:
            self._drop("packet_type")
        elif body != self._video_record:
            try:
                config = parse(bytes(body))
            except ConfigError:
                return self._drop("config")
            before = self._video_config
            if before is not None and before.is_complete and not config.is_complete:
                return self._drop("config")
            self._video_record = config.record
            self._video_codec_id = codec_id
            self._use_video_config(config)
        return None

    def _use_video_config(self, config: VideoConfig) -> None:
        """Read what comes by another configuration.

        The track keeps its own until a random access point: up to there, frames may
        still belong to the old one.
        """
        self._video_config = config
        if self._video_track is None and config.is_complete:
            self._set_video_track(config)

    def _set_video_track(self, config: VideoConfig) -> Track:
        self._video_track = track = Track(VIDEO_TRACK_ID, config)
        self._publish_tracks()
        return track

    def _receive_audio(self, timestamp: int, octets: memoryview) -> Sample | None:
        if tag.is_extended_audio(octets):
            fourcc = tag.extended_fourcc(octets, tag.EX_MULTITRACK_AUDIO)
            self._refuse(fourcc, self._registry.audio_names)
            return None
        try:
            sound_format, packet_type, body, _ = tag.parse_audio(octets)
        except tag.TagError:
            self._drop("short")
            return None
        track = self._audio_track
        clock = self._audio_clock
        if (
            track is None
            or clock is None
            or packet_type != tag.CODED_FRAME
            or sound_format != self._audio_sound_format
        ):
            self._control_audio(sound_format, packet_type, body)
            return None
        if not body:
            self._drop("short")
            return None
        return Sample(track, clock.place(self._unwrapper.unwrap(timestamp)), 0, True, True, body)

    def _control_audio(self, sound_format: int, packet_type: int, body: bytes | memoryview) -> None:
        """Take an audio tag that holds no frame, or one that cannot be used."""
        parse = self._registry.audio.get(sound_format)
        if parse is None:
            self._refuse(sound_format, self._registry.audio_names)
        elif packet_type == tag.CODED_FRAME:
            self._drop("no_config")
        elif packet_type != tag.SEQUENCE_HEADER:
            self._drop("packet_type")
        elif body != self._audio_record:
            try:
                config = parse(bytes(body))
            except ConfigError:
                return self._drop("config")
            self._audio_record = config.record
            self._audio_sound_format = sound_format
            self._audio_clock = AudioClock(config.timescale, config.samples_per_frame)
            self._audio_track = Track(AUDIO_TRACK_ID, config)
            self._publish_tracks()
        return None

    def _publish_tracks(self) -> None:
        self.tracks = tuple(
            track for track in (self._video_track, self._audio_track) if track is not None
        )

    def _receive_script(self, type_id: int, octets: bytes | memoryview) -> None:
        try:
            metadata = script.parse_metadata(type_id, octets)
        except script.ScriptError:
            return self._drop("data")
        if metadata is not None:
            self.metadata = metadata
        return None

    def _drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def _refuse(self, codec: int | None, names: Mapping[int, str]) -> None:
        """Drop a message of an unsupported codec; its name is put down once."""
        self._drop("unsupported_codec")
        if len(self.unsupported) < MAX_NAMES:
            self.unsupported.add(_name(codec, names))


def _name(codec: int | None, names: Mapping[int, str]) -> str:
    """Say which codec a CodecID, SoundFormat or FourCC means, printable whatever it is."""
    if codec is None:
        return "Enhanced RTMP modifier"
    label = str(codec)
    if codec > 15:
        fourcc = codec.to_bytes(4, "big")
        label = fourcc.decode("ascii", "replace")
        if not (label.isascii() and label.isprintable()):
            label = f"0x{fourcc.hex()}"
    return f"{names.get(codec, 'unknown codec')} ({label})"
