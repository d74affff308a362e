"""`rapidrtmp check` on a real server's stream, as users run it."""

import json
import sys
from pathlib import Path

from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import Child, python_environment

COMMAND = [sys.executable, "-m", "rapidrtmp.cli", "check"]
OF_TIME = ("playlist-stale", "segment-late", "part-late", "download-slow")
"""Rules that a busy machine breaks now and then, too: one good round tells."""
ROUNDS = 5


class CheckTests(IntegrationTestCase):
    def check(self, *arguments: str) -> Child:
        """Start a check."""
        output = self.temporary() / "check.log"
        child = Child([*COMMAND, *arguments], output, environment=python_environment())
        self.addCleanup(child.kill)
        return child

    def findings(self, child: Child) -> list[str]:
        """Wait for a check that asks for JSON; give what it found."""
        child.wait(30)
        value = json.loads(child.output())
        self.assertEqual(len(value["renditions"]), 2)
        for rendition in value["renditions"]:
            self.assertGreater(rendition["segments"], 1, rendition)
        return [
            f"{each['rule']}: {each['where']}: {each['words']}"
            for each in value["findings"]
            # at the start a stream has not got six segments yet
            if each["rule"] != "playlist-few"
        ]

    def test_live(self) -> None:
        """A live stream of ours is clean, from the network and from its files."""
        server = self.serve(HLS_MAX_SEGMENTS="6")
        publisher = self.publish(server, "rate_48000", server.mint(KEY), live=True, loop=True)
        server.wait_playlist(KEY)
        url = server.url(f"/live/{KEY}/index.m3u8")
        nothing = self.check(server.url("/live/nothing/index.m3u8"))
        for _ in range(ROUNDS):
            live = self.check(url, "--seconds", "8", "--json")
            found = self.findings(live)
            if not any(each.startswith(OF_TIME) for each in found):
                break
        self.assertEqual(found, [])
        self.assertEqual(live.wait(1), 0)
        self.assertEqual(nothing.wait(10), 2)
        stored = self.check(str(Path(server.storage) / KEY), "--json")
        self.assertEqual(self.findings(stored), [])
        publisher.kill()
        server.stop()
