"""Bounded reading of one AMF message: what the AMF0 and the AMF3 decoder share."""

import struct
from dataclasses import dataclass

from rapidrtmp.amf.errors import AMFError
from rapidrtmp.amf.values import UNDEFINED, Value

MAX_DEPTH = 64
"""No setting may allow deeper values: decoding and encoding recurse by up to four Python
frames a level, and must stay far from the interpreter's limit of 1000."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one AMF message may hold. Depth bombs and forged counts end here."""

    depth: int = 16
    """Containers within containers; onMetaData of real encoders needs 4."""
    values: int = 1000
    """Values in all, containers and what references repeat included."""
    string: int = 65536
    """Bytes of one string, XML text or byte array."""
    repeated: int = 65536
    """Bytes that references may repeat: a few bytes on the wire must not grow to megabytes."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: `depth` is not within 1..`MAX_DEPTH`, or another limit is below 1.
        """
        if not 1 <= self.depth <= MAX_DEPTH:
            raise ValueError(f"AMF depth limit is {self.depth}, allowed are 1 to {MAX_DEPTH}")
        if min(self.values, self.string, self.repeated) < 1:
            raise ValueError("AMF limits must be at least 1")


DEFAULT_LIMITS = Limits()


@dataclass(slots=True)
class Referable:
    """A value that a later reference may name; what it costs is charged again each time.

    While the value is being read (`complete` is false), the numbers hold the reader's
    state at its start.
    """

    value: Value
    values: int
    size: int
    height: int
    complete: bool


class Reader:
    """A cursor over one message that keeps count of everything `Limits` bounds."""

    __slots__ = ("_data", "_deepest", "_depth", "_limits", "_repeated", "_values", "offset")

    def __init__(self, data: bytes | memoryview, limits: Limits, offset: int = 0) -> None:
        self._data = bytes(data)  # no copy when it is bytes already
        self._limits = limits
        self._depth = 0
        self._deepest = 0
        self._values = 0
        self._repeated = 0
        self.offset = offset

    @property
    def remaining(self) -> int:
        """Bytes left in the message."""
        return len(self._data) - self.offset

    def take(self, size: int) -> bytes:
        """Read `size` bytes.

        Raises:
            AMFError: the message is shorter.
        """
        if size > self.remaining:
            raise AMFError(
                f"AMF value cut short: {size} bytes wanted at offset {self.offset}, "
                f"{self.remaining} left"
            )
        start = self.offset
        self.offset = start + size
        return self._data[start : self.offset]

    def peek(self, size: int) -> bytes:
        """Return up to `size` bytes without reading them."""
        return self._data[self.offset : self.offset + size]

    def integer(self, size: int) -> int:
        """Read an unsigned big-endian integer of `size` bytes."""
        return int.from_bytes(self.take(size), "big")

    def double(self) -> float:
        """Read an IEEE 754 double. NaN keeps its bits."""
        number: float = struct.unpack(">d", self.take(8))[0]
        return number

    def octets(self, size: int) -> bytes:
        """Read `size` bytes of a string, XML text or byte array.

        Raises:
            AMFError: `size` is over the limit or the message is shorter.
        """
        if size > self._limits.string:
            raise AMFError(f"AMF string of {size} bytes, allowed are {self._limits.string}")
        return self.take(size)

    def text(self, size: int) -> str:
        """Read `size` bytes of UTF-8; what is not UTF-8 becomes U+FFFD."""
        return self.octets(size).decode("utf-8", "replace")

    def count(self, values: int = 1) -> None:
        """Charge `values` values.

        Raises:
            AMFError: the message holds more than the limit.
        """
        self._values += values
        if self._values > self._limits.values:
            raise AMFError(f"AMF message of more than {self._limits.values} values")

    def repeat(self, size: int) -> None:
        """Charge `size` bytes that a reference repeats.

        Raises:
            AMFError: references repeat more than the limit.
        """
        self._repeated += size
        if self._repeated > self._limits.repeated:
            raise AMFError(f"AMF references repeat more than {self._limits.repeated} bytes")

    def open(self, table: list[Referable]) -> Referable:
        """Enter a container, which takes the next place in `table`.

        Raises:
            AMFError: containers are nested deeper than the limit.
        """
        self._descend(1)
        referable = Referable(
            UNDEFINED, self._values, self.offset + self._repeated, self._deepest, complete=False
        )
        self._depth += 1
        self._deepest = self._depth
        table.append(referable)
        return referable

    def close(self, referable: Referable, value: Value) -> None:
        """Leave a container: `value` is whole and may be referred to from now on."""
        outer = referable.height
        referable.value = value
        referable.values = self._values - referable.values
        referable.size = self.offset + self._repeated - referable.size
        referable.height = self._deepest - self._depth + 1
        referable.complete = True
        self._depth -= 1
        self._deepest = max(self._deepest, outer)

    def remember(self, table: list[Referable], value: Value, size: int) -> None:
        """Put a value of `size` bytes that holds no others into `table`."""
        table.append(Referable(value, values=0, size=size, height=0, complete=True))

    def refer(self, table: list[Referable], index: int) -> Value:
        """Return the value that a reference names.

        Raises:
            AMFError: there is none, it contains the reference itself (nothing that RTMP
                carries is cyclic), or with it the message breaks a limit.
        """
        if index >= len(table):
            raise AMFError(f"AMF reference to value {index} of {len(table)}")
        referable = table[index]
        if not referable.complete:
            raise AMFError(f"AMF value {index} contains itself")
        self.count(referable.values)
        self.repeat(referable.size)
        self._descend(referable.height)
        self._deepest = max(self._deepest, self._depth + referable.height)
        return referable.value

    def _descend(self, levels: int) -> None:
        if self._depth + levels > self._limits.depth:
            raise AMFError(f"AMF values nested more than {self._limits.depth} deep")
