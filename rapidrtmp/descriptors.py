"""File descriptors: as many as there may be, and some that connections never get."""

import errno
import os
import resource
from typing import Any

from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IReactorTime
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from zope.interface import implementer

RESERVE = 64
"""Kept for files, child processes and our own connections; a quarter where there are few."""
QUIET = 60.0
"""Seconds from one line of the log that there are too few to the next."""

_log = Logger()


def raise_limit(wanted: int) -> None:
    """Let this process open so many files, or as many as it may let itself.

    Args:
        wanted: for all connections that the settings allow, and `RESERVE`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < wanted:
            _log.warn(
                "at most {allowed} files can be open, {wanted} would be needed for all connections "
                "that the settings allow: raise the limit (ulimit -n, LimitNOFILE)",
                allowed=allowed,
                wanted=wanted,
            )


class Descriptors:
    """Tells whether there are enough for one more connection."""

    def __init__(self, clock: IReactorTime) -> None:
        """Make one that has told nothing yet.

        Args:
            clock: for the log's rest.
        """
        self._clock = clock
        self._quiet_until = 0.0

    def are_scarce(self) -> bool:
        """Tell whether only the reserve is left. The log says so now and then."""
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit == resource.RLIM_INFINITY:
            return False
        try:
            # the lowest number that is free
            number = os.dup(0)
        except OSError as error:
            # none is free; anything else is wrong with what was to be copied
            number = limit if error.errno == errno.EMFILE else 0
        else:
            os.close(number)
        is_scarce = number >= limit - min(RESERVE, limit // 4)
        now = self._clock.seconds()
        if is_scarce and now >= self._quiet_until:
            self._quiet_until = now + QUIET
            _log.warn(
                "{number} of {limit} files are open: connections are refused until there are "
                "fewer (ulimit -n, LimitNOFILE)",
                number=number,
                limit=limit,
            )
        return is_scarce


@implementer(IProtocolFactory)
class ThriftyFactory:
    """Makes another factory's protocols while there are descriptors; closes who comes else.

    Left to itself, Twisted's port closes them when the last descriptor is gone. By then no file
    can be opened, and where a thread has taken the one that the port keeps for that, it looks
    at the same connection over and over.
    """

    def __init__(self, factory: Any, descriptors: Descriptors) -> None:
        """Wrap a factory.

        Args:
            factory: makes the protocols.
            descriptors: shared by all listeners.
        """
        self._factory = factory
        self._descriptors = descriptors

    def buildProtocol(self, address: IAddress) -> IProtocol | None:
        """Make a protocol, or none."""
        if self._descriptors.are_scarce():
            return None
        protocol: IProtocol | None = self._factory.buildProtocol(address)
        return protocol

    def doStart(self) -> None:  # noqa: N802 (IProtocolFactory)
        """Start the factory."""
        self._factory.doStart()

    def doStop(self) -> None:  # noqa: N802 (IProtocolFactory)
        """Stop it."""
        self._factory.doStop()


class Aborted(Protocol):
    """A connection that ends as soon as it is made."""

    transport: Any

    def connectionMade(self) -> None:
        """End it."""
        self.transport.abortConnection()


@implementer(IProtocolFactory)
class WrappedFactory:
    """Makes another factory's protocols, and one that ends at once where that makes none.

    It is for endpoints that wrap every protocol, in TLS or a PROXY header: they fail at None. A
    plain port takes None, and closes the connection before it accepts the next one; here all that
    are accepted at a time keep their descriptors until the reactor's next turn.
    """

    def __init__(self, factory: IProtocolFactory) -> None:
        """Wrap a factory.

        Args:
            factory: makes the protocols, or none.
        """
        self._factory = factory

    def buildProtocol(self, address: IAddress) -> IProtocol:
        """Make a protocol."""
        return self._factory.buildProtocol(address) or Aborted()

    def doStart(self) -> None:  # noqa: N802 (IProtocolFactory)
        """Start the factory."""
        self._factory.doStart()

    def doStop(self) -> None:  # noqa: N802 (IProtocolFactory)
        """Stop it."""
        self._factory.doStop()
