"""Runs the judge over the model stream."""

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.check.follower import Follower
from rapidrtmp.judge.finding import Report
from rapidrtmp.judge.http_rules import MULTIVARIANT, judge_answer
from rapidrtmp.judge.multivariant import read_multivariant
from rapidrtmp.judge.presentation import PresentationJudge
from rapidrtmp.judge.rendition import RenditionJudge
from tests.judge.model import BASE, MASTER, ModelServer

STEP = 0.02


class JudgeTestCase(SynchronousTestCase):
    """Follows the model for some of its seconds."""

    def follow(self, server: ModelServer, seconds: float) -> Report:
        """Follow both renditions and give the report."""
        report = Report()
        clock = server.clock
        getting = server.get(MASTER, limit=1 << 20, timeout=1, compressed=True)
        answer = self.successResultOf(Deferred.fromCoroutine(getting))
        judge_answer(MULTIVARIANT, answer, "index.m3u8", report)
        multivariant = read_multivariant(answer.body, "index.m3u8", report)
        assert multivariant is not None, "the model has a multivariant playlist"
        judges = {BASE + uri: RenditionJudge(uri, report) for uri in multivariant.uris()}
        presentation = PresentationJudge(multivariant, judges, report)
        self.followers = [
            # the model has the client's one method
            Follower(url, judge, presentation, server, clock, report)  # type: ignore[arg-type]
            for url, judge in judges.items()
        ]
        following = gatherResults(
            [Deferred.fromCoroutine(follower.follow()) for follower in self.followers]
        )
        for _ in range(round(seconds / STEP)):
            clock.advance(STEP)
        for follower in self.followers:
            follower.stop()
        clock.advance(1)
        self.successResultOf(following)
        presentation.finish()
        return report

    def assert_clean(self, report: Report) -> None:
        """Nothing was found."""
        words = [f"{f.rule.name}: {f.where}: {f.words}" for f in report.findings]
        self.assertEqual(words, [])
