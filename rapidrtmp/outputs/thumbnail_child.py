"""Makes thumbnails for the server: ``python -m rapidrtmp.outputs.thumbnail_child``.

A process of its own, because what publishers send goes through decoders written in C: one that
hangs, crashes or takes all memory harms nothing here. Requests come by standard input, answers
go by standard output (`thumbnail_wire`); the end of the input is the end of the process.
"""

import os
import resource
import signal
import sys
from fractions import Fraction
from typing import BinaryIO

import av
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, Colorspace

from rapidrtmp.outputs.thumbnail_wire import (
    MADE,
    UNDECODABLE,
    Answer,
    Request,
    max_bytes,
    message_length,
)

MAX_MEMORY = 1 << 30
"""Bytes of address space: a picture of 8192 x 4320 pixels takes a third of it."""
MAX_PIXELS = 8192 * 4608
"""Of a coded picture."""
MAX_SECONDS = 30
"""For one picture, should nobody be left to kill a decoder that hangs."""
NICENESS = 10
"""Media comes first."""
DECODERS = {
    "h264": ("h264",),
    "h265": ("hevc",),
    # FFmpeg's own, "av1", needs a graphics card
    "av1": ("libdav1d", "libaom-av1"),
    "vp9": ("vp9", "libvpx-vp9"),
}
"""FFmpeg's names of decoders: the first that it was built with is taken."""
QUALITIES = (5, 12, 31)
"""FFmpeg's scale for JPEG, 2 is best, 31 worst: the first whose picture is small enough."""
TIME_BASE = Fraction(1, 25)
"""Any will do."""
UNSPECIFIED = 2
"""The matrix of a picture that does not say."""
HD_HEIGHT = 720
"""Rows from which on such a picture has that of BT.709."""


class Undecodable(Exception):
    """There is no picture to be had of a key frame. Says why."""


def thumbnail(request: Request) -> bytes:
    """Make a JPEG of a key frame.

    Raises:
        Undecodable: it holds no picture, or one too large.
    """
    try:
        return _compress(_decode(request), (request.width, request.height))
    except av.FFmpegError as error:
        raise Undecodable(error.strerror) from error


def _compress(picture: av.VideoFrame, size: tuple[int, int]) -> bytes:
    scaled = picture.reformat(
        *size,
        "yuvj420p",
        src_colorspace=_colorspace(picture),
        dst_colorspace=Colorspace.ITU601,  # JFIF knows no other
        dst_color_range=ColorRange.JPEG,
    )
    scaled.pts, scaled.time_base = 0, TIME_BASE
    for quality in QUALITIES:
        jpeg = _encode(scaled, quality)
        if len(jpeg) <= max_bytes(size):
            return jpeg
    raise Undecodable("noise")


def _encode(picture: av.VideoFrame, quality: int) -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, "yuvj420p"
    encoder.time_base = TIME_BASE
    encoder.options = {"qmin": str(quality), "qmax": str(quality)}
    return b"".join(bytes(packet) for packet in (*encoder.encode(picture), *encoder.encode(None)))


def _colorspace(picture: av.VideoFrame) -> Colorspace:
    """Tell by what matrix a picture's colours are to be read (H.273 table 4)."""
    if picture.colorspace == UNSPECIFIED and picture.height >= HD_HEIGHT:
        return Colorspace.ITU709
    try:
        return Colorspace(picture.colorspace)
    except ValueError:
        return Colorspace.ITU601


def _decode(request: Request) -> av.VideoFrame:
    names = [name for name in DECODERS.get(request.codec, ()) if name in av.codecs_available]
    if not names:
        raise Undecodable(f"no decoder for {request.codec}")
    decoder = av.CodecContext.create(names[0], "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.extradata = request.config
    decoder.thread_count = 1
    decoder.options = {"max_pixels": str(MAX_PIXELS)}
    pictures = decoder.decode(av.Packet(bytes(request.sample)))
    # what a decoder holds back for reordering comes out at the end of the stream
    pictures = pictures or decoder.decode(None)
    if not pictures:
        raise Undecodable("no picture")
    picture = pictures[0]
    if picture.is_corrupt:
        raise Undecodable("damaged")
    return picture


def answer(message: bytes) -> bytes:
    """Answer one request."""
    request = Request.read(message)
    try:
        return Answer(request.number, MADE, thumbnail(request)).write()
    except Undecodable as reason:
        return Answer(request.number, UNDECODABLE, str(reason).encode()).write()


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until they end."""
    while len(prefix := requests.read(4)) == 4:
        message = requests.read(message_length(prefix))
        # the default action of the signal ends the process, wherever it is
        signal.alarm(MAX_SECONDS)
        answers.write(answer(message))
        signal.alarm(0)
        answers.flush()


def confine() -> None:
    """Give up what decoding does not need."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server
    os.nice(NICENESS)


def main() -> None:
    """Serve the process that started this one."""
    # Whatever a library prints must not get among the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    confine()
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
