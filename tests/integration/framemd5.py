"""Judge of losslessness: the packets that were published are the packets that are served."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tests.integration.process import run, tool

MILLISECOND = Fraction(1, 1000)


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet as ffmpeg's framemd5 muxer tells it. Times in seconds."""

    dts: Fraction
    pts: Fraction
    duration: Fraction
    size: int
    digest: str


def command(source: str, *options: str) -> list[str]:
    """Give the ffmpeg command that prints the packets of a file or URL."""
    return [
        *(tool("ffmpeg"), "-hide_banner", "-nostdin", "-loglevel", "warning", *options),
        *("-i", source, "-map", "0:v?", "-map", "0:a?", "-c", "copy", "-copyinkf"),
        *("-f", "framemd5", "-"),
    ]


def hls_command(url: str) -> list[str]:
    """Give the ffmpeg command that prints the packets of a live playlist, first to last."""
    return command(url, "-live_start_index", "0")


def read_file(path: Path) -> dict[str, list[Packet]]:
    """Read the packets of a file, by 'video' and 'audio'."""
    return parse(run(command(str(path))).decode())


def parse(text: str) -> dict[str, list[Packet]]:
    """Read the output of the framemd5 muxer. Lines of ffmpeg's log in between are skipped."""
    scales: dict[str, Fraction] = {}
    kinds: dict[str, str] = {}
    packets: dict[str, list[Packet]] = {}
    for line in text.splitlines():
        if line.startswith("#tb "):
            number, _, text_of_scale = line[4:].partition(": ")
            scales[number] = Fraction(text_of_scale)
        elif line.startswith("#media_type "):
            number, _, kinds[number] = line[12:].partition(": ")
            packets[kinds[number]] = []
        elif line[:1].isdigit() and line.count(",") >= 5:
            number, dts, pts, duration, size, digest = (
                part.strip() for part in line.split(",")[:6]
            )
            scale = scales[number]
            packets[kinds[number]].append(
                Packet(int(dts) * scale, int(pts) * scale, int(duration) * scale, int(size), digest)
            )
    return packets


def differences(source: dict[str, list[Packet]], served: dict[str, list[Packet]]) -> list[str]:
    """Say in what the served packets differ from the source; nothing when they are the same.

    The payloads must be equal, in order, none missing or doubled. After one common offset
    video times must be equal, audio times equal to 1 ms (FLV carries ms, the server counts
    samples), and each duration must be the distance to the next packet; the very last one
    of a track is exempt.
    """
    wrong: list[str] = []
    if source.keys() != served.keys():
        return [f"tracks: {sorted(source)} published, {sorted(served)} served"]
    leading = "video" if source.get("video") else "audio"
    if not served[leading] or not source[leading]:
        return [f"no {leading} packet"]
    offset = served[leading][0].dts - source[leading][0].dts
    for kind, sent in source.items():
        got = served[kind]
        wrong += _payload_differences(kind, sent, got)
        if len(sent) == len(got):
            wrong += _time_differences(kind, sent, got, offset)
    return wrong


def _payload_differences(kind: str, sent: list[Packet], got: list[Packet]) -> list[str]:
    wrong = []
    if len(sent) != len(got):
        wrong.append(f"{kind}: {len(sent)} packets published, {len(got)} served")
    for index, (one, other) in enumerate(zip(sent, got, strict=False)):
        if (one.size, one.digest) != (other.size, other.digest):
            wrong.append(f"{kind} packet {index}: {one} became {other}")
            break
    return wrong


def _time_differences(
    kind: str, sent: list[Packet], got: list[Packet], offset: Fraction
) -> list[str]:
    allowed = Fraction(0) if kind == "video" else MILLISECOND
    wrong = []
    for index, (one, other) in enumerate(zip(sent, got, strict=True)):
        late = other.dts - one.dts - offset
        if abs(late) > allowed:
            wrong.append(f"{kind} packet {index}: dts is off by {float(late * 1000):.3f} ms")
        late = other.pts - one.pts - offset
        if abs(late) > allowed:
            wrong.append(f"{kind} packet {index}: pts is off by {float(late * 1000):.3f} ms")
    for index in range(len(got) - 1):
        distance = got[index + 1].dts - got[index].dts
        if got[index].duration != distance:
            wrong.append(
                f"{kind} packet {index}: lasts {float(got[index].duration * 1000):.3f} ms, "
                f"the next one comes after {float(distance * 1000):.3f} ms"
            )
    return wrong[:10]
