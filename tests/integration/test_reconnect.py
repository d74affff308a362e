"""A publisher that is lost and comes back, and a server that does: viewers stay."""

import time
from concurrent.futures import ThreadPoolExecutor

from tests.integration import media
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import wait_for
from tests.integration.server import Server
from tests.integration.stored import problems


class ReconnectTests(IntegrationTestCase):
    def test_cut_without_fin(self) -> None:
        """The cable is pulled and the encoder is back: it waits for no deadline of the former."""
        server = self.serve(STREAM_GRACE="20s", RTMP_IDLE_TIMEOUT="60s")
        token = server.mint(KEY)
        cable = self.freezer(server)
        first = self.publish(server, "plain", token, port=cable.port, live=True, loop=True)
        viewer = self.watch(server)
        viewer.wait_segments(2)
        cable.freeze()
        first.kill()
        second = self.publish(server, "plain", token, live=True, loop=True)
        wait_for(lambda: viewer.discontinuities == 1, "EXT-X-DISCONTINUITY at the viewer", 10)
        self.assertTrue(second.running(), second.output())
        self.assert_goes_on(viewer)
        self.assertEqual(viewer.discontinuities, 1)
        self.assertFalse(viewer.ended)
        self.assert_clean(viewer)
        second.kill()
        server.stop()

    def test_back_after_a_clean_stop(self) -> None:
        """A publisher that stops and returns within the grace goes on where it was."""
        server = self.serve(STREAM_GRACE="20s")
        token = server.mint(KEY)
        viewer = self.watch(server)
        self.publish(server, "plain", token).succeed()
        wait_for(lambda: server.stream(KEY).get("state") == "idle", "the stream is idle")
        viewer.wait_segments(5)
        before = viewer.leading.last
        self.assertFalse(before.ended)
        self.publish(server, "rate_44100", token).succeed()
        viewer.wait_segments(10)
        self.assertEqual(viewer.discontinuities, 1)
        self.assertEqual(viewer.leading.last.media_sequence, before.media_sequence)
        self.assert_clean(viewer)
        server.stop()

    def test_reset(self) -> None:
        """A connection that is reset frees the key, and the same token serves again."""
        server = self.serve(STREAM_GRACE="20s")
        token = server.mint(KEY)
        tags = list(media.flv_tags(media.as_flv(media.sample("plain"))))
        viewer = self.watch(server)
        for times in (1, 2):
            publisher = self.raw(server)
            publisher.publish(f"{KEY}?token={token}")
            publisher.send_tags(tags)
            viewer.wait_segments(5 * times)  # a reset discards what is under way
            publisher.reset()
            wait_for(lambda: server.stream(KEY).get("state") == "idle", "the stream is idle")
        viewer.wait_segments(12)
        self.assertEqual(viewer.discontinuities, 1)
        self.assert_clean(viewer)
        server.stop()

    def test_end_of_grace(self) -> None:
        """Nobody comes back: ENDLIST after the grace, not before."""
        server = self.serve(STREAM_GRACE="3s")
        viewer = self.watch(server)
        publisher = self.publish(server, "plain", server.mint(KEY))
        publisher.succeed()
        done = time.monotonic()
        viewer.wait_ended()
        waited = time.monotonic() - done
        self.assertGreater(waited, 2)
        self.assertLess(waited, 15)
        self.assertEqual(server.get("/api/v1/streams").json["total"], 0)
        self.assert_clean(viewer)
        server.stop()

    def test_ping_pong(self) -> None:
        """Two living encoders with one token cannot push each other out for ever."""
        server = self.serve(STREAM_GRACE="20s")
        token = server.mint(KEY)
        tags = list(media.flv_tags(media.as_flv(media.sample("plain"))))[:100]
        codes = []
        for _ in range(6):
            publisher = self.raw(server)
            try:
                publisher.publish(f"{KEY}?token={token}")
                publisher.send_tags(tags)
                server.wait_live(KEY)
                codes.append("accepted")
            except Exception as error:
                codes.append(getattr(error, "code", repr(error)))
        self.assertEqual(codes, ["accepted"] * 4 + ["NetStream.Publish.BadName"] * 2)
        server.stop()


