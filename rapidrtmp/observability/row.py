"""One row of the table of metrics, and the ways in which rows read their values."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from rapidrtmp.histogram import Histogram
from rapidrtmp.observability.snapshot import SegmentingOutput, Snapshot
from rapidrtmp.stream.lifecycle import StreamState
from rapidrtmp.stream.stream import Stream

Value = float | Histogram
Reading = tuple[tuple[str, ...], Value]
"""The values of the labels, and the value."""


@dataclass(frozen=True, slots=True)
class Row:
    """A metric."""

    name: str
    """As it is scraped."""
    kind: Literal["counter", "gauge", "histogram", "unknown"]
    """A counter's name ends in ``_total``; one that must not is 'unknown'."""
    read: Callable[[Snapshot], Iterable[Reading]]
    help: str
    """One sentence without its full stop."""
    labels: tuple[str, ...] = ()


def single(read: Callable[[Snapshot], Value | None]) -> Callable[[Snapshot], list[Reading]]:
    """Read a metric without labels; None is no value."""

    def readings(snapshot: Snapshot) -> list[Reading]:
        value = read(snapshot)
        return [] if value is None else [((), value)]

    return readings


def labelled(
    read: Callable[[Snapshot], Mapping[str, Value] | None],
) -> Callable[[Snapshot], list[Reading]]:
    """Read a metric with one label, by its values; None is no values."""

    def readings(snapshot: Snapshot) -> list[Reading]:
        return [((label,), value) for label, value in (read(snapshot) or {}).items()]

    return readings


def each_stream(read: Callable[[Stream], float | None]) -> Callable[[Snapshot], list[Reading]]:
    """Read a metric of each stream that is not over; None is no value."""

    def readings(snapshot: Snapshot) -> list[Reading]:
        return [
            ((stream.key,), value)
            for stream in snapshot.streams
            if (value := read(stream)) is not None
        ]

    return readings


def each_live(read: Callable[[Stream], float | None]) -> Callable[[Snapshot], list[Reading]]:
    """Read a metric of each stream that has a publisher whose media flow; None is no value."""
    return each_stream(lambda stream: read(stream) if stream.state is StreamState.LIVE else None)


def each_segmenting(
    read: Callable[[Snapshot, Stream, SegmentingOutput], float | None],
) -> Callable[[Snapshot], list[Reading]]:
    """Read a metric of each live stream that is cut into segments; None is no value."""

    def readings(snapshot: Snapshot) -> list[Reading]:
        return [
            ((stream.key,), value)
            for stream, output in snapshot.segmenting
            if stream.state is StreamState.LIVE
            and stream.packaged_tracks
            and (value := read(snapshot, stream, output)) is not None
        ]

    return readings
