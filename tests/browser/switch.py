"""Opens a stream's page in headless Chromium and goes through its sizes and sounds.

Run as a child process: ``python -m tests.browser.switch URL``. Prints one JSON object.
"""

import json
import sys
import tempfile
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.browser.watch import ARGUMENTS, CHROMIUM, Watch

STEPS = [(1, 0), (1, 1), (0, 1), (0, 0)]
"""Level and audio track that are asked for, one after another."""
PATIENCE = 60_000
"""ms until the choice is on the screen."""

SHOWN = """
([height, sound, since]) => {
  const {video, hls} = window.rapidrtmp;
  return video.videoHeight === height && hls.audioTrack === sound && !video.seeking
    && video.currentTime > since + 2;
}
"""


def steps(page: Page) -> list[list[int]]:
    """Choose one after another; return the height on the screen and the sound of each."""
    heights: list[int] = page.evaluate("() => window.rapidrtmp.hls.levels.map((l) => l.height)")
    seen = []
    for level, sound in STEPS:
        since = page.evaluate(
            """([level, sound]) => {
              const {video, hls} = window.rapidrtmp;
              hls.nextLevel = level;
              hls.audioTrack = sound;
              return video.currentTime;
            }""",
            [level, sound],
        )
        page.wait_for_function(SHOWN, arg=[heights[level], sound, since], timeout=PATIENCE)
        seen.append([heights[level], sound])
    return seen


def look(watch: Watch) -> dict[str, Any]:
    """Wait until it plays, and go through all."""
    page = watch.page
    playing = (
        "() => window.rapidrtmp && window.rapidrtmp.hls && window.rapidrtmp.video.currentTime > 1"
    )
    page.wait_for_function(playing, timeout=PATIENCE)
    seen: dict[str, Any] = {
        "levels": page.evaluate("() => window.rapidrtmp.hls.levels.map((l) => l.height)"),
        "sounds": page.evaluate("() => window.rapidrtmp.hls.audioTracks.map((t) => t.name)"),
        "steps": steps(page),
    }
    state = watch.look()
    return seen | {name: state[name] for name in ("errors", "failed", "thrown")}


def main(url: str) -> None:
    """Open a page."""
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            directory, executable_path=CHROMIUM, headless=True, args=ARGUMENTS
        )
        seen = look(Watch(context.pages[0], url))
        context.close()
    print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
