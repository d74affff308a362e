"""The order in which segments are listed that viewers fetch elsewhere: stored first."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from rapidrtmp.hls.segment import Segment
from rapidrtmp.hls.window import RenditionWindow
from rapidrtmp.interfaces import IMediaURLs
from rapidrtmp.outputs.counters import HLSCounters

LONGEST_PATIENCE = 2.0
"""Seconds that a segment waits for its URL at most: a player's buffer must cover it."""
AT_ORIGIN = ""
"""The URL of a segment that is listed with this server's own URI."""
_SOON = 0.001
"""Seconds by which a timer may be early."""


@dataclass(slots=True, eq=False)
class Unlisted:
    """A complete segment that no playlist names yet."""

    window: RenditionWindow
    segment: Segment
    url: str | None = None
    """None while it is not known."""
    due: float = 0.0
    """Unix time at which patience ends."""
    asked: Deferred[str] | None = None
    """Will tell the URL."""
    is_listed: bool = False


class Listing:
    """Holds complete segments until they are stored and their URL is known, in order.

    All tracks of the stream stand in one line, so that renditions stay in lock step. Who
    waits for too long is listed at the origin; what is listed never changes. Where nothing is
    fetched elsewhere nobody waits.
    """

    _log = Logger()

    def __init__(
        self,
        urls: IMediaURLs | None,
        clock: IReactorTime,
        counters: HLSCounters,
        is_failing: Callable[[], bool],
        listed: Callable[[Sequence[tuple[RenditionWindow, Segment]]], None],
    ) -> None:
        """Make an empty one.

        Args:
            urls: gives the URL of each segment, once; None when all is fetched from here.
            clock: tells the time.
            counters: learns who was late.
            is_failing: tells whether storage is known to fail: nobody waits then.
            listed: called with segments that are to be listed now.
        """
        self._urls = urls
        self._clock = clock
        self._counters = counters
        self._is_failing = is_failing
        self._listed = listed
        self._line: deque[Unlisted] = deque()
        self._timer: IDelayedCall | None = None
        self._emptied: Deferred[None] | None = None
        self._has_failed = False

    def when_stored(self, entry: Unlisted, path: str) -> Callable[[], None] | None:
        """Return what is to be called, if anything, when a segment is stored at `path`."""
        return None if self._urls is None else partial(self._ask, self._urls, entry, path)

    def add(self, entries: Sequence[Unlisted], target_duration: int) -> None:
        """Let complete segments stand in line.

        Args:
            entries: in order, stored or under way.
            target_duration: seconds; who waits for half of it is late.
        """
        if self._urls is None:
            self._listed([(entry.window, entry.segment) for entry in entries])
            return
        patience = min(LONGEST_PATIENCE, target_duration / 2)
        due = self._clock.seconds() + patience
        for entry in entries:
            entry.due = due
            if entry.segment.is_gap:
                entry.url = AT_ORIGIN
        self._line.extend(entries)
        self._advance()

    def flush(self) -> None:
        """List everything now, with what is known."""
        for entry in self._line:
            entry.url = entry.url or AT_ORIGIN
        self._advance()

    def emptied(self) -> Deferred[None]:
        """Fire when nobody stands in line, which patience bounds."""
        if not self._line:
            return succeed(None)
        if self._emptied is None:
            self._emptied = Deferred()
        emptied: Deferred[None] = Deferred()
        self._emptied.chainDeferred(emptied)
        return emptied

    def _ask(self, urls: IMediaURLs, entry: Unlisted, path: str) -> None:
        """Ask for the URL of a segment that is stored."""
        if entry.is_listed:
            return

        def answered(url: str) -> None:
            entry.asked = None
            entry.url = url
            self._advance()

        def found(url: str) -> None:
            self._has_failed = False
            if not entry.is_listed:
                answered(url)

        def failed(failure: Failure) -> None:
            if entry.is_listed:
                return
            if not self._has_failed:
                self._has_failed = True
                self._log.error(
                    "no URL for {path}: {error}; it is listed at the origin",
                    path=path,
                    error=failure.getErrorMessage(),
                )
            answered(AT_ORIGIN)

        entry.asked = maybeDeferred(urls.url_for, path)
        entry.asked.addCallbacks(found, failed)

    def _advance(self) -> None:
        """List those whose turn has come."""
        soon = self._clock.seconds() + _SOON
        is_failing = self._is_failing()
        ready: list[tuple[RenditionWindow, Segment]] = []
        late: list[Deferred[str]] = []
        while self._line:
            entry = self._line[0]
            if entry.url is None and not is_failing and entry.due > soon:
                break
            del self._line[0]
            segment = entry.segment
            if entry.url:
                segment = replace(segment, url=entry.url)
            elif not segment.is_gap:
                self._counters.segments_listed_at_origin += 1
            entry.is_listed = True
            if entry.asked is not None:
                late.append(entry.asked)
                entry.asked = None
            ready.append((entry.window, segment))
        self._set_timer()
        if ready:
            self._listed(ready)
        for asked in late:
            asked.cancel()
        if self._emptied is not None and not self._line:
            emptied, self._emptied = self._emptied, None
            emptied.callback(None)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._line:
            pause = max(0.0, self._line[0].due - self._clock.seconds())
            self._timer = self._clock.callLater(pause, self._overdue)

    def _overdue(self) -> None:
        self._timer = None
        self._advance()
