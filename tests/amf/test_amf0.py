"""Tests of `rapidrtmp.amf.amf0`."""

import math
import struct
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.amf import amf0
from rapidrtmp.amf.errors import AMFError
from rapidrtmp.amf.reader import MAX_DEPTH, Limits
from rapidrtmp.amf.values import UNDEFINED, Date, ECMAArray, TypedObject, Value, XMLDocument
from tests.amf.strategies import amf0_values, same

ONE = bytes.fromhex("003ff0000000000000")
END = b"\x00\x00\x09"

CASES: list[tuple[str, bytes, Value]] = [
    ("number", ONE, 1.0),
    ("negative number", bytes.fromhex("00c00c000000000000"), -3.5),
    ("infinity", bytes.fromhex("007ff0000000000000"), math.inf),
    ("false", b"\x01\x00", False),
    ("true", b"\x01\x01", True),
    ("empty string", b"\x02\x00\x00", ""),
    ("string", b"\x02\x00\x05caf\xc3\xa9", "café"),
    ("string with NUL", b"\x02\x00\x02\x00\n", "\x00\n"),
    ("longest short string", b"\x02\xff\xff" + b"a" * 65535, "a" * 65535),
    ("shortest long string", b"\x0c\x00\x01\x00\x00" + b"a" * 65536, "a" * 65536),
    ("object", b"\x03\x00\x01a" + ONE + b"\x00\x01b\x05" + END, {"a": 1.0, "b": None}),
    ("empty object", b"\x03" + END, {}),
    ("empty key", b"\x03\x00\x00" + ONE + END, {"": 1.0}),
    ("null", b"\x05", None),
    ("undefined", b"\x06", UNDEFINED),
    ("ECMA array", b"\x08\x00\x00\x00\x01\x00\x01a\x05" + END, ECMAArray(a=None)),
    ("strict array", b"\x0a\x00\x00\x00\x02\x05\x01\x01", [None, True]),
    ("empty strict array", b"\x0a\x00\x00\x00\x00", []),
    ("date", b"\x0b" + ONE[1:] + b"\xff\xc4", Date(1.0, -60)),
    ("XML", b"\x0f\x00\x00\x00\x04<a/>", XMLDocument("<a/>")),
    ("typed object", b"\x10\x00\x01P\x00\x01x\x05" + END, TypedObject({"x": None}, "P")),
    (
        "nested",
        b"\x0a\x00\x00\x00\x02\x03\x00\x01a\x0a\x00\x00\x00\x00"
        + END
        + b"\x08\x00\x00\x00\x00"
        + END,
        [{"a": []}, ECMAArray()],
    ),
]
"""What is read and written in the same way."""

TOLERATED: list[tuple[str, bytes, list[Value]]] = [
    ("nothing", b"", []),
    ("boolean of any byte", b"\x01\x02", [True]),
    ("unsupported", b"\x0d", [UNDEFINED]),
    ("short text as a long string", b"\x0c\x00\x00\x00\x01a", ["a"]),
    ("ECMA count too high", b"\x08\xff\xff\xff\xff\x00\x01a\x05" + END, [{"a": None}]),
    (
        "ECMA count too low",
        b"\x08\x00\x00\x00\x00\x00\x01a\x05\x00\x01b\x05" + END,
        [{"a": None, "b": None}],
    ),
    ("ECMA array without its end", b"\x08\x00\x00\x00\x01\x00\x01a\x05", [{"a": None}]),
    ("object without its end", b"\x03\x00\x01a\x05", [{"a": None}]),
    ("nested object without an end", b"\x03\x00\x01a\x03\x00\x01b\x05", [{"a": {"b": None}}]),
    ("duplicate key", b"\x03\x00\x01a" + ONE + b"\x00\x01a\x05" + END, [{"a": None}]),
    ("invalid UTF-8", b"\x02\x00\x03a\xffb", ["a\ufffdb"]),
    ("surrogate in UTF-8", b"\x02\x00\x03\xed\xa0\x80", ["\ufffd\ufffd\ufffd"]),
    ("reference to an object", b"\x03\x00\x01a\x05" + END + b"\x07\x00\x00", [{"a": None}] * 2),
    (
        "reference to the second, inside the first",
        b"\x03\x00\x01a\x0a\x00\x00\x00\x00\x00\x01b\x07\x00\x01" + END,
        [{"a": [], "b": []}],
    ),
    ("AMF3 value", b"\x11\x04\x07\x05", [7, None]),
    ("AMF3 tables last for the message", b"\x11\x06\x03a\x11\x06\x00", ["a", "a"]),
]
"""What is read, but never written so."""

