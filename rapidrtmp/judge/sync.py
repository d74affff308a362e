"""Whether a decoder can start at a sample, as the sample itself says."""

from collections.abc import Callable

from rapidrtmp.judge.boxes import Fault

_H264_IDR = 5
_H264_SLICES = range(1, 6)
_H265_IRAP = range(16, 22)
_H265_SLICES = range(32)
_AV1_SEQUENCE_HEADER = 1
_AV1_FRAMES = (3, 6)
_MAX_NAL_UNITS = 5000


def can_start(entry: str, nal_length_size: int, payload: memoryview) -> bool | None:
    """Tell whether a decoder can start at a sample; None where it does not tell.

    Args:
        entry: type of the sample entry.
        nal_length_size: bytes of the lengths of NAL units.
        payload: the sample.

    Raises:
        Fault: the lengths of NAL units do not fill the sample.
    """
    if entry in ("avc1", "avc3"):
        return _first(
            payload, nal_length_size, lambda octet: octet & 0x1F, _H264_SLICES, (_H264_IDR,)
        )
    if entry in ("hvc1", "hev1"):
        return _first(
            payload, nal_length_size, lambda octet: octet >> 1 & 0x3F, _H265_SLICES, _H265_IRAP
        )
    if entry == "av01":
        return _av1(payload)
    if entry == "vp09" and payload:
        return _vp9(payload)
    return None


def _first(
    payload: memoryview,
    length_size: int,
    type_of: Callable[[int], int],
    slices: range,
    starts: range | tuple[int, ...],
) -> bool | None:
    """Walk all NAL units, so that their lengths are checked; the first slice tells."""
    at = 0
    told: bool | None = None
    for _ in range(_MAX_NAL_UNITS):
        if at == len(payload):
            return told
        size = int.from_bytes(payload[at : at + length_size], "big")
        at += length_size
        if not 0 < size <= len(payload) - at:
            left = max(len(payload) - at, 0)
            raise Fault("nal-length", f"a NAL unit of {size} bytes, {left} are left")
        type_ = type_of(payload[at])
        if told is None and type_ in slices:
            told = type_ in starts
        at += size
    raise Fault("box-bounds", f"more than {_MAX_NAL_UNITS} NAL units in a sample")


def _av1(payload: memoryview) -> bool | None:
    """A sync sample has a sequence header and a key frame that is shown (AV1 in ISOBMFF 2.4)."""
    at = 0
    has_sequence = False
    while at < len(payload):
        head = payload[at]
        type_ = head >> 3 & 15
        at += 2 if head & 4 else 1
        size = len(payload) - at
        if head & 2:
            size = 0
            for shift in range(0, 56, 7):
                if at >= len(payload):
                    raise Fault("nal-length", "an OBU's size is cut")
                octet = payload[at]
                at += 1
                size |= (octet & 0x7F) << shift
                if not octet & 0x80:
                    break
        if not 0 <= size <= len(payload) - at:
            raise Fault("nal-length", f"an OBU of {size} bytes, {len(payload) - at} are left")
        if type_ == _AV1_SEQUENCE_HEADER:
            has_sequence = True
        elif type_ in _AV1_FRAMES and size:
            # show_existing_frame 0, frame_type KEY_FRAME, show_frame 1 (5.9.2)
            return has_sequence and payload[at] >> 4 == 1
        at += size
    return None


def _vp9(payload: memoryview) -> bool | None:
    """Bits of the uncompressed header: marker, profile, show_existing_frame, frame_type (6.2)."""
    bits = f"{payload[0]:08b}"
    if bits[:2] != "10":
        return None
    at = 5 if bits[2:4] == "11" else 4
    return bits[at] == "0" and bits[at + 1] == "0"
