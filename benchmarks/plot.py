"""Plots as SVG: what each of N costs, by N, one line for each server."""

from collections.abc import Mapping, Sequence
from html import escape
from math import log10
from statistics import median
from typing import Any, NamedTuple

from benchmarks import points

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 150, 28, 44
COLOURS = ("#0b6e4f", "#c8553d", "#4059ad", "#8a6d3b", "#6b4e71")


class Plot(NamedTuple):
    """What is drawn."""

    work: str
    title: str
    """The heading of the table below which it stands."""
    across: str


PLOTS = {
    "ingest-hls": Plot(points.INGEST_HLS_WORK, "(a) Ingest and HLS packaging", "streams"),
    "ingest": Plot(points.INGEST_WORK, "(b) Ingest alone", "streams"),
    "fanout": Plot(points.FANOUT_WORK, "(c, f) RTMP fan-out of one stream", "players"),
}

Series = Mapping[str, Sequence[tuple[float, float]]]
"""Points of each line, x above 0."""


def draw(results: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Draw each plot that has two points on a line at least."""
    drawn = {}
    for name, plot in PLOTS.items():
        series: dict[str, list[tuple[float, float]]] = {}
        unit = ""
        for each in results:
            if each["work"] == plot.work and each["values"]:
                unit = each["unit"]
                series.setdefault(each["server"], []).append((each["n"], median(each["values"])))
        if any(len(line) > 1 for line in series.values()):
            drawn[name] = svg(series, plot.across, f"CPU-{unit}")
    return drawn


def nice_step(greatest: float, steps: int = 5) -> float:
    """Return a round distance of grid lines, of which so many or fewer reach a value."""
    rough = greatest / steps
    power: float = 10 ** int(log10(rough) // 1)
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)


def svg(series: Series, across: str, up: str) -> str:
    """Return a plot with a logarithmic x axis and a linear y axis from 0 on."""
    ticks = sorted({x for line in series.values() for x, _ in line})
    step = nice_step(max(y for line in series.values() for _, y in line))
    top = step
    while top < max(y for line in series.values() for _, y in line):
        top += step
    low, high = log10(ticks[0]), log10(ticks[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        along = (log10(x) - low) / (high - low) if high > low else 0.5
        return (
            LEFT + along * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="16">{escape(up)}</text>',
    ]
    for number in range(round(top / step) + 1):
        _, y = place(ticks[0], number * step)
        parts += [
            f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>',
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number * step:g}</text>',
        ]
    for tick in ticks:
        x, y = place(tick, 0)
        parts.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{tick:g}</text>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{escape(across)}</text>"
    )
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        spots = [place(x, y) for x, y in sorted(line)]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in spots]
        y = TOP + 16 * number
        parts += [
            f'<rect x="{WIDTH - RIGHT + 14}" y="{y}" width="10" height="10" fill="{colour}"/>',
            f'<text x="{WIDTH - RIGHT + 30}" y="{y + 9}">{escape(name)}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
