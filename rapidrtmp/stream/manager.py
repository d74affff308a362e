"""The registry of streams: who may publish, what a key's stream is, when it is over."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from secrets import token_hex

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from rapidrtmp.interfaces import (
    AccessDenied,
    AccessRequest,
    Grant,
    IAuthenticator,
    IOutputMaker,
    NotFound,
    Refusal,
)
from rapidrtmp.media.key import is_stream_key
from rapidrtmp.stream.events import Events
from rapidrtmp.stream.lifecycle import Record, StreamState
from rapidrtmp.stream.memory import MemoryBudget
from rapidrtmp.stream.publication import Eviction, Publication
from rapidrtmp.stream.records import RecordStore
from rapidrtmp.stream.statistics import Totals
from rapidrtmp.stream.stream import Stream
from rapidrtmp.stream.take_overs import TakeOvers

ABUSE_COOL_DOWN = 10.0
"""Seconds that a key is refused to the address whose publisher broke the protocol: an encoder
that reconnects by itself would break it again at once, for ever."""

OFFER_PATIENCE = 10.0
"""Seconds for which somebody who asked for a stream that is offered counts as waiting for it."""


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What the streams of a manager have in common."""

    segment_duration: float = 2.0
    part_duration: float = 0.2
    """Seconds."""
    grace: float = 60.0
    """Seconds that a stream waits for its publisher to come back."""
    stop_cooldown: float = 30.0
    """Seconds that a key is refused after it was stopped by the operator."""
    max_streams: int = 100
    """Publishers at once."""
    max_viewers: int = 1000
    """Viewers of one stream at once."""
    max_bitrate: int = 0
    """bit/s that a publisher may send; 0 is no limit."""
    endlist_on_shutdown: bool = False
    """Whether a shutdown ends the streams for good."""


