"""What an operator wants to know of a stream, counted while it flows and read when asked."""

from collections import deque

from rapidrtmp.histogram import Histogram, PowerHistogram

FRAME_SIZE_SHIFT = 10
"""Frame sizes are counted in buckets of up to 1 KiB, 2 KiB, 4 KiB, ..."""
STREAM_DURATIONS = [10.0 * 2**k for k in range(10)]
"""Seconds."""


class Statistics:
    """Plain counters; rates are taken from snapshots that `tick` makes once a second."""

    WINDOW = 10
    """Seconds that rates are averaged over."""

    def __init__(self) -> None:
        self.bytes_received = 0
        """Payload bytes of all samples."""
        self.frames_received = 0
        """Audio and video samples."""
        self.video_frames = 0
        """Of all video tracks."""
        self.first_track_frames = 0
        """Of the first video track, by which the frame rate is told."""
        self.keyframes_received = 0
        """Video sync samples."""
        self.dropped: dict[str, int] = {}
        """Frames that arrived and could not be used, by reason."""
        self.unsupported: set[str] = set()
        """Codecs of this publication that nobody can use, for people: 'Speex (11)'."""
        self.jumps = 0
        """Jumps of the encoder's clock."""
        self.publishers = 0
        """Publications."""
        self.output_failures = 0
        """Outputs that raised, and were taken off the stream."""
        self.video_sizes = PowerHistogram(FRAME_SIZE_SHIFT)
        self.audio_sizes = PowerHistogram(FRAME_SIZE_SHIFT)
        """Payload bytes of each frame."""
        self.last_frame_at: float | None = None
        """Unix time of the newest sample."""
        self.keyframe_interval: float | None = None
        """Seconds between the two newest key frames."""
        self._last_keyframe: float | None = None
        self._snapshots: deque[tuple[float, int, int]] = deque(maxlen=self.WINDOW + 1)

    @property
    def frames_dropped(self) -> int:
        """All frames that arrived and could not be used."""
        return sum(self.dropped.values())

    @property
    def audio_frames(self) -> int:
        """Audio samples."""
        return self.frames_received - self.video_frames

    def drop(self, reason: str, frames: int) -> None:
        """Count frames that could not be used.

        Args:
            reason: one short stable word.
            frames: how many.
        """
        if frames:
            self.dropped[reason] = self.dropped.get(reason, 0) + frames

    def keyframe(self, seconds: float) -> None:
        """Note a key frame at a decoding time in seconds."""
        self.keyframes_received += 1
        if self._last_keyframe is not None and seconds > self._last_keyframe:
            self.keyframe_interval = seconds - self._last_keyframe
        self._last_keyframe = seconds

    def jump(self) -> None:
        """Note a jump of the encoder's clock: no time before it compares with one behind it."""
        self.jumps += 1
        self._last_keyframe = self.keyframe_interval = None

    def restart(self) -> None:
        """Forget the rates: another publication starts."""
        self._snapshots.clear()
        self.unsupported.clear()
        self._last_keyframe = self.keyframe_interval = None

    def tick(self, now: float) -> None:
        """Take a snapshot; to be called about once a second."""
        self._snapshots.append((now, self.bytes_received, self.first_track_frames))

    @property
    def bitrate(self) -> int:
        """bit/s over the last `WINDOW` seconds."""
        return int(self._rate(1) * 8)

    @property
    def frame_rate(self) -> float | None:
        """Video frames/s over the last `WINDOW` seconds; None without video."""
        return self._rate(2) if self.first_track_frames else None

    def bitrate_over(self, seconds: int) -> float:
        """Return bit/s over the last so many snapshots; 0 while there are fewer."""
        if len(self._snapshots) <= seconds:
            return 0.0
        first, last = self._snapshots[-1 - seconds], self._snapshots[-1]
        return 8 * (last[1] - first[1]) / (last[0] - first[0]) if last[0] > first[0] else 0.0

    def _rate(self, column: int) -> float:
        if len(self._snapshots) < 2:
            return 0.0
        first, last = self._snapshots[0], self._snapshots[-1]
        return (last[column] - first[column]) / (last[0] - first[0]) if last[0] > first[0] else 0.0


class Totals:
    """What all streams of the process did, those that are over included."""

    def __init__(self) -> None:
        self.streams_created = 0
        """Streams that ever were."""
        self.streams_ended = 0
        self.durations = Histogram(STREAM_DURATIONS)
        """Seconds from the first media to the end of each stream that is over."""
        self.bytes_received = 0
        self.keyframes_received = 0
        self.publishers = 0
        self.output_failures = 0
        self.viewers = 0
        """Viewers of streams that are over."""
        self.video_sizes = PowerHistogram(FRAME_SIZE_SHIFT)
        self.audio_sizes = PowerHistogram(FRAME_SIZE_SHIFT)
        self.refusals: dict[tuple[str, str], int] = {}
        """Refused requests by action and reason."""

    def refuse(self, action: str, reason: str) -> None:
        """Count a refused request."""
        self.refusals[action, reason] = self.refusals.get((action, reason), 0) + 1

    def add(self, statistics: Statistics, viewers: int, seconds: float) -> None:
        """Add what a stream counted, now that it is over.

        Args:
            statistics: the stream's.
            viewers: that it ever had.
            seconds: from its first media to its end; 0 when none ever came.
        """
        self.streams_ended += 1
        self.viewers += viewers
        if seconds:
            self.durations.observe(seconds)
        self.bytes_received += statistics.bytes_received
        self.keyframes_received += statistics.keyframes_received
        self.publishers += statistics.publishers
        self.output_failures += statistics.output_failures
        self.video_sizes.merge(statistics.video_sizes)
        self.audio_sizes.merge(statistics.audio_sizes)
