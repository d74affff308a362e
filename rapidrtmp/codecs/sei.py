"""Closed captions in supplemental enhancement information (H.264 annex D, H.265 annex D)."""

import struct
from collections.abc import Collection, Iterator

from rapidrtmp.codecs.nal_unit import unescaped
from rapidrtmp.media.captions import cc_data

MAX_SEI = 8192
"""Bytes of a NAL unit that is searched: captions of one picture are under 110."""
MAX_NAL_UNITS = 64
"""That are looked at in front of the first slice."""

_USER_DATA_REGISTERED = 4
"""payloadType of user data registered by ITU-T T.35."""
_SKIP, _SEI, _SLICE = range(3)
_LENGTH_AND_HEADER = struct.Struct(">IB").unpack_from


class CaptionFinder:
    """Finds what stands before the first slice of an access unit; mostly there is nothing."""

    def __init__(self, shift: int, mask: int, sei: int, slices: Collection[int], size: int) -> None:
        """Make one for a codec.

        Args:
            shift: of the NAL unit type in the first byte of a header.
            mask: for the type, once shifted.
            sei: type of the NAL unit that is searched.
            slices: types of slices.
            size: bytes of a header.
        """
        types = (header >> shift & mask for header in range(256))
        self._actions = bytes(
            _SEI if kind == sei else _SLICE if kind in slices else _SKIP for kind in types
        )
        self._size = size

    def find(self, payload: bytes | memoryview) -> bytes:
        """Return the triplets of ``cc_data()`` in a sample, whose lengths have 4 bytes."""
        position = 0
        last = len(payload) - 5
        found = b""
        for _ in range(MAX_NAL_UNITS):
            if position > last:
                break
            length, header = _LENGTH_AND_HEADER(payload, position)
            action = self._actions[header]
            if action == _SLICE:
                break
            end = position + 4 + length
            if action == _SEI and length <= MAX_SEI:
                unit = unescaped(bytes(payload[position + 4 + self._size : end]))
                for message in _user_data(unit):
                    found += cc_data(message)
            position = end
        return found


def _user_data(messages: bytes) -> Iterator[bytes]:
    """Give the payloads of user data in SEI messages (H.264 section 7.3.2.3.1)."""
    position = 0
    last = len(messages) - 2  # behind them are the trailing bits
    while position < last:
        fields = []
        for _ in range(2):
            value = 0
            while position <= last and messages[position] == 0xFF:
                value += 0xFF
                position += 1
            value += messages[position] if position <= last else 0
            position += 1
            fields.append(value)
        kind, size = fields
        if kind == _USER_DATA_REGISTERED:
            yield messages[position : position + size]
        position += size
