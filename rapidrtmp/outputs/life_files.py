"""The files of a stream's life: what is served, what storage has, and when it goes away."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from rapidrtmp.interfaces import IStorage, NotFound, NotReady, Representation
from rapidrtmp.outputs.commit import CommitQueue
from rapidrtmp.outputs.files import media_file, playlist_file
from rapidrtmp.outputs.read_cache import ReadCache

Path = tuple[str, ...]
"""The parts of an address below the stream's key."""


class Past(Protocol):
    """What must be known of the DVR window."""

    def lists(self, uri: str) -> bool:
        """Tell whether a file is listed there, by its URI relative to the life."""

    def lose(self, uri: str) -> None:
        """Learn that storage does not have a segment, and never will."""


class LifeFiles:
    """Everything that can be asked for is a `Representation` in one index.

    What is shown is stored as well, behind the viewers' back. What left the window is fetched
    from storage until it is deleted there.
    """

    def __init__(
        self,
        key: str,
        life: str,
        queue: CommitQueue,
        storage: IStorage,
        reads: ReadCache,
        clock: IReactorTime,
    ) -> None:
        """Make an empty index.

        Args:
            key: the stream key.
            life: names the life in URLs.
            queue: the stream's way into storage.
            storage: has what the queue has put there.
            reads: reads media of it, once for all who ask.
            clock: tells unix time.
        """
        self._key = key
        self._life = life
        self._queue = queue
        self._storage = storage
        self._reads = reads
        self._clock = clock
        self.shown: dict[Path, Representation] = {}
        """What is served out of memory."""
        self._retired: deque[tuple[float, Path, int]] = deque()
        self.trimmed_bytes = 0
        """Of what was retired before its time and is not deleted yet."""
        # Listed segments whose only copy is in memory, by URI: storage has given them up.
        self._unstored: set[str] = set()
        self.past: Past
        """The DVR window of this life. The owner sets it."""

    def path(self, uri: str) -> Path:
        """Return the path of a file below the life."""
        return (self._life, *uri.split("/"))

    def in_storage(self, path: Path) -> str:
        """Return the path of a file in storage."""
        return "/".join((self._key, *path))

    def named(self, uris: Iterable[str]) -> list[str]:
        """Return the paths in storage of files, by their URIs relative to the life."""
        return [f"{self._key}/{self._life}/{uri}" for uri in uris]

    def store(
        self,
        path: Path,
        file: Representation,
        names: Collection[str] = (),
        *,
        stored_as: Representation | None = None,
    ) -> None:
        """Make a file seen, and have it stored, unless it is already.

        Args:
            path: of the file.
            file: it.
            names: of a playlist: paths in storage of the files that it refers to.
            stored_as: what storage gets, where that is something else.
        """
        if self.shown.get(path) != file:
            self.shown[path] = file
            self._queue.put(self.in_storage(path), stored_as or file, names)

    def store_segment(
        self, uri: str, pieces: Sequence[bytes], stored: Callable[[], None] | None
    ) -> None:
        """Make a segment seen, and have it stored, if storage takes it in time.

        Args:
            uri: relative to the life.
            pieces: of the segment.
            stored: called when it is there.
        """
        path = self.path(uri)
        file = self.shown[path] = media_file(path, pieces)
        self._queue.put(
            self.in_storage(path),
            file,
            is_expendable=True,
            stored=stored,
            lost=partial(self._lost, uri),
        )

    def waits(self, uri: str) -> bool:
        """Tell whether a file is not stored, by its URI relative to the life: not yet, or never."""
        waiting = self._queue.waiting(self.in_storage(self.path(uri)))
        return waiting is not None or uri in self._unstored

    @property
    def is_stored(self) -> bool:
        """Whether storage has all that it was given."""
        return not (self._queue.bytes_waiting or self._unstored)

    def fetch(self, path: Path) -> Representation | Deferred[Representation]:
        """Find a file that is not shown: on its way to storage, or there.

        Returns:
            The file, or fires with it. Fails with NotFound, or NotReady when storage does.
        """
        # What left the window faster than it is stored is still here.
        waiting = self._queue.waiting(self.in_storage(path))
        if waiting is not None:
            return waiting
        is_playlist = path[-1].endswith(".m3u8")

        def fetched(body: bytes) -> Representation:
            return playlist_file(body) if is_playlist else media_file(path, body)

        def failed(failure: Failure) -> Failure:
            if isinstance(failure.value, OSError):
                raise NotReady("the storage does not answer")
            if isinstance(failure.value, NotFound) and path[0] == self._life:
                self.past.lose("/".join(path[1:]))
            return failure

        get = self._storage.get if is_playlist else self._reads.get
        return get(self.in_storage(path)).addCallbacks(fetched, failed)

    def retire(self, uris: Collection[str], seconds: float, *, is_early: bool = False) -> None:
        """Serve files no more out of memory; storage keeps them while players may ask for them.

        Args:
            uris: relative to the life.
            seconds: for which they may.
            is_early: whether it is before their time, to save memory.
        """
        due = self._clock.seconds() + seconds
        for uri in uris:
            path = self.path(uri)
            file = self.shown.pop(path, None)
            if file is not None:
                self._queue.hold(self.in_storage(path))
                if not self.past.lists(uri):
                    size = file.size if is_early else 0
                    self.trimmed_bytes += size
                    self._retired.append((due, path, size))
            if uri in self._unstored:
                self._unstored.remove(uri)
                self.past.lose(uri)

    def retire_past(self, uris: Collection[str], seconds: float) -> None:
        """Keep files that left the DVR window for a while, as `retire` does."""
        due = self._clock.seconds() + seconds
        self._retired.extend((due, self.path(uri), 0) for uri in uris)

    def delete_due(self) -> None:
        """Delete what was retired long enough ago (RFC 8216 section 6.2.2)."""
        now = self._clock.seconds()
        while self._retired and self._retired[0][0] <= now:
            _, path, size = self._retired.popleft()
            self.trimmed_bytes -= size
            # else a configuration that came back
            if path not in self.shown and not self.past.lists("/".join(path[1:])):
                self._reads.forget(self.in_storage(path))
                self._queue.delete(self.in_storage(path))

    def release_media(self) -> None:
        """Leave all media to storage."""
        for uri in self._unstored:
            self.past.lose(uri)
        self._unstored.clear()
        for path in [path for path in self.shown if len(path) == 3]:
            del self.shown[path]
            self._queue.hold(self.in_storage(path))

    def clear(self) -> None:
        """Forget everything. What is stored stays there."""
        for path in self.shown:
            self._queue.hold(self.in_storage(path))
        self.shown.clear()
        self._retired.clear()
        self.trimmed_bytes = 0
        self._unstored.clear()

    def _lost(self, uri: str) -> None:
        """Storage will never have a segment."""
        if self.path(uri) in self.shown:
            self._unstored.add(uri)
        else:
            self.past.lose(uri)
