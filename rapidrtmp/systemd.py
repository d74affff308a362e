"""Tells systemd, or whatever else started the server, how it is: sd_notify(3)."""

# Twisted's services carry no annotations yet.
# mypy: allow-untyped-calls

import os
import socket
from collections.abc import Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger


class ServiceManager(Service):
    """Says when the server is ready, that it is alive, and when it stops.

    Without ``NOTIFY_SOCKET`` nobody wants to know, and nothing is done.
    """

    _log = Logger()

    def __init__(self, reactor: Any, environment: Mapping[str, str]) -> None:
        """Find out who wants to know; nothing is said yet.

        Args:
            reactor: the real one.
            environment: the process's, with ``NOTIFY_SOCKET`` and, where the service manager ends
                a process that is silent, ``WATCHDOG_USEC`` (microseconds) and ``WATCHDOG_PID``.
        """
        self._reactor = reactor
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._beat = LoopingCall(self.notify, "WATCHDOG=1")
        self._beat.clock = reactor
        self._interval = 0.0
        """Seconds between two signs of life; 0 without a watchdog."""
        if environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            microseconds = environment.get("WATCHDOG_USEC", "")
            # half of it, as sd_watchdog_enabled(3) advises
            self._interval = int(microseconds) / 2e6 if microseconds.isdecimal() else 0.0

    def startService(self) -> None:
        """Say that it is ready, as soon as the reactor runs: by then every address is open."""
        super().startService()
        if self._address:
            self._reactor.callWhenRunning(self._ready)

    def _ready(self) -> None:
        self.notify("READY=1")
        if self._interval:
            self._beat.start(self._interval)

    def stopService(self) -> None:
        """Say that it stops. Signs of life go on until the reactor ends: to drain takes a while."""
        super().stopService()
        self.notify("STOPPING=1")

    def notify(self, state: str) -> None:
        """Send one assignment, if anybody wants to know.

        Args:
            state: as sd_notify(3) lists them.
        """
        if not self._address:
            return
        # Linux writes an abstract address with a zero byte in front, sd_notify with an @.
        address = self._address.replace("@", "\0", 1) if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(state.encode(), address)
        except OSError as error:
            self._log.warn(
                "cannot tell the service manager {state}: {error}",
                state=state,
                error=error.strerror,
            )
