"""Every example of README.md, executed by somebody who installs the wheel and reads it through."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from rapidrtmp.config import TABLE
from tests.integration.case import IntegrationTestCase
from tests.integration.gcs import BUCKET, Emulator, free_port
from tests.integration.process import ROOT, Child, tool, wait_for
from tests.integration.server import BAD_WORDS, fetch
from tests.integration.viewer import Viewer
from tests.integration.wheel import build_wheel

README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()

KEY = "show"
"""The stream key that README.md uses."""

RUN = {"curl", "export", "ffmpeg", "pip", "rapidrtmp", "umask"}
"""Programs, and words of the shell, that examples begin with and that are executed."""

NOT_RUN = {
    "git": "nothing is fetched from outside; what is tested is this tree",
    "docker": "there is no Docker where tests run; an image is built from the wheel, too",
    "make": "`make run` and `make test` install into the tree, and this is a part of the latter",
}
"""Programs that are not executed here, and why."""

SETTINGS = {
    # viewers of a test are gone at once
    "DRAIN_TIMEOUT": "1s",
    # README.md names the ports that the server has by itself, where something else may listen
    "HTTP_ADDR": ":{http}",
    "RTMP_ADDR": ":{rtmp}",
    "RTMP_INGEST_ADDR": "rtmp://localhost:{rtmp}",
}

FILM = [
    *("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"),
    *("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"),
    *("-t", "90", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p"),
    *("-c:a", "aac", "film.mp4"),
]
"""What is to be published, as arguments of ffmpeg."""


def blocks() -> list[str]:
    """Give the examples for a shell."""
    return re.findall(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def commands(block: str) -> list[str]:
    """Give the commands of an example: its lines, joined where they are continued."""
    lines = block.replace("\\\n", " ").splitlines()
    return [line for line in lines if shlex.split(line, comments=True)]


def program(command: str) -> str:
    """Give the word that a command begins with."""
    found = re.match(r"\(?([\w.-]+)(?=\s)", command)
    return found[1] if found else command


class Reader:
    """Somebody who types the examples into a terminal, and opens another one while a server runs.

    There, nothing is exported yet; nor is it where the next server is started.

    What differs from README.md: the ports, the wheel instead of the source tree, the bucket, and
    ``<token>``, which is the newest that was printed.
    """

    def __init__(self, case: IntegrationTestCase, wheel: Path) -> None:
        self._case = case
        self.directory = case.temporary()
        self.http = free_port()
        self.rtmp = free_port()
        self.wheel = wheel
        self.token = ""
        self.server: Child | None = None
        self.publisher: Child | None = None
        self.run_commands: list[str] = []
        bin_directory = self.directory / "venv" / "bin"
        known = {row.name for row in TABLE} | {"PYTHONPATH", "VIRTUAL_ENV"}
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in known},
            **{k: v.format(http=self.http, rtmp=self.rtmp) for k, v in SETTINGS.items()},
            "PATH": f"{bin_directory}:{os.environ['PATH']}",
            "CURL_HOME": str(self.directory),
            "PYTHONUNBUFFERED": "1",
        }
        self.fresh = self.environment
        """What a terminal begins with."""
        # An example that is answered 4xx or 5xx is a failure.
        (self.directory / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\nno-buffer\n")
        self.execute(f"{shlex.quote(sys.executable)} -m venv venv")
        self.execute(shlex.join([tool("ffmpeg"), "-loglevel", "error", *FILM]))

    def type(self, command: str) -> str:
        """Do what a line of an example says, and give what it prints."""
        self.run_commands.append(command)
        command = self._translate(command)
        name = program(command)
        words = shlex.split(command, comments=True)
        if name == "export":
            printed = self.execute(f"{command}\nenv -0")
            self.environment = dict(pair.split("=", 1) for pair in printed.split("\0") if pair)
            return ""
        if words[:2] == ["rapidrtmp", "serve"]:
            self.server = self._start(command, "server")
            wait_for(self._is_ready, "/ready answers 200", 20)
            self.environment = self.fresh
            return ""
        if name == "ffmpeg":
            self.publisher = self._start(command, "publisher")
            return ""
        if words[:2] == ["curl", "-N"]:
            feed = self._start(command, "feed")
            self._case.wait_output(feed, "retry:")
            feed.kill()
            return feed.output()
        printed = self.execute(command)
        found = re.findall(r"\btoken=([0-9a-f]{64})\b", printed)
        if found:
            self.token = found[-1]
        return printed

    def execute(self, command: str) -> str:
        """Run a command of the shell to its end, which must be a success; give its output."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        said = [command, done.stdout[-2000:], done.stderr[-2000:], self.server_log()[-2000:]]
        self._case.assertEqual(done.returncode, 0, "\n".join(said))
        return done.stdout

    def stop(self) -> None:
        """End the server by Ctrl-C, and its terminal; judge how it ends and what it has logged."""
        server, self.server = self.server, None
        self.environment = self.fresh
        if self.publisher is not None:
            self.publisher.kill()
        if server is None:
            return
        server.signal(signal.SIGINT)
        self._case.assertEqual(server.wait(20), 0, server.output())
        for word in (*BAD_WORDS, " error ", " critical "):
            self._case.assertNotIn(word, server.output())

    def plays(self, path: str) -> None:
        """A player plays 3 s of a playlist: picture and sound."""
        url = f"http://localhost:{self.http}{path}"
        self.execute(f"curl {shlex.quote(url)} | grep '^#EXTM3U'")
        played = [tool("ffmpeg"), "-v", "error", "-xerror", "-i", url, "-t", "3"]
        hashes = self.execute(
            shlex.join([*played, "-map", "0:v", "-map", "0:a", "-f", "framemd5", "-"])
        )
        for stream in ("0", "1"):
            frames = [line for line in hashes.splitlines() if line.startswith(f"{stream},")]
            self._case.assertGreater(len(frames), 60)

    def server_log(self) -> str:
        """Give what the server has logged."""
        return self.server.output() if self.server is not None else ""

    def _start(self, command: str, name: str) -> Child:
        log = self.directory / f"{name}-{len(self.run_commands)}.log"
        arguments = ["bash", "-c", f"exec {command}"]
        child = Child(arguments, log, environment=self.environment, directory=self.directory)
        self._case.addCleanup(child.kill)
        return child

    def _is_ready(self) -> bool:
        assert self.server is not None
        self._case.assertTrue(self.server.running(), self.server.output())
        try:
            return fetch(self.http, "/ready", timeout=2.0).status == 200
        except OSError:
            return False

    def _translate(self, command: str) -> str:
        for words, others in [
            ("localhost:8080", f"localhost:{self.http}"),
            ("localhost:1935", f"localhost:{self.rtmp}"),
            ("<token>", self.token),
            ("my-bucket", BUCKET),
        ]:
            command = command.replace(words, others)
        tree = r"(?<=^pip install )(['\"]?)\.((?:\[\w+\])?)\1(?=\s|$)"
        return re.sub(tree, rf"'{self.wheel}\2'", command)


