"""All relays of this server: those of the settings, and those that the API added."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger, LogLevel

from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.interfaces import IStorage
from rapidrtmp.media.key import is_stream_key
from rapidrtmp.outputs.rtmp_push import CAPABILITIES, RTMPPush
from rapidrtmp.protocol.redial import Redial, RelayState
from rapidrtmp.relay.on_demand import OnDemand
from rapidrtmp.relay.pull import RTMPPull
from rapidrtmp.rtmp.target import BadTarget, Target
from rapidrtmp.state import StateError, StateFile
from rapidrtmp.stream.events import StreamEvent
from rapidrtmp.stream.lifecycle import StreamState
from rapidrtmp.stream.manager import StreamManager
from rapidrtmp.stream.stream import Attachment, Stream

PATH = "relays.json"
SCHEMA = 1
MAX_RELAYS = 100
"""Relays at once: each may keep 4 MiB, and costs as much as a viewer by RTMP."""
PUSH, PULL = "push", "pull"
DIRECTIONS = (PUSH, PULL)

Tell = Callable[[str, Mapping[str, Any]], None]


class TooManyRelays(Exception):
    """There are `MAX_RELAYS` already."""


class RelayExists(Exception):
    """There is such a relay already, or the key has a pull: two would fight for it."""


@dataclass(slots=True)
class Relay:
    """One stream to another server, or from it."""

    id: str
    key: str
    """Stream key on this server."""
    direction: str
    """One of `DIRECTIONS`."""
    url: str = field(repr=False)
    """The whole one. A secret: it holds a stream key of the other server."""
    is_static: bool
    """Whether it stands in the settings: the API cannot remove it."""
    created_at: float
    """Unix time."""
    link: RTMPPush | RTMPPull = field(repr=False)
    demand: OnDemand | None = field(default=None, repr=False)
    """What connects and leaves a pull on demand; None for any other relay."""

    @property
    def redial(self) -> Redial:
        """Its connection, and its state."""
        return self.link.redial

    @property
    def dropped(self) -> int:
        """Samples that could not be sent in time: none of a pull."""
        return self.link.dropped if isinstance(self.link, RTMPPush) else 0

    @property
    def shown_url(self) -> str:
        """The URL as it may be shown: host and application."""
        return f"{self.redial.target.tc_url}/***"


class Relays:
    """Makes relays, hangs them on streams, and keeps those of the API over restarts.

    Args:
        manager: has the streams.
        state: the state directory, which nobody else can read.
        clock: tells unix time and calls later.
        endpoint: makes what connects to a target.
        demuxer: makes the demuxer of a pull's connection.
        tell: told of each change of a relay's state: stream key and details.
        linger: as the attribute.
    """

    _log = Logger()

    def __init__(
        self,
        manager: StreamManager,
        state: IStorage,
        clock: IReactorTime,
        endpoint: Callable[[Target], IStreamClientEndpoint],
        demuxer: Callable[[], Demuxer],
        tell: Tell = lambda key, details: None,
        linger: float = 10.0,
    ) -> None:
        self.linger = linger
        """Seconds for which a pull on demand goes on after its last viewer has gone."""
        self._manager = manager
        self._file = StateFile(state, PATH, SCHEMA)
        self._clock = clock
        self._endpoint = endpoint
        self._demuxer = demuxer
        self._tell = tell
        self._relays: dict[str, Relay] = {}
        self._attached: dict[str, tuple[Stream, Attachment]] = {}
        self._is_running = False
        self._is_stored = False  # whether there is, or will be, a file
        # of the relays that were removed: counters never go back
        self._retries = dict.fromkeys(DIRECTIONS, 0)
        self._bytes = dict.fromkeys(DIRECTIONS, 0)
        self._dropped = 0

    # Looking.

    def __len__(self) -> int:
        return len(self._relays)

    def relays(self, key: str | None = None) -> list[Relay]:
        """Return the relays, of one stream key or of all."""
        return [relay for relay in self._relays.values() if key in (None, relay.key)]

    def find(self, relay_id: str) -> Relay | None:
        """Return a relay by its id."""
        return self._relays.get(relay_id)

    @property
    def states(self) -> dict[tuple[str, str], int]:
        """How many relays of each direction are in each state."""
        counts = {(direction, state.value): 0 for direction in DIRECTIONS for state in RelayState}
        for relay in self._relays.values():
            counts[relay.direction, relay.redial.state.value] += 1
        return counts

    @property
    def retries(self) -> dict[str, int]:
        """Connections that failed or were lost, by direction."""
        counts = dict(self._retries)
        for relay in self._relays.values():
            counts[relay.direction] += relay.redial.retries
        return counts

    @property
    def bytes_relayed(self) -> dict[str, int]:
        """Bytes of media, by direction."""
        counts = dict(self._bytes)
        for relay in self._relays.values():
            counts[relay.direction] += relay.link.bytes
        return counts

    @property
    def samples_dropped(self) -> int:
        """Samples that pushes could not send in time."""
        return self._dropped + sum(relay.dropped for relay in self._relays.values())

    # The process.

    def load(
        self,
        static: Iterable[tuple[str, str, str]] = (),
        on_demand: Iterable[tuple[str, str]] = (),
    ) -> Deferred[None]:
        """Make the relays of the settings, and those that the API added before.

        Args:
            static: key, direction and URL of each in the settings.
            on_demand: key and URL of each of their pulls on demand.

        Returns:
            Fires when they are there, or fails with StateError when the file is broken.

        Raises:
            BadTarget, RelayExists, TooManyRelays: as `add`, of the settings.
        """
        for key, direction, url in static:
            self._make(token_hex(8), key, direction, url, True, self._clock.seconds())
        for key, url in on_demand:
            self._make(token_hex(8), key, PULL, url, True, self._clock.seconds(), True)
        return self._file.load().addCallback(self._restore)

    def start(self) -> None:
        """Connect the pulls; pushes wait for their streams, pulls on demand for viewers."""
        self._is_running = True
        self._manager.events.subscribe(self._heard)
        for relay in self._relays.values():
            self._begin(relay)

    def close(self) -> Deferred[None]:
        """End every relay; fires when all connections are closed and all is stored."""
        self._is_running = False
        ends = [self._end(relay) for relay in self._relays.values()]
        if self._is_stored:
            ends.append(self.saved())
        return gatherResults(ends, consumeErrors=True).addCallback(lambda _: None)

    # Changing.

    def add(self, key: str, direction: str, url: str, *, on_demand: bool = False) -> Relay:
        """Add a relay, and begin. `saved` tells when it is stored.

        Args:
            key: stream key on this server.
            direction: one of `DIRECTIONS`.
            url: where to or where from.
            on_demand: whether a pull is connected only while somebody plays its stream.

        Raises:
            BadTarget: the URL is none. Its words quote nothing of it.
            RelayExists: there is one like it.
            TooManyRelays: there are too many.
        """
        now = self._clock.seconds()
        relay = self._make(token_hex(8), key, direction, url, False, now, on_demand)
        if self._is_running:
            self._begin(relay)
        return relay

    def remove(self, relay: Relay) -> None:
        """End a relay, and forget it."""
        del self._relays[relay.id]
        self._end(relay)
        self._retries[relay.direction] += relay.redial.retries
        self._bytes[relay.direction] += relay.link.bytes
        self._dropped += relay.dropped
        self._log.info(
            "relay {direction} of {key}: removed", direction=relay.direction, key=relay.key
        )

    def saved(self) -> Deferred[None]:
        """Store the relays of the API; fails with OSError when they cannot be."""
        self._is_stored = True
        return self._file.save(
            {
                relay.id: {
                    "key": relay.key,
                    "direction": relay.direction,
                    "url": relay.url,
                    "createdAt": relay.created_at,
                    "onDemand": relay.demand is not None,
                }
                for relay in self._relays.values()
                if not relay.is_static
            }
        )

    # Inside.

    def _make(
        self,
        relay_id: str,
        key: str,
        direction: str,
        url: str,
        is_static: bool,
        created: float,
        on_demand: bool = False,
    ) -> Relay:
        target = Target.parse(url)
        if len(self._relays) >= MAX_RELAYS:
            raise TooManyRelays(f"there are {MAX_RELAYS} relays already")
        for other in self.relays(key):
            if other.direction == direction and other.redial.target == target:
                raise RelayExists("there is such a relay already")
            if direction == PULL == other.direction:
                raise RelayExists("this stream key is pulled from elsewhere already")
        redial = Redial(target, self._endpoint, self._clock)
        link: RTMPPush | RTMPPull
        if direction == PUSH:
            link = RTMPPush(redial, self._clock, lambda: self._metadata(key))
        else:
            link = RTMPPull(
                key,
                f"relay:{relay_id}",
                redial,
                self._manager,
                self._demuxer,
                CAPABILITIES,
                self._clock,
            )
        relay = Relay(relay_id, key, direction, url, is_static, created, link)
        if on_demand:
            relay.demand = OnDemand(key, redial, self._manager, self._clock, lambda: self.linger)
        redial.changed = lambda: self._changed(relay)
        self._relays[relay_id] = relay
        return relay

    def _metadata(self, key: str) -> Mapping[str, Any]:
        stream = self._manager.get(key)
        return {} if stream is None else stream.metadata

    def _begin(self, relay: Relay) -> None:
        if relay.demand is not None:
            relay.demand.open()
            return
        if relay.direction == PULL:
            relay.redial.start()
            return
        stream = self._manager.get(relay.key)
        if stream is not None and stream.state is not StreamState.STOPPED:
            self._attach(relay, stream)

    def _attach(self, relay: Relay, stream: Stream) -> None:
        attached = self._attached.get(relay.id)
        if attached is not None and attached[0] is stream:
            return
        self._detach(relay)
        assert isinstance(relay.link, RTMPPush)
        self._attached[relay.id] = stream, stream.attach(relay.link)

    def _detach(self, relay: Relay) -> None:
        attached = self._attached.pop(relay.id, None)
        if attached is not None:
            attached[1].cancel()

    def _end(self, relay: Relay) -> Deferred[None]:
        self._detach(relay)
        if relay.demand is not None:
            relay.demand.close()
        if isinstance(relay.link, RTMPPush):
            return relay.link.close()
        return relay.redial.stop()

    def _heard(self, event: StreamEvent) -> None:
        if not self._is_running or event.name not in ("publish", "end"):
            return
        for relay in self.relays(event.key):
            if relay.direction == PUSH and event.name == "publish":
                self._begin(relay)
            elif relay.direction == PUSH:
                self._detach(relay)

    def _changed(self, relay: Relay) -> None:
        redial = relay.redial
        is_trouble = redial.state in (RelayState.WAITING, RelayState.FAILED)
        what = redial.error if is_trouble else redial.state.value
        if redial.retry_at is not None:
            what += f"; again in {redial.retry_at - redial.since:.0f} s"
        self._log.emit(
            LogLevel.warn if is_trouble else LogLevel.info,
            "relay {direction} of {key}, {url}: {what}",
            direction=relay.direction,
            key=relay.key,
            url=relay.shown_url,
            what=what,
        )
        details = {"relayId": relay.id, "direction": relay.direction, "state": redial.state.value}
        self._tell(relay.key, details | ({"error": redial.error} if is_trouble else {}))

    def _restore(self, state: dict[str, object] | None) -> None:
        for relay_id, stored in (state or {}).items():
            try:
                self._make(relay_id, *_read(stored))
            except (RelayExists, TooManyRelays) as error:
                # the settings have it now, or took its place
                self._log.warn("a stored relay is left out: {error}", error=error)
            except ValueError as error:
                raise StateError(
                    f"state file {PATH} holds {error}; repair it or move it away"
                ) from None


def _read(stored: object) -> tuple[str, str, str, bool, float, bool]:
    """Read one stored relay: all but its id.

    Raises:
        ValueError: it is none.
    """
    if isinstance(stored, dict):
        key, direction, url = (stored.get(name) for name in ("key", "direction", "url"))
        created, on_demand = stored.get("createdAt"), stored.get("onDemand", False)
        if (
            isinstance(key, str)
            and is_stream_key(key)
            and direction in DIRECTIONS
            and isinstance(url, str)
            and isinstance(created, int | float)
            and (on_demand is False or (on_demand is True and direction == PULL))
        ):
            try:
                Target.parse(url)
            except BadTarget as error:
                raise ValueError(f"a relay without a target: {error}") from None
            return key, direction, url, False, created, on_demand
    raise ValueError("something that is no relay")
