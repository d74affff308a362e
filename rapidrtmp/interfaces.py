"""Every door of the house on one page.

What stands behind a door: `outputs/` hang on a stream (`IOutput`), some are
also seen over HTTP (`IHTTPOutput`), `storage/` keeps files (`IStorage`),
`auth/` decides who may publish (`IAuthenticator`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from rapidrtmp.media.segmentation import Boundary
from rapidrtmp.media.timed import TimedMetadata
from rapidrtmp.media.track import Sample, Track

NO_QUERY: Mapping[str, Sequence[str]] = MappingProxyType({})


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

    def __init__(self, refusal: Refusal, description: str, reason: str = "") -> None:
        super().__init__(description)
        self.refusal = refusal
        self.reason = reason or refusal.value.replace(" ", "_")
        """One short stable word for counters."""
        self.description = description
        """Plain words for the person at the encoder. Never holds a token."""


TOKEN_PARAMETERS = ("token", "password", "pass")
"""Where a publish token may stand in `AccessRequest.credentials`, the first one given wins. The
latter two: encoders with a user and a password field, which append ``?user=&pass=``."""


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """Somebody asks to publish or to play a stream."""

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
    proves: Callable[[str], bool] | None = field(default=None, repr=False, compare=False)
    """Tells whether the client has shown that it knows a password, without sending it; None when
    it has shown nothing."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The right that was proven."""

    identity: str = field(repr=False)
    """Equal for the same holder: the hash of the token, or '' where anybody may publish."""


class IAuthenticator(Interface):
    """Decides whether a request is allowed, by its `action`."""

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


class IHook(Interface):
    """Somebody else's say in what happens to streams. All methods are optional.

    In-process ones are found by entry points of the group ``rapidrtmp.hooks``, each a callable
    that is given the reactor and returns the hook. A method may answer at once, by a Deferred
    or by a coroutine; one that takes longer than WEBHOOK_TIMEOUT is cancelled, which a
    coroutine should let happen. A method ``close()`` is called when the server stops.
    """

    def on_publish(request: AccessRequest) -> object:
        """Allow a publish, whose right is proven already, by any answer but False.

        Raises:
            AccessDenied: it is refused. Any other exception refuses it, too.
        """

    def on_play(request: AccessRequest) -> object:
        """Allow a new viewer, as `on_publish` does a publisher."""

    def on_unpublish(event: object) -> object:
        """Learn that a publisher has gone. Tried again when it fails: it may come twice.

        Args:
            event: a `rapidrtmp.stream.events.StreamEvent`.
        """

    def on_segment(event: object) -> object:
        """Learn that a segment is listed, as `on_unpublish` does of a publisher."""


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

    def metadata_received(metadata: TimedMetadata) -> None:
        """Take timed metadata. Its time may be before that of the newest sample, or far ahead."""

    def discontinuity() -> None:
        """Finish what is open: no more samples of this continuity will come."""

    def ended() -> None:
        """The stream is over for good; nothing follows."""

    def close() -> "Deferred[None]":
        """The server goes down: fire when all that was accepted is where it belongs."""


class IHTTPOutput(IOutput):
    """An output whose files are fetched over HTTP below ``/live/<key>/``."""

    def representation(
        path: tuple[str, ...], query: Mapping[str, Sequence[str]] = NO_QUERY
    ) -> "Representation | Deferred[Representation]":
        """Find a file of the stream. Looked up in an index, never joined to a file path.

        Args:
            path: the URL's parts after ``/live/<key>/``.
            query: the values of each parameter.

        Raises:
            NotFound: there is no such file (any more). Also as the Deferred's failure.
            NotPackaged: it would be this output's, and cannot be. Also as the Deferred's failure.
            NotReady: it will be there soon. Also as the Deferred's failure.
            InvalidRequest: the query asks for what cannot be.
        """


