"""DASH manifests over all that can happen, as viewers see them who look every second."""

from collections.abc import Sequence
from fractions import Fraction

from twisted.internet.defer import Deferred

from rapidrtmp.interfaces import (
    NO_CACHE,
    NotFound,
    NotPackaged,
    NotReady,
    Representation,
)
from rapidrtmp.media.track import Track
from rapidrtmp.outputs.retention import AFTER_END
from rapidrtmp.stream.records import RecordStore
from tests.dash import checker
from tests.dash.checker import Manifest, check_refresh, date, parse_manifest
from tests.hls.checker import MediaSegment
from tests.isobmff.checker import parse_init, parse_segment
from tests.isobmff.fakes import AUDIO, VIDEO, VP8, FakeAudioConfig, FakeVideoConfig
from tests.media.samples import audio, video
from tests.outputs.case import LARGER, MONO, HLSCase
from tests.stream.fakes import Encoder

PATH = ("manifest.mpd",)
FRENCH = Track(3, FakeAudioConfig(), "fr", "Français")
SMALL = Track(4, FakeVideoConfig(640, 360))


class DASHCase(HLSCase):
    """A stream with DASH viewers, who look every second, and compare with HLS."""

    def setUp(self) -> None:
        """Nobody knows anything yet."""
        super().setUp()
        self.manifests: dict[tuple[str, bool], Manifest] = {}
        self.judged: set[tuple[str, Fraction]] = set()

    def manifest(self, *, whole: bool = False) -> Manifest:
        """Fetch and judge the manifest, also as a later version of what was seen of it."""
        query = {"ll": ["0"]} if whole else {}
        file = self.find(self.stream.life, *PATH, query=query)
        described = (file.content_type, file.cache_control)
        self.assertEqual(described, ("application/dash+xml", NO_CACHE))
        self.assertIs(self.find(*PATH, query=query), file, "rendered once for all")
        manifest = parse_manifest(file.body)
        key = (self.stream.life, whole)
        if key in self.manifests:
            check_refresh(self.manifests[key], manifest)
        self.manifests[key] = manifest
        for period in manifest.periods:
            for representation in period.representations.values():
                self.judge(representation, listed_whole=whole or manifest.ended)
        return manifest

    def judge(self, representation: checker.Representation, *, listed_whole: bool) -> None:
        """Compare what is listed with the media and with the HLS playlist."""
        news = [
            segment
            for segment in representation.segments
            if (segment.uri, segment.duration) not in self.judged
        ]
        if not news:
            return
        movie = parse_init(self.find(*self.media_path(representation.init_uri)).body)
        self.assertEqual(movie.timescale, representation.timescale)
        playlist = self.playlist(representation.id)
        in_hls = {segment.sequence: segment for segment in playlist.segments}
        for segment in news:
            file = self.find(*self.media_path(segment.uri))
            if file.growth is not None:
                self.assertFalse(listed_whole)
                self.assertIs(segment, representation.segments[-1])
            [first, *_] = [s for f in parse_segment(movie, file.body) for s in f.samples]
            self.assertEqual(first.pts, segment.media_time * representation.timescale)
            known = in_hls.get(segment.number)
            if known is None:
                continue
            self.assertEqual(self.media_path(known.uri), self.media_path(segment.uri))
            self.compare(known, segment)
            self.judged.add((segment.uri, segment.duration))

    def compare(self, in_hls: MediaSegment, in_dash: checker.Segment) -> None:
        """Compare a segment's place and length."""
        self.assertAlmostEqual(in_hls.duration, float(in_dash.duration), 5)
        assert in_hls.date is not None
        # half a second of difference is how continuities are joined
        self.assertApproximates(in_hls.date, float(in_dash.start), 0.51)

    def look(self, encoder: Encoder, seconds: float) -> Manifest:
        """Publish, with viewers who look every second, in low latency and not."""
        for _ in range(round(seconds)):
            encoder.run(1)
            self.manager.tick()
            self.manifest(whole=True)
            manifest = self.manifest()
        return manifest

    def start(self, tracks: Sequence[Track] = (VIDEO, AUDIO)) -> Encoder:
        """Start an encoder; there is something to watch when it returns."""
        encoder = self.encoder(tracks=tracks)
        encoder.run(3)
        return encoder


