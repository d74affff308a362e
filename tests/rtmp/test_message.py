"""Tests of aggregate messages."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.rtmp.message import MalformedMessage, split_aggregate


def tag(type_id: int, time: int, body: bytes, pointer: int | None = None) -> bytes:
    """Write an FLV tag with its back pointer."""
    size = len(body)
    return (
        bytes([type_id])
        + size.to_bytes(3, "big")
        + (time & 0xFFFFFF).to_bytes(3, "big")
        + bytes([time >> 24])
        + bytes(3)
        + body
        + (11 + size if pointer is None else pointer).to_bytes(4, "big")
    )


class AggregateTests(SynchronousTestCase):
    def test_times_are_relative_to_the_first(self) -> None:
        """Times count from the aggregate's own, whatever the tags start at."""
        payload = tag(8, 0x01000000, b"a") + tag(9, 0x01000014, b"vv") + tag(8, 0x01000028, b"")
        self.assertEqual(
            list(split_aggregate(5000, payload)),
            [(8, 5000, b"a"), (9, 5020, b"vv"), (8, 5040, b"")],
        )

    def test_times_wrap(self) -> None:
        """Times are taken modulo 2^32, backwards too."""
        payload = tag(8, 100, b"a") + tag(8, 120, b"b") + tag(8, 90, b"c")
        times = [time for _, time, _ in split_aggregate(0xFFFFFFF8, payload)]
        self.assertEqual(times, [0xFFFFFFF8, 0x0C, 0xFFFFFFEE])

    def test_tolerated(self) -> None:
        """Wrong back pointers are ignored, a missing last one as well; nothing is nothing."""
        payload = tag(8, 0, b"a", pointer=99) + tag(9, 1, b"b")[:-4]
        self.assertEqual([b for _, _, b in split_aggregate(0, payload)], [b"a", b"b"])
        self.assertEqual(list(split_aggregate(0, b"")), [])

    def test_overrun(self) -> None:
        """What comes before a tag that is cut short is used."""
        whole = tag(8, 0, b"a")
        for rest in (b"\x09", tag(9, 0, b"1234567")[:-5]):
            with self.subTest(rest=rest):
                found = split_aggregate(0, whole + rest)
                self.assertEqual(next(found), (8, 0, b"a"))
                self.assertRaises(MalformedMessage, next, found)

    @given(st.binary(max_size=200))
    @settings(max_examples=100, deadline=None)
    def test_garbage(self, payload: bytes) -> None:
        """Arbitrary bytes give messages no longer than they are, or MalformedMessage."""
        total = 0
        try:
            for _, _, body in split_aggregate(0, payload):
                total += len(body)
        except MalformedMessage:
            pass
        self.assertLessEqual(total, len(payload))
