"""Tests of media that is cut into chunks once for all receivers."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.rtmp.chunk import ChunkEncoder
from rapidrtmp.rtmp.media_encoder import CHUNK_SIZE, MediaEncoder
from tests.rtmp.wire import Message, read


class MediaEncoderTests(SynchronousTestCase):
    def test_wire(self) -> None:
        """A message is a type 0 header on a chunk stream for its kind, and its body."""
        encoder = MediaEncoder()
        for type_id, chunk_stream in ((8, 4), (9, 6), (18, 7)):
            self.assertEqual(
                encoder.encode(type_id, 0x010203, (b"ab", memoryview(b"c"))),
                bytes((chunk_stream,))
                + b"\x01\x02\x03\x00\x00\x03"
                + bytes((type_id,))
                + b"\x01\x00\x00\x00abc",
            )

    def test_join_anywhere(self) -> None:
        """A receiver that joins between any two messages reads what the others read."""
        encoder = MediaEncoder(7)
        times = (0, 40, 40, 0xFFFFFE, 0xFFFFFF, 0x1000010, 0xFFFFFFFF, 0x100000005)
        sent = [(8 + number % 2, time, bytes(number * 18_000)) for number, time in enumerate(times)]
        wires = [encoder.encode(type_id, time, (body,)) for type_id, time, body in sent]
        expected = [Message(kind, 7, time & 0xFFFFFFFF, body) for kind, time, body in sent]
        for start in range(len(sent)):
            self.assertEqual(read(b"".join(wires[start:]), CHUNK_SIZE), expected[start:])

    def test_too_long(self) -> None:
        """A message has a 24-bit length."""
        self.assertRaises(OverflowError, MediaEncoder().encode, 9, 0, (bytes(1 << 24),))

    @given(st.lists(st.integers(0, 700), max_size=6), st.integers(1, 500), st.booleans())
    @settings(max_examples=60, deadline=None)
    def test_pieces(self, lengths: list[int], size: int, late: bool) -> None:
        """A payload in pieces gives the same chunks as in one."""
        parts = [bytes((number + 1,)) * length for number, length in enumerate(lengths)]
        time = 0x1234567 if late else 5
        encoder = ChunkEncoder(size)
        self.assertEqual(
            encoder.encode(6, 9, 1, time, *parts),
            encoder.encode(6, 9, 1, time, b"".join(parts)),
        )
