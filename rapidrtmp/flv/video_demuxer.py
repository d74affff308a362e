"""Video tags to samples (FLV 10.1 section E.4.3, Enhanced RTMP v2)."""

from collections.abc import Callable, Mapping

from rapidrtmp.flv import enhanced, script, tag
from rapidrtmp.flv.enhanced import CODED_FRAMES, CODED_FRAMES_X
from rapidrtmp.flv.losses import MAX_TRACKS, Losses, codec_name
from rapidrtmp.flv.video_track import VideoTrack
from rapidrtmp.media.codec import CodecRegistry, VideoConfig
from rapidrtmp.media.timeline import Unwrapper
from rapidrtmp.media.track import VIDEO_TRACK_ID, Sample, Track


class VideoDemuxer:
    """The video tracks of one publication."""

    def __init__(
        self,
        registry: CodecRegistry,
        unwrapper: Unwrapper,
        losses: Losses,
        changed: Callable[[], None],
    ) -> None:
        """Make a demuxer without tracks.

        Args:
            registry: the codecs that it can make tracks of.
            unwrapper: the publication's.
            losses: counts what cannot be used.
            changed: called when `tracks` gives others.
        """
        self._codecs = registry.video
        self._from_frames = registry.video_frames
        self._names = registry.video_names
        self._codes = enhanced.known_codes(registry.video, registry.video_names)
        self._unwrapper = unwrapper
        self._losses = losses
        self._changed = changed
        self._hints: Mapping[int, script.TrackHints] = {}
        self._first = self._new(0)
        self._tracks = {0: self._first}

    def tracks(self) -> list[Track]:
        """Return the tracks that have a configuration, by `track_id`."""
        found = (self._tracks[track_id].track for track_id in sorted(self._tracks))
        return [track for track in found if track is not None]

    def set_hints(self, hints: Mapping[int, script.TrackHints]) -> None:
        """Take what the metadata says of tracks, by track id, for the configurations to come."""
        self._hints = hints
        for track_id, track in self._tracks.items():
            track.hints = hints.get(track_id, script.NO_HINTS)

    def receive(self, timestamp: int, octets: memoryview) -> list[Sample]:
        """Take one tag body, which is not empty; return the samples in it."""
        track = self._first
        if len(octets) >= tag.AVC_HEADER.size:
            # nearly all messages: a frame of the codec that was configured
            first, packet_type, high, low = tag.AVC_HEADER.unpack_from(octets)
            if (
                first & 0xF == track.codec_id
                and packet_type == tag.CODED_FRAME
                and first in tag.PLAIN_FRAMES
            ):
                sample = track.sample(
                    timestamp, high << 8 | low, octets[5:], first >> 4 == tag.KEY_FRAME
                )
                return [sample] if sample is not None else []
        if octets[0] & tag.EX_VIDEO:
            return self._receive_extended(timestamp, octets)
        try:
            frame_type, codec_id, packet_type, composition_time, body = tag.parse_video(octets)
        except tag.TagError:
            self._losses.drop("short")
            return []
        if (
            codec_id != track.codec_id
            or packet_type != tag.CODED_FRAME
            or frame_type == tag.COMMAND_FRAME
        ):
            self._control(frame_type, codec_id, packet_type, body)
            return []
        sample = track.sample(timestamp, composition_time, body, frame_type == tag.KEY_FRAME)
        return [sample] if sample is not None else []

    def _control(
        self, frame_type: int, codec_id: int, packet_type: int, body: bytes | memoryview
    ) -> None:
        """Take a legacy tag that holds no frame, or one that cannot be used."""
        if codec_id not in self._codecs:
            self._losses.refuse(codec_name(codec_id, self._names))
        elif frame_type == tag.COMMAND_FRAME or packet_type == tag.END_OF_SEQUENCE:
            pass  # its timestamp is 0 with OBS: it may not touch the clock
        elif packet_type == tag.SEQUENCE_HEADER:
            self._first.configure(codec_id, self._codecs[codec_id], body)
        else:
            self._losses.drop("no_config" if packet_type == tag.CODED_FRAME else "packet_type")

    def _receive_extended(self, timestamp: int, octets: memoryview) -> list[Sample]:
        if len(octets) >= enhanced.FRAME_HEADER.size:
            # nearly all messages: a frame of track 0 without more ado
            first, fourcc, high, low = enhanced.FRAME_HEADER.unpack_from(octets)
            if fourcc == self._first.codec_id > tag.MAX_CODEC_ID and first in enhanced.PLAIN_FRAMES:
                composition_time = 0
                start = 5
                if first & 0xF == CODED_FRAMES and fourcc in enhanced.WITH_COMPOSITION_TIME:
                    composition_time = high << 8 | low
                    start = 8
                sample = self._first.sample(
                    timestamp, composition_time, octets[start:], first >> 4 & 7 == tag.KEY_FRAME
                )
                return [sample] if sample is not None else []
        try:
            packet_type, parts, frame_type, nanoseconds, _ = enhanced.parse_video(octets)
        except tag.TagError as error:
            self._losses.drop(error.reason)
            return []
        samples: list[Sample] = []
        for track_id, fourcc, body in parts:
            if fourcc <= tag.MAX_CODEC_ID:  # means another thing in the registry
                self._losses.drop("packet_type")
                continue
            is_key = frame_type == tag.KEY_FRAME
            is_frame = packet_type in (CODED_FRAMES, CODED_FRAMES_X)
            track = self._tracks.get(track_id)
            if track is None or fourcc != track.codec_id:
                fourcc = self._codes.get(enhanced.folded(fourcc), fourcc)
                if is_frame and is_key and fourcc in self._from_frames:
                    self._configure(track_id, fourcc, self._from_frames[fourcc], body)
                    track = self._tracks.get(track_id)
            if track is None or fourcc != track.codec_id or not is_frame:
                self._control_extended(track_id, fourcc, packet_type, body)
                continue
            composition_time = 0
            if packet_type == CODED_FRAMES and fourcc in enhanced.WITH_COMPOSITION_TIME:
                if len(body) < enhanced.COMPOSITION_TIME.size:
                    self._losses.drop("short")
                    continue
                high, low = enhanced.COMPOSITION_TIME.unpack_from(body)
                composition_time = high << 8 | low
                body = body[enhanced.COMPOSITION_TIME.size :]
            sample = track.sample(timestamp, composition_time, body, is_key, nanoseconds)
            if sample is not None:
                samples.append(sample)
        return samples

    def _control_extended(
        self, track_id: int, fourcc: int, packet_type: int, body: bytes | memoryview
    ) -> None:
        """Take a part of a message that holds no frame, or one that cannot be used."""
        if fourcc not in self._codecs:
            self._losses.refuse(codec_name(fourcc, self._names))
        elif packet_type == enhanced.SEQUENCE_START:
            self._configure(track_id, fourcc, self._codecs[fourcc], body)
        elif packet_type == enhanced.MPEG2TS_SEQUENCE_START and fourcc == enhanced.AV01:
            try:
                record = enhanced.av1_record(body)
            except tag.TagError:
                return self._losses.drop("config")
            self._configure(track_id, fourcc, self._codecs[fourcc], record)
        elif packet_type == enhanced.METADATA:
            self._set_color(track_id, fourcc, body)
        elif packet_type in (CODED_FRAMES, CODED_FRAMES_X):
            self._losses.drop("no_keyframe" if fourcc in self._from_frames else "no_config")
        elif packet_type != enhanced.SEQUENCE_END:
            self._losses.drop("packet_type")
        return None

    def _configure(
        self,
        track_id: int,
        fourcc: int,
        parse: Callable[[bytes], VideoConfig],
        octets: bytes | memoryview,
    ) -> None:
        """Give a track, a new one where there is room, a configuration.

        Args:
            track_id: of the track.
            fourcc: of the codec.
            parse: makes the configuration.
            octets: what it is made of: the record, or a key frame.
        """
        track = self._tracks.get(track_id)
        if track is None:
            if len(self._tracks) == MAX_TRACKS:
                return self._losses.refuse(f"a video track beyond the first {MAX_TRACKS}")
            track = self._tracks[track_id] = self._new(track_id)
        track.configure(fourcc, parse, octets)
        if track.codec_id < 0 and track is not self._first:
            del self._tracks[track_id]
        return None

    def _set_color(self, track_id: int, fourcc: int, body: bytes | memoryview) -> None:
        try:
            color = script.parse_color(body)
        except script.ScriptError:
            return self._losses.drop("data")
        track = self._tracks.get(track_id)
        if color is None or track is None:
            return None
        parse = self._codecs[fourcc]
        if track is not self._first or track.codec_id < 0 or self._parse_of(track) == parse:
            track.set_color(color)
        else:
            # FFmpeg 8.1 does not say which track it means: only one of this codec can be
            for track in self._tracks.values():
                if self._parse_of(track) == parse:
                    track.set_color(color)
        return None

    def _parse_of(self, track: VideoTrack) -> Callable[[bytes], VideoConfig] | None:
        """Return what tells a track's codec from others, by whatever number it came."""
        return self._codecs.get(track.codec_id)

    def _new(self, track_id: int) -> VideoTrack:
        number = VIDEO_TRACK_ID + 2 * track_id
        hints = self._hints.get(track_id, script.NO_HINTS)
        return VideoTrack(number, hints, self._unwrapper, self._losses, self._changed)
