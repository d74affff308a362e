"""Watches over TLS handshakes: each ends in time and is counted, and failed ones are told."""

# Twisted's wrappers carry no annotations yet.
# mypy: allow-untyped-calls

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHandshakeListener,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from rapidrtmp.address import plain_address
from rapidrtmp.protocol.log_budget import LogBudget

HANDSHAKE_TIMEOUT = 8.0
"""Seconds for the TLS handshake: less than the ten in which a publisher must be through with
its RTMP handshake as well, so that it is told which of the two was late."""


def openssl_words(error: BaseException | None) -> str:
    """Say in words what OpenSSL found wrong."""
    try:
        # (library, function, reason) of each step; the last one is what it led to
        return str(error.args[0][-1][2])  # type: ignore[union-attr]  # what is none, is caught
    except (AttributeError, IndexError, TypeError):
        return str(error)


OK = "ok"
TIMEOUT = "timeout"
VERSION = "version"
NOT_TLS = "not_tls"
CERTIFICATE = "certificate"
CIPHER = "cipher"
OTHER = "other"
OUTCOMES = (OK, TIMEOUT, VERSION, NOT_TLS, CERTIFICATE, CIPHER, OTHER)
"""How a handshake may end. Who leaves before its end is none of them: health checks do."""

_SIGNS = (
    (VERSION, "unsupported protocol", "version too low", "alert protocol version"),
    (NOT_TLS, "wrong version number", "http request", "packet length too long", "record layer"),
    (CERTIFICATE, "certificate", "unknown ca"),
    (CIPHER, "no shared cipher", "no suitable", "handshake failure"),
)
"""What OpenSSL's words of a failure hold, by its kind. First come, first served."""


def outcome_of(words: str) -> str:
    """Tell the kind of a failure.

    Args:
        words: as `openssl_words` gives them.
    """
    return next((kind for kind, *signs in _SIGNS if any(s in words for s in signs)), OTHER)


class TLSHandshakes:
    """Counts the handshakes of a listener, and tells of those that came to nothing."""

    _log = Logger()

    def __init__(
        self, name: str, clock: IReactorTime, failed: Callable[[], None] = lambda: None
    ) -> None:
        """Begin at none.

        Args:
            name: of the protocol, for the log: 'RTMPS'.
            clock: bounds lines by time.
            failed: is called for each one, to count it elsewhere as well.
        """
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        """Handshakes that are over."""
        self._name = name
        self._clock = clock
        self._failed = failed
        self._log_budget = LogBudget()

    def succeed(self) -> None:
        """Count one that is done."""
        self.outcomes[OK] += 1

    def fail(self, peer: str, outcome: str, words: str) -> None:
        """Count one that failed.

        Args:
            peer: IP address of the client.
            outcome: one of `OUTCOMES`.
            words: why.
        """
        self.outcomes[outcome] += 1
        self._failed()
        left = self._log_budget.spend(self._clock.seconds())
        if left:
            more = f" (and no more such lines for up to {LogBudget.PERIOD:g} s)"
            self._log.info(
                "{name} {peer}: closed, TLS handshake: {words}{more}",
                name=self._name,
                peer=peer,
                words=words,
                more=more if left == 1 else "",
            )


@implementer(IHandshakeListener)
class HandshakeWatch(ProtocolWrapper):
    """Stands between TLS and the protocol that is spoken over it."""

    factory: "HandshakeWatchFactory"
    wrappedProtocol: IProtocol  # noqa: N815  (Twisted's name)
    _deadline: IDelayedCall | None = None

    def makeConnection(self, transport: Any) -> None:  # noqa: N802  (Twisted's name)
        """Connect the protocol, and give the handshake its time."""
        self.begin_handshake()
        super().makeConnection(transport)

    def begin_handshake(self) -> None:
        """Give the handshake its time, from now on."""
        self._deadline = self.factory.clock.callLater(HANDSHAKE_TIMEOUT, self._late)

    def handshakeCompleted(self) -> None:  # noqa: N802  (Twisted's name)
        """The handshake is done: tell the protocol if it wants to know."""
        self._end_deadline()
        self.factory.handshakes.succeed()
        if IHandshakeListener.providedBy(self.wrappedProtocol):
            self.wrappedProtocol.handshakeCompleted()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell of a handshake that failed."""
        if self._deadline is not None and reason.check(SSL.Error):
            words = openssl_words(reason.value)
            self._fail(outcome_of(words), words)
        self._end_deadline()
        super().connectionLost(reason)

    def _late(self) -> None:
        self._fail(TIMEOUT, f"not done in {HANDSHAKE_TIMEOUT:g} s")
        self._deadline = None
        self.abortConnection()

    def _fail(self, outcome: str, words: str) -> None:
        peer = plain_address(getattr(self.getPeer(), "host", "local"))
        self.factory.handshakes.fail(peer, outcome, words)

    def _end_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None


class HandshakeWatchFactory(WrappingFactory[HandshakeWatch]):
    """Makes watched connections."""

    protocol: type[HandshakeWatch] = HandshakeWatch
    noisy = False

    def __init__(
        self, wrapped: IProtocolFactory, handshakes: TLSHandshakes, clock: IReactorTime
    ) -> None:
        """Make a factory.

        Args:
            wrapped: makes the protocols that are spoken over TLS.
            handshakes: counts them.
            clock: times them.
        """
        super().__init__(wrapped)
        self.handshakes = handshakes
        self.clock = clock

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make a connection, or none where the wrapped factory wants none."""
        wrapped = self.wrappedFactory.buildProtocol(addr)
        return None if wrapped is None else self.protocol(self, wrapped)


class TLSFactory(TLSMemoryBIOFactory):
    """Speaks TLS with every client."""

    def __init__(
        self,
        wrapped: IProtocolFactory,
        creator: IOpenSSLServerConnectionCreator,
        handshakes: TLSHandshakes,
        clock: IReactorTime,
    ) -> None:
        """Make a factory.

        Args:
            wrapped: makes the protocols that are spoken over TLS.
            creator: begins the TLS of a connection.
            handshakes: counts them.
            clock: times them.
        """
        super().__init__(creator, False, HandshakeWatchFactory(wrapped, handshakes, clock), clock)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make a connection, or none where the wrapped factory wants none."""
        wrapped = self.wrappedFactory.buildProtocol(addr)
        return None if wrapped is None else self.protocol(self, wrapped)
