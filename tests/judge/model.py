"""A model of a good low-latency stream and its server, for the judge to be tried on.

Two renditions with one discontinuity, at which the picture's size changes and the timestamps
start over. Everything is a function of the clock; tests spoil what it serves.
"""

import gzip
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import parse_qs, urlsplit

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, deferLater

from rapidrtmp.check.client import FetchError
from rapidrtmp.codecs.aac import AACConfig
from rapidrtmp.codecs.h264 import H264Config
from rapidrtmp.hls.playlist import program_date_time
from rapidrtmp.isobmff.fragment import fragment
from rapidrtmp.isobmff.movie import init_segment
from rapidrtmp.judge.http_rules import Answer
from rapidrtmp.media.track import AUDIO_TRACK_ID, VIDEO_TRACK_ID, Sample, Track
from tests.codecs.builders import ASC, SPS, avcc, pps, prefixed

BASE = "http://origin.test/live/"
MASTER = f"{BASE}index.m3u8"
START = 1_700_000_000.0
"""Unix time of the first frame."""
JOIN = 20.0
"""Seconds of the stream that are over when the clock starts."""
TARGET = 2
SEGMENTS = 20
WINDOW = 9
CHANGED = 9
"""The segment that begins with the discontinuity."""
SKIP = 6 * TARGET
FIRST_SEQUENCE = 1000
LEFT_DISCONTINUITIES = 5
"""That the stream had before."""
FRAMES = 50
"""Pictures of a segment: one GOP."""

Edit = Callable[[str, str, float], str]
"""Spoils a playlist: takes its name, its text, and the seconds since the clock started."""
Spoil = Callable[[str, bytes], bytes]
"""Spoils a file: takes its name and its bytes."""


@dataclass(frozen=True, slots=True)
class ModelPart:
    """One part."""

    uri: str
    duration: float
    end: float
    """Seconds since the first frame."""
    independent: bool
    body: bytes


@dataclass(frozen=True, slots=True)
class ModelSegment:
    """One segment of one rendition."""

    sequence: int
    start: float
    duration: float
    map_uri: str
    is_discontinuity: bool
    parts: tuple[ModelPart, ...]

    @property
    def uri(self) -> str:
        """As playlists name it."""
        return self.parts[0].uri.replace(".0.m4s", ".m4s")

    @property
    def end(self) -> float:
        """Seconds since the first frame, when it is complete."""
        return self.parts[-1].end

    @property
    def body(self) -> bytes:
        """The parts, joined."""
        return b"".join(part.body for part in self.parts)


def video_track(*, changed: bool) -> Track:
    """Give the track before or behind the discontinuity."""
    record = avcc([SPS(width_mbs=40 if changed else 80).nal_unit()], [pps()])
    return Track(VIDEO_TRACK_ID, H264Config.parse(record))


AUDIO = Track(AUDIO_TRACK_ID, AACConfig.parse(ASC().octets()))


def picture(number: int, *, key: bool) -> bytes:
    """Give a picture; its bytes differ."""
    return prefixed(b"\x06\x05\x01a\x80", (b"\x65" if key else b"\x41") + struct.pack(">I", number))


@cache
def rendition(name: str) -> tuple[ModelSegment, ...]:
    """Make all segments of 'video' or 'audio'."""
    return tuple(_segments(name))


def _segments(name: str) -> list[ModelSegment]:
    segments = []
    origin = 0  # of the timestamps, in ticks
    fragments = 0
    for number in range(SEGMENTS):
        changed = number >= CHANGED
        if name == "video":
            track, tick, per_part = video_track(changed=changed), 3600, 5
            times = [tick * n for n in range(FRAMES * number, FRAMES * (number + 1))]
        else:
            track, tick, per_part = AUDIO, 1024, 9
            first, last = (_nearest(2 * n) for n in (number, number + 1))
            times = [tick * n for n in range(first, last)]
        if number == CHANGED:
            origin = times[0] - 2 * tick
        parts = []
        map_uri = f"{name}/init-{int(changed and name == 'video')}.mp4"
        for index, at in enumerate(range(0, len(times), per_part)):
            chosen = times[at : at + per_part]
            samples = [
                Sample(
                    track,
                    time - (origin if changed else 0),
                    0,
                    name == "audio" or not (at + i),
                    name == "audio" or not (at + i),
                    picture(number * 1000 + at + i, key=not (at + i))
                    if name == "video"
                    else b"\x21%d" % time,
                )
                for i, time in enumerate(chosen)
            ]
            fragments += 1
            end = samples[-1].dts + tick
            body = b"".join(fragment(track, fragments, samples, end))
            parts.append(
                ModelPart(
                    f"{name}/{FIRST_SEQUENCE + number}.{index}.m4s",
                    tick * len(chosen) / track.timescale,
                    (chosen[-1] + tick) / track.timescale,
                    name == "audio" or not at,
                    body,
                )
            )
        segments.append(
            ModelSegment(
                FIRST_SEQUENCE + number,
                times[0] / track.timescale,
                tick * len(times) / track.timescale,
                map_uri,
                number == CHANGED,
                tuple(parts),
            )
        )
    return segments


