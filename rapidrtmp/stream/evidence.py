"""What is seen of a stream once a second, kept for a while: what diagnoses are made from."""

from collections import deque
from collections.abc import Mapping
from itertools import pairwise
from statistics import mean
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from rapidrtmp.media.codec import VideoConfig
from rapidrtmp.media.track import Track
from rapidrtmp.stream.lifecycle import StreamState

if TYPE_CHECKING:
    from rapidrtmp.stream.stream import Stream

WINDOW = 30
"""Seconds that are looked back."""
RATE_WINDOW = 10
"""Seconds that rates are taken over."""
LONGEST_STEP = 3.0
"""Seconds between two looks above which what was seen before is forgotten: the server, or its
clock, has jumped, and no rate over the jump means anything."""
SETTLING = 15
"""Looks at tracks side by side before their distance counts as the one that they started with."""
SHORTEST_MS = 500
"""Media between two looks below which no frame rate is taken from it."""


class Observation(NamedTuple):
    """Counters of the stream at one moment."""

    now: float
    """Unix time."""
    bytes: int
    video_frames: int
    audio_frames: int
    keyframes: int
    jumps: int
    held: int
    dropped: Mapping[str, int]
    media_ms: int | None
    """Where the timeline has come to; None until the stream is live."""
    video_ms: int | None
    """Where its first video track has come to."""
    audio_ms: int | None
    """Where its first audio track has come to."""


class Evidence:
    """What one publication has shown so far."""

    def __init__(self) -> None:
        self.last: Observation
        """The newest one."""
        self.age = 0.0
        """Seconds since the publisher was let in."""
        self.silence = 0.0
        """Seconds since the newest frame."""
        self.metadata: Mapping[str, Any] = {}
        """What the publisher said of itself."""
        self.video: VideoConfig | None = None
        """Of the first video track."""
        self.unsupported: frozenset[str] = frozenset()
        """Codecs that were refused, for people."""
        self.unpackaged: tuple[Track, ...] = ()
        """Tracks that flow, but not into segments."""
        self.is_packaged = False
        """Whether others do."""
        self.keyframe_interval: float | None = None
        """Seconds of media between the two newest key frames."""
        self.skew: float | None = None
        """Seconds by which sound arrives ahead of the picture."""
        self.drift = 0.0
        """Seconds by which `skew` has changed since the publication, or its last jump, began."""
        self._video_tracks = 0
        self._seen: deque[Observation] = deque(maxlen=WINDOW + 1)
        self._skews: deque[float] = deque(maxlen=RATE_WINDOW)
        self._skews_seen = 0
        self._first_skew = 0.0

    def observe(self, stream: "Stream", now: float) -> None:
        """Look at a stream that has a publisher; to be done about once a second.

        Args:
            stream: always the same one.
            now: unix time.
        """
        statistics, publication = stream.statistics, stream.publication
        assert publication is not None
        ends = stream.timeline.ends_ms() if stream.state is StreamState.LIVE else {}
        video, audio = (_first(stream.tracks, kind) for kind in ("video", "audio"))
        if self._seen and not 0 <= now - self.last.now <= LONGEST_STEP:
            self._seen.clear()
        self.last = Observation(
            now,
            statistics.bytes_received,
            statistics.video_frames,
            statistics.audio_frames,
            statistics.keyframes_received,
            statistics.jumps,
            stream.timeline.held,
            dict(statistics.dropped),
            max(ends.values(), default=None),
            None if video is None else ends.get(video.track_id),
            None if audio is None else ends.get(audio.track_id),
        )
        self._note_skew(self._seen[-1] if self._seen else None)
        self._seen.append(self.last)
        self.age = now - publication.since
        self.silence = now - (statistics.last_frame_at or now)
        self.metadata = stream.metadata
        self.video = None if video is None else cast(VideoConfig, video.config)
        self._video_tracks = sum(track.kind == "video" for track in stream.tracks)
        self.unsupported = frozenset(statistics.unsupported)
        packaged = stream.packaged_tracks
        self.unpackaged = tuple(track for track in stream.tracks if track not in packaged)
        self.is_packaged = bool(packaged)
        self.keyframe_interval = statistics.keyframe_interval

    @property
    def first(self) -> Observation:
        """The oldest one in the window."""
        return self._seen[0]

    def before(self, seconds: int) -> Observation | None:
        """Return what was seen so many seconds ago; None when the publication is younger."""
        return self._seen[-1 - seconds] if len(self._seen) > seconds else None

    def dropped(self, seconds: int) -> dict[str, int]:
        """Return the frames that could not be used, by reason, over the last seconds."""
        past = self._seen[max(0, len(self._seen) - 1 - seconds)].dropped
        return {
            reason: frames - past.get(reason, 0)
            for reason, frames in self.last.dropped.items()
            if frames > past.get(reason, 0)
        }

    @property
    def keyframe_age(self) -> float:
        """Seconds of media that are known to have come since the newest key frame."""
        age_ms = 0
        for seen in reversed(self._seen):
            if seen.keyframes != self.last.keyframes or seen.video_ms is None:
                break
            age_ms = (self.last.video_ms or 0) - seen.video_ms
        return age_ms / 1000

    @property
    def bitrate(self) -> float | None:
        """bit/s of media time; None until it is known."""
        past = self.before(RATE_WINDOW)
        if past is None or past.media_ms is None or self.last.media_ms is None:
            return None
        passed = self.last.media_ms - past.media_ms
        return 8000 * (self.last.bytes - past.bytes) / passed if passed > 0 else None

    @property
    def frame_rates(self) -> list[float]:
        """Frames in each of the last seconds of media; empty unless one video track flows."""
        if self._video_tracks != 1 or len(self._seen) <= RATE_WINDOW:
            return []
        rates = []
        for past, seen in pairwise(list(self._seen)[-1 - RATE_WINDOW :]):
            if past.video_ms is None or seen.video_ms is None:
                return []
            passed = seen.video_ms - past.video_ms
            if passed >= SHORTEST_MS:
                rates.append(1000 * (seen.video_frames - past.video_frames) / passed)
        # Fewer than half: the picture stands still, and has no rate.
        return rates if 2 * len(rates) > RATE_WINDOW else []

    def _note_skew(self, past: Observation | None) -> None:
        """Learn how far apart the tracks are, while both flow."""
        last = self.last
        if last.video_ms is None or last.audio_ms is None or past is None:
            return
        if past.video_ms is None or past.audio_ms is None or past.jumps != last.jumps:
            self._skews.clear()
            self._skews_seen = 0
            self.skew, self.drift = None, 0.0
            return
        if last.video_ms > past.video_ms and last.audio_ms > past.audio_ms:
            self._skews.append((last.audio_ms - last.video_ms) / 1000)
            self._skews_seen += 1
            if self._skews_seen == SETTLING:
                self._first_skew = mean(self._skews)
            if self._skews_seen >= SETTLING:
                self.skew = mean(self._skews)
                self.drift = self.skew - self._first_skew


def _first(tracks: tuple[Track, ...], kind: str) -> Track | None:
    return next((track for track in tracks if track.kind == kind), None)
