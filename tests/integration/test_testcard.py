"""The child process of the demo, run for real."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.integration.case import IntegrationTestCase
from tests.integration.process import Child, python_environment, tool, wait_for

COMMAND = [sys.executable, "-m", "rapidrtmp.testcard"]


class TestCardTests(IntegrationTestCase):
    """It encodes H.264 and AAC, and never outlives its parent."""

    def start(self, url: str) -> Child:
        """Start the child and give it its URL."""
        log = self.temporary() / "testcard.log"
        child = Child(COMMAND, log, environment=python_environment(), stdin=subprocess.PIPE)
        self.addCleanup(child.kill)
        assert child.process.stdin is not None
        self.addCleanup(child.process.stdin.close)
        child.process.stdin.write(url.encode() + b"\n")
        child.process.stdin.flush()
        return child

    def test_media(self) -> None:
        """What it sends is H.264 with a keyframe every two seconds, and AAC, in real time."""
        path = self.temporary() / "testcard.flv"
        begun = time.monotonic()
        child = self.start(str(path))
        wait_for(lambda: path.exists() and path.stat().st_size > 100_000, "media", 20)
        elapsed = time.monotonic() - begun
        assert child.process.stdin is not None
        child.process.stdin.close()
        child.succeed(5)
        shown = subprocess.run(
            [tool("ffprobe"), "-v", "error", "-of", "json", "-show_streams", "-show_packets", path],
            capture_output=True,
            check=True,
        )
        self.assertEqual(shown.stderr, b"")
        found = json.loads(shown.stdout)
        video, audio = found["streams"]
        self.assertEqual((video["codec_name"], video["width"]), ("h264", 640))
        self.assertEqual((audio["codec_name"], audio["sample_rate"]), ("aac", "48000"))
        pictures = [packet for packet in found["packets"] if packet["codec_type"] == "video"]
        keys = [number for number, packet in enumerate(pictures) if "K" in packet["flags"]]
        self.assertEqual(keys, list(range(0, len(pictures), 60)))
        self.assertLess(len(pictures) / 30, elapsed + 1)

    def test_end_of_the_parent(self) -> None:
        """When its parent is killed the child ends, even while its server keeps silent."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"rtmp://127.0.0.1:{silent.getsockname()[1]}/live/demo?token=secret"
            program = (
                "import subprocess, sys, time\n"
                f"child = subprocess.Popen({COMMAND!r}, stdin=subprocess.PIPE)\n"
                f"child.stdin.write({url.encode()!r} + b'\\n')\n"
                "child.stdin.flush()\n"
                "print(child.pid, flush=True)\n"
                "time.sleep(60)\n"
            )
            parent = Child(
                [sys.executable, "-c", program],
                self.temporary() / "parent.log",
                environment=python_environment(),
            )
            self.addCleanup(parent.kill)
            silent.settimeout(20)
            connection, _ = silent.accept()
            self.addCleanup(connection.close)
            pid = int(wait_for(parent.output, "the process id"))
            parent.process.send_signal(signal.SIGKILL)

            def gone() -> bool:
                try:
                    os.kill(pid, 0)
                except ProcessLookupError:
                    return True
                # Nobody may have reaped it: a zombie is gone too.
                status = Path(f"/proc/{pid}/stat").read_text()
                return status.rpartition(")")[2].split()[0] == "Z"

            wait_for(gone, "the end of the child", 15)

    def test_refused(self) -> None:
        """Without a server it ends at once, with a reason that does not hold the token."""
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        child = self.start(f"rtmp://127.0.0.1:{port}/live/demo?token=secret")
        self.assertEqual(child.wait(20), 1)
        self.assertIn("refused", child.output())
        self.assertNotIn("secret", child.output())
        self.assertNotIn("Traceback", child.output())
