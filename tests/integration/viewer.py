"""A viewer of the tests: follows every playlist of a stream and fetches every segment once."""

import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from rapidrtmp.judge.finding import Report
from rapidrtmp.judge.multivariant import Multivariant, read_multivariant
from rapidrtmp.judge.presentation import PresentationJudge
from rapidrtmp.judge.rendition import RenditionJudge
from rapidrtmp.judge.rules import ERROR
from tests.hls import checker as hls
from tests.integration.process import wait_for
from tests.integration.server import Answer, fetch
from tests.isobmff import checker as isobmff

OF_THE_ENCODER = "playlist-stale"
"""The rule that a stream breaks whose encoder is away: tests take it away."""
OF_A_RESTART = "playlist-short"
"""The rule that a server breaks which starts again: it does not list what it listed before."""
INTERVAL = 0.15
"""Seconds between two fetches of a media playlist."""


@dataclass(slots=True)
class Rendition:
    """What was seen of one media playlist."""

    path: str
    last: hls.MediaPlaylist
    judge: RenditionJudge
    judged: int = -1
    """The newest segment that the standards judge has seen."""
    segments: dict[int, hls.MediaSegment] = field(default_factory=dict)

    @property
    def discontinuities(self) -> int:
        """How many of the segments begin with a discontinuity."""
        return sum(segment.is_discontinuity for segment in list(self.segments.values()))


