"""Tests of rapidrtmp.dash.manifest."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.dash.manifest import Entry, Period, Representation, manifest
from rapidrtmp.media.codec import ColorInfo
from rapidrtmp.media.track import Track
from tests.dash.checker import Manifest, ManifestError, check_refresh, parse_manifest
from tests.isobmff.fakes import AUDIO, VIDEO, FakeAudioConfig, FakeVideoConfig

NOW = 1_800_000_000.0


def entries(start: int, *durations: int) -> list[Entry]:
    """List segments that follow one another."""
    starts = accumulate(durations[:-1], initial=start)
    return [Entry(time, duration) for time, duration in zip(starts, durations, strict=True)]


def represent(track: Track, listed: Sequence[Entry], **changes: object) -> Representation:
    """Describe a track."""
    name = f"{track.kind}{track.track_id}"
    usual = Representation(
        track, name, f"{name}/init-0.mp4", 1_000_000, None, listed[0].time, 100, listed
    )
    return replace(usual, **changes)  # type: ignore[arg-type]  # a test names what it wants


PICTURE = represent(VIDEO, entries(900_000, 180_000, 180_000, 171_000))
SOUND = represent(AUDIO, entries(480_000, 96_256, 95_232, 96_256))


def render(*periods: Period, part_target: float = 0.0, ended: bool = False) -> bytes:
    """Render a manifest of a life."""
    return manifest(
        periods,
        base="../life/",
        location="manifest.mpd",
        clock="../../time",
        published=NOW + 6.5,
        target_duration=2,
        depth=20.0,
        part_target=part_target,
        ended=ended,
    )


def parse(*representations: Representation, **settings: object) -> Manifest:
    """Render and judge a manifest of one Period."""
    return parse_manifest(render(Period("0", NOW, representations), **settings))  # type: ignore[arg-type]  # likewise


class ManifestTests(SynchronousTestCase):
    def test_whole_segments(self) -> None:
        """Two tracks without low latency."""
        told = parse(PICTURE, SOUND)
        self.assertEqual(told.attributes["publishTime"], "2027-01-15T08:00:06.500Z")
        names = ("minBufferTime", "minimumUpdatePeriod", "suggestedPresentationDelay",
                 "timeShiftBufferDepth")  # fmt: skip
        self.assertEqual([told.seconds(name) for name in names], [2, 2, 6, 20])
        self.assertEqual((told.latency, told.clock), ({}, "../../time"))
        [period] = told.periods
        self.assertEqual([one.kind for one in period.sets], ["video", "audio"])
        video, audio = period.representations.values()
        self.assertEqual((video.codecs, audio.codecs), ("avc1.64001f", "mp4a.40.2"))
        self.assertEqual((video.attributes["width"], video.attributes["height"]), ("1280", "720"))
        self.assertEqual((audio.attributes["audioSamplingRate"], audio.channels), ("48000", 2))
        self.assertEqual(video.init_uri, "../life/video1/init-0.mp4")
        self.assertEqual(
            [(each.number, each.uri, each.start - Fraction(NOW)) for each in video.segments],
            [
                (100, "../life/video1/100.m4s", 0),
                (101, "../life/video1/101.m4s", 2),
                (102, "../life/video1/102.m4s", 4),
            ],
        )

    def test_low_latency(self) -> None:
        """Segments are available a part after their start; the latency to aim at is told."""
        told = parse(PICTURE, SOUND, part_target=0.201)
        self.assertEqual(told.latency, {"target": "1603", "min": "802", "max": "7603"})
        self.assertEqual(told.seconds("minimumUpdatePeriod"), 0.5)
        offsets = [each.availability_offset for each in told.periods[0].representations.values()]
        self.assertEqual(offsets, [1.799, 1.804])

    def test_short_segments(self) -> None:
        """Segments that are no longer than a part are not available before their end."""
        told = parse(represent(VIDEO, entries(0, 18_000)), part_target=0.201)
        self.assertEqual(told.periods[0].representations["video1"].availability_offset, 0)

    def test_end(self) -> None:
        """An ended stream says when, and which segments are the last."""
        body = render(Period("0", NOW, [PICTURE, SOUND]), part_target=0.201, ended=True)
        told = parse_manifest(body)
        self.assertTrue(told.ended)
        self.assertEqual(told.seconds("mediaPresentationDuration"), NOW + 5.994667)
        self.assertEqual(body.count(b'endNumber="102"'), 2)
        self.assertNotIn(b"availabilityTimeOffset", body)
        self.assertNotIn(b"<Location>", body)

    def test_periods(self) -> None:
        """Only a hole between two Periods is told."""
        first = Period("0", NOW, [PICTURE])
        later = represent(VIDEO, entries(9_000_000, 180_000), start_number=103)
        close = parse_manifest(render(first, Period("1", NOW + 5.9, [later])))
        self.assertEqual([period.duration for period in close.periods], [None, None])
        far = parse_manifest(render(first, Period("1", NOW + 60, [later])))
        self.assertEqual([period.duration for period in far.periods], [Fraction("5.9"), None])
        self.assertEqual(far.periods[1].representations["video1"].segments[0].start, NOW + 60)

    def test_continuity(self) -> None:
        """A Period that only has other tracks than the one before says so."""
        told = parse_manifest(render(Period("0.7", NOW, [PICTURE], "0")))
        properties = told.periods[0].sets[0].properties
        self.assertEqual(properties, {"urn:mpeg:dash:period-continuity:2015": "0"})

    def test_ladder(self) -> None:
        """Sizes of one codec are one set, which is aligned if its segments are."""
        small = represent(Track(3, FakeVideoConfig(640, 360)), PICTURE.entries)
        [one] = parse(PICTURE, small).periods[0].sets
        self.assertEqual([each.id for each in one.representations], ["video1", "video3"])
        self.assertEqual(one.attributes["segmentAlignment"], "true")
        shifted = replace(small, entries=entries(901_000, 180_000, 180_000))
        [one] = parse(PICTURE, shifted).periods[0].sets
        self.assertNotIn("segmentAlignment", one.attributes)
        behind = replace(small, entries=small.entries[:-1])
        [one] = parse(PICTURE, behind).periods[0].sets
        self.assertEqual(one.attributes["segmentAlignment"], "true")

    def test_codecs(self) -> None:
        """Players do not switch between codecs by themselves."""
        other = represent(Track(3, FakeVideoConfig(codec="hevc", codec_string="hvc1.1.6.L93.B0")),
                          PICTURE.entries)  # fmt: skip
        sets = parse(PICTURE, other).periods[0].sets
        self.assertEqual(len(sets), 2)
        self.assertEqual([one.role for one in sets], ["main", "alternate"])

    def test_languages(self) -> None:
        """Each audio track is its own set; what publishers call them cannot break the text."""
        cases = (
            ("fr", "Français", "fr", "Français"),
            ("pt-BR", 'a <b> & "c"', "pt-BR", 'a <b> & "c"'),
            ("und", "", None, ""),
            ("</MPD>", "a\0\x1b\ud800b", None, "ab"),
        )
        for language, label, told_language, told_label in cases:
            track = Track(4, FakeAudioConfig(), language, label)
            [_, one] = parse(SOUND, represent(track, SOUND.entries)).periods[0].sets
            self.assertEqual(one.attributes.get("lang"), told_language)
            self.assertEqual((one.label, one.role), (told_label, "alternate"))

    def test_color(self) -> None:
        """HDR is told by the code points of its colour."""
        track = Track(1, FakeVideoConfig(color=ColorInfo(9, 16, 9)))
        [one] = parse(represent(track, PICTURE.entries)).periods[0].sets
        self.assertEqual(list(one.properties.values()), ["9", "16", "9"])

    def test_frame_rate(self) -> None:
        """Rates are whole numbers or fractions."""
        cases = {
            25.0: "25",
            29.9999: "30",
            30000 / 1001: "30000/1001",
            24000 / 1001: "24000/1001",
            12.5: "25/2",
        }
        for rate, text in cases.items():
            told = parse(replace(PICTURE, frame_rate=rate))
            video = told.periods[0].representations["video1"]
            self.assertEqual(video.attributes["frameRate"], text)

    def test_soft_cut(self) -> None:
        """No promise is made where a segment starts with no sync sample."""
        listed = [*PICTURE.entries, Entry(1_431_000, 180_000, is_independent=False)]
        video, audio = parse(replace(PICTURE, entries=listed), SOUND).periods[0].sets
        self.assertNotIn("startWithSAP", video.attributes)
        self.assertEqual(audio.attributes["startWithSAP"], "1")

    def test_nothing(self) -> None:
        """There is no manifest without a Period."""
        with self.assertRaises(ValueError):
            render()

    @given(
        st.lists(st.integers(1, 900_000) | st.just(180_000), min_size=1, max_size=30),
        st.integers(0, 1 << 50),
    )
    def test_any(self, durations: list[int], start: int) -> None:
        """Whatever their length, the same segments are read as were written."""
        listed = entries(start, *durations)
        told = parse(represent(VIDEO, listed)).periods[0].representations["video1"]
        self.assertEqual(
            [(each.media_time * 90_000, each.duration * 90_000) for each in told.segments],
            [(entry.time, entry.duration) for entry in listed],
        )
        self.assertEqual(told.segments[0].start, Fraction(NOW))


class CheckerTests(SynchronousTestCase):
    """The judge of the tests finds what is wrong."""

    def test_breaches(self) -> None:
        """Each change breaks a rule."""
        good = render(Period("0", NOW, [PICTURE, SOUND]), part_target=0.201).decode()
        for before, after in (
            ('type="dynamic"', 'type="static"'),
            ("1970-01-01", "1971-01-01"),
            (' minimumUpdatePeriod="PT0.5S"', ""),
            ('t="900000"', 't="-1"'),
            ('r="1"', 'r="-1"'),
            ('<S t="1260000"', '<S t="1260001"'),
            ("$Number$", "$Number%05d$"),
            ('availabilityTimeComplete="false"', 'availabilityTimeComplete="true"'),
            ("<UTCTiming", "<Unknown/><UTCTiming"),
            ('mimeType="video/mp4"', 'mimeType="audio/mp4"'),
            ('id="audio2"', 'id="video1"'),
            (' bandwidth="1000000"', ' bandwidth="0"'),
            ('startNumber="100"', 'startNumber="100" endNumber="101"'),
        ):
            self.assertIn(before, good)
            with self.assertRaises(ManifestError, msg=after):
                parse_manifest(good.replace(before, after, 1).encode())
        parse_manifest(good.encode())

    def test_refresh(self) -> None:
        """What was listed must stay what it was."""
        before = parse(PICTURE, SOUND)
        longer = replace(PICTURE, entries=entries(900_000, 180_000, 180_000, 180_000, 180_000))
        check_refresh(before, parse(longer, SOUND))
        for changed in (
            replace(PICTURE, time_offset=899_999),
            replace(PICTURE, entries=entries(900_000, 180_001, 180_000, 180_000)),
            replace(PICTURE, start_number=99),
            replace(PICTURE, id="video7"),
            replace(PICTURE, init_uri="video1/init-1.mp4"),
        ):
            with self.assertRaises(ManifestError):
                check_refresh(before, parse(changed, SOUND))
        moved = parse_manifest(render(Period("0", NOW + 1, [PICTURE, SOUND])))
        with self.assertRaises(ManifestError):
            check_refresh(before, moved)
