"""The points that are measured: what load, and which figure of it."""

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median
from typing import Any
from urllib.parse import urljoin, urlsplit

from benchmarks import http_load, load
from benchmarks.figures import percentile
from benchmarks.generator import HTTPLoad, Load
from benchmarks.process import BenchmarkError
from benchmarks.sample import sample
from benchmarks.servers import HLS, INGEST, RapidRTMP, Server
from benchmarks.session import Session, Values, Window, window

MAX_BACKLOG = 1_000_000
"""Bytes of one publisher that the server has not taken: with more it does not keep up."""
PLAYLIST_TIMEOUT = 20.0
"""Seconds until a stream has a playlist."""
_URI = re.compile(r'^#EXT-X-MEDIA:.*?URI="([^"]+)"', re.MULTILINE)

INGEST_HLS_WORK = "ingest + HLS"
INGEST_WORK = "ingest"
FANOUT_WORK = "fan-out"
PLAYLIST_WORK = "playlist"
SEGMENT_WORK = "segment"
VIEWERS_WORK = "low-latency viewers"
FLAT_OUT_HLS_WORK = "flat out + HLS"
FLAT_OUT_WORK = "flat out"
PART_LATENCY_WORK = "publisher to part"
STREAM_MEMORY_WORK = "memory of a stream"
PLAYER_MEMORY_WORK = "memory of a player"
VIEWER_MEMORY_WORK = "memory of a viewer"
START_WORK = "start"
IDLE_WORK = "idle"

MILLISECONDS = 1000.0
MEGABYTES = 1e6


def rtmp(server: Server, flv: Path | None = None, **options: Any) -> load.Options:
    """Return options of RTMP load on a server."""
    return load.Options(server.rtmp, str(flv or sample()), **options)


def lines(text: str) -> list[str]:
    """Return the URIs of a playlist."""
    return [row for row in text.splitlines() if row and not row.startswith("#")]


def playlists(server: Server) -> list[str]:
    """Return the paths of the media playlists that a new viewer of s0 is told: video first.

    Raises:
        BenchmarkError: there is none in time.
    """
    last = time.monotonic() + PLAYLIST_TIMEOUT
    while True:
        try:
            text, url = server.get(server.playlist)
        except BenchmarkError:
            text = ""
        if "#EXT-X-STREAM-INF" in text:
            found = [*lines(text), *_URI.findall(text)]
            return [urlsplit(urljoin(url, uri)).path for uri in dict.fromkeys(found)]
        if "#EXTINF" in text:
            return [urlsplit(url).path]
        if time.monotonic() > last:
            raise BenchmarkError(f"no playlist at {server.playlist}")
        time.sleep(0.2)


def ingest(session: Session, n: int, mode: str = HLS, gop: float = 2.0) -> None:
    """Measure what a stream costs: (a) with HLS, (b) alone."""

    def one(server: Server) -> Values:
        with Load(rtmp(server, sample(gop), publishers=n)) as publishers:
            time.sleep(session.warm)
            windows = list(session.windows_of(server, publishers))
            if mode == HLS:
                playlists(server)
        check(windows, publishers=n)
        values = [MILLISECONDS * each.cpu / each.seconds / n for each in windows]
        return (
            values,
            others(windows),
            {
                **common(windows),
                "load_ms": generator_cost(windows, n),
                "late_p99_ms": MILLISECONDS * max(each.report["late_p99"] for each in windows),
            },
        )

    work = INGEST_HLS_WORK if mode == HLS else INGEST_WORK
    session.measure(work, n, "ms/stream-s", mode, one)


def fanout(session: Session, n: int, probes: int = 4) -> None:
    """Measure what an RTMP player costs (c), how late its frames are, and how fast it joins (f)."""

    def one(server: Server) -> Values:
        count = min(probes, n)
        with Load(rtmp(server, players=n, probes=count)) as everybody:
            time.sleep(session.warm / 2)
            windows = list(session.windows_of(server, everybody))
            joins = everybody.joins
        check(windows, publishers=1, players=n)
        reports = [each.report for each in windows]
        values = [MILLISECONDS * each.cpu / each.seconds / n for each in windows]
        fewest = [each["fewest_bytes"] / max(1, each["probe_bytes"]) for each in reports]
        return (
            values,
            others(windows),
            {
                **common(windows),
                "load_ms": generator_cost(windows, n),
                **latencies([each["latency"] for each in reports]),
                "join_ms_p50": MILLISECONDS * median(joins),
                "delivered": min(each["received"] / max(1, each["expected"]) for each in reports),
                "least_of_bytes": min(fewest),
            },
        )

    session.measure(FANOUT_WORK, n, "ms/player-s", INGEST, one)


