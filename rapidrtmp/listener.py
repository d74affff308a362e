"""A listener at the address that a setting names: one service for all its endpoints."""

# Twisted's services and options carry no annotations yet.
# mypy: allow-untyped-calls

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from rapidrtmp.config import SettingError
from rapidrtmp.config.kinds import endpoint_descriptions
from rapidrtmp.descriptors import WrappedFactory

PLAIN = ("tcp", "tcp4", "tcp6", "unix", "systemd")
"""Endpoints whose ports take a factory as it is."""


class Listener(Service):
    """Listens from the start of the service to its stop. `ports` are open meanwhile."""

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        setting: str,
        address: str,
        factory: IProtocolFactory,
        from_string: Callable[[Any, str], Any] = serverFromString,
    ) -> None:
        """Make a listener that does not listen yet.

        Args:
            reactor: what the endpoints listen by.
            setting: name of the setting that the address comes from, for messages.
            address: as `rapidrtmp.config.kinds.endpoint_descriptions` takes it.
            factory: makes the protocols of accepted connections.
            from_string: makes an endpoint of a reactor and a description.
        """
        self._setting = setting
        self._address = address
        self._endpoints = [
            (
                from_string(reactor, description),
                factory if description.partition(":")[0] in PLAIN else WrappedFactory(factory),
            )
            for description in endpoint_descriptions(address)
        ]
        self.ports: list[IListeningPort] = []

    @property
    def port(self) -> int:
        """The TCP port that it listens on, also where the setting says 0."""
        host: Any = self.ports[0].getHost()
        return int(host.port)

    @property
    def addresses(self) -> list[str]:
        """The addresses that it listens on, as people write them."""
        return [_shown(port.getHost()) for port in self.ports]

    def privilegedStartService(self) -> None:
        """Listen, while the process may still be root.

        Raises:
            SettingError: the address cannot be listened on.
        """
        for endpoint, factory in self._endpoints:
            failures: list[Failure] = []
            listening: Deferred[IListeningPort] = endpoint.listen(factory)
            # Endpoints answer at once, from inside `listen`.
            listening.addCallbacks(self.ports.append, failures.append)
            if failures:
                raise self._refusal(failures[0].value)
        for address in self.addresses:
            self._log.info(
                "{protocol} listening on {where}",
                protocol=self._setting.removesuffix("_ADDR"),
                where=address,
            )

    def _refusal(self, error: BaseException | None) -> SettingError:
        reason = error.socketError if isinstance(error, CannotListenError) else error
        words = getattr(reason, "strerror", None) or str(reason)
        return SettingError(self._setting, self._address, f"cannot listen there: {words}")

    def startService(self) -> None:
        """Listen, unless `privilegedStartService` did already."""
        super().startService()
        if not self.ports:
            self.privilegedStartService()

    def stopService(self) -> "Deferred[list[None]]":
        """Close the ports; fires when they are closed. Connections stay."""
        super().stopService()
        ports, self.ports = self.ports, []
        closing = [port.stopListening() for port in ports]
        return gatherResults([done for done in closing if done is not None])


def _shown(address: Any) -> str:
    """Return an address as people write it."""
    match address:
        case IPv4Address(host=host, port=port):
            return f"{host}:{port}"
        case IPv6Address(host=host, port=port):
            return f"[{host}]:{port}"
    return str(address)
