"""Tests of `rapidrtmp.amf.amf3`."""

import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.amf import amf3
from rapidrtmp.amf.errors import AMFError
from rapidrtmp.amf.reader import MAX_DEPTH, Limits
from rapidrtmp.amf.values import UNDEFINED, Date, ECMAArray, TypedObject, Value, XMLDocument
from tests.amf.strategies import amf3_values, same

ONE = bytes.fromhex("3ff0000000000000")

CASES: list[tuple[str, bytes, list[Value]]] = [
    ("undefined", b"\x00", [UNDEFINED]),
    ("null", b"\x01", [None]),
    ("false", b"\x02", [False]),
    ("true", b"\x03", [True]),
    ("zero", b"\x04\x00", [0]),
    ("one byte", b"\x04\x7f", [127]),
    ("two bytes", b"\x04\x81\x00", [128]),
    ("two bytes, highest", b"\x04\xff\x7f", [0x3FFF]),
    ("three bytes", b"\x04\x81\x80\x00", [0x4000]),
    ("three bytes, highest", b"\x04\xff\xff\x7f", [0x1FFFFF]),
    ("four bytes", b"\x04\x80\xc0\x80\x00", [0x200000]),
    ("highest integer", b"\x04\xbf\xff\xff\xff", [(1 << 28) - 1]),
    ("lowest integer", b"\x04\xc0\x80\x80\x00", [-(1 << 28)]),
    ("minus one", b"\x04\xff\xff\xff\xff", [-1]),
    ("double", b"\x05" + ONE, [1.0]),
    ("beyond integers", b"\x05\x41\xb0\x00\x00\x00\x00\x00\x00", [float(1 << 28)]),
    ("string", b"\x06\x0bcaf\xc3\xa9", ["café"]),
    ("string again", b"\x06\x05ab\x06\x00", ["ab", "ab"]),
    ("empty string has no place", b"\x06\x01\x06\x03a\x06\x00", ["", "a", "a"]),
    ("XML", b"\x0b\x09<a/>", [XMLDocument("<a/>")]),
    ("date", b"\x08\x01" + ONE, [Date(1.0)]),
    ("array", b"\x09\x05\x01\x01\x04\x01", [[None, 1]]),
    ("named array", b"\x09\x01\x03a\x01\x01", [ECMAArray(a=None)]),
    ("object", b"\x0a\x0b\x01\x03a\x01\x01", [{"a": None}]),
    ("typed object", b"\x0a\x0b\x03P\x03x\x01\x01", [TypedObject({"x": None}, "P")]),
    (
        "traits and names again",
        b"\x0a\x0b\x03P\x03x\x01\x01" + b"\x0a\x01\x02\x03\x01",
        [TypedObject({"x": None}, "P"), TypedObject({"x": True}, "P")],
    ),
    ("byte array", b"\x0c\x05\x00\xff", [b"\x00\xff"]),
]
"""What is read and written in the same way."""

TOLERATED: list[tuple[str, bytes, list[Value]]] = [
    ("nothing", b"", []),
    ("long form of a small integer", b"\x04\x80\x80\x80\x01", [1]),
    ("invalid UTF-8", b"\x06\x03\xff", ["\ufffd"]),
    ("XML document", b"\x07\x09<a/>", [XMLDocument("<a/>")]),
    ("array of both kinds", b"\x09\x03\x03a\x01\x01\x02", [ECMAArray({"a": None, "0": False})]),
    ("sealed object", b"\x0a\x23\x01\x03a\x03b\x02\x03", [{"a": False, "b": True}]),
    (
        "sealed and dynamic object",
        b"\x0a\x1b\x01\x03a\x02\x03b\x03\x01",
        [{"a": False, "b": True}],
    ),
    ("member twice", b"\x0a\x1b\x01\x03a\x02\x00\x03\x01", [{"a": True}]),
    (
        "sealed traits again",
        b"\x0a\x13\x03P\x03a\x02\x0a\x01\x03",
        [TypedObject({"a": False}, "P"), TypedObject({"a": True}, "P")],
    ),
    ("array again", b"\x09\x03\x01\x01\x09\x00", [[None], [None]]),
    ("date again", b"\x08\x01" + ONE + b"\x08\x00", [Date(1.0)] * 2),
    ("XML again", b"\x0b\x03a\x0b\x00", [XMLDocument("a")] * 2),
    ("byte array again", b"\x0c\x03a\x0c\x00", [b"a"] * 2),
    ("vector of int", b"\x0d\x05\x00\xff\xff\xff\xff\x00\x00\x00\x01", [[-1, 1]]),
    ("vector of uint", b"\x0e\x03\x01\xff\xff\xff\xff", [[0xFFFFFFFF]]),
    ("vector of double", b"\x0f\x03\x00" + ONE, [[1.0]]),
    ("vector of objects", b"\x10\x05\x00\x03P\x01\x0a\x0b\x00\x01", [[None, TypedObject({}, "P")]]),
    ("vector again", b"\x0d\x01\x00\x0d\x00", [[], []]),
]
"""What is read, but never written so."""

