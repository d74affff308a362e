"""SCTE 35 sections for tests: known ones, and any others. Shares no code with the reader."""

import struct

SPLICE_INSERT_OUT = bytes.fromhex(
    "fc302f000000000000fffff014054800008f7feffe7369c02efe0052ccf500000000000a0008435545490000013562dba30a"
)
"""SCTE 35 section 14.2: out of the network, with a break duration."""
TIME_SIGNAL_START = bytes.fromhex(
    "fc3034000000000000fffff00506fe72bd0050001e021c435545494800008e7fcf0001a599b00808000000002ca0a18a3402009ac9d17e"
)
"""Section 14.1: the start of a placement opportunity."""
TIME_SIGNAL_END = bytes.fromhex(
    "fc302f000000000000fffff00506fe746290a000190217435545494800008e7f9f0808000000002ca0a18a350200a9cc6758"
)
"""Section 14.3: its end."""


def crc(octets: bytes) -> bytes:
    """Return the CRC, bit by bit."""
    value = 0xFFFFFFFF
    for octet in octets:
        for bit in range(7, -1, -1):
            top = value >> 31 ^ (octet >> bit & 1)
            value = value << 1 & 0xFFFFFFFF ^ (0x04C11DB7 if top else 0)
    return struct.pack(">I", value)


def section(
    command: int,
    body: bytes,
    descriptors: bytes = b"",
    *,
    version: int = 0,
    encrypted: bool = False,
    length: int | None = None,
) -> bytes:
    """Return a section with a command of any content."""
    size = len(body) if length is None else length
    content = (
        bytes((version, encrypted << 7))
        + bytes(5)
        + (0xFFF << 12 | size).to_bytes(3, "big")
        + bytes((command,))
        + body
        + struct.pack(">H", len(descriptors))
        + descriptors
    )
    head = b"\xfc" + struct.pack(">H", 0x3000 | len(content) + 4)
    return head + content + crc(head + content)


def splice_insert(
    event_id: int,
    *,
    out: bool,
    seconds: int | None = None,
    immediate: bool = False,
    components: int = 0,
) -> bytes:
    """Return a section with a splice_insert."""
    flags = out << 7 | (not components) << 6 | (seconds is not None) << 5 | immediate << 4 | 15
    body = struct.pack(">IBB", event_id, 0x7F, flags)
    time = b"\xfe\0\1\2\3"
    if components:
        body += bytes((components,)) + b"".join(bytes((tag,)) + time for tag in range(components))
    elif not immediate:
        body += time
    if seconds is not None:
        body += (0xFE << 32 | seconds * 90_000).to_bytes(5, "big")
    return section(5, body + bytes(4))


def segmentation(event_id: int, kind: int, *, seconds: int | None = None) -> bytes:
    """Return a segmentation_descriptor."""
    has_duration = seconds is not None
    body = b"CUEI" + struct.pack(">IBB", event_id, 0x7F, 0x9F | has_duration << 6)
    if seconds is not None:
        body += (seconds * 90_000).to_bytes(5, "big")
    body += b"\x08\x08" + bytes(8) + bytes((kind, 1, 1))
    return bytes((2, len(body))) + body


def time_signal(*descriptors: bytes) -> bytes:
    """Return a section with a time_signal."""
    return section(6, b"\xfe\0\1\2\3", b"".join(descriptors))
