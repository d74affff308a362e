"""Tests of rapidrtmp.outputs.dvr: hours of the past, out of storage."""

from dataclasses import replace
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs

from rapidrtmp.interfaces import (
    InvalidRequest,
    NotFound,
    NotReady,
    StorageEntry,
)
from rapidrtmp.outputs.media_urls import CDNURLs
from rapidrtmp.outputs.retention import AFTER_END, sweep
from rapidrtmp.stream.date_ranges import DateRangeWish
from rapidrtmp.stream.records import RecordStore
from tests.hls.checker import MediaPlaylist, check_reload, parse_media_playlist
from tests.isobmff.fakes import AUDIO, VIDEO
from tests.outputs.case import CDN, INDEX, LARGER, NAMES, HLSCase

PAST = {"dvr": ["1"]}
DELTA = {"dvr": ["1"], "_HLS_skip": ["YES"]}
GRACE = 2 + 12 + AFTER_END
"""Seconds for which a segment is kept that left the DVR playlist."""


class DVRCase(HLSCase):
    """A viewer who looks at all of the past."""

    window = 60.0

    def setUp(self) -> None:
        """Make the manager."""
        super().setUp()
        self.settings = self.hls_maker.settings = replace(self.settings, dvr_window=self.window)

    def past(self, name: str, *, is_same_life: bool = True) -> MediaPlaylist:
        """Fetch a DVR playlist, and judge it as a reload of what was seen of it."""
        file = self.find(self.stream.life, f"{name}.m3u8", query=PAST)
        playlist = parse_media_playlist(file.body)
        before = self.seen.get(f"{name} past") if is_same_life else None
        if before is not None:
            check_reload(before, playlist)
        self.seen[f"{name} past"] = playlist
        for segment in playlist.segments:
            self.find(*self.media_path(segment.map_uri))
            if not segment.is_gap:
                self.find(*self.media_path(segment.uri))
        return playlist

    def look(self) -> list[MediaPlaylist]:
        """Fetch those of both renditions, which must be in lock step."""
        playlists = [self.past(name) for name in ("video1", "audio2")]
        known = {s.sequence: (s.discontinuity, s.is_discontinuity) for s in playlists[0].segments}
        for segment in playlists[1].segments:
            told = (segment.discontinuity, segment.is_discontinuity)
            self.assertEqual(known.get(segment.sequence, told), told)
        return playlists

    def stored(self, ending: str = ".m4s") -> set[str]:
        """Return the URIs of stored files below the life."""
        prefix = f"key/{self.stream.life}/"
        return {p.removeprefix(prefix) for p in self.storage.paths if p.endswith(ending)}

    def uris(self, playlist: MediaPlaylist) -> set[str]:
        """Return the URIs of media below the life that a playlist names."""
        segments = [segment for segment in playlist.segments if not segment.is_gap]
        return {"/".join(self.media_path(segment.uri)[1:]) for segment in segments}

    def restart(self, away: float = 3.0) -> None:
        """Kill the process and start another on the same files."""
        for call in self.clock.getDelayedCalls():
            call.cancel()
        self.clock.advance(away)
        self.records = RecordStore(self.state)
        self.manager = self.make_manager()
        self.successResultOf(self.manager.restore())


