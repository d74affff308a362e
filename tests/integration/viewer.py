"""A viewer of the tests: follows every playlist of a stream and fetches every segment once."""

import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urljoin

from tests.hls import checker as hls
from tests.integration.process import wait_for
from tests.integration.server import Answer, fetch
from tests.isobmff import checker as isobmff

INTERVAL = 0.15
"""Seconds between two fetches of a media playlist."""


@dataclass(slots=True)
class Rendition:
    """What was seen of one media playlist."""

    path: str
    last: hls.MediaPlaylist
    segments: dict[int, hls.MediaSegment] = field(default_factory=dict)

    @property
    def discontinuities(self) -> int:
        """How many of the segments begin with a discontinuity."""
        return sum(segment.is_discontinuity for segment in list(self.segments.values()))


class Viewer:
    """Follows a stream in a thread of its own and keeps what it saw and what was wrong.

    Each playlist is judged by the checker of tests/hls, alone and against the one before;
    any answer but 200, once the first playlist is there, is a problem.
    """

    def __init__(self, port: int, key: str) -> None:
        self.path = f"/live/{key}/index.m3u8"
        self.problems: list[str] = []
        self.renditions: list[Rendition] = []
        """The media playlists, in the order of the multivariant playlist's variants first."""
        self.files: dict[str, bytes] = {}
        """Init and media segments by path."""
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
        for rendition in self.renditions:
            # what was missed, where a window moved faster than it was looked at, splits a run
            runs: dict[tuple[int, int], list[hls.MediaSegment]] = {}
            for index, (sequence, segment) in enumerate(sorted(rendition.segments.items())):
                if not segment.is_gap:
                    runs.setdefault((segment.discontinuity, sequence - index), []).append(segment)
            for run in runs.values():
                self._judge_run(rendition, run)
        return self.problems

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
        uris = [variant.uri for variant in multivariant.variants]
        uris += [audio.uri for audio in multivariant.audio]
        renditions = []
        for uri in dict.fromkeys(uris):
            path = urljoin(self.path, uri)
            playlist = self._playlist(path)
            if playlist is None:
                return
            rendition = Rendition(path, playlist)
            self._learn(rendition, playlist)
            renditions.append(rendition)
        self.renditions = renditions

    def _refresh(self, rendition: Rendition) -> None:
        playlist = self._playlist(rendition.path)
        if playlist is None:
            return
        try:
            hls.check_reload(rendition.last, playlist)
        except hls.CheckError as error:
            self._problem(f"{rendition.path}: {error}")
        self._learn(rendition, playlist)
        rendition.last = playlist

    def _playlist(self, path: str) -> hls.MediaPlaylist | None:
        answer = self._fetch(path)
        if answer is None:
            return None
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

    def _fetch(self, path: str, *, waiting: bool = False) -> Answer | None:
        try:
            answer = fetch(self._port, path)
        except OSError as error:
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
