"""EXT-X-DATERANGE: which ranges a playlist lists, and their lines (RFC 8216bis 4.4.5.1)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rapidrtmp.hls.playlist import Listed, program_date_time
from rapidrtmp.media.timed import Attribute, DateRange

MAX_KEPT = 1000
"""Ranges of one stream. A tag has some hundred bytes."""
MAX_PUBLISHED = 200
"""Ranges of a publisher's messages that the live playlists may list at once."""
MAX_OF_CLASS = 32
"""Those of one class."""
MAX_TEXT = 256
"""Characters of an attribute."""
MAX_ATTRIBUTES = 16

ATTRIBUTE_NAME = re.compile(r"X-[A-Z0-9-]{1,62}")
_NOT_IN_NAME = re.compile(r"[^A-Z0-9]+")
_MAX_NUMBER = 1e15


def quotable(text: str) -> str:
    """Leave out what a quoted string must not hold, and what is too much."""
    return "".join(letter for letter in text if letter.isprintable() and letter != '"')[:MAX_TEXT]


def date_range_line(date_range: DateRange) -> str:
    """Return the tag.

    Args:
        date_range: text in it has passed `quotable`, names are attribute names.
    """
    attributes = [f'ID="{date_range.id}"']
    if date_range.name:
        attributes.append(f'CLASS="{date_range.name}"')
    attributes.append(f'START-DATE="{program_date_time(date_range.start)}"')
    if date_range.duration is not None:
        attributes.append(f"DURATION={date_range.duration:.3f}")
    if date_range.planned_duration is not None:
        attributes.append(f"PLANNED-DURATION={date_range.planned_duration:.3f}")
    attributes += (f"{name}={_value(value)}" for name, value in date_range.attributes.items())
    return "#EXT-X-DATERANGE:" + ",".join(attributes)


def _value(value: Attribute) -> str:
    if isinstance(value, bytes):
        return "0x" + value.hex().upper()
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value:.6f}".rstrip("0").rstrip(".")


def attributes_of(values: Sequence[object]) -> dict[str, Attribute]:
    """Make attributes of what a publisher says: of all plain values in it, up to a bound.

    Args:
        values: JSON values. Objects' members are named X-..., those in objects of them
            X-...-..., others by their place.
    """
    found: dict[str, Attribute] = {}
    for name, value in _plain(values):
        if len(found) >= MAX_ATTRIBUTES:
            break
        name = "X-" + _NOT_IN_NAME.sub("-", name.upper()).strip("-")
        if not ATTRIBUTE_NAME.fullmatch(name) or name in found:
            continue
        if isinstance(value, bool):
            found[name] = "true" if value else "false"
        elif isinstance(value, str):
            found[name] = quotable(value)
        elif isinstance(value, float | int) and abs(value) <= _MAX_NUMBER:
            found[name] = float(value)
    return found


def _plain(values: Sequence[object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for position, value in enumerate(values):
        if isinstance(value, Mapping):
            yield from _members(value, prefix)
        else:
            yield f"{prefix}value-{position + 1}", value


def _members(members: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for name, value in members.items():
        if isinstance(value, Mapping):
            yield from _members(value, f"{prefix}{name}-")
        else:
            yield prefix + name, value


@dataclass(frozen=True, slots=True)
class _Kept:
    date_range: DateRange
    line: str
    """Its tag."""
    since: float
    """Unix time, by the stream's clock, of the newest change."""
    is_published: bool
    """A publisher's message made it."""

    @property
    def leaves(self) -> float | None:
        """Unix time which no playlist's window must reach any more; None while it is open.

        Not before a player has had the chance to see it.
        """
        end = self.date_range.end
        return None if end is None else max(end, self.since)

    def has_left(self, start: float) -> bool:
        """Tell whether a window that starts at a unix time has nothing of it."""
        return self.leaves is not None and self.leaves < start


class DateRanges:
    """The date ranges of a stream's playlists.

    A range stays while any of it is in the window (RFC 8216bis 6.2.1), and for that time at
    least for which it has been known as it is.
    """

    def __init__(self) -> None:
        self._ranges: dict[str, _Kept] = {}
        self._start = 0.0  # of the live playlists' window, unix time
        self.refused = 0
        """Ranges for which there was no room."""

    def put(self, date_range: DateRange, now: float, *, is_published: bool = False) -> None:
        """List a range, or more of one.

        Args:
            date_range: the range.
            now: unix time of the live edge.
            is_published: a publisher's message makes it.
        """
        if date_range.id in self._ranges or len(self._ranges) < MAX_KEPT or self._make_room():
            line = date_range_line(date_range)
            self._ranges[date_range.id] = _Kept(date_range, line, now, is_published)
        else:
            self.refused += 1

    def put_published(self, date_range: DateRange, now: float) -> None:
        """List a range that a publisher's message makes, if there is room.

        Args:
            date_range: the range; its id gets a number where it is not the only one.
            now: as of `put`.
        """
        names = [
            listed.date_range.name
            for listed in self._ranges.values()
            if listed.is_published and not listed.has_left(self._start)
        ]
        if len(names) >= MAX_PUBLISHED or names.count(date_range.name) >= MAX_OF_CLASS:
            self.refused += 1
            return
        number = 1
        unique = date_range
        while unique.id in self._ranges:
            number += 1
            unique = replace(date_range, id=f"{date_range.id}.{number}")
        self.put(unique, now, is_published=True)

    def _make_room(self) -> bool:
        """Forget the oldest range that only playlists of the past list."""
        for name, listed in self._ranges.items():
            if listed.has_left(self._start):
                del self._ranges[name]
                return True
        return False

    def forget(self, start: float, before: float) -> None:
        """Learn how far the windows have come.

        Args:
            start: unix time at which the live playlists start.
            before: what left before that unix time is forgotten: no playlist has it.
        """
        self._start = start
        for name, listed in list(self._ranges.items()):
            if listed.has_left(before):
                del self._ranges[name]

    def lines(self, segments: Sequence[Listed], before: float | None = None) -> list[str]:
        """Return the tags of a playlist.

        Args:
            segments: that it lists.
            before: unix time; what did not change since then is left out. None for all.
        """
        start = segments[0].wall
        return [
            listed.line
            for listed in self._ranges.values()
            if not listed.has_left(start) and (before is None or listed.since >= before)
        ]

    def removed(self, segments: Sequence[Listed], seconds: float) -> list[str]:
        """Return the ids of the ranges that left the window of a playlist lately.

        Args:
            segments: that it lists.
            seconds: how long ago at most.
        """
        start = segments[0].wall
        return [
            name
            for name, listed in self._ranges.items()
            if listed.has_left(start) and not listed.has_left(start - seconds)
        ]
