"""Every listener of the server: what is spoken at each address, by settings."""

# Twisted's services and factories carry no annotations yet.
# mypy: allow-untyped-calls

from typing import Any

from twisted.internet.interfaces import IProtocolFactory

from rapidrtmp.config import Settings
from rapidrtmp.descriptors import Descriptors, ThriftyFactory
from rapidrtmp.listener import Listener
from rapidrtmp.protocol.server import RTMPServerFactory
from rapidrtmp.protocol.sniff import SniffingFactory
from rapidrtmp.protocol.tls_handshake import TLSFactory, TLSHandshakes
from rapidrtmp.proxy_protocol import ProxyProtocolFactory, ProxyRefusals
from rapidrtmp.tls import HTTPS_PROTOCOLS, ServerCertificate
from rapidrtmp.web.http_site import HTTPSite

TLS_ERROR = "tls_handshake"
"""The reason under which RTMP connections are counted whose TLS handshake failed."""


class Listeners:
    """The listeners; nothing listens yet."""

    def __init__(
        self, settings: Settings, reactor: Any, rtmp_factory: RTMPServerFactory, site: HTTPSite
    ) -> None:
        """Make them.

        Args:
            settings: checked ones.
            reactor: the real one.
            rtmp_factory: makes RTMP connections.
            site: makes HTTP connections.

        Raises:
            SettingError: the certificate cannot be used.
        """
        self._settings = settings
        self._reactor = reactor
        self._descriptors = Descriptors(reactor)
        self.certificate = (
            ServerCertificate(settings.tls_cert, settings.tls_key, reactor)
            if settings.tls_cert
            else None
        )
        rtmps = TLSHandshakes("RTMPS", reactor, lambda: rtmp_factory.count_error(TLS_ERROR))
        https = TLSHandshakes("HTTPS", reactor)
        self.handshakes = {"rtmps": rtmps, "https": https}
        """Counts those of TLS."""
        self.proxy_refusals = ProxyRefusals(reactor)
        """Counts load balancers' connections that told no address."""
        self.rtmp = self._rtmp(rtmp_factory)
        self.http = self._listener("HTTP_ADDR", site)
        self.by_protocol: dict[str, list[Listener]] = {
            "rtmp": [self.rtmp],
            "rtmps": [],
            "http": [self.http],
            "https": [],
        }
        """What is spoken where. A listener that sniffs speaks two."""
        if self.certificate is not None and settings.rtmps_addr:
            creator = self.certificate.creator()
            factory = TLSFactory(rtmp_factory, creator, rtmps, reactor)
            self.by_protocol["rtmps"].append(self._listener("RTMPS_ADDR", factory))
        if self.certificate is not None and settings.https_addr:
            creator = self.certificate.creator(HTTPS_PROTOCOLS)
            factory = TLSFactory(site, creator, https, reactor)
            self.by_protocol["https"].append(self._listener("HTTPS_ADDR", factory))
        self.rtmp_all = [self.rtmp, *self.by_protocol["rtmps"]]
        """Where publishers connect."""
        self.http_all = [self.http, *self.by_protocol["https"]]
        """Where viewers connect."""
        if self.certificate is not None and settings.rtmp_tls_sniff:
            self.by_protocol["rtmps"].append(self.rtmp)

    def apply(self, settings: Settings) -> None:
        """Read the certificate again."""
        if self.certificate is not None:
            self.certificate.reload(settings.tls_cert, settings.tls_key)

    # What there is to know.

    @property
    def addresses(self) -> dict[str, list[str]]:
        """The addresses on which each protocol is served now."""
        return {
            protocol: [address for listener in listeners for address in listener.addresses]
            for protocol, listeners in self.by_protocol.items()
        }

    @property
    def tls_handshakes(self) -> dict[tuple[str, str], int]:
        """TLS handshakes that are over, by protocol and outcome; none without a certificate."""
        if self.certificate is None:
            return {}
        return {
            (protocol, outcome): count
            for protocol, handshakes in self.handshakes.items()
            for outcome, count in handshakes.outcomes.items()
        }

    @property
    def certificate_expiry(self) -> float | None:
        """Unix time at which the certificate in force stops to be valid; None without one."""
        return None if self.certificate is None else self.certificate.pair.expires.timestamp()

    @property
    def proxy_refused(self) -> dict[str, int]:
        """Load balancers' connections without a PROXY header, by reason; none without them."""
        return self.proxy_refusals.reasons if self._settings.proxy_protocol else {}

    # Inside.

    def _rtmp(self, factory: RTMPServerFactory) -> Listener:
        if self.certificate is None or not self._settings.rtmp_tls_sniff:
            return self._listener("RTMP_ADDR", factory)
        sniffing = SniffingFactory(
            factory, self.certificate.creator(), self.handshakes["rtmps"], self._reactor
        )
        return self._listener("RTMP_ADDR", sniffing)

    def _listener(self, setting: str, factory: IProtocolFactory) -> Listener:
        settings, reactor = self._settings, self._reactor
        if settings.proxy_protocol:
            networks = settings.proxy_protocol
            factory = ProxyProtocolFactory(factory, networks, self.proxy_refusals, reactor)
        thrifty = ThriftyFactory(factory, self._descriptors)
        return Listener(reactor, setting, getattr(settings, setting.lower()), thrifty)
