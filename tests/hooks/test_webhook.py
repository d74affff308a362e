"""Tests of rapidrtmp.hooks.webhook."""

import hashlib
import hmac
import json
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from treq.client import HTTPClient
from treq.testing import RequestTraversalAgent, StringStubbingResource, StubTreq
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone, ResponseFailed, ResponseNeverReceived
from twisted.web.resource import Resource
from twisted.web.server import Request

from rapidrtmp import __version__
from rapidrtmp.hooks.caller import METHODS, HookFailed
from rapidrtmp.hooks.hooks import UNAVAILABLE, Hooks
from rapidrtmp.hooks.webhook import MAX_BODY, MAX_CALLS, WebHook, _Body, make_client, make_webhooks
from rapidrtmp.interfaces import AccessDenied, Refusal
from rapidrtmp.stream.events import StreamEvent
from tests.hooks.fakes import NOW, event, request

URL = "http://hooks.example/rapidrtmp?key=hidden"
SECRET = "s3cret"


class HookServer:
    """What the hook server was sent, and what it answers."""

    def __init__(self) -> None:
        self.headers: list[dict[bytes, list[bytes]]] = []
        self.bodies: list[bytes] = []
        self.methods: set[tuple[bytes, str]] = set()
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, b"")
        self.client = cast(HTTPClient, StubTreq(StringStubbingResource(self._respond)))

    def _respond(
        self,
        method: bytes,
        url: str,
        params: object,
        headers: dict[bytes, list[bytes]],
        data: bytes,
    ) -> tuple[int, dict[str, str], bytes]:
        self.methods.add((method, url))
        self.headers.append(headers)
        self.bodies.append(data)
        return self.answer

    def header(self, name: bytes) -> bytes:
        """Give a header of the last request."""
        (value,) = self.headers[-1][name]
        return value

    @property
    def values(self) -> list[Any]:
        """All bodies' values."""
        return [json.loads(body) for body in self.bodies]


class FakeClient:
    """An HTTP client that answers as it was told: with a failure, or not yet."""

    def __init__(self, *answers: Deferred[Any]) -> None:
        self.answers = list(answers)
        self.sent: list[bytes] = []

    def post(self, url: str, data: bytes, **_: object) -> Deferred[Any]:
        """Answer."""
        self.sent.append(data)
        return self.answers.pop(0)


def never_received(error: Exception) -> Deferred[Any]:
    """Make what Twisted gives when a connection ended before an answer."""
    return fail(ResponseNeverReceived([Failure(error)]))


def cancelled_with(error: Exception) -> Deferred[Any]:
    """Make what waits for ever, and ends with an error when it is cancelled."""
    return Deferred(lambda waiting: waiting.errback(error))


class WebHookCase(SynchronousTestCase):
    def setUp(self) -> None:
        """Start a hook server."""
        self.clock = Clock()
        self.clock.advance(NOW)
        self.server = HookServer()
        self.hook = self.make(self.server.client)

    def make(self, client: object, secret: str = SECRET) -> WebHook:
        """Make a hook for everything."""
        return WebHook(URL, METHODS, secret, cast(HTTPClient, client), self.clock)

    def ask(self, hook: WebHook, **credentials: str) -> Deferred[None]:
        """Ask whether somebody may publish."""
        assert hook.on_publish is not None
        return Deferred.fromCoroutine(hook.on_publish(request(credentials=credentials)))

    def tell(self, hook: WebHook, told: StreamEvent) -> Deferred[None]:
        """Tell of a segment."""
        assert hook.on_segment is not None
        return Deferred.fromCoroutine(hook.on_segment(told))

    def answered(self, status: int, body: bytes = b"", **headers: str) -> Deferred[None]:
        """Ask a server that answers this."""
        self.server.answer = status, {k.replace("_", "-"): v for k, v in headers.items()}, body
        return self.ask(self.hook)

    def refused(self, status: int, body: bytes = b"") -> str:
        """The answer is a refusal: give its words."""
        error = self.failureResultOf(self.answered(status, body), AccessDenied).value
        assert isinstance(error, AccessDenied)
        self.assertIs(error.refusal, Refusal.DENIED)
        return error.description


