"""Reads a media playlist, as strictly as it can be (RFC 8216bis section 4.4)."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from rapidrtmp.judge import syntax
from rapidrtmp.judge.finding import Report
from rapidrtmp.judge.playlist import MediaPlaylist, Part, RenditionReport, Resource, Segment
from rapidrtmp.judge.syntax import (
    DECIMAL,
    HEX,
    INTEGER,
    QUOTED,
    SIGNED,
    WORD,
    YES,
    YES_NO,
    Line,
    attributes,
    integer,
)

MULTIVARIANT_TAGS = frozenset(
    f"EXT-X-{name}"
    for name in (
        *("MEDIA", "STREAM-INF", "I-FRAME-STREAM-INF", "SESSION-DATA", "SESSION-KEY"),
        *("CONTENT-STEERING", "IMAGE-STREAM-INF"),
    )
)
"""IMAGE-STREAM-INF is of the Image Media Playlist specification, and not in the draft."""
SEGMENT_TAGS = frozenset(
    f"EXT-X-{name}"
    for name in (
        *("TARGETDURATION", "MEDIA-SEQUENCE", "DISCONTINUITY-SEQUENCE", "ENDLIST"),
        *("PLAYLIST-TYPE", "I-FRAMES-ONLY", "PART-INF", "SERVER-CONTROL", "BYTERANGE"),
        *("DISCONTINUITY", "KEY", "MAP", "PROGRAM-DATE-TIME", "GAP", "BITRATE", "PART"),
        *("DATERANGE", "SKIP", "PRELOAD-HINT", "RENDITION-REPORT"),
    )
) | {"EXTINF"}
"""What a media playlist alone may have."""
BEFORE_SEGMENTS = ("EXT-X-MEDIA-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE")

MAX_DATE_RANGES = 1000
"""That are looked at."""

_EXTINF = re.compile(r"([0-9]{1,10}(?:\.[0-9]{1,20})?),.*")
_BYTE_RANGE = re.compile(r"([0-9]{1,20})(?:@([0-9]{1,20}))?")
_FULL_DATE = re.compile(r".*\.\d{3,9}(?:Z|[+-]\d\d:?\d\d)")
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?")


def parse_date(text: str) -> float | None:
    """Return the unix time of ISO 8601 text, UTC without a time zone; None where it is none."""
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    try:
        date = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None
    unix = (date - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=1)
    unix += max(second - 59, 0) + float(f"0.{match[7] or 0}")
    if match[8] not in (None, "Z"):
        hours, minutes = int(match[8][1:3]), int(match[8][-2:])
        offset = 3600 * hours + 60 * minutes
        unix -= -offset if match[8][0] == "-" else offset
    return unix


class MediaPlaylistParser:
    """Reads one media playlist; what is wrong goes to the report, and reading goes on."""

    def __init__(self, name: str, report: Report) -> None:
        """Make a parser for a playlist that is called `name` in the report."""
        self._report = report
        self._playlist = MediaPlaylist(name)
        self._seen: set[str] = set()
        self._forget_segment()
        self._map: Resource | None = None
        self._is_encrypted = False
        self._discontinuity = 0
        self._ends: dict[str, int] = {}
        self._handlers: dict[str, Callable[[Line], None]] = {
            "EXTINF": self._extinf,
            "EXT-X-VERSION": self._version,
            "EXT-X-INDEPENDENT-SEGMENTS": self._independent_segments,
            "EXT-X-START": self._start,
            "EXT-X-DEFINE": self._define,
            "EXT-X-TARGETDURATION": self._target_duration,
            "EXT-X-MEDIA-SEQUENCE": self._media_sequence,
            "EXT-X-DISCONTINUITY-SEQUENCE": self._discontinuity_sequence,
            "EXT-X-ENDLIST": self._endlist,
            "EXT-X-PLAYLIST-TYPE": self._type,
            "EXT-X-I-FRAMES-ONLY": self._iframes_only,
            "EXT-X-PART-INF": self._part_inf,
            "EXT-X-SERVER-CONTROL": self._server_control,
            "EXT-X-BYTERANGE": self._byterange,
            "EXT-X-DISCONTINUITY": self._on_discontinuity,
            "EXT-X-KEY": self._key,
            "EXT-X-MAP": self._on_map,
            "EXT-X-PROGRAM-DATE-TIME": self._date_time,
            "EXT-X-GAP": self._on_gap,
            "EXT-X-BITRATE": self._bitrate,
            "EXT-X-PART": self._part,
            "EXT-X-DATERANGE": self._daterange,
            "EXT-X-SKIP": self._skip,
            "EXT-X-PRELOAD-HINT": self._hint,
            "EXT-X-RENDITION-REPORT": self._rendition_report,
        }

    def parse(self, octets: bytes) -> MediaPlaylist | None:
        """Return the playlist; None where it is none at all."""
        playlist = self._playlist
        lines = syntax.split(octets, playlist.name, self._report)
        if lines is None:
            return None
        foreign = [line for line in lines if line.tag in MULTIVARIANT_TAGS]
        if foreign:
            where = playlist.where(foreign[0].number)
            self._report.add("tag-mixed", where, f"{foreign[0].tag} in a media playlist")
        for line in lines:
            if line.tag == "":
                self._uri(line)
            elif line.tag in self._handlers:
                self._handlers[line.tag](line)
            elif line.tag not in MULTIVARIANT_TAGS:
                where = playlist.where(line.number)
                self._report.add("tag-unknown", where, line.tag[:60])
        if self._duration is not None or self._range is not None:
            words = "EXTINF or EXT-X-BYTERANGE without a URI behind it"
            self._report.add("tag-dangling", playlist.name, words)
        playlist.open_parts = tuple(self._parts)
        playlist.open_map = self._map
        if "EXT-X-TARGETDURATION" not in self._seen:
            self._report.add("tag-missing", playlist.name, "EXT-X-TARGETDURATION")
        return playlist

    def _forget_segment(self) -> None:
        self._duration: float | None = None
        self._range: tuple[int, int | None] | None = None
        self._is_discontinuity = False
        self._is_gap = False
        self._date: float | None = None
        self._parts: list[Part] = []

    def _where(self, line: Line) -> str:
        return self._playlist.where(line.number)

    def _once(self, line: Line) -> bool:
        if line.tag in self._seen:
            self._report.add("tag-duplicate", self._where(line), line.tag)
            return False
        self._seen.add(line.tag)
        if line.tag in BEFORE_SEGMENTS and (self._playlist.segments or self._is_discontinuity):
            self._report.add("tag-order", self._where(line), f"{line.tag} behind a segment")
        return True

    def _plain(self, line: Line) -> None:
        if line.value:
            self._report.add("tag-value", self._where(line), f"{line.tag} has a value")

    def _attributes(self, line: Line, known: Mapping[str, int], *required: str) -> dict[str, str]:
        return attributes(line, known, required, self._where(line), self._report)

    def _number(self, line: Line) -> int:
        return (integer(line, self._where(line), self._report) or 0) if self._once(line) else -1

    # the whole playlist

    def _version(self, line: Line) -> None:
        number = self._number(line)
        if number >= 0:
            self._playlist.version = number

    def _independent_segments(self, line: Line) -> None:
        self._once(line)
        self._plain(line)
        self._playlist.has_independent_segments = True

    def _start(self, line: Line) -> None:
        self._once(line)
        self._attributes(line, {"TIME-OFFSET": SIGNED, "PRECISE": YES_NO}, "TIME-OFFSET")

    def _define(self, line: Line) -> None:
        self._playlist.features["EXT-X-DEFINE"] = 8
        names = ("NAME", "VALUE", "IMPORT", "QUERYPARAM")
        self._attributes(line, dict.fromkeys(names, QUOTED))

    def _target_duration(self, line: Line) -> None:
        number = self._number(line)
        if number >= 0:
            self._playlist.target_duration = number

    def _media_sequence(self, line: Line) -> None:
        number = self._number(line)
        if number >= 0 and not self._playlist.segments:
            self._playlist.media_sequence = number

    def _discontinuity_sequence(self, line: Line) -> None:
        number = self._number(line)
        if number >= 0 and not self._playlist.segments:
            self._playlist.discontinuity_sequence = self._discontinuity = number

    def _endlist(self, line: Line) -> None:
        self._once(line)
        self._plain(line)
        self._playlist.is_ended = True

    def _type(self, line: Line) -> None:
        self._once(line)
        if line.value in ("EVENT", "VOD"):
            self._playlist.type = line.value
        else:
            self._report.add("tag-value", self._where(line), f"{line.tag}:{line.value[:40]}")

    def _iframes_only(self, line: Line) -> None:
        self._once(line)
        self._playlist.is_iframes_only = True
        self._playlist.features["EXT-X-I-FRAMES-ONLY"] = 4

    def _part_inf(self, line: Line) -> None:
        self._once(line)
        found = self._attributes(line, {"PART-TARGET": DECIMAL}, "PART-TARGET")
        if "PART-TARGET" in found:
            self._playlist.part_target = float(found["PART-TARGET"])

    def _server_control(self, line: Line) -> None:
        self._once(line)
        known = {"CAN-SKIP-UNTIL": DECIMAL, "HOLD-BACK": DECIMAL, "PART-HOLD-BACK": DECIMAL}
        known |= {"CAN-BLOCK-RELOAD": YES, "CAN-SKIP-DATERANGES": YES}
        found = self._attributes(line, known)
        playlist = self._playlist
        playlist.server_control = found
        playlist.can_block_reload = "CAN-BLOCK-RELOAD" in found
        for name in ("HOLD-BACK", "PART-HOLD-BACK", "CAN-SKIP-UNTIL"):
            if name in found:
                setattr(playlist, name.lower().replace("-", "_"), float(found[name]))
        if "CAN-SKIP-DATERANGES" in found and playlist.can_skip_until is None:
            words = "CAN-SKIP-DATERANGES without CAN-SKIP-UNTIL"
            self._report.add("attribute-missing", self._where(line), words)

    # segments

    def _extinf(self, line: Line) -> None:
        if self._duration is not None:
            self._report.add("tag-duplicate", self._where(line), "EXTINF twice for one segment")
        match = _EXTINF.fullmatch(line.value)
        if match is None:
            self._report.add("tag-value", self._where(line), f"EXTINF:{line.value[:40]}")
            return
        self._duration = float(match[1])
        if "." in match[1]:
            self._playlist.features["EXTINF with a fraction"] = 3

    def _byterange(self, line: Line) -> None:
        match = _BYTE_RANGE.fullmatch(line.value)
        if match is None:
            self._report.add("tag-value", self._where(line), f"{line.tag}:{line.value[:40]}")
            return
        self._playlist.features["EXT-X-BYTERANGE"] = 4
        self._range = (int(match[1]), None if match[2] is None else int(match[2]))

    def _on_discontinuity(self, line: Line) -> None:
        self._plain(line)
        if self._is_discontinuity:
            self._report.add("tag-duplicate", self._where(line), line.tag)
            return
        self._before_parts(line)
        self._is_discontinuity = True
        self._discontinuity += 1

    def _key(self, line: Line) -> None:
        known = {"METHOD": WORD, "URI": QUOTED, "IV": HEX}
        known |= {"KEYFORMAT": QUOTED, "KEYFORMATVERSIONS": QUOTED}
        found = self._attributes(line, known, "METHOD")
        self._before_parts(line)
        self._is_encrypted = found.get("METHOD", "NONE") != "NONE"
        if self._is_encrypted and "URI" not in found:
            self._report.add("attribute-missing", self._where(line), "EXT-X-KEY: URI")

    def _on_map(self, line: Line) -> None:
        found = self._attributes(line, {"URI": QUOTED, "BYTERANGE": QUOTED}, "URI")
        self._before_parts(line)
        self._playlist.features["EXT-X-MAP"] = 5 if self._playlist.is_iframes_only else 6
        if "URI" in found:
            self._map = self._resource(found["URI"], found.get("BYTERANGE"), line)

    def _date_time(self, line: Line) -> None:
        date = parse_date(line.value)
        if date is None:
            self._report.add("tag-value", self._where(line), f"{line.tag}:{line.value[:40]}")
        elif self._date is not None:
            self._report.add("tag-duplicate", self._where(line), f"{line.tag} for one segment")
        else:
            self._date = date
            self._before_parts(line)
            if not _FULL_DATE.fullmatch(line.value):
                self._report.add("date-form", self._where(line), line.value[:40])

    def _before_parts(self, line: Line) -> None:
        """What holds for a segment stands before its first part (4.4.4.9)."""
        if self._parts:
            self._report.add("tag-order", self._where(line), f"{line.tag} between the parts")

    def _on_gap(self, line: Line) -> None:
        self._plain(line)
        self._is_gap = True
        self._playlist.features["EXT-X-GAP"] = 8

    def _bitrate(self, line: Line) -> None:
        integer(line, self._where(line), self._report)

    def _part(self, line: Line) -> None:
        known = {"URI": QUOTED, "DURATION": DECIMAL, "INDEPENDENT": YES, "BYTERANGE": QUOTED}
        found = self._attributes(line, known | {"GAP": YES}, "URI", "DURATION")
        if "URI" in found and "DURATION" in found:
            self._parts.append(
                Part(
                    self._resource(found["URI"], found.get("BYTERANGE"), line),
                    float(found["DURATION"]),
                    "INDEPENDENT" in found,
                    "GAP" in found,
                    line.number,
                )
            )

    def _resource(self, uri: str, byte_range: str | None, line: Line) -> Resource:
        if byte_range is None:
            return Resource(uri)
        match = _BYTE_RANGE.fullmatch(byte_range)
        if match is None or (match[2] is None and uri not in self._ends):
            words = f"{line.tag}: BYTERANGE={byte_range[:40]}"
            self._report.add("attribute-value", self._where(line), words)
            return Resource(uri)
        start = self._ends.get(uri, 0) if match[2] is None else int(match[2])
        self._ends[uri] = start + int(match[1])
        return Resource(uri, start, int(match[1]))

    def _uri(self, line: Line) -> None:
        playlist = self._playlist
        if self._duration is None:
            self._report.add("extinf-missing", self._where(line), line.value[:60])
        byte_range = None
        if self._range is not None:
            length, start = self._range
            byte_range = str(length) if start is None else f"{length}@{start}"
        playlist.segments.append(
            Segment(
                sequence=playlist.next_sequence,
                resource=self._resource(line.value, byte_range, line),
                duration=self._duration or 0.0,
                map=self._map,
                discontinuity=self._discontinuity,
                is_discontinuity=self._is_discontinuity,
                is_gap=self._is_gap,
                is_encrypted=self._is_encrypted,
                date=self._date,
                line=line.number,
                parts=tuple(self._parts),
            )
        )
        self._forget_segment()

    # metadata

    def _daterange(self, line: Line) -> None:
        known = {"ID": QUOTED, "CLASS": QUOTED, "START-DATE": QUOTED, "END-DATE": QUOTED}
        known |= {"CUE": QUOTED, "DURATION": DECIMAL, "PLANNED-DURATION": DECIMAL}
        known |= {"SCTE35-CMD": HEX, "SCTE35-OUT": HEX, "SCTE35-IN": HEX, "END-ON-NEXT": YES}
        found = self._attributes(line, known, "ID")
        for name in ("START-DATE", "END-DATE"):
            if name in found and parse_date(found[name]) is None:
                words = f"{line.tag}: {name}={found[name][:40]}"
                self._report.add("attribute-value", self._where(line), words)
                del found[name]
        if "ID" in found and len(self._playlist.date_ranges) < MAX_DATE_RANGES:
            known_range = self._playlist.date_ranges.setdefault(found["ID"], {})
            for name in known_range.keys() & found.keys():
                if known_range[name] != found[name]:
                    words = f"{found['ID'][:40]}: {name} is another than before"
                    self._report.add("daterange", self._where(line), words)
            known_range.update(found)

    def _skip(self, line: Line) -> None:
        self._once(line)
        known = {"SKIPPED-SEGMENTS": INTEGER, "RECENTLY-REMOVED-DATERANGES": QUOTED}
        found = self._attributes(line, known, "SKIPPED-SEGMENTS")
        if self._playlist.segments:
            self._report.add("tag-order", self._where(line), f"{line.tag} behind a segment")
        elif "SKIPPED-SEGMENTS" in found:
            self._playlist.skipped = int(found["SKIPPED-SEGMENTS"])
        version = 10 if "RECENTLY-REMOVED-DATERANGES" in found else 9
        self._playlist.features["EXT-X-SKIP"] = version

    def _hint(self, line: Line) -> None:
        known = {"TYPE": WORD, "URI": QUOTED, "BYTERANGE-START": INTEGER}
        found = self._attributes(line, known | {"BYTERANGE-LENGTH": INTEGER}, "TYPE", "URI")
        if "TYPE" in found and found["TYPE"] not in ("PART", "MAP"):
            words = f"{line.tag}: TYPE={found['TYPE'][:20]}"
            self._report.add("attribute-value", self._where(line), words)
        elif "TYPE" in found and "URI" in found:
            length = found.get("BYTERANGE-LENGTH")
            resource = Resource(
                found["URI"],
                int(found.get("BYTERANGE-START", 0)),
                None if length is None else int(length),
            )
            self._playlist.hints.append((found["TYPE"], resource, line.number))

    def _rendition_report(self, line: Line) -> None:
        known = {"URI": QUOTED, "LAST-MSN": INTEGER, "LAST-PART": INTEGER}
        found = self._attributes(line, known, "URI")
        if ":" in found.get("URI", "").partition("/")[0]:
            words = f"{line.tag}: URI={found['URI'][:60]} is not relative"
            self._report.add("attribute-value", self._where(line), words)
        if "URI" in found:
            msn, part = found.get("LAST-MSN"), found.get("LAST-PART")
            self._playlist.reports.append(
                RenditionReport(
                    found["URI"],
                    None if msn is None else int(msn),
                    None if part is None else int(part),
                    line.number,
                )
            )
