"""The judge on a good stream: it finds nothing, and sees all of it."""

from tests.judge.case import JudgeTestCase
from tests.judge.model import ModelServer


class GoodStreamTests(JudgeTestCase):
    def test_low_latency(self) -> None:
        """Parts, hints, reports, blocked reloads and delta updates of a good stream are clean."""
        self.assert_clean(self.follow(ModelServer(), 9))
        for follower in self.followers:
            self.assertGreaterEqual(follower.judge.judged, 13)
            self.assertGreater(len(follower.judge.arrivals.parts.delays), 30)

    def test_plain(self) -> None:
        """The same without low latency is polled, and clean."""
        self.assert_clean(self.follow(ModelServer(low_latency=False), 9))
        for follower in self.followers:
            self.assertGreaterEqual(follower.judge.judged, 13)

    def test_end(self) -> None:
        """The end of the stream ends the following, with everything seen."""
        self.assert_clean(self.follow(ModelServer(), 22))
