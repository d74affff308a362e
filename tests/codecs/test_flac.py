"""FLAC: STREAMINFO in each wrapping, frame headers and the dfLa box."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp.codecs.flac import FLACConfig
from rapidrtmp.media.codec import AudioConfig, ConfigError
from tests.codecs.sound_builders import flac_frame, metadata_block, streaminfo
from tests.isobmff.checker import parse_boxes

COMMENT = metadata_block(4, bytes(8), True)

BROKEN: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("magic alone", b"fLaC"),
    ("cut short", streaminfo()[:-1]),
    ("block cut short", metadata_block(0, streaminfo(), True)[:-1]),
    ("first block of more cut short", b"fLaC" + metadata_block(0, streaminfo())[:34]),
    ("another block first", b"fLaC" + COMMENT + metadata_block(0, streaminfo(), True)),
    ("rate 0", streaminfo(rate=0)),
    ("rate of 1 MHz", streaminfo(rate=1_000_000)),
    ("3 bits", streaminfo(bits=3)),
    ("blocks of 15", streaminfo(blocks=(15, 15))),
    ("blocks turned round", streaminfo(blocks=(4608, 4096))),
]

RATES = (88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000)


class StreamInfoTests(SynchronousTestCase):
    def test_wrappings(self) -> None:
        """Bare, as a block, with the magic and with other blocks, it is the same."""
        bare = streaminfo(48000, 6, 24)
        expected = FLACConfig.parse(bare)
        for record in (
            metadata_block(0, bare, True),
            b"fLaC" + metadata_block(0, bare, True),
            b"fLaC" + metadata_block(0, bare) + COMMENT,
            metadata_block(0, bare) + metadata_block(6, bytes(100_000), True),
            bare + b"tail",
        ):
            self.assertEqual(FLACConfig.parse(memoryview(record)), expected)
        self.assertEqual(
            (expected.timescale, expected.sample_rate, expected.channels), (48000, 48000, 6)
        )
        self.assertEqual((expected.bits_per_sample, expected.samples_per_frame), (24, 4096))
        self.assertEqual((expected.rfc6381(), expected.codec), ("fLaC", "flac"))
        self.assertTrue(verifyObject(AudioConfig, expected))

    def test_record(self) -> None:
        """The record can be parsed again, and gives the same."""
        config = FLACConfig.parse(streaminfo(96000, 1, 24, (256, 4096)))
        self.assertEqual(FLACConfig.parse(config.record), config)
        self.assertEqual(config.record[:8], b"fLaC\x80\0\0\x22")
        self.assertEqual(config.samples_per_frame, 0)

    def test_known_at_the_end(self) -> None:
        """What an encoder adds when it ends makes no other configuration."""
        start = FLACConfig.parse(streaminfo())
        end = streaminfo(sizes=(14, 9000), total=(1 << 36) - 1, md5=b"\xa5" * 16)
        self.assertEqual(FLACConfig.parse(end), start)
        self.assertEqual(FLACConfig.parse(end).sample_entry(), start.sample_entry())
        for other in (streaminfo(48000), streaminfo(channels=1), streaminfo(bits=24)):
            self.assertNotEqual(FLACConfig.parse(other), start)

    def test_broken(self) -> None:
        """What is cut short, impossible or something else is refused."""
        for name, record in BROKEN:
            try:
                FLACConfig.parse(record)
            except ConfigError:
                continue
            self.fail(f"taken: {name}")

    def test_sample_entry(self) -> None:
        """The fLaC box holds the format, and the block in dfLa."""
        config = FLACConfig.parse(streaminfo(48000, 6, 24))
        (entry,) = parse_boxes(config.sample_entry())
        (dfla,) = entry.children(28)
        self.assertEqual((entry.type, dfla.type), (b"fLaC", b"dfLa"))
        self.assertEqual(entry.unpack("6xH8xHHHHI"), (1, 6, 24, 0, 0, 48000 << 16))
        self.assertEqual(dfla.version_and_flags(), (0, 0))
        self.assertEqual(dfla.payload[4:], metadata_block(0, streaminfo(48000, 6, 24), True))

    def test_high_rates(self) -> None:
        """The entry has a regular division of rates that its 16 bits cannot hold."""
        for rate, written in (
            (65535, 65535),
            (96000, 48000),
            (192000, 48000),
            (176400, 44100),
            (88201, 65535),
        ):
            (entry,) = parse_boxes(FLACConfig.parse(streaminfo(rate)).sample_entry())
            self.assertEqual(entry.unpack("HH", 24), (written, 0), rate)

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=60), st.sampled_from([b"", b"fLaC", b"fLaC\x80\0\0\x22"]))
    def test_arbitrary(self, octets: bytes, head: bytes) -> None:
        """Arbitrary bytes give a sane configuration or the typed error."""
        try:
            config = FLACConfig.parse(head + octets)
        except ConfigError:
            return
        self.assertTrue(1 <= config.timescale <= 655350 and 1 <= config.channels <= 8)
        parse_boxes(config.sample_entry())
        config.frame_samples(octets)


class FrameTests(SynchronousTestCase):
    def samples(self, frame: bytes, rate: int = 44100, channels: int = 2) -> int:
        """Return what a configuration reads in a frame."""
        config = FLACConfig.parse(streaminfo(rate, channels, blocks=(16, 65535)))
        return config.frame_samples(memoryview(frame))

    def test_block_sizes(self) -> None:
        """Each code, and sizes written out in one byte and two."""
        for code, samples in (
            (0, 0),
            (1, 192),
            *((2 + power, 576 << power) for power in range(4)),
            *((8 + power, 256 << power) for power in range(8)),
        ):
            self.assertEqual(self.samples(flac_frame(code)), samples, code)
        self.assertEqual(self.samples(flac_frame(6, block_tail=b"\0")), 1)
        self.assertEqual(self.samples(flac_frame(6, block_tail=b"\xff")), 256)
        self.assertEqual(self.samples(flac_frame(7, block_tail=b"\x11\xff")), 4608)

    def test_numbers(self) -> None:
        """The coded number may be of one to seven bytes, of a frame or a sample."""
        for bits in (0, 7, 8, 11, 12, 16, 17, 21, 22, 26, 27, 31, 32, 36):
            for variable in (False, True):
                frame = flac_frame(
                    7, number=(1 << bits) - 1, variable=variable, block_tail=b"\x03\xe7"
                )
                self.assertEqual(self.samples(frame), 1000, bits)

    def test_bad_numbers(self) -> None:
        """A continuation byte, or 0xFF, begins no number."""
        frame = flac_frame(12)
        for lead in (0x80, 0xBF, 0xFF):
            self.assertEqual(self.samples(frame[:4] + bytes((lead,)) + frame[5:]), 0)

    def test_rates(self) -> None:
        """The rate must be the configuration's, in each way of writing it."""
        for code, rate in enumerate(RATES, 1):
            self.assertEqual(self.samples(flac_frame(12, code), rate), 4096, rate)
            self.assertEqual(self.samples(flac_frame(12, code), rate - 1), 0, rate)
        for code, tail, rate in (
            (12, b"\x30", 48000),
            (13, b"\xac\x44", 44100),
            (14, b"\x4b\x00", 192000),
        ):
            frame = flac_frame(12, code, rate_tail=tail)
            self.assertEqual(self.samples(frame, rate), 4096, code)
            self.assertEqual(self.samples(frame, rate + 10), 0, code)
        both = flac_frame(7, 13, block_tail=b"\x0f\xff", rate_tail=b"\xac\x44")
        self.assertEqual(self.samples(both), 4096)
        self.assertEqual(self.samples(flac_frame(12, 15)), 0)

    def test_channels(self) -> None:
        """The channels must be the configuration's; three codes are stereo in disguise."""
        for code in range(8):
            self.assertEqual(self.samples(flac_frame(12, 0, code), 44100, code + 1), 4096)
        for code in (0, 2, 11, 15):
            self.assertEqual(self.samples(flac_frame(12, 0, code)), 0)
        for code in (8, 9, 10):
            self.assertEqual(self.samples(flac_frame(12, 0, code)), 4096)

    def test_no_frame(self) -> None:
        """Without sync, with the reserved bit, or cut short in its header, it is none."""
        whole = flac_frame(7, 13, number=5000, block_tail=b"\x0f\xff", rate_tail=b"\xac\x44")
        self.assertEqual(self.samples(whole), 4096)
        self.assertEqual(self.samples(flac_frame(12, sync=0x3FFC)), 0)
        self.assertEqual(self.samples(flac_frame(12, reserved=1)), 0)
        for end in range(10):
            self.assertEqual(self.samples(whole[:end]), 0, end)

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=20))
    def test_arbitrary(self, octets: bytes) -> None:
        """Arbitrary bytes behind a sync give a number in range."""
        self.assertTrue(0 <= self.samples(b"\xff\xf8" + octets) <= 65536)
