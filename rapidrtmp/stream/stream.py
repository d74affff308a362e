"""A stream: outlives its publishers, owns its timeline, and feeds its outputs."""

from collections import deque
from collections.abc import Callable, Sequence
from operator import methodcaller
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from rapidrtmp.interfaces import AccessRequest, Grant, IHTTPOutput, IOutput, Refusal
from rapidrtmp.media.segmentation import CLOCK, Boundary, Segmentation
from rapidrtmp.media.timed import Content, DateRange, EventMessage, ScriptMessage, TimedMetadata
from rapidrtmp.media.timeline import Timeline
from rapidrtmp.media.track import VIDEO_TRACK_ID, Sample, Track
from rapidrtmp.stream.date_ranges import DateRanges, DateRangeWish
from rapidrtmp.stream.diagnosis import Diagnoses
from rapidrtmp.stream.events import Events, described
from rapidrtmp.stream.lifecycle import RESERVE, Record, StreamState, first_sequence
from rapidrtmp.stream.probe import Probe, leading_first
from rapidrtmp.stream.publication import Eviction, Publication
from rapidrtmp.stream.starting import Starting
from rapidrtmp.stream.statistics import FRAME_SIZE_SHIFT, Statistics
from rapidrtmp.stream.viewers import Viewers

JUMPS = 20
JUMPS_PERIOD = 60.0
"""A publisher whose clock jumps so often in so many seconds is sent away."""
BITRATE_PATIENCE = 5
"""Seconds that a publisher may exceed the bit rate limit."""
SCRIPT_RATE = 16384.0
SCRIPT_BURST = 131072.0
"""Bytes of data messages that a publisher may send each second, and at once: they stay in
playlists and segments. More are dropped."""
SCRIPT_SIZE = 256
"""Bytes that a data message counts for besides its own."""
LEADING_SILENCE = 5.0
"""Seconds after which a leading track that stopped hands over to those that flow on."""


