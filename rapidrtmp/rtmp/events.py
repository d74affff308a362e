"""What an RTMP server's session tells its owner."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from rapidrtmp.rtmp.authmod import SignIn
from rapidrtmp.rtmp.capabilities import PLAIN, Capabilities


@dataclass(frozen=True, slots=True)
class ConnectRequested:
    """The client asks for an application. The session waits for `accept` or `reject`."""

    app: str = field(repr=False)
    """As it was sent, without what is in `sign_in`: may carry a query with a token."""
    tc_url: str = field(repr=False)
    """The same of tcUrl, empty for none."""
    client: str
    """What the client calls itself (flashVer), fit for a log line."""
    transaction_id: float
    capabilities: Capabilities = PLAIN
    """What it announced of Enhanced RTMP. Many that can do it announce nothing."""
    sign_in: SignIn | None = None
    """How it wants to prove a password, or proves it."""


@dataclass(frozen=True, slots=True)
class PublishRequested:
    """The client asks to publish. The session waits for `accept` or `reject`."""

    app: str
    key: str
    parameters: Mapping[str, str] = field(repr=False)
    """Of all queries, decoded: ``token`` and others."""
    publish_type: str
    """'live', 'record', 'append' or what the client sent; all mean live."""
    message_stream_id: int
    client: str


@dataclass(frozen=True, slots=True)
class Unpublished:
    """The accepted publisher has ended its stream; the connection may go on."""

    key: str


@dataclass(frozen=True, slots=True)
class PlayRequested:
    """The client asks to play. The session waits for `accept` or `reject`."""

    app: str
    key: str
    parameters: Mapping[str, str] = field(repr=False)
    """Of all queries, decoded: ``token`` and others."""
    start: float
    """Seconds into a recording; negative for a live stream. A finite number."""
    is_reset: bool
    """Whether the client expects to be told that what played before was dropped."""
    message_stream_id: int
    client: str
    capabilities: Capabilities
    """What the client announced when it connected."""


@dataclass(frozen=True, slots=True)
class PlayStopped:
    """The accepted player has stopped, or asks for another stream; the connection may go on."""

    key: str


@dataclass(frozen=True, slots=True)
class PlayPaused:
    """The player has paused, or goes on."""

    paused: bool


@dataclass(frozen=True, slots=True)
class ReceiveChanged:
    """The player wants only some of the media from here on."""

    audio: bool
    video: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The session has refused the client something by itself, and told it so.

    Requests that the owner refuses by `reject` make no event.
    """

    code: str
    """One of `status`, of level error."""
    description: str
    """What the client was told. Quotes nothing that the client sent."""


Request: TypeAlias = ConnectRequested | PublishRequested | PlayRequested
Event: TypeAlias = Request | Unpublished | PlayStopped | PlayPaused | ReceiveChanged | Refused
