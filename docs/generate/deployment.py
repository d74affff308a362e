"""Writes tables of what is deployed and measured: alert rules, and costs for planning."""

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import yaml

COSTS = {
    ("ingest + HLS",): "a stream, packaged as HLS",
    ("ingest",): "a stream that is not packaged (`HLS_ENABLED=false`)",
    ("fan-out",): "an RTMP player",
    ("low-latency viewers",): "a low-latency HLS viewer",
    # two tracks with segments of 2 s: in a second one playlist and one segment
    ("playlist", "segment"): "an HLS viewer without low latency",
}
"""Works of the benchmarks, alone or together, and what costs so much."""
BUDGET = 800.0
"""CPU-ms of a second: above, the event loop is late by more than 20 ms."""


def alerts(rules: Path) -> str:
    """Return a table of alert rules.

    Args:
        rules: a file of Prometheus.
    """
    lines = ["| alert | severity | after | what it means |", "|---|---|---|---|"]
    for group in yaml.safe_load(rules.read_text())["groups"]:
        for rule in group["rules"]:
            words = " ".join(rule["annotations"]["description"].split())
            wait = rule.get("for", "at once")
            lines.append(f"| `{rule['alert']}` | {rule['labels']['severity']} | {wait} | {words} |")
    return "\n".join(lines) + "\n"


def capacity(results: Path) -> str:
    """Return a table of what each stream, player and viewer costs, and how many fill a processor.

    Args:
        results: data of the benchmarks.
    """
    told = json.loads(results.read_text())
    found: dict[str, Mapping[str, Any]] = {}
    for result in told["results"]:
        # the largest number is measured last, and is nearest to a full processor
        if result["server"] == "RapidRTMP" and result["values"] and not result["error"]:
            found[result["work"]] = result
    lines = ["| each | CPU-ms a second | so many alone |", "|---|---|---|"]
    for works, words in COSTS.items():
        if all(work in found for work in works):
            cost = sum(_milliseconds(found[work]) for work in works)
            lines.append(f"| {words} | {cost:.2f} | {int(BUDGET / cost)} |")
    machine = told["machine"]
    lines += ["", f"Measured {told['began']} on {machine['model']}, one processor of it."]
    return "\n".join(lines) + "\n"


def _milliseconds(result: Mapping[str, Any]) -> float:
    value = float(median(result["values"]))
    return value / 1000.0 if result["unit"].startswith("µs") else value
