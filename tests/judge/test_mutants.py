"""The judge on streams that are spoilt in one way each: it finds the right rule."""

import re
import struct
from collections.abc import Callable
from dataclasses import replace

from rapidrtmp.judge.http_rules import Answer
from rapidrtmp.judge.rules import RULES
from tests.judge.case import JudgeTestCase
from tests.judge.model import Edit, ModelServer, Spoil, files

SECONDS = 4.5
"""That a mutant is followed: three segments come, and the discontinuity is among them."""
LATE = 2.5
"""Seconds after which something changes."""
FIRST_SEQUENCE = 1000


def text(
    pattern: str, by: str, *, name: str = "video", after: float = -1.0, count: int = 0
) -> Edit:
    """Replace in a playlist."""

    def edited(found: str, lines: str, now: float) -> str:
        if found.partition(".")[0] != name or now < after:
            return lines
        return re.sub(pattern, by, lines, count=count, flags=re.MULTILINE)

    return edited


def edit(change: Callable[[str], str], after: float = -1.0, until: float = 99.0) -> Edit:
    """Change video's playlist for some time."""

    def edited(name: str, lines: str, now: float) -> str:
        return change(lines) if name == "video.m3u8" and after <= now < until else lines

    return edited


def media(pattern: str, change: Callable[[bytearray], object]) -> Spoil:
    """Change the files whose name matches."""

    def spoil(name: str, octets: bytes) -> bytes:
        if re.fullmatch(pattern, name) is None:
            return octets
        changed = bytearray(octets)
        change(changed)
        return bytes(changed)

    return spoil


def add(box: bytes, at: int, layout: str, number: int) -> Callable[[bytearray], None]:
    """Add to a number in the first box of a type; `at` counts from behind the type."""

    def change(octets: bytearray) -> None:
        place = octets.index(box) + 4 + at
        (old,) = struct.unpack_from(f">{layout}", octets, place)
        struct.pack_into(f">{layout}", octets, place, old + number)

    return change


def put(box: bytes, at: int, new: bytes) -> Callable[[bytearray], None]:
    """Overwrite in the first box of a type."""

    def change(octets: bytearray) -> None:
        place = octets.index(box) + 4 + at
        octets[place : place + len(new)] = new

    return change


def all_sync(octets: bytearray) -> None:
    """Flag every sample of every fragment as sync."""
    for place in (found.start() for found in re.finditer(b"tfhd", octets)):
        flags = struct.unpack_from(">I", octets, place + 4)[0] & 0xFFFFFF
        assert flags & 0x20, "the model states default flags"
        at = place + 12 + 4 * bool(flags & 0x08) + 4 * bool(flags & 0x10)
        octets[at : at + 4] = b"\x02\0\0\0"


def first_not_sync(octets: bytearray) -> None:
    """Flag the first sample as one that depends on others."""
    at = octets.index(b"trun") + 16
    assert octets[at : at + 4] == b"\x02\0\0\0", "first_sample_flags"
    octets[at : at + 4] = b"\x01\x01\0\0"


def cut_mdat(octets: bytearray) -> None:
    """Leave out the end."""
    del octets[-10:]


def stray(octets: bytearray) -> None:
    """Append bytes that are no box."""
    octets += b"\0\0"


def no_tfdt(octets: bytearray) -> None:
    """Make tfdt a free box."""
    octets[:] = octets.replace(b"tfdt", b"free")


def as_iso2(octets: bytearray) -> None:
    """Claim old brands alone."""
    octets[:] = octets.replace(b"iso6", b"iso2", 2)


def shorter(octets: bytearray) -> None:
    """Halve the durations of the last fragment."""
    place = octets.rindex(b"tfhd") + 12
    octets[place : place + 4] = b"\0\0\x07\x08"


def larger(octets: bytearray) -> None:
    """Blow a segment up within its own mdat, which comes last."""
    place = len(octets) - 1
    while octets[place : place + 4] != b"mdat":
        place -= 1
    octets += bytes(40_000)
    size = struct.unpack_from(">I", octets, place - 4)[0]
    struct.pack_into(">I", octets, place - 4, size + 40_000)


