"""Tests of rapidrtmp.tls: what is refused at the start, what a reload replaces."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.config import SettingError
from rapidrtmp.protocol.tls_handshake import TLSFactory, TLSHandshakes
from rapidrtmp.tls import HTTPS_PROTOCOLS, ServerCertificate, load_key_pair
from tests.certificates import make_pair
from tests.tls_client import TLSClient


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.clock = Clock()
        self.clock.advance(datetime.now(UTC).timestamp())
        self.pair = make_pair(self.directory)


class LoadTests(Case):
    def refusal(self, certificate: str, key: str) -> str:
        """Try to load a pair; give the error."""
        error = self.assertRaises(SettingError, load_key_pair, certificate, key)
        text = str(error)
        self.assertNotIn("\n", text)
        return text

    def test_fits(self) -> None:
        """A pair that fits is told by its names and its end."""
        pair = load_key_pair(*self.pair)
        self.assertEqual(pair.names, "localhost, 127.0.0.1")
        self.assertGreater(pair.expires, datetime.now(UTC))

    def test_chain(self) -> None:
        """The certificates of authorities follow the server's own, and are sent."""
        authority, _ = make_pair(self.directory, name="authority")
        whole = self.directory / "fullchain.pem"
        whole.write_bytes(Path(self.pair[0]).read_bytes() + Path(authority).read_bytes())
        pair = load_key_pair(str(whole), self.pair[1])
        self.assertEqual(len(pair.chain), 2)
        self.assertEqual(pair.names, "localhost, 127.0.0.1")

    def test_refused(self) -> None:
        """What cannot be used is told in one line, by the setting and the path."""
        other, other_key = make_pair(self.directory, name="other")
        _, encrypted = make_pair(self.directory, name="encrypted", password=b"secret")
        junk = self.directory / "junk"
        junk.write_bytes(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")
        cert, key = self.pair
        missing = str(self.directory / "missing")
        for pair, words in (
            ((missing, key), f"TLS_CERT={missing}: cannot be read: No such file"),
            ((cert, missing), f"TLS_KEY={missing}: cannot be read: No such file"),
            ((str(junk), key), f"TLS_CERT={junk}: must hold a PEM certificate"),
            ((key, key), f"TLS_CERT={key}: must hold a PEM certificate"),
            ((cert, cert), f"TLS_KEY={cert}: must hold a PEM private key"),
            ((cert, encrypted), f"TLS_KEY={encrypted}: must not be encrypted"),
            ((cert, other_key), f"TLS_KEY={other_key}: must be the key of the first"),
            ((other, key), f"TLS_KEY={key}: must be the key of the first"),
            ((str(self.directory), key), f"TLS_CERT={self.directory}: cannot be read"),
        ):
            self.assertIn(words, self.refusal(*pair))


class ServerCertificateTests(Case):
    def serve(self, certificate: ServerCertificate, *protocols: bytes) -> TLSFactory:
        """Make a factory of connections that say nothing."""
        handshakes = TLSHandshakes("TLS", self.clock)
        creator = certificate.creator(protocols)
        return TLSFactory(Factory.forProtocol(Protocol), creator, handshakes, self.clock)

    def connect(self, factory: TLSFactory, *protocols: str) -> TLSClient:
        """Get through a handshake."""
        client = TLSClient(factory, self.clock, protocols=protocols)
        client.handshake()
        return client

    def test_reload(self) -> None:
        """A new pair holds for new connections of all listeners; old ones go on (C24)."""
        certificate = ServerCertificate(*self.pair, self.clock)
        factories = [self.serve(certificate), self.serve(certificate, *HTTPS_PROTOCOLS)]
        before = [self.connect(factory) for factory in factories]
        first = before[0].certificate
        self.assertEqual(first, certificate.pair.chain[0].public_bytes(Encoding.DER))
        make_pair(self.directory)
        with capturedLogs() as logs:
            certificate.reload(*self.pair)
        self.assertEqual(len(logs), 1)
        for factory, old in zip(factories, before, strict=True):
            client = self.connect(factory)
            self.assertNotEqual(client.certificate, first)
            old.send(b"still here")
            self.assertFalse(old.transport.disconnecting)

    def test_reload_same(self) -> None:
        """The same files are not worth a word."""
        certificate = ServerCertificate(*self.pair, self.clock)
        with capturedLogs() as logs:
            certificate.reload(*self.pair)
        self.assertEqual(logs, [])

    def test_reload_broken(self) -> None:
        """A pair that cannot be used is told in one line, and the former one stays (C24)."""
        certificate = ServerCertificate(*self.pair, self.clock)
        factory = self.serve(certificate)
        first = self.connect(factory).certificate
        for spoil in (
            lambda: make_pair(self.directory / "else", name="server"),
            lambda: Path(self.pair[0]).write_bytes(b"half a cert"),
            lambda: Path(self.pair[1]).unlink(),
        ):
            spoil()
            key = str(self.directory / "else" / "server.key")
            with capturedLogs() as logs:
                certificate.reload(self.pair[0], key if Path(key).exists() else self.pair[1])
            [line] = logs
            self.assertEqual(line["log_level"].name, "error")
            self.assertIn("the former certificate stays in use", line["log_format"])
            self.assertEqual(self.connect(factory).certificate, first)

    def test_expiry(self) -> None:
        """A certificate that has expired, or soon will, is a warning."""
        for days, level, word in (
            (30, "info", "valid until"),
            (3, "warn", "valid until"),
            (-1, "warn", "EXPIRED"),
        ):
            make_pair(self.directory, days=days)
            with capturedLogs() as logs:
                ServerCertificate(*self.pair, self.clock)
            [line] = logs
            self.assertEqual((line["log_level"].name, line["verb"]), (level, word))

    def test_protocols(self) -> None:
        """HTTPS offers HTTP/2; RTMPS no protocol at all, whatever a client names."""
        certificate = ServerCertificate(*self.pair, self.clock)
        https = self.serve(certificate, *HTTPS_PROTOCOLS)
        rtmps = self.serve(certificate)
        for factory, offered, chosen in (
            (https, ("http/1.1", "h2"), "h2"),
            (https, ("http/1.1",), "http/1.1"),
            (https, (), None),
            (rtmps, ("h2",), None),
        ):
            client = self.connect(factory, *offered)
            self.assertEqual(client.tls.selected_alpn_protocol(), chosen)

    def test_modern_only(self) -> None:
        """TLS 1.2 and 1.3 are spoken, 1.1 is not; an unknown name gets the certificate."""
        factory = self.serve(ServerCertificate(*self.pair, self.clock))
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            client = TLSClient(factory, self.clock, maximum=version, name="nobody.example")
            client.handshake()
            self.assertTrue(client.certificate)
        for ciphers in ("ECDHE+AESGCM", "ECDHE+CHACHA20"):
            TLSClient(factory, self.clock, ciphers=ciphers).handshake()
        for ciphers in ("AES256-GCM-SHA384:AES128-GCM-SHA256", "ECDHE+AES:!AESGCM:!AESCCM"):
            weak = TLSClient(factory, self.clock, ciphers=ciphers)
            self.assertRaises(ssl.SSLError, weak.handshake)
        old = TLSClient(factory, self.clock, maximum=ssl.TLSVersion.TLSv1_1)
        self.assertRaises(ssl.SSLError, old.handshake)
        self.assertTrue(old.transport.disconnecting)
