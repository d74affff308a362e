"""A judge of HLS playlists: a strict parser and the rules of RFC 8216bis that players trust.

Shares no code with the writer. An unknown tag or attribute is an error, so that a new one
gets its rule here first.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from tests.hls.date_range_checker import (
    ListedDateRange,
    check_date_ranges,
    parse_date_range,
)
from tests.hls.judging import CheckError as CheckError
from tests.hls.judging import require
from tests.hls.low_latency_checker import LowLatency, split_low_latency

MINIMUM_VERSION = {"EXT-X-MAP": 6, "EXT-X-GAP": 8, "EXT-X-SKIP": 9}
DATE_RANGE = "EXT-X-DATERANGE"
I_FRAMES_ONLY = "EXT-X-I-FRAMES-ONLY"
HEADER_TAGS = frozenset(
    (
        "EXT-X-VERSION",
        "EXT-X-INDEPENDENT-SEGMENTS",
        "EXT-X-TARGETDURATION",
        "EXT-X-SERVER-CONTROL",
        "EXT-X-MEDIA-SEQUENCE",
        "EXT-X-DISCONTINUITY-SEQUENCE",
        I_FRAMES_ONLY,
    )
)
SEGMENT_TAGS = (
    "EXT-X-DISCONTINUITY",
    "EXT-X-MAP",
    "EXT-X-PROGRAM-DATE-TIME",
    "EXT-X-GAP",
    "EXTINF",
    "EXT-X-BYTERANGE",
)
"""In the order in which they have to stand."""

VIDEO_CODECS = ("avc1", "avc3", "hvc1", "hev1", "av01", "vp08", "vp09")

Kind = Literal["quoted", "word", "integer", "decimal", "resolution", "captions"]
MEDIA_ATTRIBUTES: Mapping[str, Kind] = {
    "TYPE": "word",
    "GROUP-ID": "quoted",
    "NAME": "quoted",
    "DEFAULT": "word",
    "AUTOSELECT": "word",
    "LANGUAGE": "quoted",
    "CHANNELS": "quoted",
    "INSTREAM-ID": "quoted",
    "URI": "quoted",
}
STREAM_INF_ATTRIBUTES: Mapping[str, Kind] = {
    "BANDWIDTH": "integer",
    "AVERAGE-BANDWIDTH": "integer",
    "CODECS": "quoted",
    "RESOLUTION": "resolution",
    "FRAME-RATE": "decimal",
    "VIDEO-RANGE": "word",
    "AUDIO": "quoted",
    "CLOSED-CAPTIONS": "captions",
}
I_FRAME_ATTRIBUTES: Mapping[str, Kind] = {
    "BANDWIDTH": "integer",
    "AVERAGE-BANDWIDTH": "integer",
    "CODECS": "quoted",
    "RESOLUTION": "resolution",
    "VIDEO-RANGE": "word",
    "URI": "quoted",
}
IMAGE_STREAM_INF_ATTRIBUTES: Mapping[str, Kind] = {
    "BANDWIDTH": "integer",
    "RESOLUTION": "resolution",
    "CODECS": "quoted",
    "URI": "quoted",
}
_SYNTAX: Mapping[Kind, str] = {
    "quoted": r'"[^"]*"',
    "word": r"[A-Z0-9-]+",
    "integer": r"[0-9]{1,20}",
    "decimal": r"[0-9]+\.[0-9]{3}",
    "resolution": r"[0-9]+x[0-9]+",
    "captions": r'NONE|"[^"]+"',
}
_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",\s]+)(?:,(?=.)|$)')
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_SKIP_UNTIL = re.compile(r"CAN-SKIP-UNTIL=(\d+\.\d{3})")
_BYTE_RANGE = re.compile(r"([1-9][0-9]*)@0")
_SERVICE = re.compile(r"CC[1-4]|SERVICE([1-9]|[1-5][0-9]|6[0-3])")
_EXTINF = re.compile(r"(\d+\.\d{3,}),")
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ufeff]")


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
    i_frame_size: int = 0
    """Bytes of its range, in an I-frame playlist."""


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
    date_ranges: dict[str, ListedDateRange] = field(default_factory=dict)
    """By ID."""
    i_frames_only: bool = False
    low_latency: LowLatency | None = field(default=None, compare=False)


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
class ImageRendition:
    """One EXT-X-IMAGE-STREAM-INF (Image Media Playlist specification 0.4)."""

    uri: str
    bandwidth: int
    resolution: tuple[int, int]


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
    video_range: str = "SDR"
    captions: str = ""
    """The group of closed captions, or ''."""


@dataclass(slots=True)
class IFrameVariant:
    """One EXT-X-I-FRAME-STREAM-INF."""

    uri: str
    bandwidth: int
    resolution: tuple[int, int]


@dataclass(slots=True)
class MultivariantPlaylist:
    """A multivariant playlist."""

    version: int
    audio: list[AudioRendition]
    variants: list[Variant]
    images: list[ImageRendition] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    """INSTREAM-ID of each rendition of closed captions."""
    i_frames: list[IFrameVariant] = field(default_factory=list)


def parse_media_playlist(data: bytes, *, tolerance: float = 0.002) -> MediaPlaylist:
    """Parse a media playlist and judge it alone.

    Args:
        data: the body as it was served.
        tolerance: seconds by which a date may miss the date and duration of the segment
            before it; dates are in milliseconds.

    Raises:
        CheckError: a rule is broken; the text says which.
    """
    data, low_latency = split_low_latency(data)
    lines = _lines(data)
    header: dict[str, str] = {}
    tags: dict[str, str] = {}
    date_ranges: dict[str, ListedDateRange] = {}
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
            if name == DATE_RANGE:
                require(not segments and not tags, f"{name} behind the first segment tag")
                date_range = parse_date_range(value)
                require(date_range.id not in date_ranges, f"{date_range.id} is listed twice")
                date_ranges[date_range.id] = date_range
            elif name in HEADER_TAGS:
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
    for name in ("EXT-X-INDEPENDENT-SEGMENTS", I_FRAMES_ONLY):
        require(header.get(name, "") == "", f"{name} has a value")
    control = header.get("EXT-X-SERVER-CONTROL")
    if control is not None:  # that of a playlist without parts
        skip_until = _SKIP_UNTIL.fullmatch(control)
        require(skip_until, f"EXT-X-SERVER-CONTROL:{control}")
        assert skip_until is not None
        target = _integer(header, "EXT-X-TARGETDURATION")
        require(float(skip_until[1]) >= 6 * target, "CAN-SKIP-UNTIL is too small")
    playlist = MediaPlaylist(
        _integer(header, "EXT-X-VERSION"),
        _integer(header, "EXT-X-TARGETDURATION"),
        segments[0].sequence,
        _integer(header, "EXT-X-DISCONTINUITY-SEQUENCE"),
        "EXT-X-INDEPENDENT-SEGMENTS" in header,
        ended,
        segments,
        date_ranges,
        I_FRAMES_ONLY in header,
        low_latency,
    )
    _check_playlist(playlist, tolerance)
    return playlist


def check_reload(before: MediaPlaylist, after: MediaPlaylist) -> None:
    """Judge a playlist against an earlier one of the same URL (section 6.2.1, 6.2.2).

    Raises:
        CheckError: a player that has seen `before` would go wrong.
    """
    for name in ("version", "target_duration", "independent_segments", "i_frames_only"):
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
    check_date_ranges(before.date_ranges, after.date_ranges, after.segments[0].date or 0.0)
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
    captions: list[str] = []
    i_frames: list[IFrameVariant] = []
    variants: list[Variant] = []
    images: list[ImageRendition] = []
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
            attributes = _attributes(value, MEDIA_ATTRIBUTES)
            if attributes.get("TYPE") == "CLOSED-CAPTIONS":
                captions.append(_caption_service(attributes))
            else:
                audio.append(_audio_rendition(attributes))
        elif name == "EXT-X-IMAGE-STREAM-INF":
            images.append(_image_rendition(_attributes(value, IMAGE_STREAM_INF_ATTRIBUTES)))
        elif name == "EXT-X-I-FRAME-STREAM-INF":
            i_frames.append(_i_frame_variant(_attributes(value, I_FRAME_ATTRIBUTES)))
        elif name == "EXT-X-STREAM-INF":
            pending = _attributes(value, STREAM_INF_ATTRIBUTES)
        else:
            require(name == "EXT-X-VERSION", f"unknown tag {name}")
            require(name not in header, f"{name} twice")
            header[name] = value
    require(pending is None, "EXT-X-STREAM-INF is not followed by its URI")
    require(variants, "no EXT-X-STREAM-INF")
    playlist = MultivariantPlaylist(
        _integer(header, "EXT-X-VERSION"), audio, variants, images, captions, i_frames
    )
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
    i_frame_size = 0
    if "EXT-X-BYTERANGE" in tags:
        byte_range = _BYTE_RANGE.fullmatch(tags["EXT-X-BYTERANGE"])
        require(byte_range, f"{uri}: EXT-X-BYTERANGE:{tags['EXT-X-BYTERANGE']}")
        i_frame_size = int(byte_range[1]) if byte_range else 0
    return MediaSegment(
        sequence=0,
        uri=uri,
        map_uri=map_uri,
        duration=float(extinf[1]) if extinf else 0.0,
        discontinuity=0,
        is_discontinuity="EXT-X-DISCONTINUITY" in tags,
        is_gap="EXT-X-GAP" in tags,
        date=date,
        i_frame_size=i_frame_size,
    )


def _check_playlist(playlist: MediaPlaylist, tolerance: float) -> None:
    segments = playlist.segments
    version = MINIMUM_VERSION["EXT-X-MAP"]
    if any(segment.is_gap for segment in segments):
        version = MINIMUM_VERSION["EXT-X-GAP"]
    require(playlist.version >= version, f"EXT-X-VERSION below {version}")
    for segment in segments:
        require(
            bool(segment.i_frame_size) == (playlist.i_frames_only and not segment.is_gap),
            f"{segment.uri}: a byte range is what an I-frame has, and nothing else",
        )
    require(not playlist.date_ranges or segments[0].date is not None, "date ranges without a date")
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
    require("INSTREAM-ID" not in attributes, "INSTREAM-ID of audio")
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


def _image_rendition(attributes: Mapping[str, str]) -> ImageRendition:
    _need(attributes, "BANDWIDTH", "RESOLUTION", "CODECS", "URI")
    require(attributes["CODECS"] == "jpeg", f"images of {attributes['CODECS']}")
    width, height = map(int, attributes["RESOLUTION"].split("x"))
    return ImageRendition(attributes["URI"], int(attributes["BANDWIDTH"]), (width, height))


def _caption_service(attributes: Mapping[str, str]) -> str:
    _need(attributes, "GROUP-ID", "NAME", "DEFAULT", "AUTOSELECT", "INSTREAM-ID")
    require("URI" not in attributes, "closed captions with a URI of their own")
    require("CHANNELS" not in attributes, "closed captions with CHANNELS")
    require(attributes["GROUP-ID"] == "captions", "another group of closed captions")
    service = attributes["INSTREAM-ID"]
    require(_SERVICE.fullmatch(service), f"INSTREAM-ID={service}")
    return service


def _i_frame_variant(attributes: Mapping[str, str]) -> IFrameVariant:
    _need(attributes, "BANDWIDTH", "AVERAGE-BANDWIDTH", "CODECS", "RESOLUTION", "URI")
    average = int(attributes["AVERAGE-BANDWIDTH"])
    require(0 < average <= int(attributes["BANDWIDTH"]), "bandwidth of I-frames")
    require(attributes["CODECS"].startswith(VIDEO_CODECS), "I-frames of no video")
    require("," not in attributes["CODECS"], "I-frames with more than video")
    width, height = map(int, attributes["RESOLUTION"].split("x"))
    return IFrameVariant(attributes["URI"], int(attributes["BANDWIDTH"]), (width, height))


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
    captions = attributes["CLOSED-CAPTIONS"]
    require(videos or captions == "NONE", f"{uri}: captions without video")
    resolution = None
    if "RESOLUTION" in attributes:
        width, height = map(int, attributes["RESOLUTION"].split("x"))
        require(width and height, f"{uri}: RESOLUTION of 0")
        resolution = (width, height)
    frame_rate = float(attributes["FRAME-RATE"]) if "FRAME-RATE" in attributes else None
    require(frame_rate is None or frame_rate > 0, f"{uri}: FRAME-RATE of 0")
    video_range = attributes.get("VIDEO-RANGE", "SDR")
    require(video_range in ("SDR", "HLG", "PQ"), f"{uri}: VIDEO-RANGE={video_range}")
    require(videos or "VIDEO-RANGE" not in attributes, f"{uri}: VIDEO-RANGE without video")
    group = attributes.get("AUDIO", "")
    return Variant(
        uri,
        bandwidth,
        average,
        codecs,
        resolution,
        frame_rate,
        group,
        video_range,
        "" if captions == "NONE" else captions,
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
    services = set(playlist.captions)
    require(len(services) == len(playlist.captions), "a caption service is declared twice")
    for variant in playlist.variants:
        said = "captions" if services else ""
        require(variant.captions == said, f"{variant.uri}: captions {variant.captions!r}")
    sizes = {variant.uri.partition("?")[0]: variant.resolution for variant in playlist.variants}
    for i_frames in playlist.i_frames:
        media = i_frames.uri.replace("-iframes", "")
        require(sizes.get(media) == i_frames.resolution, f"{i_frames.uri} of no variant")
    # one variant for each group of audio that the video plays with
    pairs = [(variant.uri, variant.audio) for variant in playlist.variants]
    require(len(set(pairs)) == len(pairs), "two variants with one URI and the same audio")
    for variant in playlist.variants:
        audios = [codec for codec in variant.codecs if not codec.startswith(VIDEO_CODECS)]
        video = len(audios) < len(variant.codecs)
        if variant.audio:
            require(audios, f"{variant.uri}: CODECS without the audio group's")
        elif video:
            require(not audios, f"{variant.uri}: CODECS {audios} and no audio group")
