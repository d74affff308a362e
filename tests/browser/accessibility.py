"""Looks at our pages with axe-core in headless Chromium, and uses their buttons.

Run as a child process: ``python -m tests.browser.accessibility SERVER KEY``. It ends the stream KEY
by the API. Prints one JSON object.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from playwright.sync_api import BrowserContext, Page, Route, ViewportSize, sync_playwright

from tests.browser.watch import ARGUMENTS, CHROMIUM

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
PATIENCE = 60_000
"""ms until a page has come to a state."""
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}

STATE = "(state) => window.rapidrtmp && window.rapidrtmp.state === state"
MEASURED = "() => document.getElementById('latency-range').textContent"
OPEN = "() => document.querySelectorAll('details').forEach((each) => { each.open = true; })"
THEME = "document.documentElement.dataset.theme"
SOME = """
() => document.querySelectorAll('section, nav ul').forEach((each) => [...each.children]
  .filter((child) => /^(article|li)$/i.test(child.tagName)).slice(2)
  .forEach((child) => child.remove()))
"""
"""Leaves two operations and schemas of each section: all are made alike, and all take a minute."""
AUDIT = """
async (rules) => {
  const options = rules ? {runOnly: rules} : {};
  const {violations, passes} = await axe.run(document, {...options, resultTypes: ['violations']});
  return {
    passes: passes.map((each) => each.id),
    violations: violations.map(({id, nodes}) => [id, nodes.slice(0, 5).map(
      ({target, failureSummary}) => [target.join(' '), failureSummary])]),
    dark: matchMedia('(prefers-color-scheme: dark)').matches,
    theme: document.documentElement.dataset.theme,
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  };
}
"""
REFUSAL = '{"error":"this stream needs a signed URL"}'


class Audit:
    """What was found, by page."""

    def __init__(self, context: BrowserContext, server: str) -> None:
        self.context = context
        self.server = server
        self.found: dict[str, Any] = {}
        self.axe = AXE.read_text()

    def open(self, path: str) -> Page:
        """Open a page; our policy for scripts does not hold for what the tests run in it."""
        page = self.context.new_page()
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(DESKTOP)
        page.goto(self.server + path, wait_until="load")
        page.evaluate(self.axe)
        return page

    def look(self, page: Page, name: str) -> None:
        """Judge a page by all rules, in light and dark, and whether it fits on a phone."""
        page.evaluate(OPEN)
        self.found[f"{name}, light"] = page.evaluate(AUDIT)
        page.emulate_media(color_scheme="dark")
        self.found[f"{name}, dark"] = page.evaluate(AUDIT, ["color-contrast"])
        page.set_viewport_size(PHONE)
        self.found[f"{name}, phone"] = page.evaluate(AUDIT, ["color-contrast", "target-size"])
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(DESKTOP)


def wait_state(page: Page, state: str) -> None:
    """Wait until the player is in a state."""
    page.wait_for_function(STATE, arg=state, timeout=PATIENCE)


def choose(page: Page, key: str, state: str) -> None:
    """Type a stream key, and wait for what comes of it."""
    page.fill("#key", key)
    page.press("#key", "Enter")
    wait_state(page, state)


def use(page: Page) -> dict[str, Any]:
    """Press buttons by the keyboard alone; tell what came of it."""
    seen: dict[str, Any] = {}
    for name in ("link", "url", "frame", "element"):
        page.focus(f"[data-copy={name}]")
        page.keyboard.press("Enter")
        page.wait_for_selector(f"[data-copy={name}] >> text=Copied")
        seen[name] = [page.evaluate("navigator.clipboard.readText()"), page.inner_text("#said")]
    seen["qr"] = page.get_attribute("#qr", "viewBox")
    wait_state(page, "playing")
    page.focus("#play")
    page.keyboard.press("Space")
    page.wait_for_function("() => window.rapidrtmp.video.paused", timeout=PATIENCE)
    seen["paused"] = page.inner_text("#play")
    page.focus("#golive")
    page.keyboard.press("Enter")
    page.wait_for_function("() => !window.rapidrtmp.video.paused", timeout=PATIENCE)
    return seen


def change_colours(page: Page) -> list[str]:
    """Choose other colours; give those before, after, and after a reload."""
    colours = [page.evaluate(THEME)]
    page.focus("#theme")
    page.keyboard.press("Enter")
    colours.append(page.evaluate(THEME))
    page.reload(wait_until="load")
    return [*colours, page.evaluate(THEME)]


def refuse(route: Route) -> None:
    """Answer as a server that protects the stream."""
    route.fulfill(status=403, content_type="application/json", body=REFUSAL)


def main(server: str, key: str) -> None:
    """Visit all pages, in all states."""
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            directory, executable_path=CHROMIUM, headless=True, args=ARGUMENTS
        )
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        audit = Audit(context, server)

        context.route("**/live/refused/index.m3u8", refuse)
        live = audit.open(f"/player/{key}")
        buttons = use(live)
        live.wait_for_function(MEASURED, timeout=PATIENCE)
        audit.look(live, "live")
        listed = audit.open("/")
        listed.wait_for_selector(".streams a", timeout=PATIENCE)
        audit.look(listed, "list")
        docs = audit.open("/api/docs")
        docs.evaluate(SOME)
        audit.look(docs, "docs")
        page = audit.open("/player")
        audit.look(page, "idle")
        choose(page, "nobody", "waiting")
        audit.look(page, "waiting")
        choose(page, "refused", "error")
        audit.look(page, "refused")

        urlopen(Request(f"{server}/api/v1/streams/{key}/stop", method="POST"))
        live.bring_to_front()
        wait_state(live, "ended")
        audit.look(live, "ended")
        listed.bring_to_front()
        listed.wait_for_selector("#empty:not([hidden])", timeout=PATIENCE)
        audit.look(listed, "empty list")
        told = {"found": audit.found, "buttons": buttons, "colours": change_colours(page)}
        print(json.dumps(told), flush=True)
        context.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
