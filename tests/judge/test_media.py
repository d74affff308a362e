"""Tests for boxes, initialization sections, segments and sync samples of `rapidrtmp.judge`."""

import struct
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.isobmff.box import box, full_box
from rapidrtmp.isobmff.movie import init_segment
from rapidrtmp.judge.boxes import MAX_BOXES, Fault, read_boxes
from rapidrtmp.judge.finding import MAX_KEPT, Report
from rapidrtmp.judge.fragment import MAX_SAMPLES, read_media
from rapidrtmp.judge.movie import MovieTrack, read_movie
from rapidrtmp.judge.multivariant import read_multivariant
from rapidrtmp.judge.playlist import Resource, Segment
from rapidrtmp.judge.presentation import PresentationJudge
from rapidrtmp.judge.rendition import RenditionJudge
from rapidrtmp.judge.sync import can_start
from rapidrtmp.media.codec import ColorInfo, VideoConfig
from rapidrtmp.media.track import VIDEO_TRACK_ID, Track
from tests.judge.model import files, multivariant, rendition, video_track

MAP = Resource("video/init-0.mp4")
INIT = files()[MAP.uri]
SEGMENT = rendition("video")[0].body


def movie(octets: bytes = INIT) -> dict[int, MovieTrack]:
    """Read a good initialization section."""
    report = Report()
    tracks = read_movie(octets, "init", report)
    assert tracks is not None and not report.findings, report.findings
    return tracks


def found(octets: bytes, tracks: dict[int, MovieTrack] | None = None) -> dict[str, int]:
    """Give the rules that a segment breaks."""
    report = Report()
    read_media(octets, tracks or movie(), "segment", report)
    return dict(report.counts)


def fragments(tfdt: bytes, *trun: bytes, track: int = 1, mdat: bytes = b"\0\0\0\2\x65\1") -> bytes:
    """Make a fragment; its data offset has to be right."""
    tfhd = full_box(b"tfhd", 0, 0x020020, struct.pack(">II", track, 0x02000000))
    traf = box(b"traf", tfhd, tfdt, *trun)
    return box(b"moof", full_box(b"mfhd", 0, 0, b"\0\0\0\1"), traf) + box(b"mdat", mdat)


TFDT = full_box(b"tfdt", 1, 0, bytes(8))


def trun(offset: int, *columns: int, flags: int = 0x301, version: int = 0) -> bytes:
    """Make a trun with one sample."""
    return full_box(
        b"trun", version, flags, struct.pack(f">II{len(columns)}I", 1, offset, *columns)
    )


class BoxTests(SynchronousTestCase):
    def test_sizes(self) -> None:
        """Sizes of 64 bits, and up to the end, are read."""
        large = struct.pack(">I4sQ", 1, b"mdat", 20) + b"abcd"
        self.assertEqual([len(each.content) for each in read_boxes(large + large)], [4, 4])
        (last,) = read_boxes(struct.pack(">I4s", 0, b"mdat") + b"abc")
        self.assertEqual((bytes(last.content), last.end), (b"abc", 11))

    def test_faults(self) -> None:
        """What does not fill its place is a fault, and so is a flood."""
        for octets in (b"\0", b"\0\0\0\7free", b"\0\0\0\x09free", b"\0\0\0\1free\0\0"):
            self.assertRaises(Fault, read_boxes, octets)
        fault = self.assertRaises(Fault, read_boxes, box(b"free") * (MAX_BOXES + 1))
        self.assertEqual(fault.rule, "box-bounds")

    def test_movie_without_tracks(self) -> None:
        """No track, two tracks and the same twice are told apart."""
        ftyp, moov = read_boxes(INIT)
        trak = next(each for each in moov.children() if each.type == "trak")
        others = b"".join(
            box(each.type.encode(), bytes(each.content))
            for each in moov.children()
            if each.type != "trak"
        )
        head = box(b"ftyp", bytes(ftyp.content))
        for count, rule in ((0, "init-structure"), (2, "init-tracks")):
            report = Report()
            body = others + box(b"trak", bytes(trak.content)) * count
            read_movie(head + box(b"moov", body), "init", report)
            self.assertIn(rule, report.counts)
        self.assertIn("track-id", report.counts)


