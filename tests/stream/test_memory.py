"""Tests of rapidrtmp.stream.memory."""

from collections import deque
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from rapidrtmp.interfaces import IMediaWindow, Refusal
from rapidrtmp.stream.memory import KINDS, NEWCOMER, MemoryBudget, plan
from tests.stream.fakes import StreamCase

MIB = 1 << 20


@implementer(IMediaWindow)
class FakeWindow:
    """Segments of some size, of which three stay."""

    LEAST = 3

    def __init__(self, sizes: Sequence[int], usual: int = 10) -> None:
        self.segments = deque(sizes)
        self.usual = usual
        self.limit = usual

    @property
    def kept_bytes(self) -> int:
        """Bytes of all."""
        return sum(self.segments)

    @property
    def is_trimmed(self) -> bool:
        """Whether there are fewer than usual."""
        return self.limit < self.usual

    @property
    def segment_bytes(self) -> int:
        """The size of one."""
        return self.kept_bytes // max(1, len(self.segments))

    @property
    def promised(self) -> int:
        """What is to come."""
        return (self.limit - len(self.segments)) * self.segment_bytes

    def dispensable(self) -> Sequence[int]:
        """All but three."""
        return list(self.segments)[: max(0, len(self.segments) - self.LEAST)]

    def trim(self, count: int) -> None:
        """Let go of so many."""
        for _ in range(count):
            self.segments.popleft()
        self.limit = len(self.segments)

    def grow(self) -> None:
        """One more."""
        self.limit += 1

    def cut(self, size: int = MIB) -> None:
        """Add a segment."""
        self.segments.append(size)
        while len(self.segments) > self.limit:
            self.segments.popleft()


class BudgetCase(SynchronousTestCase):
    """A budget of 100 MiB, a few streams, and other things in memory."""

    def setUp(self) -> None:
        """Make it without streams."""
        self.windows: list[FakeWindow] = []
        self.others = 0
        self.budget = MemoryBudget(100 * MIB, self.kept, lambda: self.windows)

    def kept(self) -> list[dict[str, int]]:
        """Tell what is kept."""
        return [{"window": w.kept_bytes} for w in self.windows] + [{"gop": self.others}]

    def lengths(self) -> list[int]:
        """How many segments each has."""
        return [len(window.segments) for window in self.windows]

    def second(self) -> None:
        """Let every stream have a segment, and look."""
        for window in self.windows:
            window.cut()
        self.budget.tick()


class PlanTests(SynchronousTestCase):
    def test_interface(self) -> None:
        """The fake is what it stands for."""
        verifyObject(IMediaWindow, FakeWindow([]))

    def test_largest_first(self) -> None:
        """Whoever keeps most gives its oldest, until it is not the one with most."""
        self.assertEqual(plan([(100, [10, 10, 10]), (75, [5, 5])], 15), [2, 0])
        self.assertEqual(plan([(100, [10, 10, 10]), (75, [5, 5])], 35), [3, 1])

    def test_no_more_than_needed(self) -> None:
        """Nothing is given for nothing."""
        self.assertEqual(plan([(100, [10])], 0), [0])
        self.assertEqual(plan([(100, [10, 10]), (100, [10])], 1), [1, 0])

    def test_all(self) -> None:
        """Where it is not enough, all is given that can be."""
        self.assertEqual(plan([(100, [10, 20]), (5, []), (30, [1])], 1000), [2, 0, 1])
        self.assertEqual(plan([], 1000), [])

    @given(
        st.lists(
            st.tuples(st.lists(st.integers(0, 50), max_size=6), st.integers(0, 100)), max_size=5
        ),
        st.integers(0, 500),
    )
    def test_properties(self, streams: list[tuple[list[int], int]], excess: int) -> None:
        """Enough is freed if it can be, by segments in order, and one less would not do."""
        windows = [(sum(sizes) + more, sizes) for sizes, more in streams]
        counts = plan(windows, excess)
        freed = [sum(sizes[:count]) for (_, sizes), count in zip(windows, counts, strict=True)]
        can = sum(sum(sizes) for _, sizes in windows)
        self.assertGreaterEqual(sum(freed), min(excess, can))
        self.assertTrue(all(c <= len(sizes) for c, (_, sizes) in zip(counts, windows, strict=True)))
        # nobody gave who had less than somebody else had left to give from
        left = [kept - gone for (kept, _), gone in zip(windows, freed, strict=True)]
        for index, (_, sizes) in enumerate(windows):
            if counts[index] < len(sizes) and sum(freed) >= excess:
                for other, count in enumerate(counts):
                    if count:
                        before = left[other] + windows[other][1][count - 1]
                        self.assertGreaterEqual(before, left[index])


