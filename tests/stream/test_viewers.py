"""Tests of rapidrtmp.stream.viewers."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.interfaces import AccessDenied, NotFound, NotReady, Refusal
from rapidrtmp.stream.viewers import (
    LEAVE_KEPT,
    MAX_AGENTS,
    REFUSAL_KEPT,
    REMEMBERED,
    RETRY_AFTER,
    Viewers,
)

DENIED = AccessDenied(Refusal.DENIED, "no")
ANN = ("192.0.2.1", "VLC/3")
BOB = ("192.0.2.2", "VLC/3")


class Door:
    """Is asked who may watch, and answers when told to."""

    def __init__(self) -> None:
        self.asked: list[Deferred[Any]] = []

    def __call__(self) -> "Deferred[Any]":
        self.asked.append(Deferred())
        return self.asked[-1]


class CountTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a count."""
        self.clock = Clock()
        self.clock.advance(1_790_000_000)
        self.viewers = Viewers(self.clock, 2)

    def test_admit(self) -> None:
        """A viewer counts once, by whatever names it, and the total remembers it."""
        self.assertFalse(self.viewers.seen("a"))
        self.assertTrue(self.viewers.admit("a"))
        self.assertFalse(self.viewers.admit("a"))
        self.assertTrue(self.viewers.seen("a"))
        self.assertTrue(self.viewers.admit(("192.0.2.1", "VLC")))
        self.assertEqual((len(self.viewers), self.viewers.total), (2, 2))

    def test_expiry(self) -> None:
        """A viewer is gone so many seconds after its last request, not before."""
        self.viewers.expiry = 9.0
        self.viewers.admit("a")
        self.viewers.admit("b")
        self.clock.advance(9)
        self.assertTrue(self.viewers.seen("a"))
        self.assertEqual(len(self.viewers), 2)
        self.clock.advance(0.5)
        self.assertFalse(self.viewers.seen("b"))
        self.assertEqual(len(self.viewers), 1)
        self.clock.advance(9)
        self.assertEqual(len(self.viewers), 0)
        self.assertTrue(self.viewers.admit("a"))
        self.assertEqual(self.viewers.total, 3)

    def test_limit(self) -> None:
        """There is no room over the limit; those inside go on; a place that is free is given."""
        self.assertTrue(self.viewers.has_room("a"))
        self.viewers.admit("a")
        self.viewers.admit("b")
        self.assertFalse(self.viewers.has_room("c"))
        with self.assertRaises(NotReady) as caught:
            self.viewers.admit("c")
        self.assertEqual(caught.exception.retry_after, RETRY_AFTER)
        self.assertTrue(self.viewers.seen("a"))
        self.assertFalse(self.viewers.admit("a"))
        self.clock.advance(4)
        self.viewers.seen("a")
        self.clock.advance(4)
        self.assertTrue(self.viewers.has_room("c"))
        self.assertTrue(self.viewers.admit("c"))
        self.assertEqual(len(self.viewers), 2)

    def test_limit_changes(self) -> None:
        """A smaller limit sends nobody away and lets nobody in; a larger one counts at once."""
        self.viewers.admit("a")
        self.viewers.admit("b")
        self.viewers.limit = 1
        self.assertTrue(self.viewers.seen("a"))
        self.assertTrue(self.viewers.seen("b"))
        self.assertFalse(self.viewers.has_room("c"))
        self.viewers.limit = 3
        self.assertTrue(self.viewers.admit("c"))

    def test_clock_put_back(self) -> None:
        """After the clock was put back nobody is stuck in the count for an hour."""
        clock = SteppingClock()
        viewers = Viewers(clock, 2)
        viewers.admit("a")
        viewers.admit("b")
        clock.now -= 3600
        self.assertTrue(viewers.has_room("a"))
        self.assertTrue(viewers.admit("a"))
        clock.now += 7
        self.assertEqual(len(viewers), 0)

    @given(
        st.lists(
            st.tuples(st.sampled_from(["admit", "seen", "wait"]), st.integers(0, 5)), max_size=60
        )
    )
    @settings(max_examples=60, deadline=None)
    def test_model(self, steps: list[tuple[str, int]]) -> None:
        """Whatever happens, the count is of those whose last request is young enough."""
        clock = Clock()
        viewers = Viewers(clock, 3)
        last: dict[str, float] = {}
        total = 0
        for action, number in steps:
            name = str(number)
            young = {who for who, at in last.items() if clock.seconds() - at <= 6.0}
            if action == "wait":
                clock.advance(number)
            elif action == "seen":
                self.assertEqual(viewers.seen(name), name in young)
                if name in young:
                    last[name] = clock.seconds()
            elif name in young or len(young) < 3:
                self.assertEqual(viewers.admit(name), name not in young)
                total += name not in young
                last[name] = clock.seconds()
            else:
                self.assertRaises(NotReady, viewers.admit, name)
        young = {who for who, at in last.items() if clock.seconds() - at <= 6.0}
        self.assertEqual((len(viewers), viewers.total), (len(young), total))


