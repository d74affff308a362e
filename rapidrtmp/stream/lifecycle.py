"""The states of a stream, and what of it outlives the process."""

import re
from dataclasses import dataclass
from enum import Enum
from math import inf, isfinite
from typing import Any

from rapidrtmp.media.key import is_stream_key

EPOCH = 1_577_836_800
"""2020-01-01T00:00:00Z, from which first Media Sequence Numbers are counted."""
LIFE = re.compile(r"[0-9a-f]{16}")
"""The name of a life."""
RESERVE = 1000
"""Media Sequence Numbers that one write of the record covers."""


class StreamState(Enum):
    """The states of the API's contract."""

    IDLE = "idle"
    """Nobody publishes; the stream waits out its grace."""
    CONNECTING = "connecting"
    """A publisher is accepted, its tracks are not known yet."""
    LIVE = "live"
    STOPPING = "stopping"
    """The publisher is told to go."""
    STOPPED = "stopped"
    """Over for good."""


@dataclass(frozen=True, slots=True)
class Record:
    """What must survive the process so that viewers notice nothing but a discontinuity."""

    key: str
    life: str
    """Names the stream's life in URLs; unguessable."""
    reserved: int
    """No Media Sequence Number from here on was ever used."""
    discontinuity: int
    target_duration: int | None
    """EXT-X-TARGETDURATION in seconds, once decided."""
    part_target: float | None
    """PART-TARGET in seconds, 0 for no parts, decided with the target duration."""
    idle_since: float | None
    """Unix time at which the publisher left; None while it was there."""

    def as_json(self) -> dict[str, Any]:
        """Return the record's form in its file."""
        return {
            "life": self.life,
            "reserved": self.reserved,
            "discontinuity": self.discontinuity,
            "targetDuration": self.target_duration,
            "partTarget": self.part_target,
            "idleSince": self.idle_since,
        }

    @classmethod
    def from_json(cls, key: str, value: object) -> "Record":
        """Read a record.

        Raises:
            ValueError: it is not one.
        """
        match value:
            case {
                "life": str(life),
                "reserved": int(reserved),
                "discontinuity": int(discontinuity),
                "targetDuration": int() | None as target_duration,
                "idleSince": int() | float() | None as idle_since,
                **others,
            } if (
                is_stream_key(key)
                and LIFE.fullmatch(life)
                and reserved >= 0
                and discontinuity >= 0
                and (target_duration is None or target_duration > 0)
                and (idle_since is None or isfinite(idle_since))
            ):
                # A life of a version without parts has none: its playlists never said so.
                part_target = others.get("partTarget", None if target_duration is None else 0.0)
                if part_target is None or (
                    isinstance(part_target, int | float) and 0 <= part_target < inf
                ):
                    return cls(
                        key,
                        life,
                        reserved,
                        discontinuity,
                        target_duration,
                        part_target,
                        idle_since,
                    )
        raise ValueError(f"no valid record for the key {key[:128]!r}")


def first_sequence(now: float, reserved: int = 0) -> int:
    """Return a Media Sequence Number that is above all used before, even by a lost record.

    Two numbers a second: faster than any segments follow each other.

    Args:
        now: unix time.
        reserved: the record's, if there is one.
    """
    return max(reserved, int(2 * (now - EPOCH)))
