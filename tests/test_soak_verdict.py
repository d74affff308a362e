"""What a soak is judged by can fail: each figure that grows, and what was not judged."""

from twisted.trial.unittest import SynchronousTestCase

from tests.soak.gauges import MIB, Moment
from tests.soak.verdict import DESCRIPTORS, LONG, growths, unjudged


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
