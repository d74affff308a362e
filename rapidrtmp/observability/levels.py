"""The levels of log lines, as the operator asks for them."""

from dataclasses import dataclass

LEVELS = ("debug", "info", "warn", "error", "critical")
"""Names of twisted.logger's levels, from the least important on."""


@dataclass(frozen=True, slots=True)
class LogLevels:
    """The least level that is written, for everything and for single namespaces."""

    default: str = "info"
    namespaces: tuple[tuple[str, str], ...] = ()
    """Namespace and its level; what lies below the namespace has that level too."""

    def __str__(self) -> str:
        """Write it as LOG_LEVEL does: ``info,rapidrtmp.protocol=debug``."""
        return ",".join([self.default, *(f"{name}={level}" for name, level in self.namespaces)])
