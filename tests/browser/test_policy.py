"""What browsers make of our headers: our own pages work, those of strangers come to nothing."""

import json
import sys
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import Child, python_environment, tool
from tests.integration.server import Server

HOSTILE = """<!doctype html>
<title>evil</title>
<iframe name="player" allow="autoplay" src="{server}/player/{key}"></iframe>
<iframe name="root" src="{server}/"></iframe>
<iframe name="docs" src="{server}/api/docs"></iframe>
<iframe name="form"></iframe>
<form id="form" target="form" method="post" enctype="text/plain" action="{server}/api/v1/publish">
<input name='{{"streamKey":"form","x":"' value='"}}'></form>
<script>
(async () => {{
  const results = window.results = {{}};
  const call = async (name, path, options) => {{
    try {{
      const answer = await fetch('{server}' + path, options);
      results[name] = answer.type === 'opaque' ? 'opaque' : answer.status;
    }} catch (error) {{
      results[name] = 'refused';
    }}
  }};
  const body = JSON.stringify({{streamKey: 'csrf'}});
  await call('json', '/api/v1/publish',
             {{method: 'POST', body, headers: {{'Content-Type': 'application/json'}}}});
  await call('text', '/api/v1/publish', {{method: 'POST', body, mode: 'no-cors'}});
  await call('read', '/api/v1/streams', {{}});
  await call('metrics', '/metrics', {{}});
  await call('stop', '/api/v1/streams/{key}/stop', {{method: 'POST', mode: 'no-cors'}});
  await call('playlist', '/live/{key}/index.m3u8', {{}});
  await call('ping', '/api/ping', {{headers: {{'X-Any': '1'}}}});
  document.getElementById('form').submit();
  await new Promise((resolve) => setTimeout(resolve, 500));
  results.done = true;
}})();
</script>
"""


FRIENDLY = """<!doctype html>
<title>friend</title>
<script type="module" src="{server}/static/rapid-player.js"></script>
<rapid-player src="{server}/live/{key}/index.m3u8"></rapid-player>
"""
FRIENDLY_POLICY = (
    "default-src 'none'; script-src {server}; style-src {server}; connect-src {server} {cdn}; "
    "media-src blob:; worker-src blob:"
)
"""All that docs/howto/embed-player.md says a page needs."""


class CDNRequest(SimpleHTTPRequestHandler):
    """Serves stored files to pages of any origin."""

    def end_headers(self) -> None:
        """Allow them."""
        self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep silent."""


class PageRequest(BaseHTTPRequestHandler):
    """Serves one page."""

    page = b""
    policy = ""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        if self.policy:
            self.send_header("Content-Security-Policy", self.policy)
        self.end_headers()
        self.wfile.write(self.page)

    def log_message(self, format: str, *args: object) -> None:
        """Keep silent."""


class HostileRequest(PageRequest):
    """A page that means harm."""


class FriendlyRequest(PageRequest):
    """A page that has the player in it."""


class PolicyTests(IntegrationTestCase):
    def listen(self, handler: object) -> int:
        """Serve; give the port."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)  # type: ignore[arg-type]  # a partial
        Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server.server_port

    def test_pages(self) -> None:
        """Our pages break no rule of theirs, with media at a CDN; a stranger's manages nothing.

        A page of another site plays with the player as an element, under the strictest policy.
        """
        directory = self.temporary()
        cdn = f"http://127.0.0.1:{self.listen(partial(CDNRequest, directory=directory))}"
        settings = {"CDN_BASE_URL": f"{cdn}/streams", "HLS_MAX_SEGMENTS": "20"}
        server = Server(self, settings, directory=directory)
        publisher = self.publish(server, "plain", server.mint(KEY), live=True, loop=True)
        server.wait_playlist(KEY)
        address = f"http://localhost:{server.http_port}"
        HostileRequest.page = HOSTILE.format(server=address, key=KEY).encode()
        FriendlyRequest.page = FRIENDLY.format(server=address, key=KEY).encode()
        FriendlyRequest.policy = FRIENDLY_POLICY.format(server=address, cdn=cdn)
        tool("chromium")
        child = Child(
            [sys.executable, "-m", "tests.browser.policy", address, KEY,
             f"http://evil.example:{self.listen(HostileRequest)}/",
             f"http://friend.example:{self.listen(FriendlyRequest)}/"],
            directory / "browser.log",
            environment=python_environment(),
        )  # fmt: skip
        self.addCleanup(child.kill)
        told = json.loads(child.succeed(90).splitlines()[-1])
        for name in ("player", "root", "docs", "friend"):
            self.assertEqual((told[name]["violations"], told[name]["said"]), ([], []), name)
        self.assertTrue([url for url in told["player"]["fetched"] if url.startswith(cdn)])
        self.assertEqual(told["rebound"], {"publish": 403, "streams": 403, "tokens": 403})
        frames = told["attack"]["frames"]
        self.assertEqual((frames["root"], frames["docs"]), ("", ""))
        self.assertNotEqual(frames["player"], "")
        results = told["attack"]["results"]
        self.assertEqual(
            {name: results[name] for name in ("json", "read", "metrics", "playlist", "ping")},
            {
                "json": "refused",
                "read": "refused",
                "metrics": "refused",
                "playlist": 200,
                "ping": 200,
            },
        )
        self.assertEqual(server.get("/api/v1/tokens").json["total"], 1)
        self.assertTrue(server.stream(KEY)["active"])
        publisher.kill()
        server.stop()