def header(name: str, value: str | None, kind: str) -> Callable[[Answer], Answer]:
    """Set or remove a header of answers whose URL ends so."""

    def change(answer: Answer) -> Answer:
        if not answer.url.partition("?")[0].endswith(kind):
            return answer
        headers = {key: text for key, text in answer.headers.items() if key != name}
        return replace(answer, headers=headers if value is None else headers | {name: value})

    return change


def moved(lines: str, start: str) -> str:
    """Put a line at the end."""
    rows = lines.splitlines(keepends=True)
    return "".join([row for row in rows if not row.startswith(start)]) + next(
        row for row in rows if row.startswith(start)
    )


def numbered(lines: str, by: int) -> str:
    """Shift the sequence number."""
    return re.sub(
        r"(MEDIA-SEQUENCE:)(\d+)", lambda match: f"{match[1]}{int(match[2]) + by * 3}", lines
    )


def shifted(name: str, lines: str, now: float) -> str:
    """Let the dates of one rendition be half a second off."""
    if name != "audio.m3u8":
        return lines
    return re.sub(r"(DATE-TIME:.*)\.(\d)(\d\d)Z", lambda m: f"{m[1]}.9{m[3]}Z", lines)


SEGMENT = r"video/\d+\.m4s"
LATER = r"video/10(?:09|1\d)\.m4s"
"""From the discontinuity on."""
VIDEO_MAP = r"video/init-.\.mp4"

