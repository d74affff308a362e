"""Media Segments and parts: their samples, and the rules of their boxes (14496-12 8.8; CMAF)."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from rapidrtmp.judge.boxes import Box, Fault, read_boxes
from rapidrtmp.judge.finding import Report
from rapidrtmp.judge.movie import MovieTrack
from rapidrtmp.judge.sync import can_start

MAX_SAMPLES = 20_000
"""In one file: ten minutes of sound at 30 ms."""
LONGEST_OFFSET = 10
"""Seconds of a composition offset above which it is a number that wrapped."""

_AROUND = frozenset(("styp", "sidx", "prft", "emsg", "free", "skip", "uuid"))

_BASE_DATA_OFFSET, _DESCRIPTION, _DURATION, _SIZE, _FLAGS = 0x01, 0x02, 0x08, 0x10, 0x20
_DEFAULT_BASE_IS_MOOF = 0x020000
_DATA_OFFSET, _FIRST_FLAGS = 0x001, 0x004
_TRUN_DURATION, _TRUN_SIZE, _TRUN_FLAGS, _TRUN_OFFSET = 0x100, 0x200, 0x400, 0x800
_NON_SYNC = 0x00010000


@dataclass(slots=True)
class Run:
    """The samples of one track in one file."""

    track: MovieTrack
    start: int
    """Decoding time of the first, in ticks."""
    end: int = 0
    """Of the last, with its duration."""
    count: int = 0
    first_is_sync: bool = True
    has_sync: bool = False
    first_offset: int = 0
    """Composition offset of the first sample in ticks."""

    @property
    def seconds(self) -> float:
        """What its samples last together."""
        return (self.end - self.start) / self.track.timescale


@dataclass(slots=True)
class Media:
    """What is in a Media Segment, or in a part of one."""

    runs: dict[int, Run] = field(default_factory=dict)
    """By track_ID."""
    sequences: list[int] = field(default_factory=list)
    """Of mfhd."""

    @property
    def leading(self) -> Run | None:
        """The run that durations are told by: video's, if there is any."""
        runs = sorted(self.runs.values(), key=lambda run: run.track.kind != "vide")
        return runs[0] if runs else None


def is_fragmented(octets: bytes) -> bool:
    """Tell whether a file looks like boxes, and not like MPEG-TS, packed audio or text."""
    return len(octets) >= 8 and octets[4:8].isalnum() and octets[:1] == b"\0"


def is_other_format(octets: bytes) -> bool:
    """Tell whether a segment without a map is MPEG-TS, packed audio or WebVTT (3.1)."""
    if octets[:1] == b"\x47":
        return len(octets) % 188 == 0 and set(octets[::188]) == {0x47}
    packed = octets[:3] == b"ID3" or (len(octets) > 1 and octets[0] == 0xFF and octets[1] >= 0xE0)
    return packed or octets.removeprefix(b"\xef\xbb\xbf").startswith(b"WEBVTT")


