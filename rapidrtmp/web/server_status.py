"""What the API says of the server itself, as JSON values."""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import twisted
from rapidrtmp import __version__
from rapidrtmp.auth.tokens import TokenStore
from rapidrtmp.config import Settings
from rapidrtmp.stream.manager import StreamManager
from rapidrtmp.web.description import timestamp

LIMITS = (
    "DEFAULT_TOKEN_EXPIRATION",
    "HTTP_MAX_CONNECTIONS",
    "HTTP_MAX_CONNECTIONS_PER_IP",
    "MAX_CONCURRENT_STREAMS",
    "MAX_INGEST_BITRATE",
    "MAX_REFUSALS_PER_IP",
    "MAX_TOKEN_EXPIRATION",
    "MAX_TOKEN_REQUESTS_PER_IP",
    "MAX_VIEWERS_PER_STREAM",
    "RTMP_MAX_CONNECTIONS",
    "RTMP_MAX_CONNECTIONS_PER_IP",
    "RTMP_MAX_MESSAGE_SIZE",
)
"""The settings that are told: what somebody may run into. Durations in seconds, sizes in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """Where to look for what there is to know of this process."""

    settings: Callable[[], Settings]
    """Gives the settings in force."""
    started_at: float
    """Unix time."""
    listeners: Callable[[], Mapping[str, Sequence[str]]]
    """Gives the addresses on which each protocol is served now."""

    def describe(self, manager: StreamManager, tokens: TokenStore, now: float) -> dict[str, Any]:
        """Return the API's Server.

        Args:
            manager: has the streams.
            tokens: has the publish tokens.
            now: unix time.
        """
        streams = manager.streams()
        settings = self.settings()
        return {
            "version": __version__,
            "python": platform.python_version(),
            "twisted": twisted.__version__,
            "startedAt": timestamp(self.started_at),
            "uptime": max(0, int(now - self.started_at)),
            "draining": manager.draining,
            "listeners": {name: list(found) for name, found in self.listeners().items()},
            "storage": settings.storage_type,
            "limits": {name: getattr(settings, name.lower()) for name in LIMITS},
            "counts": {
                "streams": len(streams),
                "publishers": sum(stream.publication is not None for stream in streams),
                "viewers": sum(stream.viewers for stream in streams),
                "tokens": tokens.count,
            },
        }
