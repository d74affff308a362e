"""A store that fails while streams are live: nobody who watches notices."""

from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import wait_for
from tests.integration.server import Server
from tests.integration.stored import problems


class OutageTests(IntegrationTestCase):
    def checks(self, server: Server) -> tuple[int, str]:
        """Give the status of /ready and what it says of storage."""
        answer = server.get("/ready")
        return answer.status, answer.json["checks"]["storage"]

    def test_storage_goes_away_and_comes_back(self) -> None:
        """Live goes on from memory; /ready names the store; it catches up by itself."""
        server = self.serve(HLS_SEGMENT_DURATION="1s")
        publisher = self.publish(server, "plain", server.mint(KEY), live=True, loop=True)
        viewer = self.watch(server)
        viewer.wait_segments(2)
        self.assertEqual(self.checks(server), (200, "ok"))
        away = server.storage.rename(server.storage.with_name("away"))
        server.storage.write_text("a file where the directory was")
        wait_for(lambda: self.checks(server)[1] != "ok", "/ready names the store", 15)
        status, words = self.checks(server)
        self.assertEqual(status, 200)
        self.assertIn("cannot be written", words)
        viewer.wait_segments(viewer.segments() + 4)
        server.storage.unlink()
        away.rename(server.storage)
        wait_for(lambda: self.checks(server)[1] == "ok", "/ready is content again", 30)
        newest = f"{viewer.leading.last.segments[-1].sequence}.m4s"
        wait_for(lambda: list(server.storage.rglob(newest)), "a newer segment is stored", 30)
        self.assertEqual(problems(server.storage), [])
        self.assertEqual(server.log.count("storage fails"), 1)
        self.assert_clean(viewer)
        publisher.kill()
        server.stop()
