"""How cost grows: with streams, players, viewers, window and GOP length; what one core carries."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks import http_load, points
from benchmarks.figures import histogram_percentile, line, read_buckets, slope
from benchmarks.generator import Generator, HTTPLoad, Load
from benchmarks.process import BenchmarkError
from benchmarks.sample import sample
from benchmarks.servers import HLS, INGEST, RapidRTMP
from benchmarks.session import Session, Window, alone, progress, window

BUSY = 0.3
"""Processors that other work uses, from which on the lag is not the server's own."""
FULL = 0.8
"""Of a processor: up to there everything is to be in order."""
LAG = "rapidrtmp_reactor_lag_seconds"
MAX_LAG = 0.02
"""Seconds, p99, up to FULL."""
SECONDS = 15.0
"""Of a window: the lag is measured four times a second."""
STREAMS = (1, 10, 30, 60)
PLAYERS = (10, 100, 300)
VIEWERS = (10, 50, 100)
SHARES = (0.5, FULL, 1.1)
"""Of a processor: where further points are tried, by what those before cost."""
MOST = {"streams": 1000, "players": 3000, "viewers": 1500}
WINDOWS = (5, 10, 30, 100, 300)
"""HLS_MAX_SEGMENTS"""
WINDOW_STREAMS, WINDOW_VIEWERS = 2, 20
GOPS = (1.0, 2.0, 4.0, 8.0)
"""Seconds."""
GOP_STREAMS = 10
FILL_TIMEOUT = 90.0
"""Seconds until a playlist that was sent ahead is as long as it may be."""


@dataclass(frozen=True, slots=True)
class Step:
    """The server under one load."""

    n: int
    cores: float
    """Processors that it used."""
    lag: float
    """Seconds, p99."""
    memory: float
    """MB"""
    load: float
    """Processors that the load used."""
    late: float
    """Seconds, p99, by which the load sent later than it should."""
    others: float


Ways = Callable[[RapidRTMP, int], Any]


def run(session: Session) -> None:
    """Measure all of it, of the first RapidRTMP of the session."""
    server = next((each for each in session.found.servers if isinstance(each, RapidRTMP)), None)
    if server is None:
        raise BenchmarkError("growth is measured of RapidRTMP only")
    words: list[str] = []
    tables = []
    for what, mode, counts, load in (
        ("streams", HLS, STREAMS, streams),
        ("players", INGEST, PLAYERS, players),
        ("viewers", HLS, VIEWERS, viewers),
    ):
        steps, broke = climb(server, mode, what, counts, load)
        words.append(summary(what, steps, broke))
        tables.append(table(what, steps))
        progress(words[-1])
    tables += [of_windows(server), of_gops(server)]
    session.growth = {"words": words, "tables": tables}


@contextmanager
def streams(server: RapidRTMP, n: int) -> Iterator[Generator]:
    """Publish n streams, which are packaged."""
    with Load(points.rtmp(server, publishers=n)) as load:
        yield load


@contextmanager
def players(server: RapidRTMP, n: int) -> Iterator[Generator]:
    """Play one stream n times over RTMP."""
    with Load(points.rtmp(server, players=n, probes=2)) as load:
        yield load


@contextmanager
def viewers(server: RapidRTMP, n: int) -> Iterator[Generator]:
    """Watch one stream n times as low-latency HLS."""
    with Load(points.rtmp(server)):
        points.playlists(server)
        time.sleep(6.0)
        each_viewer = tuple(tuple(points.playlists(server)) for _ in range(n))
        with HTTPLoad(http_load.Options(server.http, playlists=each_viewer)) as load:
            yield load


def climb(
    server: RapidRTMP, mode: str, what: str, counts: Sequence[int], load: Ways
) -> tuple[list[Step], str]:
    """Raise the load until a processor is full.

    Returns:
        The steps, and what went wrong at the next one, if anything did.
    """
    steps: list[Step] = []
    todo = list(counts)
    shares = list(SHARES)
    while todo or shares:
        if not todo:
            idle, each = line([(step.n, step.cores) for step in steps])
            n = round((shares.pop(0) - idle) / each) if each > 0 else MOST[what]
            if n <= steps[-1].n or n > MOST[what]:
                continue
            todo.append(n)
        n = todo.pop(0)
        try:
            with alone(), server(mode), load(server, n) as generator:
                time.sleep(4.0)
                step = measure(server, generator, n)
        except BenchmarkError as error:
            progress(f"growth, {n} {what}: {error}")
            return steps, f"{n} {what}: {error}"
        steps.append(step)
        progress(
            f"growth, {n} {what}: {step.cores:.2f} of a processor, lag p99 {1000 * step.lag:.0f} ms"
        )
        if step.cores > 0.95:
            break
    return steps, ""


def measure(server: RapidRTMP, generator: Generator, n: int) -> Step:
    """Measure the server under a load that is there."""
    before = read_buckets(server.get("/metrics")[0], LAG)
    watched = window(server, generator, SECONDS)
    after = read_buckets(server.get("/metrics")[0], LAG)
    lost = watched.report.get("lost")
    if lost:
        raise BenchmarkError(f"connections were lost: {lost[0]}")
    if watched.report.get("max_backlog", 0) > points.MAX_BACKLOG:
        raise BenchmarkError("the server does not take what publishers send")
    return Step(
        n,
        watched.cpu / watched.seconds,
        histogram_percentile(before, after, 0.99),
        server.memory() / points.MEGABYTES,
        watched.report["cpu"] / watched.seconds,
        watched.report.get("late_p99") or 0.0,
        watched.others,
    )


