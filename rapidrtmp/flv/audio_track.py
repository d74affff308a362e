"""One audio track of a publication: frames, as FLV carries them, to samples."""

from collections.abc import Callable

from rapidrtmp.flv.losses import Losses
from rapidrtmp.flv.script import TrackHints
from rapidrtmp.media.codec import AudioConfig, ConfigError
from rapidrtmp.media.timeline import AudioClock, Unwrapper
from rapidrtmp.media.track import Sample, Track


class AudioTrack:
    """Keeps the configuration of one audio track, and makes its samples."""

    __slots__ = (
        "_changed",
        "_clock",
        "_config",
        "_from_frame",
        "_losses",
        "_number",
        "_record",
        "_ticks",
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
        """SoundFormat or FourCC of the configuration; -1 while there is none."""
        self.track: Track | None = None
        """What samples belong to; None until there is a configuration."""
        self.hints = hints
        """For the next `track`."""
        self._number = number
        self._unwrapper = unwrapper
        self._losses = losses
        self._changed = changed
        self._record: bytes | None = None
        self._from_frame: Callable[[bytes], AudioConfig] | None = None
        self._config: AudioConfig | None = None
        self._ticks = 0  # of every frame; 0 where each has to be looked at
        self._clock: AudioClock | None = None

    def configure(
        self, codec_id: int, parse: Callable[[bytes], AudioConfig], record: bytes | memoryview
    ) -> None:
        """Take a configuration record. The same one again is nothing new."""
        if codec_id == self.codec_id and record == self._record:
            return
        try:
            config = parse(bytes(record))
        except ConfigError:
            return self._losses.drop("config")
        self._from_frame = None
        self._use(codec_id, config.record, config)
        self._ticks = config.samples_per_frame
        return None

    def configure_from(
        self, codec_id: int, parse: Callable[[bytes], AudioConfig], frame: bytes | memoryview
    ) -> None:
        """Take the configuration of a codec without records out of a frame."""
        try:
            config = parse(bytes(frame))
        except ConfigError:
            return self._losses.drop("audio_frame")
        self._from_frame = parse
        self._use(codec_id, None, config)
        self._ticks = 0
        return None

    def check_channels(self, channels: int) -> None:
        """Compare what a MultichannelConfig says; the codec's own configuration wins."""
        if self._config is not None and self._config.channels != channels:
            self._losses.drop("channels")

    def sample(
        self, timestamp: int, body: bytes | memoryview, nanoseconds: int = 0
    ) -> Sample | None:
        """Make a sample of a coded frame, once there is a configuration. The hot path.

        Args:
            timestamp: the message's, 32 bit, in ms.
            body: the frame.
            nanoseconds: what its presentation time is later. Audio time is counted in
                samples, which timestamps only steer: to the nearest ms is close enough.

        Returns:
            None when there is nothing in it that can be used.
        """
        if not body:  # FFmpeg ends FLAC like that
            return None
        ticks = self._ticks or self._count(body)
        if not ticks:
            return None
        track, clock = self.track, self._clock
        assert track is not None and clock is not None
        ms = self._unwrapper.unwrap(timestamp)
        if nanoseconds >= 500_000:
            ms += 1
        return Sample(track, clock.place(ms, ticks), 0, True, True, body)

    def _count(self, body: bytes | memoryview) -> int:
        """Return the ticks in a frame that has to be looked at; 0 when it cannot be used."""
        config = self._config
        assert config is not None
        ticks = config.frame_samples(body)
        if not ticks and self._from_frame is not None:
            # another kind of frame than those so far: the parameters may have changed
            try:
                found = self._from_frame(bytes(body))
            except ConfigError:
                found = config
            if found != config:
                self._use(self.codec_id, None, found)
                ticks = found.frame_samples(body)
        if not ticks:
            self._losses.drop("audio_frame")
        return ticks

    def _use(self, codec_id: int, record: bytes | None, config: AudioConfig) -> None:
        self.codec_id = codec_id
        self._record = record
        if config == self._config:
            return
        self._config = config
        self._clock = AudioClock(config.timescale, config.samples_per_frame)
        self.track = Track(self._number, config, *self.hints)
        self._changed()
