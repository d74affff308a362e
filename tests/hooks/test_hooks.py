"""Tests of rapidrtmp.hooks.hooks, and of the caller and the notifications below it."""

from random import Random

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock, deferLater
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from rapidrtmp.hooks.caller import RECOVERED, HookFailed
from rapidrtmp.hooks.hooks import UNAVAILABLE, HookedAuthenticator, Hooks
from rapidrtmp.hooks.notifications import Notifications
from rapidrtmp.interfaces import AccessDenied, AccessRequest, Grant, IAuthenticator, Refusal
from rapidrtmp.stream.events import Events
from tests.hooks.fakes import FakeHook, event, request

TIMEOUT = 5.0
PATIENCE = 3.0
NAME = "on_segment"


class HooksCase(SynchronousTestCase):
    def setUp(self) -> None:
        """Make hooks of one fake, and look at the log."""
        self.clock = Clock()
        self.hook = FakeHook()
        self.hooks = self.make(self.hook)
        self._captured = self.enterContext(capturedLogs())

    def make(self, *hooks: object) -> Hooks:
        """Make Hooks."""
        return Hooks(hooks, self.clock, TIMEOUT, Random(1))

    @property
    def logged(self) -> list[str]:
        """What the hooks have logged."""
        own = [e for e in self._captured if e["log_namespace"].startswith("rapidrtmp.hooks")]
        return [formatEvent(event) for event in own]

    def denied(self, answer: Deferred[None]) -> AccessDenied:
        """The request was refused: give the refusal."""
        error = self.failureResultOf(answer, AccessDenied).value
        assert isinstance(error, AccessDenied)
        return error

    def tell(self, *numbers: int, key: str = "show") -> None:
        """Tell the hooks of segments, and give them the time to hear it."""
        for number in numbers:
            self.hooks.heard(event(number, key=key))
        self.clock.advance(0)


