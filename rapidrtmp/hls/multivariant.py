"""The multivariant playlist: which renditions a stream has (RFC 8216bis section 4.4.6)."""

from collections.abc import Iterator, Sequence

from rapidrtmp.hls.playlist import VERSION
from rapidrtmp.hls.segment import Rendition
from rapidrtmp.media.codec import AudioConfig, VideoConfig

_AUDIO_GROUP = "audio"
_UNDETERMINED = "und"


def multivariant_playlist(video: Sequence[Rendition], audio: Sequence[Rendition]) -> bytes:
    """Return the multivariant playlist.

    Each video rendition is a variant that plays with one of the audio group. Without video
    the first audio rendition is the variant, and there is a group only for a choice.

    Args:
        video: best first.
        audio: the default one first.

    Raises:
        ValueError: there is no rendition at all.
    """
    if not video and not audio:
        raise ValueError("a multivariant playlist needs a rendition")
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}"]
    grouped = bool(audio) and (bool(video) or len(audio) > 1)
    if grouped:
        lines += _audio_group(audio)
    for variant in video or audio[:1]:
        lines += (_stream_inf(variant, audio, grouped), variant.uri)
    lines.append("")
    return "\n".join(lines).encode()


def _audio_group(audio: Sequence[Rendition]) -> Iterator[str]:
    names: set[str] = set()
    for position, rendition in enumerate(audio):
        track = rendition.track
        language = "" if track.language == _UNDETERMINED else _printable(track.language)
        name = _printable(track.label) or language or "Audio"
        while name in names:
            name = f"{name} {position + 1}"
        names.add(name)
        attributes = [
            "TYPE=AUDIO",
            f'GROUP-ID="{_AUDIO_GROUP}"',
            f'NAME="{name}"',
            f"DEFAULT={'NO' if position else 'YES'}",
            "AUTOSELECT=YES",
        ]
        if language:
            attributes.append(f'LANGUAGE="{language}"')
        attributes += (
            f'CHANNELS="{AudioConfig(track.config).channels}"',
            f'URI="{rendition.uri}"',
        )
        yield "#EXT-X-MEDIA:" + ",".join(attributes)


def _stream_inf(variant: Rendition, audio: Sequence[Rendition], grouped: bool) -> str:
    # One of the audio renditions is fetched beside the video, or is all that is fetched.
    bandwidth = max((rendition.bandwidth for rendition in audio), default=0)
    average = max((rendition.average_bandwidth for rendition in audio), default=0)
    if variant.track.kind == "video":
        bandwidth += variant.bandwidth
        average += variant.average_bandwidth
    codecs = dict.fromkeys(rendition.track.config.rfc6381() for rendition in (variant, *audio))
    attributes = [
        f"BANDWIDTH={bandwidth}",
        f"AVERAGE-BANDWIDTH={average}",
        f'CODECS="{",".join(codecs)}"',
    ]
    if variant.track.kind == "video":
        config = VideoConfig(variant.track.config)
        attributes.append(f"RESOLUTION={config.width}x{config.height}")
        if variant.frame_rate is not None:
            attributes.append(f"FRAME-RATE={variant.frame_rate:.3f}")
    if grouped:
        attributes.append(f'AUDIO="{_AUDIO_GROUP}"')
    attributes.append("CLOSED-CAPTIONS=NONE")
    return "#EXT-X-STREAM-INF:" + ",".join(attributes)


def _printable(text: str) -> str:
    """Leave out what a quoted string must not hold: a publisher chose the text."""
    return "".join(letter for letter in text if letter.isprintable() and letter != '"').strip()