class Attachment:
    """An output's hold on its stream."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self.cancel = cancel
        """Take the output off the stream."""


class Stream:
    """One stream key's life, from its first publisher to the end of its last grace."""

    _log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        record: Record,
        clock: IReactorTime,
        *,
        segment_duration: float,
        part_duration: float,
        max_viewers: int,
        events: Events,
        record_changed: Callable[[Record], None],
        became_idle: "Callable[[Stream, Publication], None]",
    ) -> None:
        """Make a stream without a publisher.

        Args:
            record: of a new life, or of one that goes on after a restart.
            clock: tells unix time.
            segment_duration: seconds.
            part_duration: seconds; 0 for no Partial Segments.
            max_viewers: limit of viewers at once.
            events: told of what happens to the stream.
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
        """Unix time of the end; None before."""
        self.idle_since = record.idle_since
        """Unix time since which nobody publishes; None while somebody does."""
        self.tracks: tuple[Track, ...] = ()
        """The tracks that flow, the leading one first."""
        self.metadata: dict[str, Any] = {}
        self.statistics = Statistics()
        self.diagnoses = Diagnoses()
        self.publication: Publication | None = None
        self.viewer_count = Viewers(clock, max_viewers)
        self.starting = Starting(clock)
        self.segmentation = Segmentation(
            segment_duration,
            first_sequence(clock.seconds(), record.reserved),
            record.discontinuity,
            record.target_duration,
            part_duration=part_duration,
            part_target=record.part_target,
        )
        self.timeline = Timeline()
        self.outputs: Sequence[IOutput] = ()
        """What hangs on the stream and works; another object at each change."""
        self._http_outputs: Sequence[IHTTPOutput] = ()
        self._failed: list[IOutput] = []
        self._clock = clock
        self._events = events
        self._record_changed = record_changed
        self._became_idle = became_idle
        self._reserved = record.reserved
        self._saved_target = record.target_duration
        self.date_ranges = DateRanges()
        """Those that somebody put in; what the publisher says is not among them."""
        self._script_left = SCRIPT_BURST
        self._scripts: list[tuple[int, ScriptMessage]] = []  # that came before the first sample
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
    def packaged_tracks(self) -> list[Track]:
        """Those of the tracks that segments are made of."""
        return [track for track in self.tracks if track.config.has_sample_entry]

    @property
    def viewers(self) -> int:
        """How many watch, in whatever way."""
        return len(self.viewer_count)

    @property
    def http_outputs(self) -> Sequence[IHTTPOutput]:
        """The outputs that are seen over HTTP; what a failed one has can still be had."""
        return self._http_outputs

    @property
    def seconds(self) -> float:
        """How long an ended stream lasted, from its first media; 0 when none ever came."""
        if self.started_at is None or self.stopped_at is None:
            return 0.0
        return max(0.0, self.stopped_at - self.started_at)

    @property
    def record(self) -> Record:
        """What must survive the process, as of now."""
        return Record(
            self.key,
            self.life,
            self._reserved,
            self.segmentation.discontinuity,
            self.segmentation.target_duration,
            self.segmentation.part_target,
            self.idle_since,
        )

    def attach(self, output: IOutput) -> Attachment:
        """Hang an output on the stream."""
        self._set_outputs((*self.outputs, output))
        if self._live:
            output.tracks_changed(self.tracks)
        return Attachment(lambda: self._detach(output))

    # The publisher's side.

    def publish(self, request: AccessRequest, grant: Grant) -> Publication:
        """Give the stream, which must have none, a publisher."""
        assert self.publication is None
        now = self._clock.seconds()
        self.publication = Publication(self, request, grant, now)
        self.state = StreamState.CONNECTING
        self.idle_since = None
        self._announced = ()
        self.metadata = {}
        self.statistics.restart()
        self.diagnoses.restart()
        self.statistics.publishers += 1
        self.statistics.last_frame_at = now
        self._probe = Probe(now)
        self._scripts = []
        self._save()
        self._tell("publish", self.publication, client=request.client)
        return self.publication

    def set_tracks(self, tracks: Sequence[Track]) -> None:
        """Learn the tracks whose configuration is known."""
        self._announced = tuple(tracks)

    def write(self, sample: Sample) -> None:
        """Take one sample, in the publisher's own time. The hot path."""
        statistics = self.statistics
        size = len(sample.payload)
        statistics.bytes_received += size
        statistics.frames_received += 1
        statistics.last_frame_at = now = self._clock.seconds()
        track = sample.track
        sizes = statistics.audio_sizes
        if track.kind == "video":
            sizes = statistics.video_sizes
            statistics.video_frames += 1
            if track.track_id == VIDEO_TRACK_ID:
                statistics.first_track_frames += 1
                if sample.is_sync:
                    statistics.keyframe(sample.dts / track.timescale)
        # PowerHistogram.observe, without the call
        sizes.counts[((size - 1) >> FRAME_SIZE_SHIFT).bit_length()] += 1
        sizes.sum += size
        if self._probe is None:
            self._flow(sample, now)
        elif self._probe.add(sample, self._announced, now):
            self._start()
        elif self._probe_timer is None:
            self._wait_for_tracks(Probe.TRACKS)

    def write_script(self, ms: int, script: ScriptMessage) -> None:
        """Take a data message of the publisher.

        Args:
            ms: its time, the publisher's own.
            script: the message.
        """
        size = len(script.body) + SCRIPT_SIZE
        if size > self._script_left:
            self.statistics.drop("data_rate", 1)
            return
        self._script_left -= size
        if self._probe is not None:
            self._scripts.append((ms, script))
        else:
            self._metadata(self.timeline.place_metadata(ms) * CLOCK // 1000, script)

    # Anybody's side.

    @property
    def is_flowing(self) -> bool:
        """Whether there is a live edge, at which metadata can be put in."""
        return self.publication is not None and self.state is StreamState.LIVE

    @property
    def edge(self) -> float:
        """Unix time, as playlists give it, of the live edge."""
        return self.segmentation.wall(self._edge)

    def insert(self, message: EventMessage, wall: float | None = None) -> TimedMetadata:
        """Put a message in, while the stream is flowing.

        Args:
            message: for the players.
            wall: unix time at which it happens; None for the live edge.
        """
        time = self._edge if wall is None else self.segmentation.time(wall)
        return self._metadata(time, message)

    def insert_date_range(self, wish: DateRangeWish) -> DateRange:
        """Put a date range in, or tell more of one, while the stream is flowing.

        Raises:
            DateRangeError: it cannot be.
            TooManyDateRanges: there is no room for another one.
        """
        date_range = self.date_ranges.put(wish, self.edge)
        self._metadata(self.segmentation.time(date_range.start), date_range)
        return date_range

    @property
    def _edge(self) -> int:
        return self.timeline.end_ms * CLOCK // 1000

    def _metadata(self, time: int, content: Content) -> TimedMetadata:
        """Hand timed metadata to the outputs."""
        metadata = TimedMetadata(time, self.segmentation.wall(time), self.edge, content)
        self._hand_out(methodcaller("metadata_received", metadata))
        if self._events.is_heard:
            self._events.emit("metadata", self.key, **described(metadata))
        return metadata

    def publication_closed(self, reason: str) -> None:
        """The publisher is gone: finish what is open and wait for its return."""
        self.diagnoses.observe(self, self._clock.seconds())
        try:
            if self._probe is not None and self._probe.samples:
                self._start()
            self._interrupt()
        except Exception:  # the next publisher must find the stream in order
            self._log.failure("stream {key}: failed at its publisher's end", key=self.key)
        self._cancel_probe()
        publication, self.publication = self.publication, None
        assert publication is not None
        self.state = StreamState.IDLE
        self.statistics.restart()
        self.idle_since = self._clock.seconds()
        self._save()
        request = publication.request
        self._log.info(
            "stream {key}: publisher {peer} gone ({reason}) in session {session};"
            " {frames} frames, {dropped} dropped",
            key=self.key,
            peer=request.peer,
            session=request.session_id,
            reason=reason,
            frames=self.statistics.frames_received,
            dropped=self.statistics.frames_dropped,
        )
        seconds = round(self.idle_since - publication.since, 3)
        self._tell("unpublish", publication, reason=reason, duration=seconds)
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
            self._end_output(output)
        self.starting.refuse("the stream has ended")
        self._log.info("stream {key}: ended ({reason})", key=self.key, reason=eviction.description)
        self._events.emit("end", self.key, reason=eviction.description)

    def close(self) -> Deferred[list[None]]:
        """Fire when every output has put away what it accepted."""
        self.starting.refuse("the server is shutting down")
        outputs = (*self.outputs, *self._failed)
        return gatherResults([output.close() for output in outputs], consumeErrors=True)

    def tick(self, now: float, max_bitrate: int = 0) -> None:
        """Do what is done once a second: rates, and a leading track that fell silent.

        Args:
            now: unix time.
            max_bitrate: bit/s above which, for some seconds, a publisher is sent away;
                0 is no limit.
        """
        self.statistics.tick(now)
        self._script_left = min(self._script_left + SCRIPT_RATE, SCRIPT_BURST)
        if self.publication is not None:
            self.diagnoses.observe(self, now)
        bitrate = self.statistics.bitrate_over(BITRATE_PATIENCE)
        if self.publication is not None and 0 < max_bitrate < bitrate:
            words = f"{bitrate / 1e6:.1f} Mbit/s are above the limit of {max_bitrate / 1e6:g}"
            self.publication.evict(Eviction(Refusal.REJECTED, words, abuse="bitrate"))
            return
        target = self.segmentation.target_duration
        if target is not None:
            self.viewer_count.expiry = 3.0 * target
        if (
            self._leading is not None
            and any(track is not self._leading for track in self.packaged_tracks)
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

    def _tell(self, name: str, publication: Publication, **details: object) -> None:
        """Emit an event about a publication."""
        request = publication.request
        self._events.emit(
            name, self.key, peer=request.peer, sessionId=request.session_id, **details
        )

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
            self.statistics.drop("before_start", self._probe.dropped)
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
        codecs = [track.config.rfc6381() for track in self.tracks]
        if self.publication is not None:
            request = self.publication.request
            self._log.info(
                "stream {key}: live with {tracks} in session {session}",
                key=self.key,
                tracks=", ".join(codecs),
                peer=request.peer,
                session=request.session_id,
            )
            self._tell("live", self.publication, codecs=codecs)
        scripts, self._scripts = self._scripts, []
        for ms, script in scripts:
            self._metadata(self.timeline.place_metadata(ms) * CLOCK // 1000, script)
        for sample in samples:
            self._flow(sample, now)
        self.starting.release()

    def _flow(self, sample: Sample, now: float) -> None:
        """Place a sample on the timeline and hand it to the outputs. The hot path."""
        track = sample.track
        if self._live.get(track.track_id) is not track and not self._admit(sample):
            self.statistics.drop("config_change", 1)
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
            try:
                output.sample_received(sample)
            except Exception:
                self._take_off(output)

    def _hand_out(self, tell: Callable[[IOutput], None]) -> None:
        """Tell each output of something that is no sample."""
        for output in self.outputs:
            try:
                tell(output)
            except Exception:
                self._take_off(output)

    def _take_off(self, output: IOutput) -> None:
        """End an output that has just failed, for its viewers; the stream goes on without it."""
        name = type(output).__name__
        self._log.failure(
            "stream {key}: {output} failed, goes on without", key=self.key, output=name
        )
        self.statistics.output_failures += 1
        self._failed.append(output)
        self._detach(output)
        self._end_output(output)

    def _end_output(self, output: IOutput) -> None:
        try:
            output.ended()
        except Exception:
            self._log.failure("stream {key}: an output failed at the end", key=self.key)

    def _detach(self, output: IOutput) -> None:
        self._set_outputs([other for other in self.outputs if other is not output])

    def _set_outputs(self, outputs: Sequence[IOutput]) -> None:
        self.outputs = tuple(outputs)
        everything = (*self.outputs, *self._failed)
        self._http_outputs = [each for each in everything if IHTTPOutput.providedBy(each)]

    def _endure_jump(self, now: float) -> bool:
        """Note that the encoder's clock jumped; send a publisher away whose clock is broken.

        Each jump is a discontinuity with files of its own.
        """
        self.statistics.jump()
        jumps = self._jumps
        if not jumps or now - jumps[-1] > JUMPS_PERIOD:
            self._log.warn("stream {key}: the encoder's clock jumped", key=self.key)
        jumps.append(now)
        publication = self.publication
        if len(jumps) < JUMPS or now - jumps[0] > JUMPS_PERIOD or publication is None:
            return True
        words = "the encoder's clock jumps all the time"
        publication.evict(Eviction(Refusal.REJECTED, words, abuse="clock_jumps"))
        return False

    def _cut(self, boundaries: Sequence[Boundary]) -> None:
        """Tell the outputs where new segments start."""
        if (
            self.segmentation.sequence > self._reserved
            or self.segmentation.target_duration != self._saved_target
        ):
            self._save()
        for boundary in boundaries:
            self._hand_out(methodcaller("segment_started", boundary))

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
        self.segmentation.other_frames = [
            track.nominal_duration / track.timescale
            for track in self.tracks[1:]
            if track.kind == "audio"
        ]
        self._hand_out(methodcaller("tracks_changed", self.tracks))

    def _interrupt(self) -> None:
        """End the continuity; what comes next is a discontinuity."""
        if self._live:
            self._cut(self.segmentation.interrupt(self.timeline.end_ms))
            self._hand_out(methodcaller("discontinuity"))
            self._save()

    def _save(self) -> None:
        self._reserved = max(self._reserved, self.segmentation.sequence + RESERVE)
        self._saved_target = self.segmentation.target_duration
        self._record_changed(self.record)