def at(steps: Sequence[Step], cores: float) -> int:
    """Return how many fill so much of a processor, by a line through the steps."""
    idle, each = line([(step.n, step.cores) for step in steps])
    return int((cores - idle) / each) if each > 0 else 0


def summary(what: str, steps: Sequence[Step], broke: str) -> str:
    """Say what one core carries, how cost grows and what breaks first."""
    if len(steps) < 3:
        return f"**{what}**: too few points. {broke}"
    exponent = slope([(step.n, step.cores) for step in steps[1:]])
    full = [step for step in steps if step.cores <= FULL + 0.02]
    late = [step for step in steps if step.lag > MAX_LAG and step.others < BUSY]
    per = 1000 * (steps[-1].memory - steps[0].memory) / max(1, steps[-1].n - steps[0].n)
    said = (
        f"**{what}**: {at(steps, FULL)} fill {FULL:.0%} of a processor; from {steps[1].n} on the "
        f"cost grows as N^{exponent:.2f} (1 is linear); each takes {per:,.0f} kB. Up to "
        f"{full[-1].n if full else 0} ({full[-1].cores if full else 0:.0%} of a processor) the "
        f"reactor's lag p99 is {1000 * max((step.lag for step in full), default=0):.0f} ms at most."
    )
    most = max(step.others for step in steps)
    if most >= BUSY:
        said += f" Other work used up to {most:.1f} processors meanwhile, which the lag shows, too."
    if broke:
        return f"{said} First to break: {broke}."
    if late:
        first = late[0]
        return (
            f"{said} First to break: the lag, {1000 * first.lag:.0f} ms at {first.n} "
            f"({first.cores:.0%} of a processor)."
        )
    return f"{said} Nothing broke up to {steps[-1].n} ({steps[-1].cores:.0%} of a processor)."


def table(what: str, steps: Sequence[Step]) -> dict[str, Any]:
    """Return the steps as a table."""
    return {
        "title": f"With {what}",
        "heads": [
            what,
            "of a processor",
            "CPU-ms/s of each",
            "lag p99 ms",
            "memory MB",
            "load's own",
            "load late p99 ms",
            "others",
        ],
        "rows": [
            [
                str(step.n),
                f"{step.cores:.0%}",
                f"{1000 * step.cores / step.n:.2f}",
                f"{1000 * step.lag:.1f}",
                f"{step.memory:.0f}",
                f"{step.load:.0%}",
                f"{1000 * step.late:.0f}",
                f"{step.others:.0%}",
            ]
            for step in steps
        ],
    }


def of_windows(server: RapidRTMP) -> dict[str, Any]:
    """Measure how cost grows with the length of the playlist."""
    rows = []
    former = server.extra
    try:
        for segments in WINDOWS:
            server.extra = {**former, "HLS_MAX_SEGMENTS": str(segments)}
            with alone(), server(HLS):
                watched, size = _filled(server, segments)
                memory = server.memory() / points.MEGABYTES
            rows.append(
                [
                    str(segments),
                    f"{size}",
                    f"{1000 * watched.cpu / watched.seconds:.1f}",
                    f"{1e6 * watched.cpu / max(1, watched.report['answers']):.0f}",
                    f"{memory:.0f}",
                ]
            )
            progress(f"growth, {segments} segments listed: {rows[-1][2]} CPU-ms/s")
    finally:
        server.extra = former
    return {
        "title": "With the length of the playlist (HLS_MAX_SEGMENTS), "
        f"{WINDOW_STREAMS} streams and {WINDOW_VIEWERS} low-latency viewers",
        "heads": ["segments", "bytes of the playlist", "CPU-ms/s", "µs/answer", "memory MB"],
        "rows": rows,
    }


def _filled(server: RapidRTMP, segments: int) -> tuple[Window, int]:
    """Fill the playlist ahead of time, then let it be watched; tell the playlist's size."""
    ahead = 2.0 * (segments + 2)
    options = points.rtmp(server, publishers=WINDOW_STREAMS, ahead=ahead, spread=0.5)
    with Load(options):
        last = time.monotonic() + FILL_TIMEOUT
        while True:
            text, _ = server.get(points.playlists(server)[0])
            if len(points.lines(text)) >= segments:
                break
            if time.monotonic() > last:
                raise BenchmarkError(f"the playlist got no longer than {len(points.lines(text))}")
            time.sleep(0.5)
        each_viewer = tuple(tuple(points.playlists(server)) for _ in range(WINDOW_VIEWERS))
        with HTTPLoad(http_load.Options(server.http, playlists=each_viewer)) as audience:
            time.sleep(2.0)
            return window(server, audience, SECONDS / 2), len(text)


def of_gops(server: RapidRTMP) -> dict[str, Any]:
    """Measure how cost grows with the distance of key frames."""
    rows = []
    for gop in GOPS:
        flv = sample(gop)
        with alone(), server(HLS):
            with Load(points.rtmp(server, flv, publishers=GOP_STREAMS)) as load:
                time.sleep(4.0 + gop)
                watched = window(server, load, max(SECONDS / 2, 2 * gop))
            memory = server.memory() / points.MEGABYTES
        rows.append(
            [
                f"{gop:g}",
                f"{1000 * watched.cpu / watched.seconds / GOP_STREAMS:.2f}",
                f"{memory:.0f}",
            ]
        )
        progress(f"growth, key frames every {gop:g} s: {rows[-1][1]} ms/stream-s")
    return {
        "title": f"With the distance of key frames, {GOP_STREAMS} streams",
        "heads": ["seconds", "CPU-ms/stream-s", "memory MB"],
        "rows": rows,
    }
