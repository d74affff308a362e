"""What one end of a connection can do beyond RTMP 1.0 (Enhanced RTMP v2, NetConnection.connect)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rapidrtmp.amf.values import Value

CAN_DECODE: Final = 1
CAN_ENCODE: Final = 2
CAN_FORWARD: Final = 4
"""FourCcInfoMask: what can be done with a codec."""

RECONNECT: Final = 1
MULTITRACK: Final = 2
MODEX: Final = 4
TIMESTAMP_NANO_OFFSET: Final = 8
"""CapsExMask."""

ANY: Final = "*"
"""In place of a FourCC: all codecs, or all others."""
MAX_FOURCCS: Final = 64
"""Codecs that are kept of each list; the specification knows twelve."""

_MASK = 0xFF  # twice the bits that the specification gives a meaning


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a connect command, or the answer to it, announces."""

    fourccs: frozenset[str] = frozenset()
    """Of ``fourCcList``, the older form: codecs that can be taken in some way."""
    video: Mapping[str, int] = field(default_factory=dict)
    """Of ``videoFourCcInfoMap``: FourCC or `ANY` to FourCcInfoMask."""
    audio: Mapping[str, int] = field(default_factory=dict)
    """Of ``audioFourCcInfoMap``: FourCC or `ANY` to FourCcInfoMask."""
    caps_ex: int = 0
    """CapsExMask."""
    video_function: int = 0
    """``videoFunction``; Enhanced RTMP: 2 HDR, 4 metadata packets, 8 large-scale tiles."""

    @classmethod
    def read(cls, properties: Mapping[str, Value]) -> "Capabilities":
        """Take the capabilities out of a command object; what makes no sense is left out."""
        return cls(
            fourccs=_read_list(properties.get("fourCcList")),
            video=_read_masks(properties.get("videoFourCcInfoMap")),
            audio=_read_masks(properties.get("audioFourCcInfoMap")),
            caps_ex=_read_mask(properties.get("capsEx")),
            video_function=_read_mask(properties.get("videoFunction")),
        )

    @property
    def is_enhanced(self) -> bool:
        """Whether anything of Enhanced RTMP is announced. ``videoFunction`` alone is older."""
        return bool(self.fourccs or self.video or self.audio or self.caps_ex)

    def takes(self, fourcc: str) -> bool:
        """Tell whether media of a codec can be sent to this end: it plays it or passes it on."""
        if fourcc in self.fourccs or ANY in self.fourccs:
            return True
        wanted = CAN_DECODE | CAN_FORWARD
        return any(
            masks.get(fourcc, masks.get(ANY, 0)) & wanted for masks in (self.video, self.audio)
        )

    def members(self) -> dict[str, Value]:
        """Return what announces these capabilities in a command object; nothing for none."""
        members: dict[str, Value] = {}
        if self.fourccs:
            members["fourCcList"] = [*sorted(self.fourccs)]
        if self.video:
            members["videoFourCcInfoMap"] = {name: float(n) for name, n in self.video.items()}
        if self.audio:
            members["audioFourCcInfoMap"] = {name: float(n) for name, n in self.audio.items()}
        if self.caps_ex:
            members["capsEx"] = float(self.caps_ex)
        if self.video_function:
            members["videoFunction"] = float(self.video_function)
        return members


PLAIN: Final = Capabilities()
"""Of somebody who says nothing of Enhanced RTMP."""


def _is_fourcc(name: str) -> bool:
    return len(name) == 4 or name == ANY


def _read_list(value: Value) -> frozenset[str]:
    if not isinstance(value, list):
        return frozenset()
    return frozenset(
        name for name in value[:MAX_FOURCCS] if isinstance(name, str) and _is_fourcc(name)
    )


def _read_masks(value: Value) -> dict[str, int]:
    if not isinstance(value, dict):
        return {}
    masks: dict[str, int] = {}
    for name, number in value.items():
        if len(masks) < MAX_FOURCCS and _is_fourcc(name):
            masks[name] = _read_mask(number)
    return masks


def _read_mask(value: Value) -> int:
    if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return 0
    return int(value) & _MASK
