"""Configurations and access units as real encoders write them."""

from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.codecs.aac import AACConfig
from rapidrtmp.codecs.h264 import H264Config
from tests.codecs.builders import avcc

VIDEO: list[tuple[str, int, int, str, str, str]] = [
    # the codec string without its level, which is the encoder's choice
    ("high", 64, 48, "yuv420p", "", "avc1.6400"),
    ("odd cropping", 70, 38, "yuv420p", "", "avc1.6400"),
    ("baseline", 64, 48, "yuv420p", "profile=baseline", "avc1.42c0"),
    ("main", 64, 48, "yuv420p", "profile=main", "avc1.4d40"),
    ("interlaced", 64, 72, "yuv420p", "x264-params=interlaced=1", "avc1.6400"),
    ("4:2:2 10 bit", 66, 50, "yuv422p10le", "", "avc1.7a00"),
    ("4:4:4, odd size", 67, 51, "yuv444p", "", "avc1.f400"),
    ("grey", 64, 50, "gray", "", "avc1.6400"),
    ("scaling lists", 64, 48, "yuv420p", "x264-params=cqm=jvt", "avc1.6400"),
    ("1080p", 1920, 1080, "yuv420p", "", "avc1.42c0"),
]

AUDIO = [(44100, "stereo", 2), (48000, "mono", 1), (48000, "5.1", 6), (96000, "stereo", 2)]


class VideoTests(SynchronousTestCase):
    def encode(
        self, width: int, height: int, pix_fmt: str, options: str, frames: int, annex_b: bool
    ) -> tuple[bytes, list[tuple[bytes, bool]], tuple[int, int]]:
        """Encode grey pictures with x264.

        Returns:
            extradata, the packets with their key flags, and the encoder's idea of the size.
        """
        settings = dict([options.split("=", 1)]) if options else {}
        settings["preset"] = "ultrafast" if width > 100 else "medium"
        container = av.open("/dev/null", "w", format="h264" if annex_b else "mp4")
        stream = container.add_stream("libx264", rate=25, options=settings)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.thread_count = 1
        packets = []
        for number in range(frames):
            frame = av.VideoFrame(width, height, pix_fmt)
            for plane in frame.planes:
                plane.update(bytes([number]) * plane.buffer_size)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        context = stream.codec_context
        extradata = bytes(context.extradata or b"")
        size = (context.width, context.height)
        found = [(bytes(packet), bool(packet.is_keyframe)) for packet in packets]
        container.close()
        return extradata, found, size

    def test_configurations(self) -> None:
        """Size, codec string and rate are the encoder's, from its own parameter sets."""
        for name, width, height, pix_fmt, options, codec in VIDEO:
            extradata, _, size = self.encode(width, height, pix_fmt, options, 1, False)
            sets = [unit for unit in extradata.split(b"\0\0\0\1") if unit]
            record = avcc(
                [unit for unit in sets if unit[0] & 31 == 7],
                [unit for unit in sets if unit[0] & 31 == 8],
            )
            config = H264Config.parse(record)
            self.assertEqual((config.width, config.height), size, name)
            self.assertEqual(config.rfc6381()[:-2], codec, name)
            self.assertEqual(config.frame_rate, 25.0, name)

    def test_access_units(self) -> None:
        """Packets with start codes and in-band sets complete an empty configuration."""
        _, packets, _ = self.encode(64, 48, "yuv420p", "x264-params=keyint=5:open-gop=0", 12, True)
        config = H264Config.parse(avcc([], []))
        for number, (packet, is_key) in enumerate(packets):
            unit = config.access_unit(memoryview(packet), is_key)
            self.assertEqual((unit.is_sync, unit.fault), (is_key, ""), number)
            assert isinstance(unit.config, H264Config)
            if number:
                self.assertIs(unit.config, config)
            config = unit.config
        self.assertEqual((config.width, config.height), (64, 48))
        self.assertEqual(sum(is_key for _, is_key in packets), 3)

    def test_open_gop(self) -> None:
        """Key frames of an open GOP are random access points and not sync."""
        options = "x264-params=keyint=6:min-keyint=6:open-gop=1:bframes=2:scenecut=0"
        _, packets, _ = self.encode(64, 48, "yuv420p", options, 20, True)
        config = H264Config.parse(avcc([], []))
        seen = []
        for packet, is_key in packets:
            unit = config.access_unit(memoryview(packet), is_key)
            assert isinstance(unit.config, H264Config)
            config = unit.config
            self.assertEqual(unit.is_random_access, is_key)
            if is_key:
                seen.append(unit.is_sync)
        self.assertTrue(seen[0])
        self.assertIn(False, seen)


class AudioTests(SynchronousTestCase):
    def test_configurations(self) -> None:
        """Rate and channels are the encoder's, from its own AudioSpecificConfig."""
        for rate, layout, channels in AUDIO:
            container = av.open("/dev/null", "w", format="mp4")
            stream = container.add_stream("aac", rate=rate, layout=layout)
            assert isinstance(stream, AudioStream)
            stream.codec_context.open()
            config = AACConfig.parse(bytes(stream.codec_context.extradata or b""))
            container.close()
            self.assertEqual((config.sample_rate, config.channels), (rate, channels))
            self.assertEqual((config.timescale, config.samples_per_frame), (rate, 1024))
            self.assertEqual(config.rfc6381(), "mp4a.40.2")
