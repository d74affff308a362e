"""What HTTP answers must say (RFC 8216bis sections 4 and 6.2, Apple's authoring specification)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from rapidrtmp.judge.finding import Report

MULTIVARIANT, PLAYLIST, MAP, SEGMENT, PART = "multivariant", "playlist", "map", "segment", "part"
"""Kinds of what is fetched."""

PLAYLIST_TYPES = ("application/vnd.apple.mpegurl", "audio/mpegurl")
MEDIA_TYPES = (
    *("video/mp4", "audio/mp4", "application/mp4", "video/iso.segment", "audio/iso.segment"),
    *("video/mp2t", "audio/aac", "audio/mpeg", "text/vtt"),
)
_TARGET = re.compile(rb"#EXT-X-TARGETDURATION:(\d{1,6})\b")
SMALL = 1000
"""Bytes of a playlist that fit one packet: compression gains nothing."""
MAX_REDIRECTS = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response, or a file."""

    url: str
    """Where it came from in the end."""
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = field(repr=False)
    """Decoded."""
    asked_at: float
    """Unix times."""
    done_at: float
    is_compressed: bool = False
    is_whole: bool = True
    """As long as announced."""
    is_too_large: bool = False
    redirects: int = 0
    is_file: bool = False

    @property
    def seconds(self) -> float:
        """From the request to the last byte."""
        return self.done_at - self.asked_at


def judge_answer(
    kind: str,
    answer: Answer,
    where: str,
    report: Report,
    *,
    is_blocked: bool = False,
) -> bool:
    """Judge an answer to a GET of something that is listed.

    Args:
        kind: what was asked for.
        answer: what came.
        where: for the report.
        report: gets what is wrong.
        is_blocked: asked for with delivery directives: such answers may be cached.

    Returns:
        Whether there is a body to judge.
    """
    if answer.status not in (200, 206):
        report.add("http-status", where, f"{answer.status}: {answer.url[-120:]}")
        return False
    if answer.is_too_large:
        rule = "playlist-bounds" if kind in (MULTIVARIANT, PLAYLIST) else "box-bounds"
        report.add(rule, where, f"more than {len(answer.body)} bytes")
        return False
    if not answer.is_whole:
        report.add("http-body", where, f"ended after {len(answer.body)} bytes")
        return False
    if answer.is_file:
        return True
    headers = answer.headers
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    is_playlist = kind in (MULTIVARIANT, PLAYLIST)
    if content_type not in (PLAYLIST_TYPES if is_playlist else MEDIA_TYPES):
        report.add("http-content-type", where, f"{content_type[:60] or 'none'} for a {kind}")
    if "access-control-allow-origin" not in headers:
        report.add("http-cors", where, f"a {kind} without Access-Control-Allow-Origin")
    cache = headers.get("cache-control", "").lower()
    if is_playlist:
        if b"#EXT-X-ENDLIST" not in answer.body and not is_blocked:
            target = _TARGET.search(answer.body)
            _judge_playlist_cache(cache, int(target[1]) if target else 0, where, report)
        if not answer.is_compressed and len(answer.body) > SMALL:
            report.add("http-gzip", where, f"{len(answer.body)} bytes, not compressed")
        elif answer.is_compressed and "accept-encoding" not in headers.get("vary", "").lower():
            report.add("http-gzip", where, "compressed, without Vary: Accept-Encoding")
    else:
        if "no-store" in cache or "no-cache" in cache or "max-age=0" in cache:
            report.add("http-cache-media", where, f"Cache-Control: {cache[:60]}")
        if "content-length" not in headers:
            report.add("http-length", where, "no Content-Length")
        if answer.redirects:
            report.add("http-redirect", where, f"redirected to {answer.url[:120]}")
    return True


def judge_speed(answer: Answer, seconds: float, where: str, report: Report) -> None:
    """Judge how long a segment of some seconds took to fetch."""
    if answer.seconds > max(seconds, 0.5):
        words = f"{answer.seconds:.2f} s for {seconds:.2f} s of media"
        report.add("download-slow", where, words)


def _judge_playlist_cache(cache: str, target_duration: int, where: str, report: Report) -> None:
    if "no-cache" in cache or "no-store" in cache:
        return
    age = re.search(r"(?:^|[\s,])max-age=(\d{1,10})", cache)
    if age is None:
        report.add("http-cache-playlist", where, "no Cache-Control with max-age or no-cache")
    elif target_duration and int(age[1]) > max(target_duration / 2, 1):
        words = f"max-age={age[1]}, the target duration is {target_duration} s"
        report.add("http-cache-playlist", where, words)
