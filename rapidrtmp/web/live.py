"""``/live/<key>/...``: playlists and media for viewers. The hot path, so not under Klein."""

# Twisted's request methods carry no annotations yet.
# mypy: allow-untyped-calls

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from rapidrtmp.interfaces import NotFound, NotReady, Representation
from rapidrtmp.media.key import is_stream_key
from rapidrtmp.stream.manager import StreamManager
from rapidrtmp.stream.stream import Stream
from rapidrtmp.web.representation import respond
from rapidrtmp.web.request import Request
from rapidrtmp.web.responses import error_body, open_read

VIEWER_RETRY_AFTER = 10
"""Seconds after which somebody over the viewer limit may try again."""

MAX_AGENT = 256
"""Bytes of a User-Agent that tell viewers apart: what is kept of each is bounded. Browsers'
have under 200."""

NOT_LIVE = "stream not found or not live"


class LiveResource(Resource):
    """Finds what hangs on a stream by its HTTP outputs, and sends it to any origin."""

    isLeaf = True

    def __init__(self, manager: StreamManager, clock: IReactorTime) -> None:
        super().__init__()
        self._manager = manager
        self._clock = clock

    def render(self, request: Request) -> bytes | int:
        """Answer one request below ``/live``."""
        answer = open_read(request)
        if answer is not None:
            return answer
        try:
            key, *path = [part.decode("ascii") for part in request.postpath]
        except ValueError:  # no key at all, or one that is not ASCII
            return error_body(request, http.NOT_FOUND, NOT_LIVE)
        stream = self._manager.get(key) if is_stream_key(key) else None
        if stream is None:
            return error_body(request, http.NOT_FOUND, NOT_LIVE)
        if path and path[-1].endswith(".m3u8") and not self._admit(stream, request):
            return not_ready(request, "viewer limit reached", VIEWER_RETRY_AFTER)
        try:
            found = find(stream, tuple(path))
        except NotFound:
            return not_found(request, path)
        except NotReady as reason:
            return not_ready(request, reason.description, reason.retry_after)
        if isinstance(found, Representation):
            return respond(request, found, self._clock)
        self._wait(request, path, found)
        return NOT_DONE_YET

    def _admit(self, stream: Stream, request: Request) -> bool:
        agent = request.getHeader(b"User-Agent") or b""
        return stream.admit_viewer(request.address, agent[:MAX_AGENT].decode("latin-1"))

    def _wait(self, request: Request, path: list[str], found: Deferred[Representation]) -> None:
        """Answer when the representation is there, unless the viewer leaves before."""

        def answer(representation: Representation) -> None:
            body = respond(request, representation, self._clock)
            if isinstance(body, bytes):
                request.end(body)

        def refuse(failure: Failure) -> None:
            if failure.check(NotFound):
                request.end(not_found(request, path))
            elif isinstance(reason := failure.value, NotReady):
                request.end(not_ready(request, reason.description, reason.retry_after))
            elif not (failure.check(CancelledError) and request.is_gone):
                request.processingFailed(failure)

        request.notifyFinish().addErrback(lambda _: found.cancel())
        found.addCallback(answer).addErrback(refuse)


def find(stream: Stream, path: tuple[str, ...]) -> Representation | Deferred[Representation]:
    """Ask the stream's HTTP outputs in turn for a file.

    Raises:
        NotFound: none of them has it.
        NotReady: the one that will have it does not have it yet.
    """
    for output in stream.http_outputs:
        try:
            return output.representation(path)
        except NotFound:
            continue
    raise NotFound("/".join(path))


def not_found(request: Request, path: list[str]) -> bytes:
    """Answer 404 in the words of the contract."""
    name = path[-1] if path else ""
    if name.endswith(".m3u8"):
        words = "playlist not available"
    elif name.startswith("init"):
        words = "init segment not available"
    else:
        words = "segment not found"
    return error_body(request, http.NOT_FOUND, words)


def not_ready(request: Request, description: str, retry_after: int) -> bytes:
    """Answer 503: worth asking again in `retry_after` seconds."""
    extra = {b"Retry-After": b"%d" % retry_after}
    return error_body(request, http.SERVICE_UNAVAILABLE, description, extra)
