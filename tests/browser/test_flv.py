"""HTTP-FLV and WebSocket-FLV in headless Chromium, by mpegts.js."""

import json
import subprocess
import sys
from typing import Any

from tests.browser.flv_players import LIBRARY
from tests.integration.case import KEY
from tests.integration.process import Child, python_environment, wait_for
from tests.integration.test_tls import TLSTestCase


class FLVPlayerTests(TLSTestCase):
    def told(self, child: Child, count: int) -> list[dict[str, Any]]:
        """Wait until the page has told so often how it is doing."""

        def lines() -> list[str]:
            if not child.running():
                raise AssertionError(f"the browser ended:\n{child.output()[-2000:]}")
            whole = child.output().split("\n")[:-1]  # the rest is still being written
            return [line for line in whole if line.endswith("}")]

        wait_for(lambda: len(lines()) >= count, "the page tells how it is doing", 45)
        return [json.loads(line) for line in lines()]

    def test_plays(self) -> None:
        """Both forms play without and with TLS, there by HTTP/2; who leaves gives its place up."""
        self.assertTrue(LIBRARY.exists(), f"{LIBRARY} is missing: make -B .venv/.installed-dev")
        server = self.serve_tls()
        publisher = self.publish(server, "rate_48000", server.mint(KEY), live=True, loop=True)
        server.wait_live(KEY)
        plain, secure = server.http_port, self.port(server, "HTTPS")
        urls = {
            f"http://127.0.0.1:{plain}/live/{KEY}.flv": "http/1.1",
            f"ws://127.0.0.1:{plain}/live/{KEY}.flv": "101",
            f"wss://127.0.0.1:{secure}/live/{KEY}.flv": "101",
            f"https://127.0.0.1:{secure}/live/{KEY}.flv": "h2",
        }
        child = Child(
            [sys.executable, "-m", "tests.browser.flv_players", *urls],
            self.temporary() / "browser.log",
            environment=python_environment(),
            stdin=subprocess.PIPE,
        )
        self.addCleanup(child.kill)
        (playing,) = self.told(child, 1)[:1]
        self.assertEqual(playing["errors"], [])
        self.assertEqual(playing["sizes"], [320] * 4)
        protocols = {url: playing["protocols"].get(url) for url in urls}
        self.assertEqual(protocols, urls)
        wait_for(lambda: server.stream(KEY)["viewers"] == 3, "the HTTP/2 stream is gone", 10)
        self.assertEqual(server.metric("rapidrtmp_players", 'protocol="flv"'), 3.0)
        self.assertEqual(self.told(child, 2)[1]["errors"], [])
        assert child.process.stdin is not None
        child.process.stdin.close()
        child.succeed(20)
        wait_for(lambda: server.stream(KEY)["viewers"] == 0, "nobody watches", 10)
        publisher.kill()
        server.stop()
