"""What our TLS agrees to: every version, cipher suite and trick that a client can try."""

import ssl

from OpenSSL import SSL

from tests.certificates import make_pair
from tests.integration.test_tls import TLSTestCase

OLD = (SSL.TLS1_VERSION, SSL.TLS1_1_VERSION)
NEW = (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION)
GOOD_CIPHERS = {
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
}
"""Of TLS 1.2, with a certificate of this kind: forward secret and authenticated, all of them."""


class ScanTests(TLSTestCase):
    def context(self, first: int, last: int, ciphers: str = "ALL:COMPLEMENTOFALL") -> SSL.Context:
        """Make a client that would agree to anything between two versions."""
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_cipher_list(f"{ciphers}:@SECLEVEL=0".encode())
        context.set_min_proto_version(first)
        context.set_max_proto_version(last)
        context.set_options(SSL.OP_LEGACY_SERVER_CONNECT)
        return context

    def shake(self, port: int, context: SSL.Context) -> SSL.Connection | None:
        """Do the handshake; None where the server refuses."""
        raw = self.connect(port, wrap=False)
        raw.settimeout(None)
        connection = SSL.Connection(context, raw)
        connection.set_connect_state()
        try:
            connection.do_handshake()
        except SSL.Error:
            connection.close()
            return None
        return connection

    def all_ciphers(self) -> list[str]:
        """Name every cipher suite before TLS 1.3 that the client's library has."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
        named = [cipher["name"] for cipher in context.get_ciphers()]
        return [name for name in named if not name.startswith("TLS_")]

    def test_client_can(self) -> None:
        """The scan's own client speaks the old versions: where nothing is heard, it was refused."""
        cert, key = make_pair(self.temporary())
        for version in OLD:
            offers = self.context(version, version)
            offers.use_certificate_file(cert)
            offers.use_privatekey_file(key)
            ends = (
                SSL.Connection(offers, None),
                SSL.Connection(self.context(version, version), None),
            )
            ends[0].set_accept_state()
            ends[1].set_connect_state()
            for _ in range(4):
                for end, other in (ends, ends[::-1]):
                    try:
                        end.do_handshake()
                    except SSL.WantReadError:
                        pass
                    try:
                        other.bio_write(end.bio_read(65536))
                    except SSL.WantReadError:
                        pass
            self.assertEqual(ends[1].get_protocol_version(), version)

    def test_scan(self) -> None:
        """HTTPS, RTMPS and the port of both: TLS 1.2 and 1.3, forward secrecy, nothing else."""
        server = self.serve_tls()
        ports = [self.port(server, "HTTPS"), self.port(server, "RTMPS"), server.rtmp_port]
        suites = self.all_ciphers()
        self.assertGreater(len(suites), 60)
        for port in ports:
            for version in OLD:
                self.assertIsNone(self.shake(port, self.context(version, version)), version)
            for version in NEW:
                connection = self.shake(port, self.context(version, version))
                assert connection is not None
                self.assertEqual(connection.get_protocol_version(), version)
                connection.close()
            taken = {name for name in suites if self.takes(port, name)}
            self.assertEqual(taken, GOOD_CIPHERS)
        self.judge_tricks(ports)
        server.stop()

    def takes(self, port: int, cipher: str) -> bool:
        """Tell whether the server agrees to a cipher suite of TLS 1.2."""
        connection = self.shake(port, self.context(SSL.TLS1_2_VERSION, SSL.TLS1_2_VERSION, cipher))
        if connection is not None:
            connection.close()
        return connection is not None

    def judge_tricks(self, ports: list[int]) -> None:
        """No compression (CRIME), no renegotiation by the client (CVE-2011-1473)."""
        for port in ports:
            with self.connect(port) as modern:
                self.assertIsNone(modern.compression())
            connection = self.shake(port, self.context(SSL.TLS1_2_VERSION, SSL.TLS1_2_VERSION))
            assert connection is not None
            connection.renegotiate()
            with self.assertRaises(SSL.Error):
                connection.do_handshake()
            connection.close()
