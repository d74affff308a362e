"""Tests of rapidrtmp.outputs.listing and media_urls: segments that are fetched elsewhere."""

from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from rapidrtmp.interfaces import IMediaURLs
from rapidrtmp.outputs.media_urls import CDNURLs, StorageURLs
from rapidrtmp.storage.memory import MemoryStorage
from rapidrtmp.stream.events import StreamEvent
from tests.hls.checker import MediaSegment, parse_media_playlist
from tests.isobmff.fakes import AUDIO, VIDEO
from tests.outputs.case import CDN, LARGER, HLSCase
from tests.stream.fakes import Encoder


@implementer(IMediaURLs)
class FakeURLs(CDNURLs):
    """A CDN that may be slow to name a URL, or fail to."""

    def __init__(self) -> None:
        super().__init__(CDN)
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.held: list[tuple[Deferred[str], str]] | None = None
        """What waits for `answer`, when a list."""

    def url_for(self, path: str) -> Deferred[str]:
        """Give the URL, now or later."""
        self.asked.append(path)
        if self.error is not None:
            return fail(self.error)
        if self.held is not None:
            waiting: Deferred[str] = Deferred()
            self.held.append((waiting, path))
            return waiting
        return super().url_for(path)

    def answer(self) -> None:
        """Name the oldest URL that waits."""
        assert self.held is not None
        waiting, path = self.held.pop(0)
        waiting.callback(f"{CDN}/{path}")


class ListingCase(HLSCase):
    """Streams whose segments are fetched at a CDN."""

    def setUp(self) -> None:
        """Make the CDN and the manager."""
        self.urls: FakeURLs = FakeURLs()
        super().setUp()
        self.told: list[StreamEvent] = []
        self.events.subscribe(self.told.append)

    @property
    def at_origin(self) -> int:
        """Segments that were listed at the origin."""
        return self.hls_maker.counters.segments_listed_at_origin

    def kinds(self, name: str) -> str:
        """One letter for each listed segment: c(DN), o(rigin) or g(ap)."""
        return "".join(map(kind, self.playlist(name).segments))

    def start(self, **settings: Any) -> Encoder:
        """Start an encoder; two segments of each track are listed when this returns."""
        encoder = self.encoder(**settings)
        encoder.run(4.2)
        return encoder


def kind(segment: MediaSegment) -> str:
    """One letter for a segment."""
    if segment.is_gap:
        return "g"
    return "c" if segment.uri.startswith(CDN) else "o"


