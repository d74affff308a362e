"""Metadata out of data messages."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.amf import amf0
from rapidrtmp.amf.values import UNDEFINED, Date, ECMAArray, Value
from rapidrtmp.flv.script import (
    MAX_LABEL,
    MAX_METADATA,
    MAX_SCRIPT,
    MAX_TEXT,
    Metadata,
    ScriptError,
    TrackHints,
    parse_color,
    parse_data,
)
from rapidrtmp.media.codec import ColorInfo
from rapidrtmp.media.timed import ScriptMessage

OBS: dict[str, Value] = {
    "duration": 0.0,
    "width": 1920.0,
    "height": 1080.0,
    "videocodecid": 7.0,
    "framerate": 60.0,
    "stereo": True,
    "2.1": False,
    "encoder": "obs-output module (libobs version 30.2.3)",
}

SENT: list[tuple[str, int, bytes]] = [
    ("by RTMP", 18, amf0.encode("@setDataFrame", "onMetaData", ECMAArray(OBS))),
    ("by FLV", 18, amf0.encode("onMetaData", ECMAArray(OBS))),
    ("as an object", 18, amf0.encode("@setDataFrame", "onMetaData", OBS)),
    ("as AMF3 data", 15, b"\0" + amf0.encode("@setDataFrame", "onMetaData", OBS)),
]

OTHERS: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("text", amf0.encode("onTextData", OBS)),
    ("name alone", amf0.encode("onMetaData")),
    ("wrapper alone", amf0.encode("@setDataFrame")),
    ("no object", amf0.encode("onMetaData", 1.0)),
    ("cleared", amf0.encode("@clearDataFrame", "onMetaData")),
]

IMPLAUSIBLE: list[tuple[str, Value]] = [
    ("width", math.nan),
    ("width", -1280.0),
    ("width", "1280"),
    ("width", True),
    ("height", 0.0),
    ("height", 16385.0),
    ("framerate", -1.0),
    ("framerate", 1e9),
    ("audiosamplerate", math.inf),
    ("own", math.nan),
    ("own", -math.inf),
    ("own", None),
    ("own", UNDEFINED),
    ("own", Date(0.0)),
    ("own", [1.0]),
    ("own", OBS),
]


class MetadataTests(SynchronousTestCase):
    def test_sent(self) -> None:
        """All the ways in which encoders send it."""
        for name, type_id, octets in SENT:
            self.assertEqual(parse_data(type_id, octets), (OBS, {}, {}), name)

    def test_others(self) -> None:
        """Another data message is no metadata, and no error."""
        for name, octets in OTHERS:
            self.assertFalse(isinstance(parse_data(18, octets), Metadata), name)

    def test_implausible(self) -> None:
        """Values that make no sense are left out, the others stay (A104)."""
        for name, value in IMPLAUSIBLE:
            octets = amf0.encode("onMetaData", {name: value, "encoder": "x"})
            found = parse_data(18, octets)
            self.assertEqual(found, ({"encoder": "x"}, {}, {}), (name, value))

    def test_bounds(self) -> None:
        """Long texts are cut, large messages refused."""
        octets = amf0.encode("onMetaData", {"n" * 5000: "v" * 5000})
        found = parse_data(18, octets)
        self.assertEqual(found, ({"n" * MAX_TEXT: "v" * MAX_TEXT}, {}, {}))
        self.assertRaises(ScriptError, parse_data, 18, bytes(MAX_METADATA + 1))

    def test_junk(self) -> None:
        """FFmpeg's timecode message of four bytes is the typed error (SRS 3803)."""
        self.assertRaises(ScriptError, parse_data, 18, b"\x00\x01\x02\x03")

    def test_tracks(self) -> None:
        """Language and label of tracks are kept where they are what they should be."""
        tracks: dict[str, Value] = {
            "1": {"language": "pt-BR", "label": "Commentary", "channels": 2.0},
            "2": {"language": "de", "label": "a\nb"},
            "3": {"language": '"x', "label": "n" * 500},
            "4": {"language": 1.0, "label": None},
            "0": {"label": "zero"},
            "1000": {"label": "too many"},
            "x": {"label": "no number"},
            "5": "no object",
        }
        octets = amf0.encode(
            "onMetaData", {"audioTrackIdInfoMap": tracks, "videoTrackIdInfoMap": [tracks]}
        )
        found = parse_data(18, octets)
        assert isinstance(found, Metadata)
        self.assertEqual((found.values, found.video_tracks), ({}, {}))
        self.assertEqual(
            found.audio_tracks,
            {
                1: TrackHints("pt-BR", "Commentary"),
                2: TrackHints("de", ""),
                3: TrackHints("und", "n" * MAX_LABEL),
                4: TrackHints(),
            },
        )

    def test_for_viewers(self) -> None:
        """A message that is meant for viewers comes as it is in AMF0, with JSON values."""
        body = amf0.encode("onTextData", {"text": "hi", "at": Date(5.0), "no": UNDEFINED}, [1.0])
        for type_id, octets in (
            (18, body),
            (15, b"\0" + body),
            (18, memoryview(amf0.encode("@setDataFrame") + body)),
        ):
            found = parse_data(type_id, octets)
            assert isinstance(found, ScriptMessage)
            self.assertEqual((found.name, found.body), ("onTextData", body))
            self.assertEqual(found.values, [{"text": "hi", "at": 5.0, "no": None}, [1.0]])

    def test_not_for_viewers(self) -> None:
        """What is between server and client, has no proper name, or is too large is not."""
        for name in ("onMetaData", "|RtmpSampleAccess", "onStatus", "@own", "", "a\nb", "n" * 65):
            self.assertIsNone(parse_data(18, amf0.encode(name, "x")), name)
        large = amf0.encode("onTextData", "x" * MAX_SCRIPT)
        self.assertRaises(ScriptError, parse_data, 18, large)

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=40), st.sampled_from([15, 18]), st.sampled_from(SENT))
    def test_arbitrary(self, octets: bytes, type_id: int, sent: tuple[str, int, bytes]) -> None:
        """Arbitrary bytes raise the typed error alone."""
        for message in (octets, sent[2][: len(octets)] + octets):
            try:
                parse_data(type_id, message)
            except ScriptError:
                pass