def read_media(
    octets: bytes, tracks: Mapping[int, MovieTrack], where: str, report: Report
) -> Media | None:
    """Read and judge the boxes of a segment or part; None where they cannot be read."""
    media = Media()
    try:
        boxes = [box for box in read_boxes(octets) if box.type not in _AROUND]
        types = [box.type for box in boxes]
        if not boxes or types != ["moof", "mdat"] * (len(types) // 2):
            raise Fault("segment-structure", f"{' '.join(types)[:80]!a}, not moof and mdat in turn")
        for moof, mdat in zip(boxes[::2], boxes[1::2], strict=True):
            _Reader(octets, tracks, where, report, media).read(moof, mdat)
    except Fault as fault:
        report.add(fault.rule, where, fault.words)
        return None
    return media


class _Reader:
    """Reads one moof with its mdat."""

    def __init__(
        self,
        octets: bytes,
        tracks: Mapping[int, MovieTrack],
        where: str,
        report: Report,
        media: Media,
    ) -> None:
        self._octets = memoryview(octets)
        self._tracks = tracks
        self._where = where
        self._report = report
        self._media = media
        self._used: list[tuple[int, int]] = []
        self._is_displaced = False

    def _add(self, rule: str, words: str) -> None:
        self._report.add(rule, self._where, words)

    def read(self, moof: Box, mdat: Box) -> None:
        boxes = moof.children()
        header = moof.find("mfhd")
        if header is None:
            raise Fault("segment-structure", "moof without mfhd")
        self._media.sequences.append(header.numbers("I", 4)[0])
        fragments = [box for box in boxes if box.type == "traf"]
        if not fragments:
            raise Fault("segment-structure", "moof without traf")
        for traf in fragments:
            self._read_traf(traf, moof, mdat)
        if self._is_displaced:
            return
        at = mdat.start + mdat.header
        for start, end in sorted(self._used):
            if start != at:
                break
            at = end
        if at != mdat.end:
            self._add("trun-offset", f"{mdat.end - at} bytes of mdat belong to no sample")

    def _read_traf(self, traf: Box, moof: Box, mdat: Box) -> None:
        boxes = traf.children()
        tfhd = traf.find("tfhd")
        if tfhd is None:
            raise Fault("segment-structure", "traf without tfhd")
        (track_id,) = tfhd.numbers("I", 4)
        track = self._tracks.get(track_id)
        if track is None:
            raise Fault("track-id", f"track {track_id}, the movie has {sorted(self._tracks)}")
        flags = tfhd.flags
        if not flags & _DEFAULT_BASE_IS_MOOF or flags & _BASE_DATA_OFFSET:
            self._add("tfhd-flags", f"flags {flags:#08x}: default-base-is-moof alone is right")
        at = 8 + (8 if flags & _BASE_DATA_OFFSET else 0) + (4 if flags & _DESCRIPTION else 0)
        values = [track.default_duration, track.default_size, track.default_flags]
        for index, flag in enumerate((_DURATION, _SIZE, _FLAGS)):
            if flags & flag:
                (values[index],) = tfhd.numbers("I", at)
                at += 4
        if len(tfhd.content) != at:
            self._add("trun-table", f"tfhd of {len(tfhd.content)} bytes, its flags ask for {at}")
        run = self._run(traf, track)
        runs = [box for box in boxes if box.type == "trun"]
        if not runs:
            raise Fault("segment-structure", "traf without trun")
        for trun in runs:
            self._read_trun(trun, run, tuple(values), moof, mdat)

    def _run(self, traf: Box, track: MovieTrack) -> Run:
        """Begin or continue the run of a track, where tfdt says."""
        tfdt = traf.find("tfdt")
        run = self._media.runs.get(track.track_id)
        if tfdt is None:
            self._add("tfdt-missing", f"track {track.track_id}")
            start = run.end if run else 0
        else:
            if tfdt.version != 1:
                self._add("tfdt-version", f"version {tfdt.version}")
            (start,) = tfdt.numbers("Q" if tfdt.version else "I", 4)
        if run is None:
            run = self._media.runs[track.track_id] = Run(track, start, start)
        elif start != run.end:
            words = f"tfdt {start}, the fragment before ends at {run.end} ({self._off(start, run)})"
            self._add("tfdt-continuity", words)
            run.end = start
        return run

    def _off(self, start: int, run: Run) -> str:
        return f"{(start - run.end) / run.track.timescale:+.3f} s"

    def _read_trun(
        self, trun: Box, run: Run, defaults: tuple[int, ...], moof: Box, mdat: Box
    ) -> None:
        flags = trun.flags
        (count,) = trun.numbers("I", 4)
        if not count or run.count + count > MAX_SAMPLES:
            rule = "box-bounds" if count else "trun-table"
            raise Fault(rule, f"trun of {count} samples")
        at = 8
        position = self._used[-1][1] if self._used else mdat.start + mdat.header
        if flags & _DATA_OFFSET:
            position = moof.start + trun.numbers("i", at)[0]
            at += 4
        first_flags = None
        if flags & _FIRST_FLAGS:
            (first_flags,) = trun.numbers("I", at)
            at += 4
        columns = [
            flag for flag in (_TRUN_DURATION, _TRUN_SIZE, _TRUN_FLAGS, _TRUN_OFFSET) if flags & flag
        ]
        size = 4 * count * len(columns)
        if len(trun.content) != at + size:
            words = f"trun of {len(trun.content)} bytes, {count} samples ask for {at + size}"
            raise Fault("trun-table", words)
        numbers = struct.unpack_from(f">{count * len(columns)}I", trun.content, at)
        table = {flag: numbers[index :: len(columns)] for index, flag in enumerate(columns)}
        begin = position
        payload_start = mdat.start + mdat.header
        if begin != payload_start and begin not in {end for _, end in self._used}:
            self._is_displaced = True
            self._add("trun-offset", f"samples start at {begin}, mdat's content at {payload_start}")
        for index in range(count):
            duration = table[_TRUN_DURATION][index] if flags & _TRUN_DURATION else defaults[0]
            length = table[_TRUN_SIZE][index] if flags & _TRUN_SIZE else defaults[1]
            sample_flags = table[_TRUN_FLAGS][index] if flags & _TRUN_FLAGS else defaults[2]
            if not index and first_flags is not None:
                sample_flags = first_flags
            offset = table[_TRUN_OFFSET][index] if flags & _TRUN_OFFSET else 0
            if trun.version and offset > 0x7FFFFFFF:
                offset -= 1 << 32
            if position < 0 or position + length > mdat.end:
                rule = "trun-offset" if self._is_displaced else "mdat-cut"
                words = f"sample {run.count} ends {position + length - mdat.end} bytes past mdat"
                raise Fault(rule, words)
            payload = self._octets[position : position + length]
            self._judge_sample(run, duration, sample_flags, offset, payload)
            position += length
            run.end += duration
            run.count += 1
        self._used.append((begin, position))

    def _judge_sample(
        self, run: Run, duration: int, flags: int, offset: int, payload: memoryview
    ) -> None:
        sample = f"sample {run.count}"
        if not duration:
            self._add("sample-duration", f"{sample} lasts 0")
        if not payload:
            self._add("sample-empty", sample)
        if abs(offset) > LONGEST_OFFSET * run.track.timescale:
            seconds = offset / run.track.timescale
            self._add("composition-offset", f"{sample}: {offset} ticks, {seconds:.1f} s")
        is_sync = not flags & _NON_SYNC
        run.has_sync = run.has_sync or is_sync
        if not run.count:
            run.first_is_sync = is_sync
            run.first_offset = offset
        depends_on = flags >> 24 & 3
        if depends_on == (1 if is_sync else 2):
            words = f"{sample}: sample_depends_on {depends_on}, sync {is_sync}"
            self._add("depends-on", words)
        if run.track.kind == "soun":
            if not is_sync:
                self._add("sync-flag", f"{sample}: sound that is not flagged sync")
            return
        try:
            told = can_start(run.track.entry, run.track.nal_length_size, payload)
        except Fault as fault:
            self._add(fault.rule, f"{sample}: {fault.words}")
            return
        if told is not None and told != is_sync:
            words = "can be started at, and is not flagged sync"
            if is_sync:
                words = "is flagged sync, and no decoder can start there"
            self._add("sync-flag", f"{sample} {words}")
