"""Audio tags to samples (FLV 10.1 section E.4.2, Enhanced RTMP v2)."""

from collections.abc import Callable, Mapping

from rapidrtmp.flv import enhanced, script, tag
from rapidrtmp.flv.audio_track import AudioTrack
from rapidrtmp.flv.losses import MAX_TRACKS, Losses, codec_name
from rapidrtmp.media.codec import CodecRegistry
from rapidrtmp.media.timeline import Unwrapper
from rapidrtmp.media.track import AUDIO_TRACK_ID, Sample, Track

_CODED_FRAME = bytes((tag.CODED_FRAME,))


class AudioDemuxer:
    """The audio tracks of one publication."""

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
        self._codecs = registry.audio
        self._from_frames = registry.audio_frames
        self._names = registry.audio_names
        self._codes = enhanced.known_codes(
            registry.audio, registry.audio_frames, registry.audio_names
        )
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

    def receive(self, timestamp: int, octets: bytes | memoryview) -> list[Sample]:
        """Take one tag body, which is not empty; return the samples in it.

        AAC comes back as slices of what was handed in, other codecs as views of it.
        """
        track = self._first
        sound_format = octets[0] >> 4
        if sound_format == tag.AAC == track.codec_id and octets[1:2] == _CODED_FRAME:
            # nearly all messages
            sample = track.sample(timestamp, octets[2:])
            return [sample] if sample is not None else []
        view = memoryview(octets)
        if sound_format == tag.EX_AUDIO:
            return self._receive_extended(timestamp, view)
        try:
            sound_format, packet_type, body, _ = tag.parse_audio(view)
        except tag.TagError:
            self._losses.drop("short")
            return []
        if packet_type != tag.CODED_FRAME:
            self._control(sound_format, packet_type, body)
            return []
        if sound_format != track.codec_id and not self._configure_from(0, sound_format, body):
            return []
        sample = track.sample(timestamp, body)
        return [sample] if sample is not None else []

    def _control(self, sound_format: int, packet_type: int, body: bytes | memoryview) -> None:
        """Take a legacy tag that holds no frame."""
        if sound_format not in self._codecs:
            self._losses.refuse(codec_name(sound_format, self._names))
        elif packet_type == tag.SEQUENCE_HEADER:
            self._first.configure(sound_format, self._codecs[sound_format], body)
        else:
            self._losses.drop("packet_type")

    def _receive_extended(self, timestamp: int, octets: memoryview) -> list[Sample]:
        if len(octets) >= enhanced.HEADER.size:
            # nearly all messages: a frame of track 0 without more ado
            first, fourcc = enhanced.HEADER.unpack_from(octets)
            if (
                fourcc == self._first.codec_id > tag.MAX_CODEC_ID
                and first == enhanced.PLAIN_AUDIO_FRAME
            ):
                sample = self._first.sample(timestamp, octets[enhanced.HEADER.size :])
                return [sample] if sample is not None else []
        try:
            packet_type, parts, _, nanoseconds, _ = enhanced.parse_audio(octets)
        except tag.TagError as error:
            self._losses.drop(error.reason)
            return []
        samples: list[Sample] = []
        for track_id, fourcc, body in parts:
            if fourcc <= tag.MAX_CODEC_ID:  # means another thing in the registry
                self._losses.drop("packet_type")
                continue
            track = self._tracks.get(track_id)
            if track is None or fourcc != track.codec_id:
                fourcc = self._codes.get(enhanced.folded(fourcc), fourcc)
            if packet_type != enhanced.CODED_FRAMES:
                self._control_extended(track_id, fourcc, packet_type, body)
                continue
            if track is None or fourcc != track.codec_id:
                if not self._configure_from(track_id, fourcc, body):
                    continue
                track = self._tracks[track_id]
            sample = track.sample(timestamp, body, nanoseconds)
            if sample is not None:
                samples.append(sample)
        return samples

    def _control_extended(
        self, track_id: int, fourcc: int, packet_type: int, body: bytes | memoryview
    ) -> None:
        """Take a part of a message that holds no frame."""
        if fourcc not in self._codecs and fourcc not in self._from_frames:
            self._losses.refuse(codec_name(fourcc, self._names))
        elif packet_type == enhanced.SEQUENCE_START:
            if fourcc in self._codecs:  # that of others has nothing in it
                self._configure(track_id, fourcc, body)
        elif packet_type == enhanced.MULTICHANNEL_CONFIG:
            self._check_channels(track_id, body)
        elif packet_type != enhanced.SEQUENCE_END:
            self._losses.drop("packet_type")

    def _configure(self, track_id: int, fourcc: int, record: bytes | memoryview) -> None:
        track = self._place(track_id)
        if track is not None:
            track.configure(fourcc, self._codecs[fourcc], record)
            self._tidy(track_id)

    def _configure_from(self, track_id: int, code: int, frame: bytes | memoryview) -> bool:
        """Take the configuration of a codec without records out of a frame.

        Returns:
            Whether the track has one now; if not, the frame is dropped.
        """
        if code not in self._from_frames:
            if code in self._codecs:
                self._losses.drop("no_config")
            else:
                self._losses.refuse(codec_name(code, self._names))
            return False
        if not frame:
            return False
        track = self._place(track_id)
        if track is None:
            return False
        track.configure_from(code, self._from_frames[code], frame)
        self._tidy(track_id)
        return track.codec_id == code

    def _place(self, track_id: int) -> AudioTrack | None:
        """Return a track, a new one where there is room; None, and refuse it, where not."""
        track = self._tracks.get(track_id)
        if track is None:
            if len(self._tracks) == MAX_TRACKS:
                self._losses.refuse(f"an audio track beyond the first {MAX_TRACKS}")
                return None
            track = self._tracks[track_id] = self._new(track_id)
        return track

    def _tidy(self, track_id: int) -> None:
        """Forget a track that got no configuration."""
        if track_id and self._tracks[track_id].codec_id < 0:
            del self._tracks[track_id]

    def _check_channels(self, track_id: int, body: bytes | memoryview) -> None:
        track = self._tracks.get(track_id)
        try:
            channels = enhanced.channel_count(body)
        except tag.TagError:
            return self._losses.drop("short")
        if track is not None:
            track.check_channels(channels)
        return None

    def _new(self, track_id: int) -> AudioTrack:
        number = AUDIO_TRACK_ID + 2 * track_id
        hints = self._hints.get(track_id, script.NO_HINTS)
        return AudioTrack(number, hints, self._unwrapper, self._losses, self._changed)
