"""Follows one media playlist as a player would, and hands all of it to the judge."""

from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from rapidrtmp.check.client import Client, FetchError, resolve
from rapidrtmp.judge.finding import Report
from rapidrtmp.judge.http_rules import (
    MAP,
    PART,
    PLAYLIST,
    SEGMENT,
    Answer,
    judge_answer,
    judge_speed,
)
from rapidrtmp.judge.playlist import MediaPlaylist, Part, Resource, Segment
from rapidrtmp.judge.presentation import PresentationJudge
from rapidrtmp.judge.rendition import RenditionJudge
from rapidrtmp.judge.syntax import MAX_PLAYLIST

MAX_SEGMENT = 64 << 20
"""Bytes of a segment or part that are judged."""
MAX_JOBS = 2000
"""Segments and parts that wait to be fetched."""
FIRST_SEGMENTS = 10
"""Of a live playlist's past that are fetched at the start."""
TIMEOUT = 20.0
"""Seconds for a file."""
SHORTEST_PAUSE = 0.05
"""Seconds between two requests for a playlist, whatever it says."""
MAX_FAILURES = 5
"""Playlists that may fail to come, one after the other."""
LONGEST_TARGET = 600.0
"""Seconds of a target duration that are waited for, whatever the playlist says."""
FAR = 1000
"""Segments ahead of what can be asked for."""
DELTA_TRIALS = 5


@dataclass(slots=True)
class Job:
    """Something to fetch: a segment, or a part of one."""

    segment: Segment | None
    sequence: int
    part: Part | None = None
    index: int = 0
    map: Resource | None = None


@dataclass(slots=True)
class Times:
    """How long requests took, in seconds."""

    reloads: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))
    downloads: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))


