"""Publishes a moving test card with a clock and a tone by RTMP: ``python -m rapidrtmp.testcard``.

The URL comes as the first line of standard input, not as an argument, which everybody on the
machine could read. The end of standard input, which is also the end of whoever started this
process, ends it.
"""

import array
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import av

WIDTH, HEIGHT = 640, 360
FRAME_RATE = 30
KEYFRAME_INTERVAL = 2 * FRAME_RATE
VIDEO_BIT_RATE = 800_000
SAMPLE_RATE = 48_000
AUDIO_BIT_RATE = 64_000
AUDIO_FRAME = 1024
"""Samples in one AAC access unit (ISO/IEC 14496-3 section 4.5.2.1)."""
PATIENCE = 8
"""Seconds that the server may take to answer or to read."""

# Y, Cb, Cr (BT.601, limited range): white, yellow, cyan, green, magenta, red, blue, black at 75 %
_BARS = (
    (180, 128, 128),
    (162, 44, 142),
    (131, 156, 44),
    (112, 72, 58),
    (84, 184, 198),
    (65, 100, 212),
    (35, 212, 114),
    (16, 128, 128),
)
_WHITE, _DARK = 235, 24
_BAND_TOP, _BAND_HEIGHT = 240, 80
"""The dark band of the moving block. Even, as the colour planes have half the rows."""
_BLOCK = 40
_TITLE = "RAPIDRTMP"
_TITLE_TOP, _CLOCK_TOP = 64, 128
_TITLE_SCALE, _CLOCK_SCALE = 6, 8
_BITS, _CHECK_BITS = 32, 8
_CELL, _STRIP_HEIGHT = WIDTH // (_BITS + _CHECK_BITS), 8
"""The strip at the lower edge, which programs read: see `clock_bits`."""
_STRIP_TOP = HEIGHT - _STRIP_HEIGHT

# Five columns by seven rows, a row in five bits.
_GLYPHS = {
    "0": (14, 17, 19, 21, 25, 17, 14),
    "1": (4, 12, 4, 4, 4, 4, 14),
    "2": (14, 17, 1, 6, 8, 16, 31),
    "3": (14, 17, 1, 6, 1, 17, 14),
    "4": (2, 6, 10, 18, 31, 2, 2),
    "5": (31, 16, 30, 1, 1, 17, 14),
    "6": (6, 8, 16, 30, 17, 17, 14),
    "7": (31, 1, 2, 4, 8, 8, 8),
    "8": (14, 17, 17, 14, 17, 17, 14),
    "9": (14, 17, 17, 15, 1, 2, 12),
    ":": (0, 4, 4, 0, 4, 4, 0),
    ".": (0, 0, 0, 0, 0, 4, 4),
    "A": (14, 17, 17, 31, 17, 17, 17),
    "D": (30, 17, 17, 17, 17, 17, 30),
    "I": (14, 4, 4, 4, 4, 4, 14),
    "M": (17, 27, 21, 21, 17, 17, 17),
    "P": (30, 17, 17, 30, 16, 16, 16),
    "R": (30, 17, 17, 30, 20, 18, 17),
    "T": (31, 4, 4, 4, 4, 4, 4),
}


def _box(text: str, top: int, scale: int) -> tuple[int, int, int, int]:
    """Give left, top, width and height of the box of a centred line of text."""
    width = (6 * len(text) + 1) * scale
    # One row of bits above and below is its margin.
    return (WIDTH - width) // 2, top - scale, width, 9 * scale


def _text(luma: bytearray, text: str, top: int, scale: int) -> None:
    """Draw a line of text in a dark box, centred, into a luma plane."""
    left, y, width, _ = _box(text, top, scale)
    for line in range(-1, 8):
        row = bytearray([_DARK]) * width
        for index, character in enumerate(text):
            bits = _GLYPHS[character][line] if 0 <= line < 7 else 0
            for column in range(5):
                if bits >> (4 - column) & 1:
                    start = (6 * index + 1 + column) * scale
                    row[start : start + scale] = bytes([_WHITE]) * scale
        for _ in range(scale):
            luma[y * WIDTH + left : y * WIDTH + left + width] = row
            y += 1


def clock_bits(ms: int) -> str:
    """Return what the strip at the lower edge shows, from left to right.

    Forty cells of equal width, white for '1' and black for '0': the lower 32 bits of a time
    in ms, highest first, and 8 that make the sum of the five octets a multiple of 256.

    Args:
        ms: unix time.
    """
    octets = (ms % (1 << _BITS)).to_bytes(4, "big")
    check = -sum(octets) % (1 << _CHECK_BITS)
    return "".join(f"{octet:08b}" for octet in (*octets, check))


