"""H.264 configuration records and access units."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp.codecs.h264 import (
    MAX_PPS,
    MAX_SEI,
    MAX_SPS,
    H264Config,
)
from rapidrtmp.codecs.nal_unit import MAX_NAL_UNITS, MAX_RECORD
from rapidrtmp.media.codec import AccessUnit, ColorInfo, ConfigError, VideoConfig
from tests.codecs.builders import SPS, VUI, avcc, pps, prefixed
from tests.isobmff.checker import Box, parse_boxes

SPS_720 = SPS().nal_unit()
SPS_1080 = SPS(width_mbs=120, height_map_units=68, crop=(0, 0, 0, 4)).nal_unit()
PPS = pps()
HIGH_TAIL = b"\xfd\xf8\xf8\x00"
RECORD = avcc([SPS_720], [PPS], tail=HIGH_TAIL)

AUD = b"\x09\xf0"
IDR = b"\x65\x88\x84" + bytes(range(1, 40))
INTER = b"\x41\x9a\x24" + bytes(range(1, 30))
RECOVERY = b"\x06\x06\x01\xc4\x80"
USER = b"\x06\x05\x03abc\x80"
USER_THEN_RECOVERY = b"\x06\x05\x03abc\x06\x01\xc4\x80"
LONG_USER_THEN_RECOVERY = b"\x06\x05\xff\x05" + b"u" * 260 + b"\x06\x01\xc4\x80"
ESCAPED_USER_THEN_RECOVERY = b"\x06\x05\x04\x00\x00\x03\x00\x01\x06\x01\xc4\x80"
"""The user's 4 bytes are 0 0 0 1: the 3 does not count."""

BAD_RECORDS: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("version 0", b"\0" + RECORD[1:]),
    ("3 length bytes", avcc([SPS_720], [PPS], 3)),
    ("31 SPS of which one is there", RECORD[:5] + b"\xff" + RECORD[6:]),
    ("SPS length overrun", RECORD[:6] + b"\xff\xff" + RECORD[8:]),
    ("SPS length 2 too long", RECORD[:7] + bytes((len(SPS_720) + 2,)) + RECORD[8:]),
    ("PPS in place of an SPS", avcc([PPS], [PPS])),
    ("SPS in place of a PPS", avcc([SPS_720], [SPS_720])),
    ("0x0 picture", avcc([SPS(crop=(640, 0, 0, 0)).nal_unit()], [PPS])),
    ("SPS of one byte", avcc([b"\x67"], [PPS])),
    ("oversized", RECORD + bytes(MAX_RECORD)),
]

UNITS: list[tuple[str, bytes, bool, bool, bool]] = [
    ("inter", prefixed(INTER), False, False, False),
    ("inter, key flag lies", prefixed(INTER), True, False, False),
    ("IDR", prefixed(IDR), True, True, True),
    ("IDR without the flag", prefixed(IDR), False, True, True),
    ("IDR, then the next picture", prefixed(IDR, INTER), True, True, True),
    ("IDR behind another picture", prefixed(INTER, IDR), True, False, False),
    ("recovery point behind the picture", prefixed(INTER, RECOVERY), True, False, False),
    ("IDR behind others", prefixed(AUD, SPS_720, PPS, USER, IDR), True, True, True),
    ("slices", prefixed(AUD, INTER, INTER, INTER), False, False, False),
    ("recovery point", prefixed(AUD, RECOVERY, INTER), True, False, True),
    ("recovery point without the flag", prefixed(RECOVERY, INTER), False, False, False),
    ("other SEI", prefixed(USER, INTER), True, False, False),
    ("recovery point second", prefixed(USER_THEN_RECOVERY, INTER), True, False, True),
    ("recovery point in a second SEI", prefixed(USER, RECOVERY, INTER), True, False, True),
    ("long SEI", prefixed(LONG_USER_THEN_RECOVERY, INTER), True, False, True),
    ("escaped SEI", prefixed(ESCAPED_USER_THEN_RECOVERY, INTER), True, False, True),
    ("SEI cut short", prefixed(b"\x06\x05\xff", INTER), True, False, False),
    ("SEI of a header", prefixed(b"\x06", INTER), True, False, False),
    ("one-byte slice", prefixed(b"\x41"), False, False, False),
]
"""(name, body, key flag, is_sync, is_random_access); nothing of them is to be changed."""

