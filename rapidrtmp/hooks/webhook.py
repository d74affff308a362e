"""Hooks over HTTP: a POST with a JSON body for each call, signed."""

# Twisted's HTTP client carries no annotations yet.
# mypy: allow-untyped-calls

import hashlib
import hmac
import json
from collections.abc import Collection, Mapping
from http.cookiejar import DefaultCookiePolicy
from secrets import token_bytes, token_hex
from typing import Any
from urllib.parse import urlsplit

from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseNeverReceived,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from rapidrtmp import __version__
from rapidrtmp.hooks.caller import METHODS, HookFailed
from rapidrtmp.interfaces import AccessDenied, AccessRequest, Refusal
from rapidrtmp.steady_clock import wall_clock
from rapidrtmp.stream.events import StreamEvent

MAX_CALLS = 64
"""Questions to one URL at a time: a crowd of viewers waits here, not at the hook server."""
MAX_IDLE_CONNECTIONS = 8
MAX_BODY = 64 * 1024
"""Bytes of an answer: all that is looked for is a short text."""
MAX_REASON = 200
"""Characters that are shown to the person at the encoder."""
MAX_WORDS = 200
"""Characters of an error for the log: some quote what was received."""
CREDENTIALS = frozenset(("token", "pass", "password", "signature"))
"""Query parameters that no hook server needs to see."""


class WebHook:
    """One URL, for one or more of the methods of `IHook`. The others are None."""

    def __init__(
        self,
        url: str,
        methods: Collection[str],
        secret: str,
        client: HTTPClient,
        clock: Any,
        pool: HTTPConnectionPool | None = None,
    ) -> None:
        """Send nothing yet.

        Args:
            url: http or https.
            methods: what is sent there, of `METHODS`.
            secret: signs each request; '' for none.
            client: sends.
            clock: the reactor; tells unix time.
            pool: the client's connections, to be closed.
        """
        self._url = url
        self._secret = secret.encode()
        self._client = client
        self._clock = clock
        self._wall = wall_clock(clock)
        self._pool = pool
        self._calls = DeferredSemaphore(MAX_CALLS)
        self._salt = token_bytes(16)
        self.on_publish = self._ask if "on_publish" in methods else None
        self.on_play = self._ask if "on_play" in methods else None
        self.on_unpublish = self._tell if "on_unpublish" in methods else None
        self.on_segment = self._tell if "on_segment" in methods else None

    def __str__(self) -> str:
        # Path and query may be secrets.
        parts = urlsplit(self._url)
        return f"webhook {parts.scheme}://{parts.netloc}"

    def close(self) -> Deferred[None] | None:
        """Give up the connections."""
        return None if self._pool is None else self._pool.closeCachedConnections()

    async def _ask(self, request: AccessRequest) -> None:
        """Ask whether a request is allowed: one that is not raises AccessDenied."""
        value = {
            "event": request.action,
            "id": token_hex(16),
            "time": round(self._clock.seconds(), 3),
            "streamKey": request.key,
            "app": request.app,
            "peer": request.peer,
            "sessionId": request.session_id,
            "client": request.client,
            "query": {
                name: text
                for name, text in request.credentials.items()
                if name.lower() not in CREDENTIALS
            },
        }
        async with self._calls:
            status, answer = await self._post(value)
        if 200 <= status < 300:
            return
        words = _reason(answer) or f"not allowed to {request.action}"
        raise AccessDenied(Refusal.DENIED, words, "hook")

    async def _tell(self, event: StreamEvent) -> None:
        """Tell what happened. Each try has the same id."""
        value = event.as_json()
        unique = repr(event).encode("utf-8", "backslashreplace")
        value["id"] = hashlib.blake2b(unique, digest_size=16, key=self._salt).hexdigest()
        status, _ = await self._post(value)
        if status >= 300:
            raise HookFailed(f"it answered {status}", retry_after=None)

    async def _post(self, value: Mapping[str, Any]) -> tuple[int, bytes]:
        """Send one request.

        Returns:
            Status and body, of an answer that is one: 2xx, or 4xx other than 408 and 429.

        Raises:
            HookFailed: there is no answer.
        """
        body = json.dumps(value, separators=(",", ":")).encode()
        headers = Headers(
            {
                "Content-Type": ["application/json"],
                "User-Agent": [f"RapidRTMP/{__version__}"],
                "X-RapidRTMP-Event": [value["event"]],
                "X-RapidRTMP-Delivery": [value["id"]],
            }
        )
        if self._secret:
            now = int(self._wall.seconds())
            signature = f"t={now},v1={sign(self._secret, now, body)}"
            headers.setRawHeaders("X-RapidRTMP-Signature", [signature])
        response, answer = await self._exchange(body, headers)
        status: int = response.code
        if 200 <= status < 300 or (400 <= status < 500 and status not in (408, 429)):
            return status, answer
        # Where a redirect points to was not chosen by the operator; it is a wrong setting.
        retry_after = _retry_after(response) if status >= 400 else None
        raise HookFailed(f"it answered {status}", retry_after)

    async def _exchange(self, body: bytes, headers: Headers) -> tuple[IResponse, bytes]:
        try:
            try:
                response = await self._send(body, headers)
            except (ResponseNeverReceived, RequestTransmissionFailed) as error:
                _raise_cancelled(error)
                # The server may have closed an idle connection in this very moment.
                response = await self._send(body, headers)
            return response, await _read(response)
        except Exception as error:
            # Whatever went wrong between here and there, there is no answer.
            _raise_cancelled(error)
            raise HookFailed(_words(error)) from error

    async def _send(self, body: bytes, headers: Headers) -> IResponse:
        return await self._client.post(
            self._url,
            data=body,
            headers=headers,
            allow_redirects=False,
            unbuffered=True,
            reactor=self._clock,
        )


