"""Sound as real encoders write it: their own records and frames."""

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from io import BytesIO

import av
from av.audio.stream import AudioStream

from rapidrtmp.isobmff.fragment import media_segment
from rapidrtmp.isobmff.movie import init_segment
from rapidrtmp.media.codec import AudioConfig
from rapidrtmp.media.track import AUDIO_TRACK_ID, Sample, Track


@dataclass(frozen=True)
class Encoded:
    """What an encoder made."""

    record: bytes
    """The extradata, empty for codecs without any."""
    frames: Sequence[bytes]
    movie: bytes
    """What FFmpeg's own MP4 muxer makes of it."""


@cache
def encode(codec: str, rate: int, layout: str, options: str = "", seconds: float = 0.5) -> Encoded:
    """Encode a chord.

    Args:
        codec: the encoder's name.
        rate: in Hz.
        layout: FFmpeg's name of the channel layout.
        options: of the encoder: ``name=value``, separated by colons.
        seconds: of sound.
    """
    target = BytesIO()
    # MP3 below 16 kHz counts as experimental in MP4
    container = av.open(target, "w", format="mp4", options={"strict": "experimental"})
    given = dict(one.split("=", 1) for one in options.split(":") if one)
    stream = container.add_stream(codec, rate=rate, layout=layout, options=given)
    assert isinstance(stream, AudioStream)
    context = stream.codec_context
    context.open()
    packets = []
    total = int(seconds * rate)
    channels = context.layout.nb_channels
    resampler = av.AudioResampler(context.format, layout, rate)
    for start in range(0, total, context.frame_size):
        size = min(context.frame_size, total - start)
        tones = (
            round(8000 * math.sin(at * 1000 * (3 + channel) / rate))
            for at in range(start, start + size)
            for channel in range(channels)
        )
        frame = av.AudioFrame(format="s16", layout=layout, samples=size)
        frame.planes[0].update(array("h", tones).tobytes())
        frame.sample_rate = rate
        frame.pts, frame.time_base = start, Fraction(1, rate)
        for resampled in resampler.resample(frame):
            packets += stream.encode(resampled)
    packets += stream.encode(None)
    frames = [bytes(packet) for packet in packets if packet.size]
    record = bytes(context.extradata or b"")
    container.mux(packets)
    container.close()
    return Encoded(record, frames, target.getvalue())


def package(config: AudioConfig, frames: Sequence[bytes], start: int = 0) -> tuple[bytes, int]:
    """Make an fMP4 of frames, a fragment for each ten of them.

    Returns:
        The file, and the ticks in it by `frame_samples`.
    """
    track = Track(AUDIO_TRACK_ID, config)
    samples = []
    dts = start
    for frame in frames:
        samples.append(Sample(track, dts, 0, True, True, frame))
        dts += config.frame_samples(frame)
    pieces = [init_segment(track)]
    for first in range(0, len(samples), 10):
        group = samples[first : first + 10]
        end = samples[first + 10].dts if first + 10 < len(samples) else dts
        pieces.append(media_segment(track, first + 1, group, end))
    return b"".join(pieces), dts - start


@dataclass(frozen=True)
class Judged:
    """What FFmpeg makes of a file."""

    codec: str
    rate: int
    channels: int
    durations: Sequence[int]
    """Ticks, of the packets."""
    decoded: int
    """Samples, of all decoded frames."""


def judge(movie: bytes) -> Judged:
    """Let FFmpeg demux and decode a file of one track."""
    with av.open(BytesIO(movie), "r") as container:
        (stream,) = container.streams.audio
        packets = [packet for packet in container.demux(stream) if packet.size]
        durations = [packet.duration or 0 for packet in packets]
        decoded = sum(
            frame.samples
            for packet in [*packets, None]
            for frame in stream.codec_context.decode(packet)
        )
        context = stream.codec_context
        channels = context.layout.nb_channels
        return Judged(context.name, context.sample_rate, channels, durations, decoded)
