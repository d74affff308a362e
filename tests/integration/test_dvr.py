"""A viewer who watches the past: out of storage, and after a kill of the server, too."""

from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import wait_for
from tests.integration.server import Server, fetch

SETTINGS = {
    "DVR_WINDOW": "16s",
    "HLS_MAX_SEGMENTS": "3",
    "HLS_SEGMENT_DURATION": "0.5s",
    "STREAM_GRACE": "60s",
}


class DVRTests(IntegrationTestCase):
    def send(self, server: Server, token: str) -> None:
        """Publish six seconds as fast as it goes."""
        self.publish(server, "plain", token).succeed()
        wait_for(lambda: server.stream(KEY).get("state") == "idle", "the stream is idle")

    def indexed(self, server: Server) -> int:
        """Count the video segments in the stored index."""
        return sum(page.read_text().count(".m4s") for page in server.storage.rglob("video1/*.json"))

    def test_past(self) -> None:
        """All that is listed can be played, before and after a kill; the rest goes."""
        server = self.serve(**SETTINGS)
        token = server.mint(KEY)
        self.send(server, token)
        before = self.watch(server, query="?dvr=1")
        short = self.watch(server)
        short.wait_segments(3)
        wait_for(lambda: before.renditions, "the past")
        self.assert_clean(before, short)
        old = list(before.leading.segments.values())
        self.assertLess(short.segments(), before.segments())
        self.assertGreater(sum(segment.duration for segment in old), 5.5)
        for rendition in before.renditions:  # by range, from disk
            path = f"/live/{KEY}/{rendition.path.split('/')[3].partition('.')[0]}"
            name = rendition.path.split("/")[4].partition(".")[0]
            oldest = f"{path}/{name}/{min(rendition.segments)}.m4s"
            answer = fetch(server.http_port, oldest, headers={"Range": "bytes=4-7"})
            self.assertEqual((answer.status, answer.body), (206, b"styp"))
        wait_for(lambda: self.indexed(server) >= len(old), "the index")
        server.kill()

        again = Server(self, SETTINGS, directory=server.directory, ports=server.ports)
        again.secrets += server.secrets
        self.send(again, token)
        after = self.watch(again, query="?dvr=1")
        wait_for(lambda: after.renditions, "the past after a kill")
        self.assert_clean(after)
        segments = list(after.leading.segments.values())
        known = {segment.uri: segment.duration for segment in old}
        common = [segment for segment in segments if segment.uri in known]
        self.assertGreater(len(common), len(old) / 2)
        self.assertEqual([known[segment.uri] for segment in common], [s.duration for s in common])
        self.assertEqual(after.discontinuities, 2, "of the publisher's end, and of the kill")
        self.send(again, token)
        self.send(again, token)
        last = self.watch(again, query="?dvr=1")
        wait_for(lambda: last.renditions, "the past later on")
        self.assert_clean(last)
        self.assertFalse(set(known) & {s.uri for s in last.leading.segments.values()})
        again.stop()
