"""What is said of tracks besides their media: onMetaData and colorInfo, written."""

from collections.abc import Mapping, Sequence
from typing import Final

from rapidrtmp.amf import amf0
from rapidrtmp.amf.values import ECMAArray, Value
from rapidrtmp.media.codec import AudioConfig, ColorInfo, VideoConfig
from rapidrtmp.media.track import AUDIO_TRACK_ID, VIDEO_TRACK_ID, Track

LEGACY_IDS: Final = {"h264": 7, "aac": 10, "mp3": 2}
"""CodecIDs and SoundFormats of FLV 10.1, by `CodecConfig.codec`."""
FOURCCS: Final = {
    "h264": "avc1",
    "h265": "hvc1",
    "av1": "av01",
    "vp9": "vp09",
    "vp8": "vp08",
    "aac": "mp4a",
    "opus": "Opus",
    "flac": "fLaC",
    "mp3": ".mp3",
    "ac3": "ac-3",
    "eac3": "ec-3",
}
"""FourCCs of Enhanced RTMP, by `CodecConfig.codec`."""

_VIDEO_HINTS = ("framerate", "videodatarate")
_AUDIO_HINTS = ("audiodatarate",)
_HINTS = ("encoder",)
_UNKNOWN = "und"


def track_number(track: Track) -> int:
    """Return the track id that Enhanced RTMP knows a track by: 0 is the only one of legacy tags."""
    return (track.track_id - 1) // 2


def fourcc(track: Track) -> str | None:
    """Return the FourCC that a receiver must be able to take; None for a legacy form.

    A track with another number than 0 takes Multitrack besides.
    """
    if track_number(track) == 0 and track.codec in LEGACY_IDS:
        return None
    return FOURCCS[track.codec]


def build_metadata(tracks: Sequence[Track], hints: Mapping[str, float | bool | str]) -> bytes:
    """Return the body of an onMetaData message.

    FFmpeg takes the codec ids in it for the tracks that there will be: only tracks that
    exist are in it.

    Args:
        tracks: all of the stream.
        hints: the publisher's metadata; from it come rates and the name of the encoder only.
    """
    members = ECMAArray()
    names = list(_HINTS)
    more: dict[str, dict[str, Value]] = {"videoTrackIdInfoMap": {}, "audioTrackIdInfoMap": {}}
    for track in tracks:
        number = track_number(track)
        description = _describe(track)
        if track.track_id == VIDEO_TRACK_ID:
            names += _VIDEO_HINTS
            members |= description
        elif track.track_id == AUDIO_TRACK_ID:
            names += _AUDIO_HINTS
            members |= description
        else:
            more[f"{track.kind}TrackIdInfoMap"][str(number)] = description | _titles(track)
    for name in names:
        if name in hints:
            members.setdefault(name, hints[name])
    members |= {name: value for name, value in more.items() if value}
    return amf0.encode("onMetaData", members)


def build_color(color: ColorInfo) -> bytes:
    """Return the body of a video metadata packet with a colorInfo."""
    info: dict[str, Value] = {
        "colorConfig": {
            "colorPrimaries": float(color.primaries),
            "transferCharacteristics": float(color.transfer),
            "matrixCoefficients": float(color.matrix),
        }
    }
    if color.max_cll or color.max_fall:
        info["hdrCll"] = {"maxFall": float(color.max_fall), "maxCLL": float(color.max_cll)}
    if color.mastering:
        info["hdrMdcv"] = {
            name: value / unit
            for (name, unit), value in zip(_MASTERING, color.mastering, strict=True)
        }
    return amf0.encode("colorInfo", info)


_MASTERING = (
    ("greenX", 50_000),
    ("greenY", 50_000),
    ("blueX", 50_000),
    ("blueY", 50_000),
    ("redX", 50_000),
    ("redY", 50_000),
    ("whitePointX", 50_000),
    ("whitePointY", 50_000),
    ("maxLuminance", 10_000),
    ("minLuminance", 10_000),
)
"""Names in hdrMdcv and what one is divided into, in the order of `ColorInfo.mastering`."""


def _describe(track: Track) -> dict[str, Value]:
    """Return the members that describe a track, in onMetaData or in one of its maps."""
    name = fourcc(track)
    codec_id = float(
        LEGACY_IDS[track.codec] if name is None else int.from_bytes(name.encode("ascii"), "big")
    )
    if track.kind == "video":
        video: VideoConfig = VideoConfig(track.config)
        members: dict[str, Value] = {"width": float(video.width), "height": float(video.height)}
        if video.frame_rate:
            members["framerate"] = video.frame_rate
        return members | {"videocodecid": codec_id}
    audio: AudioConfig = AudioConfig(track.config)
    return {
        "audiosamplerate": float(audio.sample_rate),
        "audiosamplesize": 16.0,
        "audiochannels": float(audio.channels),
        "stereo": audio.channels == 2,
        "audiocodecid": codec_id,
    }


def _titles(track: Track) -> dict[str, Value]:
    """Return what people tell a track from others by, as far as it is known."""
    titles: dict[str, Value] = {}
    if track.language != _UNKNOWN:
        titles["language"] = track.language
    if track.label:
        titles["label"] = track.label
    return titles
