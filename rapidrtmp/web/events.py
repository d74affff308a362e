"""Stream events as server-sent events (WHATWG HTML section 9.2), for any number of programs."""

# Twisted's request methods carry no annotations yet.
# mypy: allow-untyped-calls

import json
import re
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from secrets import token_hex

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from rapidrtmp.stream.events import NAMES, Events, StreamEvent
from rapidrtmp.web.request import Request

DEFAULT_NAMES = frozenset(NAMES) - {"segment", "metadata"}
"""What is sent to whoever asks for nothing in particular: the others are many."""

KEPT = 1000
"""Events of each kind that somebody who comes back can still get (some 300 bytes each)."""

MAX_CLIENTS = 100
"""Clients at once: each is an open connection. They are programs, not viewers."""

MAX_UNREAD = 256 * 1024
"""Bytes kept for a client that does not read; then it is cut off, and may come back."""

HEARTBEAT = 15.0
"""Seconds between comments: they keep proxies from closing a silent connection."""

MISSED = b"event: missed\ndata: {}\n\n"
"""Sent first to whoever cannot be given all that happened since: it should look anew."""

_HELLO = b"retry: 2000\n\n"
_BEAT = b": still here\n\n"
_ID = re.compile("([0-9a-f]{8})-([0-9]{1,15})")


class TooManyClients(Exception):
    """`MAX_CLIENTS` clients are listening already, or the server is going down."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events somebody wants."""

    names: Collection[str] = DEFAULT_NAMES
    key: str | None = None
    """Stream key; None for all."""

    def wants(self, event: StreamEvent) -> bool:
        """Tell whether an event is one of them."""
        return event.name in self.names and self.key in (None, event.key)


@dataclass(frozen=True)
class _Sent:
    """An event that may be sent."""

    id: str
    number: int
    event: StreamEvent

    @cached_property
    def text(self) -> bytes:
        """The event as it is sent: made when somebody first wants it, once for everybody."""
        value = json.dumps(self.event.as_json(), separators=(",", ":"))
        return f"id: {self.id}\nevent: {self.event.name}\ndata: {value}\n\n".encode("ascii")


