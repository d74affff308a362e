"""Tests of command messages."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.amf import amf0
from rapidrtmp.amf.errors import AMFError
from rapidrtmp.amf.reader import DEFAULT_LIMITS
from rapidrtmp.rtmp import command


class CommandTests(SynchronousTestCase):
    def test_round_trip(self) -> None:
        """A command that was written reads the same."""
        call = command.decode(command.encode("publish", 5.0, None, "key", "live"), DEFAULT_LIMITS)
        self.assertEqual((call.name, call.transaction_id), ("publish", 5.0))
        self.assertEqual(call.arguments, (None, "key", "live"))
        self.assertEqual(call.argument(1), "key")
        self.assertIsNone(call.argument(3))

    def test_no_transaction_id(self) -> None:
        """A bare name is a call that wants no answer."""
        call = command.decode(amf0.encode("ping"), DEFAULT_LIMITS)
        self.assertEqual((call.transaction_id, call.arguments), (0.0, ()))

    def test_unreadable(self) -> None:
        """No name, a name or a transaction id of another type: AMFError."""
        for payload in (
            b"",
            amf0.encode(1.0, 1.0),
            amf0.encode("connect", "1"),
            amf0.encode("connect", True),
            amf0.encode("connect", None),
            b"\x02\x00",
        ):
            with self.subTest(payload=payload):
                self.assertRaises(AMFError, command.decode, payload, DEFAULT_LIMITS)

    @given(st.binary(min_size=8, max_size=8))
    @settings(max_examples=50, deadline=None)
    def test_transaction_id_bits(self, octets: bytes) -> None:
        """Any number is sent back as the same eight bytes."""
        call = command.decode(amf0.encode("x") + b"\x00" + octets, DEFAULT_LIMITS)
        again = command.encode(command.RESULT, call.transaction_id)
        quiet = struct.pack(">d", struct.unpack(">d", octets)[0])
        self.assertEqual(again[-8:], quiet)