class WindowTests(DVRCase):
    def test_date_ranges(self) -> None:
        """A date range is listed for as long as its time is in the past that can be watched."""
        encoder = self.encoder()
        encoder.run(3)
        self.stream.insert_date_range(DateRangeWish("a", duration=1.0))
        listed = []
        for _ in range(40):
            encoder.run(2)
            is_live = "a" in self.watch()[0].date_ranges
            listed.append((is_live, all("a" in past.date_ranges for past in self.look())))
        self.assertEqual(listed[0], (True, True))
        self.assertEqual(listed[10], (False, True))
        self.assertEqual(listed[-1], (False, False))

    def test_slides(self) -> None:
        """A minute can be watched, beside a live playlist of twelve seconds."""
        encoder = self.encoder()
        encoder.run(3)
        for _ in range(50):
            encoder.run(2)
            playlists = self.look()
            self.watch()
        for playlist in playlists:
            seconds = sum(segment.duration for segment in playlist.segments)
            self.assertTrue(60 <= seconds < 62.5, seconds)
        self.assertEqual(len(self.playlist("video1").segments), 6)
        self.assertApproximates(self.hls.dvr_seconds, 60, 2.5)
        sizes = [
            len(self.find(*self.media_path(uri)).body)
            for p in playlists
            for uri in [segment.uri for segment in p.segments]
        ]
        self.assertEqual(self.hls.dvr_bytes, sum(sizes))

    def test_only_what_is_listed_is_kept(self) -> None:
        """Storage has what is listed and what left a moment ago, memory the live edge."""
        encoder = self.encoder()
        encoder.run(3)
        for _ in range(150):
            encoder.run(2)
        listed = set().union(*map(self.uris, self.look()))
        kept = self.stored() - listed
        self.assertLessEqual(listed, self.stored())
        self.assertLessEqual(len(kept), 2 * (GRACE / 2 + 2))
        self.assertGreaterEqual(len(kept), 2 * (GRACE / 2 - 2))
        media = [path for path in self.hls._files.shown if path[-1].endswith(".m4s")]
        self.assertEqual(len(media), 12)
        self.assertLessEqual(len(self.stored(".json")), 4)

    def test_multivariant(self) -> None:
        """The way in is the usual address with a query, which every playlist carries on."""
        self.encoder().run(5)
        body = self.find(*INDEX, query=PAST).body
        self.assertEqual(body.replace(b"?dvr=1", b""), self.find(*INDEX).body)
        self.assertEqual(body.count(b".m3u8?dvr=1"), 2)

    def test_off(self) -> None:
        """Without a window the query changes nothing, and storage has no index."""
        self.hls_maker.settings = replace(self.settings, dvr_window=0.0)
        encoder = self.encoder()
        encoder.run(30)
        self.assertEqual(self.find(*INDEX, query=PAST), self.find(*INDEX))
        path = (self.stream.life, "video1.m3u8")
        self.assertEqual(self.find(*path, query=PAST), self.find(*path))
        self.assertEqual((self.stored(".json"), self.hls.dvr_seconds), (set(), 0.0))

    def test_switched(self) -> None:
        """The window follows the settings: what it lets go of is deleted, all of it."""
        self.hls_maker.settings = replace(self.settings, dvr_window=0.0)
        encoder = self.encoder()
        encoder.run(31)
        self.hls_maker.settings = self.settings
        encoder.run(2)
        self.assertEqual(len(self.past("video1").segments), 6)
        encoder.run(50)
        self.assertGreater(len(self.past("video1").segments), 28)
        self.hls_maker.settings = replace(self.settings, dvr_window=20.0)
        encoder.run(4)
        self.assertEqual(len(self.past("video1").segments), 10)
        self.hls_maker.settings = replace(self.settings, dvr_window=0.0)
        encoder.run(GRACE + 60)
        self.assertLess(len(self.stored()), 2 * 15)
        self.assertEqual(self.stored(".json"), set())
        self.assertEqual(self.hls._dvr._pasts["video1"].bytes, 0)

    def test_delta(self) -> None:
        """A delta update leaves out what lies before the skip boundary, as it says."""
        encoder = self.encoder()
        encoder.run(51)
        path = (self.stream.life, "video1.m3u8")
        whole = self.find(*path, query=PAST).body.decode().splitlines()
        delta = self.find(*path, query=DELTA).body.decode().splitlines()
        at = next(i for i, line in enumerate(delta) if line.startswith("#EXT-X-SKIP"))
        skipped = int(delta[at].partition("=")[2])
        rest = delta[at + 1 :]
        self.assertEqual(whole[-len(rest) :], rest)
        self.assertEqual(whole[:at], delta[:at])
        left_out = whole[at : -len(rest)]
        self.assertEqual(sum(not line.startswith("#") for line in left_out), skipped)
        self.assertEqual(skipped, 25 - 6)
        with self.assertRaises(InvalidRequest):
            self.hls.representation(path, {"dvr": ["1"], "_HLS_part": ["1"]})

    def test_nothing_to_skip(self) -> None:
        """A short one is sent whole."""
        self.encoder().run(9)
        path = (self.stream.life, "video1.m3u8")
        self.assertEqual(self.find(*path, query=DELTA), self.find(*path, query=PAST))

    def test_first(self) -> None:
        """Who comes before the first segment waits as others do."""
        encoder = self.encoder()
        encoder.run(1)
        held = self.hls.representation((self.stream.life, "video1.m3u8"), PAST)
        assert isinstance(held, Deferred)
        encoder.run(2)
        found = self.successResultOf(held)
        self.assertEqual(found, self.find(self.stream.life, "video1.m3u8", query=PAST))

    def test_rendered_once(self) -> None:
        """However many ask, a version is rendered once."""
        self.encoder().run(9)
        path = (self.stream.life, "video1.m3u8")
        self.assertIs(self.find(*path, query=PAST), self.find(*path, query=PAST))