class SegmentTests(SynchronousTestCase):
    def test_good(self) -> None:
        """The model's segment is clean, with styp, prft and emsg as well."""
        self.assertEqual(found(SEGMENT), {})
        self.assertEqual(found(box(b"styp", b"msdh") + box(b"prft") + SEGMENT), {})

    def test_rules(self) -> None:
        """Rules that mutants of the model do not reach."""
        offset = 8 + 16 + 8 + 20 + 20 + 8 + 4 + 4 + 4
        base = offset + 8
        for rule, octets in (
            ("", fragments(TFDT, trun(base + 8, 3600, 6))),
            ("sample-empty", fragments(TFDT, trun(base + 8, 3600, 0), mdat=b"")),
            (
                "tfdt-version",
                fragments(full_box(b"tfdt", 0, 0, bytes(4)), trun(base + 4, 3600, 6)),
            ),
            (
                "composition-offset",
                fragments(TFDT, trun(base + 12, 3600, 6, 0xFFFFF000, flags=0xB01)),
            ),
            ("", fragments(TFDT, trun(base + 12, 3600, 6, 0xFFFFF000, flags=0xB01, version=1))),
            (
                "box-bounds",
                fragments(TFDT, full_box(b"trun", 0, 1, struct.pack(">II", MAX_SAMPLES + 1, base))),
            ),
            ("trun-table", fragments(TFDT, full_box(b"trun", 0, 1, struct.pack(">II", 0, base)))),
            ("segment-structure", fragments(TFDT)),
            ("segment-structure", b""),
        ):
            self.assertEqual(list(found(octets)), [rule] if rule else [], octets)

    def test_colour(self) -> None:
        """VIDEO-RANGE is what the colour box says."""
        for transfer, told, wrong in ((16, "PQ", 0), (16, "SDR", 1), (18, "PQ", 1), (2, "PQ", 0)):
            report = Report()
            judge = RenditionJudge("video.m3u8", report)
            judge.tracks = {1: replace(movie()[1], transfer=transfer)}
            text = multivariant().replace(",FRAME-RATE", f",VIDEO-RANGE={told},FRAME-RATE")
            master = read_multivariant(text.encode(), "index.m3u8", report)
            PresentationJudge(master, {"video.m3u8": judge}, report).finish()
            self.assertEqual(report.counts["video-range-wrong"], wrong, (transfer, told))

    def test_colour_box(self) -> None:
        """The colour box of a sample entry is found."""
        color = ColorInfo(9, 16, 9)
        track = Track(
            VIDEO_TRACK_ID, VideoConfig(video_track(changed=False).config).with_color(color)
        )
        self.assertEqual(movie(init_segment(track))[1].transfer, 16)
        self.assertIsNone(movie()[1].transfer)

    def test_ends(self) -> None:
        """Tracks in one file end together."""
        report = Report()
        judge = RenditionJudge("muxed", report)
        judge.receive_map(MAP, INIT)
        track = judge.all_tracks[0]
        # a second track, of sound
        other = replace(track, track_id=2, kind="soun", entry="mp4a", timescale=1000)
        judge._movies[MAP] = {1: track, 2: other}
        first = rendition("video")[0]
        sound = fragments(TFDT, trun(88, 100, 6), track=2)
        segment = Segment(1, Resource("a"), 2.0, MAP, 0, False, False, False, None, 1)
        judge.receive_segment(segment, first.body + sound)
        self.assertIn("fragment-ends", report.counts)

    def test_hole(self) -> None:
        """A hole that the playlist counts in is another thing than a wrong time."""
        for duration, rules in ((2.5, {"media-hole"}), (2.0, {"tfdt-continuity"})):
            report = Report()
            judge = RenditionJudge("video", report)
            judge.receive_map(MAP, INIT)
            for number, model in enumerate(rendition("video")[:2]):
                octets = bytearray(model.body)
                if number:
                    for place in _places(octets, b"tfdt"):
                        (old,) = struct.unpack_from(">Q", octets, place + 8)
                        struct.pack_into(">Q", octets, place + 8, old + 45000)
                seconds = model.duration if number else duration
                judge.receive_segment(
                    Segment(number, Resource("a"), seconds, MAP, 0, False, False, False, None, 1),
                    bytes(octets),
                )
            judge.finish()
            self.assertEqual(set(report.counts), rules)

    def test_formats(self) -> None:
        """Segments without boxes are of a format that players know."""
        packets = (b"\x47" + bytes(187)) * 3
        for octets, rules in (
            (packets, []),
            (packets[:-1], ["segment-format"]),
            (packets[:188] + packets[1:189], ["segment-format"]),
            (b"ID3\4" + bytes(9), []),
            (b"\xff\xf1\x50\x80", []),
            (b"WEBVTT\n", []),
            (b"<html>", ["segment-format"]),
            (b"", ["segment-format"]),
        ):
            report = Report()
            judge = RenditionJudge("a", report)
            segment = Segment(1, Resource("a"), 2.0, None, 0, False, False, False, None, 1)
            judge.receive_segment(segment, octets)
            self.assertEqual(list(report.counts), rules, octets[:10])

    @settings(max_examples=200)
    @given(st.data())
    def test_damaged(self, data: st.DataObject) -> None:
        """A damaged file is judged, never a surprise."""
        octets = bytearray(data.draw(st.sampled_from([INIT, SEGMENT[:1200]])))
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(octets) - 1))
            octets[at] = data.draw(st.integers(0, 255))
        report = Report()
        read_movie(bytes(octets), "init", report)
        read_media(bytes(octets), movie(), "segment", report)


