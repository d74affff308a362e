"""VP8 configuration records and frames."""

from fractions import Fraction

import av
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp.codecs.vp8 import MAX_RECORD, PictureSize, VP8Config, parse_key_frame
from rapidrtmp.media.codec import ColorInfo, ConfigError, VideoConfig
from tests.codecs.video_builders import vp8_key_frame, vpcc

RECORD = vpcc()
KEY = vp8_key_frame(1280, 720)
INTER = b"\x11\x02\x00rest"

BAD_RECORDS: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("cut short", vpcc(header=b"")[:5]),
    ("oversized", RECORD + bytes(MAX_RECORD)),
]

BAD_KEY_FRAMES: list[tuple[str, bytes]] = [
    ("cut short", KEY[:9]),
    ("other start code", KEY[:3] + b"\x9d\x01\x2b" + KEY[6:]),
    ("without width", vp8_key_frame(0, 720)),
    ("without height", vp8_key_frame(1280, 0)),
]


class ConfigTests(SynchronousTestCase):
    def test_interface(self) -> None:
        """It is what the rest of the server asks of a video configuration, but for one box."""
        config = VP8Config.parse(memoryview(RECORD))
        self.assertTrue(verifyObject(VideoConfig, config))
        self.assertEqual((config.codec, config.kind, config.timescale), ("vp8", "video", 90000))
        self.assertEqual((config.width, config.height, config.frame_rate), (0, 0, None))
        self.assertEqual((config.record, config.is_complete), (RECORD, False))
        self.assertFalse(config.has_sample_entry)
        self.assertRaises(AssertionError, config.sample_entry)
        self.assertEqual(config.rfc6381(), "vp8")

    def test_both_forms(self) -> None:
        """The record comes with the box's header or without."""
        for record in (vpcc(), vpcc(header=b"")):
            self.assertEqual(VP8Config.parse(record).record, record)

    def test_bad_records(self) -> None:
        """What cannot be a record is refused."""
        for name, record in BAD_RECORDS:
            with self.subTest(name=name):
                self.assertRaises(ConfigError, VP8Config.parse, record)

    def test_without_record(self) -> None:
        """A key frame tells all; the record that is sent on is one that FLV's readers take."""
        config = VP8Config.from_frame(KEY)
        self.assertEqual((config.width, config.height, config.is_complete), (1280, 720, True))
        self.assertEqual(config.record, vpcc(0, 0, 8, 1))
        self.assertEqual(VP8Config.parse(config.record).record, config.record)
        self.assertRaises(ConfigError, VP8Config.from_frame, INTER)

    def test_color(self) -> None:
        """Colour is what the publisher tells: a part of what makes configurations equal."""
        config = VP8Config.from_frame(KEY)
        color = ColorInfo(9, 16, 9)
        self.assertEqual(config.with_color(color).color, color)
        self.assertNotEqual(config.with_color(color), config)


class FrameTests(SynchronousTestCase):
    def test_size(self) -> None:
        """14 bits each; the bits above ask for scaling, which is up to the player."""
        self.assertEqual(parse_key_frame(KEY), (1280, 720))
        self.assertEqual(parse_key_frame(vp8_key_frame(16383, 1)), (16383, 1))
        self.assertEqual(parse_key_frame(vp8_key_frame(0x4000 | 320, 0xC000 | 240)), (320, 240))

    def test_access_unit(self) -> None:
        """Frames come back as they are; the frame tag, not the container, tells key frames."""
        config = VP8Config.from_frame(KEY)
        for body, is_key in ((KEY, True), (INTER, False)):
            for flag in (False, True):
                unit = config.access_unit(view := memoryview(body), flag)
                self.assertIs(unit.payload, view)
                self.assertIs(unit.config, config)
                self.assertEqual(
                    (unit.is_sync, unit.is_random_access, unit.fault), (is_key, is_key, "")
                )

    def test_change(self) -> None:
        """A key frame of another size brings another configuration, with the same record."""
        config = VP8Config.parse(RECORD)
        first = config.access_unit(KEY, True).config
        self.assertEqual((first.width, first.height, first.record), (1280, 720, RECORD))
        second = first.access_unit(vp8_key_frame(640, 360), True).config
        self.assertEqual(second, VP8Config(RECORD, PictureSize(640, 360)))

    def test_bad(self) -> None:
        """What no decoder could use is left out, and changes nothing."""
        config = VP8Config.parse(RECORD)
        self.assertEqual(config.access_unit(b"", True).fault, "no_picture")
        for name, frame in [("frame tag alone", b"\0\0"), *BAD_KEY_FRAMES]:
            with self.subTest(name=name):
                unit = config.access_unit(frame, True)
                self.assertEqual((unit.payload, unit.fault), (b"", "frame"))
                self.assertIs(unit.config, config)

    @given(st.binary(max_size=40))
    @settings(max_examples=200, deadline=None)
    def test_anything(self, body: bytes) -> None:
        """Nothing that a frame or a record holds raises more than ConfigError."""
        unit = VP8Config.from_frame(KEY).access_unit(body, True)
        self.assertIn(bytes(unit.payload), (body, b""))
        try:
            VP8Config.parse(body)
        except ConfigError:
            self.assertLess(len(body), 6)

    def test_encoder(self) -> None:
        """Libvpx's frames, hidden ones among them, are found to be what they are."""
        context = av.CodecContext.create("libvpx", "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height, context.pix_fmt = 162, 90, "yuv420p"
        context.time_base = Fraction(1, 25)
        context.options = {"g": "10", "auto-alt-ref": "1", "lag-in-frames": "8", "cpu-used": "8"}
        packets = []
        for number in range(30):
            frame = av.VideoFrame(162, 90, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes((number * 7 + at & 0xFF) for at in range(plane.buffer_size)))
            frame.pts = number
            packets += context.encode(frame)
        packets += context.encode(None)
        config = VP8Config.parse(RECORD)
        keys = []
        for packet in packets:
            unit = config.access_unit(bytes(packet), False)
            self.assertEqual(unit.fault, "")
            assert isinstance(unit.config, VP8Config)
            config = unit.config
            keys.append(unit.is_sync)
        self.assertEqual(keys, [packet.is_keyframe for packet in packets])
        self.assertGreaterEqual(sum(keys), 3)
        self.assertEqual((config.width, config.height), (162, 90))
