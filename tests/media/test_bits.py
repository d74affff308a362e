"""Bit fields and Exp-Golomb codes."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.media.bits import BitReader, BitstreamError
from tests.media.bit_writer import BitWriter

FIELDS = st.lists(
    st.one_of(
        st.tuples(st.just("ue"), st.integers(0, 2**32 - 1)),
        st.tuples(st.just("se"), st.integers(-(2**31) + 1, 2**31)),
        st.integers(0, 40).flatmap(
            lambda count: st.tuples(st.just(count), st.integers(0, 2**count - 1))
        ),
    ),
    max_size=30,
)


class BitReaderTests(SynchronousTestCase):
    def test_codes(self) -> None:
        """The codes of H.264 tables 9-2 and 9-3."""
        for bits, ue, se in [
            ("1", 0, 0),
            ("010", 1, 1),
            ("011", 2, -1),
            ("00100", 3, 2),
            ("00111", 6, -3),
            ("0001010", 9, 5),
        ]:
            writer = BitWriter()
            writer.bits = bits
            self.assertEqual(BitReader(writer.octets()).ue(), ue)
            self.assertEqual(BitReader(writer.octets()).se(), se)
            self.assertEqual(BitWriter().ue(ue).bits, bits)
            self.assertEqual(BitWriter().se(se).bits, bits)

    @settings(max_examples=150, deadline=None)
    @given(FIELDS)
    def test_round_trip(self, fields: list[tuple[str | int, int]]) -> None:
        """Whatever was written is read back, bit for bit."""
        writer = BitWriter()
        for kind, value in fields:
            if isinstance(kind, int):
                writer.put(value, kind)
            else:
                getattr(writer, kind)(value)
        reader = BitReader(writer.octets())
        for kind, value in fields:
            read = reader.read(kind) if isinstance(kind, int) else getattr(reader, kind)()
            self.assertEqual(read, value)
        self.assertEqual(reader.position, len(writer.bits))
        self.assertEqual(reader.bits_left, -len(writer.bits) % 8)

    def test_end(self) -> None:
        """Reading or skipping past the end is the typed error and consumes nothing."""
        reader = BitReader(b"\x80")
        self.assertTrue(reader.flag())
        self.assertRaises(BitstreamError, reader.read, 8)
        self.assertRaises(BitstreamError, reader.skip, 8)
        self.assertEqual(reader.position, 1)
        reader.skip(7)
        self.assertRaises(BitstreamError, reader.flag)

    def test_align(self) -> None:
        """Aligning goes to the next byte, and nowhere from a byte's begin."""
        reader = BitReader(b"\x00\xff")
        reader.align()
        self.assertEqual(reader.position, 0)
        reader.skip(3)
        reader.align()
        self.assertEqual(reader.read(8), 0xFF)

    def test_long_run(self) -> None:
        """A run of a million zeros is refused after 33 bits."""
        reader = BitReader(bytes(125_000))
        self.assertRaises(BitstreamError, reader.ue)
        self.assertEqual(reader.position, 33)

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=24), st.sampled_from(["ue", "se", "flag"]))
    def test_arbitrary(self, octets: bytes, method: str) -> None:
        """Arbitrary bits end in the typed error and nothing else."""
        reader = BitReader(octets)
        with self.assertRaises(BitstreamError):
            while True:
                getattr(reader, method)()