class LiveTests(DASHCase):
    def test_low_latency(self) -> None:
        """The segment under way is listed from its first part on, and when it may be asked for."""
        encoder = self.start()
        manifest = self.look(encoder, 20)
        whole = self.manifest(whole=True)
        [period] = manifest.periods
        self.assertEqual(sorted(period.representations), ["audio2", "video1"])
        for name, representation in period.representations.items():
            complete = whole.periods[0].representations[name]
            self.assertEqual(representation.segments[-1].number, complete.segments[-1].number + 1)
            self.assertEqual(complete.availability_offset, 0)
            # it is there as soon as the first part is
            newest = representation.segments[-1]
            early = float(newest.duration) - representation.availability_offset
            self.assertApproximates(early, self.stream.segmentation.part_target or 0, 0.001)
        self.assertEqual((whole.latency, whole.location), ({}, "manifest.mpd?ll=0"))
        self.assertEqual(manifest.location, "manifest.mpd")
        self.assertLess(int(manifest.latency["target"]), 2000)
        self.assertEqual(whole.seconds("suggestedPresentationDelay"), 6)
        self.assertEqual(manifest.clock, "../../time")

    def test_times(self) -> None:
        """Presentation time is unix time: that of the encoder's media when it came."""
        before = self.clock.seconds()
        encoder = self.start()
        manifest = self.look(encoder, 9)
        [period] = manifest.periods
        self.assertApproximates(period.start, before, 0.05)
        picture = period.representations["video1"].segments[-1]
        self.assertLess(float(picture.start), self.clock.seconds())
        self.assertGreater(float(picture.start), self.clock.seconds() - 2.2)
        age = self.clock.seconds() - date(manifest.attributes["publishTime"])
        self.assertTrue(0 <= age < 2)

    def test_window(self) -> None:
        """As many segments are listed as in HLS, and their depth is told from the start."""
        encoder = self.start()
        first = self.manifest(whole=True)
        self.assertEqual(len(first.periods[0].representations["video1"].segments), 1)
        last = self.look(encoder, 30)
        self.assertEqual(len(last.periods[0].representations["video1"].segments), 7)
        for manifest in (first, last):
            self.assertApproximates(manifest.seconds("timeShiftBufferDepth"), 12, 0.3)

    def test_rendered_after_changes_alone(self) -> None:
        """A further part, of which a manifest does not tell, changes nothing."""
        encoder = self.start()
        encoder.run(1.5)
        before = self.find(*PATH)
        encoder.run(0.4)
        self.assertIs(self.find(*PATH), before)
        encoder.run(1.5)
        self.assertIsNot(self.find(*PATH), before)

    def test_no_parts(self) -> None:
        """A stream that cannot be cut into parts lists whole segments, and leads to itself."""
        publication = self.publish()
        publication.set_tracks((VIDEO,))
        for frame in range(60):
            publication.write(video(frame * 200, key=frame % 10 == 0))
            self.clock.advance(0.2)
        manifest = self.manifest()
        self.assertEqual((manifest.latency, manifest.location), ({}, "manifest.mpd"))
        representation = manifest.periods[0].representations["video1"]
        self.assertEqual(representation.availability_offset, 0)
        self.assertEqual(representation.attributes["frameRate"], "5")

    def test_audio_alone(self) -> None:
        """Without video there is one AdaptationSet."""
        encoder = self.start(tracks=[AUDIO])
        manifest = self.look(encoder, 10)
        [one] = manifest.periods[0].sets
        self.assertEqual((one.kind, one.representations[0].channels), ("audio", 2))

    def test_several_tracks(self) -> None:
        """Two sizes of a picture are one AdaptationSet, two languages are two."""
        publication = self.publish()
        publication.set_tracks((VIDEO, AUDIO, FRENCH, SMALL))
        for frame in range(25 * 7):
            for track in (VIDEO, SMALL):
                sample = video(frame * 40, key=frame % 50 == 0, offset_ms=80, track=track)
                publication.write(sample)
            for track in (AUDIO, FRENCH):
                publication.write(audio(frame * 40, track=track))
            self.clock.advance(0.04)
        manifest = self.manifest()
        sets = manifest.periods[0].sets
        names = [[each.id for each in one.representations] for one in sets]
        self.assertEqual(names, [["video1", "video4"], ["audio2"], ["audio3"]])
        self.assertEqual([one.attributes.get("lang") for one in sets], [None, None, "fr"])
        self.assertEqual([one.role for one in sets], ["main", "main", "alternate"])
        self.assertEqual(sets[0].attributes["segmentAlignment"], "true")

    def test_late_track(self) -> None:
        """A track that comes later is in a Period of its own."""
        encoder = self.start(tracks=[VIDEO])
        self.look(encoder, 5)
        encoder.tracks = (VIDEO, AUDIO)
        encoder.publication.set_tracks(encoder.tracks)
        encoder.audio_frames = encoder.frames * 48000 // 25 // 1024
        encoder.run(3)
        manifest = self.look(encoder, 4)
        names = [sorted(period.representations) for period in manifest.periods]
        self.assertEqual(names, [["video1"], ["audio2", "video1"]])


