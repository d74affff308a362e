"""Movie fragments: moof and mdat of one track (ISO/IEC 14496-12 section 8.8)."""

import struct
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import sub

from rapidrtmp.isobmff.box import box
from rapidrtmp.media.track import Sample, Track

_STYP = box(b"styp", b"msdh", bytes(4), b"msdh", b"iso6")

# sample_depends_on and sample_is_non_sync_sample (8.8.3.1)
_SYNC = 0x02000000
_NON_SYNC = 0x01010000

# tfhd flags (8.8.7)
_DEFAULT_BASE_IS_MOOF = 0x020000
_DEFAULT_DURATION = 0x08
_DEFAULT_FLAGS = 0x20

# trun flags (8.8.8)
_DATA_OFFSET = 0x001
_FIRST_SAMPLE_FLAGS = 0x004
_DURATION = 0x100
_SIZE = 0x200
_FLAGS = 0x400
_COMPOSITION_OFFSET = 0x800

_MOOF, _MFHD, _TRAF, _TFHD, _TFDT, _TRUN, _MDAT = (
    int.from_bytes(type, "big")
    for type in (b"moof", b"mfhd", b"traf", b"tfhd", b"tfdt", b"trun", b"mdat")
)
_BOX_HEADER = 8
_FULL_HEADER = 12  # with version and flags
_MFHD_SIZE = 16
_TFDT_SIZE = 20  # of version 1: 64 bits
_TRUN_HEADER = 20  # box header, version and flags, sample_count, data_offset
_MAX_U32 = 0xFFFFFFFF
_MIN_I32 = -0x80000000
_MAX_I32 = 0x7FFFFFFF
_IS_NON_SYNC = 0x00010000


def media_segment(
    track: Track,
    sequence: int,
    samples: Sequence[Sample],
    end_dts: int,
    messages: Sequence[bytes] = (),
) -> bytes:
    """Return a Media Segment, or the first chunk of one: styp, `messages` and one fragment.

    Takes and raises what `fragment` does. The payloads are copied once, here.
    """
    return b"".join((_STYP, *messages, *fragment(track, sequence, samples, end_dts)))


def chunk(
    track: Track,
    sequence: int,
    samples: Sequence[Sample],
    end_dts: int,
    messages: Sequence[bytes] = (),
) -> bytes:
    """Return a further chunk of a Media Segment, as `media_segment` does the first."""
    return b"".join((*messages, *fragment(track, sequence, samples, end_dts)))


def fragment(
    track: Track, sequence: int, samples: Sequence[Sample], end_dts: int
) -> tuple[bytes | memoryview, ...]:
    """Return one moof and mdat as pieces to be joined; no payload is copied.

    Args:
        track: the one that all samples belong to.
        sequence: sequence number of the fragment, 32 bits, rising within the track.
        samples: in decoding order. Each lasts until the decoding time of the next.
        end_dts: when the last sample ends, in ticks of the track: the decoding time of
            the sample that follows the fragment.

    Raises:
        ValueError: there is no sample, or a number does not fit its field: `sequence`,
            a negative first decoding time, a duration or a composition offset.
    """
    if not samples:
        raise ValueError("a fragment needs a sample")
    start = samples[0].dts
    if start < 0:
        raise ValueError(f"decoding time {start} is negative")
    if not 0 <= sequence <= _MAX_U32:
        raise ValueError(f"fragment sequence number {sequence} does not fit 32 bits")

    # What all samples have in common is said once in tfhd; the rest are columns of trun.
    tfhd_flags = _DEFAULT_BASE_IS_MOOF
    trun_flags = _DATA_OFFSET | _SIZE
    defaults = [track.track_id]
    columns: list[list[int]] = []
    first_sample_flags: list[int] = []

    times = [sample.dts for sample in samples]
    times.append(end_dts)
    durations = list(map(sub, times[1:], times))
    shortest, longest = min(durations), max(durations)
    if shortest < 0 or longest > _MAX_U32:
        raise ValueError(f"durations {shortest} to {longest} do not fit 32 bits")
    if shortest == longest:
        tfhd_flags |= _DEFAULT_DURATION
        defaults.append(shortest)
    else:
        trun_flags |= _DURATION
        columns.append(durations)

    payloads = [sample.payload for sample in samples]
    sizes = list(map(len, payloads))
    columns.append(sizes)

    flags = [_SYNC if sample.is_sync else _NON_SYNC for sample in samples]
    tail = flags[-1]
    same = flags.count(tail)
    if same == len(flags) or (same == len(flags) - 1 and flags[0] != tail):  # the latter: one GOP
        tfhd_flags |= _DEFAULT_FLAGS
        defaults.append(tail)
        if same < len(flags):
            trun_flags |= _FIRST_SAMPLE_FLAGS
            first_sample_flags.append(flags[0])
    else:
        trun_flags |= _FLAGS
        columns.append(flags)

    trun_version = 0
    offsets = [sample.composition_offset for sample in samples]
    if any(offsets):
        trun_flags |= _COMPOSITION_OFFSET
        trun_version, offsets = _composition_offsets(offsets)
        columns.append(offsets)

    table = chain.from_iterable(zip(*columns, strict=True)) if len(columns) > 1 else sizes
    trun_size = _TRUN_HEADER + 4 * (len(first_sample_flags) + len(samples) * len(columns))
    tfhd_size = _FULL_HEADER + 4 * len(defaults)
    traf_size = _BOX_HEADER + tfhd_size + _TFDT_SIZE + trun_size
    moof_size = _BOX_HEADER + _MFHD_SIZE + traf_size
    # A moof is numbers of 32 bits from its first byte to its last, which costs least as one.
    words = (
        *(moof_size, _MOOF),
        *(_MFHD_SIZE, _MFHD, 0, sequence),
        *(traf_size, _TRAF),
        *(tfhd_size, _TFHD, tfhd_flags, *defaults),
        *(_TFDT_SIZE, _TFDT, 1 << 24, start >> 32, start & _MAX_U32),
        # the data are where moof and the header of mdat end
        *(trun_size, _TRUN, trun_version << 24 | trun_flags, len(samples), moof_size + _BOX_HEADER),
        *first_sample_flags,
        *table,
        *(_BOX_HEADER + sum(sizes), _MDAT),
    )
    return (struct.pack(f">{len(words)}I", *words), *payloads)


