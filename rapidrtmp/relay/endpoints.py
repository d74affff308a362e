"""What connects to the target of a relay: TCP, or TLS with a certificate that is checked."""

# Twisted's endpoints carry no annotations yet.
# mypy: allow-untyped-calls

from collections.abc import Callable
from pathlib import Path
from socket import getaddrinfo
from typing import Any

from twisted.internet._resolver import GAIResolver  # has no public name
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IReactorPluggableNameResolver, IStreamClientEndpoint
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from zope.interface import directlyProvides

from rapidrtmp.daemon_threads import DaemonThreadPool
from rapidrtmp.rtmp.target import Target

CONNECT_TIMEOUT = 10
"""Seconds for one address of a host."""
MAX_LOOKUPS = 100
"""Names that are looked up at once: as many as there may be relays, so that none waits for those
whose name servers do not answer."""
_END = b"-----END CERTIFICATE-----"


class _OwnNames:
    """A reactor that looks up names in threads of its own.

    The reactor's are few, and everybody's: name servers that do not answer for some relays
    would hold up web hooks, and with them publishers.
    """

    def __init__(self, reactor: Any, lookup: Callable[..., Any]) -> None:
        self._reactor = reactor
        pool = DaemonThreadPool(0, MAX_LOOKUPS, "relay names")
        pool.start()
        self.nameResolver = GAIResolver(reactor, lambda: pool, lookup)
        directlyProvides(self, IReactorPluggableNameResolver)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


class Endpoints:
    """Makes endpoints.

    Args:
        reactor: the real one.
        ca_file: PEM certificates of the authorities that are trusted in place of the
            system's; '' for the system's.
        lookup: as `socket.getaddrinfo`, called in a thread.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no certificate, or something else.
    """

    def __init__(
        self, reactor: Any, ca_file: str = "", lookup: Callable[..., Any] = getaddrinfo
    ) -> None:
        self._reactor = _OwnNames(reactor, lookup)
        self._trust = _load(Path(ca_file)) if ca_file else None

    def __call__(self, target: Target) -> IStreamClientEndpoint:
        """Make what connects to a target.

        Raises:
            ValueError: no certificate could be for such a host.
        """
        endpoint: IStreamClientEndpoint = HostnameEndpoint(
            self._reactor, target.host, target.port, timeout=CONNECT_TIMEOUT
        )
        if target.scheme == "rtmps":
            try:
                options = optionsForClientTLS(target.host, trustRoot=self._trust)
            except UnicodeError:  # IDNA's
                raise ValueError(f"invalid hostname: {target.host}") from None
            endpoint = wrapClientTLS(options, endpoint)
        return endpoint


def _load(path: Path) -> Any:
    """Read the authorities in a PEM file."""
    pieces = path.read_bytes().split(_END)[:-1]
    if not pieces:
        raise ValueError("it holds no PEM certificate")
    try:
        return trustRootFromCertificates([Certificate.loadPEM(piece + _END) for piece in pieces])
    except Exception as error:  # what the TLS library raises differs by its version
        raise ValueError("it holds a certificate that cannot be read") from error