class IKeyFrames(Interface):
    """An output that has the stream's key frames in its segments: nobody else need keep them."""

    def key_frame(sequence: int, sample: Sample) -> "Callable[[], Deferred[bytes]] | None":
        """Find the key frame that begins a segment.

        Args:
            sequence: Media Sequence Number of the segment.
            sample: the key frame.

        Returns:
            What fires with its payload, as long as the segment can be fetched, or fails with
            NotFound or NotReady. None where the segment is not complete, or begins otherwise.
        """


class IMemoryHolder(Interface):
    """An output that keeps media in memory."""

    def memory() -> Mapping[str, int]:
        """Tell how many bytes, by kind, what others keep anyway not included.

        Asked once a second: counted as it comes and goes, or added up of a few.
        """


class IMediaWindow(Interface):
    """An output whose newest segments are in memory, and may be fewer than usual."""

    kept_bytes: int = Attribute("what they take")
    is_trimmed: bool = Attribute("whether they are fewer than usual")
    segment_bytes: int = Attribute("what one more would take, by those that there are")
    promised: int = Attribute("bytes that are to come until they are as many as they may be")

    def dispensable() -> Sequence[int]:
        """Return the bytes of each segment that may leave before its time, the oldest first."""

    def trim(count: int) -> None:
        """Let go of so many of those, and have no more than are left then.

        Args:
            count: at most as many as are dispensable.
        """

    def grow() -> None:
        """Have one more. To be called where there are fewer than usual."""


class IOutputMaker(Interface):
    """Makes one kind of output for each stream."""

    def make(stream: object) -> IOutput:
        """Make the output of a new stream (a `rapidrtmp.stream.stream.Stream`)."""


class NotFound(Exception):
    """There is no such file. Raised by storage and by HTTP outputs."""


class NotPackaged(NotFound):
    """The stream has no track that the output can carry. Says why, in plain words."""


class InvalidRequest(Exception):
    """A request that nobody can answer. Says why in plain words."""


class NotReady(Exception):
    """Not there yet: worth asking again."""

    def __init__(self, description: str, retry_after: int = 1) -> None:
        super().__init__(description)
        self.description = description
        self.retry_after = retry_after
        """Seconds."""


IMMUTABLE = "public, max-age=31536000, immutable"
NO_CACHE = "no-cache"


@dataclass(slots=True, eq=False)
class Growth:
    """What comes after the body of a file that is sent while it is being made."""

    pieces: list[bytes] = field(default_factory=list, repr=False)
    """What has come, in order."""
    is_complete: bool = False
    """Whether nothing more will come: the file is whole."""
    is_broken: bool = False
    """Whether nothing more will come: the file will never be whole."""
    readers: dict[Callable[[], None], None] = field(default_factory=dict, repr=False)
    """Called, in no particular order, after each change."""


@dataclass(frozen=True, slots=True)
class Representation:
    """The bytes of a file and how HTTP is to describe them (RFC 9110 section 8)."""

    content: bytes | Sequence[bytes] = field(repr=False)
    """All of them, or pieces that follow each other: a segment is kept, stored and sent in the
    parts that it was made in, and joined only for who asks for its `body`."""
    content_type: str
    cache_control: str = NO_CACHE
    etag: str = ""
    """Strong entity tag, without quotes; empty for none."""
    growth: Growth | None = None
    """What comes after the body; None when that is the whole file."""

    @property
    def pieces(self) -> Sequence[bytes]:
        """The bytes in pieces, without a copy of them."""
        return (self.content,) if isinstance(self.content, bytes) else self.content

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return sum(map(len, self.pieces))

    @property
    def body(self) -> bytes:
        """The bytes as one: a copy where they are in several pieces."""
        return b"".join(self.pieces)


class IMediaURLs(Interface):
    """Where viewers fetch stored media, when not from this server: a CDN, an object store."""

    def url_for(path: str) -> "Deferred[str]":
        """Give the URL of a file that is stored. It is listed once and never changes.

        Args:
            path: in storage.
        """


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

    name: str = Attribute("what the settings call it: 'memory', 'local', 'gcs'")

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
