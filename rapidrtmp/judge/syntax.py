"""Lines, tags and attribute lists of playlists (RFC 8216bis sections 4.1 and 4.2)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from rapidrtmp.judge.finding import Report

MAX_PLAYLIST = 4 << 20
"""Bytes of a playlist. A day of 2 s segments is about this long."""
MAX_LINES = 50_000

INTEGER, DECIMAL, SIGNED, QUOTED, WORD, HEX, RESOLUTION, YES_NO, YES, ANY = range(10)
"""Forms of an attribute's value; YES is an enumeration that allows YES alone."""

_FORMS = {
    INTEGER: r"[0-9]{1,20}",
    DECIMAL: r"[0-9]{1,20}(?:\.[0-9]{1,20})?",
    SIGNED: r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?",
    QUOTED: r'"[^"\r\n]*"',
    WORD: r'[^",\s]+',
    HEX: r"0[xX][0-9A-Fa-f]+",
    RESOLUTION: r"[1-9][0-9]{0,5}x[1-9][0-9]{0,5}",
    YES_NO: r"YES|NO",
    YES: r"YES",
    ANY: r'"[^"\r\n]*"|[^",\s]+',
}
_NAMES = (
    *("integer", "number", "number", "quoted string", "unquoted word", "hexadecimal number"),
    *("resolution", "YES or NO", "YES", "value"),
)

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"\r\n]*"|[^",]*)(,|$)')
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff]")


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is no comment."""

    number: int
    tag: str
    """Without '#'; '' for a URI."""
    value: str
    """Behind the tag's colon, or the URI."""


def split(octets: bytes, name: str, report: Report) -> list[Line] | None:
    """Split a playlist into lines, without comments and empty ones; None where that is no use."""
    if len(octets) > MAX_PLAYLIST:
        report.add("playlist-bounds", name, f"more than {MAX_PLAYLIST} bytes")
        return None
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as error:
        report.add("playlist-encoding", name, f"not UTF-8 at byte {error.start}")
        return None
    control = _CONTROL.search(text)
    if control:
        number = text.count("\n", 0, control.start()) + 1
        report.add("playlist-encoding", f"{name}:{number}", f"character {ord(control[0]):#04x}")
        text = _CONTROL.sub("", text)
    if not text.endswith("\n"):
        report.add("playlist-line", name, "the last line is not finished: perhaps it is cut")
    # not splitlines(): that takes characters for line ends that are none here
    rows = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if len(rows) > MAX_LINES:
        report.add("playlist-bounds", name, f"more than {MAX_LINES} lines")
        return None
    if rows[0].rstrip() != "#EXTM3U":
        report.add("playlist-start", f"{name}:1", f"begins with {rows[0][:40]!r}")
        return None
    lines = []
    for number, row in enumerate(rows, 1):
        if row != row.strip():
            report.add("playlist-line", f"{name}:{number}", "blanks around the line")
            row = row.strip()
        if row.startswith("#EXT"):
            tag, _, value = row[1:].partition(":")
            lines.append(Line(number, tag, value))
        elif row and not row.startswith("#"):
            lines.append(Line(number, "", row))
    for line in lines[1:]:
        if line.tag == "EXTM3U":
            report.add("tag-duplicate", f"{name}:{line.number}", "EXTM3U again")
    return [line for line in lines if line.tag != "EXTM3U"]


def attributes(
    line: Line, known: Mapping[str, int], required: tuple[str, ...], where: str, report: Report
) -> dict[str, str]:
    """Parse an attribute list.

    Args:
        line: the tag.
        known: the form of each attribute. Others are let pass: the list may grow.
        required: those that must be there.
        where: for the report.
        report: gets what is wrong.

    Returns:
        The attributes whose values have their form, without quotation marks.
    """
    found: dict[str, str] = {}
    end = 0
    text = line.value
    while end < len(text):
        match = _ATTRIBUTE.match(text, end)
        if match is None or (match[3] == "," and match.end() == len(text)):
            report.add("attribute-syntax", where, f"{line.tag}: at {text[end : end + 40]!r}")
            break
        end = match.end()
        name, value = match[1], match[2]
        if name in found:
            report.add("attribute-duplicate", where, f"{line.tag}: {name}")
            continue
        form = known.get(name, ANY)
        if not re.fullmatch(_FORMS[form], value):
            words = f"{line.tag}: {name}={value[:60]} is no {_NAMES[form]}"
            report.add("attribute-value", where, words)
            continue
        found[name] = value[1:-1] if value.startswith('"') else value
    for name in required:
        if not found.get(name):
            report.add("attribute-missing", where, f"{line.tag}: {name}")
    return found


def integer(line: Line, where: str, report: Report) -> int | None:
    """Return the number that is a tag's value; None, and a finding, where it is none."""
    if re.fullmatch(_FORMS[INTEGER], line.value):
        return int(line.value)
    report.add("tag-value", where, f"{line.tag}:{line.value[:40]}")
    return None
