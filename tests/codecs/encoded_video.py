"""Video as real encoders write it and FFmpeg puts it into Enhanced RTMP; and FFmpeg as judge."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from io import BytesIO

import av
from av.video.stream import VideoStream

from rapidrtmp.isobmff.fragment import media_segment
from rapidrtmp.isobmff.movie import init_segment
from rapidrtmp.media.codec import VideoConfig
from rapidrtmp.media.track import VIDEO_TRACK_ID, Sample, Track
from tests.scheduling import ordinary_scheduling

os.environ.setdefault("SVT_LOG", "1")  # errors alone: SVT-AV1 writes a page for each stream

FRAMES = 30
RATE = 30
WIDTH, HEIGHT = 160, 90


@dataclass(frozen=True)
class Frame:
    """One coded frame of an Enhanced RTMP message."""

    timestamp: int
    """ms."""
    composition_time: int
    """ms."""
    is_key: bool
    body: bytes


@dataclass(frozen=True)
class Encoded:
    """What an encoder made, as FFmpeg's FLV muxer wrote it."""

    flv: bytes
    record: bytes
    frames: Sequence[Frame]


@cache
@ordinary_scheduling()
def encode(
    codec: str,
    pix_fmt: str,
    options: str = "",
    frames: int = FRAMES,
    size: tuple[int, int] = (0, 0),
) -> Encoded:
    """Encode a moving pattern at 30 frames/s.

    Args:
        codec: the encoder's name.
        pix_fmt: FFmpeg's name of the pixel format.
        options: of the encoder: ``name=value``, separated by blanks.
        frames: how many.
        size: width and height, for others than the usual.
    """
    width, height = size if any(size) else (WIDTH, HEIGHT)
    out = BytesIO()
    container = av.open(out, "w", format="flv")
    given = dict(one.split("=", 1) for one in options.split())
    stream = container.add_stream(codec, rate=RATE, options=given)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
    stream.codec_context.thread_count = 1
    for number in range(frames):
        frame = av.VideoFrame(width, height, "gray")
        padding = bytes(frame.planes[0].line_size - width)
        rows = (
            bytes((x * y // 8 + 4 * x + 6 * number) & 0xFF for x in range(width)) + padding
            for y in range(height)
        )
        frame.planes[0].update(b"".join(rows))
        frame = frame.reformat(format=pix_fmt)
        frame.pts, frame.time_base = number, Fraction(1, RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
    container.close()
    return _parse_flv(out.getvalue())


def _video_tags(flv: bytes) -> Iterator[tuple[int, bytes]]:
    position = 9 + 4
    while position < len(flv):
        size = int.from_bytes(flv[position + 1 : position + 4], "big")
        if flv[position] == 9:
            timestamp = int.from_bytes(flv[position + 4 : position + 7], "big")
            yield timestamp, flv[position + 11 : position + 11 + size]
        position += 11 + size + 4


def _parse_flv(flv: bytes) -> Encoded:
    """Read the Enhanced RTMP messages of an FLV file."""
    record = b""
    frames = []
    for timestamp, octets in _video_tags(flv):
        packet_type, fourcc = octets[0] & 15, octets[1:5]
        has_composition_time = packet_type == 1 and fourcc == b"hvc1"
        if packet_type == 0:
            record = octets[5:]
        elif packet_type in (1, 3):
            time = int.from_bytes(octets[5:8], "big", signed=True) if has_composition_time else 0
            body = octets[8 if has_composition_time else 5 :]
            frames.append(Frame(timestamp, time, octets[0] >> 4 & 7 == 1, body))
    return Encoded(flv, record, frames)


@dataclass(frozen=True)
class Packaged:
    """An fMP4, and how it came about."""

    octets: bytes
    config: VideoConfig
    samples: Sequence[Sample]
    faults: set[str]


def package(config: VideoConfig, frames: Sequence[Frame]) -> Packaged:
    """Make an fMP4 of frames: an initialization section and one segment.

    The configuration is the one that the first frame leaves.
    """
    samples: list[Sample] = []
    faults = set()
    track = None
    for frame in frames:
        unit = config.access_unit(memoryview(frame.body), frame.is_key)
        config = unit.config
        track = track or Track(VIDEO_TRACK_ID, config)
        faults.add(unit.fault)
        samples.append(
            Sample(
                track,
                frame.timestamp * 90,
                frame.composition_time * 90,
                unit.is_sync,
                unit.is_random_access,
                unit.payload,
            )
        )
    assert track is not None
    segment = media_segment(track, 1, samples, samples[-1].dts + 90000 // RATE)
    return Packaged(init_segment(track) + segment, VideoConfig(track.config), samples, faults)


@dataclass(frozen=True)
class Decoded:
    """What FFmpeg decodes of a file."""

    tag: str
    """The FourCC of its sample entry."""
    width: int
    height: int
    color: tuple[int, int, int, int]
    """Primaries, transfer, matrix, and 2 for full range."""
    pictures: Sequence[str]
    """A digest of each, in the order of presentation."""


def decode(octets: bytes) -> Decoded:
    """Decode the video of a file."""
    with av.open(BytesIO(octets), "r") as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        pictures = [_digest(frame) for frame in container.decode(stream)]
        color = (
            context.color_primaries,
            context.color_trc,
            context.colorspace,
            context.color_range,
        )
        return Decoded(context.codec_tag, context.width, context.height, color, pictures)


def _digest(frame: av.VideoFrame) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    octets_each = 2 if frame.format.components[0].bits > 8 else 1
    for plane in frame.planes:
        octets = memoryview(plane)
        for line in range(plane.height):  # without what stands behind each line
            start = line * plane.line_size
            digest.update(octets[start : start + plane.width * octets_each])
    return digest.hexdigest()
