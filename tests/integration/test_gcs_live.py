"""A live stream on Google Cloud Storage: the store dies for a while, nobody loses anything."""

import re
import time
from datetime import datetime
from urllib.parse import urljoin

from tests.hls import checker as hls
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.gcs import BUCKET, Emulator
from tests.integration.process import wait_for

OUTAGE = 8.0
"""Seconds more, when the server has noticed."""


class LiveTests(IntegrationTestCase):
    timeout = 240

    def setUp(self) -> None:
        """Start the emulator."""
        self.emulator = Emulator(self)

    def named(self, path: str, body: bytes) -> list[str]:
        """Give the objects that a stored media playlist names."""
        playlist = hls.parse_media_playlist(body)
        uris = {segment.map_uri for segment in playlist.segments}
        uris |= {segment.uri for segment in playlist.segments if not segment.is_gap}
        return [urljoin(path, uri) for uri in sorted(uris)]

    def assert_consistent(self) -> int:
        """Every playlist in the bucket names only what is there; give the media objects' count."""
        bodies = {
            name: self.emulator.read(name)
            for name in self.emulator.objects()
            if name.endswith(".m3u8") and not name.endswith("index.m3u8")
        }
        there = self.emulator.objects()  # listed after what names them was read
        for name, body in bodies.items():
            missing = [path for path in self.named(name, body) if path not in there]
            self.assertEqual(missing, [], f"{name} names what is not there")
        return sum(name.endswith(".m4s") for name in there)

    def test_outage(self) -> None:
        """Killed in mid-stream and back: viewers lose nothing, the bucket is complete."""
        server = self.serve(
            STORAGE_TYPE="gcs",
            GCS_PROJECT_ID="test",
            GCS_BUCKET_NAME=BUCKET,
            GCS_BASE_DIR="live/streams",
            STREAM_GRACE="60s",
            **self.emulator.environment(),
        )
        publisher = self.publish(server, "plain", server.mint(KEY), live=True, loop=True)
        viewer = self.watch(server)
        viewer.wait_segments(4)
        wait_for(lambda: self.assert_consistent() > 2, "segments are in the bucket", 20)

        self.emulator.kill()
        seen = viewer.segments()
        wait_for(
            lambda: "cannot be written" in server.get("/ready").json["checks"]["storage"],
            "/ready names the store",
            15,
        )
        self.assertEqual(server.get("/ready").status, 200)
        down_until = time.monotonic() + OUTAGE
        wait_for(lambda: time.monotonic() > down_until, "the outage is over", OUTAGE + 5)
        self.assertGreater(viewer.segments() - seen, OUTAGE / 2, "the live stream went on")
        waiting = server.metric("rapidrtmp_upload_queue_bytes")
        self.assertGreater(waiting, 0)
        self.assertGreater(server.metric("rapidrtmp_upload_failures_total"), 0)

        self.emulator.restart()

        def caught_up() -> bool:
            self.assert_consistent()
            return server.metric("rapidrtmp_upload_queue_bytes") == 0

        wait_for(caught_up, "the bucket has caught up", 40)
        self.assertEqual(server.metric("rapidrtmp_upload_files_lost_total"), 0)
        self.assertEqual(server.get("/ready").json["checks"]["storage"], "ok")
        viewer.wait_segments(viewer.segments() + 2)
        publisher.kill()
        server.post(f"/api/v1/streams/{KEY}/stop")
        self.assert_clean(viewer)
        self.assertEqual(server.log.count("storage fails"), 1)
        self.assertEqual(server.log.count("storage works again"), 1)

        objects = self.emulator.objects()
        prefix = "live/streams/"
        for path, body in viewer.files.items():
            name = prefix + path.removeprefix("/live/")
            self.assertIn(name, objects)
            self.assertEqual(self.emulator.read(name), body, name)
        for rendition in viewer.renditions:
            # the viewer's session is in the address, not in the bucket
            path = re.sub(r"\.[0-9a-f]{32}/", "/", rendition.path)
            name = prefix + path.removeprefix("/live/")
            stored = hls.parse_media_playlist(self.emulator.read(name))
            self.assertTrue(stored.ended)
            self.assertEqual(objects[name]["contentType"], "application/vnd.apple.mpegurl")
            times = [
                datetime.fromisoformat(objects[path]["timeCreated"])
                for path in (urljoin(name, segment.uri) for segment in stored.segments)
            ]
            self.assertEqual(times, sorted(times), "segments were stored in order")
            updated = datetime.fromisoformat(objects[name]["updated"])
            self.assertLessEqual(times[-1], updated)
        server.stop()
