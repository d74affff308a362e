"""Metadata out of data messages."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.amf import amf0
from rapidrtmp.amf.values import UNDEFINED, Date, ECMAArray, Value
from rapidrtmp.flv.script import MAX_METADATA, MAX_TEXT, ScriptError, parse_metadata

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
            self.assertEqual(parse_metadata(type_id, octets), OBS, name)

    def test_others(self) -> None:
        """Another data message is no metadata, and no error."""
        for name, octets in OTHERS:
            self.assertIsNone(parse_metadata(18, octets), name)

    def test_implausible(self) -> None:
        """Values that make no sense are left out, the others stay (A104)."""
        for name, value in IMPLAUSIBLE:
            octets = amf0.encode("onMetaData", {name: value, "encoder": "x"})
            self.assertEqual(parse_metadata(18, octets), {"encoder": "x"}, (name, value))

    def test_bounds(self) -> None:
        """Long texts are cut, large messages refused."""
        octets = amf0.encode("onMetaData", {"n" * 5000: "v" * 5000})
        self.assertEqual(parse_metadata(18, octets), {"n" * MAX_TEXT: "v" * MAX_TEXT})
        self.assertRaises(ScriptError, parse_metadata, 18, bytes(MAX_METADATA + 1))

    def test_junk(self) -> None:
        """FFmpeg's timecode message of four bytes is the typed error (SRS 3803)."""
        self.assertRaises(ScriptError, parse_metadata, 18, b"\x00\x01\x02\x03")

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=40), st.sampled_from([15, 18]), st.sampled_from(SENT))
    def test_arbitrary(self, octets: bytes, type_id: int, sent: tuple[str, int, bytes]) -> None:
        """Arbitrary bytes raise the typed error alone."""
        for message in (octets, sent[2][: len(octets)] + octets):
            try:
                parse_metadata(type_id, message)
            except ScriptError:
                pass
