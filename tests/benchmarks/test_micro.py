"""The cases of the micro-benchmarks do what they are to measure."""

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.micro.cases import CASES
from benchmarks.replay import make_loop
from tests.benchmarks.tags import recording


class CaseTests(SynchronousTestCase):
    def test_rounds(self) -> None:
        """Each case can be made, and does the same work in every round."""
        loop = make_loop(recording())
        for name, make in CASES.items():
            turn = make(loop)
            counts = {turn() for _ in range(2)}
            self.assertEqual(len(counts), 1, name)
            self.assertGreaterEqual(counts.pop(), 50, name)
