"""The codecs that are built in, by FLV's numbers (FLV 10.1 E.4) and Enhanced RTMP's FourCCs."""

from rapidrtmp.codecs.aac import AACConfig
from rapidrtmp.codecs.ac3 import AC3Config, EAC3Config
from rapidrtmp.codecs.av1 import AV1Config
from rapidrtmp.codecs.flac import FLACConfig
from rapidrtmp.codecs.h264 import H264Config
from rapidrtmp.codecs.h265 import H265Config
from rapidrtmp.codecs.mp3 import MP3Config
from rapidrtmp.codecs.opus import OpusConfig
from rapidrtmp.codecs.vp8 import VP8Config
from rapidrtmp.codecs.vp9 import VP9Config
from rapidrtmp.media.codec import CodecRegistry


def _fourcc(name: bytes) -> int:
    """Return a FourCC as the big-endian number that metadata and registry use."""
    return int.from_bytes(name, "big")


REGISTRY = CodecRegistry(
    video={
        7: H264Config.parse,
        12: H265Config.parse,
        _fourcc(b"avc1"): H264Config.parse,
        _fourcc(b"hvc1"): H265Config.parse,
        _fourcc(b"av01"): AV1Config.parse,
        _fourcc(b"vp08"): VP8Config.parse,
        _fourcc(b"vp09"): VP9Config.parse,
    },
    video_frames={
        _fourcc(b"vp08"): VP8Config.from_frame,
    },
    audio={
        10: AACConfig.parse,
        _fourcc(b"mp4a"): AACConfig.parse,
        _fourcc(b"Opus"): OpusConfig.parse,
        _fourcc(b"fLaC"): FLACConfig.parse,
    },
    audio_frames={
        2: MP3Config.from_frame,
        14: MP3Config.from_frame,
        _fourcc(b".mp3"): MP3Config.from_frame,
        _fourcc(b"ac-3"): AC3Config.from_frame,
        _fourcc(b"ec-3"): EAC3Config.from_frame,
        # its record may be left out
        _fourcc(b"Opus"): OpusConfig.from_frame,
    },
    video_names={
        1: "JPEG",
        2: "Sorenson H.263",
        3: "Screen Video",
        4: "On2 VP6",
        5: "On2 VP6 with alpha",
        6: "Screen Video 2",
        7: "H.264",
        12: "HEVC, unofficial id",
        13: "AV1, unofficial id",
        _fourcc(b"avc1"): "H.264",
        _fourcc(b"hvc1"): "HEVC",
        _fourcc(b"vvc1"): "VVC",
        _fourcc(b"av01"): "AV1",
        _fourcc(b"vp08"): "VP8",
        _fourcc(b"vp09"): "VP9",
    },
    audio_names={
        0: "linear PCM, platform endian",
        1: "ADPCM",
        2: "MP3",
        3: "linear PCM, little endian",
        4: "Nellymoser 16 kHz",
        5: "Nellymoser 8 kHz",
        6: "Nellymoser",
        7: "G.711 A-law",
        8: "G.711 mu-law",
        10: "AAC",
        11: "Speex",
        14: "MP3 8 kHz",
        15: "device-specific sound",
        _fourcc(b"mp4a"): "AAC",
        _fourcc(b"Opus"): "Opus",
        _fourcc(b"fLaC"): "FLAC",
        _fourcc(b".mp3"): "MP3",
        _fourcc(b"ac-3"): "AC-3",
        _fourcc(b"ec-3"): "E-AC-3",
    },
)
"""Handed to the FLV demuxer, which knows no codec itself."""