def _plane(component: int, divisor: int, level: int) -> bytearray:
    """Draw one plane of the background: colour bars with dark, colourless boxes."""
    width = WIDTH // divisor
    bars = b"".join(bytes([bar[component]]) * (width // len(_BARS)) for bar in _BARS)
    plane = bytearray(bars * (HEIGHT // divisor))
    boxes = (
        (0, _BAND_TOP, WIDTH, _BAND_HEIGHT),
        (0, _STRIP_TOP, WIDTH, _STRIP_HEIGHT),
        _box(_TITLE, _TITLE_TOP, _TITLE_SCALE),
        _box("00:00:00.0", _CLOCK_TOP, _CLOCK_SCALE),
    )
    for box in boxes:
        left, top, across, down = (length // divisor for length in box)
        for start in range(top * width + left, (top + down) * width + left, width):
            plane[start : start + across] = bytes([level]) * across
    return plane


class Picture:
    """Draws the frames: what does not move is drawn once."""

    def __init__(self) -> None:
        """Draw the background."""
        self._background = _plane(0, 1, _DARK)
        self.cb = bytes(_plane(1, 2, 128))
        self.cr = bytes(_plane(2, 2, 128))
        _text(self._background, _TITLE, _TITLE_TOP, _TITLE_SCALE)

    def luma(self, number: int, now: float) -> bytes:
        """Draw the luma plane of a frame.

        Args:
            number: of the frame; the block crosses the picture once in two seconds.
            now: unix time that its clock shows, in the local time zone.
        """
        luma = bytearray(self._background)
        step = number % (2 * KEYFRAME_INTERVAL)
        along = min(step, 2 * KEYFRAME_INTERVAL - step)
        left = (WIDTH - _BLOCK) * along // KEYFRAME_INTERVAL
        block = bytes([_WHITE]) * _BLOCK
        top = _BAND_TOP + (_BAND_HEIGHT - _BLOCK) // 2
        for start in range(top * WIDTH + left, (top + _BLOCK) * WIDTH + left, WIDTH):
            luma[start : start + _BLOCK] = block
        clock = time.strftime("%H:%M:%S", time.localtime(now)) + f".{int(now * 10) % 10}"
        _text(luma, clock, _CLOCK_TOP, _CLOCK_SCALE)
        cells = (bytes([_WHITE if bit == "1" else _DARK]) for bit in clock_bits(int(now * 1000)))
        luma[_STRIP_TOP * WIDTH :] = b"".join(cell * _CELL for cell in cells) * _STRIP_HEIGHT
        return bytes(luma)


def tone() -> bytes:
    """Make one second of sound: a soft 1 kHz tone, louder in its first 80 ms. 32-bit floats."""
    return array.array(
        "f",
        (
            (0.12 if n < SAMPLE_RATE * 8 // 100 else 0.02)
            * math.sin(2 * math.pi * 1000 * n / SAMPLE_RATE)
            for n in range(SAMPLE_RATE)
        ),
    ).tobytes()


def _sound() -> Iterator[av.AudioFrame]:
    second = tone()
    looped = second + second[: 4 * AUDIO_FRAME]
    position = 0
    while True:
        frame = av.AudioFrame(format="fltp", layout="mono", samples=AUDIO_FRAME)
        start = 4 * (position % SAMPLE_RATE)
        frame.planes[0].update(looped[start : start + 4 * AUDIO_FRAME])
        frame.sample_rate = SAMPLE_RATE
        frame.time_base = Fraction(1, SAMPLE_RATE)
        frame.pts = position
        yield frame
        position += AUDIO_FRAME


def _pictures() -> Iterator[av.VideoFrame]:
    picture = Picture()
    number = 0
    while True:
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        for plane, samples in zip(
            frame.planes,
            (picture.luma(number, time.time()), picture.cb, picture.cr),
            strict=True,
        ):
            plane.update(samples)
        frame.time_base = Fraction(1, FRAME_RATE)
        frame.pts = number
        yield frame
        number += 1


def publish(url: str, ended: threading.Event) -> None:
    """Encode and send in real time until `ended` is set.

    When the server stalls, SIGALRM ends the process.

    Raises:
        av.FFmpegError: the server refused or is gone.
    """
    # FFmpeg's RTMP output has no timeout and keeps Python's lock while it waits: nothing but
    # a signal's default action gets through.
    signal.alarm(PATIENCE)
    with av.open(url, "w", format="flv") as output:
        video = output.add_stream(
            "libx264",
            rate=FRAME_RATE,
            options={"preset": "ultrafast", "tune": "zerolatency", "sc_threshold": "0"},
        )
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.gop_size = KEYFRAME_INTERVAL
        video.bit_rate = VIDEO_BIT_RATE
        audio = output.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        audio.bit_rate = AUDIO_BIT_RATE
        sounds, pictures = _sound(), _pictures()
        start = time.monotonic()
        samples = 0
        for number, picture in enumerate(pictures):
            if ended.wait(max(0.0, start + number / FRAME_RATE - time.monotonic())):
                return
            signal.alarm(PATIENCE)
            output.mux(video.encode(picture))
            while samples * FRAME_RATE <= number * SAMPLE_RATE:
                output.mux(audio.encode(next(sounds)))
                samples += AUDIO_FRAME


def main() -> None:
    """Read the URL, then publish until standard input ends."""
    # Ctrl-C in a terminal reaches this process too; its parent decides when it ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    url = sys.stdin.readline().strip()
    ended = threading.Event()

    def watch() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=watch, daemon=True).start()
    try:
        publish(url, ended)
    except av.FFmpegError as error:
        # The URL holds the token.
        sys.exit(str(error).replace(url, "the server"))


if __name__ == "__main__":
    main()
