"""What an RTMP session tells its owner."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class ConnectRequested:
    """The client asks for an application. The session waits for `accept` or `reject`."""

    app: str = field(repr=False)
    """As it was sent: may carry a query with a token."""
    tc_url: str = field(repr=False)
    """As it was sent, empty for none."""
    client: str
    """What the client calls itself (flashVer), fit for a log line."""
    transaction_id: float


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
class Refused:
    """The session has refused the client something by itself, and told it so.

    Requests that the owner refuses by `reject` make no event.
    """

    code: str
    """One of `status`, of level error."""
    description: str
    """What the client was told. Quotes nothing that the client sent."""


Event: TypeAlias = ConnectRequested | PublishRequested | Unpublished | Refused
