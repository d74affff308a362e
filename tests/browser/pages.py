"""Several pages in one headless Chromium, which tells of all of them, line by line.

The child process, `python -m tests.browser.pages URL...`, prints one JSON list after another until
standard input ends.
"""

import json
import select
import subprocess
import sys
import tempfile
from typing import Any

from playwright.sync_api import sync_playwright

from tests.browser.watch import ARGUMENTS, CHROMIUM, INTERVAL, Watch
from tests.integration.case import IntegrationTestCase
from tests.integration.process import Child, python_environment, tool, wait_for

TAIL = 200_000
"""Bytes that hold the newest look: the whole is long, by and by."""

# Reads the test card's clock off the next frame that is shown (rapidrtmp.testcard.clock_bits) and
# returns by how many ms that frame is late; null where there is no frame or no such clock.
GLASS_TO_GLASS = """
() => new Promise((resolve) => {
  const video = document.querySelector('video');
  if (!video || !video.videoWidth) return resolve(null);
  setTimeout(() => resolve(null), 300);
  video.requestVideoFrameCallback(() => {
    const now = Date.now();
    const {videoWidth: width, videoHeight: height} = video;
    const strip = new OffscreenCanvas(width, 4).getContext('2d', {willReadFrequently: true});
    strip.drawImage(video, 0, height - 6, width, 4, 0, 0, width, 4);
    const {data} = strip.getImageData(0, 2, width, 1);
    const octets = [0, 0, 0, 0, 0];
    for (let cell = 0; cell < 40; cell += 1) {
      const x = Math.floor(((cell + 0.5) * width) / 40);
      octets[cell >> 3] = octets[cell >> 3] * 2 + (data[4 * x + 1] > 127 ? 1 : 0);
    }
    if (octets.reduce((a, b) => a + b) % 256) return resolve(null);
    const shown = octets.slice(0, 4).reduce((a, b) => a * 256 + b);
    resolve((now - shown) | 0);
  });
})
"""


class Pages:
    """Pages of one browser, in the order of their addresses."""

    def __init__(self, case: IntegrationTestCase, *urls: str) -> None:
        """Open them; the browser ends with the test."""
        tool("chromium")  # or fail with what to install
        self.child = Child(
            [sys.executable, "-m", "tests.browser.pages", *urls],
            case.temporary() / "pages.log",
            environment=python_environment(),
            stdin=subprocess.PIPE,
        )
        case.addCleanup(self.child.kill)

    @property
    def history(self) -> list[list[dict[str, Any]]]:
        """All that was seen, the oldest first."""
        return self._read(0)

    @property
    def states(self) -> list[dict[str, Any]]:
        """What was seen last of each page."""
        newest = self._read(max(0, self.child.log.stat().st_size - TAIL))
        return newest[-1] if newest else []

    def _read(self, start: int) -> list[list[dict[str, Any]]]:
        """Read what the child has told from a place in its output on: whole lines."""
        with self.child.log.open("rb") as log:
            log.seek(start)
            lines = log.read().split(b"\n")[1 if start else 0 : -1]
        if not self.child.running():
            raise AssertionError(f"the browser ended:\n{self.child.output()[-2000:]}")
        return [json.loads(line) for line in lines if line.startswith(b"[{")]

    def wait_playing(self, seconds: float, timeout: float = 40.0) -> None:
        """Wait until every page has shown so many seconds, of 25 frames, from now on."""
        begun = [state["frames"] for state in self.states]

        def play() -> bool:
            frames = [state.get("frames", 0) for state in self.states]
            return bool(frames) and all(
                now > before + 25 * seconds
                for now, before in zip(frames, begun or [0] * len(frames), strict=True)
            )

        try:
            wait_for(play, f"all pages show {seconds} s", timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.states, indent=1)}") from None

    def close(self) -> None:
        """Leave the browser."""
        assert self.child.process.stdin is not None
        self.child.process.stdin.close()
        self.child.succeed(20)


def look(watch: Watch) -> dict[str, Any]:
    """Tell how a page is doing."""
    state = {"glass": watch.page.evaluate(GLASS_TO_GLASS), **watch.look()}
    del state["protocols"]  # which are many, by and by
    return state


def main(*urls: str) -> None:
    """Watch pages until standard input ends."""
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            directory, executable_path=CHROMIUM, headless=True, args=ARGUMENTS
        )
        pages = [*context.pages, *(context.new_page() for _ in urls[1:])]
        watches = [Watch(page, url) for page, url in zip(pages, urls, strict=True)]
        while not select.select([sys.stdin], [], [], 0)[0]:
            print(json.dumps([look(watch) for watch in watches]), flush=True)
            pages[0].wait_for_timeout(INTERVAL * 1000)
        context.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
