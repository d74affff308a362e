"""Sample files for the tests, made once with ffmpeg and kept in the temporary directory."""

import fcntl
import hashlib
import os
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.integration.process import run, tool

PICTURE = "testsrc2=size=320x180:rate=25"
X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-threads", "1"]
AAC = ["-c:a", "aac", "-b:a", "64k"]


def _tone(rate: int) -> str:
    return f"sine=frequency=440:sample_rate={rate}"


def _gop(frames: int, *more: str) -> list[str]:
    options = [f"keyint={frames}", f"min-keyint={frames}", "scenecut=0", *more]
    return ["-x264-params", ":".join(options)]


def _both(
    seconds: int, video: list[str], *, picture: str = PICTURE, rate: int = 48000
) -> list[str]:
    return [
        *("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", _tone(rate)),
        *("-t", str(seconds), *X264, *video, *AAC, "-ac", "2"),
    ]


RECIPES: dict[str, list[str]] = {
    # baseline: DTS equals PTS
    "plain": _both(6, _gop(25, "bframes=0")),
    # I-frames that are no IDR between the IDRs, leading B-frames that reach over them
    "open_gop": _both(
        8, [*_gop(25, "bframes=3", "b-adapt=0", "b-pyramid=normal", "open-gop=1"), "-bf", "3"]
    ),
    "audio_only": ["-f", "lavfi", "-i", _tone(48000), "-t", "8", *AAC, "-ac", "2"],
    "video_only": ["-f", "lavfi", "-i", PICTURE, "-t", "6", *X264, *_gop(25, "bframes=2")],
    "rate_44100": _both(6, _gop(25), rate=44100),
    "rate_48000": _both(6, _gop(50, "bframes=2"), rate=48000),
    "larger": _both(6, _gop(50, "bframes=0"), picture="testsrc2=size=640x360:rate=25", rate=44100),
    # noise that stands still: large key frames, small frames between them
    "big_keyframes": _both(
        3,
        [*_gop(10, "bframes=0"), "-qp", "24"],
        picture="testsrc2=size=3840x2160:rate=10,noise=alls=20",
    ),
    # 4 Mbit/s, a key frame a second
    "heavy": _both(
        4,
        [*_gop(25, "bframes=0"), *("-b:v", "4M", "-maxrate", "4M", "-bufsize", "2M")],
        picture="testsrc2=size=640x360:rate=25,noise=alls=40:allf=t",
    ),
    "long_gop": _both(26, _gop(250, "bframes=2")),
    # one key frame at the start and never again
    "one_keyframe": _both(40, _gop(100000, "bframes=0")),
    "five_minutes": _both(300, _gop(50, "bframes=0")),
    # core of the file that high_efficiency() makes
    "core_24000": [
        *("-f", "lavfi", "-i", PICTURE, "-f", "lavfi", "-i", _tone(24000)),
        *("-t", "6", *X264, *_gop(25, "bframes=0"), *AAC, "-ac", "2"),
    ],
}


def sample(name: str) -> Path:
    """Give the Matroska or FLV file of that name; make it when it is not there yet."""
    if name == "high_efficiency":
        return high_efficiency()
    recipe = RECIPES[name]
    # FLV for what is patched or sent tag by tag, Matroska (ms timestamps) else
    suffix = ".flv" if name in ("core_24000", "one_keyframe", "five_minutes") else ".mkv"
    target = _directory() / f"{name}-{_digest(*recipe)}{suffix}"

    def make(path: Path) -> None:
        quiet = ["-hide_banner", "-loglevel", "error", "-y"]
        kind = "flv" if suffix == ".flv" else "matroska"
        run([tool("ffmpeg"), *quiet, *recipe, "-fflags", "+bitexact", "-f", kind, str(path)])

    return _once(target, make)


def as_flv(source: Path) -> Path:
    """Give the file as FLV, unchanged but for FLV's millisecond timestamps: what is published."""
    if source.suffix == ".flv":
        return source
    target = _directory() / f"{source.stem}.published.flv"

    def make(path: Path) -> None:
        quiet = ["-hide_banner", "-loglevel", "error", "-y"]
        run([tool("ffmpeg"), *quiet, "-i", str(source), "-c", "copy", "-f", "flv", str(path)])

    return _once(target, make)


def high_efficiency() -> Path:
    """Give an HE-AAC file, as far as the container goes.

    No free encoder for SBR is at hand. The frames are AAC-LC at 24 kHz; the
    AudioSpecificConfig signals SBR explicitly (object type 5, 48 kHz output), which ISO/IEC
    14496-3 1.6.5 allows without SBR payloads: a decoder doubles the rate all the same. So
    the handling of the configuration, of the timescale and of the 2048-sample frames is
    tested, the decoding of SBR payloads is not.
    """
    core = sample("core_24000")
    # object type 5, 24 kHz, 2 channels, extension 48 kHz, object type 2, GASpecificConfig 000
    bits = f"{5:05b}{6:04b}{2:04b}{3:04b}{2:05b}000"
    config = int(bits.ljust(32, "0"), 2).to_bytes(4, "big")
    target = _directory() / f"high_efficiency-{core.stem.split('-')[1]}-{config.hex()}.flv"

    def make(path: Path) -> None:
        with path.open("wb") as out:
            out.write(FLV_HEADER)
            for tag in flv_tags(core):
                body = tag.body
                if tag.type_id == 8 and body[1] == 0:
                    body = body[:2] + config
                out.write(flv_tag(tag.type_id, tag.timestamp, body))

    return _once(target, make)


class Tag(NamedTuple):
    """One FLV tag: the body of one RTMP message."""

    type_id: int
    timestamp: int
    """ms"""
    body: bytes

    @property
    def is_config(self) -> bool:
        """It carries a decoder configuration (AVC or AAC)."""
        return self.type_id in (8, 9) and len(self.body) > 1 and self.body[1] == 0

    @property
    def is_picture(self) -> bool:
        """It carries AVC frames."""
        return self.type_id == 9 and self.body[1] == 1

    @property
    def is_keyframe(self) -> bool:
        """It carries an AVC key frame."""
        return self.type_id == 9 and self.body[0] == 0x17 and self.body[1] == 1


FLV_HEADER = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"


def flv_tag(type_id: int, timestamp: int, body: bytes) -> bytes:
    """Write one tag with its PreviousTagSize."""
    header = struct.pack(">B", type_id) + len(body).to_bytes(3, "big")
    header += (timestamp & 0xFFFFFF).to_bytes(3, "big") + bytes([timestamp >> 24 & 0xFF])
    header += bytes(3)
    return header + body + struct.pack(">I", 11 + len(body))


def flv_tags(path: Path) -> Iterator[Tag]:
    """Read the tags of an FLV file."""
    content = path.read_bytes()
    at = 13
    while at + 11 <= len(content):
        size = int.from_bytes(content[at + 1 : at + 4], "big")
        timestamp = int.from_bytes(content[at + 4 : at + 7], "big") | content[at + 7] << 24
        yield Tag(content[at], timestamp, content[at + 11 : at + 11 + size])
        at += 15 + size


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]


def _directory() -> Path:
    directory = Path(tempfile.gettempdir()) / f"rapidrtmp-samples-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def _once(target: Path, make: Callable[[Path], None]) -> Path:
    """Make a file once, also when several test processes ask for it together."""
    if target.exists():
        return target
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            partial = target.with_name(f".{target.name}")
            make(partial)
            partial.replace(target)
    return target
