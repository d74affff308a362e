"""``/live/<key>/...``: playlists and media for viewers. The hot path, so not under Klein."""

# Twisted's request methods carry no annotations yet.
# mypy: allow-untyped-calls

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from secrets import token_hex

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from rapidrtmp.auth.playback import PlaybackAuthenticator
from rapidrtmp.auth.session_ids import SessionSigner
from rapidrtmp.hls.playlist import program_date_time
from rapidrtmp.interfaces import (
    NO_QUERY,
    AccessDenied,
    AccessRequest,
    InvalidRequest,
    NotFound,
    NotPackaged,
    NotReady,
    Refusal,
    Representation,
)
from rapidrtmp.media.key import is_stream_key
from rapidrtmp.stream.lifecycle import StreamState
from rapidrtmp.stream.manager import StreamManager
from rapidrtmp.stream.stream import Stream
from rapidrtmp.stream.viewers import RETRY_AFTER, Viewer
from rapidrtmp.web.live_address import read_address, read_query
from rapidrtmp.web.representation import respond
from rapidrtmp.web.request import Request
from rapidrtmp.web.responses import error_body, open_read
from rapidrtmp.web.session import (
    PRIVATE,
    SIGNED,
    Session,
    at_first_address,
    personal,
)

MAX_AGENT = 256
"""Bytes of a User-Agent that tell viewers apart: what is kept of each is bounded. Browsers'
have under 200."""

NOT_LIVE = "stream not found or not live"
FULL = "viewer limit reached"

MANIFEST = "manifest.mpd"
FIRST: Mapping[str, Callable[[Representation, Session], Representation]] = {
    "index.m3u8": personal,
    "ts/index.m3u8": personal,
    MANIFEST: at_first_address,
}
"""Where players start, and what makes a viewer's own version of it."""
THUMBNAIL = ("thumb.jpg",)
TIME = "time"
"""Below ``/live/``: the time of day, for DASH players (UTCTiming)."""

REFUSALS = {
    Refusal.DENIED: http.FORBIDDEN,
    Refusal.BAD_NAME: http.NOT_FOUND,
    Refusal.BUSY: http.SERVICE_UNAVAILABLE,
    Refusal.REJECTED: http.SERVICE_UNAVAILABLE,
}


