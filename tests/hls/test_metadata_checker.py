"""Tests of the judge of date ranges, captions and I-frames: it must notice every damage."""

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.hls.checker import (
    CheckError,
    check_reload,
    parse_media_playlist,
    parse_multivariant_playlist,
)
from tests.hls.test_checker import Mutants

MEDIA = """\
#EXTM3U
#EXT-X-VERSION:10
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:100
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-DATERANGE:ID="a",CLASS="c",START-DATE="2026-01-01T00:00:01.000Z",DURATION=1.000,\
PLANNED-DURATION=2.000,X-A="t",X-B=-1.5,X-C=0xAB,SCTE35-OUT=0xFC00
#EXT-X-DATERANGE:ID="b",START-DATE="2026-01-01T00:00:01.000Z"
#EXT-X-MAP:URI="v/init-1.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z
#EXTINF:2.000000,
v/100.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:02.000Z
#EXTINF:2.000000,
v/101.m4s
"""
A = MEDIA[MEDIA.index("#EXT-X-DATERANGE") : MEDIA.index('#EXT-X-DATERANGE:ID="b"')]
B = MEDIA[MEDIA.index('#EXT-X-DATERANGE:ID="b"') : MEDIA.index("#EXT-X-MAP")]
FIRST = MEDIA[
    MEDIA.index("#EXT-X-PROGRAM") : MEDIA.index("#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:02")
]

MEDIA_MUTANTS: Mutants = (
    ("no ID", 'ID="b",', "", "without ID"),
    ("empty ID", 'ID="b"', 'ID=""', 'ID=""'),
    ("same ID", 'ID="b"', 'ID="a"', "listed twice"),
    ("no start", ',START-DATE="2026-01-01T00:00:01.000Z"\n', "\n", "without START-DATE"),
    ("start without zone", '01.000Z"\n', '01.000"\n', "START-DATE="),
    ("quotes inside", 'X-A="t"', 'X-A="t"t"', "bad attribute list"),
    ("digits", "DURATION=1.000", "DURATION=1", "DURATION=1"),
    ("negative", "DURATION=1.000", "DURATION=-1.000", "DURATION=-1"),
    ("word", 'X-A="t"', "X-A=YES", "X-A=YES"),
    ("hex digits", "0xFC00", "0xFC0", "0xFC0"),
    ("own name", "X-A=", "X-=", "unknown attribute"),
    ("unknown name", "X-A=", "A=", "unknown attribute"),
    ("attribute twice", "X-B=", "X-A=", "X-A twice"),
    ("out and command", 'X-A="t"', "SCTE35-CMD=0xFC", "of one range"),
    (
        "behind a segment",
        "#EXT-X-MAP",
        FIRST.replace("100", "99") + "#EXT-X-MAP",
        "EXT-X-MAP before",
    ),
    ("a byte range", "v/100", "#EXT-X-BYTERANGE:5@0\nv/100", "byte range"),
)

RELOAD_MUTANTS: Mutants = (
    ("gone", A, "", "went away inside the window"),
    ("gone while open", B, "", "was not over"),
    ("other text", 'X-A="t"', 'X-A="u"', "X-A of a"),
    ("attribute gone", ',X-A="t"', "", "X-A of a"),
    ("other duration", "DURATION=1.000", "DURATION=1.001", "DURATION of a"),
    ("other start", ':01.000Z",DURATION', ':01.001Z",DURATION', "START-DATE of a"),
)

I_FRAMES = """\
#EXTM3U
#EXT-X-VERSION:10
#EXT-X-I-FRAMES-ONLY
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:100
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-MAP:URI="v/init-1.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z
#EXTINF:2.000000,
#EXT-X-BYTERANGE:700@0
v/100.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:02.000Z
#EXT-X-GAP
#EXTINF:2.000000,
v/101.m4s
"""

I_FRAME_MUTANTS: Mutants = (
    ("no range", "#EXT-X-BYTERANGE:700@0\n", "", "byte range"),
    ("range of a gap", "v/101", "#EXT-X-BYTERANGE:700@0\nv/101", "byte range"),
    ("no offset", "700@0", "700", "EXT-X-BYTERANGE:700"),
    ("from elsewhere", "700@0", "700@8", "EXT-X-BYTERANGE:700@8"),
    ("nothing", "700@0", "0@0", "EXT-X-BYTERANGE:0@0"),
    ("no I-frames", "#EXT-X-I-FRAMES-ONLY\n", "", "byte range"),
    ("a value", "ONLY\n", "ONLY:YES\n", "has a value"),
)

