"""MP3: frame headers and the mp4a box made of them."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp.codecs.mp3 import MAX_FRAMES, MP3Config
from rapidrtmp.media.codec import AudioConfig, ConfigError
from tests.codecs.sound_builders import MP3Frame
from tests.isobmff.checker import parse_boxes

VALID: list[tuple[str, MP3Frame, tuple[int, int, int]]] = [
    # rate, channels, samples; the sizes are those that encoders write
    ("44.1 kHz, 128 kbit/s", MP3Frame(), (44100, 2, 1152)),
    ("padded", MP3Frame(padding=1, size=418), (44100, 2, 1152)),
    ("48 kHz, 320 kbit/s", MP3Frame(rate=1, bit_rate=14, size=960), (48000, 2, 1152)),
    ("32 kHz mono, 32 kbit/s", MP3Frame(rate=2, bit_rate=1, mode=3, size=144), (32000, 1, 1152)),
    ("dual channel", MP3Frame(mode=2), (44100, 2, 1152)),
    ("22.05 kHz", MP3Frame(2, rate=0, bit_rate=8, size=208), (22050, 2, 576)),
    ("24 kHz", MP3Frame(2, rate=1, bit_rate=14, size=480), (24000, 2, 576)),
    ("16 kHz", MP3Frame(2, rate=2, bit_rate=1, mode=3, size=36), (16000, 1, 576)),
    ("11.025 kHz", MP3Frame(0, rate=0, bit_rate=4, size=208), (11025, 2, 576)),
    ("12 kHz", MP3Frame(0, rate=1, bit_rate=8, size=384), (12000, 2, 576)),
    ("8 kHz", MP3Frame(0, rate=2, bit_rate=1, mode=3, size=72), (8000, 1, 576)),
]

BROKEN: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("3 bytes", b"\xff\xfb\x90"),
    ("ID3", b"ID3" + bytes(500)),
    ("layer II", MP3Frame(layer=2).octets()),
    ("ADTS", MP3Frame(layer=0).octets()),
    ("reserved version", MP3Frame(1).octets()),
    ("reserved rate", MP3Frame(rate=3).octets()),
    ("free format", MP3Frame(bit_rate=0).octets()),
    ("bit rate 15", MP3Frame(bit_rate=15, size=3000).octets()),
    ("cut short", MP3Frame(size=416).octets()),
]


class MP3Tests(SynchronousTestCase):
    def test_headers(self) -> None:
        """Rate, channels and length of each version, at the frame's exact size."""
        for name, built, (rate, channels, samples) in VALID:
            frame = built.octets()
            config = MP3Config.from_frame(memoryview(frame))
            facts = (config.sample_rate, config.channels, config.samples_per_frame)
            self.assertEqual(facts, (rate, channels, samples), name)
            self.assertEqual(config.timescale, rate)
            self.assertEqual(config.frame_samples(frame), samples, name)
            self.assertRaises(ConfigError, MP3Config.from_frame, frame[:-1])
            self.assertEqual(config.frame_samples(frame[:-1]), 0, name)
            self.assertTrue(verifyObject(AudioConfig, config))
            self.assertEqual((config.codec, config.rfc6381()), ("mp3", "mp4a.40.34"))

    def test_same_stream(self) -> None:
        """Bit rate, padding, checksum and the kind of stereo may differ from frame to frame."""
        config = MP3Config.from_frame(MP3Frame().octets())
        for other in (
            MP3Frame(bit_rate=14, size=1044),
            MP3Frame(padding=1, size=418),
            MP3Frame(unprotected=0),
            MP3Frame(mode=0),
        ):
            self.assertEqual(config.frame_samples(other.octets()), 1152)
            self.assertEqual(MP3Config.from_frame(other.octets()), config)

    def test_change(self) -> None:
        """Another rate, version or number of channels makes another configuration."""
        config = MP3Config.from_frame(MP3Frame().octets())
        for other in (MP3Frame(rate=1), MP3Frame(mode=3), MP3Frame(2, size=999)):
            self.assertEqual(config.frame_samples(other.octets()), 0)
            self.assertNotEqual(MP3Config.from_frame(other.octets()), config)

    def test_several(self) -> None:
        """Frames in one message are counted, up to a limit."""
        frame = MP3Frame().octets()
        config = MP3Config.from_frame(frame)
        self.assertEqual(config.frame_samples(3 * frame), 3 * 1152)
        self.assertEqual(config.frame_samples(2 * frame + frame[:-1]), 2 * 1152)
        self.assertEqual(config.frame_samples(frame + b"tail"), 1152)
        self.assertEqual(config.frame_samples(frame * (MAX_FRAMES + 1)), MAX_FRAMES * 1152)

    def test_broken(self) -> None:
        """What is reserved, cut short or something else is refused."""
        config = MP3Config.from_frame(MP3Frame().octets())
        for name, frame in BROKEN:
            self.assertEqual(config.frame_samples(frame), 0, name)
            try:
                MP3Config.from_frame(frame)
            except ConfigError:
                continue
            self.fail(f"taken: {name}")

    def test_sample_entry(self) -> None:
        """The mp4a box names MPEG-1 or MPEG-2 audio and has no decoder specific part."""
        for built, object_type, rate in (
            (MP3Frame(), 0x6B, 44100),
            (MP3Frame(2, size=999), 0x69, 22050),
            (MP3Frame(0, size=999), 0x69, 11025),
        ):
            (entry,) = parse_boxes(MP3Config.from_frame(built.octets()).sample_entry())
            self.assertEqual(entry.unpack("6xH8xHHHHI"), (1, 2, 16, 0, 0, rate << 16))
            (esds,) = entry.children(28)
            self.assertEqual(
                (entry.type, esds.type, esds.payload),
                (
                    b"mp4a",
                    b"esds",
                    bytes(4)
                    + b"\3\x80\x80\x80\x1b\0\0\0"
                    + b"\4\x80\x80\x80\x0d"
                    + bytes((object_type, 0x15))
                    + bytes(11)
                    + b"\6\x80\x80\x80\1\2",
                ),
            )

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=300), st.sampled_from([b"", b"\xff\xfb", b"\xff\xe3\x10"]))
    def test_arbitrary(self, octets: bytes, head: bytes) -> None:
        """Arbitrary bytes give a sane configuration or the typed error."""
        frame = head + octets
        try:
            config = MP3Config.from_frame(frame)
        except ConfigError:
            return
        self.assertTrue(8000 <= config.timescale <= 48000)
        self.assertEqual(config.frame_samples(frame) % config.samples_per_frame, 0)
        self.assertGreater(config.frame_samples(frame), 0)
        parse_boxes(config.sample_entry())
