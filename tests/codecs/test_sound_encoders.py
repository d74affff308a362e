"""Sound as real encoders write it, packaged by us and decoded by FFmpeg: not a sample is lost."""

from dataclasses import dataclass, replace

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.codecs.ac3 import AC3Config, EAC3Config
from rapidrtmp.codecs.flac import FLACConfig
from rapidrtmp.codecs.mp3 import MP3Config
from rapidrtmp.codecs.opus import OpusConfig
from rapidrtmp.isobmff.movie import init_segment
from rapidrtmp.media.codec import AudioConfig
from rapidrtmp.media.track import AUDIO_TRACK_ID, Track
from tests.codecs.encoded_sound import Encoded, encode, judge, package
from tests.isobmff.checker import Box, parse_boxes, parse_init

PRE_SKIP = 312
"""Samples that libopus looks ahead, in all modes but the one of lowest delay."""


@dataclass(frozen=True)
class Case:
    """One way of encoding."""

    encoder: str
    rate: int
    layout: str
    channels: int
    frame: int
    """Samples in each frame."""
    options: str = ""


OPUS = [
    Case("libopus", 48000, "mono", 1, 960),
    Case("libopus", 48000, "stereo", 2, 960),
    Case("libopus", 48000, "5.1", 6, 960),
    Case("libopus", 48000, "7.1", 8, 960),
    Case("libopus", 48000, "stereo", 2, 480, "frame_duration=10"),
    Case("libopus", 48000, "stereo", 2, 2880, "frame_duration=60"),
    Case("libopus", 48000, "stereo", 2, 5760, "frame_duration=120"),
    Case("libopus", 48000, "mono", 1, 1920, "application=voip:frame_duration=40:b=12000"),
]
FLAC = [
    Case("flac", 44100, "stereo", 2, 4608),
    Case("flac", 48000, "5.1", 6, 4608),
    Case("flac", 96000, "stereo", 2, 8192),
    Case("flac", 192000, "mono", 1, 16384),
    Case("flac", 37000, "stereo", 2, 2304),
]
AC3 = [
    Case("ac3", 48000, "5.1", 6, 1536),
    Case("ac3", 44100, "stereo", 2, 1536),
    Case("ac3", 32000, "mono", 1, 1536),
]
EAC3 = [
    Case("eac3", 48000, "stereo", 2, 1536),
    Case("eac3", 44100, "5.1", 6, 1536),
    Case("eac3", 48000, "5.1", 6, 512, "b=3000000"),
]
MP3 = [
    Case("libmp3lame", 44100, "stereo", 2, 1152),
    Case("libmp3lame", 48000, "mono", 1, 1152),
    Case("libmp3lame", 44100, "stereo", 2, 1152, "b=0:qscale=2"),
    Case("libmp3lame", 24000, "stereo", 2, 576),
    Case("libmp3lame", 8000, "mono", 1, 576),
]


def encoded(case: Case) -> Encoded:
    """Encode half a second."""
    return encode(case.encoder, case.rate, case.layout, case.options)


def configure(case: Case, sound: Encoded) -> AudioConfig:
    """Make the configuration of what was encoded."""
    if case.encoder == "libopus":
        return OpusConfig.parse(sound.record)
    if case.encoder == "flac":
        return FLACConfig.parse(sound.record)
    if case.encoder == "ac3":
        return AC3Config.from_frame(sound.frames[0])
    if case.encoder == "eac3":
        return EAC3Config.from_frame(sound.frames[0])
    return MP3Config.from_frame(sound.frames[0])


def sample_entry(movie: bytes) -> Box:
    """Return the sample entry in a file that FFmpeg wrote."""
    (moov,) = (box for box in parse_boxes(movie) if box.type == b"moov")
    (entry,) = moov.one(b"trak", b"mdia", b"minf", b"stbl", b"stsd").children(8)
    return entry


