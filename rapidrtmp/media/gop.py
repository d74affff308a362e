"""What a new viewer is given at once, and what waits for a slow one: bounded, pure."""

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final, Generic, Protocol, TypeVar

MAX_FRAMES: Final = 2500
"""Frames of one cached GOP: 20 s of 60 frames/s with sound. Tiny ones have no bound in bytes."""


class Coded(Protocol):
    """A frame, as far as it matters when to send it."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def ms(self) -> int:
        """Decoding time in ms, 64 bit."""

    @property
    def is_start(self) -> bool:
        """Whether a viewer can start here."""


T = TypeVar("T", bound=Coded)


Kept = TypeVar("Kept")


class GOPCache(Generic[Kept]):
    """The frames since the newest one at which a viewer can start, in whatever form.

    A GOP over a bound is forgotten as a whole: until the next one starts, newcomers wait.
    """

    def __init__(self, max_bytes: int) -> None:
        """Make an empty cache.

        Args:
            max_bytes: of all its frames; 0 for no cache.
        """
        self.max_bytes = max_bytes
        self.frames: list[Kept] = []
        """In the order in which they came; replaced, not emptied, when a GOP starts."""
        self._size = 0

    def add(self, frame: Kept, size: int, is_start: bool) -> None:
        """Take the next frame. The hot path.

        Args:
            frame: is kept.
            size: what it counts for, in bytes.
            is_start: whether a viewer can start here.
        """
        if is_start:
            self.frames = []
            self._size = 0
        elif not self.frames:
            return
        self._size += size
        if self._size > self.max_bytes or len(self.frames) >= MAX_FRAMES:
            self.clear()
        else:
            self.frames.append(frame)

    @property
    def size(self) -> int:
        """What its frames count for, in bytes."""
        return self._size if self.frames else 0

    def clear(self) -> None:
        """Forget the GOP."""
        self.frames = []


class SendQueue(Generic[T]):
    """Frames that wait until a receiver has read what was sent to it.

    Past half of either bound the receiver is behind: all that waits is dropped but what
    begins with the newest start. A receiver that reads nothing while a whole bound goes by
    is not worth waiting for.
    """

    def __init__(self, max_bytes: int, max_seconds: float) -> None:
        """Make an empty queue.

        Args:
            max_bytes: that may go by while nothing is read; half as many may wait.
            max_seconds: the same in media time.
        """
        self._max_bytes = max_bytes
        self._max_ms = int(1000 * max_seconds)
        self._frames: deque[T] = deque()
        self._early = 0  # frames of the beginning that wait still: they do not count
        self.size = 0
        """Bytes that wait, but those of the beginning."""
        self._unread = 0  # bytes that came since something was taken
        self._since: int | None = None  # ms of the first of them
        self.dropped = 0
        """Frames that were dropped."""
        self.lost_start = False
        """Whether the newest drop left no start: what comes next is of no use before one does.
        The owner puts it back."""

    def __len__(self) -> int:
        return len(self._frames)

    def begin(self, frames: Sequence[T]) -> None:
        """Put what a newcomer is given into the empty queue.

        It is shared with others and bounded elsewhere: it may be more than may wait later.
        """
        self._frames.extend(frames)
        self._early = len(frames)

    def push(self, frame: T) -> bool:
        """Add a frame; tell whether the receiver is still worth it."""
        if self._since is None:
            self._since = frame.ms
        self._unread += frame.size
        if self._unread > self._max_bytes or frame.ms - self._since > self._max_ms:
            return False
        self._frames.append(frame)
        self.size += frame.size
        while self._frames and self._is_behind(frame.ms):
            self._drop()
        return True

    def pop(self) -> T:
        """Take the frame that is next. It counts as read.

        Raises:
            IndexError: the queue is empty.
        """
        frame = self._frames.popleft()
        self._since = None
        self._unread = 0
        if self._early:
            self._early -= 1
        else:
            self.size -= frame.size
        return frame

    def clear(self) -> None:
        """Forget all that waits."""
        self._frames.clear()
        self._early = self.size = self._unread = 0
        self._since = None

    def _is_behind(self, now: int) -> bool:
        """Whether more waits than may, at the decoding time `now` in ms."""
        oldest = self._frames[self._early].ms
        return 2 * self.size > self._max_bytes or 2 * (now - oldest) > self._max_ms

    def _drop(self) -> None:
        """Go on at the newest start, unless that is the first frame: then at the next."""
        frames = self._frames
        count = len(frames)
        start = count - 1
        while start >= 0 and not frames[start].is_start:
            start -= 1
        if start <= 0:
            start = count
            self.lost_start = True
        self._frames = deque(islice(frames, start, None))
        self.dropped += start
        self._early = 0
        self.size = sum(frame.size for frame in self._frames)
