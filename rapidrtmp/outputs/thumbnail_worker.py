"""The process that makes thumbnails: asked one at a time, killed when it hangs, started again."""

# Twisted's process transports carry no annotations yet.
# mypy: allow-untyped-calls

import sys
from collections import deque
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from rapidrtmp.child_environment import child_environment
from rapidrtmp.histogram import Histogram
from rapidrtmp.outputs.thumbnail_wire import MADE, Answer, AnswerReader, Request

DEADLINE = 5.0
"""Seconds for one picture: a key frame of 4K takes a tenth of one."""
START = 10.0
"""Seconds more for the first picture of a process, which has to start."""
PATIENCE = 10.0
"""Seconds that a request waits for its turn."""
MAX_WAITING = 100
"""Requests that wait for their turn: one of each stream."""
FIRST_DELAY, LONGEST_DELAY = 1.0, 30.0
"""Seconds before a process that was lost is followed by another: at first, and at most."""
IDLE = 120.0
"""Seconds after which a process that has nothing to do ends."""
END_PATIENCE = 2.0
"""Seconds that a process has to end by itself before it is killed."""
MAX_WORDS = 500
"""Characters that are kept of what the process prints."""

UNDECODABLE = "undecodable"
"""The key frame is to blame."""
FATAL = ("timeout", "crashed", "garbage")
"""What costs the process its life."""
REASONS = (UNDECODABLE, *FATAL, "busy", "stopped")
"""Why there is no picture."""
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
"""Bounds of the histogram."""


def is_available() -> bool:
    """Tell whether PyAV is installed. It is not imported for that."""
    return find_spec("av") is not None


class ThumbnailError(Exception):
    """There is no picture."""

    def __init__(self, reason: str, words: str) -> None:
        """Say why.

        Args:
            reason: one of `REASONS`.
            words: for a log.
        """
        super().__init__(words)
        self.reason = reason


class ThumbnailCounters:
    """Plain counters, for metrics."""

    def __init__(self) -> None:
        self.made = 0
        """Pictures."""
        self.failures = dict.fromkeys(REASONS, 0)
        """Pictures that were not made, by reason."""
        self.seconds = Histogram(SECONDS)
        """From the time a key frame is sent to the process to the picture."""


