"""The player page of a stream that needs a signed URL, in headless Chromium."""

from tests.browser.test_player import Browser
from tests.integration.case import KEY
from tests.integration.process import wait_for
from tests.integration.test_sessions import PROTECTED, SessionTestCase, signed


class ProtectedPlayerTests(SessionTestCase):
    def test_signed_page(self) -> None:
        """A signed address of the page plays, as one viewer; without, it says what is missing."""
        server = self.serve(STREAM_GRACE="60s", **PROTECTED)
        publisher = self.publish(server, "rate_48000", server.mint(KEY), live=True, loop=True)
        wait_for(lambda: server.get(signed(60)).status == 200, "the signed playlist", 15)
        query = signed(60).partition("?")[2]
        browser = Browser(self, server.url(f"/player/{KEY}?{query}"))
        browser.wait_time(3)
        state = browser.state
        # hls.js tells of loads that it aborts itself, and of what it does where it is given no time
        fatal = [error for error in state["errors"] if error["fatal"]]
        self.assertEqual((fatal, state["failed"], state["thrown"]), ([], [], []))
        self.assertEqual(state["pictures"], [], "pictures are asked for without a signature")
        wait_for(lambda: server.stream(KEY)["viewers"] == 1, "one viewer")  # not one a connection
        browser.close()
        stranger = Browser(self, server.url(f"/player/{KEY}"))
        wait_for(lambda: stranger.state.get("page") == "error", "the page gives up", 30)
        self.assertIn("This stream needs a signed URL.", stranger.state["text"])
        stranger.close()
        publisher.kill()
        server.stop()
