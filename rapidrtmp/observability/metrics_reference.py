"""The table of metrics written out as the reference page."""

from rapidrtmp.observability.row import Row
from rapidrtmp.observability.table import GROUPS

INTRODUCTION = """\
# Metrics

`GET /metrics` answers in the Prometheus text format, or as OpenMetrics to whoever asks for it.
Everybody may read it unless METRICS_AUTH is on; then it needs an API key of the scope `read`.
`deploy/prometheus` has an example of a scrape configuration and alert rules, `deploy/grafana`
a dashboard.

- Counters start at 0 with the process. Series with a `stream_key` exist while the stream is not
  over, its grace included, and go away with it; they start again at 0 when the key is published
  anew. All other labels take values from fixed lists.
- `rapidrtmp_total_streams` and `rapidrtmp_total_viewers` are counters whose names do not end as
  those of counters must, so their type is `untyped`; `rate()` works on them all the same.
- Bounds of histograms are written as floating-point numbers: `le="1.0"`.
"""

REST = """\
## Process and interpreter

`process_*` (CPU time, memory, file descriptors, start time), `python_info` and `python_gc_*` are
those of the Prometheus client library.
"""

TYPES = {"unknown": "untyped"}


def markdown() -> str:
    """Write the reference page of all metrics."""
    lines = [INTRODUCTION]
    for title, rows in GROUPS:
        lines += [f"## {title}", "", "| Name | Type | Labels | Meaning |", "|---|---|---|---|"]
        lines += [_line(row) for row in rows]
        lines.append("")
    lines.append(REST)
    return "\n".join(lines).rstrip() + "\n"


def _line(row: Row) -> str:
    labels = ", ".join(f"`{label}`" for label in row.labels)
    return f"| `{row.name}` | {TYPES.get(row.kind, row.kind)} | {labels} | {row.help}. |"


if __name__ == "__main__":
    print(markdown(), end="")