class ChangeTests(DVRCase):
    def test_reconnect(self) -> None:
        """Reconnects and other configurations stand in the past as they stood at the edge."""
        live: dict[str, Any] = {}
        for tracks in ([VIDEO, AUDIO], [LARGER, AUDIO], [LARGER, AUDIO], [VIDEO, AUDIO]):
            encoder = self.encoder(tracks=tracks)
            encoder.run(3)
            for _ in range(5):
                encoder.run(2)
                for segment in self.playlist("video1").segments:
                    live[segment.uri] = segment
            encoder.publication.close("left")
            for segment in self.playlist("video1").segments:
                live[segment.uri] = segment
            self.clock.advance(5)
        playlists = self.look()
        segments = playlists[0].segments
        self.assertEqual(segments, list(live.values()))
        self.assertEqual(sum(segment.is_discontinuity for segment in segments), 3)
        self.assertEqual(len({segment.map_uri for segment in segments}), 2)

    def test_maps_are_kept(self) -> None:
        """An initialization section goes when the last segment that needs it has gone."""
        encoder = self.encoder(tracks=[VIDEO])
        encoder.run(9)
        [old] = self.stored(".mp4")
        encoder.publication.close("left")
        encoder = self.encoder(tracks=[LARGER])
        for _ in range(25):
            encoder.run(2)
            self.past("video1")
            self.assertIn(old, self.stored(".mp4"))
        encoder.run(30 + GRACE)
        self.assertNotIn(old, self.stored(".mp4"))

    def test_track_away(self) -> None:
        """A rendition that was away has gaps where it was, and both go on in lock step."""
        encoder = self.encoder()
        encoder.run(11)
        encoder.publication.close("left")
        alone = self.encoder(tracks=[VIDEO])
        alone.run(14)
        alone.publication.close("left")
        encoder = self.encoder()
        encoder.run(11)
        video, audio = self.look()
        self.assertEqual(len(video.segments), len(audio.segments))
        self.assertEqual([s.is_gap for s in audio.segments], [False] * 6 + [True] * 7 + [False] * 5)
        self.assertFalse(any(segment.is_gap for segment in video.segments))

    def test_track_away_for_long(self) -> None:
        """The past of a rendition that does not come back goes as that of the others goes."""
        encoder = self.encoder()
        encoder.run(21)
        encoder.publication.close("left")
        alone = self.encoder(tracks=[VIDEO])
        alone.run(160 + GRACE)
        left = {uri for uri in self.stored() if uri.startswith("audio")}
        self.assertEqual(left, self.uris(self.playlist("audio2")), "as at the live edge")
        self.assertEqual(self.hls._dvr._pasts["audio2"].bytes, 0)
        alone.publication.close("left")
        encoder = self.encoder()
        encoder.run(11)
        self.assertEqual(len(self.past("audio2").segments), 5)

    def test_cdn(self) -> None:
        """The past is at the CDN where the live edge was."""
        self.urls = CDNURLs(CDN)
        self.manager = self.make_manager()
        encoder = self.encoder()
        encoder.run(41)
        for playlist in self.look():
            self.assertTrue(all(segment.uri.startswith(CDN) for segment in playlist.segments))
        self.assertGreater(len(playlist.segments), 15)


