"""What a demuxer could not use: counted by reason, unsupported codecs by name."""

from collections.abc import Mapping

from rapidrtmp.flv.tag import MAX_CODEC_ID

MAX_TRACKS = 8
"""Of each kind. Track 0 always has its place; of others, the first that are configured do."""
MAX_NAMES = 16
"""Unsupported codecs that are named; the field has fewer, FourCCs of garbage have no end."""

LOST = (
    "short",
    "no_config",
    "no_keyframe",
    "nal_unit",
    "obu",
    "frame",
    "audio_frame",
    "unsupported_codec",
)
"""Reasons that cost a frame; the others are repairs, or no frames."""


class Losses:
    """Counts what one publication sent in vain."""

    __slots__ = ("dropped", "unsupported")

    def __init__(self) -> None:
        self.dropped: dict[str, int] = {}
        """What was left out or put right, by reason:

        - short: a message, or a track's part of one, that ends before it says
        - config: a broken or oversized configuration record or parameter set
        - no_config, no_keyframe: frames before the first configuration, or the first frame
          at which a decoder can start
        - no_picture: access units without a picture
        - nal_unit, obu: damaged NAL units or OBUs, the rest of the access unit was kept
        - frame, audio_frame: frames that cannot be read, of codecs where they have to be
        - composition_time: an absurd composition time was read as 0
        - channels: a MultichannelConfig that contradicts the codec's own configuration
        - packet_type, unsupported_codec: audio and video that means nothing here, tracks
          that are too many
        - data: data messages and video metadata that cannot be read
        """
        self.unsupported: set[str] = set()
        """What was refused, for people: 'HEVC (hvc1)', 'Speex (11)'."""

    def drop(self, reason: str) -> None:
        """Count one message, or one frame of it."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def refuse(self, name: str) -> None:
        """Drop a message that is of no supported kind; put the kind down once."""
        self.drop("unsupported_codec")
        if len(self.unsupported) < MAX_NAMES:
            self.unsupported.add(name)


def codec_name(codec: int, names: Mapping[int, str]) -> str:
    """Say which codec a CodecID, SoundFormat or FourCC means, printable whatever it is."""
    label = str(codec)
    if codec > MAX_CODEC_ID:
        fourcc = codec.to_bytes(4, "big")
        label = fourcc.decode("ascii", "replace")
        if not (label.isascii() and label.isprintable()):
            label = f"0x{fourcc.hex()}"
    return f"{names.get(codec, 'unknown codec')} ({label})"
