"""When to acknowledge received bytes (RTMP 1.0, 5.4.3 and 5.4.4)."""

from typing import Final

MIN_INTERVAL: Final = 65_536
"""Bytes between two acknowledgements at least, however small the window: one for each read."""
RESTART: Final = 0xF0000000
"""The sequence number starts anew above this: FMLE hangs up where it wraps at 2^32."""


class AcknowledgementWindow:
    """Counts received bytes and says when the peer is to be told.

    A peer that names no window is told nothing. FFmpeg and librtmp name none when they publish,
    and hang up without reading: an answer that they had not read would make their system reset
    the connection and throw the end of the stream away.
    """

    def __init__(self) -> None:
        self._sequence = 0
        self._pending = 0
        self._interval: int | None = None

    def resize(self, window: int) -> None:
        """Take the peer's Window Acknowledgement Size, in bytes; any number will do."""
        # half of it: the peer must never wait for an acknowledgement that is on its way
        self._interval = max(window // 2, MIN_INTERVAL)

    def receive(self, size: int) -> int | None:
        """Count `size` bytes; return the sequence number to acknowledge when one is due."""
        self._pending += size
        if self._interval is None or self._pending < self._interval:
            return None
        self._sequence += self._pending
        if self._sequence > RESTART:
            self._sequence = self._pending
        self._pending = 0
        return self._sequence
