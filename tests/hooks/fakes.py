"""A request, events, and hooks that do as they are told."""

from collections.abc import Mapping

from twisted.internet.defer import Deferred

from rapidrtmp.interfaces import AccessRequest
from rapidrtmp.stream.events import StreamEvent

NOW = 1_800_000_000.0
"""Unix time at which tests start."""


def request(action: str = "publish", credentials: Mapping[str, str] | None = None) -> AccessRequest:
    """Somebody asks for something."""
    return AccessRequest(
        action, "show", "live", "192.0.2.1", "s-1", credentials or {}, "Encoder/1.0"
    )


def event(number: int = 1, name: str = "segment", key: str = "show") -> StreamEvent:
    """Something happened."""
    return StreamEvent(name, key, NOW + number, {"sequenceNumber": number})


class FakeHook:
    """Notes what it is asked and told; answers what `answers` gives, in turn, or else at once."""

    def __init__(self) -> None:
        self.requests: list[AccessRequest] = []
        self.events: list[StreamEvent] = []
        self.answers: list[object] = []

    def __str__(self) -> str:
        return "the fake hook"

    def _answer(self) -> object:
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def on_publish(self, request: AccessRequest) -> object:
        """Answer."""
        self.requests.append(request)
        return self._answer()

    def on_play(self, request: AccessRequest) -> object:
        """Answer."""
        return self.on_publish(request)

    def on_unpublish(self, event: StreamEvent) -> object:
        """Answer."""
        return self.on_segment(event)

    def on_segment(self, event: StreamEvent) -> object:
        """Answer."""
        self.events.append(event)
        return self._answer()

    def numbers(self) -> list[int]:
        """Which events came."""
        return [event.details["sequenceNumber"] for event in self.events]

    def hold(self, calls: int) -> list[Deferred[object]]:
        """Keep the next calls waiting for these."""
        held = [Deferred[object]() for _ in range(calls)]
        self.answers.extend(held)
        return held
