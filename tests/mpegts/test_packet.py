"""Tests of rapidrtmp.mpegts.packet."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.mpegts.packet import MIN_PAYLOAD, PACKET, PacketWriter
from tests.mpegts.demuxer import Packet, TSError, parse_packet

CLOCKS = st.one_of(st.none(), st.integers(0, 2**33 - 1))
UNITS = st.lists(st.tuples(st.binary(min_size=1, max_size=600), CLOCKS, st.booleans()), max_size=5)


def parse(out: list[bytes]) -> list[Packet]:
    """Parse what was written."""
    return [parse_packet(packet) for packet in out]


class PacketTests(SynchronousTestCase):
    @given(UNITS, st.binary(min_size=MIN_PAYLOAD, max_size=5000), CLOCKS, st.booleans())
    def test_read_back(
        self,
        units: list[tuple[bytes, int | None, bool]],
        last: bytes,
        clock: int | None,
        is_access: bool,
    ) -> None:
        """Payloads, clocks and access points come back; the counter counts, and ends at 0."""
        writer = PacketWriter(0x123)
        out: list[bytes] = []
        found = []
        counter = 0
        for number, (payload, pcr, is_random) in enumerate([*units, (last, clock, is_access)]):
            out = []
            writer.write(
                out, payload, pcr=pcr, is_random_access=is_random, is_last=number == len(units)
            )
            found = parse(out)
            self.assertEqual(b"".join(one.payload or b"" for one in found), payload)
            self.assertEqual({one.pid for one in found}, {0x123})
            self.assertEqual([one.is_start for one in found], [True] + [False] * (len(found) - 1))
            self.assertEqual((found[0].pcr, found[0].is_random_access), (pcr, is_random))
            self.assertFalse(any(one.is_random_access or one.pcr for one in found[1:]))
            for one in found:
                self.assertEqual(one.counter, counter)
                counter = (counter + 1) % 16
        self.assertEqual(counter, 0)

    def test_sizes(self) -> None:
        """Every size around a packet's room takes as few packets as there can be."""
        for pcr, room in ((None, 184), (0, 176)):
            for size in [*range(1, 400), 16 * 184]:
                out: list[bytes] = []
                PacketWriter(7).write(out, bytes(size), pcr=pcr)
                self.assertEqual(len(out), 1 + max(0, -((room - size) // 184)), (pcr, size))
                self.assertEqual({len(packet) for packet in out}, {PACKET})
                self.assertEqual(sum(len(one.payload or b"") for one in parse(out)), size)

    def test_clock_alone(self) -> None:
        """A packet of a clock alone repeats the counter of the one before it."""
        writer = PacketWriter(0x1FFE)
        out: list[bytes] = []
        writer.write_clock(out, 2**33 - 1)
        writer.write(out, b"abc")
        writer.write_clock(out, 5)
        found = parse(out)
        self.assertEqual([one.counter for one in found], [15, 0, 0])
        self.assertEqual([one.pcr for one in found], [2**33 - 1, None, 5])
        self.assertEqual([one.payload for one in found], [None, b"abc", None])

    def test_octets(self) -> None:
        """A packet is what the standard draws, to the byte."""
        out: list[bytes] = []
        PacketWriter(0x100).write(out, b"\1" * 170, pcr=0x123456789, is_random_access=True)
        # 0x123456789 << 15 | reserved bits | extension 0
        self.assertEqual(
            out,
            [
                bytes.fromhex("4741003 00d50 91a2b3c4fe00".replace(" ", ""))
                + b"\xff" * 6
                + b"\1" * 170
            ],
        )

    def test_the_demuxer_is_strict(self) -> None:
        """The tests' demuxer refuses packets that are damaged."""
        out: list[bytes] = []
        PacketWriter(1).write(out, b"abc")
        for at, octet in ((0, 0x46), (1, 0xC0), (3, 0x00), (4, 200), (5, 0x80), (20, 0)):
            broken = bytearray(out[0])
            broken[at] = octet
            self.assertRaises(TSError, parse_packet, bytes(broken))
