"""Tests of rapidrtmp.outputs.made."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.interfaces import NotFound
from rapidrtmp.outputs.made import IDLE, SLICE, MadeFiles


class MadeFilesTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make one for 100 bytes."""
        self.clock = Clock()
        self.files = MadeFiles(self.clock, max_bytes=100)
        self.begun: list[str] = []
        self.steps: list[str] = []
        self.gate: Deferred[None] | None = None
        """What has to be fetched for the files that are asked for now."""

    def get(self, name: str, size: int = 10) -> Deferred[bytes]:
        """Ask for a file of some bytes."""
        gate = self.gate

        def pieces() -> Iterator[bytes]:
            self.begun.append(name)
            self.steps.append(name)
            self.clock.rightNow += SLICE  # so that each is a slice
            yield name.encode() * (size // 2)
            self.steps.append(f"{name} ends")
            yield name.encode() * (size - size // 2)

        async def make() -> Iterable[bytes]:
            if gate is not None:
                await gate
            return pieces()

        return self.files.get(name, make)

    def made(self, name: str, size: int = 10) -> bytes:
        """Ask for a file and have it."""
        result = self.get(name, size)
        self.settle()
        return self.successResultOf(result)

    def settle(self) -> None:
        """Let everything that is due happen."""
        while any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
            self.clock.advance(0)

    def test_once(self) -> None:
        """However many ask, before and after it is there, it is made once."""
        early = [self.get("a") for _ in range(3)]
        for result in early:
            self.assertNoResult(result)
        self.settle()
        for result in (*early, self.get("a")):
            self.assertEqual(self.successResultOf(result), b"a" * 10)
        self.assertEqual((self.begun, self.files.size), (["a"], 10))

    def test_one_at_a_time(self) -> None:
        """While one is made the others wait, so that one alone takes memory and time."""
        first, second = self.get("a"), self.get("b")
        self.settle()
        self.assertEqual(self.steps, ["a", "a ends", "b", "b ends"])
        self.assertEqual(self.successResultOf(first)[:1], b"a")
        self.assertEqual(self.successResultOf(second)[:1], b"b")

    def test_slow_source(self) -> None:
        """Who waits for a store that does not answer holds up nobody else."""
        gate = self.gate = Deferred()
        slow = self.get("a")
        self.gate = None
        self.assertEqual(self.made("b")[:1], b"b")
        self.assertNoResult(slow)
        gate.callback(None)
        self.settle()
        self.assertEqual(self.successResultOf(slow)[:1], b"a")

    def test_slices(self) -> None:
        """While a file is made, everything else on the reactor goes on."""
        steps: list[int] = []

        def pieces() -> Iterator[bytes]:
            for number in range(50):
                steps.append(number)
                self.clock.rightNow += SLICE / 10  # each takes its time
                yield b"x"

        async def make() -> Iterable[bytes]:
            return pieces()

        turns: list[int] = []

        def go_on() -> None:
            turns.append(len(steps))
            if len(steps) < 50:
                self.clock.callLater(0, go_on)

        result = self.files.get("a", make)
        self.clock.callLater(0, go_on)
        self.settle()
        self.assertEqual(self.successResultOf(result), b"x" * 50)
        between = [after - before for before, after in pairwise([0, *turns])]
        self.assertGreater(len(turns), 4)
        self.assertLessEqual(max(between), 11)

    def test_bytes(self) -> None:
        """What was asked for least recently goes when there is no room; nothing is too large."""
        for name in "abc":
            self.made(name, 40)
        self.assertEqual(self.files.size, 80)
        self.made("b", 40)
        self.made("d", 40)
        self.begun.clear()
        for name in "bdc":
            self.made(name, 40)
        self.assertEqual(self.begun, ["c"])
        self.assertEqual(len(self.made("large", 101)), 505)
        self.assertEqual(self.files.size, 0)

    def test_idle(self) -> None:
        """What nobody asks for any more goes, and nothing is left on the clock."""
        self.made("a")
        self.clock.advance(IDLE / 2)
        self.made("b")
        self.clock.advance(IDLE / 4)
        self.made("b")
        self.clock.advance(IDLE / 4)
        self.assertEqual(self.files.size, 10)
        self.made("b")
        self.assertEqual(self.begun, ["a", "b"])
        self.clock.pump([IDLE, IDLE])
        self.assertEqual(self.files.size, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failure(self) -> None:
        """A failure goes to all who wait, and is not kept."""
        gate: Deferred[None] = Deferred()

        async def make() -> Iterable[bytes]:
            await gate
            raise NotFound("gone")

        results = [self.files.get("a", make), self.files.get("a", make)]
        gate.callback(None)
        self.settle()
        for result in results:
            self.failureResultOf(result, NotFound)
        self.assertEqual(self.made("a"), b"a" * 10)

    def test_everybody_left(self) -> None:
        """What nobody waits for any more is not begun; who stays gets it."""
        self.gate = Deferred()
        left, leaves, stays = self.get("b"), self.get("c"), self.get("c")
        for result in (left, leaves):
            result.cancel()
            self.failureResultOf(result, CancelledError)
        self.gate.callback(None)
        self.settle()
        self.assertEqual(self.begun, ["c"])
        self.assertEqual(self.successResultOf(stays), b"c" * 10)
        self.assertEqual(self.flushLoggedErrors(), [])
