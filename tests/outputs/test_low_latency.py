"""Tests of rapidrtmp.outputs.hls and live_edge: the live edge as low-latency viewers see it."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from twisted.internet.defer import CancelledError, Deferred

from rapidrtmp.interfaces import (
    IMMUTABLE,
    IMediaURLs,
    InvalidRequest,
    NotFound,
    NotReady,
    Representation,
)
from rapidrtmp.outputs.media_urls import CDNURLs
from tests.hls.checker import MediaPlaylist, parse_media_playlist, parse_multivariant_playlist
from tests.isobmff.checker import check_track
from tests.isobmff.fakes import AUDIO
from tests.outputs.case import CDN, INDEX, LARGER, WHOLE, HLSCase
from tests.stream.fakes import FPS

FRAME = 1 / FPS


class EdgeCase(HLSCase):
    """A viewer at the live edge."""

    def edge(self, name: str = "video1", **directives: object) -> MediaPlaylist:
        """Fetch the newest low-latency playlist, which must be there."""
        return self.answer(self.ask(name, **directives))

    def ask(
        self, name: str = "video1", /, **directives: object
    ) -> Representation | Deferred[Representation]:
        """Ask for a playlist."""
        query = {f"_HLS_{key}": [str(value)] for key, value in directives.items()}
        return self.hls.representation((self.stream.life, f"{name}.m3u8"), query)

    def answer(self, found: Representation | Deferred[Representation]) -> MediaPlaylist:
        """Judge the answer."""
        if isinstance(found, Deferred):
            found = self.successResultOf(found)
        return parse_media_playlist(found.body)

    def position(self, playlist: MediaPlaylist) -> tuple[int, int]:
        """Tell the newest part."""
        assert playlist.low_latency is not None
        return playlist.low_latency.last_part


class LiveEdgeTests(EdgeCase):
    def setUp(self) -> None:
        """Have a stream that has segments, and is in the middle of one."""
        super().setUp()
        self.live = self.encoder()
        self.live.run(8.7)

    def test_parts_flow(self) -> None:
        """Each part is listed within a frame of its end; nothing comes twice or late."""
        seen = self.position(self.edge())
        times = 0
        for _ in range(100):
            self.live.run(FRAME)
            now = self.position(self.edge())
            if now == seen:
                continue
            self.assertIn(now, ((seen[0], seen[1] + 1), (seen[0] + 1, 0), (seen[0], 9)))
            seen = now
            times += 1
            self.edge("audio2")
        self.assertEqual(times, 20)

    def test_parts_are_the_segment(self) -> None:
        """A track made of the parts alone is sound, and the same as that of the segments."""
        bodies: dict[str, dict[str, bytes]] = {"video1": {}, "audio2": {}}
        first = self.edge().segments[-1].sequence + 1
        for _ in range(round(6 / FRAME)):
            self.live.run(FRAME)
            for name, files in bodies.items():
                low_latency = self.edge(name).low_latency
                assert low_latency is not None
                for sequence, parts in low_latency.parts.items():
                    if first <= sequence <= low_latency.last:
                        for part in parts:
                            files[part.uri] = self.find(*self.media_path(part.uri)).body
        for name, files in bodies.items():
            segments = [s for s in self.playlist(name).segments if s.sequence >= first]
            init = self.find(*self.media_path(segments[0].map_uri)).body
            wholes = [self.find(*self.media_path(s.uri)).body for s in segments]
            self.assertEqual(b"".join(files.values()), b"".join(wholes))
            check_track(init, wholes)
            self.assertGreaterEqual(len(wholes), 2)

    def test_one_copy(self) -> None:
        """Whoever asks for a part gets the same object, of which segment and storage are made."""
        playlist = self.edge()
        assert playlist.low_latency is not None
        segment = playlist.segments[-1]
        whole = self.find(*self.media_path(segment.uri))
        stored = self.storage._files["/".join(("key", *self.media_path(segment.uri)))]
        parts = playlist.low_latency.parts[segment.sequence]
        for part, piece, kept in zip(parts, whole.pieces, stored.pieces, strict=True):
            for _ in range(2):
                self.assertIs(self.find(*self.media_path(part.uri)).content, piece)
            self.assertIs(kept, piece)
        self.assertEqual(whole.size, len(whole.body))

    def test_blocking_reload(self) -> None:
        """A request for the next part is answered when that is complete, with it."""
        sequence, index = self.position(self.edge())
        waiting = self.ask(msn=sequence, part=index + 1)
        again = self.ask(msn=sequence, part=index + 1, skip="YES")
        later = self.ask(msn=sequence, part=index + 2)
        whole = self.ask(msn=sequence)
        self.assertEqual(self.hls.held, 4)
        self.live.run(0.2)
        playlist = self.answer(waiting)
        self.assertEqual(self.position(playlist), (sequence, index + 1))
        self.assertEqual(self.answer(again), playlist)
        assert isinstance(later, Deferred)
        assert isinstance(whole, Deferred)
        self.assertNoResult(later)
        self.live.run(0.2)
        self.assertEqual(self.position(self.answer(later)), (sequence, index + 2))
        self.assertNoResult(whole)
        self.live.run(1.6)
        self.assertEqual(self.answer(whole).segments[-1].sequence, sequence)
        self.assertEqual(self.hls.held, 0)

    def test_the_same_bytes(self) -> None:
        """One event renders one playlist, whatever the number of those who wait."""
        sequence, index = self.position(self.edge())
        several = [self.ask(msn=sequence, part=index + 1) for _ in range(50)]
        self.live.run(0.2)
        [one] = {id(self.successResultOf(found)) for found in several}  # type: ignore[arg-type]
        self.assertEqual(id(self.ask()), one)

    def test_answered_at_once(self) -> None:
        """What is there already, however old, is no reason to wait."""
        sequence, index = self.position(self.edge())
        cases: Sequence[Mapping[str, int]] = (
            {"msn": sequence, "part": index},
            {"msn": sequence - 1},
            {"msn": 0},
            {"msn": sequence - 1, "part": 99},
        )
        for directives in cases:
            self.assertIsInstance(self.ask("video1", **directives), Representation)

    def test_refused(self) -> None:
        """What nobody can answer is refused in words."""
        sequence, _ = self.position(self.edge())
        cases: Sequence[Mapping[str, int | str]] = (
            {"part": 1},
            {"msn": -1},
            {"msn": "x"},
            {"msn": sequence + 3},
            {"msn": sequence, "part": 40},
        )
        for directives in cases:
            with self.assertRaises(InvalidRequest) as caught:
                self.ask("video1", **directives)
            self.assertIn("_HLS_", str(caught.exception))

    def test_delta(self) -> None:
        """With a long window a delta update leaves out what lies far back."""
        self.hls_maker.settings = self.settings.__class__(max_segments=20)
        self.live.run(30)
        whole, delta = (self.ask(), self.ask(skip="YES"))
        assert isinstance(whole, Representation)
        assert isinstance(delta, Representation)
        self.assertIn(b"#EXT-X-SKIP:SKIPPED-SEGMENTS=", delta.body)
        self.assertLess(len(delta.body), len(whole.body))
        self.assertTrue(whole.body.endswith(delta.body.split(b"#EXT-X-SKIP")[1].split(b"\n", 1)[1]))

    def test_hinted_part(self) -> None:
        """Who asks for the part that is announced gets it the moment it is complete."""
        low_latency = self.edge().low_latency
        assert low_latency is not None
        path = self.media_path(low_latency.hint)
        found = self.hls.representation(path)
        assert isinstance(found, Deferred)
        self.assertNoResult(found)
        while not found.called:
            self.live.run(FRAME)
        part = self.successResultOf(found)
        self.assertEqual(part.cache_control, IMMUTABLE)
        self.assertEqual(self.find(*path).body, part.body)
        newest = self.edge().low_latency
        assert newest is not None
        self.assertEqual(newest.parts[newest.last + 1][-1].uri, low_latency.hint)

    def test_no_such_part(self) -> None:
        """Parts that are not, and not next, do not exist."""
        low_latency = self.edge().low_latency
        assert low_latency is not None
        life, track, name = self.media_path(low_latency.hint)
        sequence, index, _ = name.split(".")
        for other in (
            f"{sequence}.{int(index) + 1}.m4s",
            f"{int(sequence) + 1}.0.m4s",
            f"{int(sequence) - 1}.10.m4s",
            "1.0.m4s",
            f"{sequence}.-1.m4s",
            f"{sequence}.00000.m4s",
            f"{sequence}.{index}.m4s.bak",
        ):
            found = self.hls.representation
            try:
                answer = found((life, track, other))
            except NotFound:
                continue
            assert isinstance(answer, Deferred)
            self.failureResultOf(answer, NotFound)
        self.assertRaises(NotFound, self.hls.representation, (life, "video9", name))

    def test_hint_that_is_withdrawn(self) -> None:
        """A segment that ends without the announced part: the request for it is 404 at once."""
        low_latency = self.edge().low_latency
        assert low_latency is not None
        found = self.hls.representation(self.media_path(low_latency.hint))
        assert isinstance(found, Deferred)
        self.live.publication.close("left")
        # Its frames are in the last, short part, which is the announced one.
        self.successResultOf(found)
        hint = self.edge().low_latency
        assert hint is not None
        waiting = self.hls.representation(self.media_path(hint.hint))
        assert isinstance(waiting, Deferred)
        self.manager.stop("key")
        self.failureResultOf(waiting, NotFound)

    def test_encoder_goes(self) -> None:
        """Nothing comes: 503 in time, never an old playlist. At the end of the grace, the end."""
        sequence, _ = self.position(self.edge())
        self.live.publication.close("left")
        waiting = self.ask(msn=sequence + 1, part=0)
        assert isinstance(waiting, Deferred)
        self.clock.advance(5.9)
        self.assertNoResult(waiting)
        self.clock.advance(0.2)
        self.failureResultOf(waiting, NotReady)
        waiting = self.ask(msn=sequence + 1)
        self.clock.pump([1.0] * 5)
        self.manager.stop("key")
        self.assertTrue(self.answer(waiting).ended)
        self.assertTrue(self.edge(msn=sequence + 90).ended)

    def test_encoder_returns(self) -> None:
        """The numbers go on; who waited over the cut is answered with the first new part."""
        sequence, _ = self.position(self.edge())
        self.live.publication.close("left")
        waiting = self.ask(msn=sequence + 1, part=0)
        self.clock.advance(1)
        self.encoder().run(1.5)
        playlist = self.answer(waiting)
        self.assertEqual(self.position(playlist), (sequence + 1, 0))
        self.watch()

    def test_other_configuration(self) -> None:
        """Parts of a new configuration come with its initialization section."""
        self.live.publication.close("left")
        self.encoder(tracks=[LARGER, AUDIO]).run(1.0)
        file = self.ask("video1")
        assert isinstance(file, Representation)
        maps = [line for line in file.body.split(b"\n") if line.startswith(b"#EXT-X-MAP")]
        self.assertEqual(len(maps), 2)
        self.watch()

    def test_viewer_leaves(self) -> None:
        """A request that is given up is forgotten."""
        sequence, index = self.position(self.edge())
        waiting = self.ask(msn=sequence, part=index + 1)
        assert isinstance(waiting, Deferred)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.hls.held, 0)
        self.live.run(1)

    def test_too_many(self) -> None:
        """The number of those who wait is bounded."""
        self.hls_maker.settings = self.settings.__class__(max_blocked=3)
        sequence, index = self.position(self.edge())
        several = [self.ask(msn=sequence, part=index + 1) for _ in range(3)]
        self.assertRaises(NotReady, self.ask, msn=sequence, part=index + 1)
        self.live.run(0.3)
        self.assertEqual(len({id(self.answer(found).segments) for found in several}), 3)

    def test_server_goes_down(self) -> None:
        """Who waits is told, and nobody waits any more."""
        sequence, index = self.position(self.edge())
        waiting = self.ask(msn=sequence, part=index + 1)
        assert isinstance(waiting, Deferred)
        self.hls.close()
        self.failureResultOf(waiting, NotReady)
        self.assertRaises(NotReady, self.ask, msn=sequence, part=index + 1)
        self.edge()

    def test_plain(self) -> None:
        """Who wants whole segments gets a playlist of them, by one query from the start on."""
        [variant] = parse_multivariant_playlist(self.find(*INDEX, query=WHOLE).body).variants
        self.assertTrue(variant.uri.endswith("/video1.m3u8?ll=0"))
        index = self.find(*INDEX, query=WHOLE).body
        self.assertEqual(index.replace(b"?ll=0", b""), self.find(*INDEX).body)
        self.assertNotEqual(self.find(*INDEX, query=WHOLE).etag, self.find(*INDEX).etag)
        plain = self.find(self.stream.life, "video1.m3u8", query=WHOLE | {"_HLS_msn": ["x"]})
        self.assertNotIn(b"PART", plain.body)

    def test_reports(self) -> None:
        """Each playlist tells how far the other is, by the address that it has there."""
        for name, other in (("video1", "audio2"), ("audio2", "video1")):
            low_latency = self.edge(name).low_latency
            assert low_latency is not None
            self.assertEqual(list(low_latency.reports), [f"{other}.m3u8"])
        video = self.edge("video1").low_latency
        assert video is not None
        sequence, index = video.reports["audio2.m3u8"]
        uri = f"../{self.stream.life}/audio2/{sequence}.{index}.m4s"
        self.find(*self.media_path(uri))


class SettingTests(EdgeCase):
    part_duration: ClassVar[float] = 0.0

    def test_off(self) -> None:
        """Without parts the playlist is an ordinary one, and stays so."""
        self.manager.settings = self.manager.settings.__class__(part_duration=0.0)
        encoder = self.encoder()
        encoder.run(9)
        found = self.ask(msn=10**9, part=7)
        assert isinstance(found, Representation)
        self.assertIsNone(parse_media_playlist(found.body).low_latency)
        self.assertRaises(
            NotFound,
            self.find,
            self.stream.life,
            "video1",
            f"{self.stream.segmentation.sequence}.0.m4s",
        )
        self.watch()

    def test_survives_a_restart(self) -> None:
        """The life goes on with the part target that its playlists have told."""
        self.encoder().run(9)
        told = self.stream.segmentation.part_target
        record = self.stream.record
        self.assertEqual((told, record.part_target), (0.232, 0.232))
        self.assertEqual(type(record).from_json("key", record.as_json()), record)
        former = record.as_json()
        del former["partTarget"]
        self.assertEqual(type(record).from_json("key", former).part_target, 0.0)

    def test_first_segment(self) -> None:
        """A stream has parts from the start.

        hls.js may wait for ever where only the segment under way has some.
        """
        encoder = self.encoder()
        for seconds in (2.1, 0.5):
            encoder.run(seconds)
            for name, count in (("video1", 10), ("audio2", 11)):
                [first] = self.playlist(name).segments
                low_latency = self.edge(name).low_latency
                assert low_latency is not None
                self.assertEqual(len(low_latency.parts[first.sequence]), count)

    def test_slow_video(self) -> None:
        """Frames that are far apart make no parts."""
        encoder = self.encoder(tracks=[AUDIO])
        encoder.run(9)
        self.assertEqual(self.stream.segmentation.part_target, 0.247)
        self.edge("audio2")


class CDNTests(EdgeCase):
    urls: IMediaURLs | None = CDNURLs(CDN)

    def test_asked_for(self) -> None:
        """Where a CDN has the segments, viewers get those, unless they ask for parts."""
        self.encoder().run(9)
        life = self.stream.life
        usual = self.find(life, "video1.m3u8")
        self.assertNotIn(b"PART", usual.body)
        self.assertIn(CDN.encode(), usual.body)
        query: Mapping[str, Sequence[str]] = {"ll": ["1"]}
        playlist = parse_media_playlist(self.find(life, "video1.m3u8", query=query).body)
        assert playlist.low_latency is not None
        self.assertFalse([s for s in playlist.segments if s.uri.startswith(CDN)])
        self.assertEqual(list(playlist.low_latency.reports), ["audio2.m3u8?ll=1"])
        self.assertIn(b"video1.m3u8?ll=1\n", self.find(*INDEX, query=query).body)
