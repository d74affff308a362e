"""The media playlist of one rendition (RFC 8216bis section 4.4.3)."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from rapidrtmp.hls.segment import Part, Segment

VERSION = 10
"""EXT-X-VERSION of all playlists: EXT-X-MAP asks for 6, EXT-X-GAP for 8, EXT-X-SKIP for 9, and
for 10 where it leaves date ranges out."""

_EPOCH = datetime(1970, 1, 1)


class Listed(Protocol):
    """What a playlist says of a segment (`Segment`, `PastSegment`)."""

    @property
    def uri(self) -> str:
        """Relative to the stream's life."""

    @property
    def wall(self) -> float:
        """Unix time of its start."""

    @property
    def seconds(self) -> float:
        """The duration in seconds."""

    @property
    def is_gap(self) -> bool:
        """Nothing to fetch."""


class SegmentTexts:
    """What the playlists of a rendition say of each segment, as text that is made once.

    Low-latency playlists are rendered with each part, and nearly all in them stays the same.
    """

    def __init__(self, base: str) -> None:
        """Make one without texts.

        Args:
            base: what leads from the playlists to the life of the stream, with a '/' at its end,
                and stands before every URI but a segment's own `url`.
        """
        self.base = base
        # By sequence number, and whether a segment is said to have a URL of its own, or parts.
        self._texts: dict[tuple[int, str, bool], str] = {}

    def __len__(self) -> int:
        """How many texts are remembered."""
        return len(self._texts)

    def whole(self, segment: Segment, url: str = "") -> str:
        """Return the lines of a segment alone.

        Args:
            segment: the one.
            url: as of `segment_lines`.
        """
        key = segment.sequence, url, False
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = "\n".join(segment_lines(segment, self.base, url))
        return text

    def parted(self, segment: Segment) -> str:
        """Return the lines of a segment and of its parts."""
        key = segment.sequence, "", True
        text = self._texts.get(key)
        if text is None:
            date, *rest = segment_lines(segment, self.base)
            lines = (date, *map(self.part, segment.parts), *rest)
            text = self._texts[key] = "\n".join(lines)
        return text

    def part(self, part: Part) -> str:
        """Return the line of a part (RFC 8216bis section 4.4.4.9)."""
        independent = ",INDEPENDENT=YES" if part.is_independent else ""
        seconds = part.duration / part.timescale
        return f'#EXT-X-PART:DURATION={seconds:.6f},URI="{self.base}{part.uri}"{independent}'

    def forget(self, first: int) -> None:
        """Learn the sequence number of the first segment that is still listed."""
        for key in [key for key in self._texts if key[0] < first]:
            del self._texts[key]


def media_playlist(
    segments: Sequence[Segment],
    texts: SegmentTexts,
    *,
    target_duration: int,
    ended: bool,
    independent_segments: bool,
    date_ranges: Sequence[str] = (),
) -> bytes:
    """Return the media playlist that lists `segments`.

    Args:
        segments: the window, at least one, with consecutive sequence numbers. Their
            `discontinuity` rises by one exactly where `is_discontinuity` is set, or the
            number that players count themselves and EXT-X-DISCONTINUITY-SEQUENCE disagree.
        texts: of the rendition.
        target_duration: seconds, the same for the life of the playlist.
        ended: no segment will follow.
        independent_segments: every segment of the playlist's life starts with a sync sample.
        date_ranges: the tags of those that are listed.

    Raises:
        ValueError: there is no segment; players take an empty playlist for an error.
    """
    if not segments:
        raise ValueError("a media playlist needs a segment")
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}"]
    if independent_segments:
        lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    lines += (*_numbers(segments[0], target_duration), *date_ranges)
    map_uri = ""
    for segment in segments:
        if segment.is_discontinuity:
            lines.append("#EXT-X-DISCONTINUITY")
        if segment.map_uri != map_uri:
            map_uri = segment.map_uri
            lines.append(f'#EXT-X-MAP:URI="{texts.base}{map_uri}"')
        lines.append(texts.whole(segment, segment.url))
    if ended:
        lines.append("#EXT-X-ENDLIST")
    lines.append("")
    return "\n".join(lines).encode()


def _numbers(first: Segment, target_duration: int) -> tuple[str, ...]:
    """Return the tags that say where a playlist begins."""
    return (
        f"#EXT-X-TARGETDURATION:{target_duration}",
        f"#EXT-X-MEDIA-SEQUENCE:{first.sequence}",
        # The first segment's own tag is still in the list, and players count it.
        f"#EXT-X-DISCONTINUITY-SEQUENCE:{first.discontinuity - first.is_discontinuity}",
    )


def i_frame_playlist(
    segments: Sequence[Segment], *, base: str, target_duration: int, ended: bool
) -> bytes:
    """Return the I-frame playlist of a video rendition (RFC 8216bis section 4.4.3.6).

    There is one I-frame of each segment, its first sample: a byte range from the segment's
    start to the end of that sample, in a media data box that is longer. It is shown until the
    next one. A segment without a sync sample at its start is a gap, so that numbers stay those
    of the media playlist.

    Args:
        segments: as of `media_playlist`, at least one.
        base: as of `SegmentTexts`.
        target_duration: seconds.
        ended: no segment will follow.
    """
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}", "#EXT-X-I-FRAMES-ONLY"]
    lines += _numbers(segments[0], target_duration)
    map_uri = ""
    for segment in segments:
        if segment.is_discontinuity:
            lines.append("#EXT-X-DISCONTINUITY")
        if segment.map_uri != map_uri:
            map_uri = segment.map_uri
            lines.append(f'#EXT-X-MAP:URI="{base}{map_uri}"')
        lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{program_date_time(segment.wall)}")
        if not segment.i_frame_size:
            lines.append("#EXT-X-GAP")
        lines.append(f"#EXTINF:{segment.seconds:.6f},")
        if segment.i_frame_size:
            lines.append(f"#EXT-X-BYTERANGE:{segment.i_frame_size}@0")
        lines.append(segment.url or base + segment.uri)
    if ended:
        lines.append("#EXT-X-ENDLIST")
    lines.append("")
    return "\n".join(lines).encode()


def segment_lines(segment: Listed, base: str, url: str = "") -> list[str]:
    """Return the lines of one segment that are the same wherever in a playlist it stands.

    The date is on every segment, in milliseconds: it costs little, and a player that
    joins or seeks anywhere knows the time.

    Args:
        segment: the one.
        base: as of `SegmentTexts`.
        url: where players are sent, when not below `base`.
    """
    lines = [f"#EXT-X-PROGRAM-DATE-TIME:{program_date_time(segment.wall)}"]
    if segment.is_gap:
        lines.append("#EXT-X-GAP")
    # microseconds: what rounding loses in a day of 2 s segments is below 25 ms
    lines += (f"#EXTINF:{segment.seconds:.6f},", url or base + segment.uri)
    return lines


def program_date_time(wall: float) -> str:
    """Return a unix time as RFC 3339 text in UTC, to the nearest millisecond."""
    date = _EPOCH + timedelta(milliseconds=round(wall * 1000))
    return f"{date.isoformat(timespec='milliseconds')}Z"