BAD: list[tuple[str, bytes]] = [
    ("dictionary", b"\x11\x01\x00"),
    ("unknown marker", b"\x12"),
    ("half an integer", b"\x04\x80\x80"),
    ("half a double", b"\x05\x00"),
    ("string longer than the message", b"\x06\x05a"),
    ("string over the limit", b"\x06\x88\x80\x03" + b"a" * 65537),
    ("string of 256 MiB", b"\x06\xff\xff\xff\xff"),
    ("byte array of 256 MiB", b"\x0c\xff\xff\xff\xff"),
    ("reference to no string", b"\x06\x00"),
    ("reference to the empty string", b"\x06\x01\x06\x00"),
    ("reference to no object", b"\x0a\x00"),
    ("reference behind the table", b"\x09\x01\x01\x09\x02"),
    ("reference to no traits", b"\x0a\x01"),
    ("array in itself", b"\x09\x03\x01\x09\x00"),
    ("object in itself", b"\x0a\x0b\x01\x03a\x0a\x00\x01"),
    ("externalizable object", b"\x0a\x07\x03P"),
    ("object without its end", b"\x0a\x0b\x01\x03a\x01"),
    ("array of 2^28-1", b"\x09\xff\xff\xff\xff\x01"),
    ("traits of 2^25 members", b"\x0a\xff\xff\xff\xf3\x01"),
    ("vector of 2^28-1", b"\x0d\xff\xff\xff\xff\x00"),
    ("vector too short", b"\x0e\x05\x00\x00\x00\x00\x00"),
]


class CodecTests(SynchronousTestCase):
    def test_decode(self) -> None:
        """Each form of each marker gives its value."""
        for name, wire, values in CASES:
            decoded = amf3.decode(wire)
            self.assertTrue(same(decoded, values), f"{name}: {decoded!r}")
            self.assertEqual([type(value) for value in decoded], [type(v) for v in values], name)

    def test_encode(self) -> None:
        """Each value gives its bytes; strings and traits are written once."""
        for name, wire, values in CASES:
            self.assertEqual(amf3.encode(*values), wire, name)

    def test_tolerated(self) -> None:
        """What our encoder does not write is understood."""
        for name, wire, values in TOLERATED:
            self.assertEqual(amf3.decode(memoryview(wire)), values, name)

    def test_bad(self) -> None:
        """Everything else is an AMFError."""
        for name, wire in BAD:
            with self.assertRaises(AMFError, msg=name):
                amf3.decode(wire)

    def test_encode_large(self) -> None:
        """Integers beyond 29 bits are doubles; one that is no double is refused."""
        self.assertEqual(amf3.encode(-(1 << 28) - 1), amf3.encode(float(-(1 << 28) - 1)))
        with self.assertRaisesRegex(AMFError, "too large"):
            amf3.encode(10**400)

    def test_no_form(self) -> None:
        """What AMF3 cannot say is an AMFError."""
        with self.assertRaisesRegex(AMFError, "empty name"):
            amf3.encode({"": None})
        with self.assertRaisesRegex(AMFError, "object has no AMF3 form"):
            amf3.encode(object())  # type: ignore[arg-type]  # on purpose
        with self.assertRaisesRegex(AMFError, "over 28 bits"):
            amf3.encode(bytes(1 << 28))

    def test_surrogates(self) -> None:
        """Text that UTF-8 cannot hold does not raise."""
        self.assertEqual(amf3.encode("a\ud800"), b"\x06\x05a?")

    def test_cycle(self) -> None:
        """A cyclic value is an AMFError, not a RecursionError."""
        cycle: list[Value] = []
        cycle.append({"a": cycle})
        with self.assertRaisesRegex(AMFError, f"more than {MAX_DEPTH} deep"):
            amf3.encode(cycle)


