"""A judge of fragmented MP4: its own box parser and the rules that players do not check.

Shares no code with the writer. Knows ISO/IEC 14496-12 and, for the sync flags, the
sample formats of H.264 and HEVC (14496-15), AV1, VP9 and of audio.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

HEADER = 8
"""Bytes of size and type in front of a box. Sizes of 64 bits have no place in live media."""

NON_SYNC_FLAG = 0x00010000
DEPENDS_ON_OTHERS = 1
DEPENDS_ON_NONE = 2
H264_IDR = 5
H264_VCL = range(1, 6)
H265_IRAP = range(16, 22)
H265_VCL = range(32)
AV1_SEQUENCE_HEADER = 1
AV1_FRAMES = (3, 6)


class CheckError(AssertionError):
    """The file breaks a rule."""


def require(condition: object, message: str) -> None:
    """Raise CheckError with `message` unless `condition` holds."""
    if not condition:
        raise CheckError(message)


@dataclass(slots=True)
class Box:
    """One box; `start` is its place in the whole file."""

    type: bytes
    start: int
    payload: bytes = field(repr=False)

    @property
    def end(self) -> int:
        """The place behind the box in the whole file."""
        return self.start + HEADER + len(self.payload)

    def children(self, skip: int = 0) -> list["Box"]:
        """Parse the content behind `skip` bytes as boxes."""
        return parse_boxes(self.payload[skip:], self.start + HEADER + skip)

    def one(self, *path: bytes) -> "Box":
        """Return the only box of each type in turn, going inwards."""
        box = self
        for type_ in path:
            found = [child for child in box.children() if child.type == type_]
            require(len(found) == 1, f"{len(found)} {type_!r} boxes in {box.type!r}, not one")
            box = found[0]
        return box

    def unpack(self, layout: str, offset: int = 0) -> tuple[int, ...]:
        """Unpack big-endian numbers from the content."""
        size = struct.calcsize(">" + layout)
        require(len(self.payload) >= offset + size, f"{self.type!r} is too short")
        numbers: tuple[int, ...] = struct.unpack_from(">" + layout, self.payload, offset)
        return numbers

    def version_and_flags(self) -> tuple[int, int]:
        """Return the two fields that a full box begins with."""
        (word,) = self.unpack("I")
        return word >> 24, word & 0xFFFFFF


@dataclass(slots=True)
class ParsedSample:
    """One sample as a player sees it; times in ticks of the track."""

    dts: int
    pts: int
    duration: int
    is_sync: bool
    payload: bytes = field(repr=False)


@dataclass(slots=True)
class Fragment:
    """One moof with its mdat."""

    sequence: int
    samples: list[ParsedSample]


@dataclass(slots=True)
class Movie:
    """The facts of an initialization section with one track."""

    track_id: int
    timescale: int
    language: str
    handler_type: bytes
    sample_entry: bytes
    width: int
    height: int
    nal_length_size: int
    default_duration: int
    default_size: int
    default_flags: int


def parse_boxes(data: bytes, start: int = 0) -> list[Box]:
    """Parse boxes that must fill `data` exactly."""
    boxes = []
    offset = 0
    while offset < len(data):
        require(
            len(data) - offset >= HEADER, f"{len(data) - offset} stray bytes behind the last box"
        )
        size, type_ = struct.unpack_from(">I4s", data, offset)
        require(size >= HEADER, f"{type_!r} has size {size}")
        require(size <= len(data) - offset, f"{type_!r} is {size} bytes, runs over the end")
        boxes.append(Box(type_, start + offset, data[offset + HEADER : offset + size]))
        offset += size
    return boxes


def parse_init(data: bytes) -> Movie:
    """Parse and judge an initialization section of one track."""
    boxes = parse_boxes(data)
    require([box.type for box in boxes] == [b"ftyp", b"moov"], f"not ftyp and moov: {boxes}")
    ftyp, moov = boxes
    brands = {ftyp.payload[at : at + 4] for at in range(8, len(ftyp.payload), 4)}
    require(len(ftyp.payload) % 4 == 0 and ftyp.payload[:4] in brands, "ftyp: major brand missing")
    require(brands & {b"iso5", b"iso6"}, "default-base-is-moof needs iso5 or later")
    require(not brands & {b"cmfc", b"cmf2"}, "a CMAF brand without what it asks for")

    mvhd = moov.one(b"mvhd")
    require(mvhd.unpack("II", 4) == (0, 0), "mvhd has a creation time")
    mvhd_timescale, duration = mvhd.unpack("II", 12)
    require(mvhd_timescale > 0 and duration == 0, "mvhd: timescale 0 or a duration")
    trak = moov.one(b"trak")
    tkhd = trak.one(b"tkhd")
    require(tkhd.version_and_flags()[1] & 3 == 3, "track not enabled, or not in the movie")
    (track_id,) = tkhd.unpack("I", 12)
    (volume,) = tkhd.unpack("H", 36)
    width, height = (size >> 16 for size in tkhd.unpack("II", 76))
    require(track_id > 0, "track_ID is 0")
    require(mvhd.unpack("I", 96)[0] > track_id, "next_track_ID is in use")

    timescale, duration, language = trak.one(b"mdia", b"mdhd").unpack("IIH", 12)
    require(timescale > 0 and duration == 0, "mdhd: timescale 0 or a duration")
    handler_type = trak.one(b"mdia", b"hdlr").payload[8:12]
    minf = trak.one(b"mdia", b"minf")
    if handler_type == b"vide":
        require(minf.one(b"vmhd").version_and_flags() == (0, 1), "vmhd flags are not 1")
        require(width and height and not volume, "video without a size or with a volume")
    else:
        require(handler_type == b"soun", f"handler type {handler_type!r}")
        minf.one(b"smhd")
        require(volume == 0x0100 and not width and not height, "audio volume or size wrong")
    dref = minf.one(b"dinf", b"dref")
    require(dref.unpack("I", 4) == (1,), "dref has not one entry")
    references = dref.children(8)
    require(
        [box.type for box in references] == [b"url "] and references[0].version_and_flags()[1] == 1,
        "dref does not say that the media is in the same file",
    )
    stbl = minf.one(b"stbl")
    for type_, at in ((b"stts", 4), (b"stsc", 4), (b"stsz", 8), (b"stco", 4)):
        require(stbl.one(type_).unpack("I", at) == (0,), f"{type_!r} is not empty")
    stsd = stbl.one(b"stsd")
    require(stsd.unpack("I", 4) == (1,), "stsd has not one entry")
    entries = stsd.children(8)
    require(len(entries) == 1, "stsd does not hold the entry that it counts")
    entry = entries[0]
    require(entry.unpack("6xH") == (1,), "sample entry: data_reference_index is not 1")
    nal_length_size = 0
    if handler_type == b"vide":
        require(entry.unpack("HH", 24) == (width, height), "tkhd and sample entry differ in size")
        if entry.type == b"avc1":
            avcc = [box for box in entry.children(78) if box.type == b"avcC"]
            require(len(avcc) == 1, "avc1 without avcC")
            nal_length_size = (avcc[0].payload[4] & 3) + 1
        elif entry.type == b"hvc1":
            hvcc = [box for box in entry.children(78) if box.type == b"hvcC"]
            require(len(hvcc) == 1, "hvc1 without hvcC")
            nal_length_size = (hvcc[0].payload[21] & 3) + 1

    trex = moov.one(b"mvex", b"trex").unpack("5I", 4)
    require(trex[:2] == (track_id, 1), "trex: wrong track or sample description")
    return Movie(
        track_id,
        timescale,
        "".join(chr((language >> shift & 0x1F) + 0x60) for shift in (10, 5, 0)),
        handler_type,
        entry.type,
        width,
        height,
        nal_length_size,
        *trex[2:],
    )


def parse_segment(movie: Movie, data: bytes) -> list[Fragment]:
    """Parse and judge a Media Segment, or a part of one: [styp], then moof and mdat pairs."""
    boxes = [box for box in parse_boxes(data) if box.type not in (b"prft", b"emsg")]
    if boxes and boxes[0].type == b"styp":
        del boxes[0]
    types = [box.type for box in boxes]
    require(
        boxes and types == [b"moof", b"mdat"] * (len(types) // 2),
        f"not pairs of moof and mdat: {types}",
    )
    return [
        _parse_fragment(movie, data, moof, mdat)
        for moof, mdat in zip(boxes[::2], boxes[1::2], strict=True)
    ]


@dataclass(frozen=True, slots=True)
class EventMessage:
    """One emsg of version 1."""

    timescale: int
    time: int
    duration: int
    id: int
    scheme: str
    value: str
    data: bytes = field(repr=False)


def parse_events(data: bytes) -> list[EventMessage]:
    """Parse and judge the event messages of a Media Segment or a part of one.

    Raises:
        CheckError: a rule is broken; the text says which.
    """
    boxes = parse_boxes(data)
    events = []
    for box, following in zip(boxes, [*boxes[1:], None], strict=True):
        if box.type != b"emsg":
            continue
        is_before = following is not None and following.type in (b"emsg", b"moof", b"prft")
        require(is_before, "an emsg that stands before no moof")
        require(box.version_and_flags() == (1, 0), "emsg is not of version 1")
        timescale, time, duration, number = box.unpack("IQII", 4)
        scheme, value, payload = box.payload[24:].split(b"\0", 2)
        require(scheme, "emsg without a scheme")
        events.append(
            EventMessage(
                timescale, time, duration, number, scheme.decode(), value.decode(), payload
            )
        )
    return events


def check_track(init: bytes, segments: Sequence[bytes]) -> list[ParsedSample]:
    """Judge the initialization section and consecutive segments of one continuity.

    Returns:
        All samples, in decoding order.

    Raises:
        CheckError: a rule is broken; the text says which.
    """
    movie = parse_init(init)
    samples: list[ParsedSample] = []
    sequence = -1
    for number, segment in enumerate(segments):
        for fragment in parse_segment(movie, segment):
            where = f"segment {number}, fragment {fragment.sequence}"
            require(fragment.sequence > sequence, f"{where}: mfhd was {sequence} before")
            sequence = fragment.sequence
            if samples:
                due = samples[-1].dts + samples[-1].duration
                start = fragment.samples[0].dts
                require(start == due, f"{where}: tfdt is {start}, the samples before end at {due}")
            samples += fragment.samples
    return samples


def _parse_fragment(movie: Movie, data: bytes, moof: Box, mdat: Box) -> Fragment:
    require(moof.end == mdat.start, "something between moof and mdat")
    types = [box.type for box in moof.children()]
    require(types == [b"mfhd", b"traf"], f"moof holds {types}")
    (sequence,) = moof.one(b"mfhd").unpack("I", 4)
    traf = moof.one(b"traf")
    types = [box.type for box in traf.children()]
    require(types == [b"tfhd", b"tfdt", b"trun"], f"traf holds {types}")

    tfhd = traf.one(b"tfhd")
    _, flags = tfhd.version_and_flags()
    require(flags & 0x020000 and not flags & 1, "tfhd: default-base-is-moof not set")
    fields = iter(tfhd.unpack(f"{(len(tfhd.payload) - 4) // 4}I", 4))
    track_id = _next(fields)
    require(track_id == movie.track_id, f"tfhd: track {track_id} is not {movie.track_id}")
    if flags & 0x02:
        require(_next(fields) == 1, "tfhd: wrong sample description")
    default_duration = _next(fields) if flags & 0x08 else movie.default_duration
    default_size = _next(fields) if flags & 0x10 else movie.default_size
    default_flags = _next(fields) if flags & 0x20 else movie.default_flags
    require(not list(fields), "tfhd is longer than its flags say")

    tfdt = traf.one(b"tfdt")
    require(tfdt.version_and_flags() == (1, 0), "tfdt: not version 1")
    require(len(tfdt.payload) == 12, "tfdt: wrong length")
    (dts,) = tfdt.unpack("Q", 4)

    trun = traf.one(b"trun")
    version, flags = trun.version_and_flags()
    require(version in (0, 1), f"trun: version {version}")
    require(flags & ~0xF05 == 0 and flags & 1, f"trun: flags {flags:#x}")
    require(flags & 0x404 != 0x404, "trun: flags for the first sample and for all")
    count, data_offset = trun.unpack("II", 4)
    require(count > 0, "trun: no samples")
    fields = iter(trun.unpack(f"{(len(trun.payload) - 12) // 4}I", 12))
    first_flags = _next(fields) if flags & 0x04 else None
    at = moof.start + data_offset
    require(at == mdat.start + HEADER, f"trun: data_offset {data_offset} is not mdat's start")

    samples = []
    signed_offsets = False
    for index in range(count):
        duration = _next(fields) if flags & 0x100 else default_duration
        size = _next(fields) if flags & 0x200 else default_size
        sample_flags = _next(fields) if flags & 0x400 else default_flags
        if index == 0 and first_flags is not None:
            sample_flags = first_flags
        offset = _next(fields) if flags & 0x800 else 0
        if version and offset > 0x7FFFFFFF:
            offset -= 1 << 32
            signed_offsets = True
        require(at + size <= mdat.end, f"sample {index} runs over the end of mdat")
        sample = ParsedSample(
            dts, dts + offset, duration, not sample_flags & NON_SYNC_FLAG, data[at : at + size]
        )
        _check_sample(movie, sample, sample_flags, f"fragment {sequence}, sample {index}")
        samples.append(sample)
        at += size
        dts += duration
    require(not list(fields), "trun is longer than its sample count says")
    require(len(trun.payload) % 4 == 0 and len(tfhd.payload) % 4 == 0, "stray bytes in traf")
    require(signed_offsets == bool(version), "trun: version 1 and no negative offset")
    require(at == mdat.end, f"{mdat.end - at} bytes of mdat belong to no sample")
    return Fragment(sequence, samples)


def _next(fields: Iterator[int]) -> int:
    number = next(fields, None)
    if number is None:
        raise CheckError("a table is shorter than its count says")
    return number


def _check_sample(movie: Movie, sample: ParsedSample, flags: int, where: str) -> None:
    require(sample.duration > 0, f"{where}: duration 0")
    require(sample.payload, f"{where}: empty")
    depends_on = flags >> 24 & 3
    require(
        depends_on == (DEPENDS_ON_NONE if sample.is_sync else DEPENDS_ON_OTHERS),
        f"{where}: sample_depends_on is {depends_on} and is_sync {sample.is_sync}",
    )
    if movie.handler_type == b"soun":
        require(sample.is_sync, f"{where}: audio that is no sync sample")
        return
    says = {
        b"avc1": _h264_starts,
        b"hvc1": _h265_starts,
        b"av01": _av1_starts,
        b"vp09": _vp9_starts,
    }
    judge = says.get(movie.sample_entry)
    if judge is not None:
        starts, what = judge(movie, sample.payload, where)
        require(
            sample.is_sync == starts,
            f"{where}: is_sync is {sample.is_sync} and {what}",
        )


def _h264_starts(movie: Movie, payload: bytes, where: str) -> tuple[bool, str]:
    """Tell whether a decoder can start at a sample, and by what."""
    types = [unit[0] & 0x1F for unit in nal_units(payload, movie.nal_length_size, where)]
    first = next((type_ for type_ in types if type_ in H264_VCL), None)
    require(first is not None, f"{where}: no slice in NAL units {types}")
    return first == H264_IDR, f"the first slice has NAL type {first}"


def _h265_starts(movie: Movie, payload: bytes, where: str) -> tuple[bool, str]:
    """Tell whether a decoder can start at a sample, and by what."""
    types = [unit[0] >> 1 & 0x3F for unit in nal_units(payload, movie.nal_length_size, where)]
    first = next((type_ for type_ in types if type_ in H265_VCL), None)
    require(first is not None, f"{where}: no slice in NAL units {types}")
    return first in H265_IRAP, f"the first slice has NAL type {first}"


def _av1_starts(_: Movie, payload: bytes, where: str) -> tuple[bool, str]:
    """Tell whether a decoder can start at a sample, and by what."""
    at = 0
    has_sequence = False
    while at < len(payload):
        header = payload[at]
        require(not header & 0x81, f"{where}: reserved bits of an OBU header")
        at += 2 if header & 4 else 1
        size = shift = 0
        if not header & 2:
            size = len(payload) - at
        while header & 2:
            require(at < len(payload), f"{where}: an OBU without its size")
            size |= (payload[at] & 0x7F) << shift
            shift += 7
            at += 1
            if not payload[at - 1] & 0x80:
                break
        require(size <= len(payload) - at, f"{where}: an OBU of {size} bytes runs over the end")
        type_ = header >> 3
        has_sequence = has_sequence or type_ == AV1_SEQUENCE_HEADER
        if type_ in AV1_FRAMES:
            require(size > 0, f"{where}: an empty frame")
            is_key = payload[at] & 0xF0 == 0x10  # a key frame that is shown
            require(has_sequence or not is_key, f"{where}: a key frame without sequence header")
            return is_key, f"the frame header starts with {payload[at]:#04x}"
        at += size
    raise CheckError(f"{where}: no frame")


def _vp9_starts(_: Movie, payload: bytes, where: str) -> tuple[bool, str]:
    """Tell whether a decoder can start at a sample, and by what."""
    head = payload[0]
    require(head >> 6 == 2, f"{where}: no VP9 frame")
    # show_existing_frame and frame_type; profile 3 has a reserved bit before them
    is_key = not head & (0x06 if head & 0x30 == 0x30 else 0x0C)
    return is_key, f"the frame header starts with {head:#04x}"


def nal_units(payload: bytes, length_size: int, where: str = "sample") -> list[bytes]:
    """Split a sample into its length-prefixed NAL units, which must fill it exactly."""
    units = []
    at = 0
    while at < len(payload):
        size = int.from_bytes(payload[at : at + length_size], "big")
        at += length_size
        require(0 < size <= len(payload) - at, f"{where}: NAL unit of {size} bytes at {at}")
        units.append(payload[at : at + size])
        at += size
    return units