BAD: list[tuple[str, bytes]] = [
    ("movie clip", b"\x04"),
    ("end without an object", b"\x09"),
    ("record set", b"\x0e"),
    ("unknown marker", b"\x12"),
    ("timecode of FFmpeg", b"\x00\x01\x02\x03"),
    ("no boolean", b"\x01"),
    ("string longer than the message", b"\x02\x00\x05abcd"),
    ("string without a length", b"\x02\x00"),
    ("long string longer than the message", b"\x0c\x00\x00\x00\x05abcd"),
    ("long string over the limit", b"\x0c\x00\x01\x00\x01" + b"a" * 65537),
    ("long string of 4 GiB", b"\x0c\xff\xff\xff\xff"),
    ("XML of 4 GiB", b"\x0f\xff\xff\xff\xff"),
    ("date without time zone", b"\x0b" + ONE[1:]),
    ("object with half a key", b"\x03\x00\x02a"),
    ("object with a key only", b"\x03\x00\x01a"),
    ("object with half an end", b"\x03\x00\x00"),
    ("ECMA array without a count", b"\x08\x00\x00"),
    ("typed object without a name", b"\x10\x00"),
    ("strict array too short", b"\x0a\x00\x00\x00\x02\x05"),
    ("strict array of 2^32-1", b"\x0a\xff\xff\xff\xff"),
    ("reference to nothing", b"\x07\x00\x00"),
    ("reference behind the table", b"\x03" + END + b"\x07\x00\x01"),
    ("reference to itself", b"\x03\x00\x01a\x07\x00\x00" + END),
    ("half a reference", b"\x07\x00"),
    ("AMF3 without a value", b"\x11"),
    ("AMF3 with a bad reference", b"\x11\x0a\x02"),
]


def nested(depth: int) -> bytes:
    """Return `depth` objects, each in the one before."""
    return b"\x03\x00\x01a" * (depth - 1) + b"\x03" + END * depth


class CodecTests(SynchronousTestCase):
    def test_decode(self) -> None:
        """Each form of each marker gives its value."""
        for name, wire, value in CASES:
            [decoded] = amf0.decode(wire)
            self.assertTrue(same(decoded, value), f"{name}: {decoded!r:.100}")

    def test_encode(self) -> None:
        """Each value gives its bytes."""
        for name, wire, value in CASES:
            self.assertEqual(amf0.encode(value), wire, name)

    def test_tolerated(self) -> None:
        """What encoders do beside the specification is understood."""
        for name, wire, values in TOLERATED:
            self.assertEqual(amf0.decode(wire), values, name)

    def test_bad(self) -> None:
        """Everything else is an AMFError."""
        for name, wire in BAD:
            with self.assertRaises(AMFError, msg=name):
                amf0.decode(wire)

    def test_message(self) -> None:
        """A message is any number of values, from bytes or a view of them."""
        wire = b"".join(wire for _, wire, _ in CASES)
        values = [value for _, _, value in CASES]
        self.assertEqual(amf0.encode(*values), wire)
        self.assertEqual(amf0.decode(wire), values)
        self.assertEqual(amf0.decode(memoryview(wire)), values)

    def test_decode_one(self) -> None:
        """One value is read at an offset; what follows is not looked at."""
        wire = b"junk" + ONE + b"\xff"
        self.assertEqual(amf0.decode_one(wire, 4), (1.0, 13))
        self.assertRaises(AMFError, amf0.decode_one, wire, len(wire))

    def test_numbers_keep_their_bits(self) -> None:
        """A transaction id is echoed byte for byte, whatever NaN it is."""
        for bits in (
            "7ff8000000000000",
            "fff8000000000001",
            "7ff4000000000000",
            "fff0000000000000",
            "8000000000000000",
            "7e37e43c8800759c",
            "0000000000000001",
        ):
            wire = b"\x00" + bytes.fromhex(bits)
            self.assertEqual(amf0.encode(*amf0.decode(wire)), wire)

    def test_reference_is_the_same_value(self) -> None:
        """A reference costs no copy."""
        first, second = amf0.decode(b"\x0a\x00\x00\x00\x00\x07\x00\x00")
        self.assertIs(first, second)

    def test_errors_quote_no_text(self) -> None:
        """An error never shows a value: it may be a token."""
        wire = b"\x03\x00\x03app\x02\x00\x0elive?token=abc\x00\x06secret\x04"
        with self.assertRaises(AMFError) as caught:
            amf0.decode(wire)
        self.assertEqual(str(caught.exception), "AMF0 marker 0x04 at offset 31")


