"""Tests of rapidrtmp.outputs.media_window, on whole HLS outputs."""

from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from rapidrtmp.interfaces import IMediaWindow, IMemoryHolder
from rapidrtmp.outputs.hls_maker import HLSSettings
from rapidrtmp.outputs.media_window import MediaWindow
from tests.isobmff.fakes import VIDEO
from tests.outputs.case import WHOLE, HLSCase
from tests.stream.fakes import Encoder


class WindowCase(HLSCase):
    """A stream with a window of ten segments."""

    def setUp(self) -> None:
        """Make the manager."""
        super().setUp()
        self.hls_maker.settings = HLSSettings(max_segments=10)

    @property
    def window(self) -> MediaWindow:
        """The usual stream's."""
        return self.hls.window

    def lengths(self) -> list[int]:
        """How many segments the playlists have, which the viewers judge."""
        return [len(playlist.segments) for playlist in self.watch()]

    def manifest(self) -> str:
        """Return the DASH manifest."""
        return self.find(self.stream.life, "manifest.mpd").body.decode()


class TrimTests(WindowCase):
    def test_interfaces(self) -> None:
        """Window and maker provide what they say."""
        self.publish()
        verifyObject(IMediaWindow, self.window)
        verifyObject(IMemoryHolder, self.hls_maker)

    def test_empty(self) -> None:
        """A stream without segments has nothing to give."""
        self.publish()
        self.assertEqual((self.window.dispensable(), self.window.kept_bytes), ([], 0))
        self.assertEqual((self.window.promised, self.window.segment_bytes), (0, 0))

    def test_trim(self) -> None:
        """Playlists lose their oldest segments, in order, and stay as short."""
        encoder = self.encoder()
        encoder.run(26)
        self.assertEqual(self.lengths(), [10, 10])
        sizes = self.window.dispensable()
        self.assertEqual(len(sizes), 7)
        kept = self.window.kept_bytes
        first = self.playlist("video1").segments[0].sequence
        self.window.trim(2)
        self.assertEqual(self.window.kept_bytes, kept - sum(sizes[:2]))
        self.assertTrue(self.window.is_trimmed)
        self.assertEqual(self.lengths(), [8, 8])
        self.assertEqual(self.playlist("video1").segments[0].sequence, first + 2)
        self.play(encoder, 10)
        self.assertEqual(self.lengths(), [8, 8])

    def test_minimum(self) -> None:
        """A playlist lasts three target durations at least, whatever becomes of its segments."""
        encoder = self.encoder()
        encoder.run(26)
        self.window.trim(7)
        self.assertEqual(self.lengths(), [3, 3])
        self.assertEqual(self.window.dispensable(), [])
        for _ in range(8):
            encoder.publication.close("a short segment")
            encoder = self.encoder()
            encoder.run(1)
            for playlist in self.watch():
                seconds = sum(segment.duration for segment in playlist.segments)
                self.assertGreaterEqual(seconds, 3 * playlist.target_duration)

    def test_no_target_duration(self) -> None:
        """Nor does it end without a segment where nothing says how long it has to last."""
        self.encoder().run(26)
        self.stream.segmentation.target_duration = None
        self.assertEqual(len(self.window.dispensable()), 9)

    def test_left(self) -> None:
        """What was trimmed can be fetched while the playlists that had it may be played."""
        encoder = self.encoder()
        encoder.run(26)
        [*_, last] = oldest = self.playlist("video1").segments[:7]
        self.window.trim(7)
        for segment in oldest:
            self.find(*self.media_path(segment.uri))
        encoder.run(21)
        self.find(*self.media_path(last.uri))
        encoder.run(6)
        self.assertNotIn(f"key/{'/'.join(self.media_path(last.uri))}", self.stored())

    def test_trimmed_bytes(self) -> None:
        """What was trimmed is told as such until storage has deleted it, and nothing else is."""
        encoder = self.encoder()
        encoder.run(40)
        self.assertEqual(self.hls_maker.trimmed_bytes, 0)
        sizes: list[int] = []
        oldest = [s for playlist in self.watch() for s in playlist.segments[:4]]
        paths = {f"key/{'/'.join(self.media_path(segment.uri))}" for segment in oldest}
        self.window.trim(4)
        for _ in range(25):
            entries = self.successResultOf(self.storage.list())
            size = sum(entry.size for entry in entries if entry.path in paths)
            self.assertEqual(self.hls_maker.trimmed_bytes, size)
            sizes.append(size)
            encoder.run(1)
        self.assertGreater(sizes[18], 0)
        self.assertEqual(sizes[-1], 0)
        self.window.trim(1)
        encoder.publication.close("gone")
        self.assertGreater(self.hls_maker.trimmed_bytes, 0)
        self.tick(200)
        self.assertEqual(self.hls_maker.trimmed_bytes, 0)

    def stored(self) -> list[str]:
        """The paths that storage has."""
        return [entry.path for entry in self.successResultOf(self.storage.list())]

    def test_long_playlist_seen(self) -> None:
        """Who has a playlist from before can play it to its end, at the speed of a player."""
        encoder = self.encoder()
        encoder.run(26)
        seen = self.playlist("video1").segments
        self.window.trim(7)
        for segment in seen:
            encoder.run(2)
            self.find(*self.media_path(segment.uri))

    def test_waiting(self) -> None:
        """What is not stored yet is not given away: it would be kept all the same."""
        encoder = self.encoder()
        encoder.run(16)
        self.storage.is_slow = True
        encoder.run(12)
        before = len(self.window.dispensable())
        self.assertLess(before, 6)
        self.storage.is_slow = False
        self.storage.finish()
        self.assertGreater(len(self.window.dispensable()), before)

    def test_not_stored(self) -> None:
        """What storage has given up is not given away: nobody else has it."""
        encoder = self.encoder()
        encoder.run(16)
        self.storage.is_slow = True
        encoder.run(4)
        self.uploads.max_bytes = 0
        self.uploads.make_room()
        self.storage.is_slow = False
        self.storage.finish()
        self.uploads.max_bytes = self.max_bytes_waiting
        encoder.run(8)
        self.assertTrue(self.uploads.files_lost)
        seen = self.playlist("video1").segments
        count = len(self.window.dispensable())
        self.assertLess(count, 7)
        if count:
            self.window.trim(count)
        for segment in seen:
            self.find(*self.media_path(segment.uri))

    def test_growth(self) -> None:
        """A window comes back segment by segment, to the length that is set now."""
        encoder = self.encoder()
        encoder.run(26)
        self.window.trim(5)
        self.assertEqual(self.window.promised, 0)
        for length in (6, 7, 8):
            self.window.grow()
            self.assertEqual(self.window.promised, self.window.segment_bytes)
            self.play(encoder, 2)
            self.assertEqual(self.lengths(), [length, length])
        self.hls_maker.settings = HLSSettings(max_segments=9)
        self.window.grow()
        self.assertFalse(self.window.is_trimmed)
        self.play(encoder, 10)
        self.assertEqual(self.lengths(), [9, 9])

    def test_late_track(self) -> None:
        """A track that came later gives nothing of what the first one has alone."""
        encoder = self.encoder(tracks=[VIDEO])
        encoder.run(16)
        encoder.publication.close("gone")
        self.encoder().run(12)
        video, audio = (list(self.playlist(name).segments) for name in ("video1", "audio2"))
        self.assertGreater(len(video), len(audio))
        self.window.trim(2)
        self.assertEqual(self.playlist("video1").segments[0].sequence, video[2].sequence)
        self.assertEqual(self.playlist("audio2").segments[0].sequence, audio[0].sequence)

    def test_other_forms(self) -> None:
        """DASH and I-frame playlists show the same window."""
        encoder = self.encoder()
        encoder.run(26)
        before = self.manifest()
        self.find(self.stream.life, "video1-iframes.m3u8")
        self.window.trim(4)
        self.assertNotEqual(self.manifest(), before)
        text = self.find(self.stream.life, "video1-iframes.m3u8").body.decode()
        self.assertEqual(text.count("#EXTINF"), 6)
        whole = self.find(self.stream.life, "video1.m3u8", query=WHOLE).body.decode()
        first = next(line for line in whole.splitlines() if "MEDIA-SEQUENCE" in line)
        self.assertIn(first, text)

    def test_ended(self) -> None:
        """An ended stream's window does not slide: it gives nothing any more, and then is gone."""
        encoder = self.encoder()
        encoder.run(26)
        encoder.publication.close("gone")
        self.assertEqual(self.hls_maker.windows, [self.window])
        self.tick(61)
        self.assertEqual(self.hls_maker.windows, [])
        self.assertGreater(self.hls_maker.memory()["window"], 0)
        self.tick(120)
        self.assertEqual(self.hls_maker.memory()["window"], 0)
        self.assertEqual(self.hls_maker.outputs, set())

    def test_ended_life(self) -> None:
        """Where memory is short, storage has an ended life once it was played to its end."""
        encoder = self.encoder()
        encoder.run(26)
        encoder.publication.close("gone")
        output = self.hls
        segments = self.playlist("video1").segments
        self.tick(60)
        self.assertTrue(output.has_ended)
        self.hls_maker.release_played()
        self.assertGreater(self.hls_maker.memory()["window"], 0)
        self.tick(20)
        self.hls_maker.release_played()
        self.assertEqual(self.hls_maker.memory()["window"], 0)
        self.assertTrue(self.find(self.stream.life, "video1.m3u8").body.endswith(b"ENDLIST\n"))
        for segment in segments:
            self.find(*self.media_path(segment.uri))
        self.tick(120)
        self.assertEqual(self.hls_maker.outputs, set())

    def test_ended_life_not_stored(self) -> None:
        """A life that storage does not have stays in memory for its time."""
        encoder = self.encoder()
        encoder.run(26)
        self.storage.is_slow = True
        encoder.run(4)
        encoder.publication.close("gone")
        self.tick(85)
        self.hls_maker.release_played()
        self.assertGreater(self.hls_maker.memory()["window"], 0)


