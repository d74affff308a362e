"""Tests of rapidrtmp.rate_limit."""

from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp import rate_limit
from rapidrtmp.rate_limit import RateLimit, network

HERE, THERE = "192.0.2.1", "192.0.2.2"


class RateLimitTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a limit of three a minute."""
        self.clock = Clock()
        self.clock.advance(1000)
        self.limit = RateLimit(self.clock, 3, 60.0)

    def allowed(self, times: int, address: str = HERE) -> list[bool]:
        """Ask several times at once."""
        return [self.limit.allow(address) for _ in range(times)]

    def test_allow(self) -> None:
        """So many are allowed in a period from the first one on; then no more until its end."""
        self.assertEqual(self.allowed(2), [True, True])
        self.clock.advance(50)
        self.assertEqual(self.limit.blocked_for(HERE), 0.0)
        self.assertEqual(self.allowed(3), [True, False, False])
        self.assertEqual(self.limit.blocked_for(HERE), 10.0)
        self.assertEqual(self.allowed(1, THERE), [True])
        self.clock.advance(10)
        self.assertEqual(self.limit.blocked_for(HERE), 0.0)
        self.assertEqual(self.allowed(4), [True, True, True, False])

    def test_count(self) -> None:
        """The last one that is tolerated bars the address for a whole period; more do not
        prolong it.
        """
        for _ in range(2):
            self.limit.count(HERE)
        self.clock.advance(50)
        self.assertEqual(self.limit.blocked_for(HERE), 0.0)
        self.limit.count(HERE)
        self.assertEqual(self.limit.blocked_for(HERE), 60.0)
        self.clock.advance(59)
        self.limit.count(HERE)
        self.assertEqual(self.limit.blocked_for(HERE), 1.0)
        self.assertEqual(self.limit.blocked_for(THERE), 0.0)
        self.clock.advance(1)
        self.assertEqual(self.limit.blocked_for(HERE), 0.0)
        self.limit.count(HERE)
        self.assertEqual(self.limit.blocked_for(HERE), 0.0)

    def test_slow_ones(self) -> None:
        """Who stays below the limit is never barred."""
        for _ in range(100):
            self.limit.count(HERE)
            self.assertEqual(self.limit.blocked_for(HERE), 0.0)
            self.clock.advance(30)

    def test_no_limit(self) -> None:
        """Zero is no limit, and nothing is remembered."""
        self.limit.limit = 0
        self.assertTrue(all(self.allowed(100)))
        for _ in range(100):
            self.limit.count(HERE)
        self.assertEqual(self.limit.blocked_for(HERE), 0.0)
        self.assertEqual(self.limit._places, {})

    def test_changed(self) -> None:
        """A new limit holds at once."""
        self.allowed(3)
        self.limit.limit = 4
        self.assertEqual(self.limit.blocked_for(HERE), 0.0)
        self.assertEqual(self.allowed(2), [True, False])
        self.limit.limit = 1
        self.assertGreater(self.limit.blocked_for(HERE), 0.0)

    def test_clock_set_back(self) -> None:
        """A clock that is set back bars nobody for longer than a period."""
        self.limit.limit = 1
        self.limit.count(HERE)
        self.clock.rightNow -= 600
        self.assertEqual(self.limit.blocked_for(HERE), 0.0)
        self.assertEqual(self.allowed(2), [True, False])
        self.assertEqual(self.limit.blocked_for(HERE), 60.0)

    def test_bounded(self) -> None:
        """However many addresses come, few are remembered: the newest."""
        with mock.patch.object(rate_limit, "MAX_PLACES", 10):
            self.limit.limit = 1
            for number in range(50):
                self.limit.count(f"192.0.2.{number}")
        self.assertEqual(len(self.limit._places), 10)
        self.assertGreater(self.limit.blocked_for("192.0.2.49"), 0.0)
        self.assertEqual(self.limit.blocked_for("192.0.2.1"), 0.0)

    def test_networks(self) -> None:
        """An IPv6 host has a whole /64 to choose addresses from."""
        self.limit.limit = 1
        self.limit.count("2001:db8::1")
        self.assertGreater(self.limit.blocked_for("2001:db8:0:0:ffff::2"), 0.0)
        self.assertEqual(self.limit.blocked_for("2001:db8:0:1::1"), 0.0)
        self.assertEqual(network("fe80::1%eth0"), network("fe80::2"))
        for address in (HERE, "", "a:b", "unix:/x"):
            self.assertEqual(network(address), address)

    @given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), max_size=60))
    @settings(max_examples=50, deadline=None)
    def test_never_too_many(self, calls: list[tuple[str, int]]) -> None:
        """No period that starts with a call has more than the limit, whoever else calls."""
        clock = Clock()
        limit = RateLimit(clock, 3, 60.0)
        first: dict[str, tuple[float, int]] = {}
        for address, pause in calls:
            clock.advance(pause)
            since, count = first.get(address, (clock.seconds(), 0))
            if clock.seconds() - since >= 60.0:
                since, count = clock.seconds(), 0
            is_allowed = limit.allow(address)
            self.assertEqual(is_allowed, count < 3)
            first[address] = (since, count + is_allowed)
