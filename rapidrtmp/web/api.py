"""``/api``: the routes of the management API (Klein). Importing Klein installs the reactor."""

# Twisted's request methods carry no annotations yet.
# mypy: allow-untyped-calls

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import HTTPException, NotFound

from rapidrtmp.auth.api_keys import ADMIN, PUBLISH, READ
from rapidrtmp.auth.playback import PlaybackSigner
from rapidrtmp.auth.tokens import IssuedToken, TokenStore, TooManyTokens
from rapidrtmp.rate_limit import RateLimit
from rapidrtmp.steady_clock import wall_clock
from rapidrtmp.stream.date_ranges import TooManyDateRanges
from rapidrtmp.stream.events import NAMES
from rapidrtmp.stream.manager import StreamManager
from rapidrtmp.stream.stream import Stream
from rapidrtmp.web.access import Access
from rapidrtmp.web.api_errors import APIError, no_route
from rapidrtmp.web.api_pages import open_pages
from rapidrtmp.web.api_request import json_fields, key_parameter
from rapidrtmp.web.description import describe, describe_token, is_live, timestamp
from rapidrtmp.web.events import DEFAULT_NAMES, EventFeed, Filter, TooManyClients
from rapidrtmp.web.json_request import (
    BadRequest,
    expires_in,
    parameter,
    refuse_others,
    stream_key,
)
from rapidrtmp.web.request import Request
from rapidrtmp.web.responses import TOO_MANY_REQUESTS, error_body, json_body, open_read
from rapidrtmp.web.server_status import ServerStatus
from rapidrtmp.web.statistics import describe_statistics
from rapidrtmp.web.timed_metadata import insert

FEED_RETRY_AFTER = 10
"""Seconds after which a client may ask for events again when there is no room."""

MAX_PLAYBACK_EXPIRATION = 366 * 86400
"""Seconds for which a playback URL is good at most: it cannot be taken back on its own."""

_PART = re.compile("<([a-z_]+)>")
_LABELS = {"key": ":streamKey", "token_id": ":id"}
"""What the variable parts of an address are called to people."""

Answer = Callable[..., Any]
"""A method of the API: request and parts of the address in, body out."""


_app = Klein()
# A redirect could be led to another host, and clients of an API lose their body by it.
_app.url_map.strict_slashes = False
_app.url_map.merge_slashes = False


def _route(pattern: str, method: str, *scopes: str) -> Callable[[Answer], Answer]:
    """Register a method of the API for those who may call it.

    Args:
        pattern: its address below ``/api``.
        method: of HTTP; GET brings HEAD.
        scopes: one of which an API key must have.
    """
    label = "/api" + _PART.sub(lambda part: _LABELS[part[1]], pattern)

    def register(answer: Answer) -> Answer:
        @wraps(answer)
        def guarded(self: "API", request: Request, **parts: str) -> Any:
            request.route = label
            self.demand(request, *scopes)
            return answer(self, request, **parts)

        registered: Answer = _app.route(pattern, methods=[method])(guarded)
        return registered

    return register


