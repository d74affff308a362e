"""Streams that would fill memory, if they were let: everything stays bounded."""

import time
from pathlib import Path

from tests.hls.checker import parse_media_playlist
from tests.integration import media
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import wait_for
from tests.integration.stored import problems

MIB = 1 << 20


class BoundsTests(IntegrationTestCase):
    def test_pacing(self) -> None:
        """A file pushed as fast as it goes is slowed down to the clock; memory stays flat."""
        server = self.serve(INGEST_MAX_AHEAD="2s", HLS_MAX_SEGMENTS="6")
        publisher = self.publish(server, "five_minutes", server.mint(KEY))
        viewer = self.watch(server)
        viewer.wait_segments(1)
        begun, first = time.monotonic(), self.media_seconds(server.storage, viewer.leading.path)
        memory = server.child.resident_bytes()
        peak = memory
        while time.monotonic() - begun < 8:
            peak = max(peak, server.child.resident_bytes())
            time.sleep(0.1)
        passed = time.monotonic() - begun
        listed = parse_media_playlist(server.get(viewer.leading.path).body).segments
        ran = listed[-1].sequence - min(viewer.leading.segments) + 1
        self.assertTrue(publisher.running(), "five minutes of media went through in seconds")
        # segments of two seconds: the media time that came out is the time that passed
        self.assertLess(2 * ran, passed + first + 8)
        self.assertGreater(2 * ran, passed - 4)
        self.assertLess(peak - memory, 16 * MIB)
        self.assert_clean(viewer)
        publisher.kill()
        server.stop()

    def media_seconds(self, storage: Path, path: str) -> float:
        """Media stored up to now, by the count of segments of two seconds."""
        track = Path(path).stem
        return 2.0 * len([each for each in storage.rglob("*.m4s") if each.parent.name == track])

    def test_no_further_keyframe(self) -> None:
        """One key frame and never again: segments end all the same, memory is bounded."""
        server = self.serve(HLS_SEGMENT_DURATION="1s")
        viewer = self.watch(server)
        publisher = self.publish(server, "one_keyframe", server.mint(KEY))
        publisher.succeed()
        viewer.wait_ended(20)
        target = viewer.leading.last.target_duration
        durations = [segment.duration for segment in viewer.leading.segments.values()]
        self.assertGreater(len(durations), 2)
        self.assertLessEqual(max(durations), target + 0.5)
        self.assertAlmostEqual(sum(durations), 40, delta=0.1)
        text = server.get(viewer.leading.path).text
        self.assertNotIn("#EXT-X-INDEPENDENT-SEGMENTS", text)
        self.assert_clean(viewer)
        server.stop()

    def test_ten_seconds_between_keyframes(self) -> None:
        """OBS's automatic interval: one segment a group of pictures, TARGETDURATION covers it."""
        server = self.serve(HLS_SEGMENT_DURATION="2s")
        viewer = self.watch(server)
        self.publish(server, "long_gop", server.mint(KEY)).succeed()
        viewer.wait_ended()
        self.assertEqual(viewer.leading.last.target_duration, 10)
        durations = [round(segment.duration) for segment in viewer.leading.segments.values()]
        self.assertEqual(durations, [10, 10, 6])
        self.assert_clean(viewer)
        server.stop()

    def test_one_track(self) -> None:
        """Audio only and video only: CODECS name what is there and nothing else."""
        server = self.serve()
        for name, there, absent in (
            ("audio_only", 'CODECS="mp4a.40.2"', ("avc1", "RESOLUTION", "EXT-X-MEDIA:")),
            ("video_only", 'CODECS="avc1.', ("mp4a", "EXT-X-MEDIA:")),
        ):
            with self.subTest(name):
                viewer = self.watch(server, name)
                self.publish(server, name, server.mint(name), key=name).succeed()
                text = server.wait_playlist(name).text
                self.assertIn(there, text)
                for word in absent:
                    self.assertNotIn(word, text)
                viewer.wait_ended()
                self.assertEqual(len(viewer.renditions), 1)
                self.assertGreaterEqual(viewer.segments(), 5)
                self.assert_clean(viewer)
        server.stop()

    def test_window(self) -> None:
        """HLS_MAX_SEGMENTS bounds the playlist; numbers go on."""
        server = self.serve(HLS_MAX_SEGMENTS="3", HLS_SEGMENT_DURATION="1s", STREAM_GRACE="60s")
        token = server.mint(KEY)
        viewer = self.watch(server)
        publisher = self.raw(server)
        publisher.publish(f"{KEY}?token={token}")
        tags = list(media.flv_tags(media.as_flv(media.sample("five_minutes"))))
        first = [tag for tag in tags if tag.timestamp < 20_000]
        publisher.send_tags(first)
        viewer.wait_segments(1)
        wait_for(
            lambda: (
                viewer.leading.last.media_sequence > min(viewer.leading.segments) or None
                if len(viewer.leading.segments) > 3
                else len(viewer.leading.last.segments) == 3
            ),
            "three segments in the playlist",
        )
        later = [tag for tag in tags if 20_000 <= tag.timestamp < 60_000]
        before = viewer.leading.last.media_sequence
        for at in range(0, len(later), 300):
            publisher.send_tags(later[at : at + 300])
            time.sleep(0.2)  # the window moves at a pace that a viewer can follow
        wait_for(
            lambda: viewer.leading.last.media_sequence >= before + 15, "the window has moved on"
        )
        self.assertEqual(len(viewer.leading.last.segments), 3)
        self.assert_clean(viewer)
        publisher.close()
        server.stop()

    def test_storage_while_live(self) -> None:
        """At any moment every file that a stored playlist names is there and whole.

        What has left the window, and was there for the time of the window more, goes.
        """
        server = self.serve(HLS_MAX_SEGMENTS="3")
        publisher = self.publish(server, "plain", server.mint(KEY), live=True, loop=True)
        viewer = self.watch(server)
        viewer.wait_segments(1)
        wait_for(lambda: list(server.storage.rglob("*.m3u8")), "a stored playlist")
        looks = 0
        while viewer.segments() < 12:
            self.assertEqual(problems(server.storage), [])
            self.assertTrue(publisher.running(), publisher.output()[-2000:])
            looks += 1
        self.assertGreater(looks, 20)
        first = min(viewer.leading.segments)
        wait_for(
            lambda: not list(server.storage.rglob(f"{first}.m4s")), "the first segment is deleted"
        )
        self.assertLess(len(list(server.storage.rglob("*.m4s"))), 2 * 12)
        kinds = {path.suffix for path in server.storage.rglob("*") if path.is_file()}
        self.assertLessEqual({".m3u8", ".m4s", ".mp4"}, kinds)
        self.assert_clean(viewer)
        publisher.kill()
        server.stop()
        self.assertEqual(problems(server.storage), [])
