"""AV1 configuration records, sequence headers and temporal units."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp.codecs.av1 import MAX_OBUS, MAX_RECORD, AV1Config, split_obus
from rapidrtmp.codecs.av1_sequence import parse_sequence_header
from rapidrtmp.media.codec import AccessUnit, ColorInfo, ConfigError, VideoConfig
from tests.codecs.video_builders import AV1Sequence, av1c, obu
from tests.isobmff.checker import Box, parse_boxes

SEQUENCE = AV1Sequence().octets()
SEQUENCE_1080 = AV1Sequence(width=1920, height=1080).octets()
TIMED = AV1Sequence(timing=(1, 30, 0)).octets()
"""The last bit of its ninth byte is num_ticks_per_picture_minus_1."""
SEQUENCE_OBU = obu(1, SEQUENCE)
RECORD = av1c(SEQUENCE_OBU)
PARSED = AV1Config.parse(RECORD)

DELIMITER = obu(2, b"")
PADDING = obu(15, b"\0\0\x80")
TILE_LIST = obu(8, b"tiles")
METADATA = obu(5, b"\4abc")
KEY = obu(6, b"\x10" + bytes(range(40)))
INTER = obu(6, b"\x30" + bytes(range(40)))
KEY_HEADER = obu(3, b"\x10abc")
TILES = obu(4, bytes(range(200)))

WAYS: list[tuple[str, AV1Sequence]] = [
    ("plain", AV1Sequence()),
    ("timing", AV1Sequence(timing=(1, 30, 0))),
    ("timing, unequal", AV1Sequence(timing=(1, 30, None))),
    (
        "decoder model",
        AV1Sequence(timing=(1, 30, 3), decoder_model=31, points=((9, 1), (4, 0), (20, 1))),
    ),
    ("display delay", AV1Sequence(has_display_delay=True, points=((8, 0),) * 32)),
    ("frame ids", AV1Sequence(has_frame_ids=True)),
    ("no order hint", AV1Sequence(has_order_hint=False)),
    ("no screen content", AV1Sequence(screen_content=0)),
    ("screen content", AV1Sequence(screen_content=1)),
    ("screen content, integer vectors", AV1Sequence(screen_content=1, integer_mv=1)),
    ("chosen, no integer vectors", AV1Sequence(integer_mv=0, has_order_hint=False)),
    ("all", AV1Sequence(0, False, False, (1, 25, 1), 9, ((12, 1),), True, has_frame_ids=True)),
]
"""What may stand before colour; it must be found behind all of it."""

COLORS: list[tuple[str, AV1Sequence, tuple[int, bool, tuple[int, int], int, ColorInfo], str]] = [
    ("8 bit", AV1Sequence(), (8, False, (1, 1), 0, ColorInfo()), "av01.0.08M.08"),
    (
        "BT.709, colocated",
        AV1Sequence(color=(1, 1, 1), position=2),
        (8, False, (1, 1), 2, ColorInfo(1, 1, 1)),
        "av01.0.08M.08",
    ),
    (
        "HDR, high tier",
        AV1Sequence(depth=10, points=((13, 1),), color=(9, 16, 9), position=2),
        (10, False, (1, 1), 2, ColorInfo(9, 16, 9)),
        "av01.0.13H.10.0.112.09.16.09.0",
    ),
    (
        "full range",
        AV1Sequence(points=((0, 0),), full_range=True),
        (8, False, (1, 1), 0, ColorInfo(full_range=True)),
        "av01.0.00M.08.0.110.02.02.02.1",
    ),
    (
        "monochrome",
        AV1Sequence(is_monochrome=True),
        (8, True, (1, 1), 0, ColorInfo()),
        "av01.0.08M.08.1.110.02.02.02.0",
    ),
    (
        "4:4:4",
        AV1Sequence(profile=1, subsampling=(0, 0)),
        (8, False, (0, 0), 0, ColorInfo()),
        "av01.1.08M.08.0.000.02.02.02.0",
    ),
    (
        "RGB",
        AV1Sequence(profile=1, color=(1, 13, 0), subsampling=(0, 0)),
        (8, False, (0, 0), 0, ColorInfo(1, 13, 0, True)),
        "av01.1.08M.08.0.000.01.13.00.1",
    ),
    (
        "4:2:2",
        AV1Sequence(profile=2, depth=10, subsampling=(1, 0)),
        (10, False, (1, 0), 0, ColorInfo()),
        "av01.2.08M.10.0.100.02.02.02.0",
    ),
    (
        "4:2:0 in 12 bit",
        AV1Sequence(profile=2, depth=12, position=1),
        (12, False, (1, 1), 1, ColorInfo()),
        "av01.2.08M.12",
    ),
    (
        "4:4:4 in 12 bit",
        AV1Sequence(profile=2, depth=12, subsampling=(0, 0)),
        (12, False, (0, 0), 0, ColorInfo()),
        "av01.2.08M.12.0.000.02.02.02.0",
    ),
]

BROKEN: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("reserved profile", AV1Sequence(profile=3).octets()),
    ("reduced still picture", AV1Sequence(is_still=True, is_reduced=True).octets()),
    ("one pixel too wide", AV1Sequence(width=16385).octets()),
    ("cut in the size", SEQUENCE[:5]),
    ("cut in the colour", SEQUENCE[:9]),
    ("run of zeros", TIMED[:8] + bytes((TIMED[8] & 0xFE,)) + bytes(100_000)),
]

UNITS: list[tuple[str, bytes, bool]] = [
    ("key frame", SEQUENCE_OBU + KEY, True),
    ("key frame with all else", SEQUENCE_OBU + METADATA + KEY_HEADER + TILES, True),
    ("inter", INTER, False),
    ("inter, then key", INTER + KEY, False),
    ("key, then inter", SEQUENCE_OBU + KEY + INTER, True),
    ("hidden key frame", SEQUENCE_OBU + obu(6, b"\x00abc"), False),
    ("intra only", obu(6, b"\x50abc"), False),
    ("switch frame", obu(6, b"\x70abc"), False),
    ("existing frame", obu(3, b"\x90"), False),
    ("with extension", obu(1, SEQUENCE, has_extension=True) + KEY, True),
    ("last without size", SEQUENCE_OBU + obu(6, b"\x10abc", has_size=False), True),
    ("reserved OBU", obu(9, b"abc") + INTER, False),
]
"""(name, body, is_sync); nothing of them is to be changed."""

REPAIRS: list[tuple[str, bytes, bytes, str]] = [
    ("delimiter", DELIMITER + SEQUENCE_OBU + KEY, SEQUENCE_OBU + KEY, ""),
    ("padding", SEQUENCE_OBU + KEY + PADDING, SEQUENCE_OBU + KEY, ""),
    ("between", DELIMITER + SEQUENCE_OBU + TILE_LIST + KEY + PADDING, SEQUENCE_OBU + KEY, ""),
    ("no sequence header", KEY, SEQUENCE_OBU + KEY, ""),
    ("no sequence header, delimiter", DELIMITER + KEY, SEQUENCE_OBU + KEY, ""),
    ("forbidden bit", SEQUENCE_OBU + KEY + b"\x92\0", SEQUENCE_OBU + KEY, "obu"),
    ("size overrun by 1", SEQUENCE_OBU + KEY + b"\x32\4abc", SEQUENCE_OBU + KEY, "obu"),
    ("size cut", SEQUENCE_OBU + KEY + b"\x32\x80", SEQUENCE_OBU + KEY, "obu"),
    ("size of 9 bytes", SEQUENCE_OBU + KEY + b"\x32" + b"\x80" * 9, SEQUENCE_OBU + KEY, "obu"),
    ("extension cut", SEQUENCE_OBU + KEY + b"\x34", SEQUENCE_OBU + KEY, "obu"),
    ("frame cut", SEQUENCE_OBU + KEY[:-1], b"", "obu"),
    ("empty frame", SEQUENCE_OBU + b"\x32\0", b"", "no_picture"),
    ("nothing", b"", b"", "no_picture"),
    ("no picture", DELIMITER + SEQUENCE_OBU + METADATA, b"", "no_picture"),
    ("tiles alone", TILES, b"", "no_picture"),
]


def boxes_of(config: AV1Config) -> dict[bytes, Box]:
    """Return the boxes inside of the sample entry."""
    (entry,) = parse_boxes(config.sample_entry())
    return {box.type: box for box in entry.children(78)}


class SequenceHeaderTests(SynchronousTestCase):
    def test_ways_to_the_color(self) -> None:
        """All that may stand before the colour is passed over."""
        for name, sequence in WAYS:
            sequence.color = (9, 16, 9)
            parsed = parse_sequence_header(sequence.octets())
            self.assertEqual((parsed.width, parsed.height), (1280, 720), name)
            self.assertEqual((parsed.level, parsed.tier), sequence.points[0], name)
            self.assertEqual(parsed.color, ColorInfo(9, 16, 9), name)

    def test_rates(self) -> None:
        """A frame rate is known where all frames last as long."""
        for timing, rate in [
            (None, None),
            ((1, 30, 0), 30.0),
            ((1001, 60000, 1), 60000 / 2002),
            ((1, 30, None), None),
            ((0, 30, 0), None),
            ((1, 30, 2**20), 30 / (2**20 + 1)),
        ]:
            parsed = parse_sequence_header(AV1Sequence(timing=timing).octets())
            self.assertEqual(parsed.frame_rate, rate)

    def test_colors(self) -> None:
        """Depth, subsampling and colour of all profiles, and the codec strings they give."""
        for name, sequence, expected, codec in COLORS:
            parsed = parse_sequence_header(sequence.octets())
            found = (
                parsed.bit_depth,
                parsed.is_monochrome,
                parsed.subsampling,
                parsed.chroma_sample_position,
                parsed.color,
            )
            self.assertEqual(found, expected, name)
            config = AV1Config.parse(av1c(obu(1, sequence.octets())))
            self.assertEqual(config.rfc6381(), codec, name)

    def test_broken(self) -> None:
        """What is reserved, cut or no moving picture is refused."""
        for name, octets in BROKEN:
            try:
                parse_sequence_header(octets)
            except ConfigError:
                continue
            self.fail(f"taken: {name}")

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=40), st.integers(0, len(SEQUENCE)))
    def test_arbitrary(self, octets: bytes, start: int) -> None:
        """Arbitrary bytes give a sane size or the typed error."""
        for header in (octets, SEQUENCE[:start] + octets):
            try:
                parsed = parse_sequence_header(header)
            except ConfigError:
                continue
            self.assertTrue(0 < parsed.width <= 16384 and 0 < parsed.height <= 16384)


class RecordTests(SynchronousTestCase):
    def test_interface(self) -> None:
        """It is what the rest of the server asks of a video configuration."""
        config = AV1Config.parse(memoryview(RECORD))
        self.assertTrue(verifyObject(VideoConfig, config))
        self.assertEqual((config.codec, config.kind, config.timescale), ("av1", "video", 90000))
        self.assertEqual((config.width, config.height), (1280, 720))
        self.assertEqual(config.record, RECORD)
        self.assertTrue(config.is_complete)
        self.assertIsNone(config.frame_rate)

    def test_equality(self) -> None:
        """Configurations are equal exactly if record and told colour are."""
        self.assertEqual(len({AV1Config.parse(RECORD), AV1Config.parse(RECORD)}), 1)
        self.assertNotEqual(AV1Config.parse(RECORD), AV1Config.parse(RECORD + b"\0"))
        told = PARSED.with_color(ColorInfo(9, 16, 9))
        self.assertNotEqual(told, PARSED)
        self.assertEqual(told.rfc6381(), "av01.0.08M.08.0.110.09.16.09.0")
        self.assertIn(b"colr", boxes_of(told))

    def test_bad(self) -> None:
        """A record that is cut short, of another version, too large or broken is refused."""
        for record in (
            b"",
            RECORD[:3],
            b"\x01" + RECORD[1:],
            b"\x82" + RECORD[1:],
            RECORD + bytes(MAX_RECORD),
            *(av1c(obu(1, octets)) for _, octets in BROKEN[:-1]),
        ):
            self.assertRaises(ConfigError, AV1Config.parse, record)

    def test_incomplete(self) -> None:
        """Without a whole sequence header a record is no error, but not usable yet."""
        for record in (av1c(), av1c(METADATA), av1c(SEQUENCE_OBU)[:-1], av1c(b"\xff\xff")):
            config = AV1Config.parse(record)
            self.assertFalse(config.is_complete)
            self.assertEqual((config.width, config.height, config.frame_rate), (0, 0, None))
            self.assertEqual(config.color, ColorInfo())

    def test_sample_entry(self) -> None:
        """The record in the entry says what the sequence header says, whatever was received."""
        (entry,) = parse_boxes(PARSED.sample_entry())
        self.assertEqual(entry.type, b"av01")
        self.assertEqual(entry.unpack("HH", 24), (1280, 720))
        for name, sequence, octets in [
            ("plain", AV1Sequence(), b"\x81\x08\x0c\0"),
            ("monochrome", AV1Sequence(is_monochrome=True), b"\x81\x08\x1c\0"),
            (
                "high tier",
                AV1Sequence(depth=10, points=((13, 1),), position=2),
                b"\x81\x0d\xce\0",
            ),
            (
                "12 bit 4:2:2",
                AV1Sequence(profile=2, depth=12, subsampling=(1, 0)),
                b"\x81\x48\x68\0",
            ),
            ("4:4:4", AV1Sequence(profile=1, subsampling=(0, 0)), b"\x81\x28\0\0"),
        ]:
            header = obu(1, sequence.octets())
            received = av1c(METADATA, header, METADATA, head=b"\x81\xff\xff\xff")
            box = boxes_of(AV1Config.parse(received))[b"av1C"]
            self.assertEqual(box.payload, octets + header, name)

    def test_long_sequence_header(self) -> None:
        """Sizes of two bytes are written as such."""
        header = obu(1, SEQUENCE + bytes(300))
        self.assertTrue(boxes_of(AV1Config.parse(av1c(header)))[b"av1C"].payload.endswith(header))

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=60), st.integers(0, len(RECORD)))
    def test_arbitrary(self, octets: bytes, start: int) -> None:
        """Arbitrary bytes, and damaged records, raise the typed error alone."""
        for record in (octets, RECORD[:start] + octets):
            try:
                config = AV1Config.parse(record)
            except ConfigError:
                continue
            if config.is_complete:
                parse_boxes(config.sample_entry())
                self.assertTrue(config.rfc6381().startswith("av01."))


class TemporalUnitTests(SynchronousTestCase):
    def look(self, config: AV1Config, body: bytes) -> tuple[AV1Config, AccessUnit]:
        """Return the configuration behind a temporal unit, and all that was found."""
        unit = config.access_unit(memoryview(body), True)
        assert isinstance(unit.config, AV1Config)
        return unit.config, unit

    def test_untouched(self) -> None:
        """A sound temporal unit comes back as the very same object, whatever the flag says."""
        for name, body, is_sync in UNITS:
            for key_flag in (False, True):
                view = memoryview(body)
                unit = PARSED.access_unit(view, key_flag)
                self.assertIs(unit.payload, view, name)
                self.assertEqual(unit[1:], (is_sync, is_sync, PARSED, ""), name)

    def test_repairs(self) -> None:
        """What has no place in a sample goes, a missing sequence header comes."""
        for name, body, payload, fault in REPAIRS:
            config, unit = self.look(PARSED, body)
            self.assertEqual(bytes(unit.payload), payload, name)
            self.assertEqual((unit.is_sync, unit.fault), (bool(payload), fault), name)
            self.assertIs(config, PARSED, name)

    def test_no_copy(self) -> None:
        """A delimiter in front and padding behind are left out without a copy."""
        body = memoryview(DELIMITER + INTER + PADDING)
        payload = PARSED.access_unit(body, False).payload
        assert isinstance(payload, memoryview)
        self.assertIs(payload.obj, body.obj)
        self.assertEqual(payload, INTER)

    def test_too_many(self) -> None:
        """Millions of tiny OBUs cost no more than some thousand."""
        _, unit = self.look(PARSED, INTER + METADATA * (4 * MAX_OBUS))
        self.assertEqual(unit.fault, "obu")
        self.assertEqual(unit.payload, INTER + METADATA * (MAX_OBUS - 1))

    def test_completes(self) -> None:
        """A record without a sequence header is completed by a key frame's, or by one alone."""
        for units in (DELIMITER + SEQUENCE_OBU + KEY, SEQUENCE_OBU):
            config, _ = self.look(AV1Config.parse(av1c()), units)
            self.assertEqual(config, PARSED)
        empty = AV1Config.parse(av1c())
        config, unit = self.look(empty, KEY)
        self.assertIs(config, empty)
        self.assertEqual(unit.payload, KEY)

    def test_replaces(self) -> None:
        """Another sequence header takes effect with a key frame, not with an inter frame."""
        told = PARSED.with_color(ColorInfo(9, 16, 9))
        config, unit = self.look(told, obu(1, SEQUENCE_1080) + KEY)
        self.assertEqual((config.width, config.height), (1920, 1080))
        self.assertEqual((config.color, unit.fault), (ColorInfo(9, 16, 9), ""))
        self.assertEqual(config.record, av1c(obu(1, SEQUENCE_1080)))
        self.assertIs(self.look(PARSED, obu(1, SEQUENCE_1080) + INTER)[0], PARSED)

    def test_broken(self) -> None:
        """A broken or oversized sequence header is counted, the configuration stays."""
        for octets in (b"\xff", SEQUENCE + bytes(MAX_RECORD // 2)):
            body = obu(1, octets) + KEY
            config, unit = self.look(PARSED, body)
            self.assertIs(config, PARSED)
            self.assertEqual((unit.payload, unit.is_sync, unit.fault), (body, True, "config"))

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=40), st.integers(0, 60))
    def test_arbitrary(self, octets: bytes, end: int) -> None:
        """Whatever comes in, what goes out is whole and has a frame, or is empty."""
        for body in (octets, (DELIMITER + KEY)[:end] + octets):
            _, unit = self.look(PARSED, body)
            obus, is_whole = split_obus(unit.payload)
            self.assertTrue(is_whole)
            types = {found.type for found in obus}
            self.assertEqual(bool(types & {3, 6}), bool(unit.payload))
            self.assertFalse(types & {2, 8, 15})
            self.assertFalse(unit.is_sync and 1 not in types)
