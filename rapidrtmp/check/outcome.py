"""Writes the outcome of ``rapidrtmp check URL``: as text, or as JSON."""

import json
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from rapidrtmp.check.follower import Follower
from rapidrtmp.check.url import Outcome
from rapidrtmp.judge.arrivals import Arrivals


def text(outcome: Outcome) -> str:
    """Return the outcome for people: findings, times, and a last line that sums up."""
    report = outcome.report
    lines = [
        f"{found.rule.severity:8} {found.rule.name}: {found.where}: {found.words}"
        f" [{found.rule.reference}]"
        for found in report.findings
    ]
    kept: dict[str, int] = {}
    for found in report.findings:
        kept[found.rule.name] = kept.get(found.rule.name, 0) + 1
    for name, count in report.counts.items():
        if count > kept[name]:
            lines.append(f"more     {name}: {count - kept[name]} times more")
    for follower in outcome.followers:
        lines.append(f"timing   {follower.judge.name}: {', '.join(_timing_words(follower))}")
    segments = sum(follower.judge.judged for follower in outcome.followers)
    seen = f"{len(outcome.followers)} renditions, {segments} segments in {outcome.seconds:.1f} s"
    verdict = f"{report.errors} errors, {report.warnings} warnings"
    lines.append(f"{'problem ' if report.errors else 'ok      '} {seen}: {verdict}")
    return "\n".join(lines)


def as_json(outcome: Outcome) -> str:
    """Return the outcome for programs: one JSON object."""
    report = outcome.report
    value = {
        "url": outcome.url,
        "seconds": round(outcome.seconds, 3),
        "errors": report.errors,
        "warnings": report.warnings,
        "counts": dict(report.counts),
        "findings": [
            {
                "rule": found.rule.name,
                "severity": found.rule.severity,
                "where": found.where,
                "words": found.words,
                "reference": found.rule.reference,
            }
            for found in report.findings
        ],
        "renditions": [_rendition(follower) for follower in outcome.followers],
    }
    return json.dumps(value, indent=2)


def _rendition(follower: Follower) -> dict[str, Any]:
    judge = follower.judge
    return {
        "uri": judge.name,
        "url": follower.url,
        "segments": judge.judged,
        "codecs": sorted({track.strings.exact for track in judge.all_tracks if track.strings}),
        "reload": _summary(follower.times.reloads),
        "download": _summary(follower.times.downloads),
        "segmentDelay": _summary(judge.arrivals.segments.delays),
        "segmentDelays": [round(delay, 4) for delay in judge.arrivals.segments.delays],
        "partDelay": _summary(judge.arrivals.parts.delays),
        "partDelays": [round(delay, 4) for delay in judge.arrivals.parts.delays],
        "peakBitRate": round(judge.rates.peak),
    }


def _summary(seconds: Sequence[float]) -> dict[str, float] | None:
    """Least, median and greatest of some times in seconds."""
    if not seconds:
        return None
    values = (min(seconds), median(seconds), max(seconds))
    return dict(zip(("least", "median", "greatest"), (round(v, 4) for v in values), strict=True))


def _timing_words(follower: Follower) -> Iterator[str]:
    yield f"{follower.judge.judged} segments"
    for name, seconds in (
        ("reload", follower.times.reloads),
        ("download", follower.times.downloads),
    ):
        if seconds:
            yield f"{name} {1000 * median(seconds):.0f} ms (at most {1000 * max(seconds):.0f})"
    for name, arrivals in (
        ("segments", follower.judge.arrivals.segments),
        ("parts", follower.judge.arrivals.parts),
    ):
        yield from _delay_words(name, arrivals)


def _delay_words(name: str, arrivals: Arrivals) -> Iterator[str]:
    if arrivals.delays:
        late = max(arrivals.delays) - min(arrivals.delays)
        middle = median(arrivals.delays)
        yield f"{name} listed {middle:.3f} s after their end, by date (within {late:.3f} s)"
