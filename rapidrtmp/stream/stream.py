"""A stream: outlives its publishers, owns its timeline, and feeds its outputs."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from rapidrtmp.interfaces import AccessRequest, Grant, IHTTPOutput, IOutput, Refusal
from rapidrtmp.media.segmentation import Boundary, Segmentation
from rapidrtmp.media.timeline import Timeline
from rapidrtmp.media.track import Sample, Track
from rapidrtmp.stream.lifecycle import RESERVE, Record, StreamState, first_sequence
from rapidrtmp.stream.probe import Probe, leading_first
from rapidrtmp.stream.publication import Eviction, Publication
from rapidrtmp.stream.statistics import Statistics
from rapidrtmp.stream.viewers import Viewers

JUMPS = 20
JUMPS_PERIOD = 60.0
"""A publisher whose clock jumps so often in so many seconds is sent away."""
LEADING_SILENCE = 5.0
"""Seconds after which a leading track that stopped hands over to those that flow on."""


class Attachment:
    """An output's hold on its stream."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self.cancel = cancel
        """Take the output off the stream."""


class Stream:
    """One stream key's life, from its first publisher to the end of its last grace."""

    _log = Logger()

    def __init__(
        self,
        record: Record,
        clock: IReactorTime,
        *,
        segment_duration: float,
        max_viewers: int,
        record_changed: Callable[[Record], None],
        became_idle: "Callable[[Stream, Publication], None]",
    ) -> None:
        """Make a stream without a publisher.

        Args:
            record: of a new life, or of one that goes on after a restart.
            clock: tells unix time.
            segment_duration: seconds.
            max_viewers: limit of HTTP viewers at once.
            record_changed: called with each record that is to be kept.
            became_idle: called when a publication is over.
        """
        self.key = record.key
        self.life = record.life
        self.state = StreamState.IDLE
        self.started_at: float | None = None
        """Unix time of the first media; None before."""
        self.live_since = 0.0
        """Unix time at which the newest continuity of a publication started."""
        self.stopped_at: float | None = None
        self.idle_since = record.idle_since
        """Unix time since which nobody publishes; None while somebody does."""
        self.tracks: tuple[Track, ...] = ()
        """The tracks that flow, the leading one first."""
        self.metadata: dict[str, Any] = {}
        self.statistics = Statistics()
        self.publication: Publication | None = None
        self.viewer_count = Viewers(clock, max_viewers)
        self.segmentation = Segmentation(
            segment_duration,
            first_sequence(clock.seconds(), record.reserved),
            record.discontinuity,
            record.target_duration,
        )
        self.timeline = Timeline()
        self.outputs: list[IOutput] = []
        self._clock = clock
        self._record_changed = record_changed
        self._became_idle = became_idle
        self._reserved = record.reserved
        self._saved_target = record.target_duration
        self._announced: tuple[Track, ...] = ()
        self._live: dict[int, Track] = {}
        self._leading: Track | None = None
        self._leading_at = 0.0
        self._jumps: deque[float] = deque(maxlen=JUMPS)
        self._probe: Probe | None = None
        self._probe_timer: IDelayedCall | None = None
        if record.reserved:
            # A life that goes on after a restart: what was open then was lost.
            self.segmentation.interrupt()

    @property
    def viewers(self) -> int:
        """How many watch by HTTP."""
        return len(self.viewer_count)

    @property
    def http_outputs(self) -> list[IHTTPOutput]:
        """The outputs that are seen over HTTP."""
        return [output for output in self.outputs if IHTTPOutput.providedBy(output)]

    @property
    def record(self) -> Record:
        """What must survive the process, as of now."""
        return Record(
            self.key,
            self.life,
            self._reserved,
            self.segmentation.discontinuity,
            self.segmentation.target_duration,
            self.idle_since,
        )

    def attach(self, output: IOutput) -> Attachment:
        """Hang an output on the stream."""
        self.outputs.append(output)
        if self._live:
            output.tracks_changed(self.tracks)
        return Attachment(lambda: self.outputs.remove(output))

    def admit_viewer(self, address: str, user_agent: str) -> bool:
        """Count a viewer by HTTP; tell whether there is room for it."""
        return self.viewer_count.admit(address, user_agent)

    # The publisher's side.

    def publish(self, request: AccessRequest, grant: Grant) -> Publication:
        """Give the stream, which must have none, a publisher."""
        assert self.publication is None
        self.publication = Publication(self, request, grant)
        self.state = StreamState.CONNECTING
        self.idle_since = None
        self._announced = ()
        self.metadata = {}
        self.statistics.restart()
        self.statistics.last_frame_at = self._clock.seconds()
        self._probe = Probe(self._clock.seconds())
        self._save()
        return self.publication

    def set_tracks(self, tracks: Sequence[Track]) -> None:
        """Learn the tracks whose configuration is known."""
        self._announced = tuple(tracks)

    def write(self, sample: Sample) -> None:
        """Take one sample, in the publisher's own time. The hot path."""
        statistics = self.statistics
        statistics.bytes_received += len(sample.payload)
        statistics.frames_received += 1
        statistics.last_frame_at = now = self._clock.seconds()
        track = sample.track
        if track.kind == "video":
            statistics.video_frames += 1
            if sample.is_sync:
                statistics.keyframe(sample.dts / track.timescale)
        if self._probe is None:
            self._flow(sample, now)
        elif self._probe.add(sample, self._announced, now):
            self._start()
        elif self._probe_timer is None:
            self._wait_for_tracks(Probe.TRACKS)

    def publication_closed(self, reason: str) -> None:
        """The publisher is gone: finish what is open and wait for its return."""
        if self._probe is not None and self._probe.samples:
            self._start()
        self._cancel_probe()
        self._interrupt()
        publication, self.publication = self.publication, None
        assert publication is not None
        self.state = StreamState.IDLE
        self.idle_since = self._clock.seconds()
        self._save()
        self._log.info(
            "stream {key}: publisher gone ({reason}); {frames} frames, {dropped} dropped",
            key=self.key,
            reason=reason,
            frames=self.statistics.frames_received,
            dropped=self.statistics.frames_dropped,
        )
        self._became_idle(self, publication)

    # The end.

    def end(self, eviction: Eviction) -> None:
        """End the stream for good."""
        if self.state is StreamState.STOPPED:
            return
        self.state = StreamState.STOPPING
        if self.publication is not None:
            self.publication.evict(eviction)
        self.state = StreamState.STOPPED
        self.stopped_at = self._clock.seconds()
        for output in self.outputs:
            output.ended()
        self._log.info("stream {key}: ended ({why})", key=self.key, why=eviction.description)

    def close(self) -> Deferred[list[None]]:
        """Fire when every output has put away what it accepted."""
        return gatherResults([output.close() for output in self.outputs], consumeErrors=True)

    def tick(self, now: float) -> None:
        """Do what is done once a second: rates, and a leading track that fell silent."""
        self.statistics.tick(now)
        target = self.segmentation.target_duration
        if target is not None:
            self.viewer_count.expiry = 3.0 * target
        if (
            self._leading is not None
            and len(self._live) > 1
            and self.publication is not None
            and self._probe is None
            and now - self._leading_at > LEADING_SILENCE
            and self.statistics.last_frame_at != self._leading_at
        ):
            self._log.warn(
                "stream {key}: no {kind} for {seconds:.0f} s, going on without",
                key=self.key,
                kind=self._leading.kind,
                seconds=now - self._leading_at,
            )
            silent = self._leading
            self._change_tracks([track for track in self.tracks if track is not silent])

    # Inside.

    def _wait_for_tracks(self, seconds: float) -> None:
        self._probe_timer = self._clock.callLater(seconds, self._probe_expired)

    def _probe_expired(self) -> None:
        self._probe_timer = None
        assert self._probe is not None
        if self._probe.is_over(self._announced, self._clock.seconds()):
            self._start()
        else:
            self._wait_for_tracks(1.0)

    def _cancel_probe(self) -> None:
        if self._probe is not None:
            self.statistics.frames_dropped += self._probe.dropped
            self._probe = None
        if self._probe_timer is not None:
            self._probe_timer.cancel()
            self._probe_timer = None

    def _start(self) -> None:
        """The tracks are known: begin a continuity with what was held."""
        probe = self._probe
        assert probe is not None
        self._cancel_probe()
        samples = probe.samples
        self.segmentation.anchor(self.timeline.begin(samples), probe.started)
        self._set_live(probe.tracks)
        self.state = StreamState.LIVE
        self.live_since = now = self._clock.seconds()
        if self.started_at is None:
            self.started_at = now
        self._log.info(
            "stream {key}: live with {tracks}",
            key=self.key,
            tracks=", ".join(track.config.rfc6381() for track in self.tracks),
        )
        for sample in samples:
            self._flow(sample, now)

    def _flow(self, sample: Sample, now: float) -> None:
        """Place a sample on the timeline and hand it to the outputs. The hot path."""
        track = sample.track
        if self._live.get(track.track_id) is not track and not self._admit(sample):
            self.statistics.frames_dropped += 1
            return
        if self.timeline.place(sample):
            if not self._endure_jump(now):
                return
            self._interrupt()
            self.segmentation.anchor(sample.dts * 1000 // track.timescale, now)
        if track is self._leading:
            self._leading_at = now
            boundaries = self.segmentation.advance(sample)
            if boundaries:
                self._cut(boundaries)
        elif not self.segmentation.is_open:
            self.segmentation.precede(sample)
        for output in self.outputs:
            output.sample_received(sample)

    def _endure_jump(self, now: float) -> bool:
        """Note that the encoder's clock jumped; send a publisher away whose clock is broken.

        Each jump is a discontinuity with files of its own.
        """
        jumps = self._jumps
        if not jumps or now - jumps[-1] > JUMPS_PERIOD:
            self._log.warn("stream {key}: the encoder's clock jumped", key=self.key)
        jumps.append(now)
        publication = self.publication
        if len(jumps) < JUMPS or now - jumps[0] > JUMPS_PERIOD or publication is None:
            return True
        publication.is_abusive = True
        publication.evict(Eviction(Refusal.REJECTED, "the encoder's clock jumps all the time"))
        return False

    def _cut(self, boundaries: Sequence[Boundary]) -> None:
        """Tell the outputs where new segments start."""
        if (
            self.segmentation.sequence > self._reserved
            or self.segmentation.target_duration != self._saved_target
        ):
            self._save()
        for boundary in boundaries:
            for output in self.outputs:
                output.segment_started(boundary)

    def _admit(self, sample: Sample) -> bool:
        """Meet a sample of a late track or of a new configuration: it may enter if it can."""
        track = sample.track
        if track.kind == "video" and not sample.is_random_access:
            return False
        changed = {known.track_id: known for known in self._announced}
        tracks = {known.track_id: changed.get(known.track_id, known) for known in self.tracks}
        tracks[track.track_id] = track
        self._change_tracks(list(tracks.values()))
        return True

    def _change_tracks(self, tracks: Sequence[Track]) -> None:
        self._interrupt()
        self._set_live(tracks)

    def _set_live(self, tracks: Sequence[Track]) -> None:
        self.tracks = tuple(leading_first(tracks))
        self._live = {track.track_id: track for track in self.tracks}
        self._leading = self.tracks[0]
        self._leading_at = self._clock.seconds()
        for output in self.outputs:
            output.tracks_changed(self.tracks)

    def _interrupt(self) -> None:
        """End the continuity; what comes next is a discontinuity."""
        if self._live:
            self._cut(self.segmentation.interrupt(self.timeline.end_ms))
            for output in self.outputs:
                output.discontinuity()
            self._save()

    def _save(self) -> None:
        self._reserved = max(self._reserved, self.segmentation.sequence + RESERVE)
        self._saved_target = self.segmentation.target_duration
        self._record_changed(self.record)
