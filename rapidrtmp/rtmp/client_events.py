"""What an RTMP client's session tells its owner."""

from dataclasses import dataclass, field
from typing import TypeAlias

from rapidrtmp.rtmp.capabilities import Capabilities


@dataclass(frozen=True, slots=True)
class Connected:
    """The server has let the client in; publishing or playing is asked for next."""

    capabilities: Capabilities
    """What the server announces of Enhanced RTMP."""


@dataclass(frozen=True, slots=True)
class PublishStarted:
    """The server waits for media."""


@dataclass(frozen=True, slots=True)
class PlayStarted:
    """The server sends media."""


@dataclass(frozen=True, slots=True)
class ReconnectRequested:
    """The server would like the client to connect anew; for now the session goes on."""

    tc_url: str = field(repr=False)
    """Where to, as it was sent; empty for the same place."""
    description: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The server has refused to connect, to publish or to play; the session is over."""

    code: str
    """One of `status`, or the server's own."""
    description: str
    """The server's words, fit for a log line, without the stream key."""
    redirect: str = field(default="", repr=False)
    """The URL where the server says to connect to instead, as it was sent; empty for none."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The server has ended what was agreed on; the session is over."""

    code: str
    """One of `status`, or the server's own."""
    description: str
    """The server's words, fit for a log line, without the stream key."""


ClientEvent: TypeAlias = (
    Connected | PublishStarted | PlayStarted | ReconnectRequested | Rejected | Ended
)