PLAYLISTS: list[tuple[str, Edit]] = [
    ("playlist-encoding", edit(lambda lines: lines + "#\udcff\n")),
    ("playlist-encoding", edit(lambda lines: "\ufeff" + lines)),
    ("playlist-start", text("#EXTM3U", "#EXTM3")),
    ("playlist-line", text("^#EXTINF", " #EXTINF", count=1)),
    ("playlist-line", edit(lambda lines: lines.rstrip("\n"))),
    ("tag-unknown", text("^#EXT-X-MEDIA-SEQ", "#EXT-X-NONSENSE:1\n#EXT-X-MEDIA-SEQ")),
    ("tag-value", text("TARGETDURATION:2", "TARGETDURATION:2.0")),
    ("date-form", text("(DATE-TIME:.*)Z", r"\1")),
    ("tag-value", text("(DATE-TIME:.*)T", r"\1 ")),
    ("tag-duplicate", text("^(#EXT-X-VERSION.*)$", r"\1\n\1")),
    ("tag-duplicate", text("^(#EXT-X-MEDIA-SEQUENCE.*)$", r"\1\n\1")),
    ("tag-mixed", text("^(#EXT-X-VERSION.*)$", r"\1\n#EXT-X-STREAM-INF:BANDWIDTH=1")),
    ("tag-missing", text("^#EXT-X-TARGETDURATION.*\n", "")),
    ("tag-order", edit(lambda lines: moved(lines, "#EXT-X-MEDIA-SEQUENCE"))),
    ("tag-dangling", edit(lambda lines: lines + "#EXTINF:2,\n")),
    ("attribute-syntax", text("PART-TARGET=0.2", "PART-TARGET=0.2,")),
    ("attribute-duplicate", text("PART-TARGET=0.2", "PART-TARGET=0.2,PART-TARGET=0.2")),
    ("attribute-value", text(r"DURATION=(0\.2\d*)", r'DURATION="\1"')),
    ("attribute-value", text("INDEPENDENT=YES", "INDEPENDENT=NO")),
    ("attribute-missing", text(",URI=[^,\n]*", "", count=1)),
    ("version-low", text("VERSION:9", "VERSION:5")),
    ("extinf-missing", text("^#EXTINF.*\n", "", count=1)),
    ("target-duration", text("TARGETDURATION:2", "TARGETDURATION:1")),
    ("target-duration-changed", text("TARGETDURATION:2", "TARGETDURATION:3", after=LATE)),
    ("part-target-changed", text("TARGET=0.2", "TARGET=0.21", after=LATE)),
    ("header-changed", text("^#EXT-X-INDEPENDENT.*\n", "", after=LATE)),
    ("map-missing", text("^#EXT-X-MAP.*\n", "")),
    ("uri-reused", text(r"^video/1003\.m4s", "video/1004.m4s")),
    ("date-drift", text(r"22:13:3(\d)\.(\d)00Z", r"22:13:3\1.\g<2>50Z", count=2)),
    ("date-continuity", text(r"22:13:3(\d)\.(\d)00Z", r"22:13:4\1.\g<2>00Z", count=2)),
    ("date-discontinuity", text("(DISCONTINUITY\n.*\n)#EXT-X-PROGRAM.*\n", r"\1")),
    ("date-missing", text("^#EXT-X-PROGRAM.*\n", "")),
    ("sequence-back", edit(lambda lines: numbered(lines, -1), LATE)),
    ("segment-changed", edit(lambda lines: numbered(lines, 1), LATE)),
    ("discontinuity-sequence", text("(DISCONTINUITY-SEQUENCE:).*", r"\g<1>9", after=LATE)),
    ("discontinuity-sequence", text("(DISCONTINUITY-SEQUENCE:).*", r"\g<1>2", after=LATE)),
    ("segment-changed", text("(EXTINF:2.0)00", r"\g<1>01", after=LATE)),
    ("segment-removed", text(r"(#EXTINF.*\n.*m4s\n)[^~]*", r"\1", after=LATE)),
    ("endlist-changed", edit(lambda lines: lines + "#EXT-X-ENDLIST\n", 1.0, 2.0)),
    ("playlist-type", text("^(#EXT-X-VERSION.*)$", r"\1\n#EXT-X-PLAYLIST-TYPE:EVENT")),
    ("playlist-type", text("^(#EXT-X-VERSION.*)$", r"\1\n#EXT-X-PLAYLIST-TYPE:VOD")),
    ("extinf-media", text(r"EXTINF:2\.000000", "EXTINF:2.200000")),
    ("extinf-media", text(r"EXTINF:2\.000000", "EXTINF:1.900000")),
    ("discontinuity-missing", text("^#EXT-X-DISCONTINUITY\n", "")),
    ("discontinuity-renditions", text("(DISCONTINUITY-SEQUENCE:).*", r"\g<1>4")),
    ("renditions-differ", text("TARGETDURATION:2", "TARGETDURATION:3", name="audio")),
    ("timestamps-renditions", shifted),
    ("part-inf-missing", text("^#EXT-X-PART-INF.*\n", "")),
    ("part-target", text("PART-TARGET=0.2", "PART-TARGET=0.19")),
    ("part-short", text("PART-TARGET=0.2", "PART-TARGET=0.25")),
    ("part-sum", text(r"DURATION=0\.200000(.*)\.3\.m4s", r"DURATION=0.190000\1.3.m4s")),
    ("part-duration", text(r"DURATION=0\.200000(.*)\.3\.m4s", r"DURATION=0.190000\1.3.m4s")),
    ("part-changed", text(r"(DURATION=0\.)2(.*)\.1\.m4s", r"\g<1>19\2.1.m4s", after=LATE)),
    ("part-independent", text(r'(\.5\.m4s")', r"\1,INDEPENDENT=YES")),
    ("part-independent-missing", text(",INDEPENDENT=YES", "")),
    ("part-hold-back", text("PART-HOLD-BACK=0.6,", "")),
    ("part-hold-back", text("PART-HOLD-BACK=0.6", "PART-HOLD-BACK=0.3")),
    ("part-hold-back-short", text("PART-HOLD-BACK=0.6", "PART-HOLD-BACK=0.5")),
    ("hold-back", text("PART-HOLD-BACK=0.6", "PART-HOLD-BACK=0.6,HOLD-BACK=5.0")),
    ("can-skip-until", text("CAN-SKIP-UNTIL=12.0", "CAN-SKIP-UNTIL=8.0")),
    ("attribute-missing", text("CAN-SKIP-UNTIL=12.0", "CAN-SKIP-DATERANGES=YES")),
    ("preload-hint-missing", text("^#EXT-X-PRELOAD-HINT.*\n", "")),
    ("preload-hint-duplicate", text("^(#EXT-X-PRELOAD-HINT.*)$", r"\1\n\1")),
    ("preload-hint-listed", text('(HINT.*")video/10.*"', r'\1video/1009.0.m4s"')),
    ("preload-hint-dropped", text(r'(HINT.*)\.m4s"', r'\1x.m4s"')),
    ("rendition-report-missing", text("^#EXT-X-RENDITION.*\n", "")),
    ("rendition-report-unknown", text("audio.m3u8", "other.m3u8")),
    ("rendition-report-unknown", text("audio.m3u8", "video.m3u8")),
    ("rendition-report-wrong", text(r"LAST-MSN=10(\d\d)", r"LAST-MSN=11\1")),
    ("rendition-report-wrong", text(r"LAST-MSN=10(\d\d)", r"LAST-MSN=9\1")),
    ("rendition-report-wrong", text(r"LAST-PART=\d+", "LAST-PART=99")),
    ("attribute-value", text("(REPORT:.*)audio.m3u8", r"\1http://a/b")),
    ("tag-order", edit(lambda lines: moved(lines, "#EXT-X-PROGRAM"))),
    ("daterange", text("^(#EXT-X-PART-INF.*)$", r'\1\n#EXT-X-DATERANGE:ID="a"')),
    ("delta-update", text(r"(SKIPPED-SEGMENTS=)\d+", r"\g<1>1")),
    ("delta-update", text(r"(SKIPPED-SEGMENTS=)\d+", r"\g<1>500")),
    ("playlist-empty", edit(lambda lines: lines.partition("#EXT-X-MAP")[0])),
    ("endlist-hint", text(r"\Z", "#EXT-X-ENDLIST\n")),
]
"""The rule that is broken, and how."""


