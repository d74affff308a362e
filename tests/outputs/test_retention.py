"""Tests of rapidrtmp.outputs.retention and of what rapidrtmp.outputs.hls stores."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.interfaces import (
    NotFound,
)
from rapidrtmp.outputs.hls import HLSSettings
from rapidrtmp.outputs.retention import AFTER_END, end_playlists, is_media_path, sweep
from rapidrtmp.storage.memory import MemoryStorage
from tests.hls.checker import (
    parse_media_playlist,
)
from tests.outputs.case import INDEX, NAMES, HLSCase


class StorageTests(HLSCase):
    def test_removed_segments(self) -> None:
        """A segment that left the list is served by storage until its time is over."""
        encoder = self.encoder()
        encoder.run(3)
        old = self.playlist("video1").segments[0]
        path = (self.stream.life, *old.uri.split("/"))
        listed = self.find(*path)
        self.play(encoder, 13)
        self.assertNotIn(path, self.hls._files)
        self.assertEqual(self.find(*path), listed)
        self.play(encoder, 10)
        self.assertEqual(self.find(*path), listed)
        self.play(encoder, 8)
        self.failureResultOf(self.hold(*path), NotFound)
        self.assertIn("key/" + "/".join(path), self.storage.deletes)

    def test_end(self) -> None:
        """After the end everything is there for a while, then memory and storage are clean."""
        encoder = self.encoder()
        encoder.run(9)
        encoder.publication.close("left")
        self.clock.advance(60)
        for playlist in self.watch():
            self.assertTrue(playlist.ended)
        self.find(*INDEX)
        life = self.stream.life
        self.assertTrue(parse_media_playlist(self.storage.body(f"key/{life}/video1.m3u8")).ended)
        self.clock.advance(AFTER_END)
        self.watch()
        self.clock.advance(13)
        self.assertEqual(self.storage.paths, [])
        self.assertEqual(self.hls._files, {})
        self.assertRaises(NotFound, self.hls.representation, INDEX)
        self.failureResultOf(self.hold(life, "video1.m3u8"), NotFound)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_next_life(self) -> None:
        """The end of a life leaves the next one alone, its multivariant playlist too."""
        self.encoder().run(5)
        old, life = self.hls, self.stream.life
        self.successResultOf(self.manager.stop("key"))
        self.tick(31)
        encoder = self.encoder()
        encoder.run(5)
        self.assertIsNot(self.hls, old)
        self.find(life, "video1.m3u8")
        self.play(encoder, 60)
        self.assertEqual(self.find(*INDEX).body, self.storage.body("key/index.m3u8"))
        self.assertFalse([path for path in self.storage.paths if life in path])
        self.assertTrue([path for path in self.storage.paths if self.stream.life in path])

    def test_outage(self) -> None:
        """Viewers notice nothing when storage fails; it recovers by itself."""
        self.settings = HLSSettings(6, max_bytes_waiting=40_000)
        self.manager = self.make_manager()
        encoder = self.encoder()
        encoder.run(5)
        self.storage.error = OSError("disk full")
        self.play(encoder, 120)
        queue = self.hls._queue
        self.assertLessEqual(queue.bytes_waiting, 40_000)
        self.assertLess(len(queue._queue), 100)
        self.storage.error = None
        self.play(encoder, 40)
        for name in ("video1.m3u8", "audio2.m3u8"):
            path = (self.stream.life, name)
            self.assertEqual(self.storage.body("key/" + "/".join(path)), self.find(*path).body)

    def test_end_in_an_outage(self) -> None:
        """An ended stream does not try to store its files for ever."""
        encoder = self.encoder()
        encoder.run(5)
        self.storage.error = OSError("disk full")
        encoder.run(5)
        encoder.publication.close("left")
        for _ in range(200):
            self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.hls._files, {})

    def test_close(self) -> None:
        """A shutdown waits for storage."""
        self.encoder().run(5)
        self.storage.is_slow = True
        closing = self.manager.close()
        self.assertNoResult(closing)
        self.storage.finish()
        self.successResultOf(closing)
        playlist = parse_media_playlist(self.storage.body(f"key/{self.stream.life}/video1.m3u8"))
        self.assertFalse(playlist.ended)
        self.assertApproximates(sum(s.duration for s in playlist.segments), 5, 0.1)


class RetentionTests(SynchronousTestCase):
    def test_media_paths(self) -> None:
        """Only names that we give are ours."""
        life = "0123456789abcdef"
        ours: list[tuple[str, ...]] = [
            (life, "video1.m3u8"),
            (life, "audio12.m3u8"),
            (life, "video1", "0.m4s"),
            (life, "audio2", "init-0123abcd.mp4"),
        ]
        for path in ours:
            self.assertTrue(is_media_path(path), path)
        others: list[tuple[str, ...]] = [
            (),
            ("index.m3u8",),
            (life, "text1.m3u8"),
            (life, "video1.m3u8\n"),
            (life, "video1", "0.mp4"),
            (life, "video1", "init-0123abcg.mp4"),
            (life[1:], "video1.m3u8"),
            (life, "video1", "1", "0.m4s"),
        ]
        for path in others:
            self.assertFalse(is_media_path(path), path)


class SweepTests(HLSCase):
    def test_end_playlists(self) -> None:
        """Each playlist of a life is ended once."""
        encoder = self.encoder()
        encoder.run(5)
        life = self.stream.life
        for _ in range(2):
            ending = Deferred.fromCoroutine(end_playlists(self.storage, "key", life))
            self.successResultOf(ending)
        body = self.storage.body(f"key/{life}/video1.m3u8")
        self.assertTrue(parse_media_playlist(body).ended)
        self.assertEqual(self.storage.puts[-2:], [f"key/{life}/{n}.m3u8" for n in NAMES])

    def test_sweep(self) -> None:
        """Old files of lives that are over go; what is alive, young or not ours stays."""
        for key in ("dead", "alive"):
            self.encoder(key).run(5)
        self.storage.put("dead/notes.txt", (b"mine",), "", "")
        self.storage.put("other/0.m4s", (b"mine",), "", "")
        alive = self.manager.get("alive")
        dead = self.manager.get("dead")
        assert alive is not None and dead is not None
        storage: MemoryStorage = self.storage
        lives = {("alive", alive.life)}
        removing = Deferred.fromCoroutine(sweep(storage, lives, self.clock.seconds() - 60))
        self.assertEqual(self.successResultOf(removing), 0)
        self.clock.advance(1)
        kept = [path for path in self.storage.paths if not path.startswith("dead/")]
        removing = Deferred.fromCoroutine(sweep(storage, lives, self.clock.seconds()))
        self.assertGreater(self.successResultOf(removing), 4)
        self.assertEqual(self.storage.paths, sorted([*kept, "dead/notes.txt"]))
