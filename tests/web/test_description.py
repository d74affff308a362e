"""What is told of a stream."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.stream.lifecycle import StreamState
from rapidrtmp.stream.stream import Stream
from rapidrtmp.web.description import MAX_DEPTH, describe, jsonable, timestamp
from tests.web.fakes import FakeStatistics, FakeStream, track


def info(stream: FakeStream, now: float) -> dict[str, object]:
    """Describe a fake."""
    return describe(stream, now)  # type: ignore[arg-type]


class DescriptionTests(SynchronousTestCase):
    def test_duration(self) -> None:
        """The duration grows while live, and ends with the last frame."""
        stream = FakeStream("k", started_at=100.5)
        self.assertEqual(info(stream, 110.4)["duration"], 9)
        self.assertNotIn("duration", info(stream, 90.0))
        stream.state = StreamState.STOPPED
        stream.statistics = FakeStatistics(last_frame_at=105.5)
        self.assertEqual(info(stream, 999.0)["duration"], 5)

    def test_several_tracks(self) -> None:
        """The first track of a kind speaks for it."""
        stream = FakeStream("k", tracks=(track("audio", "aac"), track("audio", "opus")))
        described = info(stream, 0.0)
        self.assertEqual(described["audioCodec"], "aac")
        self.assertNotIn("videoCodec", described)
        self.assertNotIn("resolution", described)

    def test_real_stream(self) -> None:
        """The fake has what a real stream has, as far as it is looked at."""
        for name in ("viewers", "http_outputs"):
            self.assertTrue(hasattr(Stream, name), name)

    def test_timestamp(self) -> None:
        """Times are RFC 3339 in UTC, cut to seconds."""
        self.assertEqual(timestamp(0.999), "1970-01-01T00:00:00Z")
        self.assertIsNone(timestamp(None))

    def test_jsonable(self) -> None:
        """AMF values become JSON's own; what JSON cannot hold becomes null."""
        cases: list[tuple[object, object]] = [
            (30.0, 30),
            (29.97, 29.97),
            (1e300, 1e300),
            (float("inf"), None),
            (True, True),
            ("\ud800", "\ud800"),
            ({"a": (1.0, object())}, {"a": [1, None]}),
        ]
        for value, expected in cases:
            self.assertEqual(jsonable(value), expected)
        nested: object = "deep"
        for _ in range(MAX_DEPTH + 1):
            nested = [nested]
        self.assertNotIn("deep", json.dumps(jsonable(nested)))

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text() | st.binary(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        )
    )
    @settings(max_examples=100, deadline=None)
    def test_any_metadata(self, value: object) -> None:
        """Whatever a publisher sends as metadata can be written as strict JSON."""
        json.dumps(jsonable(value), allow_nan=False).encode("ascii")
