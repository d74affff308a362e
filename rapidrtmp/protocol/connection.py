"""Clients' connections: bytes between the transport, an RTMP session and a stream.

`RTMPServerProtocol` owns one connection. It feeds the session, lets the stream manager
decide, hands media on, and ends a connection that breaks a rule or falls silent.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IPushProducer, ISSLTransport, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import LogLevel
from twisted.python.failure import Failure

from rapidrtmp.address import plain_address
from rapidrtmp.interfaces import AccessRequest
from rapidrtmp.protocol.access_manager import ConnectRefused, PasswordAsked
from rapidrtmp.protocol.connection_log import ConnectionLog
from rapidrtmp.protocol.ingest import Ingest, Unusable
from rapidrtmp.protocol.log_budget import LogBudget
from rapidrtmp.protocol.output import ITransport, Output
from rapidrtmp.protocol.pacing import Pacing
from rapidrtmp.protocol.play import RTMPPlayer
from rapidrtmp.protocol.player import TOO_SLOW, Seat, admit, playable
from rapidrtmp.protocol.requests import CODES, access_request, is_guess, told
from rapidrtmp.rtmp import status
from rapidrtmp.rtmp.authmod import SignIn
from rapidrtmp.rtmp.errors import ProtocolError
from rapidrtmp.rtmp.events import (
    ConnectRequested,
    Event,
    PlayPaused,
    PlayRequested,
    PublishRequested,
    ReceiveChanged,
    Refused,
)
from rapidrtmp.rtmp.netconnection import State
from rapidrtmp.rtmp.session import ServerSession
from rapidrtmp.stream.publication import Eviction, Publication

if TYPE_CHECKING:
    from rapidrtmp.protocol.server import RTMPServerFactory


class RTMPServerProtocol(Protocol):
    """One client's connection.

    Reading pauses while a request is being decided, and while media runs too far ahead of
    the clock; never for somebody else who plays.
    """

    TICK = 1.0
    """Seconds between two looks at whether a publisher still sends."""
    transport: ITransport
    _reading: IPushProducer  # pauses and resumes what comes

    def __init__(self, factory: "RTMPServerFactory", connection_id: str) -> None:
        self.connection_id = connection_id
        """Names the connection in logs."""
        self.session = ServerSession(factory.limits, capabilities=factory.capabilities)
        self._factory = factory
        self._clock = factory.clock
        self._settings = factory.settings
        self._peer = ""
        self._log = ConnectionLog(connection_id, factory.log_budget)
        self._events: deque[Event] = deque()
        self._is_processing = False
        self._is_shaking = True  # until the handshake is done
        self._is_ungranted = False
        self._is_over = False
        self._timer: IDelayedCall | None = None
        self._pause: IDelayedCall | None = None
        self._ingest: Ingest | None = None
        self._player: RTMPPlayer | None = None
        self._sign_in: SignIn | None = None
        self._output = Output(self._output_exceeded)

    # The transport's side.

    def connectionMade(self) -> None:
        """Count the connection in, or close it at once when there are too many."""
        self._peer = plain_address(getattr(self.transport.getPeer(), "host", "local"))
        self._log.peer = self._peer
        self._reading = self.transport
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        self.transport.registerProducer(self._output, True)
        reason, words = self._factory.connected(self, self._peer)
        if reason:
            self._log.budget = self._factory.overflow_log_budget
            self._fail(reason, words)
            return
        self._set_ungranted(True)
        self._start_timer(self._settings.handshake_timeout, self._handshake_late)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes of the client."""
        self._factory.bytes_received += len(data)
        if not self._is_over:
            self._feed(self.session.receive_data, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let go of everything."""
        self._is_over = True
        is_clean = isinstance(reason.value, ConnectionDone)
        self._end("the publisher closed the connection" if is_clean else "the connection was lost")
        self._stop_timer()
        self._set_ungranted(False)
        self._factory.disconnected(self)
        if self.session.dropped:
            self._say(LogLevel.info, f"dropped messages {self.session.dropped}")

    def finish(self, code: str, description: str) -> None:
        """Tell the client that it is over, then close.

        Args:
            code: one of `status`, of level error.
            description: why, in plain words.
        """
        if not self._is_over:
            if self._factory.manager.draining:
                self.session.request_reconnect(None, description)
            if self._player is not None:
                self.session.end_play(status.PLAY_UNPUBLISH_NOTIFY, description)
            self.session.finish(code, description)
            self._end(description)
            self._flush()

    # The session's side.

    def _feed(self, step: Callable[..., list[Event]], argument: object) -> None:
        """Make the session go on by one step and do what follows from it."""
        now = self._clock.seconds()
        try:
            events = step(argument, now)
            if self._is_shaking and self.session.state is not State.HANDSHAKE:
                self._is_shaking = False
                self._start_timer(self._settings.publish_timeout, self._publish_late)
            if events:
                self._process(events)
        except (ProtocolError, Unusable) as error:
            if self._ingest is not None:
                is_unusable = isinstance(error, Unusable)
                words = str(error) if is_unusable else "the connection broke the protocol"
                self._ingest.publication.abuse = words
            if isinstance(error, Unusable):
                self._send_away(error)
            else:
                self._fail(error.reason, str(error))
        except Exception:
            self._crash()
        else:
            if events or self.session.has_output:
                self._flush()
            if self._ingest is not None and self._pause is None:
                self._pace(self._ingest, now)

    def _process(self, events: list[Event]) -> None:
        """Act on events. An answer that comes at once adds its own to those under way."""
        self._events.extend(events)
        if self._is_processing:
            return
        self._is_processing = True
        try:
            while self._events and not self._is_over:
                event = self._events.popleft()
                if isinstance(event, ConnectRequested):
                    self._connect(event)
                elif isinstance(event, PublishRequested):
                    self._publish(event)
                elif isinstance(event, PlayRequested):
                    self._play(event)
                elif isinstance(event, Refused):
                    self._say(LogLevel.info, f"refused, {event.code}: {event.description}")
                elif isinstance(event, PlayPaused | ReceiveChanged):
                    self._flush()  # what the client is told comes before what follows from it
                    if self._player is not None:
                        self._player.change(event)
                else:
                    self._end("unpublished")
                    self._go_idle()
        finally:
            self._is_processing = False

    def _connect(self, request: ConnectRequested) -> None:
        access_manager = self._factory.access_manager
        try:
            self._sign_in = access_manager.admit(request) if access_manager else None
        except ConnectRefused as refusal:
            if refusal.is_guess:
                self._factory.refusals.count(self._peer)
            if not isinstance(refusal, PasswordAsked):
                self._factory.manager.totals.refuse("publish", "authmod")
                self._say(LogLevel.info, f"refused, {status.CONNECT_REJECTED}: {refusal}")
            self.session.reject(request, status.CONNECT_REJECTED, refusal.description)
        else:
            self._events.extend(self.session.accept(request, self._clock.seconds()))

    def _flush(self) -> None:
        if not self._is_over:
            self.transport.writeSequence(self.session.data_to_send())
        if self.session.state is State.CLOSED and not self._is_over:
            self._close()

    def _ask(self, request: PublishRequested | PlayRequested) -> AccessRequest:
        """Put a request into words, and stop reading while it is decided."""
        self._log.key = request.key
        self._stop_timer()
        self._reading.pauseProducing()
        return access_request(request, self._peer, self.connection_id, self._sign_in)

    def _refused(self, failure: Failure, request: PublishRequested | PlayRequested) -> None:
        refusal = told(failure, request)
        if refusal is None:
            self._crash(failure)
        elif not self._is_over:
            if is_guess(failure):
                self._factory.refusals.count(self._peer)
            code, description = refusal
            self._say(LogLevel.info, f"refused, {code}: {description}")
            self.session.reject(request, code, description)
            self._flush()

    def _go_idle(self) -> None:
        """Wait for another request, for a while."""
        self._set_ungranted(True)
        self._start_timer(self._settings.publish_timeout, self._publish_late)

    # Publishing.

    def _publish(self, request: PublishRequested) -> None:
        decision = self._factory.manager.publish(self._ask(request))
        decision.addCallbacks(
            self._granted, self._refused, callbackArgs=(request,), errbackArgs=(request,)
        )
        decision.addErrback(self._crash)

    def _granted(self, publication: Publication, request: PublishRequested) -> None:
        if self._is_over:
            publication.close("the client left before it was let in")
            return
        self._log.budget = LogBudget()
        settings = self._settings
        self._ingest = Ingest(
            publication,
            self._factory.demuxer_factory(),
            Pacing(settings.max_ahead),
            settings.first_media_timeout,
            settings.idle_timeout,
        )
        self.session.on_media = self._ingest.receive
        publication.evicted.addCallback(self._evicted, publication)
        self._set_ungranted(False)
        self._start_timer(self.TICK, self._tick)
        self._reading = self._factory.rounds.reader(self.transport)
        self._reading.resumeProducing()
        self._feed(self.session.accept, request)

    def _evicted(self, eviction: Eviction, publication: Publication) -> None:
        if self._ingest is not None and self._ingest.publication is publication:
            if eviction.abuse:
                self._factory.count_error(eviction.abuse)
            self.finish(CODES[eviction.refusal], eviction.description)

    def _tick(self) -> None:
        self._start_timer(self.TICK, self._tick)
        if self._ingest is not None and self._pause is None:
            try:
                self._ingest.tick(self.TICK)
            except Unusable as unusable:
                self._send_away(unusable)

    def _pace(self, ingest: Ingest, now: float) -> None:
        """Stop reading for as long as media is too far ahead of the clock."""
        wait = ingest.seconds_ahead(now)
        if wait:
            self._reading.pauseProducing()
            self._pause = self._clock.callLater(wait, self._resume)

    def _resume(self) -> None:
        self._pause = None
        self._reading.resumeProducing()

    # Playing.

    def _play(self, request: PlayRequested) -> None:
        access = self._ask(request)
        decision = admit(
            self._factory.manager, access, lambda tracks: playable(tracks, request.capabilities)
        )
        decision.addCallbacks(
            self._seated, self._refused, callbackArgs=(request,), errbackArgs=(request,)
        )
        decision.addErrback(self._crash)

    def _seated(self, seat: Seat, request: PlayRequested) -> None:
        if self._is_over:
            seat.leave()
            return
        self._log.budget = LogBudget()
        self._set_ungranted(False)
        self._player = player = RTMPPlayer(
            seat,
            request,
            self.transport,
            ended=self._play_ended,
            unplayable=self._play_impossible,
            cut=lambda: self._fail("player_slow", TOO_SLOW),
            crashed=self._crash,
        )
        self._reading.resumeProducing()
        self._feed(self.session.accept, request)
        if self._player is player:
            self._output.play(player)
            player.start()

    def _play_ended(self) -> None:
        words = "the stream is over"
        self.session.end_play(status.PLAY_UNPUBLISH_NOTIFY, words)
        self._end(words)
        self._go_idle()
        self._flush()

    def _play_impossible(self, description: str) -> None:
        self._stop_playing()
        self.finish(status.PLAY_FAILED, description)

    def _stop_playing(self) -> None:
        player, self._player = self._player, None
        self._output.player = None
        if player is not None:
            player.close()

    # Ends.

    def _handshake_late(self) -> None:
        self._fail("handshake_timeout", "the handshake took too long")

    def _publish_late(self) -> None:
        self._fail("publish_timeout", "nothing was published or played")

    def _output_exceeded(self) -> None:
        self._fail("output_full", "the client does not read what it is sent")

    def _fail(self, reason: str, text: str) -> None:
        """End a connection that broke a rule, at once."""
        if not self._is_over:
            self._count(reason, text)
            self._end(f"{reason}: {text}")
            self._abort()

    def _send_away(self, unusable: Unusable) -> None:
        """End a publish that is of no use; the publisher is told why."""
        self._count(unusable.reason, str(unusable))
        self.finish(status.PUBLISH_REJECTED, str(unusable))

    def _crash(self, failure: Failure | None = None) -> None:
        """End the connection whose handling raised what nobody expected."""
        self._log.failed(failure)
        self._factory.count_error("internal")
        if not self._is_over:
            self._end("internal error")
            self._abort()

    def _count(self, reason: str, text: str) -> None:
        self._factory.count_error(reason)
        self._say(LogLevel.warn, f"closed, {reason}: {text}")

    def _say(self, level: LogLevel, text: str) -> None:
        self._log.say(level, text, self._clock.seconds())

    def _end(self, reason: str) -> None:
        """Close the publication or the player, if there is one. Once only."""
        self._stop_playing()
        ingest, self._ingest = self._ingest, None
        self.session.on_media = None
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if ingest is not None:
            self._reading.pauseProducing()
            self._reading = self.transport
            if not self._is_over:
                self._reading.resumeProducing()
            ingest.close(reason)

    def _close(self) -> None:
        """Close once the client has read the last word, or has had its time to.

        Closing a socket that has unread bytes resets it, and the client may lose the last
        word: so only our direction is closed, and what still arrives is read and ignored.
        """
        self._is_over = True
        self.transport.unregisterProducer()
        self._reading.resumeProducing()
        if ITCPTransport.providedBy(self.transport) and not ISSLTransport.providedBy(
            self.transport
        ):
            self.transport.loseWriteConnection()
        else:
            self.transport.loseConnection()
        self._start_timer(self._settings.close_timeout, self._abort)

    def _abort(self) -> None:
        self._stop_timer()
        if not self._is_over:
            self._is_over = True
            self.transport.unregisterProducer()
        self.transport.abortConnection()

    def _set_ungranted(self, ungranted: bool) -> None:
        if ungranted is not self._is_ungranted:
            self._is_ungranted = ungranted
            self._factory.count_ungranted(self._peer, 1 if ungranted else -1)

    def _start_timer(self, seconds: float, call: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self._clock.callLater(seconds, call)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
