"""What an operator wants to know of a stream, counted while it flows and read when asked."""

from collections import deque


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
        self.keyframes_received = 0
        """Video sync samples."""
        self.frames_dropped = 0
        """Samples that arrived and could not be used, such as those before the first key frame."""
        self.last_frame_at: float | None = None
        """Unix time of the newest sample."""
        self.keyframe_interval: float | None = None
        """Seconds between the two newest key frames."""
        self._last_keyframe: float | None = None
        self._snapshots: deque[tuple[float, int, int]] = deque(maxlen=self.WINDOW + 1)

    def keyframe(self, seconds: float) -> None:
        """Note a key frame at a decoding time in seconds."""
        self.keyframes_received += 1
        if self._last_keyframe is not None and seconds > self._last_keyframe:
            self.keyframe_interval = seconds - self._last_keyframe
        self._last_keyframe = seconds

    def restart(self) -> None:
        """Forget the rates: another publication starts."""
        self._snapshots.clear()
        self._last_keyframe = self.keyframe_interval = None

    def tick(self, now: float) -> None:
        """Take a snapshot; to be called about once a second."""
        self._snapshots.append((now, self.bytes_received, self.video_frames))

    @property
    def bitrate(self) -> int:
        """bit/s over the last `WINDOW` seconds."""
        return int(self._rate(1) * 8)

    @property
    def frame_rate(self) -> float | None:
        """Video frames/s over the last `WINDOW` seconds; None without video."""
        return self._rate(2) if self.video_frames else None

    def _rate(self, column: int) -> float:
        if len(self._snapshots) < 2:
            return 0.0
        first, last = self._snapshots[0], self._snapshots[-1]
        return (last[column] - first[column]) / (last[0] - first[0]) if last[0] > first[0] else 0.0
