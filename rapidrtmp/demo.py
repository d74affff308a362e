"""The demo: a child process that publishes the test card, and what to tell the user."""

# Twisted's services and options carry no annotations yet.
# mypy: allow-untyped-calls

import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from rapidrtmp.child_environment import child_environment

DEMO_KEY = "demo"
"""Stream key that the test card is published under."""

FIRST_DELAY, LONGEST_DELAY = 1.0, 30.0
"""Seconds before the child is started again: the first time, and at most."""
STEADY = 10.0
"""Seconds after which a child counts as having worked, so that the delay starts over."""
PATIENCE = 3.0
"""Seconds that the child has to end by itself before it is killed."""
LOOK = 15.0
"""Seconds between two looks whether it publishes: longer than a server takes to notice silence."""


class DemoPublisher(Service):
    """Keeps a child process publishing while the service runs."""

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        get_url: Callable[[], "Deferred[str]"],
        is_published: Callable[[], bool],
    ) -> None:
        """Make a publisher that is not started.

        Args:
            reactor: starts the process and the timers.
            get_url: gives the RTMP URL to publish to, with a token. Asked at each start.
            is_published: tells whether somebody publishes there. A child that does not, for two
                looks, hangs: it is killed.
        """
        self._reactor = reactor
        self._get_url = get_url
        self._is_published = is_published
        self._was_published = True
        self._delay = FIRST_DELAY
        self._timer: IDelayedCall | None = None
        self._child: _Child | None = None
        self._stopped: Deferred[None] | None = None

    def startService(self) -> None:
        """Start the child as soon as the reactor runs, when the listeners do."""
        super().startService()
        self._timer = self._reactor.callLater(0, self._start)

    def stopService(self) -> "Deferred[None] | None":
        """End the child; fires when it has ended."""
        super().stopService()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._child is None:
            return None
        self._stopped = Deferred()
        self._child.end()
        return self._stopped

    def _start(self) -> None:
        self._timer = None
        self._get_url().addCallbacks(self._spawn, self._no_url)

    def _no_url(self, failure: Failure) -> None:
        self._log.error("demo: no URL to publish to: {reason}", reason=failure.getErrorMessage())
        self._again()

    def _spawn(self, url: str) -> None:
        if not self.running:
            return
        self._child = _Child(self._reactor, url, self._ended)
        self._reactor.spawnProcess(
            self._child,
            sys.executable,
            [sys.executable, "-m", "rapidrtmp.testcard"],
            env=child_environment(),
        )
        self._was_published = True
        self._timer = self._reactor.callLater(LOOK, self._look)

    def _look(self) -> None:
        self._timer = self._reactor.callLater(LOOK, self._look)
        is_published = self._is_published()
        if self._child is not None and not (is_published or self._was_published):
            self._child.kill()
        self._was_published = is_published

    def _ended(self, lasted: float, reason: str) -> None:
        self._child = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stopped is not None:
            self._stopped.callback(None)
            return
        self._log.warn("demo: the publisher ended: {reason}", reason=reason)
        if lasted > STEADY:
            self._delay = FIRST_DELAY
        self._again()

    def _again(self) -> None:
        if self.running:
            self._timer = self._reactor.callLater(self._delay, self._start)
            self._delay = min(2 * self._delay, LONGEST_DELAY)


class _Child(ProcessProtocol):
    """The process of the test card. It ends when its standard input does."""

    transport: IProcessTransport

    def __init__(self, reactor: Any, url: str, ended: Callable[[float, str], None]) -> None:
        self._reactor = reactor
        self._url = url
        self._ended = ended
        self._last_line = ""
        self._timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self._started = self._reactor.seconds()
        self.transport.writeToChild(0, self._url.encode() + b"\n")

    def kill(self) -> None:
        """End the child, which does nothing any more."""
        self._last_line = "it hung, and was killed"
        self.transport.signalProcess("KILL")

    def end(self) -> None:
        """Ask the child to end; kill it if it does not."""
        self.transport.closeStdin()
        self._timer = self._reactor.callLater(PATIENCE, self.transport.signalProcess, "KILL")

    def errReceived(self, data: bytes) -> None:
        lines = (self._last_line + data.decode(errors="replace")).splitlines()
        self._last_line = lines[-1][-500:] if lines else ""

    def processEnded(self, reason: Failure) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        lasted = self._reactor.seconds() - self._started
        self._ended(lasted, self._last_line or reason.getErrorMessage())


def announcement(site: str, publish_url: str) -> str:
    """Tell what to open in a browser and what to type into OBS.

    Args:
        site: URL of the web site, without a slash at its end.
        publish_url: RTMP URL with a token for the user's own stream.
    """
    url = urlsplit(publish_url)
    app, _, key = url.path.lstrip("/").partition("/")
    return f"""
  RapidRTMP is running. Open in a browser:

      {site}/player/{DEMO_KEY}

  Your own stream from OBS: Settings > Stream > Service "Custom...",

      Server      {url.scheme}://{url.netloc}/{app}
      Stream Key  {key}?{url.query}

  and watch it at {site}/player/{key}
  Ctrl-C ends the server.
"""
