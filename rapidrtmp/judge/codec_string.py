"""Which CODECS strings a sample entry may have (RFC 6381; 14496-15 annex E; codecs' own texts)."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from rapidrtmp.judge.boxes import Box, Fault
from rapidrtmp.media.bits import BitReader, BitstreamError

VISUAL_HEAD, AUDIO_HEAD = 78, 28
"""Bytes of a sample entry before its boxes (12.1.3, 12.2.3)."""

_ES, _DECODER_CONFIG, _DECODER_SPECIFIC = 3, 4, 5
_MPEG4_AUDIO = 0x40
_MP3 = (0x69, 0x6B)
_ESCAPE = 31
_SBR = 5
_PS = 29


@dataclass(frozen=True, slots=True)
class Strings:
    """What CODECS may say of a sample entry."""

    exact: str
    """What it says best."""
    pattern: str
    """Regular expression of all that is right."""

    def fits(self, text: str) -> bool:
        """Tell whether a string of CODECS is right."""
        return re.fullmatch(self.pattern, text) is not None


def codec_strings(entry: Box, kind: str) -> Strings:
    """Return the strings of a sample entry; one that nobody knows is called by its type.

    Args:
        entry: the box in stsd.
        kind: handler type, 'vide' or 'soun'.

    Raises:
        Fault: it has no configuration, or that cannot be read.
    """
    row = _ENTRIES.get(entry.type)
    if row is None:
        return _only(entry.type.strip())
    name, strings = row
    head = VISUAL_HEAD if kind == "vide" else AUDIO_HEAD
    boxes = [box for box in entry.children(head) if box.type == name]
    if len(boxes) != 1:
        raise Fault("sample-entry", f"{len(boxes)} {name} boxes in {entry.type}, not one")
    try:
        return strings(entry.type, boxes[0])
    except (BitstreamError, IndexError) as error:
        raise Fault("sample-entry", f"{name} cannot be read: {error}") from error


def _only(text: str, *others: str) -> Strings:
    return Strings(text, "|".join(map(re.escape, (text, *others))))


def _avc(type_: str, box: Box) -> Strings:
    version, *three = box.numbers("4B")
    if version != 1:
        raise Fault("sample-entry", f"avcC of version {version}")
    digits = bytes(three).hex()
    # hexadecimal digits are the same in both cases
    return Strings(f"{type_}.{digits}", f"{type_}\\.(?i:{digits})")


def _hevc(type_: str, box: Box) -> Strings:
    _, first, compatibility = box.numbers("BBI")
    constraints = list(box.numbers("6B", 6))
    (level,) = box.numbers("B", 12)
    while constraints and not constraints[-1]:
        constraints.pop()
    space = ("", "A", "B", "C")[first >> 6]
    reversed_ = int(f"{compatibility:032b}"[::-1], 2)
    text = f"{type_}.{space}{first & 31}.{reversed_:X}.{'H' if first & 32 else 'L'}{level}"
    text += "".join(f".{number:X}" for number in constraints)
    return Strings(text, f"(?i:{re.escape(text)})(?:\\.0)*")


def _av1(type_: str, box: Box) -> Strings:
    marker, second, third = box.numbers("3B")
    if marker != 0x81:
        raise Fault("sample-entry", f"av1C begins with {marker:#04x}")
    high, twelve, mono = third >> 6 & 1, third >> 5 & 1, third >> 4 & 1
    depth = 12 if high and twelve else 10 if high else 8
    text = f"av01.{second >> 5}.{second & 31:02d}{'H' if third >> 7 else 'M'}.{depth:02d}"
    chroma = f"{third >> 3 & 1}{third >> 2 & 1}{third & 3 if third & 0xC == 0xC else 0}"
    # the colour is optional, all of it or nothing
    color = rf"(?:\.{mono}\.{chroma}\.\d\d\.\d\d\.\d\d\.[01])?"
    return Strings(text, re.escape(text) + color)


def _vp9(type_: str, box: Box) -> Strings:
    profile, level, packed, primaries, transfer, matrix = box.numbers("6B", 4)
    text = f"vp09.{profile:02d}.{level:02d}.{packed >> 4:02d}"
    chroma, full = packed >> 1 & 7, packed & 1
    color = "".join(f"\\.{n:02d}" for n in (chroma, primaries, transfer, matrix, full))
    return Strings(text, f"{re.escape(text)}(?:{color})?")


def _mp4a(type_: str, box: Box) -> Strings:
    descriptors = _descriptors(bytes(box.content[4:]))
    es = descriptors.get(_ES, b"")
    flags = es[2]
    at = 3 + (2 if flags & 0x80 else 0) + (2 if flags & 0x20 else 0)
    if flags & 0x40:
        at += 1 + es[at]
    config = _descriptors(es[at:]).get(_DECODER_CONFIG, b"")
    object_type = config[0]
    if object_type in _MP3:
        return _only(f"mp4a.{object_type:02X}", f"mp4a.{object_type:02x}", "mp4a.40.34", "mp3")
    if object_type != _MPEG4_AUDIO:
        return Strings(f"mp4a.{object_type:02X}", f"mp4a\\.(?i:{object_type:02x})")
    specific = _descriptors(config[13:]).get(_DECODER_SPECIFIC, b"")
    reader = BitReader(specific)
    audio = reader.read(5)
    if audio == _ESCAPE:
        audio = 32 + reader.read(6)
    # signalled by what stands behind, SBR may be told or not
    others = ("mp4a.40.5", "mp4a.40.29") if audio == 2 and b"\x56\xe5" in specific else ()
    if audio in (_SBR, _PS):
        others = ("mp4a.40.5", "mp4a.40.29") if audio == _PS else ()
    return _only(f"mp4a.40.{audio}", *others)


def _descriptors(octets: bytes) -> dict[int, bytes]:
    """Split descriptors with expandable sizes (14496-1 8.3.3); the first of each tag counts."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(octets):
        tag = octets[at]
        at += 1
        size = 0
        for _ in range(4):
            octet = octets[at]
            at += 1
            size = size << 7 | octet & 0x7F
            if not octet & 0x80:
                break
        if at + size > len(octets):
            raise IndexError("a descriptor runs over the end")
        found.setdefault(tag, octets[at : at + size])
        at += size
    return found


