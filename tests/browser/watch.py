"""Opens a page in headless Chromium and tells, line by line, how its video is doing.

Run as a child process (playwright's calls block): ``python -m tests.browser.watch URL``.
Prints one JSON object after another until standard input ends. Every request that the page
makes beyond its own server, and every answer of 400 and above, is told.
"""

import json
import select
import sys
import tempfile
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page, Request, Response, sync_playwright

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
INTERVAL = 0.25
"""Seconds between two looks."""

# hls.js announces every error to whoever listens; so listen, whatever the page does itself.
LISTEN = """
(() => {
  const errors = (window.__errors = []);
  window.__players = window.__waits = 0;
  document.addEventListener('waiting', (event) => {
    if (event.target.currentTime > 0 && !event.target.seeking) window.__waits += 1;
  }, true);
  document.addEventListener('error', (event) => {
    const error = event.target.error;
    if (error) errors.push({fatal: false, details: 'element', error: error.message});
  }, true);
  let library;
  Object.defineProperty(window, 'Hls', {
    configurable: true,
    get: () => library,
    set: (value) => {
      library = value;
      window.__version = value.version;
      if (window.__prepare) window.__prepare(value);
      const attach = value.prototype.attachMedia;
      value.prototype.attachMedia = function (...given) {
        window.__players += 1;
        this.on('hlsBufferCodecs', (name, {video}) => {
          if (video) window.__codec = video.codec.slice(0, 4);
        });
        this.on('hlsError', (name, told) => errors.push(
          {fatal: told.fatal, details: told.details, reason: told.reason,
           error: told.error && told.error.message}));
        return attach.apply(this, given);
      };
    },
  });
})();
"""

LOOK = """
() => {
  const video = document.querySelector('video');
  const player = document.querySelector('rapid-player');
  const text = [document.body, ...(player ? player.shadowRoot.querySelectorAll('p') : [])]
    .map((element) => element.innerText).join('\\n');
  if (!video) return {video: false, text};
  for (const track of video.textTracks) {
    if (track.mode === 'disabled') track.mode = 'hidden';  // or its cues cannot be seen
  }
  const quality = video.getVideoPlaybackQuality();
  return {
    video: true,
    time: video.currentTime,
    paused: video.paused,
    ended: video.ended,
    error: video.error && video.error.message,
    width: video.videoWidth,
    height: video.videoHeight,
    frames: quality.totalVideoFrames,
    dropped: quality.droppedVideoFrames,
    audioBytes: video.webkitAudioDecodedByteCount,
    videoBytes: video.webkitVideoDecodedByteCount,
    buffered: [...Array(video.buffered.length).keys()].map(
      (at) => [video.buffered.start(at), video.buffered.end(at)]),
    errors: window.__errors.slice(-50),
    waits: window.__waits,
    players: window.__players,
    hls: window.__version,
    codec: window.__codec,
    messages: [...document.querySelectorAll('#log li')].map((item) => item.textContent),
    latency: (document.getElementById('latency') || {}).innerText,
    page: window.rapidrtmp && window.rapidrtmp.state,
    text,
    pictures: [...document.querySelectorAll('.shot img')].map(
      (image) => [image.alt, image.naturalWidth]),
    cues: [...video.textTracks].flatMap((track) => [...(track.cues || [])].map((cue) => ({
      kind: track.kind,
      text: cue.text || '',
      start: cue.startTime,
      key: cue.value && (cue.value.key === 'TXXX' ? 'TXXX:' + cue.value.info : cue.value.key),
    }))),
    protocols: performance.getEntriesByType('resource').map((entry) => entry.nextHopProtocol),
  };
}
"""


class Watch:
    """What happened around a page."""

    def __init__(self, page: Page, url: str, script: str = "") -> None:
        """Open a page.

        Args:
            page: a new one.
            url: its address.
            script: run before the page's own; it may set `__prepare`, which is called with hls.js.
        """
        self.origin = urlsplit(url).netloc
        self.failed: list[str] = []
        self.outside: list[str] = []
        self.thrown: list[str] = []
        page.on("request", self._request)
        page.on("response", self._response)
        page.on("pageerror", lambda error: self.thrown.append(str(error)))
        page.add_init_script(script + LISTEN)
        page.goto(url, wait_until="domcontentloaded")
        self.page = page

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != self.origin:
            self.outside.append(request.url)

    def _response(self, response: Response) -> None:
        if response.status >= 400 and not response.url.endswith("/favicon.ico"):
            self.failed.append(f"{response.status} {response.url}")

    def look(self) -> dict[str, Any]:
        """Tell how the video is doing."""
        state: dict[str, Any] = self.page.evaluate(LOOK)
        return {**state, "failed": self.failed, "outside": self.outside, "thrown": self.thrown}


def main(url: str, screenshot: str = "", script: str = "") -> None:
    """Watch a page, in which a script may run first, until standard input ends."""
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            directory,
            executable_path=CHROMIUM,
            headless=True,
            args=ARGUMENTS + (["--ignore-certificate-errors"] if url.startswith("https:") else []),
            viewport={"width": 1100, "height": 800},
        )
        watch = Watch(context.pages[0], url, script)
        while not select.select([sys.stdin], [], [], 0)[0]:
            print(json.dumps(watch.look()), flush=True)
            watch.page.wait_for_timeout(INTERVAL * 1000)
        if screenshot:
            watch.page.screenshot(path=screenshot)
        context.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