class EncodeTests(SynchronousTestCase):
    def test_integer(self) -> None:
        """An integer is a number; one that is none is refused."""
        self.assertEqual(amf0.encode(1), ONE)
        with self.assertRaisesRegex(AMFError, "too large"):
            amf0.encode(10**400)

    def test_surrogates(self) -> None:
        """Text that UTF-8 cannot hold does not raise."""
        self.assertEqual(amf0.encode("a\ud800"), b"\x02\x00\x02a?")

    def test_no_form(self) -> None:
        """What AMF0 cannot say is an AMFError."""
        values: list[Value] = [b"bytes", {"a" * 65536: None}, Date(0.0, 40000)]
        for value in values:
            with self.assertRaises(AMFError):
                amf0.encode(value)

    def test_depth(self) -> None:
        """A cyclic value is an AMFError, not a RecursionError."""
        cycle: list[Value] = []
        cycle.append({"a": cycle})
        with self.assertRaisesRegex(AMFError, f"more than {MAX_DEPTH} deep"):
            amf0.encode(cycle)

    def test_deepest(self) -> None:
        """What the widest limits let in can be written again."""
        wire = nested(MAX_DEPTH)
        values = amf0.decode(wire, Limits(depth=MAX_DEPTH))
        self.assertEqual(amf0.encode(*values), wire)


class LimitsTests(SynchronousTestCase):
    def test_depth(self) -> None:
        """Containers nest to the limit and no deeper, whatever their kind."""
        self.assertEqual(amf0.encode(*amf0.decode(nested(16))), nested(16))
        for depth in (17, 1000, 20000):
            for wire in (
                nested(depth),
                b"\x0a\x00\x00\x00\x01" * depth,
                b"\x08\x00\x00\x00\x01\x00\x00" * depth,
                b"\x10\x00\x00\x00\x00" * depth,
                b"\x11" + b"\x09\x03\x01" * depth,
            ):
                with self.assertRaisesRegex(AMFError, "more than 16 deep"):
                    amf0.decode(wire)

    def test_depth_beside(self) -> None:
        """Only containers within containers count as depth, not those that are closed."""
        self.assertEqual(len(amf0.decode(nested(16) * 20)), 20)

    def test_depth_through_amf3(self) -> None:
        """A change to AMF3 does not start the depth anew."""
        arrays = b"\x0a\x00\x00\x00\x01" * 8
        amf0.decode(arrays + b"\x11" + b"\x09\x03\x01" * 8 + b"\x01")
        with self.assertRaisesRegex(AMFError, "more than 16 deep"):
            amf0.decode(arrays + b"\x11" + b"\x09\x03\x01" * 9 + b"\x01")

    def test_depth_through_references(self) -> None:
        """A reference counts as deep as what it names."""
        limits = Limits(depth=3)
        for wire, is_allowed in (
            (
                b"\x0a\x00\x00\x00\x01\x0a\x00\x00\x00\x00" + b"\x0a\x00\x00\x00\x01\x07\x00\x00",
                True,
            ),
            (
                b"\x0a\x00\x00\x00\x01\x0a\x00\x00\x00\x00"
                + b"\x0a\x00\x00\x00\x01" * 2
                + b"\x07\x00\x00",
                False,
            ),
            # a chain: each names the one before
            (
                b"\x0a\x00\x00\x00\x00\x0a\x00\x00\x00\x01\x07\x00\x00\x0a\x00\x00\x00\x01\x07\x00\x01",
                True,
            ),
            (
                b"\x0a\x00\x00\x00\x00\x0a\x00\x00\x00\x01\x07\x00\x00"
                b"\x0a\x00\x00\x00\x01\x07\x00\x01\x0a\x00\x00\x00\x01\x07\x00\x02",
                False,
            ),
        ):
            if is_allowed:
                amf0.decode(wire, limits)
            else:
                with self.assertRaisesRegex(AMFError, "more than 3 deep"):
                    amf0.decode(wire, limits)

    def test_depth_of_the_deepest_member(self) -> None:
        """A reference is as deep as the deepest member, not the last one."""
        value: Value = [[[]], []]
        wire = amf0.encode(value)
        amf0.decode(wire + b"\x07\x00\x00", Limits(depth=3))
        with self.assertRaisesRegex(AMFError, "more than 3 deep"):
            amf0.decode(wire + b"\x0a\x00\x00\x00\x01\x07\x00\x00", Limits(depth=3))

    def test_values(self) -> None:
        """A message has so many values, containers included."""
        self.assertEqual(len(amf0.decode(b"\x05" * 1000)), 1000)
        for wire in (
            b"\x05" * 1001,
            b"\x0a\x00\x00\x03\xe8" + b"\x05" * 1000,
            b"\x08\x00\x00\x00\x00" + b"\x00\x01a\x05" * 1000,
            b"\x0a\x00\x01\x86\xa0" + b"\x02\x00\x04avc1" * 100_000,
            b"\x11\x04\x01" * 1001,
        ):
            with self.assertRaisesRegex(AMFError, "more than 1000 values"):
                amf0.decode(wire)

    def test_references_repeat_values(self) -> None:
        """References that double at each step are charged for what they stand for."""
        wire = b"\x0a\x00\x00\x00\x00"
        for index in range(14):
            wire += b"\x0a\x00\x00\x00\x02" + (b"\x07" + struct.pack(">H", index)) * 2
        with self.assertRaisesRegex(AMFError, "more than 1000 values"):
            amf0.decode(wire)

    def test_references_repeat_bytes(self) -> None:
        """A long string cannot be repeated for three bytes each."""
        wire = b"\x0a\x00\x00\x00\x01\x02\x80\x00" + b"a" * 0x8000
        self.assertEqual(len(amf0.decode(wire + b"\x07\x00\x00")), 2)
        with self.assertRaisesRegex(AMFError, "repeat more than 65536 bytes"):
            amf0.decode(wire + b"\x07\x00\x00" * 2)

    def test_references_to_references(self) -> None:
        """What a value repeats is charged again when the value itself is repeated."""
        wire = amf0.encode(["a" * 20_000]) + b"\x0a\x00\x00\x00\x01\x07\x00\x00"
        self.assertEqual(len(amf0.decode(wire + b"\x07\x00\x01" * 2)), 4)
        with self.assertRaisesRegex(AMFError, "repeat more than 65536 bytes"):
            amf0.decode(wire + b"\x07\x00\x01" * 3)

    def test_string(self) -> None:
        """The limit of a string holds for each kind of text."""
        limits = Limits(string=3)
        self.assertEqual(amf0.decode(b"\x02\x00\x03abc", limits), ["abc"])
        for wire in (
            b"\x02\x00\x04abcd",
            b"\x0c\x00\x00\x00\x04abcd",
            b"\x0f\x00\x00\x00\x04abcd",
            b"\x03\x00\x04abcd\x05" + END,
            b"\x10\x00\x04abcd" + END,
        ):
            with self.assertRaisesRegex(AMFError, "string of 4 bytes, allowed are 3"):
                amf0.decode(wire, limits)

    def test_memory(self) -> None:
        """Forged counts and lengths allocate nothing."""
        tracemalloc.start()
        try:
            for wire in (
                b"\x0a\xff\xff\xff\xff\x05",
                b"\x0c\xff\xff\xff\xff",
                b"\x08\xff\xff\xff\xff\x00",
            ):
                with self.assertRaises(AMFError):
                    amf0.decode(wire)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(peak, 256 * 1024)