def requests(session: Session, connections: int = 32) -> None:
    """Measure what requests for a playlist and for a segment cost (d)."""
    for work in (PLAYLIST_WORK, SEGMENT_WORK):

        def one(server: Server, work: str = work) -> Values:
            with Load(rtmp(server)):
                path = playlists(server)[0]
                time.sleep(max(session.warm, 8.0))
                windows = []
                for _ in range(session.windows):
                    if work == SEGMENT_WORK:
                        text, url = server.get(path)
                        target = urlsplit(urljoin(url, lines(text)[-1])).path
                    else:
                        target = path
                    options = http_load.Options(server.http, target, connections)
                    with HTTPLoad(options) as clients:
                        time.sleep(0.3)
                        windows.append(window(server, clients, session.seconds / 2))
            answers = sum(each.report["answers"] for each in windows)
            octets = sum(each.report["bytes"] for each in windows)
            cpu = sum(each.cpu for each in windows)
            values = [1e6 * each.cpu / max(1, each.report["answers"]) for each in windows]
            return (
                values,
                others(windows),
                {
                    **common(windows),
                    "bytes": round(octets / max(1, answers)),
                    "requests_per_cpu_s": answers / cpu,
                    "gigabytes_per_cpu_s": octets / cpu / 1e9,
                    "load_us": 1e6 * sum(each.report["cpu"] for each in windows) / max(1, answers),
                },
            )

        session.measure(work, 0, "µs/request", HLS, one)


def viewers(session: Session, n: int) -> None:
    """Measure what a low-latency viewer of two renditions costs (d)."""

    def one(server: Server) -> Values:
        with Load(rtmp(server)):
            playlists(server)
            time.sleep(max(session.warm, 8.0))
            each_viewer = tuple(tuple(playlists(server)) for _ in range(n))
            with HTTPLoad(http_load.Options(server.http, playlists=each_viewer)) as audience:
                time.sleep(session.warm / 2)
                windows = list(session.windows_of(server, audience))
        answers = sum(each.report["answers"] for each in windows)
        parts = sum(each.report["parts"] for each in windows)
        seconds = sum(each.seconds for each in windows)
        cpu = sum(each.cpu for each in windows)
        values = [MILLISECONDS * each.cpu / each.seconds / n for each in windows]
        return (
            values,
            others(windows),
            {
                **common(windows),
                "load_ms": generator_cost(windows, n),
                "us_per_answer": 1e6 * cpu / max(1, answers),
                "parts_per_viewer_s": parts / seconds / n,
                "viewers_per_core": n * seconds / cpu,
            },
        )

    session.measure(VIEWERS_WORK, n, "ms/viewer-s", HLS, one, only=is_ours)


def flat_out(session: Session, mode: str) -> None:
    """Measure how much one publisher can send for a CPU-second (e)."""

    def one(server: Server) -> Values:
        with Load(rtmp(server, flat_out=True)) as publisher:
            time.sleep(0.5)
            windows = list(session.windows_of(server, publisher))
        check(windows, publishers=1)
        values = [each.report["bytes"] / MEGABYTES / each.cpu for each in windows]
        wall = [each.report["bytes"] / MEGABYTES / each.seconds for each in windows]
        return values, others(windows), {**common(windows), "megabytes_per_s": median(wall)}

    work = FLAT_OUT_HLS_WORK if mode == HLS else FLAT_OUT_WORK
    session.measure(work, 0, "MB/CPU-s", mode, one)


def part_latency(session: Session, n: int, seconds: float = 12.0) -> None:
    """Measure the time from a picture's sending to the arrival of the part that holds it (f)."""

    def one(server: Server) -> Values:
        with Load(rtmp(server, publishers=n)) as publishers:
            path = playlists(server)[0]
            time.sleep(session.warm)
            with HTTPLoad(http_load.Options(server.http, probe=path)) as probe:
                time.sleep(1.0)
                publishers.begin()
                watched = window(server, probe, seconds)
                publishers.end()
                report = publishers.report()
        sent = dict(enumerate(report["sent"], report["first"]))
        arrivals = watched.report["arrivals"]
        delays = [MILLISECONDS * (at - sent[number]) for number, at in arrivals if number in sent]
        if not delays:
            raise BenchmarkError("no marked picture was found in any part")
        found = {f"p{percent}": percentile(delays, percent / 100) for percent in (50, 99, 100)}
        return (
            [found["p99"]],
            [watched.others],
            {
                "mean_ms": fmean(delays),
                **{f"{name}_ms": value for name, value in found.items()},
                "pictures": len(delays),
            },
        )

    session.measure(PART_LATENCY_WORK, n, "ms (p99)", HLS, one, only=is_ours)


