"""AMF3: values to bytes and back (Adobe, Action Message Format - AMF 3).

Dictionaries and externalizable objects are refused: nothing that RTMP carries has them.
"""

import struct
from dataclasses import dataclass

from rapidrtmp.amf.errors import AMFError
from rapidrtmp.amf.reader import DEFAULT_LIMITS, MAX_DEPTH, Limits, Reader, Referable
from rapidrtmp.amf.values import (
    UNDEFINED,
    Date,
    ECMAArray,
    TypedObject,
    Undefined,
    Value,
    XMLDocument,
)

UNDEFINED_MARKER = 0x00
NULL = 0x01
FALSE = 0x02
TRUE = 0x03
INTEGER = 0x04
DOUBLE = 0x05
STRING = 0x06
XML_DOCUMENT = 0x07
DATE = 0x08
ARRAY = 0x09
OBJECT = 0x0A
XML = 0x0B
BYTE_ARRAY = 0x0C
VECTOR_INT = 0x0D
VECTOR_UINT = 0x0E
VECTOR_DOUBLE = 0x0F
VECTOR_OBJECT = 0x10

_U29_MAX = (1 << 29) - 1
_INTEGER_SIGN = 1 << 28  # integers are 29 bits, signed


def decode(data: bytes | memoryview, limits: Limits = DEFAULT_LIMITS) -> list[Value]:
    """Return all values of a message, which share the reference tables.

    Integers are ints, doubles floats; an array with named members becomes an `ECMAArray`
    that holds its numbered ones too, under "0", "1" and so on; vectors become lists.

    Raises:
        AMFError: the bytes are not AMF3 or break a limit.
    """
    reader = Reader(data, limits)
    decoder = Decoder(reader)
    values: list[Value] = []
    while reader.remaining:
        values.append(decoder.value())
    return values


def encode(*values: Value) -> bytes:
    """Return the bytes of all values; strings and traits are written once, then referred to.

    Raises:
        AMFError: a value has no AMF3 form or is nested more than `MAX_DEPTH` deep.
    """
    encoder = _Encoder()
    for value in values:
        encoder.value(value, 0)
    return bytes(encoder.out)


@dataclass(frozen=True, slots=True)
class _Traits:
    """What objects of one class have in common (AMF3 3.12)."""

    class_name: str
    members: tuple[str, ...]
    is_dynamic: bool


