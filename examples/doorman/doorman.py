"""A hook for RapidRTMP: only the stream keys of a list may be published."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from rapidrtmp.interfaces import AccessDenied, AccessRequest, Refusal
from rapidrtmp.stream.events import StreamEvent


class Doorman:
    """Looks up stream keys in the file that DOORMAN_KEYS names, and counts segments."""

    _log = Logger()

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._keys = Path(os.environ.get("DOORMAN_KEYS", "keys.txt"))
        self._segments = Counter[str]()

    async def on_publish(self, request: AccessRequest) -> None:
        """Allow the keys of the list, as it is now. Disks may be slow: a thread reads it."""
        threads = self._reactor.getThreadPool()
        keys = await deferToThreadPool(self._reactor, threads, self._keys.read_text)
        if request.key not in keys.split():
            raise AccessDenied(Refusal.DENIED, f"{request.key} is not on the list")

    def on_segment(self, event: StreamEvent) -> None:
        """Count."""
        self._segments[event.key] += 1

    def on_unpublish(self, event: StreamEvent) -> None:
        """Say how it went."""
        count = self._segments[event.key]
        self._log.info("{key} is off: {count} segments so far", key=event.key, count=count)
