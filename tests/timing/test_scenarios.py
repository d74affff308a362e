"""What happens to encoders, as hls.js sees it in headless Chromium."""

import json

from tests.browser.pages import Pages
from tests.integration.case import IntegrationTestCase
from tests.integration.process import wait_for
from tests.integration.scenarios import Scenarios

CHANGED = ("codecs-wrong", "resolution-wrong", "bandwidth-low")
"""A multivariant playlist cannot know what an encoder will change to; players load it once."""


class ScenarioCase(IntegrationTestCase):
    """Plays all scenarios at once, in one browser."""

    def play(self, outage: float) -> None:
        """Every page plays on by itself, without a reload or a fatal error.

        What it is given breaks no rule, by the standards judge and by the tests' own.
        """
        server = self.serve(
            STREAM_GRACE="120s",
            HLS_MAX_SEGMENTS="10",
            HLS_PART_DURATION="500ms",  # five pages ask for each
            RTMP_IDLE_TIMEOUT="5s",
        )
        scenarios = Scenarios(self, server, outage=outage)
        for name in scenarios.NAMES:
            server.wait_playlist(name)
        # A host each: to one a browser opens six connections, of which each player needs three.
        sites = {name: f"http://{name}.localhost:{server.http_port}" for name in scenarios.NAMES}
        pages = Pages(self, *(f"{site}/player/{name}" for name, site in sites.items()))
        viewers = [self.watch(server, name) for name in scenarios.NAMES]
        pages.wait_playing(2)
        scenarios.run()
        pages.wait_playing(5, 60)
        # a busy machine may hold one of them up for a moment
        playing = ["playing"] * len(pages.states)
        wait_for(lambda: [state["page"] for state in pages.states] == playing, "all play", 40)
        states = dict(zip(scenarios.NAMES, pages.states, strict=True))
        for name, state in states.items():
            words = f"{name}: {json.dumps(state, indent=1)}"
            fatal = [error for error in state["errors"] if error["fatal"]]
            # The page is the same one. It may have made a new player of its own accord, where the
            # machine gave the old one no time for ten seconds.
            opened = [text for text in state["messages"] if "Opening" in text]
            self.assertEqual((len(opened), fatal), (1, []), words)
            self.assertEqual((state["thrown"], state["error"]), ([], None), words)
        self.assertEqual(states["resolution"]["height"], 360)
        self.assertEqual(states["codec"]["codec"], "vp09")
        pages.close()
        for name, viewer in zip(scenarios.NAMES, viewers, strict=True):
            excused = CHANGED if name in ("resolution", "codec") else ()
            problems = [
                each for each in viewer.judge() if not any(rule in each for rule in excused)
            ]
            self.assertEqual(problems, [], name)
        scenarios.close()
        server.stop()


class ScenarioTests(ScenarioCase):
    def test_played(self) -> None:
        """A reconnect, changes in mid-stream, jumps of a clock; of outages a short one."""
        self.play(outage=12)
