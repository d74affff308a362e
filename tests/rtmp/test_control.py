"""Tests of the bodies of control messages."""

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.rtmp import control
from rapidrtmp.rtmp.errors import ProtocolError


class ChunkSizeTests(SynchronousTestCase):
    def test_accepted(self) -> None:
        """Sizes up to 31 bits are taken, those beyond any message as the longest one."""
        for size, taken in (
            (128, 128),
            (65536, 65536),
            (0xFFFFFF, 0xFFFFFF),
            (2**31 - 1, 2**24 - 1),
        ):
            with self.subTest(size=size):
                self.assertEqual(control.read_chunk_size(control.u32(size), 128), taken)
        self.assertEqual(control.read_chunk_size(control.u32(4096) + bytes(96), 128), 4096)
        self.assertEqual(control.read_chunk_size(control.u32(1), 1), 1)

    def test_refused(self) -> None:
        """Zero, too small ones, a set top bit and a short body are refused."""
        for payload in (
            control.u32(0),
            control.u32(1),
            control.u32(127),
            control.u32(0x80000001),
            b"",
            b"\x00\x10\x00",
        ):
            with self.subTest(payload=payload):
                error = self.assertRaises(ProtocolError, control.read_chunk_size, payload, 128)
                self.assertEqual(error.reason, "chunk_size")


class UserControlTests(SynchronousTestCase):
    def test_ping(self) -> None:
        """A ping request gives its four bytes."""
        self.assertEqual(control.read_ping_request(b"\x00\x06abcdefg"), b"abcd")
        self.assertEqual(control.ping_response(b"abcd"), b"\x00\x07abcd")

    def test_others_are_ignored(self) -> None:
        """Short bodies, known and unknown events mean nothing."""
        for payload in (
            b"",
            b"\x00",
            b"\x00\x06abc",
            b"\x00\x03" + bytes(8),
            b"\x00\x1f",
            b"\x03\xe7",
        ):
            with self.subTest(payload=payload):
                self.assertIsNone(control.read_ping_request(payload))

    def test_buffer_length(self) -> None:
        """A player's buffer length stands behind its message stream; others have none."""
        self.assertEqual(control.read_buffer_length(b"\x00\x03" + bytes(6) + b"\x0b\xb8"), 3000)
        for payload in (b"", b"\x00\x03" + bytes(7), b"\x00\x06" + bytes(8)):
            with self.subTest(payload=payload):
                self.assertIsNone(control.read_buffer_length(payload))

    def test_bodies(self) -> None:
        """Bodies are written as the specification draws them."""
        self.assertEqual(control.stream_eof(1), b"\x00\x01\x00\x00\x00\x01")
        self.assertEqual(control.stream_begin(1), b"\x00\x00\x00\x00\x00\x01")
        self.assertEqual(control.peer_bandwidth(0x01020304, 2), b"\x01\x02\x03\x04\x02")


class NumberTests(SynchronousTestCase):
    def test_number(self) -> None:
        """The first four bytes count; fewer are a violation."""
        self.assertEqual(control.read_u32(b"\x00\x00\x01\x00more", "Abort"), 256)
        error = self.assertRaises(ProtocolError, control.read_u32, b"abc", "Abort")
        self.assertEqual(error.reason, "protocol")
