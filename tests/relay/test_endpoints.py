"""What connects to targets: TCP and TLS, and whom TLS trusts."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import Queue
from socket import AF_INET, SOCK_STREAM, gaierror
from threading import Event
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.relay.endpoints import Endpoints
from rapidrtmp.rtmp.target import Target


class EndpointsTests(SynchronousTestCase):
    def file(self, content: bytes) -> str:
        """Make a file."""
        path = Path(self.mktemp())
        path.write_bytes(content)
        return str(path)

    def test_schemes(self) -> None:
        """Plain TCP for rtmp, TLS for rtmps."""
        endpoints = Endpoints(MemoryReactorClock())
        plain = endpoints(Target.parse("rtmp://far.example/app/key"))
        secure = endpoints(Target.parse("rtmps://far.example/app/key"))
        self.assertIsInstance(plain, HostnameEndpoint)
        self.assertNotIsInstance(secure, HostnameEndpoint)

    def test_impossible_hosts(self) -> None:
        """A host that can have no certificate is refused in words, not by a codec's error."""
        for host in ("media_server", "a..b", f"{'a' * 64}.example"):
            with self.subTest(host), self.assertRaises(ValueError) as caught:
                Endpoints(MemoryReactorClock())(Target.parse(f"rtmps://{host}/app/key"))
            self.assertEqual(str(caught.exception), f"invalid hostname: {host}")

    def test_hanging_names(self) -> None:
        """Name servers that do not answer for many relays hold up no other one."""
        goes_on = Event()
        reactor: Any = MemoryReactorClock()
        calls: Queue[Callable[[], object]] = Queue()
        reactor.callFromThread = lambda function, *args: calls.put(partial(function, *args))

        def lookup(host: str, port: int, *_: object) -> list[object]:
            if host.startswith("dead"):
                goes_on.wait(30)
                raise gaierror
            return [(AF_INET, SOCK_STREAM, 0, "", ("192.0.2.1", port))]

        endpoints = Endpoints(reactor, lookup=lookup)
        try:
            for number in range(20):
                self.connect(endpoints, f"dead{number}.example")
            self.connect(endpoints, "far.example")
            calls.get(timeout=20)()
            self.assertEqual([client[0] for client in reactor.tcpClients], ["192.0.2.1"])
        finally:
            goes_on.set()

    def connect(self, endpoints: Endpoints, host: str) -> None:
        """Begin to connect; what becomes of it is no matter."""
        target = Target.parse(f"rtmp://{host}/app/key")
        attempt = endpoints(target).connect(Factory.forProtocol(Protocol))
        attempt.addErrback(lambda _: None)

    def test_authorities(self) -> None:
        """A file of authorities that cannot be used is told at once."""
        with self.assertRaises(OSError):
            Endpoints(MemoryReactorClock(), "/nonexistent")
        for content in (
            b"",
            b"nothing",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ):
            with self.subTest(content), self.assertRaises(ValueError):
                Endpoints(MemoryReactorClock(), self.file(content))
