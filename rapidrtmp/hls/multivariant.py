"""The multivariant playlist: which renditions a stream has (RFC 8216bis section 4.4.6)."""

from collections.abc import Iterator, Sequence

from rapidrtmp.hls.playlist import VERSION
from rapidrtmp.hls.segment import Rendition
from rapidrtmp.media.codec import AudioConfig, VideoConfig

_AUDIO_GROUP = "audio"
_CAPTIONS_GROUP = "captions"
_UNDETERMINED = "und"
_DEFAULT_RANGE = "SDR"


def multivariant_playlist(
    video: Sequence[Rendition], audio: Sequence[Rendition], captions: Sequence[str] = ()
) -> bytes:
    """Return the multivariant playlist.

    Each video rendition is a variant that plays with one of an audio group. Without video
    the first audio rendition of a group is the variant, and there are groups only for a choice.

    Audio of several codecs makes a group for each, and a variant for each of them: a player
    leaves out a variant of which it cannot play everything.

    Args:
        video: best first.
        audio: the default one first.
        captions: INSTREAM-ID of each caption service that was seen in the video. All variants
            have the same: one with captions beside one without confuses players.

    Raises:
        ValueError: there is no rendition at all.
    """
    if not video and not audio:
        raise ValueError("a multivariant playlist needs a rendition")
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}"]
    groups: dict[str, list[Rendition]] = {}
    for rendition in audio:
        groups.setdefault(rendition.track.codec, []).append(rendition)
    grouped = bool(audio) and (bool(video) or len(audio) > 1)
    names = {
        codec: (_AUDIO_GROUP if len(groups) == 1 else f"{_AUDIO_GROUP}-{codec}") if grouped else ""
        for codec in groups
    }
    if grouped:
        for codec, members in groups.items():
            lines += _audio_group(names[codec], members)
    if video:
        lines += map(_captions, captions)
    said = f'"{_CAPTIONS_GROUP}"' if video and captions else "NONE"
    choices = [(names[codec], members) for codec, members in groups.items()] or [("", [])]
    for group, members in choices:
        for variant in video or members[:1]:
            lines += (_stream_inf(variant, members, group, said), variant.uri)
    lines += (_i_frame_stream_inf(variant) for variant in video if variant.i_frame_bandwidth)
    lines.append("")
    return "\n".join(lines).encode()


def _audio_group(group: str, audio: Sequence[Rendition]) -> Iterator[str]:
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
            f'GROUP-ID="{group}"',
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


def _captions(service: str) -> str:
    # Nothing tells the language, and nobody is shown captions who did not ask for them.
    return (
        f'#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID="{_CAPTIONS_GROUP}",NAME="{service}"'
        f',DEFAULT=NO,AUTOSELECT=YES,INSTREAM-ID="{service}"'
    )


def _stream_inf(variant: Rendition, audio: Sequence[Rendition], group: str, captions: str) -> str:
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
        resolution, *video_range = _picture(variant)
        attributes.append(resolution)
        if variant.frame_rate is not None:
            attributes.append(f"FRAME-RATE={variant.frame_rate:.3f}")
        attributes += video_range
    if group:
        attributes.append(f'AUDIO="{group}"')
    attributes.append(f"CLOSED-CAPTIONS={captions}")
    return "#EXT-X-STREAM-INF:" + ",".join(attributes)


def _i_frame_stream_inf(variant: Rendition) -> str:
    attributes = [
        f"BANDWIDTH={variant.i_frame_bandwidth}",
        f"AVERAGE-BANDWIDTH={variant.i_frame_average_bandwidth}",
        f'CODECS="{variant.track.config.rfc6381()}"',
        *_picture(variant),
        f'URI="{variant.i_frame_uri}"',
    ]
    return "#EXT-X-I-FRAME-STREAM-INF:" + ",".join(attributes)


def _picture(variant: Rendition) -> list[str]:
    """Return the attributes of the picture's size and, where it is no usual one, range."""
    config = VideoConfig(variant.track.config)
    attributes = [f"RESOLUTION={config.width}x{config.height}"]
    if config.color.video_range != _DEFAULT_RANGE:
        attributes.append(f"VIDEO-RANGE={config.color.video_range}")
    return attributes


def _printable(text: str) -> str:
    """Leave out what a quoted string must not hold: a publisher chose the text."""
    return "".join(letter for letter in text if letter.isprintable() and letter != '"').strip()
