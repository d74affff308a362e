"""Movie fragments: moof and mdat of one track (ISO/IEC 14496-12 section 8.8)."""

import struct
from collections.abc import Sequence
from itertools import chain, pairwise

from rapidrtmp.isobmff.box import box, full_box
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

_BOX_HEADER = 8
_TRUN_HEADER = 20  # box header, version and flags, sample_count, data_offset
_MAX_U32 = 0xFFFFFFFF
_MIN_I32 = -0x80000000
_MAX_I32 = 0x7FFFFFFF


def media_segment(track: Track, sequence: int, samples: Sequence[Sample], end_dts: int) -> bytes:
    """Return a whole Media Segment: styp and one fragment.

    Takes and raises what `fragment` does. The payloads are copied once, here.
    """
    return b"".join((_STYP, *fragment(track, sequence, samples, end_dts)))


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
    first_sample_flags = b""

    durations = _durations(samples, end_dts)
    if min(durations) == max(durations):
        tfhd_flags |= _DEFAULT_DURATION
        defaults.append(durations[0])
    else:
        trun_flags |= _DURATION
        columns.append(durations)

    sizes = [len(sample.payload) for sample in samples]
    columns.append(sizes)

    flags = [_SYNC if sample.is_sync else _NON_SYNC for sample in samples]
    tail = flags[-1]
    if flags.count(tail) == len(flags):
        tfhd_flags |= _DEFAULT_FLAGS
        defaults.append(tail)
    elif flags.count(tail) == len(flags) - 1 and flags[0] != tail:  # one GOP
        tfhd_flags |= _DEFAULT_FLAGS
        defaults.append(tail)
        trun_flags |= _FIRST_SAMPLE_FLAGS
        first_sample_flags = struct.pack(">I", flags[0])
    else:
        trun_flags |= _FLAGS
        columns.append(flags)

    trun_version, offsets = _composition_offsets(samples)
    if any(offsets):
        trun_flags |= _COMPOSITION_OFFSET
        columns.append(offsets)

    count = len(samples)
    table = struct.pack(
        f">{count * len(columns)}I", *chain.from_iterable(zip(*columns, strict=True))
    )
    mfhd = full_box(b"mfhd", 0, 0, struct.pack(">I", sequence))
    tfhd = full_box(b"tfhd", 0, tfhd_flags, struct.pack(f">{len(defaults)}I", *defaults))
    tfdt = full_box(b"tfdt", 1, 0, struct.pack(">Q", start))
    # from the start of moof to the first byte in mdat; the headers are moof's, traf's, mdat's
    data_offset = (
        3 * _BOX_HEADER
        + len(mfhd)
        + len(tfhd)
        + len(tfdt)
        + _TRUN_HEADER
        + len(first_sample_flags)
        + len(table)
    )
    trun = full_box(
        b"trun",
        trun_version,
        trun_flags,
        struct.pack(">II", count, data_offset),
        first_sample_flags,
        table,
    )
    return (
        box(b"moof", mfhd, box(b"traf", tfhd, tfdt, trun)),
        struct.pack(">I4s", _BOX_HEADER + sum(sizes), b"mdat"),
        *(sample.payload for sample in samples),
    )


def _durations(samples: Sequence[Sample], end_dts: int) -> list[int]:
    times = chain((sample.dts for sample in samples), (end_dts,))
    durations = [after - before for before, after in pairwise(times)]
    if min(durations) < 0 or max(durations) > _MAX_U32:
        raise ValueError(f"durations {min(durations)} to {max(durations)} do not fit 32 bits")
    return durations


def _composition_offsets(samples: Sequence[Sample]) -> tuple[int, list[int]]:
    """Return the version of trun that can hold the offsets, and them as unsigned numbers."""
    offsets = [sample.composition_offset for sample in samples]
    lowest, highest = min(offsets), max(offsets)
    version = 1 if lowest < 0 else 0
    if lowest < _MIN_I32 or highest > (_MAX_I32 if version else _MAX_U32):
        raise ValueError(f"composition offsets {lowest} to {highest} do not fit 32 bits")
    if version:
        offsets = [offset & _MAX_U32 for offset in offsets]
    return version, offsets
