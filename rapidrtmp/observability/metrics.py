"""Reads all counters at a scrape and gives them to prometheus_client."""

from collections.abc import Callable, Iterable

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from rapidrtmp.histogram import Histogram
from rapidrtmp.observability.row import Row
from rapidrtmp.observability.snapshot import Snapshot
from rapidrtmp.observability.sources import Sources
from rapidrtmp.observability.table import TABLE


class StreamCollector(Collector):
    """Makes the metrics of the table, from the moment's values alone.

    So counting costs no more than an addition, and what no longer exists has no series.
    """

    def __init__(self, sources: Sources, seconds: Callable[[], float]) -> None:
        """Make a collector.

        Args:
            sources: what is read.
            seconds: unix time.
        """
        self._sources = sources
        self._seconds = seconds

    def describe(self) -> Iterable[Metric]:
        """Return all metrics without values, by which the registry knows their names."""
        return map(_family, TABLE)

    def collect(self) -> Iterable[Metric]:
        """Return all metrics with their values."""
        snapshot = Snapshot(self._sources, self._seconds())
        for row in TABLE:
            family = _family(row)
            for values, value in row.read(snapshot):
                labels = dict(zip(row.labels, values, strict=True))
                if isinstance(value, Histogram):
                    _add_histogram(family, labels, value)
                else:
                    family.add_sample(row.name, labels, value)
            yield family


def _family(row: Row) -> Metric:
    # the library adds the ending of a counter by itself
    name = row.name.removesuffix("_total") if row.kind == "counter" else row.name
    return Metric(name, row.help + ".", row.kind)


def _add_histogram(family: Metric, labels: dict[str, str], histogram: Histogram) -> None:
    buckets = histogram.cumulative()
    for bound, count in buckets:
        family.add_sample(f"{family.name}_bucket", {**labels, "le": bound}, count)
    family.add_sample(f"{family.name}_count", labels, buckets[-1][1])
    family.add_sample(f"{family.name}_sum", labels, histogram.sum)


def make_registry(sources: Sources, seconds: Callable[[], float]) -> CollectorRegistry:
    """Make the registry of everything that ``/metrics`` shows.

    Args:
        sources: what is read at each scrape, which must happen in the reactor's thread.
        seconds: unix time.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]  # has no annotations
    registry = CollectorRegistry()
    registry.register(StreamCollector(sources, seconds))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
