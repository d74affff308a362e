"""The page of examples/web_page, on a site of its own, in headless Chromium."""

import re
import sys

from tests.browser.test_player import Browser
from tests.integration.case import IntegrationTestCase
from tests.integration.process import ROOT, Child, python_environment, wait_for

KEY = "show"
"""The stream key of the page."""


class WebPageTests(IntegrationTestCase):
    def test_plays(self) -> None:
        """The element plays from the server, whose origin is another; the page hears of it."""
        server = self.serve()
        publisher = self.publish(
            server, "rate_48000", server.mint(KEY), key=KEY, live=True, loop=True
        )
        server.wait_playlist(KEY)
        site = self.temporary()
        page = (ROOT / "examples" / "web_page" / "index.html").read_text()
        self.assertIn("//localhost:8080/", page)
        (site / "index.html").write_text(
            page.replace("//localhost:8080/", f"//localhost:{server.http_port}/")
        )
        pages = Child(
            [sys.executable, "-m", "http.server", "0", "--directory", str(site)],
            self.temporary() / "site.log",
            environment=python_environment(),
        )
        self.addCleanup(pages.kill)
        port = wait_for(lambda: re.search(r" port (\d+)", pages.output()), "Serving HTTP")
        browser = Browser(self, f"http://localhost:{port[1]}/")
        browser.wait_time(2, 40)
        wait_for(lambda: "The player is playing" in browser.state["text"], "the page hears of it")
        state = browser.state
        self.assertEqual((state["width"], state["height"]), (320, 180))
        self.assertEqual([each for each in state["errors"] if each["fatal"]], [])
        self.assertEqual((state["failed"], state["thrown"]), ([], []))
        # all that is not of the site is of the server
        own = f"http://localhost:{server.http_port}/"
        self.assertEqual([url for url in state["outside"] if not url.startswith(own)], [])
        self.assertIn(f"{own}static/rapid-player.js", state["outside"])
        browser.close()
        publisher.kill()
        server.stop()
