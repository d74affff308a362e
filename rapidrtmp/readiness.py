"""What ``/ready`` looks at: does the server do its work?"""

from collections.abc import Iterable

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from rapidrtmp.interfaces import IStorage
from rapidrtmp.listener import Listener
from rapidrtmp.media.segmentation import Segmentation
from rapidrtmp.outputs.hls import HLSOutput
from rapidrtmp.outputs.uploads import Uploads
from rapidrtmp.storage.backends import probe
from rapidrtmp.stream.lifecycle import StreamState
from rapidrtmp.stream.manager import StreamManager

OK = "ok"

SEGMENT_PATIENCE = 5.0
"""Seconds that a segment may be late before the server is not ready."""
PROBE_AGE = 5.0
"""Seconds for which a probe of the storage counts: anybody may ask, and each one is a write."""

PROBE_TIMEOUT = 10.0
"""Seconds for a probe of the storage."""


def check_listeners(listeners: Iterable[Listener]) -> str:
    """Tell whether listeners listen."""
    return OK if all(listener.ports for listener in listeners) else "not listening"


def check_manager(manager: StreamManager) -> str:
    """Tell whether new publishers are let in."""
    return "draining" if manager.draining else OK


def check_segmenter(manager: StreamManager, now: float) -> str:
    """Look for a stream whose media flow while no segment comes of them.

    Args:
        manager: has the streams.
        now: unix time.
    """
    for stream in manager.streams():
        if stream.state is not StreamState.LIVE or not stream.packaged_tracks:
            continue
        longest = stream.segmentation.target_duration or Segmentation.LONGEST_FIRST
        flowing = now - (stream.statistics.last_frame_at or 0.0) < 1.0
        for output in stream.outputs:
            if isinstance(output, HLSOutput):
                waited = now - max(output.last_segment_at or 0.0, stream.live_since)
                if flowing and waited > longest + SEGMENT_PATIENCE:
                    # anybody may read it: keys may be secrets
                    return f"a stream has had no segment for {waited:.0f} s"
    return OK


class StorageCheck:
    """Whether the storage can be written. At most one probe is under way."""

    def __init__(self, storage: IStorage, uploads: Uploads, clock: IReactorTime) -> None:
        """Make a check.

        Args:
            storage: is probed.
            uploads: knows whether the streams' files get there.
            clock: tells how old a probe is.
        """
        self._storage = storage
        self._uploads = uploads
        self._clock = clock
        self._result = OK
        self._probed_at = float("-inf")
        self._waiting: list[Deferred[str]] | None = None

    def __call__(self) -> "str | Deferred[str]":
        """Return or fire with 'ok', or what is wrong."""
        # The probe is small: it may still fit where a segment does not.
        if self._uploads.error is not None:
            return f"cannot be written: {self._uploads.error}"
        if 0 <= self._clock.seconds() - self._probed_at < PROBE_AGE:
            return self._result
        answer: Deferred[str] = Deferred()
        if self._waiting is not None:
            self._waiting.append(answer)
        else:
            self._waiting = [answer]
            probing = probe(self._storage)
            probing.addTimeout(PROBE_TIMEOUT, self._clock).addCallbacks(
                lambda _: self._probed(OK),
                lambda failure: self._probed(_words(failure)),
            )
        return answer

    def _probed(self, result: str) -> None:
        self._result = result
        self._probed_at = self._clock.seconds()
        waiting, self._waiting = self._waiting or [], None
        for answer in waiting:
            if not answer.called:  # else the request that waited gave up
                answer.callback(result)


def _words(failure: Failure) -> str:
    if isinstance(failure.value, TimeoutError):
        return f"no answer within {PROBE_TIMEOUT:g} s"
    return f"cannot be written: {failure.getErrorMessage()}"
