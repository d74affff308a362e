"""Limits how often something may come from one address."""

from dataclasses import dataclass
from ipaddress import IPv6Address

from twisted.internet.interfaces import IReactorTime

MAX_PLACES = 10_000
"""Addresses remembered at once (some 2 MB); the one that ends next makes room."""


@dataclass(slots=True)
class _Place:
    """What came from one address."""

    until: float
    """Unix time at which it is forgotten."""
    count: int = 0


class RateLimit:
    """At most so many in a period from one address; IPv6 ones count by their /64 network.

    `allow` counts and answers at once. `count` is for what is only known to be bad
    afterwards: the last one that is tolerated bars the address for a whole period.
    """

    def __init__(self, clock: IReactorTime, limit: int, period: float) -> None:
        """Make one that has seen nothing.

        Args:
            clock: gives unix time.
            limit: how many in a period; 0 is no limit. May be changed at any time.
            period: s, from the first one on.
        """
        self._clock = clock
        self.limit = limit
        self._period = period
        self._places: dict[str, _Place] = {}  # in the order in which they end

    def allow(self, address: str) -> bool:
        """Count one more from an address; tell whether it is within the limit."""
        if not self.limit:
            return True
        place = self._place(address)
        if place.count >= self.limit:
            return False
        place.count += 1
        return True

    def count(self, address: str) -> None:
        """Count one more from an address; at the limit, bar it for a period from now on."""
        if not self.limit:
            return
        place = self._place(address)
        place.count += 1
        if place.count == self.limit:
            name = network(address)
            place.until = self._clock.seconds() + self._period
            self._places[name] = self._places.pop(name)

    def blocked_for(self, address: str) -> float:
        """Return the seconds for which nothing more may come from an address; 0.0: it may."""
        place = self._places.get(network(address)) if self.limit else None
        if place is None or place.count < self.limit:
            return 0.0
        left = place.until - self._clock.seconds()
        return left if 0.0 < left <= self._period else 0.0

    def _place(self, address: str) -> _Place:
        """Return what came from an address in the period that runs."""
        now = self._clock.seconds()
        while self._places and len(self._places) >= MAX_PLACES:
            del self._places[next(iter(self._places))]
        name = network(address)
        place = self._places.get(name)
        # More than a period to go: the clock was set back.
        if place is None or not 0.0 < place.until - now <= self._period:
            self._places.pop(name, None)
            place = self._places[name] = _Place(now + self._period)
        return place


def network(address: str) -> str:
    """Return what counts as one address: an IPv4 address, or the /64 of an IPv6 one."""
    if ":" not in address:
        return address
    try:
        packed = IPv6Address(address.partition("%")[0]).packed
    except ValueError:
        return address
    return packed[:8].hex()
