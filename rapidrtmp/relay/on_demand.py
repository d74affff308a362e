"""A pull that is connected only while somebody wants to play its stream."""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from rapidrtmp.protocol.redial import Redial, RelayState
from rapidrtmp.stream.manager import OFFER_PATIENCE, StreamManager

_SOONEST = 1.0
"""Seconds between two looks, whatever the clock does."""


class OnDemand:
    """Starts a pull for the first who asks, and lets it rest when the last has gone.

    A viewer costs nothing: one timer looks when the last might have been gone for long enough.

    Args:
        key: stream key under which it is published here.
        redial: the pull's.
        manager: has the stream and its viewers.
        clock: tells the time and calls later.
        linger: gives the seconds for which the pull goes on after the last viewer has gone.
    """

    def __init__(
        self,
        key: str,
        redial: Redial,
        manager: StreamManager,
        clock: IReactorTime,
        linger: Callable[[], float],
    ) -> None:
        self._key = key
        self._redial = redial
        self._manager = manager
        self._clock = clock
        self._linger = linger
        self._asked_at = 0.0
        self._timer: IDelayedCall | None = None
        self._withdraw: Callable[[], None] | None = None

    def open(self) -> None:
        """Begin to wait for somebody who asks."""
        self._withdraw = self._manager.offer(self._key, self._wanted)

    def close(self) -> None:
        """Start the pull no more. Calls after the first do nothing."""
        if self._withdraw is not None:
            self._withdraw()
            self._withdraw = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wanted(self) -> None:
        self._asked_at = self._clock.seconds()
        stream = self._manager.get(self._key)
        if stream is None or stream.publication is None:
            self._redial.start()
        if self._timer is None and self._redial.state is not RelayState.IDLE:
            self._look_in(OFFER_PATIENCE + self._linger())

    def _look_in(self, seconds: float) -> None:
        self._timer = self._clock.callLater(max(_SOONEST, seconds), self._look)

    def _look(self) -> None:
        self._timer = None
        last = self._asked_at + OFFER_PATIENCE
        stream = self._manager.get(self._key)
        if stream is not None:
            last = max(last, stream.viewer_count.last_at)
        left = last + self._linger() - self._clock.seconds()
        if left > 0:
            self._look_in(left)
        else:
            self._redial.rest()
