"""Command messages: remote calls, their results and status notices (RTMP 1.0, 7.1.1, 7.2)."""

from dataclasses import dataclass, field

from rapidrtmp.amf import amf0
from rapidrtmp.amf.errors import AMFError
from rapidrtmp.amf.reader import Limits as AMFLimits
from rapidrtmp.amf.values import Value

RESULT = "_result"
ERROR = "_error"
ON_STATUS = "onStatus"


@dataclass(frozen=True, slots=True)
class Command:
    """A call from the peer."""

    name: str
    transaction_id: float
    """Sent back in the answer as the same number; 0 wants none."""
    arguments: tuple[Value, ...] = field(repr=False)
    """What follows: the command object (often null), then the arguments proper."""

    def argument(self, index: int) -> Value:
        """Return an argument: 0 is the command object, None when there is none."""
        return self.arguments[index] if index < len(self.arguments) else None


def decode(payload: bytes, limits: AMFLimits) -> Command:
    """Return the command in the body of a command message.

    Raises:
        AMFError: it is not AMF0, or does not start with a name and a number.
    """
    values = amf0.decode(payload, limits)
    name = values[0] if values else None
    transaction_id = values[1] if len(values) > 1 else 0.0
    if not isinstance(name, str) or not isinstance(transaction_id, float):
        raise AMFError("command without a name and a numeric transaction id")
    return Command(name, transaction_id, tuple(values[2:]))


def encode(name: str, transaction_id: float, *arguments: Value) -> bytes:
    """Return the body of a command message."""
    return amf0.encode(name, transaction_id, *arguments)
