"""Tests of rapidrtmp.isobmff.event."""

import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.isobmff.event import UNKNOWN_DURATION, event_message
from rapidrtmp.isobmff.fragment import chunk, media_segment
from tests.isobmff.checker import CheckError, parse_events
from tests.isobmff.fakes import VIDEO, video_samples

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


class EventMessageTests(SynchronousTestCase):
    def test_bytes(self) -> None:
        """The box as ISO/IEC 23009-1 has it."""
        box = event_message(
            "u:x",
            "v",
            timescale=1000,
            presentation_time=1 << 32,
            duration=UNKNOWN_DURATION,
            number=7,
            data=b"data",
        )
        self.assertEqual(
            box.hex(" "),
            "00 00 00 2a 65 6d 73 67 01 00 00 00 00 00 03 e8 00 00 00 01 00 00 00 00 "
            "ff ff ff ff 00 00 00 07 75 3a 78 00 76 00 64 61 74 61",
        )

    @given(TEXT.filter(bool), TEXT, st.integers(0, (1 << 64) - 1), st.binary(max_size=50))
    def test_in_segments(self, scheme: str, value: str, time: int, data: bytes) -> None:
        """What is written is read again, in segments and in later chunks."""
        box = event_message(
            scheme,
            value,
            timescale=90_000,
            presentation_time=time,
            duration=5,
            number=0xFFFFFFFF,
            data=data,
        )
        samples, end = video_samples([(3000, 0, True)])
        for make in (media_segment, chunk):
            [found, again] = parse_events(make(VIDEO, 1, samples, end, (box, box)))
            self.assertEqual(found, again)
            self.assertEqual((found.scheme, found.value, found.data), (scheme, value, data))
            self.assertEqual((found.time, found.duration, found.id), (time, 5, 0xFFFFFFFF))

    def test_limits(self) -> None:
        """A number that does not fit is an error, not another number."""
        for time, duration, number in (
            (1 << 64, 0, 0),
            (0, 1 << 32, 0),
            (0, 0, 1 << 32),
            (-1, 0, 0),
        ):
            with self.assertRaises(struct.error):
                event_message(
                    "u",
                    "",
                    timescale=1,
                    presentation_time=time,
                    duration=duration,
                    number=number,
                    data=b"",
                )

    def test_judge(self) -> None:
        """The judge of event messages finds one at the end of a segment."""
        box = event_message(
            "u", "", timescale=1, presentation_time=0, duration=0, number=0, data=b""
        )
        self.assertRaises(CheckError, parse_events, box)