class CountTests(WindowCase):
    @given(
        st.lists(
            st.sampled_from(
                (
                    *("run", "run", "mute", "trim", "grow", "again", "slow", "finish"),
                    *("fewer", "stop", "release"),
                )
            ),
            max_size=14,
        )
    )
    @settings(max_examples=25, deadline=None)
    def test_counters(self, steps: list[str]) -> None:
        """Running counters are what a walk finds, whatever happens to the stream."""
        del self.storage
        self.setUp()
        encoder = self.encoder()
        for step in steps:
            encoder = self.step(step, encoder)
            self.check_counters()

    def step(self, step: str, encoder: Encoder) -> Encoder:
        """Do one thing."""
        window = self.window
        if step == "run":
            encoder.run(6.3)
        elif step == "mute":
            encoder.run(9, kinds=("video",))
        elif step == "trim" and window.dispensable():
            window.trim(max(1, len(window.dispensable()) // 2))
        elif step == "grow" and window.is_trimmed:
            window.grow()
        elif step == "again":
            encoder.publication.close("gone")
            return self.encoder()
        elif step == "slow":
            self.storage.is_slow = True
        elif step == "finish":
            self.storage.is_slow = False
            self.storage.finish()
        elif step == "fewer":
            self.hls_maker.settings = HLSSettings(max_segments=5)
        elif step == "release":
            self.hls_maker.release_played()
        elif step == "stop":
            encoder.publication.close("gone")
            self.tick(200)
            return self.encoder()
        return encoder

    def check_counters(self) -> None:
        """Count again."""
        kept = 0
        shown: set[int] = set()
        for output in self.hls_maker.outputs:
            for window in output._all_windows.values():
                bodies = [body for segment in window.segments for body in segment.pieces]
                bodies += [part.body for part in window.parts]
                self.assertEqual(window.size, sum(map(len, bodies)))
                kept += window.size
                shown |= set(map(id, bodies))
        memory = self.hls_maker.memory()
        self.assertEqual(memory["window"], kept)
        held = 0
        for queue in self.uploads._queues:
            for put in queue._puts():  # type: ignore[attr-defined]  # the queues are those
                pieces = put.file.pieces
                is_shown = put.is_expendable and all(id(piece) in shown for piece in pieces)
                held += 0 if is_shown else put.file.size
        self.assertEqual(memory["upload"], held)
