"""The memory budget of all streams: windows get shorter, then newcomers are refused."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush

from twisted.logger import Logger

from rapidrtmp.interfaces import IMediaWindow

KINDS = (
    "window",
    "upload",
    "storage",
    "gop",
    "players",
    "thumbnails",
    "past",
    "transport",
)
"""Of media in memory: segments that playlists have; files that only wait to be stored; what memory
storage has besides; the newest GOPs; queues of players; key frames and pictures; what was read of
the past; MPEG-TS segments."""
TRIM = 0.9
"""Part of the budget above which windows are trimmed."""
GROW = 0.8
"""Part of it up to which trimmed windows grow again. The gap keeps them from doing both in turn."""
NEWCOMER = 3 * 1024 * 1024
"""Bytes that a stream is taken to need at least while none is there to tell: 8 s of 2.5 Mbit/s."""


class MemoryBudget:
    """How much media all streams may keep in memory, and what is done about it.

    What is kept is counted by who keeps it; once a second that is added up.
    """

    _log = Logger()

    def __init__(
        self,
        size: int,
        kept: Callable[[], Iterable[Mapping[str, int]]],
        windows: Callable[[], Collection[IMediaWindow]],
        release: Callable[[], None] = lambda: None,
        leaving: Callable[[], int] = lambda: 0,
    ) -> None:
        """Make a budget.

        Args:
            size: bytes. May be changed at any time.
            kept: tells what each of all who keep media keeps: bytes by kind.
            windows: gives those of all live streams.
            release: called while memory is short: lets go of what can be had elsewhere, too.
            leaving: tells how many of the bytes that are kept were trimmed, and go away by
                themselves.
        """
        self.size = size
        """Bytes."""
        self._kept = kept
        self._windows = windows
        self._release = release
        self._leaving = leaving
        self.trimmed = 0
        """Segments that left windows early; all renditions' count as one."""
        self.is_short = False
        """Whether there are trimmed windows."""
        self._is_full = False  # at the newest tick: anybody may ask, and it takes a while to tell

    def used_by_kind(self) -> Mapping[str, int]:
        """Return the bytes of media that are kept now."""
        used = Counter(dict.fromkeys(KINDS, 0))
        for each in self._kept():
            used.update(each)
        return used

    @property
    def used(self) -> int:
        """Bytes of media that are kept now."""
        return sum(self.used_by_kind().values())

    @property
    def trimmed_streams(self) -> int:
        """Live streams whose windows are trimmed."""
        return sum(window.is_trimmed for window in self._windows())

    def check(self) -> str:
        """Return 'ok', or what is wrong in plain words: a check of ``/ready``."""
        words = ["playlists are shorter than usual"] if self.is_short else []
        if self._is_full:
            words.append("there is no room for another stream")
        return f"MEMORY_BUDGET: {', '.join(words)}" if words else "ok"

    def refusal(self) -> str:
        """Return why there is no room for one more stream, in plain words; empty if there is.

        There must be room for all windows at their shortest, those included that fill up yet.
        """
        settled: list[int] = []
        filling: list[int] = []
        needed = self.used
        for window in self._windows():
            spare = sum(window.dispensable())
            needed -= spare
            is_settled = spare or window.is_trimmed
            (settled if is_settled else filling).append(window.kept_bytes - spare)
        usual = sum(settled) // len(settled) if settled else NEWCOMER
        needed += sum(max(0, usual - size) for size in filling)
        if needed + usual <= self.size:
            return ""
        return (
            f"the server's memory for media, {self.size // 2**20} MiB, is taken: end another "
            "stream, or raise MEMORY_BUDGET"
        )

    def tick(self) -> None:
        """Trim windows, or let them grow. To be called once a second."""
        if self.is_short or self._is_full:
            self._release()
        used = self.used
        self._is_full = used > self.size / 2 and bool(self.refusal())
        if used > TRIM * self.size:
            # Nothing more is trimmed for what is only to be deleted yet.
            self._trim(used - self._leaving() - TRIM * self.size)
        elif self.is_short:
            self._grow(used)

    def _trim(self, excess: float) -> None:
        windows = self._windows()
        counts = plan([(window.kept_bytes, window.dispensable()) for window in windows], excess)
        for window, count in zip(windows, counts, strict=True):
            if count:
                window.trim(count)
                self.trimmed += count
        if not self.is_short and any(counts):
            self.is_short = True
            self._log.warn(
                "media fills the memory budget of {size} MiB (MEMORY_BUDGET): playlists get "
                "shorter",
                size=self.size // 2**20,
            )

    def _grow(self, used: int) -> None:
        """Give the shortest windows one more segment, as far as there is room for it."""
        windows = self._windows()
        room = GROW * self.size - used - sum(window.promised for window in windows)
        trimmed = sorted(
            (window for window in windows if window.is_trimmed),
            key=lambda window: window.kept_bytes,
        )
        for window in trimmed:
            room -= window.segment_bytes
            if room < 0:
                return
            window.grow()
        if not trimmed:
            self.is_short = False
            self._log.info("media fits the memory budget again: playlists have their full length")


def plan(windows: Sequence[tuple[int, Sequence[int]]], excess: float) -> list[int]:
    """Choose what is trimmed: again and again the oldest segment of whoever keeps most.

    Args:
        windows: the bytes that each keeps, and those of the segments that it can do without, the
            oldest first.
        excess: bytes that are to be freed, as far as possible.

    Returns:
        How many segments leave each window.
    """
    counts = [0] * len(windows)
    heap = [(-kept, index) for index, (kept, sizes) in enumerate(windows) if sizes]
    heapify(heap)
    while excess > 0 and heap:
        negative, index = heappop(heap)
        sizes = windows[index][1]
        size = sizes[counts[index]]
        excess -= size
        counts[index] += 1
        if counts[index] < len(sizes):
            heappush(heap, (negative + size, index))
    return counts