class Decoder:
    """Reads values from a `Reader`; the reference tables live as long as the decoder."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._strings: list[Referable] = []
        self._objects: list[Referable] = []
        self._traits: list[_Traits] = []

    def value(self) -> Value:
        """Read one value.

        Raises:
            AMFError: the bytes are not AMF3 or break a limit.
        """
        reader = self._reader
        reader.count()
        marker = reader.integer(1)
        if marker == UNDEFINED_MARKER:
            return UNDEFINED
        if marker == NULL:
            return None
        if marker in (FALSE, TRUE):
            return marker == TRUE
        if marker == INTEGER:
            number = self._u29()
            return number - 2 * _INTEGER_SIGN if number >= _INTEGER_SIGN else number
        if marker == DOUBLE:
            return reader.double()
        if marker == STRING:
            return self._string()
        if not DATE - 1 <= marker <= VECTOR_OBJECT:
            raise AMFError(f"AMF3 marker 0x{marker:02x} at offset {reader.offset - 1}")
        header = self._u29()
        if not header & 1:
            return reader.refer(self._objects, header >> 1)
        return self._complex(marker, header >> 1)

    def _u29(self) -> int:
        """Read a variable length unsigned 29-bit integer (AMF3 1.3.1)."""
        number = 0
        for _ in range(3):
            octet = self._reader.integer(1)
            number = number << 7 | octet & 0x7F
            if octet < 0x80:
                return number
        return number << 8 | self._reader.integer(1)

    def _string(self) -> str:
        header = self._u29()
        if not header & 1:
            text = self._reader.refer(self._strings, header >> 1)
            assert isinstance(text, str)
            return text
        size = header >> 1
        text = self._reader.text(size)
        if size:  # the empty string is never referred to
            self._reader.remember(self._strings, text, size)
        return text

    def _complex(self, marker: int, header: int) -> Value:
        """Read a value that takes a place in the table of objects."""
        reader = self._reader
        if marker == DATE:
            return self._remember(Date(reader.double()), 8)
        if marker in (XML_DOCUMENT, XML):
            return self._remember(XMLDocument(reader.text(header)), header)
        if marker == BYTE_ARRAY:
            return self._remember(reader.octets(header), header)
        referable = reader.open(self._objects)
        value: Value
        if marker == ARRAY:
            value = self._array(header)
        elif marker == OBJECT:
            value = self._object(header)
        else:
            value = self._vector(marker, header)
        reader.close(referable, value)
        return value

    def _remember(self, value: Value, size: int) -> Value:
        self._reader.remember(self._objects, value, size)
        return value

    def _array(self, length: int) -> Value:
        named = ECMAArray()
        self._named_members(named)
        if not named:
            return [self.value() for _ in range(length)]
        for index in range(length):
            named[str(index)] = self.value()
        return named

    def _object(self, header: int) -> Value:
        traits = self._read_traits(header)
        members: dict[str, Value] = {name: self.value() for name in traits.members}
        if traits.is_dynamic:
            self._named_members(members)
        return TypedObject(members, traits.class_name) if traits.class_name else members

    def _read_traits(self, header: int) -> _Traits:
        if not header & 1:
            index = header >> 1
            if index >= len(self._traits):
                raise AMFError(f"AMF3 reference to traits {index} of {len(self._traits)}")
            return self._traits[index]
        if header & 2:
            raise AMFError("AMF3 externalizable object")
        class_name = self._string()
        members = []
        for _ in range(header >> 3):
            self._reader.count()  # a name is a value too: traits can be large without objects
            members.append(self._string())
        if "" in members:
            raise AMFError("AMF3 member without a name")
        traits = _Traits(class_name, tuple(members), bool(header & 4))
        self._traits.append(traits)
        return traits

    def _named_members(self, members: dict[str, Value]) -> None:
        while name := self._string():
            members[name] = self.value()

    def _vector(self, marker: int, length: int) -> Value:
        reader = self._reader
        reader.take(1)  # whether the length is fixed
        if marker == VECTOR_OBJECT:
            self._string()  # the class of its elements
            return [self.value() for _ in range(length)]
        reader.count(length)
        if marker == VECTOR_DOUBLE:
            return [reader.double() for _ in range(length)]
        is_signed = marker == VECTOR_INT
        return [int.from_bytes(reader.take(4), "big", signed=is_signed) for _ in range(length)]


class _Encoder:
    """Writes values; the tables of strings and traits live as long as the message."""

    def __init__(self) -> None:
        self.out = bytearray()
        self._strings: dict[bytes, int] = {}
        self._traits: dict[str, int] = {}

    def value(self, value: Value, depth: int) -> None:
        out = self.out
        if value is None:
            out.append(NULL)
        elif isinstance(value, Undefined):
            out.append(UNDEFINED_MARKER)
        elif isinstance(value, bool):
            out.append(TRUE if value else FALSE)
        elif isinstance(value, int | float):
            self._number(value)
        elif isinstance(value, XMLDocument):
            out.append(XML)
            self._octets(value.encode("utf-8", "replace"))
        elif isinstance(value, str):
            out.append(STRING)
            self._string(value)
        elif isinstance(value, bytes):
            out.append(BYTE_ARRAY)
            self._octets(value)
        elif isinstance(value, Date):
            out += bytes((DATE, 1)) + struct.pack(">d", value.milliseconds)
        elif depth == MAX_DEPTH:
            raise AMFError(f"AMF value nested more than {MAX_DEPTH} deep")
        elif isinstance(value, list):
            out.append(ARRAY)
            self._u29(len(value) << 1 | 1)
            self._string("")  # no named members
            for element in value:
                self.value(element, depth + 1)
        elif isinstance(value, dict):
            self._mapping(value, depth + 1)
        else:
            raise AMFError(f"{type(value).__name__} has no AMF3 form")

    def _mapping(self, value: dict[str, Value], depth: int) -> None:
        if isinstance(value, ECMAArray):
            self.out += bytes((ARRAY, 1))  # no numbered members
        else:
            self.out.append(OBJECT)
            self._dynamic_traits(value.class_name if isinstance(value, TypedObject) else "")
        for name, member in value.items():
            if not name:
                raise AMFError("an empty name has no AMF3 form")
            self._string(name)
            self.value(member, depth)
        self._string("")

    def _dynamic_traits(self, class_name: str) -> None:
        """Write the traits of an object whose members are all dynamic."""
        index = self._traits.get(class_name)
        if index is not None:
            self._u29(index << 2 | 0b01)
            return
        self._traits[class_name] = len(self._traits)
        self._u29(0b1011)
        self._string(class_name)

    def _number(self, number: float) -> None:
        if isinstance(number, int) and -_INTEGER_SIGN <= number < _INTEGER_SIGN:
            self.out.append(INTEGER)
            self._u29(number & _U29_MAX)
            return
        self.out.append(DOUBLE)
        try:
            self.out += struct.pack(">d", number)
        except struct.error:
            raise AMFError("number too large for AMF3") from None

    def _string(self, text: str) -> None:
        octets = text.encode("utf-8", "replace")
        index = self._strings.get(octets)
        if index is not None:
            self._u29(index << 1)
            return
        if octets:
            self._strings[octets] = len(self._strings)
        self._octets(octets)

    def _octets(self, octets: bytes) -> None:
        self._u29(len(octets) << 1 | 1)
        self.out += octets

    def _u29(self, number: int) -> None:
        if number > _U29_MAX:
            raise AMFError("length over 28 bits has no AMF3 form")
        if number < 1 << 7:
            self.out.append(number)
        elif number < 1 << 14:
            self.out += bytes((number >> 7 | 0x80, number & 0x7F))
        elif number < 1 << 21:
            self.out += bytes((number >> 14 | 0x80, number >> 7 & 0x7F | 0x80, number & 0x7F))
        else:
            head = (number >> 22 | 0x80, number >> 15 & 0x7F | 0x80, number >> 8 & 0x7F | 0x80)
            self.out += bytes((*head, number & 0xFF))
