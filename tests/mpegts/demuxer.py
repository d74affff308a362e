"""A strict transport stream demuxer, written against ISO/IEC 13818-1 and nothing else of ours."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

PACKET = 188


class TSError(AssertionError):
    """The stream breaks a rule."""


def require(condition: object, words: str) -> None:
    """Raise TSError unless something holds."""
    if not condition:
        raise TSError(words)


@dataclass
class Packet:
    """One packet."""

    pid: int
    is_start: bool
    counter: int
    payload: bytes | None
    """None when it has none."""
    pcr: int | None = None
    """Base, in ticks of 90 kHz."""
    is_random_access: bool = False


@dataclass
class PES:
    """One PES packet."""

    pid: int
    stream_id: int
    pts: int
    dts: int
    data: bytes
    pcr: int | None
    is_random_access: bool


@dataclass
class Program:
    """What a stream holds."""

    streams: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    """stream_type and descriptors by PID."""
    pcr_pid: int = 0
    version: int = 0
    packets: list[PES] = field(default_factory=list)
    """In the order in which they begin."""
    clocks: list[tuple[int, int]] = field(default_factory=list)
    """Position among the packets and PCR."""
    tables: list[int] = field(default_factory=list)
    """Positions of the PATs."""


def parse_packet(octets: bytes) -> Packet:
    """Parse one packet."""
    require(len(octets) == PACKET and octets[0] == 0x47, "no packet")
    head = int.from_bytes(octets[1:4], "big")
    require(not head & 0x8000C0, "error, or scrambled")
    packet = Packet(head >> 8 & 0x1FFF, bool(head & 0x400000), head & 15, None)
    at = 4
    if head & 0x20:
        size = octets[4]
        require(size <= (182 if head & 0x10 else 183), f"adaptation field of {size} bytes")
        require(head & 0x10 or size == 183, "adaptation field that does not fill its packet")
        at += 1 + size
        if size:
            flags = octets[5]
            require(not flags & ~0x50, f"adaptation field flags {flags:#x}")
            used = 6
            packet.is_random_access = bool(flags & 0x40)
            if flags & 0x10:
                pcr = int.from_bytes(octets[6:12], "big")
                require(pcr >> 9 & 63 == 63 and not pcr & 0x1FF, "PCR extension")
                packet.pcr = pcr >> 15
                used = 12
            require(not octets[used:at].strip(b"\xff"), "stuffing that is not 0xff")
    require(head & 0x30, "reserved adaptation_field_control")
    if head & 0x10:
        packet.payload = octets[at:]
        require(packet.payload, "payload of no bytes")
    return packet


def crc(content: bytes) -> int:
    """Compute the CRC bit by bit, as annex A draws it."""
    register = 0xFFFFFFFF
    for octet in content:
        for bit in range(7, -1, -1):
            feedback = register >> 31 ^ octet >> bit & 1
            register = register << 1 & 0xFFFFFFFF ^ (0x04C11DB7 if feedback else 0)
    return register


def parse_section(payload: bytes, table_id: int) -> tuple[int, int, bytes]:
    """Return table_id_extension, version and content of a section that fills a packet."""
    require(payload[0] == 0 and payload[1] == table_id, "another table")
    size = int.from_bytes(payload[2:4], "big")
    require(size >> 12 == 0xB and size & 0xFFF < 1022, "section_length")
    section = payload[1 : 4 + (size & 0xFFF)]
    require(not payload[4 + (size & 0xFFF) :].strip(b"\xff"), "bytes behind a section")
    require(crc(section) == 0, "CRC")
    require(section[5] & 0xC1 == 0xC1 and section[6:8] == bytes(2), "current, only section")
    return int.from_bytes(section[3:5], "big"), section[5] >> 1 & 31, section[8:-4]


def parse_pes(pid: int, first: Packet, octets: bytes) -> PES:
    """Parse one PES packet."""
    require(octets[:3] == b"\0\0\1", "packet_start_code_prefix")
    size = int.from_bytes(octets[4:6], "big")
    require(size == len(octets) - 6 or (size == 0 and octets[3] >> 4 == 0xE), "PES size")
    require(octets[6] == 0x84, "PES flags")
    require(octets[7] in (0x80, 0xC0), "PTS_DTS_flags")
    times = [octets[9:14]] + ([octets[14:19]] if octets[7] == 0xC0 else [])
    require(octets[8] == 5 * len(times), "PES_header_data_length")
    ticks = []
    for time, prefix in zip(times, (3, 1) if len(times) == 2 else (2,), strict=True):
        number = int.from_bytes(time, "big")
        require(number >> 36 == prefix, "prefix of a timestamp")
        require(number & 0x100010001 == 0x100010001, "marker bits")
        ticks.append(
            (number >> 33 & 7) << 30 | (number >> 17 & 0x7FFF) << 15 | number >> 1 & 0x7FFF
        )
    data = octets[9 + octets[8] :]
    return PES(pid, octets[3], ticks[0], ticks[-1], data, first.pcr, first.is_random_access)


def _packets(stream: bytes) -> Iterator[Packet]:
    require(len(stream) % PACKET == 0, "a packet is cut short")
    for at in range(0, len(stream), PACKET):
        yield parse_packet(stream[at : at + PACKET])


def demux(segments: Sequence[bytes]) -> list[Program]:
    """Demux consecutive segments, each by itself, with counters that go on through all."""
    counters: dict[int, int] = {}
    return [_demux(segment, counters) for segment in segments]


def _demux(segment: bytes, counters: dict[int, int]) -> Program:
    program = Program()
    pmt_pid = None
    open_: dict[int, tuple[int, Packet, list[bytes]]] = {}
    done: dict[int, PES] = {}
    for position, packet in enumerate(_packets(segment)):
        pid = packet.pid
        due = counters.get(pid, 15) + (packet.payload is not None) & 15
        require(packet.counter == due, f"PID {pid:#x}: counter {packet.counter} in place of {due}")
        counters[pid] = packet.counter
        if packet.pcr is not None:
            require(pid == program.pcr_pid, "PCR on another PID")
            program.clocks.append((position, packet.pcr))
        if packet.payload is None:
            continue
        if pid == 0:
            require(packet.is_start, "PAT")
            _, _, content = parse_section(packet.payload, 0)
            require(len(content) == 4, "more than one program")
            pmt_pid = int.from_bytes(content[2:], "big") & 0x1FFF
            program.tables.append(position)
        elif pid == pmt_pid:
            _read_pmt(program, packet.payload)
        elif packet.is_start:
            require(pid in program.streams, f"PID {pid:#x} is not in the PMT")
            if pid in open_:
                place, first, pieces = open_.pop(pid)
                done[place] = parse_pes(pid, first, b"".join(pieces))
            open_[pid] = (position, packet, [packet.payload])
        else:
            open_[pid][2].append(packet.payload)
    for pid, (place, first, pieces) in open_.items():
        done[place] = parse_pes(pid, first, b"".join(pieces))
    program.packets = [done[place] for place in sorted(done)]
    return program


def _read_pmt(program: Program, payload: bytes) -> None:
    _, version, content = parse_section(payload, 2)
    streams = {}
    require(content[2:4] == b"\xf0\0", "program_info_length")
    at = 4
    while at < len(content):
        pid, size = (int.from_bytes(content[at + 1 + k : at + 3 + k], "big") for k in (0, 2))
        streams[pid & 0x1FFF] = (content[at], content[at + 5 : at + 5 + (size & 0xFFF)])
        at += 5 + (size & 0xFFF)
    require(not program.streams or program.streams == streams, "the PMT changed in a segment")
    program.streams = streams
    program.pcr_pid = int.from_bytes(content[:2], "big") & 0x1FFF
    program.version = version
