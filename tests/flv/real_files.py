"""FLV files as FFmpeg writes and reads them: real bitstreams of every codec."""

import hashlib
import math
import os
from array import array
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from io import BytesIO

import av
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from rapidrtmp.rtmp.message import split_aggregate
from tests.scheduling import ordinary_scheduling

WIDTH, HEIGHT, RATE = 160, 90, 25
FRAMES = 25

VIDEO = {
    "libx264": {"preset": "ultrafast", "bf": "2", "x264-params": "keyint=12:b-adapt=0"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:keyint=12:bframes=2"},
    "libsvtav1": {"preset": "12", "svtav1-params": "keyint=12"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "g": "12"},
}
"""Encoders and their options."""
SOUND_RATE = {"libmp3lame": 44100}
"""Hz, where it is not 48000."""

os.environ.setdefault("SVT_LOG", "1")  # errors only

Media = tuple[int, int, bytes]
"""Type id, timestamp in ms, tag body."""
Frame = tuple[float, str]
"""Presentation time in seconds, MD5 of what was decoded."""


@cache
@ordinary_scheduling()
def record(*encoders: str) -> bytes:
    """Return an FLV file of a second, with one track for each encoder."""
    target = BytesIO()
    container = av.open(target, "w", format="flv", options={"flvflags": "no_duration_filesize"})
    streams: list[VideoStream | AudioStream] = []
    for encoder in encoders:
        if encoder in VIDEO:
            video = container.add_stream(encoder, rate=RATE, options=VIDEO[encoder])
            assert isinstance(video, VideoStream)
            video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            streams.append(video)
        else:
            sound = container.add_stream(
                encoder, rate=SOUND_RATE.get(encoder, 48000), layout="stereo"
            )
            assert isinstance(sound, AudioStream)
            streams.append(sound)
    packets = []
    for stream in streams:
        stream.codec_context.open()
        frames = _pictures() if isinstance(stream, VideoStream) else _sound(stream)
        for frame in (*frames, None):
            packets += stream.encode(frame)
    container.mux(sorted(packets, key=_decoding_time))
    container.close()
    return target.getvalue()


def _decoding_time(packet: "av.Packet[VideoStream | AudioStream]") -> Fraction:
    assert packet.dts is not None
    return packet.dts * packet.time_base


def _pictures() -> Iterator[av.VideoFrame]:
    for number in range(FRAMES):
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        for index, plane in enumerate(frame.planes):
            row = bytes((x * 3 + number * 5 + index * 40) & 0xFF for x in range(plane.line_size))
            plane.update(row * plane.height)
        frame.pts, frame.time_base = number, Fraction(1, RATE)
        yield frame


def _sound(stream: AudioStream) -> Iterator[av.AudioFrame]:
    context = stream.codec_context
    resampler = av.AudioResampler(context.format, "stereo", context.sample_rate)
    size = context.frame_size
    for start in range(0, context.sample_rate, size):
        tones = (round(9000 * math.sin((start + at // 2) / 20)) for at in range(2 * size))
        frame = av.AudioFrame(format="s16", layout="stereo", samples=size)
        frame.planes[0].update(array("h", tones).tobytes())
        frame.sample_rate = context.sample_rate
        frame.pts, frame.time_base = start, Fraction(1, context.sample_rate)
        yield from resampler.resample(frame)


def messages(flv: bytes) -> list[Media]:
    """Return the tags of a file."""
    assert flv.startswith(b"FLV\x01")
    return list(split_aggregate(0, flv[13:]))


def decode(flv: bytes) -> list[tuple[str, list[Frame]]]:
    """Return what FFmpeg makes of a file: each track's codec, and its decoded frames."""
    with av.open(BytesIO(flv), "r", format="flv") as container:
        tracks: dict[int, list[Frame]] = {stream.index: [] for stream in container.streams}
        names = [stream.codec_context.name for stream in container.streams]
        for packet in container.demux():
            for frame in packet.decode():
                assert isinstance(frame, av.VideoFrame | av.AudioFrame)
                assert frame.pts is not None and frame.time_base is not None
                digest = hashlib.md5(b"".join(_planes(frame))).hexdigest()
                moment = float(frame.pts * frame.time_base)
                tracks[packet.stream.index].append((moment, digest))
    return sorted(zip(names, tracks.values(), strict=True), key=lambda track: track[0])


def _planes(frame: av.VideoFrame | av.AudioFrame) -> Iterator[bytes]:
    """Yield what is decoded, without what pads rows and buffers."""
    if isinstance(frame, av.VideoFrame):
        for plane in frame.planes:
            octets = bytes(plane)
            for start in range(0, plane.height * plane.line_size, plane.line_size):
                yield octets[start : start + plane.width]
    else:
        size = frame.samples * frame.format.bytes
        if not frame.format.is_planar:
            size *= frame.layout.nb_channels
        for sound in frame.planes:
            yield bytes(sound)[:size]
