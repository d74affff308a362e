"""AudioSpecificConfig: rates, channels, SBR and PS by each way of signalling."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp.codecs.aac import MAX_RECORD, AACConfig
from rapidrtmp.media.codec import AudioConfig, ConfigError
from tests.codecs.builders import ASC, RATES, Layout
from tests.isobmff.checker import parse_boxes

Facts = tuple[str, int, int, int, int]
"""RFC 6381 string, timescale, output rate, channels, samples a frame."""

CASES: list[tuple[str, bytes, Facts]] = [
    ("LC 44.1", bytes.fromhex("1210"), ("mp4a.40.2", 44100, 44100, 2, 1024)),
    ("LC 48 mono", bytes.fromhex("1188"), ("mp4a.40.2", 48000, 48000, 1, 1024)),
    ("LC 5.1", ASC(configuration=6).octets(), ("mp4a.40.2", 48000, 48000, 6, 1024)),
    ("LC 7.1", ASC(configuration=7).octets(), ("mp4a.40.2", 48000, 48000, 8, 1024)),
    ("LC 7.1 back", ASC(configuration=12).octets(), ("mp4a.40.2", 48000, 48000, 8, 1024)),
    ("Main", ASC(object_type=1).octets(), ("mp4a.40.1", 48000, 48000, 2, 1024)),
    ("LTP", ASC(object_type=4).octets(), ("mp4a.40.4", 48000, 48000, 2, 1024)),
    ("960", ASC(short_frames=True).octets(), ("mp4a.40.2", 48000, 48000, 2, 960)),
    ("explicit rate", ASC(rate=37800).octets(), ("mp4a.40.2", 37800, 37800, 2, 1024)),
    ("core coder", ASC(core_coder_delay=77).octets(), ("mp4a.40.2", 48000, 48000, 2, 1024)),
    (
        "HE explicit",
        ASC(rate=24000, explicit=(5, 48000)).octets(),
        ("mp4a.40.5", 24000, 48000, 2, 1024),
    ),
    (
        "HEv2 explicit",
        ASC(rate=22050, configuration=1, explicit=(29, 44100)).octets(),
        ("mp4a.40.29", 22050, 44100, 2, 1024),
    ),
    (
        "HE compatible",
        ASC(rate=24000, compatible=(5, 48000)).octets(),
        ("mp4a.40.5", 24000, 48000, 2, 1024),
    ),
    (
        "HE compatible, odd rate",
        ASC(rate=24000, compatible=(5, 47999)).octets(),
        ("mp4a.40.5", 24000, 47999, 2, 1024),
    ),
    (
        "HEv2 compatible",
        ASC(rate=24000, configuration=1, compatible=(29, 48000)).octets(),
        ("mp4a.40.29", 24000, 48000, 2, 1024),
    ),
    (
        "SBR denied, as FFmpeg writes it",
        bytes.fromhex("121056e500"),
        ("mp4a.40.2", 44100, 44100, 2, 1024),
    ),
    (
        "HE compatible, PS denied",
        bytes.fromhex("131056e59d4800"),
        ("mp4a.40.5", 24000, 48000, 2, 1024),
    ),
    (
        "PCE stereo",
        ASC(configuration=0, layout=Layout(front=[True])).octets(),
        ("mp4a.40.2", 48000, 48000, 2, 1024),
    ),
    (
        "PCE with everything",
        ASC(
            configuration=0,
            rate=24000,
            layout=Layout([False, True], [True], [True, False], 1, 2, 3, True, b"made by hand"),
            compatible=(5, 48000),
        ).octets(),
        ("mp4a.40.5", 24000, 48000, 9, 1024),
    ),
]

BROKEN: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("1 byte", b"\x12"),
    ("rate index 13", bytes.fromhex("1690")),
    ("rate index 14", bytes.fromhex("1710")),
    ("explicit rate 0", ASC(rate=0).octets()),
    ("explicit rate of 16 MHz", ASC(rate=0xFFFFFF).octets()),
    ("extension rate index 13", bytes.fromhex("2b16c000")),
    ("configuration 8", ASC(configuration=8).octets()),
    ("configuration 15", ASC(configuration=15).octets()),
    ("PCE cut short", ASC(configuration=0, layout=Layout()).octets()[:-3]),
    ("PCE without a channel", ASC(configuration=0, layout=Layout([])).octets()),
    ("object type 0", ASC(object_type=0).octets()),
    ("ELD, escaped type 39", ASC(object_type=39).octets()),
    ("USAC, escaped type 42", ASC(object_type=42).octets()),
    ("escape alone", b"\xf8"),
    ("oversized", bytes.fromhex("1210") + bytes(MAX_RECORD)),
]


def facts(config: AACConfig) -> Facts:
    """Return what a configuration says."""
    return (
        config.rfc6381(),
        config.timescale,
        config.sample_rate,
        config.channels,
        config.samples_per_frame,
    )


class AudioSpecificConfigTests(SynchronousTestCase):
    def test_cases(self) -> None:
        """Each way of writing it gives the right rates, channels and codec string."""
        for name, record, expected in CASES:
            config = AACConfig.parse(memoryview(record))
            self.assertEqual(facts(config), expected, name)
            self.assertEqual(config.record, record, name)
            self.assertEqual(config.frame_samples(b"frame"), expected[-1], name)
            self.assertTrue(verifyObject(AudioConfig, config))
            self.assertEqual((config.codec, config.kind), ("aac", "audio"))

    def test_broken(self) -> None:
        """What is cut short or not supported is refused."""
        for name, record in BROKEN:
            try:
                AACConfig.parse(record)
            except ConfigError:
                continue
            self.fail(f"taken: {name}")

    def test_truncated(self) -> None:
        """No byte of a core configuration may be missing; an extension may."""
        whole = ASC(rate=24000, explicit=(5, 48000)).octets()
        for end in range(len(whole) - 1):
            self.assertRaises(ConfigError, AACConfig.parse, whole[:end])
        whole = ASC(rate=24000, compatible=(5, 47999)).octets()
        for end in range(2, len(whole)):
            self.assertEqual(facts(AACConfig.parse(whole[:end]))[:3], ("mp4a.40.2", 24000, 24000))

    def test_oversized(self) -> None:
        """Bytes without a meaning are ignored and stay out of the sample entry."""
        for tail in (b"\0", b"\xff" * 50, b"\x56\xe3\xff", b"\x56\xe5\xe9\x90"):
            config = AACConfig.parse(bytes.fromhex("1210") + tail)
            self.assertEqual(facts(config), ("mp4a.40.2", 44100, 44100, 2, 1024))
            self.assertEqual(config.specific, bytes.fromhex("1210"))

    def test_equality(self) -> None:
        """Configurations are equal, and hash so, exactly if their records are."""
        plain = bytes.fromhex("1210")
        self.assertEqual(len({AACConfig.parse(plain), AACConfig.parse(plain)}), 1)
        self.assertNotEqual(AACConfig.parse(plain), AACConfig.parse(plain + b"\0"))

    @settings(max_examples=100, deadline=None)
    @given(
        st.builds(
            ASC,
            object_type=st.integers(1, 4),
            rate=st.sampled_from(RATES) | st.integers(1000, 192000),
            configuration=st.integers(1, 7),
            explicit=st.none() | st.tuples(st.sampled_from([5, 29]), st.sampled_from(RATES)),
            compatible=st.none() | st.tuples(st.sampled_from([5, 29]), st.sampled_from(RATES)),
            short_frames=st.booleans(),
        ),
        st.none()
        | st.builds(
            Layout,
            front=st.lists(st.booleans(), min_size=1, max_size=15),
            side=st.lists(st.booleans(), max_size=15),
            back=st.lists(st.booleans(), max_size=15),
            lfe=st.integers(0, 3),
            data=st.integers(0, 7),
            coupling=st.integers(0, 15),
            mixdowns=st.booleans(),
            comment=st.binary(max_size=9),
        ),
    )
    def test_round_trip(self, asc: ASC, layout: Layout | None) -> None:
        """Every configuration that can be built is read as it was meant."""
        channels = (0, 1, 2, 3, 4, 5, 6, 8)[asc.configuration]
        if layout:
            asc.configuration, asc.layout, channels = 0, layout, layout.channels
        extension, rate = asc.explicit or asc.compatible or (0, asc.rate)
        if extension == 29 and channels == 1:
            channels = 2
        expected = (
            f"mp4a.40.{extension or asc.object_type}",
            asc.rate,
            rate,
            channels,
            960 if asc.short_frames else 1024,
        )
        self.assertEqual(facts(AACConfig.parse(asc.octets())), expected)

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=40), st.sampled_from([b"", b"\x12\x10", b"\x11\x80", b"\x2b"]))
    def test_arbitrary(self, octets: bytes, head: bytes) -> None:
        """Arbitrary bytes give sane numbers or the typed error."""
        try:
            config = AACConfig.parse(head + octets)
        except ConfigError:
            return
        self.assertTrue(1000 <= config.timescale <= 192000 and config.channels >= 1)
        parse_boxes(config.sample_entry())


class SampleEntryTests(SynchronousTestCase):
    def test_entry(self) -> None:
        """The mp4a box has the output rate, the channels and an esds whose lengths are right."""
        record = ASC(rate=24000, explicit=(5, 48000)).octets()
        (entry,) = parse_boxes(AACConfig.parse(record).sample_entry())
        self.assertEqual(entry.type, b"mp4a")
        self.assertEqual(entry.unpack("6xH8xHHHHI"), (1, 2, 16, 0, 0, 48000 << 16))
        (esds,) = entry.children(28)
        self.assertEqual((esds.type, esds.version_and_flags()), (b"esds", (0, 0)))
        tag, elementary = self.one_descriptor(esds.payload[4:])
        self.assertEqual((tag, elementary[:3]), (3, bytes(3)))
        decoder_tag, decoder, rest = self.descriptor(elementary[3:])
        self.assertEqual((decoder_tag, decoder[:13]), (4, b"\x40\x15" + bytes(11)))
        self.assertEqual(self.one_descriptor(decoder[13:]), (5, record))
        self.assertEqual(self.one_descriptor(rest), (6, b"\2"))

    def test_long(self) -> None:
        """A configuration of more than 127 bytes keeps its lengths right."""
        record = ASC(configuration=0, layout=Layout(comment=b"c" * 250)).octets()
        self.assertGreater(len(record), 255)
        (entry,) = parse_boxes(AACConfig.parse(record).sample_entry())
        _, elementary = self.one_descriptor(entry.children(28)[0].payload[4:])
        _, decoder, _ = self.descriptor(elementary[3:])
        self.assertEqual(self.one_descriptor(decoder[13:]), (5, record))

    def test_high_rate(self) -> None:
        """A rate that 16 bits cannot hold is written as 0: the esds has it."""
        (entry,) = parse_boxes(AACConfig.parse(ASC(rate=96000).octets()).sample_entry())
        self.assertEqual(entry.unpack("I", 24), (0,))

    def descriptor(self, octets: bytes) -> tuple[int, bytes, bytes]:
        """Return the first descriptor's tag and content, and what follows it."""
        size, position = 0, 1
        while True:
            octet = octets[position]
            size = size << 7 | octet & 0x7F
            position += 1
            if octet < 0x80:
                break
        self.assertGreaterEqual(len(octets), position + size)
        return octets[0], octets[position : position + size], octets[position + size :]

    def one_descriptor(self, octets: bytes) -> tuple[int, bytes]:
        """Return tag and content of the only descriptor."""
        tag, content, rest = self.descriptor(octets)
        self.assertEqual(rest, b"")
        return tag, content
