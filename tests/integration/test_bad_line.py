"""C19: encoders, viewers and players on bad lines lose nothing of what arrives."""

from itertools import pairwise

from tests.integration.bad_line import BadLine
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import wait_for
from tests.integration.raw_player import RawPlayer
from tests.integration.server import Server
from tests.integration.viewer import Viewer


class BadLineTests(IntegrationTestCase):
    def line(self, port: int) -> BadLine:
        """Put a bad line before a port."""
        line = BadLine(port)
        self.addCleanup(line.close)
        return line

    def test_all(self) -> None:
        """Everybody is on one: nothing is missing, and nobody is cut off but by the line itself.

        That cuts the encoder in the midst of a chunk; the next one goes on from there.
        """
        server = self.serve(STREAM_GRACE="60s")
        token = server.mint(KEY)
        encoders, players, viewers = (
            self.line(port) for port in (server.rtmp_port, server.rtmp_port, server.http_port)
        )
        publisher = self.publish(server, "plain", token, port=encoders.port, live=True, loop=True)
        server.wait_live(KEY)
        player = RawPlayer(players.port, KEY, 90.0)
        self.addCleanup(player.close)
        near = self.watch(server)
        far = Viewer(viewers.port, KEY)
        self.addCleanup(far.stop)
        player.read(lambda: len(player.tags) > 300)
        far.wait_segments(4)
        pictures = [tag.timestamp for tag in player.tags if tag.is_picture]
        self.assertEqual({later - earlier for earlier, later in pairwise(pictures)}, {40})
        lines = (encoders, players, viewers)
        wait_for(lambda: all(line.outages for line in lines), "an outage of each line")
        self.assertEqual((near.discontinuities, far.discontinuities), (0, 0))
        self.assertTrue(publisher.running())
        encoders.cut()
        publisher.wait()
        self.check_end(server)
        encoders.mend()
        again = self.publish(server, "plain", token, port=encoders.port, live=True, loop=True)
        for viewer in (near, far):
            self.assert_goes_on(viewer, 3)
            self.assertEqual(viewer.discontinuities, 1)
        self.assert_clean(near, far)
        errors = server.get("/metrics").text.splitlines()
        told = [line for line in errors if line.startswith("rapidrtmp_rtmp_errors_by_reason")]
        self.assertEqual([line for line in told if not line.endswith(" 0")], [])
        again.kill()
        server.stop()

    def check_end(self, server: Server) -> None:
        """The server tells that the connection was lost, and has dropped nothing but its rest."""
        wait_for(lambda: server.stream(KEY).get("state") == "idle", "the encoder is gone")
        self.assertIn("gone (the connection was lost)", server.log)