class LiveResource(Resource):
    """Finds what hangs on a stream by its HTTP outputs, and sends it to any origin."""

    isLeaf = True

    def __init__(
        self,
        manager: StreamManager,
        clock: IReactorTime,
        sessions: SessionSigner,
        playback: PlaybackAuthenticator | None = None,
        flv: Callable[[Request, str], bytes | int] | None = None,
    ) -> None:
        """Make the resource.

        Args:
            manager: has the streams, and lets viewers in.
            clock: times slow readers out.
            sessions: tells the sessions that were opened here, in a former process too.
            playback: knows the signed URLs; None when nobody needs one.
            flv: answers requests for a key's stream as FLV; None when that is not served.
        """
        super().__init__()
        self._manager = manager
        self._clock = clock
        self._sessions = sessions
        self._playback = playback
        self._flv = flv

    def render(self, request: Request) -> bytes | int:
        """Answer one request below ``/live``."""
        address = read_address(request.postpath)
        request.route, key, path, session, is_malformed = address
        answer = open_read(request)
        if answer is not None:
            return answer
        if key is None:
            return error_body(request, http.NOT_FOUND, NOT_LIVE)
        if not path and key == TIME:
            return self._time(request)
        if not path and key.endswith(".flv") and self._flv is not None:
            return self._flv(request, key.removesuffix(".flv"))
        if is_malformed:
            return not_found(request, path)
        stream = self._manager.get(key) if is_stream_key(key) else None
        if self._playback is not None:
            answer = self._guard(request, key, path, stream, session)
            if answer is not None:
                return answer
        name = "/".join(path)
        first = name if name in FIRST else None
        if first and request.method != b"HEAD" and self._manager.can_begin(key):
            self._wait(request, path, Deferred.fromCoroutine(self._begin(request, key, first)))
            return NOT_DONE_YET
        if stream is None:
            return error_body(request, http.NOT_FOUND, NOT_LIVE)
        try:
            if first:
                found = self._first(request, stream, first)
            elif path == THUMBNAIL:
                found = Deferred.fromCoroutine(self._thumbnail(request, stream))
            elif path and path[-1].endswith((".m3u8", ".mpd")):
                found = self._playlist(request, stream, path, session)
            else:
                found = find(stream, path)
        except InvalidRequest as reason:
            return error_body(request, http.BAD_REQUEST, str(reason))
        except NotFound as reason:
            return not_found(request, path, reason)
        except NotReady as reason:
            return not_ready(request, reason.description, reason.retry_after)
        if isinstance(found, Representation):
            return self._respond(request, found)
        self._wait(request, path, found)
        return NOT_DONE_YET

    def _time(self, request: Request) -> bytes:
        """Answer with the time of day (ISO/IEC 23009-1 section 5.8.5.7, http-iso)."""
        body = program_date_time(self._clock.seconds()).encode("ascii")
        request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        request.setHeader(b"Cache-Control", b"no-store")
        request.setHeader(b"Content-Length", b"%d" % len(body))
        return body

    # Who may.

    def _guard(
        self,
        request: Request,
        key: str,
        path: tuple[str, ...],
        stream: Stream | None,
        session: Session | None,
    ) -> bytes | None:
        """Let nobody by without a signed URL, nor tell whether there is such a stream.

        Media needs none: its address holds the life, which signed playlists alone tell.
        """
        assert self._playback is not None
        if len(path) == 3:
            is_known = stream is not None and path[0] == stream.life
            return None if is_known else not_found(request, path)
        credentials: Mapping[str, str] = {}
        if session is not None:
            credentials = session.credentials
        elif len(path) == 1 or "/".join(path) in FIRST:
            credentials = query(request)
        denial = self._playback.denial(key, credentials)
        if denial is None:
            return None
        self._manager.totals.refuse("play", denial.reason)
        return denied(request, denial)

    def _first(
        self, request: Request, stream: Stream, name: str
    ) -> Representation | Deferred[Representation]:
        """Open a session where players start, for who goes on where it leads.

        Who comes to the same manifest again is a viewer without a session.
        """
        if name == MANIFEST and request.method != b"HEAD":
            viewer = stream.viewer_count.fallback(request.address, user_agent(request))
            if stream.viewer_count.returns(viewer):
                found = self._playlist(request, stream, (name,), None)
                if isinstance(found, Representation):
                    return at_first_address(found, None)
                return found.addCallback(at_first_address, None)
        return self._open(request, stream, name)

    def _open(self, request: Request, stream: Stream, name: str) -> Deferred[Representation]:
        """Open a session. HEAD asks nobody, as it tells nothing."""
        if not stream.viewer_count.has_room():
            raise NotReady(FULL, RETRY_AFTER)
        session_id = token_hex(8)
        session = self._session(request, stream, session_id)
        access = None
        if request.method != b"HEAD":
            agent = user_agent(request)
            access = access_request(request, stream.key, session_id, query(request), agent)
        found = find(stream, tuple(name.split("/")), read_query(request.query))
        return Deferred.fromCoroutine(self._own(stream, found, FIRST[name], session, access))

    def _session(self, request: Request, stream: Stream, session_id: str) -> Session:
        proof = self._sessions.sign(stream.key, stream.life, session_id)
        credentials = query(request)
        signed = {} if self._playback is None else {name: credentials[name] for name in SIGNED}
        return Session(stream.life, session_id, proof, signed)

    async def _begin(self, request: Request, key: str, name: str) -> Representation:
        """Open a session of a stream that begins when somebody wants it, and may."""
        session_id = token_hex(8)
        access = access_request(request, key, session_id, query(request), user_agent(request))
        stream = await self._manager.subscribe(access)
        if not stream.viewer_count.has_room():
            raise NotReady(FULL, RETRY_AFTER)
        found = find(stream, tuple(name.split("/")), read_query(request.query))
        session = self._session(request, stream, session_id)
        return await self._own(stream, found, FIRST[name], session, None)

    async def _own(
        self,
        stream: Stream,
        found: Representation | Deferred[Representation],
        make_own: Callable[[Representation, Session], Representation],
        session: Session,
        access: AccessRequest | None,
    ) -> Representation:
        """Ask for leave, so that who is refused learns neither the life nor a good session."""
        shared = found if isinstance(found, Representation) else await found
        if access is not None:
            await self._authorize(access, stream)
        return make_own(shared, session)

    def _playlist(
        self, request: Request, stream: Stream, path: tuple[str, ...], session: Session | None
    ) -> Representation | Deferred[Representation]:
        """Find a media playlist, or a DASH manifest. Who asks for one is a viewer."""
        is_known = self._is_known(stream, self._viewer(request, stream, session))
        found = find(stream, path, read_query(request.query))
        if is_known or request.method == b"HEAD":
            return found
        credentials: Mapping[str, str] = {}
        if session is not None:
            credentials = session.credentials
        elif path == (MANIFEST,):
            credentials = query(request)
        return Deferred.fromCoroutine(self._join(request, stream, session, credentials, found))

    def _viewer(self, request: Request, stream: Stream, session: Session | None) -> Viewer:
        """Tell who asks. A session that was not opened here is none."""
        if session is not None and self._sessions.verify(
            stream.key, session.life, session.session_id, session.proof
        ):
            return session.session_id
        return stream.viewer_count.fallback(request.address, user_agent(request))

    def _is_known(self, stream: Stream, viewer: Viewer) -> bool:
        """Note a viewer's request; tell whether it has been admitted.

        Raises:
            NotReady: it has not, and there is no room.
        """
        if stream.viewer_count.seen(viewer):
            return True
        if not stream.viewer_count.has_room(viewer):
            raise NotReady(FULL, RETRY_AFTER)
        return False

    async def _join(
        self,
        request: Request,
        stream: Stream,
        session: Session | None,
        credentials: Mapping[str, str],
        found: Representation | Deferred[Representation],
    ) -> Representation:
        """Make a newcomer a viewer, when there is something to see and it may.

        Whose session proves itself was asked about when that was opened.
        """
        playlist = found if isinstance(found, Representation) else await found
        # Again: while it waited, others may have come from its address or taken the last place.
        viewer = self._viewer(request, stream, session)
        if self._is_known(stream, viewer):
            return playlist
        if isinstance(viewer, str):
            access = access_request(request, stream.key, viewer, credentials, user_agent(request))
        else:
            # The decision is on all that the viewer is told apart by.
            access = access_request(request, stream.key, viewer_id(*viewer), credentials, viewer[1])
            await stream.viewer_count.decide(viewer, lambda: self._authorize(access, stream))
        if stream.viewer_count.admit(viewer):
            self._manager.viewer_joined(access)
        return playlist

    async def _thumbnail(self, request: Request, stream: Stream) -> Representation:
        """Let see, and have made, a picture of a stream whoever may watch it. It is no viewer."""
        viewers = stream.viewer_count
        viewer = viewers.fallback(request.address, user_agent(request))
        access = access_request(request, stream.key, viewer_id(*viewer), query(request), viewer[1])
        await viewers.decide(viewer, lambda: self._authorize(access, stream, begin=False))
        found = find(stream, THUMBNAIL)
        return found if isinstance(found, Representation) else await found

    def _authorize(
        self, access: AccessRequest, stream: Stream, *, begin: bool = True
    ) -> "Deferred[Stream | None]":
        # There is no subscribing to what has ended, but who may is let see the rest of it: and
        # not the beginning of something else.
        is_over = stream.state is StreamState.STOPPED
        subscribed = self._manager.subscribe(access, begin=begin and not is_over)
        return subscribed.addErrback(_pass_not_found)

    # Answering.

    def _respond(self, request: Request, representation: Representation) -> bytes | int:
        is_shared = representation.cache_control != PRIVATE
        return respond(request, representation, self._clock, is_shared=is_shared)

    def _wait(
        self, request: Request, path: tuple[str, ...], found: Deferred[Representation]
    ) -> None:
        """Answer when the representation is there, unless the viewer leaves before."""

        def answer(representation: Representation) -> None:
            body = self._respond(request, representation)
            if isinstance(body, bytes):
                request.end(body)

        def refuse(failure: Failure) -> None:
            reason = failure.value
            expected = (CancelledError, InvalidRequest, NotFound, NotReady, AccessDenied)
            if request.is_gone and isinstance(reason, expected):
                return
            if isinstance(reason, NotFound):
                request.end(not_found(request, path, reason))
            elif isinstance(reason, NotReady):
                request.end(not_ready(request, reason.description, reason.retry_after))
            elif isinstance(reason, AccessDenied):
                request.end(denied(request, reason))
            elif isinstance(reason, InvalidRequest):
                request.end(error_body(request, http.BAD_REQUEST, str(reason)))
            else:
                request.processingFailed(failure)

        request.awaited = found
        found.addCallback(answer).addErrback(refuse)


