"""Thumbnails of the real server: real key frames, and a process that is killed or frozen."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from urllib.parse import urljoin

import av
from twisted.trial.unittest import SynchronousTestCase

from tests.hls.checker import parse_multivariant_playlist
from tests.integration import media
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import PATIENCE, python_environment, wait_for
from tests.integration.server import Answer, Server

OTHER = "stream-2"
CHILD = "rapidrtmp.outputs.thumbnail_child"
COLUMNS, ROWS = 4, 4


def colours(picture: av.VideoFrame) -> Sequence[int]:
    """Give the mean colours of 4 by 4 parts of a picture."""
    small = picture.reformat(COLUMNS, ROWS, "rgb24", interpolation="AREA")
    plane = small.planes[0]
    octets = bytes(plane)
    return [
        octet
        for row in range(ROWS)
        for octet in octets[row * plane.line_size : row * plane.line_size + 3 * COLUMNS]
    ]


@cache
def key_frames(name: str) -> Sequence[Sequence[int]]:
    """Give the colours of the key frames of a sample."""
    with av.open(str(media.sample(name))) as container:
        stream = container.streams.video[0]
        stream.codec_context.skip_frame = "NONKEY"
        return [colours(picture) for picture in container.decode(stream)]


class ConfinementTests(SynchronousTestCase):
    """What the process may not do, tried where it has given that up."""

    def confined(self, program: str) -> str:
        """Run a program after `confine`; give the last line of what it says."""
        program = f"from {CHILD} import confine; confine(); {program}"
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=python_environment(),
            capture_output=True,
            text=True,
            timeout=30 * PATIENCE,
        )
        return [str(done.returncode), *done.stderr.splitlines()][-1]

    def test_memory(self) -> None:
        """It gets a bounded part of the machine's memory."""
        self.assertEqual(self.confined("bytearray(1 << 29)"), "0")
        self.assertEqual(self.confined("bytearray(1 << 30)"), "MemoryError")

    def test_files(self) -> None:
        """It can write no file, not even a core."""
        program = "open('file', 'wb', 0).write(b'x')"
        self.assertIn("File too large", self.confined(program))
        Path("file").unlink()

    def test_end(self) -> None:
        """It ends by itself when its input does, as it does when the server is killed."""
        done = subprocess.run(
            [sys.executable, "-m", CHILD],
            env=python_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30 * PATIENCE,
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))


class ThumbnailTests(IntegrationTestCase):
    def picture(self, answer: Answer) -> av.VideoFrame:
        """Judge an answer; give the picture in it."""
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "image/jpeg"))
        self.assertEqual(answer.body[:2], b"\xff\xd8")
        with av.open(BytesIO(answer.body), "r", format="jpeg_pipe") as container:
            [picture] = container.decode(video=0)
        return picture

    def assert_shows(self, answer: Answer, name: str) -> None:
        """The answer is a JPEG of the right size that shows a key frame of a sample."""
        picture = self.picture(answer)
        with av.open(str(media.sample(name))) as container:
            stream = container.streams.video[0]
            height = round(320 * stream.height / stream.width)
        self.assertEqual((picture.width, picture.height), (320, height))
        seen = colours(picture)
        distance = min(
            max(abs(a - b) for a, b in zip(seen, expected, strict=True))
            for expected in key_frames(name)
        )
        self.assertLess(distance, 10, "the JPEG shows none of the key frames")

    def children(self, server: Server) -> list[int]:
        """Find the server's thumbnail processes, zombies included."""
        parent = server.child.pid
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    stat = (entry / "stat").read_text()
                except OSError:
                    continue
                if int(stat.rpartition(")")[2].split()[1]) == parent:
                    found.append(int(entry.name))
        return found

    def test_life(self) -> None:
        """Pictures are made; killing and freezing the process costs pictures, nothing else."""
        server = self.serve(STREAM_GRACE="60s")
        self.publish(server, "plain", server.mint(KEY), live=True, loop=True)
        self.publish(server, "video_only", server.mint(OTHER), key=OTHER, live=True, loop=True)
        index = server.wait_playlist(KEY)
        self.assertEqual(self.children(server), [], "a process, and nobody asked for a picture")
        thumbnail = f"/live/{KEY}/thumb.jpg"
        answer = server.get(thumbnail)
        self.assert_shows(answer, "plain")
        self.assertEqual(answer.headers["cache-control"], "public, max-age=2")
        self.assertEqual(server.stream(KEY)["viewers"], 0)
        self.assertTrue(server.get("/streams.json").json["thumbnails"])

        [image] = parse_multivariant_playlist(index.body).images
        path = urljoin(f"/live/{KEY}/index.m3u8", image.uri)
        playlist = server.get(path).text
        self.assertIn("#EXT-X-IMAGES-ONLY\n", playlist)
        first = next(line for line in playlist.splitlines() if line.endswith(".jpg"))
        answer = server.get(urljoin(path, first))
        self.assert_shows(answer, "plain")
        self.assertIn("immutable", answer.headers["cache-control"])

        [child] = self.children(server)
        command = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        self.assertIn(CHILD.encode(), command)
        os.kill(child, signal.SIGKILL)
        wait_for(lambda: not self.children(server), "the killed process is waited for")
        wait_for(lambda: server.get(f"/live/{OTHER}/thumb.jpg").status == 200, "another one works")
        self.assert_shows(server.get(f"/live/{OTHER}/thumb.jpg"), "video_only")

        [child] = self.children(server)
        os.kill(child, signal.SIGSTOP)
        answer = wait_for(
            lambda: found if (found := server.get(thumbnail)).status != 200 else None,
            "a picture is wanted of the frozen process",
        )
        self.assertEqual(answer.status, 503, answer.text)
        self.assertIn("retry-after", answer.headers)
        self.assertGreater(int(server.get(thumbnail).headers["retry-after"]), 40)
        wait_for(lambda: child not in self.children(server), "the frozen process is gone")
        viewer = self.watch(server)
        wait_for(lambda: server.get(f"/live/{OTHER}/thumb.jpg").status == 200, "another one works")
        viewer.wait_segments(2)
        self.assert_clean(viewer)
        name = "rapidrtmp_thumbnail_failures_total"
        self.assertEqual(server.metric(name, 'reason="timeout"'), 1)
        [child] = self.children(server)
        server.stop()
        self.assertFalse(Path(f"/proc/{child}").exists(), "the process outlived the server")