class API:
    """The routes of the API."""

    app = _app
    _log = Logger()

    def __init__(
        self,
        manager: StreamManager,
        tokens: TokenStore,
        clock: IReactorTime,
        ingest_address: str,
        *,
        access: Access,
        feed: EventFeed,
        status: ServerStatus,
        token_requests: RateLimit,
        signer: PlaybackSigner | None,
        playback_expiration: float,
    ) -> None:
        """Make the API.

        Args:
            manager: has the streams.
            tokens: issues publish tokens.
            clock: gives unix time.
            ingest_address: the RTMP URL that encoders are told, without an app.
            access: tells who may call it.
            feed: sends events.
            status: what there is to know of the server.
            token_requests: limits the publish tokens that an address may ask for.
            signer: signs playback URLs; None when nobody needs a signed one.
            playback_expiration: life in seconds of a playback URL when none is asked for.
        """
        self._manager = manager
        self._tokens = tokens
        self.clock = clock
        self._server = ingest_address.rstrip("/") + "/live"
        self._access = access
        self._feed = feed
        self._status = status
        self._token_requests = token_requests
        self._signer = signer
        self.playback_expiration = playback_expiration
        """May be changed at any time."""

    def demand(self, request: Request, *scopes: str) -> None:
        """Let a request pass, or not. See `Access.guard`.

        Raises:
            APIError: it may not pass.
        """
        refused = self._access.guard(request, *scopes)
        if refused is not None:
            raise APIError(*refused)

    @_app.route("/ping", methods=["GET"])
    def ping(self, request: Request) -> bytes:
        """Tell that the API answers, and the server's time."""
        request.route = "/api/ping"
        return json_body(request, {"message": "pong", "time": int(self.clock.seconds())})

    # Publish tokens.

    @_route("/v1/publish", "POST", PUBLISH)
    async def publish(self, request: Request) -> bytes:
        """Issue a publish token for a stream key."""
        if not self._token_requests.allow(request.address):
            wait = {
                b"Retry-After": b"%d" % (int(self._token_requests.blocked_for(request.address)) + 1)
            }
            raise APIError(TOO_MANY_REQUESTS, "too many token requests from your address", wait)
        fields = json_fields(request)
        key, seconds = stream_key(fields), expires_in(fields)
        try:
            token = await self._tokens.issue(key, seconds)
        except TooManyTokens as error:
            raise APIError(http.SERVICE_UNAVAILABLE, str(error)) from error
        except OSError as error:
            self._log.error("no publish token could be stored: {error}", error=error)
            raise APIError(http.INTERNAL_SERVER_ERROR, "failed to generate token") from error
        self._note(request, key, "publish token issued")
        name = f"{key}?token={token.value}"
        answer = {
            "publishUrl": f"{self._server}/{name}",
            "streamKey": key,
            "token": token.value,
            "expiresAt": timestamp(token.expires_at),
            "obs": {"server": self._server, "streamKey": name},
            **self._playback(key, None),
        }
        return json_body(request, answer)

    @_route("/v1/tokens", "GET", PUBLISH, READ)
    def tokens(self, request: Request) -> bytes:
        """List the valid publish tokens, without their values."""
        found = self._tokens.tokens(key_parameter(request))
        value = {"tokens": [describe_token(token) for token in found], "total": len(found)}
        return json_body(request, value)

    @_route("/v1/tokens", "DELETE", PUBLISH)
    async def revoke_all(self, request: Request) -> bytes:
        """Revoke every token of a stream key."""
        key = key_parameter(request)
        if key is None:
            raise BadRequest("streamKey is required", "streamKey")
        found = self._tokens.tokens(key)
        await self._revoke(request, key, found)
        value = {"message": "tokens revoked", "streamKey": key, "revoked": len(found)}
        return json_body(request, value)

    @_route("/v1/tokens/<token_id>", "GET", PUBLISH, READ)
    def token(self, request: Request, token_id: str) -> bytes:
        """Tell of one token."""
        return json_body(request, describe_token(self._token(token_id)))

    @_route("/v1/tokens/<token_id>", "DELETE", PUBLISH)
    async def revoke(self, request: Request, token_id: str) -> bytes:
        """Revoke one token."""
        found = self._token(token_id)
        await self._revoke(request, found.key, [found])
        value = {"message": "token revoked", "id": found.id, "streamKey": found.key}
        return json_body(request, value)

    def _token(self, token_id: str) -> IssuedToken:
        found = self._tokens.find(token_id)
        if found is None:
            raise APIError(http.NOT_FOUND, "token not found")
        return found

    async def _revoke(self, request: Request, key: str, tokens: list[IssuedToken]) -> None:
        """Make tokens worthless, and send away whoever publishes with one."""
        stored = self._tokens.revoke(tokens)
        for token in tokens:
            self._manager.revoke(key, token.identity)
        self._note(request, key, f"publish tokens revoked ({len(tokens)})")
        try:
            await stored
        except OSError as error:
            self._log.error("a revocation could not be stored: {error}", error=error)
            words = "revoked, but that could not be stored: a restart would bring them back"
            raise APIError(http.INTERNAL_SERVER_ERROR, words) from error

    # Streams.

    @_route("/v1/streams", "GET", READ)
    def streams(self, request: Request) -> bytes:
        """List the live streams by their keys."""
        now = self.clock.seconds()
        live = sorted(filter(is_live, self._manager.streams()), key=lambda stream: stream.key)
        value = {"streams": [describe(stream, now) for stream in live], "total": len(live)}
        return json_body(request, value)

    @_route("/v1/streams/<key>", "GET", READ)
    def stream(self, request: Request, key: str) -> bytes:
        """Tell of one stream, in any state."""
        return json_body(request, describe(self._stream(key), self.clock.seconds()))

    @_route("/v1/streams/<key>/statistics", "GET", READ)
    def statistics(self, request: Request, key: str) -> bytes:
        """Tell of one stream what there is to know."""
        return json_body(request, describe_statistics(self._stream(key), self.clock.seconds()))

    @_route("/v1/streams/<key>/stop", "POST", ADMIN)
    async def stop(self, request: Request, key: str) -> bytes:
        """End a stream and disconnect its encoder."""
        try:
            stopped = self._manager.stop(key)
        except KeyError:
            raise APIError(http.NOT_FOUND, f"stream {key} not found") from None
        self._note(request, key, "stopped")
        await stopped
        return json_body(request, {"message": "stream stopped", "streamKey": key})

    @_route("/v1/streams/<key>/timed-metadata", "POST", PUBLISH)
    def insert_metadata(self, request: Request, key: str) -> bytes:
        """Put timed metadata in at the live edge of a stream."""
        fields = json_fields(request)
        stream = self._stream(key)
        if not stream.is_flowing:
            raise APIError(http.CONFLICT, "nobody publishes the stream: it has no live edge")
        try:
            answer = insert(stream, fields)
        except TooManyDateRanges as error:
            raise APIError(http.SERVICE_UNAVAILABLE, str(error)) from error
        self._note(request, key, f"timed metadata ({answer['kind']}) put in")
        return json_body(request, answer)

    def _stream(self, key: str) -> Stream:
        found = self._manager.get(key)
        if found is None:
            raise APIError(http.NOT_FOUND, "stream not found")
        return found

    # Viewers, events, the server.

    @_route("/v1/playback", "POST", PUBLISH)
    def playback(self, request: Request) -> bytes:
        """Say where a stream is played, by a signed address where it takes one."""
        fields = json_fields(request)
        refuse_others(fields, "streamKey", "expiresIn")
        key = stream_key(fields)
        value = {"streamKey": key, **self._playback(key, expires_in(fields))}
        return json_body(request, value)

    def _playback(self, key: str, seconds: float | None) -> dict[str, Any]:
        """Return the addresses at which a stream is played.

        Args:
            key: the stream key.
            seconds: life of a signed address; None for the default.
        """
        playlist, player = f"/live/{key}/index.m3u8", f"/player/{key}"
        if self._signer is None:
            return {"playlistPath": playlist, "playerPath": player}
        life = min(seconds or self.playback_expiration, MAX_PLAYBACK_EXPIRATION)
        expires = int(wall_clock(self.clock).seconds() + life)
        query = self._signer.query(key, expires)
        return {
            "playlistPath": f"{playlist}?{query}",
            "playerPath": f"{player}?{query}",
            "playbackExpiresAt": timestamp(expires),
        }

    @_route("/v1/events", "GET", READ)
    def events(self, request: Request) -> Deferred[bytes]:
        """Send what happens to streams as it happens."""
        names = parameter(request.args, "events")
        wanted = DEFAULT_NAMES if names is None else frozenset(names.split(","))
        if not wanted <= frozenset(NAMES):
            raise BadRequest(f"events must be some of {','.join(NAMES)}", "events")
        last_id = request.getHeader(b"Last-Event-ID")
        try:
            return self._feed.listen(
                request,
                Filter(wanted, key_parameter(request)),
                None if last_id is None else last_id.decode("latin-1"),
            )
        except TooManyClients as error:
            wait = {b"Retry-After": b"%d" % FEED_RETRY_AFTER}
            raise APIError(http.SERVICE_UNAVAILABLE, str(error), wait) from error

    @_route("/v1/server", "GET", READ)
    def server(self, request: Request) -> bytes:
        """Tell of the server itself."""
        now = self.clock.seconds()
        return json_body(request, self._status.describe(self._manager, self._tokens, now))

    # What goes wrong.

    # Klein's handlers take any IRequest; ours get a Request, always.
    @_app.handle_errors(APIError, BadRequest, HTTPException)  # type: ignore[arg-type]
    def refuse(self, request: Request, failure: Failure) -> bytes:
        """Answer what a route refused, or what no route is there for."""
        return self.answer_error(request, failure.value)

    def answer_error(self, request: Request, error: BaseException | None) -> bytes:
        """Answer an APIError, a BadRequest, or what werkzeug raises where no route is."""
        if isinstance(error, HTTPException):
            # Who may not call the API does not learn either what is there.
            refused = None if error.code == http.BAD_REQUEST else self._access.guard(request)
            error = no_route(error) if refused is None else APIError(*refused)
        if isinstance(error, BadRequest):
            return error_body(request, http.BAD_REQUEST, str(error), field=error.field)
        assert isinstance(error, APIError)
        return error_body(request, error.code, error.description, error.headers)

    def _note(self, request: Request, key: str, what: str) -> None:
        """Log who changed what."""
        caller = self._access.caller(request)
        self._log.info("stream {key}: {what} by {caller}", key=key, what=what, caller=caller)


class APIResource(Resource):
    """The door to the API: what is open to everybody, and what Klein does not do right itself."""

    isLeaf = True

    def __init__(self, api: API) -> None:
        super().__init__()
        self._api = api
        self._routes = api.app.resource()
        self._open = open_pages(api.clock)

    def render(self, request: Request) -> bytes | int:
        """Answer one request below ``/api``."""
        path = request.postpath
        if path in ([b"ping"], [b"ping", b""]):
            answer = open_read(request)
            if answer is not None:
                return answer
        elif len(path) == 1 and path[0] in self._open:
            return self._open[path[0]].render(request)
        try:
            # Klein answers none of these itself
            b"/".join(path).decode("utf-8")
            (request.method + (request.getHeader(b"Host") or b"")).decode("ascii")
            if b"" in path[:-1]:  # werkzeug would overlook it
                raise NotFound
            self._routes.render(request)
            return NOT_DONE_YET
        except UnicodeDecodeError:
            return error_body(request, http.BAD_REQUEST, "the request is not UTF-8")
        except HTTPException as error:  # also a Host header that cannot be one
            return self._api.answer_error(request, error)
