"""Tests of rapidrtmp.listeners: what is spoken where, as the settings say."""

# Twisted's test reactors carry no annotations.
# mypy: allow-untyped-calls

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.config import SettingError
from rapidrtmp.protocol.connection import RTMPServerProtocol
from rapidrtmp.protocol.sniff import Sniffer
from rapidrtmp.proxy_protocol import ProxiedConnection
from rapidrtmp.readiness import check_listeners
from rapidrtmp.service import RapidRTMPService
from rapidrtmp.web.channel import Channel
from tests.certificates import make_pair
from tests.test_readiness import make_service
from tests.tls_client import TLSClient

PORTS = {"rtmp": 1935, "rtmps": 1936, "http": 8080, "https": 8443}


class ListenersTests(SynchronousTestCase):
    def start(
        self, *, secure: bool = True, **settings: object
    ) -> tuple[RapidRTMPService, MemoryReactorClock]:
        """Start a service that listens in memory."""
        self.directory = Path(self.mktemp())
        if secure:
            cert, key = make_pair(self.directory)
            settings = {
                "tls_cert": cert,
                "tls_key": key,
                "https_addr": "127.0.0.1:8443",
                "rtmps_addr": "127.0.0.1:1936",
                **settings,
            }
        service, reactor = make_service(self.mktemp(), **settings)
        service.startService()
        return service, reactor

    def factory(self, reactor: MemoryReactorClock, name: str) -> Any:
        """Give what listens for a protocol."""
        [found] = [server[1] for server in reactor.tcpServers if server[0] == PORTS[name]]
        return found

    def protocol(self, reactor: MemoryReactorClock, name: str) -> Any:
        """Give the protocol of a connection from a load balancer's network."""
        return self.factory(reactor, name).buildProtocol(IPv4Address("TCP", "10.0.0.5", 5000))

    def test_plain(self) -> None:
        """Without settings of TLS there are two listeners, and nothing stands before them."""
        _, reactor = self.start(secure=False)
        self.assertEqual(len(reactor.tcpServers), 2)
        self.assertIsInstance(self.protocol(reactor, "rtmp"), RTMPServerProtocol)
        self.assertIsInstance(self.protocol(reactor, "http"), Channel)

    def test_all(self) -> None:
        """Both protocols are spoken over TLS, too: HTTP/2 on the one, no ALPN on the other."""
        service, reactor = self.start()
        self.assertEqual(len(reactor.tcpServers), 4)
        self.assertIsInstance(self.protocol(reactor, "rtmp"), RTMPServerProtocol)
        for name, chosen in (("https", "h2"), ("rtmps", None)):
            client = TLSClient(self.factory(reactor, name), reactor, protocols=["h2"])
            client.handshake()
            self.assertEqual(client.tls.selected_alpn_protocol(), chosen)
        self.assertEqual(len(service._house.rtmp_factory.connections), 1)
        self.assertEqual(service._house.site.connections, 1)

    def test_sniff(self) -> None:
        """The plain port may take both."""
        _, reactor = self.start(rtmp_tls_sniff=True, https_addr="", rtmps_addr="")
        self.assertEqual(len(reactor.tcpServers), 2)
        self.assertIsInstance(self.protocol(reactor, "rtmp"), Sniffer)
        self.assertIsInstance(self.protocol(reactor, "http"), Channel)

    def test_proxy_protocol(self) -> None:
        """Load balancers come with a header on every listener, and before TLS."""
        _, reactor = self.start(rtmp_tls_sniff=True, proxy_protocol=(ip_network("10.0.0.0/8"),))
        for name in PORTS:
            self.assertIsInstance(self.protocol(reactor, name), ProxiedConnection)
        other = self.factory(reactor, "http").buildProtocol(IPv4Address("TCP", "192.0.2.1", 5))
        self.assertIsInstance(other, Channel)

    def test_proxied_address(self) -> None:
        """The client's own address counts for the limits."""
        service, reactor = self.start(secure=False, proxy_protocol=(ip_network("10.0.0.0/8"),))
        for name in ("http", "rtmp"):
            protocol = self.protocol(reactor, name)
            protocol.makeConnection(StringTransport(peerAddress=IPv4Address("TCP", "10.0.0.5", 5)))
            protocol.dataReceived(b"PROXY TCP4 203.0.113.9 198.51.100.1 5000 80\r\n")
        house = service._house
        self.assertEqual(house.site._places, {"203.0.113.9": 1})
        self.assertEqual(house.rtmp_factory._ungranted, {"203.0.113.9": 1})

    def test_broken_certificate(self) -> None:
        """A pair that cannot be used ends the start, before anything listens."""
        missing = str(Path(self.mktemp()) / "cert.pem")
        with self.assertRaises(SettingError) as caught:
            self.start(tls_cert=missing)
        self.assertIn(f"TLS_CERT={missing}: cannot be read", str(caught.exception))

    def test_reload(self) -> None:
        """A reload reads the files again although no setting changed (C24)."""
        service, reactor = self.start()
        factory = self.factory(reactor, "https")
        clients = [TLSClient(factory, reactor)]
        clients[0].handshake()
        make_pair(self.directory)
        service.apply(service.settings)
        clients.append(TLSClient(factory, reactor))
        clients[1].handshake()
        self.assertNotEqual(clients[0].certificate, clients[1].certificate)
        cert, key = make_pair(self.directory / "new", name="renewed")
        service.apply(replace(service.settings, tls_cert=cert, tls_key=key))
        clients.append(TLSClient(factory, reactor))
        clients[2].handshake()
        self.assertNotEqual(clients[1].certificate, clients[2].certificate)

    def test_failures(self) -> None:
        """A failed handshake is one line; for RTMP it is among the errors that are counted."""
        service, reactor = self.start()
        for name in ("https", "rtmps"):
            client = TLSClient(self.factory(reactor, name), reactor)
            with capturedLogs() as logs:
                reactor.advance(8)
            self.assertTrue(client.transport.disconnected)
            self.assertEqual([line["name"] for line in logs], [name.upper()])
        house = service._house
        self.assertEqual(house.rtmp_factory.errors, {"tls_handshake": 1})
        counts = house.listeners.tls_handshakes
        self.assertEqual(
            {each: count for each, count in counts.items() if count},
            {("https", "timeout"): 1, ("rtmps", "timeout"): 1},
        )

    def test_counted(self) -> None:
        """What the metrics read: nothing where there is nothing, one count for all listeners."""
        service, _ = self.start(secure=False)
        listeners = service._house.listeners
        self.assertEqual(
            (listeners.tls_handshakes, listeners.certificate_expiry, listeners.proxy_refused),
            ({}, None, {}),
        )
        service, reactor = self.start(
            rtmp_tls_sniff=True, proxy_protocol=(ip_network("10.0.0.0/8"),)
        )
        listeners = service._house.listeners
        for name in PORTS:
            protocol = self.protocol(reactor, name)
            protocol.makeConnection(StringTransport(peerAddress=IPv4Address("TCP", "10.0.0.5", 5)))
            protocol.dataReceived(b"GET / HTTP/1.1\r\n")
        self.assertEqual(listeners.proxy_refused["no_header"], len(PORTS))
        expiry = listeners.certificate_expiry
        make_pair(self.directory, days=90)
        service.apply(service.settings)
        assert expiry is not None and listeners.certificate_expiry is not None
        self.assertGreater(listeners.certificate_expiry - expiry, 86400)

    def test_addresses(self) -> None:
        """The API tells of each protocol where it is served, and of none where it is not."""
        service, _ = self.start(secure=False)
        addresses = service._house.listeners.addresses
        self.assertEqual((addresses["rtmps"], addresses["https"]), ([], []))
        service, _ = self.start(rtmp_tls_sniff=True)
        addresses = service._house.listeners.addresses
        self.assertEqual(list(addresses), ["rtmp", "rtmps", "http", "https"])
        self.assertEqual(len(addresses["rtmps"]), 2)
        self.assertEqual([len(addresses[name]) for name in ("rtmp", "http", "https")], [1, 1, 1])

    def test_checks(self) -> None:
        """/ready names each listener that there is, and which one is closed."""
        service, _ = self.start(secure=False)
        self.assertEqual(list(service._house._listener_checks()), ["http", "rtmp"])
        service, _ = self.start()
        checks = service._house._listener_checks()
        service._house.listeners.by_protocol["rtmps"][0].ports.clear()
        self.assertEqual(
            {name: check() for name, check in checks.items()},
            {"http": "ok", "rtmp": "ok", "rtmps": "not listening", "https": "ok"},
        )

    def test_readiness(self) -> None:
        """The server is ready when every listener listens."""
        service, _ = self.start()
        for listeners in (service._house.listeners.rtmp_all, service._house.listeners.http_all):
            self.assertEqual(check_listeners(listeners), "ok")
            listeners[-1].ports.clear()
            self.assertEqual(check_listeners(listeners), "not listening")
