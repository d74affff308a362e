"""Tests of rapidrtmp.mpegts.pes."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.mpegts.pes import MAX_DATA, WRAP, pes_header
from tests.mpegts.demuxer import Packet, parse_pes

FIRST = Packet(0x100, True, 0, b"")
TIMES = st.one_of(st.integers(0, 2**40), st.integers(-5, 5).map(lambda near: WRAP + near))


class PESTests(SynchronousTestCase):
    @given(TIMES, TIMES, st.binary(max_size=50))
    def test_read_back(self, pts: int, dts: int, data: bytes) -> None:
        """Times come back, modulo 2^33, and the data whole."""
        found = parse_pes(0x100, FIRST, pes_header(0xC0, len(data), pts, dts) + data)
        self.assertEqual((found.pts, found.dts), (pts % WRAP, dts % WRAP))
        self.assertEqual((found.stream_id, found.data), (0xC0, data))

    def test_octets(self) -> None:
        """Headers are what the standard draws, to the byte."""
        cases = {
            # as FFmpeg writes 1.4 s
            (0xC0, 10, 126000, 126000): "000001c0001284800521 0007d861",
            (0xE0, 70000, 129600, 126000): "000001e0000084c00a310007f4811 10007d861",
        }
        for (stream_id, size, pts, dts), octets in cases.items():
            self.assertEqual(pes_header(stream_id, size, pts, dts).hex(), octets.replace(" ", ""))

    def test_sizes(self) -> None:
        """Data that 16 bits can tell are told; larger data are not."""
        for size, told in ((MAX_DATA, 0xFFFF - 5), (MAX_DATA + 1, 0)):
            self.assertEqual(int.from_bytes(pes_header(0xE0, size, 1, 1)[4:6], "big"), told)
        self.assertEqual(int.from_bytes(pes_header(0xE0, MAX_DATA, 2, 1)[4:6], "big"), 0xFFFF)
