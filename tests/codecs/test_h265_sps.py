"""H.265 sequence parameter sets: size, depth, profile, VUI, and what must not get in."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.codecs import vui
from rapidrtmp.codecs.h265_sps import (
    MAX_LONG_TERM_PICTURES,
    MAX_REFERENCES,
    MAX_SHORT_TERM_SETS,
    parse_sps,
    read_set_id,
)
from rapidrtmp.media.codec import ColorInfo, ConfigError
from tests.codecs.builders import VUI
from tests.codecs.video_builders import H265SPS, Profile

TIMED = VUI(timing=(1001, 30000))

SIZES: list[tuple[str, H265SPS, tuple[int, int]]] = [
    ("720p", H265SPS(), (1280, 720)),
    ("1080p, cropped", H265SPS(width=1920, height=1088, window=(0, 0, 0, 4)), (1920, 1080)),
    ("all sides", H265SPS(window=(1, 2, 3, 4)), (1274, 706)),
    ("4:2:2", H265SPS(chroma=2, window=(1, 2, 3, 4)), (1274, 713)),
    ("4:4:4", H265SPS(chroma=3, window=(1, 2, 3, 4)), (1277, 713)),
    ("planes", H265SPS(chroma=3, separate_planes=True, window=(1, 2, 3, 4)), (1277, 713)),
    ("monochrome", H265SPS(chroma=0, window=(1, 2, 3, 4)), (1277, 713)),
    ("largest", H265SPS(width=16384, height=16384), (16384, 16384)),
]

BROKEN: list[tuple[str, H265SPS]] = [
    ("window as large as the picture", H265SPS(window=(320, 320, 0, 0))),
    ("window larger", H265SPS(window=(0, 0, 1, 2**31))),
    ("2^31 pixels", H265SPS(width=2**31)),
    ("one pixel too wide", H265SPS(width=16385)),
    ("nothing", H265SPS(height=0)),
    ("chroma_format_idc 4", H265SPS(chroma=4)),
    ("16 bits", H265SPS(luma_depth=16)),
    ("8 sub-layers", H265SPS(sub_layers=[(False, False)] * 7)),
]

WAYS: list[tuple[str, H265SPS]] = [
    ("plain", H265SPS(vui=TIMED)),
    ("sub-layers", H265SPS(sub_layers=[(True, True), (False, True), (True, False)], vui=TIMED)),
    ("six sub-layers", H265SPS(sub_layers=[(True, True)] * 6, vui=TIMED)),
    (
        "sub-layers, ordering once",
        H265SPS(sub_layers=[(False, False)], each_sub_layer=False, vui=TIMED),
    ),
    ("default scaling lists", H265SPS(scaling_lists=False, vui=TIMED)),
    ("scaling lists", H265SPS(scaling_lists=True, vui=TIMED)),
    ("PCM", H265SPS(has_pcm=True, vui=TIMED)),
    ("short-term sets", H265SPS(short_term=[(1, 0), (2, 3), (0, 0)], vui=TIMED)),
    (
        "short-term sets told by others",
        H265SPS(
            short_term=[(2, 1), ("1", "01", "00", "1"), ("00", "00", "01", "1"), (3, 0)],
            vui=TIMED,
        ),
    ),
    ("most references", H265SPS(short_term=[(MAX_REFERENCES, MAX_REFERENCES)], vui=TIMED)),
    ("most sets", H265SPS(short_term=[(1, 1)] * MAX_SHORT_TERM_SETS, vui=TIMED)),
    ("long-term pictures", H265SPS(long_term=3, order_count_bits=16, vui=TIMED)),
    ("most long-term pictures", H265SPS(long_term=MAX_LONG_TERM_PICTURES, vui=TIMED)),
    ("default window", H265SPS(vui=TIMED, default_window=True)),
]
"""What may stand before the VUI's timing; it must be found behind all of it."""

LOST_VUI: list[tuple[str, H265SPS]] = [
    ("too many sets", H265SPS(short_term=[(1, 1)] * (MAX_SHORT_TERM_SETS + 1), vui=TIMED)),
    ("too many references", H265SPS(short_term=[(MAX_REFERENCES + 1, 0)], vui=TIMED)),
    ("too many long-term pictures", H265SPS(long_term=MAX_LONG_TERM_PICTURES + 1, vui=TIMED)),
    ("order counts of 17 bits", H265SPS(order_count_bits=17, vui=TIMED)),
]

