"""Tests of rapidrtmp.hls.past."""

import json
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.hls.past import (
    MAX_LISTED,
    MOST_LOST,
    PAGE,
    PastWindow,
    longest_run,
    read_page,
)
from rapidrtmp.hls.playlist import SegmentTexts, media_playlist
from rapidrtmp.hls.segment import Segment

LIFE = "0123456789abcdef"
BASE = f"../{LIFE}/"
FIRST = 1000


def segment(sequence: int, /, **others: object) -> Segment:
    """Make one of two seconds."""
    made = Segment(
        sequence=sequence,
        uri=f"video1/{sequence}.m4s",
        map_uri="video1/init-00000000.mp4",
        start=0,
        duration=180_000,
        timescale=90_000,
        wall=1_800_000_000.0 + 2 * (sequence - FIRST),
        discontinuity=0,
        is_discontinuity=False,
        is_independent=True,
        pieces=[b"media"],
    )
    return replace(made, **others)  # type: ignore[arg-type]  # a test names what it wants


def chain(kinds: Sequence[str]) -> list[Segment]:
    """Make segments that follow each other: ' ' plain, 'd' discontinuity, 'm' MAP too, 'g' gap."""
    segments = []
    discontinuity = config = 0
    for number, kind in enumerate(kinds):
        is_discontinuity = kind in "dm"
        discontinuity += is_discontinuity
        config += kind == "m"
        segments.append(
            segment(
                FIRST + number,
                discontinuity=discontinuity,
                is_discontinuity=is_discontinuity,
                map_uri=f"video1/init-{config:08x}.mp4",
                pieces=[] if kind == "g" else [b"media"],
                url="https://cdn.example.com/1.m4s" if kind == "u" else "",
            )
        )
    return segments


def window(segments: Sequence[Segment], name: str = "video1") -> PastWindow:
    """Make a window of segments that follow each other."""
    past = PastWindow(name, LIFE)
    for each in segments:
        assert past.append(each) == []
    return past


def text(past: PastWindow, *, ended: bool = False, skip: bool = False) -> list[str]:
    """Render, and take out what the live playlist does not have."""
    body = past.playlist(target_duration=2, ended=ended, independent_segments=False, skip=skip)
    lines = body.decode().split("\n")
    lines.remove("#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=12.000")
    return lines


def live(segments: Sequence[Segment], *, ended: bool = False) -> list[str]:
    """Render the same as a live playlist."""
    body = media_playlist(
        segments, SegmentTexts(BASE), target_duration=2, ended=ended, independent_segments=False
    )
    return body.decode().split("\n")


