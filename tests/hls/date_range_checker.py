"""A judge of EXT-X-DATERANGE (RFC 8216bis section 4.4.5.1). Shares no code with the writer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.hls.judging import require

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",\s]+)(?:,(?=.)|$)')
_DATE = re.compile(r'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)"')
_SYNTAX = {
    "ID": r'"[^"]+"',
    "CLASS": r'"[^"]+"',
    "START-DATE": _DATE.pattern,
    "DURATION": r"\d+\.\d{3}",
    "PLANNED-DURATION": r"\d+\.\d{3}",
    "SCTE35-CMD": r"0x([0-9A-F]{2})+",
    "SCTE35-OUT": r"0x([0-9A-F]{2})+",
    "SCTE35-IN": r"0x([0-9A-F]{2})+",
}
_OWN = r'"[^"]*"|0x([0-9A-F]{2})+|-?\d+(\.\d+)?'


@dataclass(slots=True)
class ListedDateRange:
    """One EXT-X-DATERANGE."""

    id: str
    start: float
    """Unix time."""
    duration: float | None
    attributes: dict[str, str]
    """As they are written."""


def parse_date_range(value: str) -> ListedDateRange:
    """Judge a tag's attributes.

    Raises:
        CheckError: a rule is broken; the text says which.
    """
    found: dict[str, str] = {}
    end = 0
    for match in _ATTRIBUTE.finditer(value):
        require(match.start() == end, f"bad attribute list {value!r}")
        end = match.end()
        name, text = match.groups()
        require(name not in found, f"{name} twice")
        own = _OWN if name.startswith("X-") and len(name) > 2 else None
        syntax = _SYNTAX.get(name, own)
        require(syntax is not None, f"unknown attribute {name}")
        require(re.fullmatch(syntax or "", text), f"{name}={text}")
        found[name] = text
    require(end == len(value) and found, f"bad attribute list {value!r}")
    for name in ("ID", "START-DATE"):
        require(name in found, f"a date range without {name}")
    scte = [name for name in found if name.startswith("SCTE35")]
    require(len(scte) < 2 or set(scte) == {"SCTE35-OUT", "SCTE35-IN"}, f"{scte} of one range")
    text = found["START-DATE"].strip('"')
    start = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()
    duration = float(found["DURATION"]) if "DURATION" in found else None
    return ListedDateRange(found["ID"].strip('"'), start, duration, found)


def check_date_ranges(
    before: Mapping[str, ListedDateRange],
    after: Mapping[str, ListedDateRange],
    window_start: float,
) -> None:
    """Judge the date ranges of a playlist against those of an earlier version of it.

    Args:
        before: of the earlier one, by ID.
        after: of the later one.
        window_start: unix time of the later one's first segment.

    Raises:
        CheckError: one changed, or went away while it was in the window.
    """
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            require(old.duration is not None, f"{name} went away and was not over")
            end = old.start + (old.duration or 0.0)
            require(end < window_start + 0.001, f"{name} went away inside the window")
            continue
        for attribute, value in old.attributes.items():
            require(new.attributes.get(attribute) == value, f"{attribute} of {name} was {value}")