class ListingTests(ListingCase):
    def test_at_the_cdn(self) -> None:
        """A segment that is stored is named at the CDN, its MAP at the origin, each URL once."""
        encoder = self.start()
        self.play(encoder, 30)
        for playlist in self.watch():
            self.assertEqual("".join(map(kind, playlist.segments)), "cccccc")
            for segment in playlist.segments:
                self.assertTrue(segment.map_uri.startswith(f"../{self.stream.life}/"))
            name = f"key/{self.stream.life}/{playlist.segments[0].map_uri.split('/')[2]}.m3u8"
            self.assertEqual(parse_media_playlist(self.storage.body(name)), playlist)
        self.assertEqual(len(self.urls.asked), len(set(self.urls.asked)))
        self.assertEqual(self.at_origin, 0)
        self.assertEqual(self.samples("video1"), 300)

    def test_stored_first(self) -> None:
        """A segment is listed when it is stored, not before, and served here meanwhile."""
        encoder = self.start()
        self.storage.is_slow = True
        encoder.run(2)
        self.assertEqual((self.kinds("video1"), self.kinds("audio2")), ("cc", "cc"))
        newest = self.playlist("video1").segments[-1].sequence + 1
        self.find(self.stream.life, "video1", f"{newest}.m4s")
        self.storage.is_slow = False
        self.storage.finish()
        self.assertEqual((self.kinds("video1"), self.kinds("audio2")), ("ccc", "ccc"))
        self.assertEqual(self.at_origin, 0)

    def test_patience(self) -> None:
        """After half a target duration a segment is listed at the origin, for ever."""
        encoder = self.start()
        self.urls.held = []
        encoder.run(1.9)  # the cut is at 6 s, now it is 6.1 s
        self.assertEqual(self.kinds("video1"), "cc")
        encoder.run(0.8)
        self.assertEqual(self.kinds("video1"), "cc")
        encoder.run(0.2)
        self.assertEqual((self.kinds("video1"), self.kinds("audio2")), ("cco", "cco"))
        self.assertEqual(self.at_origin, 2)
        while self.urls.held:
            self.urls.answer()
        self.assertEqual(self.kinds("video1"), "cco")
        self.urls.held = None
        self.play(encoder, 4)
        self.assertEqual((self.kinds("video1"), self.kinds("audio2")), ("ccocc", "ccocc"))

    def test_in_order(self) -> None:
        """Renditions stay in lock step: the first in line holds up the others."""
        encoder = self.start()
        self.urls.held = []
        encoder.run(2)
        first, second = self.urls.held
        self.assertNotEqual(first[1].split("/")[2], second[1].split("/")[2])
        self.urls.held = [second, first]
        self.urls.answer()
        self.assertEqual((self.kinds("video1"), self.kinds("audio2")), ("cc", "cc"))
        self.urls.answer()
        self.assertEqual((self.kinds("video1"), self.kinds("audio2")), ("ccc", "ccc"))
        self.assertEqual(self.at_origin, 0)

    def test_late_one_and_known_one(self) -> None:
        """Patience ends for the first in line alone: the one behind it has its URL."""
        encoder = self.start()
        self.urls.held = []
        encoder.run(2)
        self.urls.held.reverse()
        self.urls.answer()
        self.clock.advance(1)
        self.assertEqual(sorted((self.kinds("video1"), self.kinds("audio2"))), ["ccc", "cco"])
        self.assertEqual(self.at_origin, 1)

    def test_outage(self) -> None:
        """While storage is known to fail nobody waits; the CDN comes back with it."""
        encoder = self.start()
        self.storage.error = OSError("disk full")
        encoder.run(3)
        self.assertEqual(self.kinds("video1"), "cco")
        encoder.run(1)
        self.assertEqual((self.kinds("video1"), self.kinds("audio2")), ("ccoo", "ccoo"))
        self.assertApproximates(self.hls.segment_lag, 0, 0.1)
        self.storage.error = None
        self.clock.advance(15)
        encoder.run(2)
        self.assertEqual(self.kinds("video1")[-1:], "c")
        self.clock.advance(1)
        playlist = self.storage.body(f"key/{self.stream.life}/video1.m3u8")
        self.assertEqual(parse_media_playlist(playlist), self.playlist("video1"))

    def test_late_url(self) -> None:
        """Who is asked for a URL is not waited for once the segment is listed without it."""
        encoder = self.start()
        self.urls.held = []
        with capturedLogs() as events:
            encoder.run(20)
        held = [waiting for waiting, _ in self.urls.held]
        self.assertGreater(len(held), 10)
        self.assertLess(sum(not waiting.called for waiting in held), 5)
        self.assertEqual(events, [])
        self.assertEqual(self.kinds("video1"), "oooooo")

    def test_stored_late(self) -> None:
        """No URL is asked for when the segment was listed before it was stored."""
        encoder = self.start()
        self.storage.is_slow = True
        asked = len(self.urls.asked)
        encoder.run(6)
        self.storage.finish()
        self.assertLess(len(self.urls.asked) - asked, 5)

    def test_raising(self) -> None:
        """One who raises where it should fail holds nothing up."""
        encoder = self.start()
        with mock.patch.object(self.urls, "url_for", side_effect=ValueError("no key")):
            encoder.run(4)
        self.assertEqual((self.kinds("video1"), self.kinds("audio2")), ("ccoo", "ccoo"))

    def test_no_url(self) -> None:
        """A segment that gets no URL is listed at the origin at once; that is logged once."""
        encoder = self.start()
        self.urls.error = OSError("cannot sign")
        with capturedLogs() as events:
            encoder.run(4)
        self.assertEqual((self.kinds("video1"), self.kinds("audio2")), ("ccoo", "ccoo"))
        self.assertEqual([str(event["error"]) for event in events], ["cannot sign"])
        self.urls.error = None
        self.play(encoder, 2)
        self.assertEqual(self.kinds("video1"), "ccooc")

    def test_gaps(self) -> None:
        """A gap has no URL, and waits for its turn."""
        encoder = self.start()
        encoder.run(12, kinds=["video"])
        self.assertIn("gg", self.kinds("audio2"))
        self.assertNotIn("o", self.kinds("audio2"))
        self.assertEqual(self.at_origin, 0)

    def test_reconnect(self) -> None:
        """What an interruption completes is listed in time, a discontinuity follows it."""
        encoder = self.start()
        self.urls.held = []
        encoder.publication.close("left")
        self.assertEqual(self.kinds("video1"), "cc")
        while self.urls.held:
            self.urls.answer()
        self.assertEqual(self.kinds("video1"), "ccc")
        self.urls.held = None
        self.play(self.encoder(), 5)
        playlist, _ = self.watch()
        self.assertEqual("".join(map(kind, playlist.segments)), "ccccc")
        self.assertEqual(
            [segment.is_discontinuity for segment in playlist.segments],
            [False, False, False, True, False],
        )

    def test_configuration(self) -> None:
        """Another configuration lists what waited before it begins, and measures anew."""
        encoder = self.start()
        self.urls.held = []
        encoder.tracks = (LARGER, AUDIO)
        encoder.publication.set_tracks(encoder.tracks)
        encoder.frames = 150
        encoder.audio_frames = 150 * 48000 // 25 // 1024
        encoder.run(0.1)
        self.assertEqual(self.kinds("video1")[:3], "cco")
        while self.urls.held:
            self.urls.answer()
        self.urls.held = None
        self.play(encoder, 6)
        self.assertEqual(self.index().variants[0].resolution, (1920, 1080))
        self.assertNotIn("o", self.kinds("video1")[3:])

    def test_end(self) -> None:
        """An end lists everything with what is known, then ENDLIST, here and in storage."""
        encoder = self.start()
        self.urls.held = []
        encoder.run(2)
        # the one behind the first in line
        self.urls.held.reverse()
        self.urls.answer()
        self.successResultOf(self.manager.stop("key"))
        kinds = sorted((self.kinds("video1"), self.kinds("audio2")))
        self.assertEqual(kinds, ["ccco", "ccoo"])
        for name in ("video1", "audio2"):
            playlist = self.playlist(name)
            self.assertTrue(playlist.ended)
            stored = self.storage.body(f"key/{self.stream.life}/{name}.m3u8")
            self.assertEqual(parse_media_playlist(stored), playlist)

    def test_close(self) -> None:
        """A shutdown waits for URLs, but not for longer than patience."""
        self.start()
        self.urls.held = []
        closing = self.manager.close()
        while self.urls.held:
            self.assertNoResult(closing)
            self.urls.answer()
        self.successResultOf(closing)
        self.assertEqual(self.kinds("video1"), "ccc")

    def test_close_without_urls(self) -> None:
        """A shutdown stores the playlist whose segments were late, too."""
        self.start()
        self.urls.held = []
        closing = self.manager.close()
        self.clock.advance(0.9)
        self.assertNoResult(closing)
        self.clock.advance(0.1)
        self.successResultOf(closing)
        self.assertEqual(self.kinds("video1"), "cco")
        stored = self.storage.body(f"key/{self.stream.life}/video1.m3u8")
        self.assertEqual(parse_media_playlist(stored), self.playlist("video1"))

    def test_first_playlist(self) -> None:
        """Those who wait for the first playlist get it with the first listed segment."""
        self.urls.held = []
        encoder = self.encoder()
        encoder.run(2.2)
        held = self.hold("index.m3u8")
        self.assertEqual(self.hls.held, 1)
        while self.urls.held:
            self.assertNoResult(held)
            self.urls.answer()
        self.successResultOf(held)
        self.assertEqual((self.hls.held, self.kinds("video1")), (0, "c"))

    def test_long_segments(self) -> None:
        """Patience is two seconds at most: a player's buffer is no longer for long segments."""
        encoder = self.encoder(gop=8.0)
        self.urls.held = []
        encoder.run(9.8)
        self.assertEqual(self.hls.segment_lag, None)
        encoder.run(0.3)
        self.assertEqual(self.kinds("video1"), "o")
        self.assertApproximates(self.hls.segment_lag, 2, 0.1)


