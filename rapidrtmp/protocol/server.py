"""The listener's side of RTMP: makes a protocol for each connection and keeps count."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory

from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.media.codec import CodecRegistry
from rapidrtmp.protocol.access_manager import AccessManager
from rapidrtmp.protocol.connection import RTMPServerProtocol
from rapidrtmp.protocol.dump import Dumps, RecordedRTMPServerProtocol
from rapidrtmp.protocol.log_budget import LogBudget
from rapidrtmp.protocol.rounds import Rounds
from rapidrtmp.rate_limit import RateLimit
from rapidrtmp.rtmp import status
from rapidrtmp.rtmp.capabilities import (
    CAN_FORWARD,
    MODEX,
    MULTITRACK,
    PLAIN,
    RECONNECT,
    TIMESTAMP_NANO_OFFSET,
    Capabilities,
)
from rapidrtmp.rtmp.limits import Limits
from rapidrtmp.stream.manager import StreamManager


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How long clients may take, and how many they may be. Times in seconds."""

    handshake_timeout: float = 10.0
    """From the connection to the end of the handshake, whatever arrives."""
    publish_timeout: float = 10.0
    """From there, or from the end of a publish or play, to the next."""
    first_media_timeout: float = 20.0
    """From the grant to the first audio or video that can be used."""
    idle_timeout: float = 10.0
    """A publisher without audio and video for so long is gone: half-open TCP."""
    close_timeout: float = 2.0
    """From a last word to the end of a connection whose client does not close it."""
    max_ahead: float = 10.0
    """How far media may run ahead of the wall clock before reading pauses; 0 is no limit."""
    max_connections: int = 10_000
    max_ungranted: int = 100
    """Connections of one address that have not been granted a publish or a play."""
    max_refusals: int = 10
    """Requests of one address refused for want of a right in `REFUSALS_PERIOD`; 0 is no limit."""


_LAST_LEGACY_ID = 15
_HDR = 2
_METADATA = 4  # videoFunction

REFUSALS_PERIOD = 60.0
"""Seconds for which an address is barred after too many refusals."""


def server_capabilities(registry: CodecRegistry) -> Capabilities:
    """Return what clients are told: each codec that is known is passed on.

    Args:
        registry: the codecs.
    """

    def masks(*names: Mapping[int, object]) -> dict[str, int]:
        numbers = {number for mapping in names for number in mapping if number > _LAST_LEGACY_ID}
        return {number.to_bytes(4, "big").decode("ascii"): CAN_FORWARD for number in numbers}

    video, audio = masks(registry.video), masks(registry.audio, registry.audio_frames)
    return Capabilities(
        frozenset(video | audio),
        video,
        audio,
        RECONNECT | MULTITRACK | MODEX | TIMESTAMP_NANO_OFFSET,
        _HDR | _METADATA,
    )


class RTMPServerFactory(Factory):
    """Makes the connections of one listener and keeps count of them.

    Args:
        manager: decides who may publish and takes the media.
        clock: tells the time and calls later.
        demuxer_factory: makes the demuxer of each publication.
        limits: of each session.
        settings: of each connection, and how many there may be.
        dumps: records every connection; None for none.
        capabilities: what clients are told that the server can do of Enhanced RTMP.
        access_manager: asks clients for passwords; None when none are needed.
    """

    noisy = False

    def __init__(
        self,
        manager: StreamManager,
        clock: IReactorTime,
        demuxer_factory: Callable[[], Demuxer],
        limits: Limits | None = None,
        settings: ServerSettings | None = None,
        dumps: Dumps | None = None,
        capabilities: Capabilities = PLAIN,
        access_manager: AccessManager | None = None,
    ) -> None:
        self.manager = manager
        self.clock = clock
        self.demuxer_factory = demuxer_factory
        self.limits = limits or Limits()
        self.settings = settings or ServerSettings()
        self.capabilities = capabilities
        self.access_manager = access_manager
        self.refusals = RateLimit(clock, self.settings.max_refusals, REFUSALS_PERIOD)
        """Publishes and plays that were refused for want of a right, by address."""
        self.rounds = Rounds(clock)
        """Reads from those that publish."""
        self.connections: set[RTMPServerProtocol] = set()
        """Those that are open."""
        self.connections_total = 0
        self.disconnects_total = 0
        self.bytes_received = 0
        self.errors: dict[str, int] = {}
        """Connections that broke a rule, or that we failed ('internal'), by reason."""
        self.log_budget = LogBudget()
        """Of all connections that never published or played."""
        self.overflow_log_budget = LogBudget(3)
        """Of those that were too many: the same line again and again must not use up the rest."""
        self._dumps = dumps
        self._ungranted: dict[str, int] = {}
        self._drained: list[Deferred[None]] = []

    def apply(self, limits: Limits, settings: ServerSettings) -> None:
        """Take new limits and settings, for the connections to come."""
        self.limits = limits
        self.settings = settings
        self.refusals.limit = settings.max_refusals

    def startFactory(self) -> None:  # noqa: N802  (Twisted's name)
        """Get ready: the first port listens."""
        if self._dumps is not None:
            self._dumps.start()

    def buildProtocol(self, addr: IAddress | None) -> RTMPServerProtocol:
        """Make the protocol of a new connection."""
        self.connections_total += 1
        connection_id = f"rtmp-{self.connections_total}"
        if self._dumps is not None:
            return RecordedRTMPServerProtocol(self, connection_id, self._dumps)
        return RTMPServerProtocol(self, connection_id)

    def drain(self, description: str) -> Deferred[None]:
        """Tell every client that it is over.

        Args:
            description: why, in plain words.

        Returns:
            Fires when all connections are closed, at most `close_timeout` later.
        """
        for connection in list(self.connections):
            connection.finish(status.PUBLISH_REJECTED, description)
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        self._tell_drained()
        return drained

    def connected(self, connection: RTMPServerProtocol, peer: str) -> tuple[str, str]:
        """Count a connection in; return why it must not be, in one word and in many."""
        self.connections.add(connection)
        if len(self.connections) > self.settings.max_connections:
            words = f"more than {self.settings.max_connections} connections"
            return "too_many_connections", words
        if self._ungranted.get(peer, 0) >= self.settings.max_ungranted:
            words = f"more than {self.settings.max_ungranted} connections that do nothing"
            return "too_many_connections", words
        barred = self.refusals.blocked_for(peer)
        if barred:
            return "too_many_refusals", f"refused too often, barred for {barred:.0f} s"
        return "", ""

    def disconnected(self, connection: RTMPServerProtocol) -> None:
        """Count a connection out."""
        self.connections.discard(connection)
        self.disconnects_total += 1
        self._tell_drained()

    def count_error(self, reason: str) -> None:
        """Count a connection that is ended for a reason."""
        self.errors[reason] = self.errors.get(reason, 0) + 1

    def count_ungranted(self, peer: str, change: int) -> None:
        """Count an address's connections without a granted publish or play."""
        count = self._ungranted.get(peer, 0) + change
        if count:
            self._ungranted[peer] = count
        else:
            self._ungranted.pop(peer, None)

    def _tell_drained(self) -> None:
        if not self.connections:
            drained, self._drained = self._drained, []
            for deferred in drained:
                deferred.callback(None)