class StorageTests(DVRCase):
    max_bytes_waiting = 4_000

    def test_outage(self) -> None:
        """What storage never got is a gap; who watches at the live edge sees none."""
        encoder = self.encoder()
        encoder.run(11)
        self.storage.error = OSError("disk full")
        for _ in range(20):
            encoder.run(1)
            newest = parse_media_playlist(
                self.find(self.stream.life, "video1.m3u8", query=PAST).body
            ).segments[-6:]
            self.assertFalse(any(segment.is_gap for segment in newest))
        self.storage.error = None
        encoder.run(25)
        for name in NAMES:
            segments = self.past(name).segments
            gaps = [segment.is_gap for segment in segments]
            self.assertEqual((gaps[0], gaps[-1]), (False, False))
            self.assertTrue(any(gaps))
            self.assertEqual(
                {s for s in self.stored() if s.startswith(name)},
                self.uris(self.past(name)),
            )

    def test_lost_file(self) -> None:
        """A file that somebody removed is a gap from then on, here and in the index."""
        encoder = self.encoder()
        encoder.run(31)
        old = self.past("video1").segments[3]
        path = self.media_path(old.uri)
        del self.storage._files["key/" + "/".join(path)]
        self.hls_maker.reads.forget("key/" + "/".join(path))
        held = self.hls.representation(path)
        assert isinstance(held, Deferred)
        self.failureResultOf(held, NotFound)
        self.seen.clear()
        gaps = [segment.is_gap for segment in self.past("video1").segments]
        self.assertEqual(gaps, [False] * 3 + [True] + [False] * 11)

    def test_many_viewers(self) -> None:
        """Many who watch the same moment cost one read."""
        encoder = self.encoder()
        encoder.run(31)
        old = self.media_path(self.past("video1").segments[0].uri)
        self.hls_maker.reads.forget("key/" + "/".join(old))
        reading: Deferred[bytes] = Deferred()
        with mock.patch.object(self.storage, "get", return_value=reading) as get:
            viewers = [self.hold(*old) for _ in range(100)]
            reading.callback(b"media")
            bodies = {self.successResultOf(viewer).body for viewer in viewers}
            again = self.find(*old)
        self.assertEqual((bodies, again.body, get.call_count), ({b"media"}, b"media", 1))