class PastWindowTests(SynchronousTestCase):
    @given(st.text(" dmgu", min_size=1, max_size=40), st.integers(0, 39), st.booleans())
    def test_like_live(self, kinds: str, dropped: int, ended: bool) -> None:
        """It says of the same segments what a live playlist says, wherever it begins."""
        segments = chain(kinds)
        dropped %= len(segments)
        past = window(segments)
        past.drop(dropped)
        self.assertEqual(text(past, ended=ended), live(segments[dropped:], ended=ended))
        whole, delta = text(past), text(past, skip=True)
        skipped = [line for line in delta if line.startswith("#EXT-X-SKIP")]
        count = int(skipped[0].partition("=")[2]) if skipped else 0
        self.assertEqual(count, max(0, len(segments) - dropped - 6))
        kept = delta[delta.index(skipped[0]) + 1 :] if skipped else whole
        self.assertEqual(whole[-len(kept) :], kept)

    @given(st.text(" dmgu", min_size=1, max_size=40), st.integers(0, 300))
    def test_index(self, kinds: str, dropped: int) -> None:
        """What was listed can be read out of the pages of the index."""
        segments = chain(kinds * 10)
        past = window(segments)
        past.drop(dropped % len(segments))
        pages = {}
        for each in past.segments:
            if each.number // PAGE not in pages:
                number, body = past.page(each.number)
                pages[number] = body
        read = [each for body in pages.values() for each in read_page(body, "video1")]
        again = PastWindow("video1", LIFE)
        again.restore(longest_run(read))
        self.assertEqual(again.segments, past.segments)
        self.assertEqual(text(again), text(past))
        self.assertEqual((again.bytes, again.seconds), (past.bytes, past.seconds))
        self.assertEqual(sorted(pages), list(range(min(pages), max(pages) + 1)))

    def test_flat(self) -> None:
        """Half a day goes by: two hours are kept, at some hundred bytes a segment."""
        past = PastWindow("video1", LIFE)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        sizes = []
        for number in range(21_600):
            past.append(segment(FIRST + number))
            past.drop(past.excess(7200, FIRST + number - 9))
            if number % 3600 == 3599:
                sizes.append(tracemalloc.get_traced_memory()[0])
        self.assertEqual(len(past.segments), 3600)
        self.assertEqual(past.bytes, 3600 * 5)
        self.assertApproximates(past.seconds, 7200, 1e-6)
        self.assertLess(max(sizes), 3600 * 1000)
        self.assertLess(max(sizes) - min(sizes), 100_000)
        self.assertEqual(len(text(past)), 4 + 1 + 3600 * 3 + 2)

    def test_excess(self) -> None:
        """What the live playlist lists stays; there is a bound to the number of all."""
        past = window([segment(FIRST + number) for number in range(20)])
        for seconds, first_live, count in [
            (10, FIRST + 15, 15),
            (9.5, FIRST + 15, 15),
            (4, FIRST + 15, 15),
            (20, FIRST + 15, 10),
            (60, FIRST + 15, 0),
            (0, FIRST + 18, 18),
        ]:
            self.assertEqual(past.excess(seconds, first_live), count)
        many = window([segment(FIRST + number) for number in range(MAX_LISTED + 5)])
        self.assertEqual(many.excess(1e9, FIRST + MAX_LISTED), 5)

    def test_lose(self) -> None:
        """A lost segment is a gap, wherever it stands; a second time it is none."""
        for index in (0, 3, 5):
            segments = chain(" m  d ")
            past = window(segments)
            lost = past.lose(FIRST + index)
            assert lost is not None
            self.assertEqual((lost.sequence, past.bytes), (FIRST + index, 5 * 5))
            segments[index] = replace(segments[index], pieces=[])
            self.assertEqual(text(past), live(segments))
            self.assertIsNone(past.lose(FIRST + index))
            self.assertFalse(past.lists(f"video1/{FIRST + index}.m4s"))
        self.assertIsNone(past.lose(FIRST + 6))
        self.assertIsNone(past.lose(FIRST - 1))

    def test_lists(self) -> None:
        """It tells which files it needs."""
        past = window(chain("  m "))
        past.drop(2)
        for uri, is_listed in [
            (f"video1/{FIRST + 2}.m4s", True),
            (f"video1/{FIRST + 1}.m4s", False),
            (f"video1/{FIRST + 4}.m4s", False),
            (f"video2/{FIRST + 2}.m4s", False),
            ("video1/init-00000001.mp4", True),
            ("video1/init-00000000.mp4", False),
            ("video1/.m4s", False),
        ]:
            self.assertEqual(past.lists(uri), is_listed, uri)