MULTIVARIANT: list[tuple[str, str, str]] = [
    ("variant-missing", "(?s)#EXT-X-STREAM-INF.*", '#EXT-X-SESSION-DATA:DATA-ID="a",VALUE="b"\n'),
    ("tag-dangling", "^video.m3u8$", ""),
    ("tag-mixed", "^(#EXT-X-VERSION.*)$", r"\1\n#EXT-X-TARGETDURATION:2"),
    ("bandwidth-value", "AVERAGE-BANDWIDTH=50000", "AVERAGE-BANDWIDTH=70000"),
    ("bandwidth-value", ":BANDWIDTH=60000,AVERAGE-BANDWIDTH=50000", ":BANDWIDTH=0"),
    ("attribute-missing", "BANDWIDTH=60000,AVERAGE-", "AVERAGE-"),
    ("attribute-value", "TYPE=AUDIO", 'TYPE="AUDIO"'),
    ("attribute-value", "TYPE=AUDIO", "TYPE=SOUND"),
    ("group-unknown", 'AUDIO="a"', 'AUDIO="b"'),
    ("group-unused", ',AUDIO="a"', ""),
    ("group-members", "(?m)^(#EXT-X-MEDIA.*)$", r"\1\n\1"),
    ("codecs-wrong", "avc1.64001f", "avc1.640020"),
    ("codecs-wrong", ",mp4a.40.2", ""),
    ("codecs-wrong", "mp4a.40.2", "mp4a.40.5"),
    ("codecs-wrong", "mp4a.40.2", "mp4a.40.2,opus"),
    ("captions-none", "(?s)(#EXT-X-STREAM.*)", r"\1#EXT-X-STREAM-INF:BANDWIDTH=5\nvideo.m3u8\n"),
    ("resolution-wrong", "640x720", "1280x720"),
    ("frame-rate-wrong", "25.000", "30.000"),
    ("stream-inf-sparse", 'CODECS="[^"]*",', ""),
    ("media-order", r"(?s)(#EXT-X-MEDIA.*?\n)(.*)", r"\2\1"),
    ("bandwidth-low", "BANDWIDTH=60000,AVERAGE-BANDWIDTH=50000", "BANDWIDTH=1000"),
]
"""The rule that is broken, a pattern of the multivariant playlist, and what replaces it."""

