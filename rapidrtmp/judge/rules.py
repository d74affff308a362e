"""The rules of the standards judge, each with its severity and where it is written."""

from dataclasses import dataclass

ERROR, WARNING = "error", "warning"

# what the references are to
_HLS = "RFC 8216bis"
_APPLE = "Apple authoring"
_CMAF = "CMAF"
_BMFF = "ISO 14496-12"
_NAL = "ISO 14496-15"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule."""

    name: str
    """Names it in reports; stays the same over versions."""
    severity: str
    """`ERROR` where a specification demands it or players fail, `WARNING` where it is advised."""
    reference: str
    """Where it is written."""
    words: str
    """What it demands."""


def _rows(
    group: str, reference: str, *rows: tuple[str, str, str, str]
) -> tuple[tuple[str, Rule], ...]:
    return tuple(
        (group, Rule(name, severity, f"{reference} {section}".strip(), words))
        for severity, name, section, words in rows
    )


_E, _W = ERROR, WARNING

_GROUPED = (
    *_rows(
        "Playlists: form",
        _HLS,
        (_E, "playlist-encoding", "4", "UTF-8 without byte order mark or control characters"),
        (_E, "playlist-start", "4.4.1.1", "the first line is EXTM3U"),
        (_E, "playlist-line", "4.1", "no blanks around a line, and the last line is finished"),
        (_E, "playlist-bounds", "10", "a playlist is at most 4 MiB and 50,000 lines"),
        (_E, "playlist-empty", "6.2.1", "a media playlist lists a segment"),
        (_W, "tag-unknown", "6.3.1", "tags that begin with EXT are known ones"),
        (_E, "tag-value", "4.1", "the value of a tag has its form"),
        (_E, "tag-duplicate", "4.4.3", "a tag stands once where it may stand once"),
        (_E, "tag-mixed", "4.1", "no tags of media and multivariant playlists in one"),
        (_E, "tag-missing", "4.4.3.1", "the tags that must be there are there"),
        (_E, "tag-order", "4.4.3", "numbers stand before the first segment, ENDLIST at the end"),
        (_E, "tag-dangling", "4.1", "EXTINF and STREAM-INF are followed by their URI"),
        (_E, "attribute-syntax", "4.2", "an attribute list has its form"),
        (_E, "attribute-duplicate", "4.2", "an attribute stands once"),
        (_E, "attribute-value", "4.2", "the value of an attribute has its form"),
        (_E, "attribute-missing", "4.2", "the attributes that a tag needs are there"),
        (_E, "version-low", "8", "EXT-X-VERSION allows what the playlist uses"),
    ),
    *_rows(
        "Media playlists",
        _HLS,
        (_E, "extinf-missing", "4.4.4.1", "every segment has EXTINF, above 0"),
        (_E, "target-duration", "4.4.3.1", "EXTINF, rounded, is at most EXT-X-TARGETDURATION"),
        (_E, "playlist-type", "4.4.3.5", "EVENT and VOD keep what they promise"),
        (_E, "map-missing", "3.1.2", "fragmented MP4 has an EXT-X-MAP"),
        (
            _E,
            "segment-format",
            "3.1",
            "a segment is fragmented MP4, MPEG-TS, packed audio or WebVTT",
        ),
        (_E, "uri-reused", "6.2.1", "no URI stands for two segments"),
        (_E, "date-continuity", "6.2.1", "dates do not jump by a second or more in a continuity"),
        (_W, "date-drift", "6.2.1", "dates go on by the durations in a continuity"),
        (_W, "date-discontinuity", "6.2.1", "with dates, every discontinuity has one"),
        (_W, "date-form", "4.4.4.6", "a date has milliseconds and a time zone"),
        (_E, "daterange", "4.4.5.1", "date ranges have what they need, and do not contradict"),
        (_E, "endlist-hint", "4.4.5.3", "nothing is hinted behind the end"),
    ),
    *_rows(
        "Media playlists",
        _APPLE,
        (_E, "date-missing", "", "a live playlist has EXT-X-PROGRAM-DATE-TIME"),
        (_W, "playlist-few", "", "a live playlist lists six segments or more"),
    ),
    *_rows(
        "Reloads",
        _HLS,
        (_E, "target-duration-changed", "4.4.3.1", "EXT-X-TARGETDURATION stays the same"),
        (_E, "part-target-changed", "4.4.3.7", "PART-TARGET stays the same"),
        (_W, "header-changed", "6.2.1", "version and promises of a playlist stay the same"),
        (_E, "sequence-back", "4.4.3.2", "EXT-X-MEDIA-SEQUENCE never falls"),
        (_E, "discontinuity-sequence", "4.4.3.3", "it grows by one for each discontinuity removed"),
        (_E, "segment-changed", "6.2.1", "a listed segment stays as it is"),
        (_E, "segment-removed", "6.2.2", "segments are removed at the beginning alone, in order"),
        (_E, "part-changed", "6.2.1", "a listed part stays as it is"),
        (_E, "endlist-changed", "6.2.1", "nothing changes behind EXT-X-ENDLIST"),
        (
            _E,
            "playlist-short",
            "6.2.2",
            "what is left after a removal lasts three target durations",
        ),
        (_E, "playlist-stale", "6.2.1", "a segment is added within 1.5 target durations"),
        (_E, "segment-gone", "6.2.2", "a removed segment can be fetched for its duration"),
        (_W, "segment-late", "6.2.1", "segments come as steadily as their media"),
    ),
    *_rows(
        "Low latency",
        _HLS,
        (_E, "part-inf-missing", "4.4.3.7", "parts need EXT-X-PART-INF"),
        (_E, "part-target", "4.4.4.9", "a part lasts at most PART-TARGET"),
        (
            _E,
            "part-short",
            "4.4.4.9",
            "a part lasts 85 % of PART-TARGET, but an independent one, one at a gap, or the last",
        ),
        (_E, "part-sum", "4.4.4.9", "the durations of a segment's parts add up to its own"),
        (_W, "part-old", "4.4.4.9", "parts are listed within three target durations of the end"),
        (_W, "part-late", "6.2.1", "parts come as steadily as their media"),
        (_E, "part-hold-back", "4.4.3.8", "PART-HOLD-BACK is there, two PART-TARGETs or more"),
        (_E, "hold-back", "4.4.3.8", "HOLD-BACK is three target durations or more"),
        (_E, "can-skip-until", "4.4.3.8", "CAN-SKIP-UNTIL is six target durations or more"),
        (_E, "preload-hint-missing", "B.1", "a live playlist with parts hints at the next one"),
        (_W, "preload-hint-duplicate", "6.2.6", "there is one hint of each type"),
        (_E, "preload-hint-listed", "4.4.5.3", "what is hinted is not listed yet"),
        (_W, "preload-hint-dropped", "6.2.6", "the part that comes is the one hinted"),
        (_E, "rendition-report-missing", "B.1", "every other rendition is reported"),
        (_E, "rendition-report-unknown", "4.4.5.4", "a report is of another rendition"),
        (_E, "rendition-report-wrong", "4.4.5.4", "a report tells the rendition's newest part"),
        (_E, "delta-update", "6.2.5.1", "a delta update says what the full playlist says"),
        (_E, "delta-missing", "6.2.5.1", "a delta update is sent where segments can be skipped"),
        (_E, "blocking-reload", "6.2.5.2", "a blocked reload is answered with what was asked for"),
        (_E, "blocking-refusal", "6.2.5.2", "_HLS_part without _HLS_msn is refused: 400"),
        (_W, "blocking-far", "6.2.5.2", "an _HLS_msn too far ahead is refused: 400"),
    ),
    *_rows(
        "Low latency",
        _APPLE,
        (_W, "part-hold-back-short", "", "PART-HOLD-BACK is three PART-TARGETs or more"),
    ),
    *_rows(
        "Multivariant playlist",
        _HLS,
        (_E, "variant-missing", "4.4.6.2", "there is a variant"),
        (_E, "bandwidth-value", "4.4.6.2", "AVERAGE-BANDWIDTH is above 0, BANDWIDTH no less"),
        (_E, "group-unknown", "4.4.6.2.1", "every group that a variant names is there"),
        (_W, "group-unused", "4.4.6.1", "every group is named by a variant"),
        (_E, "group-members", "4.4.6.1.1", "in a group, names differ and at most one is default"),
        (_E, "codecs-wrong", "4.4.6.2", "CODECS has what the sample entries say, and no more"),
        (_E, "resolution-wrong", "4.4.6.2", "RESOLUTION is that of the sample entry"),
        (_E, "video-range-wrong", "4.4.6.2", "VIDEO-RANGE is that of the colour box"),
        (
            _E,
            "captions-none",
            "4.4.6.2",
            "CLOSED-CAPTIONS=NONE is said of all variants, or of none",
        ),
        (_W, "frame-rate-wrong", "4.4.6.2", "FRAME-RATE is within 5 % of what is measured"),
        (_E, "renditions-differ", "6.2.4", "target duration and promises are the same in all"),
        (_E, "discontinuity-renditions", "6.2.4", "discontinuities are the same in all renditions"),
        (
            _E,
            "timestamps-renditions",
            "6.2.4",
            "dates and timestamps fit together in all renditions",
        ),
    ),
    *_rows(
        "Multivariant playlist",
        _APPLE,
        (_E, "bandwidth-low", "", "no segment's rate is above 125 % of BANDWIDTH"),
        (
            _W,
            "stream-inf-sparse",
            "",
            "CODECS, AVERAGE-BANDWIDTH, and of video RESOLUTION, FRAME-RATE",
        ),
        (_W, "media-order", "", "EXT-X-MEDIA stands before the variants, for simple players"),
    ),
    *_rows(
        "Media: boxes",
        _BMFF,
        (_E, "box-structure", "4.2", "boxes fill the file exactly"),
        (_E, "box-bounds", "4.2", "media is in the judge's bounds: bytes, boxes, samples"),
        (_E, "init-structure", "8", "the initialization section is ftyp and moov, and whole"),
        (_E, "init-brand", "4.3", "the brands allow what is used"),
        (_E, "init-tables", "8.8", "no samples and no duration in the initialization section"),
        (_E, "sample-entry", "8.5.2", "the sample entry has its configuration, and it can be read"),
        (_E, "init-size", "8.3.2", "tkhd has the size of the sample entry"),
        (_E, "segment-structure", "8.8", "a segment is moof and mdat, in turn"),
        (_E, "mfhd-sequence", "8.8.5", "mfhd's sequence number grows"),
        (_E, "track-id", "8.8.7", "tfhd names a track of the initialization section"),
        (_E, "tfhd-flags", "8.8.7", "data offsets are from the start of moof"),
        (_E, "trun-table", "8.8.8", "trun and tfhd have the fields that they count"),
        (_E, "trun-offset", "8.8.8", "data offset and sizes give every byte of mdat to one sample"),
        (_E, "mdat-cut", "8.8.8", "samples end inside mdat"),
        (_E, "sample-duration", "8.8.8", "every sample lasts"),
        (_E, "sample-empty", "8.8.8", "every sample has bytes"),
        (_E, "composition-offset", "8.8.8", "composition offsets are sensible, no wrapped numbers"),
        (
            _E,
            "sync-flag",
            "8.8.3.1",
            "what is flagged sync is where a decoder can start, and only that",
        ),
        (_W, "depends-on", "8.8.3.1", "sample_depends_on does not contradict the sync flag"),
    ),
    *_rows(
        "Media: tracks",
        _CMAF,
        (_W, "init-tracks", "7.3.1", "one track in a file"),
        (_E, "tfdt-missing", "7.5.16", "every track fragment has tfdt"),
        (_W, "tfdt-version", "7.5.16", "tfdt has 64 bits"),
        (_E, "tfdt-continuity", "7.3.2", "a segment starts where the samples before it end"),
        (_W, "media-hole", "7.3.2", "no hole between samples that only the playlist knows"),
        (_E, "fragment-ends", "7.3.2", "tracks in one file end together"),
    ),
    *_rows(
        "Media: boxes",
        _NAL,
        (_E, "nal-length", "5.3", "the lengths of NAL units fill the sample"),
    ),
    *_rows(
        "Media and playlist",
        _HLS,
        (_E, "extinf-media", "4.4.4.1", "EXTINF is the duration of the samples"),
        (_W, "date-media", "6.2.4", "dates go on with the timestamps in a continuity"),
        (_E, "map-media", "4.4.4.5", "EXT-X-MAP names the initialization section of the segments"),
        (_E, "discontinuity-missing", "6.2.1", "what changes the configuration is a discontinuity"),
        (_E, "independent-segments", "4.4.2.1", "EXT-X-INDEPENDENT-SEGMENTS: all start with sync"),
        (_E, "part-duration", "4.4.4.9", "DURATION of a part is that of its samples"),
        (_E, "part-independent", "4.4.4.9", "INDEPENDENT=YES: the part has a sync sample"),
        (_W, "part-independent-missing", "4.4.4.9", "what has a sync sample says so"),
        (_E, "part-bytes", "4.4.4.9", "the parts, joined, are the segment byte for byte"),
    ),
    *_rows(
        "Media and playlist",
        _APPLE,
        (_E, "entry-hev1", "", "HEVC is hvc1, H.264 is avc1"),
    ),
    *_rows(
        "HTTP",
        _HLS,
        (_E, "http-status", "6.2", "what is listed can be fetched"),
        (_E, "http-body", "6.2", "the body is as long as announced"),
        (_W, "http-gzip", "6.2.1", "playlists are compressed for who accepts it, with Vary"),
        (_E, "http-content-type", "4", "playlists and media have their content types"),
    ),
    *_rows(
        "HTTP",
        _APPLE,
        (_W, "http-cors", "", "players on other pages may fetch: Access-Control-Allow-Origin"),
        (_W, "http-cache-playlist", "", "a live playlist is not cached longer than half a segment"),
        (_W, "http-cache-media", "", "media can be cached"),
        (_W, "http-length", "", "media has a Content-Length"),
        (_W, "http-redirect", "8.18", "no redirects"),
        (_W, "download-slow", "", "media is fetched faster than it is played"),
    ),
)

RULES = {rule.name: rule for _, rule in _GROUPED}
"""All rules, by name."""


def markdown() -> str:
    """Return the rules as tables for the documentation."""
    lines: list[str] = []
    groups: dict[str, list[Rule]] = {}
    for group, rule in _GROUPED:
        groups.setdefault(group, []).append(rule)
    for group, rules in groups.items():
        lines += (f"### {group}", "", "| rule | demands | written in | |", "|---|---|---|---|")
        lines += (
            f"| `{rule.name}` | {rule.words} | {rule.reference} | {rule.severity} |"
            for rule in rules
        )
        lines.append("")
    return "\n".join(lines)
