"""Tests of rapidrtmp.protocol.tls_handshake: handshakes end in time, failures are told (A15)."""

# Twisted's test transports carry no annotations.
# mypy: allow-untyped-calls

import ssl
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from rapidrtmp.protocol.log_budget import LogBudget
from rapidrtmp.protocol.tls_handshake import (
    HANDSHAKE_TIMEOUT,
    OTHER,
    OUTCOMES,
    TLSFactory,
    TLSHandshakes,
    openssl_words,
    outcome_of,
)
from rapidrtmp.tls import ServerCertificate
from tests.certificates import make_pair
from tests.tls_client import TLSClient


@implementer(IHandshakeListener)
class Echo(Protocol):
    """Sends back what comes, and notes what happens."""

    def __init__(self) -> None:
        self.happened: list[str] = []

    def connectionMade(self) -> None:
        """Note it."""
        self.happened.append("made")

    def handshakeCompleted(self) -> None:  # noqa: N802  (Twisted's name)
        """Note it."""
        self.happened.append("secure")

    def dataReceived(self, data: bytes) -> None:
        """Send it back."""
        assert self.transport is not None
        self.transport.write(data)

    def connectionLost(self, reason: Any = None) -> None:
        """Note it."""
        self.happened.append("lost")


class Echoes(Factory):
    """Makes them, or none."""

    def __init__(self) -> None:
        self.made: list[Echo] = []
        self.is_full = False

    def buildProtocol(self, addr: object) -> Echo | None:
        """Make one."""
        if self.is_full:
            return None
        self.made.append(Echo())
        return self.made[-1]


class HandshakeTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a server."""
        self.clock = Clock()
        certificate = ServerCertificate(*make_pair(Path(self.mktemp())), self.clock)
        self.counted = 0
        self.handshakes = TLSHandshakes("RTMPS", self.clock, self.count)
        self.echoes = Echoes()
        self.factory = TLSFactory(self.echoes, certificate.creator(), self.handshakes, self.clock)

    def count(self) -> None:
        """Count a failure."""
        self.counted += 1

    def outcomes(self) -> dict[str, int]:
        """How handshakes ended."""
        return {name: count for name, count in self.handshakes.outcomes.items() if count}

    def connect(self, **options: Any) -> TLSClient:
        """Connect."""
        return TLSClient(self.factory, self.clock, **options)

    def lose(self, client: TLSClient) -> None:
        """End a connection as the transport does after its loseConnection."""
        client.protocol.connectionLost(Failure(ConnectionDone()))

    def test_speaks(self) -> None:
        """The protocol is connected at once, told when it is secure, and hears and speaks."""
        client = self.connect()
        [echo] = self.echoes.made
        self.assertEqual(echo.happened, ["made"])
        client.handshake()
        self.assertEqual(echo.happened, ["made", "secure"])
        client.send(b"hello")
        self.assertEqual(client.read(), b"hello")
        self.lose(client)
        self.assertEqual(echo.happened, ["made", "secure", "lost"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.outcomes(), {"ok": 1})

    def test_stalled(self) -> None:
        """A handshake that does not end is ended, told and counted; nothing else is late."""
        client = self.connect()
        with capturedLogs() as logs:
            self.clock.advance(HANDSHAKE_TIMEOUT - 0.1)
            self.assertFalse(client.transport.disconnecting)
            self.clock.advance(0.2)
        self.assertTrue(client.transport.disconnected)
        [line] = logs
        self.assertEqual((line["peer"], line["words"]), ("192.0.2.7", "not done in 8 s"))
        self.lose(client)
        self.assertEqual((self.outcomes(), self.counted), ({"timeout": 1}, 1))
        self.assertEqual(self.echoes.made[0].happened, ["made", "lost"])

    def test_trickled(self) -> None:
        """Bytes that trickle in do not put the end off."""
        client = self.connect()
        client.protocol.dataReceived(b"\x16\x03\x01\x02\x00")
        for _ in range(9):
            self.clock.advance(1)
            if not client.transport.disconnecting:
                client.protocol.dataReceived(b"\x01")
        self.assertTrue(client.transport.disconnecting)

    def test_plaintext(self) -> None:
        """Who does not speak TLS is closed at once."""
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x03" + bytes(1536), b"\xff" * 50):
            client = self.connect()
            with capturedLogs() as logs:
                client.protocol.dataReceived(data)
                self.assertTrue(client.transport.disconnecting)
                self.lose(client)
            self.assertEqual(len(logs), 1)
        self.assertEqual(self.outcomes(), {"not_tls": 3})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_old_version(self) -> None:
        """A client of TLS 1.1 is told by its alert, and counted."""
        client = self.connect(maximum=ssl.TLSVersion.TLSv1_1)
        self.assertRaises(ssl.SSLError, client.handshake)
        with capturedLogs() as logs:
            self.lose(client)
        [line] = logs
        self.assertEqual(line["words"], "unsupported protocol")
        self.assertEqual(self.outcomes(), {"version": 1})

    def test_untrusted(self) -> None:
        """A client that does not trust the certificate says so, and is counted as such."""
        client = self.connect(verify=True)
        self.assertRaises(ssl.SSLError, client.handshake)
        client.carry()
        with capturedLogs() as logs:
            self.lose(client)
        self.assertEqual(len(logs), 1)
        self.assertEqual(self.outcomes(), {"certificate": 1})

    def test_kinds(self) -> None:
        """Words of OpenSSL that are not known are of a kind, too; all kinds are counted."""
        for words, kind in (
            ("tlsv1 alert unknown ca", "certificate"),
            ("sslv3 alert certificate unknown", "certificate"),
            ("no shared cipher", "cipher"),
            ("sslv3 alert handshake failure", "cipher"),
            ("tlsv1 alert protocol version", "version"),
            ("https proxy request", "other"),
            ("http request", "not_tls"),
            ("", "other"),
        ):
            self.assertEqual(outcome_of(words), kind, words)
            self.assertIn(kind, OUTCOMES)

    def test_leaves(self) -> None:
        """Who connects and leaves, as health checks do, is no failure."""
        with capturedLogs() as logs:
            self.lose(self.connect())
        self.assertEqual((logs, self.outcomes()), ([], {}))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_log_budget(self) -> None:
        """Many failures are counted, and some of them told."""
        with capturedLogs() as logs:
            for _ in range(200):
                self.handshakes.fail("192.0.2.7", OTHER, "it failed")
        self.assertEqual(self.outcomes(), {"other": 200})
        self.assertEqual(len(logs), LogBudget().lines)
        self.assertIn("no more such lines", logs[-1]["more"])

    def test_full(self) -> None:
        """No connection is made where the protocol's factory wants none."""
        self.echoes.is_full = True
        self.assertIsNone(self.factory.buildProtocol(None))

    def test_words(self) -> None:
        """OpenSSL's errors are told in its words, others in theirs."""
        steps = [("SSL routines", "", "one"), ("SSL routines", "", "wrong version number")]
        self.assertEqual(openssl_words(SSL.Error(steps)), "wrong version number")
        self.assertEqual(openssl_words(SSL.Error()), "")
        self.assertEqual(openssl_words(ValueError("why")), "why")
