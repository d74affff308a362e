"""The multivariant playlist, strictly read, and the rules it keeps alone (RFC 8216bis 4.4.6)."""

from dataclasses import dataclass, field

from rapidrtmp.judge import syntax
from rapidrtmp.judge.finding import Report
from rapidrtmp.judge.playlist_parser import MULTIVARIANT_TAGS, SEGMENT_TAGS
from rapidrtmp.judge.syntax import (
    ANY,
    DECIMAL,
    INTEGER,
    QUOTED,
    RESOLUTION,
    WORD,
    YES_NO,
    Line,
    attributes,
    integer,
)

_COMMON = ("EXT-X-VERSION", "EXT-X-INDEPENDENT-SEGMENTS", "EXT-X-START", "EXT-X-DEFINE")
_ONCE = ("EXT-X-VERSION", "EXT-X-INDEPENDENT-SEGMENTS", "EXT-X-START", "EXT-X-CONTENT-STEERING")
_GROUPS = ("AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS")
_VIDEO_CODECS = ("avc1", "avc3", "hvc1", "hev1", "av01", "vp09", "vp08", "dvh1", "dvhe", "vvc1")

_MEDIA = {"TYPE": WORD, "URI": QUOTED, "GROUP-ID": QUOTED, "LANGUAGE": QUOTED, "NAME": QUOTED}
_MEDIA |= {"ASSOC-LANGUAGE": QUOTED, "STABLE-RENDITION-ID": QUOTED, "DEFAULT": YES_NO}
_MEDIA |= {"AUTOSELECT": YES_NO, "FORCED": YES_NO, "INSTREAM-ID": QUOTED, "BIT-DEPTH": INTEGER}
_MEDIA |= {"SAMPLE-RATE": INTEGER, "CHARACTERISTICS": QUOTED, "CHANNELS": QUOTED}
_STREAM = {"BANDWIDTH": INTEGER, "AVERAGE-BANDWIDTH": INTEGER, "SCORE": DECIMAL, "CODECS": QUOTED}
_STREAM |= {"SUPPLEMENTAL-CODECS": QUOTED, "RESOLUTION": RESOLUTION, "FRAME-RATE": DECIMAL}
_STREAM |= {"HDCP-LEVEL": WORD, "ALLOWED-CPC": QUOTED, "VIDEO-RANGE": WORD, "AUDIO": QUOTED}
_STREAM |= {"REQ-VIDEO-LAYOUT": QUOTED, "STABLE-VARIANT-ID": QUOTED, "VIDEO": QUOTED}
_STREAM |= {"SUBTITLES": QUOTED, "CLOSED-CAPTIONS": ANY, "PATHWAY-ID": QUOTED}


@dataclass(frozen=True, slots=True)
class MediaRendition:
    """EXT-X-MEDIA."""

    type: str
    group: str
    name: str
    uri: str
    """'' where it is in the variant's own."""
    is_default: bool
    line: int


@dataclass(frozen=True, slots=True)
class Variant:
    """EXT-X-STREAM-INF, or EXT-X-I-FRAME-STREAM-INF."""

    uri: str
    bandwidth: int
    codecs: tuple[str, ...]
    resolution: tuple[int, int] | None
    frame_rate: float | None
    audio: str
    """Its group; '' for none."""
    video_range: str
    is_iframes: bool
    line: int


@dataclass(slots=True)
class Multivariant:
    """A multivariant playlist."""

    name: str
    variants: list[Variant] = field(default_factory=list)
    media: list[MediaRendition] = field(default_factory=list)

    def uris(self) -> list[str]:
        """Return the media playlists of variants and renditions, each once."""
        uris = [variant.uri for variant in self.variants if not variant.is_iframes]
        uris += [media.uri for media in self.media if media.uri]
        return list(dict.fromkeys(uris))


def is_multivariant(octets: bytes) -> bool:
    """Tell a multivariant playlist from a media playlist."""
    return b"#EXT-X-STREAM-INF" in octets or b"#EXT-X-MEDIA:" in octets


def read_multivariant(octets: bytes, name: str, report: Report) -> Multivariant | None:
    """Read and judge a multivariant playlist; None where it is none at all."""
    lines = syntax.split(octets, name, report)
    if lines is None:
        return None
    playlist = Multivariant(name)
    seen: set[str] = set()
    pending: tuple[Line, dict[str, str]] | None = None
    for line in lines:
        where = f"{name}:{line.number}"
        if line.tag in _ONCE:
            if line.tag in seen:
                report.add("tag-duplicate", where, line.tag)
            seen.add(line.tag)
        if line.tag == "EXT-X-VERSION":
            integer(line, where, report)
        if pending is not None and line.tag:
            report.add("tag-dangling", where, "EXT-X-STREAM-INF is not followed by its URI")
            pending = None
        if line.tag == "EXT-X-MEDIA":
            if playlist.variants:
                report.add("media-order", where, "EXT-X-MEDIA behind a variant")
            _read_media(line, where, playlist, report)
        elif line.tag == "EXT-X-STREAM-INF":
            pending = line, attributes(line, _STREAM, ("BANDWIDTH",), where, report)
        elif line.tag == "EXT-X-I-FRAME-STREAM-INF":
            known = _STREAM | {"URI": QUOTED}
            found = attributes(line, known, ("BANDWIDTH", "URI"), where, report)
            if "URI" in found:
                variant = _variant(line, found, found["URI"], where, report, is_iframes=True)
                playlist.variants.append(variant)
        elif line.tag == "EXT-X-IMAGE-STREAM-INF":
            attributes(line, _STREAM | {"URI": QUOTED}, ("BANDWIDTH", "URI"), where, report)
        elif line.tag == "":
            if pending is None:
                report.add("tag-dangling", where, f"{line.value[:60]} without EXT-X-STREAM-INF")
            else:
                where = f"{name}:{pending[0].number}"
                variant = _variant(*pending, line.value, where, report, is_iframes=False)
                playlist.variants.append(variant)
            pending = None
        elif line.tag not in MULTIVARIANT_TAGS and line.tag not in _COMMON:
            rule = "tag-mixed" if line.tag in SEGMENT_TAGS else "tag-unknown"
            report.add(rule, where, line.tag[:60])
    if pending is not None:
        report.add("tag-dangling", name, "EXT-X-STREAM-INF is not followed by its URI")
    if not any(not variant.is_iframes for variant in playlist.variants):
        report.add("variant-missing", name, "no EXT-X-STREAM-INF")
    _judge_groups(playlist, lines, report)
    return playlist


