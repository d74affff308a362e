"""Media at a CDN: playlists name it when it has the file, and this server when it has not."""

from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import wait_for
from tests.integration.server import Server
from tests.integration.stored import problems
from tests.integration.viewer import Viewer


class _CDNRequest(SimpleHTTPRequestHandler):
    """Serves a storage directory, also while it is away from its place."""

    def translate_path(self, path: str) -> str:
        """Find a file where it is, or where it was moved to."""
        found = super().translate_path(path)
        return found if Path(found).exists() else found.replace("/streams/", "/away/")

    def log_message(self, format: str, *args: object) -> None:
        """Keep silent."""


class CDNTests(IntegrationTestCase):
    def serve_directory(self, directory: Path) -> str:
        """Serve the files of a directory as a CDN does; return their URL."""
        cdn = ThreadingHTTPServer(("127.0.0.1", 0), partial(_CDNRequest, directory=directory))
        Thread(target=cdn.serve_forever, daemon=True).start()
        self.addCleanup(cdn.server_close)
        self.addCleanup(cdn.shutdown)
        return f"http://127.0.0.1:{cdn.server_address[1]}"

    def places(self, viewer: Viewer, cdn: str) -> Counter[bool]:
        """Count the listed segments that are at the CDN (True) and at the origin (False)."""
        return Counter(
            segment.uri.startswith(f"{cdn}/")
            for rendition in viewer.renditions
            for segment in list(rendition.segments.values())
        )

    def test_live(self) -> None:
        """A viewer fetches a live stream's segments at the CDN, in an outage at the origin."""
        directory = self.temporary()
        cdn = self.serve_directory(directory) + "/streams"
        settings = {"HLS_SEGMENT_DURATION": "1s", "CDN_BASE_URL": f"{cdn}/"}
        server = Server(self, settings, directory=directory)
        publisher = self.publish(server, "plain", server.mint(KEY), live=True, loop=True)
        viewer = self.watch(server)
        viewer.wait_segments(4)
        self.assertEqual(self.places(viewer, cdn)[False], 0)
        self.assertEqual(problems(server.storage, cdn), [])

        away = server.storage.rename(directory / "away")
        server.storage.write_text("a file where the directory was")
        self.assert_goes_on(viewer, 4)
        late = self.places(viewer, cdn)[False]
        self.assertGreaterEqual(late, 6, "listed at the origin")
        server.storage.unlink()
        away.rename(server.storage)

        def is_back() -> bool:
            last = viewer.leading.last.segments[-1]
            return last.uri.startswith(f"{cdn}/")

        wait_for(is_back, "the newest segment is at the CDN again", 30)
        publisher.kill()
        server.post(f"/api/v1/streams/{KEY}/stop")
        viewer.wait_ended()
        self.assert_clean(viewer)
        self.assertEqual(problems(server.storage, cdn), [])
        server.stop()
