"""Finds out which tracks a publication really has, before the first of them is packaged."""

from collections.abc import Iterable, Sequence

from rapidrtmp.media.track import Sample, Track


class Probe:
    """Holds a publication's first samples until its tracks are known.

    Metadata lie about tracks, so what counts is what arrives: it is over when a sample of
    video and of audio is there, or after `TRACKS` seconds of media or of wall time with one
    of them; video that never shows a key frame is waited for longer.
    """

    TRACKS = 2.0
    """Seconds that a second track is waited for."""
    KEYFRAME = 10.0
    """Seconds that a first key frame is waited for while other media flow."""

    def __init__(self, now: float) -> None:
        self.started = now
        """Unix time at which the first sample came (before it: the publication)."""
        self.dropped = 0
        """Samples before the first key frame, or of a configuration that did not last."""
        self._samples: list[Sample] = []
        self._tracks: dict[int, Track] = {}
        self._earliest = self._latest = 0.0

    def add(self, sample: Sample, tracks: Sequence[Track], now: float) -> bool:
        """Take a sample.

        Args:
            sample: in the publisher's own time.
            tracks: the tracks that were announced by a configuration so far.
            now: unix time.

        Returns:
            Whether the probe is over.
        """
        track = sample.track
        seconds = sample.dts / track.timescale
        if not self._samples and not self.dropped:
            self.started = now
            self._earliest = self._latest = seconds
        self._earliest = min(self._earliest, seconds)
        self._latest = max(self._latest, seconds)
        if track.kind == "video" and track.track_id not in self._tracks:
            if not sample.is_random_access:
                self.dropped += 1
                return self.is_over(tracks, now)
        elif self._tracks.get(track.track_id, track) is not track:
            # The configuration changed while we were waiting: start with the new one.
            kept = [held for held in self._samples if held.track.track_id != track.track_id]
            self.dropped += len(self._samples) - len(kept)
            self._samples = kept
        self._tracks[track.track_id] = track
        self._samples.append(sample)
        return self.is_over(tracks, now)

    def is_over(self, tracks: Sequence[Track], now: float) -> bool:
        """Tell whether enough is known to start."""
        if not self._samples:
            return False
        kinds = {track.kind for track in self._tracks.values()}
        if len(kinds) == 2 and all(track.track_id in self._tracks for track in tracks):
            return True
        waited = max(now - self.started, self._latest - self._earliest)
        awaits_keyframe = "video" not in kinds and any(track.kind == "video" for track in tracks)
        return waited >= (self.KEYFRAME if awaits_keyframe else self.TRACKS)

    @property
    def samples(self) -> list[Sample]:
        """What was held, in order of decoding time."""
        return sorted(self._samples, key=lambda sample: sample.dts / sample.track.timescale)

    @property
    def tracks(self) -> list[Track]:
        """The tracks that have samples, the leading one first."""
        return leading_first(self._tracks.values())


def leading_first(tracks: Iterable[Track]) -> list[Track]:
    """Order tracks by id: the first video track leads, or what else is packaged.

    What is not packaged has no say in where segments begin.
    """
    return sorted(
        tracks,
        key=lambda track: (
            not track.config.has_sample_entry,
            track.kind != "video",
            track.track_id,
        ),
    )
