"""Storage that fails, waits, and looks that no playlist precedes what it names."""

from collections.abc import Sequence
from urllib.parse import urljoin

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from rapidrtmp.interfaces import IStorage
from rapidrtmp.storage.memory import MemoryStorage
from tests.hls.checker import parse_media_playlist, parse_multivariant_playlist


@implementer(IStorage)
class CheckingStorage(MemoryStorage):
    """Judges each playlist when it is put."""

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__(clock)
        self.puts: list[str] = []
        self.deletes: list[str] = []
        self.error: Exception | None = None
        """What every put and delete fails with."""
        self.is_slow = False
        """Whether puts wait for `finish`."""
        self.late: set[str] = set()
        """Files that were written when nobody waited for that any more."""
        self._waiting: list[tuple[Deferred[None], str, bytes]] = []

    def put(
        self, path: str, data: Sequence[bytes], content_type: str, cache_control: str
    ) -> Deferred[None]:
        """Write a file."""
        if self.error is not None:
            return fail(self.error)
        if self.is_slow:
            waiting: Deferred[None] = Deferred()
            self._waiting.append((waiting, path, b"".join(data)))
            return waiting
        if path.endswith(".m3u8"):
            self._check(path, b"".join(data))
        self.puts.append(path)
        return super().put(path, data, content_type, cache_control)

    def delete(self, path: str) -> Deferred[None]:
        """Remove a file."""
        if self.error is not None:
            return fail(self.error)
        self.deletes.append(path)
        return super().delete(path)

    def finish(self) -> None:
        """End the puts that wait, and those that follow, with success."""
        while self._waiting:
            waiting, path, body = self._waiting.pop(0)
            if waiting.called:
                self.late.add(path)
            super().put(path, (body,), "", "")
            self.puts.append(path)
            waiting.callback(None)

    @property
    def paths(self) -> list[str]:
        """The files that are there."""
        return sorted(self._files)

    def body(self, path: str) -> bytes:
        """The content of a file."""
        return b"".join(self._files[path].pieces)

    def _check(self, path: str, body: bytes) -> None:
        """Judge a playlist: what it names is there already."""
        if path.endswith("/index.m3u8"):
            multivariant = parse_multivariant_playlist(body)
            uris = [v.uri for v in multivariant.variants] + [a.uri for a in multivariant.audio]
        else:
            playlist = parse_media_playlist(body)
            uris = [segment.map_uri for segment in playlist.segments]
            uris += [segment.uri for segment in playlist.segments if not segment.is_gap]
        here = f"https://cdn.example.com/live/{path}"
        urls = [urljoin(here, uri).removeprefix("https://cdn.example.com/live/") for uri in uris]
        missing = [url for url in urls if url not in self._files]
        assert not missing, f"{path} names {missing}"