class RequestTests(WebHookCase):
    def test_question(self) -> None:
        """All that is known of the request is sent, but no credential."""
        self.successResultOf(
            self.ask(
                self.hook, token="a", Pass="b", password="c", SIGNATURE="d", user="e", x="é\ud800"
            )
        )
        (value,) = self.server.values
        self.assertRegex(value.pop("id"), "^[0-9a-f]{32}$")
        self.assertEqual(
            value,
            {
                "event": "publish",
                "time": NOW,
                "streamKey": "show",
                "app": "live",
                "peer": "192.0.2.1",
                "sessionId": "s-1",
                "client": "Encoder/1.0",
                "query": {"user": "e", "x": "é\ud800"},
            },
        )
        self.assertEqual(self.server.methods, {(b"POST", "http://hooks.example/rapidrtmp")})

    def test_play(self) -> None:
        """A play has its own event name."""
        assert self.hook.on_play is not None
        self.successResultOf(Deferred.fromCoroutine(self.hook.on_play(request("play"))))
        self.assertEqual(self.server.values[0]["event"], "play")
        self.assertEqual(self.server.header(b"X-Rapidrtmp-Event"), b"play")

    def test_event(self) -> None:
        """An event is sent as it is shown elsewhere."""
        self.successResultOf(self.tell(self.hook, event(7)))
        (value,) = self.server.values
        delivery = value.pop("id")
        self.assertEqual(value, event(7).as_json())
        self.assertEqual(self.server.header(b"X-Rapidrtmp-Delivery").decode(), delivery)

    def test_headers(self) -> None:
        """It is JSON, says who sends it, and is signed together with the time."""
        self.clock.advance(0.7)
        self.successResultOf(self.ask(self.hook))
        self.assertEqual(self.server.header(b"Content-Type"), b"application/json")
        self.assertEqual(self.server.header(b"User-Agent").decode(), f"RapidRTMP/{__version__}")
        signed = b"1800000000." + self.server.bodies[0]
        digest = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        signature = self.server.header(b"X-Rapidrtmp-Signature").decode()
        self.assertEqual(signature, f"t=1800000000,v1={digest}")

    def test_unsigned(self) -> None:
        """Without a secret there is no signature."""
        self.successResultOf(self.ask(self.make(self.server.client, "")))
        self.assertNotIn(b"X-Rapidrtmp-Signature", self.server.headers[0])

    def test_ids(self) -> None:
        """Each question and each event has its own id; another try of an event has the same."""
        for _ in range(2):
            self.successResultOf(self.ask(self.hook))
        for told in (event(1), event(2), event(1), event(1, key="other")):
            self.successResultOf(self.tell(self.hook, told))
        ids = [value["id"] for value in self.server.values]
        self.assertEqual(ids[2], ids[4])
        self.assertEqual(len(set(ids)), 5)

    def test_methods(self) -> None:
        """A hook is asked only what its URL was given for."""
        hook = WebHook(URL, ["on_play"], "", self.server.client, self.clock)
        self.assertEqual([name for name in METHODS if getattr(hook, name)], ["on_play"])
        hooks = Hooks([hook], self.clock, 5.0)
        self.successResultOf(hooks.authorize(request()))
        hooks.heard(event())
        self.clock.advance(0)
        self.assertEqual(self.server.bodies, [])


