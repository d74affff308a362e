"""The player page over HTTPS and HTTP/2 in headless Chromium."""

from tests.browser.test_player import Browser
from tests.integration.case import KEY
from tests.integration.process import wait_for
from tests.integration.test_tls import TLSTestCase


class HTTPSPlayerTests(TLSTestCase):
    def test_plays(self) -> None:
        """Chromium plays what is published by RTMPS, by one HTTP/2 connection, as one viewer."""
        server = self.serve_tls(STREAM_GRACE="30s")
        rtmps, https = self.port(server, "RTMPS"), self.port(server, "HTTPS")
        publisher = self.publish_tls(server, server.mint(KEY), rtmps, live=True)
        server.wait_playlist(KEY)
        browser = Browser(self, f"https://127.0.0.1:{https}/player/{KEY}")
        browser.wait_time(5)
        state = browser.state
        self.assertTrue(state["hls"], "the page does not use hls.js")
        self.assertGreater(state["frames"], 20)
        # hls.js tells of loads that it aborts itself, and of what it does where it is given no time
        fatal = [error for error in state["errors"] if error["fatal"]]
        self.assertEqual((fatal, state["failed"], state["thrown"]), ([], [], []))
        self.assertEqual(set(state["protocols"]), {"h2"})
        wait_for(lambda: server.stream(KEY)["viewers"] == 1, "one viewer")  # not one a connection
        browser.close()
        wait_for(lambda: server.stream(KEY)["viewers"] == 0, "nobody watches", 40)
        publisher.kill()
        server.stop()
