"""VP9 configuration records and frames."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp.codecs.vp9 import MAX_RECORD, KeyFrame, VP9Config, parse_key_frame
from rapidrtmp.media.bits import BitstreamError
from rapidrtmp.media.codec import ColorInfo, ConfigError, VideoConfig
from tests.codecs.video_builders import VP9Frame, vpcc
from tests.isobmff.checker import Box, parse_boxes

KEY = VP9Frame().octets()
RECORD = vpcc()

BAD_RECORDS: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("header alone", b"\1\0\0\0"),
    ("cut short", RECORD[:9]),
    ("cut short without header", vpcc(header=b"")[:5]),
    ("version 0", vpcc(header=b"\0\0\0\0")),
    ("profile 4", vpcc(4)),
    ("9 bits", vpcc(depth=9)),
    ("chroma 4", vpcc(chroma=4)),
    ("oversized", RECORD + bytes(MAX_RECORD)),
]

KEY_FRAMES: list[tuple[str, VP9Frame, KeyFrame]] = [
    ("profile 0", VP9Frame(), KeyFrame(0, 8, (1, 1), 1280, 720)),
    ("largest", VP9Frame(width=65536, height=1), KeyFrame(0, 8, (1, 1), 65536, 1)),
    ("4:4:4", VP9Frame(1, subsampling=(0, 0)), KeyFrame(1, 8, (0, 0), 1280, 720)),
    ("4:2:2", VP9Frame(1, subsampling=(1, 0)), KeyFrame(1, 8, (1, 0), 1280, 720)),
    ("RGB", VP9Frame(1, color_space=7), KeyFrame(1, 8, (0, 0), 1280, 720)),
    ("10 bit", VP9Frame(2, depth=10), KeyFrame(2, 10, (1, 1), 1280, 720)),
    ("12 bit", VP9Frame(2, depth=12), KeyFrame(2, 12, (1, 1), 1280, 720)),
    (
        "12 bit 4:2:2",
        VP9Frame(3, depth=12, subsampling=(1, 0)),
        KeyFrame(3, 12, (1, 0), 1280, 720),
    ),
    ("12 bit RGB", VP9Frame(3, depth=12, color_space=7), KeyFrame(3, 12, (0, 0), 1280, 720)),
]

NOT_KEY: list[tuple[str, VP9Frame]] = [
    ("inter", VP9Frame(is_inter=True)),
    ("inter of profile 2", VP9Frame(2, is_inter=True)),
    ("inter of profile 3", VP9Frame(3, is_inter=True)),
    ("existing", VP9Frame(is_existing=True)),
    ("existing of profile 3", VP9Frame(3, is_existing=True)),
]

CODEC_STRINGS: list[tuple[bytes, VP9Frame, str]] = [
    (vpcc(level=31), VP9Frame(), "vp09.00.31.08"),
    (vpcc(color=(1, 1, 1)), VP9Frame(), "vp09.00.31.08"),
    (vpcc(0, 10), VP9Frame(2, depth=10), "vp09.02.10.10"),
    (
        vpcc(2, 10, 10, 1, False, (9, 16, 9)),
        VP9Frame(2, depth=10),
        "vp09.02.10.10.01.09.16.09.00",
    ),
    (
        vpcc(2, 10, 10, 0, True, (9, 16, 9)),
        VP9Frame(2, depth=10),
        "vp09.02.10.10.00.09.16.09.01",
    ),
    (vpcc(1, 31, 8, 3), VP9Frame(1, subsampling=(0, 0)), "vp09.01.31.08.03.02.02.02.00"),
    (vpcc(1, 31, 8, 1), VP9Frame(1, subsampling=(1, 0)), "vp09.01.31.08.02.02.02.02.00"),
]

LEVELS: list[tuple[int, int, int]] = [
    (160, 90, 11),
    (256, 144, 11),
    (640, 360, 30),
    (1280, 720, 40),
    (1920, 1080, 41),
    (3840, 2160, 51),
    (7680, 4320, 61),
    (16384, 16384, 62),
]
"""At the 60 frames/s that are assumed."""


def complete(record: bytes = RECORD, frame: bytes = KEY) -> VP9Config:
    """Return a configuration that has seen a key frame."""
    config = VP9Config.parse(record).access_unit(frame, True).config
    assert isinstance(config, VP9Config)
    return config


def boxes_of(config: VP9Config) -> dict[bytes, Box]:
    """Return the boxes inside of the sample entry."""
    (entry,) = parse_boxes(config.sample_entry())
    return {box.type: box for box in entry.children(78)}


class RecordTests(SynchronousTestCase):
    def test_interface(self) -> None:
        """It is what the rest of the server asks of a video configuration."""
        config = VP9Config.parse(memoryview(RECORD))
        self.assertTrue(verifyObject(VideoConfig, config))
        self.assertEqual((config.codec, config.kind, config.timescale), ("vp9", "video", 90000))
        self.assertEqual((config.width, config.height, config.frame_rate), (0, 0, None))
        self.assertEqual(config.record, RECORD)
        self.assertFalse(config.is_complete)

    def test_equality(self) -> None:
        """Configurations are equal exactly if record, told colour and key frame are."""
        config = complete()
        self.assertEqual(len({config, complete()}), 1)
        self.assertNotEqual(config, VP9Config.parse(RECORD))
        self.assertNotEqual(config, complete(vpcc(level=40)))
        self.assertNotEqual(config, complete(frame=VP9Frame(width=640).octets()))
        self.assertNotEqual(config, config.with_color(ColorInfo(9, 16, 9)))

    def test_both_forms(self) -> None:
        """With the box's header or without, with the initialization data's size or without."""
        for header in (b"\1\0\0\0", b""):
            for end in (None, -2):
                record = vpcc(1, 41, 8, 2, True, (5, 6, 7), header=header)[:end]
                config = VP9Config.parse(record)
                self.assertEqual(config.color, ColorInfo(5, 6, 7, True))
                self.assertEqual((config.level, config.stated_chroma), (41, 2))

    def test_bad(self) -> None:
        """A record that is cut short or holds what is reserved is refused."""
        for name, record in BAD_RECORDS:
            try:
                VP9Config.parse(record)
            except ConfigError:
                continue
            self.fail(f"taken: {name}")

    def test_codec_strings(self) -> None:
        """Profile and depth are the key frame's; colour follows where it is not understood."""
        for record, frame, expected in CODEC_STRINGS:
            self.assertEqual(complete(record, frame.octets()).rfc6381(), expected)

    def test_levels(self) -> None:
        """A level that is not stated, or does not exist, is chosen by the size."""
        for stated in (0, 12, 255):
            for width, height, level in LEVELS:
                config = complete(vpcc(level=stated), VP9Frame(width=width, height=height).octets())
                self.assertEqual(config.level, level, (width, height))
                self.assertEqual(config.rfc6381(), f"vp09.00.{level}.08")

    def test_sample_entry(self) -> None:
        """The record in the entry is the key frame's, in the box's own form."""
        (entry,) = parse_boxes(complete().sample_entry())
        self.assertEqual(entry.type, b"vp09")
        self.assertEqual(entry.unpack("HH", 24), (1280, 720))
        for record, frame, payload in [
            (vpcc(header=b""), VP9Frame(), vpcc()),
            (vpcc(0, 0, 8), VP9Frame(3, depth=12, subsampling=(1, 0)), vpcc(3, 40, 12, 2)),
            (vpcc(chroma=0), VP9Frame(), vpcc(chroma=0)),
            (vpcc(chroma=3), VP9Frame(), vpcc(chroma=1)),
        ]:
            config = complete(record, frame.octets())
            self.assertEqual(boxes_of(config)[b"vpcC"].payload, payload)

    def test_color(self) -> None:
        """What the record leaves open, the publisher fills; box and record agree."""
        config = complete().with_color(ColorInfo(9, 16, 9, max_cll=1000))
        self.assertEqual(config.color, ColorInfo(9, 16, 9, max_cll=1000))
        boxes = boxes_of(config)
        self.assertEqual(boxes[b"vpcC"].payload, vpcc(color=(9, 16, 9)))
        self.assertEqual(list(boxes), [b"vpcC", b"colr", b"clli"])
        stated = complete(vpcc(color=(1, 1, 1))).with_color(ColorInfo(9, 16, 9))
        self.assertEqual(stated.color, ColorInfo(1, 1, 1))
        boxes_of(complete().with_color(ColorInfo(-1, 256, 10**9)))

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=20))
    def test_arbitrary(self, octets: bytes) -> None:
        """Arbitrary bytes raise the typed error alone."""
        try:
            config = complete(octets)
        except ConfigError:
            return
        parse_boxes(config.sample_entry())
        self.assertTrue(config.rfc6381().startswith("vp09."))


