"""The registry of streams: who may publish, what a key's stream is, when it is over."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from secrets import token_hex

from twisted.internet.defer import Deferred, fail, gatherResults, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

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
from rapidrtmp.stream.lifecycle import Record, StreamState
from rapidrtmp.stream.publication import Eviction, Publication
from rapidrtmp.stream.records import RecordStore
from rapidrtmp.stream.stream import Stream

ABUSE_COOL_DOWN = 10.0
"""Seconds that a key is refused to the address whose publisher broke the protocol: an encoder
that reconnects by itself would break it again at once, for ever."""


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What the streams of a manager have in common."""

    segment_duration: float = 2.0
    """Seconds."""
    grace: float = 60.0
    """Seconds that a stream waits for its publisher to come back."""
    stop_cooldown: float = 30.0
    """Seconds that a key is refused after it was stopped by the operator."""
    max_streams: int = 100
    """Publishers at once."""
    max_viewers: int = 1000
    """HTTP viewers of one stream at once."""
    endlist_on_shutdown: bool = False
    """Whether a shutdown ends the streams for good."""


class _TakeOvers:
    """Stops two live encoders from kicking each other for ever (one key)."""

    LIVELY = 1.0
    """Seconds since its last frame within which an evicted publisher counts as alive."""
    COUNT = 3
    PERIOD = 30.0
    """At most `COUNT` evictions of a live publisher in so many seconds ..."""
    PENALTY = 60.0
    """... then none for so many."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=self.COUNT)
        self._refused_until = 0.0

    def allow(self, now: float, silent: float) -> bool:
        """Ask for a take-over from a publisher that has been silent for some seconds."""
        if silent > self.LIVELY:
            return True
        if now < self._refused_until:
            return False
        if len(self._times) == self.COUNT and now - self._times[0] < self.PERIOD:
            self._refused_until = now + self.PENALTY
            return False
        self._times.append(now)
        return True


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
    ) -> None:
        """Make a manager without streams.

        Args:
            clock: tells unix time and calls later.
            authenticator: decides who may publish.
            output_makers: make the outputs that hang on every stream.
            settings: what the streams have in common.
            records: keeps what must survive the process.
        """
        self._clock = clock
        self._authenticator = authenticator
        self._output_makers = output_makers
        self.settings = settings
        self._records = records
        self._streams: dict[str, Stream] = {}
        self._graces: dict[str, IDelayedCall] = {}
        # (key, address, or '' for everybody) to the unix time until which it is refused, and why.
        self._cool_downs: dict[tuple[str, str], tuple[float, str]] = {}
        self._take_overs: dict[str, _TakeOvers] = {}
        self.draining = False
        """Whether new publishers are refused because the server goes down."""

    # Looking.

    def get(self, key: str) -> Stream | None:
        """Return a key's stream, ended ones included for a while."""
        return self._streams.get(key)

    def streams(self) -> list[Stream]:
        """Return the streams that are not over."""
        return [s for s in self._streams.values() if s.state is not StreamState.STOPPED]

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
        return Deferred.fromCoroutine(self._authorized(request))

    def subscribe(self, request: AccessRequest) -> Deferred[Stream]:
        """Find the stream that somebody wants to play.

        Returns:
            Fires with the Stream, or fails with NotFound when there is none.
        """
        stream = self._streams.get(request.key)
        if stream is None or stream.state is StreamState.STOPPED:
            return fail(NotFound(f"there is no stream {request.key}"))
        return succeed(stream)

    def _granted(self, request: AccessRequest, grant: Grant) -> Publication:
        if self.draining:
            raise AccessDenied(Refusal.REJECTED, "the server is shutting down, try again soon")
        key = request.key
        now = self._clock.seconds()
        for address in ("", request.peer):
            until, why = self._cool_downs.get((key, address), (0.0, ""))
            if until > now:
                raise AccessDenied(Refusal.REJECTED, f"{why}, try again in {until - now:.0f} s")
        stream = self._streams.get(key)
        if stream is not None and stream.publication is not None:
            self._take_over(stream, stream.publication, grant, now)
        elif self._publishing() >= self.settings.max_streams:
            raise AccessDenied(
                Refusal.REJECTED,
                f"the limit of {self.settings.max_streams} concurrent streams is reached",
            )
        if stream is None or stream.state is StreamState.STOPPED:
            stream = self._make_stream(Record(key, token_hex(8), 0, 0, None, None))
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

    def _take_over(self, stream: Stream, holder: Publication, grant: Grant, now: float) -> None:
        """Evict the holder of a key for a newcomer with a right, or refuse the newcomer."""
        silent = now - (stream.statistics.last_frame_at or 0.0)
        is_same = grant.identity != "" and grant.identity == holder.grant.identity
        take_overs = self._take_overs.setdefault(stream.key, _TakeOvers())
        if not is_same and silent < self.SILENCE:
            raise AccessDenied(Refusal.BUSY, "somebody else is publishing this stream")
        if not take_overs.allow(now, silent):
            raise AccessDenied(
                Refusal.BUSY, "two encoders fight for this stream: stop one, wait a minute"
            )
        holder.evict(Eviction(Refusal.BUSY, "taken over by a new connection"))

    def _publishing(self) -> int:
        return sum(stream.publication is not None for stream in self._streams.values())

    def _make_stream(self, record: Record) -> Stream:
        stream = Stream(
            record,
            self._clock,
            segment_duration=self.settings.segment_duration,
            max_viewers=self.settings.max_viewers,
            record_changed=self._records.keep,
            became_idle=self._became_idle,
        )
        # An ended stream of the same key makes room, and goes to the end of the order.
        self._streams.pop(record.key, None)
        self._streams[record.key] = stream
        for maker in self._output_makers:
            stream.attach(maker.make(stream))
        return stream

    # Grace and end.

    def _became_idle(self, stream: Stream, publication: Publication) -> None:
        """A stream's publisher is gone: it may come back inside the grace."""
        now = self._clock.seconds()
        until = now + self.settings.grace
        if publication.is_abusive:
            place = stream.key, publication.request.peer
            self._cool_downs[place] = now + ABUSE_COOL_DOWN, "the connection broke the protocol"
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
        stream.end(eviction)
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

    # The process.

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
        for stream in self._streams.values():
            if stream.publication is not None:
                stream.tick(now)
        for over in [place for place, (until, _) in self._cool_downs.items() if until < now]:
            del self._cool_downs[over]

    async def _close(self) -> None:
        self.draining = True
        goodbye = Eviction(Refusal.REJECTED, "the server is shutting down")
        streams = list(self._streams.values())
        for stream in streams:
            if self.settings.endlist_on_shutdown:
                self._end(stream, goodbye)
            elif stream.publication is not None:
                stream.publication.evict(goodbye)
            self._cancel_grace(stream.key)
        await gatherResults([stream.close() for stream in streams])
        await self._records.close()

    def close(self) -> Deferred[None]:
        """Tell every publisher to go, finish segments, and fire when all is put away."""
        return Deferred.fromCoroutine(self._close())
