"""Segments of a transport stream with one program (ISO/IEC 13818-1, RFC 8216 section 3.2)."""

from collections.abc import Iterator, Sequence
from heapq import merge
from typing import NamedTuple

from rapidrtmp.media.codec import AudioConfig, ElementaryStream, TransportConfig
from rapidrtmp.media.track import Sample, Track
from rapidrtmp.mpegts.packet import CYCLE, PacketWriter
from rapidrtmp.mpegts.pes import CLOCK, MAX_DATA, WRAP, pes_header
from rapidrtmp.mpegts.psi import PAT_PID, Component, pat, pmt

ORIGIN = 10 * CLOCK
"""Where the stream's timeline begins, in ticks: times are not negative, whatever comes first."""
DELAY = CLOCK * 7 // 10
"""Ticks from a frame's arrival, which PCR tells, to its decoding."""
PCR_INTERVAL = CLOCK * 9 // 100
"""Ticks; 100 ms is allowed (2.7.2)."""
PSI_INTERVAL = CLOCK // 2
"""Ticks from a PAT and PMT to the next at most: where a receiver may tune in."""
LEAD = CLOCK // 2
"""Ticks by whose multiples decoding is put forward where a stream needs it: neighbours agree."""
SOUND_BYTES = 2930
SOUND_TIME = CLOCK // 5
"""Bytes and ticks up to which audio frames share a PES packet, whose header they save."""

PMT_PID = 0x1000
FIRST_PID = 0x100
_MIN_DATA = 2
"""Bytes: what no frame is below, and `packet.MIN_PAYLOAD` asks for."""


class Part(NamedTuple):
    """What a segment has of one track."""

    track: Track
    """`elementary_stream` finds a place for it."""
    samples: Sequence[Sample]
    """In decoding order; none where the track has nothing."""


class _Unit(NamedTuple):
    """A PES packet."""

    time: int
    """Ticks at which it is decoded."""
    order: int
    """Of its track among the parts."""
    packet: bytes
    is_random_access: bool


def elementary_stream(track: Track) -> ElementaryStream | None:
    """Return how a track is carried; None when it has no place in a transport stream."""
    config = TransportConfig(track.config, None)
    return None if config is None else config.elementary_stream()


