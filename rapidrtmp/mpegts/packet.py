"""Transport stream packets (ISO/IEC 13818-1 sections 2.4.3.2 to 2.4.3.5)."""

import struct

PACKET = 188
ROOM = 184
"""Bytes of a packet behind its header."""
MIN_PAYLOAD = 16
"""Bytes that the last payload of a PID in a segment must have at least."""
CYCLE = 16
"""Values of continuity_counter."""

_HEADER = struct.Struct(">BHB").pack
_SYNC_BYTE = 0x47
_UNIT_START = 0x4000
_ADAPTATION = 0x20
_PAYLOAD = 0x10

# flags of the adaptation field (2.4.3.4)
_RANDOM_ACCESS = 0x40
_PCR = 0x10


class PacketWriter:
    """Writes the packets of one PID.

    Its continuity counter begins at 0 and, after a payload that is said to be the last, is
    there again. So segments that are made apart, in any order, continue each other.
    """

    __slots__ = ("_counter", "_headers", "_pid")

    def __init__(self, pid: int) -> None:
        """Make a writer for a PID of 13 bits."""
        self._pid = pid
        self._counter = 0
        self._headers = [_HEADER(_SYNC_BYTE, pid, _PAYLOAD | count) for count in range(CYCLE)]

    def write(
        self,
        out: list[bytes],
        payload: bytes,
        *,
        pcr: int | None = None,
        is_random_access: bool = False,
        is_last: bool = False,
    ) -> None:
        """Write a payload that starts in a packet and fills up its last one.

        Args:
            out: gets the packets.
            payload: a PES packet; one that is the last has at least `MIN_PAYLOAD` bytes.
            pcr: program_clock_reference_base, 33 bits; None for none.
            is_random_access: random_access_indicator.
            is_last: spread it over as many packets as bring the counter back to 0.
        """
        fields = b""
        if pcr is not None:
            flags = _PCR | (_RANDOM_ACCESS if is_random_access else 0)
            fields = bytes((flags,)) + _pcr_field(pcr)
        elif is_random_access:
            fields = bytes((_RANDOM_ACCESS,))
        room = ROOM - (len(fields) + 1 if fields else 0)
        size = len(payload)
        packets = 1 + max(0, -((room - size) // ROOM))
        if is_last and (spread := -(self._counter + packets) % CYCLE):
            self._spread(out, payload, fields, room, packets + spread)
            return
        first = min(size, room)
        out.append(self._padded(_UNIT_START, fields, payload[:first]))
        full = size - (size - first) % ROOM
        headers, counter = self._headers, self._counter
        out += [
            headers[(counter + number) % CYCLE] + payload[position : position + ROOM]
            for number, position in enumerate(range(first, full, ROOM))
        ]
        self._counter = (counter + (full - first) // ROOM) % CYCLE
        if full < size:
            out.append(self._padded(0, b"", payload[full:]))

    def write_clock(self, out: list[bytes], pcr: int) -> None:
        """Write a packet of a PCR and no payload. The counter stays."""
        counter = (self._counter - 1) % CYCLE
        field = bytes((ROOM - 1, _PCR)) + _pcr_field(pcr)
        header = _HEADER(_SYNC_BYTE, self._pid, _ADAPTATION | counter)
        out.append(header + field.ljust(ROOM, b"\xff"))

    def _spread(
        self, out: list[bytes], payload: bytes, fields: bytes, room: int, packets: int
    ) -> None:
        """Write a payload in more packets than it needs.

        Args:
            out: gets them.
            payload: has at least a byte for each.
            fields: of the first one's adaptation field.
            room: for payload in the first one.
            packets: how many.
        """
        end = min(room, len(payload) // packets)
        out.append(self._padded(_UNIT_START, fields, payload[:end]))
        for left in range(packets - 1, 0, -1):
            start = end
            end += -(-(len(payload) - start) // left)
            out.append(self._padded(0, b"", payload[start:end]))

    def _padded(self, start: int, fields: bytes, payload: bytes) -> bytes:
        """Return one packet, filled up by its adaptation field, where it has one.

        Args:
            start: payload_unit_start_indicator, at its place.
            fields: of the adaptation field: its flags and what they announce.
            payload: at least a byte.
        """
        counter = self._counter
        self._counter = (counter + 1) % CYCLE
        size = ROOM - len(payload)
        if not size:
            return _HEADER(_SYNC_BYTE, start | self._pid, _PAYLOAD | counter) + payload
        header = _HEADER(_SYNC_BYTE, start | self._pid, _ADAPTATION | _PAYLOAD | counter)
        field = bytes((size - 1,))
        if size > 1:
            field = (field + (fields or b"\0")).ljust(size, b"\xff")
        return header + field + payload


def _pcr_field(base: int) -> bytes:
    """Return a program clock reference without an extension (2.4.2.2)."""
    return (base << 15 | 0x7E00).to_bytes(6, "big")
