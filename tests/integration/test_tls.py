"""TLS on real sockets: RTMPS, HTTPS with HTTP/2, certificates that change, bad peers, PROXY."""

import re
import select
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from tests.certificates import make_pair
from tests.integration import media, publishers
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import PATIENCE, Child, tool, wait_for
from tests.integration.server import Server, listening_port

PEER = "203.0.113.9"
"""A client that a load balancer tells of."""


class TLSTestCase(IntegrationTestCase):
    def serve_tls(self, **settings: str) -> Server:
        """Start a server that listens for everything."""
        self.certificates = self.temporary()
        cert, key = make_pair(self.certificates)
        listeners = {"HTTPS_ADDR": "127.0.0.1:0", "RTMPS_ADDR": "127.0.0.1:0"}
        return self.serve(
            TLS_CERT=cert, TLS_KEY=key, RTMP_TLS_SNIFF="true", **listeners, **settings
        )

    def port(self, server: Server, name: str) -> int:
        """Give the port on which 'HTTPS' or 'RTMPS' is served."""
        port = listening_port(server.log, name)
        assert port is not None
        return port

    def publish_tls(self, server: Server, token: str, port: int, *, live: bool = False) -> Child:
        """Publish a sample by RTMPS."""
        source = media.as_flv(media.sample("plain"))
        url = server.rtmp_url(KEY, token, port=port).replace("rtmp:", "rtmps:")
        return publishers.ffmpeg(self, source, url, live=live, loop=live)

    def connect(self, port: int, *, wrap: bool = True, old: bool = False, alpn: str = "") -> Any:
        """Connect to a port, by TLS unless told otherwise, by its version 1.1 if that is wanted."""
        connection = socket.create_connection(("127.0.0.1", port), 15)
        self.addCleanup(connection.close)
        if not wrap:
            return connection
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols([alpn])
        if old:
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = ssl.TLSVersion.TLSv1_1
            context.set_ciphers("ALL:@SECLEVEL=0")
        secure = context.wrap_socket(connection, server_hostname="nobody.example")
        self.addCleanup(secure.close)
        return secure

    def certificate(self, port: int) -> bytes:
        """Give the certificate that is served, DER."""
        found: bytes = self.connect(port).getpeercert(binary_form=True)
        return found


def closed_within(connection: socket.socket, seconds: float) -> float:
    """Wait for the end of a connection; give the seconds that it took."""
    begun = time.monotonic()
    connection.settimeout(seconds)
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - begun


class RTMPSTests(TLSTestCase):
    def test_publish(self) -> None:
        """FFmpeg publishes by RTMPS, on its own port and on the plain one, where RTMP works too."""
        server = self.serve_tls(STREAM_GRACE="60s")
        token = server.mint(KEY)
        viewer = self.watch(server)
        for publish in (
            lambda: self.publish_tls(server, token, self.port(server, "RTMPS")),
            lambda: self.publish_tls(server, token, server.rtmp_port),
            lambda: self.publish(server, "plain", token),
        ):
            before = viewer.segments()
            publish().succeed()
            viewer.wait_segments(before + 3)
        self.assert_clean(viewer)
        server.stop()

    def test_reload(self) -> None:
        """A certificate is replaced, and a broken one refused, while a stream goes on (C24)."""
        server = self.serve_tls(STREAM_GRACE="60s")
        ports = [self.port(server, name) for name in ("HTTPS", "RTMPS")] + [server.rtmp_port]
        publisher = self.publish_tls(server, server.mint(KEY), ports[1], live=True)
        viewer = self.watch(server)
        viewer.wait_segments(1)
        first = self.certificate(ports[0])
        cert, _ = make_pair(self.certificates)
        server.child.signal(signal.SIGHUP)
        wait_for(lambda: self.certificate(ports[0]) != first, "the new certificate", 10)
        second = {self.certificate(port) for port in ports}
        self.assertEqual(len(second), 1)
        Path(cert).write_text("half a certificate")
        server.child.signal(signal.SIGHUP)
        wait_for(lambda: "the former certificate stays in use" in server.log, "a line", 10)
        self.assertEqual({self.certificate(port) for port in ports}, second)
        self.assert_goes_on(viewer)
        self.assertEqual(server.get("/ready").status, 200)
        self.assertTrue(publisher.running())
        publisher.kill()
        self.assert_clean(viewer)
        server.stop()

    def test_bad_start(self) -> None:
        """A key that does not fit ends the start with one line."""
        directory = self.temporary()
        cert, _ = make_pair(directory)
        _, key = make_pair(directory, name="other")
        with self.assertRaises(AssertionError) as caught:
            self.serve(TLS_CERT=cert, TLS_KEY=key, HTTPS_ADDR="127.0.0.1:0")
        self.assertIn(f"rapidrtmp: TLS_KEY={key}: must be the key of", str(caught.exception))
        self.assertNotIn("Traceback", str(caught.exception))