VUIS: list[tuple[str, VUI, vui.VUI]] = [
    ("nothing", VUI(), vui.VUI()),
    ("PAL wide", VUI(aspect_ratio_idc=4), vui.VUI(aspect_ratio=(16, 11))),
    ("own", VUI(aspect_ratio_idc=255, extended_sar=(8, 9)), vui.VUI(aspect_ratio=(8, 9))),
    ("colour", VUI(full_range=True, colour=(9, 16, 9)), vui.VUI(color=ColorInfo(9, 16, 9, True))),
    ("25 frames/s", VUI(timing=(1, 25)), vui.VUI(frame_rate=25.0)),
    ("no units", VUI(timing=(0, 25)), vui.VUI()),
    (
        "all",
        VUI(14, (0, 0), True, (9, 18, 9), False, (1, 2), (1, 50)),
        vui.VUI((4, 3), ColorInfo(9, 18, 9), 50.0),
    ),
]


class SequenceParameterSetTests(SynchronousTestCase):
    def test_sizes(self) -> None:
        """Sizes come out as pixels after cropping, in every chroma format."""
        for name, sps, size in SIZES:
            parsed = parse_sps(sps.nal_unit())
            self.assertEqual((parsed.width, parsed.height), size, name)
            self.assertEqual(parsed.chroma_format_idc, sps.chroma, name)

    def test_broken(self) -> None:
        """What cannot be a picture is refused."""
        for name, sps in BROKEN:
            try:
                parse_sps(sps.nal_unit())
            except ConfigError:
                continue
            self.fail(f"taken: {name}")

    def test_fields(self) -> None:
        """Profile, layers and depths are read, whatever has to be escaped."""
        profile = Profile(2, True, 4, 0x08000000, b"\x9d\x08\0\0\0\0", 0)
        sps = H265SPS(
            profile, set_id=15, sub_layers=[(True, True)] * 2, luma_depth=10, chroma_depth=12
        )
        parsed = parse_sps(sps.nal_unit())
        self.assertEqual(parsed.profile, profile.octets())
        self.assertEqual((parsed.temporal_layers, parsed.is_temporal_id_nested), (3, True))
        self.assertEqual((parsed.bit_depth_luma, parsed.bit_depth_chroma), (10, 12))
        self.assertEqual(read_set_id(sps.nal_unit()), 15)

    def test_ways_to_the_vui(self) -> None:
        """All that may stand in front of the VUI is passed over."""
        for name, sps in WAYS:
            self.assertEqual(parse_sps(sps.nal_unit()).vui.frame_rate, 30000 / 1001, name)

    def test_lost_vui(self) -> None:
        """What is absurd behind the size costs the VUI and no more."""
        for name, sps in LOST_VUI:
            parsed = parse_sps(sps.nal_unit())
            self.assertEqual((parsed.width, parsed.vui), (1280, vui.VUI()), name)

    def test_vui(self) -> None:
        """VUI gives hints where they make sense; a tick is a frame."""
        for name, written, expected in VUIS:
            self.assertEqual(parse_sps(H265SPS(vui=written).nal_unit()).vui, expected, name)

    def test_truncated(self) -> None:
        """Cut before the size a set is refused, behind it only the VUI is lost."""
        whole = H265SPS(vui=TIMED).nal_unit()
        needed = next(end for end in range(len(whole)) if self.is_taken(whole[:end]))
        self.assertGreater(needed, 2 + 1 + 12)
        for end in range(needed, len(whole)):
            self.assertEqual(parse_sps(whole[:end]).width, 1280)
        self.assertEqual(parse_sps(whole).vui.frame_rate, 30000 / 1001)

    def is_taken(self, nal_unit: bytes) -> bool:
        """Tell whether a set is parsed."""
        try:
            parse_sps(nal_unit)
        except ConfigError:
            return False
        return True

    def test_run_of_zeros(self) -> None:
        """A million zero bits end in the typed error."""
        head = H265SPS().nal_unit()[:15]
        self.assertRaises(ConfigError, parse_sps, head + bytes(125_000))

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=80), st.integers(0, 80))
    def test_arbitrary(self, octets: bytes, start: int) -> None:
        """Arbitrary bytes give a sane size or the typed error."""
        whole = H265SPS(scaling_lists=True, short_term=[(2, 2), ("1",) * 5], vui=TIMED).nal_unit()
        for nal_unit in (octets, whole[:start] + octets):
            try:
                parsed = parse_sps(nal_unit)
            except ConfigError:
                continue
            self.assertTrue(0 < parsed.width <= 16384 and 0 < parsed.height <= 16384)
            self.assertEqual(len(parsed.profile), 12)