def mux(parts: Sequence[Part], start: int, end: int) -> Iterator[bytes]:
    """Yield the packets of one segment, piece by piece: a frame's is the largest.

    The same input gives the same bytes, and segments that follow each other in time are one
    stream, in which the continuity counters and the clock go on. Every segment begins with PAT
    and PMT, and its first picture with the parameter sets.

    Args:
        parts: one or more; the first one's PID has the clock: video, where there is any.
        start: decoding time at which the first part's segment begins, in ticks of 90 kHz on the
            stream's timeline.
        end: where the next one begins, likewise.
    """
    streams = [elementary_stream(part.track) for part in parts]
    pids = range(FIRST_PID, FIRST_PID + len(parts))
    writers = [PacketWriter(pid) for pid in pids]
    # Times of presentation before that of decoding, which FLV can have, have no place here.
    early = min((sample.composition_offset for sample in parts[0].samples), default=0)
    lead = min(0, _ticks(early, parts[0].track.timescale) // LEAD * LEAD)
    start, end = start + lead, end + lead

    units = []
    components = []
    for order, (part, stream, pid) in enumerate(zip(parts, streams, pids, strict=True)):
        assert stream is not None, "the caller asked elementary_stream()"
        if part.track.kind == "video":
            language, made = "", _pictures(order, part, stream, lead)
        else:
            language, made = _language(part.track.language), _sounds(order, part, stream)
        components.append(Component(stream.stream_type, pid, stream.registration, language))
        units.append(_with_last(made))
    tables = _Tables(pmt(pids[0], components), start, end)

    clock = writers[0]
    due = start
    # Sound from shortly before the first picture comes after it: the clock is the first to come.
    for unit, is_last in merge(*units, key=lambda pair: (max(start, pair[0].time), pair[0].order)):
        out: list[bytes] = []
        tables.write(out, max(start, unit.time))
        due = _write_clock(clock, out, due, min(unit.time, end))
        pcr = None
        if unit.order == 0:
            pcr = _pcr(unit.time)
            due = unit.time + PCR_INTERVAL
        writers[unit.order].write(
            out,
            unit.packet,
            pcr=pcr,
            is_random_access=unit.is_random_access,
            is_last=is_last,
        )
        yield b"".join(out)
    out = []
    tables.write(out, None)
    _write_clock(clock, out, due, end)
    yield b"".join(out)


class _Tables:
    """PAT and PMT, again and again: as often as brings their counters back to 0."""

    def __init__(self, pmt_payload: bytes, start: int, end: int) -> None:
        self._payloads = (pat(PMT_PID), pmt_payload)
        self._writers = (PacketWriter(PAT_PID), PacketWriter(PMT_PID))
        self._left = CYCLE * max(1, -(-(end - start) // (CYCLE * PSI_INTERVAL)))
        self._interval = (end - start) / self._left
        self._due: float = start

    def write(self, out: list[bytes], time: int | None) -> None:
        """Write those that are due at a time; None for all that are left."""
        while self._left and (time is None or self._due <= time):
            self._left -= 1
            self._due += self._interval
            for writer, payload in zip(self._writers, self._payloads, strict=True):
                writer.write(out, payload)


def _write_clock(writer: PacketWriter, out: list[bytes], due: int, until: int) -> int:
    """Write packets that have a PCR alone for the times before `until`; return the next one."""
    while due < until:
        writer.write_clock(out, _pcr(due))
        due += PCR_INTERVAL
    return due


def _pictures(order: int, part: Part, stream: ElementaryStream, lead: int) -> Iterator[_Unit]:
    """Yield a PES packet for each access unit."""
    timescale = part.track.timescale
    is_start = True
    for sample in part.samples:
        data = stream.byte_stream(sample.payload, is_start or sample.is_sync)
        if len(data) < _MIN_DATA:
            continue
        is_start = False
        dts = _ticks(sample.dts, timescale) + lead
        pts = max(dts, _ticks(sample.dts + sample.composition_offset, timescale))
        yield _Unit(dts, order, _pes(stream, data, pts, dts), sample.is_sync)


def _sounds(order: int, part: Part, stream: ElementaryStream) -> Iterator[_Unit]:
    """Yield PES packets of frames that follow each other without a gap."""
    timescale = part.track.timescale
    config = AudioConfig(part.track.config)
    # an access point is told where the packet has an adaptation field anyhow
    is_random_access = order == 0
    frames: list[bytes] = []
    size = begun = expected = 0
    for sample in part.samples:
        data = stream.byte_stream(sample.payload, True)
        if not _MIN_DATA <= len(data) <= MAX_DATA:
            continue
        dts = _ticks(sample.dts, timescale)
        if frames and (
            sample.dts != expected or size + len(data) > SOUND_BYTES or dts - begun >= SOUND_TIME
        ):
            yield _Unit(
                begun, order, _pes(stream, b"".join(frames), begun, begun), is_random_access
            )
            frames = []
        if not frames:
            size, begun = 0, dts
        frames.append(data)
        size += len(data)
        expected = sample.dts + config.frame_samples(sample.payload)
    if frames:
        yield _Unit(begun, order, _pes(stream, b"".join(frames), begun, begun), is_random_access)


def _with_last(units: Iterator[_Unit]) -> Iterator[tuple[_Unit, bool]]:
    """Tell of each whether it is the last."""
    unit = next(units, None)
    while unit is not None:
        following = next(units, None)
        yield unit, following is None
        unit = following


def _pes(stream: ElementaryStream, data: bytes, pts: int, dts: int) -> bytes:
    return pes_header(stream.stream_id, len(data), ORIGIN + pts, ORIGIN + dts) + data


def _pcr(time: int) -> int:
    return (ORIGIN + time - DELAY) % WRAP


def _ticks(time: int, timescale: int) -> int:
    """Return a time in ticks of 90 kHz, to the nearest."""
    return (2 * time * CLOCK + timescale) // (2 * timescale)


def _language(language: str) -> str:
    """Return a code of three letters that says something; what is none becomes ''."""
    is_code = len(language) == 3 and language.isascii() and language.isalpha()
    return language.lower() if is_code and language != "und" else ""
