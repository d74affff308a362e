"""Publishes by FFmpeg 8, which writes Enhanced RTMP: many codecs, and several tracks.

Run as a child process, since its calls block for good when a server does not answer:
``python -m tests.integration.enhanced_publisher URL PACE SECONDS [TRACK ...]``. Prints one JSON
object: how many packets of each track it sent.
"""

import json
import math
import os
import sys
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from io import BytesIO
from typing import TypeAlias

import av
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from tests.integration.case import IntegrationTestCase
from tests.integration.process import Child, python_environment

Coded: TypeAlias = "av.Packet[VideoStream | AudioStream]"

RATE = 25
"""Frames/s, as long as a track does not say another."""
VIDEO = {
    "libx264": "preset=ultrafast tune=zerolatency x264-params=keyint={gop}:scenecut=0",
    "libx265": "preset=ultrafast x265-params=log-level=none:keyint={gop}:min-keyint={gop}"
    ":scenecut=0:bframes=2{more}",
    "libsvtav1": "preset=12 svtav1-params=keyint={gop}:pred-struct=1",
    "libvpx-vp9": "deadline=realtime cpu-used=8 g={gop} keyint_min={gop} lag-in-frames=0",
}
"""Encoders and their options."""
SOUND_RATE = {"libmp3lame": 44100}
"""Hz, where it is not 48000: MP3 in FLV has no more."""

os.environ.setdefault("SVT_LOG", "1")  # errors only: it writes a page for each stream


@dataclass(frozen=True)
class Spec:
    """What one track is to be."""

    encoder: str
    size: tuple[int, int] = (160, 90)
    rate: int = 0
    """Frames/s or Hz; 0 for the usual."""
    pix_fmt: str = "yuv420p"
    more: str = ""
    """Parameters for the encoder's library."""
    gop: float = 1.0
    """Seconds."""
    language: str = ""
    title: str = ""
    pitch: float = 440.0
    """Hz."""

    @property
    def is_video(self) -> bool:
        """It has pictures."""
        return self.encoder in VIDEO


def publish(
    case: IntegrationTestCase,
    url: str,
    *tracks: Spec,
    seconds: int = 4,
    loop: bool = False,
) -> Child:
    """Publish tracks as fast as the server takes them, or in real time over and over.

    Args:
        case: the test; the child ends with it.
        url: where to.
        tracks: what to send.
        seconds: of media.
        loop: in real time, until it is killed.
    """
    words = [json.dumps(asdict(track)) for track in tracks]
    module = [sys.executable, "-m", "tests.integration.enhanced_publisher"]
    child = Child(
        [*module, url, "loop" if loop else "once", str(seconds), *words],
        case.temporary() / "publisher.log",
        environment=python_environment(),
    )
    case.addCleanup(child.kill)
    return child


def sent(output: str) -> list[int]:
    """Read how many packets of each track were sent."""
    line = next(line for line in output.splitlines() if line.startswith("{"))
    packets: list[int] = json.loads(line)["packets"]
    return packets


def _add(container: av.container.OutputContainer, spec: Spec) -> VideoStream | AudioStream:
    if spec.is_video:
        rate = spec.rate or RATE
        words = VIDEO[spec.encoder].format(gop=round(spec.gop * rate), more=spec.more)
        options = dict(word.split("=", 1) for word in words.split())
        video = container.add_stream(spec.encoder, rate=rate, options=options)
        assert isinstance(video, VideoStream)
        video.width, video.height = spec.size
        video.pix_fmt = spec.pix_fmt
        video.codec_context.thread_count = 1
        return video
    sound = container.add_stream(
        spec.encoder, rate=spec.rate or SOUND_RATE.get(spec.encoder, 48000), layout="stereo"
    )
    assert isinstance(sound, AudioStream)
    if spec.language:
        sound.metadata["language"] = spec.language
    if spec.title:
        sound.metadata["title"] = spec.title
    return sound


