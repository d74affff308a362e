"""Tests of rapidrtmp.outputs.retention and of what rapidrtmp.outputs.hls stores."""

from dataclasses import replace
from typing import Any, cast
from unittest import mock

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.interfaces import (
    NotFound,
)
from rapidrtmp.outputs.files import without_i_frames
from rapidrtmp.outputs.retention import AFTER_END, end_playlists, is_media_path, remove_life, sweep
from rapidrtmp.storage.memory import MemoryStorage
from rapidrtmp.stream.records import RecordStore
from tests.hls.checker import (
    parse_media_playlist,
)
from tests.outputs.case import INDEX, NAMES, WHOLE, HLSCase
from tests.outputs.fakes import CheckingStorage


class StorageTests(HLSCase):
    def test_removed_segments(self) -> None:
        """A segment that left the list is served by storage until its time is over."""
        encoder = self.encoder()
        encoder.run(3)
        old = self.playlist("video1").segments[0]
        path = self.media_path(old.uri)
        listed = self.find(*path)
        listed = replace(listed, content=listed.body)  # as storage gives it back
        self.play(encoder, 13)
        self.assertNotIn(path, self.hls._files.shown)
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
        self.clock.advance(1)
        for playlist in self.watch():
            self.assertTrue(playlist.ended)
        self.find(*INDEX)
        life = self.stream.life
        self.assertTrue(parse_media_playlist(self.storage.body(f"key/{life}/video1.m3u8")).ended)
        self.clock.advance(AFTER_END)
        self.watch()
        self.clock.advance(13)
        self.assertEqual(self.storage.paths, [])
        self.assertEqual(self.hls._files.shown, {})
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
        served = without_i_frames(self.find(*INDEX))
        self.assertEqual(served.body, self.storage.body("key/index.m3u8"))
        self.assertFalse([path for path in self.storage.paths if life in path])
        self.assertTrue([path for path in self.storage.paths if self.stream.life in path])

    def test_outage(self) -> None:
        """Viewers notice nothing when storage fails; it recovers by itself."""
        self.uploads.max_bytes = 10_000
        encoder = self.encoder()
        encoder.run(5)
        self.storage.error = OSError("disk full")
        self.play(encoder, 120)
        queue = self.hls._queue
        self.assertLessEqual(queue.bytes_waiting, 10_000)
        self.assertGreater(self.uploads.files_lost, 0)
        self.assertEqual(self.hls.bytes_waiting, queue.bytes_waiting)
        self.assertEqual(self.hls.storage_error, "disk full")
        self.assertLess(len(queue._files), 100)
        self.storage.error = None
        self.play(encoder, 40)
        for name in ("video1.m3u8", "audio2.m3u8"):
            path = (self.stream.life, name)
            self.assertEqual(
                self.storage.body("key/" + "/".join(path)), self.find(*path, query=WHOLE).body
            )

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
        self.assertEqual(self.hls._files.shown, {})

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


