"""The blocks of the documentation that are marked ``<!-- run -->``, typed in by a reader."""

import os
import signal
import sys
from pathlib import Path

from tests.docs.blocks import Block, all_blocks
from tests.docs.shell import commands
from tests.integration import media
from tests.integration.case import IntegrationTestCase
from tests.integration.process import Child, python_environment, run, tool, wait_for
from tests.integration.server import BAD_WORDS, fetch, listening_port

KEY = "show"
"""The stream key of the documentation."""
TOKENS = ("6c0a…", "<token>")
"""What stands for a token of that key."""
PUBLISHERS = ("ffmpeg", "gst-launch-1.0")
"""Programs that publish until they are ended."""


class DocsBlocksTests(IntegrationTestCase):
    timeout = 180

    def test_blocks(self) -> None:
        """Each does what it says: it succeeds, or its stream is live, or its server listens."""
        marked = [block for block in all_blocks() if block.mark == "run" and not block.words]
        self.assertGreater(len(marked), 5)
        self.server = self.serve(STREAM_GRACE="60s")
        self.token = self.server.mint(KEY)
        self.publisher: Child | None = None
        self.directory = self.temporary()
        (self.directory / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
        quiet = [tool("ffmpeg"), "-loglevel", "error", "-stream_loop", "9", "-i"]
        film = [*quiet, str(media.sample("plain")), "-c", "copy", str(self.directory / "film.mp4")]
        run(film)
        for number, block in enumerate(marked):
            programs = self.programs(block)
            log = self.directory / f"{number}.log"
            if programs & set(PUBLISHERS):
                self.publishes(block, log)
            elif "rapidrtmp serve" in block.text:
                self.serves(block, log)
            else:
                self.succeeds(block, log)
        if self.publisher is not None:
            self.publisher.kill()
        self.server.stop()

    def programs(self, block: Block) -> set[str]:
        """Give the first words of the commands in a block; nothing for Python."""
        if block.language == "python":
            return set()
        return {each.words[0] for each in commands(block.text) if each.words}

    def type(self, block: Block, log: Path, **settings: str) -> Child:
        """Run a block as it is, but for ports, the token and where programs are installed."""
        text = block.text
        for shown, real in (
            ("localhost:8080", f"127.0.0.1:{self.server.http_port}"),
            ("localhost:1935", f"127.0.0.1:{self.server.rtmp_port}"),
            *((shown, self.token) for shown in TOKENS),
            (".venv/bin/", ""),
            *((f":{port}", ":0") for port in ("8443", "1936")),
        ):
            text = text.replace(shown, real)
        shell = ["bash", "-euo", "pipefail", "-c"]
        child = Child(
            [*([sys.executable, "-c"] if block.language == "python" else shell), text],
            log,
            environment=python_environment(CURL_HOME=str(self.directory), **settings),
            directory=self.directory,
        )
        self.addCleanup(child.kill)
        return child

    def succeeds(self, block: Block, log: Path) -> None:
        """It comes to its end, while the stream is live."""
        if self.publisher is None:
            self.publisher = self.publish(
                self.server, "rate_48000", self.token, key=KEY, live=True, loop=True
            )
        self.server.wait_playlist(KEY)
        self.server.wait_live(KEY)
        address = f"127.0.0.1:{self.server.http_port}"
        try:
            self.type(block, log, HTTP_ADDR=address).succeed()
        except AssertionError as error:
            raise AssertionError(f"{block}: {error}") from None

    def publishes(self, block: Block, log: Path) -> None:
        """It makes the stream live, after nobody has published it."""
        if self.publisher is not None:
            self.publisher.kill()
            self.publisher = None
        wait_for(lambda: not self.server.stream(KEY).get("active"), "nobody publishes")
        child = self.type(block, log, HTTP_ADDR=f"127.0.0.1:{self.server.http_port}")

        def is_live() -> bool:
            self.assertTrue(child.running(), f"{block}: {child.output()[-2000:]}")
            return bool(self.server.stream(KEY).get("active"))

        wait_for(is_live, f"{block}: the stream is live", 20)
        child.kill()

    def serves(self, block: Block, log: Path) -> None:
        """Its server listens, and ends as Ctrl-C ends it."""
        names = {"HTTP_ADDR": "127.0.0.1:0", "RTMP_ADDR": "127.0.0.1:0", "DRAIN_TIMEOUT": "0s"}
        child = self.type(block, log, **names)

        def is_ready() -> bool:
            self.assertTrue(child.running(), f"{block}: {child.output()[-2000:]}")
            port = listening_port(child.output(), "HTTP")
            try:
                return port is not None and fetch(port, "/ready", timeout=2.0).status == 200
            except OSError:
                return False

        wait_for(is_ready, f"{block}: the server is ready", 20)
        os.killpg(child.pid, signal.SIGINT)
        child.wait(20)
        output = child.output()
        self.assertIn("service: stopped", output, f"{block}: {output}")
        for word in (*BAD_WORDS, " error ", " critical "):
            self.assertNotIn(word, output, str(block))
