"""What a queue of files does, step by step."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from rapidrtmp.interfaces import Representation


@dataclass(slots=True, eq=False)
class Playlist:
    """What is written again and again."""

    waiting: list["Put"] = field(default_factory=list)
    """Versions: the newest, and before it the oldest if the newest must wait for longer."""
    written: float | None = None
    """Unix time of its last write."""
    foreign_writes: int = 0
    """Under way in other queues, which left it to this one."""


@dataclass(slots=True, eq=False)
class Put:
    """A file that is to be written."""

    path: str
    file: Representation
    names: Collection[str]
    """Paths that it refers to: it is written only if all of them were."""
    is_expendable: bool
    since: float
    """Unix time."""
    stored: Callable[[], None] | None
    playlist: Playlist | None
    """Whose version it is."""
    turn: int
    """Of all that is put, those with lower numbers go first."""
    tries: int = 0
    """That failed."""
    lost: Callable[[], None] | None = None
    """Called when it is given up."""
    is_shared: bool = False
    """Whether its bytes are in memory anyway: it is a segment that the window has."""
    answered: Callable[[], None] | None = None
    """Set when its playlist was left to another queue while the try was under way."""


@dataclass(slots=True, eq=False)
class Delete:
    """A file that is to be deleted."""

    path: str
    tries: int = 0
    """That failed."""