class EventTests(ListingCase):
    def test_segment(self) -> None:
        """Each listed segment is told, with all that an archive of it needs."""
        self.encoder(tracks=[VIDEO]).run(4.1)
        events = [event for event in self.told if event.name == "segment"]
        [first, second] = self.playlist("video1").segments
        self.assertEqual(
            events[0].as_json(),
            {
                "event": "segment",
                "streamKey": "key",
                "time": round(events[0].time, 3),
                "track": "video1",
                "sequence": first.sequence,
                "path": f"/live/key/{self.stream.life}/video1/{first.sequence}.m4s",
                "url": f"{CDN}/key/{self.stream.life}/video1/{first.sequence}.m4s",
                "duration": 2.0,
                "bytes": len(self.find(*self.media_path(first.uri)).body),
                "programDateTime": events[0].details["programDateTime"],
                "discontinuity": False,
                "independent": True,
            },
        )
        text = self.find(self.stream.life, "video1.m3u8").body.decode()
        for event, segment in zip(events, (first, second), strict=True):
            self.assertIn(f"PROGRAM-DATE-TIME:{event.details['programDateTime']}\n", text)
            self.assertEqual(event.details["sequence"], segment.sequence)

    def test_at_the_origin(self) -> None:
        """A segment of the origin has no other URL; a gap is not told."""
        self.urls.error = OSError("cannot sign")
        with capturedLogs():
            encoder = self.start()
            encoder.run(12, kinds=["video"])
        self.assertIn("g", self.kinds("audio2"))
        events = [event.details for event in self.told if event.name == "segment"]
        self.assertFalse([details for details in events if "url" in details])
        self.assertFalse([details for details in events if not details["bytes"]])
        self.assertEqual({details["track"] for details in events}, {"video1", "audio2"})

    def test_nobody_listens(self) -> None:
        """Nothing is put together for nobody."""
        encoder = self.start()
        self.patch(self.hls, "_tell", lambda *args: self.fail("told"))
        self.events._listeners.clear()
        encoder.run(4)
        self.assertEqual(self.kinds("video1"), "cccc")


class MediaURLTests(SynchronousTestCase):
    def test_cdn(self) -> None:
        """A CDN has the storage's paths below its base, with or without a slash at its end."""
        for base in ("https://cdn.example.com/a", "https://cdn.example.com/a/"):
            urls = CDNURLs(base)
            verifyObject(IMediaURLs, urls)
            url = self.successResultOf(urls.url_for("key/life/video1/5.m4s"))
            self.assertEqual(url, "https://cdn.example.com/a/key/life/video1/5.m4s")

    def test_storage(self) -> None:
        """A storage is asked for its own URLs."""
        urls = StorageURLs(MemoryStorage(Clock()))
        verifyObject(IMediaURLs, urls)
        self.assertEqual(self.successResultOf(urls.url_for("a/b")), "memory:///a/b")
        self.failureResultOf(urls.url_for("../a"), ValueError)
