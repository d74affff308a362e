"""From the test card's drawing to the screen of headless Chromium: docs/topics/latency.md."""

import subprocess
import sys
from statistics import median
from typing import Any

from tests.browser.pages import Pages
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import Child, python_environment, wait_for
from tests.integration.server import Server

LIMIT = 1.5
"""Seconds from the camera's glass to the screen's."""
LOOKS = 12
"""Of four a second: about as many frames whose clock is read."""
PATIENCE = 40
"""Seconds. A busy machine makes a player step back, from where it comes near again bit by bit."""


def glass_to_glass(history: list[dict[str, Any]]) -> list[float]:
    """Give the seconds of those looks at a page at which the clock was read."""
    return [state["glass"] / 1000 for state in history if state["glass"]]


def told(states: list[dict[str, Any]]) -> list[float]:
    """Return the latencies that the page told, in seconds."""
    return [float(state["latency"].removesuffix(" s")) for state in states]


class GlassCase(IntegrationTestCase):
    """A page that plays the test card, in parts of 200 ms."""

    def draw(self, server: Server) -> Child:
        """Publish the demo's picture."""
        child = Child(
            [sys.executable, "-m", "rapidrtmp.testcard"],
            self.temporary() / "testcard.log",
            environment=python_environment(),
            stdin=subprocess.PIPE,
        )
        self.addCleanup(child.kill)
        assert child.process.stdin is not None
        child.process.stdin.write(server.rtmp_url(KEY, server.mint(KEY)).encode() + b"\n")
        child.process.stdin.flush()
        return child

    def begin(self) -> tuple[Server, Child, Pages]:
        """Have a page play."""
        server = self.serve(HLS_PART_DURATION="200ms", HLS_SEGMENT_DURATION="2s")
        publisher = self.draw(server)
        server.wait_playlist(KEY)
        pages = Pages(self, server.url(f"/player/{KEY}"))
        pages.wait_playing(3)
        return server, publisher, pages

    def settle(self, pages: Pages) -> list[dict[str, Any]]:
        """Wait until the page is as near to the live edge as it should be.

        Returns:
            The looks at it that show that.
        """

        def looks() -> list[dict[str, Any]]:
            newest = [state for [state] in pages.history[-LOOKS:]]
            return [state for state in newest if state["glass"] and state["latency"][-1] == "s"]

        def found() -> list[dict[str, Any]] | None:
            seen = looks()
            if len(seen) <= LOOKS / 2:
                return None
            glass = median(glass_to_glass(seen))
            # A card that was held up sends faster until it has caught up; until then, its times are
            # behind what it draws. The page knows its times, and when the server had a frame, not
            # when it was drawn.
            is_told = glass - 0.7 < median(told(seen)) < glass + 0.2
            return seen if glass < LIMIT and is_told else None

        return wait_for(
            found, f"a median of {LIMIT} s in {LOOKS} looks, and the page tells so", PATIENCE
        )


class GlassToGlassTests(GlassCase):
    def test_low_latency(self) -> None:
        """It is under 1.5 s, and the page tells so, and how."""
        server, publisher, pages = self.begin()
        newest = self.settle(pages)
        glass = median(glass_to_glass(newest))
        print(
            f"glass to glass {glass:.2f} s, the page tells {median(told(newest)):.1f} s", flush=True
        )
        self.assertIn("low latency", newest[-1]["text"])
        for name in ("failed", "thrown", "outside"):
            self.assertEqual(newest[-1][name], [])
        pages.close()
        publisher.kill()
        server.stop()