class HoleTests(SynchronousTestCase):
    """The numbers of the live playlists have holes."""

    def test_after_a_restart(self) -> None:
        """Numbers go on after gaps for what may have been listed last."""
        for away, hole, count, seconds in [
            (3.0, 900, 2, 1.5),
            (3600.0, 900, MOST_LOST, 2.0),
            (3600.0, 3, 3, 2.0),
            (-5.0, 900, 1, 0.1),
        ]:
            past = window(chain("    "))
            sequence = FIRST + 4 + hole
            new = segment(
                sequence, wall=1_800_000_008.0 + away, discontinuity=1, is_discontinuity=True
            )
            self.assertEqual(past.append(new, lost=2.0), [])
            gaps = list(past.segments)[4:-1]
            self.assertEqual([gap.is_gap for gap in gaps], [True] * count)
            self.assertEqual([gap.seconds for gap in gaps], [seconds] * count)
            numbers = [each.number for each in past.segments]
            self.assertEqual(numbers, list(range(FIRST, FIRST + 5 + count)))
            self.assertEqual(past.segments[-1].sequence, sequence)

    def test_discontinuities_of_nothing(self) -> None:
        """Discontinuities that no segment followed, as of idle times, each have their tag."""
        for extra, is_kept in ((1, True), (7, True), (200, False)):
            past = window(chain("    "))
            new = segment(FIRST + 900, discontinuity=extra + 1, is_discontinuity=True)
            self.assertEqual(past.append(new, lost=2.0) == [], is_kept)
            if is_kept:
                tags = text(past).count("#EXT-X-DISCONTINUITY")
                self.assertEqual(tags, extra + 1)
                self.assertEqual(len(past.segments), 4 + max(extra, MOST_LOST) + 1)

    def test_no_way(self) -> None:
        """Where nothing leads to the new segment the past is let go; numbers never go back."""
        for others in (
            {"sequence": FIRST + 900, "uri": "video1/1900.m4s"},
            {"discontinuity": 2, "is_discontinuity": True},
            {"discontinuity": 1},
        ):
            past = window(chain("    "))
            new = segment(FIRST + 4, **others)
            self.assertEqual(len(past.append(new)), 4)
            [only] = past.segments
            self.assertEqual(only.number, new.sequence)
            self.assertEqual(past.bytes, 5)

    def test_away(self) -> None:
        """A rendition that was away has gaps as long as what the other one has."""
        other = window(chain("    d  d  "), "video1")
        segments = chain("    d  d  ")
        past = window(segments[:4], "audio2")
        self.assertEqual(past.append(segments[8], [other]), [])
        self.assertEqual(
            [(s.number, s.is_gap, s.discontinuity) for s in past.segments],
            [(s.number, 3 < i < 8, s.discontinuity) for i, s in enumerate(other.segments)][:9],
        )
        self.assertEqual(
            past.append(segments[9], [other]), [], "goes on as if nothing had happened"
        )
        late = window(segments[6:], "video1")
        self.assertEqual(len(window(segments[:4]).append(segments[8], [late])), 4)


class PageTests(SynchronousTestCase):
    def test_pages(self) -> None:
        """Pages are cut where the numbers say, so that a full one never changes."""
        past = window([segment(FIRST + number) for number in range(300)])
        number, body = past.page(FIRST + 100)
        self.assertEqual(number, (FIRST + 100) // PAGE)
        read = read_page(body, "video1")
        self.assertEqual([each.number // PAGE for each in read], [number] * PAGE)
        past.append(segment(FIRST + 300))
        self.assertEqual(past.page(FIRST + 100), (number, body))

    def test_broken(self) -> None:
        """Nothing that was not written by us is taken, least of all lines for a playlist."""
        row = json.loads(window(chain(" ")).page(FIRST)[1])["segments"][0]

        def page(**changed: object) -> bytes:
            new = list(row)
            for place, value in changed.items():
                new[int(place[1:])] = value
            return json.dumps({"schema": 1, "segments": [new]}).encode()

        self.assertEqual(len(read_page(page(), "video1")), 1)
        broken = [
            b"",
            b"{}",
            b"[]",
            b"\xff",
            b'{"schema": 2, "segments": []}',
            b'{"schema": 1, "segments": [[]]}',
            page(_0=-1),
            page(_0=FIRST + 1),
            page(_1="1"),
            page(_2=0),
            page(_2=float("inf")),
            page(_3=float("nan")),
            page(_4=0, _5=True),
            page(_7="video2/init-00000000.mp4"),
            page(_7="../init-00000000.mp4"),
            page(_8="video1/../1.m4s"),
            page(_9="https://a/\n#EXT-X-ENDLIST"),
            page(_9="a b"),
            page(_10=-1),
        ]
        for body in broken:
            self.assertRaises(ValueError, read_page, body, "video1")

    def test_longest_run(self) -> None:
        """Only the newest segments without a hole between them are of use."""
        segments = list(window(chain("   d  ")).segments)
        self.assertEqual(longest_run(segments), segments)
        self.assertEqual(longest_run(segments[:2] + segments[3:]), segments[3:])
        broken = replace(segments[3], discontinuity=2)
        self.assertEqual(longest_run([*segments[:3], broken]), [broken])
        self.assertEqual(longest_run([]), [])
