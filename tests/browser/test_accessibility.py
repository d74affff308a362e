"""Our pages can be used by everybody: axe-core finds nothing, in light and dark, on a phone."""

import json
import sys

from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import Child, python_environment, tool

PAGES = ("live", "list", "docs", "idle", "waiting", "refused", "ended", "empty list")


class AccessibilityTests(IntegrationTestCase):
    def test_pages(self) -> None:
        """No violation in any state of any page, nothing wider than a phone, by keyboard alone."""
        server = self.serve(STREAM_GRACE="1s", THUMBNAILS="false")
        publisher = self.publish(server, "rate_48000", server.mint(KEY), live=True, loop=True)
        server.wait_playlist(KEY)
        tool("chromium")
        address = server.url("")
        child = Child(
            [sys.executable, "-m", "tests.browser.accessibility", address, KEY],
            self.temporary() / "browser.log",
            environment=python_environment(),
        )
        self.addCleanup(child.kill)
        told = json.loads(child.succeed(90).splitlines()[-1])
        found = told["found"]
        self.assertEqual(len(found), 3 * len(PAGES))
        for name, each in found.items():
            self.assertEqual(each["violations"], [], name)
            is_dark = not name.endswith("light")
            self.assertEqual(each["dark"], is_dark, name)
            if "docs" not in name:  # its colours are those of the system
                self.assertEqual(each["theme"], "dark" if is_dark else "light", name)
            self.assertIn("color-contrast", each["passes"], f"{name} was not judged")
            self.assertLessEqual(each["wide"], 0, f"{name} is wider than the screen")
        self.assertEqual(told["colours"], ["light", "dark", "dark"])
        self.judge_buttons(told["buttons"], address)
        publisher.kill()
        server.stop()

    def judge_buttons(self, buttons: dict[str, list[str]], address: str) -> None:
        """What is copied is right and said, and the code is a QR code."""
        playlist = f"{address}/live/{KEY}/index.m3u8"
        page = f"{address}/player/{KEY}"
        self.assertEqual(buttons["link"], [page, "Link copied"])
        self.assertEqual(buttons["url"][0], playlist)
        self.assertIn(f'<iframe src="{page}"', buttons["frame"][0])
        self.assertEqual(
            buttons["element"][0],
            f'<script type="module" src="{address}/static/rapid-player.js"></script>\n'
            f'<rapid-player src="{playlist}"></rapid-player>',
        )
        side = int(str(buttons["qr"]).split()[-1]) - 8  # the quiet zone
        self.assertIn(side, range(21, 178, 4), "no size of a QR code")  # ISO/IEC 18004
        self.assertEqual(buttons["paused"], "Play")
