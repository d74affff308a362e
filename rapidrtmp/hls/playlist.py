"""The media playlist of one rendition (RFC 8216bis section 4.4.3)."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from rapidrtmp.hls.segment import Segment

VERSION = 8
"""EXT-X-VERSION of all playlists: EXT-X-MAP asks for 6, EXT-X-GAP for 8."""

_EPOCH = datetime(1970, 1, 1)


def media_playlist(
    segments: Sequence[Segment],
    *,
    target_duration: int,
    ended: bool,
    independent_segments: bool,
) -> bytes:
    """Return the media playlist that lists `segments`.

    Args:
        segments: the window, at least one, with consecutive sequence numbers. Their
            `discontinuity` rises by one exactly where `is_discontinuity` is set, or the
            number that players count themselves and EXT-X-DISCONTINUITY-SEQUENCE disagree.
        target_duration: seconds, the same for the life of the playlist.
        ended: no segment will follow.
        independent_segments: every segment of the playlist's life starts with a sync sample.

    Raises:
        ValueError: there is no segment; players take an empty playlist for an error.
    """
    if not segments:
        raise ValueError("a media playlist needs a segment")
    first = segments[0]
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}"]
    if independent_segments:
        lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    lines += (
        f"#EXT-X-TARGETDURATION:{target_duration}",
        f"#EXT-X-MEDIA-SEQUENCE:{first.sequence}",
        # The first segment's own tag is still in the list, and players count it.
        f"#EXT-X-DISCONTINUITY-SEQUENCE:{first.discontinuity - first.is_discontinuity}",
    )
    map_uri = ""
    for segment in segments:
        if segment.is_discontinuity:
            lines.append("#EXT-X-DISCONTINUITY")
        if segment.map_uri != map_uri:
            map_uri = segment.map_uri
            lines.append(f'#EXT-X-MAP:URI="{map_uri}"')
        lines += segment_lines(segment)
    if ended:
        lines.append("#EXT-X-ENDLIST")
    lines.append("")
    return "\n".join(lines).encode()


def segment_lines(segment: Segment) -> list[str]:
    """Return the lines of one segment that are the same wherever in a playlist it stands.

    The date is on every segment, in milliseconds: it costs little, and a player that
    joins or seeks anywhere knows the time.
    """
    date = _EPOCH + timedelta(milliseconds=round(segment.wall * 1000))
    lines = [f"#EXT-X-PROGRAM-DATE-TIME:{date.isoformat(timespec='milliseconds')}Z"]
    if segment.is_gap:
        lines.append("#EXT-X-GAP")
    # microseconds: what rounding loses in a day of 2 s segments is below 25 ms
    lines += (f"#EXTINF:{segment.seconds:.6f},", segment.uri)
    return lines
