"""Codecs and tracks in headless Chromium, by the player's own page."""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from tests.browser.pages import Pages
from tests.integration import codec_table, enhanced_publisher
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.codec_table import Published
from tests.integration.enhanced_publisher import Spec
from tests.integration.process import Child, python_environment, wait_for
from tests.integration.server import Server


def plays(case: IntegrationTestCase, server: Server, rows: Sequence[Published]) -> Sequence[str]:
    """Play streams that are over to their ends: a page each, of one browser.

    Returns:
        Of each, 'yes' when picture and sound are decoded, 'no' when hls.js or the browser gives
        up, 'picture only' when it ends without sound.
    """
    # a host each: to one a browser opens six connections
    pages = Pages(
        case,
        *(
            f"http://{key}.localhost:{server.http_port}/player/{key}"
            for key in (row.combination.key for row in rows)
        ),
    )

    def answers() -> list[str] | None:
        found = [answer(state) for state in pages.states]
        return found if found and all(found) else None

    try:
        seen = wait_for(answers, "all play or give up", 40)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{json.dumps(pages.states, indent=1)}") from None
    for state in pages.states:
        case.assertEqual((state["outside"], state["thrown"], state["failed"]), ([], [], []))
    pages.close()
    return seen


def answer(state: dict[str, Any]) -> str:
    """Tell whether a page plays; '' as long as it is not at an end."""
    if any(each["fatal"] for each in state.get("errors", ())):
        return "no"
    # on a busy machine the page takes a stall in the last of four seconds for the end
    if state.get("page") != "ended" or state["frames"] < 60:
        return ""
    return "yes" if state["audioBytes"] else "picture only"


class CodecTests(IntegrationTestCase):
    def test_table(self) -> None:
        """Chromium plays what the documentation's table says, and nothing else."""
        server = self.serve(STREAM_GRACE="1s")
        documented = codec_table.documented()
        for rows in codec_table.rows(self, server):
            for row, seen in zip(rows, plays(self, server, rows), strict=True):
                each = row.combination
                self.assertEqual(seen, documented[each.video, each.audio][-1], each.key)
        server.stop()


class TrackTests(IntegrationTestCase):
    def test_switch(self) -> None:
        """hls.js goes from one picture size and one sound to the other, and back."""
        server = self.serve(HLS_MAX_SEGMENTS="10")
        tracks = (
            Spec("libx264", size=(320, 180)),
            Spec("libx264"),
            Spec("aac"),
            Spec("aac", pitch=880.0),
        )
        url = server.rtmp_url(KEY, server.mint(KEY))
        publisher = enhanced_publisher.publish(self, url, *tracks, loop=True)
        server.wait_playlist(KEY)
        child = Child(
            [sys.executable, "-m", "tests.browser.switch", server.url(f"/player/{KEY}")],
            self.temporary() / "browser.log",
            environment=python_environment(),
            stdin=subprocess.DEVNULL,
        )
        self.addCleanup(child.kill)
        seen = json.loads(child.succeed(90).splitlines()[-1])
        self.assertEqual(seen["levels"], [90, 180])
        self.assertEqual(seen["sounds"], ["Audio", "Audio 2"])
        self.assertEqual(seen["steps"], [[180, 0], [180, 1], [90, 1], [90, 0]])
        self.assertEqual([each for each in seen["errors"] if each["fatal"]], [])
        self.assertEqual((seen["failed"], seen["thrown"]), ([], []))
        publisher.kill()
        server.stop()
