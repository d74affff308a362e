"""Tests for `rapidrtmp.check.url`, `follower` and `outcome`: a whole check, without sockets."""

import json
from pathlib import Path
from typing import Any

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request

from rapidrtmp.check import outcome
from rapidrtmp.check.follower import MAX_FAILURES, with_directives
from rapidrtmp.check.url import CannotCheck, Outcome, as_url, check_url
from rapidrtmp.judge.finding import MAX_KEPT
from tests.judge.model import SEGMENTS, files, multivariant, playlist

END = 2.0 * SEGMENTS + 1


class Site(Resource):
    """Serves a dictionary."""

    isLeaf = True

    def __init__(self, content: dict[str, bytes]) -> None:
        super().__init__()
        self.content = content
        self.asked: list[str] = []

    def render_GET(self, request: Request) -> bytes:
        """Answer."""
        name = request.path.decode().removeprefix("/live/")
        self.asked.append(name)
        if name not in self.content:
            request.setResponseCode(404)
            return b"no"
        kind = b"application/vnd.apple.mpegurl" if name.endswith("m3u8") else b"video/mp4"
        request.setHeader(b"Content-Type", kind)
        request.setHeader(b"Cache-Control", b"max-age=1")
        request.setHeader(b"Access-Control-Allow-Origin", b"*")
        return self.content[name]


def ended_stream() -> dict[str, bytes]:
    """Give the model behind its end."""
    content = dict(files())
    for name in ("video", "audio"):
        content[f"{name}.m3u8"] = playlist(name, END).encode()
    content["index.m3u8"] = multivariant().encode()
    return content


