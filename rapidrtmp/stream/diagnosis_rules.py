"""The table of diagnoses: what can be wrong with what an encoder sends, and what to do about it.

A rule looks at the evidence, once a second. It finds a problem, said in plain words with its
numbers, and what to change: in OBS by the path of its menus, in FFmpeg by the option. Pieces of
advice are separated by '; ', and pages show each in a line of its own.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from rapidrtmp.stream.evidence import RATE_WINDOW, WINDOW, Evidence

KEYFRAME_INTERVAL = 4.5
"""Seconds. Two are best, and services ask for four at most."""
LATE_KEYFRAME = 12.0
"""Seconds without one after which the next is not waited for, to say how far apart they are:
OBS's automatic choice is 8 to 10 s."""
START_PATIENCE = 5.0
"""Seconds until something must have come that everything waits for."""
SLOW_WINDOW = 20
SLOWEST = 0.9
"""Seconds of media for each second of time, over `SLOW_WINDOW` seconds."""
MIN_DROPPED = 5
"""Frames in `RATE_WINDOW` seconds: a single one is no matter of settings."""
MAX_DRIFT = 0.3
"""Seconds. People begin to see it at half of that; encoders jitter by the other half."""
MAX_SKEW = 1.5
"""Seconds between sound and picture that are muxed together."""
MAX_BITRATE_FACTOR = 2.0
MIN_EXCESS = 500_000
"""bit/s. A quiet picture may be followed by a busy one."""
LOW_FRAME_RATE = 0.85
"""Of the frame rate that is stated."""
MAX_SWING = 0.3
"""Of the mean frame rate, from the slowest second to the fastest."""

OUTPUT = "OBS → Settings → Output → Output Mode: Advanced → Streaming"


class Finding(NamedTuple):
    """What a rule found."""

    problem: str
    """In plain words, without a full stop."""
    fix: str
    """What to change, without a full stop."""


def _keyframe_fix(e: Evidence) -> str:
    rates = e.frame_rates
    rate = round(sum(rates) / len(rates)) if rates else 30
    return (
        f"set Keyframe Interval to 2 s in {OUTPUT}; FFmpeg: -g {2 * rate} (2 s at {rate} frames/s)"
    )


def _no_keyframe(e: Evidence) -> Finding | None:
    past = e.before(WINDOW)
    if past and e.last.video_frames > past.video_frames and e.last.keyframes == past.keyframes:
        return Finding(f"no key frame has come for {WINDOW} s", _keyframe_fix(e))
    if e.age >= START_PATIENCE and e.keyframe_interval is None and e.last.media_ms is None:
        if e.dropped(RATE_WINDOW).get("no_keyframe"):
            words = "video frames come, but no key frame that a decoder could start at"
            return Finding(words, _keyframe_fix(e))
    return None


def _keyframe_interval(e: Evidence) -> Finding | None:
    interval, age = e.keyframe_interval or 0.0, e.keyframe_age
    if max(interval, age) <= (LATE_KEYFRAME if age > interval else KEYFRAME_INTERVAL):
        return None
    if _no_keyframe(e):
        return None
    apart = f"{interval:.1f} s" if interval >= age else f"over {age:.0f} s"
    return Finding(f"key frames are {apart} apart", _keyframe_fix(e))


_DROPPED = {
    "short": "messages that end too early",
    "no_config": "frames before a codec configuration",
    "nal_unit": "damaged video frames",
    "frame": "damaged video frames",
    "obu": "damaged video frames",
    "audio_frame": "audio frames that cannot be read",
    "config_change": "frames of a new configuration before its first key frame",
}
"""Reasons that have no diagnosis of their own."""


def _frames_dropped(e: Evidence) -> Finding | None:
    dropped = {reason: n for reason, n in e.dropped(RATE_WINDOW).items() if reason in _DROPPED}
    if sum(dropped.values()) < MIN_DROPPED:
        return None
    words = ", ".join(f"{n} {_DROPPED[reason]}" for reason, n in sorted(dropped.items()))
    if "no_config" in dropped:
        fix = "restart the stream in the encoder; FFmpeg: -flags +global_header"
    elif "config_change" in dropped:
        fix = "change codec, picture size or sound settings only while the stream is stopped"
    else:
        fix = (
            "update the encoder, or what relays its stream, and try a software encoder: "
            f"{OUTPUT} → Video Encoder: x264; FFmpeg: -c:v libx264"
        )
    return Finding(f"could not be used in the last {RATE_WINDOW} s: {words}", fix)


