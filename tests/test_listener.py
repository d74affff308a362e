"""Tests for `rapidrtmp.listener`."""

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.config import SettingError
from rapidrtmp.listener import Listener


class Port:
    """A listening port that closes when it is told to."""

    def __init__(self) -> None:
        self.closed: Deferred[None] = Deferred()
        self.closing = False

    def getHost(self) -> str:
        """Name the port in the log."""
        return "a port"

    def stopListening(self) -> Deferred[None]:
        """Begin to close."""
        self.closing = True
        return self.closed


class Endpoint:
    """An endpoint that gives one answer."""

    def __init__(self, answer: Deferred[Any]) -> None:
        self.answer = answer
        self.listened = 0

    def listen(self, factory: object) -> Deferred[Any]:
        """Give the answer."""
        self.listened += 1
        return self.answer


class ListenerTests(SynchronousTestCase):
    """A service that listens where a setting says."""

    def listener(self, endpoint: Endpoint) -> Listener:
        """Make a listener of a fake endpoint."""
        return Listener(
            None, "HTTP_ADDR", "127.0.0.1:80", Factory(), from_string=lambda *_: endpoint
        )

    def test_listens(self) -> None:
        """It listens on the address with the factory it was given."""
        reactor, factory = MemoryReactor(), Factory()
        listener = Listener(reactor, "HTTP_ADDR", "127.0.0.1:8080", factory)
        self.assertEqual(reactor.tcpServers, [])
        listener.startService()
        ((port, got, _, interface),) = reactor.tcpServers
        self.assertEqual((port, got, interface), (8080, factory, "127.0.0.1"))
        self.assertEqual(len(listener.ports), 1)

    def test_once(self) -> None:
        """Privileged or not, it listens once."""
        endpoint = Endpoint(succeed(Port()))
        listener = self.listener(endpoint)
        listener.privilegedStartService()
        listener.startService()
        self.assertEqual(endpoint.listened, 1)

    def test_refused(self) -> None:
        """A busy port is a failing setting, in the system's own words."""
        busy = CannotListenError("", 80, OSError(98, "Address already in use"))
        for error, words in ((busy, "Address already in use"), (ValueError("odd"), "odd")):
            listener = self.listener(Endpoint(fail(error)))
            refusal = self.assertRaises(SettingError, listener.startService)
            self.assertEqual(str(refusal), f"HTTP_ADDR=127.0.0.1:80: cannot listen there: {words}")

    def test_stops(self) -> None:
        """Stopping is done when the port is closed."""
        port = Port()
        listener = self.listener(Endpoint(succeed(port)))
        listener.startService()
        stopped = listener.stopService()
        self.assertTrue(port.closing)
        self.assertNoResult(stopped)
        port.closed.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(listener.ports, [])
