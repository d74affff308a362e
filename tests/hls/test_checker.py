"""Tests of the judge of playlists: it must notice every kind of damage."""

from twisted.trial.unittest import SynchronousTestCase

from tests.hls.checker import (
    CheckError,
    check_reload,
    parse_media_playlist,
    parse_multivariant_playlist,
)

MEDIA = """\
#EXTM3U
#EXT-X-VERSION:8
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:100
#EXT-X-DISCONTINUITY-SEQUENCE:3
#EXT-X-MAP:URI="v/init-1.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z
#EXTINF:2.000000,
v/100.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:02.000Z
#EXT-X-GAP
#EXTINF:2.000000,
v/101.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="v/init-2.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:01:00.000Z
#EXTINF:1.500000,
v/102.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:01:01.500Z
#EXTINF:2.000000,
v/103.m4s
"""
LAST = """\
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:01:01.500Z
#EXTINF:2.000000,
v/103.m4s
"""
NEXT = (
    MEDIA
    + """\
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:01:03.500Z
#EXTINF:2.000000,
v/104.m4s
"""
)

Mutants = tuple[tuple[str, str, str, str], ...]
"""(name, what is replaced, by what, what the message says)."""

MEDIA_MUTANTS: Mutants = (
    ("no EXTM3U", "#EXTM3U\n", "", "starts with"),
    ("two EXTM3U", "#EXTM3U\n", "#EXTM3U\n#EXTM3U\n", "EXTM3U twice"),
    ("byte order mark", "#EXTM3U", "\ufeff#EXTM3U", "byte order mark"),
    ("control character", "v/100", "v/\t100", "control character"),
    ("last line not finished", "v/103.m4s\n", "v/103.m4s", "not finished"),
    ("empty line", "v/100.m4s\n", "v/100.m4s\n\n", "empty line"),
    ("stray blank", "v/100.m4s\n", "v/100.m4s \n", "empty line or stray"),
    ("no version", "#EXT-X-VERSION:8\n", "", "EXT-X-VERSION is missing"),
    ("old version", "VERSION:8", "VERSION:7", "below 8"),
    ("two versions", "#EXT-X-VERSION:8\n", "#EXT-X-VERSION:8\n" * 2, "twice"),
    ("value", "SEGMENTS\n", "SEGMENTS:YES\n", "has a value"),
    ("no target", "#EXT-X-TARGETDURATION:2\n", "", "TARGETDURATION is missing"),
    ("target with a point", "DURATION:2\n", "DURATION:2.0\n", "no number"),
    ("target too small", "DURATION:2\n", "DURATION:1\n", "above EXT-X-TARGETDURATION"),
    ("EXTINF rounds up", "EXTINF:1.5", "EXTINF:2.5", "above EXT-X-TARGETDURATION"),
    ("EXTINF 0", "EXTINF:1.500000", "EXTINF:0.000000", "EXTINF of 0"),
    ("EXTINF no number", "EXTINF:1.500000", "EXTINF:nan", "EXTINF:nan"),
    ("EXTINF whole", "EXTINF:1.500000", "EXTINF:2", "EXTINF:2"),
    ("no EXTINF", "#EXTINF:1.500000,\n", "", "no EXTINF"),
    ("two EXTINF", "#EXTINF:1.500000,\n", "#EXTINF:1.500000,\n" * 2, "twice for one segment"),
    ("no sequence", "#EXT-X-MEDIA-SEQUENCE:100\n", "", "MEDIA-SEQUENCE is missing"),
    ("negative sequence", "SEQUENCE:100", "SEQUENCE:-1", "no number"),
    ("no discontinuity sequence", "#EXT-X-DISCONTINUITY-SEQUENCE:3\n", "", "is missing"),
    ("late header", LAST, "#EXT-X-TARGETDURATION:2\n" + LAST, "behind the first segment tag"),
    (
        "header among tags",
        '#EXT-X-MAP:URI="v/init-1.mp4"\n',
        '#EXT-X-MAP:URI="v/init-1.mp4"\n#EXT-X-ALLOW-CACHE:YES\n',
        "unknown tag",
    ),
    ("no map", '#EXT-X-MAP:URI="v/init-1.mp4"\n', "", "no EXT-X-MAP"),
    ("map not quoted", '"v/init-1.mp4"', "v/init-1.mp4", "is not quoted"),
    ("map without URI", '"v/init-1.mp4"', '""', "URI is missing"),
    ("map of nothing", 'MAP:URI="v/init-1.mp4"', "MAP:", "bad attribute list"),
    ("map again", "v/init-2", "v/init-1", "again and the same"),
    ("map attribute", 'init-1.mp4"', 'init-1.mp4",BYTERANGE="9@0"', "unknown attribute"),
    ("open quote", 'init-1.mp4"', "init-1.mp4", "bad attribute list"),
    (
        "order",
        '#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="v/init-2.mp4"\n',
        '#EXT-X-MAP:URI="v/init-2.mp4"\n#EXT-X-DISCONTINUITY\n',
        "tags in the order",
    ),
    ("gap with a value", "GAP\n", "GAP:YES\n", "has a value"),
    ("no date", "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z\n", "", "no date"),
    (
        "no date after discontinuity",
        "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:01:00.000Z\n",
        "",
        "no date",
    ),
    ("date without zone", "00:00:02.000Z", "00:00:02.000", "date 2026"),
    ("date of seconds", "00:00:02.000Z", "00:00:02Z", "date 2026"),
    ("date drifts", "00:00:02.000Z", "00:00:02.003Z", "the segment before ends at"),
    ("date jumps", "00:01:01.500Z", "00:01:02.500Z", "the segment before ends at"),
    ("same URI", "v/101.m4s", "v/100.m4s", "listed twice"),
    ("tags at the end", "v/103.m4s\n", "", "without a segment"),
    ("tags before the end", "v/103.m4s\n", "#EXT-X-ENDLIST\n", "without a segment"),
    ("end in the middle", LAST, "#EXT-X-ENDLIST\n" + LAST, "behind EXT-X-ENDLIST"),
    ("two ends", LAST, LAST + "#EXT-X-ENDLIST\n" * 2, "behind EXT-X-ENDLIST"),
    ("comment", LAST, "# comment\n" + LAST, "unknown tag"),
    ("no segments", MEDIA[MEDIA.index("#EXT-X-MAP") :], "", "without a segment"),
)

