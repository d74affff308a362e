"""AC-3 and E-AC-3: syncframes and the boxes made of them."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp.codecs.ac3 import AC3Config, EAC3Config
from rapidrtmp.media.codec import AudioConfig, ConfigError
from tests.codecs.sound_builders import AC3_WORDS, ac3_frame, dec3, eac3_frame
from tests.isobmff.checker import parse_boxes
from tests.media.bit_writer import BitWriter

RATES = (48000, 44100, 32000)
CHANNELS = (2, 1, 2, 3, 3, 4, 4, 5)


class AC3Tests(SynchronousTestCase):
    def test_modes(self) -> None:
        """Channels, LFE and rate are found in every mode, and dac3 says them again."""
        for acmod, channels in enumerate(CHANNELS):
            for lfeon in (0, 1):
                for fscod, rate in enumerate(RATES):
                    frame = ac3_frame(30, fscod, acmod, lfeon, bsmod=1)
                    config = AC3Config.from_frame(memoryview(frame))
                    self.assertEqual(
                        (config.channels, config.sample_rate), (channels + lfeon, rate)
                    )
                    w = BitWriter().put(fscod, 2).put(8, 5).put(1, 3).put(acmod, 3).put(lfeon, 1)
                    self.assertEqual(config.record, w.put(15, 5).put(0, 5).octets())
                    self.assertEqual(config.frame_samples(frame), 1536)

    def test_config(self) -> None:
        """What it says is what the interface asks for; the entry holds dac3."""
        config = AC3Config.from_frame(ac3_frame(30, 1, 7, 1))
        self.assertTrue(verifyObject(AudioConfig, config))
        self.assertEqual((config.rfc6381(), config.codec, config.kind), ("ac-3", "ac3", "audio"))
        self.assertEqual((config.timescale, config.samples_per_frame), (44100, 1536))
        (entry,) = parse_boxes(config.sample_entry())
        (dac3,) = entry.children(28)
        self.assertEqual((entry.type, dac3.type, dac3.payload), (b"ac-3", b"dac3", config.record))
        self.assertEqual(entry.unpack("6xH8xHHHHI"), (1, 6, 16, 0, 0, 44100 << 16))

    def test_sizes(self) -> None:
        """A syncframe is taken at the length that the standard gives, and not a byte shorter."""
        for frmsizecod, words in AC3_WORDS.items():
            for fscod, count in enumerate(words):
                frame = ac3_frame(frmsizecod, fscod)
                self.assertEqual(len(frame), 2 * count)
                config = AC3Config.from_frame(frame)
                self.assertEqual(config.frame_samples(frame), 1536)
                self.assertEqual(config.frame_samples(frame[:-1]), 0)
                self.assertRaises(ConfigError, AC3Config.from_frame, frame[:-1])

    def test_padding(self) -> None:
        """At 44.1 kHz frames of two lengths alternate: that is no other configuration."""
        self.assertEqual(
            AC3Config.from_frame(ac3_frame(20, 1)), AC3Config.from_frame(ac3_frame(21, 1))
        )

    def test_several(self) -> None:
        """Syncframes in one message are counted; what is no syncframe behind them is not."""
        frame = ac3_frame()
        config = AC3Config.from_frame(frame)
        self.assertEqual(config.frame_samples(3 * frame), 3 * 1536)
        self.assertEqual(config.frame_samples(2 * frame + frame[:-1]), 2 * 1536)
        self.assertEqual(config.frame_samples(frame + b"tail"), 1536)
        self.assertEqual(config.frame_samples(1000 * ac3_frame(0)), 0)
        self.assertLessEqual(
            AC3Config.from_frame(ac3_frame(0)).frame_samples(1000 * ac3_frame(0)), 64 * 1536
        )

    def test_change(self) -> None:
        """A frame with other parameters is not the configuration's, and makes another one."""
        config = AC3Config.from_frame(ac3_frame(20, 0, 2, 0))
        for other in (ac3_frame(20, 1), ac3_frame(20, 0, 1), ac3_frame(20, 0, 2, 1), ac3_frame(30)):
            self.assertEqual(config.frame_samples(other), 0)
            self.assertNotEqual(AC3Config.from_frame(other), config)

    def test_broken(self) -> None:
        """Reserved codes, and what begins with no syncword, are refused."""
        for name, frame in (
            ("empty", b""),
            ("syncword alone", b"\x0b\x77"),
            ("other syncword", b"\x77\x0b" + ac3_frame()[2:]),
            ("fscod 3", ac3_frame(20, 3, size=768)),
            ("frmsizecod 38", ac3_frame(38, size=4000)),
            ("E-AC-3", eac3_frame()),
            ("bsid 9", ac3_frame(bsid=9)),
        ):
            try:
                AC3Config.from_frame(frame)
            except ConfigError:
                continue
            self.fail(f"taken: {name}")

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=300), st.sampled_from([b"", b"\x0b\x77"]))
    def test_arbitrary(self, octets: bytes, head: bytes) -> None:
        """Arbitrary bytes give a sane configuration or the typed error."""
        known = AC3Config.from_frame(ac3_frame())
        self.assertIn(known.frame_samples(head + octets), (0, 1536, 3072))
        try:
            config = AC3Config.from_frame(head + octets)
        except ConfigError:
            return
        self.assertTrue(1 <= config.channels <= 6)
        parse_boxes(config.sample_entry())


