"""Timed metadata, captions and I-frames, as viewers of an HLS output get them."""

import re

from rapidrtmp.hls.timed import ID3_SCHEME
from rapidrtmp.interfaces import NotFound, NotReady, Representation
from rapidrtmp.media.timed import EventMessage, ScriptMessage
from rapidrtmp.media.track import Sample
from rapidrtmp.outputs.media_urls import CDNURLs
from rapidrtmp.stream.date_ranges import DateRangeWish
from rapidrtmp.stream.stream import Stream
from tests.hls.checker import MediaPlaylist, check_reload, parse_media_playlist
from tests.hls.low_latency_checker import split_low_latency
from tests.isobmff.checker import parse_events, parse_init, parse_segment
from tests.isobmff.fakes import AUDIO, CAPTIONS, VIDEO, VP8, picture
from tests.media.test_captions import control
from tests.outputs.case import CDN, INDEX
from tests.outputs.test_low_latency import EdgeCase
from tests.stream.fakes import NOW

TEXT = ScriptMessage("onTextData", [{"text": "hi"}], b"amf0")
OWN = EventMessage("urn:own", b"data", "v", 2.0)


class MessageTests(EdgeCase):
    def messages(self, name: str = "video1") -> dict[str, list[tuple[str, float]]]:
        """Return the scheme and time of all messages, by the URI of part or segment."""
        playlist = self.edge(name)
        assert playlist.low_latency is not None
        uris = [segment.uri for segment in playlist.segments]
        uris += [p.uri for parts in playlist.low_latency.parts.values() for p in parts]
        found = {}
        for uri in uris:
            events = parse_events(self.find(*self.media_path(uri)).body)
            if events:
                name = uri.rpartition("/")[2]
                found[name] = [(event.scheme, event.time / event.timescale) for event in events]
        return found

    def test_parts(self) -> None:
        """A message is in the next part of the leading track, and so in its segment."""
        live = self.encoder()
        live.run(8.7)
        before = self.messages()
        self.assertEqual(before, {})
        live.publication.write_script(8500, TEXT)
        self.stream.insert(OWN, NOW + 100)
        live.run(0.4)
        sequence = self.edge().segments[-1].sequence + 1
        [(uri, events)] = self.messages().items()
        self.assertRegex(uri, rf"^{sequence}\.[0-9]\.m4s$")
        self.assertEqual([scheme for scheme, _ in events], [ID3_SCHEME, "urn:own"])
        self.assertAlmostEqual(events[0][1], 8.5, places=3)
        self.assertAlmostEqual(events[1][1], 100.0, places=3)
        live.run(1.5)
        found = self.messages()
        self.assertEqual(found, {f"{sequence}.m4s": events, uri: events})
        self.assertEqual(self.messages("audio2"), {})
        body = self.find(self.stream.life, "video1", f"{sequence}.m4s").body
        [first, second] = parse_events(body)
        self.assertEqual((first.id, second.id), (1, 2))
        self.assertEqual((second.value, second.data, second.duration), ("v", b"data", 180_000))
        self.watch()

    def test_audio_alone(self) -> None:
        """Without video the audio has them."""
        live = self.encoder(tracks=(AUDIO,))
        live.run(8.7)
        live.publication.write_script(8600, TEXT)
        live.run(0.6)
        self.assertEqual(len(self.messages("audio2")), 1)

    def test_left_out(self) -> None:
        """Where the leading track has no place in HLS the first that has carries them."""
        for tracks, count in (((VP8, AUDIO), 1), ((VP8,), 0)):
            key = f"stream-{count}"
            live = self.encoder(key, tracks=tracks)
            live.run(6.5)
            live.publication.write_script(6400, TEXT)
            live.run(3)
            stream = self.manager.get(key)
            assert isinstance(stream, Stream)
            stored = [path for path in self.storage.paths if path.startswith(f"{key}/")]
            bodies = [self.storage.body(path) for path in stored if path.endswith(".m4s")]
            self.assertEqual(sum(len(parse_events(body)) for body in bodies), count)

    def test_other_tracks(self) -> None:
        """What waits for a sample is not lost where none comes, but kept within a bound."""
        live = self.encoder()
        live.run(6.5)
        for _ in range(40):
            self.stream.insert(EventMessage("urn:large", bytes(16_000)))
        live.run(0.5)
        [events] = self.messages().values()
        self.assertEqual(len(events), 256 * 1024 // 16_050)


class DateRangeTests(EdgeCase):
    def setUp(self) -> None:
        """Have a stream whose window is full."""
        super().setUp()
        self.live = self.encoder()
        self.live.run(20)

    def delta(self, skip: str = "v2") -> tuple[list[str], list[str] | None]:
        """Fetch a delta update; return the ids that it lists, and those that it takes away."""
        found = self.ask(skip=skip)
        assert isinstance(found, Representation)
        playlist, low_latency = split_low_latency(found.body)
        assert low_latency is not None
        return re.findall(r'DATERANGE:ID="([^"]*)"', playlist.decode()), low_latency.removed

    def test_life(self) -> None:
        """Opened, closed, listed in every playlist while it is in the window, then named."""
        self.settings_changed(10)
        self.stream.insert_date_range(DateRangeWish("ad", planned_duration=5.0))
        self.live.run(0.3)
        seen = self.edge()
        self.assertEqual(list(seen.date_ranges), ["ad"])
        self.assertEqual(list(self.edge("audio2").date_ranges), ["ad"])
        self.assertIsNone(seen.date_ranges["ad"].duration)
        self.live.run(4)
        self.stream.insert_date_range(DateRangeWish("ad", end=self.stream.edge))
        self.live.run(2)
        self.assertAlmostEqual(self.edge().date_ranges["ad"].duration or 0.0, 4.3, places=1)
        self.assertEqual(list(self.watch()[0].date_ranges), ["ad"])
        removed = False
        for _ in range(20):
            self.live.run(1)
            now = self.edge()
            check_reload(seen, now)
            removed = removed or self.delta() == ([], ["ad"])
            seen = now
        self.assertEqual(list(seen.date_ranges), [])
        self.assertTrue(removed)

    def test_skipped(self) -> None:
        """A delta update leaves out what changed before its boundary, if that was asked for."""
        self.settings_changed(20)
        self.stream.insert_date_range(DateRangeWish("old"))
        self.live.run(16)
        self.stream.insert_date_range(DateRangeWish("new"))
        self.live.run(0.5)
        self.assertEqual(list(self.edge().date_ranges), ["old", "new"])
        self.assertEqual(self.delta("YES"), (["old", "new"], None))
        self.assertEqual(self.delta(), (["new"], []))

    def settings_changed(self, segments: int) -> None:
        """Have longer playlists."""
        self.hls_maker.settings = type(self.settings)(max_segments=segments)
        self.live.run(segments * 2)

    def test_published(self) -> None:
        """What the publisher says is a moment with its values."""
        self.live.publication.write_script(20_000, TEXT)
        self.live.run(0.5)
        [found] = self.edge().date_ranges.values()
        self.assertEqual((found.duration, found.attributes["X-TEXT"]), (0.0, '"hi"'))
        self.assertAlmostEqual(found.start, NOW + 20, places=2)

    def test_reconnect(self) -> None:
        """They outlive the publisher, as the playlists do."""
        self.stream.insert_date_range(DateRangeWish("a"))
        self.live.publication.close("over")
        again = self.encoder()
        again.run(5)
        self.assertEqual(list(self.edge().date_ranges), ["a"])
        self.watch()


class CaptionTests(EdgeCase):
    def test_declared_when_seen(self) -> None:
        """NONE at first; a service is declared from the segment on that has it, and stays."""
        live = self.encoder(tracks=(VIDEO,))
        live.run(4.5)
        self.assertEqual(self.index().captions, [])
        for name in ("CC1", "CC1", "CC3", "CC3"):
            payload = picture(is_sync=False, body=CAPTIONS + control(name))
            time = round(live.time * 90_000)
            live.publication.write(Sample(VIDEO, time, 0, False, False, payload))
            live.run(1 / 25)
        live.run(4)
        self.assertEqual(self.index().captions, ["CC1", "CC3"])
        live.publication.close("over")
        again = self.encoder(tracks=(VIDEO,))
        again.run(4)
        self.assertEqual(self.index().captions, ["CC1", "CC3"])
        self.assertIn(b'CLOSED-CAPTIONS="captions"', self.find(*INDEX).body)


class IFrameTests(EdgeCase):
    def i_frames(self) -> MediaPlaylist:
        """Fetch the I-frame playlist that the multivariant one names."""
        [variant] = self.index().i_frames
        playlist = parse_media_playlist(self.find(*variant.uri.split("/")).body)
        self.assertTrue(playlist.i_frames_only)
        return playlist

    def test_ranges(self) -> None:
        """Each range is a fragment up to the end of a picture that a decoder can start with."""
        live = self.encoder()
        live.run(10.5)
        playlist = self.i_frames()
        media = self.playlist("video1")
        self.assertEqual(
            [(s.sequence, s.uri, s.duration, s.date) for s in playlist.segments],
            [(s.sequence, s.uri, s.duration, s.date) for s in media.segments],
        )
        for segment in playlist.segments:
            body = self.find(*self.media_path(segment.uri)).body
            movie = parse_init(self.find(*self.media_path(segment.map_uri)).body)
            [first, *_] = [s for f in parse_segment(movie, body) for s in f.samples]
            self.assertTrue(first.is_sync)
            self.assertTrue(body[: segment.i_frame_size].endswith(first.payload))
            self.assertEqual(body.index(first.payload) + len(first.payload), segment.i_frame_size)
            self.assertIn(b"moof", body[: segment.i_frame_size])
        live.run(2)
        check_reload(playlist, self.i_frames())

    def test_soft_cuts(self) -> None:
        """Where a segment does not start with such a picture there is a gap."""
        live = self.encoder(tracks=(VIDEO,))
        live.run(4.5)
        live.gop = 9.0
        live.run(14)
        gaps = [segment.is_gap for segment in self.i_frames().segments]
        self.assertIn(True, gaps)
        self.assertIn(False, gaps)

    def test_ended(self) -> None:
        """The end is told, and in time there is nothing any more."""
        live = self.encoder()
        live.run(6)
        path = (self.stream.life, "video1-iframes.m3u8")
        hls = self.hls
        self.assertFalse(self.i_frames().ended)
        self.manager.stop("key")
        self.assertTrue(parse_media_playlist(self.find(*path).body).ended)
        self.clock.advance(300)
        self.assertRaises(NotFound, hls.representation, path)

    def test_absent(self) -> None:
        """Audio has none, and video none before its first segment."""
        live = self.encoder(tracks=(AUDIO,))
        live.run(6)
        self.assertEqual(self.index().i_frames, [])
        for name in ("audio2-iframes.m3u8", "video1-iframes.m3u8", "x-iframes.m3u8"):
            self.assertRaises(NotFound, self.hls.representation, (self.stream.life, name))
        other = self.encoder("other")
        other.run(0.5)
        stream = self.manager.get("other")
        assert isinstance(stream, Stream)
        [output] = stream.http_outputs
        path = (stream.life, "video1-iframes.m3u8")
        self.assertRaises(NotReady, output.representation, path)


class CDNTests(EdgeCase):
    urls = CDNURLs(CDN)

    def test_cdn(self) -> None:
        """I-frames are fetched where the segments are; storage's playlist does not name them."""
        self.encoder().run(10.5)
        body = self.find(self.stream.life, "video1-iframes.m3u8").body.decode()
        self.assertIn(f"\n{CDN}/key/{self.stream.life}/video1/", body)
        self.assertNotIn(b"I-FRAME", self.storage.body("key/index.m3u8"))
