"""Tests of rapidrtmp.isobmff.fragment."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.isobmff.box import box, full_box
from rapidrtmp.isobmff.fragment import FragmentError, fragment, media_segment, read_samples
from rapidrtmp.isobmff.movie import init_segment
from rapidrtmp.media.track import Sample
from tests.isobmff.checker import ParsedSample, check_track, parse_boxes
from tests.isobmff.fakes import AUDIO, VIDEO, audio_samples, picture, video_samples

FRAMES = st.lists(
    st.tuples(
        st.one_of(st.just(3000), st.integers(1, 2**32 - 1)),
        st.one_of(st.just(0), st.integers(-(2**31), 2**31 - 1)),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)
STARTS = st.one_of(st.just(0), st.integers(0, 2**62))


def as_parsed(samples: list[Sample], end_dts: int) -> list[ParsedSample]:
    """Return what a parser ought to find."""
    ends = [sample.dts for sample in samples[1:]] + [end_dts]
    return [
        ParsedSample(
            sample.dts,
            sample.dts + sample.composition_offset,
            end - sample.dts,
            sample.is_sync,
            bytes(sample.payload),
        )
        for sample, end in zip(samples, ends, strict=True)
    ]


class FragmentTests(SynchronousTestCase):
    @given(FRAMES, STARTS)
    @settings(max_examples=200, deadline=None)
    def test_read_back(self, frames: list[tuple[int, int, bool]], start: int) -> None:
        """Any times, offsets and sync flags are found again, exactly."""
        samples, end = video_samples(frames, start)
        segment = media_segment(VIDEO, 7, samples, end)
        self.assertEqual(check_track(init_segment(VIDEO), [segment]), as_parsed(samples, end))

    @given(FRAMES, st.data())
    @settings(max_examples=50, deadline=None)
    def test_any_cut(self, frames: list[tuple[int, int, bool]], data: st.DataObject) -> None:
        """Wherever a stream is cut, the samples and their durations are the same."""
        samples, end = video_samples(frames)
        inner = st.lists(st.integers(1, len(samples)), unique=True, max_size=4)
        cuts = sorted({0, len(samples), *data.draw(inner)})
        segments = []
        for sequence, (first, last) in enumerate(pairwise(cuts)):
            until = samples[last].dts if last < len(samples) else end
            segments.append(media_segment(VIDEO, sequence, samples[first:last], until))
        self.assertEqual(check_track(init_segment(VIDEO), segments), as_parsed(samples, end))

    def test_parts_make_a_segment(self) -> None:
        """Fragments behind each other are a segment too: Partial Segments."""
        samples, end = video_samples([(3000, 0, True)] + [(3000, 0, False)] * 5)
        parts = [
            b"".join(fragment(VIDEO, 1, samples[:4], samples[4].dts)),
            b"".join(fragment(VIDEO, 2, samples[4:], end)),
        ]
        found = check_track(init_segment(VIDEO), [b"".join(parts)])
        self.assertEqual(found, as_parsed(samples, end))
        self.assertEqual(check_track(init_segment(VIDEO), parts), found)

    def test_columns(self) -> None:
        """What all samples share is written once; version 1 is for negative offsets alone."""
        for name, frames, tfhd_flags, trun in (
            ("all alike", [(3000, 0, True)] * 3, 0x020028, (0, 0x201)),
            ("one sample", [(3000, 0, False)], 0x020028, (0, 0x201)),
            ("one GOP", [(3000, 0, True)] + [(3000, 0, False)] * 3, 0x020028, (0, 0x205)),
            ("soft cut", [(3000, 0, False)] * 3, 0x020028, (0, 0x201)),
            ("late key frame", [(3000, 0, False), (3000, 0, True)], 0x020028, (0, 0x205)),
            (
                "two GOPs",
                [(3000, 0, True), (3000, 0, False)] * 2,
                0x020008,
                (0, 0x601),
            ),
            ("durations", [(3000, 0, True), (2970, 0, True)], 0x020020, (0, 0x301)),
            ("B-frames", [(3000, 6000, True), (3000, 0, False)], 0x020028, (0, 0xA05)),
            ("one offset", [(3000, 6000, True)] * 2, 0x020028, (0, 0xA01)),
            ("negative", [(3000, 3000, True), (3000, -3000, True)], 0x020028, (1, 0xA01)),
            (
                "everything",
                [(1, 0, True), (2, -1, False), (3, 1, True), (4, 0, False)],
                0x020000,
                (1, 0xF01),
            ),
        ):
            samples, end = video_samples(frames)
            segment = media_segment(VIDEO, 1, samples, end)
            traf = parse_boxes(segment)[1].one(b"traf")
            self.assertEqual(traf.one(b"tfhd").version_and_flags(), (0, tfhd_flags), name)
            self.assertEqual(traf.one(b"trun").version_and_flags(), trun, name)
            found = check_track(init_segment(VIDEO), [segment])
            self.assertEqual(found, as_parsed(samples, end), name)

    def test_audio(self) -> None:
        """Audio needs four bytes a sample."""
        samples, end = audio_samples(90, start=2**33)
        segment = media_segment(AUDIO, 2**32 - 1, samples, end)
        trun = parse_boxes(segment)[1].one(b"traf", b"trun")
        self.assertEqual(len(trun.payload), 12 + 4 * 90)
        self.assertEqual(check_track(init_segment(AUDIO), [segment]), as_parsed(samples, end))

    def test_payloads_are_not_copied(self) -> None:
        """The pieces are the samples' own payloads, views included."""
        read = picture(is_sync=True) + picture(is_sync=False)
        middle = len(picture(is_sync=True))
        views = [memoryview(read)[:middle], memoryview(read)[middle:]]
        samples = [
            Sample(VIDEO, 3000 * index, 0, not index, not index, view)
            for index, view in enumerate(views)
        ]
        pieces = fragment(VIDEO, 1, samples, 6000)
        for piece, view in zip(pieces[-2:], views, strict=True):
            self.assertIs(piece, view)
        segment = media_segment(VIDEO, 1, samples, 6000)
        self.assertEqual(check_track(init_segment(VIDEO), [segment]), as_parsed(samples, 6000))

    def test_deterministic(self) -> None:
        """The same samples give the same bytes."""
        samples, end = video_samples([(3000, 6000, True), (3000, 0, False)])
        again, _ = video_samples([(3000, 6000, True), (3000, 0, False)])
        self.assertEqual(media_segment(VIDEO, 9, samples, end), media_segment(VIDEO, 9, again, end))

    def test_offset_of_32_bits(self) -> None:
        """Without a negative offset the field is unsigned."""
        samples, end = video_samples([(3000, 2**32 - 1, True)])
        segment = media_segment(VIDEO, 1, samples, end)
        (found,) = check_track(init_segment(VIDEO), [segment])
        self.assertEqual(found.pts, 2**32 - 1)

    def test_numbers_that_do_not_fit(self) -> None:
        """A number that its field cannot hold is an error, never another number."""
        frames = [(3000, 0, True), (3000, 0, False)]
        good, good_end = video_samples(frames)
        negative, _ = video_samples(frames, start=-1)
        backwards = good[::-1]
        high, high_end = video_samples([(3000, 2**32, True)])
        high_signed, _ = video_samples([(3000, 2**31, True), (3000, -1, False)])
        low, _ = video_samples([(3000, -(2**31) - 1, True)])
        for name, sequence, samples, end, message in (
            ("nothing", 1, [], 0, "needs a sample"),
            ("start", 1, negative, good_end, "decoding time -1"),
            ("sequence", 2**32, good, good_end, "sequence number 4294967296"),
            ("sequence", -1, good, good_end, "sequence number -1"),
            ("backwards", 1, backwards, 9000, "durations -3000"),
            ("end before the last", 1, good, 2999, "durations -1"),
            ("long", 1, good, 3000 + 2**32, "4294967296"),
            ("offset", 1, high, high_end, "offsets 4294967296"),
            ("signed offset", 1, high_signed, 6000, "offsets -1 to 2147483648"),
            ("low offset", 1, low, 3000, "offsets -2147483649"),
        ):
            with self.assertRaises(ValueError, msg=name) as caught:
                fragment(VIDEO, sequence, samples, end)
            self.assertIn(message, str(caught.exception), name)


