"""Audio sample entries (ISO/IEC 14496-12 section 12.2.3) and the esds box (14496-14 5.6)."""

import struct

from rapidrtmp.isobmff.box import box, full_box

_ES_DESCRIPTOR, _DECODER_CONFIG, _DECODER_SPECIFIC, _SL_CONFIG = 3, 4, 5, 6
_AUDIO_STREAM = 5 << 2 | 1
_DATA_REFERENCE = 1
_MAX_RATE = 0xFFFF


def audio_sample_entry(
    type: bytes, channels: int, sample_rate: int, *boxes: bytes, sample_size: int = 16
) -> bytes:
    """Return a whole audio sample entry box.

    Args:
        type: the four bytes that name the coding.
        channels: number of output channels.
        sample_rate: output rate in Hz; written as 0 where 16 bits cannot hold it, the codec's
            own box has it then.
        boxes: what describes the codec.
        sample_size: bits a sample; 16 wherever the codec's specification says no other.
    """
    rate = sample_rate if sample_rate <= _MAX_RATE else 0
    head = struct.pack(">6xH8xHH4xI", _DATA_REFERENCE, channels, sample_size, rate << 16)
    return box(type, head, *boxes)


def esds(object_type: int, specific: bytes = b"") -> bytes:
    """Return the box that describes an MPEG audio stream.

    Args:
        object_type: objectTypeIndication (ISO/IEC 14496-1 table 5).
        specific: content of the DecoderSpecificInfo; without any there is no such descriptor.
    """
    # buffer size and bit rates are not known of a live stream: 0
    decoder = [struct.pack(">BB3xII", object_type, _AUDIO_STREAM, 0, 0)]
    if specific:
        decoder.append(_descriptor(_DECODER_SPECIFIC, specific))
    elementary = _descriptor(
        _ES_DESCRIPTOR,
        bytes(3),
        _descriptor(_DECODER_CONFIG, *decoder),
        _descriptor(_SL_CONFIG, b"\2"),
    )
    return full_box(b"esds", 0, 0, elementary)


def _descriptor(tag: int, *parts: bytes) -> bytes:
    """Return a descriptor with its size in the expandable form of 4 bytes (14496-1 8.3.3)."""
    size = sum(map(len, parts))
    sizes = (0x80 | size >> 21 & 0x7F, 0x80 | size >> 14 & 0x7F, 0x80 | size >> 7 & 0x7F)
    return bytes((tag, *sizes, size & 0x7F)) + b"".join(parts)


def as_it_is(sample: bytes | memoryview, is_start: bool) -> bytes:
    """Carry frames that find each other by themselves (`ElementaryStream.byte_stream`)."""
    return bytes(sample)