class EventFeed:
    """Sends what happens to streams to every client that listens.

    Events are numbered. A client that lost its connection says which one it saw last
    (``Last-Event-ID``) and is sent those after it. The numbers of a former process are told
    apart by the first part of the id.
    """

    def __init__(self, events: Events, clock: IReactorTime) -> None:
        """Start to listen.

        Args:
            events: tells what happens.
            clock: times heartbeats.
        """
        self._epoch = token_hex(4)
        self._number = 0
        # By kind, so that frequent ones do not push out the others.
        self._kept: dict[str, deque[_Sent]] = {name: deque(maxlen=KEPT) for name in NAMES}
        self._forgotten = dict.fromkeys(NAMES, 0)  # number of the last one that is not kept
        self._clients: set[_Client] = set()
        self._is_closed = False
        self._heartbeat = LoopingCall(self._beat)
        self._heartbeat.clock = clock
        self._cancel = events.subscribe(self._happened)

    @property
    def clients(self) -> int:
        """How many listen."""
        return len(self._clients)

    def listen(self, request: Request, wanted: Filter, last_id: str | None) -> Deferred[bytes]:
        """Answer a request with the events from now on, as long as its client stays.

        Args:
            request: the headers of its answer are set here.
            wanted: which events to send.
            last_id: of the last event that the client saw; None for a new client.

        Returns:
            Fires, with no further body, when the feed ends. Cancel it when the client is gone.

        Raises:
            TooManyClients: there is no room.
        """
        if self._is_closed:
            raise TooManyClients("the server is shutting down")
        if len(self._clients) >= MAX_CLIENTS:
            raise TooManyClients(f"{MAX_CLIENTS} clients listen to events already")
        request.setHeader(b"Content-Type", b"text/event-stream")
        request.setHeader(b"Cache-Control", b"no-store")
        request.setHeader(b"X-Accel-Buffering", b"no")  # nginx would hold events back
        if request.method == b"HEAD":
            return succeed(b"")
        client = _Client(request, wanted, self._lost)
        self._clients.add(client)
        if not self._heartbeat.running:
            self._heartbeat.start(HEARTBEAT, now=False)
        client.start([_HELLO, *self._missed(wanted, last_id)])
        return client.done

    def drop(self) -> None:
        """End every client's connection; those that still may will come back by themselves."""
        for client in list(self._clients):
            client.end()

    def close(self) -> None:
        """Stop for good."""
        if not self._is_closed:
            self._is_closed = True
            self._cancel()
            self.drop()

    def _happened(self, event: StreamEvent) -> None:
        self._number += 1
        sent = _Sent(f"{self._epoch}-{self._number}", self._number, event)
        kept = self._kept[event.name]
        if len(kept) == KEPT:
            self._forgotten[event.name] = kept[0].number
        kept.append(sent)
        for client in list(self._clients):
            client.tell(sent)

    def _missed(self, wanted: Filter, last_id: str | None) -> list[bytes]:
        """Return what somebody who comes back has not seen yet."""
        if last_id is None:
            return []
        found = _ID.fullmatch(last_id)
        is_ours = found is not None and found[1] == self._epoch
        last = int(found[2]) if found and is_ours else 0
        is_whole = is_ours and all(self._forgotten[name] <= last for name in wanted.names)
        missed = [
            sent
            for name in wanted.names
            for sent in self._kept[name]
            if sent.number > last and wanted.wants(sent.event)
        ]
        texts = [sent.text for sent in sorted(missed, key=lambda sent: sent.number)]
        return texts if is_whole else [MISSED, *texts]

    def _beat(self) -> None:
        for client in list(self._clients):
            client.beat()

    def _lost(self, client: "_Client") -> None:
        self._clients.discard(client)
        if not self._clients and self._heartbeat.running:
            self._heartbeat.stop()


@implementer(IPushProducer)
class _Client:
    """One client's connection. What it does not read waits here, up to a bound."""

    def __init__(self, request: Request, wanted: Filter, lost: "Callable[[_Client], None]") -> None:
        self._request = request
        self._wanted = wanted
        self._lost = lost
        self._is_paused = False
        self._waiting: deque[bytes] = deque()
        self._unread = 0
        self._kept = 0  # bytes of what comes first that wait
        self.done: Deferred[bytes] = Deferred(lambda _: self._lost(self))

    def start(self, first: Collection[bytes]) -> None:
        """Send what comes first. It is kept anyway, so what waits of it costs nothing."""
        self._waiting.extend(first)
        self._kept = sum(map(len, first))
        self._request.registerProducer(self, True)
        self.resumeProducing()

    def tell(self, sent: _Sent) -> None:
        """Send an event, if it is wanted."""
        if self._wanted.wants(sent.event):
            self._waiting.append(sent.text)
            self._unread += len(sent.text)
            self._send()
            if self._unread > MAX_UNREAD:
                self._lost(self)
                self._request.channel.forceAbortClient()

    def beat(self) -> None:
        """Show that the connection lives."""
        if not self._is_paused:
            self._request.write(_BEAT)

    def end(self) -> None:
        """End the answer."""
        self._lost(self)
        self._request.unregisterProducer()
        self.done.callback(b"".join(self._waiting))

    def pauseProducing(self) -> None:
        """Wait: the client does not read."""
        self._is_paused = True

    def resumeProducing(self) -> None:
        """Send what waits: the client reads again."""
        self._is_paused = False
        self._send()

    def stopProducing(self) -> None:
        """Give up: the client has gone."""
        self._waiting.clear()

    def _send(self) -> None:
        while self._waiting and not self._is_paused:
            text = self._waiting.popleft()
            if self._kept:
                self._kept -= len(text)
            else:
                self._unread -= len(text)
            self._request.write(text)
