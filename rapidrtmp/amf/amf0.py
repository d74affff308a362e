"""AMF0: values to bytes and back (Adobe, Action Message Format - AMF 0)."""

import struct

from rapidrtmp.amf import amf3
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

NUMBER = 0x00
BOOLEAN = 0x01
STRING = 0x02
OBJECT = 0x03
NULL = 0x05
UNDEFINED_MARKER = 0x06
REFERENCE = 0x07
ECMA_ARRAY = 0x08
OBJECT_END = 0x09
STRICT_ARRAY = 0x0A
DATE = 0x0B
LONG_STRING = 0x0C
UNSUPPORTED = 0x0D
XML_DOCUMENT = 0x0F
TYPED_OBJECT = 0x10
AMF3_VALUE = 0x11

_END = b"\x00\x00\x09"
_MAX_U16 = 0xFFFF


def decode(data: bytes | memoryview, limits: Limits = DEFAULT_LIMITS) -> list[Value]:
    """Return all values of a message.

    Numbers are floats; strings that are not UTF-8 hold U+FFFD where they break it. An
    object and an ECMA array may end with the message instead of with their end marker.

    Raises:
        AMFError: the bytes are not AMF0 or break a limit.
    """
    decoder = _Decoder(Reader(data, limits))
    values: list[Value] = []
    while decoder.reader.remaining:
        values.append(decoder.value())
    return values


def decode_one(
    data: bytes | memoryview, offset: int = 0, limits: Limits = DEFAULT_LIMITS
) -> tuple[Value, int]:
    """Return the value at `offset` and the offset behind it.

    References can only name values within this one.

    Raises:
        AMFError: the bytes are not AMF0 or break a limit.
    """
    reader = Reader(data, limits, offset)
    return _Decoder(reader).value(), reader.offset


def encode(*values: Value) -> bytes:
    """Return the bytes of all values, one after another, without references.

    Raises:
        AMFError: a value has no AMF0 form or is nested more than `MAX_DEPTH` deep.
    """
    out = bytearray()
    for value in values:
        _encode(out, value, 0)
    return bytes(out)


class _Decoder:
    """Reads values; the reference tables live as long as the message."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._complex: list[Referable] = []
        self._amf3: amf3.Decoder | None = None

    def value(self) -> Value:
        reader = self.reader
        marker = reader.integer(1)
        if marker == AMF3_VALUE:
            if self._amf3 is None:
                self._amf3 = amf3.Decoder(reader)
            return self._amf3.value()
        reader.count()
        if marker == NUMBER:
            return reader.double()
        if marker == STRING:
            return reader.text(reader.integer(2))
        if marker == BOOLEAN:
            return reader.integer(1) != 0
        if marker == NULL:
            return None
        if marker in (UNDEFINED_MARKER, UNSUPPORTED):
            return UNDEFINED
        if marker == LONG_STRING:
            return reader.text(reader.integer(4))
        if marker == XML_DOCUMENT:
            return XMLDocument(reader.text(reader.integer(4)))
        if marker == DATE:
            return Date(*struct.unpack(">dh", reader.take(10)))
        if marker == REFERENCE:
            return reader.refer(self._complex, reader.integer(2))
        return self._container(marker)

    def _container(self, marker: int) -> Value:
        reader = self.reader
        value: dict[str, Value] | list[Value]
        if marker == OBJECT:
            value = {}
        elif marker == ECMA_ARRAY:
            reader.take(4)  # the count is only a hint: the end marker decides
            value = ECMAArray()
        elif marker == TYPED_OBJECT:
            value = TypedObject({}, reader.text(reader.integer(2)))
        elif marker == STRICT_ARRAY:
            value = []
        else:
            raise AMFError(f"AMF0 marker 0x{marker:02x} at offset {reader.offset - 1}")
        referable = reader.open(self._complex)
        if isinstance(value, list):
            # no allocation by the count: each value is charged and takes at least a byte
            for _ in range(reader.integer(4)):
                value.append(self.value())
        else:
            self._members(value)
        reader.close(referable, value)
        return value

    def _members(self, members: dict[str, Value]) -> None:
        reader = self.reader
        while reader.remaining:
            if reader.peek(3) == _END:
                reader.take(3)
                return
            key = reader.text(reader.integer(2))
            members[key] = self.value()


def _encode(out: bytearray, value: Value, depth: int) -> None:
    if value is None:
        out.append(NULL)
    elif isinstance(value, bool):
        out += b"\x01\x01" if value else b"\x01\x00"
    elif isinstance(value, int | float):
        out.append(NUMBER)
        out += _pack(">d", value)
    elif isinstance(value, str):
        _encode_string(out, value)
    elif isinstance(value, Undefined):
        out.append(UNDEFINED_MARKER)
    elif isinstance(value, Date):
        out.append(DATE)
        out += _pack(">dh", value.milliseconds, value.time_zone)
    elif isinstance(value, dict | list):
        if depth == MAX_DEPTH:
            raise AMFError(f"AMF value nested more than {MAX_DEPTH} deep")
        _encode_container(out, value, depth + 1)
    else:
        raise AMFError(f"{type(value).__name__} has no AMF0 form")


def _encode_string(out: bytearray, value: str) -> None:
    text = value.encode("utf-8", "replace")
    if isinstance(value, XMLDocument):
        out.append(XML_DOCUMENT)
        out += struct.pack(">I", len(text))
    elif len(text) > _MAX_U16:
        out.append(LONG_STRING)
        out += struct.pack(">I", len(text))
    else:
        out.append(STRING)
        out += struct.pack(">H", len(text))
    out += text


def _encode_container(out: bytearray, value: dict[str, Value] | list[Value], depth: int) -> None:
    if isinstance(value, list):
        out.append(STRICT_ARRAY)
        out += struct.pack(">I", len(value))
        for element in value:
            _encode(out, element, depth)
        return
    if isinstance(value, TypedObject):
        out.append(TYPED_OBJECT)
        out += _name(value.class_name)
    elif isinstance(value, ECMAArray):
        out.append(ECMA_ARRAY)
        out += struct.pack(">I", len(value))
    else:
        out.append(OBJECT)
    for key, member in value.items():
        out += _name(key)
        _encode(out, member, depth)
    out += _END


def _name(name: str) -> bytes:
    text = name.encode("utf-8", "replace")
    if len(text) > _MAX_U16:
        raise AMFError(f"AMF0 name of {len(text)} bytes, allowed are {_MAX_U16}")
    return struct.pack(">H", len(text)) + text


def _pack(layout: str, *numbers: float) -> bytes:
    try:
        return struct.pack(layout, *numbers)
    except struct.error:
        raise AMFError("number too large for AMF0") from None