class BadPeerTests(TLSTestCase):
    def test_bad_peers(self) -> None:
        """Who does not get through the handshake is closed in 10 s, by one line each (A15)."""
        server = self.serve_tls()
        https, rtmps = (self.port(server, name) for name in ("HTTPS", "RTMPS"))
        stalled = [
            (self.connect(port, wrap=False), first)
            for port in (https, rtmps)
            for first in (b"", b"\x16\x03\x01\x02\x00\x01")
        ]
        stalled.append((self.connect(server.rtmp_port, wrap=False), b"\x16\x03\x01\x02\x00"))
        for connection, first in stalled:
            connection.sendall(first)
        for port, data in ((https, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), (rtmps, b"\x03" * 1537)):
            plain = self.connect(port, wrap=False)
            plain.sendall(data)
            self.assertLess(closed_within(plain, 20), 7, "it is not waited for")
        junk = self.certificates / "junk"
        cert, key = make_pair(junk, name="client", days=-1)
        for port in (https, rtmps, server.rtmp_port):
            with self.assertRaises(ssl.SSLError):
                self.connect(port, old=True)
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.load_cert_chain(cert, key)
            # nobody asks for a client's certificate, so a bad one is no matter
            with context.wrap_socket(self.connect(port, wrap=False)) as secure:
                self.assertIn(secure.version(), ("TLSv1.2", "TLSv1.3"))
        for connection, _ in stalled:
            self.assertLess(closed_within(connection, 20), 10.5)
        wait_for(lambda: server.log.count("TLS handshake: not done in 8 s") == 5, "five lines", 5)
        self.assertEqual(server.log.count("TLS handshake: unsupported protocol"), 3)
        counted = server.get("/metrics").text
        self.assertIn('reason="tls_handshake"', counted)
        server.stop()