class StreamManager:
    """All streams of this process."""

    SILENCE = 3.0
    """Seconds after which a publisher counts as lost even for somebody else with a right."""
    KEPT = 1000
    """Ended streams that the API can still tell of."""
    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        authenticator: IAuthenticator,
        output_makers: Sequence[IOutputMaker],
        settings: StreamSettings,
        records: RecordStore,
        events: Events | None = None,
        memory: MemoryBudget | None = None,
    ) -> None:
        """Make a manager without streams.

        Args:
            clock: tells unix time and calls later.
            authenticator: decides who may publish and who may play.
            output_makers: make the outputs that hang on every stream.
            settings: what the streams have in common.
            records: keeps what must survive the process.
            events: told of what happens; a bus without listeners when absent.
            memory: tells whether there is room for another stream; always, when absent.
        """
        self._clock = clock
        self._authenticator = authenticator
        self._output_makers = output_makers
        self.settings = settings
        self.events = events or Events(clock)
        self._memory = memory
        self.totals = Totals()
        """Of all streams that are over, and of all refusals."""
        self._records = records
        self._streams: dict[str, Stream] = {}
        self._graces: dict[str, IDelayedCall] = {}
        # (key, address, or '' for everybody) to the unix time until which it is refused, and why.
        self._cool_downs: dict[tuple[str, str], tuple[float, str]] = {}
        self._take_overs: dict[str, TakeOvers] = {}
        self._offers: dict[str, Callable[[], None]] = {}
        self.draining = False
        """Whether new publishers are refused because the server goes down."""

    # Looking.

    def get(self, key: str) -> Stream | None:
        """Return a key's stream, ended ones included for a while."""
        return self._streams.get(key)

    def streams(self) -> list[Stream]:
        """Return the streams that are not over."""
        return [s for s in self._streams.values() if s.state is not StreamState.STOPPED]

    @property
    def viewers(self) -> int:
        """Viewers of all streams, those who still fetch the rest of an ended one included."""
        return sum(stream.viewers for stream in self._streams.values())

    # Publishing.

    async def _authorized(self, request: AccessRequest) -> Publication:
        if not is_stream_key(request.key):
            raise AccessDenied(
                Refusal.BAD_NAME,
                "the stream key must be 1 to 128 characters of A-Z, a-z, 0-9, '-' and '_'",
            )
        grant = await self._authenticator.authorize(request)
        return self._granted(request, grant)

    def publish(self, request: AccessRequest) -> Deferred[Publication]:
        """Let a publisher in.

        Returns:
            Fires with the Publication, or fails with AccessDenied.
        """
        publication = Deferred.fromCoroutine(self._authorized(request))
        return publication.addErrback(self._refused, request)

    def subscribe(self, request: AccessRequest, *, begin: bool = True) -> Deferred[Stream]:
        """Let somebody play a stream. Who has no right does not learn whether there is one.

        Args:
            request: what is asked for.
            begin: whether a stream that is offered begins by that.

        Returns:
            Fires with the Stream, or fails with AccessDenied, or with NotFound when there
            is none.
        """
        allowed = self._authenticator.authorize(request)
        arguments = (request, begin)
        return allowed.addCallbacks(self._subscribed, self._refused, arguments, {}, (request,))

    def _subscribed(self, _: Grant, request: AccessRequest, begin: bool) -> Stream:
        if begin:
            self._want(request.key)
        stream = self._streams.get(request.key)
        if stream is None or stream.state is StreamState.STOPPED:
            raise NotFound(f"there is no stream {request.key}")
        return stream

    def viewer_joined(self, request: AccessRequest) -> None:
        """Learn that somebody who was let in plays a stream now."""
        self._log.debug(
            "stream {key}: viewer {peer} in session {session}",
            key=request.key,
            peer=request.peer,
            session=request.session_id,
        )
        self.events.emit(
            "play",
            request.key,
            peer=request.peer,
            sessionId=request.session_id,
            client=request.client,
        )
        stream = self._streams.get(request.key)
        if stream is not None and stream.state is not StreamState.STOPPED:
            self._want(request.key)

    # Streams that begin when somebody wants to play them.

    def offer(self, key: str, wanted: Callable[[], None]) -> Callable[[], None]:
        """Have a stream that waits for its publisher whenever somebody wants to play a key.

        Args:
            key: the stream key; nobody else offers it.
            wanted: called each time that somebody who may asks to play it.

        Returns:
            What ends the offer, to be called once.
        """
        self._offers[key] = wanted

        def withdraw() -> None:
            del self._offers[key]

        return withdraw

    def can_begin(self, key: str) -> bool:
        """Tell whether a key has no publisher, but would get one if somebody played it."""
        stream = self._streams.get(key)
        has_publisher = stream is not None and stream.publication is not None
        return not has_publisher and self._is_offered(key)

    def _is_offered(self, key: str) -> bool:
        if key not in self._offers or self.draining:
            return False
        until, _ = self._cool_downs.get((key, ""), (0.0, ""))
        return until <= self._clock.seconds()

    def _want(self, key: str) -> None:
        """Tell whoever offers a key that somebody who may plays it."""
        if not self._is_offered(key):
            return
        stream = self._streams.get(key)
        if stream is None or stream.state is StreamState.STOPPED:
            now = self._clock.seconds()
            stream = self._make_stream(Record(key, token_hex(8), 0, 0, None, None, now))
        if stream.publication is None:
            # Whoever waits for it must not meet its end.
            self._cancel_grace(key)
            self._start_grace(stream, max(self.settings.grace, 2 * OFFER_PATIENCE))
        self._alone(stream, self._offers[key])

    def _refused(self, failure: Failure, request: AccessRequest) -> Failure:
        """Count a refusal, and tell of it."""
        denied = failure.value
        if isinstance(denied, AccessDenied):
            self.totals.refuse(request.action, denied.reason)
            # Any text can be asked for; a name that cannot be a stream's is nobody's event.
            if is_stream_key(request.key):
                self.events.emit(
                    "refuse",
                    request.key,
                    action=request.action,
                    peer=request.peer,
                    sessionId=request.session_id,
                    reason=denied.description,
                )
        return failure

    def _granted(self, request: AccessRequest, grant: Grant) -> Publication:
        if self.draining:
            raise AccessDenied(
                Refusal.REJECTED, "the server is shutting down, try again soon", "draining"
            )
        key = request.key
        now = self._clock.seconds()
        for address in ("", request.peer):
            until, why = self._cool_downs.get((key, address), (0.0, ""))
            if until > now:
                words = f"{why}, try again in {until - now:.0f} s"
                raise AccessDenied(Refusal.REJECTED, words, "cool_down")
        stream = self._streams.get(key)
        if stream is not None and stream.publication is not None:
            self._take_over(stream, stream.publication, grant, now)
        elif self._publishing() >= self.settings.max_streams:
            raise AccessDenied(
                Refusal.REJECTED,
                f"the limit of {self.settings.max_streams} concurrent streams is reached",
                "stream_limit",
            )
        if stream is None or stream.started_at is None or stream.state is StreamState.STOPPED:
            self._check_memory()
        if stream is None or stream.state is StreamState.STOPPED:
            self._make_room()
            stream = self._make_stream(Record(key, token_hex(8), 0, 0, None, None, None))
        self._cancel_grace(key)
        self._authenticator.in_use(key, grant.identity, None)
        self._log.info(
            "stream {key}: publisher {peer} ({client}) in session {session}",
            key=key,
            peer=request.peer,
            client=request.client,
            session=request.session_id,
        )
        return stream.publish(request, grant)

    def _check_memory(self) -> None:
        """Refuse a stream that has nothing in memory yet if there is no room for it."""
        words = self._memory.refusal() if self._memory is not None else ""
        if words:
            raise AccessDenied(Refusal.REJECTED, words, "memory")

    def _take_over(self, stream: Stream, holder: Publication, grant: Grant, now: float) -> None:
        """Evict the holder of a key for a newcomer with a right, or refuse the newcomer."""
        silent = now - (stream.statistics.last_frame_at or 0.0)
        is_same = grant.identity != "" and grant.identity == holder.grant.identity
        take_overs = self._take_overs.setdefault(stream.key, TakeOvers())
        if not is_same and silent < self.SILENCE:
            raise AccessDenied(Refusal.BUSY, "somebody else is publishing this stream")
        if not take_overs.allow(now, silent):
            raise AccessDenied(
                Refusal.BUSY,
                "two encoders fight for this stream: stop one, wait a minute",
                "fight",
            )
        holder.evict(Eviction(Refusal.BUSY, "taken over by a new connection"))

    def _make_room(self) -> None:
        """Let no more streams wait for their publishers than there may be publishers.

        Those that are offered are bounded by the offers.
        """
        waiting = [
            stream
            for stream in self.streams()
            if stream.publication is None and stream.key not in self._offers
        ]
        waiting.sort(key=lambda stream: stream.idle_since or 0.0)
        for stream in waiting[: max(0, len(waiting) + 1 - self.settings.max_streams)]:
            self._end(stream, Eviction(Refusal.REJECTED, "too many streams wait for publishers"))

    def _publishing(self) -> int:
        return sum(stream.publication is not None for stream in self._streams.values())

    def _make_stream(self, record: Record) -> Stream:
        stream = Stream(
            record,
            self._clock,
            segment_duration=self.settings.segment_duration,
            part_duration=self.settings.part_duration,
            max_viewers=self.settings.max_viewers,
            events=self.events,
            record_changed=self._records.keep,
            became_idle=self._became_idle,
        )
        # An ended stream of the same key makes room, and goes to the end of the order.
        self._streams.pop(record.key, None)
        self._streams[record.key] = stream
        self.totals.streams_created += 1
        for maker in self._output_makers:
            stream.attach(maker.make(stream))
        return stream

    # Grace and end.

    def _became_idle(self, stream: Stream, publication: Publication) -> None:
        """A stream's publisher is gone: it may come back inside the grace."""
        now = self._clock.seconds()
        until = now + self.settings.grace
        if publication.abuse:
            place = stream.key, publication.request.peer
            self._cool_downs[place] = now + ABUSE_COOL_DOWN, publication.abuse
        self._authenticator.in_use(stream.key, publication.grant.identity, until)
        self._start_grace(stream, self.settings.grace)

    def _start_grace(self, stream: Stream, seconds: float) -> None:
        self._graces[stream.key] = self._clock.callLater(
            seconds, self._end, stream, Eviction(Refusal.REJECTED, "the publisher did not return")
        )

    def _cancel_grace(self, key: str) -> None:
        grace = self._graces.pop(key, None)
        if grace is not None and grace.active():
            grace.cancel()

    def _end(self, stream: Stream, eviction: Eviction) -> None:
        if stream.state is StreamState.STOPPED:
            return
        stream.end(eviction)
        self.totals.add(stream.statistics, stream.viewer_count.total, stream.seconds)
        self._cancel_grace(stream.key)
        self._take_overs.pop(stream.key, None)
        self._records.forget(stream.key)
        ended = [s for s in self._streams.values() if s.state is StreamState.STOPPED]
        for old in ended[: -self.KEPT]:
            del self._streams[old.key]

    def stop(self, key: str) -> Deferred[None]:
        """End a stream by the operator's will; its key is refused for a cool-down.

        Returns:
            Fires when the stream is over and its files are put away.

        Raises:
            KeyError: the key was never published.
        """
        stream = self._streams[key]
        if stream.state is not StreamState.STOPPED:
            until = self._clock.seconds() + self.settings.stop_cooldown
            self._cool_downs[key, ""] = until, "the stream was stopped by the operator"
            self._end(stream, Eviction(Refusal.REJECTED, "stopped by the operator"))
        return stream.close().addCallback(lambda _: None)

    def revoke(self, key: str, identity: str) -> None:
        """Send the publisher of a key away if it holds a right that is no more."""
        stream = self._streams.get(key)
        if stream is not None and stream.publication is not None:
            if stream.publication.grant.identity == identity:
                stream.publication.evict(Eviction(Refusal.DENIED, "the publish token was revoked"))

    # The process.

    def apply(self, settings: StreamSettings) -> None:
        """Take new settings; live streams take over their limits."""
        self.settings = settings
        for stream in self._streams.values():
            stream.viewer_count.limit = settings.max_viewers

    def restore(self) -> Deferred[None]:
        """Bring back the streams that a former process left inside their grace.

        One whose grace is over is closed, so that its stored playlists end.
        """
        return self._records.load().addCallback(self._restored)

    def _restored(self, records: Sequence[Record]) -> None:
        now = self._clock.seconds()
        for record in records:
            since = now if record.idle_since is None else min(now, record.idle_since)
            stream = self._make_stream(replace(record, idle_since=since))
            self._records.keep(stream.record)
            self._start_grace(stream, max(0.0, since + self.settings.grace - now))
            self._log.info("stream {key}: waits for its publisher again", key=record.key)

    def tick(self) -> None:
        """Do what is done once a second."""
        now = self._clock.seconds()
        for stream in list(self._streams.values()):
            if stream.publication is not None:
                self._alone(stream, partial(stream.tick, now, self.settings.max_bitrate))
        if self._memory is not None:
            try:
                self._memory.tick()
            except Exception:
                self._log.failure("the memory budget could not be kept")
        for over in [place for place, (until, _) in self._cool_downs.items() if until < now]:
            del self._cool_downs[over]

    async def _close(self) -> None:
        self.draining = True
        goodbye = Eviction(Refusal.REJECTED, "the server is shutting down")
        streams = list(self._streams.values())
        for stream in streams:
            if self.settings.endlist_on_shutdown:
                self._alone(stream, partial(self._end, stream, goodbye))
            elif stream.publication is not None:
                self._alone(stream, partial(stream.publication.evict, goodbye))
            self._cancel_grace(stream.key)
        # Positions are saved whatever becomes of the files.
        saved = self._records.close()
        await DeferredList([stream.close() for stream in streams], consumeErrors=True)
        await saved

    def _alone(self, stream: Stream, act: Callable[[], None]) -> None:
        """Do something with one stream; what goes wrong in it harms no other one."""
        try:
            act()
        except Exception:
            self._log.failure("stream {key}: failed", key=stream.key)

    def close(self) -> Deferred[None]:
        """Tell every publisher to go, finish segments, and fire when all is put away."""
        return Deferred.fromCoroutine(self._close())
