"""A short recording: H.264 and AAC as FLV tags."""

from benchmarks.sample import Tag
from tests.codecs.builders import SPS, avcc, pps, prefixed

SECONDS = 2
SIZE = 5000
"""Bytes of a key frame: more than a chunk."""


def recording() -> list[Tag]:
    """Return two seconds: 25 pictures a second, the first one a key frame, and sound."""
    config = avcc([SPS(level=31).nal_unit()], [pps()])
    tags = [Tag(9, 0, b"\x17\x00\x00\x00\x00" + config), Tag(8, 0, b"\xaf\x00\x11\x90")]
    key, other = b"\x65\x88\x80" + bytes(SIZE), b"\x41\x9a\x80" + bytes(100)
    for number in range(25 * SECONDS):
        slice_ = prefixed(other if number else key)
        head = b"\x27\x01\x00\x00\x00" if number else b"\x17\x01\x00\x00\x00"
        tags.append(Tag(9, 40 * number, head + slice_))
        tags += [Tag(8, 40 * number + step, b"\xaf\x01" + bytes(60)) for step in (5, 25)]
    return tags
