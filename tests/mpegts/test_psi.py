"""Tests of rapidrtmp.mpegts.psi."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.mpegts.psi import Component, crc32, pat, pmt
from tests.mpegts.demuxer import crc, parse_section


class TableTests(SynchronousTestCase):
    def test_pat(self) -> None:
        """The PAT is the bytes that FFmpeg writes for the same program."""
        section = bytes.fromhex("00b00d0001c100000001f0002ab104b2")
        self.assertEqual(pat(0x1000), (b"\0" + section).ljust(184, b"\xff"))

    def test_pmt(self) -> None:
        """The PMT lists the streams with their descriptors, and where the clock is."""
        payload = pmt(0x100, [Component(0x24, 0x100, b"HEVC"), Component(15, 0x101, b"", "deu")])
        program, _, content = parse_section(payload, 2)
        self.assertEqual(program, 1)
        self.assertEqual(
            content,
            bytes.fromhex("e100f000")
            + bytes.fromhex("24e100f006")
            + b"\x05\x04HEVC"
            + bytes.fromhex("0fe101f006")
            + b"\x0a\x04deu\0",
        )
        self.assertEqual(len(payload), 184)

    def test_version(self) -> None:
        """Equal tables have equal versions; another codec has another."""
        first, again, other = (
            parse_section(pmt(0x100, [Component(kind, 0x100)]), 2)[1] for kind in (0x1B, 0x1B, 0x24)
        )
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)

    @given(st.binary(max_size=64))
    def test_crc(self, content: bytes) -> None:
        """The CRC is the one of annex A, and of a section with its CRC it is 0."""
        self.assertEqual(crc32(content), crc(content))
        self.assertEqual(crc32(content + crc32(content).to_bytes(4, "big")), 0)

    def test_check_value(self) -> None:
        """The check value of CRC-32/MPEG-2."""
        self.assertEqual(crc32(b"123456789"), 0x0376E6E7)
