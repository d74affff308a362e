"""A judge of HLS playlists: a strict parser and the rules of RFC 8216bis that players trust.

Shares no code with the writer. An unknown tag or attribute is an error, so that a new one
gets its rule here first.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

MINIMUM_VERSION = {"EXT-X-MAP": 6, "EXT-X-GAP": 8}
HEADER_TAGS = frozenset(
    (
        "EXT-X-VERSION",
        "EXT-X-INDEPENDENT-SEGMENTS",
        "EXT-X-TARGETDURATION",
        "EXT-X-MEDIA-SEQUENCE",
        "EXT-X-DISCONTINUITY-SEQUENCE",
    )
)
SEGMENT_TAGS = (
    "EXT-X-DISCONTINUITY",
    "EXT-X-MAP",
    "EXT-X-PROGRAM-DATE-TIME",
    "EXT-X-GAP",
    "EXTINF",
)
"""In the order in which they have to stand."""

VIDEO_CODECS = ("avc1", "avc3", "hvc1", "hev1", "av01", "vp08", "vp09")

Kind = Literal["quoted", "word", "integer", "decimal", "resolution"]
MEDIA_ATTRIBUTES: Mapping[str, Kind] = {
    "TYPE": "word",
    "GROUP-ID": "quoted",
    "NAME": "quoted",
    "DEFAULT": "word",
    "AUTOSELECT": "word",
    "LANGUAGE": "quoted",
    "CHANNELS": "quoted",
    "URI": "quoted",
}
STREAM_INF_ATTRIBUTES: Mapping[str, Kind] = {
    "BANDWIDTH": "integer",
    "AVERAGE-BANDWIDTH": "integer",
    "CODECS": "quoted",
    "RESOLUTION": "resolution",
    "FRAME-RATE": "decimal",
    "AUDIO": "quoted",
    "CLOSED-CAPTIONS": "word",
}
_SYNTAX: Mapping[Kind, str] = {
    "quoted": r'"[^"]*"',
    "word": r"[A-Z0-9-]+",
    "integer": r"[0-9]{1,20}",
    "decimal": r"[0-9]+\.[0-9]{3}",
    "resolution": r"[0-9]+x[0-9]+",
}
_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",\s]+)(?:,(?=.)|$)')
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_EXTINF = re.compile(r"(\d+\.\d{3,}),")
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ufeff]")


class CheckError(AssertionError):
    """The playlist breaks a rule."""


def require(condition: object, message: str) -> None:
    """Raise CheckError with `message` unless `condition` holds."""
    if not condition:
        raise CheckError(message)


@dataclass(slots=True)
class MediaSegment:
    """One segment as a player understands it."""

    sequence: int
    uri: str
    map_uri: str
    duration: float
    """Seconds."""
    discontinuity: int
    """Its Discontinuity Sequence Number."""
    is_discontinuity: bool
    is_gap: bool
    date: float | None
    """Unix time."""


@dataclass(slots=True)
class MediaPlaylist:
    """A media playlist."""

    version: int
    target_duration: int
    media_sequence: int
    discontinuity_sequence: int
    independent_segments: bool
    ended: bool
    segments: list[MediaSegment]


@dataclass(slots=True)
class AudioRendition:
    """One EXT-X-MEDIA of TYPE=AUDIO."""

    group: str
    name: str
    default: bool
    language: str
    channels: int
    uri: str


@dataclass(slots=True)
class Variant:
    """One EXT-X-STREAM-INF."""

    uri: str
    bandwidth: int
    average_bandwidth: int
    codecs: tuple[str, ...]
    resolution: tuple[int, int] | None
    frame_rate: float | None
    audio: str
    """The audio group, or ''."""


@dataclass(slots=True)
class MultivariantPlaylist:
    """A multivariant playlist."""

    version: int
    audio: list[AudioRendition]
    variants: list[Variant]


def parse_media_playlist(data: bytes, *, tolerance: float = 0.002) -> MediaPlaylist:
    """Parse a media playlist and judge it alone.

    Args:
        data: the body as it was served.
        tolerance: seconds by which a date may miss the date and duration of the segment
            before it; dates are in milliseconds.

    Raises:
        CheckError: a rule is broken; the text says which.
    """
    lines = _lines(data)
    header: dict[str, str] = {}
    tags: dict[str, str] = {}
    segments: list[MediaSegment] = []
    sequence = discontinuity = 0
    map_uri = ""
    ended = False
    for line in lines:
        require(not ended, f"{line!r} behind EXT-X-ENDLIST")
        if line == "#EXT-X-ENDLIST":
            require(not tags, f"tags {list(tags)} without a segment")
            ended = True
        elif line.startswith("#"):
            name, value = _tag(line)
            if name in HEADER_TAGS:
                require(not segments and not tags, f"{name} behind the first segment tag")
                require(name not in header, f"{name} twice")
                header[name] = value
            else:
                require(name in SEGMENT_TAGS, f"unknown tag {name}")
                require(name not in tags, f"{name} twice for one segment")
                tags[name] = value
        else:
            if not segments:
                sequence = _integer(header, "EXT-X-MEDIA-SEQUENCE")
                discontinuity = _integer(header, "EXT-X-DISCONTINUITY-SEQUENCE")
            segment = _segment(line, tags, map_uri)
            discontinuity += segment.is_discontinuity
            segment.sequence = sequence
            segment.discontinuity = discontinuity
            map_uri = segment.map_uri
            segments.append(segment)
            sequence += 1
            tags = {}
    require(segments, "a playlist without a segment")
    require(not tags, f"tags {list(tags)} without a segment")
    require(
        header.get("EXT-X-INDEPENDENT-SEGMENTS", "") == "",
        "EXT-X-INDEPENDENT-SEGMENTS has a value",
    )
    playlist = MediaPlaylist(
        _integer(header, "EXT-X-VERSION"),
        _integer(header, "EXT-X-TARGETDURATION"),
        segments[0].sequence,
        _integer(header, "EXT-X-DISCONTINUITY-SEQUENCE"),
        "EXT-X-INDEPENDENT-SEGMENTS" in header,
        ended,
        segments,
    )
    _check_playlist(playlist, tolerance)
    return playlist


def check_reload(before: MediaPlaylist, after: MediaPlaylist) -> None:
    """Judge a playlist against an earlier one of the same URL (section 6.2.1, 6.2.2).

    Raises:
        CheckError: a player that has seen `before` would go wrong.
    """
    for name in ("version", "target_duration", "independent_segments"):
        require(
            getattr(before, name) == getattr(after, name), f"{name} changed in the playlist's life"
        )
    require(after.media_sequence >= before.media_sequence, "EXT-X-MEDIA-SEQUENCE went back")
    require(
        after.segments[-1].sequence >= before.segments[-1].sequence, "the newest segment went away"
    )
    require(
        after.discontinuity_sequence >= before.discontinuity_sequence,
        "EXT-X-DISCONTINUITY-SEQUENCE went back",
    )
    require(not before.ended or after == before, "changed after EXT-X-ENDLIST")
    known = {segment.sequence: segment for segment in before.segments}
    for segment in after.segments:
        old = known.get(segment.sequence)
        require(old is None or old == segment, f"segment changed: {old} became {segment}")
    uris = {segment.uri: segment.sequence for segment in before.segments}
    for segment in after.segments:
        require(
            uris.get(segment.uri, segment.sequence) == segment.sequence,
            f"URI {segment.uri} used for another segment",
        )
    require(
        after.segments[-1].discontinuity >= before.segments[-1].discontinuity,
        "Discontinuity Sequence Numbers went back",
    )


def parse_multivariant_playlist(data: bytes) -> MultivariantPlaylist:
    """Parse a multivariant playlist and judge it.

    Raises:
        CheckError: a rule is broken; the text says which.
    """
    header: dict[str, str] = {}
    audio: list[AudioRendition] = []
    variants: list[Variant] = []
    pending: dict[str, str] | None = None
    for line in _lines(data):
        if not line.startswith("#"):
            require(pending is not None, f"URI {line} without EXT-X-STREAM-INF")
            variants.append(_variant(line, pending or {}))
            pending = None
            continue
        require(pending is None, "EXT-X-STREAM-INF is not followed by its URI")
        name, value = _tag(line)
        if name == "EXT-X-MEDIA":
            require(not variants, "EXT-X-MEDIA behind EXT-X-STREAM-INF")
            audio.append(_audio_rendition(_attributes(value, MEDIA_ATTRIBUTES)))
        elif name == "EXT-X-STREAM-INF":
            pending = _attributes(value, STREAM_INF_ATTRIBUTES)
        else:
            require(name == "EXT-X-VERSION", f"unknown tag {name}")
            require(name not in header, f"{name} twice")
            header[name] = value
    require(pending is None, "EXT-X-STREAM-INF is not followed by its URI")
    require(variants, "no EXT-X-STREAM-INF")
    playlist = MultivariantPlaylist(_integer(header, "EXT-X-VERSION"), audio, variants)
    _check_groups(playlist)
    return playlist


def _lines(data: bytes) -> Sequence[str]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckError(f"not UTF-8: {error}") from error
    require(not _CONTROL.search(text), "a control character or a byte order mark")
    require(text.endswith("\n"), "the last line is not finished")
    lines = text.removesuffix("\n").split("\n")
    require(lines[0] == "#EXTM3U", f"starts with {lines[0]!r}")
    for line in lines[1:]:
        require(line and line == line.strip(), f"an empty line or stray blanks: {line!r}")
        require(line != "#EXTM3U", "EXTM3U twice")
    return lines[1:]


def _tag(line: str) -> tuple[str, str]:
    name, _, value = line[1:].partition(":")
    return name, value


def _integer(tags: Mapping[str, str], name: str) -> int:
    require(name in tags, f"{name} is missing")
    require(re.fullmatch(r"[0-9]{1,20}", tags[name]), f"{name}:{tags[name]} is no number")
    return int(tags[name])


def _attributes(value: str, known: Mapping[str, Kind]) -> dict[str, str]:
    found: dict[str, str] = {}
    end = 0
    for match in _ATTRIBUTE.finditer(value):
        require(match.start() == end, f"bad attribute list {value!r}")
        end = match.end()
        name, text = match.groups()
        require(name not in found, f"attribute {name} twice")
        require(name in known, f"unknown attribute {name}")
        require(re.fullmatch(_SYNTAX[known[name]], text), f"{name}={text} is not {known[name]}")
        found[name] = text.strip('"')
    require(end == len(value) and found, f"bad attribute list {value!r}")
    return found


def _need(attributes: Mapping[str, str], *names: str) -> None:
    for name in names:
        require(attributes.get(name), f"attribute {name} is missing or empty")


def _segment(uri: str, tags: Mapping[str, str], map_uri: str) -> MediaSegment:
    order = [SEGMENT_TAGS.index(name) for name in tags]
    require(order == sorted(order), f"{uri}: tags in the order {list(tags)}")
    require("EXTINF" in tags, f"{uri}: no EXTINF")
    extinf = _EXTINF.fullmatch(tags["EXTINF"])
    require(extinf, f"{uri}: EXTINF:{tags['EXTINF']}")
    for name in ("EXT-X-DISCONTINUITY", "EXT-X-GAP"):
        require(not tags.get(name), f"{name} has a value")
    if "EXT-X-MAP" in tags:
        attributes = _attributes(tags["EXT-X-MAP"], {"URI": "quoted"})
        _need(attributes, "URI")
        require(attributes["URI"] != map_uri, f"{uri}: EXT-X-MAP again and the same")
        map_uri = attributes["URI"]
    require(map_uri, f"{uri}: no EXT-X-MAP before it")
    date = None
    if "EXT-X-PROGRAM-DATE-TIME" in tags:
        text = tags["EXT-X-PROGRAM-DATE-TIME"]
        require(_DATE.fullmatch(text), f"{uri}: date {text}")
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        date = moment.timestamp()
    return MediaSegment(
        sequence=0,
        uri=uri,
        map_uri=map_uri,
        duration=float(extinf[1]) if extinf else 0.0,
        discontinuity=0,
        is_discontinuity="EXT-X-DISCONTINUITY" in tags,
        is_gap="EXT-X-GAP" in tags,
        date=date,
    )


def _check_playlist(playlist: MediaPlaylist, tolerance: float) -> None:
    segments = playlist.segments
    version = MINIMUM_VERSION["EXT-X-MAP"]
    if any(segment.is_gap for segment in segments):
        version = MINIMUM_VERSION["EXT-X-GAP"]
    require(playlist.version >= version, f"EXT-X-VERSION below {version}")
    uris = [segment.uri for segment in segments]
    require(len(set(uris)) == len(uris), "a URI is listed twice")
    end: float | None = None
    for segment in segments:
        require(segment.duration > 0, f"{segment.uri}: EXTINF of 0")
        require(
            int(segment.duration + 0.5) <= playlist.target_duration,
            f"{segment.uri}: EXTINF {segment.duration} above EXT-X-TARGETDURATION",
        )
        if segment.is_discontinuity:
            end = None
        if segment.date is None:
            require(end is not None, f"{segment.uri}: no date in this continuity")
        else:
            require(
                end is None or abs(segment.date - end) <= tolerance,
                f"{segment.uri}: date is {segment.date}, the segment before ends at {end}",
            )
            end = segment.date
        end = (end or 0.0) + segment.duration


def _audio_rendition(attributes: Mapping[str, str]) -> AudioRendition:
    _need(attributes, "TYPE", "GROUP-ID", "NAME", "DEFAULT", "AUTOSELECT", "CHANNELS", "URI")
    require(attributes["TYPE"] == "AUDIO", f"TYPE={attributes['TYPE']}")
    for name in ("DEFAULT", "AUTOSELECT"):
        require(attributes[name] in ("YES", "NO"), f"{name}={attributes[name]}")
    require(
        attributes["AUTOSELECT"] == "YES" or attributes["DEFAULT"] == "NO",
        "DEFAULT=YES with AUTOSELECT=NO",
    )
    require(attributes.get("LANGUAGE") != "und", "LANGUAGE of an unknown language")
    return AudioRendition(
        group=attributes["GROUP-ID"],
        name=attributes["NAME"],
        default=attributes["DEFAULT"] == "YES",
        language=attributes.get("LANGUAGE", ""),
        channels=_integer(attributes, "CHANNELS"),
        uri=attributes["URI"],
    )


def _variant(uri: str, attributes: Mapping[str, str]) -> Variant:
    _need(attributes, "BANDWIDTH", "AVERAGE-BANDWIDTH", "CODECS", "CLOSED-CAPTIONS")
    bandwidth = int(attributes["BANDWIDTH"])
    average = int(attributes["AVERAGE-BANDWIDTH"])
    require(0 < average <= bandwidth, f"{uri}: bandwidth {bandwidth}, average {average}")
    codecs = tuple(attributes["CODECS"].split(","))
    require(all(codecs) and len(set(codecs)) == len(codecs), f"{uri}: CODECS {codecs}")
    require(not any(" " in codec for codec in codecs), f"{uri}: blanks in CODECS")
    videos = [codec for codec in codecs if codec.startswith(VIDEO_CODECS)]
    require(
        bool(videos) == ("RESOLUTION" in attributes), f"{uri}: RESOLUTION does not fit {codecs}"
    )
    require(videos or "FRAME-RATE" not in attributes, f"{uri}: FRAME-RATE without video")
    require(attributes["CLOSED-CAPTIONS"] == "NONE", f"{uri}: captions that nobody declares")
    resolution = None
    if "RESOLUTION" in attributes:
        width, height = map(int, attributes["RESOLUTION"].split("x"))
        require(width and height, f"{uri}: RESOLUTION of 0")
        resolution = (width, height)
    frame_rate = float(attributes["FRAME-RATE"]) if "FRAME-RATE" in attributes else None
    require(frame_rate is None or frame_rate > 0, f"{uri}: FRAME-RATE of 0")
    return Variant(
        uri, bandwidth, average, codecs, resolution, frame_rate, attributes.get("AUDIO", "")
    )


def _check_groups(playlist: MultivariantPlaylist) -> None:
    groups: dict[str, list[AudioRendition]] = {}
    for rendition in playlist.audio:
        groups.setdefault(rendition.group, []).append(rendition)
    for group, members in groups.items():
        names = {member.name for member in members}
        require(len(names) == len(members), f"group {group}: NAME is not unique")
        require(sum(member.default for member in members) == 1, f"group {group}: not one default")
    used = {variant.audio for variant in playlist.variants if variant.audio}
    require(used == set(groups), f"groups {set(groups)} declared, {used} used")
    uris = [variant.uri for variant in playlist.variants]
    require(len(set(uris)) == len(uris), "two variants with one URI")
    for variant in playlist.variants:
        audios = [codec for codec in variant.codecs if not codec.startswith(VIDEO_CODECS)]
        video = len(audios) < len(variant.codecs)
        if variant.audio:
            require(audios, f"{variant.uri}: CODECS without the audio group's")
        elif video:
            require(not audios, f"{variant.uri}: CODECS {audios} and no audio group")
