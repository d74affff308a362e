"""Statistics of measurements: medians, percentiles, ratios and how sure they are."""

import random
from collections.abc import Mapping, Sequence
from math import isinf, log
from statistics import median


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that a share of all are at most, by the nearest rank.

    Args:
        values: at least one, in any order.
        share: 0 to 1.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("no value")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def spread(values: Sequence[float]) -> float:
    """Return (greatest - least) / median: how much the measurements disagree."""
    middle = median(values)
    return (max(values) - min(values)) / middle if middle else 0.0


def bootstrap(
    groups: Sequence[Sequence[float]], rounds: int = 2000, seed: int = 1
) -> tuple[float, float]:
    """Return the 95 % interval of the median of values that come in groups.

    Values of one group (a launch of a program) may be off together, so groups are drawn first,
    and then values within them.

    Args:
        groups: none of them empty.
        rounds: how often it is drawn.
        seed: the same gives the same.
    """
    dice = random.Random(seed)
    medians = []
    for _ in range(rounds):
        drawn = []
        for group in dice.choices(groups, k=len(groups)):
            drawn += dice.choices(group, k=len(group))
        medians.append(median(drawn))
    return percentile(medians, 0.025), percentile(medians, 0.975)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the exponent of y = a x^b by least squares on logarithms: 1 is linear growth.

    Args:
        points: at least two different x, all values above 0.
    """
    xs, ys = [log(x) for x, _ in points], [log(y) for _, y in points]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    products = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return products / sum((x - mean_x) ** 2 for x in xs)


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return what is there at x = 0, and what each x adds, by least squares."""
    count = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    above = sum((x - mean_x) * (y - mean_y) for x, y in points)
    each = above / sum((x - mean_x) ** 2 for x, _ in points)
    return mean_y - each * mean_x, each


def histogram_percentile(
    before: Mapping[float, float], after: Mapping[float, float], share: float
) -> float:
    """Return a percentile of a Prometheus histogram, as histogram_quantile() does.

    Args:
        before: values up to each bound at the start of a window.
        after: the same at its end.
        share: 0 to 1.

    Returns:
        Where it is if values are spread evenly in their bucket; the last bound above all bounds,
        0 when nothing was counted.
    """
    counted = {bound: count - before.get(bound, 0.0) for bound, count in sorted(after.items())}
    total = max(counted.values(), default=0.0)
    if not total:
        return 0.0
    low = low_count = 0.0
    for bound, count in counted.items():
        if count >= share * total:
            if isinf(bound):
                break
            return low + (bound - low) * (share * total - low_count) / (count - low_count)
        low, low_count = bound, count
    return low


def read_buckets(metrics: str, name: str) -> dict[float, float]:
    """Read a histogram without labels from the text that Prometheus scrapes."""
    start = f'{name}_bucket{{le="'
    found = {}
    for row in metrics.splitlines():
        if row.startswith(start):
            bound, _, count = row.removeprefix(start).partition('"} ')
            found[float(bound.replace("+Inf", "inf"))] = float(count)
    return found
