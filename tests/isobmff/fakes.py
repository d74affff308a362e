"""Codec configurations and samples for tests, without any codec's parser."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from zope.interface import implementer

from rapidrtmp.media.codec import AccessUnit, AudioConfig, ColorInfo, VideoConfig
from rapidrtmp.media.track import AUDIO_TRACK_ID, VIDEO_TRACK_ID, Sample, Track

IDR = 5
NON_IDR = 1
SEI = 6
CAPTIONS = b"captions:"


def _box(type_: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), type_) + content


@implementer(VideoConfig)
@dataclass(frozen=True)
class FakeVideoConfig:
    """H.264 with four byte NAL unit lengths and no parameter sets."""

    width: int = 1280
    height: int = 720
    frame_rate: float | None = None
    codec: str = "h264"
    kind: str = "video"
    timescale: int = 90000
    record: bytes = bytes.fromhex("0164001fffe000")
    codec_string: str = "avc1.64001f"
    is_complete: bool = True
    has_sample_entry: bool = True
    color: ColorInfo = ColorInfo()  # noqa: RUF009  it does not change

    def with_color(self, color: ColorInfo) -> "FakeVideoConfig":
        """Take it over."""
        return replace(self, color=color)

    def access_unit(self, body: bytes | memoryview, key_flag: bool) -> AccessUnit:
        """Believe the key flag."""
        return AccessUnit(body, key_flag, key_flag, self, "")

    def captions(self, payload: bytes | memoryview) -> bytes:
        """Take all behind a word for captions."""
        return bytes(payload).partition(CAPTIONS)[2]

    def rfc6381(self) -> str:
        """Return what was asked for."""
        return self.codec_string

    def sample_entry(self) -> bytes:
        """Return avc1 with avcC."""
        assert self.has_sample_entry
        size = struct.pack(">HH", self.width, self.height)
        head = bytes(6) + b"\0\1" + bytes(16) + size + bytes(50)
        return _box(b"avc1", head + _box(b"avcC", self.record))


@implementer(AudioConfig)
@dataclass(frozen=True)
class FakeAudioConfig:
    """AAC without an esds box."""

    sample_rate: int = 48000
    channels: int = 2
    samples_per_frame: int = 1024
    codec: str = "aac"
    kind: str = "audio"
    timescale: int = 48000
    record: bytes = b"\x11\x90"
    codec_string: str = "mp4a.40.2"
    has_sample_entry: bool = True

    def frame_samples(self, frame: bytes | memoryview) -> int:
        """Give the same for all."""
        return self.samples_per_frame

    def rfc6381(self) -> str:
        """Return what was asked for."""
        return self.codec_string

    def sample_entry(self) -> bytes:
        """Return mp4a."""
        rate = struct.pack(">I", self.sample_rate << 16)
        return _box(b"mp4a", bytes(6) + b"\0\1" + bytes(8) + bytes(8) + rate)


VIDEO = Track(VIDEO_TRACK_ID, FakeVideoConfig())
AUDIO = Track(AUDIO_TRACK_ID, FakeAudioConfig())
VP8 = Track(
    VIDEO_TRACK_ID, FakeVideoConfig(codec="vp8", codec_string="vp8", has_sample_entry=False)
)
"""Video that CMAF has no place for."""


def nal_unit(type_: int, body: bytes = b"slice") -> bytes:
    """Return a NAL unit behind its length."""
    return struct.pack(">IB", 1 + len(body), 0x60 | type_) + body


def picture(*, is_sync: bool, body: bytes = b"slice") -> bytes:
    """Return the payload of one H.264 picture, with an SEI in front of the slice."""
    return nal_unit(SEI, b"text") + nal_unit(IDR if is_sync else NON_IDR, body)


def video_samples(
    frames: Sequence[tuple[int, int, bool]], start: int = 0
) -> tuple[list[Sample], int]:
    """Make samples from (duration, composition offset, is_sync).

    Returns:
        The samples and the time at which the last one ends.
    """
    samples = []
    for number, (duration, offset, is_sync) in enumerate(frames):
        payload = picture(is_sync=is_sync, body=b"%d" % number * (number % 7 + 1))
        samples.append(Sample(VIDEO, start, offset, is_sync, is_sync, payload))
        start += duration
    return samples, start


def audio_samples(count: int, start: int = 0) -> tuple[list[Sample], int]:
    """Make AAC samples of 1024 ticks; return them and the time at which the last one ends."""
    samples = [
        Sample(AUDIO, start + 1024 * number, 0, True, True, b"aac%d" % number)
        for number in range(count)
    ]
    return samples, start + 1024 * count
