"""Tests for `rapidrtmp.systemd`."""

import os
import socket
from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.systemd import ServiceManager


class Reactor(Clock):
    """A clock that runs from the beginning on."""

    def callWhenRunning(self, call: Callable[[], object]) -> None:  # noqa: N802  (same)
        """Call it at the next turn."""
        self.callLater(0, call)


class ServiceManagerTests(SynchronousTestCase):
    """What is sent to a socket of the service manager."""

    def setUp(self) -> None:
        """Listen as systemd does."""
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.listener.close)
        self.listener.bind(f"\0rapidrtmp-{os.getpid()}-{self.id()}")
        self.listener.setblocking(False)
        self.address = "@" + self.listener.getsockname()[1:].decode()
        self.reactor = Reactor()

    def heard(self) -> list[str]:
        """Give what came since the last call."""
        states = []
        try:
            while True:
                states.append(self.listener.recv(100).decode())
        except BlockingIOError:
            return states

    def manager(self, **environment: str) -> ServiceManager:
        """Make one that has started."""
        manager = ServiceManager(self.reactor, environment)
        manager.startService()
        return manager

    def test_ready(self) -> None:
        """It is ready when the reactor turns, not before; and says that it stops."""
        manager = self.manager(NOTIFY_SOCKET=self.address)
        self.assertEqual(self.heard(), [])
        self.reactor.advance(0)
        self.assertEqual(self.heard(), ["READY=1"])
        manager.stopService()
        self.assertEqual(self.heard(), ["STOPPING=1"])
        self.assertEqual(self.reactor.getDelayedCalls(), [], "no watchdog, no sign of life")

    def test_path(self) -> None:
        """The socket may be a file."""
        path = f"/tmp/rapidrtmp-{os.getpid()}.sock"  # 108 bytes at most
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(path)
            self.addCleanup(os.unlink, path)
            ServiceManager(self.reactor, {"NOTIFY_SOCKET": path}).notify("READY=1")
            self.assertEqual(listener.recv(100), b"READY=1")

    def test_signs_of_life(self) -> None:
        """Two come in each interval of the watchdog, also while the server drains."""
        manager = self.manager(
            NOTIFY_SOCKET=self.address, WATCHDOG_USEC="6000000", WATCHDOG_PID=str(os.getpid())
        )
        self.reactor.advance(0)
        self.assertEqual(self.heard(), ["READY=1", "WATCHDOG=1"])
        self.reactor.advance(2.9)
        self.assertEqual(self.heard(), [])
        self.reactor.advance(0.1)
        self.assertEqual(self.heard(), ["WATCHDOG=1"])
        manager.stopService()
        self.reactor.advance(3)
        self.assertEqual(self.heard(), ["STOPPING=1", "WATCHDOG=1"])

    def test_watchdog_of_another(self) -> None:
        """A watchdog that waits for another process, or makes no sense, gets nothing."""
        for more in (
            {"WATCHDOG_USEC": "6000000", "WATCHDOG_PID": "1"},
            {"WATCHDOG_USEC": "soon"},
            {"WATCHDOG_USEC": "0"},
        ):
            self.manager(NOTIFY_SOCKET=self.address, **more)
            self.reactor.advance(0)
            self.assertEqual(self.heard(), ["READY=1"])
            self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_nobody(self) -> None:
        """Without a service manager nothing is done."""
        manager = self.manager()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        manager.stopService()
        self.assertEqual(self.heard(), [])

    def test_deaf(self) -> None:
        """A service manager that has gone is a line in the log, and no more."""
        self.listener.close()
        manager = self.manager(NOTIFY_SOCKET=self.address)
        self.reactor.advance(0)
        manager.stopService()
        self.assertEqual(self.flushLoggedErrors(), [])