def make_webhooks(urls: Mapping[str, str], secret: str, reactor: Any) -> list[WebHook]:
    """Make the hooks of a server, one for each URL.

    Args:
        urls: where to send what, by the methods of `IHook`. An empty URL is none.
        secret: signs each request; '' for none.
        reactor: the real one.

    Raises:
        ValueError: an URL is not http or https, names no host, or names a user.
    """
    methods: dict[str, list[str]] = {}
    for method in METHODS:
        if url := urls.get(method):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
                raise ValueError(f"the URL of {method} must be http(s)://host..., without a user")
            methods.setdefault(url, []).append(method)
    hooks = []
    for url, named in methods.items():
        pool = HTTPConnectionPool(reactor)
        pool.maxPersistentPerHost = MAX_IDLE_CONNECTIONS
        client = make_client(Agent(reactor, pool=pool))
        hooks.append(WebHook(url, named, secret, client, reactor, pool))
    return hooks


def make_client(agent: IAgent) -> HTTPClient:
    """Make a client that keeps no cookies: no call depends on the one before."""
    return HTTPClient(agent, IndexableCookieJar(DefaultCookiePolicy(allowed_domains=[])))


def sign(secret: bytes, time: int, body: bytes) -> str:
    """Return the signature of a request: HMAC-SHA256 in hexadecimal digits.

    Args:
        secret: shared with the receiver.
        time: unix time at which it is sent, so that it cannot be replayed for ever.
        body: the request's.
    """
    return hmac.new(secret, b"%d.%b" % (time, body), hashlib.sha256).hexdigest()


class _Body(Protocol):
    """Takes a body up to `MAX_BODY`; what is longer is cut, and the connection with it."""

    def __init__(self) -> None:
        self.done: Deferred[bytes] = Deferred(self._stop)
        self._received = bytearray()

    def dataReceived(self, data: bytes) -> None:
        self._received += data[: MAX_BODY - len(self._received)]
        if len(self._received) == MAX_BODY and not self.done.called:
            self._stop()
            self.done.callback(bytes(self._received))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(bytes(self._received))
        else:
            self.done.errback(reason)

    def _stop(self, _: object = None) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


def _read(response: IResponse) -> Deferred[bytes]:
    body = _Body()
    response.deliverBody(body)
    return body.done


def _causes(error: Exception) -> list[BaseException]:
    """Return what is wrapped in an error of Twisted's HTTP client, or else the error."""
    return [failure.value for failure in getattr(error, "reasons", ())] or [error]


def _raise_cancelled(error: Exception) -> None:
    """Tell a call that was given up from one that failed."""
    if any(isinstance(e, (CancelledError, ConnectingCancelledError)) for e in _causes(error)):
        raise CancelledError from error


def _words(error: Exception) -> str:
    cause = _causes(error)[0]
    return f"{type(cause).__name__}: {cause}"[:MAX_WORDS]


def _reason(answer: bytes) -> str:
    """Find the words of a refusal; '' when there are none fit to be shown."""
    try:
        match json.loads(answer):
            case {"reason": str(reason)} if len(reason) <= MAX_REASON and reason.isprintable():
                return reason.strip()
    except (ValueError, RecursionError):
        pass
    return ""


def _retry_after(response: IResponse) -> float:
    """Return what Retry-After asks for in seconds (RFC 9110 10.2.3); a date is not understood."""
    (value,) = response.headers.getRawHeaders("Retry-After", [""])[:1]
    return float(value) if value.isascii() and value.isdigit() and len(value) < 10 else 0.0
