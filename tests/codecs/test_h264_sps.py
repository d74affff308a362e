"""Sequence parameter sets: size, depth, VUI, and what must not get in."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.codecs import vui
from rapidrtmp.codecs.h264_sps import parse_sps
from rapidrtmp.media.codec import ColorInfo, ConfigError
from tests.codecs.builders import SPS, VUI, WITH_CHROMA

SIZES: list[tuple[str, SPS, tuple[int, int]]] = [
    ("720p", SPS(), (1280, 720)),
    ("1080p, cropped", SPS(width_mbs=120, height_map_units=68, crop=(0, 0, 0, 4)), (1920, 1080)),
    (
        "1080i, cropped in field lines",
        SPS(width_mbs=120, height_map_units=34, frame_mbs_only=False, crop=(0, 0, 0, 2)),
        (1920, 1080),
    ),
    ("all sides", SPS(crop=(1, 2, 3, 4)), (1274, 706)),
    ("4:2:2", SPS(profile=122, chroma=2, crop=(1, 2, 3, 4)), (1274, 713)),
    ("4:4:4", SPS(profile=244, chroma=3, crop=(1, 2, 3, 4)), (1277, 713)),
    ("planes", SPS(profile=244, chroma=3, separate_planes=True, crop=(1, 2, 3, 4)), (1277, 713)),
    ("monochrome", SPS(profile=100, chroma=0, crop=(1, 2, 3, 4)), (1277, 713)),
    ("baseline, odd", SPS(profile=66, width_mbs=1, height_map_units=1, crop=(0, 7, 0, 7)), (2, 2)),
    ("largest", SPS(width_mbs=1024, height_map_units=1024), (16384, 16384)),
    ("order type 1", SPS(order_type=1, order_cycle=[1, -2, 3]), (1280, 720)),
    ("order type 2", SPS(order_type=2), (1280, 720)),
    ("scaling lists", SPS(scaling_lists=[None, [0] * 16, *[None] * 5, [3] * 64]), (1280, 720)),
    ("scaling list cut off by a zero", SPS(scaling_lists=[[-8], *[None] * 7]), (1280, 720)),
    (
        "12 scaling lists",
        SPS(profile=244, chroma=3, scaling_lists=[*[None] * 11, [1] * 64]),
        (1280, 720),
    ),
]

BROKEN: list[tuple[str, SPS]] = [
    ("crop as large as the picture", SPS(crop=(320, 320, 0, 0))),
    ("crop larger", SPS(crop=(0, 0, 1, 2**31))),
    ("2^31 macroblocks", SPS(width_mbs=2**31)),
    ("2^32 lines", SPS(height_map_units=2**32 - 1)),
    ("one macroblock too wide", SPS(width_mbs=1025)),
    ("chroma_format_idc 4", SPS(chroma=4)),
    ("15 bits", SPS(luma_depth=15)),
    ("endless order cycle", SPS(order_type=1, order_cycle=[0] * 256)),
]

VUIS: list[tuple[str, VUI, vui.VUI]] = [
    ("nothing", VUI(), vui.VUI()),
    ("square", VUI(aspect_ratio_idc=1), vui.VUI(aspect_ratio=(1, 1))),
    ("PAL wide", VUI(aspect_ratio_idc=4), vui.VUI(aspect_ratio=(16, 11))),
    ("unspecified", VUI(aspect_ratio_idc=0), vui.VUI()),
    ("reserved", VUI(aspect_ratio_idc=200), vui.VUI()),
    ("own", VUI(aspect_ratio_idc=255, extended_sar=(8, 9)), vui.VUI(aspect_ratio=(8, 9))),
    ("own, no sense", VUI(aspect_ratio_idc=255, extended_sar=(8, 0)), vui.VUI()),
    ("range alone", VUI(full_range=True), vui.VUI(color=ColorInfo(full_range=True))),
    (
        "colour",
        VUI(full_range=True, colour=(1, 13, 6)),
        vui.VUI(color=ColorInfo(1, 13, 6, True)),
    ),
    ("29.97 frames/s", VUI(timing=(1001, 60000)), vui.VUI(frame_rate=30000 / 1001)),
    ("no units", VUI(timing=(0, 60000)), vui.VUI()),
    ("no scale", VUI(timing=(1, 0)), vui.VUI()),
    ("a million frames/s", VUI(timing=(1, 2000000)), vui.VUI()),
    (
        "all",
        VUI(14, (0, 0), True, (9, 16, 9), False, (1, 2), (1, 50)),
        vui.VUI((4, 3), ColorInfo(9, 16, 9, False), 25.0),
    ),
]

SETS = st.builds(
    SPS,
    profile=st.sampled_from((66, 77, 88, *WITH_CHROMA)),
    constraints=st.integers(0, 255),
    level=st.integers(0, 255),
    set_id=st.integers(0, 31),
    chroma=st.integers(0, 3),
    luma_depth=st.integers(8, 14),
    chroma_depth=st.integers(8, 14),
    order_type=st.integers(0, 2),
    order_cycle=st.lists(st.integers(-9, 9), max_size=9),
    width_mbs=st.integers(2, 1024),
    height_map_units=st.integers(2, 512),
    frame_mbs_only=st.booleans(),
    crop=st.none() | st.tuples(*[st.integers(0, 3)] * 4),
    vui=st.none()
    | st.builds(
        VUI,
        aspect_ratio_idc=st.none() | st.integers(0, 254),
        timing=st.none() | st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    ),
)


class SequenceParameterSetTests(SynchronousTestCase):
    def test_sizes(self) -> None:
        """Sizes come out as pixels after cropping, in every chroma format."""
        for name, sps, size in SIZES:
            parsed = parse_sps(sps.nal_unit())
            self.assertEqual((parsed.width, parsed.height), size, name)

    def test_broken(self) -> None:
        """What cannot be a picture is refused."""
        for name, sps in BROKEN:
            try:
                parse_sps(sps.nal_unit())
            except ConfigError:
                continue
            self.fail(f"taken: {name}")

    def test_run_of_zeros(self) -> None:
        """A million zero bits end in the typed error."""
        self.assertRaises(ConfigError, parse_sps, b"\x67\x64\x00\x1f" + bytes(125_000))

    def test_vui(self) -> None:
        """VUI gives hints where they make sense."""
        for name, written, expected in VUIS:
            self.assertEqual(parse_sps(SPS(vui=written).nal_unit()).vui, expected, name)

    def test_broken_vui(self) -> None:
        """A VUI that ends too early leaves the size alone (SRS 3389)."""
        whole = SPS(vui=VUI(aspect_ratio_idc=255, extended_sar=(8, 9), timing=(1, 50))).nal_unit()
        bare = len(SPS().nal_unit())
        for end in range(bare, len(whole) - 2):
            parsed = parse_sps(whole[:end])
            self.assertEqual((parsed.width, parsed.height, parsed.vui), (1280, 720, vui.VUI()))

    def test_missing_vui_flag(self) -> None:
        """A set that ends right before the VUI flag is whole enough."""
        whole = [
            SPS(66, set_id=set_id, frame_mbs_only=frame_mbs_only).nal_unit()
            for set_id in (0, 1, 3, 7, 15)
            for frame_mbs_only in (True, False)
        ]
        # the flag is the first bit of the last byte, the stop bit the second
        cut = [nal_unit[:-1] for nal_unit in whole if nal_unit[-1] == 0x40]
        self.assertTrue(cut)
        for nal_unit in cut:
            self.assertEqual(parse_sps(nal_unit).width, 1280)

    def test_truncated(self) -> None:
        """Cut anywhere before the size, a set is refused."""
        nal_unit = SPS().nal_unit()
        for end in range(len(nal_unit) - 2):
            self.assertRaises(ConfigError, parse_sps, nal_unit[:end])

    @settings(max_examples=150, deadline=None)
    @given(SETS)
    def test_round_trip(self, sps: SPS) -> None:
        """Every set that can be built is read as it was meant."""
        parsed = parse_sps(sps.nal_unit())
        high = sps.profile in WITH_CHROMA
        chroma = sps.chroma if high else 1
        left, right, top, bottom = sps.crop or (0, 0, 0, 0)
        across = 2 if chroma in (1, 2) else 1
        down = (2 if chroma == 1 else 1) * (1 if sps.frame_mbs_only else 2)
        lines = 16 if sps.frame_mbs_only else 32
        self.assertEqual(parsed.width, 16 * sps.width_mbs - across * (left + right))
        self.assertEqual(parsed.height, lines * sps.height_map_units - down * (top + bottom))
        self.assertEqual(parsed.set_id, sps.set_id)
        self.assertEqual(parsed.profile_idc, sps.profile)
        self.assertEqual(parsed.chroma_format_idc, chroma)
        depths = (parsed.bit_depth_luma, parsed.bit_depth_chroma)
        self.assertEqual(depths, (sps.luma_depth, sps.chroma_depth) if high else (8, 8))

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=60), st.sampled_from([b"", b"\x67\x64\0\x1f\xac", b"\x67\x42\0\x1f"]))
    def test_arbitrary(self, octets: bytes, head: bytes) -> None:
        """Arbitrary bytes give a sane size or the typed error."""
        try:
            parsed = parse_sps(head + octets)
        except ConfigError:
            return
        self.assertTrue(0 < parsed.width <= 16384 and 0 < parsed.height <= 16384)