class ReadmeTests(IntegrationTestCase):
    timeout = 300

    def test_known(self) -> None:
        """Each command is either run by the test below or known not to be, with the reason."""
        for block in blocks():
            for command in commands(block):
                name = program(command)
                self.assertTrue(name in RUN or name in NOT_RUN, f"nobody runs: {command}")
                if name == "make":
                    target = shlex.split(command)[1]
                    self.assertIn(f"\n{target}:", MAKEFILE, command)

    def test_examples(self) -> None:
        """A newcomer with the wheel in a fresh environment does all that README.md shows."""
        built, wheels = build_wheel(self.temporary())
        self.addCleanup(built.kill)
        built.succeed(240)
        (wheel,) = wheels.iterdir()
        reader = Reader(self, wheel)
        emulator = Emulator(self)
        reader.fresh |= emulator.environment()
        servers = 0
        for block in blocks():
            lines = [line for line in commands(block) if program(line) not in NOT_RUN]
            if any(line.startswith("rapidrtmp serve") for line in lines):
                reader.stop()
                servers += 1
            for line in lines:
                printed = reader.type(line)
                if line.startswith("ffmpeg"):
                    self.live(reader)
                elif line.endswith("/api/v1/publish"):
                    self.boxes(reader, json.loads(printed))
                elif line.endswith("/api/v1/playback"):
                    self.signed(reader, json.loads(printed))
                elif line.endswith("/stop"):
                    assert reader.publisher is not None
                    reader.publisher.wait(15)
        self.assertEqual(servers, 3, "as it comes, with keys, and with a bucket")
        self.stored(reader, emulator)
        reader.stop()
        ran = {program(line) for line in reader.run_commands}
        self.assertEqual(ran, RUN)

    def live(self, reader: Reader) -> None:
        """While the film is published, each address in README.md is there, and it plays."""
        viewer = Viewer(reader.http, KEY)
        self.addCleanup(viewer.stop)
        viewer.wait_segments(3)
        self.assert_clean(viewer)
        addresses = set(re.findall(r"http://localhost:8080(/[\w./-]+)", README))
        addresses |= set(re.findall(r"`(/[a-z]+/[\w./-]+)`", README))
        self.assertIn(f"/live/{KEY}/index.m3u8", addresses)
        for path in addresses - {"/api/v1/events"}:
            status = fetch(reader.http, path).status
            is_post = path.endswith(("/stop", "/publish", "/playback"))
            self.assertEqual(status, 405 if is_post else 200, path)
        reader.plays(f"/live/{KEY}/index.m3u8")

    def boxes(self, reader: Reader, reply: dict[str, Any]) -> None:
        """The boxes of OBS are filled in as the API says."""
        for box, name in (("Server", "server"), ("Stream Key", "streamKey")):
            shown = re.search(rf"^\| {box} \| `(.*)` \|$", README, re.MULTILINE)
            assert shown is not None
            expected = shown[1].replace("<token>", reply["token"])
            expected = expected.replace("localhost:1935", f"localhost:{reader.rtmp}")
            self.assertEqual(reply["obs"][name], expected)

    def signed(self, reader: Reader, reply: dict[str, Any]) -> None:
        """The signed link plays, and nothing does without."""
        self.publish_again(reader)
        plain = fetch(reader.http, f"/live/{KEY}/index.m3u8")
        self.assertEqual(plain.status, 403, plain.text)
        reader.plays(reply["playlistPath"])

    def publish_again(self, reader: Reader) -> None:
        """Publish by README.md's own command, with the newest token; wait until it is live."""
        command = next(line for line in reader.run_commands if line.startswith("ffmpeg"))
        reader.type(command)
        wait_for(
            lambda: f"stream {KEY}: live" in reader.server_log(), "the stream is live again", 20
        )

    def stored(self, reader: Reader, emulator: Emulator) -> None:
        """The bucket gets what the last server is sent."""
        reader.type("rapidrtmp token show")
        self.publish_again(reader)

        def playlists() -> list[str]:
            # not the multivariant one, which would tell where the protected media are
            return [name for name in emulator.objects() if name.endswith("/video1.m3u8")]

        wait_for(playlists, "a playlist is in the bucket", 20)
        self.assertTrue(playlists()[0].startswith(f"streams/{KEY}/"))
        names = list(emulator.objects())
        self.assertTrue(any(name.endswith(".m4s") for name in names), names)