class _Job:
    """Somebody waits for a picture."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.done: Deferred[bytes] = Deferred()
        self.timer: IDelayedCall | None = None
        """Of its patience, then of the deadline."""
        self.since = 0.0

    def cancel_timer(self) -> None:
        """Wait for as long as it takes."""
        if self.timer is not None and self.timer.active():
            self.timer.cancel()


class ThumbnailWorker:
    """Has pictures made, one after the other, by one process that is started when it is needed."""

    _log = Logger()

    def __init__(self, reactor: Any) -> None:
        """Start nothing yet.

        Args:
            reactor: starts processes and timers.
        """
        self.counters = ThumbnailCounters()
        self._reactor = reactor
        self._waiting: deque[_Job] = deque()
        self._running: _Job | None = None
        self._child: _Child | None = None
        self._children: set[_Child] = set()
        """Those that have not ended, whatever they do."""
        self._number = 0
        self._delay = FIRST_DELAY
        self._pause: IDelayedCall | None = None
        self._idle: IDelayedCall | None = None
        self._closed: Deferred[None] | None = None

    def make(
        self, codec: str, config: bytes, sample: bytes | memoryview, size: tuple[int, int]
    ) -> Deferred[bytes]:
        """Make a JPEG of a key frame.

        Args:
            codec: as `CodecConfig.codec` names it.
            config: the decoder configuration record.
            sample: the key frame in ISO BMFF sample form.
            size: width and height of the JPEG in pixels, even.

        Returns:
            Fires with the JPEG, or fails with ThumbnailError.
        """
        self._number = (self._number + 1) & 0xFFFFFFFF
        job = _Job(Request(self._number, *size, codec, config, sample))
        if self._closed is not None:
            self._fail(job, "stopped", "the server is shutting down")
        elif len(self._waiting) >= MAX_WAITING:
            self._fail(job, "busy", "too many pictures are waited for")
        else:
            job.timer = self._reactor.callLater(PATIENCE, self._expired, job)
            self._waiting.append(job)
            self._advance()
        return job.done

    def close(self) -> Deferred[None]:
        """End the process; fire when it has ended."""
        if self._closed is None:
            self._closed = Deferred()
            for timer in (self._pause, self._idle):
                if timer is not None and timer.active():
                    timer.cancel()
            if self._running is not None:
                self._abandon("stopped", "the server is shutting down")
            while self._waiting:
                self._fail(self._waiting.popleft(), "stopped", "the server is shutting down")
            self._child = None
            for child in self._children:
                child.end()
        return self._closed if self._children else succeed(None)

    # One after the other.

    def _advance(self) -> None:
        """Have the next picture made, unless one is being made or the process is missing."""
        if self._running is not None or self._pause is not None or not self._waiting:
            return
        job = self._running = self._waiting.popleft()
        job.cancel_timer()
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        try:
            self._ask(job)
        except OSError as error:
            self._lost("crashed", f"cannot be started: {error.strerror}")
        except Exception:  # all others would wait for this one
            self._log.failure("thumbnails: a picture cannot be asked for")
            self._lost("crashed", "an internal error")

    def _ask(self, job: _Job) -> None:
        patience = DEADLINE
        if self._child is None:
            patience += START
            self._child = self._start()
        job.since = self._reactor.seconds()
        job.timer = self._reactor.callLater(patience, self._hung)
        self._child.send(job.request)

    def _expired(self, job: _Job) -> None:
        self._waiting.remove(job)
        self._fail(job, "busy", f"no turn in {PATIENCE:g} s")

    def _answered(self, child: "_Child", answer: Answer) -> None:
        job = self._running
        if child is not self._child:
            return  # it was given up
        if job is None or answer.number != job.request.number:
            self._lost("garbage", "an answer that nobody asked for")
            return
        self._running = None
        job.cancel_timer()
        self._delay = FIRST_DELAY
        self._idle = self._reactor.callLater(IDLE, self._retire)
        if answer.outcome == MADE:
            self.counters.made += 1
            self.counters.seconds.observe(self._reactor.seconds() - job.since)
            job.done.callback(answer.body)
        else:
            words = answer.body[:MAX_WORDS].decode("utf-8", "replace")
            self._fail(job, UNDECODABLE, words)
        self._advance()

    def _fail(self, job: _Job, reason: str, words: str) -> None:
        job.cancel_timer()
        self.counters.failures[reason] += 1
        job.done.errback(ThumbnailError(reason, words))

    # The process.

    def _start(self) -> "_Child":
        child = _Child(self._reactor, self._answered, self._garbage, self._ended)
        arguments = [sys.executable, "-m", "rapidrtmp.outputs.thumbnail_child"]
        self._reactor.spawnProcess(child, sys.executable, arguments, env=child_environment())
        self._children.add(child)
        return child

    def _hung(self) -> None:
        self._lost("timeout", "no answer in time")

    def _garbage(self, child: "_Child", words: str) -> None:
        if child is self._child:
            self._lost("garbage", words)

    def _ended(self, child: "_Child", words: str) -> None:
        self._children.discard(child)
        if child is self._child:
            self._lost("crashed", words)
        if self._closed is not None and not self._children and not self._closed.called:
            self._closed.callback(None)

    def _lost(self, reason: str, words: str) -> None:
        """Give the process up; the next one starts a while later."""
        self._log.warn("thumbnails: the process is lost ({words})", reason=reason, words=words)
        self._pause = self._reactor.callLater(self._delay, self._resume)
        self._delay = min(2 * self._delay, LONGEST_DELAY)
        self._abandon(reason, words)

    def _abandon(self, reason: str, words: str) -> None:
        """Kill the process, and tell who waits for it."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
        if self._idle is not None and self._idle.active():
            self._idle.cancel()
        self._idle = None
        job, self._running = self._running, None
        if job is not None:
            self._fail(job, reason, words)

    def _resume(self) -> None:
        self._pause = None
        self._advance()

    def _retire(self) -> None:
        """Nobody wants pictures any more."""
        self._idle = None
        child, self._child = self._child, None
        if child is not None:
            child.end()


class _Child(ProcessProtocol):
    """One process. It ends when its standard input does."""

    transport: IProcessTransport

    def __init__(
        self,
        reactor: Any,
        answered: "Callable[[_Child, Answer], None]",
        garbage: "Callable[[_Child, str], None]",
        ended: "Callable[[_Child, str], None]",
    ) -> None:
        self._reactor = reactor
        self._answered = answered
        self._garbage = garbage
        self._ended = ended
        self._reader = AnswerReader()
        self._words = ""
        self._timer: IDelayedCall | None = None
        self._is_killed = False

    def send(self, request: Request) -> None:
        """Ask for a picture."""
        for piece in request.write():
            self.transport.write(bytes(piece))

    def end(self) -> None:
        """Ask the process to end; kill it if it does not."""
        if self._timer is None and not self._is_killed:
            self.transport.closeStdin()
            self._timer = self._reactor.callLater(END_PATIENCE, self.kill)

    def kill(self) -> None:
        """End the process, even one that is stopped."""
        if not self._is_killed:
            self._is_killed = True
            try:
                self.transport.signalProcess("KILL")
            except ProcessExitedAlready:
                pass

    def outReceived(self, data: bytes) -> None:
        """Take what comes of answers."""
        if self._is_killed:
            return
        try:
            answers = self._reader.receive(data)
        except ValueError as error:
            self._garbage(self, str(error))
            return
        for answer in answers:
            self._answered(self, answer)

    def errReceived(self, data: bytes) -> None:
        """Keep the last line of what the process says."""
        lines = (self._words + data.decode("utf-8", "replace")).splitlines()
        self._words = lines[-1][-MAX_WORDS:] if lines else ""

    def processEnded(self, reason: Failure) -> None:
        """It is over, and has been waited for."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._ended(self, self._words or reason.getErrorMessage())
