"""Playlists of MPEG-TS segments, in the words of 2010: any HLS player reads them (RFC 8216)."""

from collections.abc import Sequence
from dataclasses import dataclass

from rapidrtmp.hls.playlist import program_date_time
from rapidrtmp.hls.segment import Rendition
from rapidrtmp.media.codec import VideoConfig
from rapidrtmp.media.track import Track

VERSION = 3
"""EXT-X-VERSION: fractions in EXTINF ask for it."""
_PACKETS = 188 / 184
"""Bytes of packets for each of their payloads."""
_OVERHEAD = 100_000
_FRAME_OVERHEAD = 8 * 200
"""bit/s at most of tables, clock and audio headers, and bits of a picture's headers and the rest of
its last packet."""


@dataclass(frozen=True, slots=True)
class TransportPart:
    """What a segment has of one track."""

    track: Track
    uri: str
    """Of the track's own segment, relative to the stream's life; empty where it has no media."""


@dataclass(frozen=True, slots=True)
class TransportSegment:
    """A segment of the same number, time and cut as those of the tracks that are in it."""

    sequence: int
    parts: Sequence[TransportPart]
    """The leading track's first."""
    start: int
    end: int
    """Decoding times in ticks of 90 kHz, of the leading track."""
    seconds: float
    wall: float
    discontinuity: int
    is_discontinuity: bool
    """As in `Segment`."""

    @property
    def uri(self) -> str:
        """Relative to the stream's life."""
        return f"ts/{self.sequence}.ts"


def transport_playlist(
    segments: Sequence[TransportSegment], *, base: str, target_duration: int, ended: bool
) -> bytes:
    """Return the media playlist that lists `segments`.

    A gap is listed as any segment: EXT-X-GAP came later, and there is something to fetch.

    Args:
        segments: at least one, with consecutive sequence numbers.
        base: what leads from the playlist to the life of the stream, with a '/' at its end.
        target_duration: seconds, the same for the life of the playlist.
        ended: no segment will follow.
    """
    first = segments[0]
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{VERSION}",
        f"#EXT-X-TARGETDURATION:{target_duration}",
        f"#EXT-X-MEDIA-SEQUENCE:{first.sequence}",
        f"#EXT-X-DISCONTINUITY-SEQUENCE:{first.discontinuity - first.is_discontinuity}",
    ]
    for segment in segments:
        if segment.is_discontinuity:
            lines.append("#EXT-X-DISCONTINUITY")
        lines += (
            f"#EXT-X-PROGRAM-DATE-TIME:{program_date_time(segment.wall)}",
            f"#EXTINF:{segment.seconds:.6f},",
            base + segment.uri,
        )
    if ended:
        lines.append("#EXT-X-ENDLIST")
    lines.append("")
    return "\n".join(lines).encode()


def transport_multivariant(
    renditions: Sequence[Rendition], uri: str, left_out: Sequence[str]
) -> bytes:
    """Return the multivariant playlist, whose only variant has everything.

    Args:
        renditions: what is muxed: a video, an audio rendition, or both in this order.
        uri: of the media playlist, relative to this one.
        left_out: names of codecs that the stream has besides; a comment says so.
    """
    rates = [rendition.frame_rate or 0 for rendition in renditions]
    overhead = _OVERHEAD + _FRAME_OVERHEAD * max(rates)
    peak, average = (
        round(_PACKETS * sum(parts) + overhead)
        for parts in zip(
            *((one.bandwidth, one.average_bandwidth) for one in renditions), strict=True
        )
    )
    codecs = ",".join(one.track.config.rfc6381() for one in renditions)
    attributes = [f"BANDWIDTH={peak}", f"AVERAGE-BANDWIDTH={average}", f'CODECS="{codecs}"']
    leading = renditions[0]
    if leading.track.kind == "video":
        config = VideoConfig(leading.track.config)
        attributes.append(f"RESOLUTION={config.width}x{config.height}")
        if leading.frame_rate is not None:
            attributes.append(f"FRAME-RATE={leading.frame_rate:.3f}")
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}"]
    if left_out:
        lines.append(f"# without {', '.join(left_out)}: no place in MPEG-TS")
    lines += ("#EXT-X-STREAM-INF:" + ",".join(attributes), uri, "")
    return "\n".join(lines).encode()
