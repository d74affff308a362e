"""Every door of the house on one page.

What stands behind a door: `outputs/` hang on a stream (`IOutput`), some are
also seen over HTTP (`IHTTPOutput`), `storage/` keeps files (`IStorage`),
`auth/` decides who may publish (`IAuthenticator`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from rapidrtmp.media.segmentation import Boundary
from rapidrtmp.media.track import Sample, Track


class Refusal(Enum):
    """Why somebody was refused, in words that belong to no protocol."""

    DENIED = "denied"
    """No right to do it."""
    BAD_NAME = "bad name"
    """The stream key is not a valid one."""
    BUSY = "busy"
    """The key is in use and may not be taken over."""
    REJECTED = "rejected"
    """A limit, an unsupported codec, or the server is going down."""


class AccessDenied(Exception):
    """A request was refused. `protocol/` and `web/` map `refusal` to their own codes."""

    def __init__(self, refusal: Refusal, description: str) -> None:
        super().__init__(description)
        self.refusal = refusal
        self.description = description
        """Plain words for the person at the encoder. Never holds a token."""


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """Somebody asks to publish (later: to play) a stream."""

    action: str
    """'publish' or 'play'."""
    key: str
    app: str
    peer: str
    """IP address of the client, without a port."""
    session_id: str
    """Names the connection in logs."""
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The merged query parameters: `token`, `user`, ... Never logged."""
    client: str = ""
    """What the client calls itself (flashVer, User-Agent)."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The right that was proven."""

    identity: str = field(repr=False)
    """Equal for the same holder: the hash of the token, or '' where anybody may publish."""


class IAuthenticator(Interface):
    """Decides whether a request is allowed."""

    def authorize(request: AccessRequest) -> "Deferred[Grant]":
        """Fire with the Grant, or fail with AccessDenied."""

    def in_use(key: str, identity: str, until: float | None) -> None:
        """Tell that the holder of `identity` publishes `key`: its right outlives its expiry.

        Args:
            key: the stream key.
            identity: the Grant's.
            until: unix time up to which it stays valid now that the publisher is gone;
                None while it is publishing.
        """


class IOutput(Interface):
    """What hangs on a stream. All calls come synchronously, in order, on the reactor."""

    def tracks_changed(tracks: Sequence[Track]) -> None:
        """Learn the tracks, before their first sample and at each change.

        A change is always preceded by `discontinuity()`.
        """

    def segment_started(boundary: Boundary) -> None:
        """Learn that the next sample of the leading track starts a new segment.

        Several may come before one sample, where that track was silent for long: all but the
        last are segments without a sample of it.
        """

    def sample_received(sample: Sample) -> None:
        """Take one sample. Its times are on the stream's timeline. The hot path."""

    def discontinuity() -> None:
        """Finish what is open: no more samples of this continuity will come."""

    def ended() -> None:
        """The stream is over for good; nothing follows."""

    def close() -> "Deferred[None]":
        """The server goes down: fire when all that was accepted is where it belongs."""


class IHTTPOutput(IOutput):
    """An output whose files are fetched over HTTP below ``/live/<key>/``."""

    def representation(path: tuple[str, ...]) -> "Representation | Deferred[Representation]":
        """Find a file of the stream. Looked up in an index, never joined to a file path.

        Args:
            path: the URL's parts after ``/live/<key>/``.

        Raises:
            NotFound: there is no such file (any more). Also as the Deferred's failure.
            NotReady: it will be there soon. Also as the Deferred's failure.
        """


class IOutputMaker(Interface):
    """Makes one kind of output for each stream."""

    def make(stream: object) -> IOutput:
        """Make the output of a new stream (a `rapidrtmp.stream.stream.Stream`)."""


class NotFound(Exception):
    """There is no such file. Raised by storage and by HTTP outputs."""


class NotReady(Exception):
    """Not there yet: worth asking again."""

    def __init__(self, description: str, retry_after: int = 1) -> None:
        super().__init__(description)
        self.description = description
        self.retry_after = retry_after
        """Seconds."""


IMMUTABLE = "public, max-age=31536000, immutable"
NO_CACHE = "no-cache"


@dataclass(frozen=True, slots=True)
class Representation:
    """The bytes of a file and how HTTP is to describe them (RFC 9110 section 8)."""

    body: bytes = field(repr=False)
    content_type: str
    cache_control: str = NO_CACHE
    etag: str = ""
    """Strong entity tag, without quotes; empty for none."""


class StorageEntry(NamedTuple):
    """One file in a listing."""

    path: str
    size: int
    modified: float
    """Unix time."""


class IStorage(Interface):
    """Keeps files under relative, '/'-separated paths. Every method answers by a Deferred.

    A path has one or more parts of ``[A-Za-z0-9._-]``, none of them '.' or '..';
    anything else fails with ValueError and touches nothing. Calls for one stream are
    serialised by the caller.
    """

    name: str = Attribute("what the settings call it: 'memory', 'local'")

    def put(
        path: str, data: Sequence[bytes], content_type: str, cache_control: str
    ) -> "Deferred[None]":
        """Write a whole file, seen by readers entirely or not at all. Replaces what was there."""

    def get(path: str, start: int = 0, end: int | None = None) -> "Deferred[bytes]":
        """Read bytes [start, end) of a file. Fails with NotFound."""

    def delete(path: str) -> "Deferred[None]":
        """Remove a file. One that is not there is no error."""

    def exists(path: str) -> "Deferred[bool]":
        """Tell whether there is such a file."""

    def list(prefix: str = "") -> "Deferred[list[StorageEntry]]":
        """List the files whose path is `prefix` or lies below it, recursive, sorted by path."""

    def url_for(path: str) -> "Deferred[str]":
        """Give the URL at which a client could fetch the file itself."""

    def close() -> "Deferred[None]":
        """Finish what is under way and give up threads."""
