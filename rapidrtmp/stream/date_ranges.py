"""The date ranges that somebody put into a stream, by their rules (RFC 8216bis 4.4.5.1)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rapidrtmp.media.timed import Attribute, DateRange

MAX_RANGES = 200
"""Ranges of a stream that are open, to come, or not over for `KEPT`: playlists may list them."""
KEPT = 600.0
"""Seconds for which the id of a range that is over is remembered."""
MAX_OF_RANGE = 32
"""Attributes of a range, however often more is told of it: they stand in every playlist."""
_SAME = 0.0005
"""Seconds in which two times are the same one: playlists write ms."""


class DateRangeError(ValueError):
    """A date range that cannot be. `name` is the part of the wish at fault."""

    def __init__(self, name: str, description: str) -> None:
        super().__init__(description)
        self.name = name


class TooManyDateRanges(Exception):
    """`MAX_RANGES` are there already."""


@dataclass(frozen=True, slots=True)
class DateRangeWish:
    """A range as somebody wants it, or what is to be added to the one of that id."""

    id: str
    start: float | None = None
    """Unix time; None for now."""
    end: float | None = None
    """Unix time; None for as `duration` says."""
    duration: float | None = None
    planned_duration: float | None = None
    """Seconds."""
    name: str = ""
    """CLASS."""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


class DateRanges:
    """Sees to it that what was said of a range stays true: a player may have read it."""

    def __init__(self) -> None:
        self._ranges: dict[str, DateRange] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._ranges

    def put(self, wish: DateRangeWish, now: float) -> DateRange:
        """Make a range, or add to one that is there.

        Args:
            wish: the range.
            now: unix time of the live edge.

        Returns:
            All of it.

        Raises:
            DateRangeError: it contradicts itself, or what is known of it.
            TooManyDateRanges: there is no room for another one.
        """
        old = self._ranges.get(wish.id)
        if old is None:
            self._forget(now)
            if len(self._ranges) >= MAX_RANGES:
                raise TooManyDateRanges(f"the stream has {MAX_RANGES} date ranges already")
            old = DateRange(wish.id, now if wish.start is None else wish.start, wish.name)
        start = _added("start", old.start, wish.start)
        assert start is not None
        duration = wish.duration
        if wish.end is not None:
            if wish.end < start:
                raise DateRangeError("end", "a date range cannot end before it starts")
            duration = _added("end", wish.end - start, wish.duration)
        name = wish.name or old.name
        if name != old.name and old.name:
            raise DateRangeError("class", f"the class of {wish.id} is {old.name!r}")
        for attribute, value in wish.attributes.items():
            if old.attributes.get(attribute, value) != value:
                raise DateRangeError(attribute, f"{attribute} of {wish.id} is another one")
        attributes = {**old.attributes, **wish.attributes}
        if len(attributes) > MAX_OF_RANGE:
            words = f"{wish.id} would have over {MAX_OF_RANGE} attributes"
            raise DateRangeError("attributes", words)
        made = DateRange(
            wish.id,
            start,
            name,
            _added("duration", old.duration, duration),
            _added("plannedDuration", old.planned_duration, wish.planned_duration),
            attributes,
        )
        self._ranges[wish.id] = made
        return made

    def _forget(self, now: float) -> None:
        for known in list(self._ranges.values()):
            if known.end is not None and known.end < now - KEPT:
                del self._ranges[known.id]


def _added(name: str, old: float | None, new: float | None) -> float | None:
    """Return a number that is known already, or only now; both must be the same."""
    if old is not None and new is not None and abs(old - new) > _SAME:
        raise DateRangeError(name, f"the date range has another {name} already")
    return new if old is None else old
