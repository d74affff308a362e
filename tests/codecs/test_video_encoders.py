"""H.265, AV1 and VP9 as real encoders write them, FFmpeg packs them and decodes our boxes."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.codecs.av1 import AV1Config
from rapidrtmp.codecs.h265 import H265Config
from rapidrtmp.codecs.vp9 import VP9Config
from rapidrtmp.media.codec import ColorInfo, VideoConfig
from tests.codecs.encoded_video import (
    FRAMES,
    HEIGHT,
    RATE,
    WIDTH,
    Encoded,
    Frame,
    decode,
    encode,
    package,
)
from tests.codecs.video_builders import av1c, hvcc

X265 = "preset=ultrafast x265-params=log-level=none:pools=1:frame-threads=1:keyint=10"
SVT = "preset=12 g=10 svtav1-params=lp=1"
VPX = "deadline=realtime cpu-used=8 g=10"
OPEN_GOP = ":min-keyint=10:open-gop=1:bframes=3:b-adapt=0:scenecut=0"
BT2020 = ":colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
AV1_BT2020 = ":color-primaries=9:transfer-characteristics=16:matrix-coefficients=9"
UNSPECIFIED = ColorInfo()
HDR = ColorInfo(9, 16, 9)


@dataclass(frozen=True)
class Case:
    """An encoder's work and what is to be made of it."""

    name: str
    encoder: str
    pix_fmt: str
    options: str
    parse: Callable[[bytes], VideoConfig]
    tag: str
    codec: str
    color: ColorInfo = UNSPECIFIED
    key_frames: int = 3

    def encoded(self) -> Encoded:
        """Return the encoder's work."""
        return encode(self.encoder, self.pix_fmt, self.options)


def h265(name: str, pix_fmt: str, options: str, codec: str, color: ColorInfo = UNSPECIFIED) -> Case:
    """Return a case of x265."""
    return Case(name, "libx265", pix_fmt, X265 + options, H265Config.parse, "hvc1", codec, color)


CASES = [
    h265("Main", "yuv420p", "", "hvc1.1.6.L30.90"),
    h265("Main 10, HDR", "yuv420p10le", BT2020, "hvc1.2.4.L30.90", HDR),
    h265("open GOP, sets repeated", "yuv420p", OPEN_GOP + ":repeat-headers=1", "hvc1.1.6.L30.90"),
    h265(
        "4:2:2, scaling lists, sub-layers",
        "yuv422p10le",
        ":scaling-list=default:temporal-layers=2",
        "hvc1.4.10.L30.9D.8",
    ),
    h265("4:4:4, full range", "yuvj444p", "", "hvc1.4.10.L30.9E.8", ColorInfo(full_range=True)),
    Case("Main", "libsvtav1", "yuv420p", SVT, AV1Config.parse, "av01", "av01.0.00M.08"),
    Case(
        "Main in 10 bit, HDR",
        "libsvtav1",
        "yuv420p10le",
        SVT + AV1_BT2020,
        AV1Config.parse,
        "av01",
        "av01.0.00M.10.0.110.09.16.09.0",
        HDR,
    ),
    Case("0", "libvpx-vp9", "yuv420p", VPX, VP9Config.parse, "vp09", "vp09.00.10.08"),
    Case(
        "hidden frames in superframes",
        "libvpx-vp9",
        "yuv420p",
        "deadline=good cpu-used=5 g=15 lag-in-frames=15 auto-alt-ref=1",
        VP9Config.parse,
        "vp09",
        "vp09.00.10.08",
        key_frames=2,
    ),
    Case(
        "1",
        "libvpx-vp9",
        "yuv444p",
        VPX,
        VP9Config.parse,
        "vp09",
        "vp09.01.10.08.03.02.02.02.00",
    ),
]