def _unsupported_codec(e: Evidence) -> Finding | None:
    if not e.unsupported:
        return None
    names = ", ".join(sorted(e.unsupported))
    return Finding(
        f"not supported, its frames are dropped: {names}",
        f"choose H.264 and AAC, which play everywhere, in {OUTPUT} → Video Encoder and "
        "Audio Encoder; FFmpeg: -c:v libx264 -c:a aac",
    )


def _not_in_hls(e: Evidence) -> Finding | None:
    if not e.unpackaged:
        return None
    codecs = ", ".join(dict.fromkeys(track.codec.upper() for track in e.unpackaged))
    rest = "the other tracks are there" if e.is_packaged else "so there is nothing to see by it"
    return Finding(
        f"left out of HLS, where {codecs} has no place (CMAF): {rest}",
        "watch by RTMP or FLV, which have it; for all viewers choose H.264 in "
        f"{OUTPUT} → Video Encoder; FFmpeg: -c:v libx264",
    )


def _timestamp_jumps(e: Evidence) -> Finding | None:
    jumps = e.last.jumps - e.first.jumps
    if not jumps:
        return None
    times = "once" if jumps == 1 else f"{jumps} times"
    return Finding(
        f"the encoder's clock has jumped {times} in the last {WINDOW} s; viewers see a break",
        "give the same sample rate to every sound device and to OBS → Settings → Audio, and "
        "restart the stream; FFmpeg: read files with -re, live inputs with "
        "-use_wallclock_as_timestamps 1, and encode rather than -c copy what is looped or joined",
    )


def _timestamps_stand(e: Evidence) -> Finding | None:
    past = e.before(RATE_WINDOW)
    held = e.last.held - past.held if past else 0
    if held < MIN_DROPPED:
        return None
    return Finding(
        f"{held} frames in the last {RATE_WINDOW} s are not later than the one before them",
        "update the encoder, or let it write new timestamps; FFmpeg: -fflags +genpts before -i, "
        "or encode rather than -c copy",
    )


def _audio_video_drift(e: Evidence) -> Finding | None:
    if e.skew is None or (abs(e.drift) <= MAX_DRIFT and abs(e.skew) <= MAX_SKEW):
        return None
    if abs(e.skew) > MAX_SKEW:
        side = "ahead of" if e.skew > 0 else "behind"
        words = f"sound comes {abs(e.skew):.1f} s {side} the picture"
    else:
        words = f"sound and picture have drifted {abs(e.drift):.1f} s apart"
    return Finding(
        words,
        "give the same sample rate to every sound device and to OBS → Settings → Audio → General "
        "→ Sample Rate, and look at OBS → Edit → Advanced Audio Properties → Sync Offset; "
        "FFmpeg: -af aresample=async=1",
    )


def _bitrate(e: Evidence) -> Finding | None:
    video, audio = _stated(e, "videodatarate"), _stated(e, "audiodatarate")
    bitrate = e.bitrate
    if not video or bitrate is None:
        return None
    stated = 1000 * (video + audio)
    if bitrate <= max(MAX_BITRATE_FACTOR * stated, stated + MIN_EXCESS):
        return None
    return Finding(
        f"{bitrate / 1e6:.1f} Mbit/s are sent, {stated / 1e6:.1f} Mbit/s are stated",
        f"choose Rate Control: CBR in {OUTPUT}; "
        f"FFmpeg: -maxrate {video:.0f}k -bufsize {2 * video:.0f}k",
    )


_OVERLOAD = (
    "OBS → View → Stats tells which; if the encoder: a faster CPU Usage Preset, or a smaller "
    "picture in OBS → Settings → Video (FFmpeg: -preset veryfast); if the network: a lower bitrate "
    f"in {OUTPUT} (FFmpeg: -b:v)"
)


def _frame_rate_low(e: Evidence) -> Finding | None:
    rates = e.frame_rates
    rate = sum(rates) / len(rates) if rates else 0.0
    stated = _stated(e, "framerate")
    if not rate or rate >= LOW_FRAME_RATE * stated:
        return None
    return Finding(
        f"{rate:.1f} frames/s come, {stated:g} are stated: the encoder leaves out frames",
        f"the encoder or its network is overloaded; {_OVERLOAD}",
    )