MEDIA: list[tuple[str, Spoil]] = [
    ("box-structure", media(SEGMENT, stray)),
    ("box-structure", media(SEGMENT, add(b"traf", -8, "I", 4))),
    ("init-structure", media(VIDEO_MAP, put(b"mvex", -4, b"free"))),
    ("init-structure", media(VIDEO_MAP, put(b"ftyp", -4, b"styp"))),
    ("init-structure", media(VIDEO_MAP, put(b"mdhd", 12, bytes(4)))),
    ("init-brand", media(VIDEO_MAP, as_iso2)),
    ("init-tables", media(VIDEO_MAP, put(b"mdhd", 16, b"\0\0\1\0"))),
    ("init-tables", media(VIDEO_MAP, put(b"stsz", 8, b"\0\0\0\1"))),
    ("init-size", media(VIDEO_MAP, add(b"tkhd", 76, "I", 1 << 20))),
    ("entry-hev1", media(VIDEO_MAP, put(b"avc1", -4, b"avc3"))),
    ("sample-entry", media(VIDEO_MAP, put(b"avcC", -4, b"free"))),
    ("codecs-wrong", media(VIDEO_MAP, put(b"avcC", 3, b"\x28"))),
    ("codecs-wrong", media("audio/init-0.mp4", put(b"esds", 4 + 5 + 3 + 5 + 13 + 5, b"\x2a"))),
    ("segment-structure", media(SEGMENT, put(b"moof", -4, b"free"))),
    ("segment-structure", media(SEGMENT, put(b"trun", -4, b"free"))),
    ("mfhd-sequence", media(SEGMENT, put(b"mfhd", 4, b"\0\0\0\1"))),
    ("track-id", media(SEGMENT, put(b"tfhd", 4, b"\0\0\0\7"))),
    ("track-id", media(VIDEO_MAP, add(b"tkhd", 12, "I", 4))),
    ("tfhd-flags", media(SEGMENT, put(b"tfhd", 1, b"\0"))),
    ("tfdt-missing", media(SEGMENT, no_tfdt)),
    ("tfdt-continuity", media(r"video/1011\.m4s", add(b"tfdt", 8, "I", 45000))),
    ("tfdt-continuity", media(r"video/1011\.m4s", add(b"tfdt", 8, "I", -45000))),
    ("date-media", media(r"video/1011\.m4s", add(b"tfdt", 8, "I", 45000))),
    ("tfdt-continuity", media(SEGMENT, put(b"tfdt", 4, bytes(8)))),
    ("trun-table", media(SEGMENT, add(b"trun", 4, "I", 5))),
    ("trun-offset", media(SEGMENT, add(b"trun", 8, "I", 8))),
    ("trun-offset", media(SEGMENT, add(b"trun", 8, "I", -8))),
    ("mdat-cut", media(SEGMENT, cut_mdat)),
    ("trun-offset", media(SEGMENT, larger)),
    ("sample-duration", media(SEGMENT, put(b"tfhd", 8, bytes(4)))),
    ("extinf-media", media(SEGMENT, shorter)),
    ("sync-flag", media(SEGMENT, first_not_sync)),
    ("sync-flag", media(SEGMENT, all_sync)),
    ("independent-segments", media(SEGMENT, first_not_sync)),
    ("depends-on", media(SEGMENT, put(b"trun", 12, b"\1\0\0\0"))),
    ("nal-length", media(SEGMENT, add(b"mdat", 0, "I", 1))),
    ("part-bytes", media(SEGMENT, put(b"mfhd", 4, b"\0\0\0\1"))),
    ("part-bytes", media(r"video/\d+\.3\.m4s", put(b"mdat", 9, b"\xff"))),
    ("part-independent", media(r"video/\d+\.0\.m4s", first_not_sync)),
    ("bandwidth-low", media(SEGMENT, larger)),
    ("map-media", media(SEGMENT, put(b"moof", -8, b"WEBVTT"))),
]
"""The rule that is broken, and how."""

ANSWERS: list[tuple[str, Callable[[Answer], Answer]]] = [
    ("http-content-type", header("content-type", "text/plain", ".m3u8")),
    ("http-content-type", header("content-type", "application/octet-stream", ".m4s")),
    ("http-content-type", header("content-type", None, ".mp4")),
    ("http-cors", header("access-control-allow-origin", None, ".m4s")),
    ("http-cache-playlist", header("cache-control", None, "index.m3u8")),
    ("http-cache-playlist", header("cache-control", "max-age=60", "video.m3u8")),
    ("http-cache-media", header("cache-control", "no-store", ".m4s")),
    ("http-length", header("content-length", None, ".m4s")),
    ("http-gzip", header("vary", None, ".m3u8")),
    ("http-gzip", lambda answer: replace(answer, is_compressed=False)),
    ("http-status", lambda a: replace(a, status=404) if a.url.endswith("1011.m4s") else a),
    ("http-status", lambda a: replace(a, status=500) if a.url.endswith("1011.3.m4s") else a),
    ("http-body", lambda a: replace(a, is_whole=not a.url.endswith("1011.m4s"))),
    ("box-bounds", lambda a: replace(a, is_too_large=a.url.endswith("1011.m4s"))),
    ("http-redirect", lambda a: replace(a, redirects=int(a.url.endswith("1011.m4s")))),
    ("download-slow", lambda a: replace(a, asked_at=a.done_at - 3 * a.url.endswith("11.m4s"))),
]
"""The rule that is broken, and how."""

