"""Lets hls.js in headless Chromium play a stream's transport stream for some seconds.

Run as a child process: ``python -m tests.browser.transport PLAYER_URL PLAYLIST_PATH``. Prints one
JSON object.
"""

import json
import sys
import tempfile

from playwright.sync_api import sync_playwright

from tests.browser.watch import ARGUMENTS, CHROMIUM, Watch

PATIENCE = 60_000
"""ms until it has played for some seconds."""
READY = "() => window.rapidrtmp && window.rapidrtmp.hls && window.rapidrtmp.video.currentTime > 0"
LOAD = """
(path) => {
  const {video, hls} = window.rapidrtmp;
  window.__segments = [];
  hls.on('hlsFragBuffered', (_, {frag}) => window.__segments.push(frag.url));
  video.addEventListener('timeupdate', () => {
    if (window.__segments.some((url) => url.endsWith('.ts'))) window.__from ??= video.currentTime;
  });
  hls.loadSource(path);
}
"""
PLAYED = "() => window.rapidrtmp.video.currentTime > window.__from + 3"


def main(url: str, path: str) -> None:
    """Open the player's page, and give its hls.js the other playlist."""
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            directory, executable_path=CHROMIUM, headless=True, args=ARGUMENTS
        )
        watch = Watch(context.pages[0], url)
        page = watch.page
        page.wait_for_function(READY, timeout=PATIENCE)
        page.evaluate(LOAD, path)
        page.wait_for_function(PLAYED, timeout=PATIENCE)
        seen = watch.look() | {"segments": page.evaluate("() => window.__segments")}
        context.close()
    print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