class StartTests(DASHCase):
    def held(self) -> Deferred[Representation]:
        """Ask before there is something to see."""
        found = self.hls.representation(PATH, {})
        assert isinstance(found, Deferred)
        return found

    def test_held(self) -> None:
        """Who comes before the first segment waits for it."""
        encoder = self.encoder()
        encoder.run(0.5)
        held = self.held()
        self.assertNoResult(held)
        encoder.run(2)
        parse_manifest(self.successResultOf(held).body)

    def test_impatient(self) -> None:
        """Nobody waits for ever."""
        self.encoder().run(0.5)
        held = self.held()
        self.clock.advance(8)
        self.failureResultOf(held, NotReady)


class BreakTests(DASHCase):
    """Periods where the encoder's media do not go on."""

    def test_reconnect(self) -> None:
        """An outage is a hole between two Periods, as long as it was."""
        encoder = self.start()
        before = self.look(encoder, 6).periods[0]
        encoder.publication.close("cut")
        for _ in range(8):
            self.tick(1)
            manifest = self.manifest()
            self.assertEqual((len(manifest.periods), manifest.ended), (1, False))
        encoder = Encoder(self.clock, self.publish())
        encoder.run(3)
        manifest = self.look(encoder, 4)
        old, new = manifest.periods
        self.assertEqual((old.start, old.id), (before.start, before.id))
        assert old.duration is not None
        self.assertApproximates(float(new.start - old.start - old.duration), 8, 0.2)
        self.assertEqual(
            new.representations["video1"].segments[0].number,
            old.representations["video1"].segments[-1].number + 1,
        )
        self.assertEqual(len(self.look(encoder, 20).periods), 1)

    def test_take_over(self) -> None:
        """Another encoder that takes over at once goes on without a hole."""
        encoder = self.start()
        self.look(encoder, 6)
        encoder = Encoder(self.clock, self.publish())
        encoder.run(3)
        old, new = self.look(encoder, 4).periods
        self.assertIsNone(old.duration)
        self.assertApproximates(float(new.start - old.end), 0, 0.001)

    def test_configuration(self) -> None:
        """Each configuration has a Period with its own initialization section and codecs."""
        encoder = self.start()
        self.look(encoder, 4)
        encoder.tracks = (LARGER, MONO)
        encoder.publication.set_tracks(encoder.tracks)
        encoder.frames = -(-encoder.frames // 50) * 50
        encoder.audio_frames = encoder.frames * 48000 // 25 // 1024
        encoder.run(3)
        old, new = self.look(encoder, 3).periods
        widths = [each.representations["video1"].attributes["width"] for each in (old, new)]
        self.assertEqual(widths, ["1280", "1920"])
        channels = [each.representations["audio2"].channels for each in (old, new)]
        self.assertEqual(channels, [2, 1])
        uris = {each.representations["video1"].init_uri for each in (old, new)}
        self.assertEqual(len(uris), 2)

    def test_clock_jump(self) -> None:
        """A jump of the encoder's clock is a new Period, without a hole."""
        encoder = self.start()
        for jump in (100.0, -50.0):
            self.look(encoder, 4)
            encoder.origin += jump
        manifest = self.look(encoder, 4)
        self.assertEqual([period.id for period in manifest.periods], ["0", "1", "2"])
        for period in manifest.periods[:-1]:
            self.assertIsNone(period.duration)

    def test_video_goes_and_comes(self) -> None:
        """Video that is away for long leaves, and its old segments with it."""
        encoder = self.start()
        for _ in range(3):
            self.look(encoder, 6)
            for _ in range(16):
                encoder.run(1, kinds=["audio"])
                self.manager.tick()
                self.manifest()
            self.assertNotIn("video1", self.manifest().periods[-1].representations)
            encoder.run(5)
            self.assertIn("video1", self.manifest().periods[-1].representations)

    def test_flapping(self) -> None:
        """A publisher that comes and goes leaves Periods for what is listed, no more."""
        for _ in range(60):
            encoder = self.encoder()
            encoder.run(2.4)
            self.manifest()
            encoder.publication.close("cut")
            self.tick(1)
        self.assertLessEqual(len(self.manifest().periods), 7)
        presentation = self.hls._dash._presentation
        self.assertLessEqual(len(presentation._continuities), 7)
        self.assertLessEqual(len(presentation._times), 16)

    def test_clock_set_back(self) -> None:
        """When the server's clock is set back, what lies in the future is not listed any more."""
        encoder = self.start()
        self.look(encoder, 6)
        encoder.publication.close("cut")
        self.clock.rightNow -= 3600
        self.manifests.clear()
        encoder = Encoder(self.clock, self.publish())
        encoder.run(3)
        [period] = self.manifest().periods
        self.assertApproximates(period.start, self.clock.seconds() - 3, 0.1)

    def test_restart(self) -> None:
        """After a kill the manifest is held, and goes on with another Period of the same life."""
        encoder = self.start()
        before = self.look(encoder, 6).periods[0]
        for call in self.clock.getDelayedCalls():
            call.cancel()
        self.clock.advance(3)
        self.records = RecordStore(self.state)
        self.manager = self.make_manager()
        self.successResultOf(self.manager.restore())
        held = self.hold(self.stream.life, *PATH)
        encoder = self.encoder()
        encoder.run(3)
        [period] = parse_manifest(self.successResultOf(held).body).periods
        self.assertGreater(period.start, before.end)
        self.assertNotEqual(period.id, before.id)
        numbers = [each.representations["video1"].segments[0].number for each in (before, period)]
        self.assertLess(*numbers)


class GapTests(DASHCase):
    """Tracks that have no media for a while: a Period without them."""

    def compare(self, in_hls: MediaSegment, in_dash: checker.Segment) -> None:
        """In HLS a segment starts where it is cut; in DASH with its sample, which may be late."""
        assert in_hls.date is not None
        late = float(in_dash.start) - in_hls.date
        self.assertTrue(-0.001 < late < 2.2, late)
        self.assertApproximates(in_hls.duration - late, float(in_dash.duration), 0.002)

    def test_audio_stalls(self) -> None:
        """Video plays on alone, in the same continuity; then both do."""
        encoder = self.start()
        self.look(encoder, 4)
        for _ in range(8):
            encoder.run(1, kinds=["video"])
            self.manifest()
        manifest = self.look(encoder, 4)
        tracks = [sorted(period.representations) for period in manifest.periods]
        both = ["audio2", "video1"]
        self.assertEqual(tracks, [both, ["video1"], both][-len(tracks) :])
        self.assertGreater(len(tracks), 1)
        self.assertEqual(tracks[-2], ["video1"])
        for period in manifest.periods:
            self.assertEqual(period.id.split(".")[0], "0")
        last = manifest.periods[-1]
        previous = manifest.periods[-2].id
        for one in last.sets:
            self.assertEqual(one.properties, {"urn:mpeg:dash:period-continuity:2015": previous})
        self.assertEqual(len(self.look(encoder, 20).periods), 1)
        self.assertEqual(self.manifest().periods[0].id, last.id)

    def test_video_stalls(self) -> None:
        """Sound plays on alone."""
        encoder = self.start()
        self.look(encoder, 2)
        encoder.run(4, kinds=["audio"])
        self.manifest()
        manifest = self.look(encoder, 5)
        tracks = [sorted(period.representations) for period in manifest.periods]
        self.assertIn(["audio2"], tracks)
        self.assertEqual(tracks[-1], ["audio2", "video1"])


class LeftOutTests(DASHCase):
    """Tracks that CMAF has no place for."""

    def test_sound_alone(self) -> None:
        """Beside pictures that cannot be packaged, sound is all there is."""
        encoder = self.start(tracks=(VP8, AUDIO))
        manifest = self.look(encoder, 5)
        self.assertEqual(list(manifest.periods[0].representations), ["audio2"])

    def test_nothing(self) -> None:
        """Who asks, or waits already, is told why nothing can be seen; who watches may go on."""
        encoder = self.encoder(tracks=(VP8,))
        waiting = self.hold(*PATH)
        encoder.run(3)
        self.failureResultOf(waiting, NotPackaged)
        self.assertRaises(NotPackaged, self.hls.representation, PATH)
        encoder.publication.close("left")
        self.encoder().run(3)
        before = self.manifest()
        self.encoder(tracks=(VP8,)).run(3)
        self.assertRaises(NotPackaged, self.hls.representation, PATH)
        file = self.find(self.stream.life, *PATH)
        check_refresh(before, parse_manifest(file.body))
        self.encoder(tracks=(VP8,)).run(100)
        self.assertLess(len(self.hls._dash._presentation._times), 8)


class EndTests(DASHCase):
    def test_end(self) -> None:
        """The end is told; the rest can be seen for a while, by newcomers too."""
        encoder = self.start()
        self.look(encoder, 9)
        self.successResultOf(self.manager.stop("key"))
        manifest = self.manifest()
        self.assertTrue(manifest.ended)
        self.assertEqual(manifest.periods, self.manifest(whole=True).periods)
        self.clock.advance(AFTER_END - 1)
        self.assertEqual(self.manifest(), manifest)
        hls = self.hls
        self.clock.advance(30)
        with self.assertRaises(NotFound):
            hls.representation(PATH, {})

    def test_end_in_an_outage(self) -> None:
        """A stream whose encoder does not come back ends."""
        encoder = self.start()
        self.look(encoder, 4)
        encoder.publication.close("cut")
        self.tick(61)
        self.assertTrue(self.manifest().ended)

    def test_end_before_the_start(self) -> None:
        """A stream without a segment has no manifest, and nobody waits for it any more."""
        encoder = self.encoder()
        encoder.publication.close("cut")
        held = self.hold(*PATH)
        self.successResultOf(self.manager.stop("key"))
        self.failureResultOf(held, NotFound)
