"""What happens when a client does not read what it is sent."""

from collections.abc import Callable

from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from zope.interface import implementer


class ITransport(ITCPTransport, IConsumer, IPushProducer):
    """What Twisted's stream transports can do. Others lack the options of TCP."""


@implementer(IPushProducer)
class Output:
    """The producer of one connection: ends it when its client does not read, unless it plays.

    All that others are sent fits the transport's buffer (64 KiB) many times over: when the
    transport asks for a pause, nobody reads at the other end. A player's media waits.

    Args:
        exceeded: ends the connection.
    """

    def __init__(self, exceeded: Callable[[], None]) -> None:
        self.player: IPushProducer | None = None
        """What sends media on this connection."""
        self._is_full = False
        self._exceeded = exceeded

    def play(self, player: IPushProducer) -> None:
        """Let media wait from now on."""
        self.player = player
        if self._is_full:
            player.pauseProducing()

    def pauseProducing(self) -> None:
        """The transport is full."""
        self._is_full = True
        if self.player is None:
            self._exceeded()
        else:
            self.player.pauseProducing()

    def resumeProducing(self) -> None:
        """The transport is empty."""
        self._is_full = False
        if self.player is not None:
            self.player.resumeProducing()

    def stopProducing(self) -> None:
        """The transport is gone; the protocol learns it by connectionLost."""
