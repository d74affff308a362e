"""Counts what is asked and answered over HTTP. The metrics read it."""

from collections.abc import Callable
from time import monotonic

from rapidrtmp.histogram import Histogram

DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds."""

METHODS = {
    name.encode("ascii"): name
    for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
}
"""Methods that are told apart; all others count as `OTHER`, so that nobody can invent series."""

OTHER = "OTHER"

UNKNOWN = "unknown"
"""The route of an address that is none."""

STATUSES = ("0xx", "1xx", "2xx", "3xx", "4xx", "5xx")

GONE = 499
"""Stands for the status of a request whose client left before any answer, as nginx logs it."""


class HTTPCounters:
    """Plain counters of one HTTP site."""

    def __init__(self, monotonic: Callable[[], float] = monotonic) -> None:
        """Make counters at zero.

        Args:
            monotonic: seconds since some moment, by a clock that is never set.
        """
        self.monotonic = monotonic
        self.requests: dict[tuple[str, str, str], int] = {}
        """Answered requests by method, route pattern and kind of status such as '2xx'."""
        self.durations: dict[tuple[str, str], Histogram] = {}
        """Seconds from a whole request to the end of its answer, by method and route; those
        for which a playlist is held belong to it."""
        self.bytes_sent = 0
        """Bytes of bodies that were handed to connections."""
        self.connections_total = 0
        self.refused_connections = 0
        """Connections over a limit."""

    def count(self, method: bytes, route: str, code: int, seconds: float, sent: int) -> None:
        """Count a request that is over.

        Args:
            method: as it was sent.
            route: the pattern of its address.
            code: the answer's status code.
            seconds: from the whole request to the end of the answer.
            sent: bytes of the body.
        """
        name = METHODS.get(method, OTHER)
        request = (name, route, STATUSES[code // 100])
        self.requests[request] = self.requests.get(request, 0) + 1
        durations = self.durations.get((name, route))
        if durations is None:
            durations = self.durations[name, route] = Histogram(DURATIONS)
        durations.observe(seconds)
        self.bytes_sent += sent

    def count_broken(self, code: int) -> None:
        """Count what was refused before it became a request, by the answer's status code."""
        request = (OTHER, UNKNOWN, STATUSES[code // 100])
        self.requests[request] = self.requests.get(request, 0) + 1