RELOAD_MUTANTS: Mutants = (
    ("version", "VERSION:8", "VERSION:9", "version changed"),
    ("target", "DURATION:2\n", "DURATION:3\n", "target_duration changed"),
    ("independent", "#EXT-X-INDEPENDENT-SEGMENTS\n", "", "independent_segments changed"),
    ("sequence back", "MEDIA-SEQUENCE:100", "MEDIA-SEQUENCE:99", "MEDIA-SEQUENCE went back"),
    ("sequence jumps", "MEDIA-SEQUENCE:100", "MEDIA-SEQUENCE:101", "segment changed"),
    ("sequence far", "MEDIA-SEQUENCE:100", "MEDIA-SEQUENCE:200", "used for another segment"),
    ("newest lost", NEXT[len(MEDIA) - len(LAST) :], "", "newest segment went away"),
    ("other URI", "v/101.m4s", "v/x.m4s", "segment changed"),
    ("other map", "v/init-2", "v/init-3", "segment changed"),
    ("other duration", "EXTINF:1.500000", "EXTINF:1.501000", "segment changed"),
    ("discontinuity lost", "#EXT-X-DISCONTINUITY\n", "", "segment changed"),
    ("discontinuity moved", "-SEQUENCE:3", "-SEQUENCE:4", "segment changed"),
    ("discontinuity back", "-SEQUENCE:3", "-SEQUENCE:2", "DISCONTINUITY-SEQUENCE went back"),
    ("gap filled", "#EXT-X-GAP\n", "", "segment changed"),
    ("other date", "00:00:02.000Z", "00:00:02.001Z", "segment changed"),
)

MULTIVARIANT = """\
#EXTM3U
#EXT-X-VERSION:8
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="A",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="a.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="B",DEFAULT=NO,AUTOSELECT=YES,LANGUAGE="de",\
CHANNELS="6",URI="b.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=2000,AVERAGE-BANDWIDTH=1000,CODECS="avc1.64001f,mp4a.40.2",\
RESOLUTION=640x360,FRAME-RATE=25.000,AUDIO="a",CLOSED-CAPTIONS=NONE
v.m3u8
"""
STREAM_INF = MULTIVARIANT[MULTIVARIANT.index("#EXT-X-STREAM") :]

