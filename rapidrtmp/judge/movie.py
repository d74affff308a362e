"""The Media Initialization Section: what it says, and its rules (14496-12 section 8; CMAF 7.3)."""

from dataclasses import dataclass

from rapidrtmp.judge.boxes import Box, Fault, read_boxes
from rapidrtmp.judge.codec_string import VISUAL_HEAD as _VISUAL_HEAD
from rapidrtmp.judge.codec_string import Strings, codec_strings
from rapidrtmp.judge.finding import Report

_MODERN_BRANDS = {"iso5", "iso6", "iso7", "iso8", "iso9", "cmfc", "cmf2", "dash", "msdh"}
"""Those that allow default-base-is-moof; letters behind iso9 do too."""
_ENABLED = 1
_NAL_CONFIGURATIONS = {"avc1": ("avcC", 4), "avc3": ("avcC", 4), "hvc1": ("hvcC", 21)}
_NAL_CONFIGURATIONS["hev1"] = _NAL_CONFIGURATIONS["hvc1"]
_FOREIGN = {"avc3": "avc1", "hev1": "hvc1"}


@dataclass(frozen=True, slots=True)
class MovieTrack:
    """One track as the initialization section describes it."""

    track_id: int
    kind: str
    """Handler type: 'vide', 'soun' or another."""
    timescale: int
    entry: str
    """Type of the sample entry."""
    strings: Strings | None
    """What CODECS may say; None where the entry cannot be read."""
    width: int
    height: int
    nal_length_size: int
    default_duration: int
    default_size: int
    default_flags: int
    transfer: int | None
    """TransferCharacteristics of the colour box, None without one."""
    configuration: bytes
    """The whole sample entry, to see whether it changes."""


def read_movie(octets: bytes, where: str, report: Report) -> dict[int, MovieTrack] | None:
    """Read and judge an initialization section.

    Returns:
        Its tracks by track_ID; None where it cannot be read.
    """
    try:
        boxes = read_boxes(octets)
        types = [box.type for box in boxes if box.type not in ("free", "skip", "uuid", "sidx")]
        if types != ["ftyp", "moov"]:
            words = f"{' '.join(types)[:80]!a}, not ftyp and moov"
            report.add("init-structure", where, words)
        movie = next((box for box in boxes if box.type == "moov"), None)
        if movie is None:
            return None
        _judge_brands(next((box for box in boxes if box.type == "ftyp"), None), where, report)
        return _read_tracks(movie, where, report)
    except Fault as fault:
        report.add(fault.rule, where, fault.words)
        return None


def _judge_brands(ftyp: Box | None, where: str, report: Report) -> None:
    if ftyp is None:
        return
    text = bytes(ftyp.content).decode("latin-1")
    brands = {text[at : at + 4] for at in (0, *range(8, len(text), 4))}
    if not any(
        brand in _MODERN_BRANDS or (brand[:3] == "iso" and brand[3:] > "4") for brand in brands
    ):
        words = f"{' '.join(sorted(brands))[:80]!a}: default-base-is-moof needs iso5 or later"
        report.add("init-brand", where, words)
    if len(text) % 4 or len(text) < 8:
        report.add("init-brand", where, f"ftyp of {len(text)} bytes")


def _read_tracks(movie: Box, where: str, report: Report) -> dict[int, MovieTrack]:
    defaults: dict[int, tuple[int, int, int]] = {}
    extends = movie.find("mvex")
    if extends is None:
        report.add("init-structure", where, "no mvex: the movie has no fragments")
    else:
        for box in extends.children():
            if box.type == "trex":
                track_id, _, duration, size, flags = box.numbers("5I", 4)
                defaults[track_id] = (duration, size, flags)
    header = movie.find("mvhd")
    if header is None:
        report.add("init-structure", where, "no mvhd")
    elif _duration(header):
        report.add("init-tables", where, "mvhd has a duration")
    tracks: dict[int, MovieTrack] = {}
    traks = [box for box in movie.children() if box.type == "trak"]
    for trak in traks:
        track = _read_track(trak, defaults, where, report)
        if track.track_id in tracks or not track.track_id:
            report.add("track-id", where, f"track_ID {track.track_id} is 0, or there twice")
        if track.track_id not in defaults:
            report.add("init-structure", where, f"no trex for track {track.track_id}")
        tracks[track.track_id] = track
    if len(traks) != 1:
        rule = "init-tracks" if traks else "init-structure"
        report.add(rule, where, f"{len(traks)} tracks")
    return tracks


