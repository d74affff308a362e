"""Takes pictures out of a live stream, for computer vision: prints how bright each is.

    pip install '.[media]'    # PyAV
    python examples/frame_grabber.py http://localhost:8080/live/show/index.m3u8 --directory pictures

Any address does that FFmpeg plays: HLS is some seconds behind, rtmp://localhost/live/show less.
For OpenCV, ``frame.to_ndarray(format="bgr24")`` gives the picture as it wants it (with numpy).
"""

import argparse
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.video.codeccontext import VideoCodecContext

TIMEOUT = 15.0
"""Seconds without anything from the server after which the stream is over."""


def frames(url: str, every: float) -> Iterator[av.VideoFrame]:
    """Decode a stream; give a picture each so many seconds of its time."""
    due = float("-inf")
    with av.open(url, timeout=TIMEOUT) as container:
        # Where one picture a group is enough: streams.video[0].codec_context.skip_frame = "NONKEY"
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time >= due:
                due = frame.time + every
                yield frame


def brightness(frame: av.VideoFrame) -> float:
    """Give the mean luma of a picture, from 0 to 255."""
    small = frame.reformat(width=160, height=90, format="gray")
    plane = small.planes[0]
    data = bytes(plane)
    rows = [data[start : start + plane.width] for start in range(0, len(data), plane.line_size)]
    return sum(map(sum, rows)) / (plane.width * plane.height)


def jpeg(frame: av.VideoFrame) -> bytes:
    """Compress a picture."""
    encoder = av.CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, VideoCodecContext)
    picture = frame.reformat(format="yuvj420p")
    encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, "yuvj420p"
    encoder.time_base = Fraction(1, 1)  # of one picture, any will do
    picture.pts, picture.time_base = 0, encoder.time_base
    return b"".join(bytes(packet) for packet in (*encoder.encode(picture), *encoder.encode(None)))


def look(options: argparse.Namespace) -> None:
    """Look at a stream until it ends."""
    if options.directory is not None:
        options.directory.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames(options.url, options.every), 1):
        size = f"{frame.width}x{frame.height}"
        print(f"{frame.time:.3f} s: {size}, brightness {brightness(frame):.1f}", flush=True)
        if options.directory is not None:
            (options.directory / f"{number:06d}.jpg").write_bytes(jpeg(frame))
        if number == options.count:
            break


def main() -> None:
    """Look at the stream that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two pictures")
    parser.add_argument("--count", type=int, default=0, help="stop after so many; 0: never")
    parser.add_argument("--directory", type=Path, help="keep the pictures there, as JPEG")
    options = parser.parse_args()
    try:
        look(options)
    except KeyboardInterrupt:
        print("ended by Ctrl-C")
    except av.error.ExitError:
        sys.exit(f"frame_grabber: {options.url}: nothing came for {TIMEOUT:.0f} s")
    except (av.FFmpegError, OSError) as error:
        sys.exit(f"frame_grabber: {error.filename or options.url}: {error.strerror}")


if __name__ == "__main__":
    main()