class ProtectedTests(HLSCase):
    """The multivariant playlist is not stored (PLAYBACK_AUTH)."""

    def protect(self) -> None:
        """Start a process on the same files, which does not store it."""
        for call in self.clock.getDelayedCalls():
            call.cancel()
        self.settings = replace(self.settings, stores_multivariant=False)
        self.records = RecordStore(self.state)
        self.manager = self.make_manager()
        self.successResultOf(self.manager.restore())

    def test_not_stored(self) -> None:
        """Viewers get it, storage does not, and nothing of the life is left after its end."""
        self.protect()
        encoder = self.encoder()
        encoder.run(3)
        self.play(encoder, 20)
        self.assertEqual(self.index().variants[0].uri, f"{self.stream.life}/video1.m3u8")
        self.assertFalse([path for path in self.storage.puts if "index" in path])
        self.assertTrue(all(self.stream.life in path for path in self.storage.paths))
        self.successResultOf(self.manager.stop("key"))
        self.index()
        self.clock.advance(AFTER_END + 13)
        self.assertEqual(self.storage.paths, [])

    def test_same_life(self) -> None:
        """What a former process stored of a life that goes on is gone before that does."""
        encoder = self.encoder()
        encoder.run(5)
        life = self.stream.life
        self.assertIn("key/index.m3u8", self.storage.paths)
        self.protect()
        self.assertEqual(self.stream.life, life)
        self.assertNotIn("key/index.m3u8", self.storage.paths)
        self.encoder().run(10)
        self.assertNotIn("key/index.m3u8", self.storage.paths)

    def test_next_life(self) -> None:
        """The same of another life, whose files the sweep then removes."""
        self.encoder().run(5)
        old = self.stream.life
        self.state = MemoryStorage(self.clock)
        self.protect()
        self.encoder().run(5)
        self.assertNotIn("key/index.m3u8", self.storage.paths)
        lives = {("key", self.stream.life)}
        self.clock.advance(1)
        removing = Deferred.fromCoroutine(sweep(self.storage, lives, self.clock.seconds()))
        self.assertGreater(self.successResultOf(removing), 4)
        self.assertFalse([path for path in self.storage.paths if old in path])

    def test_removed_while_swept(self) -> None:
        """The sweep gets over a multivariant playlist that goes away under it."""
        for key in ("a", "b"):
            self.encoder(key).run(5)
        self.clock.advance(1)
        get = self.storage.get

        def get_late(path: str) -> Deferred[bytes]:
            self.storage.delete("a/index.m3u8")
            return get(path)

        with mock.patch.object(self.storage, "get", get_late):
            removing = Deferred.fromCoroutine(sweep(self.storage, set(), self.clock.seconds()))
            self.successResultOf(removing)
        self.assertEqual(self.storage.paths, [])


class OrderTests(SynchronousTestCase):
    def test_playlists_first(self) -> None:
        """At no moment does a stored playlist name what is gone already."""
        life = "0123456789abcdef"
        index = "key/index.m3u8"
        names = ["audio1/init-01234567.mp4", "audio1.m3u8", "video1/7.m4s", "video1.m3u8"]
        for name in ("sweep", "remove_life"):
            storage = MemoryStorage(Clock())
            storage.put(index, (f"#EXTM3U\n{life}/video1.m3u8\n".encode(),), "", "")
            for each in names:
                storage.put(f"key/{life}/{each}", (b"x",), "", "")
            delete = storage.delete
            deleted: list[str] = []

            def note(
                path: str, delete: Any = delete, deleted: list[str] = deleted
            ) -> Deferred[None]:
                deleted.append(path.removeprefix(f"key/{life}/"))
                return cast("Deferred[None]", delete(path))

            with mock.patch.object(storage, "delete", note):
                removing = (
                    sweep(storage, set(), 1.0)
                    if name == "sweep"
                    else remove_life(storage, "key", life)
                )
                self.successResultOf(Deferred.fromCoroutine(removing))
            self.assertEqual(
                [set(deleted[:1]), set(deleted[1:3]), set(deleted[3:])],
                [{index}, {"audio1.m3u8", "video1.m3u8"}, {names[0], names[2]}],
            )


class FailingDeleteTests(SynchronousTestCase):
    """One file that cannot be deleted."""

    def test_others_go(self) -> None:
        """It holds up none of the others, and the log tells how many were left."""
        life = "0123456789abcdef"
        for name in ("sweep", "remove_life"):
            clock = Clock()
            storage = CheckingStorage(clock)
            for number in range(5):
                storage.put(f"key/{life}/video1/{number}.m4s", (b"x",), "", "")
            storage.put("key/notes", (b"x",), "", "")
            delete = storage.delete

            def locked(path: str, delete: Any = delete) -> Deferred[None]:
                return fail(OSError("locked")) if path.endswith("/1.m4s") else delete(path)

            with mock.patch.object(storage, "delete", locked), capturedLogs() as events:
                if name == "sweep":
                    removing = Deferred.fromCoroutine(sweep(storage, set(), 1.0))
                    self.assertEqual(self.successResultOf(removing), 4)
                else:
                    ended = Deferred.fromCoroutine(remove_life(storage, "key", life))
                    self.successResultOf(ended)
            self.assertEqual(storage.paths, [f"key/{life}/video1/1.m4s", "key/notes"])
            [event] = events
            self.assertEqual((event["failed"], event["total"]), (1, 5))


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