def _nearest(seconds: float) -> int:
    return round(seconds * 48000 / 1024)


@cache
def files() -> dict[str, bytes]:
    """Give all media by URI."""
    found = {
        f"video/init-{int(changed)}.mp4": init_segment(video_track(changed=changed))
        for changed in (False, True)
    }
    found["audio/init-0.mp4"] = init_segment(AUDIO)
    for name in ("video", "audio"):
        for segment in rendition(name):
            found[segment.uri] = segment.body
            found.update((part.uri, part.body) for part in segment.parts)
    return found


def multivariant() -> str:
    """Give the multivariant playlist: RESOLUTION is what the stream has behind the change."""
    return (
        "#EXTM3U\n#EXT-X-VERSION:9\n"
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="Sound",DEFAULT=YES,AUTOSELECT=YES,'
        'CHANNELS="2",URI="audio.m3u8"\n'
        "#EXT-X-STREAM-INF:BANDWIDTH=60000,AVERAGE-BANDWIDTH=50000,"
        'CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=640x720,FRAME-RATE=25.000,AUDIO="a",'
        "CLOSED-CAPTIONS=NONE\nvideo.m3u8\n"
    )


def part_target(name: str) -> float:
    """Give PART-TARGET."""
    return 0.2 if name == "video" else 0.192


def position(name: str, now: float) -> tuple[int, int]:
    """Give how many segments are complete at a time, and how many parts of the next one."""
    segments = rendition(name)
    complete = sum(segment.end <= now + 1e-6 for segment in segments)
    if complete == len(segments):
        return complete, 0
    return complete, sum(part.end <= now + 1e-6 for part in segments[complete].parts)