def _places(octets: bytes | bytearray, name: bytes) -> list[int]:
    places = [octets.find(name)]
    while places[-1] >= 0:
        places.append(octets.find(name, places[-1] + 4))
    return places[:-1]


class SyncTests(SynchronousTestCase):
    def test_table(self) -> None:
        """The first slice, frame or header tells whether a decoder can start."""
        for entry, payload, told in (
            ("avc1", b"\0\0\0\2\x09\x10\0\0\0\2\x65\x88", True),
            ("avc1", b"\0\0\0\2\x41\x9a\0\0\0\2\x65\x88", False),
            ("avc1", b"\0\0\0\2\x06\x01", None),
            ("hvc1", b"\0\0\0\3\x26\x01\xaf", True),
            ("hvc1", b"\0\0\0\3\x2a\x01\xaf", True),
            ("hvc1", b"\0\0\0\3\x02\x01\xd0", False),
            ("av01", b"\x0a\x01\0\x32\x02\x10\0", True),
            ("av01", b"\x0a\x81\x00\0\x32\x02\x10\0", True),
            ("av01", b"\x32\x02\x10\0", False),
            ("av01", b"\x0a\x01\0\x32\x02\x30\0", False),
            ("av01", b"\x12\x00", None),
            ("vp09", b"\x82\x49", True),
            ("vp09", b"\x86\x49", False),
            ("vp09", b"\xb1\x49", True),
            ("vp09", b"\x00", None),
            ("mp4a", b"anything", None),
        ):
            self.assertEqual(can_start(entry, 4, memoryview(payload)), told, (entry, payload))

    def test_lengths(self) -> None:
        """Lengths that do not fill the sample are a fault."""
        for entry, payload in (
            ("avc1", b"\0\0\0\3\x65\x88"),
            ("avc1", b"\0\0\0\0"),
            ("avc1", b"\0\0"),
            ("hvc1", b"\0\0\0\1\x26\0"),
            ("av01", b"\x0a\x05\0"),
            ("av01", b"\x0a"),
        ):
            with self.assertRaises(Fault):
                can_start(entry, 4, memoryview(payload))

    @settings(max_examples=200)
    @given(st.sampled_from(["avc1", "hvc1", "av01", "vp09"]), st.binary(max_size=40))
    def test_any_bytes(self, entry: str, payload: bytes) -> None:
        """Any sample has an answer, or is a fault."""
        try:
            self.assertIn(can_start(entry, 4, memoryview(payload)), (True, False, None))
        except Fault as fault:
            self.assertEqual(fault.rule, "nal-length")


class ReportTests(SynchronousTestCase):
    def test_bounds(self) -> None:
        """Findings of one rule are kept up to a number, and counted."""
        report = Report()
        for number in range(MAX_KEPT + 5):
            report.add("nal-length", "a", f"{number}\n" + "x" * 1000)
        report.add("nal-length", "a", f"{number}\n" + "x" * 1000)
        report.add("http-cors", "a", "b")
        self.assertEqual(report.counts["nal-length"], MAX_KEPT + 5)
        self.assertEqual(len(report.findings), MAX_KEPT + 1)
        self.assertEqual((report.errors, report.warnings), (MAX_KEPT + 5, 1))
        self.assertLess(max(len(each.words) for each in report.findings), 400)
        self.assertTrue(report.findings[0].words.isprintable())
