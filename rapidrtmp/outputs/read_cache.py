"""Reads of stored media that many viewers share: each file once, the newest reads remembered."""

from collections import OrderedDict

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from rapidrtmp.interfaces import IStorage

MAX_BYTES = 64 * 1024 * 1024
"""Bytes that are remembered over all streams."""


class ReadCache:
    """Media never changes, so what was read once is right as long as it is there."""

    def __init__(self, storage: IStorage, max_bytes: int = MAX_BYTES) -> None:
        """Read from a storage, and remember up to `max_bytes` of it."""
        self._storage = storage
        self._max_bytes = max_bytes
        self._bodies: OrderedDict[str, bytes] = OrderedDict()
        self._reading: dict[str, list[Deferred[bytes]]] = {}
        self.bytes = 0
        """Remembered."""

    def get(self, path: str) -> Deferred[bytes]:
        """Read a file. Fails as `IStorage.get` does. Who cancels leaves the others their read."""
        body = self._bodies.get(path)
        if body is not None:
            self._bodies.move_to_end(path)
            return succeed(body)
        waiting = self._reading.get(path)
        is_first = waiting is None
        if waiting is None:
            waiting = self._reading[path] = []
        answer: Deferred[bytes] = Deferred(waiting.remove)
        waiting.append(answer)
        if is_first:
            self._storage.get(path).addBoth(self._read, path, waiting)
        return answer

    def forget(self, path: str) -> None:
        """Drop a file that is deleted."""
        self._reading.pop(path, None)
        body = self._bodies.pop(path, None)
        if body is not None:
            self.bytes -= len(body)

    def _read(self, result: bytes | Failure, path: str, waiting: list[Deferred[bytes]]) -> None:
        is_current = self._reading.get(path) is waiting
        if is_current:
            del self._reading[path]
        if isinstance(result, bytes) and is_current:
            self._bodies[path] = result
            self.bytes += len(result)
            while self.bytes > self._max_bytes:
                self.bytes -= len(self._bodies.popitem(last=False)[1])
        for answer in waiting[:]:
            if isinstance(result, Failure):
                answer.errback(result.value)
            else:
                answer.callback(result)
