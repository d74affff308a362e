"""What is published: made by FFmpeg once for each GOP length, then kept; and the tags in it."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from benchmarks.process import BenchmarkError

SECONDS = 24
BITRATE = "2500k"
FRAME_RATE = 30
DESCRIPTION = (
    "H.264 High 1280x720, 30 frames/s, 2.5 Mbit/s, no B-frames, and AAC 48 kHz stereo 128 kbit/s"
)
_TAG_HEADER = 11
_BACK_POINTER = 4


class Tag(NamedTuple):
    """One FLV tag (FLV 10.1, E.4.1)."""

    type_id: int
    """8 audio, 9 video, 18 data."""
    timestamp: int
    """ms"""
    body: bytes

    @property
    def is_config(self) -> bool:
        """A sequence header."""
        if self.type_id == 9:
            return self.body[1] == 0
        return self.type_id == 8 and self.body[0] >> 4 == 10 and self.body[1] == 0


def build_directory() -> Path:
    """Return where the benchmarks keep what they make; nothing of it is to be committed."""
    directory = Path(os.environ.get("BENCH_DIR", Path(__file__).parent.parent / "build" / "bench"))
    directory.mkdir(parents=True, exist_ok=True)
    return directory.resolve()


def _command(gop_seconds: float) -> list[str]:
    gop = str(round(gop_seconds * FRAME_RATE))
    picture = f"testsrc2=size=1280x720:rate={FRAME_RATE},noise=alls=12:allf=t"
    sound = "anoisesrc=color=pink:sample_rate=48000:amplitude=0.3"
    return [
        *("-hide_banner", "-loglevel", "error", "-y"),
        *("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, "-t", str(SECONDS)),
        *("-c:v", "libx264", "-preset", "veryfast", "-profile:v", "high", "-bf", "0"),
        *("-g", gop, "-keyint_min", gop, "-sc_threshold", "0", "-pix_fmt", "yuv420p"),
        *("-b:v", BITRATE, "-maxrate", BITRATE, "-bufsize", BITRATE),
        *("-c:a", "aac", "-b:a", "128k", "-ac", "2"),
        *("-f", "flv", "-flvflags", "no_duration_filesize"),
    ]


def sample(gop_seconds: float = 2.0) -> Path:
    """Return the file with a key frame so often, made now if it is not there.

    Raises:
        BenchmarkError: FFmpeg is missing, or failed.
    """
    command = _command(gop_seconds)
    digest = hashlib.sha256(" ".join(command).encode()).hexdigest()[:12]
    path = build_directory() / f"sample-{gop_seconds:g}s-{digest}.flv"
    if path.exists():
        return path
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise BenchmarkError("FFmpeg is needed to make the sample: apt-get install ffmpeg")
    new = path.with_suffix(".new.flv")
    done = subprocess.run(
        [ffmpeg, *command, str(new)], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        raise BenchmarkError(f"FFmpeg failed: {done.stderr[-500:]}")
    new.rename(path)
    return path


def read_flv(octets: bytes) -> list[Tag]:
    """Read the tags of an FLV file.

    Raises:
        ValueError: it is none.
    """
    if octets[:3] != b"FLV":
        raise ValueError("no FLV file")
    tags = []
    position = int.from_bytes(octets[5:9], "big") + _BACK_POINTER
    while position + _TAG_HEADER <= len(octets):
        size = int.from_bytes(octets[position + 1 : position + 4], "big")
        time = octets[position + 7 : position + 8] + octets[position + 4 : position + 7]
        body = octets[position + _TAG_HEADER : position + _TAG_HEADER + size]
        if len(body) == size:
            tags.append(Tag(octets[position], int.from_bytes(time, "big"), body))
        position += _TAG_HEADER + size + _BACK_POINTER
    return tags
