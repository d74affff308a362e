"""What happens to streams, told to whoever listens: web hooks, the API's feed, plug-ins."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from rapidrtmp.media.timed import DateRange, ScriptMessage, TimedMetadata

Listener = Callable[["StreamEvent"], None]

NAMES = ("publish", "live", "unpublish", "end", "play", "segment", "refuse", "relay", "metadata")
"""Every kind of event."""
MAX_VALUES = 2048
"""Bytes of a data message whose values an event has: events are kept for some time."""


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """Something that happened to a stream."""

    name: str
    """One of `NAMES`."""
    key: str
    """The stream key."""
    time: float
    """Unix time."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else there is to know, as JSON values. Never a token."""

    def as_json(self) -> dict[str, Any]:
        """Return the form in which it is sent."""
        return {
            "event": self.name,
            "streamKey": self.key,
            "time": round(self.time, 3),
            **self.details,
        }


class Events:
    """Hands events to listeners, at once and in order. One that raises harms nobody."""

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        """Make one without listeners.

        Args:
            clock: tells unix time.
        """
        self._clock = clock
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call a listener with each event from now on.

        Returns:
            What ends it, to be called once.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens: otherwise details need not be put together."""
        return bool(self._listeners)

    def emit(self, name: str, key: str, **details: Any) -> None:
        """Tell the listeners what happened.

        Args:
            name: one of `NAMES`.
            key: the stream key.
            details: JSON values.
        """
        event = StreamEvent(name, key, self._clock.seconds(), details)
        for listener in list(self._listeners):
            try:
                listener(event)
            except Exception:
                self._log.failure("A listener failed at {name} of {key}", name=name, key=key)


def described(metadata: TimedMetadata) -> dict[str, object]:
    """Return the details of the event that tells of timed metadata."""
    content = metadata.content
    time = datetime.fromtimestamp(metadata.wall, UTC).isoformat(timespec="milliseconds")
    details: dict[str, object] = {"start": time.replace("+00:00", "Z")}
    if isinstance(content, ScriptMessage):
        details |= {"kind": "script", "message": content.name}
        if len(content.body) <= MAX_VALUES:
            details["values"] = content.values
    elif isinstance(content, DateRange):
        details |= {"kind": "daterange", "id": content.id}
        if content.name:
            details["class"] = content.name
        if content.duration is not None:
            details["duration"] = content.duration
    else:
        details |= {"kind": "message", "scheme": content.scheme, "bytes": len(content.data)}
    return details
