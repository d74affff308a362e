"""Tests of rapidrtmp.mpegts.muxer."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.codecs.aac import AACConfig
from rapidrtmp.codecs.h264 import H264Config
from rapidrtmp.codecs.mp3 import MP3Config
from rapidrtmp.codecs.opus import OpusConfig
from rapidrtmp.media.track import AUDIO_TRACK_ID, VIDEO_TRACK_ID, Sample, Track
from rapidrtmp.mpegts.muxer import DELAY, LEAD, ORIGIN, PCR_INTERVAL, Part, elementary_stream, mux
from tests.codecs.builders import SPS, avcc
from tests.codecs.sound_builders import opus_head
from tests.isobmff.fakes import picture
from tests.mpegts.demuxer import PES, Program, demux

SETS = (SPS().nal_unit(), b"\x68\xce\x38\x80")
H264 = Track(VIDEO_TRACK_ID, H264Config.parse(avcc([SETS[0]], [SETS[1]])))
AAC = Track(AUDIO_TRACK_ID, AACConfig.parse(bytes.fromhex("1190")), "deu")
AUD = b"\0\0\0\1\x09\xf0"
WRAP = 1 << 33
FRAME = 3000
"""Ticks: 30 frames/s."""


def pictures(count: int, start: int = 0, *, gop: int = 15, offset: int = 0) -> list[Sample]:
    """Make pictures at 30 frames/s, of which the first of each GOP is a sync sample."""
    return [
        Sample(H264, start + FRAME * n, offset, n % gop == 0, n % gop == 0, payload)
        for n in range(count)
        for payload in [picture(is_sync=n % gop == 0, body=b"%d" % n * (1 + n * n % 97))]
    ]


def sounds(count: int, start: int = 0, size: int = 300) -> list[Sample]:
    """Make AAC frames, which follow each other."""
    return [
        Sample(AAC, start + 1024 * n, 0, True, True, bytes([n & 255]) * size) for n in range(count)
    ]


def segment(parts: Sequence[Part], start: int, end: int) -> bytes:
    """Return a whole segment."""
    return b"".join(mux(parts, start, end))


def of(program: Program, pid: int) -> list[PES]:
    """Return the PES packets of a PID."""
    return [one for one in program.packets if one.pid == pid]


class MuxerTests(SynchronousTestCase):
    def check_clock(self, programs: Sequence[Program]) -> None:
        """Over all segments the clock goes forward, by at most 100 ms, and stays before DTS."""
        clocks = [pcr for program in programs for _, pcr in program.clocks]
        for before, after in pairwise(clocks):
            self.assertTrue(0 < (after - before) % WRAP <= 9000, (before, after))
        for program in programs:
            self.assertEqual(program.packets[0].pcr, program.clocks[0][1])
            for one in of(program, program.pcr_pid):
                self.assertEqual((one.dts - (one.pcr or 0)) % WRAP, DELAY)

    def test_picture_and_sound(self) -> None:
        """All samples come back in time, over segments whose counters go on."""
        video, audio = pictures(120, gop=60), sounds(188)
        parts = [
            [Part(H264, video[:60]), Part(AAC, audio[:94])],
            [Part(H264, video[60:]), Part(AAC, audio[94:])],
        ]
        segments = [segment(part, 180_000 * n, 180_000 * (n + 1)) for n, part in enumerate(parts)]
        programs = demux(segments)
        self.check_clock(programs)
        for program in programs:
            self.assertEqual(program.streams, {0x100: (0x1B, b""), 0x101: (0x0F, b"\x0a\x04deu\0")})
            self.assertEqual((program.pcr_pid, program.tables[0]), (0x100, 0))
        found = [one for program in programs for one in of(program, 0x100)]
        self.assertEqual([one.dts for one in found], [ORIGIN + FRAME * n for n in range(120)])
        self.assertEqual([one.is_random_access for one in found], [s.is_sync for s in video])
        sets = b"".join(b"\0\0\0\1" + one for one in SETS)
        for one, sample in zip(found, video, strict=True):
            self.assertTrue(one.data.startswith(AUD + (sets if sample.is_sync else b"")))
            self.assertEqual(one.data.count(SETS[0]), int(sample.is_sync))
        heard = [one for program in programs for one in of(program, 0x101)]
        self.assertEqual(
            b"".join(one.data for one in heard),
            b"".join(b"\xff\xf1\x4c\x80\x26\x7f\xfc" + bytes(sample.payload) for sample in audio),
        )
        self.assertLess(len(heard), 40, "frames share PES packets")
        self.assertEqual(heard[1].pts, ORIGIN + (1024 * 9 * 90000 + 24000) // 48000)

    def test_presentation(self) -> None:
        """B-frames have both times; times below that of decoding move all decoding times."""
        for offsets, lead in (([6000, 0, 3000], 0), ([0, -6000, -3000], -LEAD)):
            video = [
                replace(one, composition_offset=offset)
                for one, offset in zip(pictures(3), offsets, strict=True)
            ]
            (program,) = demux([segment([Part(H264, video)], 0, 9000)])
            self.assertEqual(
                [(one.pts - ORIGIN, one.dts - ORIGIN) for one in program.packets],
                [(FRAME * n + offset, FRAME * n + lead) for n, offset in enumerate(offsets)],
            )
            self.check_clock([program])

    def test_wrap(self) -> None:
        """After 26 hours the clocks wrap, in the middle of a segment, and all goes on."""
        start = WRAP - ORIGIN - 90_000
        programs = demux(
            [
                segment(
                    [Part(H264, pictures(60, at)), Part(AAC, sounds(93, at * 8 // 15))], at, end
                )
                for at, end in pairwise(range(start, start + 360_001, 180_000))
            ]
        )
        self.check_clock(programs)
        times = [one.dts for program in programs for one in of(program, 0x100)]
        self.assertEqual({(after - before) % WRAP for before, after in pairwise(times)}, {FRAME})
        self.assertLess(times[-1], times[0])

    def test_sound_alone(self) -> None:
        """Without video the sound has the clock."""
        programs = demux(
            [
                segment([Part(AAC, sounds(94, 94 * 1024 * n))], 180480 * n, 180480 * (n + 1))
                for n in (0, 1)
            ]
        )
        self.check_clock(programs)
        self.assertEqual(programs[0].pcr_pid, 0x100)
        self.assertTrue(all(one.is_random_access for one in programs[0].packets))

    def test_few_pictures(self) -> None:
        """A picture a second: the clock and the tables come by themselves in between."""
        video = [replace(one, dts=30 * one.dts) for one in pictures(8, gop=1)]
        (program,) = demux([segment([Part(H264, video)], 0, 720_000)])
        self.check_clock([program])
        self.assertEqual(len(program.tables), 16)
        self.assertGreater(len(program.clocks), 80)

    def test_tables_of_a_long_segment(self) -> None:
        """However long a segment is, a receiver finds the program twice a second."""
        (program,) = demux([segment([Part(H264, pictures(360, gop=360))], 0, 1_080_000)])
        self.assertEqual(len(program.tables), 32)
        gaps = [after - before for before, after in pairwise(program.tables)]
        self.assertLess(max(gaps), 5 * min(gaps))

    def test_nothing(self) -> None:
        """A segment without a sample is one with tables and clocks, and continues the others."""
        made = [
            segment([Part(H264, samples), Part(AAC, [])], at, at + 180_000)
            for at, samples in ((0, pictures(60)), (180_000, []), (360_000, pictures(60, 360_000)))
        ]
        programs = demux(made)
        clocks = [pcr for program in programs for _, pcr in program.clocks]
        self.assertLessEqual(max(b - a for a, b in pairwise(clocks)), 9000)
        self.assertEqual(len(programs[1].streams), 2)
        self.assertEqual(programs[1].packets, [])

    def test_sound_before_the_first_picture(self) -> None:
        """Sound that is cut a little earlier than the pictures comes after the clock."""
        parts = [Part(H264, pictures(60, 180_000)), Part(AAC, sounds(94, 95_500))]
        (program,) = demux([segment(parts, 180_000, 360_000)])
        self.check_clock([program])
        self.assertLess(of(program, 0x101)[0].pts, program.packets[0].pts)

    def test_gap_in_sound(self) -> None:
        """Frames on both sides of a gap do not share a PES packet: each has its time."""
        audio = sounds(8) + sounds(8, 20_000)
        (program,) = demux([segment([Part(AAC, audio)], 0, 60_000)])
        self.assertEqual(
            [one.pts - ORIGIN for one in program.packets], [0, 20_000 * 90_000 // 48_000]
        )

    def test_frames_that_do_not_fit(self) -> None:
        """What ADTS or a PES packet cannot hold is left out; the rest has its times."""
        audio = sounds(6)
        audio[2] = replace(audio[2], payload=bytes(8192))
        (program,) = demux([segment([Part(AAC, audio)], 0, 20_000)])
        self.assertEqual(
            [(one.pts - ORIGIN, len(one.data)) for one in program.packets],
            [(0, 2 * 307), (3 * 1920, 3 * 307)],
        )
        header = bytes.fromhex("fffb9064")
        mp3 = Track(AUDIO_TRACK_ID, MP3Config.from_frame(header + bytes(413)))
        frames = [header + bytes(413), header + bytes(70_000), b"\xff", header + bytes(413)]
        made = [Sample(mp3, 1152 * n, 0, True, True, frame) for n, frame in enumerate(frames)]
        (program,) = demux([segment([Part(mp3, made)], 0, 4 * 2351)])
        self.assertEqual([len(one.data) for one in program.packets], [417, 417])

    def test_start_without_sync(self) -> None:
        """A segment that begins in a GOP has the parameter sets all the same, and says no more."""
        (program,) = demux([segment([Part(H264, pictures(9)[1:])], 3000, 27_000)])
        self.assertIn(SETS[0], program.packets[0].data)
        self.assertFalse(any(one.is_random_access for one in program.packets))

    def test_no_place(self) -> None:
        """A codec without a place, or a configuration that ADTS cannot tell, has none."""
        opus = OpusConfig.parse(opus_head(2))
        self.assertIsNone(elementary_stream(Track(AUDIO_TRACK_ID, opus)))
        short = AACConfig.parse(bytes.fromhex("1194"))
        self.assertIsNone(elementary_stream(Track(AUDIO_TRACK_ID, short)))

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(st.integers(1, 20_000), st.integers(-9000, 9000), st.integers(0, 3000)),
            max_size=30,
        ),
        st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 9000)), max_size=30),
        st.integers(0, 2**36),
    )
    def test_anything(
        self,
        video: list[tuple[int, int, int]],
        audio: list[tuple[int, int]],
        start: int,
    ) -> None:
        """Whatever the times and sizes: a stream by the rules, in which all is found again."""
        seen, heard = [], []
        at = start
        for step, offset, size in video:
            seen.append(
                Sample(H264, at, offset, False, False, picture(is_sync=False, body=b"x" * size))
            )
            at += step
        end = at + 1
        at = start * 8 // 15
        for step, size in audio:
            heard.append(Sample(AAC, at, 0, True, True, bytes(size)))
            at += step
        made = segment([Part(H264, seen), Part(AAC, heard)], start, end)
        (program,) = demux([made])
        self.assertEqual(len(of(program, 0x100)), len(seen))
        for one, sample in zip(of(program, 0x100), seen, strict=True):
            pts = ORIGIN + sample.dts + sample.composition_offset
            self.assertEqual(one.pts, pts % WRAP)
        data = b"".join(one.data for one in of(program, 0x101))
        self.assertEqual(len(data), sum(size + 7 for _, size in audio if size + 7 <= 8191))
        clocks = [pcr for _, pcr in program.clocks]
        for before, after in pairwise(clocks):
            self.assertTrue(0 < (after - before) % WRAP <= max(9000, PCR_INTERVAL))
        self.assertEqual(made, segment([Part(H264, seen), Part(AAC, heard)], start, end))
