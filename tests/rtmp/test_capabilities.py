"""Tests of what the ends of a connection announce of Enhanced RTMP (faults.md A72)."""

import math
from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.amf import amf0
from rapidrtmp.amf.values import Value
from rapidrtmp.rtmp.capabilities import (
    CAN_DECODE,
    CAN_ENCODE,
    CAN_FORWARD,
    MAX_FOURCCS,
    MODEX,
    MULTITRACK,
    PLAIN,
    RECONNECT,
    Capabilities,
)

OURS = Capabilities(
    fourccs=frozenset(("av01", "hvc1")),
    video={"hvc1": CAN_FORWARD, "av01": CAN_DECODE | CAN_FORWARD},
    audio={"Opus": CAN_FORWARD},
    caps_ex=RECONNECT | MULTITRACK | MODEX,
    video_function=6,
)


class CapabilitiesTests(SynchronousTestCase):
    def test_members(self) -> None:
        """They are written as the specification has them."""
        self.assertEqual(
            OURS.members(),
            {
                "fourCcList": ["av01", "hvc1"],
                "videoFourCcInfoMap": {"hvc1": 4.0, "av01": 5.0},
                "audioFourCcInfoMap": {"Opus": 4.0},
                "capsEx": 7.0,
                "videoFunction": 6.0,
            },
        )
        self.assertEqual(PLAIN.members(), {})

    def test_round_trip(self) -> None:
        """What is written can be read, over the wire too."""
        [members] = amf0.decode(amf0.encode(OURS.members()))
        self.assertEqual(Capabilities.read(cast("dict[str, Value]", members)), OURS)
        self.assertEqual(Capabilities.read({}), PLAIN)

    def test_nonsense(self) -> None:
        """Values of a wrong type or size count as not there."""
        odd: list[dict[str, Value]] = [
            {"fourCcList": "hvc1", "capsEx": "7", "videoFunction": None},
            {"fourCcList": [5.0, None, "toolong", "x", ["hvc1"], ""]},
            {"videoFourCcInfoMap": ["hvc1"], "audioFourCcInfoMap": 7.0},
            {"capsEx": math.nan, "videoFunction": math.inf},
            {"capsEx": -1.0, "videoFunction": -math.inf},
        ]
        for properties in odd:
            with self.subTest(properties=properties):
                self.assertEqual(Capabilities.read(properties), PLAIN)
        read = Capabilities.read(
            {"videoFourCcInfoMap": {"hvc1": math.nan, "av01": 1e300, "nonsense": 1.0}}
        )
        self.assertEqual(read.video, {"hvc1": 0, "av01": 0})
        self.assertFalse(read.takes("hvc1"))

    def test_bounds(self) -> None:
        """However much is announced, little is kept."""
        names: list[Value] = [f"{number:04}" for number in range(900)]
        read = Capabilities.read(
            {
                "fourCcList": names,
                "videoFourCcInfoMap": {f"{number:04}": 1.0 for number in range(900)},
            }
        )
        self.assertEqual((len(read.fourccs), len(read.video)), (MAX_FOURCCS, MAX_FOURCCS))

    def test_takes(self) -> None:
        """A codec can be sent to who decodes it or passes it on, by name or by '*'."""
        for capabilities, fourcc, expected in [
            (PLAIN, "hvc1", False),
            (Capabilities(fourccs=frozenset(("hvc1",))), "hvc1", True),
            (Capabilities(fourccs=frozenset(("hvc1",))), "av01", False),
            (Capabilities(fourccs=frozenset(("*",))), "Opus", True),
            (Capabilities(video={"hvc1": CAN_DECODE}), "hvc1", True),
            (Capabilities(video={"hvc1": CAN_FORWARD}), "hvc1", True),
            (Capabilities(video={"hvc1": CAN_ENCODE}), "hvc1", False),
            (Capabilities(video={"*": CAN_DECODE}), "vp09", True),
            (Capabilities(video={"*": CAN_DECODE, "vp09": 0}), "vp09", False),
            (Capabilities(audio={"Opus": CAN_DECODE}), "Opus", True),
            (Capabilities(caps_ex=RECONNECT), "hvc1", False),
        ]:
            with self.subTest(capabilities=capabilities, fourcc=fourcc):
                self.assertIs(capabilities.takes(fourcc), expected)

    def test_is_enhanced(self) -> None:
        """Flash players had a videoFunction, too."""
        self.assertTrue(OURS.is_enhanced)
        self.assertTrue(Capabilities(caps_ex=RECONNECT).is_enhanced)
        self.assertFalse(Capabilities(video_function=1).is_enhanced)
        self.assertFalse(PLAIN.is_enhanced)