def memory(session: Session, n: int = 10, players: int = 100, fill: float = 25.0) -> None:
    """Measure the memory of a stream with a full playlist, of a player and of a viewer (g)."""

    def stream(server: Server) -> Values:
        empty = server.memory()
        with Load(rtmp(server, publishers=n)) as publishers:
            time.sleep(fill)
            watched = window(server, publishers, 1.0)
            full, files = server.memory(), server.media_bytes()
        check([watched], publishers=n)
        each = (full - empty + files) / n / MEGABYTES
        return (
            [each],
            [watched.others],
            {
                "empty_mb": empty / MEGABYTES,
                "in_files_mb": files / n / MEGABYTES,
            },
        )

    def player(server: Server) -> Values:
        with Load(rtmp(server)) as publisher:
            time.sleep(session.warm)
            without = server.memory()
            with Load(rtmp(server, publishers=0, players=players, probes=0)):
                time.sleep(session.warm)
                used = server.memory() - without
            watched = window(server, publisher, 0.5)
        return [used / players / 1000], [watched.others], {}

    def viewer(server: Server) -> Values:
        with Load(rtmp(server)) as publisher:
            playlists(server)
            time.sleep(max(session.warm, 8.0))
            without = server.memory()
            each_viewer = tuple(tuple(playlists(server)) for _ in range(players))
            with HTTPLoad(http_load.Options(server.http, playlists=each_viewer)):
                time.sleep(session.warm)
                used = server.memory() - without
            watched = window(server, publisher, 0.5)
        return [used / players / 1000], [watched.others], {}

    session.measure(STREAM_MEMORY_WORK, n, "MB", HLS, stream)
    session.measure(PLAYER_MEMORY_WORK, players, "kB", INGEST, player)
    session.measure(VIEWER_MEMORY_WORK, players, "kB", HLS, viewer, only=is_ours)


def start(session: Session, seconds: float = 5.0) -> None:
    """Measure the start, and what it costs to do nothing (h)."""

    def begin(server: Server) -> Values:
        return (
            [MILLISECONDS * server.started],
            [],
            {
                "cpu_ms": MILLISECONDS * server.start_cpu,
                "memory_mb": server.memory() / MEGABYTES,
            },
        )

    def idle(server: Server) -> Values:
        time.sleep(1.0)
        before = server.cpu()
        time.sleep(seconds)
        return [MILLISECONDS * (server.cpu() - before) / seconds], [], {}

    session.measure(START_WORK, 0, "ms", HLS, begin)
    session.measure(IDLE_WORK, 0, "ms/s", HLS, idle)


def is_ours(server: Server) -> bool:
    """Tell whether a server has low-latency HLS."""
    return isinstance(server, RapidRTMP)


def check(windows: Sequence[Window], publishers: int, players: int = 0) -> None:
    """Make sure that everybody was there to the end, and nothing waited.

    Raises:
        BenchmarkError: somebody was lost, or the server does not keep up.
    """
    for each in windows:
        report = each.report
        if report["publishers"] != publishers or report["players"] != players:
            raise BenchmarkError(
                f"{report['publishers']} of {publishers} publishers and {report['players']} of "
                f"{players} players were left: {report['lost']}"
            )
        if report["max_backlog"] > MAX_BACKLOG:
            raise BenchmarkError(
                f"does not keep up: {report['max_backlog'] / MEGABYTES:.1f} MB of a publisher wait"
            )


def others(windows: Sequence[Window]) -> list[float]:
    """Return what others used of each window."""
    return [each.others for each in windows]


def generator_cost(windows: Sequence[Window], n: int) -> float:
    """Return the load's own CPU-ms a second, for each of n."""
    seconds: float = sum(each.report["cpu"] for each in windows)
    return MILLISECONDS * seconds / sum(each.seconds for each in windows) / n


def common(windows: Sequence[Window]) -> dict[str, Any]:
    """Return what is told of every point."""
    return {
        "user_share": median(each.user_share for each in windows),
        "cores": median(each.cpu / each.seconds for each in windows),
    }


def latencies(of_windows: Sequence[dict[str, float | None]]) -> dict[str, float]:
    """Return each percentile's median over the windows, in ms."""
    found = {}
    for name in of_windows[0]:
        values = [each[name] for each in of_windows]
        found[f"{name}_ms"] = MILLISECONDS * median(value or 0.0 for value in values)
    return found


def longer(session: Session, seconds: float) -> Session:
    """Return the session with one window of another length."""
    return replace(session, seconds=seconds, windows=1)