def _read_media(line: Line, where: str, playlist: Multivariant, report: Report) -> None:
    found = attributes(line, _MEDIA, ("TYPE", "GROUP-ID", "NAME"), where, report)
    type_ = found.get("TYPE", "")
    if type_ and type_ not in _GROUPS:
        report.add("attribute-value", where, f"EXT-X-MEDIA: TYPE={type_[:20]}")
    if found.get("DEFAULT") == "YES" and found.get("AUTOSELECT", "YES") == "NO":
        report.add("attribute-value", where, "DEFAULT=YES with AUTOSELECT=NO")
    if type_ == "CLOSED-CAPTIONS" and ("URI" in found or "INSTREAM-ID" not in found):
        report.add("attribute-missing", where, "closed captions have an INSTREAM-ID and no URI")
    if type_ == "SUBTITLES" and "URI" not in found:
        report.add("attribute-missing", where, "EXT-X-MEDIA: URI")
    playlist.media.append(
        MediaRendition(
            type_,
            found.get("GROUP-ID", ""),
            found.get("NAME", ""),
            found.get("URI", ""),
            found.get("DEFAULT") == "YES",
            line.number,
        )
    )


def _variant(
    line: Line, found: dict[str, str], uri: str, where: str, report: Report, *, is_iframes: bool
) -> Variant:
    bandwidth = int(found.get("BANDWIDTH", 0))
    average = int(found.get("AVERAGE-BANDWIDTH", bandwidth))
    if not 0 < average <= bandwidth:
        words = f"BANDWIDTH={bandwidth}, AVERAGE-BANDWIDTH={average}"
        report.add("bandwidth-value", where, words)
    if found.get("VIDEO-RANGE", "SDR") not in ("SDR", "HLG", "PQ"):
        words = f"VIDEO-RANGE={found['VIDEO-RANGE'][:20]}"
        report.add("attribute-value", where, words)
    codecs = tuple(codec.strip() for codec in found.get("CODECS", "").split(",") if codec.strip())
    advised = ["CODECS", "AVERAGE-BANDWIDTH"]
    if any(codec.startswith(_VIDEO_CODECS) for codec in codecs):
        advised += ["RESOLUTION"] if is_iframes else ["RESOLUTION", "FRAME-RATE"]
    missing = [name for name in advised if name not in found]
    if missing:
        report.add("stream-inf-sparse", where, f"no {', '.join(missing)}")
    resolution = None
    if "RESOLUTION" in found:
        width, height = found["RESOLUTION"].split("x")
        resolution = (int(width), int(height))
    return Variant(
        uri=uri,
        bandwidth=bandwidth,
        codecs=codecs,
        resolution=resolution,
        frame_rate=float(found["FRAME-RATE"]) if "FRAME-RATE" in found else None,
        audio=found.get("AUDIO", ""),
        video_range=found.get("VIDEO-RANGE", "SDR"),
        is_iframes=is_iframes,
        line=line.number,
    )


def _judge_groups(playlist: Multivariant, lines: list[Line], report: Report) -> None:
    groups: dict[tuple[str, str], list[MediaRendition]] = {}
    for media in playlist.media:
        groups.setdefault((media.type, media.group), []).append(media)
    for (type_, group), members in groups.items():
        where = f"{playlist.name}:{members[0].line}"
        if len({member.name for member in members}) < len(members):
            report.add("group-members", where, f"{type_} group {group}: a NAME is there twice")
        if sum(member.is_default for member in members) > 1:
            report.add("group-members", where, f"{type_} group {group}: several defaults")
    named: set[tuple[str, str]] = set()
    captions: set[bool] = set()
    for line in lines:
        if line.tag != "EXT-X-STREAM-INF":
            continue
        found = attributes(line, _STREAM, (), "", Report())
        captions.add(found.get("CLOSED-CAPTIONS") == "NONE")
        for type_ in _GROUPS:
            wanted = found.get(type_)
            if wanted is None or (type_ == "CLOSED-CAPTIONS" and wanted == "NONE"):
                continue
            named.add((type_, wanted))
            if (type_, wanted) not in groups:
                where = f"{playlist.name}:{line.number}"
                report.add("group-unknown", where, f"{type_}={wanted[:60]}")
    if len(captions) > 1:
        report.add("captions-none", playlist.name, "CLOSED-CAPTIONS=NONE of some variants")
    for type_, group in groups.keys() - named:
        if group:
            report.add("group-unused", playlist.name, f"{type_} group {group}")