MULTIVARIANT_MUTANTS: Mutants = (
    ("TYPE quoted", "TYPE=AUDIO", 'TYPE="AUDIO"', "is not word"),
    ("TYPE", "TYPE=AUDIO", "TYPE=VIDEO", "TYPE=VIDEO"),
    ("no TYPE", "TYPE=AUDIO,", "", "TYPE is missing"),
    ("GROUP-ID not quoted", 'GROUP-ID="a"', "GROUP-ID=a", "is not quoted"),
    ("same NAME", 'NAME="B"', 'NAME="A"', "NAME is not unique"),
    ("no NAME", 'NAME="B"', 'NAME=""', "NAME is missing"),
    ("two defaults", "DEFAULT=NO", "DEFAULT=YES", "not one default"),
    ("no default", "DEFAULT=YES", "DEFAULT=NO", "not one default"),
    ("default", "DEFAULT=NO", "DEFAULT=MAYBE", "DEFAULT=MAYBE"),
    ("autoselect", "DEFAULT=YES,AUTOSELECT=YES", "DEFAULT=YES,AUTOSELECT=NO", "AUTOSELECT=NO"),
    ("language", '"de"', '"und"', "unknown language"),
    ("channels", 'CHANNELS="6"', 'CHANNELS="5.1"', "no number"),
    ("no URI", ',URI="b.m3u8"', "", "URI is missing"),
    ("twice", "DEFAULT=NO", "DEFAULT=NO,DEFAULT=NO", "DEFAULT twice"),
    ("blank", "DEFAULT=NO,", "DEFAULT=NO, ", "bad attribute list"),
    ("comma", 'URI="b.m3u8"', 'URI="b.m3u8",', "bad attribute list"),
    ("wrong group", 'AUDIO="a"', 'AUDIO="b"', "declared"),
    ("no group", 'AUDIO="a",', "", "declared"),
    ("no BANDWIDTH", "BANDWIDTH=2000,AV", "AV", "BANDWIDTH is missing"),
    (
        "BANDWIDTH 0",
        "BANDWIDTH=2000,AVERAGE-BANDWIDTH=1000",
        "BANDWIDTH=0,AVERAGE-BANDWIDTH=0",
        "bandwidth 0",
    ),
    ("peak below average", "BANDWIDTH=2000", "BANDWIDTH=999", "bandwidth 999"),
    ("CODECS not quoted", '"avc1.64001f,mp4a.40.2"', "avc1.64001f", "is not quoted"),
    ("CODECS with blank", "f,mp4a", "f, mp4a", "blanks in CODECS"),
    ("CODECS without audio", "avc1.64001f,mp4a.40.2", "avc1.64001f", "without the audio group's"),
    ("CODECS without video", "avc1.64001f,mp4a.40.2", "mp4a.40.2", "RESOLUTION does not fit"),
    ("CODECS twice", "avc1.64001f,mp4a.40.2", "avc1.1,avc1.1,mp4a.40.2", "CODECS"),
    ("no RESOLUTION", "RESOLUTION=640x360,", "", "RESOLUTION does not fit"),
    ("RESOLUTION 0", "640x360", "0x360", "RESOLUTION of 0"),
    ("FRAME-RATE digits", "25.000", "25", "is not decimal"),
    ("FRAME-RATE 0", "25.000", "0.000", "FRAME-RATE of 0"),
    ("captions", "CAPTIONS=NONE", "CAPTIONS=SOME", "captions"),
    ("no URI line", "v.m3u8\n", "", "not followed by its URI"),
    ("URI alone", "v.m3u8\n", "v.m3u8\nw.m3u8\n", "without EXT-X-STREAM-INF"),
    ("media late", STREAM_INF, STREAM_INF + "#EXT-X-MEDIA:TYPE=AUDIO\n", "behind EXT-X-STREAM-INF"),
    ("two variants, one URI", STREAM_INF, STREAM_INF * 2, "two variants"),
    ("an unknown range", "RESOLUTION", "VIDEO-RANGE=HDR,RESOLUTION", "VIDEO-RANGE=HDR"),
    ("nothing", STREAM_INF, "", "no EXT-X-STREAM-INF"),
    ("unknown tag", STREAM_INF, "#EXT-X-FOO\n" + STREAM_INF, "unknown tag"),
    ("no version", "#EXT-X-VERSION:8\n", "", "VERSION is missing"),
    ("two versions", "#EXT-X-VERSION:8\n", "#EXT-X-VERSION:8\n" * 2, "twice"),
)


