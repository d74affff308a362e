"""Plays FLV addresses by mpegts.js in headless Chromium, all on one page.

Run as a child process: ``python -m tests.browser.flv_players URL...``. Prints a JSON object when
all have played for `PLAYED` seconds, and another when the last of them has been taken away. Then it
waits for its standard input to end.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.browser.watch import ARGUMENTS, CHROMIUM

LIBRARY = Path(__file__).parent / "vendor" / "mpegts.js"
PAGE = "/health"
"""Of the first address, whose origin the players have then. Any without a policy for scripts: a
page that is put before the server's own answers may not fetch from this machine."""
PLAYED = 3.0
PATIENCE = 90_000
"""ms until all have played so long."""

PLAY = """
(urls) => {
  mpegts.LoggingControl.enableAll = false;
  window.errors = [];
  window.players = urls.map((url) => {
    const video = document.body.appendChild(document.createElement('video'));
    video.muted = true;
    const player = mpegts.createPlayer({type: 'flv', isLive: true, url});
    player.on(mpegts.Events.ERROR, (...told) => window.errors.push([url, ...told]));
    player.attachMediaElement(video);
    player.load();
    player.play();
    return player;
  });
}
"""
HAVE_PLAYED = """
(seconds) => window.errors.length
  || [...document.querySelectorAll('video')].every((video) => video.currentTime > seconds
    && video.getVideoPlaybackQuality().totalVideoFrames > 20 && video.webkitAudioDecodedByteCount)
"""
LOOK = """
() => ({
  errors: window.errors,
  sizes: [...document.querySelectorAll('video')].map((video) => video.videoWidth),
  times: [...document.querySelectorAll('video')].map((video) => video.currentTime),
})
"""


class Players:
    """A page with players."""

    def __init__(self, page: Page, urls: list[str]) -> None:
        self.protocols: dict[str, str] = {}
        """What each address was fetched by; '101' for a WebSocket."""
        self.page = page
        network = page.context.new_cdp_session(page)
        network.on("Network.responseReceived", self._received)
        network.on("Network.webSocketCreated", self._created)
        network.on("Network.webSocketHandshakeResponseReceived", self._switched)
        network.send("Network.enable")
        self._sockets: dict[str, str] = {}
        page.goto("/".join(urls[0].split("/")[:3]) + PAGE)
        page.add_script_tag(path=LIBRARY)
        page.evaluate(PLAY, urls)

    def _received(self, event: dict[str, Any]) -> None:
        self.protocols[event["response"]["url"]] = event["response"]["protocol"]

    def _created(self, event: dict[str, Any]) -> None:
        self._sockets[event["requestId"]] = event["url"]

    def _switched(self, event: dict[str, Any]) -> None:
        url = self._sockets[event["requestId"]]
        self.protocols[url] = str(event["response"]["status"])

    def tell(self) -> None:
        """Print how the players are doing."""
        print(json.dumps({**self.page.evaluate(LOOK), "protocols": self.protocols}), flush=True)


def main(urls: list[str]) -> None:
    """Play."""
    arguments = [*ARGUMENTS, "--ignore-certificate-errors"]
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            directory, executable_path=CHROMIUM, headless=True, args=arguments
        )
        players = Players(context.pages[0], urls)
        players.page.wait_for_function(HAVE_PLAYED, arg=PLAYED, timeout=PATIENCE)
        players.tell()
        players.page.evaluate("() => window.players.pop().destroy()")
        players.tell()
        sys.stdin.read()
        context.close()


if __name__ == "__main__":
    main(sys.argv[1:])