class PropertyTests(SynchronousTestCase):
    @settings(max_examples=150, deadline=None)
    @given(st.lists(amf0_values, max_size=3))
    def test_round_trip(self, values: list[Value]) -> None:
        """Decoding what was encoded gives the values back, of the same kinds."""
        decoded = amf0.decode(amf0.encode(*values), Limits(depth=MAX_DEPTH))
        self.assertTrue(same(decoded, values), repr(decoded))

    @settings(max_examples=300, deadline=None)
    @given(
        st.binary(max_size=200)
        | st.lists(
            st.sampled_from(
                [wire for _, wire, _ in CASES if len(wire) < 100]
                + [wire for _, wire in BAD if len(wire) < 100]
            )
        ).map(b"".join)
    )
    def test_arbitrary_bytes(self, wire: bytes) -> None:
        """Any bytes are values or an AMFError; what was read can be written."""
        try:
            values = amf0.decode(wire)
        except AMFError:
            return
        if b"\x11" not in wire:  # AMF3 has values that AMF0 has not
            amf0.encode(*values)

    @settings(max_examples=100, deadline=None)
    @given(amf0_values, st.data())
    def test_cut_short(self, value: Value, data: st.DataObject) -> None:
        """A value cut anywhere is an AMFError or ends early, and nothing is made up."""
        wire = amf0.encode(value)
        cut = data.draw(st.integers(0, len(wire)))
        try:
            values = amf0.decode(wire[:cut], Limits(depth=MAX_DEPTH))
        except AMFError:
            return
        self.assertLessEqual(len(values), 1)
