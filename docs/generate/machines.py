"""The state machines of the server, found by driving the code through all that may happen."""

import ast
import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from textwrap import dedent
from typing import NamedTuple, Protocol

from twisted.internet.task import Clock

from rapidrtmp.amf.values import Value
from rapidrtmp.codecs.aac import AACConfig
from rapidrtmp.interfaces import AccessRequest, Grant, Refusal
from rapidrtmp.media.track import AUDIO_TRACK_ID, Sample, Track
from rapidrtmp.protocol.redial import FOLLOWS, RelayState
from rapidrtmp.rtmp import command, control, message, status
from rapidrtmp.rtmp.chunk import ChunkEncoder
from rapidrtmp.rtmp.errors import ProtocolError
from rapidrtmp.rtmp.events import ConnectRequested, PlayRequested, PublishRequested, Request
from rapidrtmp.rtmp.netconnection import State
from rapidrtmp.rtmp.session import ServerSession
from rapidrtmp.stream.events import Events
from rapidrtmp.stream.lifecycle import Record, StreamState
from rapidrtmp.stream.publication import Eviction
from rapidrtmp.stream.stream import Stream

HANDSHAKE_SIZE = 1 + 2 * 1536
"""Bytes of C0, C1 and C2 (RTMP 1.0, 5.2)."""


class Move(NamedTuple):
    """A change of state."""

    before: str
    after: str
    cause: str
    """What happened, in a few words; empty where nobody says."""


@dataclass(frozen=True, slots=True)
class Machine:
    """States and how they follow each other."""

    states: Mapping[str, str]
    """What each means, in the order of the code; '' where the name says it."""
    moves: tuple[Move, ...]


class Subject(Protocol):
    """Something with a state, to which things can happen."""

    @property
    def state(self) -> Enum:
        """Where it is."""

    def key(self) -> Hashable:
        """Return what its further ways depend on: equal keys, equal ways."""

    def ways(self) -> Iterable[tuple[str, Callable[[], None]]]:
        """Return all that may happen now, by name."""


def explore(make: Callable[[], Subject], states: type[Enum]) -> Machine:
    """Follow all ways from the beginning, breadth first."""
    found: dict[Move, None] = {}
    seen: set[Hashable] = {make().key()}
    paths: list[list[str]] = [[]]
    for path in paths:  # grows meanwhile
        for name, _ in list(_replayed(make, path).ways()):
            subject = _replayed(make, path)
            before = subject.state
            dict(subject.ways())[name]()
            if subject.state is not before:
                found[Move(before.value, subject.state.value, name)] = None
            if subject.key() not in seen:
                seen.add(subject.key())
                paths.append([*path, name])
    return Machine(words(states), tuple(found))


def _replayed(make: Callable[[], Subject], path: Iterable[str]) -> Subject:
    subject = make()
    for name in path:
        dict(subject.ways())[name]()
    return subject


def words(states: type[Enum]) -> dict[str, str]:
    """Return the words that stand below each member in the source."""
    (definition,) = ast.parse(dedent(inspect.getsource(states))).body
    assert isinstance(definition, ast.ClassDef)
    found, last = {}, ""
    for node in definition.body:
        match node:
            case ast.Assign(value=ast.Constant(value=str(value))):
                last = value
                found[last] = ""
            case ast.Expr(value=ast.Constant(value=str(text))) if last:
                found[last] = " ".join(text.split())
    return found


# An RTMP session, as its client and its owner drive it.