def _opus(type_: str, box: Box) -> Strings:
    version, channels = box.numbers("BB")
    if version or not channels:
        raise Fault("sample-entry", f"dOps of version {version}, {channels} channels")
    return _only("opus", "Opus", "mp4a.ad", "mp4a.AD")


def _flac(type_: str, box: Box) -> Strings:
    head, length = box.numbers("BB", 4)[0], box.numbers("I", 4)[0] & 0xFFFFFF
    if head & 0x7F or length != 34 or len(box.content) < 42:
        raise Fault("sample-entry", "dfLa does not begin with STREAMINFO")
    return _only("fLaC", "flac")


def _ac3(type_: str, box: Box) -> Strings:
    box.numbers("3B")
    return _only("ac-3", "mp4a.a5", "mp4a.A5")


def _eac3(type_: str, box: Box) -> Strings:
    box.numbers("5B")
    return _only("ec-3", "mp4a.a6", "mp4a.A6")


_ENTRIES: dict[str, tuple[str, Callable[[str, Box], Strings]]] = {
    "avc1": ("avcC", _avc),
    "avc3": ("avcC", _avc),
    "hvc1": ("hvcC", _hevc),
    "hev1": ("hvcC", _hevc),
    "av01": ("av1C", _av1),
    "vp09": ("vpcC", _vp9),
    "mp4a": ("esds", _mp4a),
    "Opus": ("dOps", _opus),
    "fLaC": ("dfLa", _flac),
    "ac-3": ("dac3", _ac3),
    "ec-3": ("dec3", _eac3),
}
