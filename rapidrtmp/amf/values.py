"""The values of Action Message Format that Python has no type of its own for."""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


class Undefined(Enum):
    """The type of `UNDEFINED`."""

    UNDEFINED = "undefined"

    def __bool__(self) -> bool:
        return False


UNDEFINED = Undefined.UNDEFINED
"""ActionScript's ``undefined``; also what AMF0's ``unsupported`` is read as."""


@dataclass(frozen=True, slots=True)
class Date:
    """A moment, as AMF writes it."""

    milliseconds: float
    """ms since 1970-01-01 UTC."""
    time_zone: int = 0
    """AMF0 only: reserved, 0 by the specification, kept as it was sent (minutes, signed)."""


class XMLDocument(str):
    """The text of an XML document, neither parsed nor checked."""

    __slots__ = ()


class ECMAArray(dict[str, "Value"]):
    """An associative array (AMF0 2.10): what onMetaData is sent as. Equal to a plain dict."""

    __slots__ = ()


class TypedObject(dict[str, "Value"]):
    """An object with a class name (AMF0 2.18, AMF3 3.12)."""

    __slots__ = ("class_name",)

    def __init__(self, members: "dict[str, Value]", class_name: str) -> None:
        super().__init__(members)
        self.class_name = class_name

    def __eq__(self, other: object) -> bool:
        """Compare members and, with another typed object, the class name."""
        if isinstance(other, TypedObject) and other.class_name != self.class_name:
            return False
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # as every dict

    def __repr__(self) -> str:
        return f"TypedObject({super().__repr__()}, {self.class_name!r})"


Value: TypeAlias = (
    float | bool | str | bytes | Undefined | Date | dict[str, "Value"] | list["Value"] | None
)
"""Any AMF value. An int may stand for a float; bytes (ByteArray) exist in AMF3 alone."""
