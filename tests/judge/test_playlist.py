"""Tests for the playlists of `rapidrtmp.judge`: reading, bounds, delta updates, dates."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.judge.finding import Report
from rapidrtmp.judge.http_rules import PLAYLIST, Answer, judge_answer
from rapidrtmp.judge.multivariant import is_multivariant, read_multivariant
from rapidrtmp.judge.playlist import MediaPlaylist, Resource, merged
from rapidrtmp.judge.playlist_parser import SEGMENT_TAGS, MediaPlaylistParser, parse_date
from rapidrtmp.judge.playlist_rules import judge_playlist
from rapidrtmp.judge.presentation import PresentationJudge
from rapidrtmp.judge.rendition import RenditionJudge
from rapidrtmp.judge.rules import RULES, markdown
from rapidrtmp.judge.syntax import MAX_LINES, MAX_PLAYLIST
from tests.judge.model import JOIN, multivariant, playlist

VOD = """#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:4
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-START:TIME-OFFSET=-3.5,PRECISE=NO
#EXT-X-MAP:URI="a.mp4",BYTERANGE="100@0"
#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://x",KEYFORMAT="com.apple"
#EXTINF:4.000,title, with commas
#EXT-X-BYTERANGE:50@100
a.mp4
#EXTINF:3.5,
#EXT-X-BYTERANGE:60
a.mp4
#EXT-X-KEY:METHOD=NONE
#EXT-X-DATERANGE:ID="x",START-DATE="2020-01-01T00:00:00Z",X-COM="y",SCTE35-OUT=0xFC
#EXT-X-BITRATE:500
#EXT-X-GAP
#EXTINF:4,
b.mp4
#EXT-X-ENDLIST
"""


def read(text: str) -> tuple[MediaPlaylist, Report]:
    """Read a media playlist."""
    report = Report()
    found = MediaPlaylistParser("a.m3u8", report).parse(text.encode())
    assert found is not None, report.findings
    return found, report


class ReadingTests(SynchronousTestCase):
    def test_on_demand(self) -> None:
        """Byte ranges go on where the one before ended; keys and gaps hold for their segments."""
        found, report = read(VOD)
        self.assertEqual([each.rule.name for each in report.findings], [])
        first, second, third = found.segments
        self.assertEqual(first.resource, Resource("a.mp4", 100, 50))
        self.assertEqual(second.resource, Resource("a.mp4", 150, 60))
        self.assertEqual(first.map, Resource("a.mp4", 0, 100))
        self.assertEqual([each.is_encrypted for each in found.segments], [True, True, False])
        self.assertTrue(third.is_gap and found.is_ended)
        judge_playlist(found, report)
        # EXT-X-GAP asks for 8, and date ranges for dates
        self.assertEqual(dict(report.counts), {"version-low": 1, "daterange": 1})

    def test_line_ends(self) -> None:
        """Carriage returns before line feeds are allowed."""
        self.assertEqual(read(VOD.replace("\n", "\r\n"))[0].segments, read(VOD)[0].segments)

    def test_bounds(self) -> None:
        """A playlist that is too large or too long is told, and not read."""
        for octets in (b"#EXTM3U\n" + b"#" * MAX_PLAYLIST, b"#EXTM3U\n" + b"\n" * MAX_LINES):
            report = Report()
            self.assertIsNone(MediaPlaylistParser("a", report).parse(octets))
            self.assertEqual(list(report.counts), ["playlist-bounds"])
            self.assertIsNone(read_multivariant(octets, "a", report))

    def test_dates(self) -> None:
        """Dates are of UTC without a time zone."""
        for text, unix in (
            ("1970-01-01T00:00:01.5Z", 1.5),
            ("1970-01-01T01:00:00+01:00", 0.0),
            ("1970-01-01T00:00:00-0030", 1800.0),
            ("1970-01-01T00:00:60Z", 60.0),
            ("1970-01-01T00:00:00", 0.0),
            ("1970-13-01T00:00:00Z", None),
            ("1970-01-01 00:00:00Z", None),
        ):
            self.assertEqual(parse_date(text), unix, text)

    def test_date_ranges(self) -> None:
        """Date ranges have a start, and do not contradict themselves, also over several tags."""
        dated = VOD.replace(
            "#EXTINF:4.000", "#EXT-X-PROGRAM-DATE-TIME:2020-01-01T00:00:00.000Z\n#EXTINF:4"
        )
        start = 'ID="x",START-DATE="2020-01-01T00:00:00.000Z"'
        for tags, count in (
            ([start], 0),
            ([start, 'ID="x",DURATION=5'], 0),
            ([f'{start},DURATION=5,END-DATE="2020-01-01T00:00:05.000Z"'], 0),
            ([f'{start},DURATION=6,END-DATE="2020-01-01T00:00:05.000Z"'], 1),
            ([f'{start},END-DATE="2019-01-01T00:00:00.000Z"'], 1),
            (['ID="x"'], 1),
            ([f"{start},PLANNED-DURATION=5", 'ID="x",PLANNED-DURATION=6'], 1),
            ([f'{start},CLASS="c",END-ON-NEXT=YES'], 0),
            ([f"{start},END-ON-NEXT=YES,DURATION=1"], 2),
            ([f'{start},CUE="PRE,POST"'], 1),
        ):
            lines = "".join(f"#EXT-X-DATERANGE:{tag}\n" for tag in tags)
            text = dated.replace('#EXT-X-DATERANGE:ID="x",START', '#EXT-X-DATERANGE:ID="y",START')
            found, report = read(text.replace("#EXTINF:4", f"{lines}#EXTINF:4", 1))
            judge_playlist(found, report)
            self.assertEqual(report.counts["daterange"], count, (tags, report.findings))
        found, report = read(VOD)
        judge_playlist(found, report)
        self.assertIn("daterange", report.counts, "no date in the playlist")

    def test_byte_ranges(self) -> None:
        """A range goes on only where one before it ended."""
        _, report = read(VOD.replace("BYTERANGE:50@100", "BYTERANGE:50").replace("100@0", "100"))
        # the map, and both segments
        self.assertEqual(report.counts["attribute-value"], 3)

    @settings(max_examples=150)
    @given(st.randoms(use_true_random=False))
    def test_shuffled(self, source: random.Random) -> None:
        """Whatever the lines and their order, reading and judging come to an end."""
        lines = (playlist("video", JOIN) + VOD + multivariant()).splitlines()
        chosen = [source.choice(lines) for _ in range(source.randrange(60))]
        text = "\n".join(["#EXTM3U", *chosen])
        for _ in range(source.randrange(5)):
            at = source.randrange(len(text))
            text = text[:at] + source.choice('",=:-9\n') + text[at + 1 :]
        report = Report()
        octets = text.encode()
        is_multivariant(octets)
        read_multivariant(octets, "a", report)
        found = MediaPlaylistParser("a", report).parse(octets)
        if found is not None:
            judge_playlist(found, report)
            merged(found, found)


class MultivariantTests(SynchronousTestCase):
    def test_table(self) -> None:
        """Renditions and I-frame variants have what they need; line by line."""
        captions = '#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID="c",NAME="C"'
        subtitles = '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="S"'
        iframes = '#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=5,AVERAGE-BANDWIDTH=4,CODECS="avc1.64001f"'
        images = '#EXT-X-IMAGE-STREAM-INF:BANDWIDTH=90000,RESOLUTION=320x180,CODECS="jpeg"'
        for line, rules in (
            (f'{captions},INSTREAM-ID="CC1"', {"group-unused"}),
            (captions, {"group-unused", "attribute-missing"}),
            (f'{captions},INSTREAM-ID="CC1",URI="c.m3u8"', {"group-unused", "attribute-missing"}),
            (f'{subtitles},URI="s.m3u8"', {"group-unused"}),
            (subtitles, {"group-unused", "attribute-missing"}),
            (
                f'{subtitles},URI="s.m3u8",DEFAULT=YES,AUTOSELECT=NO',
                {"group-unused", "attribute-value"},
            ),
            (f'{iframes},RESOLUTION=640x720,URI="i.m3u8"', set()),
            (f"{iframes},RESOLUTION=640x720", {"attribute-missing"}),
            (f'{iframes},URI="i.m3u8"', {"stream-inf-sparse"}),
            ("#EXT-X-VERSION:9", {"tag-duplicate"}),
            ("#EXT-NONSENSE", {"tag-unknown"}),
            ("#EXT-X-NONSENSE", {"tag-unknown"}),
            ("#EXT-X-GAP", {"tag-mixed"}),
            (f'{images},URI="image1.m3u8"', set()),
            (images, {"attribute-missing"}),
            ('#EXT-X-SESSION-DATA:DATA-ID="a",VALUE="b"', set()),
            ("lonely.m3u8", {"tag-dangling"}),
        ):
            report = Report()
            head, _, tail = multivariant().partition("#EXT-X-STREAM")
            text = f"{head}{line}\n#EXT-X-STREAM{tail}"
            found = read_multivariant(text.encode(), "index.m3u8", report)
            assert found is not None
            self.assertEqual(set(report.counts), rules, line)
            self.assertNotIn("i.m3u8", found.uris())


class DeltaTests(SynchronousTestCase):
    def test_merged(self) -> None:
        """A delta update with what it skips is the full playlist."""
        full, _ = read(playlist("video", JOIN + 2.5))
        delta, _ = read(playlist("video", JOIN + 2.5, skip=True))
        self.assertGreater(delta.skipped or 0, 0)
        before, _ = read(playlist("video", JOIN + 2))
        whole = merged(before, delta)
        assert whole is not None
        self.assertEqual(whole.segments, full.segments)
        self.assertEqual((whole.open_parts, whole.open_map), (full.open_parts, full.open_map))

    def test_unknown(self) -> None:
        """What is skipped and was never seen cannot be made up, whatever the number."""
        before, _ = read(playlist("video", JOIN))
        for number in (50, 10**15):
            text = playlist("video", JOIN, skip=True)
            delta, _ = read(text.replace("SKIPPED-SEGMENTS=", f"SKIPPED-SEGMENTS={number}"))
            self.assertIsNone(merged(before, delta))


class ReportTests(SynchronousTestCase):
    def judged(self, report: str, seconds: float) -> Report:
        """Judge a report of audio in video's playlist, and audio's some seconds later."""
        found = Report()
        judges = {name: RenditionJudge(f"{name}.m3u8", found) for name in ("video", "audio")}
        presentation = PresentationJudge(None, judges, found)
        text = playlist("video", JOIN).replace("EXT-X-RENDITION-REPORT:", "EXT-X-NONE:")
        text += f'#EXT-X-RENDITION-REPORT:URI="audio"{report}\n'
        for name, octets, now in (
            ("audio", playlist("audio", JOIN - 0.5), 1.0),
            ("video", text, 2.0),
            ("audio", playlist("audio", JOIN + 0.02 + seconds), 3.0),
        ):
            read_one = judges[name].receive_playlist(octets.encode(), now)
            assert read_one is not None
            presentation.judge_reports(name, read_one, str, now - 0.5, now)
        return found

    def test_omitted(self) -> None:
        """What a report leaves out is what the playlist itself has."""
        for report, seconds, wrong in (
            (",LAST-MSN=1009,LAST-PART=10", 0.0, 0),
            ("", 0.0, 0),
            (",LAST-PART=10", 0.0, 0),
            (",LAST-MSN=1010,LAST-PART=0", 0.0, 1),
            (",LAST-MSN=1010,LAST-PART=0", 0.5, 0),
            (",LAST-MSN=1007,LAST-PART=0", 0.0, 1),
        ):
            found = self.judged(report, seconds)
            self.assertEqual(found.counts["rendition-report-wrong"], wrong, (report, seconds))

    def test_answer(self) -> None:
        """A part that a segment has not got is the first one of the next segment."""
        for seconds, part, wrong in ((0.0, 9, 0), (0.0, 10, 1), (0.2, 10, 0), (-0.2, 9, 1)):
            found = Report()
            judge = RenditionJudge("video", found)
            octets = playlist("video", JOIN + seconds).encode()
            judge.receive_playlist(octets, 0.0, requested=(1009, part))
            self.assertEqual(found.counts["blocking-reload"], wrong, (seconds, part))


class DiscontinuityTests(SynchronousTestCase):
    def judged(self, **dates: dict[int, int]) -> Report:
        """Judge playlists whose discontinuities are at these ms, by their numbers."""
        found = Report()
        judges = {name: RenditionJudge(name, found) for name in dates}
        for name, judge in judges.items():
            lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2"]
            lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{min(dates[name]) - 1}")
            for number, ms in dates[name].items():
                date = f"#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.{ms:03}Z"
                lines += ("#EXT-X-DISCONTINUITY", date, "#EXTINF:2,", f"{number}.ts")
            judge.receive_playlist("\n".join(lines).encode(), 0.0)
        PresentationJudge(None, judges, found).finish()
        return found

    def test_numbers(self) -> None:
        """Those of a moment have the same number; of several in a moment one may come later."""
        for video, audio, wrong in (
            ({1: 0}, {1: 20}, 0),
            ({1: 0}, {2: 20}, 1),
            ({1: 0}, {1: 10, 2: 300}, 0),
            ({1: 0, 2: 300}, {2: 310}, 0),
            ({1: 0, 2: 300}, {3: 310}, 1),
        ):
            found = self.judged(video=video, audio=audio)
            self.assertEqual(found.counts["discontinuity-renditions"], wrong, (video, audio))


class RulesTests(SynchronousTestCase):
    def test_table(self) -> None:
        """Every rule is told in the documentation's tables, once."""
        text = markdown()
        for name in RULES:
            self.assertEqual(text.count(f"| `{name}` |"), 1, name)

    def test_small_playlist(self) -> None:
        """A playlist that fits a packet need not be compressed."""
        report = Report()
        headers = {"content-type": "application/vnd.apple.mpegurl", "cache-control": "no-cache"}
        headers["access-control-allow-origin"] = "*"
        for size, rules in ((500, []), (5000, ["http-gzip"])):
            answer = Answer("a", 200, headers, b"#" * size, 0.0, 0.0)
            self.assertTrue(judge_answer(PLAYLIST, answer, "a", report))
            self.assertEqual(list(report.counts), rules)

    def test_tags_of_media(self) -> None:
        """What is foreign to a multivariant playlist is what a media playlist knows alone."""
        parser = MediaPlaylistParser("a", Report())
        common = {"EXT-X-VERSION", "EXT-X-INDEPENDENT-SEGMENTS", "EXT-X-START", "EXT-X-DEFINE"}
        self.assertEqual(SEGMENT_TAGS, set(parser._handlers) - common)
