"""Threads that do not hold up the end of the process while they hang."""

from threading import Thread
from typing import Any

from twisted.python.threadpool import ThreadPool


class _DaemonThread(Thread):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, daemon=True)


class DaemonThreadPool(ThreadPool):
    """A pool of such threads."""

    threadFactory = _DaemonThread  # noqa: N815 (ThreadPool's name for it)
