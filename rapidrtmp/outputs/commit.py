"""Puts a stream's files into storage, behind the live stream's back."""

from collections.abc import Callable, Collection, Iterator
from functools import partial

from twisted.internet.defer import Deferred, TimeoutError, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from rapidrtmp.interfaces import Representation
from rapidrtmp.outputs.steps import Delete, Playlist, Put
from rapidrtmp.outputs.uploads import Uploads

UPLOAD_TIMEOUT = 60.0
"""Seconds after which a try is given up that the store does not answer: storage has shorter
deadlines of its own, this one is for those that were forgotten."""
PLAYLIST_INTERVAL = 1.0
"""Seconds between two writes of the same playlist: object stores allow about one a second."""
PUTS_PER_DELETE = 3
"""Deletes wait for puts, but each gets its turn after so many: a store may be always busy."""
MAX_DELETES = 10_000
"""Deletes that may wait, for hours of a store that is always late. What was not deleted goes
with its life."""
DELETE_TRIES = 4
"""Tries to delete a file."""
DELETE_PAUSE = 30.0
"""Seconds until what could not be deleted is tried again."""
_SOON = 0.001
"""Seconds by which a timer may be early."""


class CommitQueue:
    """One stream's way into storage: one step after the other, what is put in order, but a
    playlist never before what it names; deletes when there is time.

    A store that fails is tried again with growing pauses while the queue fills. Past the
    bound of `Uploads` the oldest segments are given up, and with them the playlists that name
    them. An answer that comes after its try was given up counts for nothing.
    """

    FIRST_PAUSE = 0.5
    LONGEST_PAUSE = 15.0
    """Seconds between two tries; each is cut by up to half at random."""
    LAST_TRIES = 2
    """Failures in a row after which files are given up once the queue is to end."""

    def __init__(self, uploads: Uploads) -> None:
        """Make an empty queue into the storage of `uploads`, to which it reports."""
        self._uploads = uploads
        self._storage = uploads.storage
        self._clock = uploads.clock
        # What waits, by path, in order.
        self._files: dict[str, Put] = {}
        self._playlists: dict[str, Playlist] = {}
        self._deletes: dict[str, Delete] = {}
        self._failed_deletes: dict[str, Delete] = {}
        self._current: Put | Delete | None = None
        self._retry: IDelayedCall | None = None
        self._delete_retry: IDelayedCall | None = None
        self._playlist_due: IDelayedCall | None = None
        self._starting = False
        self._turns = 0
        self._puts_in_a_row = 0
        self._lost: set[str] = set()
        self._pause = self.FIRST_PAUSE
        self._failures = 0  # in a row
        self._flushing: Deferred[None] | None = None
        self.bytes_waiting = 0
        """Of files that are not stored yet."""
        self.error: str | None = None
        """Why the newest try failed; None when it did not."""

    def put(
        self,
        path: str,
        file: Representation,
        names: Collection[str] = (),
        *,
        is_expendable: bool = False,
        stored: Callable[[], None] | None = None,
        lost: Callable[[], None] | None = None,
    ) -> None:
        """Add a file, or a version of a playlist.

        Of a playlist the newest version is written whose files are all stored, one in
        `PLAYLIST_INTERVAL`, and none that names a file that was given up.

        Args:
            path: in storage.
            file: its bytes and type.
            names: paths of the files that it refers to, if it is a playlist.
            is_expendable: whether it may be given up when too much waits. Such a file counts as
                in memory anyway until `hold` says otherwise.
            stored: called when the file is stored, which may be before this returns; not
                called when it is given up, replaced or deleted before.
            lost: called when it is given up.
        """
        playlist = self._playlist(path) if names else None
        if not self._lost.isdisjoint(names):
            return
        self._lost.discard(path)
        self._deletes.pop(path, None)
        self._failed_deletes.pop(path, None)
        since = self._clock.seconds()
        step = Put(path, file, names, is_expendable, since, stored, playlist, self._turns)
        step.lost = lost
        step.is_shared = is_expendable
        self._turns += 1
        size = file.size
        self.bytes_waiting += size
        self._uploads.added(self, size)
        if not step.is_shared:
            self._uploads.bytes_held += size
        if playlist is None:
            self._drop(path)
            self._files[path] = step
        else:
            # The oldest keeps its turn: a store that is always behind would get none else.
            is_complete = self._is_complete(step)
            if is_complete and playlist.waiting:
                step.turn = playlist.waiting[0].turn
            while len(playlist.waiting) > (0 if is_complete else 1):
                self._forget(playlist.waiting.pop())
            playlist.waiting.append(step)
        self._next()
        self._uploads.make_room()

    def delete(self, path: str) -> None:
        """Remove a file. What waits and names it is not written any more."""
        self._drop_versions(path)
        playlist = self._playlists.pop(path, None)
        for version in playlist.waiting if playlist is not None else ():
            self._forget(version)
        if path in self._lost:
            self._lost.remove(path)
        elif self._drop(path):
            self._uploads.lost(path)
        else:
            self._deletes[path] = Delete(path)
            if len(self._deletes) > MAX_DELETES:
                del self._deletes[next(iter(self._deletes))]
        self._next()

    def waiting(self, path: str) -> Representation | None:
        """Return a media file that is not stored yet: it can be had from here meanwhile."""
        step = self._waiting(path)
        return None if step is None else step.file

    def _waiting(self, path: str) -> Put | None:
        step = self._current
        return step if isinstance(step, Put) and step.path == path else self._files.get(path)

    def hold(self, path: str) -> None:
        """Learn that a media file, if it waits, is nowhere else in memory any more."""
        step = self._waiting(path)
        if step is not None and step.is_shared:
            step.is_shared = False
            self._uploads.bytes_held += step.file.size

    def flush(self) -> Deferred[None]:
        """Fire when everything is stored, or given up after a few tries."""
        self._take_failed_deletes()
        if self._is_idle:
            return succeed(None)
        is_first = self._flushing is None
        self._flushing = self._flushing or Deferred()
        flushed: Deferred[None] = Deferred()
        self._flushing.chainDeferred(flushed)
        if is_first and self._retry:
            self._retry.reset(0)
        self._next()
        return flushed

    def withdraw(self, path: str, answered: Callable[[], None]) -> bool:
        """Leave a playlist to another queue, which writes it from now on.

        Args:
            path: of the playlist, which may be unknown here.
            answered: called at the end of a try that is under way: only what is written after
                that is sure to stay.

        Returns:
            Whether there is such a try.
        """
        playlist = self._playlists.pop(path, None)
        if playlist is None:
            return False
        for version in playlist.waiting:
            self._forget(version)
        step = self._current
        if isinstance(step, Put) and step.path == path:
            if self._retry is None:
                step.answered = answered
                return True
            self._retry.cancel()
            self._retry = None
            self._current = None
            self._forget(step)
        self._next()
        return False

    @property
    def waiting_since(self) -> float | None:
        """Unix time at which the oldest file that is not stored was put; None without one."""
        return min((step.since for step in self._puts()), default=None)

    def give_up_oldest(self) -> bool:
        """Give up the oldest file that may be given up; tell whether there was one."""
        for step in self._files.values():
            if step.is_expendable:
                del self._files[step.path]
                self._give_up(step)
                return True
        return False

    def _puts(self) -> Iterator[Put]:
        """All that is to be written."""
        if isinstance(self._current, Put):
            yield self._current
        yield from self._files.values()
        for playlist in self._playlists.values():
            yield from playlist.waiting

    @property
    def _is_idle(self) -> bool:
        return not (self._current or self._deletes or any(self._puts()))

    def _playlist(self, path: str) -> Playlist:
        playlist = self._playlists.get(path)
        if playlist is None:
            playlist = self._playlists[path] = Playlist()
            answered = partial(self._foreign_answered, playlist)
            playlist.foreign_writes = self._uploads.claim(self, path, answered)
        return playlist

    def _foreign_answered(self, playlist: Playlist) -> None:
        playlist.foreign_writes -= 1
        self._next()

    # What is next.

    def _next(self) -> None:
        """Start what is next. A store that answers at once is served in the loop."""
        if self._starting:
            return
        self._starting = True
        while self._current is None and self._take():
            self._try()
        self._starting = False
        if self._current is not None:
            return
        if self._flushing and not any(p.foreign_writes for p in self._playlists.values()):
            self._drop_versions()  # what they wait for will not come
        if self._is_idle:
            self.error = None
            self._uploads.idle(self)
            if self._flushing is not None:
                self._failures = 0
                flushing, self._flushing = self._flushing, None
                flushing.callback(None)

    def _take(self) -> bool:
        """Make the next step the current one; tell whether there is one."""
        step: Put | Delete | None = None
        if not self._deletes or self._puts_in_a_row < PUTS_PER_DELETE:
            file = next(iter(self._files.values()), None)
            step = self._take_playlist(file)
            if step is None and file is not None:
                step = self._files.pop(file.path)
        if step is None and self._deletes:
            step = self._deletes.pop(next(iter(self._deletes)))
        self._puts_in_a_row = self._puts_in_a_row + 1 if isinstance(step, Put) else 0
        self._current = step
        return step is not None

    def _take_playlist(self, file: Put | None) -> Put | None:
        """Take a version that may be written now, before the next file, if there is one.

        Else see to it that its time will come.
        """
        if self._playlist_due is not None and self._playlist_due.active():
            self._playlist_due.cancel()
        now = self._clock.seconds()
        pauses = []
        for playlist in self._playlists.values():
            complete = [step for step in playlist.waiting if self._is_complete(step)]
            if not complete or playlist.foreign_writes:
                continue
            if file and file.turn < playlist.waiting[0].turn:
                continue
            pause = 0.0
            if playlist.written is not None and self._flushing is None:
                playlist.written = min(playlist.written, now)  # the clock may have been set back
                pause = playlist.written + PLAYLIST_INTERVAL - now
            if pause > _SOON:
                pauses.append(pause)
                continue
            while playlist.waiting[0] is not complete[-1]:
                self._forget(playlist.waiting.pop(0))
            return playlist.waiting.pop(0)
        if pauses:
            self._playlist_due = self._clock.callLater(min(pauses), self._next)
        return None

    def _is_complete(self, version: Put) -> bool:
        """Tell whether all is stored that a version names."""
        names = version.names
        if self._current is not None and self._current.path in names:
            return False
        playlists = (self._playlists[name] for name in names if name in self._playlists)
        return self._files.keys().isdisjoint(names) and all(
            p.written is not None for p in playlists
        )

    # One step.

    def _try(self) -> None:
        step = self._current
        assert step is not None
        self._retry = None
        if step.tries:
            self._uploads.retries += 1
        if isinstance(step, Delete):
            done = maybeDeferred(self._storage.delete, step.path)
        else:
            file = step.file
            done = maybeDeferred(
                self._storage.put, step.path, file.pieces, file.content_type, file.cache_control
            )
        if not done.called:
            done.addTimeout(UPLOAD_TIMEOUT, self._clock)
        done.addCallbacks(self._done, self._failed)

    def _done(self, _: None) -> None:
        step = self._current
        self._current = None
        if isinstance(step, Put):
            self._pause = self.FIRST_PAUSE
            self._failures = 0
            self.error = None
            if step.playlist is not None:
                step.playlist.written = self._clock.seconds()
            self._forget(step)
            self._uploads.stored(self, step.path, step.since)
            if step.answered is not None:
                step.answered()
            if step.stored is not None:
                step.stored()
        else:
            self._uploads.deleted()
        self._next()

    def _failed(self, failure: Failure) -> None:
        step = self._current
        assert step is not None
        error = failure.getErrorMessage()
        if isinstance(failure.value, TimeoutError):
            error = f"no answer in {UPLOAD_TIMEOUT:.0f} s"
        step.tries += 1
        if isinstance(step, Delete):
            self._uploads.delete_failed(step.path, error)
            self._current = None
            is_last = step.tries >= DELETE_TRIES or self._flushing is not None
            if not is_last and step.path not in self._files:
                self._failed_deletes[step.path] = step
                if self._delete_retry is None:
                    self._delete_retry = self._clock.callLater(DELETE_PAUSE, self._delete_again)
            self._next()
            return
        self._failures += 1
        self.error = error
        self._uploads.failed(self, step.path, error)
        if step.answered is not None:
            self._current = None
            self._forget(step)
            step.answered()
            self._next()
        elif self._flushing is not None and self._failures >= self.LAST_TRIES:
            self._current = None
            self._give_up(step)
            self._next()
        else:
            if self._flushing is not None:
                pause = PLAYLIST_INTERVAL  # the reason may be that it was written a moment ago
            else:
                pause = self._pause * (1 - self._uploads.random() / 2)
                self._pause = min(2 * self._pause, self.LONGEST_PAUSE)
            self._retry = self._clock.callLater(pause, self._try)

    def _delete_again(self) -> None:
        self._take_failed_deletes()
        self._next()

    def _take_failed_deletes(self) -> None:
        """Let what could not be deleted wait for its turn again."""
        if self._delete_retry and self._delete_retry.active():
            self._delete_retry.cancel()
        self._delete_retry = None
        self._deletes.update(self._failed_deletes)
        self._failed_deletes.clear()

    # What is not written.

    def _drop(self, path: str) -> bool:
        """Take a file that was not begun off the queue; tell whether there was one."""
        step = self._files.pop(path, None)
        if step is not None:
            self._forget(step)
        return step is not None

    def _drop_versions(self, path: str | None = None) -> None:
        """Drop the waiting versions of playlists, all or those that name a file."""
        for playlist in self._playlists.values():
            for step in playlist.waiting[:]:
                if path is None or path in step.names:
                    playlist.waiting.remove(step)
                    self._forget(step)

    def _give_up(self, step: Put) -> None:
        self._forget(step)
        self._lost.add(step.path)
        self._drop_versions(step.path)
        self._uploads.lost(step.path)
        if step.lost is not None:
            step.lost()

    def _forget(self, step: Put) -> None:
        """Count a file no more."""
        size = step.file.size
        self.bytes_waiting -= size
        self._uploads.removed(size)
        if not step.is_shared:
            self._uploads.bytes_held -= size