class RestartTests(IntegrationTestCase):
    def restart(self, server: Server, **settings: str) -> Server:
        """Start the server again: same ports, same directories."""
        again = Server(self, settings, directory=server.directory, ports=server.ports)
        again.secrets += server.secrets
        return again

    def test_kill_and_restart(self) -> None:
        """After kill -9 viewers wait, then go on; numbers never go back; files are whole."""
        server = self.serve(STREAM_GRACE="20s")
        token = server.mint(KEY)
        first = self.publish(server, "plain", token, live=True, loop=True)
        viewer = self.watch(server)
        viewer.wait_segments(3)
        viewer.outage.set()
        server.kill()
        first.kill()
        newest = max(viewer.leading.segments)
        self.assert_whole_files(server)
        again = self.restart(server, STREAM_GRACE="20s")
        # a viewer that plays already asks for the second one; what was stored may be behind
        with ThreadPoolExecutor() as threads:  # they are held for some seconds
            answer, other = threads.map(again.get, (viewer.path, viewer.leading.path))
        self.assertEqual((answer.status, other.status), (503, 503), answer.text)
        self.assertGreater(int(answer.headers["retry-after"]), 0)
        self.assertEqual(answer.headers["access-control-allow-origin"], "*")
        self.assertEqual(again.get("/live/unknown/index.m3u8").status, 404)
        second = self.publish(again, "plain", token, live=True, loop=True)
        again.wait_playlist(KEY)
        wait_for(lambda: max(viewer.leading.segments) > newest, "a segment after the restart", 20)
        viewer.outage.clear()
        self.assert_goes_on(viewer)
        after = [segment for number, segment in viewer.leading.segments.items() if number > newest]
        self.assertTrue(after[0].is_discontinuity, after[0])
        self.assert_clean(viewer)
        second.kill()
        again.stop()

    def test_grace_runs_out_over_a_restart(self) -> None:
        """Nobody comes back after a restart: the playlists end all the same."""
        server = self.serve(STREAM_GRACE="1s")
        publisher = self.publish(server, "plain", server.mint(KEY), live=True, loop=True)
        viewer = self.watch(server)
        viewer.wait_segments(2)
        viewer.stop()
        server.kill()
        publisher.kill()
        again = self.restart(server, STREAM_GRACE="1s")

        # the process that was killed could not tell when its publisher left: the grace
        # begins with the restart

        def ended() -> bool:
            stored = [path.read_text() for path in again.storage.rglob("*.m3u8")]
            media_playlists = [text for text in stored if "#EXTINF" in text]
            return bool(media_playlists) and all("#EXT-X-ENDLIST" in t for t in media_playlists)

        wait_for(ended, "ENDLIST in the stored playlists", 10)
        answer = again.get(viewer.leading.path)
        self.assertEqual(answer.status, 200, answer.text)
        self.assertIn("#EXT-X-ENDLIST", answer.text)
        self.assertEqual(again.get("/api/v1/streams").json["total"], 0)
        again.stop()

    def test_terminate(self) -> None:
        """SIGTERM ends the process soon with status 0, the open segment stored, no ENDLIST."""
        server = self.serve(STREAM_GRACE="20s")
        token = server.mint(KEY)
        publisher = self.publish(server, "plain", token, live=True, loop=True)
        viewer = self.watch(server)
        viewer.wait_segments(2)
        viewer.outage.set()
        begun = time.monotonic()
        server.stop()
        self.assertLess(time.monotonic() - begun, 15)
        self.assertNotEqual(publisher.wait(), 0)
        self.assert_whole_files(server)
        for path in server.storage.rglob("*.m3u8"):
            self.assertNotIn("#EXT-X-ENDLIST", path.read_text())
        again = self.restart(server, STREAM_GRACE="20s")
        self.assertEqual(again.get(viewer.path).status, 503)
        second = self.publish(again, "plain", token, live=True, loop=True)
        again.wait_playlist(KEY)
        viewer.outage.clear()
        self.assert_goes_on(viewer)
        self.assert_clean(viewer)
        second.kill()
        again.stop()

    def test_terminate_with_endlist(self) -> None:
        """ENDLIST_ON_SHUTDOWN=true ends the stored playlists."""
        server = self.serve(ENDLIST_ON_SHUTDOWN="true")
        self.publish(server, "plain", server.mint(KEY), live=True, loop=True)
        viewer = self.watch(server)
        viewer.wait_segments(2)
        viewer.stop()
        server.stop()
        media_playlists = [
            text
            for text in (path.read_text() for path in server.storage.rglob("*.m3u8"))
            if "#EXTINF" in text
        ]
        self.assertEqual(len(media_playlists), 2)
        for text in media_playlists:
            self.assertIn("#EXT-X-ENDLIST", text)

    def assert_whole_files(self, server: Server) -> None:
        """Every stored playlist names files that are there; every segment is whole."""
        self.assertEqual(problems(server.storage), [])