class EncoderTests(SynchronousTestCase):
    def check(self, case: Case, codec: str, pre_skip: int = 0) -> AudioConfig:
        """Judge one way of encoding; return its configuration."""
        sound = encoded(case)
        config = configure(case, sound)
        self.assertEqual((config.timescale, config.sample_rate), (case.rate, case.rate))
        self.assertEqual(config.channels, case.channels)
        ticks = [config.frame_samples(memoryview(frame)) for frame in sound.frames]
        self.assertEqual(set(ticks[:-1]), {case.frame})
        self.assertIn(config.samples_per_frame, (0, case.frame))

        movie, total = package(config, sound.frames)
        self.assertEqual(total, sum(ticks))
        found = judge(movie)
        self.assertEqual(
            (found.codec, found.rate, found.channels), (codec, case.rate, case.channels), case
        )
        self.assertEqual(found.durations, ticks)
        self.assertEqual(found.decoded, total - pre_skip)
        parse_init(init_segment(Track(AUDIO_TRACK_ID, config)))
        return config

    def test_opus(self) -> None:
        """Each packet length and number of channels; a decoder only drops the pre-skip."""
        for case in OPUS:
            self.check(case, "opus", PRE_SKIP)

    def test_opus_of_mixed_packets(self) -> None:
        """Packets of different lengths in one stream each last as long as they are."""
        sounds = [encoded(OPUS[place]) for place in (1, 4, 5, 6)]
        frames = [frame for sound in sounds for frame in sound.frames[:5]]
        config = OpusConfig.parse(sounds[0].record)
        movie, total = package(config, frames)
        found = judge(movie)
        self.assertEqual(found.durations, [960] * 5 + [480] * 5 + [2880] * 5 + [5760] * 5)
        self.assertEqual(found.decoded, total - PRE_SKIP)

    def test_opus_without_header(self) -> None:
        """The configuration that an absent header stands for plays mono and stereo."""
        for case in OPUS[:2]:
            frames = encoded(case).frames
            config = OpusConfig.from_frame(frames[0])
            movie, total = package(config, frames)
            found = judge(movie)
            self.assertEqual((found.channels, found.decoded), (2, total))

    def test_flac(self) -> None:
        """Usual and unusual rates; the last block is shorter."""
        for case in FLAC:
            self.check(case, "flac")
            sound = encoded(case)
            (last,) = {configure(case, sound).frame_samples(sound.frames[-1])}
            self.assertEqual(last, case.rate // 2 % case.frame)

    def test_ac3(self) -> None:
        """Each rate, with and without LFE."""
        for case in AC3:
            self.check(case, "ac3")

    def test_eac3(self) -> None:
        """Syncframes of six blocks, and of two at a high bit rate."""
        for case in EAC3:
            self.check(case, "eac3")

    def test_mp3(self) -> None:
        """Constant and variable bit rate, MPEG-1, MPEG-2 and MPEG-2.5."""
        for case in MP3:
            self.check(case, "mp3float")

    def test_frames_agree(self) -> None:
        """Any frame of a stream makes the same configuration."""
        for case in (*AC3, *EAC3, *MP3):
            sound = encoded(case)
            configs = {configure(case, replace(sound, frames=[frame])) for frame in sound.frames}
            self.assertEqual(len(configs), 1, case)

    def test_boxes(self) -> None:
        """What describes the codec is what FFmpeg writes."""
        for case, type_ in (
            *((case, b"dOps") for case in OPUS),
            *((case, b"dac3") for case in AC3),
            *((case, b"dec3") for case in EAC3),
        ):
            sound = encoded(case)
            (ours,) = parse_boxes(configure(case, sound).sample_entry())
            theirs = sample_entry(sound.movie)
            self.assertEqual(ours.type, theirs.type)
            (box,) = (box for box in theirs.children(28) if box.type == type_)
            self.assertEqual(ours.children(28)[0].payload, box.payload, case)
            self.assertEqual(ours.unpack("HHHHI", 16), theirs.unpack("HHHHI", 16), case)
