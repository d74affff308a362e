"""What the API and the player page say of a stream, as JSON values."""

import math
from datetime import UTC, datetime
from typing import Any, cast

from rapidrtmp.auth.tokens import IssuedToken
from rapidrtmp.media.codec import VideoConfig
from rapidrtmp.stream.stream import Stream

MAX_DEPTH = 8
"""Levels of nested metadata that are shown; real onMetaData has two."""


def describe(stream: Stream, now: float) -> dict[str, Any]:
    """Return the API's StreamInfo: the contract's fields in its order, then ours.

    Args:
        stream: the stream.
        now: unix time.
    """
    statistics = stream.statistics
    info: dict[str, Any] = {
        "streamKey": stream.key,
        "active": is_live(stream),
        "state": stream.state.value,
        "viewers": stream.viewers,
        **optional(
            startedAt=timestamp(stream.started_at),
            duration=_duration(stream, now),
            **_media(stream),
            bitrate=round(statistics.bitrate),
            metadata=jsonable(stream.metadata),
            frameRate=rounded(statistics.frame_rate),
            keyframeInterval=rounded(statistics.keyframe_interval),
        ),
        "bytesReceived": statistics.bytes_received,
        "framesReceived": statistics.frames_received,
        "keyframesReceived": statistics.keyframes_received,
        "framesDropped": statistics.frames_dropped,
        "playlistPath": f"/live/{stream.key}/index.m3u8",
        "playerPath": f"/player/{stream.key}",
    }
    return info


def summarize(stream: Stream) -> dict[str, Any]:
    """Return the few things about a live stream that anybody may know."""
    return {
        "streamKey": stream.key,
        **optional(
            startedAt=timestamp(stream.started_at),
            **_media(stream),
            bitrate=round(stream.statistics.bitrate),
        ),
        "viewers": stream.viewers,
    }


def describe_token(token: IssuedToken) -> dict[str, Any]:
    """Return the API's Token, which is not the token itself."""
    return {
        "id": token.id,
        "streamKey": token.key,
        **optional(createdAt=timestamp(token.created_at)),
        "expiresAt": timestamp(token.expires_at),
        "publishing": token.is_publishing,
    }


def is_live(stream: Stream) -> bool:
    """Tell whether somebody is publishing it now."""
    return bool(stream.state.value == "live")


def timestamp(seconds: float | None) -> str | None:
    """Format a unix time as RFC 3339, in UTC and whole seconds."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def jsonable(value: object, depth: int = MAX_DEPTH) -> Any:
    """Turn a publisher's AMF value into one that JSON has, or None.

    Whole floats become integers (AMF has floats alone), NaN and infinities None.
    """
    if isinstance(value, bool | str | int) or value is None:
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if depth == 0:
        return None
    if isinstance(value, dict):
        return {str(name): jsonable(item, depth - 1) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item, depth - 1) for item in value]
    return None


def optional(**fields: object) -> dict[str, object]:
    """Leave out what is empty or zero, as the contract does."""
    return {name: value for name, value in fields.items() if value}


def _media(stream: Stream) -> dict[str, str]:
    """Return codecs and picture size of the first track of each kind."""
    media: dict[str, str] = {}
    for track in reversed(stream.tracks):
        media[f"{track.kind}Codec"] = track.codec
        if track.kind == "video":
            config = cast(VideoConfig, track.config)
            media["resolution"] = f"{config.width}x{config.height}"
    return {name: media[name] for name in _MEDIA_FIELDS if name in media}


_MEDIA_FIELDS = ("videoCodec", "audioCodec", "resolution")


def _duration(stream: Stream, now: float) -> int:
    """Return whole seconds from the start to now, or to the last frame when nobody publishes."""
    if stream.started_at is None:
        return 0
    end = now if is_live(stream) else stream.statistics.last_frame_at or now
    return max(0, int(end - stream.started_at))


def rounded(value: float | None) -> float | None:
    """Round to what is worth telling: milliseconds, thousandths of a frame."""
    return None if value is None else round(value, 3)