def _pass_not_found(failure: Failure) -> None:
    failure.trap(NotFound)


def query(request: Request) -> dict[str, str]:
    """Return the parameters of the request's query; of several values the first."""
    return {
        name.decode("utf-8", "replace"): values[0].decode("utf-8", "replace")
        for name, values in request.args.items()
    }


def user_agent(request: Request) -> str:
    """Return what the client calls itself, as far as it is kept."""
    return (request.getHeader(b"User-Agent") or b"")[:MAX_AGENT].decode("latin-1")


def viewer_id(place: str, agent: str) -> str:
    """Name, in logs and hooks, a viewer without a session."""
    return blake2b(f"{place}\n{agent}".encode(), digest_size=8).hexdigest()


def access_request(
    request: Request, key: str, session_id: str, credentials: Mapping[str, str], client: str
) -> AccessRequest:
    """Put into words what a viewer wants."""
    return AccessRequest(
        action="play",
        key=key,
        app="live",
        peer=request.address,
        session_id=session_id,
        credentials=credentials,
        client=client,
    )


def find(
    stream: Stream, path: tuple[str, ...], query: Mapping[str, Sequence[str]] = NO_QUERY
) -> Representation | Deferred[Representation]:
    """Ask the stream's HTTP outputs in turn for a file.

    Raises:
        NotFound: none of them has it. NotPackaged where one of them cannot have it.
        NotReady: the one that will have it does not have it yet.
        InvalidRequest: the query asks for what cannot be.
    """
    first = NotFound("no such file in this stream")
    for number, output in enumerate(stream.http_outputs):
        try:
            return output.representation(path, query)
        except NotPackaged:
            raise
        except NotFound as reason:
            first = first if number else reason
    raise first


def not_found(request: Request, path: tuple[str, ...], reason: NotFound | None = None) -> bytes:
    """Answer 404 in the words of the contract, or in plain ones where a reason has them."""
    name = path[-1] if path else ""
    if reason is not None and (isinstance(reason, NotPackaged) or path == THUMBNAIL):
        words = str(reason)
    elif name.endswith(".m3u8"):
        words = "playlist not available"
    elif name.endswith(".mpd"):
        words = "manifest not available"
    elif name.startswith("init"):
        words = "init segment not available"
    else:
        words = "segment not found"
    return error_body(request, http.NOT_FOUND, words)


def not_ready(request: Request, description: str, retry_after: int) -> bytes:
    """Answer 503: worth asking again in `retry_after` seconds."""
    extra = {b"Retry-After": b"%d" % retry_after}
    return error_body(request, http.SERVICE_UNAVAILABLE, description, extra)


def denied(request: Request, denial: AccessDenied) -> bytes:
    """Answer somebody who may not watch."""
    code = REFUSALS[denial.refusal]
    if code == http.SERVICE_UNAVAILABLE:
        return not_ready(request, denial.description, RETRY_AFTER)
    return error_body(request, code, denial.description)