class _Client:
    names: Mapping[type, str] = {
        ConnectRequested: "connect",
        PublishRequested: "publish",
        PlayRequested: "play",
    }

    def __init__(self) -> None:
        self._session = ServerSession(random=bytes)
        self._session.on_media = lambda *_: None
        self._encoder = ChunkEncoder()
        self._request: Request | None = None
        self._message_stream = 0
        self._opened = 0

    @property
    def state(self) -> State:
        """Of the session."""
        return self._session.state

    def key(self) -> Hashable:
        """See `Subject`."""
        return self.state, type(self._request), bool(self._message_stream)

    def ways(self) -> Iterable[tuple[str, Callable[[], None]]]:
        """See `Subject`."""
        if self.state is State.CLOSED:
            return
        yield "the server ends it", self._finish
        if self._request is not None:
            name = self.names[type(self._request)]
            yield f"`{name}` granted", self._grant
            yield f"`{name}` refused", self._refuse
            return
        if self.state is State.HANDSHAKE:
            yield "handshake done", lambda: self._receive(b"\3" + bytes(HANDSHAKE_SIZE - 1))
            yield "another version", lambda: self._receive(b"\x99" + bytes(HANDSHAKE_SIZE - 1))
            return
        yield "the protocol or a limit is broken", self._break
        yield "`connect`", lambda: self._call("connect", {"app": "live"})
        if self.state is State.UNCONNECTED:
            yield "any other command", self._create
            return
        for name in ("publish", "play"):
            without = "" if self._message_stream else " without `createStream`"
            yield f"`{name}`{without}", partial(self._call, name, None, "show")
        yield "`createStream`", self._create
        yield "`FCUnpublish`", lambda: self._call("FCUnpublish", None, "show")
        yield "`closeStream`", lambda: self._call("closeStream", None)
        yield "`deleteStream`", self._delete
        yield "the stream that is played ends", self._end_play

    def _receive(self, data: bytes) -> None:
        try:
            events = self._session.receive_data(data, 0.0)
        except ProtocolError:
            return
        for event in events:
            if isinstance(event, ConnectRequested | PublishRequested | PlayRequested):
                self._request = event

    def _call(self, name: str, *arguments: Value) -> None:
        body = command.encode(name, 1.0, *arguments)
        stream = self._message_stream if name in ("publish", "play", "closeStream") else 0
        self._receive(self._encoder.encode(3, message.COMMAND_AMF0, stream, 0, body))

    def _create(self) -> None:
        if not self._message_stream:
            self._opened += 1
            self._call("createStream", None)
            self._message_stream = self._opened

    def _delete(self) -> None:
        self._call("deleteStream", None, float(self._message_stream))
        self._message_stream = 0

    def _break(self) -> None:
        self._receive(self._encoder.encode(2, message.SET_CHUNK_SIZE, 0, 0, control.u32(0)))

    def _grant(self) -> None:
        request, self._request = self._request, None
        assert request is not None
        self._session.accept(request, 0.0)

    def _refuse(self) -> None:
        request, self._request = self._request, None
        assert request is not None
        self._session.reject(request, status.PUBLISH_DENIED, "no")

    def _finish(self) -> None:
        self._request = None
        self._session.finish(status.PUBLISH_REJECTED, "enough")

    def _end_play(self) -> None:
        self._session.end_play(status.PLAY_UNPUBLISH_NOTIFY, "over")


def session() -> Machine:
    """Return the states of an RTMP client's session."""
    return explore(_Client, State)


# A stream, as publishers and the manager drive it.


class _Stream:
    _track = Track(AUDIO_TRACK_ID, AACConfig.parse(b"\x12\x10"))

    def __init__(self) -> None:
        self._clock = Clock()
        self._stream = Stream(
            Record("show", "0" * 16, 0, 0, None, None, None),
            self._clock,
            segment_duration=2.0,
            part_duration=0.2,
            max_viewers=1,
            events=Events(self._clock),
            record_changed=lambda _: None,
            became_idle=lambda *_: None,
        )

    @property
    def state(self) -> StreamState:
        """Of the stream."""
        return self._stream.state

    def key(self) -> Hashable:
        """See `Subject`."""
        return self.state, self._stream.publication is not None

    def ways(self) -> Iterable[tuple[str, Callable[[], None]]]:
        """See `Subject`."""
        if self.state is StreamState.STOPPED:
            return
        if self._stream.publication is None:
            yield "a publisher is let in", self._publish
            yield "its grace is over", self._end
        else:
            yield "its tracks are known", self._send
            yield "the publisher is gone", self._leave
        yield "it is stopped by the API", self._end

    def _publish(self) -> None:
        self._stream.publish(AccessRequest("publish", "show", "live", "", ""), Grant(""))

    def _send(self) -> None:
        """Send three seconds of sound: after two, nothing else is waited for."""
        self._stream.set_tracks([self._track])
        for number in range(130):
            self._stream.write(Sample(self._track, 1024 * number, 0, True, True, b"\0"))

    def _leave(self) -> None:
        assert self._stream.publication is not None
        self._stream.publication.close("gone")

    def _end(self) -> None:
        self._stream.end(Eviction(Refusal.REJECTED, "enough"))


def stream() -> Machine:
    """Return the states of a stream."""
    return explore(_Stream, StreamState)


def relay() -> Machine:
    """Return the states of a relay, which are a table in the code."""
    moves = [
        Move(before.value, after.value, "")
        for before, followers in FOLLOWS.items()
        for after in RelayState
        if after in followers and after is not before
    ]
    return Machine(words(RelayState), tuple(moves))