def _duration(box: Box) -> int:
    """The duration of mvhd or mdhd; all ones mean that nobody knows."""
    layout, offset, unknown = ("Q", 24, (1 << 64) - 1) if box.version else ("I", 16, (1 << 32) - 1)
    (duration,) = box.numbers(layout, offset)
    return 0 if duration == unknown else duration


def _need(box: Box, *path: str) -> Box:
    found = box.find(*path)
    if found is None:
        raise Fault("init-structure", f"no {'/'.join(path)} in {box.type}")
    return found


def _read_track(
    trak: Box, defaults: dict[int, tuple[int, int, int]], where: str, report: Report
) -> MovieTrack:
    tkhd = _need(trak, "tkhd")
    (track_id,) = tkhd.numbers("I", 20 if tkhd.version else 12)
    if not tkhd.flags & _ENABLED:
        report.add("init-structure", where, f"track {track_id} is not enabled")
    width, height = (n >> 16 for n in tkhd.numbers("II", 88 if tkhd.version else 76))
    mdhd = _need(trak, "mdia", "mdhd")
    (timescale,) = mdhd.numbers("I", 20 if mdhd.version else 12)
    if not timescale:
        raise Fault("init-structure", f"track {track_id} has timescale 0")
    if _duration(mdhd):
        report.add("init-tables", where, "mdhd has a duration")
    kind = bytes(_need(trak, "mdia", "hdlr").content[8:12]).decode("latin-1")
    stbl = _need(trak, "mdia", "minf", "stbl")
    for name, offset in (("stts", 4), ("stsc", 4), ("stsz", 8), ("stco", 4)):
        table = stbl.find(name)
        if table is None and not (name == "stco" and stbl.find("co64")):
            report.add("init-structure", where, f"no {name}")
        elif table is not None and table.numbers("I", offset) != (0,):
            report.add("init-tables", where, f"{name} is not empty")
    stsd = _need(stbl, "stsd")
    entries = stsd.children(8)
    if stsd.numbers("I", 4) != (len(entries),) or not entries:
        raise Fault("init-structure", f"stsd has {len(entries)} entries, and counts others")
    entry = entries[0]
    if kind == "vide" and (width, height) != entry.numbers("HH", 24):
        words = f"tkhd {width}x{height}, sample entry {'x'.join(map(str, entry.numbers('HH', 24)))}"
        # pixels that are not square are shown at another size
        if entry.children(_VISUAL_HEAD) and not _has_pasp(entry):
            report.add("init-size", where, words)
    if entry.type in _FOREIGN:
        words = f"{entry.type}: Apple's players want {_FOREIGN[entry.type]}"
        report.add("entry-hev1", where, words)
    strings = None
    try:
        strings = codec_strings(entry, kind)
    except Fault as fault:
        report.add(fault.rule, where, fault.words)
    duration, size, flags = defaults.get(track_id, (0, 0, 0))
    return MovieTrack(
        track_id=track_id,
        kind=kind,
        timescale=timescale,
        entry=entry.type,
        strings=strings,
        width=entry.numbers("HH", 24)[0] if kind == "vide" else 0,
        height=entry.numbers("HH", 24)[1] if kind == "vide" else 0,
        nal_length_size=_nal_length_size(entry),
        default_duration=duration,
        default_size=size,
        default_flags=flags,
        transfer=_transfer(entry) if kind == "vide" else None,
        configuration=bytes(entry.content),
    )


def _has_pasp(entry: Box) -> bool:
    return any(box.type == "pasp" for box in entry.children(_VISUAL_HEAD))


def _transfer(entry: Box) -> int | None:
    for box in entry.children(_VISUAL_HEAD):
        if box.type == "colr" and bytes(box.content[:4]) == b"nclx":
            return box.numbers("H", 6)[0]
    return None


def _nal_length_size(entry: Box) -> int:
    name, at = _NAL_CONFIGURATIONS.get(entry.type, ("", 0))
    for box in entry.children(_VISUAL_HEAD) if name else ():
        if box.type == name and len(box.content) > at:
            return (box.content[at] & 3) + 1
    return 4
