"""Tests for `rapidrtmp.outputs.thumbnail_child`: real key frames in, JPEGs out."""

import random
import signal
from fractions import Fraction
from functools import cache
from io import BytesIO

import av
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.codecs.av1 import AV1Config
from rapidrtmp.codecs.h264 import H264Config
from rapidrtmp.codecs.h265 import H265Config
from rapidrtmp.codecs.vp9 import VP9Config
from rapidrtmp.media.codec import VideoConfig
from rapidrtmp.media.track import VIDEO_TRACK_ID, Sample, Track
from rapidrtmp.outputs import thumbnail_child
from rapidrtmp.outputs.pictures import decoder_record
from rapidrtmp.outputs.thumbnail_child import MAX_PIXELS, Undecodable, serve, thumbnail
from rapidrtmp.outputs.thumbnail_wire import (
    MADE,
    UNDECODABLE,
    AnswerReader,
    Request,
    max_bytes,
)
from tests.codecs.encoded_video import encode, package
from tests.integration import media

SIZE = (80, 44)

# record's class, encoder, pixel format, options
ENCODERS = {
    "h265": (H265Config.parse, "libx265", "yuv420p", "x265-params=log-level=none"),
    "h265 10 bit": (H265Config.parse, "libx265", "yuv420p10le", "x265-params=log-level=none"),
    "av1": (AV1Config.parse, "libsvtav1", "yuv420p", "preset=12"),
    "vp9": (VP9Config.parse, "libvpx-vp9", "yuv420p", "deadline=realtime cpu-used=8"),
}


@cache
def key_frame(name: str) -> Sample:
    """Encode a picture; give it as the server has it."""
    parse, encoder, pixels, options = ENCODERS[name]
    encoded = encode(encoder, pixels, options, 3)
    return package(parse(encoded.record), encoded.frames).samples[0]


@cache
def h264_key_frame() -> Sample:
    """Give a key frame of FFmpeg's test picture in H.264."""
    config: VideoConfig | None = None
    for tag in media.flv_tags(media.as_flv(media.sample("plain"))):
        if tag.type_id == 9 and tag.is_config:
            config = H264Config.parse(tag.body[5:])
        elif tag.is_keyframe and config is not None:
            unit = config.access_unit(memoryview(tag.body)[5:], True)
            return Sample(Track(VIDEO_TRACK_ID, unit.config), 0, 0, True, True, unit.payload)
    raise AssertionError("no key frame")