MULTIVARIANT = """\
#EXTM3U
#EXT-X-VERSION:10
#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID="captions",NAME="CC1",DEFAULT=NO,AUTOSELECT=YES,\
INSTREAM-ID="CC1"
#EXT-X-STREAM-INF:BANDWIDTH=2000,AVERAGE-BANDWIDTH=1000,CODECS="avc1.64001f",\
RESOLUTION=640x360,FRAME-RATE=25.000,CLOSED-CAPTIONS="captions"
video1.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=500,AVERAGE-BANDWIDTH=400,CODECS="avc1.64001f",RESOLUTION=640x360,\
URI="video1-iframes.m3u8"
"""
CAPTIONS = MULTIVARIANT[MULTIVARIANT.index("#EXT-X-MEDIA") : MULTIVARIANT.index("#EXT-X-STREAM")]

MULTIVARIANT_MUTANTS: Mutants = (
    ("not declared", CAPTIONS, "", "captions"),
    ("not used", 'CLOSED-CAPTIONS="captions"', "CLOSED-CAPTIONS=NONE", "captions"),
    ("another group", 'CLOSED-CAPTIONS="captions"', 'CLOSED-CAPTIONS="other"', "captions"),
    ("unknown service", 'INSTREAM-ID="CC1"', 'INSTREAM-ID="CC5"', "INSTREAM-ID=CC5"),
    ("no such service", 'INSTREAM-ID="CC1"', 'INSTREAM-ID="SERVICE64"', "SERVICE64"),
    ("no service", ',INSTREAM-ID="CC1"', "", "INSTREAM-ID is missing"),
    ("twice", CAPTIONS, CAPTIONS * 2, "declared twice"),
    ("a URI", 'NAME="CC1"', 'NAME="CC1",URI="cc.m3u8"', "URI of their own"),
    ("channels", 'NAME="CC1"', 'NAME="CC1",CHANNELS="2"', "CHANNELS"),
    ("I-frames of nothing", "video1-iframes", "video2-iframes", "of no variant"),
    ("size", "RESOLUTION=640x360,URI", "RESOLUTION=320x180,URI", "of no variant"),
    ("no bandwidth", "BANDWIDTH=500", "BANDWIDTH=0", "bandwidth of I-frames"),
    (
        "audio",
        '"avc1.64001f",RESOLUTION=640x360,URI',
        '"avc1.1,mp4a",RESOLUTION=640x360,URI',
        "more",
    ),
    ("frame rate", "BANDWIDTH=500", "FRAME-RATE=1.000,BANDWIDTH=500", "unknown attribute"),
)


class MetadataCheckerTests(SynchronousTestCase):
    def notice(self, judge: Callable[[bytes], object], sound: str, mutants: Mutants) -> None:
        """The sound text passes, every mutant fails with its words."""
        judge(sound.encode())
        for name, old, new, message in mutants:
            self.assertIn(old, sound, name)
            with self.assertRaises(CheckError, msg=name) as caught:
                judge(sound.replace(old, new, 1).encode())
            self.assertIn(message, str(caught.exception), name)

    def test_date_ranges(self) -> None:
        """A tag that is wrong in itself, or in its place."""
        self.notice(parse_media_playlist, MEDIA, MEDIA_MUTANTS)
        self.assertEqual(list(parse_media_playlist(MEDIA.encode()).date_ranges), ["a", "b"])

    def test_reload(self) -> None:
        """A range that changed, or went away too early."""
        before = parse_media_playlist(MEDIA.encode())

        def reload(text: bytes) -> None:
            check_reload(before, parse_media_playlist(text))

        self.notice(reload, MEDIA, RELOAD_MUTANTS)
        # what was over when the window's first segment began may go
        reload(MEDIA.replace(A, "").replace(FIRST, "").replace("CE:100", "CE:101").encode())

    def test_i_frames(self) -> None:
        """Byte ranges, and those alone."""
        self.notice(parse_media_playlist, I_FRAMES, I_FRAME_MUTANTS)

    def test_multivariant(self) -> None:
        """Captions are declared and used, I-frames are those of a variant."""
        self.notice(parse_multivariant_playlist, MULTIVARIANT, MULTIVARIANT_MUTANTS)