class Viewer:
    """Follows a stream in a thread of its own and keeps what it saw and what was wrong.

    Each playlist is judged by the checker of tests/hls, alone and against the one before, and
    all of it by the standards judge; any answer but 200, once the first playlist is there, is
    a problem.
    """

    def __init__(self, port: int, key: str, query: str = "") -> None:
        self.path = f"/live/{key}/index.m3u8{query}"
        self.problems: list[str] = []
        self.renditions: list[Rendition] = []
        """The media playlists, in the order of the multivariant playlist's variants first."""
        self.files: dict[str, bytes] = {}
        """Init and media segments by path, or by URL where a playlist names another server's."""
        self.report = Report()
        """What the standards judge found."""
        self.multivariant: Multivariant | None = None
        self.was_outage = False
        """The server was down at some time."""
        self.outage = threading.Event()
        """Set while the server is known to be down: no answer and 503 are no problem then."""
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join(30.0)

    def judge(self) -> list[str]:
        """Stop looking, judge the segments, and give every problem that was met."""
        self.stop()
        judges = {rendition.path: rendition.judge for rendition in self.renditions}
        PresentationJudge(self.multivariant, judges, self.report).finish()
        excused = {OF_THE_ENCODER, OF_A_RESTART if self.was_outage else ""}
        for found in self.report.findings:
            if found.rule.severity == ERROR and found.rule.name not in excused:
                self._problem(f"{found.rule.name}: {found.where}: {found.words}")
        for rendition in self.renditions:
            # what was missed, where a window moved faster than it was looked at, splits a run
            runs: dict[tuple[int, int], list[hls.MediaSegment]] = {}
            seen = sorted(rendition.segments.items())
            if self.was_outage:
                # what was listed in the moment before the server was killed went with it
                lost = [each for each in seen if not self._has(rendition, each[1])]
                if len(lost) == 1:
                    seen.remove(lost[0])
            for index, (sequence, segment) in enumerate(seen):
                if not segment.is_gap:
                    runs.setdefault((segment.discontinuity, sequence - index), []).append(segment)
            for run in runs.values():
                self._judge_run(rendition, run)
        return self.problems

    def _has(self, rendition: Rendition, segment: hls.MediaSegment) -> bool:
        return segment.is_gap or urljoin(rendition.path, segment.uri) in self.files

    def _judge_run(self, rendition: Rendition, run: list[hls.MediaSegment]) -> None:
        base = rendition.path
        try:
            init = self.files[urljoin(base, run[0].map_uri)]
            bodies = [self.files[urljoin(base, segment.uri)] for segment in run]
            samples = isobmff.check_track(init, bodies)
            timescale = isobmff.parse_init(init).timescale
        except KeyError as error:
            self._problem(f"{base}: a listed file was never served: {error}")
            return
        except isobmff.CheckError as error:
            self._problem(f"{base}: {error}")
            return
        told = sum(segment.duration for segment in run)
        real = sum(sample.duration for sample in samples) / timescale
        if abs(told - real) > 0.001 * len(run):
            self._problem(f"{base}: EXTINF add up to {told} s, the samples to {real} s")

    @property
    def leading(self) -> Rendition:
        """The rendition of the first variant."""
        return self.renditions[0]

    @property
    def ended(self) -> bool:
        """Every media playlist has its ENDLIST."""
        return bool(self.renditions) and all(each.last.ended for each in self.renditions)

    @property
    def discontinuities(self) -> int:
        """Discontinuities seen in the leading media playlist."""
        return self.leading.discontinuities if self.renditions else 0

    def segments(self) -> int:
        """Media segments seen in the leading playlist."""
        return len(self.leading.segments) if self.renditions else 0

    def wait_segments(self, count: int, timeout: float = 20.0) -> None:
        """Wait until at least so many segments were seen."""
        wait_for(
            lambda: self.segments() >= count,
            f"{count} segments at the viewer; it saw {self.segments()}, {self.problems}",
            timeout,
        )

    def wait_ended(self, timeout: float = 20.0) -> None:
        """Wait for ENDLIST in every media playlist."""
        wait_for(lambda: self.ended, f"ENDLIST at the viewer; {self.problems}", timeout)

    def _follow(self) -> None:
        while not self._stop.is_set() and not self.renditions:
            self._start()
            self._stop.wait(INTERVAL)
        while not self._stop.is_set():
            for rendition in self.renditions:
                if not rendition.last.ended:
                    self._refresh(rendition)
            self._stop.wait(INTERVAL)

    def _start(self) -> None:
        answer = self._fetch(self.path, waiting=True)
        if answer is None:
            return
        try:
            multivariant = hls.parse_multivariant_playlist(answer.body)
        except hls.CheckError as error:
            self._problem(f"{error}\n{answer.text}")
            return
        self.multivariant = read_multivariant(answer.body, "index.m3u8", self.report)
        uris = [variant.uri for variant in multivariant.variants]
        uris += [audio.uri for audio in multivariant.audio]
        renditions = []
        for uri in dict.fromkeys(uris):
            path = urljoin(self.path, uri)
            judge = RenditionJudge(uri, self.report)
            playlist = self._playlist(path, judge)
            if playlist is None:
                return
            rendition = Rendition(path, playlist, judge)
            self._learn(rendition, playlist)
            renditions.append(rendition)
        self.renditions = renditions

    def _refresh(self, rendition: Rendition) -> None:
        playlist = self._playlist(rendition.path, rendition.judge)
        if playlist is None:
            return
        try:
            hls.check_reload(rendition.last, playlist)
        except hls.CheckError as error:
            self._problem(f"{rendition.path}: {error}")
        self._learn(rendition, playlist)
        rendition.last = playlist

    def _playlist(self, path: str, judge: RenditionJudge) -> hls.MediaPlaylist | None:
        answer = self._fetch(path)
        if answer is None:
            return None
        judge.receive_playlist(answer.body, time.time())
        try:
            return hls.parse_media_playlist(answer.body)
        except hls.CheckError as error:
            self._problem(f"{path}: {error}\n{answer.text}")
            return None

    def _learn(self, rendition: Rendition, playlist: hls.MediaPlaylist) -> None:
        for segment in playlist.segments:
            wanted = [segment.map_uri, *([] if segment.is_gap else [segment.uri])]
            for path in (urljoin(rendition.path, uri) for uri in wanted):
                if path not in self.files:
                    answer = self._fetch(path)
                    if answer is not None:
                        self.files[path] = answer.body
            rendition.segments.setdefault(segment.sequence, segment)
        for segment in playlist.segments:
            self._judge_segment(rendition, segment)

    def _judge_segment(self, rendition: Rendition, segment: hls.MediaSegment) -> None:
        """Let the standards judge see a segment, once it is there."""
        judge, playlist = rendition.judge, rendition.judge.playlist
        body = self.files.get(urljoin(rendition.path, segment.uri))
        if segment.sequence <= rendition.judged or body is None or playlist is None:
            return
        listed = next(each for each in playlist.segments if each.sequence == segment.sequence)
        init = self.files.get(urljoin(rendition.path, segment.map_uri))
        if listed.map is not None and init is not None and not judge.knows_map(listed.map):
            judge.receive_map(listed.map, init)
        judge.receive_segment(listed, body)
        rendition.judged = segment.sequence

    def _fetch(self, path: str, *, waiting: bool = False) -> Answer | None:
        url = urlsplit(path)
        wanted = f"{url.path}?{url.query}" if url.query else url.path
        try:
            # All servers of the tests are on the loopback interface.
            answer = fetch(url.port or self._port, wanted)
        except OSError as error:
            self.was_outage = self.was_outage or self.outage.is_set()
            if not self.outage.is_set():
                self._problem(f"{path}: {error}")
            return None
        if answer.status == 200:
            return answer
        expected = (503, 404) if waiting else (503,) if self.outage.is_set() else ()
        if answer.status not in expected:
            self._problem(f"{path}: {answer.status} {answer.text[:200]}")
        return None

    def _problem(self, text: str) -> None:
        if len(self.problems) < 20:
            self.problems.append(f"{time.strftime('%H:%M:%S')} {text}")