class SteppingClock(Clock):
    """A clock that can be put back."""

    now = 1_790_000_000.0

    def seconds(self) -> float:
        """Tell the time."""
        return self.now


class DecisionTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a count and a door."""
        self.clock = Clock()
        self.viewers = Viewers(self.clock, 2)
        self.door = Door()

    def test_asked_once(self) -> None:
        """The requests of a new viewer wait for one decision, which then holds."""
        video = self.viewers.decide(ANN, self.door)
        audio = self.viewers.decide(ANN, self.door)
        self.assertEqual(len(self.door.asked), 1)
        self.assertNoResult(video)
        self.door.asked[0].callback(object())
        self.successResultOf(video)
        self.successResultOf(audio)
        self.assertEqual(len(self.viewers), 0)
        self.viewers.admit(ANN)
        self.successResultOf(self.viewers.decide(ANN, self.door))
        self.assertEqual(len(self.door.asked), 1)

    def test_allowed(self) -> None:
        """Who may watch is no viewer yet, and is not asked about again."""
        self.successResultOf(self.viewers.decide(ANN, lambda: succeed(None)))
        self.successResultOf(self.viewers.decide(ANN, self.door))
        self.assertEqual((self.door.asked, len(self.viewers), self.viewers.total), ([], 0, 0))

    def test_pause(self) -> None:
        """Who was away for a while is counted anew but not asked about, until much later."""
        self.successResultOf(self.viewers.decide(ANN, lambda: succeed(None)))
        self.viewers.admit(ANN)
        self.clock.advance(100)
        self.assertEqual(len(self.viewers), 0)
        self.successResultOf(self.viewers.decide(ANN, self.door))
        self.assertTrue(self.viewers.admit(ANN))
        self.clock.advance(10)
        self.assertEqual(len(self.viewers), 0)
        self.clock.advance(LEAVE_KEPT + 1)
        self.assertNoResult(self.viewers.decide(ANN, self.door))

    def test_refused(self) -> None:
        """A refusal holds for a few seconds, for that viewer alone."""
        first = self.viewers.decide(ANN, lambda: fail(DENIED))
        self.assertIs(self.failureResultOf(first, AccessDenied).value, DENIED)
        again = self.viewers.decide(ANN, self.door)
        self.assertEqual(self.failureResultOf(again, AccessDenied).value.args, DENIED.args)
        self.assertEqual(self.door.asked, [])
        self.successResultOf(self.viewers.decide(BOB, lambda: succeed(None)))
        self.clock.advance(REFUSAL_KEPT + 0.1)
        self.assertNoResult(self.viewers.decide(ANN, self.door))

    def test_failures(self) -> None:
        """What is no refusal is told to all who wait and not remembered."""
        for error in (NotFound("gone"), ZeroDivisionError()):
            waiting = [self.viewers.decide(ANN, self.door) for _ in range(2)]
            self.door.asked.pop().errback(error)
            for decision in waiting:
                self.failureResultOf(decision, type(error))

        def broken() -> "Deferred[None]":
            raise ZeroDivisionError

        self.failureResultOf(self.viewers.decide(ANN, broken), ZeroDivisionError)
        self.assertNoResult(self.viewers.decide(ANN, self.door))

    def test_leaves(self) -> None:
        """Who leaves while it is decided on takes the decision from nobody."""
        video = self.viewers.decide(ANN, self.door)
        audio = self.viewers.decide(ANN, self.door)
        video.cancel()
        self.failureResultOf(video, CancelledError)
        self.door.asked[0].callback(None)
        self.successResultOf(audio)

    def test_room(self) -> None:
        """Those who are being decided on keep their place, and no more than fit are asked."""
        self.viewers.decide(ANN, self.door)
        self.viewers.admit(BOB)
        self.assertFalse(self.viewers.has_room())
        self.assertTrue(self.viewers.has_room(ANN))
        self.door.asked[0].callback(None)
        self.assertTrue(self.viewers.has_room())

    def test_bounded(self) -> None:
        """What is remembered of strangers is bounded; the newest is."""
        for number in range(3000):
            self.viewers.decide(("allowed", str(number)), lambda: succeed(None))
            refusal = self.viewers.decide(("refused", str(number)), lambda: fail(DENIED))
            refusal.addErrback(lambda _: None)
        self.assertEqual(len(self.viewers._leave), 2 + REMEMBERED)
        self.assertEqual(len(self.viewers._refused), REMEMBERED)
        self.assertEqual((self.viewers._undecided, self.viewers._agents), ({}, {}))
        self.successResultOf(self.viewers.decide(("allowed", "2999"), self.door))
        self.failureResultOf(self.viewers.decide(("refused", "2999"), self.door), AccessDenied)

    def test_sessions_need_no_leave(self) -> None:
        """Sessions that come and go push nobody out who was asked about."""
        self.successResultOf(self.viewers.decide(ANN, lambda: succeed(None)))
        self.viewers.expiry = 0.0
        for number in range(REMEMBERED + 10):
            self.viewers.admit(f"{number:016x}")
            self.clock.advance(0.01)
        self.successResultOf(self.viewers.decide(ANN, self.door))


class FallbackTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a count."""
        self.clock = Clock()
        self.viewers = Viewers(self.clock, 100)
        self.door = Door()

    def come(self, address: str, agent: str) -> tuple[str, str]:
        """Become a viewer without a session."""
        viewer = self.viewers.fallback(address, agent)
        self.successResultOf(self.viewers.decide(viewer, lambda: succeed(None)))
        self.viewers.admit(viewer)
        return viewer

    def test_agents(self) -> None:
        """Of one address ten User-Agents count apart, and all others as one more."""
        for number in range(200):
            self.come("192.0.2.1", f"agent {number}")
        self.assertEqual(len(self.viewers), MAX_AGENTS + 1)
        self.assertEqual(self.viewers.fallback("192.0.2.1", "agent 9")[1], "agent 9")
        self.assertEqual(self.viewers.fallback("192.0.2.1", "agent 10")[1], "")
        self.assertEqual(self.viewers.fallback("192.0.2.2", "agent 10")[1], "agent 10")

    def test_network(self) -> None:
        """The addresses of one IPv6 network are one."""
        for number in range(200):
            self.come(f"2001:db8::{number:x}", f"agent {number}")
        self.assertEqual(len(self.viewers), MAX_AGENTS + 1)
        self.come("2001:db8:0:1::1", "agent 0")
        self.assertEqual(len(self.viewers), MAX_AGENTS + 2)

    def test_undecided(self) -> None:
        """Those who are being decided on count, too."""
        for number in range(200):
            viewer = self.viewers.fallback("192.0.2.1", f"agent {number}")
            self.viewers.decide(viewer, self.door)
        self.assertEqual(len(self.door.asked), MAX_AGENTS + 1)

    def test_gone(self) -> None:
        """A User-Agent whose viewer is gone makes place for another."""
        for number in range(MAX_AGENTS):
            self.come("192.0.2.1", f"agent {number}")
        self.clock.advance(self.viewers.expiry / 2)
        for number in range(1, MAX_AGENTS):
            self.viewers.seen(("192.0.2.1", f"agent {number}"))
        self.assertEqual(self.viewers.fallback("192.0.2.1", "other")[1], "")
        self.clock.advance(self.viewers.expiry / 2 + 0.1)
        self.assertEqual(self.viewers.fallback("192.0.2.1", "other")[1], "other")
        self.clock.advance(self.viewers.expiry)
        self.assertEqual((len(self.viewers), self.viewers._agents), (0, {}))

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["come", "ask", "allow", "refuse", "wait"]), st.integers(0, 30)
            ),
            max_size=60,
        )
    )
    @settings(max_examples=60, deadline=None)
    def test_model(self, steps: list[tuple[str, int]]) -> None:
        """Whatever happens, those are told apart who are viewers or undecided, and few are."""
        clock = Clock()
        viewers = Viewers(clock, 100)
        door = Door()
        for action, number in steps:
            if action == "wait":
                clock.advance(number)
            elif action in ("come", "ask"):
                viewer = viewers.fallback(f"192.0.2.{number % 2}", f"agent {number}")
                if action == "come":
                    viewers.admit(viewer)
                else:
                    viewers.decide(viewer, door).addErrback(lambda _: None)
            elif door.asked:
                asked = door.asked.pop(number % len(door.asked))
                asked.errback(DENIED) if action == "refuse" else asked.callback(None)
            expected: dict[str, set[str]] = {}
            for each in [*viewers._seen, *viewers._undecided]:
                assert isinstance(each, tuple)
                expected.setdefault(each[0], set()).add(each[1])
            self.assertEqual(viewers._agents, expected)
            for agents in expected.values():
                self.assertLessEqual(len(agents), MAX_AGENTS + 1)


class LastTests(SynchronousTestCase):
    def test_last(self) -> None:
        """It is known when the last viewer was there, of HLS as of all others."""
        clock = Clock()
        clock.advance(1000)
        viewers = Viewers(clock, 10)
        self.assertEqual(viewers.last_at, 0.0)
        viewers.enter("player")
        clock.advance(10)
        self.assertEqual(viewers.last_at, 1010)
        viewers.leave("player")
        clock.advance(10)
        viewers.leave("player")
        self.assertEqual(viewers.last_at, 1010)
        viewers.admit("session")
        clock.advance(viewers.expiry)
        self.assertEqual(viewers.last_at, clock.seconds())
        clock.advance(50)
        self.assertEqual(viewers.last_at, 1020 + viewers.expiry)
