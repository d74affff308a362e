"""What the integration tests share: a server each, viewers, publishers, and their ends."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration import media, publishers
from tests.integration.freezer import Freezer
from tests.integration.process import Child, wait_for
from tests.integration.raw_publisher import RawPublisher, Refused
from tests.integration.server import Server
from tests.integration.viewer import Viewer

KEY = "stream-1"


class IntegrationTestCase(SynchronousTestCase):
    """A test with real sockets and real clients. All that it starts ends with it."""

    def temporary(self) -> Path:
        """Make a directory for this test."""
        directory = Path(self.mktemp()).resolve()
        directory.mkdir(parents=True)
        return directory

    def serve(self, **settings: str) -> Server:
        """Start a server with these environment variables."""
        return Server(self, settings)

    def watch(self, server: Server, key: str = KEY, query: str = "") -> Viewer:
        """Start a viewer, to be judged by `assert_clean`."""
        viewer = Viewer(server.http_port, key, query)
        self.addCleanup(viewer.stop)
        return viewer

    def assert_clean(self, *viewers: Viewer) -> None:
        """The viewers met no error and saw only correct playlists and segments."""
        for viewer in viewers:
            self.assertGreater(viewer.segments(), 0, f"no segment; {viewer.problems}")
            problems = viewer.judge()
            self.assertEqual(problems, [], "\n".join(problems))

    def publish(
        self,
        server: Server,
        name: str,
        token: str | None,
        *,
        key: str = KEY,
        port: int | None = None,
        live: bool = False,
        loop: bool = False,
    ) -> Child:
        """Publish a sample with ffmpeg."""
        source = media.as_flv(media.sample(name))
        url = server.rtmp_url(key, token, port=port)
        return publishers.ffmpeg(self, source, url, live=live, loop=loop)

    def raw(self, server: Server, address: str = "127.0.0.1") -> RawPublisher:
        """Open a connection of the tests' own RTMP client, from an address."""
        publisher = RawPublisher(server.rtmp_port, address=address)
        self.addCleanup(publisher.close)
        return publisher

    def refusal(self, server: Server, name: str, app: str = "live") -> Refused:
        """Try to publish under a name; give the refusal, after which the server closes."""
        publisher = self.raw(server)
        with self.assertRaises(Refused) as caught:
            publisher.publish(name, app)
        self.assertTrue(publisher.closed_by_server(), "refused, but the connection stays open")
        self.assertNotIn("NetStream.Publish.Start", publisher.codes)
        refused: Refused = caught.exception
        return refused

    def freezer(self, server: Server) -> Freezer:
        """Put a proxy that can fall silent before the RTMP port."""
        freezer = Freezer(server.rtmp_port)
        self.addCleanup(freezer.close)
        return freezer

    def assert_goes_on(self, viewer: Viewer, segments: int = 2) -> None:
        """The viewer gets new segments from now on."""
        viewer.wait_segments(viewer.segments() + segments)

    def wait_output(self, child: Child, text: str, timeout: float = 15.0) -> None:
        """Wait until a program has printed something."""
        try:
            wait_for(lambda: text in child.output(), f"{text!r} is printed", timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{child.output()[-3000:]}") from None