class CheckURLTests(SynchronousTestCase):
    def start(self, target: str, content: dict[str, bytes], **options: Any) -> "Deferred[Outcome]":
        """Begin to check."""
        self.clock = Clock()
        self.clock.advance(1e9)
        self.site = Site(content)
        agent = RequestTraversalAgent(self.site)
        options = {"seconds": 10.0} | options
        return Deferred.fromCoroutine(check_url(target, self.clock, agent=agent, **options))

    def run_check(self, target: str, content: dict[str, bytes], **options: Any) -> Outcome:
        """Check, as long as it takes."""
        done = self.start(target, content, **options)
        self.clock.pump([0.5] * 60)
        return self.successResultOf(done)

    def test_ended(self) -> None:
        """A stream that has ended is judged at once: every segment that is listed."""
        found = self.run_check("http://a.test/live/index.m3u8", ended_stream())
        self.assertEqual(set(found.report.counts), {"http-gzip"})
        self.assertEqual([follower.judge.judged for follower in found.followers], [9, 9])
        text = outcome.text(found)
        self.assertIn("warning  http-gzip: video.m3u8: ", text)
        self.assertIn("\nok       2 renditions, 18 segments in ", text)
        value = json.loads(outcome.as_json(found))
        self.assertEqual(value["renditions"][0]["codecs"], ["avc1.64001f"])
        self.assertEqual(value["findings"][0]["rule"], "http-gzip")

    def test_outcome(self) -> None:
        """Findings that were not kept are counted; times are told where there are some."""
        found = self.run_check("http://a.test/live/index.m3u8", ended_stream())
        for number in range(MAX_KEPT + 3):
            found.report.add("nal-length", "a", str(number))
        arrivals = found.followers[0].judge.arrivals
        for delay in (0.5, 0.7, 0.6):
            arrivals.segments.add(delay)
        text = outcome.text(found)
        self.assertIn("more     nal-length: 3 times more\n", text)
        self.assertIn("segments listed 0.600 s after their end, by date (within 0.200 s)", text)
        value = json.loads(outcome.as_json(found))
        rendition = value["renditions"][0]
        self.assertEqual(rendition["segmentDelays"], [0.5, 0.7, 0.6])
        told = {"least": 0.5, "median": 0.6, "greatest": 0.7}
        self.assertEqual(rendition["segmentDelay"], told)
        self.assertEqual(value["counts"]["nal-length"], MAX_KEPT + 3)

    def test_segments(self) -> None:
        """As many segments as are wanted."""
        found = self.run_check("http://a.test/live/index.m3u8", ended_stream(), segments=2)
        self.assertEqual([follower.judge.judged for follower in found.followers], [2, 2])

    def test_media_playlist(self) -> None:
        """A media playlist is judged on its own; live, it is followed until the time is over."""
        content = ended_stream()
        content["video.m3u8"] = playlist("video", END - 4, low_latency=False).encode()
        done = self.start("http://a.test/live/video.m3u8", content)
        self.clock.pump([0.5] * 19)
        self.assertNoResult(done)
        self.clock.pump([0.5] * 3)
        found = self.successResultOf(done)
        self.assertIn("playlist-stale", found.report.counts)
        self.assertGreaterEqual(self.site.asked.count("video.m3u8"), 6)
        self.assertIn("\nproblem ", outcome.text(found))

    def test_rendition_away(self) -> None:
        """A rendition that is not there does not stop the other."""
        content = ended_stream()
        del content["audio.m3u8"], content["video/init-0.mp4"]
        found = self.run_check("http://a.test/live/index.m3u8", content)
        self.assertEqual([follower.judge.judged for follower in found.followers], [9, 0])
        self.assertIn("http-status", found.report.counts)
        self.assertNotIn("codecs-wrong", found.report.counts)

    def test_goes_away(self) -> None:
        """A playlist that does not come any more is asked for a few times."""
        content = ended_stream()
        content["video.m3u8"] = playlist("video", END - 4, low_latency=False).encode()
        done = self.start("http://a.test/live/video.m3u8", content, seconds=100.0)
        del content["video.m3u8"]
        self.clock.pump([0.5] * 60)
        found = self.successResultOf(done)
        self.assertIn("http-status", found.report.counts)
        self.assertEqual(self.site.asked.count("video.m3u8"), 2 + MAX_FAILURES)

    def test_nothing(self) -> None:
        """Where there is nothing to judge, that is told in a line."""
        for content, words in (
            ({}, "answered 404"),
            ({"index.m3u8": b"<html>"}, "no playlist"),
            ({"index.m3u8": b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n"}, "names no media"),
            ({"index.m3u8": multivariant().encode()}, "no media playlist at"),
            ({"index.m3u8": b"#EXTM3U\n\xff"}, "no media playlist at"),
        ):
            done = self.start("http://a.test/live/index.m3u8", content)
            self.clock.pump([0.5] * 40)
            failure = self.failureResultOf(done, CannotCheck)
            self.assertIn(words, str(failure.value))

    def test_directory(self) -> None:
        """A directory with a stored stream is judged by its files."""
        directory = Path(self.mktemp()).absolute()
        for name, octets in ended_stream().items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(octets)
        for target in (str(directory), (directory / "index.m3u8").as_uri()):
            found = self.run_check(target, {})
            self.assertEqual(dict(found.report.counts), {})
            self.assertEqual([follower.judge.judged for follower in found.followers], [9, 9])

    def test_targets(self) -> None:
        """URLs and files are told from nonsense."""
        self.assertEqual(as_url("https://a/b.m3u8"), "https://a/b.m3u8")
        for target in ("http:///b", "http://[a/", "ftp://a/b", "no-such-file", "/"):
            self.assertRaises(CannotCheck, as_url, target)

    def test_foreign(self) -> None:
        """What a playlist names is fetched from where that is allowed, and nonsense is told."""
        secret = Path(self.mktemp()).absolute()
        secret.write_bytes(files()["video/init-0.mp4"])
        content = ended_stream()
        for uri in (secret.as_uri(), "http://[a/", "ftp://a/b", "\u00e9"):
            text = playlist("video", END).replace("video/init-1.mp4", uri)
            content["video.m3u8"] = text.encode()
            found = self.run_check("http://a.test/live/video.m3u8", content)
            self.assertIn("http-status", found.report.counts, uri)
            self.assertEqual(found.followers[0].judge.all_tracks, [])

    def test_directives(self) -> None:
        """Delivery directives take the place of others, and stand behind the query."""
        url = "http://a/b.m3u8?token=x&_HLS_msn=1"
        self.assertEqual(with_directives(url, {}), "http://a/b.m3u8?token=x")
        self.assertEqual(
            with_directives(url, {"_HLS_part": "0", "_HLS_msn": "5"}),
            "http://a/b.m3u8?token=x&_HLS_msn=5&_HLS_part=0",
        )
