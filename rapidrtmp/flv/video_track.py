"""One video track of a publication: frames, as FLV carries them, to samples."""

from collections.abc import Callable

from rapidrtmp.flv.losses import Losses
from rapidrtmp.flv.script import TrackHints
from rapidrtmp.media.codec import ColorInfo, ConfigError, VideoConfig
from rapidrtmp.media.timeline import Unwrapper
from rapidrtmp.media.track import Sample, Track

MAX_COMPOSITION_TIME = 5000
"""ms. Real B-frame delays are under a second: a greater offset is garbage and read as 0."""

_TICKS_PER_MS = 90


class VideoTrack:
    """Keeps the configuration of one video track, and makes its samples."""

    __slots__ = (
        "_changed",
        "_color",
        "_config",
        "_is_record_complete",
        "_is_started",
        "_losses",
        "_number",
        "_record",
        "_unwrapper",
        "codec_id",
        "hints",
        "track",
    )

    def __init__(
        self,
        number: int,
        hints: TrackHints,
        unwrapper: Unwrapper,
        losses: Losses,
        changed: Callable[[], None],
    ) -> None:
        """Make a track without a configuration.

        Args:
            number: its `track_id` in samples.
            hints: for people.
            unwrapper: the publication's.
            losses: counts what cannot be used.
            changed: called when there is another `track`.
        """
        self.codec_id = -1
        """CodecID or FourCC of the configuration; -1 while there is none."""
        self.track: Track | None = None
        """What samples belong to; None until a configuration is complete."""
        self.hints = hints
        """For the next `track`."""
        self._number = number
        self._unwrapper = unwrapper
        self._losses = losses
        self._changed = changed
        self._record = b""
        self._is_record_complete = False
        self._config: VideoConfig | None = None
        self._color: ColorInfo | None = None
        self._is_started = False

    def configure(
        self, codec_id: int, parse: Callable[[bytes], VideoConfig], record: bytes | memoryview
    ) -> None:
        """Take what `parse` makes a configuration of. The same record again is nothing new."""
        if codec_id == self.codec_id and record == self._record:
            return
        try:
            config = parse(bytes(record))
        except ConfigError:
            return self._losses.drop("config")
        before = self._config
        if before is None:
            pass
        elif before.codec != config.codec:
            # frames of the other codec cannot follow those of the track so far
            self._is_started = False
            self._color = None
        elif self._is_record_complete and not config.is_complete:
            # of codecs whose records say all; those of VP9 never do
            return self._losses.drop("config")
        self.codec_id = codec_id
        self._record = config.record
        self._is_record_complete = config.is_complete
        self._use(config)
        return None

    def set_color(self, color: ColorInfo) -> None:
        """Take what the publisher says of the colour, besides the bitstream."""
        self._color = color
        if self._config is not None:
            self._use(self._config)

    def sample(
        self,
        timestamp: int,
        composition_time: int,
        body: bytes | memoryview,
        key_flag: bool,
        nanoseconds: int = 0,
    ) -> Sample | None:
        """Make a sample of a coded frame, once there is a configuration. The hot path.

        Args:
            timestamp: the message's, 32 bit, in ms.
            composition_time: ms.
            body: the frame.
            key_flag: the tag says that it is a key frame.
            nanoseconds: what its presentation time is later.

        Returns:
            None when there is nothing in it that can be used.
        """
        config = self._config
        assert config is not None
        payload, is_sync, is_random_access, found, fault = config.access_unit(body, key_flag)
        if fault:
            self._losses.drop(fault)
        if found is not config:
            config = self._use(found)
        if not payload:
            return None
        track = self.track
        if is_random_access and config.is_complete:
            self._is_started = True
            if track is None or track.config != config:
                track = self._set_track(config)
        if track is None or not self._is_started:
            self._losses.drop("no_keyframe" if config.is_complete else "no_config")
            return None
        if not -MAX_COMPOSITION_TIME <= composition_time <= MAX_COMPOSITION_TIME:
            self._losses.drop("composition_time")
            composition_time = 0
        offset = composition_time * _TICKS_PER_MS
        if nanoseconds:
            offset += (nanoseconds * _TICKS_PER_MS + 500_000) // 1_000_000
        return Sample(
            track,
            self._unwrapper.unwrap(timestamp) * _TICKS_PER_MS,
            offset,
            is_sync,
            is_random_access,
            payload,
        )

    def _use(self, config: VideoConfig) -> VideoConfig:
        """Read what comes by another configuration; return it, with the colour that was told.

        The track keeps its own until a random access point: up to there, frames may
        still belong to the old one.
        """
        if self._color is not None:
            colored = config.with_color(self._color)
            if colored.color != config.color:  # where the bitstream tells, it wins
                config = colored
        self._config = config
        track = self.track
        if config.is_complete and (
            track is None or (not self._is_started and track.config != config)
        ):
            self._set_track(config)
        return config

    def _set_track(self, config: VideoConfig) -> Track:
        self.track = track = Track(self._number, config, *self.hints)
        self._changed()
        return track
