"""A judge of what Low-Latency HLS adds to a media playlist (RFC 8216bis).

Shares no code with the writer. It takes the low-latency tags out: what is left is an ordinary
playlist, judged as such.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.hls.judging import require

_CONTROL = re.compile(
    r"CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=([0-9.]+),CAN-SKIP-DATERANGES=YES,HOLD-BACK=([0-9.]+)"
    r",PART-HOLD-BACK=([0-9.]+)"
)
_SKIP = re.compile(r'SKIPPED-SEGMENTS=([1-9][0-9]*)(?:,RECENTLY-REMOVED-DATERANGES="([^"]*)")?')
_SKIPS_DATE_RANGES = 10
"""EXT-X-VERSION."""
_PART = re.compile(r'DURATION=([0-9]+\.[0-9]{6}),URI="([^"]+)"(,INDEPENDENT=YES)?')
_HINT = re.compile(r'TYPE=PART,URI="([^"]+)"')
_REPORT = re.compile(r'URI="([^"]+)",LAST-MSN=([0-9]+)(?:,LAST-PART=([0-9]+))?')
_TAG = re.compile(r"#(EXT-X-[A-Z-]+):?(.*)")
_EXTINF = re.compile(r"#EXTINF:([0-9.]+),")


@dataclass(slots=True)
class ListedPart:
    """One EXT-X-PART."""

    uri: str
    duration: float
    is_independent: bool


@dataclass(slots=True)
class LowLatency:
    """The low-latency tags of a playlist."""

    part_target: float
    part_hold_back: float
    hold_back: float
    skip_until: float
    skipped: int = 0
    removed: list[str] | None = None
    """RECENTLY-REMOVED-DATERANGES; None where none are skipped."""
    parts: dict[int, list[ListedPart]] = field(default_factory=dict)
    """By Media Sequence Number."""
    hint: str = ""
    reports: dict[str, tuple[int, int]] = field(default_factory=dict)
    """LAST-MSN and LAST-PART, or -1, by URI."""
    last: int = 0
    """Media Sequence Number of the newest complete segment."""

    @property
    def last_part(self) -> tuple[int, int]:
        """Where the playlist has come to."""
        sequence = max([self.last, *self.parts])
        return sequence, len(self.parts.get(sequence, [])) - 1


def split_low_latency(data: bytes) -> tuple[bytes, LowLatency | None]:
    """Judge the low-latency tags of a media playlist.

    Args:
        data: the whole one or a delta update.

    Returns:
        The playlist without them, and without the tags of a segment that is not complete;
        and what they say, or None when it is no low-latency playlist.

    Raises:
        CheckError: a rule is broken; the text says which.
    """
    if b"#EXT-X-PART-INF" not in data:
        return data, None
    lines = data.decode().split("\n")
    require(lines.pop() == "", "the last line is not finished")
    found = LowLatency(0, 0, 0, 0)
    rest: list[str] = []
    parts: list[ListedPart] = []
    sequence = target = version = 0
    tail = 0  # where the tags of a segment that is not complete begin
    seconds = 0.0
    seen: list[str] = []
    for line in lines:
        require(not found.reports or "RENDITION-REPORT" in line, f"{line} behind the reports")
        require(
            not found.hint or "RENDITION-REPORT" in line or line == "#EXT-X-ENDLIST",
            f"{line} behind the hint",
        )
        tag = _TAG.fullmatch(line)
        name, value = ("", "") if tag is None else tag.groups()
        if name == "EXT-X-SERVER-CONTROL":
            control = _CONTROL.fullmatch(value)
            require(control, f"{name}:{value}")
            assert control is not None
            found.skip_until, found.hold_back, found.part_hold_back = map(float, control.groups())
        elif name == "EXT-X-PART-INF":
            found.part_target = float(value.removeprefix("PART-TARGET="))
        elif name == "EXT-X-SKIP":
            require(not rest[-1].startswith("#EXTINF"), "EXT-X-SKIP behind a segment")
            skip = _SKIP.fullmatch(value)
            require(skip, f"{name}:{value}")
            assert skip is not None
            found.skipped = int(skip[1])
            if skip[2] is not None:
                found.removed = skip[2].split("\t") if skip[2] else []
                require(version >= _SKIPS_DATE_RANGES, f"EXT-X-VERSION:{version}")
            sequence += found.skipped
        elif name == "EXT-X-PART":
            match = _PART.fullmatch(value)
            require(match, f"{name}:{value}")
            assert match is not None
            parts.append(ListedPart(match[2], float(match[1]), bool(match[3])))
        elif name == "EXT-X-PRELOAD-HINT":
            hint = _HINT.fullmatch(value)
            require(hint, f"{name}:{value}")
            assert hint is not None
            found.hint = hint[1]
        elif name == "EXT-X-RENDITION-REPORT":
            report = _REPORT.fullmatch(value)
            require(report, f"{name}:{value}")
            assert report is not None
            require(report[1] not in found.reports, f"{report[1]} reported twice")
            found.reports[report[1]] = (int(report[2]), int(report[3] or -1))
        else:
            if name in ("EXT-X-DISCONTINUITY", "EXT-X-MAP", "EXT-X-PROGRAM-DATE-TIME"):
                require(not parts, f"{line} behind parts of its segment")
            rest.append(line)
            if name == "EXT-X-MEDIA-SEQUENCE":
                sequence = int(value)
            elif name == "EXT-X-VERSION":
                version = int(value)
            elif name == "EXT-X-TARGETDURATION":
                target = int(value)
            elif line.startswith("#EXTINF"):
                seconds = float(_EXTINF.fullmatch(line)[1])  # type: ignore[index]  # or it fails
            elif not line.startswith("#"):
                _check_parts(found, parts, seconds)
                if parts:
                    found.parts[sequence] = parts
                parts = []
                found.last = sequence
                sequence += 1
                tail = len(rest)
        if name in ("EXT-X-SERVER-CONTROL", "EXT-X-PART-INF", "EXT-X-SKIP"):
            require(name not in seen, f"{name} twice")
            seen.append(name)
    if parts:
        _check_parts(found, parts, None)
        found.parts[sequence] = parts
    is_over = rest[-1] == "#EXT-X-ENDLIST"
    require(is_over or rest[tail:] == [] or parts, f"tags of no part: {rest[tail:]}")
    require(bool(found.hint) != is_over, "one hint while there is more to come, and none after")
    listed = [part.uri for several in found.parts.values() for part in several]
    require(found.hint not in listed, "the hint is of a part that is there")
    require(len(set(listed)) == len(listed), "a part is listed twice")
    require(0 < found.part_target, "no PART-TARGET")
    require(found.part_hold_back >= 3 * found.part_target - 0.0005, "PART-HOLD-BACK is too small")
    require(found.hold_back >= 3 * target, "HOLD-BACK is too small")
    require(found.skip_until >= 6 * target, "CAN-SKIP-UNTIL is too small")
    kept = rest[:tail] + (["#EXT-X-ENDLIST"] if is_over else [])
    return ("\n".join(kept) + "\n").encode(), found


def _check_parts(found: LowLatency, parts: Sequence[ListedPart], extinf: float | None) -> None:
    """Judge the parts of one segment."""
    for part in parts:
        require(
            part.duration <= found.part_target + 1e-6,
            f"{part.uri}: {part.duration} is above PART-TARGET {found.part_target}",
        )
    # The last one may be as short as it has to be. Once in a while a frame lasts so much longer
    # than the others that the part before it ends early: the target must not be passed.
    short = [
        part
        for part in parts[:-1]
        if part.duration < 0.85 * found.part_target and not part.is_independent
    ]
    require(len(short) < 2, f"below 85 % of {found.part_target}: {short}")
    if parts and extinf is not None:
        total = sum(part.duration for part in parts)
        require(
            abs(total - extinf) < 0.001,
            f"{parts[0].uri}: parts of {total} s make a segment of {extinf}",
        )
