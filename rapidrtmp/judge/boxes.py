"""Reads boxes (ISO/IEC 14496-12 section 4.2). Shares no code with what writes them."""

import struct
from dataclasses import dataclass, field

MAX_BOXES = 10_000
"""In one container: far above what media has."""

_HEADER = 8


class Fault(Exception):
    """The media breaks a rule so that it cannot be read on."""

    def __init__(self, rule: str, words: str) -> None:
        super().__init__(words)
        self.rule = rule
        """Name of the rule."""
        self.words = words


@dataclass(slots=True)
class Box:
    """One box."""

    type: str
    start: int
    """Its place in the file."""
    content: memoryview = field(repr=False)
    header: int = _HEADER
    """Bytes of size and type."""

    @property
    def end(self) -> int:
        """The place behind it in the file."""
        return self.start + self.header + len(self.content)

    def children(self, skip: int = 0) -> list["Box"]:
        """Read the boxes inside, behind `skip` bytes.

        Raises:
            Fault: they do not fill the box.
        """
        if skip > len(self.content):
            raise Fault("box-structure", f"{self.type} of {len(self.content)} bytes is too short")
        return read_boxes(self.content[skip:], self.start + self.header + skip, self.type)

    def find(self, *path: str) -> "Box | None":
        """Return the first box of each type in turn, going inwards.

        Raises:
            Fault: boxes on the way do not fill what they are in.
        """
        box: Box | None = self
        for type_ in path:
            if box is None:
                return None
            box = next((child for child in box.children() if child.type == type_), None)
        return box

    def numbers(self, layout: str, offset: int = 0) -> tuple[int, ...]:
        """Unpack big-endian numbers.

        Raises:
            Fault: the box is too short.
        """
        size = struct.calcsize(f">{layout}")
        if len(self.content) < offset + size:
            raise Fault("box-structure", f"{self.type} of {len(self.content)} bytes is too short")
        numbers: tuple[int, ...] = struct.unpack_from(f">{layout}", self.content, offset)
        return numbers

    @property
    def version(self) -> int:
        """Of a full box."""
        return self.numbers("B")[0]

    @property
    def flags(self) -> int:
        """Of a full box."""
        return self.numbers("I")[0] & 0xFFFFFF


def read_boxes(octets: bytes | memoryview, start: int = 0, inside: str = "the file") -> list[Box]:
    """Read boxes that must fill `octets`.

    Args:
        octets: one or more boxes.
        start: the place of `octets` in the file.
        inside: what they are in, for the words of a fault.

    Raises:
        Fault: they do not fill it.
    """
    view = memoryview(octets)
    boxes: list[Box] = []
    at, end = 0, len(view)
    while at < end:
        if len(boxes) == MAX_BOXES:
            raise Fault("box-bounds", f"more than {MAX_BOXES} boxes in {inside}")
        if end - at < _HEADER:
            raise Fault("box-structure", f"{end - at} stray bytes at the end of {inside}")
        size, name = struct.unpack_from(">I4s", view, at)
        header = _HEADER
        if size == 1:
            header = 16
            if end - at < header:
                raise Fault("box-structure", f"a box is cut at the end of {inside}")
            (size,) = struct.unpack_from(">Q", view, at + _HEADER)
        elif size == 0:
            size = end - at  # up to the end
        type_ = name.decode("latin-1")
        if size < header or size > end - at:
            rule = "mdat-cut" if type_ == "mdat" else "box-structure"
            words = f"{type_!a} at {start + at} has size {size}, {end - at} bytes are left"
            raise Fault(rule, f"{words} in {inside}")
        boxes.append(Box(type_, start + at, view[at + header : at + size], header))
        at += size
    return boxes