def _composition_offsets(offsets: list[int]) -> tuple[int, list[int]]:
    """Return the version of trun that can hold the offsets, and them as unsigned numbers."""
    lowest, highest = min(offsets), max(offsets)
    version = 1 if lowest < 0 else 0
    if lowest < _MIN_I32 or highest > (_MAX_I32 if version else _MAX_U32):
        raise ValueError(f"composition offsets {lowest} to {highest} do not fit 32 bits")
    if version:
        offsets = [offset & _MAX_U32 for offset in offsets]
    return version, offsets


class FragmentError(ValueError):
    """It is none of our Media Segments, or a damaged one."""


def read_samples(track: Track, segment: bytes) -> list[Sample]:
    """Return the samples of a Media Segment, in decoding order: what `fragment` was given.

    That a decoder can start at a sample which is no sync sample is not written there. There may
    be several fragments, and boxes besides.

    Args:
        track: whose segment it is.
        segment: a whole one; the payloads are views into it.

    Raises:
        FragmentError: it is not what `fragment` makes.
    """
    samples: list[Sample] = []
    octets = memoryview(segment)
    try:
        for type, start, end in _boxes(octets, 0, len(octets)):
            if type == b"moof":
                samples += _read_moof(track, octets, start, end)
    except FragmentError:
        raise
    except (struct.error, LookupError, ValueError) as error:
        raise FragmentError(f"a box is missing or cut short: {error}") from error
    return samples


def _boxes(octets: memoryview, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type, the start of the content and the end of each box in a range."""
    while start < end:
        size, type = struct.unpack_from(">I4s", octets, start)
        if size < _BOX_HEADER or start + size > end:
            raise FragmentError(f"a box of {size} bytes at {start} is cut short")
        yield type, start + _BOX_HEADER, start + size
        start += size


def _read_moof(track: Track, octets: memoryview, start: int, end: int) -> Iterator[Sample]:
    """Yield the samples of the fragment whose moof has its content in a range."""
    moof = {type: (at, until) for type, at, until in _boxes(octets, start, end)}
    traf = {type: (at, until) for type, at, until in _boxes(octets, *moof[b"traf"])}
    tfhd_flags, _, *defaults = _words(octets, *traf[b"tfhd"])
    duration = defaults.pop(0) if tfhd_flags & _DEFAULT_DURATION else 0
    flags = defaults.pop(0) if tfhd_flags & _DEFAULT_FLAGS else 0
    (dts,) = struct.unpack_from(">Q", octets, traf[b"tfdt"][0] + 4)

    head, count, data_offset, *table = _words(octets, *traf[b"trun"])
    first_flags = table.pop(0) if head & _FIRST_SAMPLE_FLAGS else None
    columns = [bit for bit in (_DURATION, _SIZE, _FLAGS, _COMPOSITION_OFFSET) if head & bit]
    if _SIZE not in columns or len(table) != count * len(columns):
        raise FragmentError("trun does not hold what it says")
    rows = [
        dict(zip(columns, row, strict=True))
        for row in zip(*[iter(table)] * len(columns), strict=True)
    ]
    at = start - _BOX_HEADER + data_offset
    for row in rows:
        size = row[_SIZE]
        payload = octets[at : at + size]
        if len(payload) != size:
            raise FragmentError("mdat is cut short")
        at += size
        offset = row.get(_COMPOSITION_OFFSET, 0)
        if head >> 24 and offset > _MAX_I32:
            offset -= 1 << 32
        own_flags = row.get(_FLAGS, flags) if first_flags is None else first_flags
        first_flags = None
        is_sync = not own_flags & _IS_NON_SYNC
        yield Sample(track, dts, offset, is_sync, is_sync, payload)
        dts += row.get(_DURATION, duration)


def _words(octets: memoryview, start: int, end: int) -> tuple[int, ...]:
    """Return what a full box holds as numbers of 32 bits: version and flags come first."""
    return struct.unpack_from(f">{(end - start) // 4}I", octets, start)