def _frame_rate_unstable(e: Evidence) -> Finding | None:
    rates = e.frame_rates
    if not rates or _frame_rate_low(e):
        return None
    slowest, fastest = min(rates), max(rates)
    if fastest - slowest <= max(1.5, MAX_SWING * sum(rates) / len(rates)):
        return None
    return Finding(
        f"the frame rate swings between {slowest:.0f} and {fastest:.0f} frames/s",
        f"an encoder of live pictures is overloaded; {_OVERLOAD}; of others: let it keep a "
        "constant frame rate (FFmpeg: -fps_mode cfr -r 30)",
    )


def _no_audio(e: Evidence) -> Finding | None:
    past = e.before(RATE_WINDOW)
    if past is None or not _one_alone(e, e.last.audio_frames - past.audio_frames):
        return None
    return Finding(
        "no sound arrives",
        "unless that is meant: choose a device in OBS → Settings → Audio; "
        "FFmpeg: map an audio stream, or add silence with -f lavfi -i anullsrc",
    )


def _no_video(e: Evidence) -> Finding | None:
    past = e.before(RATE_WINDOW)
    if past is None or not _one_alone(e, e.last.video_frames - past.video_frames):
        return None
    return Finding(
        "no picture arrives",
        "unless that is meant: look at the encoder's own messages, its video encoder may have "
        f"failed; {OUTPUT} → Video Encoder: x264; FFmpeg: map a video stream",
    )


def _one_alone(e: Evidence, frames: int) -> bool:
    """Tell whether, by `frames` of one kind, only the other kind has come."""
    past = e.before(RATE_WINDOW)
    assert past is not None
    others = e.last.video_frames + e.last.audio_frames - past.video_frames - past.audio_frames
    return not frames and others > 0 and not _unusable(e)


def _unusable(e: Evidence) -> bool:
    """Tell whether frames come that cannot be used: that is told by another diagnosis."""
    return bool(e.dropped(RATE_WINDOW).keys() & {"no_keyframe", "no_config", "unsupported_codec"})


def _no_media(e: Evidence) -> Finding | None:
    if e.silence < START_PATIENCE or _unusable(e):
        return None
    return Finding(
        f"nothing has arrived for {e.silence:.0f} s",
        "look at the encoder and its network; FFmpeg stops when its input does",
    )


def _slow_publisher(e: Evidence) -> Finding | None:
    past = e.before(SLOW_WINDOW)
    if past is None or past.media_ms is None or e.last.media_ms is None or _no_media(e):
        return None
    passed, media = e.last.now - past.now, (e.last.media_ms - past.media_ms) / 1000
    if media >= SLOWEST * passed:
        return None
    return Finding(
        f"slower than real time: {passed:.0f} s have brought {media:.1f} s of media, so viewers "
        "run dry",
        f"the encoder or its network is overloaded; {_OVERLOAD}",
    )


def _metadata(e: Evidence) -> Finding | None:
    width, height = _stated(e, "width"), _stated(e, "height")
    video = e.video
    if video is None or not width or not height or (width, height) == (video.width, video.height):
        return None
    return Finding(
        f"metadata say {width:.0f}x{height:.0f}, the picture is {video.width}x{video.height}",
        "nothing here goes by them, but others do: stop and start the stream after a change in "
        "OBS → Settings → Video; FFmpeg: leave out -metadata",
    )


def _stated(e: Evidence, name: str) -> float:
    """Return a number out of the metadata, which were made plausible; 0 when it is not there."""
    value = e.metadata.get(name)
    return value if isinstance(value, float) else 0.0


RULES: Mapping[str, Callable[[Evidence], Finding | None]] = {
    "unsupported_codec": _unsupported_codec,
    "no_media": _no_media,
    "no_keyframe": _no_keyframe,
    "no_video": _no_video,
    "no_audio": _no_audio,
    "slow_publisher": _slow_publisher,
    "not_in_hls": _not_in_hls,
    "frames_dropped": _frames_dropped,
    "keyframe_interval": _keyframe_interval,
    "timestamp_jumps": _timestamp_jumps,
    "timestamps_stand": _timestamps_stand,
    "audio_video_drift": _audio_video_drift,
    "frame_rate_low": _frame_rate_low,
    "frame_rate_unstable": _frame_rate_unstable,
    "bitrate": _bitrate,
    "metadata": _metadata,
}
"""By the id that never changes; the gravest first."""
