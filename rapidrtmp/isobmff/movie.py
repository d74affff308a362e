"""The Media Initialization Section: ftyp and moov without samples (ISO/IEC 14496-12 section 8)."""

import struct

from rapidrtmp.isobmff.box import box, full_box
from rapidrtmp.media.codec import CodecConfig, VideoConfig
from rapidrtmp.media.track import Track

# iso6 asks for default-base-is-moof and tfdt. No CMAF brand: those ask for an edit list or
# negative composition offsets where pictures are reordered, and times are kept as published.
_FTYP = box(b"ftyp", b"iso6", bytes(4), b"iso6", b"mp41")

_UNITY_MATRIX = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
_RATE_1 = struct.pack(">I", 1 << 16)
_FULL_VOLUME = 0x0100
_TRACK_ENABLED_IN_MOVIE = 3
_SELF_CONTAINED = 1

# kind -> handler_type and the media header that goes with it (8.4.3, 12.1.2, 12.2.2)
_MEDIA = {
    "video": (b"vide", full_box(b"vmhd", 0, 1, bytes(8))),
    "audio": (b"soun", full_box(b"smhd", 0, 0, bytes(4))),
}

_EMPTY_TABLES = (
    full_box(b"stts", 0, 0, bytes(4)),
    full_box(b"stsc", 0, 0, bytes(4)),
    full_box(b"stsz", 0, 0, bytes(8)),
    full_box(b"stco", 0, 0, bytes(4)),
)


def init_segment(track: Track) -> bytes:
    """Return the Media Initialization Section of a track.

    Equal tracks give equal bytes: there is no creation time and no random part.

    Args:
        track: its configuration gives the sample entry and, for video, the size.
    """
    return _FTYP + box(b"moov", _mvhd(track), _trak(track), box(b"mvex", _trex(track)))


def _mvhd(track: Track) -> bytes:
    return full_box(
        b"mvhd",
        0,
        0,
        bytes(8),  # creation and modification time
        struct.pack(">II", track.timescale, 0),  # the duration is in the fragments
        _RATE_1,
        struct.pack(">H", _FULL_VOLUME),
        bytes(10),
        _UNITY_MATRIX,
        bytes(24),
        struct.pack(">I", track.track_id + 1),  # next_track_ID
    )


def _trak(track: Track) -> bytes:
    handler_type, media_header = _MEDIA[track.kind]
    stbl = box(b"stbl", _stsd(track.config), *_EMPTY_TABLES)
    dinf = box(
        b"dinf",
        full_box(b"dref", 0, 0, struct.pack(">I", 1), full_box(b"url ", 0, _SELF_CONTAINED)),
    )
    mdia = box(
        b"mdia",
        full_box(
            b"mdhd",
            0,
            0,
            bytes(8),
            struct.pack(">IIHH", track.timescale, 0, _language(track.language), 0),
        ),
        full_box(
            b"hdlr", 0, 0, bytes(4), handler_type, bytes(12), track.kind.encode("ascii"), b"\0"
        ),
        box(b"minf", media_header, dinf, stbl),
    )
    return box(b"trak", _tkhd(track), mdia)


def _tkhd(track: Track) -> bytes:
    width = height = volume = 0
    if track.kind == "video":
        video = VideoConfig(track.config)
        width, height = video.width, video.height
    else:
        volume = _FULL_VOLUME
    return full_box(
        b"tkhd",
        0,
        _TRACK_ENABLED_IN_MOVIE,
        bytes(8),
        struct.pack(">III", track.track_id, 0, 0),
        bytes(8),
        struct.pack(">hhHH", 0, 0, volume, 0),  # layer, alternate_group
        _UNITY_MATRIX,
        struct.pack(">II", width << 16, height << 16),
    )


def _stsd(config: CodecConfig) -> bytes:
    return full_box(b"stsd", 0, 0, struct.pack(">I", 1), config.sample_entry())


def _trex(track: Track) -> bytes:
    # sample description 1; every fragment states its other defaults itself
    return full_box(b"trex", 0, 0, struct.pack(">5I", track.track_id, 1, 0, 0, 0))


def _language(language: str) -> int:
    """Pack an ISO 639-2/T code (8.4.2.3); whatever is no such code becomes 'und'."""
    language = language.lower()
    if not (len(language) == 3 and language.isascii() and language.isalpha()):
        language = "und"
    first, second, third = (ord(letter) - 0x60 for letter in language)
    return first << 10 | second << 5 | third