class ReadingTests(SynchronousTestCase):
    def fields(self, samples: list[Sample]) -> list[tuple[int, int, bool, bytes]]:
        """Return what is compared."""
        return [
            (one.dts, one.composition_offset, one.is_sync, bytes(one.payload)) for one in samples
        ]

    @given(FRAMES, STARTS)
    @settings(max_examples=200, deadline=None)
    def test_round_trip(self, frames: list[tuple[int, int, bool]], start: int) -> None:
        """What was written is read back, from one fragment or several, other boxes in between."""
        samples, end = video_samples(frames, start)
        middle = len(samples) // 2
        until = samples[middle].dts
        pieces = [(samples[:middle], until), (samples[middle:], end)]
        parts = [
            b"".join(fragment(VIDEO, 7, piece, stop)) + b"\0\0\0\x0cemsgtext"
            for piece, stop in pieces
            if piece
        ]
        for segment in (media_segment(VIDEO, 7, samples, end), b"".join(parts)):
            self.assertEqual(self.fields(read_samples(VIDEO, segment)), self.fields(samples))
        self.assertEqual(read_samples(VIDEO, b""), [])

    @given(st.data())
    @settings(max_examples=200, deadline=None)
    def test_damaged(self, data: st.DataObject) -> None:
        """A damaged segment gives other samples or a typed error, and nothing else."""
        samples, end = video_samples([(3000, 6000, True), (2000, -3, False), (3000, 0, False)])
        segment = bytearray(media_segment(VIDEO, 7, samples, end))
        for _ in range(data.draw(st.integers(1, 3))):
            segment[data.draw(st.integers(0, len(segment) - 1))] = data.draw(st.integers(0, 255))
        cut = data.draw(st.integers(0, len(segment)))
        try:
            found = read_samples(VIDEO, bytes(segment[:cut]))
        except FragmentError:
            return
        self.assertLessEqual(len(found), len(segment))

    def test_cut_short(self) -> None:
        """Wherever it is cut inside, that is told."""
        samples, end = video_samples([(3000, 6000, True), (3000, 0, False)])
        segment = media_segment(VIDEO, 7, samples, end)
        for cut in range(25, len(segment)):
            self.assertRaises(FragmentError, read_samples, VIDEO, segment[:cut])

    def test_boxes_that_lack_something(self) -> None:
        """Boxes that do not hold what their flags or their type promise."""
        full = full_box(b"tfhd", 0, 0, bytes(4)), full_box(b"tfdt", 1, 0, bytes(8))
        for tfhd, tfdt, trun in (
            (full_box(b"tfhd", 0, 0x28, bytes(4)), full[1], full_box(b"trun", 0, 0x201, bytes(8))),
            (full_box(b"tfhd", 0, 0x20, bytes(4)), full[1], full_box(b"trun", 0, 0x201, bytes(8))),
            (full_box(b"tfhd", 0, 0), full[1], full_box(b"trun", 0, 0x201, bytes(8))),
            (full[0], b"", full_box(b"trun", 0, 0x201, bytes(8))),
            (*full, full_box(b"trun", 0, 0x201, bytes(4))),
            (*full, full_box(b"trun", 0, 0x205, bytes(8))),
            (*full, b""),
        ):
            moof = box(b"moof", box(b"traf", tfhd, tfdt, trun))
            self.assertRaises(FragmentError, read_samples, VIDEO, moof)