def _pictures(spec: Spec, seconds: int) -> Iterator[av.VideoFrame]:
    width, height = spec.size
    rate = spec.rate or RATE
    for number in range(seconds * rate):
        frame = av.VideoFrame(width, height, "gray")
        plane = frame.planes[0]
        row = bytes((x * 3 + number * 5) & 0xFF for x in range(plane.line_size))
        plane.update(row * height)
        frame = frame.reformat(format=spec.pix_fmt)
        frame.pts, frame.time_base = number, Fraction(1, rate)
        yield frame


def _sound(spec: Spec, stream: AudioStream, seconds: int) -> Iterator[av.AudioFrame]:
    context = stream.codec_context
    rate = context.sample_rate
    resampler = av.AudioResampler(context.format, "stereo", rate)
    size = context.frame_size
    for start in range(0, seconds * rate, size):
        angles = (2 * math.pi * spec.pitch * (start + at // 2) / rate for at in range(2 * size))
        frame = av.AudioFrame(format="s16", layout="stereo", samples=size)
        frame.planes[0].update(array("h", (round(9000 * math.sin(a)) for a in angles)).tobytes())
        frame.sample_rate = rate
        frame.pts, frame.time_base = start, Fraction(1, rate)
        yield from resampler.resample(frame)


def _encode(spec: Spec, stream: VideoStream | AudioStream, seconds: int) -> list[Coded]:
    packets: list[Coded] = []
    stream.codec_context.open()
    if isinstance(stream, VideoStream):
        for picture in _pictures(spec, seconds):
            packets += stream.encode(picture)
    else:
        for sound in _sound(spec, stream, seconds):
            packets += stream.encode(sound)
    packets += stream.encode(None)
    return [packet for packet in packets if packet.size]


def _seconds(packet: Coded, ticks: int | None) -> Fraction:
    assert ticks is not None
    return ticks * packet.time_base


def record(tracks: Sequence[Spec], seconds: int) -> bytes:
    """Return the FLV file that `send` would send."""
    target = BytesIO()
    send(target, tracks, seconds, loop=False)
    return target.getvalue()


def send(
    target_file: str | BytesIO, tracks: Sequence[Spec], seconds: int, *, loop: bool
) -> list[int]:
    """Send tracks to a server, or write them; return how many packets of each."""
    target = av.open(target_file, "w", format="flv", options={"flvflags": "no_duration_filesize"})
    streams = [_add(target, spec) for spec in tracks]
    packets: list[tuple[Fraction, int, Coded]] = []
    for index, spec in enumerate(tracks):
        for packet in _encode(spec, streams[index], seconds):
            packets.append((_seconds(packet, packet.dts), index, packet))
    packets.sort(key=lambda entry: entry[:2])
    counts = [0] * len(streams)
    last = [Fraction(-10)] * len(streams)
    begun = time.monotonic()
    shift = 0
    while True:
        for moment, index, packet in packets:
            due = moment + shift
            if due <= last[index]:
                continue  # sound is a little longer than the pictures
            last[index] = due
            if loop:
                time.sleep(max(0.0, begun + float(due) - time.monotonic()))
            copy = av.Packet(bytes(packet))
            copy.stream, copy.time_base = streams[index], packet.time_base
            copy.is_keyframe = packet.is_keyframe
            assert packet.dts is not None and packet.pts is not None
            ticks = round(shift / packet.time_base)
            copy.dts, copy.pts = packet.dts + ticks, packet.pts + ticks
            target.mux(copy)
            counts[index] += 1
        if not loop:
            target.close()
            return counts
        shift += seconds


def main(url: str, pace: str, seconds: str, *words: str) -> None:
    """Publish."""
    tracks = [Spec(**json.loads(word)) for word in words]
    packets = send(url, tracks, int(seconds), loop=pace == "loop")
    print(json.dumps({"packets": packets}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