class Follower:
    """Follows one rendition."""

    def __init__(
        self,
        url: str,
        judge: RenditionJudge,
        presentation: PresentationJudge,
        client: Client,
        clock: Any,
        report: Report,
        segments: int | None = None,
    ) -> None:
        """Make a follower.

        Args:
            url: absolute, of the media playlist.
            judge: of this rendition.
            presentation: of all of them.
            client: fetches.
            clock: tells unix time, and makes delays.
            report: gets what is wrong with HTTP.
            segments: how many are judged, None for as many as come.
        """
        self.url = url
        self.judge = judge
        self.times = Times()
        self.is_reached = False
        """A playlist came."""
        self.problem = ""
        """Why none came."""
        self._presentation = presentation
        self._client = client
        self._clock = clock
        self._report = report
        self._limit = segments
        self._stopped = False
        self._tasks: set[Deferred[None]] = set()
        self._jobs: deque[Job] = deque()
        self._wake: Deferred[None] | None = None
        self._all_listed = False
        self._next: tuple[int, int] | None = None
        self._hint: tuple[Resource, Deferred[Answer | FetchError]] | None = None
        self._failures = 0
        self._has_looked_back = False
        self._deltas = 0
        self._is_probed = False

    async def follow(self) -> None:
        """Follow until the end of the stream, the number of segments, or `stop`."""
        tasks = [self._task(self._reload()), self._task(self._fetch())]
        try:
            await gatherResults(tasks, consumeErrors=True)
        except Exception:
            if not self._stopped:
                raise
        finally:
            self._stopped = True
            if self._hint is not None:
                self._hint[1].cancel()

    def stop(self) -> None:
        """Stop following; what is under way is given up."""
        self._stopped = True
        for task in list(self._tasks):
            task.cancel()

    def _task(self, coroutine: Coroutine[Deferred[Any], Any, None]) -> Deferred[None]:
        task = Deferred.fromCoroutine(coroutine)
        self._tasks.add(task)

        def done(result: Any) -> Any:
            self._tasks.discard(task)
            return None if self._stopped else result

        return task.addBoth(done)

    # playlists

    async def _reload(self) -> None:
        before: MediaPlaylist | None = None
        while not self._stopped:
            asked_at = self._clock.seconds()
            self._failures += 1
            playlist = await self._load()
            if playlist is not None:
                self._failures = 0
            elif self._failures == MAX_FAILURES or before is None:
                break
            if playlist is not None:
                self._enqueue(playlist)
                self._ask_hint(playlist)
                if self._has_enough() or urlsplit(self.url).scheme == "file":
                    break
                if playlist.is_ended:
                    if before is None or before.is_ended:
                        break
                    # the end has come while it was watched: does it stay?
                    before = playlist
                    await deferLater(self._clock, _target(playlist))
                    continue
                if before is not None:
                    await self._look_back(before, playlist)
                    await self._probe_directives(playlist)
            is_news = playlist is not None and (before is None or playlist.last != before.last)
            before = playlist or before
            await self._pause(before, asked_at, is_news)
        self._all_listed = True
        self._awake()

    async def _pause(self, playlist: MediaPlaylist | None, asked_at: float, is_news: bool) -> None:
        """Wait as long as a player has to (6.3.4)."""
        target = _target(playlist)
        pause = target if is_news else target / 2
        if playlist is not None and playlist.can_block_reload:
            pause = 0.0
        due = asked_at + pause - self._clock.seconds()
        await deferLater(self._clock, max(due, SHORTEST_PAUSE))

    async def _load(self) -> MediaPlaylist | None:
        """Fetch the playlist, waiting for news where the server offers that."""
        before = self.judge.playlist
        directives: dict[str, str] = {}
        requested: tuple[int, int | None] | None = None
        timeout = TIMEOUT
        if before is not None and before.can_block_reload and not before.is_ended:
            part = len(before.open_parts) if before.is_low_latency else None
            requested = (before.next_sequence, part)
            directives["_HLS_msn"] = str(before.next_sequence)
            if part is not None:
                directives["_HLS_part"] = str(part)
            if before.can_skip_until is not None and self._deltas % 2:
                directives["_HLS_skip"] = "YES"
            self._deltas += 1
            timeout += 3.0 * _target(before)
        answer = await self._get(with_directives(self.url, directives), timeout, MAX_PLAYLIST, True)
        if answer is None:
            return None
        if requested is None:
            self.times.reloads.append(answer.seconds)
        elif answer.status == 503 and answer.seconds >= 3:
            # nothing came in time (6.2.5.2): no failure of the server's
            self._failures = 0
            self.judge.arrivals.receive_nothing(self._clock.seconds())
            return None
        is_sound = judge_answer(
            PLAYLIST, answer, self.judge.name, self._report, is_blocked=requested is not None
        )
        if not is_sound:
            self.problem = f"status {answer.status}"
            return None
        now = self._clock.seconds()
        playlist = self.judge.receive_playlist(
            answer.body, now, requested=requested, prompt=requested is not None
        )
        if playlist is None:
            self.problem = "no playlist"
            return None
        self.is_reached = True
        self._presentation.judge_reports(
            self.url,
            playlist,
            lambda uri: with_directives(resolve(answer.url, uri), {}),
            answer.asked_at,
            now,
        )
        if before is None and playlist.can_skip_until is not None and not playlist.is_ended:
            await self._probe_delta(answer.body)
        return playlist

    async def _probe_delta(self, full: bytes) -> None:
        """Compare a delta update with the full playlist of the same moment."""
        for _ in range(DELTA_TRIALS):
            url = with_directives(self.url, {"_HLS_skip": "YES"})
            delta = await self._get(url, TIMEOUT, MAX_PLAYLIST, True)
            if delta is None or delta.status != 200:
                break
            if self.judge.judge_delta(full, delta.body):
                return
            again = await self._get(self.url, TIMEOUT, MAX_PLAYLIST, True)
            if again is None or again.status != 200:
                break
            full = again.body

    async def _probe_directives(self, playlist: MediaPlaylist) -> None:
        """What can never be answered is refused (6.2.5.2)."""
        if self._is_probed or not playlist.can_block_reload:
            return
        self._is_probed = True
        trials = [("blocking-far", {"_HLS_msn": str(playlist.next_sequence + FAR)})]
        if playlist.is_low_latency:
            trials.append(("blocking-refusal", {"_HLS_part": "0"}))
        for rule, directives in trials:
            url = with_directives(self.url, directives)
            answer = await self._get(url, 3.0, MAX_PLAYLIST, True, must=False)
            if answer is None or answer.status != 400:
                came = "no answer in 3 s" if answer is None else f"{answer.status}"
                words = f"{urlencode(directives)}: {came}, not 400"
                self._report.add(rule, self.judge.name, words)

    # media

    def _has_enough(self) -> bool:
        return self._limit is not None and self.judge.judged >= self._limit

    def _enqueue(self, playlist: MediaPlaylist) -> None:
        """Ask for the parts and segments that are new."""
        if self._next is None:
            skip = 0 if playlist.is_ended else max(len(playlist.segments) - FIRST_SEGMENTS, 0)
            self._next = (playlist.media_sequence + skip, 0)
        for segment in playlist.segments:
            if segment.sequence < self._next[0]:
                continue
            self._enqueue_parts(segment.sequence, segment.parts, segment.map)
            if not segment.is_gap:
                self._jobs.append(Job(segment, segment.sequence, map=segment.map))
            self._next = (segment.sequence + 1, 0)
        if playlist.open_parts and playlist.next_sequence >= self._next[0]:
            self._enqueue_parts(playlist.next_sequence, playlist.open_parts, playlist.open_map)
        while len(self._jobs) > MAX_JOBS:
            job = self._jobs.popleft()
            where = f"{self.judge.name} segment {job.sequence}"
            self._report.add("download-slow", where, "left out: there is too much to fetch")
        self._awake()

    def _enqueue_parts(self, sequence: int, parts: tuple[Part, ...], map_: Resource | None) -> None:
        assert self._next is not None, "set with the first playlist"
        known = self._next[1] if self._next[0] == sequence else 0
        for index, part in enumerate(parts):
            if index >= known and not part.is_gap:
                self._jobs.append(Job(None, sequence, part, index, map_))
        self._next = (sequence, max(len(parts), known))

    def _awake(self) -> None:
        if self._wake is not None:
            wake, self._wake = self._wake, None
            wake.callback(None)

    async def _fetch(self) -> None:
        """Fetch one after the other, in order."""
        while not self._stopped:
            if not self._jobs:
                if self._all_listed:
                    return
                self._wake = Deferred()
                await self._wake
                continue
            if self._has_enough():
                return
            job = self._jobs.popleft()
            if job.map is not None and not self.judge.knows_map(job.map):
                answer = await self._get_resource(job.map, MAP, f"map {job.map.uri[-60:]}")
                if answer is not None:
                    self.judge.receive_map(job.map, answer.body)
            if job.part is not None:
                await self._fetch_part(job, job.part)
            elif job.segment is not None:
                where = f"segment {job.sequence}"
                answer = await self._get_resource(job.segment.resource, SEGMENT, where)
                if answer is not None:
                    self.times.downloads.append(answer.seconds)
                    name = f"{self.judge.name} {where}"
                    judge_speed(answer, job.segment.duration, name, self._report)
                    self.judge.receive_segment(job.segment, answer.body)

    async def _fetch_part(self, job: Job, part: Part) -> None:
        where = f"part {job.sequence}.{job.index}"
        answer: Answer | None = None
        if self._hint is not None and self._hint[0].uri == part.resource.uri:
            hint, self._hint = self._hint[1], None
            hinted = await hint
            name = f"{self.judge.name} {where}"
            if isinstance(hinted, FetchError):
                self._report.add("http-status", name, f"{hinted}: asked for as a hint")
            elif judge_answer(PART, hinted, name, self._report):
                answer = hinted
        if answer is None or part.resource.length is not None:
            answer = await self._get_resource(part.resource, PART, where)
        if answer is not None:
            self.judge.receive_part(job.sequence, job.index, part, job.map, answer.body)

    def _ask_hint(self, playlist: MediaPlaylist) -> None:
        """Ask for what is hinted before it is there, as players do."""
        hint = next((resource for kind, resource, _ in playlist.hints if kind == "PART"), None)
        if hint is None or hint.length is not None or hint.start or self._stopped:
            return
        if self._hint is not None:
            # the one that is asked for has come, and waits to be taken
            waiting = any(job.part and job.part.resource == self._hint[0] for job in self._jobs)
            if self._hint[0] == hint or waiting:
                return
            self._hint[1].cancel()
        url = resolve(self.url, hint.uri)
        timeout = TIMEOUT + 3.0 * _target(playlist)
        self._hint = (hint, Deferred.fromCoroutine(self._ask(url, timeout)))

    async def _ask(self, url: str, timeout: float) -> Answer | FetchError:
        try:
            return await self._client.get(url, limit=MAX_SEGMENT, timeout=timeout)
        except FetchError as error:
            return error

    async def _get_resource(self, resource: Resource, kind: str, where: str) -> Answer | None:
        """Fetch media; None, and a finding, where there is none to judge."""
        byte_range = None if resource.length is None else (resource.start, resource.length)
        url = resolve(self.url, resource.uri)
        answer = await self._get(url, TIMEOUT, MAX_SEGMENT, False, byte_range=byte_range)
        if answer is None:
            return None
        name = f"{self.judge.name} {where}"
        return answer if judge_answer(kind, answer, name, self._report) else None

    async def _get(
        self,
        url: str,
        timeout: float,
        limit: int,
        compressed: bool,
        *,
        byte_range: tuple[int, int] | None = None,
        must: bool = True,
    ) -> Answer | None:
        try:
            return await self._client.get(
                url, limit=limit, timeout=timeout, byte_range=byte_range, compressed=compressed
            )
        except FetchError as error:
            self.problem = str(error)
            if must and not self._stopped:
                self._report.add("http-status", f"{self.judge.name}", f"{error}: {url[-120:]}")
            return None

    async def _look_back(self, before: MediaPlaylist, playlist: MediaPlaylist) -> None:
        """A segment that has just left the playlist can be fetched (6.2.2)."""
        gone = [s for s in before.segments if s.sequence < playlist.media_sequence and not s.is_gap]
        if not gone or self._has_looked_back:
            return
        self._has_looked_back = True
        url = resolve(self.url, gone[-1].resource.uri)
        answer = await self._get(url, TIMEOUT, MAX_SEGMENT, False, must=False)
        if answer is None or answer.status not in (200, 206):
            came = "no answer" if answer is None else f"status {answer.status}"
            where = f"{self.judge.name} segment {gone[-1].sequence}"
            self._report.add("segment-gone", where, f"{came}, just when it was removed")


def _target(playlist: MediaPlaylist | None) -> float:
    """Seconds of the target duration, within reason."""
    seconds = playlist.target_duration if playlist is not None else 0
    return min(float(seconds or 1), LONGEST_TARGET)


def with_directives(url: str, directives: dict[str, str]) -> str:
    """Return an URL with delivery directives, in the place of those that it has (6.2.5)."""
    parts = urlsplit(url)
    if not directives and "_HLS_" not in parts.query:
        return url
    query = [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if not name.startswith("_HLS_")
    ]
    return urlunsplit(parts._replace(query=urlencode(query + sorted(directives.items()))))
