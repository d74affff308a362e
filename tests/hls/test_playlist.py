"""Tests of rapidrtmp.hls.playlist."""

from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.hls.playlist import (
    SegmentTexts,
    i_frame_playlist,
    media_playlist,
    program_date_time,
)
from rapidrtmp.hls.segment import Segment
from tests.hls.checker import check_reload, parse_media_playlist

WALL = 1700000000.25
"""2023-11-14T22:13:20.250Z."""


def make_segment(sequence: int = 5, **changes: object) -> Segment:
    """Return a segment of 2 s, with some fields changed."""
    segment = Segment(
        sequence=sequence,
        uri=f"1/{sequence}.m4s",
        map_uri="1/init-00000000.mp4",
        start=180000 * sequence,
        duration=180000,
        timescale=90000,
        wall=WALL,
        discontinuity=0,
        is_discontinuity=False,
        is_independent=True,
        pieces=[b"media"],
    )
    return replace(segment, **changes)  # type: ignore[arg-type]  # fields by name


def render(*segments: Segment, ended: bool = False, independent: bool = False) -> bytes:
    """Return the playlist with a target duration of 4 s."""
    return media_playlist(
        segments,
        SegmentTexts("../life/"),
        target_duration=4,
        ended=ended,
        independent_segments=independent,
    )


@dataclass
class Event:
    """What befalls the next segment."""

    duration: int
    is_discontinuity: bool
    is_gap: bool
    new_map: bool