REPAIRS: list[tuple[str, bytes, bytes, str]] = [
    ("empty unit first", prefixed(b"", IDR), prefixed(IDR), ""),
    ("empty unit between", prefixed(AUD, b"", IDR), prefixed(AUD, IDR), ""),
    ("empty unit last", prefixed(IDR, b""), prefixed(IDR), ""),
    ("1 trailing byte", prefixed(IDR) + b"\0", prefixed(IDR), "nal_unit"),
    ("3 trailing bytes", prefixed(IDR) + b"\0\0\1", prefixed(IDR), "nal_unit"),
    ("overrun by 1", prefixed(IDR) + b"\0\0\0\6hello", prefixed(IDR), "nal_unit"),
    ("length 2^32-1", prefixed(IDR) + b"\xff\xff\xff\xffhello", prefixed(IDR), "nal_unit"),
    ("only an overrun", prefixed(IDR)[:-1], b"", "nal_unit"),
    ("nothing", b"", b"", "no_picture"),
    ("only empty units", prefixed(b"", b"", b""), b"", "no_picture"),
    ("no picture", prefixed(AUD, SPS_720, PPS), b"", "no_picture"),
    ("SEI alone", prefixed(RECOVERY), b"", "no_picture"),
    ("Annex B", b"\0\0\0\1" + AUD + b"\0\0\0\1" + IDR, prefixed(AUD, IDR), ""),
    ("Annex B, short codes", b"\0\0\0\1" + AUD + b"\0\0\1" + IDR, prefixed(AUD, IDR), ""),
    ("Annex B, one unit", b"\0\0\0\1" + IDR + b"\0\0", prefixed(IDR), ""),
    ("Annex B, nothing in it", b"\0\0\0\1\0\0\0\1\0", b"", "no_picture"),
]


def boxes_of(config: H264Config) -> dict[bytes, Box]:
    """Return the boxes inside of the sample entry."""
    (entry,) = parse_boxes(config.sample_entry())
    return {box.type: box for box in entry.children(78)}