BEHAVIOURS: list[tuple[str, ModelServer]] = [
    ("blocking-reload", ModelServer(blocks=False)),
    ("blocking-refusal", ModelServer(refuses=False)),
    ("blocking-far", ModelServer(refuses=False)),
    ("delta-missing", ModelServer(skips=False)),
    ("playlist-few", ModelServer(window=4)),
    ("playlist-short", ModelServer(window=2)),
    ("part-old", ModelServer(part_span=20)),
    ("segment-gone", ModelServer(keeps=False)),
]
"""The rule that is broken, and the server that does it."""


class MutantTests(JudgeTestCase):
    def assert_found(self, rule: str, server: ModelServer, what: str) -> None:
        """The rule is among what is found."""
        report = self.follow(server, SECONDS)
        words = [f"{f.rule.name}: {f.where}: {f.words}" for f in report.findings]
        self.assertIn(rule, report.counts, f"{what}: only {words}")

    def test_playlists(self) -> None:
        """What is wrong with media playlists, alone and over reloads."""
        for number, (rule, edit) in enumerate(PLAYLISTS):
            self.assert_found(rule, ModelServer(edits=[edit]), f"playlist {number} {rule}")

    def test_multivariant(self) -> None:
        """What is wrong with the multivariant playlist, and with what it says of the media."""
        for number, (rule, pattern, by) in enumerate(MULTIVARIANT):
            server = ModelServer(low_latency=False)
            spoilt = re.sub(pattern, by, server.multivariant_text, flags=re.MULTILINE)
            self.assertNotEqual(spoilt, server.multivariant_text, pattern)
            server.multivariant_text = spoilt
            self.assert_found(rule, server, f"multivariant {number} {rule}")

    def test_media(self) -> None:
        """What is wrong in boxes and samples."""
        names = files()
        for number, (rule, spoil) in enumerate(MEDIA):
            self.assertTrue(any(spoil(name, names[name]) != names[name] for name in names), rule)
            server = ModelServer(low_latency=rule.startswith("part-"), spoils=[spoil])
            self.assert_found(rule, server, f"media {number} {rule}")

    def test_answers(self) -> None:
        """What is wrong with HTTP."""
        for number, (rule, change) in enumerate(ANSWERS):
            self.assert_found(rule, ModelServer(answers=[change]), f"answer {number} {rule}")

    def test_behaviours(self) -> None:
        """What servers do wrong."""
        for rule, server in BEHAVIOURS:
            self.assert_found(rule, server, rule)

    def test_stale(self) -> None:
        """A playlist that does not change any more is told, once for each time."""
        for low_latency in (False, True):
            report = self.follow(ModelServer(low_latency=low_latency, frozen_at=21.0), 14)
            self.assertEqual(report.counts["playlist-stale"], 2, report.findings)
            self.assertNotIn("http-status", report.counts)

    def test_late(self) -> None:
        """Parts and segments that come late, against others, are told."""
        for low_latency, rule in ((True, "part-late"), (False, "segment-late")):
            server = ModelServer(low_latency=low_latency)
            server.edits.append(
                lambda name, lines, now: re.sub(r"T22:", "T21:", lines) if now > LATE else lines
            )
            self.assert_found(rule, server, rule)

    def test_all_rules(self) -> None:
        """Every rule is broken by some mutant here, or stands in the list of those that are not."""
        tried = {
            row[0]
            for table in (PLAYLISTS, MULTIVARIANT, MEDIA, ANSWERS, BEHAVIOURS)
            for row in table
        }
        tried |= {"playlist-stale", "part-late", "segment-late"}
        self.assertEqual(sorted(RULES.keys() - tried), sorted(ELSEWHERE))


ELSEWHERE = {
    "playlist-bounds",
    "init-tracks",
    "tfdt-version",
    "video-range-wrong",
    "media-hole",
    "fragment-ends",
    "sample-empty",
    "segment-format",
    "composition-offset",
}
"""Rules that other tests of this package break."""
