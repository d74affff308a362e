"""Tests of rapidrtmp.hls.low_latency: what may be asked for, and what the playlist says."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.hls.low_latency import (
    WHOLE,
    DirectiveError,
    Directives,
    Position,
    Report,
    awaited,
    low_latency_playlist,
    parts_in,
    read_directives,
)
from rapidrtmp.hls.playlist import SegmentTexts
from rapidrtmp.hls.segment import Part, Segment
from tests.hls.checker import parse_media_playlist
from tests.hls.low_latency_checker import split_low_latency

Query = Mapping[str, Sequence[str]]


class DirectiveTests(SynchronousTestCase):
    def test_read(self) -> None:
        """What is asked for, in the forms that players use; the rest is ignored."""
        cases: list[tuple[Query, Directives]] = [
            ({}, Directives()),
            ({"_HLS_msn": ["7"]}, Directives(7)),
            ({"_HLS_msn": ["7"], "_HLS_part": ["0"]}, Directives(7, 0)),
            ({"_HLS_skip": ["YES"]}, Directives(skip=True)),
            ({"_HLS_msn": ["7"], "_HLS_skip": ["v2"]}, Directives(7, None, True, True)),
            ({"_HLS_skip": ["foo"]}, Directives()),
            ({"_HLS_skip": ["YES", "YES"]}, Directives()),
            ({"_HLS_other": ["x"], "ll": ["1"], "": [""]}, Directives()),
        ]
        for query, directives in cases:
            self.assertEqual(read_directives(query), directives)

    def test_broken(self) -> None:
        """Numbers that are none are refused in words, whatever they are."""
        for name in ("_HLS_msn", "_HLS_part"):
            for values in ([""], ["-1"], ["1.5"], ["abc"], ["1", "1"], ["9" * 19], ["٣"], []):
                query = {"_HLS_msn": ["7"], "_HLS_part": ["0"]} | {name: values}
                error = self.assertRaises(DirectiveError, read_directives, query)
                self.assertIn(name, str(error))
        self.assertRaises(DirectiveError, read_directives, {"_HLS_part": ["0"]})

    def test_awaited(self) -> None:
        """What there is is sent at once; what is near is waited for; the rest is refused.

        Segment 10 is complete and has 5 parts; of 11 there are parts 0 and 1.
        """
        cases: list[tuple[int | None, int | None, Position | None]] = [
            (None, None, None),
            (0, None, None),
            (9, 99, None),
            (10, None, None),
            (10, 4, None),
            (10, 5, None),  # means part 0 of 11, which is there
            (10, 99, None),
            (11, 0, None),
            (11, 1, None),
            (11, 2, (11, 2)),
            (11, 9, (11, 9)),
            (11, None, (11, WHOLE)),
            (12, None, (12, WHOLE)),
            (12, 0, (12, 0)),
        ]
        for sequence, part, position in cases:
            directives = Directives(sequence, part)
            self.assertEqual(awaited(directives, (10, 5), (11, 2), 10), position, directives)
        for sequence, part in ((13, None), (10**17, 0), (11, 16), (12, 14), (12, 10**17)):
            self.assertRaises(
                DirectiveError, awaited, Directives(sequence, part), (10, 5), (11, 2), 10
            )

    def test_awaited_at_a_boundary(self) -> None:
        """Where no part of the next segment is there, one past the last part is waited for."""
        for part in (5, 6, 50):
            self.assertEqual(awaited(Directives(10, part), (10, 5), (11, 0), 10), (11, 0))
        self.assertEqual(awaited(Directives(10, 0), (10, 0), (11, 0), 10), (11, 0))

    @given(
        st.integers(0, 20),
        st.one_of(st.none(), st.integers(0, 40)),
        st.integers(0, 10),
        st.integers(0, 10),
    )
    def test_never_waits_for_what_is_there(
        self, sequence: int, part: int | None, count: int, next_part: int
    ) -> None:
        """Whatever is waited for is still to come."""
        upcoming = (11, next_part)
        try:
            position = awaited(Directives(sequence, part), (10, count), upcoming, 10)
        except DirectiveError:
            self.assertGreaterEqual((sequence, part or 0), upcoming)
        else:
            self.assertTrue(position is None or position >= upcoming)


def make_parts(sequence: int, count: int, *, start: float = 0.0, **changes: object) -> list[Part]:
    """Make parts of 0.2 s, the first of which is independent."""
    parts = []
    for index in range(count):
        part = Part(
            sequence=sequence,
            index=index,
            uri=f"video1/{sequence}.{index}.m4s",
            map_uri="video1/init-1.mp4",
            duration=18_000,
            timescale=90_000,
            wall=1_000.0 + start,
            is_discontinuity=False,
            is_independent=index == 0,
            body=b"%d" % index,
        )
        parts.append(replace(part, **changes))  # type: ignore[arg-type]  # fields of it
    return parts


def make_segments(first: int, count: int, **changes: object) -> list[Segment]:
    """Make segments of ten such parts."""
    segments = []
    for number in range(count):
        sequence = first + number
        parts = make_parts(sequence, 10, start=2.0 * number)
        segment = Segment(
            sequence=sequence,
            uri=f"video1/{sequence}.m4s",
            map_uri="video1/init-1.mp4",
            start=180_000 * number,
            duration=180_000,
            timescale=90_000,
            wall=1_000.0 + 2.0 * number,
            discontinuity=0,
            is_discontinuity=False,
            is_independent=True,
            pieces=[part.body for part in parts],
            parts=parts,
            is_parted=True,
        )
        segments.append(replace(segment, **changes))  # type: ignore[arg-type]  # fields of it
    return segments


def render(
    segments: Sequence[Segment],
    parts: Sequence[Part] = (),
    *,
    ended: bool = False,
    skip: bool = False,
    hint: str = "video1/next.m4s",
) -> bytes:
    """Render, with what all cases have in common."""
    return low_latency_playlist(
        segments,
        parts,
        SegmentTexts("../life/"),
        target_duration=2,
        part_target=0.201,
        hint=hint,
        reports=[Report("audio2.m3u8", (12, 3)), Report("audio4.m3u8", (12, -1))],
        ended=ended,
        independent_segments=False,
        skip=skip,
    )


class PlaylistTests(SynchronousTestCase):
    def test_whole_text(self) -> None:
        """Every line stands where it has to."""
        segments = make_segments(10, 2)
        segments[0] = replace(segments[0], is_parted=False)
        segments[1] = replace(segments[1], parts=make_parts(11, 2, duration=90_000))
        parts = make_parts(12, 1, start=4.0)
        self.assertEqual(
            render(segments, parts).decode(),
            "#EXTM3U\n"
            "#EXT-X-VERSION:10\n"
            "#EXT-X-TARGETDURATION:2\n"
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.000,"
            "CAN-SKIP-DATERANGES=YES,HOLD-BACK=6.000,PART-HOLD-BACK=0.603\n"
            "#EXT-X-PART-INF:PART-TARGET=0.201\n"
            "#EXT-X-MEDIA-SEQUENCE:10\n"
            "#EXT-X-DISCONTINUITY-SEQUENCE:0\n"
            '#EXT-X-MAP:URI="../life/video1/init-1.mp4"\n'
            "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:16:40.000Z\n"
            "#EXTINF:2.000000,\n"
            "../life/video1/10.m4s\n"
            "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:16:42.000Z\n"
            '#EXT-X-PART:DURATION=1.000000,URI="../life/video1/11.0.m4s",INDEPENDENT=YES\n'
            '#EXT-X-PART:DURATION=1.000000,URI="../life/video1/11.1.m4s"\n'
            "#EXTINF:2.000000,\n"
            "../life/video1/11.m4s\n"
            "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:16:44.000Z\n"
            '#EXT-X-PART:DURATION=0.200000,URI="../life/video1/12.0.m4s",INDEPENDENT=YES\n'
            '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="../life/video1/next.m4s"\n'
            '#EXT-X-RENDITION-REPORT:URI="audio2.m3u8",LAST-MSN=12,LAST-PART=3\n'
            '#EXT-X-RENDITION-REPORT:URI="audio4.m3u8",LAST-MSN=12\n',
        )

    def test_parts_near_the_end_only(self) -> None:
        """Parts are listed of the last three target durations, and of what is open."""
        playlist = parse_media_playlist(render(make_segments(10, 8), make_parts(18, 4, start=16.0)))
        assert playlist.low_latency is not None
        self.assertEqual(sorted(playlist.low_latency.parts), [15, 16, 17, 18])
        self.assertEqual(playlist.low_latency.last_part, (18, 3))

    def test_change_in_the_open_segment(self) -> None:
        """What a new configuration begins with stands before its first part."""
        parts = make_parts(12, 1, start=4.0, is_discontinuity=True, map_uri="video1/init-2.mp4")
        lines = render(make_segments(10, 2), parts).decode().split("\n")
        at = lines.index("#EXT-X-DISCONTINUITY")
        self.assertEqual(lines[at + 1], '#EXT-X-MAP:URI="../life/video1/init-2.mp4"')
        self.assertTrue(lines[at + 2].startswith("#EXT-X-PROGRAM-DATE-TIME"))
        self.assertTrue(lines[at + 3].startswith("#EXT-X-PART"))

    def test_ended(self) -> None:
        """Nothing is announced when nothing comes; the header stays as it was."""
        playlist = parse_media_playlist(render(make_segments(10, 3), ended=True))
        self.assertTrue(playlist.ended)
        assert playlist.low_latency is not None
        self.assertEqual((playlist.low_latency.hint, playlist.low_latency.reports), ("", {}))

    def test_nothing_to_skip(self) -> None:
        """Where all is within six target durations of the end, a delta update is the whole."""
        segments = make_segments(10, 6)
        self.assertEqual(render(segments, skip=True), render(segments))

    def test_delta_update(self) -> None:
        """A player that adds what it had before has the whole playlist."""
        for change in range(10, 31):
            with self.subTest(change):
                segments = make_segments(10, 20)
                for index in range(max(0, change - 10), 20):
                    segments[index] = replace(
                        segments[index],
                        map_uri="video1/init-2.mp4",
                        discontinuity=1,
                        is_discontinuity=segments[index].sequence == change,
                    )
                parts = make_parts(30, 4, start=40.0, map_uri=segments[-1].map_uri)
                whole = render(segments, parts).decode().split("\n")
                delta = render(segments, parts, skip=True).decode().split("\n")
                at = delta.index("#EXT-X-SKIP:SKIPPED-SEGMENTS=14")
                self.assertEqual(delta[:at], whole[:at])
                kept = delta[at + 1 :]
                self.assertEqual(whole[-len(kept) :], kept)
                skipped = whole[at : -len(kept)]
                self.assertEqual(sum(line.endswith(".m4s") for line in skipped), 14)
                _, told = split_low_latency("\n".join(delta).encode())
                assert told is not None
                self.assertEqual((told.skipped, told.last), (14, 29))

    def test_parts_in(self) -> None:
        """The number of parts in a target duration is rounded up."""
        self.assertEqual((parts_in(2, 0.201), parts_in(2, 0.5), parts_in(1, 3.0)), (10, 4, 1))