class HTTPSTests(TLSTestCase):
    def curl(self, server: Server, *arguments: str) -> str:
        """Ask by curl, which must succeed; give what it prints."""
        command = [tool("curl"), "--silent", "--show-error", "--insecure", "--fail", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60 * PATIENCE, check=False
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_versions(self) -> None:
        """HTTP/2 and HTTP/1.1 give the same bytes as plain HTTP, in parallel on one connection."""
        server = self.serve_tls(STREAM_GRACE="60s")
        viewer = self.watch(server)
        self.publish(server, "plain", server.mint(KEY)).succeed()
        viewer.wait_segments(5)
        viewer.stop()
        leading = viewer.leading
        paths = [urljoin(leading.path, each.uri) for each in leading.last.segments[:5]]
        paths.append(leading.path)
        origin = f"https://localhost:{self.port(server, 'HTTPS')}"
        for option, version in (("--http2", "2"), ("--http1.1", "1.1")):
            directory = self.temporary()
            arguments = [option, "--parallel"]
            for number, path in enumerate(paths):
                arguments += ["--output", str(directory / str(number)), origin + path]
            arguments += ["--write-out", "%{http_version} %{http_code} %{num_connects}\n"]
            lines = self.curl(server, *arguments).splitlines()
            self.assertEqual(len(lines), len(paths))
            self.assertTrue(all(line.startswith(f"{version} 200 ") for line in lines), lines)
            if version == "2":
                opened = sum(int(line.rpartition(" ")[2]) for line in lines)
                self.assertEqual(opened, 1, "requests share a connection")
            for number, path in enumerate(paths):
                self.assertEqual((directory / str(number)).read_bytes(), server.get(path).body)
        server.stop()

    def test_slow_reader(self) -> None:
        """A reader that takes a segment slowly gets all of it; others are not slowed."""
        server = self.serve_tls(STREAM_GRACE="60s")
        viewer = self.watch(server)
        self.publish(server, "plain", server.mint(KEY)).succeed()
        viewer.wait_segments(1)
        viewer.stop()
        path = urljoin(viewer.leading.path, viewer.leading.last.segments[0].uri)
        url = f"https://localhost:{self.port(server, 'HTTPS')}{path}"
        size = len(server.get(path).body)
        rate = str(size // 3)
        shown = self.curl(
            server,
            "--http2",
            "--limit-rate",
            rate,
            "-o",
            "/dev/null",
            "-w",
            "%{size_download}",
            url,
        )
        self.assertEqual(int(shown), size)
        server.stop()

    def test_events(self) -> None:
        """The feed of events comes over HTTP/2 as it happens."""
        server = self.serve_tls()
        url = f"https://127.0.0.1:{self.port(server, 'HTTPS')}/api/v1/events"
        feed = Child([tool("curl"), "-skN", "--http2", url], self.temporary() / "feed.log")
        self.addCleanup(feed.kill)
        self.wait_output(feed, "retry: 2000")
        publisher = self.publish(server, "plain", server.mint(KEY), live=True)
        self.wait_output(feed, "event: live")
        publisher.kill()
        feed.kill()
        server.stop()


class ProxyProtocolTests(TLSTestCase):
    def header(self, version: int) -> bytes:
        """Make a header that tells of `PEER`."""
        if version == 1:
            return f"PROXY TCP4 {PEER} 198.51.100.1 5000 443\r\n".encode()
        addresses = socket.inet_aton(PEER) + socket.inet_aton("198.51.100.1")
        body = addresses + struct.pack("!2H", 5000, 443)
        return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", len(body)) + body

    def test_listeners(self) -> None:
        """On every port the client's own address is known; TLS begins behind the header (A12)."""
        server = self.serve_tls(PROXY_PROTOCOL="127.0.0.2")
        https, rtmps = (self.port(server, name) for name in ("HTTPS", "RTMPS"))
        for port, version in ((server.http_port, 1), (https, 2)):
            connection = self.from_proxy(port)
            connection.sendall(self.header(version))
            if port == https:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                connection = context.wrap_socket(connection)
            # without keys the API is this machine's alone, and that is not where PEER is
            connection.sendall(
                b"GET /api/v1/server HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
            self.assertIn(b" 403 ", connection.recv(4096).partition(b"\r\n")[0])
            connection.close()
        stalled = [self.from_proxy(port) for port in (rtmps, server.rtmp_port)]
        for connection, first in zip(stalled, (b"", b"\x16\x03\x01\x02\x00\x01"), strict=True):
            connection.sendall(self.header(2) + first)
        for connection in stalled:
            self.assertLess(closed_within(connection, 20), 10.5)
        said = re.findall(r"RTMPS (\S+): closed, TLS handshake", server.log)
        self.assertEqual(said, [PEER, PEER])
        absent = self.from_proxy(server.http_port)
        absent.sendall(b"GET / HTTP/1.1\r\n\r\n")
        self.assertLess(closed_within(absent, 20), 7)
        self.assertIn("PROXY_PROTOCOL: closed a connection of 127.0.0.2", server.log)
        self.assertEqual(server.get("/health").status, 200, "others are plain clients")
        server.stop()

    def test_publish(self) -> None:
        """FFmpeg publishes through a load balancer, by RTMPS to the plain port."""
        server = self.serve_tls(PROXY_PROTOCOL="127.0.0.2", STREAM_GRACE="60s")
        viewer = self.watch(server)
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        forwarder = threading.Thread(
            target=self.forward, args=(listener, server.rtmp_port), daemon=True
        )
        forwarder.start()
        self.publish_tls(server, server.mint(KEY), listener.getsockname()[1]).succeed()
        viewer.wait_segments(3)
        self.assert_clean(viewer)
        self.assertIn(f"stream {KEY}: publisher {PEER} ", server.log)
        server.stop()

    def forward(self, listener: socket.socket, port: int) -> None:
        """Carry one connection to a port, with a header in front, as a load balancer does."""
        client, _ = listener.accept()
        target = self.from_proxy(port)
        target.sendall(self.header(2))
        while ready := select.select([client, target], [], [], 20)[0]:
            for source in ready:
                data = source.recv(65536)
                if not data:
                    client.close()
                    target.close()
                    return
                (target if source is client else client).sendall(data)

    def from_proxy(self, port: int) -> Any:
        """Connect from the load balancer's address."""
        connection = socket.create_connection(
            ("127.0.0.1", port), 15, source_address=("127.0.0.2", 0)
        )
        self.addCleanup(connection.close)
        return connection