class LimitsTests(SynchronousTestCase):
    def test_depth(self) -> None:
        """Containers nest to the limit and no deeper."""
        amf3.decode(b"\x09\x03\x01" * 16 + b"\x01")
        for depth in (17, 1000, 20000):
            for start in (b"\x09\x03\x01", b"\x0a\x0b\x01\x03a", b"\x10\x03\x00\x01"):
                with self.assertRaisesRegex(AMFError, "more than 16 deep"):
                    amf3.decode(start * depth)

    def test_deepest(self) -> None:
        """The widest limit is far from a RecursionError."""
        wire = b"\x09\x03\x01" * MAX_DEPTH + b"\x01"
        values = amf3.decode(wire, Limits(depth=MAX_DEPTH))
        self.assertEqual(amf3.encode(*values), wire)

    def test_values(self) -> None:
        """Elements, members and the names of traits are counted."""
        self.assertEqual(len(amf3.decode(b"\x01" * 1000)), 1000)
        for wire in (
            b"\x01" * 1001,
            b"\x09\x8f\x51\x01" + b"\x01" * 1000,
            b"\x0d\x8f\x51\x00" + b"\x00" * 4000,
            b"\x0a\xbe\x43\x01" + b"\x03a" * 500 + b"\x01" * 600,
            b"\x0a\x0b\x01" + b"\x03a\x01" * 1000,
        ):
            with self.assertRaisesRegex(AMFError, "more than 1000 values"):
                amf3.decode(wire)

    def test_references_repeat_bytes(self) -> None:
        """Neither strings nor objects can be repeated for two bytes each."""
        string = b"\x06\x84\x80\x01" + b"a" * 0x8000
        self.assertEqual(len(amf3.decode(string + b"\x06\x00" * 2)), 3)
        octets = b"\x0c\x84\x80\x01" + b"a" * 0x8000
        for wire in (
            string + b"\x06\x00" * 3,
            octets + b"\x0c\x00" * 3,
            b"\x09\x03\x01" + octets + b"\x09\x00" * 2,
        ):
            with self.assertRaisesRegex(AMFError, "repeat more than 65536 bytes"):
                amf3.decode(wire)

    def test_memory(self) -> None:
        """Forged counts and lengths allocate nothing."""
        tracemalloc.start()
        try:
            for name, wire in BAD:
                if "2^" in name or "MiB" in name:
                    with self.assertRaises(AMFError):
                        amf3.decode(wire)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(peak, 256 * 1024)


class NamelessTests(SynchronousTestCase):
    def test_member_without_a_name(self) -> None:
        """Sealed traits with an empty name cannot be written, so they are not read either."""
        with self.assertRaises(AMFError):
            amf3.decode(b"\x0a\x13\x01\x01\x01")


class PropertyTests(SynchronousTestCase):
    @settings(max_examples=150, deadline=None)
    @given(st.lists(amf3_values, max_size=3))
    def test_round_trip(self, values: list[Value]) -> None:
        """Decoding what was encoded gives the values back, of the same kinds."""
        decoded = amf3.decode(amf3.encode(*values), Limits(depth=MAX_DEPTH, repeated=1_000_000))
        self.assertTrue(same(decoded, values), repr(decoded))

    @settings(max_examples=300, deadline=None)
    @given(
        st.binary(max_size=200)
        | st.lists(
            st.sampled_from(
                [wire for _, wire, _ in CASES + TOLERATED]
                + [wire for _, wire in BAD if len(wire) < 100]
            )
        ).map(b"".join)
    )
    def test_arbitrary_bytes(self, wire: bytes) -> None:
        """Any bytes are values or an AMFError; what was read can be written."""
        try:
            values = amf3.decode(wire)
        except AMFError:
            return
        amf3.encode(*values)
