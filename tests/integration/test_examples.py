"""The programs in examples/, each run as its first lines say. Hooks: see test_hooks.

Two of them are the code of docs/howto/embedding.md, which tests/docs/test_examples.py sees to.
"""

import re
import signal
import sys
from itertools import pairwise
from pathlib import Path

import av

from tests.integration import media, publishers
from tests.integration.case import IntegrationTestCase
from tests.integration.process import ROOT, Child, python_environment, wait_for
from tests.integration.raw_publisher import RawPublisher, Refused
from tests.integration.server import BAD_WORDS, fetch

EXAMPLES = ROOT / "examples"
KEY = "show"
"""The stream key that the examples use."""


class ExampleTests(IntegrationTestCase):
    def start(self, name: str, *arguments: str) -> Child:
        """Run a program."""
        directory = self.temporary()
        child = Child(
            [sys.executable, str(EXAMPLES / name), *arguments],
            directory / f"{name}.log",
            environment=python_environment(),
            directory=directory,
        )
        self.addCleanup(child.kill)
        return child

    def embedded(self, name: str) -> tuple[Child, str, int]:
        """Start a program that has the server inside; give where to publish, and its HTTP port."""
        addresses = (f"{protocol}_ADDR=127.0.0.1:0" for protocol in ("HTTP", "RTMP"))
        program = self.start(name, *addresses, "INGEST_MAX_AHEAD=0")
        self.wait_output(program, f"/player/{KEY}\n", 20)
        output = program.output()
        publish = re.search(r"^publish to (rtmp://\S+)$", output, re.MULTILINE)
        watch = re.search(r"^watch at http://localhost:(\d+)/", output, re.MULTILINE)
        assert publish is not None and watch is not None, output
        return program, publish[1].replace("localhost", "127.0.0.1"), int(watch[1])

    def wait_playlist(self, port: int) -> str:
        """Wait until the stream can be played; give the address of its playlist."""
        path = f"/live/{KEY}/index.m3u8"
        wait_for(lambda: fetch(port, path).status == 200, "the playlist", 20)
        return f"http://127.0.0.1:{port}{path}"

    def end(self, program: Child) -> None:
        """End a program as Ctrl-C does, which must be a clean end."""
        program.signal(signal.SIGINT)
        self.assertEqual(program.wait(20), 0, program.output())
        for word in BAD_WORDS:
            self.assertNotIn(word, program.output())

    def test_twisted(self) -> None:
        """A server in a Twisted program takes a stream and asks the program; OpenCV's part sees it.

        That part is the frame grabber, which opens the stream as any player does.
        """
        program, url, port = self.embedded("embedded_server.py")
        publisher = publishers.ffmpeg(
            self, media.as_flv(media.sample("rate_48000")), url, live=True, loop=True
        )
        playlist = self.wait_playlist(port)
        refused = self.private(port, int(url.split(":")[2].split("/")[0]))
        self.assertEqual(refused.description, "no, private-1 is private")
        pictures = self.temporary() / "pictures"
        grabber = self.start(
            *("frame_grabber.py", playlist, "--every", "0.2", "--count", "4"),
            *("--directory", str(pictures)),
        )
        self.judge(grabber.succeed(40), sorted(pictures.iterdir()))
        publisher.kill()
        self.end(program)

    def private(self, http: int, rtmp: int) -> Refused:
        """Try to publish what the program keeps for itself, with a token; give the refusal."""
        asked = {"Content-Type": "application/json"}
        answer = fetch(http, "/api/v1/publish", "POST", asked, b'{"streamKey": "private-1"}')
        publisher = RawPublisher(rtmp)
        self.addCleanup(publisher.close)
        with self.assertRaises(Refused) as caught:
            publisher.publish(f"private-1?token={answer.json['token']}", "live")
        refused: Refused = caught.exception
        return refused

    def judge(self, told: str, pictures: list[Path]) -> None:
        """The grabber has told of four pictures, a fifth of a second apart, and kept them."""
        found = re.findall(r"^([\d.]+) s: 320x180, brightness ([\d.]+)$", told, re.MULTILINE)
        times = [float(time) for time, _ in found]
        self.assertEqual(len(times), 4, told)
        for time, after in pairwise(times):
            self.assertTrue(0.15 < after - time < 0.25, told)
        # testsrc2 is neither black nor white
        for _, brightness in found:
            self.assertTrue(60 < float(brightness) < 190, told)
        self.assertEqual([path.name for path in pictures], [f"{n:06d}.jpg" for n in range(1, 5)])
        for path in pictures:
            with av.open(str(path)) as picture:
                (frame,) = picture.decode(video=0)
            self.assertEqual((frame.width, frame.height), (320, 180))

    def test_asyncio(self) -> None:
        """A server in an asyncio program takes a stream; the program goes on beside it."""
        program, url, port = self.embedded("embedded_asyncio.py")
        self.wait_output(program, "streams: []")
        publisher = publishers.ffmpeg(
            self, media.as_flv(media.sample("plain")), url, live=True, loop=True
        )
        self.wait_playlist(port)
        self.wait_output(program, f"streams: ['{KEY}']")
        publisher.kill()
        self.end(program)
