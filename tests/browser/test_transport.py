"""MPEG-TS HLS in headless Chromium."""

import json
import subprocess
import sys

from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import Child, python_environment


class TransportTests(IntegrationTestCase):
    def test_plays(self) -> None:
        """hls.js takes the transport stream apart and plays picture and sound, without an error."""
        server = self.serve(HLS_MAX_SEGMENTS="10")
        publisher = self.publish(server, "rate_48000", server.mint(KEY), live=True, loop=True)
        server.wait_playlist(KEY)
        urls = [server.url(f"/player/{KEY}"), f"/live/{KEY}/ts/index.m3u8"]
        child = Child(
            [sys.executable, "-m", "tests.browser.transport", *urls],
            self.temporary() / "browser.log",
            environment=python_environment(),
            stdin=subprocess.DEVNULL,
        )
        self.addCleanup(child.kill)
        seen = json.loads(child.succeed(90).splitlines()[-1])
        self.assertEqual(seen["height"], 180)
        self.assertGreater(sum(url.endswith(".ts") for url in seen["segments"]), 2)
        self.assertGreater(seen["frames"], 60)
        self.assertGreater(seen["audioBytes"], 0)
        # it may seek to where a live playlist begins, and abort a load of its own
        fatal = [each for each in seen["errors"] if each["fatal"]]
        self.assertEqual((fatal, seen["failed"], seen["thrown"]), ([], [], []))
        publisher.kill()
        server.stop()