class TrimTests(BudgetCase):
    def test_enough(self) -> None:
        """While there is room nothing happens."""
        self.windows = [FakeWindow([MIB] * 10) for _ in range(9)]
        self.budget.tick()
        self.assertEqual(self.lengths(), [10] * 9)
        self.assertEqual((self.budget.check(), self.budget.trimmed), ("ok", 0))

    def test_fair(self) -> None:
        """Over nine tenths of it, the largest windows lose their oldest segments."""
        self.windows = [FakeWindow([2 * MIB] * 10) for _ in range(4)] + [FakeWindow([MIB] * 15, 15)]
        with capturedLogs() as events:
            for _ in range(5):
                self.budget.tick()
        self.assertEqual(self.lengths(), [9, 9, 9, 10, 15])
        self.others = 10 * MIB
        self.budget.tick()
        self.assertEqual(self.lengths(), [8, 8, 8, 8, 15])
        self.assertEqual(self.budget.trimmed, 8)
        self.assertEqual(len(events), 1)

    def test_minimum(self) -> None:
        """A window gets no shorter than players need it, whatever is over the budget."""
        self.windows = [FakeWindow([MIB] * 10) for _ in range(5)]
        self.others = 500 * MIB
        self.budget.tick()
        self.assertEqual(self.lengths(), [3] * 5)
        for _ in range(5):
            self.second()
        self.assertEqual(self.lengths(), [3] * 5)
        self.assertEqual(self.budget.trimmed, 35)

    def test_stays_short(self) -> None:
        """A trimmed window slides at its new length: new segments do not fill the memory again."""
        self.windows = [FakeWindow([MIB] * 10) for _ in range(12)]
        for _ in range(30):
            self.second()
            self.assertLessEqual(self.budget.used, 90 * MIB)

    def test_growth(self) -> None:
        """When streams have ended, the others come back to their full length, the log says so."""
        self.windows = [FakeWindow([MIB] * 10) for _ in range(15)]
        with capturedLogs() as events:
            self.second()
            self.assertLessEqual(max(self.lengths()), 6)
            self.assertEqual(self.budget.trimmed_streams, 15)
            self.assertIn("shorter", self.budget.check())
            del self.windows[7:]
            before = self.lengths()
            for _ in range(12):
                self.second()
                after = self.lengths()
                self.assertTrue(all(a <= b + 1 for a, b in zip(after, before, strict=True)))
                before = after
        self.assertEqual(self.lengths(), [10] * 7)
        self.assertEqual(self.budget.check(), "ok")
        texts = [event["log_format"] for event in events]
        self.assertEqual(len(texts), 2)
        self.assertIn("full length", texts[1])

    def test_no_swinging(self) -> None:
        """Windows that grew are not trimmed again for it."""
        self.windows = [FakeWindow([MIB] * 10) for _ in range(15)]
        self.second()
        del self.windows[12:]
        trimmed = self.budget.trimmed
        for _ in range(60):
            self.second()
        self.assertEqual(self.budget.trimmed, trimmed)
        self.assertGreater(sum(self.lengths()), 70)
        self.assertLessEqual(self.budget.used, 80 * MIB)

    def test_retained(self) -> None:
        """Nothing is trimmed again for what was, while it is kept for 24 s yet."""
        trimmed: deque[int] = deque([0] * 24, 24)  # bytes of each of the newest seconds
        self.budget = MemoryBudget(
            100 * MIB,
            lambda: [*self.kept(), {"storage": sum(trimmed)}],
            lambda: self.windows,
            leaving=lambda: sum(trimmed),
        )
        self.windows = [FakeWindow([MIB] * 10) for _ in range(10)]
        for second in range(60):
            before = sum(window.kept_bytes for window in self.windows)
            self.budget.tick()
            trimmed.append(before - sum(window.kept_bytes for window in self.windows))
            self.assertEqual(self.budget.used, (100 if second < 24 else 90) * MIB)
        self.assertEqual(self.lengths(), [9] * 10)
        self.assertEqual(self.budget.trimmed, 10)
        self.others = 20 * MIB
        self.budget.tick()
        self.assertEqual(self.budget.trimmed, 30)

    def test_reload(self) -> None:
        """Another size holds from the next second on, both ways."""
        self.windows = [FakeWindow([MIB] * 10) for _ in range(6)]
        self.budget.size = 40 * MIB
        self.second()
        self.assertEqual(self.lengths(), [6] * 6)
        self.budget.size = 400 * MIB
        for _ in range(6):
            self.second()
        self.assertEqual(self.lengths(), [10] * 6)

    def test_release(self) -> None:
        """While memory is short, what can be had elsewhere is let go of; else it stays."""
        released: list[bool] = []
        self.budget = MemoryBudget(
            100 * MIB, self.kept, lambda: self.windows, lambda: released.append(True)
        )
        self.windows = [FakeWindow([MIB] * 10) for _ in range(8)]
        self.budget.tick()
        self.budget.tick()
        self.assertEqual(released, [])
        self.others = 20 * MIB
        self.budget.tick()
        self.budget.tick()
        self.assertEqual(released, [True])
        self.windows.clear()
        self.others = 100 * MIB  # nothing to be trimmed
        self.budget.tick()
        self.budget.tick()
        self.assertEqual(released, [True] * 3)

    def test_kinds(self) -> None:
        """What is used is told by kind."""
        self.windows = [FakeWindow([MIB]), FakeWindow([2 * MIB])]
        self.others = 7
        used = {"window": 3 * MIB, "gop": 7}
        self.assertEqual(self.budget.used_by_kind(), {**dict.fromkeys(KINDS, 0), **used})