def playlist(
    name: str,
    now: float,
    *,
    low_latency: bool = True,
    skip: bool = False,
    window: int = WINDOW,
    part_span: int = 2 * TARGET,
) -> str:
    """Render a media playlist.

    Args:
        name: 'video' or 'audio'.
        now: seconds since the first frame.
        low_latency: with parts.
        skip: as a delta update.
        window: segments that are listed.
        part_span: seconds from the end of the last segment within which parts are.
    """
    segments = rendition(name)
    complete, open_parts = position(name, now)
    first = max(complete - window, 0)
    listed = segments[first:complete]
    changes = sum(segment.is_discontinuity for segment in segments[:first])
    lines = ["#EXTM3U", "#EXT-X-VERSION:9", f"#EXT-X-TARGETDURATION:{TARGET}"]
    if low_latency:
        lines += (
            f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.6,CAN-SKIP-UNTIL={SKIP}.0",
            f"#EXT-X-PART-INF:PART-TARGET={part_target(name)}",
        )
    lines += (
        "#EXT-X-INDEPENDENT-SEGMENTS",
        f"#EXT-X-MEDIA-SEQUENCE:{FIRST_SEQUENCE + first}",
        f"#EXT-X-DISCONTINUITY-SEQUENCE:{LEFT_DISCONTINUITIES + changes}",
    )
    skipped = 0
    if skip:
        current = segments[complete : complete + 1]
        left = sum(part.duration for segment in current for part in segment.parts[:open_parts])
        for segment in reversed(listed):
            left += segment.duration
            if left > SKIP + segment.duration:
                skipped += 1
    if skipped:
        lines.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")
    map_uri = listed[skipped - 1].map_uri if skipped else ""
    for segment in listed[skipped:]:
        lines += _head(segment, map_uri)
        map_uri = segment.map_uri
        if low_latency and segments[complete - 1].end - segment.end < part_span:
            lines += map(_part, segment.parts)
        lines += (f"#EXTINF:{segment.duration:.6f},", segment.uri)
    if complete == len(segments):
        lines.append("#EXT-X-ENDLIST")
    elif low_latency:
        segment = segments[complete]
        if open_parts:
            lines += _head(segment, map_uri)
            lines += map(_part, segment.parts[:open_parts])
        hint = segment.parts[open_parts]
        lines.append(f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{hint.uri}"')
        other = "audio" if name == "video" else "video"
        whole, parts = position(other, now)
        msn, index = whole, parts - 1
        if not parts:
            msn, index = whole - 1, len(rendition(other)[whole - 1].parts) - 1
        lines.append(
            f'#EXT-X-RENDITION-REPORT:URI="{other}.m3u8",LAST-MSN={FIRST_SEQUENCE + msn},'
            f"LAST-PART={index}"
        )
    return "\n".join([*lines, ""])


def _head(segment: ModelSegment, map_uri: str) -> list[str]:
    lines = ["#EXT-X-DISCONTINUITY"] if segment.is_discontinuity else []
    if segment.map_uri != map_uri:
        lines.append(f'#EXT-X-MAP:URI="{segment.map_uri}"')
    return [*lines, f"#EXT-X-PROGRAM-DATE-TIME:{program_date_time(START + segment.start)}"]


def _part(part: ModelPart) -> str:
    independent = ",INDEPENDENT=YES" if part.independent else ""
    return f'#EXT-X-PART:DURATION={part.duration:.6f},URI="{part.uri}"{independent}'


@dataclass
class ModelServer:
    """Serves the model as a client of `rapidrtmp.check` sees it. Has to be given to a Follower."""

    low_latency: bool = True
    edits: list[Edit] = field(default_factory=list)
    spoils: list[Spoil] = field(default_factory=list)
    answers: list[Callable[[Answer], Answer]] = field(default_factory=list)
    """Spoil whole answers."""
    blocks: bool = True
    """Honours _HLS_msn and _HLS_part."""
    refuses: bool = True
    """Answers 400 to what cannot be asked for."""
    skips: bool = True
    """Sends delta updates."""
    window: int = WINDOW
    part_span: int = 2 * TARGET
    frozen_at: float = 1e9
    """Seconds since the first frame after which the playlists do not change."""
    keeps: bool = True
    """Still has the segments that left."""
    clock: Clock = field(default_factory=Clock)
    multivariant_text: str = field(default_factory=multivariant)

    def __post_init__(self) -> None:
        self.clock.advance(START + JOIN)

    @property
    def now(self) -> float:
        """Seconds since the first frame."""
        return self.clock.seconds() - START

    async def get(
        self,
        url: str,
        *,
        limit: int,
        timeout: float,
        byte_range: tuple[int, int] | None = None,
        compressed: bool = False,
    ) -> Answer:
        """Answer as `Client.get` does."""
        asked_at = self.clock.seconds()
        parts = urlsplit(url)
        name = parts.path.removeprefix("/live/")
        directives = {key: values[0] for key, values in parse_qs(parts.query).items()}
        status, body = 200, b""
        if name == "index.m3u8":
            body = self._edited(name, self.multivariant_text)
        elif name.endswith(".m3u8"):
            status = await self._blocked(name.removesuffix(".m3u8"), directives)
            text = playlist(
                name.removesuffix(".m3u8"),
                min(self.now, self.frozen_at),
                low_latency=self.low_latency,
                skip=self.skips and directives.get("_HLS_skip") == "YES",
                window=self.window,
                part_span=self.part_span,
            )
            body = self._edited(name, text)
        else:
            try:
                status, body = await self._media(name)
            except CancelledError as error:
                raise FetchError("cancelled") from error
        headers = {
            "access-control-allow-origin": "*",
            "content-length": str(len(body)),
            "content-type": "video/mp4",
            "cache-control": "public, max-age=31536000, immutable",
        }
        if name.endswith(".m3u8"):
            headers |= {"content-type": "application/vnd.apple.mpegurl", "vary": "Accept-Encoding"}
            headers["cache-control"] = "no-cache"
        answer = Answer(
            url=url,
            status=status,
            headers=headers,
            body=body,
            asked_at=asked_at,
            done_at=self.clock.seconds(),
            is_compressed=compressed and len(gzip.compress(body)) > 0,
        )
        for spoil in self.answers:
            answer = spoil(answer)
        return answer

    def _edited(self, name: str, text: str) -> bytes:
        for edit in self.edits:
            text = edit(name, text, self.now - JOIN)
        # a lone surrogate stands for an octet that is no UTF-8
        return text.encode("utf-8", "surrogateescape")

    async def _blocked(self, name: str, directives: dict[str, str]) -> int:
        if "_HLS_msn" not in directives:
            return 400 if "_HLS_part" in directives and self.refuses else 200
        msn = int(directives["_HLS_msn"]) - FIRST_SEQUENCE
        part = int(directives["_HLS_part"]) if "_HLS_part" in directives else None
        if msn > position(name, self.now)[0] + 2:
            return 400 if self.refuses else 200
        until = self.now + 3 * TARGET
        while self.blocks:
            complete, parts = position(name, min(self.now, self.frozen_at))
            if complete > msn or (part is not None and complete == msn and parts > part):
                break
            if self.now > until:
                return 503
            await self._sleep()
        return 200

    async def _media(self, name: str) -> tuple[int, bytes]:
        body = files().get(name)
        if body is None:
            return 404, b""
        found = re.fullmatch(r"(\w+)/(\d+)\.(?:(\d+)\.)?m4s", name)
        if found is not None:
            number = int(found[2]) - FIRST_SEQUENCE
            if not self.keeps and number < position(found[1], self.now)[0] - self.window:
                return 404, b""
            segment = rendition(found[1])[number]
            end = segment.end if found[3] is None else segment.parts[int(found[3])].end
            while end > self.now + 1e-6:
                await self._sleep()
        for spoil in self.spoils:
            body = spoil(name, body)
        return 200, body

    def _sleep(self) -> Deferred[None]:
        return deferLater(self.clock, 0.02)
