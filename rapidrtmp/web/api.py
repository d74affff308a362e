"""``/api``: the management API (Klein). Importing Klein installs the reactor."""

# Twisted's request methods carry no annotations yet.
# mypy: allow-untyped-calls

from klein import Klein
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from rapidrtmp.auth.tokens import TokenStore, TooManyTokens
from rapidrtmp.stream.manager import StreamManager
from rapidrtmp.web.access import refusal
from rapidrtmp.web.description import describe, is_live, timestamp
from rapidrtmp.web.json_request import BadRequest, decode_object, expires_in, stream_key
from rapidrtmp.web.request import Request
from rapidrtmp.web.responses import error_body, json_body, not_allowed, open_read

JSON_TYPE = b"application/json"

NO_ROUTE = "there is nothing at this address"


class APIError(Exception):
    """What an API call is answered with instead of its result."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description


class API:
    """The routes of the API. Who may call them is settled before, by APIResource."""

    app = Klein()
    # A redirect could be led to another host, and clients of an API lose their body by it.
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    _log = Logger()

    def __init__(
        self, manager: StreamManager, tokens: TokenStore, clock: IReactorTime, ingest_address: str
    ) -> None:
        """Make the API.

        Args:
            manager: has the streams.
            tokens: issues publish tokens.
            clock: gives unix time.
            ingest_address: the RTMP URL that encoders are told, without an app.
        """
        self._manager = manager
        self._tokens = tokens
        self._clock = clock
        self._server = ingest_address.rstrip("/") + "/live"

    @app.route("/ping", methods=["GET"])
    def ping(self, request: Request) -> bytes:
        """Tell that the API answers, and the server's time."""
        return json_body(request, {"message": "pong", "time": int(self._clock.seconds())})

    @app.route("/v1/publish", methods=["POST"])
    async def publish(self, request: Request) -> bytes:
        """Issue a publish token for a stream key."""
        # Asked for as bytes: as text, Twisted takes it for UTF-8 and raises when it is not.
        content_type = request.getHeader(b"Content-Type") or JSON_TYPE
        if content_type.partition(b";")[0].strip().lower() != JSON_TYPE:
            raise APIError(
                http.UNSUPPORTED_MEDIA_TYPE,
                "send JSON with the header Content-Type: application/json "
                "(curl: -H 'Content-Type: application/json')",
            )
        fields = decode_object(request.content.read())
        key, seconds = stream_key(fields), expires_in(fields)
        try:
            token = await self._tokens.issue(key, seconds)
        except TooManyTokens as error:
            raise APIError(http.SERVICE_UNAVAILABLE, str(error)) from error
        except OSError as error:
            self._log.error("no publish token could be stored: {error}", error=error)
            raise APIError(http.INTERNAL_SERVER_ERROR, "failed to generate token") from error
        name = f"{key}?token={token.value}"
        answer = {
            "publishUrl": f"{self._server}/{name}",
            "streamKey": key,
            "token": token.value,
            "expiresAt": timestamp(token.expires_at),
            "obs": {"server": self._server, "streamKey": name},
            "playlistPath": f"/live/{key}/index.m3u8",
            "playerPath": f"/player/{key}",
        }
        return json_body(request, answer)

    @app.route("/v1/streams", methods=["GET"])
    def streams(self, request: Request) -> bytes:
        """List the live streams by their keys."""
        now = self._clock.seconds()
        live = sorted(filter(is_live, self._manager.streams()), key=lambda stream: stream.key)
        value = {"streams": [describe(stream, now) for stream in live], "total": len(live)}
        return json_body(request, value)

    @app.route("/v1/streams/<key>", methods=["GET"])
    def stream(self, request: Request, key: str) -> bytes:
        """Tell of one stream, in any state."""
        found = self._manager.get(key)
        if found is None:
            raise APIError(http.NOT_FOUND, "stream not found")
        return json_body(request, describe(found, self._clock.seconds()))

    @app.route("/v1/streams/<key>/stop", methods=["POST"])
    async def stop(self, request: Request, key: str) -> bytes:
        """End a stream and disconnect its encoder."""
        try:
            await self._manager.stop(key)
        except KeyError:
            raise APIError(http.NOT_FOUND, f"stream {key} not found") from None
        return json_body(request, {"message": "stream stopped", "streamKey": key})

    # Klein's handlers take any IRequest; ours get a Request, always.
    @app.handle_errors(APIError, BadRequest, HTTPException)  # type: ignore[arg-type]
    def refuse(self, request: Request, failure: Failure) -> bytes:
        """Answer what a route refused, or what no route is there for."""
        error = failure.value
        if isinstance(error, APIError):
            return error_body(request, error.code, error.description)
        if isinstance(error, BadRequest):
            return error_body(request, http.BAD_REQUEST, str(error))
        assert isinstance(error, HTTPException)
        return _no_route(request, error)


class APIResource(Resource):
    """Lets requests in to the API: anybody to ``ping``, this machine alone to all else."""

    isLeaf = True

    def __init__(self, api: API) -> None:
        super().__init__()
        self._routes = api.app.resource()

    def render(self, request: Request) -> bytes | int:
        """Answer one request below ``/api``."""
        path = request.postpath
        if path in ([b"ping"], [b"ping", b""]):
            answer = open_read(request)
            if answer is not None:
                return answer
        else:
            headers = list(request.requestHeaders.getAllRawHeaders())
            why = refusal(request.address, request.local_address, headers)
            if why is not None:
                return error_body(request, http.FORBIDDEN, why)
        if b"" in path[:-1]:  # werkzeug would overlook it
            return error_body(request, http.NOT_FOUND, NO_ROUTE)
        try:
            # Klein answers none of these itself
            b"/".join(path).decode("utf-8")
            (request.method + (request.getHeader(b"Host") or b"")).decode("ascii")
            self._routes.render(request)
            return NOT_DONE_YET
        except UnicodeDecodeError:
            return error_body(request, http.BAD_REQUEST, "the request is not UTF-8")
        except HTTPException as error:  # a Host header that cannot be one
            return _no_route(request, error)


def _no_route(request: Request, error: HTTPException) -> bytes:
    if isinstance(error, MethodNotAllowed):
        return not_allowed(request, ", ".join(sorted(error.valid_methods or ())).encode("ascii"))
    if error.code == http.BAD_REQUEST:
        return error_body(request, http.BAD_REQUEST, "the HTTP request is malformed")
    return error_body(request, http.NOT_FOUND, NO_ROUTE)
