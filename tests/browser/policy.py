"""Visits pages in headless Chromium, a hostile one among them, and tells what it was refused.

Run as a child process: ``python -m tests.browser.policy SERVER KEY HOSTILE FRIENDLY``. The names
evil.example and friend.example lead to this machine in it. Prints one JSON object.
"""

import json
import sys
import tempfile
from typing import Any

from playwright.sync_api import BrowserContext, Page, sync_playwright

from tests.browser.watch import ARGUMENTS, CHROMIUM

RESOLVER = "--host-resolver-rules=MAP evil.example 127.0.0.1,MAP friend.example 127.0.0.1"
TIMEOUT = 60_000
"""Milliseconds."""

LISTEN = """
window.__violations = [];
document.addEventListener('securitypolicyviolation', (event) =>
  window.__violations.push(`${event.effectiveDirective} ${event.blockedURI}`));
"""
PLAYS = "() => (document.querySelector('video') || {}).currentTime > 1"
REBOUND = """
async () => {
  const answers = {};
  for (const [method, path] of [['POST', 'publish'], ['GET', 'streams'], ['GET', 'tokens']]) {
    const headers = {'Content-Type': 'application/json'};
    const body = method === 'POST' ? JSON.stringify({streamKey: 'rebound'}) : undefined;
    const answer = await fetch(`/api/v1/${path}`, {method, headers, body});
    answers[path] = answer.status;
  }
  return answers;
}
"""


def visit(context: BrowserContext, url: str, *, until: str = "") -> dict[str, Any]:
    """Open a page; tell what its policy stopped, and what it has."""
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(url, wait_until="load")
    if until:
        page.wait_for_function(until, timeout=TIMEOUT)
    told = {"violations": page.evaluate("window.__violations"), "said": said, "title": page.title()}
    told["fetched"] = page.evaluate(
        "performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    page.close()
    return told


def rebind(context: BrowserContext, url: str) -> Any:
    """Call the API from a page of the server that came by a stranger's name."""
    page = context.new_page()
    page.goto(url, wait_until="load")
    answers = page.evaluate(REBOUND)
    page.close()
    return answers


def attack(context: BrowserContext, url: str) -> dict[str, Any]:
    """Open the hostile page; tell what its frames show and what its calls came to."""
    page = context.new_page()
    page.goto(url, wait_until="load")
    page.wait_for_function("window.results && window.results.done", timeout=TIMEOUT)
    frames = {frame.name: frame for frame in page.frames if frame.name}
    frames["player"].wait_for_function(PLAYS, timeout=TIMEOUT)
    told = {
        "results": page.evaluate("window.results"),
        "frames": {name: shown(page, name) for name in ("player", "root", "docs")},
    }
    page.close()
    return told


def shown(page: Page, name: str) -> str:
    """Give the title of what a frame shows; empty when that was refused."""
    frame = page.frame(name)
    return frame.title() if frame is not None and frame.url.startswith("http") else ""


def main(server: str, key: str, hostile: str, friendly: str) -> None:
    """Visit everything."""
    port = server.rpartition(":")[2]
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            directory, executable_path=CHROMIUM, headless=True, args=[*ARGUMENTS, RESOLVER]
        )
        context.add_init_script(LISTEN)
        told = {
            "player": visit(context, f"{server}/player/{key}", until=PLAYS),
            "root": visit(context, f"{server}/"),
            "docs": visit(context, f"{server}/api/docs"),
            "rebound": rebind(context, f"http://evil.example:{port}/player/{key}"),
            "attack": attack(context, hostile),
            "friend": visit(context, friendly, until=PLAYS),
        }
        print(json.dumps(told), flush=True)
        context.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