class CheckerTests(SynchronousTestCase):
    def test_sound_media_playlist(self) -> None:
        """A sound playlist is understood."""
        playlist = parse_media_playlist(MEDIA.encode())
        self.assertEqual((playlist.target_duration, playlist.independent_segments), (2, True))
        self.assertEqual(
            [
                (segment.sequence, segment.discontinuity, segment.is_gap, segment.map_uri[-5])
                for segment in playlist.segments
            ],
            [(100, 3, False, "1"), (101, 3, True, "1"), (102, 4, False, "2"), (103, 4, False, "2")],
        )
        self.assertEqual(playlist.segments[0].date, 1767225600.0)
        self.assertFalse(playlist.ended)
        self.assertTrue(parse_media_playlist((MEDIA + "#EXT-X-ENDLIST\n").encode()).ended)

    def test_media_mutants(self) -> None:
        """Every damage to a media playlist is noticed and named."""
        for name, old, new, message in MEDIA_MUTANTS:
            self.assertIn(old, MEDIA, name)
            with self.assertRaises(CheckError, msg=name) as caught:
                parse_media_playlist(MEDIA.replace(old, new, 1).encode())
            self.assertIn(message, str(caught.exception), name)

    def test_encoding(self) -> None:
        """Text that is not UTF-8 is noticed."""
        self.assertRaises(CheckError, parse_media_playlist, MEDIA.encode("utf-16"))

    def test_sound_reload(self) -> None:
        """New segments, a window that slid, and an end are right."""
        before = parse_media_playlist(MEDIA.encode())
        check_reload(before, before)
        check_reload(before, parse_media_playlist(NEXT.encode()))
        ended = parse_media_playlist((NEXT + "#EXT-X-ENDLIST\n").encode())
        check_reload(before, ended)
        check_reload(ended, ended)
        slid = NEXT.replace("MEDIA-SEQUENCE:100", "MEDIA-SEQUENCE:102")
        gone = slid[slid.index("#EXT-X-MAP") : slid.index("#EXT-X-DISCONTINUITY\n")]
        check_reload(before, parse_media_playlist(slid.replace(gone, "").encode()))

    def test_reload_mutants(self) -> None:
        """Every change that would mislead a player is noticed and named."""
        before = parse_media_playlist(MEDIA.encode())
        for name, old, new, message in RELOAD_MUTANTS:
            self.assertIn(old, NEXT, name)
            text = NEXT.replace(old, new, 1)
            if name == "discontinuity lost":  # the dates must fit then
                text = text.replace("00:01:00.000", "00:00:04.000").replace("01:01", "00:05")
                text = text.replace("01:03", "00:07")
            if name == "other duration":
                text = text.replace("00:01:01.500", "00:01:01.501").replace("03.500", "03.501")
            with self.assertRaises(CheckError, msg=name) as caught:
                check_reload(before, parse_media_playlist(text.encode()))
            self.assertIn(message, str(caught.exception), name)

    def test_discontinuity_sequence_lags(self) -> None:
        """A discontinuity that left the list without being counted is noticed."""
        before = parse_media_playlist(MEDIA.encode())
        text = NEXT.replace("MEDIA-SEQUENCE:100", "MEDIA-SEQUENCE:103")
        gone = text[text.index("#EXT-X-MAP") : text.index(LAST)]
        text = text.replace(gone, '#EXT-X-MAP:URI="v/init-2.mp4"\n')
        error = self.assertRaises(
            CheckError, check_reload, before, parse_media_playlist(text.encode())
        )
        self.assertIn("segment changed", str(error))
        right = text.replace("-SEQUENCE:3", "-SEQUENCE:4")
        check_reload(before, parse_media_playlist(right.encode()))

    def test_change_after_end(self) -> None:
        """Nothing may follow an end, and it may not be taken back."""
        ended = parse_media_playlist((MEDIA + "#EXT-X-ENDLIST\n").encode())
        for text in (MEDIA, NEXT + "#EXT-X-ENDLIST\n"):
            error = self.assertRaises(
                CheckError, check_reload, ended, parse_media_playlist(text.encode())
            )
            self.assertIn("changed after EXT-X-ENDLIST", str(error))

    def test_sound_multivariant_playlist(self) -> None:
        """A sound playlist is understood."""
        playlist = parse_multivariant_playlist(MULTIVARIANT.encode())
        (variant,) = playlist.variants
        self.assertEqual((variant.bandwidth, variant.resolution), (2000, (640, 360)))
        self.assertEqual(variant.codecs, ("avc1.64001f", "mp4a.40.2"))
        self.assertEqual([member.language for member in playlist.audio], ["", "de"])

    def test_multivariant_mutants(self) -> None:
        """Every damage to a multivariant playlist is noticed and named."""
        for name, old, new, message in MULTIVARIANT_MUTANTS:
            self.assertIn(old, MULTIVARIANT, name)
            with self.assertRaises(CheckError, msg=name) as caught:
                parse_multivariant_playlist(MULTIVARIANT.replace(old, new, 1).encode())
            self.assertIn(message, str(caught.exception), name)

    def test_audio_codec_without_a_group(self) -> None:
        """A variant with video must not promise audio that nobody carries."""
        lines = MULTIVARIANT.splitlines(keepends=True)
        text = "".join(lines[:2] + lines[4:]).replace('AUDIO="a",', "")
        error = self.assertRaises(CheckError, parse_multivariant_playlist, text.encode())
        self.assertIn("no audio group", str(error))
