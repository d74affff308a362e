"""The listener's side of RTMP: makes a protocol for each connection and keeps count."""

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory

from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.protocol.connection import RTMPServerProtocol
from rapidrtmp.protocol.log_budget import LogBudget
from rapidrtmp.rtmp import status
from rapidrtmp.rtmp.limits import Limits
from rapidrtmp.stream.manager import StreamManager


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How long clients may take, and how many they may be. Times in seconds."""

    handshake_timeout: float = 10.0
    """From the connection to the end of the handshake, whatever arrives."""
    publish_timeout: float = 10.0
    """From there, or from the end of a publish, to a publish."""
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
    """Connections of one address that have not been granted a publish."""


class RTMPServerFactory(Factory):
    """Makes the connections of one listener and keeps count of them.

    Args:
        manager: decides who may publish and takes the media.
        clock: tells the time and calls later.
        demuxer_factory: makes the demuxer of each publication.
        limits: of each session.
        settings: of each connection, and how many there may be.
    """

    noisy = False

    def __init__(
        self,
        manager: StreamManager,
        clock: IReactorTime,
        demuxer_factory: Callable[[], Demuxer],
        limits: Limits | None = None,
        settings: ServerSettings | None = None,
    ) -> None:
        self.manager = manager
        self.clock = clock
        self.demuxer_factory = demuxer_factory
        self.limits = limits or Limits()
        self.settings = settings or ServerSettings()
        self.connections: set[RTMPServerProtocol] = set()
        """Those that are open."""
        self.connections_total = 0
        self.disconnects_total = 0
        self.bytes_received = 0
        self.errors: dict[str, int] = {}
        """Connections that broke a rule, or that we failed ('internal'), by reason."""
        self.log_budget = LogBudget()
        """Of all connections that never published."""
        self.overflow_log_budget = LogBudget(3)
        """Of those that were too many: the same line again and again must not use up the rest."""
        self._ungranted: dict[str, int] = {}
        self._drained: list[Deferred[None]] = []

    def buildProtocol(self, addr: IAddress | None) -> RTMPServerProtocol:
        """Make the protocol of a new connection."""
        self.connections_total += 1
        return RTMPServerProtocol(self, f"rtmp-{self.connections_total}")

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

    def connected(self, connection: RTMPServerProtocol, peer: str) -> str:
        """Count a connection in; return why it must not be, or an empty text."""
        self.connections.add(connection)
        if len(self.connections) > self.settings.max_connections:
            return f"more than {self.settings.max_connections} connections"
        if self._ungranted.get(peer, 0) >= self.settings.max_ungranted:
            return f"more than {self.settings.max_ungranted} connections that publish nothing"
        return ""

    def disconnected(self, connection: RTMPServerProtocol) -> None:
        """Count a connection out."""
        self.connections.discard(connection)
        self.disconnects_total += 1
        self._tell_drained()

    def count_error(self, reason: str) -> None:
        """Count a connection that is ended for a reason."""
        self.errors[reason] = self.errors.get(reason, 0) + 1

    def count_ungranted(self, peer: str, change: int) -> None:
        """Count an address's connections without a granted publish."""
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
