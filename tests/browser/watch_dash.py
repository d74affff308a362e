"""Plays a DASH manifest with dash.js in headless Chromium and tells, line by line, how it is doing.

Run as a child process (playwright's calls block): ``python -m tests.browser.watch_dash URL``.
Prints one JSON object after another until standard input ends. dash.js is no part of the
product: ``tools/setup_venv.py`` fetches it.
"""

import json
import select
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from playwright.sync_api import Response, sync_playwright

from tests.browser.watch import ARGUMENTS, CHROMIUM, INTERVAL

DASH_JS = Path(sys.prefix, "share", "rapidrtmp-tests", "dash.all.min.js")

START = """
(url) => {
  document.body.innerHTML = '<video muted autoplay></video>';
  const video = document.querySelector('video');
  const player = (window.player = dashjs.MediaPlayer().create());
  const told = (window.told = {errors: [], stalls: 0, periods: [], played: false, clock: null});
  const events = dashjs.MediaPlayer.events;
  player.on(events.ERROR, (event) => told.errors.push(event.error.message));
  player.on(events.PERIOD_SWITCH_COMPLETED, (event) => told.periods.push(event.toStreamInfo.id));
  player.on('updateTimeSyncOffset', (event) => { told.clock = event.offset; });
  video.addEventListener('playing', () => { told.played = true; });
  video.addEventListener('waiting', () => { told.stalls += told.played; });
  player.initialize(video, url, true);
}
"""

LOOK = """
() => {
  const video = document.querySelector('video');
  const quality = video.getVideoPlaybackQuality();
  return {
    ...window.told,
    time: video.currentTime,
    latency: Date.now() / 1000 - video.currentTime,
    rate: video.playbackRate,
    ended: video.ended,
    paused: video.paused,
    error: video.error && video.error.message,
    width: video.videoWidth,
    frames: quality.totalVideoFrames,
    audioBytes: video.webkitAudioDecodedByteCount,
    buffered: [...Array(video.buffered.length).keys()].map(
      (at) => [video.buffered.start(at), video.buffered.end(at)]),
    target: window.player.getTargetLiveDelay(),
    version: window.player.getVersion(),
  };
}
"""


def main(url: str) -> None:
    """Watch until standard input ends."""
    failed: list[str] = []

    def answered(response: Response) -> None:
        if response.status >= 400:
            failed.append(f"{response.status} {response.url}")

    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            directory, executable_path=CHROMIUM, headless=True, args=ARGUMENTS
        )
        page = context.pages[0]
        # any page of the server will do, so that everything is of one origin
        page.goto(urljoin(url, "/health"))
        page.on("response", answered)
        page.add_script_tag(path=DASH_JS)
        page.evaluate(START, url)
        while not select.select([sys.stdin], [], [], 0)[0]:
            state: dict[str, Any] = page.evaluate(LOOK)
            print(json.dumps({**state, "failed": failed}), flush=True)
            page.wait_for_timeout(INTERVAL * 1000)
        context.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