class RecordTests(SynchronousTestCase):
    def test_interface(self) -> None:
        """It is what the rest of the server asks of a video configuration."""
        config = H264Config.parse(memoryview(RECORD))
        self.assertTrue(verifyObject(VideoConfig, config))
        self.assertEqual((config.codec, config.kind, config.timescale), ("h264", "video", 90000))
        self.assertEqual((config.width, config.height), (1280, 720))
        self.assertEqual(config.record, RECORD)
        self.assertTrue(config.is_complete)
        self.assertIsNone(config.frame_rate)
        self.assertEqual(config.rfc6381(), "avc1.64001f")

    def test_equality(self) -> None:
        """Configurations are equal, and hash so, exactly if their records are."""
        same = {H264Config.parse(RECORD), H264Config.parse(RECORD)}
        self.assertEqual(len(same), 1)
        self.assertNotEqual(H264Config.parse(RECORD), H264Config.parse(RECORD + b"\0"))

    def test_codec_string_of_sps(self) -> None:
        """Where record and SPS disagree, the SPS is right."""
        record = avcc([SPS(profile=77, constraints=0x40, level=30).nal_unit()], [PPS], head=b"abc")
        self.assertEqual(H264Config.parse(record).rfc6381(), "avc1.4d401e")

    def test_frame_rate(self) -> None:
        """VUI timing is passed on as a hint."""
        record = avcc([SPS(vui=VUI(timing=(1, 50))).nal_unit()], [PPS])
        self.assertEqual(H264Config.parse(record).frame_rate, 25.0)

    def test_bad(self) -> None:
        """A record that contradicts itself is refused."""
        for name, record in BAD_RECORDS:
            try:
                H264Config.parse(record)
            except ConfigError:
                continue
            self.fail(f"taken: {name}")

    def test_truncated_at_each_byte(self) -> None:
        """Only the tail of the high profiles may be missing."""
        needed = len(RECORD) - len(HIGH_TAIL)
        for end in range(len(RECORD)):
            if end < needed:
                self.assertRaises(ConfigError, H264Config.parse, RECORD[:end])
            else:
                self.assertTrue(H264Config.parse(RECORD[:end]).is_complete)

    def test_trailing_bytes(self) -> None:
        """Bytes behind the record mean nothing, and the extension sets are kept."""
        extension = b"\x6d\x80"
        tail = b"\xfd\xf8\xf8\x01" + prefixed(extension, size=2)
        config = H264Config.parse(avcc([SPS_720], [PPS], tail=tail))
        self.assertEqual(config.sps_extensions, (extension,))
        self.assertTrue(boxes_of(config)[b"avcC"].payload.endswith(tail))
        for garbage in (b"\0", b"\xff" * 9, b"\xfd\xf8\xf8\x01\0\1\x67"):
            config = H264Config.parse(avcc([SPS_720], [PPS], tail=garbage))
            self.assertEqual((config.width, config.sps_extensions), (1280, ()))

    def test_incomplete(self) -> None:
        """Without SPS or PPS a record is no error, but not usable yet."""
        for sps, pps_, width in [
            ([], [PPS], 0),
            ([SPS_720], [], 1280),
            ([], [], 0),
            ([b""], [], 0),
        ]:
            config = H264Config.parse(avcc(sps, pps_, head=SPS_720[1:4]))
            self.assertFalse(config.is_complete)
            self.assertEqual(config.width, width)
        self.assertEqual((config.height, config.frame_rate), (0, None))

    def test_sample_entry(self) -> None:
        """The sample entry has the fixed fields of 14496-12 and a whole record."""
        (entry,) = parse_boxes(H264Config.parse(RECORD).sample_entry())
        self.assertEqual(entry.type, b"avc1")
        self.assertEqual(entry.unpack("6xH16xHHIIIH"), (1, 1280, 720, 0x480000, 0x480000, 0, 1))
        self.assertEqual(entry.unpack("Hh", 74), (24, -1))
        self.assertEqual([box.type for box in entry.children(78)], [b"avcC"])
        self.assertEqual(entry.children(78)[0].payload, RECORD)

    def test_normalised_record(self) -> None:
        """Whatever was received, the record in the entry says 4 bytes and is complete."""
        for size in (1, 2):
            config = H264Config.parse(avcc([SPS_720], [PPS], size, head=b"abc"))
            self.assertEqual(config.nal_length_size, size)
            self.assertEqual(boxes_of(config)[b"avcC"].payload, RECORD)
        main = SPS(profile=77).nal_unit()
        plain = avcc([main], [PPS])
        self.assertEqual(boxes_of(H264Config.parse(plain + b"xyz"))[b"avcC"].payload, plain)

    def test_high_tail(self) -> None:
        """Chroma format and depths behind the sets are those of the SPS."""
        sps = SPS(profile=122, chroma=2, luma_depth=10, chroma_depth=9).nal_unit()
        record = boxes_of(H264Config.parse(avcc([sps], [PPS])))[b"avcC"].payload
        self.assertEqual(record[-4:], b"\xfe\xfa\xf9\x00")

    def test_colour_and_aspect(self) -> None:
        """Colour and sample aspect ratio get their boxes."""
        vui = VUI(aspect_ratio_idc=4, full_range=True, colour=(9, 16, 9))
        boxes = boxes_of(H264Config.parse(avcc([SPS(vui=vui).nal_unit()], [PPS])))
        self.assertEqual(boxes[b"pasp"].payload, struct.pack(">II", 16, 11))
        self.assertEqual(boxes[b"colr"].payload, b"nclx" + struct.pack(">HHHB", 9, 16, 9, 0x80))

    def test_told_color(self) -> None:
        """What the publisher tells fills the gaps of the VUI, and makes another configuration."""
        config = H264Config.parse(RECORD)
        told = config.with_color(ColorInfo(9, 16, 9, max_cll=1000))
        self.assertEqual(told.color, ColorInfo(9, 16, 9, max_cll=1000))
        self.assertNotEqual(told, config)
        self.assertEqual(told.with_color(ColorInfo()), config)
        self.assertEqual(list(boxes_of(told)), [b"avcC", b"colr", b"clli"])
        vui = VUI(full_range=True, colour=(1, 1, 1))
        stated = H264Config.parse(avcc([SPS(vui=vui).nal_unit()], [PPS]))
        self.assertEqual(stated.with_color(told.color).color, ColorInfo(1, 1, 1, True, 1000))
        body = prefixed(SPS_1080, PPS, IDR)
        self.assertEqual(told.access_unit(body, True).config.color, told.color)

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=80), st.integers(0, len(RECORD)), st.integers(0, len(RECORD)))
    def test_arbitrary(self, octets: bytes, start: int, end: int) -> None:
        """Arbitrary bytes, and damaged records, raise the typed error alone."""
        for record in (octets, RECORD[:start] + octets + RECORD[end:]):
            try:
                config = H264Config.parse(record)
            except ConfigError:
                continue
            if config.is_complete:
                parse_boxes(config.sample_entry())
                self.assertTrue(config.rfc6381().startswith("avc1."))


class AccessUnitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.config = H264Config.parse(RECORD)

    def look(self, body: bytes, key_flag: bool = True) -> AccessUnit:
        """Look through a body that is the same in every other test."""
        return self.config.access_unit(memoryview(body), key_flag)

    def test_untouched(self) -> None:
        """A sound access unit comes back as the very same object."""
        for name, body, key_flag, is_sync, is_random_access in UNITS:
            view = memoryview(body)
            unit = self.config.access_unit(view, key_flag)
            self.assertIs(unit.payload, view, name)
            self.assertEqual(unit[1:3], (is_sync, is_random_access), name)
            self.assertIs(unit.config, self.config, name)
            self.assertEqual(unit.fault, "", name)

    def test_short_lengths(self) -> None:
        """Lengths of 1 and 2 bytes become 4, and all else is seen alike."""
        for size in (1, 2):
            config = H264Config.parse(avcc([SPS_720], [PPS], size, tail=HIGH_TAIL))
            for name, body, key_flag, is_sync, is_random_access in UNITS:
                units = []
                position = 0
                while position < len(body):
                    length = int.from_bytes(body[position : position + 4], "big")
                    units.append(body[position + 4 : position + 4 + length])
                    position += 4 + length
                if max(map(len, units)) >> 8 * size:
                    continue
                unit = config.access_unit(memoryview(prefixed(*units, size=size)), key_flag)
                self.assertEqual(unit.payload, body, name)
                self.assertEqual(unit[1:], (is_sync, is_random_access, config, ""), name)

    def test_repairs(self) -> None:
        """Empty units and damaged ends go, start codes become lengths."""
        for name, body, payload, fault in REPAIRS:
            unit = self.look(body)
            self.assertEqual(bytes(unit.payload), payload, name)
            self.assertEqual(unit.fault, fault, name)
            self.assertEqual(unit.is_sync, bool(payload), name)
            self.assertIs(unit.config, self.config, name)

    def test_first_unit_like_a_short_start_code(self) -> None:
        """A first unit of 256 to 511 bytes with a damaged end is not taken for Annex B."""
        first = b"\x06\x05\xfe" + b"u" * 254 + b"\x80"
        unit = self.look(prefixed(first, IDR) + b"\0")
        self.assertEqual(unit.payload, prefixed(first, IDR))

    def test_sei_budget(self) -> None:
        """Only so many bytes of SEI are searched in one access unit, in however many NAL units."""
        user = b"\x06\x05\xff\xf0" + b"u" * 495
        for count, found in ((MAX_SEI // 499 - 1, True), (MAX_SEI // 499 + 1, False)):
            unit = self.config.access_unit(prefixed(*[user] * count, RECOVERY, INTER), True)
            self.assertEqual((unit.is_random_access, unit.fault), (found, ""))

    def test_too_many(self) -> None:
        """Millions of tiny NAL units cost no more than some thousand."""
        unit = self.look(prefixed(IDR) + prefixed(AUD) * (MAX_NAL_UNITS * 4))
        self.assertEqual(unit.fault, "nal_unit")
        self.assertEqual(unit.payload, prefixed(IDR) + prefixed(AUD) * (MAX_NAL_UNITS - 1))
        unit = self.look(b"\0\0\0\1" + IDR + (b"\0\0\0\1" + AUD) * (MAX_NAL_UNITS * 4))
        self.assertEqual(unit.fault, "nal_unit")
        self.assertEqual(unit.payload, prefixed(IDR) + prefixed(AUD) * (MAX_NAL_UNITS - 1))

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=40), st.sampled_from([1, 2, 4]), st.booleans(), st.integers(0, 60))
    def test_arbitrary(self, octets: bytes, size: int, key_flag: bool, end: int) -> None:
        """Whatever comes in, what goes out is well-formed and has a picture, or is empty."""
        config = H264Config.parse(avcc([SPS_720], [PPS], size))
        for body in (octets, prefixed(INTER, size=size)[:end] + octets):
            unit = config.access_unit(memoryview(body), key_flag)
            position = 0
            pictures = []
            while position < len(unit.payload):
                length = int.from_bytes(unit.payload[position : position + 4], "big")
                if unit.payload[position + 4] & 31 in range(1, 6):
                    pictures.append(unit.payload[position + 4] & 31)
                self.assertGreater(length, 0)
                position += 4 + length
            self.assertEqual(position, len(unit.payload))
            self.assertEqual(bool(pictures), bool(unit.payload))
            # an IDR picture behind another one is no place to start
            self.assertEqual(unit.is_sync, pictures[:1] == [5])


