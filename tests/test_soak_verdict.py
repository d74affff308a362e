"""What a soak is judged by can fail: each figure that grows, and what was not judged."""

from math import inf

from twisted.trial.unittest import SynchronousTestCase

from tests.soak.gauges import MIB, Moment, Stretch, within
from tests.soak.stalls import total
from tests.soak.verdict import (
    DESCRIPTORS,
    LONG,
    ROUGH,
    growths,
    judged_lag,
    too_late,
    unjudged,
)


def moments(
    seconds: int, *, memory: float = 0.0, threads: float = 0.0, descriptors: float = 0.0
) -> list[Moment]:
    """Give a look for each second, of what grows evenly by so much from the first to the last."""
    return [
        Moment(
            float(at),
            int(100 * MIB + memory * at / seconds),
            int(10 + threads * at / seconds),
            int(50 + descriptors * at / seconds),
            0.0,
        )
        for at in range(seconds)
    ]


class GrowthTests(SynchronousTestCase):
    def test_flat(self) -> None:
        """What is flat, or becomes less, is no growth."""
        for seconds in (35, 300, 3600):
            self.assertEqual(growths(moments(seconds), seconds), [])
            less = moments(seconds, memory=-50 * MIB, threads=-5, descriptors=-40)
            self.assertEqual(growths(less, seconds), [])

    def test_grows(self) -> None:
        """Each kind is told by its name; a long run may grow by less."""
        for seconds in (35, 300):
            for what, by in (("memory", 40 * MIB), ("threads", 8), ("descriptors", 90)):
                found = growths(moments(seconds, **{what: by}), seconds)
                self.assertEqual({line.partition(":")[0] for line in found}, {what})
        self.assertEqual(growths(moments(35, memory=12 * MIB), 35), [])
        self.assertNotEqual(growths(moments(300, memory=12 * MIB), 300), [])
        flat = growths(moments(300, descriptors=DESCRIPTORS), 300)
        self.assertEqual(flat, [])

    def test_second_half(self) -> None:
        """Memory that settles late may not rise to the end, even if it is below the first tenth."""
        high = moments(60)
        rising = [
            Moment(60.0 + each.at, each.memory - 20 * MIB, each.threads, each.descriptors, 0.0)
            for each in moments(240, memory=15 * MIB)
        ]
        [line] = growths(high + rising, 300)
        self.assertIn("in the second half", line)
        self.assertEqual(growths(high + rising, 35), [])


def stretch(at: float, lag: float, *, ran: float = 0.2, waited: float = 0.0) -> Stretch:
    """Give a second with four measurements of the reactor's lag."""
    counts = {bound: 4.0 * (lag <= bound) for bound in (0.01, 0.1, 1.0, inf)}
    return Stretch(at, at + 1, counts, ran, waited)


class LagTests(SynchronousTestCase):
    def test_within(self) -> None:
        """The bound that 99 of 100 are within."""
        self.assertEqual(within([stretch(0, 0.005)]), 0.01)
        self.assertEqual(within([stretch(0, 0.005), stretch(1, 5.0)]), inf)
        self.assertEqual(within([stretch(n, 0.5 if n == 7 else 0.05) for n in range(200)]), 0.1)
        self.assertEqual(within([]), 0.0)

    def test_own(self) -> None:
        """What the server does slowly, or all the time, is judged."""
        slow = [stretch(n, 0.5, ran=0.9, waited=0.1) for n in range(20)]
        told = judged_lag(slow, [], [], 0.1)
        self.assertEqual((told["reactor lag p99 (s)"], told["later than 0.1 s"]), (1.0, "100.0%"))
        self.assertEqual(too_late(told), ["later than 0.1 s: 100.0%"])
        self.assertNotIn("reactor lag", told)

    def test_of_others(self) -> None:
        """What the machine takes from it is left out, and told; the rest is judged."""
        found = [stretch(n, 0.5 if n in (3, 4, 9) else 0.005) for n in range(20)]
        found[9] = stretch(9, 0.5, ran=0.1, waited=0.4)
        self.assertEqual(len(too_late(judged_lag(found, [], [], 0.1))), 1)
        told = judged_lag(found, [(50.0, 60.0)], [(4.2, 4.5), (3.1, 3.3)], 0.1)
        self.assertEqual((told["reactor lag p99 (s)"], too_late(told)), (0.01, []))
        self.assertEqual(told["undisturbed"], "17 of 20 seconds")
        told = judged_lag(found, [(2.0, 5.5)], [], 0.1)
        self.assertEqual(told["undisturbed"], "15 of 16 seconds")

    def test_busy(self) -> None:
        """Where next to nothing is left, what it waited does not count, and the rest does."""
        for lag, expected in ((0.5, 0), (5.0, 1)):
            busy = [stretch(n, lag, waited=0.4) for n in range(20)]
            for found in (busy, [*busy, stretch(20, 0.005)]):
                told = judged_lag(found, [], [], 0.1)
                self.assertEqual(told["reactor lag"], ROUGH)
                self.assertEqual(unjudged(told, LONG), [])
                self.assertEqual(len(too_late(told)), expected)

    def test_no_cpu(self) -> None:
        """A server that hardly ran, or was not looked at, is not judged."""
        for found in ([stretch(n, 0.5, waited=2.0) for n in range(20)], []):
            self.assertEqual(len(unjudged(judged_lag(found, [], [], 0.1), LONG)), 1)


class StallsTests(SynchronousTestCase):
    def test_total(self) -> None:
        """Stalls are added up."""
        self.assertEqual(total([(1.0, 1.5), (7.0, 9.0)]), 2.5)


class JudgedTests(SynchronousTestCase):
    def test_unjudged(self) -> None:
        """A long run names all that it did not judge; a short one may leave it at that."""
        report = {
            "seed": 1,
            "flood": {"seconds": 5.0, "reactor lag": "not judged: busy"},
            "sequences": "not judged: late",
        }
        expected = ["flood: reactor lag: not judged: busy", "sequences: not judged: late"]
        self.assertEqual(unjudged(report, LONG), expected)
        self.assertEqual(unjudged(report, 35), [])
        self.assertEqual(unjudged({"reactor lag p99 (s)": 0.1, "a": {"b": "11%"}}, LONG), [])
