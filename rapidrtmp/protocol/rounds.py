"""Reading from many publishers at once, in rounds."""

# Twisted's transports carry no annotations yet.
# mypy: allow-untyped-calls

import select
from contextlib import suppress
from typing import cast

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import (
    IDelayedCall,
    IPushProducer,
    IReactorFDSet,
    IReactorTime,
    IReadDescriptor,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rapidrtmp.protocol.direct_writer import connection_of

PAUSE_PER_READER = 0.000_5
"""Seconds between two rounds, for each publisher: the wait grows with what it saves."""
MAX_PAUSE = 0.012
"""Seconds between two rounds at most."""
READS = 4
"""Times that a publisher who has sent so much is read from in a round: that makes 256 KiB, or
260 Mbit/s."""
FEW = 4
"""With fewer publishers there is nothing to be saved: they are read from at once."""


_log = Logger()


@implementer(IReadDescriptor)
class Rounds:
    """Reads from the sockets of publishers: from all that are readable, a few ms apart.

    A reactor polls, then calls back for each socket, in ways that cost more than it costs to
    take a frame. Many publishers never stop sending: what has come a few milliseconds later
    comes in one round, with one poll for all.

    Here is a poll object of our own, which the reactor polls as a whole while nothing comes.

    Args:
        reactor: calls later and, if it can, polls.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._fds = cast(IReactorFDSet, reactor)
        self._can_poll = hasattr(select, "epoll") and IReactorFDSet.providedBy(reactor)
        self._poll: select.epoll | None = None
        self._readers: dict[int, Reader] = {}
        self._timer: IDelayedCall | None = None

    def reader(self, transport: IPushProducer) -> IPushProducer:
        """Return what pauses and resumes the reading from a transport, which is paused.

        Args:
            transport: of a connection. What is not the socket itself, as that of TLS, is read
                from by the reactor as ever.
        """
        socket = connection_of(transport)
        if socket is None or not self._can_poll:
            return transport
        return Reader(self, socket)

    @property
    def pause(self) -> float:
        """Seconds between two rounds, as of now."""
        count = len(self._readers)
        return 0.0 if count < FEW else min(count * PAUSE_PER_READER, MAX_PAUSE)

    # The readers' side.

    def add(self, reader: "Reader") -> None:
        """Read from a socket in the rounds to come, if it is not read from already."""
        if reader.number in self._readers:
            return
        if self._poll is None:
            self._poll = select.epoll()
            self._fds.addReader(self)
        self._readers[reader.number] = reader
        self._poll.register(reader.number, select.EPOLLIN)

    def discard(self, reader: "Reader") -> None:
        """Read from a socket no more."""
        if self._readers.pop(reader.number, None) is None or self._poll is None:
            return
        with suppress(OSError):  # it may be closed
            self._poll.unregister(reader.number)
        if not self._readers:
            self._stop_timer()
            self._fds.removeReader(self)
            self._poll.close()
            self._poll = None

    # The reactor's side (IReadDescriptor).

    def fileno(self) -> int:
        """Return the number of the poll object."""
        return -1 if self._poll is None else self._poll.fileno()

    def doRead(self) -> None:  # noqa: N802  (Twisted's name)
        """Begin with rounds: something can be read."""
        self._next()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops."""
        for reader in list(self._readers.values()):
            reader.lose(reason)

    def logPrefix(self) -> str:  # noqa: N802  (Twisted's name)
        """Name it."""
        return type(self).__name__

    def _next(self) -> None:
        """Go on with rounds while something comes, else wait for it."""
        self._stop_timer()
        found = self._read()
        if self._poll is None:
            return
        if found and self.pause:
            self._fds.removeReader(self)
            self._timer = self._reactor.callLater(self.pause, self._next)
        else:
            self._fds.addReader(self)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _read(self) -> bool:
        """Read from each socket that can be read; return whether there was one."""
        found = False
        for _ in range(READS):
            readable = () if self._poll is None else self._poll.poll(0)
            if not readable:
                break
            found = True
            for number, _event in readable:
                reader = self._readers.get(number)
                if reader is not None:  # else it left in this round
                    reader.read()
        return found


@implementer(IPushProducer)
class Reader:
    """The reading from one socket, which the reactor does not read from meanwhile."""

    def __init__(self, rounds: Rounds, socket: FileDescriptor) -> None:
        self.number = socket.fileno()
        self._rounds = rounds
        self._socket = socket

    def pauseProducing(self) -> None:
        """Stop reading."""
        self._rounds.discard(self)

    def resumeProducing(self) -> None:
        """Read again."""
        if self._socket.connected and not self._socket.disconnecting:
            self._rounds.add(self)

    def stopProducing(self) -> None:
        """Stop reading for good."""
        self._rounds.discard(self)

    def read(self) -> None:
        """Read what there is. An end is left to the reactor, which finds it, too.

        Not so a reset, which is told once: the reactor would find a clean end behind it.
        """
        try:
            end = self._socket.doRead()
        except Exception:
            _log.failure("a publisher's connection failed")
            self._socket.stopWriting()
            self.lose(Failure())
            return
        if isinstance(end, ConnectionLost):
            self._socket.stopWriting()
            self.lose(Failure(end))
        elif end is not None:
            self._rounds.discard(self)
            self._socket.resumeProducing()

    def lose(self, reason: Failure) -> None:
        """Give the connection up. What goes wrong in that harms no other one."""
        self._rounds.discard(self)
        try:
            self._socket.connectionLost(reason)
        except Exception:
            _log.failure("a publisher's connection failed at its end")