class EAC3Tests(SynchronousTestCase):
    def test_modes(self) -> None:
        """Channels, LFE and rate are found in every mode, and dec3 says them again."""
        for acmod, channels in enumerate(CHANNELS):
            for lfeon in (0, 1):
                for fscod, rate in enumerate(RATES):
                    frame = eac3_frame(0, 0, 640, fscod, 3, acmod, lfeon, compression=bool(lfeon))
                    config = EAC3Config.from_frame(memoryview(frame))
                    self.assertEqual(
                        (config.channels, config.sample_rate), (channels + lfeon, rate)
                    )
                    bit_rate = round(640 * 8 * rate / 1536 / 1000)
                    expected = dec3(bit_rate, [(fscod, 16, acmod, lfeon, None)])
                    self.assertEqual(config.record, expected)
                    self.assertEqual(config.frame_samples(frame), 1536)

    def test_config(self) -> None:
        """What it says is what the interface asks for; the entry holds dec3."""
        config = EAC3Config.from_frame(eac3_frame(acmod=7, lfeon=1))
        self.assertTrue(verifyObject(AudioConfig, config))
        self.assertEqual((config.rfc6381(), config.codec, config.kind), ("ec-3", "eac3", "audio"))
        self.assertEqual((config.timescale, config.samples_per_frame), (48000, 1536))
        (entry,) = parse_boxes(config.sample_entry())
        (box,) = entry.children(28)
        self.assertEqual((entry.type, box.type, box.payload), (b"ec-3", b"dec3", config.record))
        self.assertEqual(entry.unpack("6xH8xHHHHI"), (1, 6, 16, 0, 0, 48000 << 16))

    def test_blocks(self) -> None:
        """Short syncframes last as long as their blocks, several in a message add up."""
        for code, blocks in enumerate((1, 2, 3, 6)):
            frame = eac3_frame(code=code)
            config = EAC3Config.from_frame(frame)
            self.assertEqual(config.samples_per_frame, 256 * blocks)
            self.assertEqual(config.frame_samples(frame * 3), 3 * 256 * blocks)
            self.assertEqual(EAC3Config.from_frame(frame * 3).record, config.record)
        self.assertEqual(config.frame_samples(eac3_frame(code=0)), 256)

    def test_low_rates(self) -> None:
        """Half rates have always six blocks."""
        for code, rate in enumerate((24000, 22050, 16000)):
            config = EAC3Config.from_frame(eac3_frame(fscod=3, code=code))
            self.assertEqual((config.sample_rate, config.samples_per_frame), (rate, 1536))
            self.assertEqual(config.record[2] >> 6, 3)
        # they look the same in dec3, but for the bit rate
        self.assertEqual(config.frame_samples(eac3_frame(fscod=3, code=0)), 0)

    def test_dependent(self) -> None:
        """Dependent substreams add their channels, whose places dec3 has."""
        core = eac3_frame(acmod=7, lfeon=1, size=1000)
        for chanmap, added, chan_loc in (
            (1 << 15 - 5, 2, 1 << 0),  # Lc/Rc
            (1 << 15 - 6, 2, 1 << 1),  # Lrs/Rrs: 7.1
            (1 << 15 - 7, 1, 1 << 2),  # Cs
            (1 << 15 - 8, 1, 1 << 3),  # Ts
            (1 << 15 - 9, 2, 1 << 4),  # Lsd/Rsd
            (1 << 15 - 10, 2, 1 << 5),  # Lw/Rw
            (1 << 15 - 11, 2, 1 << 6),  # Lvh/Rvh
            (1 << 15 - 12, 1, 1 << 7),  # Cvh
            (1 << 15 - 13, 2, 0),  # Lts/Rts: chan_loc has no bit for it
            (1 << 15 - 14, 1, 1 << 8),  # LFE2
            (0b0001_1010_0000_0000, 2, 1 << 1),  # Ls, Rs in place of the core's, and Lrs/Rrs
        ):
            frame = core + eac3_frame(1, 0, 600, acmod=6, chanmap=chanmap)
            config = EAC3Config.from_frame(frame)
            self.assertEqual(config.channels, 6 + added, f"{chanmap:016b}")
            expected = dec3(400, [(0, 16, 7, 1, 1 << 9 | chan_loc)])
            self.assertEqual(config.record, expected, f"{chanmap:016b}")
            self.assertEqual(config.frame_samples(frame), 1536)
            self.assertEqual(config.frame_samples(core), 0)

    def test_programs(self) -> None:
        """Several programs each have their entry; the first one's channels count."""
        frame = (
            eac3_frame(acmod=7, lfeon=1, size=400)
            + eac3_frame(1, 0, 200, acmod=2, chanmap=1 << 15 - 6)
            + eac3_frame(1, 1, 200, acmod=2)
            + eac3_frame(0, 1, 100, acmod=1)
        )
        expected = dec3(225, [(0, 16, 7, 1, 2 << 9 | 1 << 1), (0, 16, 1, 0, None)])
        config = EAC3Config.from_frame(frame)
        self.assertEqual((config.record, config.channels), (expected, 8))
        self.assertEqual(config.frame_samples(frame + frame), 2 * 1536)

    def test_converted(self) -> None:
        """What was made out of AC-3 is independent, too."""
        self.assertEqual(EAC3Config.from_frame(eac3_frame(2)).channels, 2)

    def test_variable_bit_rate(self) -> None:
        """A frame of another size belongs to the configuration."""
        config = EAC3Config.from_frame(eac3_frame(size=768))
        self.assertEqual(config.frame_samples(eac3_frame(size=300)), 1536)

    def test_change(self) -> None:
        """A frame with other parameters is not the configuration's, and makes another one."""
        config = EAC3Config.from_frame(eac3_frame())
        for other in (
            eac3_frame(fscod=1),
            eac3_frame(acmod=1),
            eac3_frame(lfeon=1),
            eac3_frame() + eac3_frame(0, 1),
            eac3_frame() + eac3_frame(1, 0, chanmap=1 << 8),
        ):
            self.assertEqual(config.frame_samples(other), 0)
            self.assertNotEqual(EAC3Config.from_frame(other), config)

    def test_broken(self) -> None:
        """Cut short, reserved, without a main substream or endless: all are refused."""
        for name, frame in (
            ("empty", b""),
            ("AC-3", ac3_frame()),
            ("cut short", eac3_frame()[:-1]),
            ("second cut short", (eac3_frame() * 2)[:-1]),
            ("head cut short", eac3_frame(size=6)[:6]),
            ("strmtype 3", eac3_frame(3)),
            ("dependent first", eac3_frame(1, chanmap=0)),
            ("substream 1 first", eac3_frame(0, 1)),
            ("fscod2 3", eac3_frame(fscod=3, code=3)),
            ("bsid 10", eac3_frame(bsid=10)),
            ("bsid 17", eac3_frame(bsid=17)),
            ("too many", eac3_frame(size=10) * 65),
            ("nine programs", eac3_frame() + eac3_frame(0, 1) * 8),
        ):
            try:
                EAC3Config.from_frame(frame)
            except ConfigError:
                self.assertEqual(EAC3Config.from_frame(eac3_frame()).frame_samples(frame), 0, name)
                continue
            self.fail(f"taken: {name}")

    def test_highest_rate(self) -> None:
        """A bit rate that the field cannot hold is written as its most."""
        config = EAC3Config.from_frame(eac3_frame(size=4096, code=0))
        self.assertEqual(config.record[:2], bytes.fromhex("c000"))  # 6144 kbit/s
        many = eac3_frame(size=4096, code=0) + eac3_frame(0, 1, 4096, code=0)
        self.assertEqual(EAC3Config.from_frame(many).record[:2], bytes.fromhex("fff9"))

    @settings(max_examples=200, deadline=None)
    @given(
        st.binary(max_size=60),
        st.sampled_from([b"", b"\x0b\x77", b"\x0b\x77\0\4", eac3_frame(size=12)]),
    )
    def test_arbitrary(self, octets: bytes, head: bytes) -> None:
        """Arbitrary bytes give a sane configuration or the typed error."""
        frame = head + octets
        try:
            config = EAC3Config.from_frame(frame)
        except ConfigError:
            return
        self.assertGreaterEqual(config.channels, 1)
        self.assertEqual(config.frame_samples(frame), config.samples_per_frame)
        parse_boxes(config.sample_entry())