class FrameTests(SynchronousTestCase):
    def test_key_frames(self) -> None:
        """The header of a key frame of each profile is read."""
        for name, frame, expected in KEY_FRAMES:
            self.assertEqual(parse_key_frame(frame.octets()), expected, name)

    def test_truncated(self) -> None:
        """A key frame's header is read whole, or it is none."""
        whole = VP9Frame(3, depth=12, subsampling=(1, 0)).octets(b"")
        self.assertEqual(parse_key_frame(whole).height, 720)
        for end in range(len(whole) - 1):
            self.assertRaises(BitstreamError, parse_key_frame, whole[:end])

    def test_untouched(self) -> None:
        """Frames come back as the very same object, whatever the flag says."""
        frames = [(name, frame, True) for name, frame, _ in KEY_FRAMES if frame.width <= 16384]
        frames += [(name, frame, False) for name, frame in NOT_KEY]
        for name, frame, is_sync in frames:
            config = complete()
            for key_flag in (False, True):
                view = memoryview(frame.octets())
                unit = config.access_unit(view, key_flag)
                self.assertIs(unit.payload, view, name)
                self.assertEqual(unit[1:3], (is_sync, is_sync), name)
                self.assertEqual(unit.fault, "", name)
                if frame == VP9Frame() or not is_sync:
                    self.assertIs(unit.config, config, name)

    def test_completes(self) -> None:
        """The first key frame gives the size, later ones with another size another."""
        config = VP9Config.parse(RECORD)
        self.assertIs(config.access_unit(VP9Frame(is_inter=True).octets(), False).config, config)
        first = config.access_unit(KEY, True).config
        self.assertEqual((first.is_complete, first.width, first.height), (True, 1280, 720))
        second = first.access_unit(VP9Frame(width=640, height=360).octets(), True).config
        self.assertEqual((second.width, second.height, second.record), (640, 360, RECORD))

    def test_dropped(self) -> None:
        """What no decoder would take is left out."""
        config = complete()
        for name, body, fault in [
            ("nothing", b"", "no_picture"),
            ("no marker", b"\x12\x34", "frame"),
            ("other marker", VP9Frame(marker=3).octets(), "frame"),
            ("no sync code", VP9Frame(sync_code=0x498343).octets(), "frame"),
            ("key frame cut short", KEY[:6], "frame"),
        ]:
            unit = config.access_unit(memoryview(body), True)
            self.assertEqual(unit, (b"", False, False, config, fault), name)

    def test_unusable(self) -> None:
        """A key frame of a size or chroma that is not taken leaves the configuration alone."""
        config = complete()
        for frame in (VP9Frame(width=16385), VP9Frame(1, subsampling=(0, 1))):
            body = memoryview(frame.octets())
            unit = config.access_unit(body, True)
            self.assertIs(unit.payload, body)
            self.assertEqual(unit[1:], (True, True, config, "config"))

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=40), st.integers(0, 12))
    def test_arbitrary(self, octets: bytes, end: int) -> None:
        """Whatever comes in, it passes as it is or is left out."""
        config = VP9Config.parse(RECORD)
        for body in (octets, KEY[:end] + octets):
            unit = config.access_unit(body, True)
            self.assertIn(unit.payload, (body, b""))
            self.assertEqual(bool(unit.payload), unit.fault in ("", "config"))
            self.assertLessEqual(unit.config.is_complete, unit.is_sync)
