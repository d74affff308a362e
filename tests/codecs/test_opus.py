"""Opus: identification headers, packet durations and the dOps box."""

import struct
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp.codecs.opus import OpusConfig
from rapidrtmp.media.codec import AudioConfig, ConfigError
from tests.codecs.sound_builders import opus_head
from tests.isobmff.checker import parse_boxes

SURROUND = bytes((4, 2, 0, 4, 1, 2, 3, 5))

VALID: list[tuple[str, bytes, int]] = [
    ("mono", opus_head(1), 1),
    ("stereo", opus_head(2), 2),
    ("5.1", opus_head(6, 1, SURROUND), 6),
    ("7.1", opus_head(8, 1, bytes((5, 3, *range(8)))), 8),
    ("stereo, mapped", opus_head(2, 1, bytes((1, 1, 0, 1))), 2),
    ("discrete", opus_head(12, 255, bytes((12, 0, *range(12)))), 12),
    ("a silent channel", opus_head(3, 255, bytes((1, 1, 0, 1, 255))), 3),
    ("both from one", opus_head(2, 255, bytes((1, 0, 0, 0))), 2),
    ("later version", opus_head(2, version=15), 2),
    ("what is behind", opus_head(2) + b"tail", 2),
]

BROKEN: list[tuple[str, bytes]] = [
    ("1 byte", b"O"),
    ("magic alone", b"OpusHead"),
    ("OpusTags", b"OpusTags" + opus_head()[8:]),
    ("version 16", opus_head(version=16)),
    ("no channel", opus_head(0)),
    ("family 0, 3 channels", opus_head(3)),
    ("family 1, 9 channels", opus_head(9, 1, bytes((9, 0, *range(9))))),
    ("family 2", opus_head(4, 2, bytes((4, 0, *range(4))))),
    ("no stream", opus_head(2, 1, bytes((0, 0, 255, 255)))),
    ("more coupled than streams", opus_head(2, 1, bytes((1, 2, 0, 1)))),
    ("256 decoded channels", opus_head(2, 255, bytes((200, 56, 0, 1)))),
    ("maps beyond", opus_head(2, 1, bytes((1, 1, 0, 2)))),
]

SECONDS = {
    # configuration number: ms of a frame (RFC 6716 table 2)
    **dict(zip(range(12), (10, 20, 40, 60) * 3, strict=True)),
    **dict(zip(range(12, 16), (10, 20) * 2, strict=True)),
    **dict(zip(range(16, 32), (2.5, 5, 10, 20) * 4, strict=True)),
}


class OpusHeadTests(SynchronousTestCase):
    def test_valid(self) -> None:
        """Each mapping family gives its channels, and dOps says the same in big-endian order."""
        for name, record, channels in VALID:
            config = OpusConfig.parse(memoryview(record))
            self.assertEqual((config.channels, config.pre_skip), (channels, 312), name)
            self.assertTrue(verifyObject(AudioConfig, config))
            (entry,) = parse_boxes(config.sample_entry())
            (dops,) = entry.children(28)
            self.assertEqual((entry.type, dops.type), (b"Opus", b"dOps"), name)
            self.assertEqual(entry.unpack("6xH8xHHHHI"), (1, channels, 16, 0, 0, 48000 << 16))
            table = record.removesuffix(b"tail")[19:]
            expected = (0, channels, 312, 48000, 0, record[18])
            self.assertEqual(dops.unpack("BBHIhB"), expected, name)
            self.assertEqual(dops.payload[11:], table, name)

    def test_fields(self) -> None:
        """Numbers of several bytes are turned round, the gain with its sign."""
        config = OpusConfig.parse(opus_head(pre_skip=0x0123, rate=0x00AC44, gain=-2))
        self.assertEqual(config.specific, bytes.fromhex("00 02 0123 0000ac44 fffe 00"))
        self.assertEqual((config.timescale, config.sample_rate), (48000, 48000))
        self.assertEqual((config.rfc6381(), config.codec), ("Opus", "opus"))

    def test_empty(self) -> None:
        """An empty record stands for stereo."""
        config = OpusConfig.parse(b"")
        self.assertEqual((config.record, config.channels, config.pre_skip), (b"", 2, 0))
        self.assertEqual(config.specific, bytes.fromhex("00 02 0000 0000bb80 0000 00"))

    def test_broken(self) -> None:
        """What contradicts itself is refused."""
        for name, record in BROKEN:
            try:
                OpusConfig.parse(record)
            except ConfigError:
                continue
            self.fail(f"taken: {name}")

    def test_truncated(self) -> None:
        """No byte may be missing, but all of them."""
        for record in (opus_head(), opus_head(6, 1, SURROUND)):
            for end in range(1, len(record)):
                self.assertRaises(ConfigError, OpusConfig.parse, record[:end])

    def test_equality(self) -> None:
        """Configurations are equal exactly if their headers are."""
        self.assertEqual(OpusConfig.parse(opus_head()), OpusConfig.parse(opus_head() + b"tail"))
        self.assertNotEqual(OpusConfig.parse(opus_head()), OpusConfig.parse(opus_head(1)))

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=30), st.sampled_from([b"", opus_head()[:9], opus_head()[:18]]))
    def test_arbitrary(self, octets: bytes, head: bytes) -> None:
        """Arbitrary bytes give a sane configuration or the typed error."""
        try:
            config = OpusConfig.parse(head + octets)
        except ConfigError:
            return
        self.assertGreaterEqual(config.channels, 1)
        parse_boxes(config.sample_entry())


class PacketTests(SynchronousTestCase):
    def test_durations(self) -> None:
        """Every configuration, in each way of packing frames."""
        config = OpusConfig.parse(b"")
        for number, ms in SECONDS.items():
            for code, count, stereo in product(range(4), range(64), (0, 4)):
                packet = bytes((number << 3 | stereo | code, 0x80 | count)) + b"frames"
                frames = {0: 1, 1: 2, 2: 2}.get(code, count)
                ticks = round(ms * frames * 48)
                expected = ticks if ms * frames <= 120 else 0
                self.assertEqual(config.frame_samples(memoryview(packet)), expected)

    def test_short(self) -> None:
        """Silence is a TOC byte alone; nothing, or code 3 without a count, is no packet."""
        config = OpusConfig.parse(b"")
        self.assertEqual(config.frame_samples(b"\xfc"), 960)
        for packet in (b"", b"\xff", b"\xff\0"):
            self.assertEqual(config.frame_samples(packet), 0)
            self.assertRaises(ConfigError, OpusConfig.from_frame, packet)

    def test_without_header(self) -> None:
        """A stream without a header is stereo: decoders make that of any packet."""
        self.assertEqual(OpusConfig.from_frame(b"\xfcpacket"), OpusConfig.parse(b""))

    def test_gain_is_signed(self) -> None:
        """The lowest gain fits its field."""
        config = OpusConfig.parse(opus_head(gain=-32768))
        self.assertEqual(struct.unpack_from(">h", config.specific, 8), (-32768,))