EVENTS = st.lists(
    st.builds(
        Event,
        st.integers(1, 90000 * 4),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=20,
)


class SegmentTextsTests(SynchronousTestCase):
    def test_made_once(self) -> None:
        """What was said of a segment is said again; the same elsewhere is said anew."""
        texts = SegmentTexts("../life/")
        segment = make_segment(5)
        self.assertIs(texts.whole(segment), texts.whole(segment))
        self.assertIs(texts.parted(segment), texts.parted(segment))
        self.assertIn("../life/1/5.m4s", texts.whole(segment))
        self.assertIn(
            "https://cdn.example.com/5", texts.whole(segment, "https://cdn.example.com/5")
        )

    def test_forgotten(self) -> None:
        """Only what is still listed is remembered."""
        texts = SegmentTexts("")
        for sequence in range(100):
            segment = make_segment(sequence)
            old = texts.whole(segment), texts.whole(segment, "url"), texts.parted(segment)
            self.assertEqual(len(texts), 3 * min(sequence + 1, 6))
            texts.forget(sequence - 4)
        new = texts.whole(segment), texts.whole(segment, "url"), texts.parted(segment)
        for before, after in zip(old, new, strict=True):
            self.assertIs(before, after)


class MediaPlaylistTests(SynchronousTestCase):
    def test_whole_text(self) -> None:
        """All tags, in their order."""
        text = render(
            make_segment(5),
            make_segment(6, wall=WALL + 2, pieces=[], duration=191999, timescale=48000),
            make_segment(
                7,
                wall=1700000100.0004,
                discontinuity=1,
                is_discontinuity=True,
                map_uri="1/init-11111111.mp4",
                duration=3003,
                url="https://cdn.example.com/life/1/7.m4s?signature=0",
            ),
            ended=True,
            independent=True,
        )
        self.assertEqual(
            text.decode(),
            """\
#EXTM3U
#EXT-X-VERSION:10
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:5
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-MAP:URI="../life/1/init-00000000.mp4"
#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:20.250Z
#EXTINF:2.000000,
../life/1/5.m4s
#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:22.250Z
#EXT-X-GAP
#EXTINF:3.999979,
../life/1/6.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="../life/1/init-11111111.mp4"
#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:15:00.000Z
#EXTINF:0.033367,
https://cdn.example.com/life/1/7.m4s?signature=0
#EXT-X-ENDLIST
""",
        )

    def test_optional_tags(self) -> None:
        """What is not told to be so is not claimed."""
        playlist = parse_media_playlist(render(make_segment()))
        self.assertFalse(playlist.independent_segments)
        self.assertFalse(playlist.ended)
        self.assertTrue(parse_media_playlist(render(make_segment(), ended=True)).ended)

    def test_empty(self) -> None:
        """There is no playlist without a segment."""
        self.assertRaises(ValueError, render)

    def test_first_is_discontinuity(self) -> None:
        """A window that starts with a discontinuity does not count it twice."""
        later = replace(make_segment(6), discontinuity=7, wall=WALL + 2)
        first = make_segment(5, discontinuity=7, is_discontinuity=True)
        playlist = parse_media_playlist(render(first, later))
        self.assertEqual(playlist.discontinuity_sequence, 6)
        self.assertEqual([segment.discontinuity for segment in playlist.segments], [7, 7])
        playlist = parse_media_playlist(render(later))
        self.assertEqual(playlist.discontinuity_sequence, 7)

    def test_dates_are_rounded(self) -> None:
        """A date is the nearest millisecond, over the end of a second and before 1970."""
        for wall, text in (
            (0.0, "1970-01-01T00:00:00.000Z"),
            (1.9996, "1970-01-01T00:00:02.000Z"),
            (1.9994, "1970-01-01T00:00:01.999Z"),
            (-0.5, "1969-12-31T23:59:59.500Z"),
            (4102444799.9999, "2100-01-01T00:00:00.000Z"),
        ):
            line = f"#EXT-X-PROGRAM-DATE-TIME:{text}\n".encode()
            self.assertIn(line, render(make_segment(wall=wall)), text)

    @given(EVENTS, st.integers(1, 6), st.integers(0, 2**40), st.integers(0, 50))
    @settings(max_examples=100, deadline=None)
    def test_sliding_window(
        self, events: list[Event], window: int, first: int, discontinuity: int
    ) -> None:
        """Over a life of reloads a player counts the numbers that the stream counts."""
        segments: list[Segment] = []
        playlist = None
        now = 0
        maps = 0
        for sequence, event in enumerate(events, first):
            discontinuity += event.is_discontinuity
            maps += event.new_map
            segments.append(
                make_segment(
                    sequence,
                    start=now,
                    wall=WALL + now / 90000 + 60 * discontinuity,
                    duration=event.duration,
                    map_uri=f"1/init-{maps}.mp4",
                    discontinuity=discontinuity,
                    is_discontinuity=event.is_discontinuity,
                    pieces=[] if event.is_gap else [b"media"],
                )
            )
            now += event.duration
            listed = segments[-window:]
            ended = len(segments) == len(events)
            before, playlist = playlist, parse_media_playlist(render(*listed, ended=ended))
            if before is not None:
                check_reload(before, playlist)
            self.assertEqual(
                [
                    (found.sequence, found.uri, found.map_uri, found.discontinuity, found.is_gap)
                    for found in playlist.segments
                ],
                [
                    (
                        made.sequence,
                        f"../life/{made.uri}",
                        f"../life/{made.map_uri}",
                        made.discontinuity,
                        made.is_gap,
                    )
                    for made in listed
                ],
            )
            for found, made in zip(playlist.segments, listed, strict=True):
                self.assertAlmostEqual(found.duration, made.seconds, places=6)


class IFramePlaylistTests(SynchronousTestCase):
    def test_whole_text(self) -> None:
        """One range of each segment; a gap where it does not start with an I-frame."""
        segments = [
            make_segment(5, i_frame_size=700),
            make_segment(6, i_frame_size=800, url="https://cdn/6.m4s"),
            make_segment(7),
        ]
        body = i_frame_playlist(segments, base="../life/", target_duration=4, ended=True)
        self.assertEqual(
            body.decode(),
            """\
#EXTM3U
#EXT-X-VERSION:10
#EXT-X-I-FRAMES-ONLY
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:5
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-MAP:URI="../life/1/init-00000000.mp4"
#EXT-X-PROGRAM-DATE-TIME:DATE
#EXTINF:2.000000,
#EXT-X-BYTERANGE:700@0
../life/1/5.m4s
#EXT-X-PROGRAM-DATE-TIME:DATE
#EXTINF:2.000000,
#EXT-X-BYTERANGE:800@0
https://cdn/6.m4s
#EXT-X-PROGRAM-DATE-TIME:DATE
#EXT-X-GAP
#EXTINF:2.000000,
../life/1/7.m4s
#EXT-X-ENDLIST
""".replace("DATE\n", program_date_time(WALL) + "\n"),
        )