class InBandTests(SynchronousTestCase):
    """Parameter sets in access units."""

    def setUp(self) -> None:
        self.config = H264Config.parse(RECORD)

    def look(self, *nal_units: bytes, key_flag: bool = True) -> H264Config:
        """Return the configuration behind an access unit."""
        unit = self.config.access_unit(memoryview(prefixed(*nal_units)), key_flag)
        assert isinstance(unit.config, H264Config)
        return unit.config

    def test_completes(self) -> None:
        """A record without sets is completed by an IDR's, or by sets alone."""
        for sets in ([], [AUD]):
            self.config = H264Config.parse(avcc([], []))
            config = self.look(*sets, SPS_720, PPS, IDR)
            self.assertEqual(config, H264Config.parse(RECORD))
            self.assertTrue(config.is_complete)
            self.assertEqual(self.look(SPS_720, PPS), config)

    def test_completes_in_steps(self) -> None:
        """SPS and PPS may come one by one; a PPS alone helps nothing."""
        self.config = H264Config.parse(avcc([], []))
        self.assertIs(self.look(PPS), self.config)
        self.config = self.look(SPS_720)
        self.assertFalse(self.config.is_complete)
        self.assertEqual(self.look(PPS).record, RECORD)

    def test_replaces(self) -> None:
        """A set with the same id takes the place of the old one; the size follows."""
        config = self.look(SPS_1080, PPS, IDR)
        self.assertEqual((config.width, config.height), (1920, 1080))
        self.assertEqual((config.sps, config.pps), ((SPS_1080,), (PPS,)))

    def test_adds(self) -> None:
        """A set with another id comes in front, the old one stays."""
        other = SPS(set_id=1, profile=77).nal_unit()
        config = self.look(other, pps(7), IDR)
        self.assertEqual((config.sps, config.pps), ((other, SPS_720), (pps(7), PPS)))
        self.config = config
        self.assertIs(self.look(SPS_720, PPS, IDR), config)

    def test_short_lengths_stay(self) -> None:
        """New sets do not change how the access units' lengths are read."""
        self.config = H264Config.parse(avcc([SPS_720], [PPS], 2))
        body = memoryview(prefixed(SPS_1080, PPS, IDR, size=2))
        config = self.config.access_unit(body, True).config
        self.assertEqual(config.width, 1920)
        self.assertEqual(config.access_unit(body, True).payload, prefixed(SPS_1080, PPS, IDR))

    def test_between_pictures(self) -> None:
        """Other sets with an inter frame wait for the next random access point."""
        self.assertIs(self.look(SPS_1080, INTER), self.config)
        self.assertEqual(self.look(SPS_1080, RECOVERY, INTER).width, 1920)

    def test_broken(self) -> None:
        """Broken or excessive sets are counted and leave the configuration as it is."""
        many_sps = [SPS(set_id=i).nal_unit() for i in range(1, MAX_SPS + 1)]
        many_pps = [pps(i) for i in range(1, MAX_PPS + 1)]
        for name, units in [
            ("SPS of a header", [b"\x67"]),
            ("PPS of a header", [b"\x68"]),
            ("no size", [SPS(width_mbs=9999).nal_unit()]),
            ("too many SPS", many_sps),
            ("too many PPS", many_pps),
            ("too large", [pps(1, bytes(MAX_RECORD // 2))]),
        ]:
            body = prefixed(*units, IDR)
            unit = self.config.access_unit(memoryview(body), True)
            self.assertIs(unit.config, self.config, name)
            self.assertEqual((unit.payload, unit.fault), (body, "config"), name)
        self.assertEqual(len(self.look(*many_sps[1:], *many_pps[1:], IDR).sps), MAX_SPS)