MASTERING: dict[str, Value] = {
    "redX": 0.708,
    "redY": 0.292,
    "greenX": 0.17,
    "greenY": 0.797,
    "blueX": 0.131,
    "blueY": 0.046,
    "whitePointX": 0.3127,
    "whitePointY": 0.329,
    "maxLuminance": 1000.0,
    "minLuminance": 0.005,
}
CONFIG: dict[str, Value] = {
    "bitDepth": 10.0,
    "colorPrimaries": 9.0,
    "transferCharacteristics": 16.0,
    "matrixCoefficients": 9.0,
}
HDR: dict[str, Value] = {
    "colorConfig": CONFIG,
    "hdrCll": {"maxFall": 400.0, "maxCLL": 1000.0},
    "hdrMdcv": MASTERING,
}
DISPLAY = (8500, 39850, 6550, 2300, 35400, 14600, 15635, 16450, 10_000_000, 50)

COLORS: list[tuple[str, Value, ColorInfo]] = [
    ("all", HDR, ColorInfo(9, 16, 9, False, 1000, 400, DISPLAY)),
    ("colour alone", {"colorConfig": CONFIG}, ColorInfo(9, 16, 9)),
    ("without light level", {**HDR, "hdrCll": None}, ColorInfo(9, 16, 9, mastering=DISPLAY)),
    ("undefined", UNDEFINED, ColorInfo()),
    ("null", None, ColorInfo()),
    ("empty", {}, ColorInfo()),
    ("identity matrix", {"colorConfig": {"matrixCoefficients": 0.0}}, ColorInfo(matrix=0)),
    (
        "numbers out of range",
        {
            "colorConfig": {"colorPrimaries": 256.0, "transferCharacteristics": math.nan},
            "hdrCll": {"maxFall": -1.0, "maxCLL": math.inf},
        },
        ColorInfo(),
    ),
    (
        "no numbers",
        {
            "colorConfig": {"colorPrimaries": "9", "transferCharacteristics": True},
            "hdrCll": [1.0],
            "hdrMdcv": "x",
        },
        ColorInfo(),
    ),
    ("luminance alone", {"hdrMdcv": {"maxLuminance": 1e3, "minLuminance": 0.0}}, ColorInfo()),
    ("dark above bright", {"hdrMdcv": {**MASTERING, "minLuminance": 1e3}}, ColorInfo()),
    ("too bright", {"hdrMdcv": {**MASTERING, "maxLuminance": 1e9}}, ColorInfo()),
    ("beyond all colours", {"hdrMdcv": {**MASTERING, "redX": 1.5}}, ColorInfo()),
]


class ColorTests(SynchronousTestCase):
    def test_colors(self) -> None:
        """Numbers that make sense are taken, in the units of the boxes (A106)."""
        for name, value, color in COLORS:
            octets = amf0.encode("other", {}, "colorInfo", value)
            self.assertEqual(parse_color(octets), color, name)

    def test_video_range(self) -> None:
        """Only what was said validly makes a stream HDR (A106)."""
        for transfer, found in ((16.0, "PQ"), (18.0, "HLG"), (1.0, "SDR"), (16.5, "PQ")):
            octets = amf0.encode(
                "colorInfo", {"colorConfig": {"transferCharacteristics": transfer}}
            )
            color = parse_color(octets)
            assert color is not None
            self.assertEqual(color.video_range, found)

    def test_others(self) -> None:
        """Metadata without colorInfo says nothing of colour."""
        for octets in (b"", amf0.encode("colorInfo"), amf0.encode("other", HDR)):
            self.assertIsNone(parse_color(octets))

    def test_malformed(self) -> None:
        """What is no colorInfo is the typed error, cut at any byte or not (A106)."""
        whole = amf0.encode("colorInfo", HDR)
        values: list[Value] = [1.0, "x", [], True]
        wrong = [amf0.encode("colorInfo", value) for value in values]
        for octets in (*wrong, b"\xff", whole + b"\xff", bytes(MAX_METADATA + 1)):
            self.assertRaises(ScriptError, parse_color, octets)
        for size in range(len(whole)):
            try:
                parse_color(whole[:size])
            except ScriptError:
                pass

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=60), st.sampled_from([b"", amf0.encode("colorInfo")]))
    def test_arbitrary(self, octets: bytes, head: bytes) -> None:
        """Arbitrary bytes raise the typed error alone."""
        try:
            parse_color(head + octets)
        except ScriptError:
            pass
