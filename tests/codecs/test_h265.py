"""H.265 configuration records and access units."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp.codecs.h265 import H265Config
from rapidrtmp.codecs.nal_unit import MAX_NAL_UNITS, MAX_RECORD
from rapidrtmp.media.codec import AccessUnit, ColorInfo, ConfigError, VideoConfig
from tests.codecs.builders import VUI, prefixed
from tests.codecs.video_builders import H265SPS, Profile, h265_pps, h265_vps, hvcc
from tests.isobmff.checker import Box, parse_boxes

VPS = h265_vps()
SPS = H265SPS().nal_unit()
SPS_1080 = H265SPS(width=1920, height=1088, window=(0, 0, 0, 4)).nal_unit()
PPS = h265_pps()
ARRAYS = ((0xA0, [VPS]), (0xA1, [SPS]), (0xA2, [PPS]))
RECORD = hvcc(*ARRAYS)

AUD = b"\x46\x01\x50"
SEI = b"\x4e\x01\x05\x03abc\x80"
FILLER = b"\x4c\x01\xff\xff\x80"


def slice_of(nal_unit_type: int, layer: int = 0) -> bytes:
    """Return a NAL unit that passes for a slice."""
    return bytes((nal_unit_type << 1 | layer >> 5, (layer & 31) << 3 | 1)) + bytes(range(1, 40))


INTER = slice_of(1)
IDR = slice_of(19)
IDR_N_LP = slice_of(20)
CRA = slice_of(21)
RASL = slice_of(9)
RADL = slice_of(7)

COMPLETE = prefixed(VPS, SPS, PPS)
PARSED = H265Config.parse(RECORD)

BAD_RECORDS: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("version 0", b"\0" + RECORD[1:]),
    ("head alone", RECORD[:22]),
    ("3 length bytes", hvcc(*ARRAYS, length_size=3)),
    ("255 arrays of which three are there", RECORD[:22] + b"\xff" + RECORD[23:]),
    ("65535 NAL units", RECORD[:24] + b"\xff\xff" + RECORD[26:]),
    ("length overrun", RECORD[:26] + b"\xff\xff" + RECORD[28:]),
    ("no size", hvcc((0xA1, [H265SPS(width=0).nal_unit()]))),
    ("SPS of a header", hvcc((0xA1, [b"\x42\x01"]))),
    ("17 VPS", hvcc((0xA0, [h265_vps(0, bytes((number,))) for number in range(17)]))),
    ("oversized", RECORD + bytes(MAX_RECORD)),
]

UNITS: list[tuple[str, bytes, bool]] = [
    ("inter", prefixed(INTER), False),
    ("IDR", prefixed(IDR), True),
    ("IDR without leading pictures", prefixed(IDR_N_LP), True),
    ("CRA", prefixed(CRA), True),
    *((f"BLA {kind}", prefixed(slice_of(kind)), True) for kind in (16, 17, 18)),
    *((f"no IRAP {kind}", prefixed(slice_of(kind)), False) for kind in range(10)),
    ("IDR behind others", prefixed(AUD, SEI, IDR), True),
    ("slices", prefixed(AUD, INTER, INTER, INTER, FILLER), False),
    ("IDR, then the next picture", prefixed(IDR, INTER), True),
    ("IDR behind another picture", prefixed(INTER, IDR), False),
    ("two layers", prefixed(IDR, slice_of(1, 1)), True),
    ("parameter set of another layer", prefixed(b"\x42\x09\x01\x02", IDR), True),
    ("slice of a header", prefixed(b"\x02\x01"), False),
    ("reserved type behind a slice", prefixed(INTER, slice_of(22)), False),
]
"""(name, body, is_sync); nothing of them is to be changed."""

REPAIRS: list[tuple[str, bytes, bytes, str]] = [
    ("empty unit first", prefixed(b"", IDR), prefixed(IDR), ""),
    ("empty unit last", prefixed(IDR, b""), prefixed(IDR), ""),
    ("unit of one byte", prefixed(AUD, b"\x26", IDR), prefixed(AUD, IDR), ""),
    ("1 trailing byte", prefixed(IDR) + b"\0", prefixed(IDR), "nal_unit"),
    ("3 trailing bytes", prefixed(IDR) + b"\0\0\1", prefixed(IDR), "nal_unit"),
    ("overrun by 1", prefixed(IDR) + b"\0\0\0\6hello", prefixed(IDR), "nal_unit"),
    ("length 2^32-1", prefixed(IDR) + b"\xff\xff\xff\xffhello", prefixed(IDR), "nal_unit"),
    ("only an overrun", prefixed(IDR)[:-1], b"", "nal_unit"),
    ("nothing", b"", b"", "no_picture"),
    ("only empty units", prefixed(b"", b"\x26"), b"", "no_picture"),
    ("no picture", prefixed(AUD, VPS, SPS, PPS), b"", "no_picture"),
    ("reserved type alone", prefixed(slice_of(22)), b"", "no_picture"),
    ("Annex B", b"\0\0\0\1" + AUD + b"\0\0\0\1" + IDR, prefixed(AUD, IDR), ""),
    ("Annex B, short codes", b"\0\0\0\1" + AUD + b"\0\0\1" + IDR, prefixed(AUD, IDR), ""),
    ("Annex B, one unit", b"\0\0\0\1" + IDR + b"\0\0", prefixed(IDR), ""),
    ("Annex B with sets", b"\0\0\0\1".join((b"", VPS, SPS, PPS, IDR)), prefixed(IDR), ""),
    ("known sets", COMPLETE + prefixed(SEI, IDR), prefixed(SEI, IDR), ""),
    ("known sets behind", prefixed(IDR, PPS), prefixed(IDR), ""),
]

CODEC_STRINGS: list[tuple[Profile, str]] = [
    (Profile(), "hvc1.1.6.L93.90"),
    (Profile(constraints=b"\xb0\0\0\0\0\0"), "hvc1.1.6.L93.B0"),
    (Profile(0, True, 2, 0x20000000, b"\xb0\0\0\0\0\0", 153), "hvc1.2.4.H153.B0"),
    (Profile(0, False, 4, 0x08000000, b"\x9d\x08\0\0\0\0", 120), "hvc1.4.10.L120.9D.8"),
    (Profile(0, False, 1, 0x60000000, bytes(6), 30), "hvc1.1.6.L30"),
    (Profile(1, False, 1, 1, b"\0\0\0\0\0\1", 30), "hvc1.A1.80000000.L30.0.0.0.0.0.1"),
    (Profile(3, False, 31, 0, bytes(6), 255), "hvc1.C31.0.L255"),
]


def boxes_of(config: H265Config) -> dict[bytes, Box]:
    """Return the boxes inside of the sample entry."""
    (entry,) = parse_boxes(config.sample_entry())
    return {box.type: box for box in entry.children(78)}


class RecordTests(SynchronousTestCase):
    def test_interface(self) -> None:
        """It is what the rest of the server asks of a video configuration."""
        config = H265Config.parse(memoryview(RECORD))
        self.assertTrue(verifyObject(VideoConfig, config))
        self.assertEqual((config.codec, config.kind, config.timescale), ("h265", "video", 90000))
        self.assertEqual((config.width, config.height), (1280, 720))
        self.assertEqual(config.record, RECORD)
        self.assertTrue(config.is_complete)
        self.assertIsNone(config.frame_rate)
        self.assertEqual(config.color, ColorInfo())

    def test_equality(self) -> None:
        """Configurations are equal exactly if record and told colour are."""
        self.assertEqual(len({H265Config.parse(RECORD), H265Config.parse(RECORD)}), 1)
        self.assertNotEqual(H265Config.parse(RECORD), H265Config.parse(RECORD + b"\0"))
        told = PARSED.with_color(ColorInfo(9, 16, 9))
        self.assertNotEqual(told, PARSED)
        self.assertEqual(told.with_color(ColorInfo()), PARSED)

    def test_bad(self) -> None:
        """A record that contradicts itself is refused."""
        for name, record in BAD_RECORDS:
            try:
                H265Config.parse(record)
            except ConfigError:
                continue
            self.fail(f"taken: {name}")

    def test_truncated_at_each_byte(self) -> None:
        """No byte of the record may be missing; what follows it means nothing."""
        for end in range(len(RECORD)):
            self.assertRaises(ConfigError, H265Config.parse, RECORD[:end])
        self.assertEqual(H265Config.parse(RECORD + b"\xff" * 9).sps, (SPS,))

    def test_arrays(self) -> None:
        """Arrays come in any order, split or empty, with things that are no parameter sets."""
        other = H265SPS(set_id=1).nal_unit()
        record = hvcc(
            (0x22, [PPS, b""]),
            (0x27, [SEI]),
            (0x21, [SPS]),
            (0x20, []),
            (0x20, [VPS, b"\x40"]),
            (0x21, [other, b"\x42\x09layer 1"]),
        )
        config = H265Config.parse(record)
        self.assertEqual((config.vps, config.sps, config.pps), ((VPS,), (SPS, other), (PPS,)))

    def test_sei(self) -> None:
        """SEI of the record stays in it: HDR mastering may be said nowhere else."""
        config = H265Config.parse(hvcc((0x27, [SEI]), *ARRAYS, (0xA8, [b"\x50\x01suffix"])))
        expected = hvcc(*ARRAYS, (0x27, [SEI]))
        self.assertEqual(boxes_of(config)[b"hvcC"].payload, expected)
        unit = config.access_unit(prefixed(SPS_1080, IDR), True)
        self.assertTrue(unit.config.record.endswith(hvcc((0x27, [SEI]))[23:]))

    def test_incomplete(self) -> None:
        """Without a VPS, an SPS or a PPS a record is no error, but not usable yet."""
        for arrays, width in [
            ((), 0),
            (ARRAYS[:1], 0),
            (ARRAYS[:2], 1280),
            (ARRAYS[1:], 1280),
            ((ARRAYS[0], ARRAYS[2]), 0),
        ]:
            config = H265Config.parse(hvcc(*arrays))
            self.assertFalse(config.is_complete)
            self.assertEqual(config.width, width)
        config = H265Config.parse(hvcc())
        self.assertEqual((config.height, config.frame_rate, config.color), (0, None, ColorInfo()))

    def test_codec_strings(self) -> None:
        """Profile space, flags in reverse, tier and constraints, all of the SPS."""
        for profile, expected in CODEC_STRINGS:
            sps = H265SPS(profile).nal_unit()
            config = H265Config.parse(hvcc(ARRAYS[0], (0xA1, [sps]), ARRAYS[2]))
            self.assertEqual(config.rfc6381(), expected)

    def test_sample_entry(self) -> None:
        """The entry is hvc1, with a record of 4 length bytes and complete arrays."""
        (entry,) = parse_boxes(PARSED.sample_entry())
        self.assertEqual(entry.type, b"hvc1")
        self.assertEqual(entry.unpack("HH", 24), (1280, 720))
        self.assertEqual([box.type for box in entry.children(78)], [b"hvcC"])
        self.assertEqual(entry.children(78)[0].payload, RECORD)

    def test_normalised_record(self) -> None:
        """Whatever was received, the record in the entry says what the SPS says."""
        arrays = ((0x22, [PPS]), (0x21, [SPS]), (0x20, [VPS]))
        for size in (1, 2, 4):
            other = Profile(2, True, 9, 1, b"abcdef", 1)
            middle = b"\xff\xff\xff\xff\xff\xff\xff\xff"
            record = hvcc(*arrays, length_size=size, profile=other, middle=middle, tail=b"xyz")
            config = H265Config.parse(record)
            self.assertEqual(config.nal_length_size, size)
            self.assertEqual(boxes_of(config)[b"hvcC"].payload, RECORD)

    def test_record_fields(self) -> None:
        """Chroma, depths and layers are in their places."""
        sps = H265SPS(
            chroma=2,
            luma_depth=10,
            chroma_depth=9,
            sub_layers=[(False, False)] * 2,
            is_nested=False,
        ).nal_unit()
        config = H265Config.parse(hvcc(ARRAYS[0], (0x21, [sps]), ARRAYS[2]))
        self.assertEqual(
            boxes_of(config)[b"hvcC"].payload[13:23], b"\xf0\0\xfc\xfe\xfa\xf9\0\0\x1b\3"
        )

    def test_look(self) -> None:
        """Colour, aspect ratio and rate of the VUI are passed on; the publisher fills the gaps."""
        vui = VUI(aspect_ratio_idc=4, full_range=True, colour=(9, 16, 9), timing=(1, 50))
        sps = H265SPS(vui=vui).nal_unit()
        config = H265Config.parse(hvcc(ARRAYS[0], (0xA1, [sps]), ARRAYS[2]))
        self.assertEqual(config.frame_rate, 50.0)
        boxes = boxes_of(config)
        self.assertEqual(boxes[b"pasp"].payload, struct.pack(">II", 16, 11))
        self.assertEqual(boxes[b"colr"].payload, b"nclx" + struct.pack(">HHHB", 9, 16, 9, 0x80))
        told = ColorInfo(1, 1, 1, max_cll=1000)
        self.assertEqual(config.with_color(told).color, ColorInfo(9, 16, 9, True, max_cll=1000))
        self.assertEqual(PARSED.with_color(told).color, told)
        self.assertIn(b"clli", boxes_of(PARSED.with_color(told)))

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=80), st.integers(0, len(RECORD)), st.integers(0, len(RECORD)))
    def test_arbitrary(self, octets: bytes, start: int, end: int) -> None:
        """Arbitrary bytes, and damaged records, raise the typed error alone."""
        for record in (octets, RECORD[:start] + octets + RECORD[end:]):
            try:
                config = H265Config.parse(record)
            except ConfigError:
                continue
            if config.is_complete:
                parse_boxes(config.sample_entry())
                self.assertTrue(config.rfc6381().startswith("hvc1."))


class AccessUnitTests(SynchronousTestCase):
    def test_untouched(self) -> None:
        """A sound access unit comes back as the very same object, whatever the flag says."""
        for name, body, is_sync in UNITS:
            for key_flag in (False, True):
                view = memoryview(body)
                unit = PARSED.access_unit(view, key_flag)
                self.assertIs(unit.payload, view, name)
                self.assertEqual(unit[1:3], (is_sync, is_sync), name)
                self.assertIs(unit.config, PARSED, name)
                self.assertEqual(unit.fault, "", name)

    def test_short_lengths(self) -> None:
        """Lengths of 1 and 2 bytes become 4, and all else is seen alike."""
        for size in (1, 2):
            config = H265Config.parse(hvcc(*ARRAYS, length_size=size))
            for kinds, is_sync in [((AUD, IDR, SEI), True), ((INTER, INTER), False)]:
                unit = config.access_unit(memoryview(prefixed(*kinds, size=size)), is_sync)
                self.assertEqual(unit.payload, prefixed(*kinds))
                self.assertEqual(unit[1:], (is_sync, is_sync, config, ""))

    def test_repairs(self) -> None:
        """Empty units, damaged ends and known parameter sets go, start codes become lengths."""
        for name, body, payload, fault in REPAIRS:
            unit = PARSED.access_unit(memoryview(body), True)
            self.assertEqual(bytes(unit.payload), payload, name)
            self.assertEqual(unit.fault, fault, name)
            self.assertEqual(unit.is_sync, bool(payload), name)
            self.assertIs(unit.config, PARSED, name)

    def test_too_many(self) -> None:
        """Millions of tiny NAL units cost no more than some thousand."""
        kept = prefixed(IDR) + prefixed(AUD) * (MAX_NAL_UNITS - 1)
        for body in (
            prefixed(IDR) + prefixed(AUD) * (MAX_NAL_UNITS * 4),
            b"\0\0\0\1" + IDR + (b"\0\0\0\1" + AUD) * (MAX_NAL_UNITS * 4),
        ):
            unit = PARSED.access_unit(memoryview(body), True)
            self.assertEqual((unit.fault, unit.payload), ("nal_unit", kept))

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=40), st.sampled_from([1, 2, 4]), st.booleans(), st.integers(0, 60))
    def test_arbitrary(self, octets: bytes, size: int, key_flag: bool, end: int) -> None:
        """Whatever comes in, what goes out is well-formed and has a picture, or is empty."""
        config = H265Config.parse(hvcc(*ARRAYS, length_size=size))
        for body in (octets, prefixed(INTER, size=size)[:end] + octets):
            unit = config.access_unit(memoryview(body), key_flag)
            position = 0
            types = []
            while position < len(unit.payload):
                length = int.from_bytes(unit.payload[position : position + 4], "big")
                self.assertGreater(length, 1)
                types.append(unit.payload[position + 4] >> 1 & 63)
                position += 4 + length
            self.assertEqual(position, len(unit.payload))
            pictures = [kind for kind in types if kind < 10 or 16 <= kind < 22]
            self.assertEqual(bool(pictures), bool(unit.payload))
            self.assertEqual(unit.is_sync, bool(pictures) and pictures[0] >= 16)


class InBandTests(SynchronousTestCase):
    """Parameter sets in access units."""

    def look(self, config: H265Config, *nal_units: bytes) -> tuple[H265Config, AccessUnit]:
        """Return the configuration behind an access unit, and all that was found."""
        unit = config.access_unit(memoryview(prefixed(*nal_units)), True)
        assert isinstance(unit.config, H265Config)
        return unit.config, unit

    def test_completes(self) -> None:
        """A record without sets is completed by an IRAP picture's, or by sets alone."""
        empty = H265Config.parse(hvcc())
        for picture in (IDR, CRA):
            config, unit = self.look(empty, VPS, SPS, PPS, picture)
            self.assertEqual(config, PARSED)
            self.assertEqual(unit.payload, prefixed(picture))
        self.assertEqual(self.look(empty, AUD, VPS, SPS, PPS)[0], PARSED)

    def test_completes_in_steps(self) -> None:
        """The sets may come one by one; those without an SPS help nothing."""
        config = H265Config.parse(hvcc())
        self.assertIs(self.look(config, VPS, PPS)[0], config)
        for sets in ((SPS,), (PPS,), (VPS,)):
            self.assertFalse(config.is_complete)
            config, _ = self.look(config, *sets)
        self.assertEqual(config, PARSED)

    def test_replaces(self) -> None:
        """A set with the same id takes the place of the old one; the size follows."""
        config, unit = self.look(PARSED, SPS_1080, PPS, IDR)
        self.assertEqual((config.width, config.height), (1920, 1080))
        self.assertEqual((config.vps, config.sps, config.pps), ((VPS,), (SPS_1080,), (PPS,)))
        self.assertEqual(unit.payload, prefixed(IDR))
        self.assertEqual(H265Config.parse(config.record), config)

    def test_adds(self) -> None:
        """A set with another id comes in front, the old one stays."""
        other = H265SPS(set_id=1).nal_unit()
        config, _ = self.look(PARSED, h265_vps(3), other, h265_pps(63), IDR)
        self.assertEqual(config.vps, (h265_vps(3), VPS))
        self.assertEqual(config.sps, (other, SPS))
        self.assertEqual(config.pps, (h265_pps(63), PPS))
        self.assertIs(self.look(config, VPS, SPS, PPS, IDR)[0], config)

    def test_told_color_stays(self) -> None:
        """New sets do not lose what the publisher told."""
        told = ColorInfo(9, 16, 9, max_cll=1000)
        self.assertEqual(self.look(PARSED.with_color(told), SPS_1080, IDR)[0].color, told)

    def test_short_lengths_stay(self) -> None:
        """New sets do not change how the access units' lengths are read."""
        config = H265Config.parse(hvcc(*ARRAYS, length_size=2))
        body = memoryview(prefixed(SPS_1080, PPS, IDR, size=2))
        found = config.access_unit(body, True).config
        self.assertEqual(found.width, 1920)
        self.assertEqual(found.access_unit(body, True).payload, prefixed(IDR))

    def test_between_pictures(self) -> None:
        """Other sets with an inter frame stay in it; only the configuration waits."""
        body = memoryview(prefixed(h265_pps(1), INTER))
        unit = PARSED.access_unit(body, False)
        self.assertIs(unit.config, PARSED)
        self.assertIs(unit.payload, body)
        unit = PARSED.access_unit(memoryview(prefixed(PPS, h265_pps(1), INTER)), False)
        self.assertEqual(unit.payload, prefixed(h265_pps(1), INTER))

    def test_broken(self) -> None:
        """Broken or excessive sets are counted and leave the configuration as it is."""
        many_sps = [H265SPS(set_id=i).nal_unit() for i in range(1, 17)]
        many_pps = [h265_pps(i) for i in range(1, 65)]
        for name, units in [
            *(("set of a header", [bytes((kind << 1, 1))]) for kind in (32, 33, 34)),
            ("no size", [H265SPS(width=0).nal_unit()]),
            ("too many SPS with the old", many_sps),
            ("too many SPS", [*many_sps, SPS]),
            ("too many PPS with the old", many_pps),
            ("too many PPS", [*many_pps, PPS]),
            ("too large", [h265_pps(1, bytes(MAX_RECORD // 2))]),
        ]:
            config, unit = self.look(PARSED, *units, IDR)
            self.assertIs(config, PARSED, name)
            self.assertEqual((unit.is_sync, unit.fault), (True, "config"), name)
            kept = [nal_unit for nal_unit in units if nal_unit not in (SPS, PPS)]
            self.assertEqual(unit.payload, prefixed(*kept, IDR), name)
        config, _ = self.look(PARSED, *many_sps[1:], *many_pps[1:], IDR)
        self.assertEqual((len(config.sps), len(config.pps)), (16, 64))
