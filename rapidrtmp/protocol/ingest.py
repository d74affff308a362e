"""One granted publish: media from the session to the stream, and whether it is of any use."""

from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.flv.losses import LOST
from rapidrtmp.media.track import Sample
from rapidrtmp.protocol.pacing import Pacing
from rapidrtmp.rtmp.message import DATA_AMF0, DATA_AMF3
from rapidrtmp.stream.publication import Publication

MAX_CHANGES = 20
"""Changes of codec configuration in `CHANGES_PERIOD`: each costs the viewers a discontinuity
and the storage new files."""
CHANGES_PERIOD = 60.0
"""Seconds."""

_WITHOUT_START = {
    "no_config": "frames came without a codec configuration",
    "no_keyframe": "no key frame came",
    "config": "the codec configuration is broken",
    "audio_frame": "audio frames cannot be read",
}
"""Why a demuxer's first frames can be of no use, in words for the person at the encoder."""


class Unusable(Exception):
    """What a publisher sends, or does not send, is of no use: it has to go.

    `reason` is one short stable word for counters and logs.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Ingest:
    """Hands the messages of one publisher to its publication.

    Args:
        publication: the right that was granted.
        demuxer: a fresh one.
        pacing: a fresh one.
        first_media_timeout: seconds until the first sample must have come.
        idle_timeout: seconds that may pass without a sample later on.
    """

    def __init__(
        self,
        publication: Publication,
        demuxer: Demuxer,
        pacing: Pacing,
        first_media_timeout: float,
        idle_timeout: float,
    ) -> None:
        self.publication = publication
        self.demuxer = demuxer
        self._pacing = pacing
        self._first_media_timeout = first_media_timeout
        self._idle_timeout = idle_timeout
        self._tracks = demuxer.tracks
        self._changes = 0.0
        self._sample: Sample | None = None
        self._seen: Sample | None = None
        self._silence = 0.0
        self._dropped: dict[str, int] = {}

    def receive(self, type_id: int, timestamp: int, payload: bytes) -> None:
        """Hand one message on. The hot path.

        Args:
            type_id: of the message: 8 audio, 9 video, 15 and 18 data.
            timestamp: u32 ms.
            payload: its body.

        Raises:
            Unusable: ``config_flapping``.
        """
        demuxer = self.demuxer
        samples = demuxer.receive(type_id, timestamp, payload)
        if demuxer.tracks is not self._tracks:
            self._set_tracks()
        for sample in samples:
            self._sample = sample
            self.publication.write(sample)
        if type_id == DATA_AMF0 or type_id == DATA_AMF3:
            if demuxer.script is None:
                self.publication.set_metadata(demuxer.metadata)
            else:
                self.publication.write_script(*demuxer.script)

    def _set_tracks(self) -> None:
        # a demuxer never takes a track back: with as many as before, one has changed
        if len(self.demuxer.tracks) == len(self._tracks):
            self._changes += 1.0
        if self._changes > MAX_CHANGES:
            raise Unusable(
                "config_flapping", "the codec configuration changes all the time: stop the encoder"
            )
        self._tracks = self.demuxer.tracks
        self.publication.set_tracks(self._tracks)

    def seconds_ahead(self, now: float) -> float:
        """Return for how many seconds reading must pause, 0 for not at all.

        Args:
            now: seconds by the wall clock.
        """
        sample = self._sample
        if sample is None:
            return 0.0
        return self._pacing.wait(sample.dts / sample.track.timescale, now)

    def close(self, reason: str) -> None:
        """End the publication from the publisher's side.

        Args:
            reason: for the log.
        """
        self._report()
        self.publication.close(reason)

    def _report(self) -> None:
        """Pass on what the demuxer could not use."""
        demuxer = self.demuxer
        if demuxer.dropped != self._dropped:
            for reason in LOST:
                new = demuxer.dropped.get(reason, 0) - self._dropped.get(reason, 0)
                self.publication.count_dropped(reason, new)
            self._dropped = dict(demuxer.dropped)
        self.publication.note_unsupported(demuxer.unsupported)

    def tick(self, seconds: float) -> None:
        """Count time in which the publisher was listened to.

        Counted, not taken from a clock: a step of the clock must not end every stream.

        Args:
            seconds: since the last call.

        Raises:
            Unusable: ``no_media`` or ``publisher_idle``.
        """
        self._report()
        self._changes = max(0.0, self._changes - seconds * MAX_CHANGES / CHANGES_PERIOD)
        if self._sample is not self._seen:
            self._seen = self._sample
            self._silence = 0.0
            return
        self._silence += seconds
        if self._sample is not None:
            if self._silence >= self._idle_timeout:
                raise Unusable("publisher_idle", f"no audio or video for {self._silence:.0f} s")
        elif self._silence >= self._first_media_timeout:
            text = f"no audio or video that can be used in {self._silence:.0f} s"
            for reason, words in _WITHOUT_START.items():
                if reason in self.demuxer.dropped:
                    text += f"; {words}"
            if self.demuxer.unsupported:
                text += f"; not supported: {', '.join(sorted(self.demuxer.unsupported))}"
            raise Unusable("no_media", text)
