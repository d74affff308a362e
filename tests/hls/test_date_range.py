"""Which date ranges a playlist lists, and which it does not any more."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.hls.date_range import (
    MAX_KEPT,
    MAX_OF_CLASS,
    MAX_PUBLISHED,
    DateRanges,
    date_range_line,
)
from rapidrtmp.hls.segment import Segment
from rapidrtmp.media.timed import DateRange
from tests.hls.date_range_checker import check_date_ranges, parse_date_range
from tests.hls.test_low_latency import make_segments

WALL = 1000.0
"""Unix time at which the first of `make_segments` starts."""


def window(start: float) -> list[Segment]:
    """Return segments from a unix time on."""
    shift = start - make_segments(10, 1)[0].wall
    return [replace(segment, wall=segment.wall + shift) for segment in make_segments(10, 3)]


def ids(lines: list[str]) -> list[str]:
    """Return the ids of tags, which must be good ones."""
    return [parse_date_range(line.removeprefix("#EXT-X-DATERANGE:")).id for line in lines]


class DateRangeTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make an empty list."""
        self.ranges = DateRanges()

    def test_line(self) -> None:
        """All that a tag can have, in its form."""
        date_range = DateRange(
            "a", 0.25, "c", 1.5, 30.0, {"X-A": "t", "X-N": -2.5, "SCTE35-OUT": b"\xfc\x30"}
        )
        self.assertEqual(
            date_range_line(date_range),
            '#EXT-X-DATERANGE:ID="a",CLASS="c",START-DATE="1970-01-01T00:00:00.250Z",'
            'DURATION=1.500,PLANNED-DURATION=30.000,X-A="t",X-N=-2.5,SCTE35-OUT=0xFC30',
        )

    def test_window(self) -> None:
        """A range is listed while any of it is in the window; an open one for ever."""
        self.ranges.put(DateRange("open", WALL), WALL)
        self.ranges.put(DateRange("short", WALL, duration=2.0), WALL)
        self.ranges.put(DateRange("ahead", WALL + 500, duration=1.0), WALL)
        for start, listed, removed in (
            (WALL, ["open", "short", "ahead"], []),
            (WALL + 2, ["open", "short", "ahead"], []),
            (WALL + 2.1, ["open", "ahead"], ["short"]),
            (WALL + 9, ["open", "ahead"], []),
            (WALL + 502, ["open"], ["ahead"]),
        ):
            self.assertEqual(ids(self.ranges.lines(window(start))), listed, start)
            self.assertEqual(self.ranges.removed(window(start), 5.0), removed, start)
        self.ranges.forget(WALL + 20, WALL + 10)
        self.assertEqual(self.ranges.removed(window(WALL + 502), 1000.0), ["ahead"])

    def test_late(self) -> None:
        """One that was over before it was told of is listed for as long as one of then."""
        self.ranges.put(DateRange("late", WALL - 100, duration=1.0), WALL)
        self.assertEqual(ids(self.ranges.lines(window(WALL - 10))), ["late"])
        self.assertEqual(self.ranges.lines(window(WALL + 0.1)), [])

    def test_closed(self) -> None:
        """An end that is told later replaces the range, which then leaves as any other."""
        self.ranges.put(DateRange("a", WALL), WALL)
        self.ranges.put(DateRange("a", WALL, duration=5.0), WALL + 5)
        [line] = self.ranges.lines(window(WALL + 5))
        self.assertIn("DURATION=5.000", line)
        self.assertEqual(self.ranges.lines(window(WALL + 6)), [])

    def test_recent(self) -> None:
        """A delta update has those alone that changed after its boundary."""
        self.ranges.put(DateRange("old", WALL), WALL)
        self.ranges.put(DateRange("new", WALL), WALL + 10)
        self.assertEqual(ids(self.ranges.lines(window(WALL), WALL + 5)), ["new"])

    def test_published(self) -> None:
        """A publisher's ranges get ids of their own, and of a class so many are in the window."""
        for number in range(MAX_OF_CLASS + 5):
            self.ranges.put_published(DateRange("x", WALL, "noisy", 0.0), WALL + number / 100)
        self.ranges.put_published(DateRange("y", WALL, "other", 0.0), WALL)
        listed = ids(self.ranges.lines(window(WALL)))
        self.assertEqual(len(set(listed)), MAX_OF_CLASS + 1)
        self.assertEqual(listed[:2] + listed[-1:], ["x", "x.2", "y"])
        self.assertEqual(self.ranges.refused, 5)
        self.ranges.forget(WALL + 10, WALL)
        self.ranges.put_published(DateRange("z", WALL + 10, "noisy", 0.0), WALL + 10)
        self.assertEqual(ids(self.ranges.lines(window(WALL + 10))), ["z"])

    def test_bounds(self) -> None:
        """A publisher leaves room for others; those of the past make room for the present."""
        for number in range(MAX_PUBLISHED + 5):
            name = str(number)
            self.ranges.put_published(DateRange(name, WALL, f"c{name}", 0.0), WALL)
        self.assertEqual(len(self.ranges.lines(window(WALL))), MAX_PUBLISHED)
        for number in range(MAX_KEPT):
            self.ranges.put(DateRange(f"own {number}", WALL), WALL)
        self.assertEqual(len(self.ranges.lines(window(WALL))), MAX_KEPT)
        self.assertEqual(self.ranges.refused, 5 + MAX_PUBLISHED)
        self.ranges.forget(WALL + 10, WALL)
        self.ranges.put(DateRange("new", WALL), WALL)
        self.assertIn("new", ids(self.ranges.lines(window(WALL))))
        self.assertEqual(len(self.ranges.lines(window(WALL))), MAX_KEPT)

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 5), st.floats(-20, 20), st.none() | st.floats(0, 20), st.floats(0, 3)
            ),
            max_size=25,
        )
    )
    def test_life(self, changes: list[tuple[int, float, float | None, float]]) -> None:
        """Over any life the judge of reloads finds nothing, and a delta update is enough."""
        ranges = DateRanges()
        now = WALL
        known: dict[str, DateRange] = {}
        before: dict[str, str] = {}
        for number, away, duration, step in changes:
            now += step
            name = str(number)
            old = known.get(name)
            if old is None:
                known[name] = DateRange(name, round(now + away, 3), duration=duration)
            elif old.duration is None and duration is not None:
                known[name] = replace(old, duration=duration)
            else:
                continue
            ranges.put(known[name], now)
            segments = window(now - 10)
            lines = ranges.lines(segments)
            full = dict(zip(ids(lines), lines, strict=True))
            # a player whose playlist is as old as the change before
            delta = ranges.lines(segments, now - step)
            merged = {**before, **dict(zip(ids(delta), delta, strict=True))}
            for gone in ranges.removed(segments, 10 + step):
                merged.pop(gone, None)
            self.assertEqual(merged, full)
            parsed = [
                {name: parse_date_range(line.partition(":")[2]) for name, line in lines.items()}
                for lines in (before, full)
            ]
            check_date_ranges(parsed[0], parsed[1], segments[0].wall)
            before = full