class EncoderTests(SynchronousTestCase):
    def test_round_trip(self) -> None:
        """What FFmpeg sends as Enhanced RTMP and we box decodes to the very same pictures."""
        for case in CASES:
            with self.subTest(encoder=case.encoder, name=case.name):
                encoded = case.encoded()
                packaged = package(case.parse(encoded.record), encoded.frames)
                config = packaged.config
                self.assertEqual(packaged.faults, {""})
                self.assertEqual((config.width, config.height), (WIDTH, HEIGHT))
                self.assertEqual(config.rfc6381(), case.codec)
                self.assertEqual(config.color, case.color)
                keys = [sample.is_sync for sample in packaged.samples]
                self.assertEqual(keys, [frame.is_key for frame in encoded.frames])
                self.assertEqual(sum(keys), case.key_frames)
                decoded, expected = decode(packaged.octets), decode(encoded.flv)
                self.assertEqual(len(decoded.pictures), FRAMES)
                self.assertEqual(decoded.pictures, expected.pictures)
                self.assertEqual(decoded.tag, case.tag)
                self.assertEqual((decoded.width, decoded.height), (WIDTH, HEIGHT))
                color = case.color
                code_points = (color.primaries, color.transfer, color.matrix)
                self.assertEqual(decoded.color[:3], code_points)

    def test_scheduling(self) -> None:
        """No encoder leaves this process, and what it starts, a real-time one."""
        for case in CASES:
            encode(case.encoder, case.pix_fmt, case.options, 2)
            self.assertEqual(os.sched_getscheduler(0), os.SCHED_OTHER, case.encoder)

    def test_frame_rate(self) -> None:
        """The rate in x265's VUI is frames, not fields."""
        config = H265Config.parse(CASES[0].encoded().record)
        self.assertEqual(config.frame_rate, float(RATE))

    def test_odd_size(self) -> None:
        """Sizes are those of the picture, not of the coded blocks."""
        for case, size in ((CASES[0], (70, 38)), (CASES[5], (98, 66)), (CASES[7], (71, 39))):
            encoded = encode(case.encoder, case.pix_fmt, case.options, 2, size)
            packaged = package(case.parse(encoded.record), encoded.frames)
            self.assertEqual((packaged.config.width, packaged.config.height), size)
            decoded = decode(packaged.octets)
            self.assertEqual((decoded.width, decoded.height, len(decoded.pictures)), (*size, 2))

    def test_without_configuration(self) -> None:
        """Records that hold no sets are completed by the first key frame."""
        for case, record in ((CASES[2], hvcc()), (CASES[5], av1c())):
            encoded = case.encoded()
            packaged = package(case.parse(record), encoded.frames)
            self.assertEqual(packaged.config.rfc6381(), case.codec)
            self.assertEqual(decode(packaged.octets).pictures, decode(encoded.flv).pictures)

    def test_annex_b(self) -> None:
        """H.265 with start codes in place of lengths is boxed alike."""
        case = CASES[2]
        encoded = case.encoded()
        frames = [
            Frame(
                frame.timestamp, frame.composition_time, frame.is_key, with_start_codes(frame.body)
            )
            for frame in encoded.frames
        ]
        packaged = package(case.parse(encoded.record), frames)
        self.assertEqual(packaged.faults, {""})
        plain = package(case.parse(encoded.record), encoded.frames)
        self.assertEqual(packaged.octets, plain.octets)

    def test_start_in_open_gop(self) -> None:
        """A decoder that starts at a CRA picture shows it, and all but its leading pictures."""
        case = CASES[2]
        encoded = case.encoded()
        starts = [place for place, frame in enumerate(encoded.frames) if frame.is_key]
        kinds = [nal_type(encoded.frames[place].body) for place in starts]
        self.assertEqual(kinds[1:], [21, 21])
        later = encoded.frames[starts[1] :]
        skipped = sum(nal_type(frame.body) in (8, 9) for frame in later[: starts[2] - starts[1]])
        self.assertGreater(skipped, 0)
        pictures = decode(package(case.parse(encoded.record), later).octets).pictures
        self.assertEqual(pictures, decode(encoded.flv).pictures[-len(pictures) :])
        self.assertEqual(len(pictures), len(later) - skipped)

    def test_key_frames_without_sequence_header(self) -> None:
        """An AV1 key frame without its sequence header gets it and can be started at."""
        case = CASES[5]
        encoded = case.encoded()
        first = encoded.frames[0].body
        header = first[2 : 4 + first[3]]
        self.assertEqual(header[0], 0x0A)
        place = next(at for at, frame in enumerate(encoded.frames) if at and frame.is_key)
        frame = encoded.frames[place]
        self.assertTrue(frame.body.startswith(header, 2))
        bare = Frame(frame.timestamp, 0, True, frame.body[2 + len(header) :])
        config = case.parse(av1c(header))
        packaged = package(config, [bare, *encoded.frames[place + 1 :]])
        self.assertEqual(packaged.samples[0].payload, frame.body[2:])
        self.assertEqual(len(decode(packaged.octets).pictures), FRAMES - place)


def with_start_codes(body: bytes) -> bytes:
    """Return length-prefixed NAL units in the form of Annex B."""
    out = b""
    position = 0
    while position < len(body):
        end = position + 4 + int.from_bytes(body[position : position + 4], "big")
        out += b"\0\0\0\1" + body[position + 4 : end]
        position = end
    return out


def nal_type(body: bytes) -> int:
    """Return the type of the first slice of an H.265 access unit."""
    position = 0
    while (kind := body[position + 4] >> 1 & 63) >= 32:
        position += 4 + int.from_bytes(body[position : position + 4], "big")
    return kind