class EndTests(DVRCase):
    def test_end(self) -> None:
        """The past of an ended stream can be watched to its end; then nothing is left."""
        self.hls_maker.settings = replace(self.hls_maker.settings, image_width=320)
        encoder = self.encoder()
        encoder.run(51)
        self.assertEqual(self.find(*INDEX).body.count(b"-STREAM-INF"), 3)
        self.successResultOf(self.manager.stop("key"))
        life = self.stream.life
        self.assertTrue(self.past("video1").ended)
        self.clock.advance(AFTER_END + 13)
        self.assertFalse([path for path in self.hls._files.shown if path[-1].endswith(".m4s")])
        for playlist in self.look():
            self.assertTrue(playlist.ended)
            self.assertEqual(len(playlist.segments), 26)
        ordinary = self.find(life, "video1.m3u8")
        self.assertTrue(parse_media_playlist(ordinary.body).ended)
        for query in (PAST, None):
            named = self.find(*INDEX, query=query).body
            self.assertNotIn(b"-STREAM-INF", named.replace(b"#EXT-X-STREAM-INF", b""))
        self.clock.advance(40)
        self.assertEqual(self.storage.paths, [])
        self.assertEqual((self.hls._files.shown, self.hls.dvr_bytes), ({}, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_sweep(self) -> None:
        """What a killed process left of a life that is over goes, the index too."""
        self.encoder().run(31)
        self.clock.advance(1)
        removing = Deferred.fromCoroutine(sweep(self.storage, set(), self.clock.seconds()))
        self.successResultOf(removing)
        self.assertEqual(self.storage.paths, [])


class RestartTests(DVRCase):
    def test_goes_on(self) -> None:
        """After a kill the past is there again, also before the encoder is; numbers go on."""
        encoder = self.encoder()
        encoder.run(41)
        before = self.look()
        life = self.stream.life
        self.restart()
        self.assertRaises(NotReady, self.hls.representation, (life, "video1.m3u8"), PAST)
        self.clock.advance(0)
        for name, old in zip(("video1", "audio2"), before, strict=True):
            playlist = self.past(name)
            self.assertEqual(playlist.segments[:20], old.segments[:20])
        encoder = self.encoder()
        encoder.run(11)
        video, audio = self.look()
        self.assertEqual(self.stream.life, life)
        gaps = [segment.is_gap for segment in video.segments]
        self.assertEqual(gaps, [False] * 20 + [True] * 2 + [False] * 5)
        self.assertEqual([segment.is_gap for segment in audio.segments], gaps)
        self.assertEqual(sum(segment.is_discontinuity for segment in video.segments), 1)
        self.assertTrue(video.segments[22].is_discontinuity)
        encoder.run(200)
        listed = set().union(*map(self.uris, self.look()))
        self.assertLessEqual(len(self.stored() - listed), 2 * (GRACE / 2 + 2))

    def test_again_and_again(self) -> None:
        """Each restart leaves a discontinuity, and nothing else changes."""
        for _ in range(4):
            encoder = self.encoder()
            encoder.run(9)
            self.look()
            self.restart()
            self.clock.advance(0)
        self.assertEqual(
            sum(segment.is_discontinuity for segment in self.past("video1").segments), 3
        )

    def test_while_idle(self) -> None:
        """A kill while the encoder is away costs nothing of the past either."""
        encoder = self.encoder()
        encoder.run(21)
        encoder.publication.close("left")
        self.clock.advance(2)  # the same page is written once a second
        self.look()
        for _ in range(2):
            self.restart()
            self.clock.advance(0)
            self.look()
        self.encoder().run(5)
        for playlist in self.look():
            self.assertEqual(len(playlist.segments), 11 + 4 + 2)
            self.assertEqual(sum(s.is_discontinuity for s in playlist.segments), 3)

    def test_segments_while_reading(self) -> None:
        """Segments that come while the past is read follow it; slow storage is given up."""
        for answers in (True, False):
            self.encoder(token="good").run(31)
            with mock.patch.object(self.storage, "list") as listing:
                waiting: Deferred[list[StorageEntry]] = Deferred()
                listing.return_value = waiting
                self.restart()
                self.clock.advance(0)
                self.encoder().run(9)
            path = (self.stream.life, "video1.m3u8")
            self.assertRaises(NotReady, self.hls.representation, path, PAST)
            self.find(*path)
            if answers:
                waiting.callback(self.successResultOf(self.storage.list(f"key/{self.stream.life}")))
                self.assertGreater(len(self.past("video1").segments), 17)
            else:
                with capturedLogs() as events:
                    self.clock.advance(60)
                self.assertEqual(len(events), 1)
                past = self.past("video1").segments
                self.assertLess(len(past), 7)
                live = parse_media_playlist(self.find(*path).body).segments
                self.assertEqual([s.uri for s in past], [s.uri for s in live])

    def test_lost_files(self) -> None:
        """What is in the index and not in storage is a gap; what is in no index goes."""
        self.encoder().run(41)
        segments = self.past("video1").segments
        life = self.stream.life
        lost = "key/" + "/".join(self.media_path(segments[7].uri))
        del self.storage._files[lost]
        orphan = f"key/{life}/video1/{segments[0].sequence - 500}.m4s"
        self.storage.put(orphan, (b"x",), "", "")
        self.restart()
        self.clock.advance(0)
        self.seen.clear()
        self.assertEqual(
            [segment.is_gap for segment in self.past("video1").segments],
            [False] * 7 + [True] + [False] * 12,
        )
        self.assertIn(orphan, self.storage.paths)
        self.encoder().run(GRACE)
        self.assertNotIn(orphan, self.storage.paths)

    def test_broken_index(self) -> None:
        """A page that cannot be read costs the past up to it, of all renditions."""
        encoder = self.encoder()
        encoder.run(31)
        [video] = [uri for uri in self.stored(".json") if uri.startswith("video")]
        self.storage.put(f"key/{self.stream.life}/{video}", (b"{}",), "", "")
        self.restart()
        with capturedLogs() as events:
            self.clock.advance(0)
        self.assertEqual(len(events), 1)
        self.encoder().run(5)
        self.seen.clear()
        self.assertEqual(len(self.past("video1").segments), 2)
        self.assertEqual(len(self.past("audio2").segments), 2)

    def test_failing_storage(self) -> None:
        """A store that does not answer costs the past; the stream goes on."""
        self.encoder().run(31)
        with mock.patch.object(self.storage, "list", return_value=fail(OSError("no route"))):
            self.restart()
            with capturedLogs() as events:
                self.clock.advance(0)
        self.assertEqual(len(events), 1)
        self.encoder().run(5)
        self.assertEqual(len(self.past("video1").segments), 2)

    def test_without_index(self) -> None:
        """A life of a process without a window begins its past now."""
        self.hls_maker.settings = replace(self.settings, dvr_window=0.0)
        self.encoder().run(31)
        self.restart()
        self.clock.advance(0)
        self.encoder().run(5)
        self.assertEqual(len(self.past("video1").segments), 2)

    def test_no_return(self) -> None:
        """A stream whose grace ends after a restart can be watched to its end."""
        self.encoder().run(41)
        self.restart()
        self.clock.advance(0)
        self.clock.advance(60)
        playlist = self.past("video1")
        self.assertTrue(playlist.ended)
        self.assertEqual(len(playlist.segments), 20)
        self.clock.advance(AFTER_END + 41)
        self.assertEqual(self.storage.paths, [])