class RefusalTests(BudgetCase):
    def test_room(self) -> None:
        """What can be trimmed is room for somebody new."""
        self.windows = [FakeWindow([MIB] * 10) for _ in range(12)]
        self.assertEqual(self.budget.refusal(), "")

    def test_none(self) -> None:
        """Where all windows at their shortest fill the budget, nobody new is let in."""
        self.windows = [FakeWindow([MIB] * 10) for _ in range(32)]
        self.assertEqual(self.budget.refusal(), "")
        self.windows.append(FakeWindow([MIB] * 10))
        self.assertIn("raise MEMORY_BUDGET", self.budget.refusal())
        self.budget.tick()
        self.assertIn("no room", self.budget.check())
        self.windows.pop()
        self.budget.tick()
        self.assertNotIn("no room", self.budget.check())

    def test_others(self) -> None:
        """What nobody can trim counts in full."""
        self.others = 96 * MIB
        self.assertEqual(self.budget.refusal(), "")
        self.others = 98 * MIB
        self.assertNotEqual(self.budget.refusal(), "")

    def test_crowd(self) -> None:
        """Many who come at once are taken for what they will be: not all of them fit."""
        while not self.budget.refusal():
            self.windows.append(FakeWindow([]))
        self.assertEqual(len(self.windows), 100 * MIB // NEWCOMER)
        self.windows = [FakeWindow([4 * MIB] * 10)]
        while not self.budget.refusal():
            self.windows.append(FakeWindow([MIB]))
        self.assertEqual(len(self.windows), 100 // 12)


class AdmissionTests(StreamCase):
    def setUp(self) -> None:
        """Have a manager with a budget that the test fills."""
        self.used = 0
        super().setUp()
        self.budget = MemoryBudget(32 * MIB, lambda: [{"window": self.used}], lambda: [])
        self.manager._memory = self.budget

    def test_refused(self) -> None:
        """A new stream is refused with its reason in words and in the counters."""
        self.used = 32 * MIB
        refused = self.refused()
        self.assertEqual((refused.refusal, refused.reason), (Refusal.REJECTED, "memory"))
        self.assertIn("MEMORY_BUDGET", refused.description)
        self.assertEqual(self.manager.totals.refusals["publish", "memory"], 1)
        self.assertIsNone(self.manager.get("key"))
        self.used = 0
        self.publish()

    def test_failure(self) -> None:
        """An error in it ends nothing: it is logged, and tried again a second later."""
        nobody: dict[str, dict[str, int]] = {}
        self.encoder().run(2)
        self.manager._memory = MemoryBudget(MIB, lambda: [nobody["there"]], lambda: [])
        self.tick(2)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)

    def test_live(self) -> None:
        """Streams that are live go on: their publishers may come back, and be taken over."""
        encoder = self.encoder()
        encoder.run(3)
        self.used = 64 * MIB
        self.tick(2)
        encoder.run(1)
        self.publish()  # the same right takes over
        self.stream.publication.close("gone")  # type: ignore[union-attr]  # there is one
        self.encoder().run(3)
        self.assertEqual(self.manager.totals.refusals.get(("publish", "memory"), 0), 0)
        self.refused("other")