def annex_b(picture: av.VideoFrame) -> bytes:
    """Encode a picture in H.264, with start codes and parameter sets in it."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"qp": "10", "preset": "ultrafast"}
    packets = [*encoder.encode(picture), *encoder.encode(None)]
    return bytes(packets[0])


def request(sample: Sample, size: tuple[int, int] = SIZE) -> Request:
    """Ask for the picture of a sample."""
    record = decoder_record(sample.track)
    return Request(1, *size, sample.track.codec, record, bytes(sample.payload))


def decode(jpeg: bytes) -> av.VideoFrame:
    """Decode a JPEG, which must be one and nothing more."""
    assert jpeg.startswith(b"\xff\xd8\xff") and jpeg.endswith(b"\xff\xd9")
    with av.open(BytesIO(jpeg), "r", format="jpeg_pipe") as container:
        [picture] = container.decode(video=0)
    return picture


def pixels(picture: av.VideoFrame) -> bytes:
    """Scale a picture to 8 by 4 pixels of red, green and blue."""
    plane = picture.reformat(8, 4, "rgb24", interpolation="AREA").planes[0]
    octets = bytes(plane)
    return b"".join(octets[row * plane.line_size :][:24] for row in range(4))


class PictureTests(SynchronousTestCase):
    def assert_shows(self, jpeg: bytes, expected: av.VideoFrame) -> None:
        """A JPEG is of the right size, and shows a picture."""
        picture = decode(jpeg)
        self.assertEqual((picture.width, picture.height), SIZE)
        self.assertEqual(picture.format.name, "yuvj420p")
        pairs = zip(pixels(picture), pixels(expected), strict=True)
        self.assertLess(max(abs(a - b) for a, b in pairs), 12)

    def test_codecs(self) -> None:
        """One key frame with its configuration is enough for a picture, at once, in each codec."""
        drawn = av.VideoFrame(160, 90, "gray")
        padding = bytes(drawn.planes[0].line_size - 160)
        rows = (bytes((x * y // 8 + 4 * x) & 0xFF for x in range(160)) for y in range(90))
        drawn.planes[0].update(b"".join(row + padding for row in rows))
        for name in ENCODERS:
            self.assert_shows(thumbnail(request(key_frame(name))), drawn)

    def test_h264(self) -> None:
        """H.264, in colour."""
        with av.open(str(media.sample("plain"))) as container:
            expected = next(container.decode(video=0))
        self.assert_shows(thumbnail(request(h264_key_frame())), expected)

    def test_colours(self) -> None:
        """JPEG knows one matrix: what is HD, and says nothing, is converted from BT.709."""
        # the same samples: red by BT.601, a little off by BT.709
        for height, expected in ((360, (255, 0, 0)), (720, (255, 24, 0))):
            picture = av.VideoFrame(640, height, "yuv420p")
            for plane, value in zip(picture.planes, (81, 90, 240), strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            made = thumbnail(Request(1, *SIZE, "h264", b"", annex_b(picture)))
            for seen, wanted in zip(pixels(decode(made)), expected, strict=False):
                self.assertLess(abs(seen - wanted), 8)

    def test_small_enough(self) -> None:
        """Noise, which JPEG cannot compress, gets a coarser picture."""
        picture = av.VideoFrame(640, 360, "yuv420p")
        luma, *chroma = picture.planes
        luma.update(random.Random(4).randbytes(luma.buffer_size))
        for plane in chroma:
            plane.update(bytes([128]) * plane.buffer_size)
        ask = Request(1, 640, 360, "h264", b"", annex_b(picture))
        self.assertLessEqual(len(thumbnail(ask)), max_bytes((640, 360)))
        self.patch(thumbnail_child, "QUALITIES", (5,))
        with self.assertRaisesRegex(Undecodable, "noise"):
            thumbnail(ask)


class RefusalTests(SynchronousTestCase):
    def test_garbage(self) -> None:
        """Bytes that are no key frame give no picture, in each codec."""
        noise = random.Random(4).randbytes(500)
        samples = [key_frame(name) for name in ENCODERS] + [h264_key_frame()]
        for sample in samples:
            ask = request(sample)
            for octets in (b"", noise, len(noise).to_bytes(4, "big") + noise, ask.sample[:40]):
                with self.assertRaises(Undecodable):
                    thumbnail(ask._replace(sample=octets))
            with self.assertRaises(Undecodable):
                thumbnail(ask._replace(codec="other"))

    def test_too_large(self) -> None:
        """A picture of more pixels than are allowed is refused before it is decoded."""
        self.patch(thumbnail_child, "MAX_PIXELS", 160 * 90 - 1)
        self.assertGreater(MAX_PIXELS, 7680 * 4320)
        for name in ENCODERS:
            with self.assertRaises(Undecodable):
                thumbnail(request(key_frame(name)))


class ServeTests(SynchronousTestCase):
    def test_serve(self) -> None:
        """Each request gets its answer, also behind one that cannot be had; then it ends."""
        good = request(key_frame("vp9"))
        bad = good._replace(number=2, sample=b"no key frame")
        octets = b"".join(b"".join(each.write()) for each in (good, bad, good._replace(number=3)))
        answers = BytesIO()
        serve(BytesIO(octets), answers)
        found = AnswerReader().receive(answers.getvalue())
        self.assertEqual(
            [(answer.number, answer.outcome) for answer in found],
            [(1, MADE), (2, UNDECODABLE), (3, MADE)],
        )
        decode(found[0].body)
        self.assertEqual(signal.alarm(0), 0, "an alarm is left over")