class AuthorizeTests(HooksCase):
    def test_allowed(self) -> None:
        """Any answer but False allows: a value, a Deferred's or a coroutine's."""

        async def slowly() -> str:
            return await deferLater(self.clock, 1.0, lambda: "fine")

        self.hook.answers = [None, True, 0, "", succeed(None), slowly()]
        for _ in range(5):
            self.assertIsNone(self.successResultOf(self.hooks.authorize(request())))
        answer = self.hooks.authorize(request())
        self.assertNoResult(answer)
        self.clock.advance(1.0)
        self.assertIsNone(self.successResultOf(answer))
        self.assertEqual(self.hooks.calls, {("on_publish", "ok"): 6})
        self.assertEqual(self.hook.requests, [request()] * 6)

    def test_refused(self) -> None:
        """A hook's own words and reason are passed on; False has none."""
        denial = AccessDenied(Refusal.REJECTED, "not on Sundays")
        self.hook.answers = [denial, fail(denial), False, succeed(False)]
        for _ in range(2):
            error = self.denied(self.hooks.authorize(request()))
            self.assertIs(error, denial)
        for _ in range(2):
            error = self.denied(self.hooks.authorize(request()))
            self.assertIs(error.refusal, Refusal.DENIED)
            self.assertIn("not allowed to publish", error.description)
        self.assertEqual(self.hooks.calls, {("on_publish", "refused"): 4})
        self.assertEqual(self.logged, [])

    def test_play(self) -> None:
        """A play is asked of on_play, and counted so."""
        self.hook.answers = [False]
        self.denied(self.hooks.authorize(request("play")))
        self.assertEqual(self.hooks.calls, {("on_play", "refused"): 1})

    def test_order(self) -> None:
        """Hooks are asked one after the other; after a refusal nobody is asked."""
        second = FakeHook()
        hooks = self.make(self.hook, second)
        (held,) = self.hook.hold(1)
        answer = hooks.authorize(request())
        self.assertEqual(second.requests, [])
        held.callback(None)
        self.successResultOf(answer)
        self.assertEqual(len(second.requests), 1)
        self.hook.answers = [False]
        self.denied(hooks.authorize(request()))
        self.assertEqual(len(second.requests), 1)

    def test_optional(self) -> None:
        """A hook without the method has no say."""
        hooks = self.make(object())
        self.assertIsNone(self.successResultOf(hooks.authorize(request())))
        hooks.heard(event())
        self.assertEqual((hooks.calls, hooks.waiting), ({}, 0))

    def test_broken(self) -> None:
        """An exception refuses in neutral words; the log has it once, until the hook is back."""
        broken = ValueError("token=abc")
        self.hook.answers = [broken, broken, None, broken]
        for _ in range(2):
            error = self.denied(self.hooks.authorize(request()))
            self.assertEqual((error.refusal, error.description), (Refusal.REJECTED, UNAVAILABLE))
            self.assertEqual(error.reason, "hook_unavailable")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.clock.advance(RECOVERED)
        self.successResultOf(self.hooks.authorize(request()))
        self.denied(self.hooks.authorize(request()))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(
            self.logged,
            [
                "the fake hook failed at on_publish",
                "the fake hook answers again",
                "the fake hook failed at on_publish",
            ],
        )
        self.assertEqual(self.hooks.calls, {("on_publish", "failed"): 3, ("on_publish", "ok"): 1})

    def test_now_and_then(self) -> None:
        """A hook that fails now and then is one outage, not a line for each call."""
        answers: list[object] = [ValueError("no"), None]
        self.hook.answers = answers * 5 + [None]
        for number in range(10):
            self.clock.advance(1)
            decision = self.hooks.authorize(request())
            if number % 2:
                self.successResultOf(decision)
            else:
                self.denied(decision)
        self.assertEqual(self.logged, ["the fake hook failed at on_publish"])
        self.flushLoggedErrors(ValueError)
        self.clock.advance(RECOVERED)
        self.successResultOf(self.hooks.authorize(request()))
        self.assertEqual(self.logged[1:], ["the fake hook answers again"])

    def test_timeout(self) -> None:
        """An answer that takes too long is none; it is not waited for any more."""
        (held,) = self.hook.hold(1)
        cancelled = self.hooks.authorize(request())
        self.clock.advance(TIMEOUT - 0.1)
        self.assertNoResult(cancelled)
        self.clock.advance(0.1)
        self.assertEqual(self.denied(cancelled).description, UNAVAILABLE)
        self.assertTrue(held.called)
        self.assertEqual(self.hooks.calls, {("on_publish", "timeout"): 1})
        self.assertEqual(
            self.logged, ["the fake hook is out of order at on_publish: no answer within 5 s"]
        )

    def test_late_answer(self) -> None:
        """A hook that makes an answer of being given up allows nothing by that."""

        async def stubborn() -> bool:
            try:
                await Deferred[None]()
            except Exception:
                return True
            return True

        self.hook.answers = [stubborn()]
        answer = self.hooks.authorize(request())
        self.clock.advance(TIMEOUT)
        self.assertEqual(self.denied(answer).description, UNAVAILABLE)

    def test_given_up(self) -> None:
        """That nobody wants the answer any more is no fault of the hook's, and no refusal."""
        self.hook.hold(1)
        answer = self.hooks.authorize(request())
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual(self.logged, [])
        self.assertEqual(self.hooks.dropped, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class NotificationTests(HooksCase):
    def test_listener(self) -> None:
        """The two kinds of events that hooks are told arrive, and no others; after the fact."""
        events = Events(self.clock)
        events.subscribe(self.hooks.heard)
        for name in ("publish", "live", "segment", "unpublish", "end", "play", "refuse"):
            events.emit(name, "show")
        self.assertEqual((self.hook.events, self.hooks.waiting), ([], 2))
        self.clock.advance(0)
        self.assertEqual([event.name for event in self.hook.events], ["segment", "unpublish"])
        self.assertEqual(self.hooks.waiting, 0)
        self.assertEqual(self.hooks.calls, {(NAME, "ok"): 1, ("on_unpublish", "ok"): 1})

    def test_order(self) -> None:
        """The next event of a stream waits for the answer to the one before."""
        first, _ = self.hook.hold(2)
        self.tell(1, 2, 3)
        self.assertEqual((self.hook.numbers(), self.hooks.waiting), ([1], 3))
        first.callback(None)
        self.assertEqual((self.hook.numbers(), self.hooks.waiting), ([1, 2], 2))

    def test_streams(self) -> None:
        """Streams do not wait for each other, up to a few at a time."""
        held = self.hook.hold(20)
        for number in range(10):
            self.tell(number, key=f"key-{number}")
        self.assertEqual(self.hook.numbers(), list(range(Notifications.IN_FLIGHT)))
        held[3].callback(None)
        self.assertEqual(self.hook.numbers(), list(range(Notifications.IN_FLIGHT + 1)))
        self.assertEqual(self.hooks.waiting, 9)

    def test_many_at_once(self) -> None:
        """What piled up behind a slow answer goes out without a pause, however much it is."""
        (held,) = self.hook.hold(1)
        self.tell(*range(Notifications.MAX_WAITING))
        held.callback(None)
        self.assertEqual(self.hook.numbers(), list(range(Notifications.MAX_WAITING)))
        self.assertEqual((self.hooks.waiting, self.hooks.dropped), (0, 0))

    def test_full(self) -> None:
        """Past the limit the oldest event that waits makes room, and is counted."""
        (held,) = self.hook.hold(1)
        self.tell(0)
        self.tell(*range(1, Notifications.MAX_WAITING + 4))
        self.assertEqual(self.hooks.waiting, Notifications.MAX_WAITING + 1)
        held.callback(None)
        self.assertEqual(self.hook.numbers(), [0, *range(4, Notifications.MAX_WAITING + 4)])
        self.assertEqual((self.hooks.dropped, self.hooks.calls[NAME, "dropped"]), (3, 3))

    def test_tries(self) -> None:
        """A failed one is tried again with growing, jittered pauses; order is kept."""
        self.hook.answers = [HookFailed("down"), HookFailed("down"), HookFailed("down")]
        self.tell(1, 2)
        self.assertEqual(self.hook.numbers(), [1])
        pauses = []
        for _ in range(3):
            (call,) = self.clock.getDelayedCalls()
            pauses.append(call.getTime() - self.clock.seconds())
            self.clock.advance(pauses[-1])
        self.assertEqual(self.hook.numbers(), [1, 1, 1, 1, 2])
        for pause, longest in zip(pauses, Notifications.PAUSES, strict=False):
            self.assertTrue(longest / 2 <= pause < longest, pauses)
        self.assertEqual(self.hooks.calls, {(NAME, "ok"): 2})
        self.assertEqual(
            self.logged,
            ["the fake hook is out of order at on_segment: down", "the fake hook answers again"],
        )

    def test_last_try(self) -> None:
        """After five tries it is given up as failed, or as late, and the next one has its turn."""
        tries = 1 + len(Notifications.PAUSES)
        self.hook.answers = [HookFailed("down")] * tries
        self.hook.hold(tries)
        self.tell(1, 2, 3)
        self.clock.pump([1.0] * 250)
        self.assertEqual(self.hook.numbers(), [1] * tries + [2] * tries + [3])
        outcomes = {(NAME, "failed"): 1, (NAME, "timeout"): 1, (NAME, "ok"): 1}
        self.assertEqual(self.hooks.calls, outcomes)

    def test_asked_pause(self) -> None:
        """A hook may ask for a longer pause, up to a minute, or for no try at all."""
        self.hook.answers = [HookFailed("busy", 30.0), HookFailed("busy", 7200.0)]
        self.tell(1)
        self.clock.advance(29.9)
        self.assertEqual(len(self.hook.events), 1)
        self.clock.advance(0.1)
        self.assertEqual(len(self.hook.events), 2)
        self.clock.advance(59.9)
        self.assertEqual(len(self.hook.events), 2)
        self.clock.advance(0.1)
        self.assertEqual(len(self.hook.events), 3)
        self.hook.answers = [HookFailed("no such page", None)]
        self.tell(2)
        self.assertEqual(self.hook.numbers(), [1, 1, 1, 2])
        self.assertEqual(self.hooks.calls, {(NAME, "ok"): 1, (NAME, "failed"): 1})

    def test_broken(self) -> None:
        """A hook that raises harms neither who tells it nor the other hooks."""
        second = FakeHook()
        self.hooks = self.make(self.hook, second)
        self.hook.answers = [ZeroDivisionError()] * 5 + [AccessDenied(Refusal.DENIED, "what?")]
        self.tell(1, 2)
        self.assertEqual(second.numbers(), [1, 2])
        self.clock.pump([1.0] * 85)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(
            self.hooks.calls,
            {(NAME, "failed"): 1, (NAME, "refused"): 1, (NAME, "ok"): 2},
        )


class CloseTests(HooksCase):
    def test_nothing(self) -> None:
        """With nothing to do it is done at once."""
        self.successResultOf(self.hooks.close(PATIENCE))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_delivers(self) -> None:
        """What was told just before is delivered, in order; what is told after is dropped."""
        first, second = self.hook.hold(2)
        for number in (1, 2):
            self.hooks.heard(event(number))
        closed = self.hooks.close(PATIENCE)
        self.hooks.heard(event(3))
        first.callback(None)
        self.clock.advance(1)
        self.assertNoResult(closed)
        second.callback(None)
        self.successResultOf(closed)
        self.assertEqual(self.hook.numbers(), [1, 2])
        self.assertEqual((self.hooks.waiting, self.hooks.dropped), (0, 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_gives_up(self) -> None:
        """Past its patience the rest is dropped: in flight, between two tries, and waiting."""
        self.hook.hold(1)
        self.tell(1, 2)
        self.hook.answers = [HookFailed("down")]
        self.tell(3, 4, key="other")
        closed = self.hooks.close(0.3)
        self.assertNoResult(closed)
        self.clock.advance(0.3)
        self.successResultOf(closed)
        self.assertEqual((self.hooks.waiting, self.hooks.dropped), (0, 4))
        self.assertEqual(self.hook.numbers(), [1, 3])
        self.assertEqual(self.logged[-1], "4 hook calls were given up")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closes_hooks(self) -> None:
        """Hooks that can be closed are, at the very end; one that cannot do it stops nothing."""
        closed = []

        class Closing(FakeHook):
            def close(self) -> None:
                closed.append(len(self.events))
                raise OSError("no")

        first, second = Closing(), Closing()
        self.hooks = self.make(first, self.hook, second)
        self.hooks.heard(event())
        self.successResultOf(self.hooks.close(PATIENCE))
        self.assertEqual(closed, [1, 1])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 2)
        self.assertEqual(self.logged, ["the fake hook could not be closed"] * 2)


@implementer(IAuthenticator)
class FakeInner:
    def __init__(self) -> None:
        self.calls: list[object] = []
        self.is_revoked = False

    def authorize(self, request: AccessRequest) -> Deferred[Grant]:
        """Refuse without a token."""
        if self.is_revoked or not request.credentials:
            return fail(AccessDenied(Refusal.DENIED, "no token"))
        return succeed(Grant("me"))

    def in_use(self, key: str, identity: str, until: float | None) -> None:
        """Remember."""
        self.calls.append((key, identity, until))


class HookedAuthenticatorTests(HooksCase):
    def setUp(self) -> None:
        """Put hooks before an authenticator."""
        super().setUp()
        self.inner = FakeInner()
        self.authenticator = HookedAuthenticator(self.inner, self.hooks)

    def test_interface(self) -> None:
        """It provides IAuthenticator, and passes on what is in use."""
        verifyObject(IAuthenticator, self.authenticator)
        self.authenticator.in_use("show", "me", 7.0)
        self.assertEqual(self.inner.calls, [("show", "me", 7.0)])

    def test_both(self) -> None:
        """The grant is the inner one's; hooks are asked only about those who have it."""
        self.failureResultOf(self.authenticator.authorize(request()), AccessDenied)
        self.assertEqual(self.hook.requests, [])
        granted = request(credentials={"token": "t"})
        grant = self.successResultOf(self.authenticator.authorize(granted))
        self.assertEqual(grant, Grant("me"))
        self.hook.answers = [False]
        self.failureResultOf(self.authenticator.authorize(granted), AccessDenied)
        self.assertEqual(len(self.hook.requests), 2)

    def test_revoked_meanwhile(self) -> None:
        """A right that is revoked while a hook thinks about it is no right."""
        (held,) = self.hook.hold(1)
        publishing = self.authenticator.authorize(request(credentials={"token": "t"}))
        self.assertNoResult(publishing)
        self.inner.is_revoked = True
        held.callback(None)
        self.failureResultOf(publishing, AccessDenied)
