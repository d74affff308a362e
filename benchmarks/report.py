"""Results as Markdown, JSON and plots."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks import plot, points

TITLE = "# Performance: results"


class Column(NamedTuple):
    """A figure of a table."""

    title: str
    key: str
    form: str


CORES = Column("processors", "cores", "{:.2f}")
USER = Column("user share", "user_share", "{:.0%}")


LATE = Column("load late p99 ms", "late_p99_ms", "{:.0f}")


class Table(NamedTuple):
    """How the points of one work are shown."""

    work: str
    title: str
    counted: str
    """What is counted; empty where nothing is."""
    form: str
    more_is_better: bool
    columns: Sequence[Column]


TABLES = (
    Table(
        points.INGEST_HLS_WORK,
        "(a) Ingest and HLS packaging",
        "streams",
        "{:.2f}",
        False,
        (CORES, USER, Column("load's own", "load_ms", "{:.2f}"), LATE),
    ),
    Table(
        points.INGEST_WORK,
        "(b) Ingest alone",
        "streams",
        "{:.2f}",
        False,
        (CORES, USER, Column("load's own", "load_ms", "{:.2f}"), LATE),
    ),
    Table(
        points.FANOUT_WORK,
        "(c, f) RTMP fan-out of one stream",
        "players",
        "{:.3f}",
        False,
        (
            CORES,
            Column("latency p50 ms", "p50_ms", "{:.1f}"),
            Column("p99 ms", "p99_ms", "{:.1f}"),
            Column("join ms", "join_ms_p50", "{:.0f}"),
            Column("delivered", "delivered", "{:.2%}"),
            Column("load's own", "load_ms", "{:.3f}"),
        ),
    ),
    Table(
        points.PLAYLIST_WORK,
        "(d) Playlist requests",
        "",
        "{:.1f}",
        False,
        (
            Column("bytes", "bytes", "{:.0f}"),
            Column("requests/CPU-s", "requests_per_cpu_s", "{:.0f}"),
            Column("load's own µs", "load_us", "{:.0f}"),
        ),
    ),
    Table(
        points.SEGMENT_WORK,
        "(d) Segment requests",
        "",
        "{:.0f}",
        False,
        (
            Column("bytes", "bytes", "{:.0f}"),
            Column("GB/CPU-s", "gigabytes_per_cpu_s", "{:.2f}"),
            Column("load's own µs", "load_us", "{:.0f}"),
        ),
    ),
    Table(
        points.VIEWERS_WORK,
        "(d) Low-latency HLS viewers",
        "viewers",
        "{:.2f}",
        False,
        (
            Column("µs/answer", "us_per_answer", "{:.0f}"),
            Column("parts/s of each", "parts_per_viewer_s", "{:.1f}"),
            Column("viewers a processor", "viewers_per_core", "{:.0f}"),
            Column("load's own", "load_ms", "{:.2f}"),
        ),
    ),
    Table(
        points.FLAT_OUT_HLS_WORK,
        "(e) Flat out, with HLS",
        "",
        "{:.0f}",
        True,
        (Column("MB/s", "megabytes_per_s", "{:.0f}"),),
    ),
    Table(
        points.FLAT_OUT_WORK,
        "(e) Flat out, ingest alone",
        "",
        "{:.0f}",
        True,
        (Column("MB/s", "megabytes_per_s", "{:.0f}"),),
    ),
    Table(
        points.PART_LATENCY_WORK,
        "(f) From the publisher's socket to the part that holds the picture",
        "streams",
        "{:.0f}",
        False,
        (Column("mean ms", "mean_ms", "{:.0f}"), Column("p50 ms", "p50_ms", "{:.0f}")),
    ),
    Table(
        points.STREAM_MEMORY_WORK,
        "(g) Memory of a stream, 10 segments of 2 s listed",
        "streams",
        "{:.2f}",
        False,
        (
            Column("of it in files", "in_files_mb", "{:.2f}"),
            Column("without a stream MB", "empty_mb", "{:.1f}"),
        ),
    ),
    Table(points.PLAYER_MEMORY_WORK, "(g) Memory of a player", "players", "{:.1f}", False, ()),
    Table(points.VIEWER_MEMORY_WORK, "(g) Memory of a viewer", "viewers", "{:.1f}", False, ()),
    Table(
        points.START_WORK,
        "(h) From start to ready",
        "",
        "{:.0f}",
        False,
        (
            Column("CPU-ms", "cpu_ms", "{:.0f}"),
            Column("memory MB", "memory_mb", "{:.1f}"),
        ),
    ),
    Table(points.IDLE_WORK, "(h) Doing nothing", "", "{:.2f}", False, ()),
)


def ratio(ours: float, theirs: float, *, more_is_better: bool = False) -> str:
    """Return how many times as dear one is as another; below 1 is cheaper."""
    if more_is_better:
        ours, theirs = theirs, ours
    return f"{ours / theirs:.2f}" if theirs > 0 else "-"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def of_work(results: Sequence[Mapping[str, Any]], shown: Table) -> list[str]:
    """Return the table of one work: a row for each point and server; none without results."""
    found = [each for each in results if each["work"] == shown.work]
    if not found:
        return []
    servers = list(dict.fromkeys(each["server"] for each in found))
    first = servers[0]
    base = {each["n"]: each for each in found if each["server"] == first}
    heads = [
        *([shown.counted] if shown.counted else []),
        "server",
        found[0]["unit"],
        "least to greatest",
        *([f"{first} ÷ it"] if len(servers) > 1 else []),
        *(column.title for column in shown.columns),
    ]
    rows = []
    for each in sorted(found, key=lambda each: (each["n"], servers.index(each["server"]))):
        begin = [str(each["n"])] if shown.counted else []
        values = each["values"]
        if not values:
            blanks = [""] * (len(heads) - len(begin) - 2)
            rows.append([*begin, each["server"], each["error"].replace("|", "/"), *blanks])
            continue
        ours = base[each["n"]]["values"] if each["n"] in base else []
        compared = "-"
        if ours:
            compared = ratio(median(ours), median(values), more_is_better=shown.more_is_better)
        rows.append(
            [
                *begin,
                each["server"],
                f"**{shown.form.format(median(values))}**",
                f"{shown.form.format(min(values))} to {shown.form.format(max(values))}",
                *([compared] if len(servers) > 1 else []),
                *(_figure(each["details"], column) for column in shown.columns),
            ]
        )
    return [f"## {shown.title}", "", *table(heads, rows), ""]


def _figure(details: Mapping[str, Any], column: Column) -> str:
    value = details.get(column.key)
    return "" if value is None else column.form.format(value)


def markdown(results: Mapping[str, Any]) -> str:
    """Return the page."""
    machine = results["machine"]
    windows = results["windows"]
    busy = [share for each in results["results"] for share in each["others"]]
    lines = [
        TITLE,
        "",
        "Written by `python -m benchmarks`. What the numbers mean: [Performance](performance.md).",
        "",
        f"{results['began']}, {results['minutes']:.0f} minutes; "
        f"{machine['processors']} processors, "
        f"{machine['model']}, Linux {machine['kernel']}. "
        + (
            f"Other work on the machine used {median(busy):.2f} processors in the median window, "
            f"{max(busy):.2f} in the busiest."
            if busy
            else ""
        ),
        "",
        f"Figures are medians of {windows['starts'] * windows['of each start']} windows of "
        f"{windows['seconds']:g} s, {windows['of each start']} of each start; servers were started "
        "in alternation. Ratios below 1 say that the first server is cheaper.",
        "",
        *table(
            ("server", "version", "settings"),
            [
                (name, told["version"], told["settings"])
                for name, told in results["servers"].items()
            ],
        ),
        "",
        *(f"Not measured: {name}, {words}.\n" for name, words in results["missing"].items()),
    ]
    for shown in TABLES:
        lines += of_work(results["results"], shown)
    lines += growth_lines(results.get("growth", {}))
    return "\n".join(lines).rstrip() + "\n"


def growth_lines(growth: Mapping[str, Any]) -> list[str]:
    """Return what was measured of growth."""
    if not growth:
        return []
    lines = ["## Growth", "", *(f"{words}\n" for words in growth["words"])]
    for each in growth["tables"]:
        lines += [f"### {each['title']}", "", *table(each["heads"], each["rows"]), ""]
    return lines


def write(place: Path, results: Mapping[str, Any], text: str) -> None:
    """Write page, data and plots into a directory."""
    images = place / "images"
    images.mkdir(exist_ok=True)
    for name, picture in plot.draw(results["results"]).items():
        (images / f"performance-{name}.svg").write_text(picture)
        title = plot.PLOTS[name].title
        image = f"![{title}](images/performance-{name}.svg)"
        text = text.replace(f"## {title}\n", f"## {title}\n\n{image}\n")
    (place / "performance-results.md").write_text(text)
    (place / "performance-results.json").write_text(json.dumps(results, indent=1) + "\n")