class AnswerTests(WebHookCase):
    def test_allowed(self) -> None:
        """Any 2xx allows, whatever its body."""
        for status, body in ((200, b""), (204, b""), (299, b'{"reason": "x"}'), (200, b"\xff{")):
            self.successResultOf(self.answered(status, body))

    def test_refused(self) -> None:
        """A 4xx refuses, with the reason of its body."""
        for status in (400, 401, 403, 404, 422):
            self.assertEqual(
                self.refused(status, '{"reason": "Zürich only "}'.encode()), "Zürich only"
            )

    def test_no_reason(self) -> None:
        """A body that holds no short, printable reason is not shown."""
        bodies = (
            b"",
            b"<html>",
            b"\xff",
            b"[" * 100_000,
            b'"no"',
            b'{"reason": 5}',
            b'{"reason": "a\\nb"}',
            b'{"reason": "\\u001b[2J"}',
            json.dumps({"reason": "x" * 201}).encode(),
            json.dumps({"reason": "x", "pad": "y" * MAX_BODY}).encode(),
        )
        for body in bodies:
            self.assertEqual(self.refused(403, body), "not allowed to publish", body[:50])

    @given(st.binary(max_size=50))
    @settings(max_examples=50, deadline=None)
    def test_any_body(self, body: bytes) -> None:
        """No body of a refusal is more than a refusal."""
        self.assertTrue(self.refused(403, body))

    def test_no_answer(self) -> None:
        """Errors of the server, redirects and 'try again' are no answers to a question."""
        for status in (302, 307, 408, 429, 500, 503):
            self.failureResultOf(
                self.answered(status, Location="http://other.example/"), HookFailed
            )
        self.assertEqual(len(self.server.methods), 1, "a redirect was followed")

    def test_notification(self) -> None:
        """Which answers to an event are worth another try, and when."""
        cases = [
            (302, "", None),
            (400, "", None),
            (404, "9", None),
            (408, "", 0.0),
            (429, "30", 30.0),
            (500, "", 0.0),
            (503, "120", 120.0),
            (503, "-1", 0.0),
            (503, "Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
            (503, "9" * 5000, 0.0),
        ]
        for status, retry_after, expected in cases:
            self.server.answer = status, {"Retry-After": retry_after} if retry_after else {}, b""
            error = self.failureResultOf(self.tell(self.hook, event()), HookFailed).value
            assert isinstance(error, HookFailed)
            self.assertEqual(error.retry_after, expected, (status, retry_after))
            self.assertIn(str(status), str(error))


class FailureTests(WebHookCase):
    def failed(self, client: FakeClient) -> HookFailed:
        """The question gets no answer: give the failure."""
        error = self.failureResultOf(self.ask(self.make(client)), HookFailed).value
        assert isinstance(error, HookFailed)
        return error

    def test_no_connection(self) -> None:
        """A server that is down is told in plain words, without its whole URL."""
        error = self.failed(FakeClient(fail(ConnectionRefusedError())))
        self.assertIn("refused", str(error))
        self.assertNotIn("hidden", str(error) + str(self.hook))
        self.assertEqual(str(self.hook), "webhook http://hooks.example")

    def test_long_words(self) -> None:
        """An error that quotes what it was sent is cut for the log."""
        self.assertLessEqual(len(str(self.failed(FakeClient(fail(ValueError("x" * 9999)))))), 200)

    def test_idle_connection(self) -> None:
        """A kept connection that dies under a request is tried once more, with the same id."""
        client = FakeClient(
            never_received(ConnectionDone()), fail(ResponseFailed([Failure(ConnectionLost())]))
        )
        self.assertIn("ConnectionLost", str(self.failed(client)))
        self.assertEqual(len(client.sent), 2)
        self.assertEqual(client.sent[0], client.sent[1])
        client = FakeClient(*(never_received(ConnectionDone()) for _ in range(2)))
        self.failed(client)
        self.assertEqual(len(client.sent), 2)

    def test_given_up(self) -> None:
        """The one who asks may give up at any time: the request ends, and is not repeated."""
        for error in (CancelledError(), ResponseNeverReceived([Failure(CancelledError())])):
            client = FakeClient(cancelled_with(error))
            answer = self.ask(self.make(client))
            self.assertNoResult(answer)
            answer.cancel()
            self.failureResultOf(answer, CancelledError)
            self.assertEqual(len(client.sent), 1)

    def test_late(self) -> None:
        """The deadline of the hooks ends a question, which counts as late, not as failed."""
        error = ResponseNeverReceived([Failure(CancelledError())])
        client = FakeClient(cancelled_with(error))
        hooks = Hooks([self.make(client)], self.clock, 5.0)
        answer = hooks.authorize(request())
        self.clock.advance(5.0)
        denied = self.failureResultOf(answer, AccessDenied).value
        assert isinstance(denied, AccessDenied)
        self.assertEqual(denied.description, UNAVAILABLE)
        self.assertEqual(hooks.calls, {("on_publish", "timeout"): 1})

    def test_crowd(self) -> None:
        """Only so many questions are under way; the others wait, and may be given up."""
        client = FakeClient(*(Deferred[Any]() for _ in range(MAX_CALLS + 2)))
        hook = self.make(client)
        held = list(client.answers)
        answers = [self.ask(hook) for _ in range(MAX_CALLS + 2)]
        self.assertEqual(len(client.sent), MAX_CALLS)
        answers[MAX_CALLS].cancel()
        self.failureResultOf(answers[MAX_CALLS], CancelledError)
        held[0].errback(ConnectionRefusedError())
        self.failureResultOf(answers[0], HookFailed)
        self.assertEqual(len(client.sent), MAX_CALLS + 1)


class BodyTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Begin a body."""
        self.body = _Body()
        self.transport = StringTransport()
        self.body.makeConnection(self.transport)

    def test_whole(self) -> None:
        """All parts come together; the connection is kept."""
        self.body.dataReceived(b"ab")
        self.body.dataReceived(b"c")
        self.assertNoResult(self.body.done)
        self.body.connectionLost(Failure(ResponseDone()))
        self.assertEqual(self.successResultOf(self.body.done), b"abc")
        self.assertFalse(self.transport.disconnecting)

    def test_endless(self) -> None:
        """What is too long is cut: no more is kept, and no more is read."""
        for _ in range(3):
            self.body.dataReceived(bytes(MAX_BODY // 2 + 1))
        self.assertEqual(len(self.successResultOf(self.body.done)), MAX_BODY)
        self.assertTrue(self.transport.disconnecting)
        self.body.connectionLost(Failure(ConnectionLost()))

    def test_cut(self) -> None:
        """A connection that ends in the midst is no answer."""
        self.body.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(self.body.done, ConnectionLost)

    def test_given_up(self) -> None:
        """Who does not wait for it any more ends the connection."""
        self.body.done.cancel()
        self.assertTrue(self.transport.disconnecting)
        self.failureResultOf(self.body.done, CancelledError)
        self.body.connectionLost(Failure(ConnectionLost()))


class MakeTests(SynchronousTestCase):
    def test_one_for_each_url(self) -> None:
        """Methods with the same URL share a hook; an empty URL is none."""
        reactor = MemoryReactorClock()
        other = "https://other.example/"
        hooks = make_webhooks(
            {"on_publish": URL, "on_play": "", "on_unpublish": other, "on_segment": URL},
            "",
            reactor,
        )
        methods = [[name for name in METHODS if getattr(hook, name)] for hook in hooks]
        self.assertEqual(methods, [["on_publish", "on_segment"], ["on_unpublish"]])
        self.assertEqual(make_webhooks({}, "", reactor), [])
        for hook in hooks:
            closed = hook.close()
            assert closed is not None
            self.successResultOf(closed)

    def test_no_cookies(self) -> None:
        """The client sends nothing back that a server would like it to."""
        seen = []

        class Setting(Resource):
            isLeaf = True

            def render_GET(self, request: Request) -> bytes:
                seen.append(request.requestHeaders.hasHeader("Cookie"))
                request.addCookie("a", "b")
                return b""

        client: Any = make_client(RequestTraversalAgent(Setting()))
        for _ in range(2):
            response = self.successResultOf(client.get(URL, reactor=MemoryReactorClock()))
            self.assertEqual(response.code, 200)
        self.assertEqual(seen, [False, False])

    def test_bad_urls(self) -> None:
        """Anything that no request can be sent to is refused, without being shown."""
        for url in (
            "ftp://host/",
            "hooks.example",
            "http://",
            "file:///etc/passwd",
            "http://u:p@h/",
        ):
            with self.assertRaises(ValueError) as caught:
                make_webhooks({"on_play": url}, "", MemoryReactorClock())
            self.assertIn("on_play", str(caught.exception))
            self.assertNotIn(url, str(caught.exception))
